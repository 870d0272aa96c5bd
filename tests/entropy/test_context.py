"""The adaptive context coder: inverse on every kind of content, bounds on noise and flat pictures, damage."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from dfc_decoder import context as context_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy.context import coder as context
from diffcodec.runtime.errors import CorruptStream


def content(kind: str, rng: np.random.Generator, h: int, w: int, c: int) -> np.ndarray:
    if kind == "noise":
        return rng.integers(0, 256, (h, w, c), dtype=np.uint8)
    if kind == "flat":
        return np.full((h, w, c), rng.integers(256), np.uint8)
    if kind == "bilevel":
        return (rng.random((h, w, c)) < 0.2).astype(np.uint8)
    if kind == "few colours":
        return rng.integers(0, 256, (7, c), dtype=np.uint8)[rng.integers(0, 7, (h, w))]
    ramp = np.add.outer(np.arange(h), np.arange(w))[..., None] * np.arange(1, c + 1)
    return (ramp + rng.integers(0, 3, (h, w, c))).astype(np.uint8)


KINDS = ["noise", "flat", "bilevel", "few colours", "ramp"]


@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_inverse(kind, h, w, c, seed):
    planes = content(kind, np.random.default_rng(seed), h, w, c)
    data = context.encode_planes(planes)
    assert len(data) <= planes.size + 1
    assert (context.decode_planes(data, h, w, c) == planes).all()


@given(st.sampled_from(KINDS), st.integers(1, 8), st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=60, deadline=None)
def test_damage_never_crashes(kind, c, seed, draw):
    planes = content(kind, np.random.default_rng(seed), 12, 15, c)
    data = bytearray(context.encode_planes(planes))
    if draw.draw(st.booleans()):
        data = data[: draw.draw(st.integers(0, len(data) - 1))]
    else:
        data[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        assert context.decode_planes(bytes(data), 12, 15, c).shape == (12, 15, c)
    except CorruptStream:
        pass


def test_noise_does_not_grow_and_flat_is_small():
    rng = np.random.default_rng(0)
    assert len(context.encode_planes(content("noise", rng, 128, 128, 3))) <= 128 * 128 * 3 + 1
    assert len(context.encode_planes(content("flat", rng, 512, 512, 3))) <= 60


def test_geometry_is_checked():
    with pytest.raises(ValueError, match="expected uint8 planes"):
        context.encode_planes(np.zeros((3, 3, 9), np.uint8))
    with pytest.raises(CorruptStream):
        context.decode_planes(b"", 2, 2, 1)


def drawn() -> dict[str, np.ndarray]:
    """Small pictures that between them use every mode."""
    y, x = np.mgrid[:24, :31]
    photo = np.stack([(y * 5 + x * 3) % 251, (y * x // 4) % 256, (y * y + x) // 9 % 256], 2).astype(np.uint8)
    marks = ((y // 3 + x // 5) % 2)[..., None].astype(np.uint8)
    window = np.where(((y // 6 + x // 6) % 2)[..., None] == 1, photo, photo[:1, :1] + marks)
    dither = ((x * 7 + y * 13) % 29 * 9)[..., None].astype(np.uint8)
    return {
        "photo": photo,
        "marks": marks.repeat(3, 2) * 255,
        "window": window,
        "dither": dither,
        "alpha": np.concatenate([photo, 255 * marks], 2),
        "pairs": photo[..., :2] >> 3 << 3,
        "eight": np.concatenate([photo, photo // 2, photo[..., :2]], 2),
        "column": photo[:, :1],
        "flat": np.full((24, 31, 3), 77, np.uint8),
    }


@pytest.mark.parametrize("name", sorted(drawn()))
def test_every_mode_reads_as_the_specification_says(name):
    """The fast decoder and one written from the specification give the same pixels."""
    planes = np.ascontiguousarray(drawn()[name])
    palette, indices = context._palette(planes)
    assert len(palette) or name in ("photo", "window", "alpha", "eight")
    numbers = [context.NUMBERS, context.NUMBERS_AND_PIXELS]
    for mode in numbers + [context.COLOURS, context.COLOURS_AND_PIXELS] * bool(len(palette)):
        data = context._encode_mode(planes, palette, indices, mode)
        assert data is not None, (name, mode)
        assert (context.decode_planes(data, *planes.shape) == planes).all()
        assert context_reader.decode(data, *planes.shape) == planes.tolist()


def test_many_colours_have_indices_of_two_bytes():
    colours = np.random.default_rng(4).integers(0, 256, (300, 3), dtype=np.uint8)
    planes = colours[np.minimum(np.arange(60 * 60) // 9, 299)].reshape(60, 60, 3)
    data = context._encode_mode(planes, *context._palette(planes), context.COLOURS_AND_PIXELS)
    assert data is not None
    assert context_reader.decode(data, 60, 60, 3) == planes.tolist()


def test_wide_pictures_are_coded_on_their_side():
    planes = np.zeros((2, 70000, 1), np.uint8)
    planes[:, ::1000] = 9
    data = context.encode_planes(planes)
    assert data[1:] == context.encode_planes(np.ascontiguousarray(planes.transpose(1, 0, 2)))[1:]
    assert (context.decode_planes(data, 2, 70000, 1) == planes).all()


def test_golden_bytes():
    """A change here is a change of format (or of the encoder's choice of mode)."""
    streams = [context.encode_planes(np.ascontiguousarray(planes)) for planes in drawn().values()]
    assert hashlib.sha256(b"".join(streams)).hexdigest()[:16] == GOLDEN


GOLDEN = "f61219c9c303a920"
