"""The container against its specification: vectors, the independent reader, inverses, pieces, limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import (
    SPEC,
    chunk_lists,
    described,
    headers,
    long_streams,
    reader,
    reader_verdict,
    small_pictures,
    streams,
    verdict,
    without_flags,
)

from diffcodec.bitstream import Chunk, Header, StreamReader, read, small, write
from diffcodec.bitstream.container import ANCILLARY
from diffcodec.runtime import errors
from diffcodec.runtime.limits import Limits
from diffcodec.runtime.varint import read_varint, write_varint

VALID = sorted((SPEC / "vectors" / "valid").glob("*.dfc"))
INVALID = sorted((SPEC / "vectors" / "invalid").glob("*.dfc"))


def name(path: Path) -> str:
    return path.stem


def told(path: Path) -> dict[str, Any]:
    """What the table of its folder says of a vector."""
    return json.loads((path.parent / "told.json").read_text(encoding="utf-8"))[path.stem]  # type: ignore[no-any-return]


# ---- vectors


def test_there_are_vectors_for_every_error() -> None:
    named = {told(path)["error"] for path in INVALID}
    assert named == {error.__name__ for error in errors.BitstreamError.__subclasses__()}
    assert len(VALID) >= 10


@pytest.mark.parametrize("path", VALID, ids=name)
def test_valid_vector(path: Path) -> None:
    data = path.read_bytes()
    expected = told(path)
    assert reader.parse(data) == expected
    assert described(read(data)) == without_flags(expected)


@pytest.mark.parametrize("path", VALID, ids=name)
def test_the_writer_still_makes_the_vector(path: Path) -> None:
    data = path.read_bytes()
    container, chunks = read(data), StreamReader().feed(data)
    if container.version < (1, 5):
        assert write(chunks) == data
    if chunks[0].type == "S":
        assert small.pack(*small.unpack(chunks[0].payload)) == chunks[0].payload
    elif name(path) != "unused_flags":
        assert container.header.to_bytes() == chunks[0].payload


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_invalid_vector(path: Path) -> None:
    data = path.read_bytes()
    expected = told(path)["error"]
    assert verdict(data) == expected == reader_verdict(data)
    assert verdict(data, partial=True) == reader_verdict(data, partial=True)
    if expected != "Truncated":
        assert verdict(data, partial=True) == expected


# ---- numbers, header, stream: inverses, and both readers find the same


def test_crc_check_value() -> None:
    assert reader.crc32c(b"123456789") == google_crc32c.value(b"123456789") == 0xE3069283


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varint_inverse(value: int, tail: bytes) -> None:
    data = write_varint(value)
    assert read_varint(data + tail, 0, 64) == (value, len(data)) == reader.take_varint(data + tail, 0, 64)


@given(st.binary(max_size=12), st.sampled_from([32, 35, 64]))
def test_varint_has_one_form(data: bytes, bits: int) -> None:
    try:
        value, end = read_varint(data, 0, bits)
    except (errors.CorruptStream, errors.Truncated) as error:
        with pytest.raises(reader.Cut if isinstance(error, errors.Truncated) else reader.Refused):
            reader.take_varint(data, 0, bits)
    else:
        assert write_varint(value) == data[:end] and value < 2**bits
        assert reader.take_varint(data, 0, bits) == (value, end)


def test_endless_varint_ends() -> None:
    stream = StreamReader()
    stream.feed(write([])) and pytest.fail("no chunk was written")
    with pytest.raises(errors.CorruptStream):
        stream.feed(b"P" + b"\x80" * 5)


@given(headers)
def test_header_inverse(header: Header) -> None:
    assert Header.from_bytes(header.to_bytes()) == header


@given(chunk_lists())
def test_stream_inverse(chunks: list[Chunk]) -> None:
    data = write(chunks)
    assert StreamReader().feed(data) == chunks
    container = read(data)
    assert container.complete and container.header == Header.from_bytes(chunks[0].payload)
    assert container.passes == [chunk.payload for chunk in chunks if chunk.type == "P"]
    assert container.frames == [read(chunk.payload) for chunk in chunks if chunk.type == "N"]
    assert container.ancillary == {chunk.type: chunk.payload for chunk in chunks if chunk.type in ANCILLARY}
    assert described(container) == reader_verdict(data)


@given(small_pictures)
def test_small_inverse(parts: tuple[Header, bytes, bytes, list[tuple[str, bytes]]]) -> None:
    header, one_pass, digest, ancillary = parts
    data = write([Chunk("S", small.pack(*parts))])
    container = read(data)
    assert (container.header, container.passes, container.digest) == (header, [one_pass], digest)
    assert container.complete and container.ends == [len(data)] and container.version in ((1, 1), (1, 4))
    assert container.ancillary == {letter: payload for letter, payload in ancillary if letter in ANCILLARY}
    assert container.version == (1, 4) if ancillary else True
    assert described(container) == reader_verdict(data)


@given(st.binary(max_size=40))
def test_small_has_one_form(payload: bytes) -> None:
    data = write([Chunk("S", payload)])
    found = verdict(data)
    assert found == reader_verdict(data)
    if not isinstance(found, str):
        assert small.pack(*small.unpack(payload)) == payload


@pytest.mark.parametrize("change", [{"codec": 2}, {"params": bytes(65537)}])
def test_small_picture_that_cannot_be_written(change: dict[str, object]) -> None:
    fields = vars(Header(0, 0, 1, 1, 0, 0, 0, "", bytes(4), b"")) | change
    with pytest.raises(ValueError, match="a small stream holds"):
        small.pack(Header(**fields), b"", bytes(8))


@pytest.mark.parametrize("change", [{"model": "m" * 65}, {"fingerprint": b"short"}, {"params": bytes(65537)}])
def test_header_that_cannot_be_written(change: dict[str, object]) -> None:
    fields = vars(Header(0, 0, 1, 1, 0, 0, 0, "", bytes(8), b"")) | change
    with pytest.raises(ValueError, match=r"a model name|fingerprint of"):
        Header(**fields).to_bytes()


# ---- pieces and prefixes


@given(streams, st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_bytes_may_come_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    whole = StreamReader().feed(data)
    part, at, pieces = StreamReader(), 0, []
    for size in [*sizes, len(data)]:
        pieces += part.feed(data[at : at + size])
        at += size
    assert pieces == whole and [chunk.end for chunk in pieces] == [chunk.end for chunk in whole]
    assert part.container() == read(data) and part.pending == 0


@given(long_streams)
def test_every_prefix_on_a_chunk_holds_its_passes(data: bytes) -> None:
    container = read(data)
    for number, end in enumerate(container.ends, 1):
        prefix = read(data[:end], partial=True)
        assert prefix.passes == container.passes[:number] and not prefix.complete
        with pytest.raises(errors.Truncated):
            read(data[:end])


# ---- limits


def test_the_caller_may_raise_or_lower_the_pixel_limit() -> None:
    header = Header(0, 0, 2**15, 2**15, 1, 0, 0, "", bytes(8), b"")
    data = write([Chunk("H", header.to_bytes()), Chunk("E", bytes(8))])
    for limit in (2**28, 2**30 - 1):
        with pytest.raises(errors.LimitExceeded, match="max_pixels"):
            read(data, limits=Limits(max_pixels=limit))
    assert read(data, limits=Limits(max_pixels=2**30)).header == header


def test_the_number_of_frames_is_judged_before_their_bytes() -> None:
    one = Chunk("N", (SPEC / "vectors" / "valid" / "small.dfc").read_bytes())
    chunks = StreamReader().feed((SPEC / "vectors" / "valid" / "two_passes.dfc").read_bytes())
    data = write([*chunks[:-1], one, one, Chunk("N", b"no stream"), chunks[-1]])
    assert verdict(data) == reader_verdict(data) == "NotADiffcodecFile"
    with pytest.raises(errors.LimitExceeded):
        read(data, limits=Limits(max_frames=2))
    with pytest.raises(reader.Refused) as refused:
        reader.parse(data, max_frames=2)
    assert refused.value.name == "LimitExceeded"


def test_a_lower_chunk_limit_refuses_before_the_payload_is_there() -> None:
    header = Header(0, 0, 1, 1, 1, 0, 0, "", bytes(8), b"")
    data = write([Chunk("H", header.to_bytes()), Chunk("P", bytes(1001)), Chunk("E", bytes(8))])
    assert read(data, limits=Limits(max_chunk=1001)).complete
    with pytest.raises(errors.LimitExceeded):
        StreamReader(Limits(max_chunk=1000)).feed(data[:50])


# ---- the program


def test_reader_is_a_program() -> None:
    path = SPEC / "vectors" / "valid" / "every_known_chunk.dfc"
    run = [sys.executable, "-S", "-E", str(SPEC / "reader.py")]
    out = subprocess.run([*run, path], capture_output=True, text=True, check=True)
    table = [line.split()[1] for line in out.stdout.splitlines()[1:9]]
    assert table == ["H", "C", "i", "x", "t", "P", "P", "E"] and '"model": "toy"' in out.stdout
    invalid = path.parents[1] / "invalid" / "ancillary_twice.dfc"
    refused = subprocess.run([*run, invalid], capture_output=True, text=True)
    assert refused.returncode == 1 and refused.stderr.startswith("refused: ")


def test_reader_decodes_as_a_program(tmp_path: Path) -> None:
    import numpy as np

    import diffcodec

    vectors, out = SPEC / "vectors" / "decodable", tmp_path / "out.npy"
    run = [sys.executable, str(SPEC / "reader.py")]
    subprocess.run([*run, vectors / "sixteen_planes.dfc", out], check=True, capture_output=True)
    assert np.load(out).tobytes() == diffcodec.decode(vectors / "sixteen_planes.dfc").tobytes()
    several = tmp_path / "out.npz"
    for name, count in (("frames.dfc", 5), ("archive_of_streams.dfca", 4)):
        subprocess.run([*run, vectors / name, several], check=True, capture_output=True)
        with np.load(several) as arrays:
            assert len(arrays) == count
    empty = subprocess.run([*run, vectors / "lattice.dfc", out, "--models", tmp_path], capture_output=True, text=True)
    assert empty.returncode == 1 and empty.stderr.startswith("refused: ModelNotFound")
