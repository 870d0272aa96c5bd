"""Mixtures of discretised logistics for 8-bit pixels, in integers (PixelCNN++ eq. 3, channels coded G, R, B).

Specification: bitstream_spec/SPEC.md, "Mixture of logistics". A pixel has ``params`` int32 (10, K), rows

====  =============================================================  ====================
0     logits                                                          1/64 nat
1-3   mean offsets of G, R, B                                         1/64 level
4-6   log-scale indices q of G, R, B: log s = -3 + q/32, 0..256       1/32 nat
7-9   couplings a (G to R), b (G to B), c (R to B)                    1/256
====  =============================================================  ====================

and ``base``, the sum of four neighbours per channel in R, G, B order (quarter levels). The joint of the three channels
is one mixture, so each coded channel turns the weights into their posterior. No table of 256 entries is ever built:
the cumulative function is evaluated where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ..runtime.decimals import decimals
from ..runtime.kernels import inlined, kernel
from .stack import TOTAL, AnsStack, advance

_EXP_STEPS = 1024  # logits more than 16 nats below the largest weigh nothing
EDGE = 1 << 22  # fixed-point end of the sigmoid table: 16 in units of 2^-18
_FAR = 1 << 20  # a mean this far out saturates every component at every scale: clamping it changes no value


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """exp, 1/scale and sigmoid as integers; `decimal` rounds correctly, so they are the same on any machine."""
    with decimals(30):
        exp = [int((Decimal(-i) / 64).exp() * 65536 + Decimal("0.5")) for i in range(_EXP_STEPS + 1)]
        inverse = [int((3 - Decimal(q) / 32).exp() * (1 << 24) + Decimal("0.5")) for q in range(257)]
        half = [int((1 << 22) / (1 + (-Decimal(i) / 64).exp()) + Decimal("0.5")) for i in range(1025)]
    sigmoid = [(1 << 22) - v for v in half[:0:-1]] + half
    return np.array(exp, np.int64), np.array(inverse, np.int64), np.array([*sigmoid, sigmoid[-1]], np.int64)


EXP, INVERSE_SCALE, SIGMOID = _tables()


@inlined
def cdf(x, mean, inverse, sigmoid):
    """Component CDF at the lower edge of level x, Q22; 0 and 1 at the ends of the range."""
    if x <= 0:
        return np.int64(0)
    if x >= 256:
        return np.int64(1 << 22)
    u = ((64 * x - 32 - mean) * inverse) >> 12
    u = min(max(u, -EDGE), EDGE) + EDGE
    i = u >> 12
    low = sigmoid[i]
    return low + (((sigmoid[i + 1] - low) * (u & 4095)) >> 12)


@inlined
def mixture(x, w, mean, inverse, sigmoid):
    """F(x) of the mixture, 0..2^24, strictly increasing in x."""
    if x <= 0:
        return np.int64(0)
    if x >= 256:
        return np.int64(TOTAL)
    total = np.int64(0)
    for k in range(len(w)):
        total += w[k] * cdf(x, mean[k], inverse[k], sigmoid)
    return x + ((total * (TOTAL - 256)) >> 38)


@inlined
def normalise(w):
    """Scale non-negative weights below 2^47 / K to a total of exactly 2^16, in place."""
    total = np.int64(0)
    for k in range(len(w)):
        total += w[k]
    left, best = np.int64(65536), 0
    for k in range(len(w)):
        if w[k] > w[best]:
            best = k
    for k in range(len(w)):
        w[k] = (w[k] << 16) // total
        left -= w[k]
    w[best] += left


@inlined
def prior(params, w, exp):
    """Weights of the components before any channel is known, from the logits; a total of 2^16."""
    top = params[0, 0]
    for k in range(1, len(w)):
        top = max(top, params[0, k])
    for k in range(len(w)):
        w[k] = exp[min(np.int64(top) - params[0, k], _EXP_STEPS)]
    normalise(w)


@inlined
def component(params, row, base, first, second, mean, inverse, inverse_scale):
    """Means (1/64 level) and inverse scales of coded channel ``row``; ``first``, ``second`` earlier residuals x 4."""
    for k in range(len(mean)):
        shift = np.int64(0)
        if row == 1:
            shift = (params[7, k] * first) >> 4
        elif row == 2:
            shift = (params[8, k] * first + params[9, k] * second) >> 4
        mean[k] = min(max(16 * base + params[1 + row, k] + shift, -_FAR), _FAR)
        inverse[k] = inverse_scale[min(max(params[4 + row, k], 0), 256)]


@inlined
def posterior(x, w, mean, inverse, sigmoid):
    """The weights once a channel is known to be x: each times what its component gave x."""
    for k in range(len(w)):
        mass = cdf(x + 1, mean[k], inverse[k], sigmoid) - cdf(x, mean[k], inverse[k], sigmoid)
        w[k] *= mass + 1
    normalise(w)


@kernel
def _intervals(params, base, pixels, order, exp, inverse_scale, sigmoid, starts, freqs):  # noqa: PLR0917
    N, K, C = params.shape[0], params.shape[2], pixels.shape[1]
    w, mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64), np.empty(K, np.int64)
    residual = np.zeros(3, np.int64)
    for n in range(N):
        prior(params[n], w, exp)
        for row in range(C):
            channel = order[row]
            x, b = np.int64(pixels[n, channel]), np.int64(base[n, channel])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            start = mixture(x, w, mean, inverse, sigmoid)
            starts[n, row] = start
            freqs[n, row] = mixture(x + 1, w, mean, inverse, sigmoid) - start
            residual[row] = 4 * x - b
            if row + 1 < C:
                posterior(x, w, mean, inverse, sigmoid)


@kernel
def _pop(params, base, order, told, exp, inverse_scale, sigmoid, state, at, words, pixels):  # noqa: PLR0917
    N, K, C = params.shape[0], params.shape[2], pixels.shape[1]
    w, mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64), np.empty(K, np.int64)
    residual = np.zeros(3, np.int64)
    for n in range(N):
        prior(params[n], w, exp)
        for row in range(C):
            channel = order[row]
            b = np.int64(base[n, channel])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            if row < told:
                x = np.int64(pixels[n, channel])
            else:
                quantile = np.int64(state & np.uint64(TOTAL - 1))
                x, above = np.int64(0), np.int64(256)
                start, end = np.int64(0), np.int64(TOTAL)
                while above - x > 1:
                    middle = (x + above) >> 1
                    value = mixture(middle, w, mean, inverse, sigmoid)
                    if value <= quantile:
                        x, start = middle, value
                    else:
                        above, end = middle, value
                pixels[n, channel] = x
                state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
            residual[row] = 4 * x - b
            if row + 1 < C:
                posterior(x, w, mean, inverse, sigmoid)
    return state, at


def coding_order(channels: int) -> np.ndarray:
    """Positions of the coded channels, int64 (C,): G, R, B of an RGB pixel, or the one grey channel."""
    return np.array([1, 0, 2] if channels == 3 else [0], np.int64)


def intervals(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (starts, freqs), uint32 (N, C) in coding order, of ``pixels`` uint8 (N, C), C 1 or 3.

    ``params`` int32 (N, 10, K), any values; ``base`` int32 (N, C) in 0..1020. Grey pixels use the rows of G.
    """
    starts, freqs = np.empty(pixels.shape, np.uint32), np.empty(pixels.shape, np.uint32)
    _intervals(params, base, pixels, coding_order(pixels.shape[1]), EXP, INVERSE_SCALE, SIGMOID, starts, freqs)
    return starts, freqs


def pop_pixels(stack: AnsStack, params: np.ndarray, base: np.ndarray, green: np.ndarray | None = None) -> np.ndarray:
    """Mirror of :func:`intervals`: pop uint8 (N, C) pixels from ``stack``.

    green: uint8 (N,) where G of RGB pixels is known: only R and B come from the stack, all columns but the first.
    """
    pixels = np.empty(base.shape, np.uint8)
    if green is not None:
        pixels[:, 1] = green
    order, told = coding_order(base.shape[1]), int(green is not None)
    stack.pop_by(_pop, (params, base, order, told, EXP, INVERSE_SCALE, SIGMOID), pixels)
    return pixels


def bits(freqs: np.ndarray) -> float:
    """Ideal code length in bits of intervals of width ``freqs``, integers of any shape in 1..2^24."""
    return float(24 * freqs.size - np.log2(freqs.astype(np.float64)).sum())


@dataclass(frozen=True)
class Mixtures:
    """Distributions of pixels: ``params`` int32 (N, 10, K), ``base`` int32 (N, C), as above."""

    params: np.ndarray
    base: np.ndarray

    def intervals(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (N C,) in coding order, of ``pixels`` uint8 (N, C)."""
        starts, freqs = intervals(self.params, self.base, pixels)
        return starts.ravel(), freqs.ravel()

    def pop(self, stack: AnsStack) -> np.ndarray:
        """Mirror of :meth:`intervals`: uint8 (N, C)."""
        return pop_pixels(stack, self.params, self.base)
