"""Whole numbers of 16 bits: inverse on every kind of content, the second reader, bounds, voids and levels, damage."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from dfc_decoder import numbers as whole_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy.context import whole
from diffcodec.runtime.errors import CorruptStream


def content(kind: str, seed: int, h: int, w: int, n: int) -> np.ndarray:
    """uint16 (h, w, n) drawn by integers alone."""
    drawn = np.frombuffer(hashlib.shake_128(seed.to_bytes(8, "little")).digest(2 * h * w * n), "<u2").reshape(h, w, n)
    y, x = np.mgrid[:h, :w]
    slope = (311 * y + 97 * x)[..., None] * np.arange(1, n + 1) % 60_000
    found = {
        "noise": drawn,
        "flat": np.full((h, w, n), drawn.flat[0]),
        "scan": 900 + slope % 4000 + drawn % 13,
        "holes": np.where(drawn % 5 == 0, 0, 40_000 + slope % 900),
        "sparse": (slope % 40 + drawn % 3) * 1021,
        "rows": np.broadcast_to((drawn[:1] // (1 + y % 3)[..., None] ** 0), (h, w, n)),
        "wrapped": (slope % 311 // 3 + drawn % 7 - 60) % 8192,
        "extremes": np.where(drawn & 1, 65535, 0),
    }
    return found[kind].astype(np.uint16)


KINDS = ["noise", "flat", "scan", "holes", "sparse", "rows", "wrapped", "extremes"]


def planes_of(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers >> 8, numbers & 255], 3).astype(np.uint8).reshape(*numbers.shape[:2], -1)


@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_inverse(kind, h, w, n, seed):
    planes = planes_of(content(kind, seed, h, w, n))
    data = whole.encode(planes)
    assert len(data) <= planes.size + 1
    assert (whole.decode(data, *planes.shape) == planes).all()


@given(st.sampled_from(KINDS), st.integers(1, 4), st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=60, deadline=None)
def test_damage_never_crashes(kind, n, seed, draw):
    planes = planes_of(content(kind, seed, 12, 15, n))
    data = bytearray(whole.encode(planes))
    if draw.draw(st.booleans()):
        data = data[: draw.draw(st.integers(0, len(data) - 1))]
    else:
        data[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        assert whole.decode(bytes(data), *planes.shape).shape == planes.shape
    except CorruptStream:
        pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_reads_as_the_specification_says(kind, n):
    """The fast decoder and one written from the specification give the same planes."""
    planes = planes_of(content(kind, n, 11, 13, n))
    data = whole.encode(planes)
    assert whole_reader.decode(data, *planes.shape) == planes.tolist()


def test_every_way_of_telling_is_taken():
    flags = {kind: whole.encode(planes_of(content(kind, 1, 32, 32, 1)))[0] for kind in KINDS}
    assert flags["noise"] == 255 and flags["scan"] == 0 and flags["sparse"] == whole.LEVELS
    assert flags["holes"] & 1 and flags["wrapped"] == whole.LEVELS | whole.TURNED
    assert len(whole.encode(planes_of(content("flat", 1, 64, 64, 3)))) < 30


def test_wide_pictures_are_coded_on_their_side():
    numbers = np.zeros((2, 70_000, 1), np.uint16)
    numbers[:, ::1000] = 900
    data = whole.encode(planes_of(numbers))
    assert data == whole.encode(planes_of(np.ascontiguousarray(numbers.transpose(1, 0, 2))))
    assert (whole.decode(data, 2, 70_000, 2) == planes_of(numbers)).all()


def test_what_is_no_such_thing_is_refused():
    with pytest.raises(ValueError, match="expected uint8 planes"):
        whole.encode(np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(ValueError, match="expected a geometry"):
        whole.decode(b"\0\0\0", 3, 3, 10)
    heads = (b"\x02\0\0\0\0", b"\xff\0", b"\x01\x05\0\x06\0", b"\x20\x05\0\x06\0", b"\x40\0\0", b"\x10\0\0\xff\0\0")
    for data in (b"", b"\0\0", *heads):
        with pytest.raises(CorruptStream):
            whole.decode(data, 2, 2, 2)


def test_golden_bytes():
    """A change here is a change of format (or of the encoder's choice of a way)."""
    streams = [whole.encode(planes_of(content(kind, 7, 20, 24, n))) for kind in KINDS for n in (1, 3)]
    assert hashlib.sha256(b"".join(streams)).hexdigest()[:16] == GOLDEN


GOLDEN = "2780893dfd0443c6"
