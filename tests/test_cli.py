"""The command: what it writes, prints and returns, and that a failure leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffcodec
from diffcodec import api, cli, demo, files, output, png16

Run = Callable[..., tuple[int, bytes, str]]
pytestmark = pytest.mark.usefixtures("fake_codec")
ARRAY = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(ARRAY).save(path)
    return path


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.dfc"
    path.write_bytes(diffcodec.encode(ARRAY))
    return path


def failed(result: tuple[int, bytes, str], *words: str) -> None:
    """Status 1, nothing on standard output, one line on standard error with these words in it."""
    code, out, err = result
    assert (code, out) == (1, b"") and err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


def test_encode_info_decode(run: Run, photo: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "x.dfc", tmp_path / "back.png"
    code, stdout, stderr = run("encode", photo, out)
    assert (code, stdout) == (0, b"") and f"{out.stat().st_size} bytes" in stderr
    code, stdout, _ = run("info", out)
    assert code == 0 and b"RGB" in stdout and b"fake" in stdout
    assert run("decode", out, back)[0] == 0
    assert np.array_equal(np.asarray(Image.open(back)), ARRAY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back.png", "photo.png", "x.dfc"]


def test_json(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.dfc"
    code, stdout, stderr = run("encode", photo, out, "--json", "--seed", 3)
    found = json.loads(stdout)
    size = out.stat().st_size
    assert code == 0 and stderr == ""
    assert found["bytes"] == size and found["bpp"] == 8 * size / 600 and found["bpd"] == 8 * size / 1800
    assert (found["codec"], found["model"], found["device"]) == ("ardm", "fake", "cpu") and found["seconds"] >= 0
    code, stdout, _ = run("decode", out, tmp_path / "x.png", "--json")
    found = json.loads(stdout)
    assert (found["width"], found["height"], found["complete"]) == (30, 20, True) and found["bytes"] == size
    found = json.loads(run("info", out, "--json")[1])
    assert found["seed"] == 3 and sum(p["bytes"] for p in found["passes"]) < size
    assert found == api.inspect(out)
    assert "models" in json.loads(run("models", "--json")[1])


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.webp", "x.bmp", "x.ppm", "x.npy"])
def test_output_formats(run: Run, stream: Path, tmp_path: Path, name: str) -> None:
    assert run("decode", stream, tmp_path / name)[0] == 0
    assert np.array_equal(files.read(tmp_path / name).samples, ARRAY)


def test_16_bit_colour(run: Run, tmp_path: Path) -> None:
    samples = np.random.default_rng(2).integers(0, 65536, (9, 8, 3), dtype=np.uint16)
    (tmp_path / "wide.png").write_bytes(png16.write(samples))
    assert run("encode", tmp_path / "wide.png", tmp_path / "x.dfc")[0] == 0
    assert run("decode", tmp_path / "x.dfc", tmp_path / "y.png")[0] == 0
    assert np.array_equal(png16.read((tmp_path / "y.png").read_bytes()), samples)


def test_previews(run: Run, stream: Path, tmp_path: Path) -> None:
    first = diffcodec.inspect(stream)["passes"][0]["end"]
    code, _, err = run("decode", stream, tmp_path / "p.png", "--upto-bytes", first)
    assert code == 0 and "preview" in err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "p.png"))[::4, ::4], ARRAY[::4, ::4])
    (tmp_path / "cut.dfc").write_bytes(stream.read_bytes()[:first])
    assert run("decode", tmp_path / "cut.dfc", tmp_path / "q.png", "--upto-bytes", 10**6)[0] == 0
    failed(run("decode", tmp_path / "cut.dfc", tmp_path / "r.png"), "fetch the whole file")
    failed(run("decode", stream, tmp_path / "r.png", "--upto-bytes", 3), "3 bytes")
    failed(run("info", tmp_path / "cut.dfc"))
    assert not (tmp_path / "r.png").exists()


def test_first_frame_warns_in_one_line(run: Run, tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (1, 2, 3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    code, _, err = run("encode", tmp_path / "a.gif", tmp_path / "a.dfc", "--json")
    assert code == 0 and err == "warning: the file has 3 frames; only the first is coded\n"


# ---- standard input and output


def test_pipes(photo: Path, stream: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    feed(photo.read_bytes())
    code, data, _ = run("encode", "-", "-")
    assert code == 0 and np.array_equal(diffcodec.decode(data), ARRAY)
    feed(data)
    code, png, _ = run("decode", "-", "-")
    assert code == 0 and np.array_equal(files.read(png).samples, ARRAY)
    feed(data)
    assert json.loads(run("info", "-", "--json")[1])["width"] == 30
    assert run("encode", photo, "-", "--json")[0] == 2


def test_reader_that_goes_away(stream: Path) -> None:
    code = "from diffcodec.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "info", str(stream)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1
    process.stderr.close()


# ---- failures: status 1, one line, nothing written


def test_existing_output_is_refused_before_the_work(run: Run, photo: Path, stream: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "encode", lambda *a, **k: pytest.fail("worked"))
        patch.setattr(api, "decode_picture", lambda *a, **k: pytest.fail("worked"))
        before = stream.read_bytes()
        failed(run("encode", photo, stream), "exists already", "--overwrite")
        failed(run("decode", stream, photo), "exists already")
        assert stream.read_bytes() == before
    assert run("encode", photo, stream, "--overwrite")[0] == 0


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_paths_that_cannot_be_used(run: Run, photo: Path, stream: Path, tmp_path: Path, command: str) -> None:
    source = photo if command == "encode" else stream
    target = "new.dfc" if command == "encode" else "new.png"
    before = sorted(tmp_path.iterdir())
    failed(run(command, tmp_path / "missing", tmp_path / target), "missing", "No such file")
    failed(run(command, tmp_path, tmp_path / target), "directory")
    failed(run(command, source, tmp_path / "no" / target), "no directory")
    failed(run(command, source, photo / target), "no directory")
    failed(run(command, source, tmp_path), "directory")
    failed(run(command, source, tmp_path, "--overwrite"), "directory")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_permissions(run: Run, photo: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    failed(run("encode", photo, locked / "x.dfc"), "no permission")
    photo.chmod(0)
    failed(run("encode", photo, tmp_path / "x.dfc"), "Permission denied")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_not_a_picture(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    failed(run("encode", tmp_path / "x.png", tmp_path / "x.dfc"))
    failed(run("decode", tmp_path / "x.png", tmp_path / "y.png"))
    failed(run("info", tmp_path / "x.png"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_damaged_stream(run: Run, stream: Path, tmp_path: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 16
    stream.write_bytes(data)
    failed(run("decode", stream, tmp_path / "y.png"), "damaged")
    failed(run("decode", stream, tmp_path / "y.png", "--json"), "damaged")
    assert not (tmp_path / "y.png").exists()


def test_options_that_cannot_be_met(run: Run, photo: Path, stream: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.dfc"
    failed(run("encode", photo, out, "--bpp", 0.01), "asked for", "at least")
    failed(run("encode", photo, out, "--codec", "vdm"), "diffcodec pack")
    failed(run("encode", photo, out, "--codec", "ardm", "--psnr", 30), "lossless")
    failed(run("encode", photo, out, "--codec", "ardm", "--max-bytes", 9), "max_bytes")
    failed(run("encode", photo, out, "--model", "nothing"), "no model")
    failed(run("decode", stream, tmp_path / "x.jpg"), ".jpg", "lossless")
    failed(run("decode", stream, tmp_path / "y.png", "--max-pixels", 599), "599")
    assert not out.exists()


def test_format_that_cannot_hold_the_pixels_is_refused_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.dfc").write_bytes(diffcodec.encode(np.zeros((4, 4), np.float32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "decode_picture", lambda *a, **k: pytest.fail("worked"))
        failed(run("decode", tmp_path / "x.dfc", tmp_path / "x.png"), "PNG cannot hold F", "TIFF")
    assert run("decode", tmp_path / "x.dfc", tmp_path / "x.tiff")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("encode",),
        ("encode", "a"),
        ("nonsense",),
        ("info",),
        ("info", "a", "b"),
        ("decode", "a", "b", "--device", "tpu"),
    ]
    + [("encode", "a", "b", "--codec", "jpeg"), ("encode", "a", "b", "--bpp", "1", "--psnr", "3")]
    + [("decode", "a", "b", "--upto-bytes", "0")],
)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2 and "Traceback" not in err


def test_help_and_version(run: Run) -> None:
    assert run("--version")[1].decode().strip() == diffcodec.__version__
    for command in ("encode", "decode", "info", "models", "demo"):
        code, out, _ = run(command, "--help")
        assert code == 0 and b"Usage: diffcodec" in out


def test_interrupt_leaves_nothing(run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", stop)
    assert run("encode", photo, tmp_path / "x.dfc")[0] == 130
    assert sorted(tmp_path.iterdir()) == before


def test_interrupt_of_a_process(photo: Path, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from diffcodec import api, cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a job in the background ignores
        "api.encode = lambda *a, **k: (print('started', flush=True), time.sleep(60))\n"
        "cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "encode", str(photo), str(tmp_path / "x.dfc")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and b"Traceback" not in err
    assert not (tmp_path / "x.dfc").exists()


def test_full_disk(run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    failed(run("encode", photo, tmp_path / "x.dfc"), "No space left")
    assert sorted(tmp_path.iterdir()) == before


# ---- output files


def test_output_keeps_links_and_permissions(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    output.write(str(link), b"new", overwrite=True)
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        output.write(str(tmp_path / "fresh"), b"", overwrite=False)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_devices_are_written_to_not_replaced(run: Run, photo: Path) -> None:
    assert run("encode", photo, os.devnull)[0] == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


# ---- demo


def test_demo(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo"
    code, stdout, _ = run("demo", "--image", photo, "--out", out, "--json")
    result = json.loads(stdout)
    assert code == 0 and result["identical"] and result["bytes"] == (out / "photo.dfc").stat().st_size
    assert np.array_equal(np.asarray(Image.open(out / "photo.png")), ARRAY)
    assert len(result["previews"]) == 2 and Image.open(out / "previews.png").width > 500
    assert result["png_bytes"] > 0 and result["webp_bytes"] > 0
    code, stdout, _ = run("demo", "--image", photo, "--out", out)
    assert code == 0 and b"identical to the original" in stdout


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "RGB;16"])
def test_demo_of_other_modes(tmp_path: Path, mode: str) -> None:
    info = {"L": (np.uint8, ()), "RGBA": (np.uint8, (4,)), "I;16": (np.uint16, ()), "RGB;16": (np.uint16, (3,))}
    dtype, channels = info[mode]
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(1).integers(0, 255, (9, 12, *channels)).astype(dtype))
    assert demo.run(str(tmp_path / "out"), str(path))["identical"]


def test_demo_without_scikit_image(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    failed(run("demo", "--out", tmp_path / "d"), "pip install", "--image")
    assert not (tmp_path / "d").exists()


def test_line_makes_one_line() -> None:
    assert cli._line("a\n  b") == "a b"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_wait_for_the_first_progress_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class AtOnce(threading.Timer):
        def start(self) -> None:
            self.function()

    monkeypatch.setattr(threading, "Timer", AtOnce)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with cli._progress("encoding") as progress:
        assert progress is not None
        while "compiles" not in terminal.getvalue():  # drawn ten times a second
            time.sleep(0.05)
        progress(0.5)
    first, _, later = terminal.getvalue().rpartition("a first run compiles")
    assert first and "50 %" in later
