"""The documentation: links lead somewhere, Python of the pages runs, generated ones are up to date, README is short."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import needs_weights
from golden.recipes import RECIPES

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / "mkdocs.yml").is_file(), reason="the documentation is not part of this distribution"
)
PAGES = [
    *sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "bitstream_spec", "benchmarks", "tools", "tests/data")
        for path in (ROOT / folder).rglob("*.md")
    ),
    "README.md",
    "CHANGELOG.md",
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
#: pages whose Python blocks run one after another, as one program
RUN = [f"howto/{name}.md" for name in ("provider", "codec", "previews", "archive", "files", "service")]
RUN += ["reference/api.md", "media.md", "given.md", "howto/any-model.md", "howto/zarr.md", "howto/remote.md"]
#: a library of an extra, by page
NEEDS = {"howto/any-model.md": "diffusers", "howto/zarr.md": "zarr", "howto/remote.md": "fsspec"}


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    return importlib.import_module(f"tools.{name}")


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: str) -> set[str]:
    """Of the headings of a page, as GitHub and the site spell them where they have letters of ASCII only."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\s-]", "", head.replace("`", "").lower()) for head in heads)
    return {re.sub(r"\s+", "-", head.strip()) for head in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    site = tool("docs_site")
    lost = []
    for match in site.LINK.finditer(site.FENCE.sub("", text_of(page))):
        link, anchor = match[2], match[3].rstrip(")").lstrip("#")
        if site.ELSEWHERE.match(link):
            continue
        there = site.target(page, link)
        if not (ROOT / there).exists() or (anchor and there.endswith(".md") and anchor not in anchors(there)):
            lost.append(match[0])
    assert not lost


def test_pages_name_no_file_that_is_not_there() -> None:
    """Scripts, modules and results in code spans and blocks, which are no links."""
    name = re.compile(r"[\s`]((?:benchmarks|tools|tests|bitstream_spec)/[\w./-]+\.(?:py|sh|md|csv|txt|safetensors))")
    module = re.compile(r"[\s`]((?:benchmarks|tools)(?:\.\w+)+)")
    pages = {page: text_of(page) for page in PAGES if page != "CHANGELOG.md"}
    named = {(page, path) for page, text in pages.items() for path in name.findall(text)}
    named |= {(page, f"{m.replace('.', '/')}.py") for page, text in pages.items() for m in module.findall(text)}
    assert len(named) > 50
    assert {(page, path) for page, path in named if "NAME" not in path and not (ROOT / path).exists()} == set()


@needs_weights
@pytest.mark.parametrize("page", RUN)
def test_python_of_the_pages_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffcodec.models import registry

    pytest.importorskip(NEEDS.get(page, "diffcodec"), reason=f"{page} needs {NEEDS.get(page)}")
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    blocks = BLOCK.findall(text_of(f"docs/{page}"))
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@needs_weights
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step in its order, but on a part of the photograph, which takes seconds."""
    from PIL import Image

    data = pytest.importorskip("skimage.data")
    whole = data.astronaut()
    monkeypatch.setattr(data, "astronaut", lambda: whole[60:156, 180:276])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.chdir(tmp_path)
    tutorial = tool("make_tutorial")
    face = "(96, 0, 352, 256)"
    assert sum(face in text for _, text in tutorial.steps()) == 1
    for kind, text in tutorial.steps():
        tutorial.run(kind, text.replace(face, "(16, 16, 80, 80)"))
    assert (tmp_path / "out" / "astronaut.png").is_file() and not (tmp_path / "out" / "back.png").exists()
    assert (tmp_path / "small.dfc").stat().st_size <= 64 * 64 * 0.25 / 8


@needs_weights
def test_the_provider_of_the_page_takes_thirty_lines_and_is_worth_them() -> None:
    """Far better than a model that knows only how much pixels vary."""
    import numpy as np

    from diffcodec import decode, encode
    from diffcodec.models.gaussian import WhitePictures

    block = BLOCK.findall(text_of("docs/howto/provider.md"))[0]
    assert len([line for line in block.split("\n") if line.strip()]) <= 30
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "provider", "exec"), names)
    picture = names["picture"]

    def error(model: Any) -> float:
        stream = encode(picture, "diffc", model, bpp=1)
        shown = decode(stream, model=model, reconstruction="mean")
        return float(np.square(shown.astype(float) - picture).mean())

    assert error(names["model"]) < error(WhitePictures()) / 4


def test_the_page_of_the_command_line_is_up_to_date() -> None:
    module = tool("make_cli_doc")
    assert module.PATH.read_text(encoding="utf-8") == module.text(), "run python -m tools.make_cli_doc"


def test_readme_is_short_shows_a_picture_first_and_promises_what_is_written() -> None:
    readme = text_of("README.md")
    assert len(readme.encode()) < 6000
    assert 0 < readme.index("![") < readme.index("```")
    newest = re.search(r"version (1\.\d+)", text_of("bitstream_spec/SPEC.md"))[1]  # type: ignore[index]
    assert f"1.0 to {newest}" in readme and f"| {newest} |" in text_of("docs/compatibility.md")


@needs_weights
def test_the_readme_promises_what_the_encoder_writes() -> None:
    """The smallest golden file of each version is encoded anew and says that version: from the first to the last."""
    import diffcodec

    newest: dict[str, dict[str, Any]] = {}
    for table in sorted((ROOT / "tests" / "golden").glob("*/golden.json")):
        newest |= json.loads(table.read_text())
    least: dict[str, tuple[int, str]] = {}
    for name, row in newest.items():
        if name.endswith(".dfc"):
            least[row["format"]] = min(least.get(row["format"], (10**9, "")), (row["bytes"], name))
    written = set()
    for _, name in least.values():
        recipe = RECIPES[name]
        written.add(diffcodec.inspect(recipe.encode(recipe.inputs()))["format"])
    promised = re.search(r"encoder writes (1\.\d+) to (1\.\d+)", text_of("README.md"))
    assert promised is not None and promised[1] == "1.0"
    assert written == {f"1.{minor}" for minor in range(int(promised[2].partition(".")[2]) + 1)}


def test_the_architecture_names_every_folder_of_the_package() -> None:
    page = text_of("docs/architecture.md")
    folders = [path.name for path in (ROOT / "diffcodec").iterdir() if (path / "__init__.py").is_file()]
    assert folders and [name for name in folders if f"  {name}/ " not in page] == []


def test_the_reference_has_every_public_name() -> None:
    import diffcodec

    page = text_of("docs/reference/api.md")
    told = {*vars(diffcodec.runtime.errors), "__version__"}
    names = [name for name in diffcodec.__all__ if name not in told]
    assert "::: diffcodec.runtime.errors\n" in page
    assert [name for name in names if f"::: diffcodec.{name}\n" not in page] == []


def test_every_script_of_benchmarks_has_a_row() -> None:
    table = text_of("benchmarks/README.md")
    folders = ("suites", "claims", "cost", "studies", "peers")
    scripts = [path for folder in folders for path in sorted((ROOT / "benchmarks" / folder).glob("*.py"))]
    named = {p: (p.relative_to(ROOT).as_posix(), f"benchmarks.{p.parent.name}.{p.stem}") for p in scripts}
    assert len(scripts) > 30
    assert [path for path, names in named.items() if not any(name in table for name in names)] == []
    others = {path.relative_to(ROOT / "benchmarks").as_posix() for path in (ROOT / "benchmarks").rglob("*.py")}
    assert others - {f"{path.parent.name}/{path.name}" for path in scripts} == {"__init__.py", "common.py"}


def test_results_say_where_they_come_from() -> None:
    """Each folder is a script's; each of its files is of one run that about.json tells, in words a reader can judge."""
    results = ROOT / "benchmarks" / "results"
    assert all(path.is_dir() for path in results.iterdir())
    table = text_of("benchmarks/README.md") + text_of("docs/results/models.md")
    for folder in results.iterdir():
        runs = json.loads((folder / "about.json").read_text(encoding="utf-8"))["runs"]
        told = [name for run in runs for name in run["files"]]
        assert sorted([*told, "about.json"]) == sorted(path.name for path in folder.iterdir()), folder.name
        assert any(name.endswith((".csv", ".json", ".txt")) for name in told), folder.name
        for run in runs:
            assert all(run[key] for key in ("command", "date", "commit", "machine")), folder.name
            module = re.match(r"python -m ((?:benchmarks|tools)\.[\w.]+)", run["command"])
            assert module and (ROOT / f"{module[1].replace('.', '/')}.py").is_file(), run["command"]
            assert folder.name in (module[1].split(".")[-1], "training"), run["command"]
        assert f"results/{folder.name}/" in table, folder.name


def test_rows_of_benchmarks_are_quoted_where_they_say() -> None:
    """The page of a row names the row's script."""
    lost = []
    for row in text_of("benchmarks/README.md").split("\n"):
        script = re.search(r"benchmarks(?:\.\w+)+", row)
        pages = re.findall(r"\]\(\.\./(docs/[\w/]+\.md)", row)
        if script and pages and not any(script[0] in text_of(page) for page in pages):
            lost.append((script[0], pages))
    assert not lost


def test_public_docstrings_tell_shapes_and_errors() -> None:
    lacking = [(place, lacks) for _, place, lacks in tool("check_docstrings").check() if lacks]
    assert lacking == []


def test_navigation_has_every_page() -> None:
    mkdocs = text_of("mkdocs.yml")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f" {page}\n" not in mkdocs] == []


def test_docstrings_become_lists() -> None:
    """Parameters as they stand in docstrings: an item each, lines that go on with it."""
    listed = tool("docs_site").listed
    assert listed("Code.\n\na, b: one\n    thing.\nRaises X: no.\n\nEnd: of it all, he\nsaid.") == (
        "Code.\n\n- `a, b`: one\n  thing.\n\nRaises X: no.\n\n- `End`: of it all, he\n\nsaid."
    )


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")
def test_site_builds(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    assert (tmp_path / "site" / "bitstream_spec" / "SPEC.html").is_file()
