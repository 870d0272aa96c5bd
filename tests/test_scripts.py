"""Scripts of benchmarks/ and tools/: each can be imported with what the package is today."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("benchmarks", "tools")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="benchmarks/ and tools/ are not part of this distribution")


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_can_be_imported(name: str) -> None:
    """A script that is run by hand, and seldom, is not left behind when a name moves."""
    if ".bench_" in name:
        pytest.importorskip("pytest_benchmark")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in ("diffcodec", "benchmarks", "tools"):
            raise
        pytest.skip(f"needs {error.name}")
