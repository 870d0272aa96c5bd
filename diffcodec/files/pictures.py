"""Picture files: read without losing a bit, or refused; written in lossless formats only, or refused."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..media import indices
from ..media.metadata import EMPTY
from ..media.picture import Picture
from ..runtime import remote
from ..runtime.errors import DiffcodecError, InputError
from ..runtime.limits import DEFAULT_LIMITS
from . import by_pillow, heif, jpeg, jpeg2000, jxl, metadata, npy, png, png16, pnm, tiff
from .raw import Raw, line

# ---- reading

#: name, as of a private PNG chunk, under which `Metadata.other` keeps the largest value of samples: 4 bytes
WHITE = "whIt"

Sniffer = Callable[[bytes], bool]
Reader = Callable[[bytes, int, int], Raw]


@dataclass(frozen=True)
class Format:
    """A format that is read: whether bytes are of it, and its reader (bytes, frame, pixels at most)."""

    name: str
    sniff: Sniffer
    read: Reader


#: the first row whose sniffer says yes reads the file
READERS = (
    Format("npy", npy.sniff, npy.read),
    Format("PNG", png.sniff, png.read),
    Format("JPEG", jpeg.sniff, jpeg.read),
    Format("TIFF", tiff.sniff, tiff.read),
    Format("PNM", pnm.sniff, pnm.read),
    Format("JPEG 2000", jpeg2000.sniff, jpeg2000.read),
    Format("AVIF", heif.sniff_avif, heif.read_avif),
    Format("HEIC", heif.sniff_heic, heif.read_heic),
    Format("JPEG XL", jxl.sniff, jxl.read),
    Format("others", lambda data: True, by_pillow.read),
)


def read(source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Picture:
    """The first picture of a file (a path, or its bytes), in any format of docs/files.md; samples exactly as stored.

    Samples of 10 bits stand unscaled in 16; their largest value is then kept as the chunk `WHITE` of the metadata.
    Warns (UserWarning) of further frames, which `read_all` reads, and once of everything else that is left out.
    Raises InputError if it is no picture, is damaged, is larger than `max_pixels`, or holds samples that no mode holds;
    OSError if the file cannot be read.
    """
    if isinstance(source, bytes):
        data = source
    else:
        data = remote.read(source)
    raw = read_frame(data, 0, max_pixels=max_pixels)
    if raw.frames > 1:
        warnings.warn(f"the file has {raw.frames} frames; only the first is coded", stacklevel=2)
    picture, lost = metadata.attached(Picture(raw.samples, raw.mode, raw.icc, raw.exif), data)
    if raw.white is not None:
        other = (*picture.metadata.other, (WHITE, raw.white.to_bytes(4, "big")))
        picture = replace(picture, metadata=replace(picture.metadata, other=other))
    if raw.indexed and picture.metadata.palette is None:
        lost = (*lost, "the palette and its indices" if raw.frames == 1 else "palettes and indices")
    if lost := (*raw.lost, *lost):
        warnings.warn(f"of this file is not kept: {'; '.join(lost)}", stacklevel=2)
    return picture


def read_frame(data: bytes, frame: int = 0, *, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Raw:
    """One frame or page of a file. What a library raises for damaged bytes becomes an InputError, its cause chained."""
    form = next(form for form in READERS if form.sniff(data))
    try:
        return form.read(data, frame, max_pixels)
    except DiffcodecError:
        raise
    except Exception as error:  # readers of old formats fail in every way that Python can
        raise InputError(f"the picture is damaged: {line(error)}") from error


# ---- writing

# format -> modes whose samples it holds exactly
FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": ("1", "L", "LA", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"),
    "TIFF": tuple(tiff.WRITTEN),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "RGB"),
    "PPM": tuple(pnm.WRITTEN),
    "NPY": npy.MODES,
    "MKV": ("clip:RGB", "clip:YUV420", "clip:YUV444"),
    "MP4": ("clip:RGB", "clip:YUV420", "clip:YUV444"),
    "Y4M": ("clip:YUV420", "clip:YUV444"),
    "CSV": ("tracks",),
    "PARQUET": ("tracks",),
    "NPZ": ("tracks",),
    "GIF": (),
}
#: format -> modes that it shows, but whose samples it need not hold: writing one tells what is lost
SHOWN: dict[str, tuple[str, ...]] = {"GIF": ("clip:RGB", "clip:YUV420", "clip:YUV444")}
EXTENSIONS = {
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
    ".mkv": "MKV",
    ".mp4": "MP4",
    ".y4m": "Y4M",
    ".gif": "GIF",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".parquet": "PARQUET",
    ".npz": "NPZ",
}


_LOSSLESS = [extension for extension, format in EXTENSIONS.items() if FORMATS[format]]


def format_of(path: str | os.PathLike[str]) -> str:
    """The format to write for this file name. Raises InputError for an extension of none that is written."""
    extension = os.path.splitext(os.fspath(path))[1].lower()
    if extension not in EXTENSIONS:
        raise InputError(
            f"expected an output name that ends in one of the lossless formats {' '.join(_LOSSLESS)}, "
            f"found {extension or 'no extension'}"
        )
    return EXTENSIONS[extension]


def check(mode: str, format: str) -> None:
    """Raise InputError if a file of `format` would neither read back as pixels of this mode nor show it."""
    if mode in FORMATS[format] or mode in SHOWN.get(format, ()):
        return
    able = [name for name, modes in FORMATS.items() if mode in modes]
    way_out = f"write {' or '.join(able)} instead" if able else "take the array from diffcodec.decode instead"
    raise InputError(f"{format} cannot hold {mode} samples: {way_out}")


def write(picture: Picture, format: str) -> bytes:
    """A file of this format that `read` gives back equal. Raises InputError as `check`, and for sides it cannot have.

    A PNG of a picture that was stored as indices has these and their palette again. Warns (UserWarning) once of
    metadata that have no place in the format.
    """
    check(picture.mode, format)
    stored = indices.of_picture(picture) if format == "PNG" else None
    data = metadata.write_indices(*stored) if stored else _WRITERS[format](picture)
    kept = picture.metadata
    if format == "PPM":  # whose header holds the largest value
        kept = replace(kept, other=tuple(item for item in kept.other if item[0] != WHITE))
    data, lost = metadata.embed(data, format, kept)
    if lost:
        warnings.warn(f"{format} has no place for {', '.join(lost)} of this picture", stacklevel=2)
    return data


Writer = Callable[[Picture], bytes]


def _by_pillow(format: str, **options: Any) -> Writer:
    def write(picture: Picture) -> bytes:
        out = io.BytesIO()
        try:
            replace(picture, metadata=EMPTY).to_pillow().save(out, format=format, **options)
        except (OSError, ValueError, struct.error) as error:  # WebP ends at 16 383 pixels a side
            raise InputError(f"the picture cannot be written as {format}: {line(error)}") from None
        return out.getvalue()

    return write


def _write_png(picture: Picture) -> bytes:
    return png16.write(picture.samples) if picture.info.pillow is None else _by_pillow("PNG")(picture)


def _write_webp(picture: Picture) -> bytes:
    """Lossless WebP. Its encoder declares alpha only where some pixel is not opaque; the bits that say so are set."""
    data = _by_pillow("WEBP", lossless=True, exact=True)(picture)
    return _with_alpha(data) if picture.mode == "RGBA" else data


def _with_alpha(data: bytes) -> bytes:
    out = bytearray(data)
    at = 12
    while at + 8 <= len(out):
        kind, size = out[at : at + 4], int.from_bytes(out[at + 4 : at + 8], "little")
        if kind == b"VP8X":
            out[at + 8] |= 0x10
        elif kind == b"VP8L":
            out[at + 8 + 4] |= 0x10  # behind the signature and two times 14 bits of size
        at += 8 + size + size % 2
    return bytes(out)


def _white(picture: Picture) -> int | None:
    """The largest value of the samples that the metadata name, if it can be."""
    value = int.from_bytes(picture.metadata.chunk(WHITE) or b"", "big")
    return value if int(picture.samples.max()) <= value <= np.iinfo(picture.samples.dtype).max else None


_WRITERS: dict[str, Writer] = {
    "PNG": _write_png,
    "TIFF": tiff.write,
    "WEBP": _write_webp,
    "BMP": _by_pillow("BMP"),
    "PPM": lambda picture: pnm.write(picture, _white(picture)),
    "NPY": npy.write,
}
