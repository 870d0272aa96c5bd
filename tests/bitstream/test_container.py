"""The container: vectors, agreement with the independent reader, damage."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec import errors
from diffcodec.bitstream import Chunk, Header, Limits, StreamReader, read, write
from diffcodec.bitstream.varint import read_varint, write_varint

SPEC = Path(__file__).parents[2] / "bitstream_spec"
_module = importlib.util.spec_from_file_location("spec_reader", SPEC / "reader.py")
assert _module and _module.loader
reader = importlib.util.module_from_spec(_module)
_module.loader.exec_module(reader)

headers = st.builds(
    Header,
    codec=st.integers(0, 2),
    numerics=st.integers(0, 2),
    width=st.integers(1, 2**14),
    height=st.integers(1, 2**14),
    mode=st.integers(0, 255),
    colour_transform=st.just(0),
    seed=st.integers(0, 2**64 - 1),
    model=st.text("abcdefghijklmnopqrstuvwxyz-0123456789", max_size=20),
    fingerprint=st.binary(min_size=8, max_size=8),
    params=st.binary(max_size=40),
)
streams = st.builds(
    lambda h, icc, passes, digest: write(
        [Chunk("H", h.to_bytes()), *([Chunk("i", icc)] if icc else []), *[Chunk("P", p) for p in passes], Chunk("E", digest)]
    ),
    headers,
    st.binary(max_size=10),
    st.lists(st.binary(max_size=200), max_size=4),
    st.binary(min_size=8, max_size=8),
)


def outcome(data: bytes) -> str:
    try:
        read(data)
    except errors.BitstreamError as e:
        return type(e).__name__
    return "accepted"


def outcome_of_reader(data: bytes) -> str:
    try:
        reader.parse(data)
    except reader.Refused as e:
        return e.args[0]
    return "accepted"


def test_crc_check_value():
    import google_crc32c

    assert reader.crc32c(b"123456789") == google_crc32c.value(b"123456789") == 0xE3069283


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varint_inverse(value, tail):
    data = write_varint(value)
    assert read_varint(data + tail, 0, 64) == (value, len(data)) == reader.varint(data + tail, 0, 64)


@given(headers)
def test_header_inverse(header):
    assert Header.from_bytes(header.to_bytes()) == header


@given(streams)
@settings(max_examples=60)
def test_both_readers_find_the_same(data):
    container, found = read(data), reader.parse(data)
    assert [p.hex() for p in container.passes] == found["passes"]
    assert container.digest is not None and container.digest.hex() == found["digest"]
    for field in ("width", "height", "model", "seed", "mode", "codec", "numerics"):
        assert getattr(container.header, field) == found[field]


@given(streams, st.data())
@settings(max_examples=150)
def test_damage_is_refused_alike(data, draw):
    kind = draw.draw(st.sampled_from(["flip", "cut", "insert"]))
    at = draw.draw(st.integers(0, len(data) - 1))
    if kind == "flip":
        mutated = data[:at] + bytes([data[at] ^ 1 << draw.draw(st.integers(0, 7))]) + data[at + 1 :]
    elif kind == "cut":
        mutated = data[:at]
    else:
        mutated = data[:at] + draw.draw(st.binary(min_size=1, max_size=3)) + data[at:]
    found = outcome(mutated)
    assert found == outcome_of_reader(mutated)
    minor_version_only = kind == "flip" and at == 9  # 1.x streams are read by every 1.y
    assert found != "accepted" or minor_version_only or mutated == data


@given(streams, st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_bytes_may_come_in_any_pieces(data, sizes):
    whole = StreamReader().feed(data)
    part, at, pieces = StreamReader(), 0, []
    for size in [*sizes, len(data)]:
        pieces += part.feed(data[at : at + size])
        at += size
    assert pieces == whole and [c.end for c in pieces] == [c.end for c in whole]


@given(streams)
def test_every_prefix_on_a_chunk_holds_its_passes(data):
    container = read(data)
    for number, end in enumerate(container.ends, 1):
        prefix = read(data[:end], partial=True)
        assert prefix.passes == container.passes[:number] and not prefix.complete


@pytest.mark.parametrize("path", sorted((SPEC / "vectors" / "valid").glob("*.dfc")), ids=lambda p: p.stem)
def test_valid_vectors(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    container = read(path.read_bytes())
    assert [p.hex() for p in container.passes] == expected["passes"] == reader.parse(path.read_bytes())["passes"]
    assert container.digest is not None and container.digest.hex() == expected["digest"]


@pytest.mark.parametrize("path", sorted((SPEC / "vectors" / "invalid").glob("*.dfc")), ids=lambda p: p.stem)
def test_invalid_vectors(path):
    expected = json.loads(path.with_suffix(".json").read_text())["error"]
    assert outcome(path.read_bytes()) == expected == outcome_of_reader(path.read_bytes())


def test_the_caller_may_raise_the_pixel_limit():
    header = Header(0, 0, 2**15, 2**15, 1, 0, 0, "", bytes(8), b"")
    data = write([Chunk("H", header.to_bytes()), Chunk("E", bytes(8))])
    with pytest.raises(errors.LimitExceeded):
        read(data)
    assert read(data, limits=Limits(max_pixels=2**30)).header == header
