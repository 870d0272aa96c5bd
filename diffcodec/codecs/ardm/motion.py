"""Motion from one frame to the next: vectors of square blocks, in quarters of a pixel, and frames displaced by them.

Integers only, so that both sides displace alike; how vectors are found is the sender's own.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import inlined, kernel

BLOCKS = (4, 8, 16)  #: sides of blocks, of which a frame has one
FARTHEST = 2**13  #: of a vector's parts, in quarters of a pixel

#: of samples -1, 0, 1, 2 at each eighth of the way from 0 to 1, in 64ths: HEVC's filters of chroma (ITU-T H.265)
TAPS = np.array(
    [
        [0, 64, 0, 0], [-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4],
        [-4, 36, 36, -4], [-4, 28, 46, -6], [-2, 16, 54, -4], [-2, 10, 58, -2],
    ],
    np.int64,
)  # fmt: skip

# ---- the sender's search: sums of absolute differences, and what vectors cost

_BIT = 4  #: absolute differences that a bit of a vector is worth
_NEAR, _AROUND, _COARSE = 3, 2, 4  #: whole pixels about no motion, the neighbours' motion, that of the frame in small
_SMALL, _SMALL_BLOCK, _SMALL_REACH = 4, 8, 7  #: how many times smaller that is, its blocks, pixels that they may move


@inlined
def _sample(p, y8, x8, c, taps):
    """Of ``p`` (H, W, C) at eighths of a pixel, edges continued, 0 to 255."""
    H, W, _ = p.shape
    y, x = (y8 >> 3) - 1, (x8 >> 3) - 1
    down, across = taps[y8 & 7], taps[x8 & 7]
    total = np.int64(0)
    for j in range(4):
        if down[j]:
            row, line = min(max(y + j, 0), H - 1), np.int64(0)
            for i in range(4):
                if across[i]:
                    line += across[i] * p[row, min(max(x + i, 0), W - 1), c]
            total += down[j] * line
    return min(max((total + 2048) >> 12, 0), 255)


@kernel
def _displace(p, vectors, block, unit, taps, out):
    H, W, C = p.shape
    for y in range(H):
        for x in range(W):
            v = vectors[y // block, x // block]
            for c in range(C):
                out[y, x, c] = _sample(p, 8 * y + unit * v[0], 8 * x + unit * v[1], c, taps)


def displaced(picture: np.ndarray, vectors: np.ndarray, block: int, halved: bool = False) -> np.ndarray:
    """``picture`` uint8 (H, W, C) seen from where ``vectors`` int16 (rows, columns, 2), down and right, point.

    A vector is that of ``block``² pixels. halved: the picture has half the size that vectors and blocks are of.
    """
    out = np.empty_like(picture)
    _displace(np.ascontiguousarray(picture), vectors, block >> halved, 1 if halved else 2, TAPS, out)
    return out


def grid(height: int, width: int, block: int) -> tuple[int, int]:
    """(rows, columns) of blocks."""
    return -(-height // block), -(-width // block)


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
    down = max(min(a[0], b[0]), min(max(a[0], b[0]), c[0]))
    right = max(min(a[1], b[1]), min(max(a[1], b[1]), c[1]))
    return np.int64(down), np.int64(right)


@inlined
def _price(down, right):
    """Of a vector that is so far from what was predicted."""
    bits = 2
    for part in (abs(down), abs(right)):
        while part > 0:
            bits += 2
            part >>= 1
    return _BIT * bits


@kernel
def _difference(now, before, y0, x0, block, down, right, taps, most):  # noqa: PLR0917
    """Sum of absolute differences of a block, as soon as it exceeds ``most``."""
    H, W, _ = now.shape
    total = np.int64(0)
    whole = (down | right) & 3 == 0
    for y in range(y0, min(H, y0 + block)):
        for x in range(x0, min(W, x0 + block)):
            if whole:
                seen = np.int64(before[min(max(y + (down >> 2), 0), H - 1), min(max(x + (right >> 2), 0), W - 1), 0])
            else:
                seen = _sample(before, 8 * y + 2 * down, 8 * x + 2 * right, 0, taps)
            total += abs(np.int64(now[y, x, 0]) - seen)
        if total >= most:
            break
    return total


@kernel
def _nearest(now, before, place, middle, reach, step, expected, best, found, taps):  # noqa: PLR0917
    """Looks about ``middle``, so many steps of so many quarters; ``found`` holds the best vector. What it costs."""
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            down, right = middle[0] + step * i, middle[1] + step * j
            price = _price(down - expected[0], right - expected[1])
            if price < best:
                y, x, block = place
                price += _difference(now, before, y * block, x * block, block, down, right, taps, best - price)
                if price < best:
                    best, found[0], found[1] = price, down, right
    return best


@kernel
def _search(now, before, block, starts, reach, finest, taps, vectors):
    """Vectors of the blocks, from near 0, near what was predicted, near ``starts``; what they cost in all."""
    rows, columns = vectors.shape[:2]
    cost, at = np.int64(0), np.zeros(2, np.int64)
    for y in range(rows):
        for x in range(columns):
            place, expected = (y, x, block), predicted(vectors, y, x)
            best = np.int64(1 << 40)
            whole = (expected[0] + 2) & ~3, (expected[1] + 2) & ~3
            small = np.int64(starts[y, x, 0]), np.int64(starts[y, x, 1])
            for k, middle in enumerate(((np.int64(0), np.int64(0)), whole, small)):
                best = _nearest(now, before, place, middle, reach[k], 4, expected, best, at, taps)
            step = 2
            while step >= finest:
                best = _nearest(now, before, place, (at[0], at[1]), 1, step, expected, best, at, taps)
                step >>= 1
            vectors[y, x, 0] = min(max(at[0], -FARTHEST), FARTHEST)
            vectors[y, x, 1] = min(max(at[1], -FARTHEST), FARTHEST)
            cost += best
    return cost


def _in_small(plane: np.ndarray) -> np.ndarray:
    """Box averages of ``plane`` uint8 (H, W, 1)."""
    H, W = plane.shape[:2]
    padded = np.pad(plane[..., 0], ((0, -H % _SMALL), (0, -W % _SMALL)), mode="edge").astype(np.int32)
    sums = padded.reshape(-(-H // _SMALL), _SMALL, -(-W // _SMALL), _SMALL).sum((1, 3))
    return ((sums + _SMALL**2 // 2) // _SMALL**2).astype(np.uint8)[..., None]


def found(now: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, int]:
    """(vectors int16 (rows, columns, 2), block) that make ``now`` of ``before``, uint8 (H, W)."""
    now, before = (np.ascontiguousarray(plane[..., None]) for plane in (now, before))
    H, W = now.shape[:2]
    small = _in_small(now), _in_small(before)
    starts = np.zeros((*grid(*small[0].shape[:2], _SMALL_BLOCK), 2), np.int16)
    _search(*small, _SMALL_BLOCK, starts.copy(), np.array([_SMALL_REACH, 1, 0]), 4, TAPS, starts)
    best: tuple[int, np.ndarray, int] | None = None
    for block in BLOCKS:
        vectors = np.zeros((*grid(H, W, block), 2), np.int16)
        y, x = (np.arange(n) * block // (_SMALL * _SMALL_BLOCK) for n in vectors.shape[:2])
        near = np.clip(starts[y][:, x].astype(np.int32) * _SMALL, -FARTHEST, FARTHEST).astype(np.int16)
        cost = int(_search(now, before, block, near, np.array([_NEAR, _AROUND, _COARSE]), 1, TAPS, vectors))
        if best is None or cost < best[0]:
            best = cost, vectors, block
    assert best is not None
    return best[1], best[2]
