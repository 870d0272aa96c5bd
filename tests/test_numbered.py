"""Samples as whole numbers: every reading is an inverse, the smallest is taken, damage is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reader
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream import Chunk, Header, StreamReader, small, write
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.codec import Encoded
from diffcodec.codecs.table import CODECS
from diffcodec.media import modes
from diffcodec.media.modes import BY_NAME, MODES, READINGS, Mode, Numbers
from diffcodec.media.numbered import numbered, samples_of
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import CorruptStream, DiffcodecError, LimitExceeded
from diffcodec.stream.written import stream_of

WIDE = [mode for mode in MODES if mode.sample in READINGS]


def bits(mode: Mode, seed: int, height: int = 5, width: int = 7) -> np.ndarray:
    """Samples of any bits: infinities, NaNs of all payloads and both zeros among the floats."""
    shape = (height, width, *([mode.channels] if mode.channels else []))
    drawn = np.random.default_rng(seed).integers(0, 256, (*shape, mode.sample_bytes), np.uint8)
    return np.ascontiguousarray(drawn).view("=" + mode.sample)[..., 0]


def stream(samples: np.ndarray, name: str) -> bytes:
    """As numbers, whatever is smallest."""
    picture = Picture(samples, name)
    form = next(form for form in picture.forms() if form.numbers)
    encoded = Encoded(*ardm.encode_numbers(form.extra))
    return stream_of(picture, form, CODECS["ardm"], encoded, digest=picture.digest())


@given(st.sampled_from(WIDE), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_any_bits_come_back(mode: Mode, seed: int) -> None:
    samples = bits(mode, seed)
    found = numbered(samples, mode)
    assert found is not None
    planes, layout = found
    assert planes.shape[2] == layout.counts(mode)[1]
    assert modes.read_numbers(layout.write(mode) + b"rest", mode) == (layout, b"rest")
    back = samples_of(planes, layout, mode)
    assert back.dtype == samples.dtype and back.shape == samples.shape and back.tobytes() == samples.tobytes()


FLOATS: dict[str, Callable[[np.ndarray], Any]] = {
    "halves": lambda x: x.astype(np.float16).astype(np.float32),
    "whole": lambda x: np.round(x).astype(np.float32),
    "neither": lambda x: x.astype(np.float32) / 3,
}


@pytest.mark.parametrize(("kind", "reading", "parts"), [("halves", 3, 1), ("whole", 4, 1), ("neither", 2, 2)])
def test_floats_are_read_as_what_they_are(kind: str, reading: int, parts: int) -> None:
    samples = FLOATS[kind](np.linspace(-1500.3, 2900.7, 600).reshape(20, 30))
    found = numbered(samples, BY_NAME["F"])
    assert found is not None and (found[1].reading, found[1].parts) == (reading, parts)
    for edge in (-0.0, np.nan, 2.0**32):  # no whole number has a sign without a value, and none is that large
        other = samples.copy()
        other[0, 0] = edge
        found = numbered(other, BY_NAME["F"])
        assert found is not None and found[1].reading != modes.WHOLE
        assert samples_of(*found, BY_NAME["F"]).tobytes() == other.tobytes()


def test_samples_of_8_bits_are_no_numbers() -> None:
    assert numbered(np.zeros((2, 2), np.uint8), BY_NAME["L"]) is None
    assert not any(form.numbers for form in Picture.from_any(np.zeros((2, 2, 3), np.uint8)).forms())
    assert not any(form.numbers for form in Picture.from_any(np.zeros((2, 2), np.uint16)).forms(palettes=False))


@pytest.mark.parametrize("mode", WIDE, ids=lambda mode: mode.name)
def test_both_readers_give_every_mode(mode: Mode) -> None:
    samples = bits(mode, 1, 3, 4)
    data = stream(samples, mode.name)
    assert diffcodec.inspect(data)["format"] == "1.7"
    for back in (diffcodec.decode(data), reader.decode(data)):
        assert back.tobytes() == samples.tobytes() and back.dtype == samples.dtype and back.shape == samples.shape


def test_a_scan_is_coded_as_numbers() -> None:
    y, x = np.mgrid[:70, :90]
    scan = (1000 + 900 * np.sin(x / 9) * np.cos(y / 14) + np.random.default_rng(0).normal(0, 4, x.shape)).astype("i2")
    data = diffcodec.encode(scan)
    assert diffcodec.inspect(data)["format"] == "1.7" and (diffcodec.decode(data) == scan).all()
    pages = Picture(scan, "I;16S", frames=(Picture(scan[::-1].copy(), "I;16S"), Picture(scan // 2, "I;16S")))
    told = diffcodec.encode(pages)
    assert diffcodec.api.decode_picture(told, frames=True).frames[1].equals(pages.frames[1])


def test_what_is_no_layout_of_numbers_is_refused() -> None:
    for name, params in {
        "I;16": (b"\3", b"\3\1\1", b"\3\0\2", b"\3\0\0", b"\3\7\1"),
        "I": (b"\3\1\1", b"\3\1\3\0\0\0\0", b"\3\0\1\0\0\0\0"),
        "L": (b"\3\0\1",),
    }.items():
        for one in params:
            with pytest.raises(CorruptStream):
                modes.read_numbers(one, BY_NAME[name])
    with pytest.raises(CorruptStream):
        samples_of(np.full((1, 1, 2), 255, np.uint8), Numbers(modes.SIGNED, 1, 2**32 - 5), BY_NAME["I"])


def test_numbers_are_no_planes() -> None:
    """A method that does not fit its layout is damage to both readers, and bytes behind the method are."""
    (chunk,) = StreamReader().feed(stream(bits(BY_NAME["I;16"], 2), "I;16"))
    header, one_pass, digest, _ = small.unpack(chunk.payload)
    other = Header(**(vars(header) | {"params": b"\0\1" + b"\0" + b"\5"}))
    longer = Header(**(vars(header) | {"params": header.params + b"\0"}))
    for changed in (other, longer):
        data = write([Chunk("S", small.pack(changed, one_pass, digest))])
        with pytest.raises(CorruptStream):
            diffcodec.decode(data)
        with pytest.raises(reader.Refused):
            reader.decode(data)


def test_a_pass_of_numbers_costs_its_pixels() -> None:
    """Whatever it begins with: in passes of planes these bytes say that there is nothing to read."""
    blank = b"\3\0\0" + bytes(9)
    header = Header(0, 0, 2**14, 2**14, BY_NAME["LA;16"].number, 0, 0, "", bytes(8), b"\3\0\1\5")
    data = write([Chunk("H", header.to_bytes()), Chunk("P", blank), Chunk("E", bytes(8))])
    assert diffcodec.inspect(data)["decode_cost"]["context_pixels"] == 2**28
    with pytest.raises(LimitExceeded):
        diffcodec.decode(data)


@given(st.sampled_from(WIDE), st.integers(0, 2**32 - 1), st.data())
@settings(max_examples=30, deadline=None)
def test_damage_behind_the_checksum_never_crashes(mode: Mode, seed: int, draw: st.DataObject) -> None:
    (chunk, *_) = StreamReader().feed(stream(bits(mode, seed, 4, 4), mode.name))
    if chunk.type != "S":
        return
    payload = bytearray(chunk.payload)
    payload[draw.draw(st.integers(1, len(payload) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        diffcodec.decode(write([Chunk("S", bytes(payload))]))
    except DiffcodecError:
        pass
