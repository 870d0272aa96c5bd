"""How far groups have come, in one process or several; what a pack that was stopped keeps, and where it goes on."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeModel, White
from PIL import Image

import diffcodec
from diffcodec.archive import folder as packing
from diffcodec.archive import group as groups
from diffcodec.archive.workers import Workers
from diffcodec.codecs.vdm import schedule as vdm
from diffcodec.runtime import compiling
from diffcodec.runtime.errors import InputError
from diffcodec.runtime.progress import Shares

PHOTOS = [np.random.default_rng(n).integers(0, 256, (8, 8, 3), dtype=np.uint8) for n in range(12)]


class Seen:
    """Fractions as they were reported."""

    def __init__(self) -> None:
        self.fractions: list[float] = []

    def __call__(self, fraction: float) -> None:
        self.fractions.append(fraction)

    def check(self) -> None:
        """They never fell, and ended at exactly 1."""
        assert self.fractions == sorted(self.fractions)
        assert self.fractions[-1] == 1.0 and self.fractions[0] >= 0

    def has(self, fraction: float) -> bool:
        return any(abs(one - fraction) < 1e-9 for one in self.fractions)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of one size, among them what is no picture."""
    root = tmp_path / "in"
    root.mkdir()
    for n, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(root / f"{n:02}.png")
    (root / "notes.txt").write_text("no picture")
    return root


def pack(folder: Path, out: Path, model: Any = None, **options: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return packing.pack(str(folder), str(out), model or FakeModel(), **options)


# ---- shares and tasks


def test_shares_add_up_to_exactly_one() -> None:
    seen = Seen()
    shares = Shares(seen, 10)
    for size in (3, 1, 6):
        part = shares.take(size)
        assert part is not None
        for fraction in (0.1, 0.3, 1.0):
            part(fraction)
    seen.check()
    assert seen.has(0.3) and Shares(None, 1).take(1) is None


def work(task: Any, progress: Any) -> Any:
    """Reports, and fails where it is told to."""
    for fraction in (0.25, 0.5, 1.0):
        if progress:
            progress(fraction)
    if isinstance(task, str):
        raise InputError(task)
    return task, os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_weigh_what_they_say(jobs: int) -> None:
    seen = Seen()
    with Workers(jobs) as workers:
        found = list(workers.map(work, zip([1, 2, 5], "abc", strict=True), 8, seen, errors=True))
        assert [str(error) for error in found] == ["a", "b", "c"]
    seen.check()
    assert jobs > 1 or seen.has(3 / 8)  # the first two are done, and the third has not begun
    with Workers(jobs) as workers:
        found = list(workers.map(work, zip([1, 2, 5], range(3), strict=True), 8))
    assert [task for task, _ in found] == [0, 1, 2]
    assert (len({os.getpid(), *(pid for _, pid in found)}) > 1) == (jobs > 1)


@pytest.mark.parametrize("total", [0.0, 1.0, 100.0])
def test_a_wrong_total_is_no_harm(total: float) -> None:
    seen = Seen()
    with Workers(1) as workers:
        list(workers.map(work, [(1.0, n) for n in range(3)], total, seen))
    seen.check()


@pytest.mark.parametrize("count", [0, 1])
def test_few_tasks_start_no_process(count: int) -> None:
    with Workers(8) as workers:
        found = list(workers.map(work, [(1.0, n) for n in range(count)], 1))
        assert workers.pool is None and [pid for _, pid in found] == [os.getpid()] * count


def compiles(task: Any, progress: Any) -> Any:
    compiling.begin()
    compiling.end()
    return task


def test_workers_say_that_they_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(compiling, "elsewhere", told.append)
    with Workers(2) as workers:
        assert list(workers.map(compiles, [(1.0, n) for n in range(24)], 24)) == list(range(24))
    assert told[:2] == [True, False] or told[:2] == [True, True]


# ---- archives


def test_progress_of_archives(fake_codec: None) -> None:
    """In memory, with chains and without; groups of very different sizes."""
    large = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    pictures = [PHOTOS[0], large, *PHOTOS[1:], PHOTOS[1]]
    for model, options in ((FakeModel(), {}), (White(), {"steps": 6})):
        coded, read = Seen(), Seen()
        data = diffcodec.encode_archive(pictures, model, group=5, progress=coded, **options)
        diffcodec.decode_archive(data, model=model, progress=read)
        coded.check()
        read.check()
        assert len(coded.fractions) > 10 and len(read.fractions) > 3


def test_a_bar_moves_inside_a_picture(fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One large picture in one group: what its own encoder reports is passed on."""
    from diffcodec.archive import group

    real = group.encode

    def slowly(picture: Any, sender: Any, progress: Any = None) -> bytes:
        for step in range(9):
            progress(step / 8)
        return real(picture, sender)

    monkeypatch.setattr(group, "encode", slowly)
    (tmp_path / "in").mkdir()
    Image.fromarray(PHOTOS[0]).save(tmp_path / "in/a.png")
    pack(tmp_path / "in", tmp_path / "x.dfca", progress=(seen := Seen()))
    seen.check()
    assert all(seen.has(step / 8) for step in range(8))


def test_progress_goes_by_bytes_of_files(fake_codec: None, folder: Path, tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(large).save(folder / "00-large.png")
    done = pack(folder, tmp_path / "x.dfca", group=2, progress=(seen := Seen()))
    seen.check()
    total = sum(path.stat().st_size for path in folder.iterdir())
    first = sum((folder / name).stat().st_size for name in ("00-large.png", "00.png"))
    assert seen.has(first / total)
    assert done["source_bytes"] == total - (folder / "notes.txt").stat().st_size
    read = Seen()
    packing.unpack(str(tmp_path / "x.dfca"), str(tmp_path / "out"), model=FakeModel(), progress=read)
    read.check()


class Stopped(Exception):
    pass


def stopped_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """`pack` stops when that many groups are done."""
    real, left = groups.encode_group, [count]

    def some(task: Any, progress: Any = None) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        return real(task, progress)

    monkeypatch.setattr(packing, "encode_group", some)


def test_what_is_kept_is_told_and_progress_goes_on_from_there(
    fake_codec: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.dfca"
    assert packing.unfinished(str(out)) == (0, 0)
    with monkeypatch.context() as patch:
        stopped_after(patch, 2)
        with pytest.raises(Stopped):
            pack(folder, out, group=4)
    assert packing.unfinished(str(out)) == (2, 8)
    done = pack(folder, out, group=4, progress=(seen := Seen()))
    assert done["resumed"] == 2
    seen.check()
    assert packing.unfinished(str(out)) == (0, 0)
    (tmp_path / "x.dfca.part").write_bytes(b"another's own")
    assert packing.unfinished(str(out)) == (0, 0)


def test_a_finished_resume_does_no_work(
    fake_codec: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All groups are there, only the index is not: no schedule is measured, no process started, nothing coded."""
    out = tmp_path / "x.dfca"
    with monkeypatch.context() as patch:
        patch.setattr(packing.Writer, "finish", lambda self: (_ for _ in ()).throw(Stopped))
        with pytest.raises(Stopped):
            pack(folder, out, White(), steps=6, group=4)
    assert packing.unfinished(str(out)) == (3, 12)
    monkeypatch.setattr(vdm, "measure", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(packing, "encode_group", lambda *_: pytest.fail("coded"))
    monkeypatch.setattr(packing, "check_workers", lambda *_: None)
    monkeypatch.setattr(Workers, "_side_by_side", lambda *_: pytest.fail("started processes"))
    done = pack(folder, out, White(), steps=6, group=4, jobs=8, progress=(seen := Seen()))
    assert (done["resumed"], done["pictures"]) == (3, 12)
    seen.check()


def test_a_schedule_of_other_pictures_is_measured_anew(
    fake_codec: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing of what was done serves, the archive is the one that a first run makes."""
    pack(folder, tmp_path / "fresh.dfca", White(), steps=6, group=4)
    (tmp_path / "other").mkdir()
    for n in range(8):
        Image.fromarray(np.full((8, 8, 3), 9 * n, np.uint8)).save(tmp_path / f"other/{n}.png")
    with monkeypatch.context() as patch:
        stopped_after(patch, 1)
        with pytest.raises(Stopped):
            pack(tmp_path / "other", tmp_path / "x.dfca", White(), steps=6, group=4)
    assert pack(folder, tmp_path / "x.dfca", White(), steps=6, group=4)["resumed"] == 0
    assert (tmp_path / "x.dfca").read_bytes() == (tmp_path / "fresh.dfca").read_bytes()


# ---- sources are never written over


@pytest.mark.parametrize("how", ["same", "link", "hard link", "dots"])
def test_a_picture_of_the_folder_is_no_archive(fake_codec: None, folder: Path, tmp_path: Path, how: str) -> None:
    picture, out = folder / "03.png", tmp_path / "x.dfca"
    if how == "link":
        out.symlink_to(picture)
    elif how == "hard link":
        out.hardlink_to(picture)
    else:
        out = picture if how == "same" else folder / ".." / "in" / "03.png"
    before = picture.read_bytes()
    with pytest.raises(InputError, match="one of the files to be packed"):
        pack(folder, out, overwrite=True)
    assert picture.read_bytes() == before


def test_an_archive_in_its_folder_is_replaced(fake_codec: None, folder: Path) -> None:
    for _ in range(2):
        assert pack(folder, folder / "all.dfca", overwrite=True)["pictures"] == 12


def test_an_archive_is_not_written_over_by_its_pictures(fake_codec: None, tmp_path: Path) -> None:
    data = diffcodec.encode_archive(PHOTOS[:2], FakeModel(), names=["a.png", "b.png"])
    source = tmp_path / "a.png"
    source.write_bytes(data)
    done = packing.unpack(str(source), str(tmp_path), model=FakeModel(), overwrite=True)
    assert source.read_bytes() == data and done["pictures"] == 1
    assert done["problems"] == ["a.png is not written: the archive itself stands there"]
