"""Motion vectors <-> intervals of the entropy coder, by frequencies that follow what came (SPEC.md, ARDM of clips).

A part of a vector is coded as how far it is from the median of its neighbours: the number of bits of that, zigzag, with
frequencies for each part and for how far the neighbours are from one another; then these bits but for the first.
"""

from __future__ import annotations

import numpy as np

from ...entropy.stack import TOTAL, AnsStack, advance
from ...runtime.errors import CorruptStream
from ...runtime.kernels import inlined, kernel
from .motion import FARTHEST, predicted

SIZES = 17  #: of the zigzag of a difference, in bits: 0 to 16
CONTEXTS = 6  #: of each of the two parts three, by the neighbours
_GAIN, _MOST = 24, 2048  #: what a symbol adds to its count, and the sum of counts beyond which they are halved


@inlined
def apart(vectors, y, x, part):
    """0 to 2: how far the vectors to the left and above are from one another."""
    if y == 0 or x == 0:
        return 1
    gap = abs(np.int64(vectors[y, x - 1, part]) - np.int64(vectors[y - 1, x, part]))
    return 0 if gap == 0 else 1 if gap <= 4 else 2


@inlined
def bounds(counts, size):
    """(start, width) in [0, 2^24) of a symbol of so many counts: every one has at least 1."""
    below, total = np.int64(0), np.int64(0)
    for k in range(len(counts)):
        if k < size:
            below += counts[k]
        total += counts[k]
    room = TOTAL - len(counts)
    start = size + below * room // total
    return start, 1 + (below + counts[size]) * room // total - below * room // total


@inlined
def counted(counts, size):
    """Take note of a symbol."""
    counts[size] += _GAIN
    total = np.int64(0)
    for k in range(len(counts)):
        total += counts[k]
    if total > _MOST:
        for k in range(len(counts)):
            counts[k] -= counts[k] >> 1


@kernel
def _intervals(vectors, counts, starts, freqs):
    n = 0
    for y in range(vectors.shape[0]):
        for x in range(vectors.shape[1]):
            expected = predicted(vectors, y, x)
            for part in range(2):
                d = np.int64(vectors[y, x, part]) - expected[part]
                value, size = (d << 1) ^ (d >> 63), 0
                while value >> size:
                    size += 1
                own = counts[3 * part + apart(vectors, y, x, part)]
                starts[n], freqs[n] = bounds(own, size)
                counted(own, size)
                rest = max(size - 1, 0)
                starts[n + 1], freqs[n + 1] = (value & ((1 << rest) - 1)) << (24 - rest), 1 << (24 - rest)
                n += 2


@kernel
def _pop(counts, state, at, words, vectors):
    mask = np.uint64(TOTAL - 1)
    for y in range(vectors.shape[0]):
        for x in range(vectors.shape[1]):
            expected = predicted(vectors, y, x)
            for part in range(2):
                own = counts[3 * part + apart(vectors, y, x, part)]
                quantile, size = np.int64(state & mask), 0
                start, width = bounds(own, size)
                while quantile >= start + width:
                    size += 1
                    start, width = bounds(own, size)
                state, at = advance(state, at, words, np.uint64(start), np.uint64(width))
                counted(own, size)
                rest = max(size - 1, 0)
                low = np.int64(state & mask) >> (24 - rest)
                state, at = advance(state, at, words, np.uint64(low << (24 - rest)), np.uint64(1 << (24 - rest)))
                value = low + ((1 << rest) if size else 0)
                d = (value >> 1) ^ -(value & 1)
                vectors[y, x, part] = min(max(expected[part] + d, -FARTHEST - 1), FARTHEST + 1)
    return state, at


def begun(sets: int) -> np.ndarray:
    """int64 (sets, SIZES): counts of sizes before any came."""
    return np.tile((1 << np.clip(6 - np.arange(SIZES), 0, 6)).astype(np.int64), (sets, 1))


class Vectors:
    """What sender and receiver know of the vectors of a clip, frame after frame."""

    def __init__(self) -> None:
        self.counts = begun(CONTEXTS)

    def intervals(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (n,), of a frame's vectors int16 (rows, columns, 2), as they pop."""
        starts, freqs = np.empty(2 * vectors.size, np.uint32), np.empty(2 * vectors.size, np.uint32)
        _intervals(vectors, self.counts, starts, freqs)
        return starts, freqs

    def pop(self, stack: AnsStack, grid: tuple[int, int]) -> np.ndarray:
        """Mirror of :meth:`intervals`, for so many rows and columns. Raises CorruptStream for one that is too long."""
        vectors = np.zeros((*grid, 2), np.int16)
        stack.pop_by(_pop, (self.counts,), vectors)
        if int(np.abs(vectors.astype(np.int32)).max()) > FARTHEST:
            raise CorruptStream(f"a motion vector is longer than {FARTHEST} quarters of a pixel; the file is damaged")
        return vectors
