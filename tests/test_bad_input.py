"""Damaged, forged and hostile streams: a one-line error of the tree, never wrong pixels, never another exception."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conftest import needs_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream import Chunk, Header, StreamReader, write
from diffcodec.runtime.errors import (
    BitstreamError,
    CorruptStream,
    DiffcodecError,
    LimitExceeded,
    ModelMismatch,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)

fake = pytest.mark.usefixtures("fake_codec")
PICTURE = np.random.default_rng(2).integers(0, 256, (20, 14, 2), dtype=np.uint8)  # over 256 colours: no palette
BILEVEL = np.random.default_rng(2).integers(0, 2, (9, 7)).astype(bool)


@pytest.fixture
def stream(fake_codec: None) -> bytes:
    return diffcodec.encode(PICTURE)


def refused_or_exact(data: bytes, picture: np.ndarray) -> bool:
    """Whether `data` was refused; asserts that it was if it does not decode to `picture`."""
    try:
        decoded = diffcodec.decode(data)
    except DiffcodecError as error:
        assert str(error) and "\n" not in str(error)
        return True
    assert np.array_equal(decoded, picture)
    return False


def chunks_of(data: bytes) -> list[Chunk]:
    return [Chunk(chunk.type, chunk.payload) for chunk in StreamReader().feed(data)]


def with_header(data: bytes, **fields: object) -> bytes:
    first, *others = chunks_of(data)
    header = replace(Header.from_bytes(first.payload), **fields)  # type: ignore[arg-type]
    return write([Chunk("H", header.to_bytes()), *others])


@pytest.mark.parametrize("data", [b"", b"\x8b", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40), b"text\n" * 9, bytes(100)])
def test_not_a_stream(data: bytes) -> None:
    with pytest.raises((NotADiffcodecFile, Truncated)):
        diffcodec.decode(data)
    with pytest.raises((NotADiffcodecFile, Truncated)):
        diffcodec.inspect(data)


def test_cut_at_every_byte(stream: bytes) -> None:
    for end in range(len(stream)):
        with pytest.raises(BitstreamError):
            diffcodec.decode(stream[:end])
        with pytest.raises(BitstreamError):
            diffcodec.inspect(stream[:end])


def test_every_bit_flipped(stream: bytes) -> None:
    accepted = []
    for bit in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[bit // 8] ^= 1 << bit % 8
        if not refused_or_exact(bytes(damaged), PICTURE):
            accepted.append(bit // 8)
    assert set(accepted) <= {9}  # the minor version, which readers of 1.x accept


def test_bytes_after_the_end(stream: bytes) -> None:
    for tail in (b"\0", b"E", stream):
        with pytest.raises(BitstreamError):
            diffcodec.decode(stream + tail)
        with pytest.raises(BitstreamError):
            list(diffcodec.decode_progressive(stream + tail))


def test_pixel_bomb_allocates_nothing(stream: bytes) -> None:
    bomb = with_header(stream, width=2**32 - 1, height=2**32 - 1)
    tracemalloc.start()
    try:
        for call in (diffcodec.decode, diffcodec.inspect, lambda data: list(diffcodec.decode_progressive(data))):
            with pytest.raises(LimitExceeded, match="max_pixels"):
                call(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"mode": 5}, CorruptStream),
        ({"mode": 255}, CorruptStream),
        ({"mode": 3}, CorruptStream),  # a layout for four planes where two are
        ({"mode": 0}, CorruptStream),
        ({"codec": 1}, diffcodec.UnsupportedVersion),
        ({"codec": 9}, UnsupportedVersion),
        ({"width": 15}, BitstreamError),
        ({"width": 280, "height": 1}, DiffcodecError),
        ({"params": b""}, CorruptStream),
        ({"params": b"\1\0\1\0\1"}, CorruptStream),  # no coded plane
        ({"params": b"\0\2\1\1"}, CorruptStream),  # a copy of itself
        ({"params": b"\0\3\1"}, CorruptStream),
        ({"fingerprint": bytes(8)}, ModelMismatch),
        ({"model": "someone-elses"}, diffcodec.ModelNotFound),
    ],
)
def test_forged_headers(stream: bytes, fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        diffcodec.decode(with_header(stream, **fields))


@pytest.mark.parametrize("payload", [b"", b"\1\2\3", b"\1\2\3\4", bytes(512), bytes(514), bytes(1028)])
def test_forged_palettes(fake_codec: None, payload: bytes) -> None:
    few = PICTURE[0][np.random.default_rng(3).integers(0, 5, (40, 40))]  # 5 colours
    data = diffcodec.encode(few)
    head, palette, *others = chunks_of(data)
    assert palette.type == "C"
    with pytest.raises(DiffcodecError):
        diffcodec.decode(write([head, Chunk("C", payload), *others]))


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[int, int, int]:
    return draw(st.integers(0, 5)), draw(st.integers(0, 10**6)), draw(st.integers(1, 255))


@given(forgeries())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forged_payloads_under_valid_checksums(stream: bytes, forgery: tuple[int, int, int]) -> None:
    chunks = chunks_of(stream)
    which, at, flip = forgery[0] % len(chunks), forgery[1], forgery[2]
    payload = bytearray(chunks[which].payload)
    payload[at % len(payload)] ^= flip
    chunks[which] = Chunk(chunks[which].type, bytes(payload))
    refused_or_exact(write(chunks), PICTURE)


@given(st.lists(st.sampled_from("HCixPEQz"), max_size=6))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_chunks_in_any_order(stream: bytes, order: list[str]) -> None:
    known = {chunk.type: chunk for chunk in chunks_of(stream)}
    chunks = [known.get(kind, Chunk(kind, b"abc")) for kind in order]
    refused_or_exact(write(chunks), PICTURE)


# ---- the real codec, without weights (bilevel pictures need none) and with


def _real_streams() -> Iterator[tuple[bytes, np.ndarray]]:
    yield diffcodec.encode(BILEVEL), BILEVEL * np.uint8(255)


@needs_weights
def test_real_codec_refuses_forged_payloads() -> None:
    y, x = np.mgrid[0:12, 0:11]
    smooth = np.stack([y * 9 + x, y * 4 + x * 3, x * 8], axis=2).astype(np.uint8)
    rng = np.random.default_rng(4)
    for data, picture in [*_real_streams(), (diffcodec.encode(smooth), smooth)]:
        chunks = chunks_of(data)
        for _ in range(60):
            forged = list(chunks)
            which = int(rng.integers(len(chunks)))
            payload = bytearray(chunks[which].payload)
            if rng.random() < 0.2:
                del payload[int(rng.integers(len(payload))) :]
            else:
                payload[int(rng.integers(len(payload)))] ^= int(rng.integers(1, 256))
            forged[which] = Chunk(chunks[which].type, bytes(payload))
            refused_or_exact(write(forged), picture)


def test_real_codec_cut_and_flipped() -> None:
    for data, picture in _real_streams():
        assert not refused_or_exact(data, picture)
        for end in range(len(data)):
            assert refused_or_exact(data[:end], picture)
        for bit in range(8 * len(data)):
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            assert refused_or_exact(bytes(damaged), picture) or bit // 8 == 9
