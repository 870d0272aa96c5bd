"""Archives: every picture comes back, from any group, process or batch; damage costs what it must and no more."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import White, needs_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec.archive import chain as chains
from diffcodec.archive import folder as packing
from diffcodec.archive import group as groups
from diffcodec.archive import memory as archive
from diffcodec.archive import plan as plans
from diffcodec.bitstream.archive import CHAINED, Entry, Group, Reader, Writer
from diffcodec.codecs.vdm import codec as vdm
from diffcodec.codecs.vdm import schedule as schedules
from diffcodec.models import environment as environments
from diffcodec.runtime.errors import (
    ChecksumMismatch,
    CorruptStream,
    DecodeMismatch,
    InputError,
    LimitExceeded,
    NotADiffcodecFile,
    Truncated,
)

STEPS = 6


def noise(seed: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(127, 60, shape), 0, 255).astype(dtype)


PHOTOS = [noise(n, 8, 8, 3) for n in range(20)]
MIXED = [
    *PHOTOS[:6],
    noise(30, 5, 9, 3),
    noise(31, 8, 8),
    noise(32, 8, 8, 4),
    noise(33, 6, 6, 3, dtype=np.uint16),
    PHOTOS[2],
    np.zeros((1, 1, 3), np.uint8),
    noise(34, 8, 8) > 127,
    noise(35, 1, 40, 3),
    *PHOTOS[6:9],
]


def same(found: list, wanted: list) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        b = b.astype(np.uint8) * 255 if b.dtype == bool else b
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()


# ---- the codec


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
@settings(max_examples=25)
def test_chain_is_inverted_whatever_lies_under_it(seed: int, shapes: list[tuple[int, int]]) -> None:
    """Also with too few initial bits, and pictures that the model does not expect at all."""
    rng = np.random.default_rng(seed)
    photos = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in sorted(shapes)]
    initial = rng.bytes(rng.integers(0, 200))
    schedule = schedules.Schedule.placed(
        int(rng.integers(1, 9)), (-8192, 0, 11264), (300, 1000, 3000), int(rng.integers(0, 200))
    )
    sizes = vdm.batches([p.shape[:2] for p in photos], 8 * len(initial))
    data = vdm.encode(photos, sizes, White(), schedule, initial)
    found, left = vdm.decode(data, [p.shape[:2] for p in photos], sizes, White(), schedule)
    assert left == initial
    same(found, photos)


def test_archive_costs_the_bound() -> None:
    """White pixels: the bound has a closed form, the entropy of the rounded Gaussian, but for the last steps."""
    rng = np.random.default_rng(0)
    photos = [np.clip(np.rint(rng.normal(127.5, 30, (16, 16, 3))), 0, 255).astype(np.uint8) for _ in range(24)]
    model = White((30 / 127.5) ** 2)
    schedule = schedules.measure(photos, model, 200)
    initial = rng.bytes(2 * 16 * 16 * 3)
    sizes = vdm.batches([(16, 16)] * 24, 8 * len(initial))
    data = vdm.encode(photos, sizes, model, schedule, initial)
    bpd = 8 * (len(data) - len(initial)) / (24 * 16 * 16 * 3)
    entropy = np.log2(30 * np.sqrt(2 * np.pi * np.e))
    assert entropy - 0.02 < bpd < 1.01 * entropy


def test_schedule_in_bytes_and_in_order() -> None:
    schedule = schedules.measure(PHOTOS[:3], White(), 50)
    again, rest = schedules.Schedule.from_bytes(schedule.to_bytes() + b"rest")
    assert (again, rest) == (schedule, b"rest")
    assert schedule.steps == 50 and all(a > b for a, b in zip(schedule.units, schedule.units[1:], strict=False))
    assert schedule.units[0] == schedule.knots[-1] and schedule.units[-1] == schedule.knots[0]
    for data in (b"", schedule.to_bytes()[:-1], b"\0\0" + schedule.to_bytes()[2:]):
        with pytest.raises(diffcodec.CorruptStream):
            schedules.Schedule.from_bytes(data)


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_schedule(data: bytes) -> None:
    for whole in (data, schedules.Schedule.placed(5, (-100, 100), (3, 9), 7).to_bytes()[:16] + data):
        try:
            schedules.Schedule.from_bytes(whole)
        except diffcodec.CorruptStream:
            pass


def test_batches_grow_with_the_bits_there_are() -> None:
    assert sum(vdm.batches([(32, 32)] * 100, 34_000)) == 100
    sizes = vdm.batches([(32, 32)] * 100, 34_000)
    assert sizes[0] == 1 and max(sizes) == 8
    assert vdm.batches([(4, 4), (4, 4), (5, 5)], 10**6) == [2, 1]
    assert vdm.batches([(4, 4)] * 5, 10**6, 2) == [2, 2, 1]


# ---- archives in memory


@pytest.mark.parametrize("group", [1, 5, 512])
def test_all_kinds_of_pictures(fake_codec: None, group: int) -> None:
    data = diffcodec.encode_archive(MIXED, White(), steps=STEPS, group=group)
    same(diffcodec.decode_archive(data, model=White()), MIXED)
    info = diffcodec.inspect_archive(data)
    assert info["pictures"] == len(MIXED) and info["complete"] and info["bytes"] == len(data)
    assert len(info["groups"]) == -(-len(MIXED) // group)
    if group == 512:
        assert info["groups"][0]["copies"] == 1 and info["groups"][0]["chained"] >= 6


def test_metadata_is_kept(fake_codec: None) -> None:
    from diffcodec.media.picture import Picture

    pictures = [Picture(p, "RGB", b"profile %d" % n, b"II*\0exif") for n, p in enumerate(PHOTOS)]
    data = diffcodec.encode_archive(pictures, White(), steps=STEPS)
    with archive.open_archive(data) as reader:
        (found,) = archive.decoded(reader, reader.places, White(), "auto", 1, None)
    assert [(p.icc, p.exif) for p in found.pictures] == [(p.icc, p.exif) for p in pictures]


def test_batch_changes_bytes_and_no_pixel(fake_codec: None) -> None:
    streams = [diffcodec.encode_archive(PHOTOS, White(), steps=STEPS, batch=b) for b in (1, None)]
    assert len(set(streams)) == 2
    for data in streams:
        same(diffcodec.decode_archive(data, model=White()), PHOTOS)


def test_nothing_is_refused(fake_codec: None) -> None:
    with pytest.raises(InputError, match="at least one picture"):
        diffcodec.encode_archive([])
    with pytest.raises(InputError, match="name for each"):
        diffcodec.encode_archive(PHOTOS, White(), names=["a"])
    with pytest.raises(InputError, match="relative paths"):
        diffcodec.encode_archive(PHOTOS[:1], White(), names=["../a"])
    with pytest.raises(InputError, match="steps"):
        diffcodec.encode_archive(PHOTOS, White(), steps=0)
    with pytest.raises(InputError, match="its name or path"):
        diffcodec.encode_archive(PHOTOS, White(), jobs=2)
    with pytest.raises(NotADiffcodecFile):
        diffcodec.decode_archive(b"PK\3\4")


def test_damaged_group_loses_itself(fake_codec: None) -> None:
    data = bytearray(diffcodec.encode_archive(PHOTOS, White(), steps=STEPS, group=7))
    with archive.open_archive(bytes(data)) as reader:
        data[reader.places[1].offset + 40] ^= 1
    with pytest.raises(ChecksumMismatch):
        diffcodec.decode_archive(bytes(data), model=White())
    with pytest.warns(UserWarning, match="group 1 is lost"):
        found = diffcodec.decode_archive(bytes(data), model=White(), damaged="skip")
    assert [p is None for p in found] == [7 <= n < 14 for n in range(20)]
    same([p for p in found if p is not None], PHOTOS[:7] + PHOTOS[14:])


def test_one_group_without_the_others(fake_codec: None) -> None:
    data = bytearray(diffcodec.encode_archive(PHOTOS, White(), steps=STEPS, group=7))
    with archive.open_archive(bytes(data)) as reader:
        data[reader.places[1].offset + 40] ^= 1
    same(diffcodec.decode_archive(bytes(data), model=White(), groups=[2, 0]), PHOTOS[14:] + PHOTOS[:7])
    with pytest.raises(InputError, match="groups from 0 to 2"):
        diffcodec.decode_archive(bytes(data), model=White(), groups=[3])


def test_groups_of_another_archive_are_told(fake_codec: None) -> None:
    """Its digest is over the groups in order: a forger who mends every checksum is found out as well."""
    out = io.BytesIO()
    data = diffcodec.encode_archive(PHOTOS, White(), steps=STEPS, group=7)
    with archive.open_archive(data) as reader:
        writer = Writer(out, reader.header)
        for place in (reader.places[1], reader.places[0], reader.places[2]):
            writer.add(reader.group(place))
        writer.digests = [writer.digests[1], writer.digests[0], writer.digests[2]]
        writer.finish()
    with pytest.raises(DecodeMismatch, match="the groups of the archive differ"):
        diffcodec.decode_archive(out.getvalue(), model=White())


def test_what_a_reader_must_have_memory_for_is_bounded() -> None:
    """A few bytes may not claim pictures without end."""
    entries = tuple(Entry("", CHAINED, 0, 4096, 2048, b"1234") for _ in range(3))
    with pytest.raises(LimitExceeded, match="chained pictures"):
        Group.from_bytes(Group(entries, b"", bytes(8)).to_bytes())
    assert len(Group.from_bytes(Group(entries[:2], b"", bytes(8)).to_bytes()).entries) == 2
    with pytest.raises(LimitExceeded, match="batch"):
        chains.check_sizes([2], [(4096, 2048)] * 2)
    assert vdm.batches([(4096, 2048)] * 2 + [(1024, 1024)] * 4, 10**12, 99) == [1, 1, 2, 2]


def test_cut_archive(fake_codec: None) -> None:
    data = diffcodec.encode_archive(PHOTOS, White(), steps=STEPS, group=7)[:-200]
    with pytest.raises(Truncated, match="whole groups"):
        diffcodec.decode_archive(data, model=White())
    same(diffcodec.decode_archive(data, model=White(), damaged="skip"), PHOTOS[:14])


class Shaky(White):
    """Another machine: the last bits of its network differ."""

    def predict(self, z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        return super().predict(z, logsnr) * (1 + 1e-3)


def test_another_machine_is_named_and_returns_nothing(fake_codec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = diffcodec.encode_archive(PHOTOS, White(), steps=STEPS)
    with pytest.raises(DecodeMismatch, match="nothing of its group"):
        diffcodec.decode_archive(data, model=Shaky())
    made = diffcodec.inspect_archive(data)["environment"]
    emulated = "without bfloat16" in made  # a fact more, of processors that would only emulate it
    assert made == plans.environment_of(White()) and len(made.split(", ")) == 7 + emulated
    elsewhere = f"torch 9, {made.split(', ', 1)[1].rpartition(', ')[0]}"
    monkeypatch.setattr(environments, "environment", lambda device: elsewhere)
    fact = re.escape(f"made with torch {torch.__version__} (here torch 9)")
    with pytest.raises(DecodeMismatch, match=f"{fact}: decode it there"), pytest.warns(UserWarning, match=fact):
        diffcodec.decode_archive(data, model=Shaky())


def test_threads_of_the_caller_change_nothing(fake_codec: None) -> None:
    before = torch.get_num_threads()
    try:
        streams = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            streams.append(diffcodec.encode_archive(PHOTOS, White(), steps=STEPS))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert streams[0] == streams[1]


# ---- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for n, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(root / ("sub" if n % 3 else "") / f"{n:02}.png")
    Image.fromarray(PHOTOS[0]).save(root / "lossy.jpg")
    (root / "notes.txt").write_text("no picture")
    (root / "cut.png").write_bytes((root / "00.png").read_bytes()[:60])
    return root


def test_pack_and_unpack(fake_codec: None, folder: Path, tmp_path: Path, run) -> None:
    out, back = tmp_path / "x.dfca", tmp_path / "back"
    code, stdout, stderr = run("pack", folder, out, "--steps", STEPS, "--group", 8, "--jobs", 1, "--json")
    assert code == 1 and "could not pack cut.png; the 21 pictures of the rest are in the archive" in stderr
    found = json.loads(stdout)
    assert found["pictures"] == 21 and sorted(found["left_out"]) == ["cut.png", "notes.txt"]
    assert found["failed"] == ["cut.png"]  # the other is no picture
    assert found["bytes"] == out.stat().st_size and not Path(f"{out}.part").exists()
    assert "notes.txt" in stderr and "cut.png" in stderr
    code, stdout, _ = run("info", out)
    assert code == 0 and b"pictures         21" in stdout
    assert run("unpack", out, back, "--jobs", 1)[0] == 0
    for path in sorted(p for p in folder.rglob("*.png") if p.name != "cut.png"):
        assert (np.asarray(Image.open(back / path.relative_to(folder))) == np.asarray(Image.open(path))).all()
    assert (back / "lossy.jpg.png").exists()
    code, _, stderr = run("unpack", out, back, "--jobs", 1)
    assert code == 1 and "exists already" in stderr and stderr.count("\n") == 1
    code, stdout, _ = run("unpack", out, tmp_path / "one", "--only", "sub/*", "--jobs", 1, "--json")
    assert code == 0 and json.loads(stdout)["pictures"] == 13
    assert not (tmp_path / "one" / "00.png").exists()


@pytest.mark.parametrize("content", [{}, {"a.txt": b"x"}])
def test_a_folder_without_pictures(fake_codec: None, tmp_path: Path, run, content: dict[str, bytes]) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for name, data in content.items():
        (root / name).write_bytes(data)
    code, _, stderr = run("pack", root, tmp_path / "x.dfca")
    assert code == 1 and "found none" in stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
    code, _, stderr = run("pack", root / "no", tmp_path / "x.dfca")
    assert code == 1 and "expected a folder" in stderr


def test_damaged_archive_writes_the_rest(fake_codec: None, folder: Path, tmp_path: Path, run) -> None:
    out = tmp_path / "x.dfca"
    run("pack", folder, out, "--steps", STEPS, "--group", 8, "--jobs", 1)
    data = bytearray(out.read_bytes())
    data[Reader(io.BytesIO(bytes(data))).places[0].offset + 30] ^= 4
    out.write_bytes(bytes(data))
    code, _, stderr = run("unpack", out, tmp_path / "back", "--jobs", 1)
    assert code == 1 and "group 0 is lost" in stderr and "13 pictures of the rest" in stderr
    assert len(list((tmp_path / "back").rglob("*.png"))) == 13


def test_no_picture_takes_the_name_of_another(fake_codec: None, tmp_path: Path, run) -> None:
    """A lossy picture becomes a PNG, whose name another picture may have."""
    root = tmp_path / "in"
    root.mkdir()
    Image.fromarray(PHOTOS[0]).save(root / "a.bmp.png")
    Image.fromarray(noise(5, 8, 8, 4)).save(root / "b.png")
    (root / "b.png").rename(root / "a.bmp")  # a name that holds no alpha
    assert run("pack", root, tmp_path / "x.dfca", "--steps", STEPS, "--jobs", 1)[0] == 0
    assert run("unpack", tmp_path / "x.dfca", tmp_path / "back", "--jobs", 1, "--overwrite")[0] == 0
    found = {p.name: np.asarray(Image.open(p)) for p in (tmp_path / "back").iterdir()}
    assert sorted(found) == ["a.bmp.png", "a.bmp.png.png"]
    same([found["a.bmp.png"], found["a.bmp.png.png"]], [noise(5, 8, 8, 4), PHOTOS[0]])


def test_a_folder_that_cannot_be_read_is_told(
    fake_codec: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder or a file: what is left out of an archive is named."""
    real_list, real_open = os.scandir, open

    def scandir(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return real_list(path)

    def opened(path, *rest, **more):
        if Path(str(path)).name == "00.png":
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *rest, **more)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr("builtins.open", opened)
    with pytest.warns(UserWarning, match="left out") as found:
        done = packing.pack(str(folder), str(tmp_path / "x.dfca"), White(), steps=STEPS)
    told = [str(w.message) for w in found]
    assert "left out sub: Permission denied" in told and "left out 00.png: Permission denied" in told
    assert done["pictures"] == 7 and "00.png" in done["left_out"]


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("seed", range(20))
def test_interrupted_pack_goes_on(
    fake_codec: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Stopped in any group, its file cut or garbled at any byte: the next run ends with the same archive."""
    rng = np.random.default_rng(seed)
    out, whole = tmp_path / "x.dfca", tmp_path / "whole.dfca"
    warnings.simplefilter("ignore")

    def go(target: Path) -> dict:
        return packing.pack(str(folder), str(target), White(), steps=STEPS, group=4)

    go(whole)
    stop = int(rng.integers(0, 6))
    real = groups.encode_group

    def stopping(task, progress=None):
        nonlocal stop
        stop -= 1
        if stop < 0:
            raise Interrupted
        return real(task, progress)

    monkeypatch.setattr(packing, "encode_group", stopping)
    with pytest.raises(Interrupted):
        go(out)
    monkeypatch.setattr(packing, "encode_group", real)
    assert not out.exists()
    part = Path(f"{out}.part")
    if part.exists():
        data = part.read_bytes()
        kind, at = rng.integers(0, 3), int(rng.integers(0, len(data)))
        if kind == 1:
            part.write_bytes(data[:at])
        elif kind == 2:
            part.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    go(out)
    assert out.read_bytes() == whole.read_bytes() and not part.exists()


def test_resumed_pack_looks_at_the_pictures(fake_codec: None, folder: Path, tmp_path: Path, monkeypatch) -> None:
    """A picture that changed meanwhile is coded anew."""
    warnings.simplefilter("ignore")
    out = tmp_path / "x.dfca"
    real, calls = groups.encode_group, []

    def stopping(task, progress=None):
        calls.append(1)
        if len(calls) == 4:
            raise Interrupted
        return real(task, progress)

    monkeypatch.setattr(packing, "encode_group", stopping)
    with pytest.raises(Interrupted):
        packing.pack(str(folder), str(out), White(), steps=STEPS, group=4)
    Image.fromarray(PHOTOS[0][::-1].copy()).save(folder / "09.png")  # of the second group
    monkeypatch.setattr(packing, "encode_group", real)
    done = packing.pack(str(folder), str(out), White(), steps=STEPS, group=4)
    assert done["resumed"] == 0 or done["resumed"] < 3
    found = diffcodec.decode_archive(str(out), model=White())
    names = diffcodec.inspect_archive(out.read_bytes())["names"]
    assert (found[names.index("09.png")] == PHOTOS[0][::-1]).all()


# ---- the real model


@needs_weights
def test_photo_vdm_over_processes(tmp_path: Path) -> None:
    from skimage import data

    photo = data.astronaut()
    images = [photo[y : y + 16, x : x + 16] for y in (100, 300) for x in range(0, 160, 16)]
    one, two = (diffcodec.encode_archive(images, steps=4, group=10, jobs=jobs) for jobs in (1, 2))
    assert one == two
    same(diffcodec.decode_archive(one, jobs=2), images)


def _slow(task: int, progress=None) -> int:
    time.sleep(task)
    return os.getpid()


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Killed, it cannot tell them; they must not stay behind, waiting for ever."""
    code = (
        "import os, sys, test_archive\n"
        "from diffcodec.archive.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2) as workers:\n"
        "        for pid in workers.map(test_archive._slow, [(1, s) for s in (0, 0, 600, 600)], 4):\n"
        "            print(pid, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = {int(parent.stdout.readline()) for _ in range(2)}
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # one that ended stays listed until someone waits for it
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@needs_weights
def test_killed_pack_goes_on(tmp_path: Path) -> None:
    """The process itself is killed, at three moments; what it leaves never decodes to a wrong picture."""
    from skimage import data

    photo, root = data.astronaut(), tmp_path / "in"
    root.mkdir()
    for n in range(24):
        Image.fromarray(photo[16 * n : 16 * n + 16, 200:216]).save(root / f"{n:02}.png")
    out = tmp_path / "x.dfca"
    code = "import sys; from diffcodec.cli.main import main; main(sys.argv[1:])"
    argv = [sys.executable, "-c", code, "pack", root, out, "--steps", "25", "--group", "6", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(diffcodec.__file__).parents[1])}
    part, killed = Path(f"{out}.part"), 0
    for wait in (0.0, 0.3, 0.6):
        process = subprocess.Popen([str(a) for a in argv], env=environment, stderr=subprocess.DEVNULL)
        before = part.stat().st_size if part.exists() else 0
        end = time.monotonic() + 600
        while process.poll() is None and time.monotonic() < end:
            if part.exists() and part.stat().st_size > before:
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.01)
        process.wait()
    assert killed
    subprocess.run([str(a) for a in argv] + ["--overwrite"], env=environment, check=True, capture_output=True)
    found = diffcodec.decode_archive(str(out))
    same(found, [photo[16 * n : 16 * n + 16, 200:216] for n in range(24)])


@needs_weights
def test_archive_of_an_ardm():
    """No chain: every picture is a stream of that model, whatever its kind."""
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 99, shape, dtype=np.uint8) for shape in ((9, 8, 3), (5, 6), (8, 7, 4), (9, 8, 3))]
    pictures.append(pictures[0])
    data = diffcodec.encode_archive(pictures, "cifar10-ardm", group=3)
    assert all(np.array_equal(a, b) for a, b in zip(diffcodec.decode_archive(data), pictures, strict=True))
    info = diffcodec.inspect_archive(data)
    assert info["codec"] == "ardm" and info["model"] == "cifar10-ardm" and info["steps"] is None
    assert sum(g["chained"] for g in info["groups"]) == 0
    with pytest.raises(InputError, match="no steps"):
        diffcodec.encode_archive(pictures, "cifar10-ardm", steps=5)


@needs_weights
def test_a_chain_without_a_schedule_is_refused():
    entry = Entry("", CHAINED, 0, 8, 8, bytes(4))
    plan = plans.Plan("cifar10-ardm", "cpu", b"")
    with pytest.raises(CorruptStream, match="schedule"):
        groups.decode_group((plan, Group((entry,), b"\x01\x01abc", bytes(8))))
