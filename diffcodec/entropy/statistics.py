"""Statistics of the values that a picture holds, on top of a mixture of logistics: which levels and colours occur.

A network trained on photographs knows how values spread, not that a picture was stretched and lacks every fifth level,
or that it came out of a JPEG file, whose conversion from luma and chroma reaches one RGB colour in four. Here the
receiver learns that from what it has decoded: each cell of a table counts the pixels that were there and the pixels
that the network expected there; the ratio weighs the network's probabilities. Specification: bitstream_spec/SPEC.md,
"Statistics of values".

Three tables, each used where its flag is set, one after another:

LEVELS       each channel's level                                         stretched, posterised, curves
DIFFERENCES  of the last channel: (R - G, B - G)                          luma adds the same to all three: JPEG
COLOURS      of the last channel: the colour (G, R, B), in hashed rows    anything else of few colours
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ..runtime.kernels import inlined, kernel
from .logistic import EDGE, EXP, INVERSE_SCALE, SIGMOID, coding_order, component, mixture, posterior, prior
from .stack import TOTAL, AnsStack, advance

LEVELS, DIFFERENCES, COLOURS = 1, 2, 4
BLOCK = 32  #: values among which mass is moved: the network keeps the say on larger distances
UNIT = 1 << 12  #: of counts
ONE = 1 << 10  #: of weights
MOST = 1 << 14  #: of weights
CAUTION = (UNIT, UNIT // 8, UNIT // 8)  #: pixels seen as expected before any: the higher, the slower a table learns
FEWEST, MOST_PIXELS = 256, 2**16  #: from one settlement to the next
FULL = 2**30  #: of a count, which is halved then
_ROW_BITS = 15  # rows of the table of colours
_SPANS = (3 * 256, -(-(511 * 511) // BLOCK) * BLOCK, BLOCK << _ROW_BITS)  # cells, whole blocks
_SPREAD = 0x9E3779B1


@inlined
def _cells(table, channel, g, r, low):
    """Cell of the block's first value; its other values follow."""
    if table == 0:
        return np.int64(256 * channel + low)
    if table == 1:
        return np.int64((r - g + 255) * 511 + low - g + 255)
    key = ((g << 11) | (r << 3) | (low >> 5)) * np.int64(_SPREAD) & np.int64(0xFFFFFFFF)
    return (key >> (32 - _ROW_BITS)) << 5


@inlined
def room(K):
    """w, mean, inverse; residuals and values of the channels before; edges and masses of a block."""
    rows = np.empty((3, K), np.int64)
    before = np.zeros((2, 3), np.int64)
    block = np.empty((2, BLOCK + 1), np.int64)
    return rows[0], rows[1], rows[2], before[0], before[1], block[0], block[1]


@inlined
def masses(low, w, mean, inverse, sigmoid, edges, mass):
    """What `mixture` gives the values of a block: what lies below them, and what is left when each has its 1."""
    for i in range(BLOCK + 1):
        edges[i] = 0
    for k in range(len(w)):
        if w[k]:
            at, step = (64 * low - 32 - mean[k]) * inverse[k], 64 * inverse[k]
            for i in range(BLOCK + 1):
                u = min(max((at + i * step) >> 12, -EDGE), EDGE) + EDGE
                below = sigmoid[u >> 12]
                edges[i] += w[k] * (below + (((sigmoid[(u >> 12) + 1] - below) * (u & 4095)) >> 12))
    for i in range(BLOCK + 1):
        edges[i] = low + i + ((edges[i] * (TOTAL - 256)) >> 38)
    if low == 0:
        edges[0] = 0
    if low + BLOCK == 256:
        edges[BLOCK] = TOTAL
    for i in range(BLOCK):
        mass[i] = edges[i + 1] - edges[i]
    return edges[0], edges[BLOCK] - edges[0] - BLOCK


@inlined
def _weighed(tables, offsets, weights, expected, touched, last, channel, g, r, low, mass):  # noqa: PLR0917
    """Weigh the masses of a block by every table; counts what each table is told to expect. The new total."""
    total = np.int64(0)
    for i in range(BLOCK):
        total += mass[i]
    for table in range(3):
        if not tables >> table & 1 or (table and not last):
            continue
        at = offsets[table] + _cells(table, channel, g, r, low)
        touched[at >> 5] = touched[(at + BLOCK - 1) >> 5] = True
        share = (np.int64(1) << 44) // total
        total = np.int64(0)
        for i in range(BLOCK):
            expected[at + i] += (mass[i] * share) >> 32
            mass[i] = ((mass[i] * np.int64(weights[at + i])) >> 10) + 1
            total += mass[i]
    return total


@inlined
def _count(tables, offsets, seen, last, channel, g, r, low, x):  # noqa: PLR0917
    for table in range(3):
        if tables >> table & 1 and (last or not table):
            seen[offsets[table] + _cells(table, channel, g, r, low) + x - low] += UNIT


@kernel
def _intervals(  # noqa: PLR0917
    params,
    base,
    pixels,
    order,
    exp,
    inverse_scale,
    sigmoid,
    tables,
    offsets,
    weights,
    expected,
    touched,
    seen,
    starts,
    freqs,
):
    N, K, C = params.shape[0], params.shape[2], pixels.shape[1]
    w, mean, inverse, residual, value, edges, mass = room(K)
    for n in range(N):
        prior(params[n], w, exp)
        for row in range(C):
            channel, last = order[row], C == 3 and row == 2
            x, b = np.int64(pixels[n, channel]), np.int64(base[n, channel])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            if tables & 1 or last:
                low = x & -BLOCK
                first, spare = masses(low, w, mean, inverse, sigmoid, edges, mass)
                total = _weighed(
                    tables, offsets, weights, expected, touched, last, channel, value[0], value[1], low, mass
                )
                below = np.int64(0)
                for i in range(x - low):
                    below += mass[i]
                start = below * spare // total
                freqs[n, row] = (below + mass[x - low]) * spare // total - start + 1
                starts[n, row] = first + x - low + start
                _count(tables, offsets, seen, last, channel, value[0], value[1], low, x)
            else:
                start = mixture(x, w, mean, inverse, sigmoid)
                starts[n, row] = start
                freqs[n, row] = mixture(x + 1, w, mean, inverse, sigmoid) - start
            value[row], residual[row] = x, 4 * x - b
            if row + 1 < C:
                posterior(x, w, mean, inverse, sigmoid)


@kernel
def _pop(  # noqa: PLR0917
    params,
    base,
    order,
    exp,
    inverse_scale,
    sigmoid,
    tables,
    offsets,
    weights,
    expected,
    touched,
    seen,
    state,
    at,
    words,
    pixels,
):
    """Mirror of :func:`_intervals`."""
    N, K, C = params.shape[0], params.shape[2], pixels.shape[1]
    w, mean, inverse, residual, value, edges, mass = room(K)
    for n in range(N):
        prior(params[n], w, exp)
        for row in range(C):
            channel, last = order[row], C == 3 and row == 2
            b = np.int64(base[n, channel])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            weighed = tables & 1 or last
            quantile = np.int64(state & np.uint64(TOTAL - 1))
            x, above, least = np.int64(0), np.int64(256), BLOCK if weighed else 1
            start, end = np.int64(0), np.int64(TOTAL)
            while above - x > least:
                middle = (x + above) >> 1
                edge = mixture(middle, w, mean, inverse, sigmoid)
                if edge <= quantile:
                    x, start = middle, edge
                else:
                    above, end = middle, edge
            if weighed:
                low = x
                first, spare = masses(low, w, mean, inverse, sigmoid, edges, mass)
                total = _weighed(
                    tables, offsets, weights, expected, touched, last, channel, value[0], value[1], low, mass
                )
                below, i = np.int64(0), np.int64(0)
                # value i + 1 starts at first + i + 1 + (below + mass[i]) * spare // total
                while i < BLOCK - 1 and (below + mass[i]) * spare < (quantile - first - i) * total:
                    below += mass[i]
                    i += 1
                x = low + i
                start = below * spare // total
                end = first + i + (below + mass[i]) * spare // total + 1
                start += first + i
                _count(tables, offsets, seen, last, channel, value[0], value[1], low, x)
            pixels[n, channel] = x
            state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
            value[row], residual[row] = x, 4 * x - b
            if row + 1 < C:
                posterior(x, w, mean, inverse, sigmoid)
    return state, at


@kernel
def settle(seen, expected, weights, touched, caution):
    """Weights of the cells from what was counted; other than touched blocks have no counts."""
    for block in range(len(touched)):
        if touched[block]:
            for i in range(block * BLOCK, (block + 1) * BLOCK):
                if expected[i]:
                    ratio = ((np.int64(seen[i]) + caution) << 10) // (np.int64(expected[i]) + caution)
                    weights[i] = min(max(ratio, np.int64(1)), np.int64(MOST))
                    if max(seen[i], expected[i]) >= FULL:
                        seen[i] >>= 1
                        expected[i] >>= 1


class Cells:
    """Counts and weights, which sender and receiver fill alike: pixels have to come in their order.

    What was counted weighs from the next settlement on: after 256 pixels, later after a sixteenth of those that there
    were.
    """

    def __init__(self, spans: Sequence[int], caution: Sequence[int]):
        """Of tables of so many cells, whole blocks; ``caution`` of each as CAUTION."""
        ends = np.cumsum([0, *spans]).astype(np.int64)
        self.offsets, self._spans = ends[:-1], [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.seen, self.expected = np.zeros(ends[-1], np.int32), np.zeros(ends[-1], np.int32)
        self.weights, self.touched = np.full(ends[-1], ONE, np.int16), np.zeros(ends[-1] // BLOCK, np.bool_)
        self._caution, self._pixels, self._settled = caution, 0, 0

    def parts(self, count: int) -> Iterator[slice]:
        """Of the next ``count`` pixels, those between settlements."""
        at = 0
        while at < count:
            due = self._settled + min(max(FEWEST, self._settled >> 4), MOST_PIXELS)
            part = slice(at, min(count, at + due - self._pixels))
            yield part
            at, self._pixels = part.stop, self._pixels + part.stop - part.start
            if self._pixels == due:
                self._settled = due
                for span, caution in zip(self._spans, self._caution, strict=True):
                    blocks = self.touched[span.start // BLOCK : span.stop // BLOCK]
                    settle(self.seen[span], self.expected[span], self.weights[span], blocks, caution)

    def state(self) -> tuple[np.ndarray, ...]:
        """Weights int16, expected int32, touched bool, seen int32, all (cells,) or (blocks,): what kernels take."""
        return self.weights, self.expected, self.touched, self.seen


class Statistics:
    """The tables of one picture.

    ``tables``: LEVELS, DIFFERENCES, COLOURS, or'ed; the latter two of RGB pixels only.
    """

    def __init__(self, tables: int):
        self.tables = tables
        self._cells = Cells([span if tables >> k & 1 else 0 for k, span in enumerate(_SPANS)], CAUTION)

    def intervals(self, params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `logistic.intervals`, of the pixels that come next."""
        starts, freqs = np.empty(pixels.shape, np.uint32), np.empty(pixels.shape, np.uint32)
        tables = (coding_order(pixels.shape[1]), EXP, INVERSE_SCALE, SIGMOID, *self._state())
        for part in self._cells.parts(len(pixels)):
            _intervals(params[part], base[part], pixels[part], *tables, starts[part], freqs[part])
        return starts, freqs

    def pop(self, stack: AnsStack, params: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Mirror of :meth:`intervals`: pop uint8 (N, C) pixels from ``stack``."""
        pixels = np.empty(base.shape, np.uint8)
        tables = (coding_order(base.shape[1]), EXP, INVERSE_SCALE, SIGMOID, *self._state())
        for part in self._cells.parts(len(base)):
            stack.pop_by(_pop, (params[part], base[part], *tables), pixels[part])
        return pixels

    def _state(self) -> tuple[int | np.ndarray, ...]:
        return self.tables, self._cells.offsets, *self._cells.state()
