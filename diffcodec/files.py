"""Picture files: read without losing a bit, or refused; written in lossless formats only, or refused."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from . import png16
from .bitstream import DEFAULT_LIMITS
from .errors import InputError
from .image import Picture, reduced_by_pillow

# format -> modes whose samples it holds exactly, as Pillow (or png16) writes it
_L, _RGB = ("1", "L"), ("RGB", "RGBA")
FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (*_L, "LA", *_RGB, "I;16", "LA;16", "RGB;16", "RGBA;16"),
    "TIFF": (*_L, "LA", *_RGB, "I;16", "I", "F", "CMYK", "YCbCr", "LAB"),
    "WEBP": _RGB,
    "BMP": (*_L, "RGB"),
    "PPM": (*_L, "RGB", "I;16"),
}
_EXTENSIONS = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
    ".npy": "NPY",
}
_KEEPS_METADATA = ("PNG", "TIFF", "WEBP")
_NPY = b"\x93NUMPY"


def read(source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Picture:
    """The first picture of a file (a path, or its bytes): any format Pillow reads, 16-bit colour PNG, or `.npy`.

    Warns (UserWarning) about frames left out. Raises InputError if it is no picture, is damaged, is larger than
    `max_pixels`, or has more bits than can be read; OSError if the file cannot be read.
    """
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as file:
            data = file.read()
    if data[:6] == _NPY:
        return _read_npy(data, max_pixels)
    return _read_image(data, max_pixels)


def _read_npy(data: bytes, max_pixels: int) -> Picture:
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"expected a .npy array of numbers, found a damaged one: {_line(error)}") from None
    height, width = ((1, 1), (1, array.size), array.shape)[min(array.ndim, 2)][:2]
    _check_size(width, height, max_pixels)
    return Picture.from_any(array)


def _read_image(data: bytes, max_pixels: int) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        found = "an empty file" if not data else f"bytes {data[:8].hex(' ')}"
        raise InputError(f"expected a picture in a format that Pillow reads, found {found}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture cannot be read: {_line(error)}") from None
    with image:
        _check_size(image.width, image.height, max_pixels)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            warnings.warn(f"the file has {frames} frames; only the first is coded", stacklevel=3)
        try:
            if png16.is_wide(data):
                return _read_png16(data, image)
            _refuse_reduction(image, data)
            if image.format == "TIFF":
                image.info.setdefault("exif", _tiff_exif(image))
            image.load()
            picture = Picture.from_any(image)
            if image.format == "PPM" and picture.mode == "I":  # 16-bit grey, which Pillow widens
                picture = replace(picture, samples=picture.samples.astype(np.uint16), mode="I;16")
            return picture
        except (OSError, ValueError, SyntaxError, EOFError, zlib.error, struct.error) as error:
            raise InputError(f"the picture is damaged: {_line(error)}") from None


def _read_png16(data: bytes, image: Any) -> Picture:
    import png

    try:
        samples = png16.read(data)
    except png.Error as error:
        raise InputError(f"the picture is damaged: {_line(error)}") from None
    exif = image.info.get("exif", b"").removeprefix(b"Exif\0\0") or None
    return replace(Picture.from_any(samples), icc=image.info.get("icc_profile"), exif=exif)


def _refuse_reduction(image: Any, data: bytes) -> None:
    """Pillow silently keeps 8 of 16 bits of some colour files; lossless coding must not."""
    wide = reduced_by_pillow(image)
    if image.format == "PPM" and image.mode == "RGB":
        fields = b" ".join(line.split(b"#")[0] for line in data[:1024].split(b"\n")).split()
        wide = len(fields) > 3 and fields[3].isdigit() and int(fields[3]) > 255
    elif image.format == "JPEG2000" and not image.mode.startswith("I"):
        start = data.find(b"\xff\x4f\xff\x51")
        wide = start >= 0 and len(data) > start + 42 and (data[start + 42] & 127) + 1 > 8
    if wide:
        raise InputError(
            f"Pillow would drop bits of this {image.format} file of more than 8 bits per sample: "
            "convert it to a 16-bit PNG, or to a .npy array, first"
        )


_TIFF_TEXT = (270, 271, 272, 274, 305, 306, 315, 33432)  # description, make, model, orientation, software, ...


def _tiff_exif(image: Any) -> bytes | None:
    """The descriptive tags of a TIFF file as Exif data; the others say how its pixels are stored."""
    from PIL import Image

    exif, old = Image.Exif(), image.getexif()
    for tag in _TIFF_TEXT:
        if tag in old:
            exif[tag] = old[tag]
    for pointer in (0x8769, 0x8825):  # the Exif and GPS directories
        if directory := old.get_ifd(pointer):
            exif.get_ifd(pointer).update(directory)
    return exif.tobytes() if len(exif) else None


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise InputError(f"the picture is {width}×{height}, over the limit of {max_pixels} pixels")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def format_of(path: str | os.PathLike[str]) -> str:
    """The format to write for this file name. Raises InputError for a lossy or unknown extension."""
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if extension not in _EXTENSIONS:
        raise InputError(
            f"expected an output name that ends in one of the lossless formats {' '.join(_EXTENSIONS)}, "
            f"found {extension or 'no extension'}"
        )
    return _EXTENSIONS[extension]


def check(mode: str, format: str) -> None:
    """Raise InputError if `format` cannot hold pixels of this mode; NPY holds all."""
    mode = mode.removesuffix("[1]")
    if format != "NPY" and mode not in FORMATS[format]:
        able = [name for name, modes in FORMATS.items() if mode in modes]
        raise InputError(f"{format} cannot hold {mode} pixels: write {' or '.join([*able, 'NPY'])} instead")


def write(picture: Picture, format: str) -> bytes:
    """A file of this format with the samples, ICC profile and Exif data. Raises InputError as `check`.

    Warns (UserWarning) if the format has no place for the profile or the Exif data.
    """
    check(picture.mode, format)
    if format not in _KEEPS_METADATA and (picture.icc or picture.exif):
        warnings.warn(f"{format} has no place for the ICC profile and Exif data of this picture", stacklevel=2)
    if format == "PNG" and picture.info.pillow is None:
        return png16.write(picture.samples, picture.icc, picture.exif)
    out = io.BytesIO()
    if format == "NPY":
        np.lib.format.write_array(out, picture.array, allow_pickle=False)
        return out.getvalue()
    image = picture.to_pillow()
    options: dict[str, Any] = {"lossless": True, "exact": True} if format == "WEBP" else {}
    if format in _KEEPS_METADATA:
        options |= {"icc_profile": picture.icc, "exif": image.info.get("exif", b"")}
    try:
        image.save(out, format=format, **options)
    except (OSError, ValueError, struct.error) as error:  # WebP ends at 16 383 pixels a side
        raise InputError(f"the picture cannot be written as {format}: {_line(error)}") from None
    return out.getvalue()
