"""Mixtures of logistics over pairs of whole numbers of any size, in integers.

Specification: bitstream_spec/TRACKS.md. Of an agent's displacement, ``predicted`` int64 (N, 2), 1/64 of a cell, is what
a linear prediction says, ``sigma`` int64 (N,), 1/1024 of a cell, how far that missed lately, and ``params`` are
int32 (N, 6, K):

====  =====================================  ==============================================
0     logits                                 1/64 nat
1, 2  means of x and y, from the predicted   1/64 sigma
3, 4  log-scales of x and y                  1/64 nat, about sigma's
5     couplings of y's mean to x's miss      1/64
====  =====================================  ==============================================

The joint of both is one mixture. Where sigma is large, its low bits are as good as even and are coded as they are; what
lies beyond SIDE cells follows an escape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runtime.kernels import inlined, kernel
from .gradients import slopes
from .logistic import EDGE, EXP, INVERSE_SCALE, SIGMOID, normalise, prior
from .stack import PRECISION, TOTAL, AnsStack, advance

SIDE = 4096  #: symbols on either side of the predicted one, the last of which are escapes
STEEPEST = 1 << 22  #: gradients are cut to this, 64 nats
PIECES = 12  #: intervals at most of a number
_WIDTH, _LENGTH = 16, 6  # bits of a piece, and of the number of bits of what lies beyond


@inlined
def cdf(x, mean, inverse, sigmoid):
    """Component CDF at the lower edge of symbol x, Q22."""
    u = ((64 * x - 32 - mean) * inverse) >> 12
    u = min(max(u, np.int64(-EDGE)), np.int64(EDGE)) + EDGE
    i = u >> 12
    low = sigmoid[i]
    return low + (((sigmoid[i + 1] - low) * (u & 4095)) >> 12)


@inlined
def mixture(x, w, mean, inverse, sigmoid):
    """F(x) of the mixture, 0..2^24, strictly increasing for x in -SIDE..SIDE."""
    if x <= -SIDE:
        return np.int64(0)
    if x >= SIDE:
        return np.int64(TOTAL)
    total = np.int64(0)
    for k in range(len(w)):
        total += w[k] * cdf(x, mean[k], inverse[k], sigmoid)
    return x + SIDE + ((total * (TOTAL - 2 * SIDE)) >> 38)


@inlined
def _component(params, row, fraction, sigma, lead, shift, log2, mean, inverse, inverse_scale):  # noqa: PLR0917
    """Means, 1/64 symbol, and inverse scales of coordinate ``row``; lead: how far the first missed, 1/64 cell."""
    for k in range(len(mean)):
        m = fraction + ((params[1 + row, k] * sigma) >> 10)
        if row:
            m += (params[5, k] * lead) >> 6
        mean[k] = (m >> shift) - 32 + (32 >> shift)
        q = 96 + ((log2 * 2839) >> 13) + (params[3 + row, k] >> 1)
        inverse[k] = inverse_scale[min(max(q, 0), 256)]


@inlined
def _lead(move, predicted, sigma):
    """How far the first coordinate missed, 1/64 cell, as the second is told."""
    return min(max((move << 6) - predicted, -(sigma >> 1)), sigma >> 1)


@inlined
def _shift(sigma):
    """Low bits of a number that are even: sigma is below 64 symbols."""
    shift = np.int64(0)
    while sigma >> (16 + shift):
        shift += 1
    return shift


@inlined
def _posterior(x, w, mean, inverse, sigmoid):
    """The weights once the first coordinate is known to be x: each times what its component gave x."""
    for k in range(len(w)):
        mass = cdf(x + 1, mean[k], inverse[k], sigmoid) - cdf(x, mean[k], inverse[k], sigmoid)
        w[k] *= mass + 1
    normalise(w)


@kernel
def put(value, width, starts, freqs, at):
    """Intervals of ``value`` of so many bits, the low pieces first."""
    while width > 0:
        piece = min(width, np.int64(_WIDTH))
        starts[at] = (value & ((np.int64(1) << piece) - 1)) << (PRECISION - piece)
        freqs[at] = np.int64(1) << (PRECISION - piece)
        at += 1
        value >>= piece
        width -= piece
    return at


@kernel
def take(width, state, at, words):
    """Mirror of :func:`put`."""
    value, done = np.int64(0), np.int64(0)
    while width > 0:
        piece = min(width, np.int64(_WIDTH))
        rest = np.uint64(PRECISION - piece)
        symbol = (state & np.uint64(TOTAL - 1)) >> rest
        state, at = advance(state, at, words, symbol << rest, np.uint64(1) << rest)
        value |= np.int64(symbol) << done
        done += piece
        width -= piece
    return value, state, at


@kernel
def put_missed(missed, shift, w, mean, inverse, sigmoid, starts, freqs, at):  # noqa: PLR0917
    """Intervals of what was missed: a symbol by the mixture, what lies beyond, low bits. (Symbol, place)."""
    whole = missed >> shift
    x = min(max(whole, np.int64(-SIDE)), np.int64(SIDE - 1))
    start = mixture(x, w, mean, inverse, sigmoid)
    starts[at] = start
    freqs[at] = mixture(x + 1, w, mean, inverse, sigmoid) - start
    at += 1
    if x in (-SIDE, SIDE - 1):
        beyond = (whole - x if x > 0 else x - whole) + 1
        length = np.int64(0)
        while beyond >> (length + 1):
            length += 1
        at = put(length, np.int64(_LENGTH), starts, freqs, at)
        at = put(beyond - (np.int64(1) << length), length, starts, freqs, at)
    return x, put(missed & ((np.int64(1) << shift) - 1), shift, starts, freqs, at)


@kernel
def take_missed(shift, w, mean, inverse, sigmoid, state, at, words):
    """Mirror of :func:`put_missed`: (symbol, what was missed, state, place)."""
    quantile = np.int64(state & np.uint64(TOTAL - 1))
    x, above = np.int64(-SIDE), np.int64(SIDE)
    start, end = np.int64(0), np.int64(TOTAL)
    while above - x > 1:
        middle = (x + above) >> 1
        value = mixture(middle, w, mean, inverse, sigmoid)
        if value <= quantile:
            x, start = middle, value
        else:
            above, end = middle, value
    state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
    whole = x
    if x in (-SIDE, SIDE - 1):
        length, state, at = take(np.int64(_LENGTH), state, at, words)
        beyond, state, at = take(length, state, at, words)
        beyond += (np.int64(1) << length) - 1
        whole = x + beyond if x > 0 else x - beyond
    low, state, at = take(shift, state, at, words)
    return x, (whole << shift) | low, state, at


@kernel
def _intervals(params, predicted, sigma, logs, moves, exp, inverse_scale, sigmoid, starts, freqs):  # noqa: PLR0917
    K, at = params.shape[2], 0
    w, mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64), np.empty(K, np.int64)
    for n in range(len(moves)):
        prior(params[n], w, exp)
        s = _shift(sigma[n])
        lead = np.int64(0)
        for f in range(2):
            base = predicted[n, f] >> 6
            _component(
                params[n], f, predicted[n, f] & 63, sigma[n], lead, s, logs[n] - 64 * s, mean, inverse, inverse_scale
            )
            x, at = put_missed(moves[n, f] - base, s, w, mean, inverse, sigmoid, starts, freqs, at)
            if f == 0:
                lead = _lead(moves[n, 0], predicted[n, 0], sigma[n])
                _posterior(x, w, mean, inverse, sigmoid)
    return at


@kernel
def _pop(params, predicted, sigma, logs, exp, inverse_scale, sigmoid, state, at, words, moves):  # noqa: PLR0917
    K = params.shape[2]
    w, mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64), np.empty(K, np.int64)
    for n in range(len(moves)):
        prior(params[n], w, exp)
        s = _shift(sigma[n])
        lead = np.int64(0)
        for f in range(2):
            base = predicted[n, f] >> 6
            _component(
                params[n], f, predicted[n, f] & 63, sigma[n], lead, s, logs[n] - 64 * s, mean, inverse, inverse_scale
            )
            x, missed, state, at = take_missed(s, w, mean, inverse, sigmoid, state, at, words)
            moves[n, f] = base + missed
            if f == 0:
                lead = _lead(moves[n, 0], predicted[n, 0], sigma[n])
                _posterior(x, w, mean, inverse, sigmoid)
    return state, at


@kernel
def _gradients(params, predicted, sigma, logs, moves, exp, inverse_scale, sigmoid, out):  # noqa: PLR0917
    K = params.shape[2]
    w, before = np.empty(K, np.int64), np.empty(K, np.int64)
    mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64)
    shift, slope = np.empty((2, K), np.int64), np.empty((2, K), np.int64)
    for n in range(len(moves)):
        prior(params[n], w, exp)
        before[:] = w
        s = _shift(sigma[n])
        lead = np.int64(0)
        for f in range(2):
            base = predicted[n, f] >> 6
            _component(
                params[n], f, predicted[n, f] & 63, sigma[n], lead, s, logs[n] - 64 * s, mean, inverse, inverse_scale
            )
            x = min(max((moves[n, f] - base) >> s, np.int64(-SIDE)), np.int64(SIDE - 1))
            for k in range(K):
                low, high = cdf(x, mean[k], inverse[k], sigmoid), cdf(x + 1, mean[k], inverse[k], sigmoid)
                shift[f, k], slope[f, k] = slopes(low, high, x, mean[k], inverse[k])
                w[k] *= high - low + 1
            normalise(w)
            if f == 0:
                lead = _lead(moves[n, 0], predicted[n, 0], sigma[n])
        for k in range(K):
            out[n, 0, k] = before[k] - w[k]
            for f in range(2):
                by_mean = (w[k] * ((shift[f, k] * (sigma[n] >> s)) >> 10)) >> 24
                out[n, 1 + f, k] = min(max(by_mean, np.int64(-STEEPEST)), np.int64(STEEPEST))
                out[n, 3 + f, k] = (w[k] * slope[f, k]) >> 18
            by_lead = (w[k] * ((shift[1, k] * (lead >> s)) >> 6)) >> 24
            out[n, 5, k] = min(max(by_lead, np.int64(-STEEPEST)), np.int64(STEEPEST))


@dataclass(frozen=True)
class GridMixtures:
    """Distributions of displacements: params int32 (N, 6, K), predicted int64 (N, 2), sigma int64 (N,), as above.

    logs: int64 (N,), 64 log2(sigma / 1024), rounded down.
    """

    params: np.ndarray
    predicted: np.ndarray
    sigma: np.ndarray
    logs: np.ndarray

    def intervals(self, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (n,), of displacements int64 (N, 2), up to PIECES of each number."""
        starts, freqs = np.empty((2, PIECES * moves.size), np.uint32)
        given = (self.params, self.predicted, self.sigma, self.logs, moves, EXP, INVERSE_SCALE, SIGMOID)
        count = _intervals(*given, starts, freqs)
        return starts[:count].copy(), freqs[:count].copy()

    def pop(self, stack: AnsStack) -> np.ndarray:
        """Mirror of :meth:`intervals`: int64 (N, 2)."""
        moves = np.empty(self.predicted.shape, np.int64)
        given = (self.params, self.predicted, self.sigma, self.logs, EXP, INVERSE_SCALE, SIGMOID)
        stack.pop_by(_pop, given, moves)
        return moves


    def gradients(self, moves: np.ndarray) -> np.ndarray:
        """int64 (N, 6, K): by each parameter, of -log P of displacements int64 (N, 2), about 2^16 of a nat.

        By logits and log-scales in nats, means in sigmas, couplings as the factors that they are; none above STEEPEST.
        """
        out = np.empty(self.params.shape, np.int64)
        given = (self.params, self.predicted, self.sigma, self.logs, moves, EXP, INVERSE_SCALE, SIGMOID)
        _gradients(*given, out)
        return out


# ---- numbers of which nothing is known


@kernel
def _whole_intervals(values, width, starts, freqs):
    at = 0
    for n in range(len(values)):
        at = put(values[n], width, starts, freqs, at)
    return at


@kernel
def _pop_whole(width, state, at, words, values):
    for n in range(len(values)):
        values[n], state, at = take(width, state, at, words)
    return state, at


def whole_intervals(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (starts, freqs), uint32 (n,), of int64 (N,), each of ``width`` bits, 0 to 62, as it stands."""
    starts, freqs = np.empty((2, PIECES * len(values)), np.uint32)
    count = _whole_intervals(values, np.int64(width), starts, freqs)
    return starts[:count].copy(), freqs[:count].copy()


def pop_whole(stack: AnsStack, count: int, width: int) -> np.ndarray:
    """Mirror of :func:`whole_intervals`: int64 (count,)."""
    values = np.empty(count, np.int64)
    stack.pop_by(_pop_whole, (np.int64(width),), values)
    return values
