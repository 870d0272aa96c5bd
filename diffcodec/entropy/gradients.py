"""How the code length of pixels changes with the parameters of their mixtures, in integers.

What learns while it codes (`codecs.ardm.learning`) takes the same steps at the sender and at the receiver, so these are
the same numbers on any machine. Specification: bitstream_spec/SPEC.md, "Learning".
"""

from __future__ import annotations

import numpy as np

from ..runtime.kernels import inlined, kernel
from .logistic import EDGE, EXP, INVERSE_SCALE, SIGMOID, cdf, coding_order, component, normalise, prior

_ONE = 1 << 22  # of a logistic's cumulative function
_SHARPEST = 1 << 22  # of what a scale's change is worth, 16 in units of 2^-18


@inlined
def slopes(low, high, x, mean, inverse):
    """Of -log(mass) of level x under one logistic: by its mean, in 2^-24 of a nat a level, and by its log-scale, 2^-18.

    low, high: its cumulative function at the edges of x, in 2^-22. The second is -((u f)(x + 1) - (u f)(x)) / mass.
    """
    at = (64 * x - 32 - mean) * inverse
    below = min(max(at >> 12, -EDGE), EDGE)
    above = min(max((at + 64 * inverse) >> 12, -EDGE), EDGE)
    moved = above * ((high * (_ONE - high)) >> 22) - below * ((low * (_ONE - low)) >> 22)
    return ((_ONE - low - high) * inverse) >> 22, min(max(moved // (high - low + 1), -_SHARPEST), _SHARPEST)


@kernel
def _gradients(params, base, pixels, order, exp, inverse_scale, sigmoid, out):
    N, K, C = params.shape[0], params.shape[2], pixels.shape[1]
    w, before = np.empty(K, np.int64), np.empty(K, np.int64)
    mean, inverse = np.empty(K, np.int64), np.empty(K, np.int64)
    shift, slope, residual = np.zeros((3, K), np.int64), np.zeros((3, K), np.int64), np.zeros(3, np.int64)
    for n in range(N):
        prior(params[n], w, exp)
        before[:] = w
        for row in range(C):
            x, b = np.int64(pixels[n, order[row]]), np.int64(base[n, order[row]])
            component(params[n], row, b, residual[0], residual[1], mean, inverse, inverse_scale)
            for k in range(K):
                low, high = cdf(x, mean[k], inverse[k], sigmoid), cdf(x + 1, mean[k], inverse[k], sigmoid)
                shift[row, k], slope[row, k] = slopes(low, high, x, mean[k], inverse[k])
                w[k] *= high - low + 1
            normalise(w)
            residual[row] = 4 * x - b
        for k in range(K):
            out[n, 0, k] = before[k] - w[k]
            for row in range(C):
                out[n, 1 + row, k] = (w[k] * shift[row, k]) >> 24
                out[n, 4 + row, k] = (w[k] * slope[row, k]) >> 18
            for row in range(C, 3):
                out[n, 1 + row, k] = out[n, 4 + row, k] = 0
            out[n, 7, k] = (out[n, 2, k] * residual[0]) >> 2
            out[n, 8, k] = (out[n, 3, k] * residual[0]) >> 2
            out[n, 9, k] = (out[n, 3, k] * residual[1]) >> 2


def gradients(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """int64 (N, 10, K): by each parameter, of -log P of pixels uint8 (N, C), C 1 or 3, about 2^16 of a nat.

    params, base: as of `logistic.Mixtures`. By logits in nats, means in levels, log-scales in nats, couplings as the
    factors that they are; all below 2^30 in size.
    """
    out = np.empty(params.shape, np.int64)
    _gradients(params, base, pixels, coding_order(pixels.shape[1]), EXP, INVERSE_SCALE, SIGMOID, out)
    return out
