"""Pixels moved by a few levels until a JPEG encoder makes of them what it should: a tabu search in integers.

A tile is all that the blocks in it depend on. Its excess is the sum of squares of how far coefficients are from their
cells, in 1/8 level. A step takes the move of one pixel that lowers it most, or raises it least, and leaves that pixel
alone for some steps. What a move would change is told from tables of what one sample more or less does to its block;
after the move the block is transformed again as libjpeg does it, so an excess of 0 is one.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...runtime.kernels import kernel, woven
from .blocks import Layout, transform_block, ycbcr

_I64, _F32 = np.int64, np.float32
_ZERO, _HALF, _MOST = np.float32(0), np.float32(0.5), np.float32(3e38)
_REACH = np.float32(2)  # no coefficient changes by more, in 1/8 level, where one sample changes by a level
_TENURE = 4  # steps for which a pixel is left alone, at least
_PATIENCE = 100  # steps without a lower excess after which there is none to be found

#: of R, G and B: what changes luma alone, all by a level at most, what changes one chroma alone
_COLOURS = [(1, 1, 1), (-1, -1, -1)]
_COLOURS += [move for move in itertools.product((0, 1, -1), repeat=3) if any(move) and move not in _COLOURS]
_COLOURS += [
    (sign * r, sign * g, sign * b) for r, g, b in ((2, -1, 0), (0, -1, 4), (0, -1, 5), (0, 0, 2)) for sign in (1, -1)
]


class Geometry(NamedTuple):
    """What the samples of a tile are made of. Samples are counted block after block, component after component.

    starts: int64 (C, pixels + 1), where each pixel's entries begin, in where, weight: int64 (entries,), a sample and
    how often the pixel counts in it. added: int64 (samples,). shifts: int64 (C,), log2 of what sums are divided by.
    effects: float32 (64, 64), what a level more of each sample (second) adds to 8 times each coefficient. moves: int64
    (moves, C).
    """

    starts: NDArray[np.int64]
    where: NDArray[np.int64]
    weight: NDArray[np.int64]
    added: NDArray[np.int64]
    shifts: NDArray[np.int64]
    effects: NDArray[np.float32]
    moves: NDArray[np.int64]
    transform: bool


class _State(NamedTuple):
    """Of a tile during the search: excess by block, gains (2, samples) of a level more and less in each sample."""

    pixels: NDArray[np.int64]
    planes: NDArray[np.int64]
    sums: NDArray[np.int64]
    samples: NDArray[np.int64]
    levels: NDArray[np.float32]
    excess: NDArray[np.float32]
    gains: NDArray[np.float32]
    free: NDArray[np.int64]
    work: NDArray[np.int64]


def geometry(layout: Layout, dct: NDArray[np.float64]) -> Geometry:
    """Of tiles of this layout; ``dct`` float64 (64 coefficients, 64 samples)."""
    H, W, C = layout.height, layout.width, len(layout.boxes)
    starts, where, weight, added = [], [], [], []
    entries = samples = 0
    for c, (v, h) in enumerate(layout.boxes):
        rows, cols = layout.blocks(c)
        last = (H + -H % layout.group) // v - 1
        y = np.minimum(np.minimum(np.arange(8 * rows), last)[:, None] * v + np.arange(v), H - 1)
        x = np.minimum(np.arange(8 * cols)[:, None] * h + np.arange(h), W - 1)
        pixel = y[:, None, :, None] * W + x[:, None, :]
        place = np.arange(64 * rows * cols).reshape(rows, cols, 8, 8).transpose(0, 2, 1, 3).reshape(8 * rows, 8 * cols)
        pairs, counts = np.unique(pixel * place.size + place[:, :, None, None], return_counts=True)
        starts.append(entries + np.searchsorted(pairs // place.size, np.arange(H * W + 1)))
        where.append(samples + pairs % place.size)
        weight.append(counts)
        added.append(np.tile(layout.added(c).reshape(cols, 1, 8), (rows, 1, 8, 1)).ravel())
        entries, samples = entries + len(pairs), samples + place.size
    moves = _COLOURS if layout.transform else np.vstack([np.eye(C), -np.eye(C)])
    return Geometry(
        np.array(starts),
        np.concatenate(where),
        np.concatenate(weight),
        np.concatenate(added),
        np.array([(v * h).bit_length() - 1 for v, h in layout.boxes]),
        np.ascontiguousarray(8 * dct, np.float32),
        np.array(moves, np.int64),
        layout.transform,
    )


@kernel
def repair(tiles, low, high, of, steps):
    """Move pixels of tiles uint8 (n, pixels, C), in place, until 8 times their coefficients lie in ``low`` to ``high``.

    Those int64 (n, samples), ends included. Where that fails after so many steps the least excess stays. of: Geometry.
    """
    n, P, C = tiles.shape
    S = of.added.size
    for i in range(n):
        state = _State(
            np.empty((P, C), np.int64),
            np.empty((P, C), np.int64),
            np.zeros(S, np.int64),
            np.empty(S, np.int64),
            np.empty(S, np.float32),
            np.empty(S // 64, np.float32),
            np.empty((2, S), np.float32),
            np.zeros(P, np.int64),
            np.empty(64, np.int64),
        )
        _begin(tiles[i], low[i], high[i], of, state)
        least = state.excess.sum()
        since = 0
        for step in range(1, steps + 1):
            if least == _ZERO or step - since > _PATIENCE:
                break
            pixel, move = _best(low[i], high[i], of, state, step)
            if pixel < 0:
                continue
            state.free[pixel] = step + _TENURE + step * 7 % 5
            _move(pixel, move, low[i], high[i], of, state)
            total = state.excess.sum()
            if total < least:
                least, since = total, step
                for p in range(P):
                    for c in range(C):
                        tiles[i, p, c] = state.pixels[p, c]


@woven
def _colour(state, of, p, m, planes):
    """The components of a pixel after a move into ``planes`` (3,); whether its colours stay from 0 to 255."""
    for c in range(state.pixels.shape[1]):
        planes[c] = state.pixels[p, c] + (of.moves[m, c] if m >= 0 else 0)
        if planes[c] < 0 or planes[c] > 255:
            return False
    if of.transform:
        planes[0], planes[1], planes[2] = ycbcr(planes[0], planes[1], planes[2])
    return True


@kernel
def _begin(tile, low, high, of, state):
    P, C = tile.shape
    planes = np.empty(3, np.int64)
    for p in range(P):
        for c in range(C):
            state.pixels[p, c] = tile[p, c]
        _colour(state, of, p, -1, planes)
        for c in range(C):
            state.planes[p, c] = planes[c]
            for e in range(of.starts[c, p], of.starts[c, p + 1]):
                state.sums[of.where[e]] += of.weight[e] * planes[c]
    for c in range(C):
        for p in range(P):
            for e in range(of.starts[c, p], of.starts[c, p + 1]):
                s = of.where[e]
                state.samples[s] = (state.sums[s] + of.added[s]) >> of.shifts[c]
    for b in range(state.excess.size):
        _measure(b, low, high, of.effects, state)


@kernel
def _measure(b, low, high, effects, state):
    """The excess of a block, and what it would change by for each of its samples."""
    at = 64 * b
    for k in range(64):
        state.work[k] = state.samples[at + k] - 128
    transform_block(state.work)
    total = _ZERO
    for k in range(64):
        level = _F32(state.work[k])
        state.levels[at + k] = level
        over = max(_F32(low[at + k]) - level, level - _F32(high[at + k]), _ZERO)
        total += over * over
    state.excess[b] = total
    up, down = state.gains[0, at : at + 64], state.gains[1, at : at + 64]
    up[:] = -total
    down[:] = -total
    for k in range(64):
        below, above = _F32(low[at + k]) - state.levels[at + k], state.levels[at + k] - _F32(high[at + k])
        if below < -_REACH and above < -_REACH:
            continue
        row = effects[k]
        for i in range(64):
            over = max(max(below - row[i], above + row[i]), _ZERO)
            up[i] += over * over
            over = max(max(below + row[i], above - row[i]), _ZERO)
            down[i] += over * over


@kernel
def _best(low, high, of, state, step):
    """(pixel, move) of the least gain; first where a sample promises much, then everywhere. -1 where none changes."""
    promise = np.empty(state.excess.size, np.float32)
    for b in range(promise.size):
        promise[b] = -_MOST
        if state.excess[b] > _ZERO:
            promise[b] = min(state.gains[:, 64 * b : 64 * b + 64].min(), _ZERO) * _HALF
    gain, pixel, move = _among(low, high, of, state, step, promise)
    if gain >= _ZERO:
        promise[:] = _MOST
        gain, pixel, move = _among(low, high, of, state, step, promise)
    return pixel, move


@kernel
def _among(low, high, of, state, step, promise):
    """(gain, pixel, move) of the least gain among pixels of which a sample gains no more than its block promises."""
    P, C = state.pixels.shape
    planes = np.empty(3, np.int64)
    least, best, chosen = _MOST, -1, -1
    for p in range(P):
        moves = 0
        for c in range(C):
            s = of.where[of.starts[c, p]]
            if min(state.gains[0, s], state.gains[1, s]) <= promise[s >> 6]:
                moves = of.moves.shape[0] if c or not of.transform else 2
        if state.free[p] > step:
            continue
        for m in range(moves):
            if not _colour(state, of, p, m, planes):
                continue
            gain = _ZERO
            for c in range(C):
                if planes[c] != state.planes[p, c]:
                    gain += _gain(c, p, planes[c] - state.planes[p, c], low, high, of, state)
            if gain != _ZERO and gain < least:  # of 0: no sample has changed
                least, best, chosen = gain, p, m
    return least, best, chosen


@woven
def _changed(c, e, change, of, state):
    """By how much the sample of an entry changes with its pixel."""
    s = of.where[e]
    return ((state.sums[s] + of.weight[e] * change + of.added[s]) >> of.shifts[c]) - state.samples[s]


@woven
def _gain(c, p, change, low, high, of, state):
    """What a change of a component of a pixel adds to the excess."""
    start, end = of.starts[c, p], of.starts[c, p + 1]
    if end == start + 1:
        by = _changed(c, start, change, of, state)
        if by == 0:
            return _ZERO
        if abs(by) == 1:
            return state.gains[0 if by > 0 else 1, of.where[start]]
    return _far(c, p, change, low, high, of, state)


@kernel
def _far(c, p, change, low, high, of, state):
    """As `_gain` where samples change by more, or several do: they are all of one block."""
    start, end = of.starts[c, p], of.starts[c, p + 1]
    moved = np.zeros(64, np.float32)
    for e in range(start, end):
        by = _F32(_changed(c, e, change, of, state))
        if by != _ZERO:
            for k in range(64):
                moved[k] += by * of.effects[k, of.where[e] & 63]
    block = of.where[start] >> 6
    total = _ZERO
    for k in range(64):
        level = state.levels[64 * block + k] + moved[k]
        over = max(_F32(low[64 * block + k]) - level, level - _F32(high[64 * block + k]), _ZERO)
        total += over * over
    return total - state.excess[block]


@kernel
def _move(p, m, low, high, of, state):
    planes = np.empty(3, np.int64)
    _colour(state, of, p, m, planes)
    for c in range(state.pixels.shape[1]):
        state.pixels[p, c] += of.moves[m, c]
        change = planes[c] - state.planes[p, c]
        state.planes[p, c] = planes[c]
        for e in range(of.starts[c, p], of.starts[c, p + 1]):
            s = of.where[e]
            state.sums[s] += of.weight[e] * change
            state.samples[s] = (state.sums[s] + of.added[s]) >> of.shifts[c]
        if change:
            _measure(of.where[of.starts[c, p]] >> 6, low, high, of.effects, state)
