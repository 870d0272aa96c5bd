"""Forged streams whose checksums hold: the package and the independent reader find the same samples or name the same
error. The container's rules are compared in test_damage; here it is what only decoding shows."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import needs_weights
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from streams import SPEC, reader

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.bitstream import Chunk, Header, StreamReader, read, small, write
from diffcodec.bitstream import given as given_chunk
from diffcodec.bitstream.archive import Writer
from diffcodec.codecs.reconstruction import MEAN
from diffcodec.models.gaussian import WhiteInBoxes
from diffcodec.runtime.errors import BitstreamError, DiffcodecError, LimitExceeded
from diffcodec.runtime.varint import read_varint, write_varint
from diffcodec.stream.decode import Wanted, decode
from diffcodec.stream.parsed import parse

VECTORS = SPEC / "vectors" / "decodable"
#: small ones, of every method that is exact
NAMES = [
    "context_numbers", "context_colours", "context_one_colour", "context_raw", "palette", "constant_alpha",
    "lattice_one_pixel", "grey_in_colour", "copied_low_bytes", "sixteen_planes", "lattice_one_row", "mode_03",
    "mode_12", "mode_19", "mode_34", "mode_71", "order_random_grey", "statistics_grey", "ancillary",
]  # fmt: skip
MOST_PIXELS = 400
#: which of these is named where parameters cannot be and a model is missing is the reader's choice (SPEC.md §1.2)
FREE = {"CorruptStream", "ModelNotFound", "ModelMismatch"}
pytestmark = needs_weights


def verdict(data: bytes) -> str | bytes:
    try:
        samples = diffcodec.decode(data)
    except DiffcodecError as error:
        assert "\n" not in str(error)
        return type(error).__name__
    return repr(samples.dtype.newbyteorder("<").str).encode() + np.ascontiguousarray(samples).tobytes()


def reader_verdict(data: bytes) -> str | bytes:
    try:
        samples = reader.decode(data)
    except reader.Refused as error:
        return str(error.name)
    return repr(samples.dtype.newbyteorder("<").str).encode() + np.ascontiguousarray(samples).tobytes()


def changed(data: bytes, draw: st.DataObject) -> bytes:
    """A byte set, cut away, or put in."""
    if not data:
        return draw.draw(st.binary(min_size=1, max_size=2))
    at = draw.draw(st.integers(0, len(data) - 1))
    ways = {
        "set": data[:at] + bytes([draw.draw(st.integers(0, 255))]) + data[at + 1 :],
        "cut": data[:at],
        "drop": data[:at] + data[at + 1 :],
        "insert": data[:at] + draw.draw(st.binary(min_size=1, max_size=1)) + data[at:],
    }
    return ways[draw.draw(st.sampled_from(sorted(ways)))]


def forged(chunks: list[Chunk], what: str, draw: st.DataObject) -> list[Chunk]:
    """The chunks of a stream with one thing changed; a small picture is taken apart first."""
    if chunks[0].type == "S":
        header, one_pass, digest, ancillary = small.unpack(chunks[0].payload)
        parts = {"header": header, "pass": one_pass, "digest": digest}
        if what == "pass":
            parts["pass"] = changed(one_pass, draw)
        elif what == "digest":
            parts["digest"] = draw.draw(st.binary(min_size=4, max_size=4))
        elif what in ("params", "mode", "size"):
            parts["header"] = other_header(header, what, draw)
        else:
            assume(False)
        return [Chunk("S", small.pack(parts["header"], parts["pass"], parts["digest"], ancillary))]  # type: ignore
    chunks = list(chunks)
    passes = [i for i, chunk in enumerate(chunks) if chunk.type == "P"]
    if what == "pass":
        at = draw.draw(st.sampled_from(passes))
        chunks[at] = Chunk("P", changed(chunks[at].payload, draw))
    elif what == "less":
        del chunks[draw.draw(st.sampled_from(passes))]
    elif what == "more":
        at = draw.draw(st.sampled_from(passes))
        chunks.insert(at, chunks[at])
    elif what == "digest":
        chunks[-1] = Chunk("E", draw.draw(st.binary(min_size=8, max_size=8)))
    elif what == "palette":
        old = next((chunk.payload for chunk in chunks if chunk.type == "C"), b"\1\2\3\4")
        chunks = [chunk for chunk in chunks if chunk.type != "C"]
        chunks.insert(1, Chunk("C", changed(old, draw)))
    else:
        header = other_header(Header.from_bytes(chunks[0].payload), what, draw)
        chunks[0] = Chunk("H", header.to_bytes())
    return chunks


def other_header(header: Header, what: str, draw: st.DataObject) -> Header:
    small_number = st.integers(1, 20)
    new = {
        "params": lambda: {"params": changed(header.params, draw)},
        "mode": lambda: {"mode": draw.draw(st.integers(0, 80))},
        "size": lambda: {draw.draw(st.sampled_from(["width", "height"])): draw.draw(small_number)},
        "model": lambda: {"fingerprint": draw.draw(st.binary(min_size=8, max_size=8))},
        "transform": lambda: {"statistics": 1 - header.statistics},
        "seed": lambda: {"seed": draw.draw(st.integers(0, 9))},
    }[what]()
    return Header(**(vars(header) | new))


FORGERIES = "pass less more digest palette params mode size model transform seed".split()


@given(name=st.sampled_from(NAMES), what=st.sampled_from(FORGERIES), draw=st.data())
@settings(max_examples=150, deadline=None)
def test_both_readers_judge_forgeries_alike(name: str, what: str, draw: st.DataObject) -> None:
    chunks = forged(StreamReader().feed((VECTORS / f"{name}.dfc").read_bytes()), what, draw)
    data = write(chunks)
    try:
        header = read(data).header
    except BitstreamError:
        return
    assume(header.width * header.height <= MOST_PIXELS)
    mine = verdict(data)
    if mine == LimitExceeded.__name__:  # the package's budget for what few bytes may ask of it
        return
    other = reader_verdict(data)
    assert mine == other or {mine, other} <= FREE


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.dfc")), ids=lambda path: path.stem)
def test_both_readers_refuse_streams_without_their_last_pass(path: Path) -> None:
    chunks = StreamReader().feed(path.read_bytes())
    passes = [i for i, chunk in enumerate(chunks) if chunk.type == "P"]
    if not passes or read(path.read_bytes()).header.model == "white":
        pytest.skip("a small picture, or one of the test model")
    for keep in (0, len(passes) - 1):
        rest = [chunk for i, chunk in enumerate(chunks) if i not in passes[keep:]]
        data = write(rest)
        if read(data).header.codec == 2 and keep:
            continue  # a lossy stream may end behind any pass
        assert verdict(data) == reader_verdict(data) == "CorruptStream"


# ---- what was given


def given_verdicts(data: bytes) -> tuple[str | np.ndarray, str | np.ndarray]:
    """The package's and the independent reader's, before a picture is made to agree with what was given."""
    found: list[str | np.ndarray] = []
    try:
        found.append(decode(parse(read(data)), Wanted(MEAN, WhiteInBoxes(), agrees=False)).samples.astype(int))
    except DiffcodecError as error:
        found.append(type(error).__name__)
    try:
        found.append(reader.decode(data).astype(int))
    except reader.Refused as error:
        found.append(str(error.name))
    return found[0], found[1]


def agree(data: bytes) -> bool:
    mine, other = given_verdicts(data)
    if isinstance(mine, str) or isinstance(other, str):
        return isinstance(mine, str) and isinstance(other, str) and (mine == other or {mine, other} <= FREE)
    return mine.shape == other.shape and int(abs(mine - other).max()) <= 1


def regiven(name: str, parts: list[given_chunk.Given]) -> bytes:
    """A vector that was given other things."""
    chunks = StreamReader().feed((VECTORS / f"{name}.dfc").read_bytes())
    payload = given_chunk.write(parts)
    return write([Chunk("G", payload) if chunk.type == "G" else chunk for chunk in chunks])


@pytest.mark.parametrize(
    "path", [*sorted(VECTORS.glob("mode_*.dfc")), VECTORS / "palette_sorted.dfc"], ids=lambda p: p.stem
)
def test_both_readers_take_nested_streams_of_the_same_modes(path: Path) -> None:
    """All of one size, as what it was given: only colour without alpha will do, for boxes, and as a mask only bits."""
    stream = path.read_bytes()
    data = regiven("given_boxes", [given_chunk.Stream("box", (4,), None, stream)])
    assert agree(data) and isinstance(given_verdicts(data)[1], str) == (path.stem != "mode_03")
    size = read(stream).header
    rgb = diffcodec.encode(np.zeros((size.height, size.width, 3), np.uint8))
    payload = given_chunk.write([given_chunk.Stream("mask", (), None, rgb, stream)])
    first, *chunks = StreamReader().feed((VECTORS / "given_boxes.dfc").read_bytes())
    head = replace(Header.from_bytes(first.payload), width=size.width, height=size.height)
    chunks = [Chunk("G", payload) if chunk.type == "G" else chunk for chunk in chunks]
    masked = write([Chunk("H", head.to_bytes()), *chunks])
    mine, other = given_verdicts(masked)
    assert mine == other == ("ModelMismatch" if path.stem == "mode_32" else "CorruptStream")


@given(name=st.sampled_from(["given_boxes", "given_grey", "given_twice", "given_alone"]), draw=st.data())
@settings(max_examples=60, deadline=None)
def test_both_readers_judge_what_was_given_alike(name: str, draw: st.DataObject) -> None:
    """Nested streams forged under right checksums, other numbers and augmentations, two things at once."""
    (part,) = read((VECTORS / f"{name}.dfc").read_bytes()).given
    assert isinstance(part, given_chunk.Stream)
    what = draw.draw(st.sampled_from(["nested", "augmentation", "operator", "twice", "header"]))
    if what == "nested":
        chunks = StreamReader().feed(part.stream)
        small_ones = ["pass", "digest", "params", "mode"]
        kind = draw.draw(
            st.sampled_from(small_ones if chunks[0].type == "S" else [*small_ones, "less", "more", "seed"])
        )
        parts = [replace(part, stream=write(forged(chunks, kind, draw)))]
    elif what == "augmentation":
        parts = [replace(part, augmentation=draw.draw(st.integers(-9000, 14000)))]
    elif what == "operator":
        operator = draw.draw(st.sampled_from(["luma", "chroma", "crop"]))
        size = read(part.stream).header
        numbers = {"luma": (), "chroma": (2,), "crop": (1, 1, size.height, size.width)}[operator]
        parts = [replace(part, operator=operator, numbers=numbers)]
    elif what == "header":
        parts = [part]
    else:
        parts = [part, draw.draw(st.sampled_from([part, given_chunk.Text("a"), given_chunk.Before(1)]))]
    data = regiven(name, parts)
    if what == "header":
        kind = draw.draw(st.sampled_from(["params", "mode", "size", "transform", "seed"]))
        data = write(forged(StreamReader().feed(data), kind, draw))
    try:
        read(data)
    except BitstreamError:
        return
    assert agree(data)


@given(what=st.sampled_from(["directory", "digest", "payload", "header"]), draw=st.data())
@settings(max_examples=20, deadline=None)
def test_both_readers_judge_archives_alike(what: str, draw: st.DataObject) -> None:
    """One group, forged under right checksums: both find the same samples, or both refuse."""
    with archive.open_archive((VECTORS / "archive_of_streams.dfca").read_bytes()) as opened:
        header, group = opened.header, opened.group(opened.places[0])
    out = io.BytesIO()
    writer = Writer(out, header)
    data = group.to_bytes()
    size, at = read_varint(data, 8, 32)
    digest, directory, payload = data[:8], zlib.decompress(data[at : at + size]), data[at + size :]
    if what == "directory":
        directory = changed(directory, draw)
    elif what == "payload":
        payload = changed(payload, draw)
    elif what == "digest":
        digest = draw.draw(st.binary(min_size=8, max_size=8))
    else:
        writer = Writer(out := io.BytesIO(), replace(header, params=draw.draw(st.binary(min_size=1, max_size=30))))
    packed = zlib.compress(directory, 9)
    forged_bytes = digest + write_varint(len(packed)) + packed + payload
    writer.add(SimpleNamespace(to_bytes=lambda extended: forged_bytes, entries=group.entries, digest=digest))  # type: ignore
    writer.finish()
    try:
        theirs = [np.ascontiguousarray(s).tobytes() for s in diffcodec.decode_archive(out.getvalue())]  # type: ignore
    except DiffcodecError:
        with pytest.raises(reader.Refused):
            reader.decode_archive(out.getvalue())
    else:
        assert [np.ascontiguousarray(s).tobytes() for _, s in reader.decode_archive(out.getvalue())] == theirs
