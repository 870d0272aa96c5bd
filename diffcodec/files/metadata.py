"""Metadata of picture files: a table of formats with their readers, one with what puts them into a written file."""

from __future__ import annotations

import io
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..media import indices
from ..media.metadata import Density, Metadata, Palette
from ..media.picture import Picture
from . import metadata_gif, metadata_jpeg, metadata_png, metadata_tiff, metadata_webp

Found = tuple[Metadata, tuple[str, ...]]


@dataclass(frozen=True)
class _Format:
    """Whether bytes are of a format, and what it says beside its samples, with the names of what cannot be kept."""

    sniff: Callable[[bytes], bool]
    read: Callable[[bytes], Found]


def _read_bmp(data: bytes) -> Found:
    x, y = struct.unpack_from("<ii", data, _BMP_DENSITY) if _has_bmp_density(data) else (0, 0)
    return Metadata(density=Density(Fraction(x), Fraction(y), "metre") if x > 0 and y > 0 else None), ()


_BMP_DENSITY = 38  # offset of the pixels per metre


def _has_bmp_density(data: bytes) -> bool:
    return data[:2] == b"BM" and len(data) >= _BMP_DENSITY + 8 and int.from_bytes(data[14:18], "little") >= 40


_FORMATS = (
    _Format(lambda data: data.startswith(metadata_png.SIGNATURE), metadata_png.read),
    _Format(metadata_jpeg.sniff, metadata_jpeg.read),
    _Format(metadata_tiff.sniff, metadata_tiff.read),
    _Format(metadata_webp.sniff, metadata_webp.read),
    _Format(metadata_gif.sniff, metadata_gif.read),
    _Format(_has_bmp_density, _read_bmp),
)


def attached(picture: Picture, data: bytes) -> tuple[Picture, tuple[str, ...]]:
    """The picture that was read of a file, with what the file says beside its samples; names of what is not kept."""
    form = next((form for form in _FORMATS if form.sniff(data)), None)
    metadata, lost = form.read(data) if form else _by_library(data, picture.metadata)
    palette = palette_of(data, picture)
    return replace(picture, metadata=replace(metadata, palette=palette)), lost


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    """The file as a Pillow image, whose warnings were given when its samples were read."""
    from PIL import Image

    data = metadata_png.essential(data) if data.startswith(metadata_png.SIGNATURE) else data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            yield image


def _by_library(data: bytes, known: Metadata) -> Found:
    """Of a format whose reader is someone else's: XMP too, and the names of images beside the picture."""
    heif = sys.modules.get("pillow_heif")  # the reader of such a file has imported it
    try:
        if heif is not None and heif.is_supported(data):
            info = heif.open_heif(data).info
        else:
            with _opened(data) as image:
                info = image.info
    except Exception:  # the samples were read by another reader; these are beside them
        return known, ()
    xmp = info.get("xmp")
    lost = [name for key, name in _BESIDE.items() if info.get(key)]
    return replace(known, xmp=xmp if isinstance(xmp, bytes) and xmp else None), tuple(lost)


_BESIDE = {"depth_images": "the depth map", "aux": "auxiliary images (gain map)"}


# ---- writing


def _embed_bmp(data: bytes, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    dpi = metadata.density.dpi() if metadata.density else None
    x, y = (round(side / Fraction(254, 10000)) for side in dpi) if dpi else (0, 0)
    whole = max(x, y) < 2**31
    data = data[:_BMP_DENSITY] + struct.pack("<ii", *((x, y) if whole else (0, 0))) + data[_BMP_DENSITY + 8 :]
    return data, names_of(metadata, but=("palette", "density") if dpi and whole else ("palette",))


def names_of(metadata: Metadata, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the kinds that are there, as people call them."""
    return tuple(_NAMES.get(kind, kind) for kind in metadata.kinds if kind not in (*but, "frame"))


_NAMES = {"icc": "the ICC profile", "exif": "Exif data", "xmp": "XMP", "iptc": "IPTC records", "text": "texts"}
_NAMES |= {"palette": "the palette and its indices", "colour": "colour chunks", "other": "further PNG chunks"}

_EMBED: dict[str, Callable[[bytes, Metadata], tuple[bytes, tuple[str, ...]]]] = {
    "PNG": metadata_png.embed,
    "TIFF": metadata_tiff.embed,
    "WEBP": metadata_webp.embed,
    "BMP": _embed_bmp,
}


def embed(data: bytes, format: str, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """A file that was just written, with these metadata in place of its own; the names of what has no place in it."""
    if format not in _EMBED:
        return data, names_of(metadata)
    data, lost = _EMBED[format](data, metadata)
    indexed = format == "PNG" and data[25] == 3  # the colour type
    return data, lost if metadata.palette is None or indexed else (*lost, "the palette and its indices")


# ---- palettes


def palette_of(data: bytes, picture: Picture) -> Palette | None:
    """The palette of a file of indices, which together with the picture's colours gives these back; None of others."""
    if picture.mode not in ("RGB", "RGBA"):
        return None
    try:
        with _opened(data) as image:
            if getattr(image, "n_frames", 1) != 1:
                return None
            image.load()
            return indices.of_pillow(image, picture.samples)
    except Exception:  # the samples were read by another reader; without a palette they are still right
        return None


def write_indices(indices: np.ndarray[Any, np.dtype[np.uint8]], palette: Palette) -> bytes:
    """A PNG file of indices uint8 (H, W) with their palette."""
    from PIL import Image

    image = Image.fromarray(indices, "P")
    image.putpalette(palette.colours)
    out = io.BytesIO()
    image.save(out, format="PNG", **({"transparency": palette.alphas} if palette.alphas else {}))
    return out.getvalue()
