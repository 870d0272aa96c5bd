"""Formats that Pillow reads without losing a bit; those, or files of them, that it would change are refused by name."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..media.picture import Picture, reduced_by_pillow
from ..runtime.errors import InputError
from .raw import Raw, check_size

#: formats of Pillow's that give samples as they are stored; all others are refused
FORMATS = (
    *(
        "AVIF",
        "BLP",
        "BMP",
        "CUR",
        "DCX",
        "DDS",
        "DIB",
        "FITS",
        "FLI",
        "FTEX",
        "GBR",
        "GIF",
        "ICNS",
        "ICO",
        "IM",
        "IMT",
    ),
    *("JPEG", "JPEG2000", "MCIDAS", "MPO", "MSP", "PCD", "PCX", "PIXAR", "PNG", "PSD", "QOI", "SGI", "SPIDER", "SUN"),
    *("TGA", "TIFF", "WEBP", "XBM", "XPM", "XVTHUMB"),
)
_NO_SAMPLES = {
    **dict.fromkeys(("EPS", "WMF"), "a page description, whose pixels depend on who draws it"),
    **dict.fromkeys(("BUFR", "GRIB", "HDF5", "MPEG", "IPTC", "FPX", "MIC"), "a format that is not read here"),
}


@contextmanager
def opened(data: bytes, max_pixels: int) -> Iterator[Any]:
    """The file as a Pillow image, its pixels not loaded yet. Raises InputError, and what Pillow raises for damage."""
    from PIL import Image, UnidentifiedImageError

    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the size, where our own limit follows, and about broken metadata
        try:
            image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
        except UnidentifiedImageError:
            raise InputError(_unknown(data)) from None
        except Image.DecompressionBombError as error:
            raise InputError(f"the picture cannot be read: {error}") from None
        with image:
            check_size(image.width, image.height, max_pixels)
            yield image


def _unknown(data: bytes) -> str:
    from PIL import Image

    for name, reason in _NO_SAMPLES.items():
        accept = Image.OPEN.get(name, (None, None))[1]
        if accept and accept(data[:16]) is True:
            return f"expected a picture made of samples, found {name}: {reason}"
    found = "an empty file" if not data else f"bytes {data[:8].hex(' ')}"
    return f"expected a picture in a format that is read here, found {found}, or a damaged one"


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """Frame `frame` of a file in one of `FORMATS`."""
    with opened(data, max_pixels) as image:
        return loaded(image, data, frame)


def loaded(image: Any, data: bytes, frame: int = 0) -> Raw:
    """The samples of an image just opened from ``data``. Raises InputError where Pillow would change them."""
    if reduced_by_pillow(image):
        raise InputError(
            f"Pillow would drop bits of this {image.format} file of more than 8 bits per sample: "
            "convert it to a 16-bit PNG, or to a .npy array, first"
        )
    frames = int(getattr(image, "n_frames", 1))
    if frame:
        if not 0 <= frame < frames:
            raise InputError(f"expected a frame below {frames}, found {frame}")
        image.seek(frame)
    raw = replace(_CHECKS.get(image.format, _nothing)(image, data), indexed=image.mode in ("P", "PA"), frames=frames)
    image.load()
    picture = Picture.from_any(image)
    return replace(raw, samples=picture.samples, mode=picture.mode, icc=picture.icc, exif=picture.exif)


# ---- what formats are looked at for before Pillow loads them


def _nothing(image: Any, data: bytes) -> Raw:
    return Raw(samples=None, mode=image.mode)  # type: ignore[arg-type]  # filled in by `loaded`


def _refused(image: Any, what: str) -> InputError:
    return InputError(f"Pillow does not keep {what} of this {image.format} file: convert it to PNG, TIFF or .npy first")


def _dds(image: Any, data: bytes) -> Raw:
    """BC6H holds half floats, masks may be of more than 8 bits; Pillow gives 8."""
    for tile in image.tile:
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if tile[0] == "bcn" and args[0] == 6:
            raise _refused(image, "the half floats")
        masks = next((arg for arg in args if isinstance(arg, (tuple, list))), ())
        if tile[0] == "dds_rgb" and any(bin(mask).count("1") > 8 for mask in masks):
            raise _refused(image, "channels of more than 8 bits")
    return _nothing(image, data)


def _sgi(image: Any, data: bytes) -> Raw:
    if data[3] != 1:
        raise _refused(image, "samples of 16 bits")
    return _nothing(image, data)


def _psd(image: Any, data: bytes) -> Raw:
    depth, colours, channels = (int.from_bytes(data[at : at + 2], "big") for at in (22, 24, 12))
    shown = {0: 1, 1: 1, 2: 1, 3: 4 if image.mode == "RGBA" else 3, 4: 4, 8: 1, 9: 3}.get(colours, 0)
    if depth > 8:
        raise _refused(image, f"samples of {depth} bits")
    if channels != shown:
        return replace(_nothing(image, data), lost=(f"{channels - shown} further channels",))
    return _nothing(image, data)


_FITS_CARD = re.compile(rb"(BITPIX|BZERO|BSCALE|NAXIS3|XTENSION)\s*=\s*([-+.\w']+)")


def _fits(image: Any, data: bytes) -> Raw:
    """Pillow takes 16-bit samples for unsigned and 64-bit ones for float32, and overlooks offset and scale."""
    cards = {b"BZERO": b"0", b"BSCALE": b"1", b"NAXIS3": b"1"} | dict(_FITS_CARD.findall(data[:28800]))
    plain = float(cards[b"BZERO"]) == 0 and float(cards[b"BSCALE"]) == float(cards[b"NAXIS3"]) == 1
    if cards.get(b"BITPIX") not in (b"8", b"32", b"-32") or not plain:
        raise _refused(image, "signed, scaled or 64-bit samples")
    return _nothing(image, data)


def _mcidas(image: Any, data: bytes) -> Raw:
    if image.mode != "L":
        raise _refused(image, "samples of 16 or 32 bits")
    return _nothing(image, data)


def _sizes(image: Any, data: bytes) -> Raw:
    """Icons hold the same picture in several sizes."""
    count = len(image.info.get("sizes", ()))
    return replace(_nothing(image, data), lost=(f"{count - 1} other sizes",) if count > 1 else ())


def _pcx(image: Any, data: bytes) -> Raw:
    """Pillow takes 8-bit indices for grey where the palette at the end of the file is cut off."""
    version, bits, planes, kind = data[1], data[3], data[65], int.from_bytes(data[68:70], "little")
    if (version, bits, planes) == (5, 8, 1) and data[-769:-768] != b"\x0c" and kind != _PCX_GREY:
        raise InputError("the picture is damaged: a PCX file of 256 colours without its palette")
    return _nothing(image, data)


_PCX_GREY = 2  # the header's kind of palette


def _pcd(image: Any, data: bytes) -> Raw:
    return replace(_nothing(image, data), lost=("the larger resolutions",))


_CHECKS: dict[str, Callable[[Any, bytes], Raw]] = {
    "DDS": _dds,
    "SGI": _sgi,
    "PSD": _psd,
    "FITS": _fits,
    "MCIDAS": _mcidas,
    "ICO": _sizes,
    "CUR": _sizes,
    "ICNS": _sizes,
    "PCD": _pcd,
    "PCX": _pcx,
}
