"""Motion of a frame from one or two others: blocks of three sizes, which of them each is seen in, and vectors.

A block of 16² pixels is whole or in four, each of which is whole or in four. Integers only; what is coded follows
frequencies of what came, frame after frame (SPEC.md §5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...entropy.stack import TOTAL, AnsStack, advance
from ...runtime.errors import CorruptStream
from ...runtime.kernels import inlined, kernel
from .motion import FARTHEST, displaced, grid, middle
from .vectors import CONTEXTS, SIZES, apart, begun, bounds, counted

UNIT, LARGEST = 4, 16  #: sides of the smallest and the largest blocks
FIRST, SECOND, BOTH = range(3)  #: which of two frames a block is seen in

_SPLITS, _SOURCES = 6, 9  # contexts: by size and smaller neighbours; by the neighbours' sources
_MASK = np.uint64(TOTAL - 1)
_OUTSIDE = BOTH  # the source of what lies outside


@dataclass(frozen=True)
class Field:
    """By units of 4² pixels, arrays of ⌈H/4⌉ × ⌈W/4⌉: of each its block's.

    sizes:   int8, 1, 2 or 4 units a side. sources: int8, FIRST, SECOND or BOTH; of one frame FIRST.
    vectors: int16 (frames, rows, columns, 2), down and right, in quarters of a pixel, from each frame; where a block
             is not seen in one, what its neighbours tell.
    filter:  of `motion.FILTERS`.
    """

    sizes: np.ndarray
    sources: np.ndarray
    vectors: np.ndarray
    filter: int

    @classmethod
    def blank(cls, height: int, width: int, frames: int, filter: int) -> Field:
        """Of a picture of this size, from so many frames, all at rest."""
        units = grid(height, width, UNIT)
        vectors = np.zeros((frames, *units, 2), np.int16)
        return cls(np.full(units, LARGEST // UNIT, np.int8), np.zeros(units, np.int8), vectors, filter)

    def moved(self, pictures: list[np.ndarray], halved: bool) -> list[np.ndarray]:
        """Pictures uint8 (H, W, C) of the frames, displaced as a whole."""
        every = zip(pictures, self.vectors, strict=True)
        return [displaced(one, vectors, UNIT, halved, self.filter) for one, vectors in every]

    def expected(self, moved: list[np.ndarray], halved: bool) -> np.ndarray:
        """What is expected of a frame's picture, uint8 (H, W, C), of those that were displaced."""
        if len(moved) == 1:
            return moved[0]
        first, second = moved
        H, W = first.shape[:2]
        side = UNIT >> halved
        sources = self.sources.repeat(side, 0).repeat(side, 1)[:H, :W, None]
        both = ((first.astype(np.uint16) + second + 1) >> 1).astype(np.uint8)
        out: np.ndarray = np.choose(sources, [first, second, both])
        return out


@inlined
def expected_vector(vectors, done, y, x, size):
    """Median of the vectors to the left, above, and above to the right, or to the left where that is not yet known."""
    if y == 0 and x == 0:
        return np.int64(0), np.int64(0)
    if y == 0:
        return np.int64(vectors[y, x - 1, 0]), np.int64(vectors[y, x - 1, 1])
    if x == 0:
        return np.int64(vectors[y - 1, x, 0]), np.int64(vectors[y - 1, x, 1])
    far = x + size if x + size < vectors.shape[1] and done[y - 1, x + size] else x - 1
    a, b, c = vectors[y, x - 1], vectors[y - 1, x], vectors[y - 1, far]
    return np.int64(middle(a[0], b[0], c[0])), np.int64(middle(a[1], b[1], c[1]))


@inlined
def _smaller(sizes, y, x, size):
    """Context of whether a block is in four: of its size, and how many neighbours are smaller."""
    near = 0
    if x > 0 and sizes[y, x - 1] < size:
        near += 1
    if y > 0 and sizes[y - 1, x] < size:
        near += 1
    return near + (3 if size == 2 else 0)


@inlined
def _beside(sources, y, x):
    left = np.int64(sources[y, x - 1]) if x > 0 else _OUTSIDE
    above = np.int64(sources[y - 1, x]) if y > 0 else _OUTSIDE
    return 3 * left + above


# ---- symbols, either way: a coder is (state, place and words to pop from, intervals to write and how many there are)


@inlined
def _uniform(value, width, coder):
    """A value of so many bits."""
    state, at, words, starts, freqs, n = coder
    if len(starts):
        starts[n[0]], freqs[n[0]] = value << (24 - width), 1 << (24 - width)
        n[0] += 1
        return value
    value = np.int64(state[0] & _MASK) >> (24 - width)
    state[0], at[0] = advance(state[0], at[0], words, np.uint64(value << (24 - width)), np.uint64(1 << (24 - width)))
    return value


@inlined
def _symbol(counts, value, coder):
    """A symbol of these counts, which follow it."""
    state, at, words, starts, freqs, n = coder
    if len(starts):
        starts[n[0]], freqs[n[0]] = bounds(counts, value)
        n[0] += 1
    else:
        quantile, value = np.int64(state[0] & _MASK), np.int64(0)
        start, width = bounds(counts, value)
        while quantile >= start + width:
            value += 1
            start, width = bounds(counts, value)
        state[0], at[0] = advance(state[0], at[0], words, np.uint64(start), np.uint64(width))
    counted(counts, value)
    return value


@inlined
def _part(counts, d, coder):
    """How far a part of a vector is from what was expected: the bits of its zigzag, then these but for the first."""
    value, size = (d << 1) ^ (d >> 63), np.int64(0)
    while value >> size:
        size += 1
    size = _symbol(counts, size, coder)
    rest = max(size - 1, 0)
    low = _uniform(value & ((1 << rest) - 1), rest, coder)
    value = low + ((1 << rest) if size else 0)
    return (value >> 1) ^ -(value & 1)


@inlined
def _block(field, known, y, x, size, counts, coder):
    """Where a block is seen, and from where."""
    sizes, sources, vectors = field
    _, seen_in, parts = counts
    frames, rows, columns, _ = vectors.shape
    source = np.int64(sources[y, x])
    if frames == 2:
        source = _symbol(seen_in[_beside(sources, y, x)], source, coder)
    bottom, right = min(rows, y + size), min(columns, x + size)
    for f in range(frames):
        at = expected_vector(vectors[f], known, y, x, size)
        for k in range(2):
            value = at[k]
            if source == f or source == BOTH:
                own = parts[f, 3 * k + apart(vectors[f], y, x, k)]
                value += _part(own, np.int64(vectors[f, y, x, k]) - value, coder)
            vectors[f, y:bottom, x:right, k] = min(max(value, -FARTHEST - 1), FARTHEST + 1)
    sizes[y:bottom, x:right] = size
    sources[y:bottom, x:right] = source
    known[y:bottom, x:right] = True


@kernel
def _walk(field, known, counts, coder):
    """All blocks of 16² in raster order, each from the whole to its parts."""
    sizes, splits = field[0], counts[0]
    rows, columns = sizes.shape
    for top in range(0, rows, 4):
        for left in range(0, columns, 4):
            if not _symbol(splits[_smaller(sizes, top, left, 4)], np.int64(sizes[top, left] < 4), coder):
                _block(field, known, top, left, 4, counts, coder)
                continue
            for y in range(top, min(rows, top + 4), 2):
                for x in range(left, min(columns, left + 4), 2):
                    if not _symbol(splits[_smaller(sizes, y, x, 2)], np.int64(sizes[y, x] < 2), coder):
                        _block(field, known, y, x, 2, counts, coder)
                        continue
                    for i in range(y, min(rows, y + 2)):
                        for j in range(x, min(columns, x + 2)):
                            _block(field, known, i, j, 1, counts, coder)


@kernel
def _pop(sizes, sources, known, counts, state, at, words, vectors):
    nothing = np.empty(0, np.uint32)
    popped, place = np.array([state]), np.array([at])
    coder = (popped, place, words, nothing, nothing, np.zeros(1, np.int64))
    _walk((sizes, sources, vectors), known, counts, coder)
    return popped[0], place[0]


class Fields:
    """What sender and receiver know of the motion of a clip, frame after frame."""

    def __init__(self) -> None:
        splits, seen_in = (np.full(shape, 8, np.int64) for shape in ((_SPLITS, 2), (_SOURCES, 3)))
        self.counts = splits, seen_in, begun(2 * CONTEXTS).reshape(2, CONTEXTS, SIZES)

    def intervals(self, field: Field) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (n,), of a frame's motion, as they pop.

        Vectors of ``field`` that are not told become what the receiver takes them for.
        """
        most = field.sizes.size * (3 + 4 * len(field.vectors))
        starts, freqs, n = np.empty(most, np.uint32), np.empty(most, np.uint32), np.zeros(1, np.int64)
        coder = (np.zeros(1, np.uint64), np.zeros(1, np.int64), starts, starts, freqs, n)
        _walk((field.sizes, field.sources, field.vectors), np.zeros(field.sizes.shape, np.bool_), self.counts, coder)
        return starts[: n[0]], freqs[: n[0]]

    def pop(self, stack: AnsStack, field: Field) -> None:
        """Mirror of :meth:`intervals`, into a blank one. Raises CorruptStream for a vector that is too long."""
        known = np.zeros(field.sizes.shape, np.bool_)
        stack.pop_by(_pop, (field.sizes, field.sources, known, self.counts), field.vectors)
        if int(np.abs(field.vectors.astype(np.int32)).max()) > FARTHEST:
            raise CorruptStream(f"a motion vector is longer than {FARTHEST} quarters of a pixel; the file is damaged")
