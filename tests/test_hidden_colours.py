"""Colours under alpha: one colour takes no pass, one that nobody sees is told once; all come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import reader
from hypothesis import given, settings
from hypothesis import strategies as st

import diffcodec
from diffcodec.bitstream import Chunk, Header, StreamReader, small, write
from diffcodec.media.modes import BY_NAME, MODES, read_hidden, read_layout
from diffcodec.media.picture import Picture
from diffcodec.media.table import medium_of
from diffcodec.runtime.errors import CorruptStream

ALPHAS = [mode for mode in MODES if mode.alpha is not None]


def glyph(side: int, dtype: type = np.uint8) -> np.ndarray:
    """Coverage of a ring, (side, side)."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    most = np.iinfo(dtype).max
    return np.clip(most * (1.5 - 6 * np.abs(np.hypot(y, x) - 0.6)), 0, most).astype(dtype)


def icon(side: int, colour: tuple[int, ...], hidden: tuple[int, ...] | None = None) -> np.ndarray:
    cover = glyph(side)
    out = np.dstack([np.broadcast_to(np.uint8(colour), (side, side, len(colour))), cover])
    if hidden is not None:
        out[cover == 0, :-1] = hidden
    return out


@pytest.mark.parametrize("hidden", [None, (0, 0, 0), (255, 255, 255)])
def test_an_icon_of_one_colour_is_small(hidden: tuple[int, ...] | None) -> None:
    samples = icon(16, (40, 44, 52), hidden)
    data = diffcodec.encode(samples)
    (chunk,) = StreamReader().feed(data)
    assert chunk.type == "S" and diffcodec.inspect(data)["format"] == "1.7"
    grey = diffcodec.encode(np.ascontiguousarray(samples[..., 3]))
    assert len(data) <= len(grey) + 16  # the layout alone beside the mask
    for back in (diffcodec.decode(data), reader.decode(data)):
        assert back.tobytes() == samples.tobytes()


@given(st.sampled_from(ALPHAS), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_every_mode_keeps_what_nobody_sees(mode, one_colour: bool, seed: int) -> None:
    """The form alone: planes laid out and put back, whatever stands under an alpha of 0."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 3, (7, 9, mode.channels)).astype(mode.sample) * 80
    samples[..., -1] = rng.integers(0, 2, (7, 9)) * 200
    if one_colour:
        samples[samples[..., -1] == 0, :-1] = rng.integers(0, 256)
    picture = Picture(samples, mode.name)
    for coded in picture.forms():
        if coded.palette is not None or coded.numbers:
            continue
        form, rest = medium_of(mode.number).form(mode.number, 7, 9, coded.layout + b"rest", None)
        assert rest == b"rest" and (form.photo, form.extra) == (coded.photo.shape[2], coded.extra.shape[2])
        assert form.signal(coded.photo, coded.extra).equals(picture)


def test_a_drawing_on_nothing_tells_the_hidden_colour_once() -> None:
    _, x = np.mgrid[:40, :40]
    samples = np.dstack([icon(40, (0, 0, 0))[..., :3] + np.uint8(120) + (x // 8 * 9)[..., None], glyph(40)])
    samples = samples.astype(np.uint8)
    samples[samples[..., 3] == 0, :3] = 0
    told = Picture(samples, "RGBA").forms()[-1]
    assert told.layout[0] == 4 and told.since == (1, 7)
    data = diffcodec.encode(samples)
    assert diffcodec.decode(data).tobytes() == reader.decode(data).tobytes() == samples.tobytes()
    noisy = samples.copy()
    noisy[samples[..., 3] == 0, :3] = np.random.default_rng(0).integers(0, 256, (int((glyph(40) == 0).sum()), 3))
    assert Picture(noisy, "RGBA").forms()[-1].layout[0] == 0
    assert Picture(samples, "RGBA").forms(palettes=False)[0].layout[0] == 0  # other codecs are told as before


def test_what_is_no_hidden_colour_is_refused() -> None:
    for name, data in (("RGBA", b"\4\1\2"), ("RGB", b"\4\1\2\3\0\0\0"), ("LA;16", b"\4\1")):
        with pytest.raises(CorruptStream):
            read_hidden(data, BY_NAME[name])
    for layout in (b"\1\5\0\0\0", b"\1\5\1\5\2\1\0", b"\1\5\1\5\1\5\1\5"):
        with pytest.raises(CorruptStream):
            read_layout(layout, BY_NAME["RGBA"])


def test_both_readers_refuse_a_hidden_colour_without_alpha() -> None:
    (chunk,) = StreamReader().feed(diffcodec.encode((np.arange(300) % 251).astype(np.uint8).reshape(10, 10, 3)))
    header, one_pass, digest, _ = small.unpack(chunk.payload)
    changed = Header(**(vars(header) | {"params": b"\4\0\0\0" + header.params}))
    data = write([Chunk("S", small.pack(changed, one_pass, digest))])
    with pytest.raises(CorruptStream):
        diffcodec.decode(data)
    with pytest.raises(reader.Refused):
        reader.decode(data)
