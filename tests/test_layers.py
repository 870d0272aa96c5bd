"""Imports point one way: cli -> api -> codecs -> {models, channel, entropy, diffusion}; api -> stream -> bitstream.

The files are parsed, not imported: imports inside functions and under TYPE_CHECKING count as well. import-linter 2.17,
tried in place of this walk, sees those too, but not the modules that `importlib` is given as strings, and does not tell
what is imported at the start from what is imported where it is needed; nor does it count.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "diffcodec"
#: folders beside the package that are parts too
BESIDE = ("benchmarks", "bitstream_spec", "tools")
#: at most: parts, modules at the package's root, arrows between parts (80 is what the design wants)
PARTS, AT_ROOT, ARROWS = 22, 10, 80
#: part -> parts it may import; a folder's modules may import one another
ALLOWED: dict[str, set[str]] = {
    "runtime": set(),
    "entropy": {"runtime"},
    "diffusion": {"runtime"},
    "channel": {"entropy", "runtime"},  # Zipf-coded indices
    "bitstream": {"runtime"},
    "media": {"runtime"},  # limits of sizes
    "files": {"media", "runtime"},
    "models": {"diffusion", "entropy", "runtime"},
    "testing": {"codecs", "models", "entropy", "runtime"},
    "codecs": {"models", "channel", "entropy", "diffusion", "runtime"},
    "stream": {"codecs", "models", "media", "bitstream", "runtime"},
    "api": {"stream", "models", "media", "runtime"},
    "archive": {"stream", "models", "codecs", "files", "media", "bitstream", "runtime"},
    "pillow": {"api", "stream", "files", "media", "runtime"},
    "bench": {"api", "stream", "archive", "files", "runtime"},
    "cli": {"api", "archive", "bench", "files", "media", "runtime"},
    "__init__": {"api", "archive", "runtime"},
    "__main__": {"cli"},
}
HEAVY = {"torch", "numba", "numpy", "PIL", "scipy", "constriction", "safetensors", "rich.console", "rich.progress"}


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Dotted names of what the nodes import; `from a import b` gives a.b, which may be a name in a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            yield from (".".join([*module, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            name = ast.unparse(node.args[0]).strip("f'\"")
            yield name.replace("{__package__}", ".".join(package)).replace("{__name__}", ".".join(package))


def imported(path: Path, source: str | None = None) -> set[str]:
    """Layers of diffcodec that a module imports."""
    tree = ast.parse(path.read_text(encoding="utf-8") if source is None else source)
    found = set()
    for name in modules(tree, ["diffcodec", *path.relative_to(PACKAGE).parts[:-1]]):
        first, *rest = name.split(".")
        if first == "diffcodec":
            target = rest[0] if rest else "__init__"
            known = (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()
            found.add(target if known else "__init__")
    return found


def arrows() -> dict[str, set[str]]:
    """Part -> parts that its files import, of the package and what stands beside it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in files():
        found[layer(path)] |= imported(path) - {layer(path)}
    for folder in BESIDE:
        for path in (ROOT / folder).rglob("*.py"):
            for name in modules(ast.parse(path.read_text(encoding="utf-8")), list(path.relative_to(ROOT).parts[:-1])):
                first, *rest = name.split(".")
                part = "bitstream_spec" if first in ("dfc_decoder", "reader") else first
                if part == "diffcodec":
                    known = rest and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
                    found[folder].add(rest[0] if known else "__init__")
                elif part in BESIDE and part != folder:
                    found[folder].add(part)
    return found


def files(*layers: str) -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if not layers or layer(path) in layers]


def external(path: Path, *, top_level: bool = False) -> set[str]:
    """Packages a file imports from outside, by first name and as dotted; with ``top_level`` those that come at once."""
    tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    if top_level:
        tree = ast.Module([node for node in ast.parse(path.read_text()).body if isinstance(node, RUNS_AT_ONCE)], [])
    names = {name for name in modules(tree, ["diffcodec"]) if not name.startswith("diffcodec")}
    return names | {name.split(".")[0] for name in names} | {".".join(name.split(".")[:2]) for name in names}


RUNS_AT_ONCE = (ast.Import, ast.ImportFrom, ast.Try, ast.With)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    own = layer(path)
    assert own in ALLOWED, f"new layer {own}: say here what it may import"
    assert imported(path) - {own} <= ALLOWED[own]


def test_parts_and_arrows_are_few() -> None:
    found = arrows()
    assert len({layer(path) for path in files()} | {*BESIDE}) <= PARTS
    assert len(list(PACKAGE.glob("*.py"))) <= AT_ROOT
    assert sum(map(len, found.values())) <= ARROWS, {part: sorted(to) for part, to in found.items()}


def private(path: Path) -> list[str]:
    """Names with an underscore in front that a module imports from another."""
    names = modules(ast.parse(path.read_text(encoding="utf-8")), ["diffcodec", *path.relative_to(PACKAGE).parts[:-1]])
    last = (name.split(".")[-1] for name in names if name.startswith("diffcodec."))
    return [name for name in last if name.startswith("_") and not name.endswith("__")]


def test_private_names_stay_at_home() -> None:
    """Of attributes ruff sees it (SLF), of imports nobody."""
    assert {str(path.relative_to(PACKAGE)): names for path in files() if (names := private(path))} == {}


def test_no_arrow_leads_back() -> None:
    """The table itself: following arrows never returns to where it began."""

    def reach(start: str, seen: frozenset[str] = frozenset()) -> set[str]:
        step = ALLOWED[start] - {"__init__"} - seen
        return step.union(*(reach(name, seen | step) for name in step)) if step else set()

    for name in ALLOWED:
        assert name not in reach(name), name
    assert reach("cli") >= {"api", "codecs", "models", "bitstream"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from .. import api", {"api"}),
        ("def f():\n    from ..codecs.ardm import encode", {"codecs"}),
        ("import diffcodec.cli.main", {"cli"}),
        ("from diffcodec import decode", {"__init__"}),
        ("import importlib\nimportlib.import_module(f'{__package__}.provider')", {"models"}),
        ("import numpy", set()),
    ],
)
def test_the_walk_sees(source: str, found: set[str]) -> None:
    assert imported(PACKAGE / "models" / "registry.py", source) == found


def test_entropy_channel_and_bitstream_know_no_torch() -> None:
    for path in files("entropy", "channel", "bitstream"):
        assert "torch" not in external(path), path
    for path in [*files("bitstream"), PACKAGE / "runtime" / "errors.py", PACKAGE / "media" / "modes.py"]:
        assert not external(path) & HEAVY, path


def test_nothing_heavy_is_imported_at_the_start() -> None:
    """Cold start: --help and info import these files and no more."""
    at_start = files("__init__", "api", "bitstream")
    light = [
        "media/modes.py",
        "media/medium.py",
        "media/table.py",
        *(f"cli/{path.name}" for path in (PACKAGE / "cli").glob("*.py") if path.stem not in ("demo", "peers", "sheet")),
        *(f"archive/{name}.py" for name in ("coding", "listing", "many", "memory", "names", "reading")),
        *(f"archive/{name}.py" for name in ("walking", "workers")),
    ]
    light += ["runtime/atomic.py"]
    light += [f"models/{name}.py" for name in ("bundled", "registry", "protocols", "denoiser")]
    light += [f"models/{name}.py" for name in ("completion", "architectures")]
    light += [f"media/rows/{path.name}" for path in (PACKAGE / "media" / "rows").glob("*.py")]
    for path in [*at_start, *(PACKAGE / name for name in light)]:
        assert not external(path, top_level=True) & HEAVY, path


def test_only_entropy_touches_constriction() -> None:
    assert {layer(path) for path in files() if "constriction" in external(path)} == {"entropy"}


OTHERS = ("media.rows.clip", "media.rows.tracks", "models.registry", "models.protocols")
#: what a command does without: parts and modules of the package
STARTS = {
    "encode --help": ["archive", "bitstream", "codecs", "files", "media", "models", "stream", "cli.showing"],
    "info x.dfc": ["archive", "files", *OTHERS, "models.condition", "stream.decode", "stream.given", "bitstream.given"],
    "list x.dfca": [*OTHERS, "archive.memory", "archive.workers", "files", "models.condition", "stream.encode"],
}


@pytest.mark.parametrize("line", STARTS)
def test_a_command_imports_little(line: str, tmp_path: Path) -> None:
    """What it takes to start is what it imports: a hundred modules of the package take longer than Python itself."""
    import diffcodec

    picture = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    (tmp_path / "x.dfc").write_bytes(diffcodec.encode(picture, "ardm", "cifar10-ardm"))
    (tmp_path / "x.dfca").write_bytes(diffcodec.encode_archive([picture, picture[..., 0]], "cifar10-ardm"))
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n" + (
        "from diffcodec.cli.main import main; main(sys.argv[1:])"
    )
    process = [sys.executable, "-c", code, *line.split()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(process, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "diffcodec.cli.main" in loaded and done.stdout
    there = {f"diffcodec.{name}" for name in STARTS[line]} & loaded
    assert not there, there
    assert not {"numpy", "torch", "PIL", "numba"} & loaded


def test_garbage_is_collected_from_where_a_command_begins() -> None:
    code = "import atexit, gc, sys; sys.argv = ['diffcodec', *sys.argv[1:]]; from diffcodec.cli.main import main\n"
    code += "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 0, file=sys.stderr)); main()"
    process = [sys.executable, "-c", code, "models"]
    done = subprocess.run(process, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.split()[-2:] == ["True", "True"]


def test_names_that_come_when_they_are_asked_for() -> None:
    import diffcodec

    assert diffcodec.api.decode_signal is diffcodec.decode_signal
    told = {name for names in diffcodec._HOMES.values() for name in names}
    assert {*diffcodec.__all__} - {"__version__"} == told
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = diffcodec.nothing_like_it
    with pytest.raises(AttributeError, match=r"diffcodec\.api.*nothing_like_it"):
        _ = diffcodec.api.nothing_like_it
