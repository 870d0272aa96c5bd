"""How far agents move about a frame, and in which direction, of frames before and behind it, in integers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ...runtime.decimals import decimals
from ...runtime.kernels import inlined, kernel

WINDOWS = 2  #: frames on either side, 1 and 2
TURN = 32  #: bits of a whole turn
_STEPS = 25  # of an angle, each half the one before
_MOST = 1 << 24  # displacements are cut to this

Numbers = NDArray[np.int64]


def _angles() -> Numbers:
    """round(atan(2^-j) 2^32 / 2 pi) for j = 0..24."""
    with decimals(40):
        out, pi = [], 4 * (4 * _atan(Decimal(1) / 5) - _atan(Decimal(1) / 239))
        for j in range(_STEPS):
            angle = pi / 4 if j == 0 else _atan(Decimal(1) / 2**j)
            out.append(int(angle / (2 * pi) * 2**TURN + Decimal("0.5")))
    return np.array(out, np.int64)


def _atan(x: Decimal) -> Decimal:
    """The arc tangent of 0 < x <= 1/2 by its series."""
    total, power, n = Decimal(0), x, 1
    while abs(power) > Decimal(10) ** -38:
        total += power / n
        power, n = -power * x * x, n + 2
    return total


ANGLES = _angles()


@inlined
def _root(v):
    """The square root of v >= 0, rounded down."""
    r, bit = np.int64(0), np.int64(1) << 62
    while bit > v:
        bit >>= 2
    while bit:
        if v >= r + bit:
            v -= r + bit
            r = (r >> 1) + bit
        else:
            r >>= 1
        bit >>= 2
    return r


@inlined
def _direction(x, y, angles):
    """From the first axis towards the second, 2^TURN a whole turn."""
    x, y = x << 30, y << 30
    angle = np.int64(0)
    if x < 0:
        x, y, angle = -x, -y, np.int64(1) << (TURN - 1)
    for j in range(len(angles)):
        if y > 0:
            x, y, angle = x + (y >> j), y - (x >> j), angle + angles[j]
        else:
            x, y, angle = x - (y >> j), y + (x >> j), angle - angles[j]
    return angle & ((np.int64(1) << TURN) - 1)


@kernel
def _moved(positions, here, angles, lengths, directions):
    T, A = here.shape
    for t in range(T):
        for k in range(lengths.shape[2]):
            low, high = max(t - k - 1, 0), min(t + k + 1, T - 1)
            for a in range(A):
                lengths[t, a, k], directions[t, a, k] = 0, -1
                if not (here[low, a] and here[high, a]) or low == high:
                    continue
                x = min(max(positions[high, a, 0] - positions[low, a, 0], np.int64(-_MOST)), np.int64(_MOST))
                y = min(max(positions[high, a, 1] - positions[low, a, 1], np.int64(-_MOST)), np.int64(_MOST))
                lengths[t, a, k] = _root((64 * x) ** 2 + (64 * y) ** 2) // (high - low)
                if x or y:
                    directions[t, a, k] = _direction(x, y, angles)


def moved(positions: Numbers, here: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """(how far an agent moves in a frame, 1/64 of a cell, 0 where it is not known; where to, 2^TURN a turn, else -1).

    positions: int64 (T, A, 2); here: bool (T, A). Both int64 (T, A, WINDOWS): from k frames before to k behind it.
    """
    lengths, directions = np.empty((2, *here.shape, WINDOWS), np.int64)
    _moved(positions, here, ANGLES, lengths, directions)
    return lengths, directions
