"""Pixels in and out: every mode and shape goes through byte planes and back unchanged, or is refused by name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffcodec.media import modes
from diffcodec.media.modes import BY_NAME, CODED, CONSTANT, COPY, MODES, Layout, Mode, read_layout
from diffcodec.media.picture import Picture, from_planes, planes, to_planes, unplanes
from diffcodec.media.planes import palette, unpalette
from diffcodec.media.rows.tokens import MODES as TOKENS
from diffcodec.media.table import medium_of, signal_of
from diffcodec.runtime.errors import CorruptStream, InputError

DTYPES = {sample: np.dtype(name) for sample, name in modes.DTYPES.items()}


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """A picture of any mode, of random, flat, grey, few-coloured or 8-bit-in-16-bit content."""
    mode = draw(st.sampled_from(MODES))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    content = draw(st.sampled_from(["random", "flat", "grey", "few", "replicated"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (height, width, mode.components, mode.sample_bytes)
    raw = rng.integers(0, 256, shape, dtype=np.uint8)
    if content == "flat":
        raw[...] = raw[0, 0]
    elif content == "grey":
        raw[...] = raw[:, :, :1]
    elif content == "few":
        raw = raw.reshape(-1, *shape[2:])[rng.integers(0, min(3, height * width), (height, width))]
    elif content == "replicated":
        raw[...] = raw[..., :1]
    if mode.sample == "bit":
        raw = (raw & 1) * np.uint8(255)
    samples = np.ascontiguousarray(raw).reshape(height, width, -1).view(DTYPES[mode.sample])
    return Picture(samples.reshape((height, width, mode.channels) if mode.channels else (height, width)), mode.name)


def same(a: Picture, b: Picture) -> bool:
    """Bit for bit: NaNs count as equal to themselves."""
    return (
        a.mode == b.mode
        and a.samples.dtype == b.samples.dtype
        and a.samples.shape == b.samples.shape
        and (a.samples.tobytes() == b.samples.tobytes())
    )


@given(pictures())
@settings(max_examples=300)
def test_planes_round_trip(picture: Picture) -> None:
    photo, extra, layout = planes(picture)
    read, rest = read_layout(layout.write() + b"rest", picture.info)
    assert (read, rest) == (layout, b"rest")
    assert layout.counts(picture.info) == (photo.shape[2], extra.shape[2])
    assert photo.shape[2] in (0, 1, 3) and photo.shape[2] + extra.shape[2] >= 1
    back = unplanes(photo, extra, read, picture.info)
    assert same(back, picture) and back.digest() == picture.digest()


@given(pictures())
@settings(max_examples=150)
def test_palette_round_trip(picture: Picture) -> None:
    found = palette(to_planes(picture))
    if not 2 <= picture.info.planes <= 8:
        assert found is None
        return
    assert found is not None  # at most 81 pixels
    entries, index = found
    assert len(np.unique(entries, axis=0)) == len(entries) == index.max() + 1
    assert entries.size <= 1024
    assert same(from_planes(unpalette(entries, index), picture.info), picture)


def test_palette_refuses_many_colours() -> None:
    ramp = np.stack([np.arange(300) % 256, np.arange(300) // 2, np.zeros(300)], 1).astype(np.uint8).reshape(3, 100, 3)
    assert palette(ramp) is None
    wide = np.arange(200 * 4, dtype=np.uint16).reshape(2, 100, 4)  # 200 entries of 8 bytes exceed the format's 1024
    assert palette(to_planes(Picture.from_any(wide))) is None


@given(st.sampled_from(MODES), st.binary(max_size=24))
def test_any_layout_bytes_are_read_or_refused(mode: Mode, data: bytes) -> None:
    try:
        layout, rest = read_layout(data, mode)
    except CorruptStream:
        return
    assert layout.write() + rest == data
    n_photo, n_extra = layout.counts(mode)
    assert n_photo in (0, 1, 3) and n_photo + n_extra >= 1
    photo, extra = np.zeros((2, 2, n_photo), np.uint8), np.zeros((2, 2, n_extra), np.uint8)
    try:
        picture = unplanes(photo, extra, layout, mode)
    except CorruptStream:  # a constant above 1 in a 1-bit picture
        assert mode.sample == "bit"
        return
    assert picture.samples.shape[:2] == (2, 2)


def test_layout_drops_what_follows() -> None:
    grey = np.full((4, 4, 4), 255, np.uint8)
    grey[..., :3] = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    _, _, layout = planes(Picture.from_any(grey))
    assert layout == Layout(((CODED, 0), (COPY, 0), (COPY, 0), (CONSTANT, 255)))
    wide = np.arange(16, dtype=np.uint16).reshape(4, 4) * 257
    assert planes(Picture.from_any(wide))[2] == Layout(((CODED, 0), (COPY, 0)))


@pytest.mark.parametrize("number", [5, 13, 45, 63, 79, 255])
def test_unknown_mode(number: int) -> None:
    with pytest.raises(CorruptStream, match=f"mode {number}"):
        medium_of(number)


def test_mode_table_is_the_specified_one() -> None:
    text = (Path(__file__).parent.parent / "bitstream_spec" / "MODES.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| (\w+) \| (\S+) \| (\d) \| (\d+) \|", text, re.MULTILINE)
    shape = {0: "H×W", 1: "H×W×1", 2: "H×W×2", 3: "H×W×3", 4: "H×W×4"}
    assert [
        (str(m.number), m.name, m.sample, shape[m.channels], str(m.photo), str(m.planes - m.photo))
        for m in sorted([*MODES, *TOKENS], key=lambda m: m.number)
    ] == rows


def test_tokens_are_one_row() -> None:
    row = np.arange(7, dtype=np.uint8)
    tokens = signal_of(row)
    assert tokens.mode == "tokens" and tokens.geometry == (1, 7) and np.array_equal(tokens.array, row)
    with pytest.raises(CorruptStream, match="one row"):
        medium_of(71).form(71, 7, 1, tokens.forms()[0].layout, None)


def test_digest_is_the_specified_one() -> None:
    picture = Picture.from_any(np.array([[1, 258]], np.uint16))
    assert picture.digest() == hashlib.sha256(b"\x08\x02\0\0\0\x01\0\0\0" + b"\x01\0\x02\x01").digest()[:8]
    assert picture.digest() != Picture.from_any(np.array([[1], [258]], np.uint16)).digest()


# ---- Pillow


PILLOW_MODES = "1 L LA La RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I;16 I F".split()


@pytest.mark.parametrize("mode", PILLOW_MODES)
def test_pillow_round_trip(mode: str, rng: np.random.Generator) -> None:
    size = (7, 5)
    length = len(Image.new(mode, size).tobytes())
    image = Image.frombytes(mode, size, rng.integers(0, 256, length, dtype=np.uint8).tobytes())
    picture = Picture.from_any(image)
    assert picture.mode == mode
    back = picture.to_pillow()
    assert (back.mode, back.size, back.tobytes()) == (image.mode, image.size, image.tobytes())


@pytest.mark.parametrize("mode", ["I;16B", "I;16L", "I;16N"])
def test_pillow_16_bit_byte_orders(mode: str) -> None:
    array = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    data = array.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    picture = Picture.from_any(Image.frombytes(mode, (4, 3), data))
    assert picture.mode == "I;16" and picture.samples.dtype == np.uint16
    assert np.array_equal(picture.samples, array)


def test_palette_images_expand() -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1, 1, 0])
    rgb = Picture.from_any(image)
    assert rgb.mode == "RGB" and rgb.samples.tolist()[0] == [[10, 20, 30], [40, 50, 60]]
    image.info["transparency"] = 1
    rgba = Picture.from_any(image)
    assert rgba.mode == "RGBA" and rgba.samples.tolist()[0] == [[10, 20, 30, 255], [40, 50, 60, 0]]
    image.info["transparency"] = bytes([7, 9])
    assert Picture.from_any(image).samples[0, :, 3].tolist() == [7, 9]
    assert Picture.from_any(Image.new("PA", (2, 2))).mode == "RGBA"


@pytest.mark.parametrize(
    ("mode", "colour", "transparency", "want"),
    [("L", 5, 5, "LA"), ("1", 1, 255, "LA"), ("RGB", (1, 2, 3), (1, 2, 3), "RGBA"), ("I;16", 700, 700, "LA;16")],
)
def test_transparent_colour_becomes_alpha(mode: str, colour: object, transparency: object, want: str) -> None:
    image = Image.new(mode, (2, 1), colour)  # type: ignore[arg-type]
    image.info["transparency"] = transparency
    picture = Picture.from_any(image)
    assert picture.mode == want and not picture.samples[..., -1].any()
    image.info["transparency"] = (9, 9, 9) if mode == "RGB" else 9 if mode != "1" else 0
    assert (Picture.from_any(image).samples[..., -1] == (65535 if mode == "I;16" else 255)).all()


def test_profile_and_exif_are_kept() -> None:
    image = Image.new("L", (2, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info |= {"icc_profile": b"profile", "exif": exif.tobytes()}
    picture = Picture.from_any(image)
    assert picture.icc == b"profile" and picture.exif is not None and not picture.exif.startswith(b"Exif")
    back = picture.to_pillow()
    assert back.info["icc_profile"] == b"profile" and back.getexif()[0x0112] == 6


def test_picture_outlives_its_source() -> None:
    image = Image.new("L", (2, 2), 3)
    picture = Picture.from_any(image)
    image.putpixel((0, 0), 9)
    assert picture.samples[0, 0] == 3


# ---- arrays and tensors


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "uint16", "uint32", "int16", "int32", "float16", "float32", "bool", ">u2", ">i4", ">f4", ">i2", ">f2"],
)
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3), (3, 4, 4)])
def test_arrays(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    array = rng.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
    samples = Picture.from_any(array).samples
    assert samples.shape == shape and samples.dtype.isnative
    assert np.array_equal(samples, array * np.uint8(255) if dtype == "bool" else array)


def test_strided_arrays(rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (9, 8, 5), dtype=np.uint8)[::-2, ::3, 1:4]
    assert np.array_equal(Picture.from_any(array).samples, array)


def test_float_bits_survive() -> None:
    array = np.array([[0x7FC00001, 0xFF800000, 0x80000000, 1]], np.uint32).view(np.float32)  # NaN, -inf, -0, subnormal
    picture = Picture.from_any(array)
    photo, extra, layout = planes(picture)
    assert unplanes(photo, extra, layout, picture.info).samples.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float64),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2), np.complex64),
        np.zeros((2, 2), object),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 0), np.uint8),
        np.zeros((0, 2), np.uint8),
        np.zeros((2,), np.uint16),
        np.zeros((0,), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.uint8(3),
        [[1, 2], [3, 4]],
        "photo.png",
        None,
    ],
)
def test_refused_input(array: object) -> None:
    with pytest.raises(InputError, match=r"^expected .* found") as error:
        Picture.from_any(array)
    assert "\n" not in str(error.value)


def test_empty_pillow_image() -> None:
    with pytest.raises(InputError, match="0×3"):
        Picture.from_any(Image.new("L", (0, 3)))


@pytest.mark.parametrize("levels", [255, 65535])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_float_tensors_that_are_exact(levels: int, dtype: torch.dtype) -> None:
    values = levels - np.arange(256) * (levels // 255)
    values[1] = 1  # no multiple of 257
    tensor = (torch.from_numpy(values).to(dtype) / levels).reshape(1, 16, 16)
    samples = Picture.from_any(tensor).samples
    assert samples.dtype == (np.uint8 if levels == 255 else np.uint16)
    assert np.array_equal(samples.ravel(), values)


@pytest.mark.parametrize("value", [0.1, -1 / 255, 256 / 255 * 65535 / 65536, float("nan"), float("inf")])
def test_float_tensors_are_not_rounded(value: float) -> None:
    with pytest.raises(InputError, match="k/255"):
        Picture.from_any(torch.full((3, 4, 4), value))


def test_tensor_shapes(rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    last = torch.from_numpy(array)
    assert np.array_equal(Picture.from_any(last).samples, array)
    assert np.array_equal(Picture.from_any(last.permute(2, 0, 1)).samples, array)
    assert np.array_equal(Picture.from_any(last[..., 0]).samples, array[..., 0])
    assert Picture.from_any(torch.ones(4, 4, dtype=torch.bool)).mode == "1"
    for bad in (torch.zeros(3, 4, 4, dtype=torch.bfloat16), torch.zeros(3, 4, 4, dtype=torch.float16)):
        with pytest.raises(InputError, match="found torch"):
            Picture.from_any(bad)


# ---- previews


@pytest.mark.parametrize("mode", [m for m in MODES if m.photo])
def test_missing_extra_planes_are_filled_in(mode: Mode, rng: np.random.Generator) -> None:
    high = rng.integers(0, 256, (4, 5, mode.components), dtype=np.uint8)
    samples = high if mode.sample == "u1" else high.astype(np.uint16) * 256 + rng.integers(0, 256, high.shape)
    shape = (4, 5, mode.channels) if mode.channels else (4, 5)
    picture = Picture(samples.astype(DTYPES[mode.sample]).reshape(shape), mode.name)
    photo, _, layout = planes(picture)
    preview = unplanes(photo, None, layout, mode).samples.reshape(4, 5, -1)
    top = 255 if mode.sample == "u1" else 65535
    if mode.alpha is not None:
        assert (preview[..., mode.alpha] == top).all()
    unit = 1 if mode.sample == "u1" else 257  # a low byte follows its high byte
    colours = min(mode.photo, mode.components)
    assert np.array_equal(preview[..., :colours], high[..., :colours].astype(np.int64) * unit)


def test_preview_of_grey_high_bytes_under_coloured_low_bytes(rng: np.random.Generator) -> None:
    low = rng.integers(0, 256, (4, 5, 3)).astype(np.uint16)
    picture = Picture.from_any(low + np.uint16(0x4000))
    photo, extra, layout = planes(picture)
    assert (photo.shape[2], extra.shape[2]) == (1, 3)
    assert (unplanes(photo, None, layout, picture.info).samples == 0x4040).all()


def test_every_mode_has_its_pillow_mode() -> None:
    assert {m.pillow for m in MODES if m.pillow} == set(PILLOW_MODES)
    assert BY_NAME["L[1]"].pillow == "L" and BY_NAME["RGB;16"].pillow is None
