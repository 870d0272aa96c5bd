"""The command: what it writes, prints and returns, and that a failure leaves nothing behind."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffcodec
from diffcodec import api, files
from diffcodec.archive import folder as packing
from diffcodec.bitstream import Chunk, StreamReader, given, write
from diffcodec.cli import demo
from diffcodec.files import png16
from diffcodec.models import registry
from diffcodec.runtime import atomic as output

Run = Callable[..., tuple[int, bytes, str]]
pytestmark = pytest.mark.usefixtures("fake_codec", "nothing_compiled_aside")
COMPILED_ASIDE = demo._compiled_aside
ARRAY = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def nothing_compiled_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_compiled_aside", contextlib.nullcontext)


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


def test_info_shows_what_was_given(run: Run, tmp_path: Path) -> None:
    """A line for each thing, those of a nested stream further in; a stranger's text obeys no terminal."""
    vectors = Path(__file__).parents[1] / "bitstream_spec" / "vectors" / "decodable"
    code, stdout, _ = run("info", vectors / "given_twice.dfc")
    lines = stdout.decode().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("given "))
    assert code == 0 and lines[at].split(maxsplit=1)[1].startswith("box 2: diffc, 12×10 RGB, augmentation 4096, ")
    assert lines[at + 1].startswith(" " * 19 + "box 2: ardm, 6×5 RGB") and lines[at + 2].startswith("passes")
    first, given_one, *rest = StreamReader().feed((vectors / "given_boxes.dfc").read_bytes())
    parts = [given.Text("a\x1b[2Jb\n" + "c" * 99), given.File(b"x"), given.Before(2), given.Outside(bytes(32), "depth")]
    assert given_one.type == "G"
    (tmp_path / "x.dfc").write_bytes(write([first, Chunk("G", given.write(parts)), *rest]))
    shown = run("info", tmp_path / "x.dfc")[1].decode()
    told = [line[17:] for line in shown.splitlines() if line.startswith(("given ", " " * 17))][:4]
    assert "\x1b" not in shown and [line.split()[0] for line in told] == ["text", "file,", "before:", "outside:"]
    assert len(told[0]) < 110 and "'depth', SHA-256 0000" in told[3]


def test_json(run: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.dfc"
    code, stdout, stderr = run("encode", photo, out, "--json", "--seed", 3)
    found = json.loads(stdout)
    size = out.stat().st_size
    source = photo.stat().st_size
    assert code == 0 and stderr.startswith("warning: ") == (size > source) and stderr.count("\n") <= 1
    assert (found["input_bytes"], found["output_bytes"]) == (source, size)
    assert found["ratio"] == pytest.approx(size / source, abs=1e-5)
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
    code, stdout, err = run("info", tmp_path / "cut.dfc")  # says what is there
    assert code == 1 and err.startswith("error: ") and b"RGB" in stdout and b"complete         False" in stdout
    assert not (tmp_path / "r.png").exists()


def test_first_frame_warns_in_a_line_each(run: Run, tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (1, 2, 3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    code, _, err = run("encode", tmp_path / "a.gif", tmp_path / "a.dfc", "--json", "--first")
    assert code == 0 and sorted(err.splitlines()) == [
        "warning: of this file is not kept: palettes and indices",
        "warning: the file has 3 frames; only the first is coded",
    ]


def test_frames_metadata_and_what_strips_them(run: Run, tmp_path: Path) -> None:
    frames = [Image.fromarray(ARRAY ^ np.uint8(value)) for value in (0, 1, 2)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:], dpi=(300, 300), description="words")
    code, _, err = run("encode", tmp_path / "a.tif", tmp_path / "a.dfc")
    assert code == 0 and "not kept" not in err
    found = json.loads(run("info", tmp_path / "a.dfc", "--json")[1])
    assert found["frames"] == 3 and set(found["metadata"]) == {"exif", "density"}
    assert b"metadata         exif" in run("info", tmp_path / "a.dfc")[1]
    for name in ("b.tif", "b.png", "b.webp"):
        assert run("decode", tmp_path / "a.dfc", tmp_path / name)[0] == 0
        with Image.open(tmp_path / name) as image:
            for number, frame in enumerate(frames):
                image.seek(number)
                assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(frame))
    code, _, err = run("decode", tmp_path / "a.dfc", tmp_path / "b.bmp")
    assert code == 0 and "2 further frames" in err and "Exif data" in err
    assert run("encode", tmp_path / "a.tif", tmp_path / "s.dfc", "--strip")[0] == 0
    assert json.loads(run("info", tmp_path / "s.dfc", "--json")[1])["metadata"] == {}


def test_a_jpeg_that_grows_is_told(run: Run, tmp_path: Path) -> None:
    Image.fromarray(ARRAY).save(tmp_path / "a.jpg", quality=30)
    code, _, err = run("encode", tmp_path / "a.jpg", tmp_path / "a.dfc")
    size = (tmp_path / "a.dfc").stat().st_size
    assert code == 0 and f"takes {size} bytes, the JPEG file" in err and str((tmp_path / "a.jpg").stat().st_size) in err


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
    code = "from diffcodec.cli.main import main; main()"
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
        patch.setattr(api, "decode_signal", lambda *a, **k: pytest.fail("worked"))
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
        patch.setattr(api, "decode_signal", lambda *a, **k: pytest.fail("worked"))
        failed(run("decode", tmp_path / "x.dfc", tmp_path / "x.png"), "PNG cannot hold F", "TIFF")
    assert run("decode", tmp_path / "x.dfc", tmp_path / "x.tiff")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("encode",),
        ("encode", "-"),
        ("encode", "a", "-o", "b", "--out-dir", "c"),
        ("encode", "a", "b", "--base", "1/4", "--bpp", "1", "--skip-existing"),
        ("decode", "a", "b", "c", "--conceal"),
        ("nonsense",),
        ("info",),
        ("info", "a", "b"),
        ("decode", "a", "b", "--device", "tpu"),
        ("encode", "a", "b", "--codec", "jpeg"),
        ("encode", "a", "b", "--bpp", "1", "--psnr", "3"),
        ("decode", "a", "b", "--upto-bytes", "0"),
    ],
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
    code, out, err = run("encode", photo, tmp_path / "x.dfc")
    assert (code, out) == (130, b"") and err.startswith("interrupted: nothing is written to ") and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def interrupted(monkeypatch: pytest.MonkeyPatch, module: object, name: str, after: int = 0) -> None:
    """A function is interrupted when it was called so many times."""
    real, left = getattr(module, name), [after]

    def some(*args: object, **options: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(module, name, some)


def test_interrupts_say_what_is_kept_and_how_to_go_on(
    run: Run, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "in", tmp_path / "x.dfca"
    folder.mkdir()
    for n in range(3):
        Image.fromarray(ARRAY[n:]).save(folder / f"{n}.png")
    pack = ("pack", folder, out, "--jobs", 1, "--group", 1, "--steps", 3)
    unpack = ("unpack", out, tmp_path / "back", "--jobs", 1)

    def stopped(argv: tuple[object, ...], module: object, name: str, after: int, *words: str) -> None:
        with monkeypatch.context() as patch:
            interrupted(patch, module, name, after)
            code, _, err = run(*argv)
        last = err.splitlines()[-1]
        assert code == 130 and last.startswith("interrupted: ") and all(word in last for word in words), err

    stopped(("decode", stream, tmp_path / "y.png"), api, "decode_signal", 0, "nothing is written to", "y.png")
    stopped(pack, packing, "encode_group", 0, "nothing is kept: begin again")
    assert not out.with_name("x.dfca.part").exists()
    stopped(pack, packing, "encode_group", 1, "1 finished group of 1 picture", "x.dfca.part: the same command goes on")
    stopped(pack, packing, "encode_group", 1, "2 finished groups of 2 pictures")
    code, _, err = run(*pack)
    assert code == 0 and "3 pictures" in err
    stopped(unpack, output, "write", 2, f"stays in {tmp_path / 'back'}", "--overwrite")
    assert len(list((tmp_path / "back").iterdir())) == 2
    demonstrate = ("demo", "--image", folder / "0.png", "--out", tmp_path / "d")
    stopped(demonstrate, demo, "_with_loss", 0, f"stays in {tmp_path / 'd'}")
    assert (tmp_path / "d" / "photo.dfc").is_file()


def test_interrupt_of_a_process(photo: Path, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; from diffcodec import api; from diffcodec.cli import main as cli\n"
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


# ---- sizes


def test_summaries_tell_what_went_in_and_what_came_out(run: Run, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.bmp")
    before = (tmp_path / "a.bmp").stat().st_size
    _, _, err = run("encode", tmp_path / "a.bmp", tmp_path / "a.dfc")
    after = (tmp_path / "a.dfc").stat().st_size
    assert after < before and "warning" not in err
    assert f"{before} bytes in, {after} bytes out ({100 * after / before:.1f} %)" in err
    _, _, err = run("decode", tmp_path / "a.dfc", tmp_path / "b.bmp")
    written = (tmp_path / "b.bmp").stat().st_size
    assert f"{after} bytes in, {written} bytes out ({100 * written / after:.1f} %)" in err
    (tmp_path / "in").mkdir()
    os.rename(tmp_path / "a.bmp", tmp_path / "in/a.bmp")
    code, out, err = run("pack", tmp_path / "in", tmp_path / "x.dfca", "--jobs", 1, "--steps", 3, "--json")
    found, size = json.loads(out), (tmp_path / "x.dfca").stat().st_size
    assert code == 0 and "warning" not in err
    assert (found["input_bytes"], found["output_bytes"]) == (before, size) and found["bytes"] == size
    assert found["ratio"] == pytest.approx(size / before, abs=1e-5)
    _, _, err = run("unpack", tmp_path / "x.dfca", tmp_path / "out", "--jobs", 1)
    assert f" bytes in, {written} bytes out (" in err


@pytest.mark.parametrize("rate", [(), ("--bpp", 2)])
def test_what_grows_is_told_once_it_is_written(run: Run, tmp_path: Path, rate: tuple[object, ...]) -> None:
    """Of any file, at a rate as well; of an archive."""
    (tmp_path / "in").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(118, 138, (64, 64, 3), np.uint8)).save(tmp_path / "in/a.webp")
    source = tmp_path / "in/a.webp"
    _, _, err = run("encode", source, tmp_path / "a.dfc", *rate)
    before, after = source.stat().st_size, (tmp_path / "a.dfc").stat().st_size
    assert after > before
    wanted = "a lower rate" if rate else "a rate"
    assert f"warning: the .dfc takes {after} bytes, the file that it came from {before}: keep that file" in err
    assert err.splitlines()[0].endswith(f"ask for {wanted}")
    _, _, err = run("pack", tmp_path / "in", tmp_path / "x.dfca", "--jobs", 1, "--steps", 3)
    assert "warning: the archive takes " in err and "keep these" in err


def test_models_are_a_table_and_one_is_a_card(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"codec": "ardm", "numerics": "exact", "bytes": 7, "description": "A model of pictures: in many words."}
    monkeypatch.setattr(registry, "cards", lambda: [{"name": name, **card} for name in ("photo-ardm", "other")])
    lines = run("models")[1].decode().splitlines()
    assert len(lines) == 3 and lines[0].split()[:2] == ["name", "codec"]
    assert lines[1].split() == ["photo-ardm", "ardm", "ardm", "exact", "7", "A", "model", "of", "pictures"]
    assert lines[2].split()[:4] == ["other", "ardm", "exact", "7"]
    assert "in many words" in run("models", "other")[1].decode()
    assert json.loads(run("models", "other", "--json")[1])["bytes"] == 7
    failed(run("models", "nothing"), "no model 'nothing' is bundled", "photo-ardm, other")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("diffcodec en", ["encode"]),
        ("diffcodec encode --skip", ["--skip-existing"]),
        ("diffcodec encode --model photo-a", ["photo-ardm"]),
        ("diffcodec models photo-a", ["photo-ardm"]),
    ],
)
def test_a_shell_completes(words: str, found: list[str]) -> None:
    asked = {"_DIFFCODEC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([sys.executable, "-m", "diffcodec"], capture_output=True, text=True, env=os.environ | asked)
    assert done.returncode == 0 and done.stdout.split() == found


def test_the_module_is_the_command(photo: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "diffcodec", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == diffcodec.__version__


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
    assert sorted(path.name for path in out.iterdir()) == sorted(Path(path).name for path in result["files"])


def test_the_demo_tells_each_stage_when_it_is_done(photo: Path, tmp_path: Path) -> None:
    """Not at the end: a line is told before the next stage begins."""
    Image.fromarray(np.random.default_rng(0).normal(128, 40, (90, 300, 3)).clip(0, 255).astype(np.uint8)).save(photo)
    order: list[str] = []
    real = demo.console.bar

    @contextlib.contextmanager
    def bar(what: str) -> Iterator[Callable[[float], None]]:
        order.append(f"begin {what}")
        with real(what):
            yield lambda fraction: None
        order.append(f"end {what}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo.console, "bar", bar)
        result = demo.run(str(tmp_path / "d"), str(photo), tell=lambda line: order.append(f"tell {line}"))
    kinds = [line.split()[0] for line in order]
    begun = [n for n, kind in enumerate(kinds) if kind == "begin"]
    assert len(begun) == 9 and all(kinds[n - 1] == "tell" for n in begun[1:])
    assert all(kinds[n + 1] == "end" for n in begun)
    assert any("with loss, a part of it, 256×90" in line for line in order)
    assert result["lossy"]["bytes"] <= 256 * 90 / 16 + 1
    assert (result["lossy"]["width"], result["lossy"]["height"]) == (256, 90)
    assert np.asarray(Image.open(tmp_path / "d" / "lossy.png")).shape == (90, 256, 3)


@pytest.mark.parametrize("name", ["photo.png", "lossy.png"])
def test_the_demo_does_not_write_over_its_photograph(run: Run, photo: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "d" / name
    other.parent.mkdir()
    other.hardlink_to(photo)
    before = photo.read_bytes()
    failed(run("demo", "--image", photo, "--out", other.parent), "the demo writes", "--out")
    assert other.read_bytes() == before and len(list(other.parent.iterdir())) == 1


def test_kernels_are_compiled_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process leaves the context coder's kernels where this one finds them, and what fails costs time only."""
    context = multiprocessing.get_context("spawn")
    with COMPILED_ASIDE():
        pass
    event = context.Event()
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    monkeypatch.setattr(demo.compiling, "_watchers", [])
    demo._compile_context_coder(event)
    assert not event.is_set()  # compiled before
    monkeypatch.setattr(api, "encode", lambda *_: 1 / 0)
    demo._compile_context_coder(event)
    monkeypatch.setattr(demo.multiprocessing.context.SpawnProcess, "start", lambda self: (_ for _ in ()).throw(OSError))
    with COMPILED_ASIDE():
        pass


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


# ---- shares, and the source itself


def test_a_share_that_knows_no_permissions(
    run: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor syncs folders; and a system without fchmod and O_DIRECTORY."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    real_sync = os.fsync

    def files_only(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(22, "Invalid argument")
        real_sync(number)

    monkeypatch.setattr(os, "fsync", files_only)
    monkeypatch.setattr(os, "chmod", refuse)
    assert run("encode", photo, tmp_path / "a.dfc")[0] == 0
    monkeypatch.delattr(os, "fchmod", raising=False)
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    assert run("encode", photo, tmp_path / "b.dfc")[0] == 0
    assert run("encode", photo, tmp_path / "b.dfc", "--overwrite")[0] == 0
    assert (tmp_path / "a.dfc").read_bytes() == (tmp_path / "b.dfc").read_bytes()


@pytest.mark.parametrize("how", ["same", "link", "hard link", "dots"])
def test_the_source_is_not_overwritten_with_itself(run: Run, photo: Path, tmp_path: Path, how: str) -> None:
    other = tmp_path / "other"
    before = photo.read_bytes()
    if how == "link":
        other.symlink_to(photo)
    elif how == "hard link":
        other.hardlink_to(photo)
    else:
        other = photo if how == "same" else tmp_path / ".." / tmp_path.name / photo.name
    for command in ("encode", "decode"):
        failed(run(command, photo, other, "--overwrite"), "same file")
        with photo.open("rb") as file, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(file))
            failed(run(command, "-", other, "--overwrite"), "standard input", "same file")
    assert photo.read_bytes() == before
