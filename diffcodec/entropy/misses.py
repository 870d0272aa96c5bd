"""Statistics of how far values are from what a picture that is known says, on top of a mixture of logistics.

A frame of a clip is given what is expected of it. Where its pixels so far were met exactly, the next ones are too, more
often than a network believes that has seen all kinds of clips: here the receiver learns that, and by how much they are
missed else, from what it has decoded. As in `statistics`, the ratio of what was there and what the network expected
there weighs the network's probabilities. Specification: bitstream_spec/SPEC.md §5.4.
"""

from __future__ import annotations

import numpy as np

from ..runtime.kernels import inlined, kernel
from .logistic import EXP, INVERSE_SCALE, SIGMOID, coding_order, component, mixture, posterior, prior
from .stack import TOTAL, AnsStack, advance
from .statistics import BLOCK, UNIT, Cells, masses, room

CONTEXTS = 16  #: of how far the neighbours are from what was expected of them
SPAN = 512  #: cells of a channel in a context: of differences from -255 on
CAUTION = 8 * UNIT  #: as `statistics.CAUTION`


def contexts(missed: np.ndarray) -> np.ndarray:
    """uint8: 0 to 15, in steps of half an octave, of what four neighbours are missed by in all, int32 in 0..1020."""
    edges = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192])
    return np.searchsorted(edges, missed, side="right").astype(np.uint8)


@inlined
def _block_of(quantile, w, mean, inverse, sigmoid):
    """The first of the BLOCK values that a quantile is among."""
    low, step = np.int64(0), 128
    while step >= BLOCK:
        if mixture(low + step, w, mean, inverse, sigmoid) <= quantile:
            low += step
        step >>= 1
    return low


@inlined
def _weighed(cell, cells, mass):
    """Weigh the masses of a block by its cells, which count what they are told to expect. The new total."""
    weights, expected, touched, _ = cells
    touched[cell // BLOCK] = touched[(cell + BLOCK - 1) // BLOCK] = True
    total = np.int64(0)
    for i in range(BLOCK):
        total += mass[i]
    share = (np.int64(1) << 44) // total
    total = np.int64(0)
    for i in range(BLOCK):
        expected[cell + i] += (mass[i] * share) >> 32
        mass[i] = ((mass[i] * np.int64(weights[cell + i])) >> 10) + 1
        total += mass[i]
    return total


@kernel
def _walk(params, base, order, told, tables, given, cells, pixels, coder):  # noqa: PLR0917
    """Pixels either way: ``coder`` is (state, place, words) to pop from and (starts, freqs) to write to, or empty."""
    exp, inverse_scale, sigmoid = tables
    context, guess = given
    seen = cells[3]
    state, at, words, starts, freqs = coder
    sending = len(starts) > 0
    C = pixels.shape[1]
    w, mean, inverse, residual, _, edges, mass = room(params.shape[2])
    for n in range(params.shape[0]):
        prior(params[n], w, exp)
        for row in range(C):
            channel = order[row]
            b, x = np.int64(base[n, channel]), np.int64(pixels[n, channel])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            if row >= told:
                quantile = np.int64(state[0] & np.uint64(TOTAL - 1))
                low = x & -BLOCK if sending else _block_of(quantile, w, mean, inverse, sigmoid)
                first, spare = masses(low, w, mean, inverse, sigmoid, edges, mass)
                cell = (row * CONTEXTS + context[n, channel]) * SPAN + low - np.int64(guess[n, channel]) + 255
                total = _weighed(cell, cells, mass)
                below, i = np.int64(0), np.int64(0)
                # value i + 1 starts at first + i + 1 + (below + mass[i]) * spare // total
                while i < (x - low if sending else BLOCK - 1) and (
                    sending or (below + mass[i]) * spare < (quantile - first - i) * total
                ):
                    below += mass[i]
                    i += 1
                x = low + i
                start = first + i + below * spare // total
                width = first + i + (below + mass[i]) * spare // total + 1 - start
                seen[cell + i] += UNIT
                if sending:
                    starts[n, row], freqs[n, row] = start, width
                else:
                    pixels[n, channel] = x
                    state[0], at[0] = advance(state[0], at[0], words, np.uint64(start), np.uint64(width))
            residual[row] = 4 * x - b
            if row + 1 < C:
                posterior(x, w, mean, inverse, sigmoid)


@kernel
def _pop(params, base, order, told, tables, given, cells, state, at, words, pixels):  # noqa: PLR0917
    nothing = np.empty((0, 1), np.uint32)
    popped, place = np.array([state]), np.array([at])
    _walk(params, base, order, told, tables, given, cells, pixels, (popped, place, words, nothing, nothing))
    return popped[0], place[0]


class Misses:
    """The table of pictures of ``channels`` channels one after another: their pixels have to come in their order.

    params, base: as of `logistic.intervals`. context: uint8 (N, C), of `contexts`. guess: uint8 (N, C), what is
    expected. told: whether G of RGB pixels is known.
    """

    def __init__(self, channels: int):
        self._cells = Cells([channels * CONTEXTS * SPAN], [CAUTION])

    def intervals(
        self,
        params: np.ndarray,
        base: np.ndarray,
        pixels: np.ndarray,
        context: np.ndarray,
        guess: np.ndarray,
        told: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (n,) in coding order, of the pixels uint8 (N, C) that come next."""
        starts, freqs = np.empty(pixels.shape, np.uint32), np.empty(pixels.shape, np.uint32)
        order, tables = coding_order(pixels.shape[1]), (EXP, INVERSE_SCALE, SIGMOID)
        nothing = np.zeros(1, np.uint64), np.zeros(1, np.int64), np.empty(0, np.uint32)
        for part in self._cells.parts(len(pixels)):
            given, coder = (context[part], guess[part]), (*nothing, starts[part], freqs[part])
            _walk(params[part], base[part], order, int(told), tables, given, self._cells.state(), pixels[part], coder)
        return starts[:, int(told) :].ravel(), freqs[:, int(told) :].ravel()

    def pop(
        self,
        stack: AnsStack,
        params: np.ndarray,
        base: np.ndarray,
        pixels: np.ndarray,
        context: np.ndarray,
        guess: np.ndarray,
        told: bool,
    ) -> None:
        """Mirror of :meth:`intervals`, into ``pixels``, of which G is there if it is told."""
        order, tables = coding_order(base.shape[1]), (EXP, INVERSE_SCALE, SIGMOID)
        for part in self._cells.parts(len(base)):
            given = context[part], guess[part]
            shared = (params[part], base[part], order, int(told), tables, given, self._cells.state())
            stack.pop_by(_pop, shared, pixels[part])
