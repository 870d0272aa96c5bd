"""What a JPEG file tells of the picture it was made from: each of its coefficients lies within half a step.

The pictures for which all do are a convex set, but for rounding; `project` goes to the nearest of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import UnsupportedVersion
from ..operators import BACK, CHROMA, LUMA, ONE
from .blocks import Layout, check, quantised
from .coefficients import Jpeg

Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]
Floats = NDArray[np.float64]

_YCBCR = np.vstack([LUMA, CHROMA]).T / ONE  # RGB -> YCbCr about 0
_FREQUENCY, _PLACE = np.arange(8)[:, None], np.arange(8)
_COSINES = np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) * np.where(_FREQUENCY, 0.5, np.sqrt(1 / 8))
DCT = np.kron(_COSINES, _COSINES)  #: orthonormal, float64 (64 coefficients, 64 samples)


def tables(jpeg: Jpeg) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Steps of luma and of chroma float32 (2, 64), zeros for the chroma of a grey file; log2 of chroma's (width, height).

    By vertical, then horizontal frequency; the second are of luma over chroma: (1, 1) for 4:2:0. Raises
    UnsupportedVersion for a file that these do not describe: of RGB, of more than one chroma.
    """
    steps = np.zeros((2, 64), np.float32)
    steps[0] = jpeg.components[0].table.ravel()
    if len(jpeg.components) == 1:
        return steps, (0, 0)
    (v, h), *chroma = Layout.of(jpeg).boxes
    _, cb, cr = jpeg.components
    if not jpeg.transform or (v, h) != (1, 1) or len(set(chroma)) > 1 or (cb.table != cr.table).any():
        raise UnsupportedVersion("expected a JPEG file of YCbCr whose luma is whole and whose chroma are alike")
    steps[1] = cb.table.ravel()
    v, h = chroma[0]
    return steps, (h.bit_length() - 1, v.bit_length() - 1)


def forward(picture: Bytes, jpeg: Jpeg) -> tuple[Shorts, ...]:
    """What libjpeg-turbo makes of a picture uint8 (H, W, C) with a file's steps, up to 8191, and sampling.

    For each component int16 (rows, cols, 8, 8), in steps, as :class:`coefficients.Component` has them. Raises
    InputError for a picture of another size.
    """
    layout = Layout.of(jpeg)
    check(picture[None], layout)
    return tuple(found[0] for found in quantised(picture[None], layout, [part.table for part in jpeg.components]))


def project(x: Floats, jpeg: Jpeg) -> Floats:
    """The nearest picture whose coefficients lie in their cells, float64 (H, W, C) of (H, W, C), in levels.

    Nearest in YCbCr whose chroma is averaged; nothing is rounded or kept from 0 to 255. Where blocks reach beyond the
    picture it is near only. Raises InputError for a picture of another size.
    """
    layout = Layout.of(jpeg)
    check(x[None], layout)
    half = [part.table.reshape(64) / 2.0 for part in jpeg.components]
    middle = [2 * step * part.coefficients.reshape(1, -1, 64) for step, part in zip(half, jpeg.components, strict=True)]
    return clamped(x[None], layout, middle, half)[0]


def clamped(x: Floats, layout: Layout, middle: list[Floats], half: list[Floats]) -> Floats:
    """Pictures (n, H, W, C) of which each coefficient is moved to within ``half`` of its ``middle``.

    Both float64 for each component, (n, blocks, 64) or what broadcasts with it, in levels.
    """
    planes = (x @ _YCBCR if layout.transform else x) - 0.0
    moved = np.empty_like(planes)
    for c in range(len(layout.boxes)):
        offset = 0 if layout.transform and c else 128
        found = coefficients_of(planes[..., c] - offset, layout, c)
        change = np.clip(found, middle[c] - half[c], middle[c] + half[c]) - found
        moved[..., c] = _spread(change @ DCT, layout, c)
    return x + (moved @ BACK if layout.transform else moved)


def coefficients_of(plane: Floats, layout: Layout, c: int) -> Floats:
    """A component's transform (n, blocks, 64) of its plane (n, H, W) before it is averaged."""
    (rows, cols), (v, h) = layout.blocks(c), layout.boxes[c]
    below, right = 8 * rows * v - layout.height, 8 * cols * h - layout.width
    wide = np.pad(plane, ((0, 0), (0, below), (0, right)), "edge") if below or right else plane
    blocks = wide.reshape(len(wide), rows, 8, v, cols, 8, h).mean((3, 6)) if v * h > 1 else wide
    blocks = blocks.reshape(len(wide), rows, 8, cols, 8).transpose(0, 1, 3, 2, 4)
    found: Floats = blocks.reshape(len(wide), -1, 64) @ DCT.T
    return found


def _spread(blocks: Floats, layout: Layout, c: int) -> Floats:
    """Samples (n, blocks, 64) at every pixel of their boxes, (n, H, W)."""
    (rows, cols), (v, h) = layout.blocks(c), layout.boxes[c]
    plane = blocks.reshape(-1, rows, cols, 8, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 8 * rows, 8 * cols)
    if v * h > 1:
        plane = plane.repeat(v, 1).repeat(h, 2)
    return plane[:, : layout.height, : layout.width]
