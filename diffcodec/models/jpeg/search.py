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
_COST = 0.05  # of a move, for each level squared: of like ones the least is taken
_TENURE = 4  # steps for which a pixel is left alone, at least
_PATIENCE = 100  # steps without a lower excess after which there is none to be found

# of R, G and B: what changes luma alone, all by a level at most, what changes one chroma alone, and colours at an end
_COLOURS: list[tuple[int, ...]] = [(1, 1, 1), (-1, -1, -1)]
_COLOURS += [move for move in itertools.product((0, 1, -1), repeat=3) if any(move) and move not in _COLOURS]
_FURTHER = [(2, -1, 0), (4, -2, 0), (6, -3, 0), (0, 0, 2), (0, -1, 4), (0, -1, 5), (0, -2, 10)]
_FURTHER += [(3, 0, 0), (0, 0, 5), (0, 0, 9)]
_COLOURS += [(sign * r, sign * g, sign * b) for r, g, b in _FURTHER for sign in (1, -1)]
_SUM, _SAMPLE = range(2)  # of values: what is added up for a sample, the sample


class Geometry(NamedTuple):
    """What the samples of a tile are made of. Samples are counted block after block, component after component.

    starts: int64 (C, pixels + 1), where each pixel's entries begin: rows of entries, int64 (entries, 3), a sample, how
    often the pixel counts in its sum, what is added to that. shifts: int64 (C,), log2 of what sums are divided by.
    samples: how many there are. effects: float32 (64, 64), what a level more of each sample (second) adds to 8 times
    each coefficient. moves: int64 (moves, C). costs: float32 (moves,), what a move must gain more than one that costs
    nothing. transform: pixels are RGB, components YCbCr.
    """

    starts: NDArray[np.int64]
    entries: NDArray[np.int64]
    shifts: NDArray[np.int64]
    samples: int
    effects: NDArray[np.float32]
    moves: NDArray[np.int64]
    costs: NDArray[np.float32]
    transform: bool


def geometry(layout: Layout, dct: NDArray[np.float64], careful: bool) -> Geometry:
    """Of tiles of this layout; ``dct`` float64 (64 coefficients, 64 samples). careful: small moves are preferred."""
    H, W, C = layout.height, layout.width, len(layout.boxes)
    starts, entries = [], []
    count = samples = 0
    for c, (v, h) in enumerate(layout.boxes):
        rows, cols = layout.blocks(c)
        last = (H + -H % layout.group) // v - 1
        y = np.minimum(np.minimum(np.arange(8 * rows), last)[:, None] * v + np.arange(v), H - 1)
        x = np.minimum(np.arange(8 * cols)[:, None] * h + np.arange(h), W - 1)
        pixel = y[:, None, :, None] * W + x[:, None, :]
        place = np.arange(64 * rows * cols).reshape(rows, cols, 8, 8).transpose(0, 2, 1, 3).reshape(8 * rows, 8 * cols)
        added = np.tile(layout.added(c).reshape(cols, 1, 8), (rows, 1, 8, 1)).ravel()
        pairs, weight = np.unique(pixel * place.size + place[:, :, None, None], return_counts=True)
        starts.append(count + np.searchsorted(pairs // place.size, np.arange(H * W + 1)))
        entries.append(np.stack([samples + pairs % place.size, weight, added[pairs % place.size]], 1))
        count, samples = count + len(pairs), samples + place.size
    moves = np.array(_COLOURS) if layout.transform else np.kron(np.eye(C), [[1], [-1]])
    costs = (_COST if careful else 0) * np.square(moves).sum(1)
    return Geometry(
        np.array(starts, np.int64),
        np.concatenate(entries).astype(np.int64),
        np.array([(v * h).bit_length() - 1 for v, h in layout.boxes]),
        samples,
        np.ascontiguousarray(8 * dct, np.float32),
        moves.astype(np.int64),
        costs.astype(np.float32),
        layout.transform,
    )


@kernel
def repair(tiles, low, high, of, steps, all_steps):
    """Move pixels of tiles uint8 (n, pixels, C), in place, until 8 times their coefficients lie in ``low`` to ``high``.

    Those float32 (n, samples), ends included. Where that fails after so many steps, of one tile or of all, the least
    excess stays. How many steps of all are left. of: a Geometry.
    """
    n, P, C = tiles.shape
    pixels, planes = np.empty((P, C), np.int64), np.empty((P, C), np.int64)
    values = np.empty((2, of.samples), np.int64)
    levels, gains = np.empty(of.samples, np.float32), np.empty((2, of.samples), np.float32)
    excess, free = np.empty(of.samples // 64, np.float32), np.empty(P, np.int64)
    for i in range(n):
        state = pixels, planes, values, levels, gains, excess, free, low[i], high[i]
        _begin(tiles[i], of, state)
        least, since, step = excess.sum(), 0, 0
        while least > _ZERO and step < min(steps, since + _PATIENCE) and all_steps > 0:
            step += 1
            all_steps -= 1
            pixel, move = _best(of, state, step)
            if pixel >= 0:
                _move(pixel, move, of, state)
                free[pixel] = step + _TENURE + step * 7 % 5
                total = excess.sum()
                if total < least:
                    least, since = total, step
                    for p in range(P):
                        for c in range(C):
                            tiles[i, p, c] = pixels[p, c]
    return all_steps


@woven
def _converted(transform, pixel, planes):
    """The components of a pixel (C,) into ``planes`` (3,)."""
    for c in range(pixel.size):
        planes[c] = pixel[c]
    if transform:
        planes[0], planes[1], planes[2] = ycbcr(planes[0], planes[1], planes[2])


@kernel
def _begin(tile, of, state):
    pixels, planes, values, _, _, excess, free, _, _ = state
    found = np.empty(3, np.int64)
    values[_SUM] = 0
    free[:] = 0
    for p in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            pixels[p, c] = tile[p, c]
        _converted(of.transform, pixels[p], found)
        for c in range(pixels.shape[1]):
            planes[p, c] = found[c]
            for e in range(of.starts[c, p], of.starts[c, p + 1]):
                values[_SUM, of.entries[e, 0]] += of.entries[e, 1] * found[c]
    for c in range(pixels.shape[1]):
        for e in range(of.starts[c, 0], of.starts[c, -1]):
            s = of.entries[e, 0]
            values[_SAMPLE, s] = (values[_SUM, s] + of.entries[e, 2]) >> of.shifts[c]
    for b in range(excess.size):
        _measure(b, of.effects, state)


@kernel
def _measure(b, effects, state):
    """The excess of a block, and what it would change by for each of its samples."""
    _, _, values, levels, gains, excess, _, low, high = state
    at = 64 * b
    block, below, above = np.empty(64, np.int64), np.empty(64, np.float32), np.empty(64, np.float32)
    for k in range(64):
        block[k] = values[_SAMPLE, at + k] - 128
    transform_block(block)
    total = _ZERO
    for k in range(64):
        level = _F32(block[k])
        levels[at + k], below[k], above[k] = level, low[at + k] - level, level - high[at + k]
        over = max(below[k], above[k], _ZERO)
        total += over * over
    excess[b] = total
    up, down = gains[0, at : at + 64], gains[1, at : at + 64]
    up[:] = -total
    down[:] = -total
    for k in range(64):
        if below[k] < -_REACH and above[k] < -_REACH:
            continue
        row, under, over = effects[k], below[k], above[k]
        for i in range(64):
            far = max(max(under - row[i], over + row[i]), _ZERO)
            up[i] += far * far
            far = max(max(under + row[i], over - row[i]), _ZERO)
            down[i] += far * far


@kernel
def _best(of, state, step):
    """(pixel, move) of the least gain; first where a sample promises much, then everywhere. -1 where none changes."""
    gains, excess = state[4], state[5]
    promise = np.empty(excess.size, np.float32)
    for b in range(promise.size):
        promise[b] = -_MOST
        if excess[b] > _ZERO:
            promise[b] = min(gains[:, 64 * b : 64 * b + 64].min(), _ZERO) * _HALF
    gain, pixel, move = _among(of, state, step, promise)
    if gain >= _ZERO:
        promise[:] = _MOST
        gain, pixel, move = _among(of, state, step, promise)
    return pixel, move


@kernel
def _among(of, state, step, promise):
    """(gain, pixel, move) of the least gain among pixels of which a sample gains no more than its block promises."""
    pixels, planes, values, levels, gains, excess, free, low, high = state
    starts, entries, shifts, _, effects, moves, costs, transform = of
    P, C = pixels.shape
    colour, found = np.empty(C, np.int64), np.empty(3, np.int64)
    least, best, chosen = _MOST, -1, -1
    for p in range(P):
        if free[p] > step:
            continue
        for m in range(_worth(starts[:, p], entries, gains, promise, pixels[p], moves.shape[0])):
            if not _added(pixels[p], moves[m], colour):
                continue
            _converted(transform, colour, found)
            gain = _ZERO
            for c in range(C):
                change = found[c] - planes[p, c]
                if change:
                    e, end = starts[c, p], starts[c, p + 1]
                    by = _changed(entries[e], shifts[c], values, change)
                    if end > e + 1 or abs(by) > 1:
                        gain += _far(entries[e:end], shifts[c], change, values, levels, effects, low, high)
                        gain -= excess[entries[e, 0] >> 6]
                    elif by:
                        gain += gains[0 if by > 0 else 1, entries[e, 0]]
            if gain != _ZERO and gain + costs[m] < least:  # of 0: no sample has changed
                least, best, chosen = gain + costs[m], p, m
    return least, best, chosen


@woven
def _worth(starts, entries, gains, promise, pixel, all_moves):
    """How many moves of a pixel are looked at: 2 where its first component alone may gain and its colours have room."""
    count, grey = 0, True
    for c in range(starts.size):
        grey &= 0 < pixel[c] < 255
        s = entries[starts[c], 0]
        if min(gains[0, s], gains[1, s]) <= promise[s >> 6]:
            count += 1 + c
    return all_moves if count > 1 or (count and not grey) else 2 * count


@woven
def _added(pixel, move, colour):
    """A pixel after a move; whether it is one from 0 to 255."""
    good = True
    for c in range(pixel.size):
        colour[c] = pixel[c] + move[c]
        good &= 0 <= colour[c] <= 255
    return good


@woven
def _changed(entry, shift, values, change):
    """By how much a sample changes with a pixel in its sum."""
    s = entry[0]
    return ((values[_SUM, s] + entry[1] * change + entry[2]) >> shift) - values[_SAMPLE, s]


@kernel
def _far(entries, shift, change, values, levels, effects, low, high):
    """The excess of a block once a pixel has changed, where samples change by more, or several do: all are of it."""
    moved = np.zeros(64, np.float32)
    for e in range(entries.shape[0]):
        by = _F32(_changed(entries[e], shift, values, change))
        if by != _ZERO:
            for k in range(64):
                moved[k] += by * effects[k, entries[e, 0] & 63]
    at = entries[0, 0] & ~63
    total = _ZERO
    for k in range(64):
        level = levels[at + k] + moved[k]
        over = max(low[at + k] - level, level - high[at + k], _ZERO)
        total += over * over
    return total


@kernel
def _move(p, m, of, state):
    pixels, planes, values = state[0], state[1], state[2]
    found = np.empty(3, np.int64)
    for c in range(pixels.shape[1]):
        pixels[p, c] += of.moves[m, c]
    _converted(of.transform, pixels[p], found)
    for c in range(pixels.shape[1]):
        change = found[c] - planes[p, c]
        if change:
            planes[p, c] = found[c]
            for e in range(of.starts[c, p], of.starts[c, p + 1]):
                entry = of.entries[e]
                values[_SAMPLE, entry[0]] += _changed(entry, of.shifts[c], values, change)
                values[_SUM, entry[0]] += entry[1] * change
            _measure(of.entries[of.starts[c, p], 0] >> 6, of.effects, state)
