"""The command on odd machines: closed streams, terminals of ASCII, names that are no text, installs that are read-only.

Each in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_weights
from PIL import Image

import diffcodec
from diffcodec.channel import noise


def process(*argv: object, environment: dict[str, str] | None = None, closed: str = "", **options: object) -> tuple:
    """(status, standard output, standard error) of `python -m diffcodec`; ``closed``: by the shell, such as ">&-"."""
    command = 'exec "$0" -m diffcodec "$@" ' + closed
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, *map(os.fsencode, map(str, argv))],
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(Path(diffcodec.__file__).parents[1]), **(environment or {})},
        **options,  # type: ignore[call-overload]
    )
    return done.returncode, done.stdout, done.stderr.decode(errors="surrogateescape")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture and its stream that need no network: one colour, by the context coder."""
    folder = tmp_path_factory.mktemp("real")
    Image.fromarray(np.full((5, 4), 9, np.uint8)).save(folder / "photo.png")
    assert process("encode", folder / "photo.png", folder / "photo.dfc")[:2] == (0, b"")
    return folder


@pytest.mark.parametrize(
    ("argv", "closed", "status", "said"),
    [
        (("encode", "photo.png", "x.dfc"), ">&-", 0, "bytes out"),
        (("encode", "photo.png", "x.dfc"), "2>&-", 0, ""),
        (("encode", "photo.png", "x.dfc"), "0<&-", 0, "bytes out"),
        (("encode", "photo.png", "x.dfc"), "0<&- >&- 2>&-", 0, ""),
        (("encode", "photo.png", "-"), ">&-", 1, "standard output: it is closed"),
        (("encode", "-", "x.dfc"), "0<&-", 1, "standard input: it is closed"),
        (("encode", "photo.png", "-"), "2>&-", 0, ""),
        (("encode", "missing.png", "x.dfc"), "2>&-", 1, ""),
        (("info", "photo.dfc"), ">&-", 1, "standard output: it is closed"),
        (("info", "photo.dfc", "--json"), ">&-", 1, "standard output: it is closed"),
        (("info", "photo.dfc"), ">/dev/full", 1, "No space left"),
        (("info", "photo.dfc"), "2>&-", 0, ""),
        (("info", "missing.dfc"), "2>/dev/full", 1, ""),
        (("decode", "photo.dfc", "x.png"), "2>/dev/full", 0, ""),
    ],
)
def test_closed_standard_streams(
    real: Path, tmp_path: Path, argv: tuple[str, ...], closed: str, status: int, said: str
) -> None:
    """The right status, one line where there is a place for it, nothing of one stream in another or in a file."""
    for name in ("photo.png", "photo.dfc"):
        (tmp_path / name).write_bytes((real / name).read_bytes())
    code, out, err = process(*argv, closed=closed, cwd=tmp_path)
    assert code == status and "Traceback" not in err and err.count("\n") == bool(said), err
    assert said in err
    if (tmp_path / "x.dfc").exists():
        assert (diffcodec.decode(tmp_path / "x.dfc") == 9).all() and status == 0
    if argv[2:] == ("-",) and status == 0:
        assert (diffcodec.decode(out) == 9).all()


def test_reader_of_both_streams_that_goes_away(real: Path, tmp_path: Path) -> None:
    """The file is there, so the status is 0: nobody wanted the summary."""
    code, _, _ = process("encode", real / "photo.png", tmp_path / "x.dfc", closed="2> >(exec 0<&-; sleep 5)")
    assert code == 0 and (tmp_path / "x.dfc").exists()


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "ascii:strict"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}],
)
def test_terminals_of_ascii(real: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    name = "Straße 写真.dfc"
    code, out, err = process("encode", real / "photo.png", tmp_path / name, environment=environment)
    assert (code, out) == (0, b"") and err.isascii() and "bytes out" in err and err.count("\n") == 1
    assert (tmp_path / name).exists()
    code, _, err = process("decode", tmp_path / name, tmp_path / "ß" / "x.png", environment=environment)
    assert code == 1 and err.isascii() and err.count("\n") == 1 and err.startswith("error: ")
    assert process("--help", environment=environment)[0] == 0
    assert process("models", environment=environment)[0] == 0


def test_names_that_are_no_text(real: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m.dfc")
    try:
        (tmp_path / name).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes text only")
    code, out, err = process("encode", real / "photo.png", tmp_path / name, "--overwrite")
    assert (code, out) == (0, b"") and r"caf\xe9\x1b[31m.dfc" in err and "\x1b" not in err
    assert process("info", tmp_path / name)[0] == 0
    code, _, err = process("info", tmp_path / (name + "x"))
    assert code == 1 and r"caf\xe9\x1b[31m.dfcx" in err and err.count("\n") == 1
    for argv in (("info", "a", name), (name,), ("encode", "--" + name), ("encode", "a", "b", "--codec", name)):
        code, _, err = process(*argv)
        assert code == 2 and "\x1b" not in err and "Traceback" not in err, err


FORKED = """
import os
import numpy as np, torch, diffcodec
torch.set_num_threads(2)
y, x = np.mgrid[0:24, 0:28]
photo = (120 + 60 * np.sin(y / 7) * np.cos(x / 9) + np.random.default_rng(1).integers(-9, 10, (3, 24, 28))).astype("u1")
photo = np.ascontiguousarray(photo.transpose(1, 2, 0))
whole, lossy = diffcodec.encode(photo, device="cpu"), diffcodec.encode(photo, "diffc", max_bytes=200, device="cpu")
torch.randn(600, 600) @ torch.randn(600, 600)
if not (child := os.fork()):
    right = (diffcodec.decode(whole, device="cpu") == photo).all() and diffcodec.encode(photo, device="cpu") == whole
    diffcodec.decode(lossy, device="cpu")
    os._exit(0 if right else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@needs_weights
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_after_use_works() -> None:
    """The parent's pools and OpenMP's threads are not in the child: it goes on alone, and does not wait for them."""
    environment = {**os.environ, "PYTHONPATH": str(Path(diffcodec.__file__).parents[1]), "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_an_install_that_nothing_can_be_written_to(tmp_path: Path) -> None:
    """No folder for numba's cache beside the sources, none in a home: kernels are compiled anew, which is said."""
    package = Path(diffcodec.__file__).parent
    copied = tmp_path / "lib" / "diffcodec"
    shutil.copytree(package, copied, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for folder in {path.parent for path in copied.rglob("*.py")}:
        (folder / "__pycache__").write_bytes(b"")  # which not even root can write into
    hidden = {"HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "LOCALAPPDATA"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment |= {"PYTHONPATH": str(copied.parent), "HOME": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
    code = (
        "import diffcodec; from diffcodec.channel import noise\n"
        "from diffcodec.codecs import ardm, diffc\n"
        "print(noise.normals(noise.Key(1, 2, 3), 4).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(noise.normals(noise.Key(1, 2, 3), 4).tolist())
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1


def test_a_kernel_kept_on_disk_is_of_today(tmp_path: Path) -> None:
    """Also where what changed is a constant or a kernel of another file, which numba itself does not look at."""
    environment = {**os.environ, "PYTHONPATH": str(Path(diffcodec.__file__).parents[1])}
    environment |= {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    (tmp_path / "outer.py").write_text(
        "from diffcodec.runtime.kernels import kernel\nfrom inner import FACTOR, one\n"
        "@kernel\ndef two(x):\n    return FACTOR * one(x)\n"
    )

    def found(factor: int, added: int) -> str:
        (tmp_path / "inner.py").write_text(
            "from diffcodec.runtime.kernels import woven\n"
            f"FACTOR = {factor}\n@woven\ndef one(x):\n    return x + {added}\n"
        )
        code = "import outer; print(outer.two(1), sum(outer.two.stats.cache_hits.values()))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert found(1, 1) == "2 0" and found(1, 1) == "2 1"
    assert found(1, 2) == "3 0" and found(5, 2) == "15 0" and found(5, 2) == "15 1"
