"""Imports point one way: cli -> api -> codecs -> {models, channel, entropy, diffusion}; api -> bitstream.

The files are parsed, not imported: imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "diffcodec"
#: pictures in and out: modes and files know no codec
PICTURES = {"image", "modes", "files", "png16", "output"}
LEAVES = ("bitstream", "entropy", "channel", "diffusion", "models", "errors")
#: layer -> layers it may import; everybody may import errors, and what is in its own layer
ALLOWED: dict[str, set[str]] = {
    "__init__": {"api", "archive", "files", "image", "inpainting"},
    "sources": set(),
    "inpainting": {"api", "codecs", "models"} | PICTURES,
    # the command lists models without the detour through api, which knows streams
    "cli": {"api", "archive", "packing", "bench", "demo", "models", "__init__"} | PICTURES,
    "packing": {"api", "archive", "groups", "workers", "bitstream"} | PICTURES,
    "archive": {"api", "groups", "workers", "bitstream"} | PICTURES,
    "groups": {"api", "codecs", "bitstream"} | PICTURES,
    "workers": set(),
    "bench": {"api", "archive", "bitstream", "__init__"} | PICTURES,
    "demo": {"api", "forms"} | PICTURES,
    "pillow": {"api", "bitstream"} | PICTURES,
    "api": {"forms", "codecs", "models", "bitstream", "sources"} | PICTURES,
    "forms": {"models", "bitstream"} | PICTURES,
    "codecs": {"models", "channel", "entropy", "diffusion"},
    # pictures take the size limits from the bitstream
    **{name: PICTURES | {"bitstream", "__init__"} for name in PICTURES},
    **{name: set() for name in LEAVES},
    "channel": {"entropy"},  # Zipf-coded indices
    "models": {"diffusion", "entropy"},  # alpha and sigma of an exact network; the distributions it gives
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
    assert imported(path) - {own, "errors"} <= ALLOWED[own]


def test_no_arrow_leads_back() -> None:
    """The table itself: following arrows never returns to a higher layer (pictures count as one layer)."""

    def reach(start: str, seen: frozenset[str] = frozenset()) -> set[str]:
        step = {name for name in ALLOWED[start] - {"__init__"} if name not in PICTURES or start not in PICTURES} - seen
        return step.union(*(reach(name, seen | step) for name in step)) if step else set()

    for name in ALLOWED:
        assert name not in reach(name), name
    assert reach("cli") >= {"api", "codecs", "models", "bitstream"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from .. import api", {"api"}),
        ("def f():\n    from ..codecs.ardm import encode", {"codecs"}),
        ("import diffcodec.cli", {"cli"}),
        ("from diffcodec import decode", {"__init__"}),
        ("import importlib\nimportlib.import_module(f'{__package__}.provider')", {"models"}),
        ("import numpy", set()),
    ],
)
def test_the_walk_sees(source: str, found: set[str]) -> None:
    assert imported(PACKAGE / "models" / "registry.py", source) == found


def test_entropy_channel_and_bitstream_know_no_torch() -> None:
    for path in files("entropy", "channel", "bitstream", "errors"):
        assert "torch" not in external(path), path
    for path in files("bitstream", "errors", "modes"):
        assert not external(path) & HEAVY, path


def test_nothing_heavy_is_imported_at_the_start() -> None:
    """Cold start: --help and info import these files and no more."""
    at_start = files("__init__", "api", "cli", "modes", "errors", "output", "bitstream")
    for path in [*at_start, PACKAGE / "models" / "registry.py"]:
        assert not external(path, top_level=True) & HEAVY, path


def test_only_entropy_touches_constriction() -> None:
    assert {layer(path) for path in files() if "constriction" in external(path)} == {"entropy"}
