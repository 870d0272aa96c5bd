"""Every import of the package is of something that pyproject.toml declares: by default, or behind an extra."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "diffcodec"
#: distributions whose modules have other names
NAMES = {
    "google-crc32c": {"google_crc32c"},
    "pillow": {"PIL"},
    "pypng": {"png"},
    "scikit-image": {"skimage"},
    "pillow-jxl-plugin": {"pillow_jxl"},
    "pillow-heif": {"pillow_heif"},
}
#: files that only an extra's users reach; everything else may ask for one too, but inside a function and a try
OF_EXTRA = {"bench/": ("bench",), "archive/zarr_codec": ("zarr",), "archive/numcodecs_codec": ("zarr",)}
OFFERED = {"bench/report.py": {"pyarrow"}}  #: used where it happens to be there, and never asked for

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")


def declared() -> dict[str, set[str]]:
    """Modules by extra; those of the default install under ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    out: dict[str, set[str]] = {}
    for extra, requirements in lists.items():
        names = {re.split(r"[<>=!~; \[]", requirement, maxsplit=1)[0].lower() for requirement in requirements}
        out[extra] = set().union(*(NAMES.get(name, {name.replace("-", "_")}) for name in names))
    return out


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(first name of a module from outside, whether it comes inside a function) for each import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        child
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            names = [part.value for part in node.args[:1] if isinstance(part, ast.Constant)]
        for name in names:
            yield name.split(".")[0], node in inside


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_declared(path: Path) -> None:
    known = declared()
    every = set().union(*known.values())
    own = path.relative_to(PACKAGE).as_posix()
    extras = next((extras for prefix, extras in OF_EXTRA.items() if own.startswith(prefix)), ())
    at_once = set(sys.stdlib_module_names) | {"diffcodec"} | known[""].union(*(known[extra] for extra in extras))
    every |= OFFERED.get(own, set())
    for name, inside in imports(path):
        assert name in (at_once | every if inside else at_once), f"{own} imports {name}"


def test_the_walk_sees_and_the_names_are_right() -> None:
    """What the check stands on: it finds imports of every form, and no default dependency goes unused."""
    used = {name for path in FILES for name, _ in imports(path)}
    assert declared()[""] <= used
    assert "scipy" not in declared()[""]
    default = [path for path in FILES if not path.relative_to(PACKAGE).parts[0].startswith("bench")]
    assert "scipy" not in {name for path in default for name, _ in imports(path)}
