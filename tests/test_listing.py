"""list, diff, test, append, extract: what an archive says of itself, and that it keeps what it has."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FakeModel, White
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec.archive import appending, listing
from diffcodec.archive import folder as packing
from diffcodec.archive import memory as archive
from diffcodec.runtime import atomic as output
from diffcodec.runtime.errors import DiffcodecError, InputError

Run = Callable[..., tuple[int, bytes, str]]
pytestmark = pytest.mark.usefixtures("fake_codec")
PHOTOS = [np.random.default_rng(n).integers(0, 256, (8, 8 + n, 3), dtype=np.uint8) for n in range(12)]


def save(path: Path, photo: np.ndarray, time: int = 10**18, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)
    path.chmod(mode)
    os.utime(path, ns=(time, time))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for n, name in enumerate(("a.png", "b.png", "deep/c.png", "deep/d.png")):
        save(root / name, PHOTOS[n], (n + 1) * 10**17, 0o600 + n)
    save(root / "e.png", PHOTOS[1])
    Image.fromarray(PHOTOS[5]).save(root / "f.tif", save_all=True, append_images=[Image.fromarray(PHOTOS[6])])
    return root


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    out = tmp_path / "x.dfca"
    packing.pack(str(folder), str(out), FakeModel(), group=3)
    return out


def test_items_tell_what_files_were(packed: Path) -> None:
    items, problems = listing.list_archive(packed)
    names = ["a.png", "b.png", "deep/c.png", "deep/d.png", "e.png", "f.tif"]
    assert not problems and [one.name for one in items] == names
    assert [one.group for one in items] == [0, 0, 0, 1, 1, 1]
    for n, one in enumerate(items[:4]):
        assert (one.width, one.height, one.mode, one.kind) == (8 + n, 8, "RGB", "stream")
        assert (one.time, one.permissions) == ((n + 1) * 10**17, 0o600 + n)
        assert one.packed_bytes == len(diffcodec.encode(PHOTOS[n]))
    assert items[5].frames == 2 and len(items[5].digests) == 2


def test_items_of_chains_and_copies() -> None:
    data = diffcodec.encode_archive([*PHOTOS, PHOTOS[3]], White(), steps=6)
    items, problems = listing.list_archive(data)
    kinds = [one.kind for one in items]
    assert not problems and kinds.count("chained") > 3 and kinds[-1] == "copy"
    assert [one.name for one in items] == [f"{n:06}" for n in range(13)]
    assert all((one.packed_bytes is None) == (one.kind == "chained") for one in items)
    assert (items[-1].width, items[-1].digests) == (items[3].width, items[3].digests)
    assert "initial" in kinds and all(one.digests or one.kind in ("initial", "copy") for one in items)
    known = listing.digests_in(data, items, model=White())
    for one, photo in zip(items, PHOTOS, strict=False):
        assert listing.alike(known[one.name], (diffcodec.Picture.from_any(photo).digest(),))
        assert not listing.alike(known[one.name], (diffcodec.Picture.from_any(photo ^ 1).digest(),))


def test_the_table(run: Run, packed: Path, tmp_path: Path) -> None:
    code, stdout, err = run("list", packed)
    lines = stdout.decode().splitlines()
    assert (code, err, len(lines)) == (0, "", 6)
    assert lines[0].startswith("-rw-------  ") and "8×8 RGB" in lines[0] and lines[2].endswith("  deep/c.png")
    assert "8×13 RGB" not in lines[5] and "13×8 RGB ×2" in lines[5]
    code, stdout, _ = run("list", packed, "deep/*", "a.*", "--json")
    found = [json.loads(line) for line in stdout.splitlines()]
    assert [one["name"] for one in found] == ["a.png", "deep/c.png", "deep/d.png"] and found[0]["time"] == 10**17
    code, _, err = run("list", packed, "nothing")
    assert code == 1 and "no picture of the archive has a name like nothing" in err


@given(st.data())
def test_a_damaged_archive_lists_what_is_left(data: st.DataObject) -> None:
    """Cut or changed anywhere: what is listed is what was there, and something is said, or a clear error raised."""
    whole = _whole()
    names = {one.name: one for one in listing.list_archive(whole)[0]}
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at]
    if data.draw(st.booleans()):
        broken = bytearray(whole)
        broken[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        items, problems = listing.list_archive(bytes(broken))
    except DiffcodecError:
        return
    assert problems or bytes(broken[8:10]) != whole[8:10]
    for one in items:
        assert one.name not in names or one.mode == "" or one.digests == names[one.name].digests


def _whole() -> bytes:
    names = [f"{n}.png" for n in range(4)]
    return diffcodec.encode_archive(PHOTOS[:4], FakeModel(), names=names, group=2)


def test_what_is_cut_is_said(run: Run, packed: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.dfca"
    cut.write_bytes(packed.read_bytes()[:-100])
    code, stdout, err = run("list", cut)
    assert code == 1 and b"a.png" in stdout and "ends before its index" in err
    code, stdout, err = run("info", cut)
    assert code == 1 and b"complete         False" in stdout and "cut or damaged; whole groups: 1" in err
    code, _, err = run("test", cut, packed, "--jobs", 1)
    assert code == 1 and "cut.dfca: " in err and "x.dfca: 6 pictures, whole" in err


def test_test_decodes_all(run: Run, packed: Path, tmp_path: Path) -> None:
    stream = tmp_path / "a.dfc"
    stream.write_bytes(diffcodec.encode(PHOTOS[0]))
    before = sorted(tmp_path.rglob("*"))
    code, stdout, err = run("test", stream, packed, "--jobs", 1, "--json")
    found = [json.loads(line) for line in stdout.splitlines()]
    assert (code, err) == (0, "") and [one["whole"] for one in found] == [True, True] and found[1]["pictures"] == 6
    data = bytearray(packed.read_bytes())
    data[len(data) // 3] ^= 4
    packed.write_bytes(data)
    stream.write_bytes(stream.read_bytes()[:-1])
    code, stdout, err = run("test", stream, packed, tmp_path / "gone.dfc", "--jobs", 1)
    assert code == 1 and "a.dfc: " in err and "group 0 is damaged" in err and "gone.dfc: No such file" in err
    assert sorted(tmp_path.rglob("*")) == before


# ---- diff


def test_differences_by_names_and_samples(run: Run, packed: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("no picture")
    code, stdout, err = run("diff", packed, folder)
    assert (code, stdout) == (0, b"") and "0 added, 0 removed, 0 changed, 6 the same" in err
    os.unlink(folder / "a.png")
    save(folder / "b.png", PHOTOS[1] ^ 1)
    save(folder / "deep/new.png", PHOTOS[9])
    Image.fromarray(PHOTOS[5]).save(folder / "f.tif")  # one frame fewer
    code, stdout, _ = run("diff", packed, folder)
    told = [line.split() for line in stdout.decode().splitlines()]
    assert code == 1
    assert told == [["added", "deep/new.png"], ["removed", "a.png"], ["changed", "b.png"], ["changed", "f.tif"]]
    other = tmp_path / "y.dfca"
    packing.pack(str(folder), str(other), FakeModel())
    assert run("diff", packed, other)[1] == stdout
    found = json.loads(run("diff", other, packed, "--json")[1])
    assert (found["added"], found["removed"], found["same"]) == (["a.png"], ["deep/new.png"], 3)


def test_differences_of_chains(folder: Path, tmp_path: Path) -> None:
    """Whose groups are decoded for what they hide."""
    out = tmp_path / "chain.dfca"
    for n in range(12):
        save(folder / f"more/{n}.png", np.random.default_rng(n + 50).integers(0, 256, (9, 9, 3), np.uint8))
    packing.pack(str(folder), str(out), White(), steps=6)
    assert {"chained", "initial", "copy"} <= {one.kind for one in listing.list_archive(out)[0]}
    found = listing.differences(out, folder, model=White())
    assert (found.same, found.changed, found.added, found.removed) == (18, [], [], [])
    save(folder / "more/3.png", PHOTOS[3])
    assert listing.differences(str(out), str(folder), model=White()).changed == ["more/3.png"]
    assert listing.differences(out, out.read_bytes(), model=White()).same == 18


def test_what_cannot_be_read_is_changed_and_said(run: Run, packed: Path, folder: Path) -> None:
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code, stdout, err = run("diff", packed, folder)
    assert code == 1 and b"changed  a.png" in stdout and "a.png cannot be read" in err


# ---- append


def test_append_keeps_what_is_there(run: Run, packed: Path, folder: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    save(more / "b.png", PHOTOS[1])
    save(more / "new/g.png", PHOTOS[7], 5 * 10**17, 0o640)
    before, mode = packed.read_bytes(), packed.stat().st_mode
    places = archive.open_archive(str(packed))
    with places as reader:
        end = reader.places[-1].offset + reader.places[-1].size
    code, stdout, err = run("append", packed, more, "--jobs", 1, "--json")
    found = json.loads(stdout)
    assert code == 0 and (found["pictures"], found["already"], found["groups"]) == (1, 1, 3), err
    after = packed.read_bytes()
    assert after[:end] == before[:end] and packed.stat().st_mode == mode and found["bytes"] == len(after)
    items, problems = listing.list_archive(packed)
    assert not problems and (items[-1].name, items[-1].time, items[-1].permissions) == ("new/g.png", 5 * 10**17, 0o640)
    assert listing.check_archive(packed, model=FakeModel()).problems == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "more", "x.dfca"]
    code, _, err = run("append", packed, more, "--jobs", 1)
    assert code == 0 and "0 pictures more" in err and packed.read_bytes() == after


def test_append_refuses_what_would_change_a_picture(run: Run, packed: Path, tmp_path: Path) -> None:
    save(tmp_path / "more/b.png", PHOTOS[2])
    save(tmp_path / "more/h.png", PHOTOS[3])
    code, _, err = run("append", packed, tmp_path / "more", "--jobs", 1)
    assert code == 1 and "another picture of this name" in err and "could not add b.png" in err
    items, _ = listing.list_archive(packed)
    kept = (diffcodec.Picture.from_any(PHOTOS[1]).digest(),)
    assert [one.name for one in items][-1] == "h.png" and listing.alike(items[1].digests, kept)


def test_append_changes_all_or_nothing(
    run: Run, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "more/h.png", PHOTOS[3])
    before, there = packed.read_bytes(), sorted(tmp_path.rglob("*"))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((appending, "encode_group"), (output, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, stopped)
            code, _, err = run("append", packed, tmp_path / "more", "--jobs", 1)
        assert code == 130 and "x.dfca is as it was" in err
        assert packed.read_bytes() == before and sorted(tmp_path.rglob("*")) == there
    packed.write_bytes(before[:-9])
    with pytest.raises(InputError, match="is not whole"):
        appending.append(str(packed), str(tmp_path / "more"), model=FakeModel())
    packed.write_bytes(_whole())
    with pytest.raises(InputError, match="made in memory"):
        appending.append(str(packed), str(tmp_path / "more"))
    with pytest.raises(InputError, match="found nothing"):
        appending.append(str(packed), str(tmp_path / "gone"))


def test_append_to_a_chain(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "chain.dfca"
    packing.pack(str(folder), str(out), White(), steps=6)
    for n in range(12):
        save(tmp_path / f"more/{n}.png", np.random.default_rng(n + 50).integers(0, 256, (9, 9, 3), np.uint8))
    done = appending.append(str(out), str(tmp_path / "more"), model=White())
    items, _ = listing.list_archive(out)
    assert done["pictures"] == 12 and "chained" in {one.kind for one in items[6:]}
    checked = listing.check_archive(out, model=White())
    assert (checked.pictures, checked.problems) == (18, ())


# ---- extract


def test_extract_by_names(run: Run, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    code, _, err = run("extract", packed, "deep/*", "a.png", "--out-dir", out, "--jobs", 1)
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert code == 0 and found == ["a.png", "deep/c.png", "deep/d.png"], err
    assert (np.asarray(Image.open(out / "deep/d.png")) == PHOTOS[3]).all()
    code, _, err = run("extract", packed, "nothing", "none*", "--out-dir", out)
    assert code == 1 and "no picture of the archive has a name like nothing or none*" in err
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run("extract", packed, "b.png", "-q", "--jobs", 1) == (0, b"", "")
    assert os.listdir(here) == ["b.png"]
