"""Picture files: no bit is lost on the way in or out; what would lose one is refused."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from diffcodec import files, png16
from diffcodec.errors import InputError
from diffcodec.image import Picture


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)  # type: ignore[arg-type]
    return out.getvalue()


def wide(channels: int, seed: int = 0, size: tuple[int, int] = (70, 9)) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(-900, 900, (*size, channels))
    return (np.cumsum(steps, axis=1) + 30000).astype(np.uint16)


def picture_of(mode: str) -> Picture:
    rng = np.random.default_rng(1)
    if mode.endswith(";16") and mode != "I;16":
        return Picture.from_any(wide({"LA;16": 2, "RGB;16": 3, "RGBA;16": 4}[mode]))
    raw = rng.integers(0, 256, len(Image.new(mode, (11, 6)).tobytes()), dtype=np.uint8).tobytes()
    return Picture.from_any(Image.frombytes(mode, (11, 6), raw))


@pytest.mark.parametrize(("format", "mode"), [(f, m) for f, modes in files.FORMATS.items() for m in modes])
def test_formats_hold_what_they_claim(format: str, mode: str) -> None:
    picture = picture_of(mode)
    back = files.read(files.write(picture, format))
    assert back.mode == mode and back.samples.tobytes() == picture.samples.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGB;16", "HSV", "F", "1"])
def test_npy_holds_every_mode(mode: str) -> None:
    picture = picture_of(mode)
    data = files.write(picture, "NPY")
    assert np.load(io.BytesIO(data)).tobytes() == picture.samples.tobytes()
    assert files.read(data).samples.tobytes() == picture.samples.tobytes()


@pytest.mark.parametrize(
    ("format", "mode", "way_out"),
    [("PNG", "I", "TIFF or NPY"), ("PNG", "HSV", "write NPY"), ("WEBP", "L", "PNG"), ("TIFF", "RGB;16", "PNG or NPY")],
)
def test_formats_that_cannot_hold_the_mode(format: str, mode: str, way_out: str) -> None:
    with pytest.raises(InputError, match=way_out):
        files.write(picture_of(mode), format)


def test_format_by_name() -> None:
    assert files.format_of("a/B.PNG") == "PNG" and files.format_of("x.tif") == "TIFF"
    for name in ("x.jpg", "x.gif", "x", "x.dfc"):
        with pytest.raises(InputError, match="lossless"):
            files.format_of(name)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png16(channels: int) -> None:
    samples = wide(channels, channels)
    data = png16.write(samples)
    assert png16.is_wide(data)
    assert np.array_equal(png16.read(data), samples)
    with Image.open(io.BytesIO(data)) as image:  # an independent decoder agrees on the high bytes
        image.load()
        seen = np.asarray(image)
        assert np.array_equal(seen[..., [0, 3]] if channels == 2 else seen, samples >> 8)
    assert np.array_equal(files.read(data).samples, samples)


def test_png16_is_smaller_than_unfiltered() -> None:
    import zlib

    samples = wide(3, size=(64, 64))
    assert len(png16.write(samples)) < len(zlib.compress(samples.astype(">u2").tobytes(), 6))


def test_png16_damage_is_refused() -> None:
    data = png16.write(wide(3))
    for bad in (data[:60], data[:-20], data[:70] + bytes([data[70] ^ 4]) + data[71:]):
        with pytest.raises(InputError, match="damaged|cannot be read"):
            files.read(bad)


def test_16_bit_colour_that_pillow_reduces_is_refused() -> None:
    ppm = b"P6 # comment\n2 1\n65535\n" + bytes(range(12))
    with pytest.raises(InputError, match="PPM.*16-bit PNG"):
        files.read(ppm)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    pixels = bytes(range(12))
    for tag, value in {256: 2, 257: 1, 258: (16, 16, 16), 259: 1, 262: 2, 277: 3, 278: 1, 279: len(pixels)}.items():
        tags[tag] = value
    tags[273] = 8
    out = io.BytesIO(b"II*\0" + (8 + len(pixels)).to_bytes(4, "little") + pixels)
    out.seek(8 + len(pixels))
    tags._prefix = b"II"
    out.write(tags.tobytes(8 + len(pixels)))
    with pytest.raises(InputError, match="TIFF.*16-bit PNG"):
        files.read(out.getvalue())


def test_lazily_opened_16_bit_colour_warns() -> None:
    image = Image.open(io.BytesIO(png16.write(wide(3))))
    with pytest.warns(UserWarning, match="files.read"):
        assert Picture.from_any(image).mode == "RGB"


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGB;16"])
def test_metadata_survives(format: str, mode: str) -> None:
    if mode == "RGB;16" and format != "PNG":
        return
    exif = Image.Exif()
    exif[0x010F] = "maker"
    icc = b"\0" * 36 + b"acsp" + b"\0" * 88
    picture = picture_of(mode)
    data = files.write(Picture(picture.samples, mode, icc, exif.tobytes().removeprefix(b"Exif\0\0")), format)
    back = files.read(data)
    assert back.icc == icc and back.exif is not None
    again = Image.Exif()
    again.load(b"Exif\0\0" + back.exif)
    assert again[0x010F] == "maker"


def test_metadata_without_a_place_warns() -> None:
    picture = picture_of("RGB")
    with pytest.warns(UserWarning, match="BMP has no place"):
        files.write(Picture(picture.samples, "RGB", b"icc"), "BMP")


def test_orientation_is_kept_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = files.read(saved(Image.new("RGB", (20, 10), "red"), "JPEG", exif=exif))
    assert (picture.width, picture.height) == (20, 10)
    assert picture.to_pillow().getexif()[0x0112] == 6


def test_first_frame_with_a_warning() -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    data = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="2 frames"):
        assert (files.read(data).samples == 10).all()


def test_limits() -> None:
    bomb = saved(Image.new("1", (3000, 3000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="3000×3000.*1000000"):
            files.read(bomb, max_pixels=10**6)
    npy = io.BytesIO()
    np.save(npy, np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match="over the limit"):
        files.read(npy.getvalue(), max_pixels=24)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello, I am text",
        b"\x89PNG\r\n\x1a\n",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00v\x00{",
        b"GIF89a",
        b"\xff\xd8\xff",
    ],
)
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(InputError) as error:
        files.read(data)
    assert "\n" not in str(error.value)


def test_objects_in_npy_are_refused() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{}], object), allow_pickle=True)
    with pytest.raises(InputError, match="npy"):
        files.read(out.getvalue())


def test_every_cut_of_a_png_is_refused_or_whole() -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (6, 6, 3), dtype=np.uint8))
    data = saved(image, "PNG")
    for end in range(len(data)):
        try:
            picture = files.read(data[:end])
        except InputError:
            continue
        assert np.array_equal(picture.samples, np.asarray(image))
