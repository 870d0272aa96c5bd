"""Classical codecs through Pillow, its plugins, and imagecodecs where Pillow has no lossless form of a codec."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from .coders import by_quality, lossless
from .point import Codec, Points


def _save(original: np.ndarray, format: str, options: dict[str, Any]) -> bytes:
    from PIL import Image

    if format == "JPEG2000":  # Pillow leaves the colours apart, adds a container, and splits small pictures to nothing
        levels = max(1, min(6, min(original.shape[:2]).bit_length() - 3))
        options = {"mct": 1, "no_jp2": True, "num_resolutions": levels, **options}
    out = io.BytesIO()
    Image.fromarray(original).save(out, format, **options)
    return out.getvalue()


def _open(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


def _pillow_lossless(format: str, **options: Any) -> Points:
    return lossless(lambda x: _save(x, format, options), _open)


def _imagecodecs(name: str, **options: Any) -> Points:
    def coder(way: str) -> Any:
        import imagecodecs

        return getattr(imagecodecs, f"{name}_{way}")

    return lossless(lambda x: coder("encode")(x, **options), lambda data: coder("decode")(data))


def _pillow_lossy(format: str, low: int = 1, high: int = 98, name: str = "quality", **options: Any) -> Points:
    """name "bpp": JPEG 2000 is told a compression ratio, here in steps of 0.01 bits per pixel."""

    def encode(original: np.ndarray, quality: int) -> bytes:
        own = {"quality": quality} if name == "quality" else {"quality_layers": [2400 / quality]}
        return _save(original, format, options | own)

    return by_quality(
        encode, _open, low, high, lambda quality: f"{name} {quality if name == 'quality' else quality / 100:g}"
    )


_HEIF, _JXL, _MORE = ("pillow_heif",), ("pillow_jxl",), ("imagecodecs",)
_RATES = {"quality_mode": "rates", "irreversible": True}

CODECS = (
    Codec("png", True, _pillow_lossless("PNG", optimize=True)),
    Codec("webp-lossless", True, _pillow_lossless("WEBP", lossless=True, quality=100, method=6)),
    Codec("jpeg2000-lossless", True, _pillow_lossless("JPEG2000", irreversible=False)),
    Codec("jpegls", True, _imagecodecs("jpegls"), _MORE),
    Codec("avif-lossless", True, _imagecodecs("avif", level=100, speed=6), _MORE),
    Codec("heic-lossless", True, _pillow_lossless("HEIF", quality=-1, chroma=444, matrix_coefficients=0), _HEIF),
    Codec("jxl-lossless", True, _pillow_lossless("JXL", lossless=True, effort=9), _JXL),
    Codec("jpeg", False, _pillow_lossy("JPEG")),
    Codec("webp", False, _pillow_lossy("WEBP", 0)),
    Codec("jpeg2000", False, _pillow_lossy("JPEG2000", 2, 1200, "bpp", **_RATES)),
    Codec("avif", False, _pillow_lossy("AVIF", 0)),
    Codec("heic", False, _pillow_lossy("HEIF", 0), _HEIF),
    Codec("jxl", False, _pillow_lossy("JXL", 1), _JXL),
)
