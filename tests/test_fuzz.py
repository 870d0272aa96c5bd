"""A minute of tools/fuzz.py, its crashers of earlier runs, and flips and cuts of golden streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import needs_weights

ROOT = Path(__file__).parents[1]
CRASHERS = sorted((Path(__file__).parent / "fuzz" / "crashers").glob("*.dfc*"))
pytestmark = [
    needs_weights,
    pytest.mark.skipif(not (ROOT / "tools").is_dir(), reason="tools/ is not part of this distribution"),
    pytest.mark.skipif(sys.platform == "win32", reason="alarms"),
]


def tool(name: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"tools.{name}", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )


def test_mended_inputs() -> None:
    """No foreign exception, no hang, no growth, whatever was changed; and the inputs do reach the decoders."""
    done = tool("fuzz", "--inputs", "12000", "--first", "7000000", "--seconds", "90")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split(maxsplit=1)[::-1] for line in done.stdout.splitlines() if ": " in line)
    for outcome in (
        "decode: CorruptStream",
        "decode: DecodeMismatch",
        "decode: decoded",
        "decode_archive: CorruptStream",
    ):
        assert int(counts[outcome]) > 0, done.stdout


def test_kernels() -> None:
    done = tool("fuzz", "--kernels", "--inputs", "4000", "--first", "5000000")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not CRASHERS, reason="there are none")
def test_crashers() -> None:
    done = tool("fuzz", "--replay", *map(str, CRASHERS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_flips_and_cuts() -> None:
    """Every byte of some streams in turn: nothing that was damaged decodes to anything else without an error."""
    done = tool("flips", "--each", "60", "--first", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 silently wrong" in done.stdout
