"""Pictures displaced by motion: vectors of square blocks, in quarters of a pixel, and samples between pixels.

Integers only, so that both sides displace alike. How vectors are found (`search`) is the sender's own.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import inlined, kernel

BLOCKS = (4, 8, 16)  #: sides of blocks, of which a frame has one, or all (`fields`)
FARTHEST = 2**13  #: of a vector's parts, in quarters of a pixel

#: of samples -1, 0, 1, 2 at each eighth of the way from 0 to 1, in 64ths: HEVC's filters of chroma (ITU-T H.265)
TAPS = np.array(
    [
        [0, 64, 0, 0], [-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4],
        [-4, 36, 36, -4], [-4, 28, 46, -6], [-2, 16, 54, -4], [-2, 10, 58, -2],
    ],
    np.int64,
)  # fmt: skip
LINEAR = np.array([[0, 64 - 8 * k, 8 * k, 0] for k in range(8)], np.int64)  #: likewise, H.264's of chroma
SIX = np.array([1, -5, 20, 20, -5, 1], np.int64)  #: of samples -2 to 3 half-way from 0 to 1, in 32nds: H.264's of luma

#: FILTERS of samples between pixels: four taps for all, or as H.264 does, so that what it predicted is found again
FOUR_TAPS, SIX_TAPS = 0, 1
FILTERS = (FOUR_TAPS, SIX_TAPS)


@inlined
def _pixel(p, y, x, c):
    """Of ``p`` (H, W, C), edges continued."""
    H, W, _ = p.shape
    return np.int64(p[min(max(y, 0), H - 1), min(max(x, 0), W - 1), c])


@inlined
def by_taps(p, y8, x8, c, taps):
    """Of ``p`` (H, W, C) at eighths of a pixel, edges continued, 0 to 255."""
    y, x = (y8 >> 3) - 1, (x8 >> 3) - 1
    down, across = taps[y8 & 7], taps[x8 & 7]
    total = np.int64(0)
    for j in range(4):
        if down[j]:
            line = np.int64(0)
            for i in range(4):
                if across[i]:
                    line += across[i] * _pixel(p, y + j, x + i, c)
            total += down[j] * line
    return min(max((total + 2048) >> 12, 0), 255)


@inlined
def _half(p, y, x, c, down):
    """Half a pixel further down, or to the right."""
    total = np.int64(16)
    for k in range(6):
        total += SIX[k] * (_pixel(p, y + k - 2, x, c) if down else _pixel(p, y, x + k - 2, c))
    return min(max(total >> 5, 0), 255)


@inlined
def _centre(p, y, x, c):
    """Half a pixel further down and to the right."""
    total = np.int64(512)
    for j in range(6):
        for i in range(6):
            total += SIX[j] * SIX[i] * _pixel(p, y + j - 2, x + i - 2, c)
    return min(max(total >> 10, 0), 255)


@inlined
def by_halves(p, y4, x4, c):
    """Of ``p`` (H, W, C) at quarters of a pixel, edges continued: means of two at or between pixels (ITU-T H.264)."""
    y, x, down, right = y4 >> 2, x4 >> 2, y4 & 3, x4 & 3
    if down == 0 and right == 0:
        return _pixel(p, y, x, c)
    if down == 2 and right == 2:
        return _centre(p, y, x, c)
    below, beside = np.int64(down == 3), np.int64(right == 3)
    across = np.int64(0) if right == 0 or (right & 1 and down == 2) else _half(p, y + below, x, c, False)
    along = np.int64(0) if down == 0 or (down & 1 and right == 2) else _half(p, y, x + beside, c, True)
    if right == 0:
        return along if down == 2 else (along + _pixel(p, y + below, x, c) + 1) >> 1
    if down == 0:
        return across if right == 2 else (across + _pixel(p, y, x + beside, c) + 1) >> 1
    if right == 2:
        return (across + _centre(p, y, x, c) + 1) >> 1
    if down == 2:
        return (along + _centre(p, y, x, c) + 1) >> 1
    return (across + along + 1) >> 1


@kernel
def _displace(p, vectors, block, unit, taps, out):
    H, W, C = p.shape
    for y in range(H):
        for x in range(W):
            v = vectors[y // block, x // block]
            for c in range(C):
                out[y, x, c] = by_taps(p, 8 * y + unit * v[0], 8 * x + unit * v[1], c, taps)


@kernel
def _displace_by_halves(p, vectors, block, out):
    H, W, C = p.shape
    for y in range(H):
        for x in range(W):
            v = vectors[y // block, x // block]
            for c in range(C):
                out[y, x, c] = by_halves(p, 4 * y + v[0], 4 * x + v[1], c)


def displaced(
    picture: np.ndarray, vectors: np.ndarray, block: int, halved: bool = False, filter: int = FOUR_TAPS
) -> np.ndarray:
    """``picture`` uint8 (H, W, C) seen from where ``vectors`` int16 (rows, columns, 2), down and right, point.

    A vector is that of ``block``² pixels. halved: the picture has half the size that vectors and blocks are of.
    filter: one of FILTERS.
    """
    out, picture = np.empty_like(picture), np.ascontiguousarray(picture)
    if filter == SIX_TAPS and not halved:
        _displace_by_halves(picture, vectors, block, out)
    else:
        taps = LINEAR if filter == SIX_TAPS else TAPS
        _displace(picture, vectors, block >> halved, 1 if halved else 2, taps, out)
    return out


def grid(height: int, width: int, block: int) -> tuple[int, int]:
    """(rows, columns) of blocks."""
    return -(-height // block), -(-width // block)


@inlined
def middle(a, b, c):
    """Median."""
    return max(min(a, b), min(max(a, b), c))


@inlined
def predicted(vectors, y, x):
    """Median of the vectors to the left, above, and above to the right; down and right."""
    last = vectors.shape[1] - 1
    if y == 0:
        if x == 0:
            return np.int64(0), np.int64(0)
        return np.int64(vectors[0, x - 1, 0]), np.int64(vectors[0, x - 1, 1])
    if x == 0:
        return np.int64(vectors[y - 1, 0, 0]), np.int64(vectors[y - 1, 0, 1])
    a, b, c = vectors[y, x - 1], vectors[y - 1, x], vectors[y - 1, min(x + 1, last)]
    return np.int64(middle(a[0], b[0], c[0])), np.int64(middle(a[1], b[1], c[1]))
