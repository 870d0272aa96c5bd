"""Where to place K network calls over D tokens (ARDM §3.2; the dynamic program of Watson et al., arXiv 2106.03802).

A call with ``a`` tokens known gives the distributions of all that are coded before the next call, each at L[a] bits,
so calls at 0 = a_1 < ... < a_K cost sum (a_{k+1} - a_k) L[a_k] with a_{K+1} = D. Knowing more never costs more, so L
falls, and the best cost of k calls up to b is a lower envelope of lines in b whose slopes L[a] arrive in falling
order: every k takes time linear in D.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..runtime.kernels import kernel

FIXED = 1024  #: profiles are in 1/FIXED bit


def token_bits(profile: Sequence[int], D: int) -> np.ndarray:
    """L int64 (D,) in 1/FIXED bit, not rising, from its values at evenly spaced shares known, of 0 to 1.

    Integers only: sender and receiver place the same calls.
    """
    p = np.asarray(profile, np.int64)
    at = np.arange(D, dtype=np.int64) * (len(p) - 1)
    k = at // D
    return np.minimum.accumulate(p[k] + (p[k + 1] - p[k]) * (at - k * D) // D)


@kernel
def _layers(L, K, cost):
    """cost[k, b]: best cost of the first b tokens in k + 1 calls, b above k."""
    D = len(L)
    slopes, intercepts = np.empty(D, np.int64), np.empty(D, np.int64)
    for b in range(1, D + 1):
        cost[0, b] = b * L[0]
    for k in range(1, K):
        head, tail = 0, 0
        for b in range(k + 1, D + 1):
            a = b - 1  # a call may stand here from now on
            m, c = L[a], cost[k - 1, a] - a * L[a]
            if tail > head and slopes[tail - 1] == m:
                if intercepts[tail - 1] > c:
                    tail -= 1
                else:
                    m = np.int64(-1)
            if m >= 0:
                while tail - head >= 2:
                    # the line between is never below both: crossing of its neighbours comes before its own
                    left = (c - intercepts[tail - 2]) * (slopes[tail - 2] - slopes[tail - 1])
                    right = (intercepts[tail - 1] - intercepts[tail - 2]) * (slopes[tail - 2] - m)
                    if left <= right:
                        tail -= 1
                    else:
                        break
                slopes[tail], intercepts[tail] = m, c
                tail += 1
            while (
                tail - head >= 2 and slopes[head + 1] * b + intercepts[head + 1] <= slopes[head] * b + intercepts[head]
            ):
                head += 1
            cost[k, b] = slopes[head] * b + intercepts[head]


def plans(L: np.ndarray, K: int) -> np.ndarray:
    """cost int64 (K, D + 1) in 1/FIXED bit: the best total of 1..K calls up to each token; the last column is of all.

    ``L`` int64 (D,), not rising, 0..2^20; K is at most D.
    """
    cost = np.zeros((K, len(L) + 1), np.int64)
    _layers(np.ascontiguousarray(L, np.int64), K, cost)
    return cost


def calls_at(L: np.ndarray, cost: np.ndarray, K: int) -> list[int]:
    """Places a_1 = 0 < ... < a_K of the best K calls, from what :func:`plans` gave; the least of equally good ones."""
    b, out = len(L), []
    for k in range(K - 1, 0, -1):
        a = np.arange(k, b)
        b = int(a[np.argmin(cost[k - 1, k:b] + (b - a) * L[k:b])])
        out.append(b)
    return [0, *out[::-1]]
