"""How a sender finds motion: the least of what is missed and of what vectors cost, in small first, then finer.

What is missed is looked up in quarters of the picture before, made once. Nothing here is in the format.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import inlined, kernel
from .motion import BLOCKS, FARTHEST, FOUR_TAPS, TAPS, by_halves, by_taps, grid, predicted

_BIT = 4  #: absolute differences that a bit of a vector is worth
_NEAR, _AROUND, _COARSE = 3, 2, 4  #: whole pixels about no motion, the neighbours' motion, that of the frame in small
_SMALL, _SMALL_BLOCK, _SMALL_REACH = 4, 8, 7  #: how many times smaller that is, its blocks, pixels that they may move
MARGIN = 6  #: of quarters, beyond which edges go on without change


@kernel
def _quarters(p, taps, out):
    """Samples of ``p`` (H, W, 1) at quarters of a pixel, (4, 4, H + 12, W + 12); of no taps by halves."""
    _, _, H, W = out.shape
    for down in range(4):
        for right in range(4):
            for y in range(H):
                for x in range(W):
                    y4, x4 = 4 * (y - MARGIN) + down, 4 * (x - MARGIN) + right
                    if len(taps):
                        out[down, right, y, x] = by_taps(p, 2 * y4, 2 * x4, 0, taps)
                    else:
                        out[down, right, y, x] = by_halves(p, y4, x4, 0)


def quarters(plane: np.ndarray, filter: int = FOUR_TAPS) -> np.ndarray:
    """uint8 (4, 4, H + 12, W + 12) of ``plane`` (H, W): by quarters down and right, with a margin."""
    H, W = plane.shape
    out = np.empty((4, 4, H + 2 * MARGIN, W + 2 * MARGIN), np.uint8)
    _quarters(np.ascontiguousarray(plane[..., None]), TAPS if filter == FOUR_TAPS else TAPS[:0], out)
    return out


@inlined
def seen_at(q, y, x, down, right):
    """Of quarters, the sample of a pixel that has moved."""
    y, x = y + (down >> 2) + MARGIN, x + (right >> 2) + MARGIN
    last, end = q.shape[2] - 1, q.shape[3] - 1
    return np.int64(q[down & 3, right & 3, min(max(y, 0), last), min(max(x, 0), end)])


@inlined
def bits_of(down, right):
    """About what a vector takes that is so far from what was predicted."""
    bits = 2
    for part in (abs(down), abs(right)):
        while part > 0:
            bits += 2
            part >>= 1
    return bits


@kernel
def _difference(now, q, y0, x0, block, down, right, most):
    """Sum of absolute differences of a block, as soon as it exceeds ``most``."""
    H, W = now.shape
    total = np.int64(0)
    for y in range(y0, min(H, y0 + block)):
        for x in range(x0, min(W, x0 + block)):
            total += abs(np.int64(now[y, x]) - seen_at(q, y, x, down, right))
        if total >= most:
            break
    return total


@kernel
def _nearest(now, q, place, middle, reach, step, expected, best, found):  # noqa: PLR0917
    """Looks about ``middle``, so many steps of so many quarters; ``found`` holds the best vector. What it costs."""
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            down, right = middle[0] + step * i, middle[1] + step * j
            price = _BIT * bits_of(down - expected[0], right - expected[1])
            if price < best:
                y, x, block = place
                price += _difference(now, q, y * block, x * block, block, down, right, best - price)
                if price < best:
                    best, found[0], found[1] = price, down, right
    return best


@kernel
def _search(now, q, block, starts, reach, finest, vectors):
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
                best = _nearest(now, q, place, middle, reach[k], 4, expected, best, at)
            step = 2
            while step >= finest:
                best = _nearest(now, q, place, (at[0], at[1]), 1, step, expected, best, at)
                step >>= 1
            vectors[y, x, 0] = min(max(at[0], -FARTHEST), FARTHEST)
            vectors[y, x, 1] = min(max(at[1], -FARTHEST), FARTHEST)
            cost += best
    return cost


def _in_small(plane: np.ndarray) -> np.ndarray:
    """Box averages of ``plane`` uint8 (H, W)."""
    H, W = plane.shape
    padded = np.pad(plane, ((0, -H % _SMALL), (0, -W % _SMALL)), mode="edge").astype(np.int32)
    sums = padded.reshape(-(-H // _SMALL), _SMALL, -(-W // _SMALL), _SMALL).sum((1, 3))
    averages: np.ndarray = ((sums + _SMALL**2 // 2) // _SMALL**2).astype(np.uint8)
    return averages


def of_blocks(now: np.ndarray, before: np.ndarray, filter: int = FOUR_TAPS) -> list[tuple[np.ndarray, int]]:
    """For each of BLOCKS (vectors int16 (rows, columns, 2), what they cost): ``now`` of ``before``, uint8 (H, W)."""
    now = np.ascontiguousarray(now)
    H, W = now.shape
    small, coarse = _in_small(now), quarters(_in_small(before))
    starts = np.zeros((*grid(small.shape[0], small.shape[1], _SMALL_BLOCK), 2), np.int16)
    _search(small, coarse, _SMALL_BLOCK, starts.copy(), np.array([_SMALL_REACH, 1, 0]), 4, starts)
    q = quarters(before, filter)
    out = []
    for block in BLOCKS:
        vectors = np.zeros((*grid(H, W, block), 2), np.int16)
        y, x = (np.arange(n) * block // (_SMALL * _SMALL_BLOCK) for n in vectors.shape[:2])
        near = np.clip(starts[y][:, x].astype(np.int32) * _SMALL, -FARTHEST, FARTHEST).astype(np.int16)
        cost = _search(now, q, block, near, np.array([_NEAR, _AROUND, _COARSE]), 1, vectors)
        out.append((vectors, int(cost)))
    return out


def found(now: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, int]:
    """(vectors int16 (rows, columns, 2), block) that make ``now`` of ``before``, uint8 (H, W)."""
    every = zip(of_blocks(now, before), BLOCKS, strict=True)
    (vectors, _), block = min(every, key=lambda one: one[0][1])
    return vectors, block
