"""What PNG, WebP and JPEG make of a picture, for a comparison at a glance; `diffcodec bench` measures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from .. import files
from ..media.picture import Picture


def png(image: Image.Image) -> bytes:
    """An optimised PNG file."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def png_bytes(picture: Picture) -> int | None:
    """Of the optimised PNG file; None where Pillow has no such mode."""
    return len(png(picture.to_pillow())) if picture.info.pillow else None


def webp_bytes(picture: Picture) -> int | None:
    """Of the lossless WebP file at its greatest effort; None where it has no such mode."""
    if picture.mode not in files.FORMATS["WEBP"]:
        return None
    out = io.BytesIO()
    picture.to_pillow().save(out, "WEBP", lossless=True, quality=100, method=6)
    return len(out.getvalue())


def jpeg_within(picture: Picture, size: int) -> Any:
    """Samples, uint8 (H, W) or (H, W, 3), of the best JPEG file of at most ``size`` bytes; None where there is none."""
    if picture.mode not in ("L", "RGB"):
        return None
    for quality in range(95, 0, -2):
        out = io.BytesIO()
        picture.to_pillow().save(out, "JPEG", quality=quality, optimize=True)
        if len(out.getvalue()) <= size:
            return np.asarray(Image.open(out))
    return None


def psnr(a: Any, b: Any) -> float:
    """Between two pictures of 8 bits and one shape, in dB; 138 dB of equal ones."""
    return float(10 * np.log10(65025 / max(1e-9, np.mean((a.astype(np.float64) - b) ** 2))))
