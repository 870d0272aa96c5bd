"""Gaussians on a fixed grid of ``size`` points, in integers, for bits-back coding of latents.

Point x stands for the cell [x - 1/2, x + 1/2) of the grid's unit; the first and the last reach to infinity. With mean64
the mean in 1/64 of a cell and q the log-scale index, log sigma = -2 + q/32 nat, 0..384 (0.14 .. 22 026 cells):

    T(x) = normal CDF at (64 x - 32 - mean64) / (64 sigma), Q30, linear between knots every 1/64 in [-8, 8]
    F(0) = 0, F(size) = 2^24, else F(x) = x + ((T(x) * (2^24 - size)) >> 30);    x has the interval [F(x), F(x + 1))

Every point has at least 1 in 2^24, so a grid of 2^16 points takes 0.4 % of the mass (0.006 bits a symbol).
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache

import numpy as np

from ..runtime.decimals import decimals
from ..runtime.kernels import inlined, kernel
from .stack import TOTAL, AnsStack, advance

MAX_SIZE = 1 << 16
MAX_SCALE = 384
_EDGE = 1 << 21  # fixed-point end of the table: 8 in units of 2^-18
_FAR = 1 << 34  # a distance this large saturates at every scale


@cache
def tables() -> tuple[np.ndarray, np.ndarray]:
    """1/sigma in Q24 (385,) and the normal CDF in Q30 (1026,), the same on any machine: `decimal` and integers only."""
    with decimals(30):
        inverse = [int((2 - Decimal(q) / 32).exp() * (1 << 24) + Decimal("0.5")) for q in range(MAX_SCALE + 1)]
        peak = (1 << 90) / (2 * Decimal("3.14159265358979323846264338327950")).sqrt()
        density = [int(peak * (-Decimal(i * i) / 8192).exp()) for i in range(513)]  # Q90
    half = []
    for i, height in enumerate(density):  # Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3 5) + ...), z = i/64
        term = total = (i * height) >> 6
        n = 3
        while term:
            term = (term * i * i // n) >> 12
            total += term
            n += 2
        half.append((1 << 29) + ((total + (1 << 59)) >> 60))
    phi = [(1 << 30) - v for v in half[:0:-1]] + half
    return np.array(inverse, np.int64), np.array([*phi, phi[-1]], np.int64)


@inlined
def cdf(x, size, mean, inverse, phi):
    """F(x) for a mean in 1/64 of a cell and 1/sigma in Q24."""
    if x <= 0:
        return np.int64(0)
    if x >= size:
        return np.int64(TOTAL)
    distance = min(max(64 * x - 32 - mean, -_FAR), _FAR)
    u = (distance * inverse) >> 12
    u = min(max(u, -_EDGE), _EDGE) + _EDGE
    i = u >> 12
    low = phi[i]
    return x + (((low + (((phi[i + 1] - low) * (u & 4095)) >> 12)) * (TOTAL - size)) >> 30)


@kernel
def _intervals(symbols, size, mean64, q, inverse, phi, starts, freqs):
    for n in range(len(symbols)):
        x, mean, s = np.int64(symbols[n]), np.int64(mean64[n]), inverse[min(max(q[n], 0), MAX_SCALE)]
        start = cdf(x, size, mean, s, phi)
        starts[n] = start
        freqs[n] = cdf(x + 1, size, mean, s, phi) - start


@kernel
def _pop(size, mean64, q, inverse, phi, state, at, words, symbols):  # noqa: PLR0917
    for n in range(len(symbols)):
        mean, s = np.int64(mean64[n]), inverse[min(max(q[n], 0), MAX_SCALE)]
        quantile = np.int64(state & np.uint64(TOTAL - 1))
        x, above = np.int64(0), np.int64(size)
        start, end = np.int64(0), np.int64(TOTAL)
        while above - x > 1:
            middle = (x + above) >> 1
            value = cdf(middle, size, mean, s, phi)
            if value <= quantile:
                x, start = middle, value
            else:
                above, end = middle, value
        symbols[n] = x
        state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
    return state, at


def intervals(symbols: np.ndarray, mean64: np.ndarray, q: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (starts, freqs), uint32 (n,), of grid points ``symbols`` int (n,) in 0..size - 1.

    ``mean64`` int64 (n,) with |mean64| < 2^62, ``q`` int (n,), clamped to 0..384, ``size`` 1..65536.
    Raises ValueError for another size, or symbols off the grid.
    """
    _check(size)
    if symbols.size and not 0 <= int(symbols.min()) <= int(symbols.max()) < size:
        raise ValueError(f"symbols must be in 0..{size - 1}, found {symbols.min()}..{symbols.max()}")
    starts, freqs = np.empty(len(symbols), np.uint32), np.empty(len(symbols), np.uint32)
    _intervals(symbols, size, mean64, q, *tables(), starts, freqs)
    return starts, freqs


def pop(stack: AnsStack, mean64: np.ndarray, q: np.ndarray, size: int) -> np.ndarray:
    """Pop int32 (n,) grid points; the mirror of pushing :func:`intervals`."""
    _check(size)
    symbols = np.empty(len(mean64), np.int32)
    stack.pop_by(_pop, (size, mean64, q, *tables()), symbols)
    return symbols


def _check(size: int) -> None:
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"a grid has 1..{MAX_SIZE} points, found {size}")
