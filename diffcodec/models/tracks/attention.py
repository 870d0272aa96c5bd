"""What agents say to each other: the network's layers between pairs of them, compiled. bitstream_spec/TRACKS.md.

All numbers are whole and small, in float64, which has them exactly in whatever order they are added: it is what
processors multiply several of at once.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import inlined, kernel

LIMIT = 127 * 64.0  #: of activations, `net.LIMIT` in UNIT
LOGIT = 512.0  #: of what softmax is given


@inlined
def _cut(x):
    """A sum of products of 1/64 and 1/1024, in 1/64 and cut as an activation."""
    return min(max(np.floor((x + 512.0) * (1.0 / 1024.0)), 0.0), LIMIT)


@kernel
def attend(seeing, seen, relative, of_relative, pair, bias, heads, exp, out):  # noqa: C901, PLR0917
    """``out`` (N, M): of each head the mean of what the others say, by softmax weights of 16 bits.

    seeing, seen: (N, M), sums of layers. relative: (N, N, R). of_relative (R, M), pair (M, heads + M): weights.
    """
    N, M = seen.shape
    wide, each = len(bias), M // heads
    both, said, found = np.empty(M), np.empty((N, M)), np.empty(wide)
    logits, total = np.empty((N, heads)), np.empty(M)
    for i in range(N):
        for j in range(N):
            if j == i:
                continue
            for m in range(M):
                both[m] = seeing[i, m] + seen[j, m]
            for r in range(len(of_relative)):
                x = float(relative[i, j, r])
                for m in range(M):
                    both[m] += x * of_relative[r, m]
            for o in range(wide):
                found[o] = bias[o]
            for m in range(M):
                x = _cut(both[m])
                if x > 0:
                    for o in range(wide):
                        found[o] += x * pair[m, o]
            for h in range(heads):
                logits[j, h] = min(max(np.floor((found[h] + 512.0) * (1.0 / 1024.0)), -LOGIT), LOGIT)
            for m in range(M):
                said[j, m] = _cut(found[heads + m])
        for h in range(heads):
            top = -LOGIT
            for j in range(N):
                if j != i:
                    top = max(top, logits[j, h])
            weights = np.int64(0)
            for m in range(each):
                total[m] = 0.0
            for j in range(N):
                if j != i:
                    w = exp[min(np.int64(top - logits[j, h]), len(exp) - 1)]
                    weights += w
                    for m in range(each):
                        total[m] += w * said[j, h * each + m]
            for m in range(each):
                out[i, h * each + m] = np.int64(total[m]) // weights
