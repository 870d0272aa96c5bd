"""Picture files: no bit is lost on the way in or out; what would lose one is refused."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from diffcodec import files
from diffcodec.files import png16
from diffcodec.media.medium import Signal
from diffcodec.media.metadata import EMPTY
from diffcodec.media.modes import BY_NAME, DTYPES, MODES
from diffcodec.media.picture import Picture
from diffcodec.media.table import rows, signal_of
from diffcodec.runtime.errors import InputError


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)  # type: ignore[arg-type]
    return out.getvalue()


def wide(channels: int, seed: int = 0, size: tuple[int, int] = (70, 9)) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(-900, 900, (*size, channels))
    return (np.cumsum(steps, axis=1) + 30000).astype(np.uint16)


def picture_of(mode: str, size: tuple[int, int] = (6, 11)) -> Picture:
    info = BY_NAME[mode]
    height, width = size
    raw = np.random.default_rng(1).integers(0, 256, (height, width * info.planes), dtype=np.uint8)
    samples = raw % 2 * np.uint8(255) if info.sample == "bit" else raw.view(DTYPES[info.sample])
    shape = (height, width, info.channels) if info.channels else (height, width)
    return Picture(np.ascontiguousarray(samples.reshape(shape)), mode)


#: signals that are no pictures, and that an array tells
ARRAYS: dict[str, Callable[[], Signal]] = {
    "tokens": lambda: signal_of(np.arange(9, dtype=np.uint8)),
    "tokens;16": lambda: signal_of(np.arange(9, dtype=np.uint16) * 999),
    "tracks": lambda: files.read_signal(b"frame,id,x\n0,1,2.5\n0,2,3.5\n1,1,2.5\n"),
    "clip:RGB": lambda: signal_of(np.arange(90, dtype=np.uint8).reshape(2, 3, 5, 3)),
}


def test_media_name_the_formats_that_hold_them() -> None:
    for row in rows():
        able = {format for format, modes in files.FORMATS.items() if set(modes) & set(row.modes.values())}
        assert able == set(row.formats)


VIDEOS = ("MKV", "MP4", "Y4M")  #: which tests/test_video.py holds to theirs


@pytest.mark.parametrize(
    ("format", "mode"), [(f, m) for f, modes in files.FORMATS.items() if f not in VIDEOS for m in modes]
)
def test_formats_hold_what_they_claim(format: str, mode: str) -> None:
    if mode not in BY_NAME:  # no picture
        if format == "PARQUET":
            pytest.importorskip("pyarrow")
        signal = ARRAYS[mode]()
        found = files.read_signal(files.write_signal(signal, format))
        if format in ("PARQUET", "NPZ"):  # the table was of text: how it stood there is not kept
            found, signal = (one.with_metadata(EMPTY) for one in (found, signal))
        assert signal.mode == mode and found.equals(signal)
        with pytest.raises(InputError, match=r"a picture in|no picture"):
            files.read(files.write_signal(signal, format))
        return
    picture = picture_of(mode)
    back = files.read(files.write(picture, format))
    assert files.read_signal(files.write_signal(picture, format)).equals(back)
    assert back.mode == mode and back.samples.shape == picture.samples.shape
    assert back.samples.dtype == picture.samples.dtype and back.samples.tobytes() == picture.samples.tobytes()


def test_npy_holds_what_shape_and_type_tell() -> None:
    for mode in ("RGB", "RGB;16", "F", "1", "I;16[1]", "F;16[3]"):
        picture = picture_of(mode)
        array = np.load(io.BytesIO(files.write(picture, "NPY")))
        assert array.dtype == (bool if mode == "1" else picture.samples.dtype)
        assert array.shape == picture.array.shape
        assert array.tobytes() == (picture.array != 0 if mode == "1" else picture.array).tobytes()


@pytest.mark.parametrize(
    ("format", "mode", "way_out"),
    [
        ("PNG", "I", "write TIFF or NPY instead"),
        ("PNG", "HSV", "diffcodec.decode"),
        ("NPY", "HSV", "diffcodec.decode"),
        ("NPY", "CMYK", "write TIFF instead"),
        ("WEBP", "L", "PNG"),
        ("BMP", "RGB;16", "PNG or TIFF or PPM or NPY"),
        ("PNG", "L[1]", "write NPY instead"),
    ],
)
def test_formats_that_cannot_hold_the_mode(format: str, mode: str, way_out: str) -> None:
    with pytest.raises(InputError, match=way_out):
        files.write(picture_of(mode), format)


def test_format_by_name() -> None:
    assert files.format_of("a/B.PNG") == "PNG" and files.format_of("x.tif") == "TIFF"
    for name in ("x.jpg", "x", "x.dfc"):
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
        with pytest.raises(InputError, match=r"damaged|cannot be read"):
            files.read(bad)


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
        with pytest.raises(InputError, match=r"3000×3000.*1000000"):
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


# ---- the law of written files


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_reads_back_equal_or_is_refused(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(sorted(files.FORMATS)))
    mode = data.draw(st.sampled_from(MODES))
    size = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    plain = picture_of(mode.name, size)
    if mode.alpha is not None and data.draw(st.booleans()):
        plain.samples[..., mode.alpha] = np.iinfo(plain.samples.dtype).max  # opaque all over
    icc, exif = (data.draw(st.none() | st.binary(min_size=1, max_size=60)) for _ in range(2))
    exif = (exif and exif.removeprefix(b"Exif\0\0")) or None
    picture = Picture(plain.samples, plain.mode, icc, exif)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            written = files.write(picture, format)
        except InputError as error:
            assert mode.name not in files.FORMATS[format] and format in str(error)
            return
        named = " ".join(str(warning.message) for warning in said)
        back = files.read(written)
    assert back.mode == picture.mode and back.samples.shape == picture.samples.shape
    assert back.samples.dtype == picture.samples.dtype and back.samples.tobytes() == picture.samples.tobytes()
    assert back.icc == icc or "ICC profile" in named
    assert back.exif == exif or "Exif" in named


@pytest.mark.parametrize("name", ["tiff-exif-262.dfc", "tiff-exif-266.dfc"])
def test_structural_tags_in_exif_data_stay_out_of_a_tiff(name: str) -> None:
    from diffcodec import api

    picture = api.decode_picture((Path(__file__).parent / "data" / "cases" / name).read_bytes())
    back = files.read(files.write(picture, "TIFF"))
    assert back.mode == picture.mode and np.array_equal(back.samples, picture.samples)


@pytest.mark.parametrize("tag", [254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 338, 339])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGB;16", "RGBA", "F", "1"])
def test_no_structural_tag_changes_a_tiff(mode: str, tag: int) -> None:
    exif = Image.Exif()
    exif[271], exif[tag] = "maker", 2
    picture = Picture(picture_of(mode).samples, mode, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    back = files.read(files.write(picture, "TIFF"))
    assert back.mode == mode and back.samples.tobytes() == picture.samples.tobytes()
    again = Image.Exif()
    again.load(b"Exif\0\0" + (back.exif or b""))
    assert again[271] == "maker"


@pytest.mark.skipif(
    not (Path(__file__).parents[1] / "tools").is_dir(), reason="tools/ is not part of this distribution"
)
def test_docs_are_up_to_date() -> None:
    from tools import make_files_doc as page

    assert page.PATH.read_text(encoding="utf-8") == page.text(), "run python -m tools.make_files_doc"
    assert {form.name for form in files.READERS} - {"TIFF"} == set(page.READ)


def test_unpacking_takes_a_format_that_holds_the_mode(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from diffcodec.archive.unpacking import Target

    target = Target(str(tmp_path), False, "x.dfca")
    for number, mode in enumerate(["L[1]", "RGB", "F", "RGBX;16", "I;16S[1]"]):
        picture = picture_of(mode)
        target.write(SimpleNamespace(name=f"{number}", permissions=None, time=None), picture, number)  # type: ignore
        (path,) = tmp_path.glob(f"{number}.*")
        back = files.read(path)
        assert back.mode == mode and back.samples.tobytes() == picture.samples.tobytes()
    assert not target.problems
