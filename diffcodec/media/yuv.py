"""Planes of luma and colour differences <-> RGB, 8 bits a sample, for codecs that lose some of them anyway.

ITU-T H.273 says what the numbers of matrices and ranges mean. Chroma of 4:2:0 is taken to lie in the middle of its four
pixels, wherever it was sited: it goes there and back by the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .planes import Bytes
from .rows.clip import Colour, Sampling

FULL, GBR = 2, 0  #: a range, and a matrix
#: weights of red and blue in luma, by matrix; what is not specified, or unknown here, is taken for BT.601
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
BT_601 = (0.299, 0.114)
Floats = NDArray[np.float32]


def to_rgb(planes: tuple[Bytes, ...], sampling: Sampling, colour: Colour) -> Bytes:
    """uint8 (T, H, W, 3) of the planes of a clip."""
    if sampling == "RGB":
        return planes[0]
    luma = planes[0]
    chroma = [_doubled(plane)[:, : luma.shape[1], : luma.shape[2]] if sampling == "YUV420" else plane
              for plane in planes[1:]]  # fmt: skip
    if colour.matrix == GBR:
        return _rounded(np.stack([chroma[1], luma, chroma[0]], 3).astype(np.float32))
    low, of_luma, of_chroma = _scales(colour)
    y = (luma.astype(np.float32) - low) / of_luma
    u, v = ((one.astype(np.float32) - 128) / of_chroma for one in chroma)
    r, b = WEIGHTS.get(colour.matrix, BT_601)
    red, blue = y + (2 - 2 * r) * v, y + (2 - 2 * b) * u
    green = (y - r * red - b * blue) / (1 - r - b)
    return _rounded(255 * np.stack([red, green, blue], 3).astype(np.float32))


def from_rgb(rgb: Bytes, sampling: Sampling, colour: Colour) -> tuple[Bytes, ...]:
    """Mirror of :func:`to_rgb`, up to rounding and what 4:2:0 cannot hold."""
    if sampling == "RGB":
        return (rgb,)
    red, green, blue = (rgb[..., k].astype(np.float32) for k in range(3))
    if colour.matrix == GBR:
        every = [green, blue, red]
    else:
        low, of_luma, of_chroma = _scales(colour)
        r, b = WEIGHTS.get(colour.matrix, BT_601)
        y = r * red + (1 - r - b) * green + b * blue
        u, v = (blue - y) / (2 - 2 * b), (red - y) / (2 - 2 * r)
        every = [low + of_luma / 255 * y, *(128 + of_chroma / 255 * one for one in (u, v))]
    if sampling == "YUV420":
        every[1:] = map(_halved, every[1:])
    return tuple(map(_rounded, every))


def _scales(colour: Colour) -> tuple[int, int, int]:
    """(level of black, levels from black to white, levels of all of a colour difference)."""
    return (0, 255, 255) if colour.range == FULL else (16, 219, 224)


def _rounded(x: Floats) -> Bytes:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _doubled(plane: Bytes) -> Floats:
    """(T, 2h, 2w) of (T, h, w), on straight lines between the samples."""
    x = plane.astype(np.float32)
    for axis in (1, 2):
        count = x.shape[axis]
        before, after = (x.take(np.clip(np.arange(count) + k, 0, count - 1), axis) for k in (-1, 1))
        pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * count, *x.shape[axis + 1 :])
    return x


def _halved(plane: Floats) -> Floats:
    """(T, ⌈H/2⌉, ⌈W/2⌉) of (T, H, W): means of four, the last row or column twice where there is an odd number."""
    x = np.pad(plane, ((0, 0), (0, plane.shape[1] % 2), (0, plane.shape[2] % 2)), mode="edge")
    means: Floats = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean((2, 4))
    return means
