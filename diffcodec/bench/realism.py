"""Sliced Wasserstein distance of Laplacian-pyramid patches (Karras et al., arXiv 1710.10196, §5): no weights needed."""

from __future__ import annotations

import math

import numpy as np

LEVELS, PATCH, COUNT, DIRECTIONS = 3, 7, 4096, 128
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def _blur(x: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve1d

    rows: np.ndarray = convolve1d(x, _BINOMIAL, axis=0, mode="mirror")
    blurred: np.ndarray = convolve1d(rows, _BINOMIAL, axis=1, mode="mirror")
    return blurred


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Band-pass levels, fine to coarse, float64 (h, w, 3), of uint8 (H, W, 3)."""
    x, out = image.astype(np.float64), []
    for _ in range(LEVELS):
        low = _blur(x)
        out.append(x - low)
        x = low[::2, ::2]
    return out


def distance(image: np.ndarray, original: np.ndarray) -> float:
    """Mean over levels of the sliced Wasserstein-1 distance between their 7x7x3 patches, times 1000.

    Patches come from the same random places of both pictures, uint8 (H, W, 3), are scaled by the original's spread per
    level and channel, and are compared as sets, each over random directions: where something is does not count, what
    there is does. NaN for pictures whose coarsest level is smaller than a patch.
    """
    if min(image.shape[:2]) < PATCH << (LEVELS - 1):
        return math.nan
    rng = np.random.default_rng(0)
    total = 0.0
    for a, b in zip(pyramid(image), pyramid(original), strict=True):
        spread = b.std((0, 1)) + 1e-6
        h, w = (n - PATCH + 1 for n in b.shape[:2])
        places = rng.integers(0, (h, w), (COUNT, 2))
        directions = rng.standard_normal((PATCH * PATCH * 3, DIRECTIONS))
        directions /= np.linalg.norm(directions, axis=0)
        sets = []
        for picture in (a / spread, b / spread):
            windows = np.lib.stride_tricks.sliding_window_view(picture, (PATCH, PATCH), (0, 1))
            patches = windows[places[:, 0], places[:, 1]].reshape(COUNT, -1)
            sets.append(np.sort(patches @ directions, axis=0))
        total += float(np.abs(sets[0] - sets[1]).mean())
    return 1000 * total / LEVELS
