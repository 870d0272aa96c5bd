"""Frames between two others, or behind them, as a blend of both displaced by motion: what a denoiser may go on from.

Motion is found between the two alone, symmetrically about the frame that is wanted: a place shows what the one shows
some way back and the other the rest of the way on. Of blocks that overlap, the vector by which both agree best and
which is near those beside it, first in small pictures, then in larger ones. A place is then the mean of what the
vectors about it say, each weighted by how well both frames agree by it just there, as by a posterior of its motion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.kernels import inlined, kernel

Bytes = NDArray[np.uint8]

FINE = 4  #: samples a pixel of what is looked up
BLOCK, AROUND = 4, 4  #: sides of blocks, and pixels about a block that count for it
SMALLEST = 24  #: the side of the smallest pictures that motion is found in, at least
REACH = 8  #: halves of a pixel there that one frame may be displaced by to the other
AGAIN = 2  #: likewise about what is found, of each larger picture
ROUNDS = 2  #: of all blocks, in which each may take a neighbour's vector, and move it by the least step
SMOOTH = 1.0  #: levels of difference that a pixel of difference to a neighbour's vector is worth
OUTSIDE = 16.0  #: difference of a place of which a frame shows nothing, in levels
WIDE = 6.0  #: pixels from the middle of a block to where its vector says nothing
PATCH = 2  #: pixels about a place that tell how well both agree there
NOWHERE = 400.0  #: squared difference of a place of which a frame shows nothing
REST = 0.2  #: weight of no motion, which is one of the vectors everywhere
SHARP = 0.03  #: of weights, by the mean squared difference in levels²
LEAST = 1e-12  #: weight of what does not agree anywhere
ROUNDED = 1 / 6  #: mean squared difference that rounding to levels makes of itself
#: mean squared error of a blend, over the mean squared difference of both frames by it: between them, and behind both
#: (geometric means over 88 and 22 frames of training clips)
ERRS, ERRS_BEHIND = 0.42, 2.1
LEVEL = 127.5  #: of x

#: of samples -1, 0, 1, 2 at each quarter of the way from 0 to 1, in 128ths: Catmull and Rom's curve
TAPS = np.array([[0, 128, 0, 0], [-9, 111, 29, -3], [-8, 72, 72, -8], [-3, 29, 111, -9]], np.int64)


# ---- samples between pixels


@kernel
def _finer(p, taps, out):
    H, W, C = p.shape
    for y in range(FINE * H):
        for x in range(FINE * W):
            down, across = taps[y % FINE], taps[x % FINE]
            for c in range(C):
                total = np.int64(0)
                for j in range(4):
                    if down[j]:
                        row = min(max(y // FINE + j - 1, 0), H - 1)
                        line = np.int64(0)
                        for i in range(4):
                            line += across[i] * np.int64(p[row, min(max(x // FINE + i - 1, 0), W - 1), c])
                        total += down[j] * line
                out[y, x, c] = min(max((total + 8192) >> 14, 0), 255)


def finer(picture: Bytes) -> Bytes:
    """uint8 (4 H, 4 W, C): samples of ``picture`` (H, W, C) at quarters of a pixel, edges continued."""
    H, W, C = picture.shape
    out = np.empty((FINE * H, FINE * W, C), np.uint8)
    _finer(np.ascontiguousarray(picture), TAPS, out)
    return out


@inlined
def _ends(y, v, share):
    """Of a row or column, where a displacement in halves of a pixel leads in both frames, in quarters."""
    back = int(np.floor(2 * v * share + 0.5))
    return 4 * y - back, 4 * y + 2 * v - back


@inlined
def _within(at, length):
    return 0 <= at < length


@inlined
def _shown(one, other, y, x, v, share):
    """(whether both show a place by a vector, its row and column in the one, in the other)."""
    H, W, _ = one.shape
    y0, y1 = _ends(y, v[0], share)
    x0, x1 = _ends(x, v[1], share)
    return _within(y0, H) and _within(y1, H) and _within(x0, W) and _within(x1, W), y0, x0, y1, x1


# ---- motion


@inlined
def _price(pair, share, place, v, vectors, most):
    """What a vector costs a block, if less than ``most``: the mean difference about it, and from vectors beside it."""
    one, other = pair
    i, j = place
    rows, columns, _ = vectors.shape
    H, W, C = one.shape
    cost = 0.0
    for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
        if 0 <= k < rows and 0 <= m < columns:
            cost += SMOOTH / 8 * (abs(vectors[k, m, 0] - v[0]) + abs(vectors[k, m, 1] - v[1]))
    top, left = max(0, i * BLOCK - AROUND), max(0, j * BLOCK - AROUND)
    bottom, right = min(H // FINE, (i + 1) * BLOCK + AROUND), min(W // FINE, (j + 1) * BLOCK + AROUND)
    scale = 1.0 / ((bottom - top) * (right - left))
    for y in range(top, bottom):
        for x in range(left, right):
            both, y0, x0, y1, x1 = _shown(one, other, y, x, v, share)
            if both:
                total = np.int64(0)
                for c in range(C):
                    total += abs(np.int64(one[y0, x0, c]) - np.int64(other[y1, x1, c]))
                cost += scale * total / C
            else:
                cost += scale * OUTSIDE
        if cost >= most:
            break
    return cost


@inlined
def _candidate(vectors, place, number):
    """One of ten: no motion, the block's own vector, those about it; where there is none, its own."""
    k, m = place[0] - 1 + number // 3, place[1] - 1 + number % 3
    if number == 9:
        return np.int64(0), np.int64(0)
    if not (0 <= k < vectors.shape[0] and 0 <= m < vectors.shape[1]):
        k, m = place
    return vectors[k, m, 0], vectors[k, m, 1]


@kernel
def _search(one, other, share, vectors, reach, rounds):
    """Moves each block's vector, int64 (rows, columns, 2) in halves of a pixel, to where it costs least."""
    rows, columns, _ = vectors.shape
    pair, count = (one, other), rows * columns
    for turn in range(rounds):
        for n in range(count):
            at = n if turn % 2 == 0 else count - 1 - n
            place = at // columns, at % columns
            found = vectors[place[0], place[1], 0], vectors[place[0], place[1], 1]
            own, best = found, _price(pair, share, place, found, vectors, np.inf)
            for number in range(10):
                v = _candidate(vectors, place, number)
                if v != own:
                    cost = _price(pair, share, place, v, vectors, best)
                    if cost < best:
                        best, found = cost, v
            middle = found
            for step in range((2 * reach + 1) ** 2):
                down, right = divmod(step, 2 * reach + 1)
                v = np.int64(middle[0] + down - reach), np.int64(middle[1] + right - reach)
                cost = _price(pair, share, place, v, vectors, best)
                if cost < best:
                    best, found = cost, v
            vectors[place[0], place[1], 0], vectors[place[0], place[1], 1] = found


def _halved(picture: Bytes) -> Bytes:
    H, W = (side // 2 for side in picture.shape[:2])
    small: Bytes = np.rint(picture[: 2 * H, : 2 * W].reshape(H, 2, W, 2, -1).mean((1, 3))).astype(np.uint8)
    return small


def _wider(vectors: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Those of pictures of half the size, for each block of (rows, columns) of them."""
    wide = 2 * vectors.repeat(2, 0).repeat(2, 1)
    more = [(0, max(0, n - have)) for n, have in zip(shape, wide.shape, strict=False)]
    return np.ascontiguousarray(np.pad(wide, [*more, (0, 0)], "edge")[: shape[0], : shape[1]])


def motion(first: Bytes, second: Bytes, share: float) -> NDArray[np.int64]:
    """How far what is seen in ``first`` is displaced in ``second``, both uint8 (H, W, C).

    int64 (⌈H/4⌉, ⌈W/4⌉, 2), down and right, in halves of a pixel, of blocks of 4² pixels of the frame that is ``share``
    of the way from the one to the other.
    """
    every = [(first, second)]
    while min(every[-1][0].shape[:2]) >= 2 * SMALLEST:
        every.append((_halved(every[-1][0]), _halved(every[-1][1])))
    vectors: NDArray[np.int64] | None = None
    for one, other in reversed(every):
        a, b = finer(one), finer(other)
        rows, columns = (-(-side // BLOCK) for side in one.shape[:2])
        if vectors is None:
            vectors = np.zeros((rows, columns, 2), np.int64)
            _search(a, b, share, vectors, REACH, 1)
        else:
            vectors = _wider(vectors, (rows, columns))
        _search(a, b, share, vectors, AGAIN if one is first else 1, ROUNDS)
    assert vectors is not None
    return vectors


# ---- the blend


@inlined
def _agree(one, other, y, x, v, share):
    """Mean squared difference of what both show about a place."""
    H, W, C = one.shape
    error, count = 0.0, 0
    for r in range(max(0, y - PATCH), min(H // FINE, y + PATCH + 1)):
        for s in range(max(0, x - PATCH), min(W // FINE, x + PATCH + 1)):
            both, y0, x0, y1, x1 = _shown(one, other, r, s, v, share)
            count += 1
            if both:
                for c in range(C):
                    d = float(one[y0, x0, c]) - float(other[y1, x1, c])
                    error += d * d / C
            else:
                error += NOWHERE
    return error / count


@kernel
def _blend(one, other, share, vectors, out, apart):
    H, W, C = out.shape
    rows, columns, _ = vectors.shape
    middle = (BLOCK - 1) / 2
    for y in range(H):
        for x in range(W):
            weights, differ = 0.0, 0.0
            out[y, x] = 0
            for near in range(10):
                v, weight = (np.int64(0), np.int64(0)), REST
                if near < 9:
                    k, m = y // BLOCK - 1 + near // 3, x // BLOCK - 1 + near % 3
                    if not (0 <= k < rows and 0 <= m < columns):
                        continue
                    v = vectors[k, m, 0], vectors[k, m, 1]
                    down, right = abs(y - k * BLOCK - middle), abs(x - m * BLOCK - middle)
                    weight = max(0.0, 1 - down / WIDE) * max(0.0, 1 - right / WIDE)
                    if weight == 0:
                        continue
                error = _agree(one, other, y, x, v, share)
                weight *= np.exp(-SHARP * error) + LEAST / (1 + error)
                _, y0, x0, y1, x1 = _shown(one, other, y, x, v, share)
                first = _within(y0, FINE * H) and _within(x0, FINE * W)
                second = _within(y1, FINE * H) and _within(x1, FINE * W)
                of_other = min(share, 1.0) if first == second else 0.0 if first else 1.0
                y0, y1 = min(max(y0, 0), FINE * H - 1), min(max(y1, 0), FINE * H - 1)
                x0, x1 = min(max(x0, 0), FINE * W - 1), min(max(x1, 0), FINE * W - 1)
                for c in range(C):
                    out[y, x, c] += weight * ((1 - of_other) * one[y0, x0, c] + of_other * other[y1, x1, c])
                weights += weight
                differ += weight * error
            out[y, x] /= weights
            apart[y, x] = differ / weights


@dataclass(frozen=True)
class Blend:
    """picture: uint8 (H, W, C). error: about its mean squared error, against samples from -1 to 1."""

    picture: Bytes
    error: float


def blend(first: Bytes, second: Bytes, share: float = 0.5) -> Blend:
    """The frame ``share`` of the way from ``first`` to ``second``, both uint8 (H, W, C).

    share: 0 to 1, and beyond 1 for what comes behind, of which the second alone shows anything then.
    """
    vectors = motion(first, second, share)
    picture, apart = np.empty(first.shape), np.empty(first.shape[:2])
    _blend(finer(first), finer(second), share, vectors, picture, apart)
    differ = max(float(apart.mean()), ROUNDED)
    shown = np.rint(picture).clip(0, 255).astype(np.uint8)
    return Blend(shown, (ERRS if share < 1 else ERRS_BEHIND) * differ / LEVEL**2)
