"""Folders and archives: what a file was comes back, what cannot be is named, nothing else is touched."""

from __future__ import annotations

import io
import json
import os
import stat
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import FakeModel, White, needs_weights
from PIL import Image

import diffcodec
from diffcodec import api, files
from diffcodec.archive import chain as chains
from diffcodec.archive import folder as packing
from diffcodec.archive import group as groups
from diffcodec.archive import memory as archive
from diffcodec.archive import names, unpacking
from diffcodec.bitstream.archive import COPY, STREAM, ArchiveHeader, Entry, Group, Reader, Writer, digest_of
from diffcodec.bitstream.container import Chunk, write
from diffcodec.bitstream.header import Header
from diffcodec.codecs import cost
from diffcodec.codecs.vdm import cost as vdm_cost
from diffcodec.media.metadata import Metadata, Text
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    DecodeMismatch,
    InputError,
    LimitExceeded,
)

CASES = Path(__file__).parent / "data" / "cases"
PHOTOS = [np.random.default_rng(n).integers(0, 256, (8, 8, 3), dtype=np.uint8) for n in range(12)]


def save(path: Path, photo: np.ndarray, time: int | None = None, mode: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path, "PNG")
    if mode is not None:
        path.chmod(mode)
    if time is not None:
        os.utime(path, ns=(time, time))
    return path


def pack(folder: Path, out: Path, **options) -> dict:
    return packing.pack(str(folder), str(out), FakeModel(), **options)


def unpack(source: Path, folder: Path, **options) -> dict:
    return packing.unpack(str(source), str(folder), model=FakeModel(), **options)


def forged(*entries: tuple[str, np.ndarray], copies: int = 0, head: ArchiveHeader | None = None) -> bytes:
    """An archive of streams under any names."""
    streams = [api.encode(photo) for _, photo in entries]
    digests = [Picture.from_any(photo).digest() for _, photo in entries]
    told = [Entry(name, STREAM, len(stream)) for (name, _), stream in zip(entries, streams, strict=True)]
    told += [Entry("", COPY, 0)] * copies
    out = io.BytesIO()
    writer = Writer(out, head or ArchiveHeader(0, "fake", FakeModel.fingerprint[:8], b""))
    writer.add(Group(tuple(told), b"".join(streams), digest_of([*digests, *digests[:1] * copies])))
    writer.finish()
    return out.getvalue()


def written(folder: Path) -> dict[str, np.ndarray]:
    return {p.relative_to(folder).as_posix(): np.asarray(Image.open(p)) for p in folder.rglob("*") if p.is_file()}


# ---- what the file system knows of a file


def test_times_and_permissions_come_back(fake_codec: None, tmp_path: Path) -> None:
    """To the nanosecond, before 1970 as well; a copy has its own."""
    root, back = tmp_path / "in", tmp_path / "back"
    told = {"a.png": (1_234_567_890_123_456_789, 0o640), "b.png": (-86_400_000_000_001, 0o755), "c/d.png": (1, 0o444)}
    for name, (time, mode) in told.items():
        save(root / name, PHOTOS[0] if name == "b.png" else PHOTOS[1], time, mode)
    save(root / "lossy.jpg", PHOTOS[2], 77, 0o600)
    done = pack(root, tmp_path / "x.dfca")
    assert done["pictures"] == 4 and not done["left_out"] and not done["failed"]
    info = diffcodec.inspect_archive(str(tmp_path / "x.dfca"))
    assert info["format"] == "1.1" and info["groups"][0]["copies"] == 1
    assert unpack(tmp_path / "x.dfca", back)["problems"] == []
    for name, (time, mode) in {**told, "lossy.jpg.png": (77, 0o600)}.items():
        found = (back / name).stat()
        assert (found.st_mtime_ns, stat.S_IMODE(found.st_mode)) == (time, mode), name


def test_archives_from_memory_tell_no_times(fake_codec: None, tmp_path: Path) -> None:
    data = diffcodec.encode_archive(PHOTOS, FakeModel())
    assert data[8:10] == b"\1\0" and diffcodec.inspect_archive(data)["format"] == "1.0"
    (tmp_path / "x.dfca").write_bytes(data)
    assert unpack(tmp_path / "x.dfca", tmp_path / "back")["pictures"] == 12


def test_shares_without_permissions_and_times(
    fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "in/a.png", PHOTOS[0])
    pack(tmp_path / "in", tmp_path / "x.dfca")

    def refused(*rest, **more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    monkeypatch.setattr(os, "utime", refused)
    found = unpack(tmp_path / "x.dfca", tmp_path / "back")
    assert (found["pictures"], found["groups"], found["lost"], found["refused"]) == (1, 1, 0, 0)
    assert found["bytes_written"] == (tmp_path / "back/a.png").stat().st_size
    assert found["bytes_read"] < (tmp_path / "x.dfca").stat().st_size


def test_metadata_of_chained_pictures_is_kept(fake_codec: None) -> None:
    """What is no profile and no Exif data goes into a column of an extended archive."""
    told = [Metadata(icc=b"profile", xmp=b"<x/>", text=(Text("Title", f"picture {n}"),)) for n in range(12)]
    pictures = [Picture(photo, "RGB", metadata=m) for photo, m in zip(PHOTOS, told, strict=True)]
    data = diffcodec.encode_archive(pictures, White(), steps=6)
    info = diffcodec.inspect_archive(data)
    assert info["groups"][0]["chained"] > 3 and info["format"] == "1.1"
    with archive.open_archive(data) as reader:
        (found,) = archive.decoded(reader, reader.places, White(), "auto", 1, None)
    assert [p.metadata for p in found.pictures] == told


def test_sequences_are_streams_with_all_their_frames(fake_codec: None) -> None:
    plain = Picture(PHOTOS[0], "RGB")
    pictures = [Picture(PHOTOS[0], "RGB", frames=(Picture(PHOTOS[n], "RGB"),)) for n in (1, 2, 1)]
    data = diffcodec.encode_archive([plain, *pictures], FakeModel())
    assert diffcodec.inspect_archive(data)["groups"][0]["copies"] == 1
    with archive.open_archive(data) as reader:
        (found,) = archive.decoded(reader, reader.places, FakeModel(), "auto", 1, None)
    assert [len(p.frames) for p in found.pictures] == [0, 1, 1, 1]
    for picture, n in zip(found.pictures[1:], (1, 2, 1), strict=True):
        assert (picture.frames[0].samples == PHOTOS[n]).all()


def test_animations_and_pages_come_back_as_files(fake_codec: None, tmp_path: Path) -> None:
    """As PNG or TIFF with all frames, whichever holds them."""
    root, back = tmp_path / "in", tmp_path / "back"
    root.mkdir()
    images = [Image.fromarray(photo) for photo in PHOTOS[:3]]
    images[0].save(root / "a.gif", save_all=True, append_images=images[1:], duration=50)
    images[0].save(root / "b.tif", save_all=True, append_images=images[1:])
    images[0].save(root / "c.tif", save_all=True, append_images=[images[1].resize((5, 4)), images[2].convert("L")])
    done = pack(root, tmp_path / "x.dfca")
    assert done["pictures"] == 3 and not done["failed"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert unpack(tmp_path / "x.dfca", back)["problems"] == []
    assert sorted(p.name for p in back.iterdir()) == ["a.gif.png", "b.tif", "c.tif"]
    for before, after in ((root / "a.gif", back / "a.gif.png"), (root / "b.tif", back / "b.tif")):
        first, second = files.read_all(before), files.read_all(after)
        assert len(first.frames) == len(second.frames) == 2
        for a, b in zip((first, *first.frames), (second, *second.frames), strict=True):
            shown = [np.asarray(p.to_pillow().convert("RGBA")) for p in (a, b)]
            assert (shown[0] == shown[1]).all()
    assert [p.samples.shape for p in files.read_all(back / "c.tif").frames] == [(4, 5, 3), (8, 8)]


# ---- what is in a folder


def test_linked_folders_are_told_and_linked_files_taken(fake_codec: None, tmp_path: Path) -> None:
    root = tmp_path / "in"
    save(root / "a.png", PHOTOS[0])
    save(tmp_path / "elsewhere/b.png", PHOTOS[1])
    (root / "loop").symlink_to(root)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "c.png").symlink_to(tmp_path / "elsewhere/b.png")
    (root / "gone.png").symlink_to(tmp_path / "nothing.png")
    (root / "gone.txt").symlink_to(tmp_path / "nothing.txt")
    os.mkfifo(root / "pipe")
    with pytest.warns(UserWarning, match="left out") as told:
        done = pack(root, tmp_path / "x.dfca")
    lines = {str(w.message) for w in told}
    for name in ("loop", "linked"):
        assert f"left out {name}: a link to a folder, which is not followed" in lines
    assert "left out gone.png: a link that leads nowhere" in lines and "left out pipe: no regular file" in lines
    assert done["pictures"] == 2 and done["failed"] == ["gone.png"]
    assert sorted(done["left_out"]) == ["gone.png", "gone.txt", "linked", "loop", "pipe"]


def test_a_damaged_picture_is_left_out_with_status_1(fake_codec: None, tmp_path: Path, run) -> None:
    """By its name or by its content it is a picture; what is none costs no status."""
    root = tmp_path / "in"
    whole = save(root / "a.png", PHOTOS[0]).read_bytes()
    (root / "notes.txt").write_text("no picture")
    code, _, stderr = run("pack", root, tmp_path / "good.dfca", "--jobs", 1)
    assert code == 0 and "left out notes.txt" in stderr
    (root / "empty.png").write_bytes(b"")
    (root / "cut").write_bytes(whole[:60])
    (root / "array").write_bytes(b"\x93NUMPY\1\0damaged")
    (root / "b\x1b[31m\n\u00e9.jpg").write_bytes(b"\xff\xd8")
    code, stdout, stderr = run("pack", root, tmp_path / "x.dfca", "--jobs", 1, "--json")
    found = json.loads(stdout)
    assert code == 1 and found["pictures"] == 1 and len(found["failed"]) == 4 and len(found["left_out"]) == 5
    assert "error: could not pack array; b\\x1b[31m\\n\\xe9.jpg; cut; empty.png; the 1 pictures of the rest" in stderr
    assert stderr.isascii() and "\x1b" not in stderr
    expected = ("warning: left out ", "warning: the archive takes ", "error: ")
    assert all(line.startswith(expected) for line in stderr.splitlines())
    assert (diffcodec.decode_archive(str(tmp_path / "x.dfca"), model=FakeModel())[0] == PHOTOS[0]).all()


# ---- the unfinished file


def foreign(kind: str, part: Path, elsewhere: Path) -> None:
    elsewhere.write_bytes(b"another's own")
    if kind == "file":
        part.write_bytes(b"notes of mine")
    elif kind == "link":
        part.symlink_to(elsewhere)
    elif kind == "link to nothing":
        part.symlink_to(elsewhere.with_name("nothing"))
    elif kind == "link to an archive":
        elsewhere.write_bytes(diffcodec.encode_archive(PHOTOS, FakeModel()))
        part.symlink_to(elsewhere)
    elif kind == "folder":
        part.mkdir()
    else:
        os.mkfifo(part)


@pytest.mark.parametrize("kind", ["file", "link", "link to nothing", "link to an archive", "folder", "pipe"])
def test_a_foreign_part_file_is_left_alone(fake_codec: None, tmp_path: Path, kind: str) -> None:
    save(tmp_path / "in/a.png", PHOTOS[0])
    part, elsewhere = tmp_path / "x.dfca.part", tmp_path / "elsewhere"
    foreign(kind, part, elsewhere)
    before = sorted(p.name for p in tmp_path.iterdir()), elsewhere.read_bytes(), part.lstat()
    with pytest.raises(InputError, match=r"x\.dfca\.part is there and no unfinished archive"):
        pack(tmp_path / "in", tmp_path / "x.dfca")
    after = sorted(p.name for p in tmp_path.iterdir()), elsewhere.read_bytes(), part.lstat()
    assert before[:2] == after[:2] and before[2].st_ino == after[2].st_ino and before[2].st_size == after[2].st_size


@pytest.mark.parametrize("content", [b"", b"\x8bDF", b"\x8bDFA\r\n\x1a\n", b"\x8bDFA\r\n\x1a\n\1\0Arest"])
def test_a_part_file_of_ours_is_taken(fake_codec: None, tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "in/a.png", PHOTOS[0])
    (tmp_path / "x.dfca.part").write_bytes(content)
    assert pack(tmp_path / "in", tmp_path / "x.dfca")["pictures"] == 1
    assert not (tmp_path / "x.dfca.part").exists()


def test_where_an_open_file_cannot_be_renamed(
    fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the unfinished file is closed first."""
    save(tmp_path / "in/a.png", PHOTOS[0])
    real, opened = os.replace, []
    real_opened = packing._opened

    def opening(part):
        opened.append(real_opened(part))
        return opened[-1]

    def replace(a, b):
        assert opened[0].closed
        real(a, b)

    monkeypatch.setattr(packing, "_WINDOWS", True)
    monkeypatch.setattr(packing, "_opened", opening)
    monkeypatch.setattr(os, "replace", replace)
    assert pack(tmp_path / "in", tmp_path / "x.dfca")["pictures"] == 1


class Stopped(Exception):
    pass


def test_a_touched_file_is_packed_anew(fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before an interruption is kept only while times and permissions are the same."""
    for n, photo in enumerate(PHOTOS):
        save(tmp_path / f"in/{n:02}.png", photo, 5 + n)
    real = groups.encode_group

    def stop_at(count: int):
        left = [count]

        def some(task, progress=None):
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return real(task, progress)

        return some

    for touched, resumed in (("nothing", 2), ("time", 1), ("permissions", 1)):
        monkeypatch.setattr(packing, "encode_group", stop_at(2))
        with pytest.raises(Stopped):
            pack(tmp_path / "in", tmp_path / "x.dfca", group=4, overwrite=True)
        if touched == "time":
            os.utime(tmp_path / "in/05.png", ns=(99, 99))
        if touched == "permissions":
            (tmp_path / "in/05.png").chmod(0o711)
        monkeypatch.setattr(packing, "encode_group", real)
        assert pack(tmp_path / "in", tmp_path / "x.dfca", group=4, overwrite=True)["resumed"] == resumed
    unpack(tmp_path / "x.dfca", tmp_path / "back")
    found = (tmp_path / "back/05.png").stat()
    assert found.st_mtime_ns == 99 and stat.S_IMODE(found.st_mode) == 0o711


# ---- names that cannot be written


def test_names_that_cannot_be_written_are_named(fake_codec: None, tmp_path: Path, run) -> None:
    """Too long, through a file, onto a folder, too deep: each costs itself."""
    back = tmp_path / "back"
    back.mkdir()
    (back / "file").write_bytes(b"mine")
    (back / "folder.png").mkdir()
    deep = "/".join(["d"] * 900) + "/x.png"
    bad = ["n" * 255 + ".png", "file/x.png", "folder.png", deep, "m" * 255 + ".jpg"]
    data = forged(*((name, PHOTOS[n]) for n, name in enumerate(["a.png", *bad, "sub/z.png"])))
    (tmp_path / "x.dfca").write_bytes(data)
    done = unpack(tmp_path / "x.dfca", back)
    assert (done["pictures"], done["refused"], done["lost"]) == (2, 5, 0)
    assert [line.split(" is not written: ")[1] for line in done["problems"]] == [
        "File name too long",
        "a file stands where its folder file must be",
        "a folder stands where it must be",
        "it leads through 900 folders, over 128",
        "File name too long",
    ]
    assert all(line.isascii() and "\n" not in line for line in done["problems"])
    found = written(back / "sub") | {"a.png": np.asarray(Image.open(back / "a.png"))}
    assert (found["z.png"] == PHOTOS[6]).all() and (found["a.png"] == PHOTOS[0]).all()
    assert (back / "file").read_bytes() == b"mine" and not list((back / "folder.png").iterdir())
    code, _, stderr = run("unpack", tmp_path / "x.dfca", tmp_path / "other", "--jobs", 1)
    assert code == 1 and "it leads through 900 folders" in stderr and "4 pictures of the rest are written" in stderr


def test_links_lead_nowhere_out_of_the_folder(fake_codec: None, tmp_path: Path) -> None:
    back, outside = tmp_path / "back", tmp_path / "outside"
    outside.mkdir()
    (outside / "c.png").write_bytes(b"mine")
    (back / "inside").mkdir(parents=True)
    (back / "out").symlink_to(outside)
    (back / "up").symlink_to("..")
    (back / "in").symlink_to("inside")
    (back / "c.png").symlink_to(outside / "c.png")
    (back / "d.png").symlink_to(outside / "new.png")
    wanted = ["out/a.png", "up/b.png", "in/e.png", "c.png", "d.png", "out/sub/f.png", "g.png"]
    (tmp_path / "x.dfca").write_bytes(forged(*((name, PHOTOS[n]) for n, name in enumerate(wanted))))
    done = unpack(tmp_path / "x.dfca", back, overwrite=True)
    assert done["pictures"] == 2 and [line.split(" ")[0] for line in done["problems"]] == [
        "out/a.png", "up/b.png", "c.png", "d.png", "out/sub/f.png",
    ]  # fmt: skip
    assert all("a link there leads out of the folder" in line for line in done["problems"])
    assert [p.name for p in outside.iterdir()] == ["c.png"] and (outside / "c.png").read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "outside", "x.dfca"]
    assert (np.asarray(Image.open(back / "inside/e.png")) == PHOTOS[2]).all()


RESERVED = [
    "CON", "nul.png", "a/COM1.txt", "Aux.tar.gz", "LPT9", "con .png", "COM\u00b9.png", "CONIN$",
    "a:b.png", "a/c:/x.png", "a/x.png:stream", "what?.png", "a*b.png", 'a"b.png', "a|b.png", "a<b.png",
    "trailing./x.png", "x.png.", "x.png ", "trailing /x.png",
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_windows_reserves(name: str) -> None:
    assert names.refusal(name, windows=True)
    assert not names.refusal(name, windows=False)


@pytest.mark.parametrize(
    "name", ["CONSOLE.png", "a/com.png", "com10.png", "null.png", "x..png", "\u00fc b.png", ".hidden"]
)
def test_names_that_windows_takes(name: str) -> None:
    assert not names.refusal(name, windows=True)


def test_windows_gets_the_other_pictures(fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "refusal", partial(names.refusal, windows=True))
    wanted = ["a.png", "NUL.png", "b/12:30.png", "c.png"]
    (tmp_path / "x.dfca").write_bytes(forged(*((name, PHOTOS[n]) for n, name in enumerate(wanted))))
    done = unpack(tmp_path / "x.dfca", tmp_path / "back")
    assert done["problems"] == [
        "NUL.png is not written: NUL is a device's name on Windows",
        "b/12:30.png is not written: Windows allows no ':' in a name",
    ]
    assert sorted(written(tmp_path / "back")) == ["a.png", "c.png"]


def test_names_that_are_one_file_to_a_file_system(
    fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where case does not count the second is named, whether or not files may be replaced; elsewhere both are there."""
    wanted = ["a.png", "A.PNG", "\u00e9.png", "e\u0301.png"]
    (tmp_path / "x.dfca").write_bytes(forged(*((name, PHOTOS[n]) for n, name in enumerate(wanted))))
    assert unpack(tmp_path / "x.dfca", tmp_path / "both")["pictures"] == 4
    real = os.lstat

    def lstat(path, *rest, **more):
        parent, name = os.path.split(os.fspath(path))
        if Path(parent).name == "one":
            for other in os.listdir(parent):
                if names.folded(other) == names.folded(name):
                    return real(os.path.join(parent, other))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "lstat", lstat)
    for _ in range(2):
        done = unpack(tmp_path / "x.dfca", tmp_path / "one", overwrite=True)
        assert done["problems"] == [
            "A.PNG is not written: it is the same file here as a.png",
            "e\\u0301.png is not written: it is the same file here as \\xe9.png",
        ]
    assert (written(tmp_path / "one")["a.png"] == PHOTOS[0]).all()


def test_a_name_that_is_there_often(fake_codec: None, tmp_path: Path) -> None:
    (tmp_path / "x.dfca").write_bytes(forged(*(("a.png", photo) for photo in PHOTOS)))
    done = unpack(tmp_path / "x.dfca", tmp_path / "back")
    found = written(tmp_path / "back")
    assert done["pictures"] == 12 and sorted(found)[:3] == ["a.10.png", "a.11.png", "a.2.png"]
    assert sorted(map(bytes, found.values())) == sorted(map(bytes, PHOTOS))


def test_a_full_disk_ends_the_work(fake_codec: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.dfca").write_bytes(forged(*((f"{n}.png", photo) for n, photo in enumerate(PHOTOS))))

    def full(*rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking.output, "write", full)
    with pytest.raises(OSError, match="No space"):
        unpack(tmp_path / "x.dfca", tmp_path / "back")


# ---- damage


def test_damage_costs_the_stream_it_lies_in(fake_codec: None, tmp_path: Path, run) -> None:
    photos = [*PHOTOS, PHOTOS[3]]
    data = bytearray(diffcodec.encode_archive(photos, FakeModel(), names=[f"{n}.png" for n in range(13)]))
    with archive.open_archive(bytes(data)) as reader:
        group = reader.group(reader.places[0])
        start = bytes(data).index(group.payload)
        data[start + sum(e.size for e in group.entries[:3]) + 30] ^= 1
    with pytest.raises(ChecksumMismatch):
        diffcodec.decode_archive(bytes(data), model=FakeModel())
    with pytest.warns(UserWarning, match="checksums| is lost") as told:
        found = diffcodec.decode_archive(bytes(data), model=FakeModel(), damaged="skip")
    lines = [str(w.message) for w in told]
    assert "11 of its 13 pictures hold by their own checksums, the group's digest cannot be checked" in lines[0]
    assert [line.split(" is lost: ")[0] for line in lines[1:]] == [
        "picture 3 of group 0 (3.png)", "picture 12 of group 0 (12.png)",
    ]  # fmt: skip
    assert [n for n, picture in enumerate(found) if picture is None] == [3, 12]  # the other equals it
    assert all((a == b).all() for a, b in zip(found, photos, strict=True) if a is not None)
    (tmp_path / "x.dfca").write_bytes(bytes(data))
    code, _, stderr = run("unpack", tmp_path / "x.dfca", tmp_path / "back", "--jobs", 1)
    assert code == 1 and "picture 3 of group 0 (3.png) is lost" in stderr and "11 pictures of the rest" in stderr
    assert sorted(written(tmp_path / "back")) == sorted(f"{n}.png" for n in range(12) if n != 3)


def test_every_flipped_byte_of_a_packed_archive(fake_codec: None, tmp_path: Path) -> None:
    """Of streams, in an extended archive: behind its signature none costs more than one picture, or a name."""
    for n, photo in enumerate(PHOTOS[:5]):
        save(tmp_path / f"in/{n}.png", photo[:3, :3], 10**18 + n)
    pack(tmp_path / "in", tmp_path / "x.dfca")
    data = (tmp_path / "x.dfca").read_bytes()
    whole = [photo[:3, :3] for photo in PHOTOS[:5]]
    warnings.simplefilter("ignore")
    for at in range(9, len(data)):  # the signature and the major version are what makes it an archive
        broken = data[:at] + bytes([data[at] ^ 32]) + data[at + 1 :]
        with archive.open_archive(broken, lenient=True) as reader:
            found = [
                (entry.name, picture)
                for group in archive.decoded(reader, archive.all_places(reader), FakeModel(), "auto", 1, None)
                for entry, picture in zip(group.entries, group.pictures, strict=True)
            ]
        assert [name for name, _ in found] == [f"{n}.png" for n in range(5)], at
        held = [isinstance(p, Picture) and bool((p.samples == w).all()) for (_, p), w in zip(found, whole, strict=True)]
        assert held.count(False) == sum(not isinstance(p, Picture) for _, p in found) <= 1, at


def test_a_damaged_header_costs_chains_only(fake_codec: None, tmp_path: Path, run) -> None:
    data = bytearray(forged(*((f"{n}.png", PHOTOS[n]) for n in range(3))))
    first = Reader(io.BytesIO(bytes(data))).first
    for at in range(9, first):
        broken = bytes(data[:at]) + bytes([data[at] ^ 1]) + bytes(data[at + 1 :])
        with pytest.raises(BitstreamError):
            diffcodec.decode_archive(broken, model=FakeModel())
        with pytest.warns(UserWarning, match="streams of their own are read without it"):
            found = diffcodec.decode_archive(broken, model=FakeModel(), damaged="skip")
        assert all((a == b).all() for a, b in zip(found, PHOTOS[:3], strict=True)), at
    (tmp_path / "x.dfca").write_bytes(broken)
    code, _, stderr = run("unpack", tmp_path / "x.dfca", tmp_path / "back", "--jobs", 1)
    assert code == 1 and "read without it" in stderr and len(written(tmp_path / "back")) == 3
    with pytest.raises(BitstreamError):  # nothing tells which bytes the header's checksum was
        diffcodec.decode_archive(broken[:-1], model=FakeModel(), damaged="skip")


def test_a_stream_that_does_not_decode_costs_itself(fake_codec: None) -> None:
    """Its group's checksum holds, so it was made so: too large for the caller, or not what the directory says."""
    large = np.zeros((40, 50, 3), np.uint8)
    data = forged(("a.png", PHOTOS[0]), ("b.png", large), ("c.png", PHOTOS[1]))
    with pytest.raises(LimitExceeded):
        diffcodec.decode_archive(data, model=FakeModel(), max_pixels=1000)
    with pytest.warns(UserWarning, match="b.png"):
        found = diffcodec.decode_archive(data, model=FakeModel(), max_pixels=1000, damaged="skip")
    assert [picture is None for picture in found] == [False, True, False]


def test_a_cut_archive_gives_the_streams_before_the_cut(fake_codec: None, tmp_path: Path) -> None:
    data = diffcodec.encode_archive(PHOTOS, FakeModel(), group=5)
    with archive.open_archive(data) as reader:
        group = reader.group(reader.places[1])
        start = data.index(group.payload)
        cut = data[: start + sum(e.size for e in group.entries[:3]) + 9]
    with pytest.warns(UserWarning, match="ends before its index"):
        found = diffcodec.decode_archive(cut, model=FakeModel(), damaged="skip")
    assert [picture is None for picture in found] == [False] * 8 + [True] * 2


def test_digests_are_of_the_pictures(fake_codec: None) -> None:
    """Copies are looked at once; a group of other pictures, all checksums mended, is refused."""
    data = forged(("a", PHOTOS[0]), copies=200)
    assert len(diffcodec.decode_archive(data, model=FakeModel())) == 201
    out = io.BytesIO()
    with archive.open_archive(data) as reader:
        writer = Writer(out, reader.header)
        writer.add(Group(reader.group(reader.places[0]).entries[:100], api.encode(PHOTOS[0]), bytes(8)))
        writer.finish()
    with pytest.raises(DecodeMismatch, match="differ from its digest"):
        diffcodec.decode_archive(out.getvalue(), model=FakeModel())


# ---- what a few bytes ask for


def test_pixels_of_a_group_are_bounded(fake_codec: None) -> None:
    """Forty streams that claim 2^28 pixels each, or copies of one that has 2^20."""
    head = Header(0, 0, 2**14, 2**14, 3, 0, 0, "", bytes(8), b"\0\0\0\3").to_bytes()
    claim = write([Chunk("H", head), Chunk("P", b"few"), Chunk("E", bytes(8))])
    header = ArchiveHeader(0, "fake", FakeModel.fingerprint[:8], b"")
    for group, of in (
        (Group((Entry("", STREAM, len(claim)),) * 40, claim * 40, bytes(8)), 40),
        (Group((Entry("", STREAM, len(claim)), Entry("", COPY, 0)), claim, bytes(8)), 2),
    ):
        out = io.BytesIO()
        writer = Writer(out, header)
        writer.add(group)
        writer.finish()
        with pytest.raises(LimitExceeded, match=f"the {of} pictures of a group have {of * 2**28} pixels"):
            diffcodec.decode_archive(out.getvalue(), model=FakeModel())


def test_more_copies_than_readers_take_are_refused_at_once(fake_codec: None) -> None:
    with pytest.raises(InputError, match="groups of fewer pictures"):
        diffcodec.encode_archive([PHOTOS[0]] * 3000, FakeModel(), group=4000)
    data = diffcodec.encode_archive([PHOTOS[0]] * 3000, FakeModel())
    assert len(diffcodec.decode_archive(data, model=FakeModel())) == 3000


def test_a_chain_begins_above_bits(fake_codec: None) -> None:
    """What an encoder writes passes at any group and number of steps; one that claims more is refused by numbers."""
    data = diffcodec.encode_archive(PHOTOS, White(), steps=20)
    assert len(diffcodec.decode_archive(data, model=White())) == 12
    with archive.open_archive(data) as reader:
        group = reader.group(reader.places[0])
    with pytest.raises(LimitExceeded, match="begins above"):
        chains.check_work(group, [(64, 64)], [1], 20, 1.0)
    streams = Group((Entry("", STREAM, 3 * 2**20),), bytes(3 * 2**20), bytes(8))
    chains.check_work(streams, [(512, 512)] * 6, [1] * 6, 100, 1.0)
    few, many = Group((Entry("", STREAM, 2**13),), bytes(2**13), bytes(8)), [(16, 16)] * 2000
    with pytest.raises(LimitExceeded, match=r"1024512000 network pixels .* give a budget of 1\.91"):
        chains.check_work(few, many, [32] * 62 + [16], 2000, 1.0)
    chains.check_work(few, many, [32] * 62 + [16], 2000, 1.91)
    with pytest.raises(LimitExceeded, match="holds"):
        chains.check_work(Group((Entry("", STREAM, 2**24),), b"few", bytes(8)), [(8, 8)], [1], 2, 1.0)


def test_a_chain_that_readers_refuse_is_not_made(fake_codec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vdm_cost, "CHAIN_ALLOWED", cost.NOTHING_ALLOWED)
    data = diffcodec.encode_archive(PHOTOS, White(), steps=6)
    assert diffcodec.inspect_archive(data)["groups"][0]["streams"] == 12
    assert all((a == b).all() for a, b in zip(diffcodec.decode_archive(data, model=White()), PHOTOS, strict=True))


def test_a_model_runs_where_it_was_asked_to(fake_codec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures beside the chain too."""
    real, devices = groups.encode, set()

    def encode(picture, sender, progress=None):
        devices.add(sender.device)
        return real(picture, sender, progress)

    monkeypatch.setattr(groups, "encode", encode)
    diffcodec.encode_archive([*PHOTOS, PHOTOS[0][..., 0]], White(), steps=6, device="cpu")
    assert devices == {"cpu"}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("bomb-index", CorruptStream),
        ("bomb-copies", LimitExceeded),
        ("bomb-directory", LimitExceeded),
        ("schedule-zero", CorruptStream),
    ],
)
def test_archives_that_are_refused_unread(name: str, error: type[Exception]) -> None:
    data = (CASES / f"{name}.dfca").read_bytes()
    for damaged in ("raise", "skip"):
        with pytest.raises(error):
            diffcodec.decode_archive(data, damaged=damaged)
    with pytest.raises(error):
        diffcodec.inspect_archive(data)


@needs_weights
@pytest.mark.parametrize(("name", "error"), [("bomb-chain", LimitExceeded), ("schedule-wide", CorruptStream)])
def test_archives_that_are_refused_before_their_network_runs(name: str, error: type[Exception]) -> None:
    data = (CASES / f"{name}.dfca").read_bytes()
    with pytest.raises(error):
        diffcodec.decode_archive(data)


def test_an_empty_group_has_no_rate() -> None:
    info = diffcodec.inspect_archive((CASES / "empty-group.dfca").read_bytes())
    assert info["pictures"] == 0 and info["bpd"] is None


@needs_weights
def test_long_and_deep_names(tmp_path: Path) -> None:
    done = packing.unpack(str(CASES / "long-name.dfca"), str(tmp_path / "long"))
    assert done["pictures"] == 2 and len(done["problems"]) == 1 and "m.jpg.png is not written" in done["problems"][0]
    done = packing.unpack(str(CASES / "deep-name.dfca"), str(tmp_path / "deep"))
    assert done["pictures"] == 0 and "folders, over 128" in done["problems"][0]
