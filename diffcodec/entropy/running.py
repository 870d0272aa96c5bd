"""Numbers that run on, row after row, each predicted from its past and from what else is known, in integers.

Specification: bitstream_spec/TRACKS.md, §6. A column holds ``values`` int64 (T, A), of which those are coded that are
``there``. The next is predicted by its last PAST steps and by ``told`` int64 (T, A, J) and itself; or, of a column
whose numbers go round a ``circle``, by directions towards which it turns. Whether a number is the last one again is a
decision of its own; what the prediction misses has a mixture of logistics whose scale is how far it missed lately,
and whose weights are learned on the way, for each of ``kinds`` int64 (T, A) of places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runtime.kernels import inlined, kernel
from .grid import PIECES, cdf, put, put_missed, take, take_missed
from .logarithm import LOGARITHMS, log2
from .logistic import INVERSE_SCALE, SIGMOID, normalise
from .stack import PRECISION, TOTAL, AnsStack, advance

PAST = 3  #: steps that predict the next
KINDS = 5  #: of places, at most
COEFFICIENT = 1 << 12  #: units of 1.0 of a coefficient
MOST = np.int64(1) << 38  #: steps are cut to this, the last number, and what is missed
#: of components: how many scales their own is, in 1/32 nat; their weights at first, in 1/65536, of some twenty numbers
_SCALES = np.array([-61, -39, -16, 6, 28, 52, 87], np.int64)
_WEIGHTS = np.array([39322, 262144, 458752, 327680, 131072, 65536, 26214], np.int64)
_FULL = np.int64(2000 << 16)  # weights together, where they are halved
_AGAIN = 19661  # of 65536: that a number is the last again, at first
_FIRST, _FLOOR = 8192, 307  # scales, in 1/1024: at first, and at least

Numbers = NDArray[np.int64]


@inlined
def _wrapped(d, circle):
    """The nearest to 0 of numbers that are the same on a circle of so many, of 0 as it is."""
    return (d + (circle >> 1)) % circle - (circle >> 1) if circle else d


@inlined
def _predicted(coefficients, steps, told, last, circle):
    """What is to be added to ``last``, in 1/64."""
    total = np.int64(0)
    for k in range(PAST):
        total += coefficients[k] * (steps[k] << 6)
    for j in range(len(told)):
        if not circle:
            total += coefficients[PAST + j] * told[j]
        elif told[j] >= 0:
            total += coefficients[PAST + j] * (_wrapped(told[j] - last, circle) << 6)
    if not circle:
        total += coefficients[PAST + len(told)] * (min(last, MOST) << 6)
    return total >> 12


@inlined
def _shift(sigma):
    """Low bits that are as good as even: sigma is below 16 symbols."""
    shift = np.int64(0)
    while sigma >> (14 + shift):
        shift += 1
    return shift


@inlined
def _components(predicted, sigma, shift, table, scales, inverse_scale, weights, w, mean, inverse):  # noqa: PLR0917
    """Weights, means and inverse scales of what is missed."""
    log = log2(sigma, table) - 640 - 64 * shift
    for k in range(len(w)):
        w[k] = weights[k]
        mean[k] = ((predicted & 63) >> shift) - 32 + (32 >> shift)
        inverse[k] = inverse_scale[min(max(96 + ((log * 2839) >> 13) + scales[k], 0), 256)]
    normalise(w)


@inlined
def _learn(x, w, mean, inverse, sigmoid, weights):
    """The weights grow by what each component gave to x."""
    for k in range(len(w)):
        w[k] *= cdf(x + 1, mean[k], inverse[k], sigmoid) - cdf(x, mean[k], inverse[k], sigmoid) + 1
    normalise(w)
    total = np.int64(0)
    for k in range(len(w)):
        weights[k] += w[k]
        total += weights[k]
    if total > _FULL:
        for k in range(len(w)):
            weights[k] >>= 1


@inlined
def _error(rest, predicted):
    """What the prediction missed, in 1/64."""
    return (min(max(rest, -MOST), MOST) << 6) - (predicted & 63)


@inlined
def _move(a, step, again, error, steps, fast, slow, history):
    """What is known of agent ``a`` behind a step, of which the prediction missed ``error``, in 1/64."""
    for k in range(PAST - 1, 0, -1):
        steps[a, k] = steps[a, k - 1]
    steps[a, 0] = min(max(step, -MOST), MOST)
    history[a] = (history[a] << 1 | again) & 15
    if not again:
        missed = min(abs(error) << 4, 8 * fast[a] + 4096)
        fast[a] += (missed - fast[a]) >> 2
        slow[a] += (missed - slow[a]) >> 4


@inlined
def _agents(A):
    """What is known of each before any row: steps, the last number and whether there is one, scales, history."""
    steps, last, known = np.zeros((A, PAST), np.int64), np.zeros(A, np.int64), np.zeros(A, np.bool_)
    return steps, last, known, np.full(A, _FIRST), np.full(A, _FIRST), np.zeros(A, np.int64)


@inlined
def _learned(first):
    """Weights and chances of each kind of places before any row, and room for components."""
    K = len(first)
    weights = np.empty((KINDS, K), np.int64)
    weights[:] = first
    room = np.empty((3, K), np.int64)
    return weights, np.full((KINDS, 16), _AGAIN), room[0], room[1], room[2]


@kernel
def _intervals(  # noqa: PLR0917
    values, there, told, kinds, coefficients, circle, width, table, scales, first, inverse_scale, sigmoid, starts, freqs
):
    T, A = values.shape
    steps, last, known, fast, slow, history = _agents(A)
    weights, chance, w, mean, inverse = _learned(first)
    at = 0
    for t in range(T):
        for a in range(A):
            if not there[t, a]:
                continue
            if not known[a]:
                at = put(values[t, a], width, starts, freqs, at)
                last[a], known[a] = values[t, a], True
                continue
            kind = kinds[t, a]
            p = _predicted(coefficients[kind], steps[a], told[t, a], last[a], circle)
            again = values[t, a] == last[a]
            share = chance[kind, history[a]] << 8
            starts[at] = 0 if again else share
            freqs[at] = share if again else TOTAL - share
            at += 1
            rest = _wrapped(values[t, a] - last[a] - (p >> 6), circle)
            if not again:
                sigma = max((fast[a] + min(slow[a], 4 * fast[a])) >> 1, np.int64(_FLOOR))
                s = _shift(sigma)
                _components(p, sigma, s, table, scales, inverse_scale, weights[kind], w, mean, inverse)
                x, at = put_missed(rest, s, w, mean, inverse, sigmoid, starts, freqs, at)
                _learn(x, w, mean, inverse, sigmoid, weights[kind])
            _count(chance, kind, history[a], again)
            _move(a, _wrapped(values[t, a] - last[a], circle), again, _error(rest, p), steps, fast, slow, history)
            last[a] = values[t, a]
    return at


@kernel
def _pop(  # noqa: PLR0917
    there, told, kinds, coefficients, circle, width, table, scales, first, inverse_scale, sigmoid, state, at, words,
    values,
):
    T, A = values.shape
    steps, last, known, fast, slow, history = _agents(A)
    weights, chance, w, mean, inverse = _learned(first)
    for t in range(T):
        for a in range(A):
            if not there[t, a]:
                continue
            if not known[a]:
                last[a], state, at = take(width, state, at, words)
                values[t, a], known[a] = last[a], True
                continue
            kind = kinds[t, a]
            p = _predicted(coefficients[kind], steps[a], told[t, a], last[a], circle)
            share = chance[kind, history[a]] << 8
            again = np.int64(state & np.uint64(TOTAL - 1)) < share
            start, end = (np.int64(0), share) if again else (share, np.int64(TOTAL))
            state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
            rest = _wrapped(-(p >> 6), circle)
            if not again:
                sigma = max((fast[a] + min(slow[a], 4 * fast[a])) >> 1, np.int64(_FLOOR))
                s = _shift(sigma)
                _components(p, sigma, s, table, scales, inverse_scale, weights[kind], w, mean, inverse)
                x, rest, state, at = take_missed(s, w, mean, inverse, sigmoid, state, at, words)
                _learn(x, w, mean, inverse, sigmoid, weights[kind])
            value = last[a] if again else last[a] + (p >> 6) + rest
            if circle:
                value %= circle
            _count(chance, kind, history[a], again)
            _move(a, _wrapped(value - last[a], circle), again, _error(rest, p), steps, fast, slow, history)
            values[t, a] = last[a] = value
    return state, at


@inlined
def _count(chance, kind, history, again):
    """How often a number is the last again, behind four that were or were not."""
    one = chance[kind, history]
    chance[kind, history] += (65536 - one) >> 5 if again else -(one >> 5)


@dataclass(frozen=True)
class Running:
    """How a column is predicted.

    there: bool (T, A). told: int64 (T, A, J), in 1/64, of a circle directions in its numbers, -1 for none. kinds: int64
    (T, A) below KINDS. coefficients: int64 (kinds, PAST + J), and of no circle one more for the last number, in units
    of COEFFICIENT. circle: 0 of numbers that do not go round. width: bits of numbers, 0 to 62.
    """

    there: NDArray[np.bool_]
    told: Numbers
    kinds: Numbers
    coefficients: Numbers
    circle: int
    width: int

    @property
    def _given(self) -> tuple[object, ...]:
        own = (self.there, self.told, self.kinds, self.coefficients, np.int64(self.circle), np.int64(self.width))
        return (*own, LOGARITHMS, _SCALES, _WEIGHTS, INVERSE_SCALE, SIGMOID)

    def intervals(self, values: Numbers) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Intervals (starts, freqs), uint32 (n,), of int64 (T, A), 0 to 2^width - 1, and below the circle."""
        starts, freqs = np.empty((2, PIECES * int(self.there.sum())), np.uint32)
        count = _intervals(values, *self._given, starts, freqs)
        return starts[:count].copy(), freqs[:count].copy()

    def pop(self, stack: AnsStack) -> Numbers:
        """Mirror of :meth:`intervals`: int64 (T, A), 0 where nothing is there."""
        values = np.zeros(self.there.shape, np.int64)
        stack.pop_by(_pop, self._given, values)
        return values


def bits(freqs: NDArray[np.uint32]) -> float:
    """What intervals of lengths uint32 (n,) take, in bits."""
    return float((PRECISION - np.log2(freqs)).sum())
