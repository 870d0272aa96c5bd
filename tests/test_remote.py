"""Files elsewhere: memory:// and a server on 127.0.0.1, in Python and by the command; what is fetched of them."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import diffcodec
from diffcodec import files
from diffcodec.archive import appending, listing
from diffcodec.archive import folder as packing
from diffcodec.archive.opening import Part
from diffcodec.runtime import remote
from diffcodec.runtime.errors import InputError, NotADiffcodecFile, Truncated

fsspec = pytest.importorskip("fsspec", reason="needs the extra remote")
pytestmark = pytest.mark.usefixtures("fake_codec")


@pytest.fixture
def there() -> Iterator[Any]:
    """The file system memory://, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def serving() -> Callable[..., Any]:
    pytest.importorskip("aiohttp", reason="needs the extra remote")
    return pytest.importorskip("benchmarks.claims.range_reads", reason="needs the repository").serving


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *((name, True) for name in ("s3://a/b", "http://h/x?y=1", "memory://a")),
        *((name, False) for name in ("C://a", "a/b", "x:y", "://a", Path("s3://a"), b"s3://a", "-")),
    ],
)
def test_names_of_files_elsewhere(name: object, wanted: bool) -> None:
    assert remote.is_remote(name) is wanted


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 40_000), st.integers(0, 2**32))
def test_ranges_read_as_a_file_does(there: Any, size: int, seed: int) -> None:
    source = random.Random(seed)
    data = source.randbytes(size)
    there.pipe_file("/a", data)
    here, ranges = io.BytesIO(data), remote.opened("memory://a")
    whole = remote.opened("memory://a")
    part = Part(whole, size // 3, size - size // 3 - size // 5)
    inner = io.BytesIO(data[size // 3 : size - size // 5])
    for _ in range(12):
        at, count, whence = source.randint(0, size + 9), source.choice([0, 1, 6, 5000, 20_000]), source.randint(0, 2)
        for one, other in ((here, ranges), (inner, part)):
            offset = at if whence == 0 else -(at % 7) if whence == 2 and at % 7 <= len(inner.getvalue()) else 0
            assert one.seek(offset, whence) == other.seek(offset, whence) == other.tell()
            assert one.read(count) == other.read(count) and one.tell() == other.tell()
    assert here.seek(0) == ranges.seek(0) and here.read() == ranges.read() == data
    part.close()
    assert whole.closed and not ranges.closed


def test_streams_elsewhere(there: Any, picture: np.ndarray) -> None:
    data = diffcodec.encode(picture)
    there.pipe_file("/a.dfc", data)
    assert np.array_equal(diffcodec.decode("memory://a.dfc"), picture)
    assert diffcodec.inspect("memory://a.dfc") == diffcodec.inspect(data)
    assert len(list(diffcodec.decode_progressive("memory://a.dfc"))) == 3
    end = diffcodec.inspect(data)["passes"][0]["end"]
    assert np.array_equal(diffcodec.decode("memory://a.dfc", upto_bytes=end), diffcodec.decode(data, upto_bytes=end))
    assert not diffcodec.decode_concealed("memory://a.dfc").lost
    there.pipe_file("/b.dfc", data[:-1])
    with pytest.raises(Truncated):
        diffcodec.decode("memory://b.dfc")
    with pytest.raises(FileNotFoundError, match=r"memory://none\.dfc"):
        diffcodec.decode("memory://none.dfc")


def test_pictures_elsewhere(there: Any, picture: np.ndarray) -> None:
    out = io.BytesIO()
    np.save(out, picture)
    there.pipe_file("/a.npy", out.getvalue())
    for read in (files.read, files.read_all, files.read_signal):
        assert np.array_equal(read("memory://a.npy").array, picture)
    (one,) = diffcodec.encode_files({"memory://a.npy": "memory://out/a.dfc"})
    assert one.status == "written" and np.array_equal(diffcodec.decode(there.cat_file("/out/a.dfc")), picture)
    (again,) = diffcodec.encode_files({"memory://a.npy": "memory://out/a.dfc"})
    assert isinstance(again.error, InputError) and "exists already" in str(again.error)
    (back,) = diffcodec.decode_files(["memory://out/a.dfc"], "memory://back")
    assert back.target == "memory://back/a.png" and np.array_equal(files.read(back.target).array, picture)
    (lost,) = diffcodec.encode_files(["memory://none.png"], "memory://out")
    assert isinstance(lost.error, FileNotFoundError)


def archive(pictures: list[np.ndarray], **options: Any) -> bytes:
    """Grey pictures are streams, and those of RGB a chain where there are several."""
    return diffcodec.encode_archive(pictures, "fake", **options)


def test_archives_elsewhere(there: Any) -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, (9, 8 + k), dtype=np.uint8) for k in range(5)]
    pictures.append(pictures[4].copy())  # a copy within its group
    names = ["a", "b/c", "d", "e", "f", "g"]
    for options in ({}, {"group": 2}, {"group": 1, "names": names}, {"names": names, "group": 3}):
        there.pipe_file("/a.dfca", archive(pictures, **options))
        back = diffcodec.decode_archive("memory://a.dfca")
        assert all(np.array_equal(one, other) for one, other in zip(back, pictures, strict=True))
        told = diffcodec.inspect_archive("memory://a.dfca")
        for number, one in enumerate(pictures):
            name = options["names"][number] if "names" in options else f"{number:06}"
            for key in (number, name):
                with diffcodec.open_picture("memory://a.dfca", key) as file:
                    assert np.array_equal(diffcodec.decode(file), one)
        assert told["pictures"] == 6
    for key in (6, -1, "none", ""):
        with pytest.raises(InputError, match="no picture of the archive"):
            diffcodec.open_picture("memory://a.dfca", key)
    there.pipe_file("/b.dfca", b"nothing")
    with pytest.raises(NotADiffcodecFile):
        diffcodec.open_picture("memory://b.dfca", 0)


def test_every_cut_and_flip_of_an_archive_is_an_error_of_ours(there: Any, picture: np.ndarray) -> None:
    grey, right = picture[..., 0], 0
    data = archive([grey, grey[:5]], group=1)
    for at in range(0, len(data), 3):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]):
            try:
                with diffcodec.open_picture(damaged, 1) as file:
                    shown = diffcodec.decode(file)
            except diffcodec.DiffcodecError:
                continue
            assert np.array_equal(shown, grey[:5])
            right += 1
    assert right  # damage elsewhere is none of its


def test_pictures_of_a_chain_have_no_stream() -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, (9, 8 + k, 3), dtype=np.uint8) for k in range(5)]
    with pytest.raises(InputError, match="of a chain, which has no streams"):
        diffcodec.open_picture(archive(pictures), 0)


def test_of_an_archive_no_more_is_fetched_than_is_read(serving: Callable[..., Any]) -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, (160, 300), dtype=np.uint8) for k in range(12)]
    data = archive(pictures, group=4)
    with serving(data) as (address, sent):
        with diffcodec.open_picture(address, 7) as file:
            opened = sent.bytes
            assert np.array_equal(diffcodec.decode(file), pictures[7])
        assert opened <= 5 * remote.AHEAD
        assert sent.bytes <= opened + len(data) / 12 + 2 * remote.AHEAD < len(data) / 4
    for way in ({"ranges": False}, {"ranges": False, "sized": False}):
        with serving(data, **way) as (address, sent), diffcodec.open_picture(address, 7) as file:
            assert np.array_equal(diffcodec.decode(file), pictures[7])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures; what is unfinished stands below tmp_path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    for k in range(3):
        Image.fromarray(np.random.default_rng(k).integers(0, 256, (9, 8 + k), dtype=np.uint8)).save(
            tmp_path / "in" / f"{k}.png"
        )
    return tmp_path / "in"


def test_an_archive_is_written_elsewhere_once(there: Any, folder: Path, tmp_path: Path, monkeypatch) -> None:
    where, here = "memory://of/all.dfca", tmp_path / "all.dfca"
    done = packing.pack(str(folder), where, "fake", group=1)
    packing.pack(str(folder), str(here), "fake", group=1)
    assert there.cat_file("/of/all.dfca") == here.read_bytes() and done["bytes"] == here.stat().st_size
    assert not list((tmp_path / "cache" / "diffcodec").iterdir())
    with pytest.raises(InputError, match="exists already"):
        packing.pack(str(folder), where, "fake")
    packing.pack(str(folder), where, "fake", group=2, overwrite=True)

    (tmp_path / "in" / "3.png").write_bytes((folder / "2.png").read_bytes())
    added = appending.append(where, str(folder))
    assert added["pictures"] == 1 and added["already"] == 3 and added["added_bytes"] > 0
    assert added["bytes"] == len(there.cat_file("/of/all.dfca"))
    assert [item.name for item in listing.list_archive(where)[0]] == [f"{k}.png" for k in range(4)]
    before = there.cat_file("/of/all.dfca")
    (tmp_path / "in" / "4.png").write_bytes((folder / "1.png").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(type(there), "open", refusing(there))
        with pytest.raises(OSError, match="full"):
            appending.append(where, str(folder))
    assert there.cat_file("/of/all.dfca") == before


def refusing(system: Any) -> Callable[..., Any]:
    """Its ``open`` while it is full."""
    real = type(system).open

    def opened(self: Any, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" in mode:
            raise OSError(28, "the store is full")
        return real(self, path, mode, **options)

    return opened


def test_an_archive_for_elsewhere_goes_on(there: Any, folder: Path, tmp_path: Path, monkeypatch, run) -> None:
    """After an interrupt, and where the store refuses it, nothing is there, and nothing is lost."""
    where, real, coded = "memory://all.dfca", packing.encode_group, []

    def interrupted(task: Any, progress: Any) -> Any:
        if len(coded) == 2:
            raise KeyboardInterrupt
        coded.append(task)
        return real(task, progress)

    words = ("pack", folder, where, "--model", "fake", "--group", 1, "--jobs", 1)
    with monkeypatch.context() as patch:
        patch.setattr(packing, "encode_group", interrupted)
        code, _, said = run(*words)
    part = packing.part_file(where)
    assert code == 130 and f"are kept in {part}" in said and Path(part).parent == tmp_path / "cache" / "diffcodec"
    assert not there.store
    with monkeypatch.context() as patch:
        patch.setattr(type(there), "open", refusing(there))
        code, _, said = run(*words)
    assert code == 1 and "was not written (the store is full)" in said and part in said and not there.store
    assert run(*words)[0] == 0 and not Path(part).exists()
    packing.pack(str(folder), str(tmp_path / "here.dfca"), "fake", group=1)
    assert there.cat_file("/all.dfca") == (tmp_path / "here.dfca").read_bytes()
    assert packing.part_file(where) != packing.part_file("memory://other/all.dfca")


def test_errors_of_a_server_name_the_file(serving: Callable[..., Any], picture: np.ndarray) -> None:
    with serving(diffcodec.encode(picture)) as (address, _):
        assert np.array_equal(diffcodec.decode(address), picture)
    with pytest.raises(OSError, match="127"):
        diffcodec.decode(address)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no file is found by nowhere://a"):
        diffcodec.decode("nowhere://a")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(InputError, match=r"pip install 'diffcodec\[remote\]'"):
        diffcodec.decode("memory://a")


def test_the_command(there: Any, picture: np.ndarray, tmp_path: Path, run: Callable[..., Any]) -> None:
    out = io.BytesIO()
    np.save(out, picture)
    there.pipe_file("/a.npy", out.getvalue())
    assert run("encode", "memory://a.npy", "memory://a.dfc")[0] == 0
    assert run("decode", "memory://a.dfc", tmp_path / "a.png")[0] == 0
    assert np.array_equal(files.read(tmp_path / "a.png").array, picture)
    assert run("decode", "memory://a.dfc", "memory://b.png")[0] == 0
    assert np.array_equal(files.read("memory://b.png").array, picture)
    assert json.loads(run("info", "memory://a.dfc", "--json")[1])["width"] == 13
    there.pipe_file("/a.dfca", archive([picture, picture[:3]], names=["x.png", "y.png"]))
    assert b"x.png" in run("list", "memory://a.dfca")[1]
    assert run("test", "memory://a.dfca", "memory://a.dfc", "--jobs", "1")[0] == 0
    assert run("extract", "memory://a.dfca", "y*", "--out-dir", tmp_path / "out", "--jobs", "1")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["y.png"]
    code, _, said = run("decode", "memory://a.dfc", "memory://a.dfc", "--overwrite")
    assert code == 1 and "the same file" in said
    code, _, said = run("encode", "memory://none.npy", "memory://c.dfc")
    assert code == 1 and "memory://none.npy" in said
