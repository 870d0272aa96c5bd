"""Logarithms of whole numbers, in integers (bitstream_spec/TRACKS.md, §4)."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from ..runtime.decimals import decimals
from ..runtime.kernels import inlined


def _logarithms() -> np.ndarray:
    """round(64 log2(1 + m/256)) for m = 0..255."""
    with decimals(30):
        two = Decimal(2).ln()
        return np.array([int((1 + Decimal(m) / 256).ln() / two * 64 + Decimal("0.5")) for m in range(256)], np.int64)


LOGARITHMS = _logarithms()


@inlined
def log2(v, table):
    """The logarithm of v >= 1 to base 2, times 64, by eight digits behind the first."""
    e = np.int64(0)
    w = v
    for step in (32, 16, 8, 4, 2, 1):
        if w >> step:
            w >>= step
            e += step
    m = (v << (8 - e)) if e < 8 else (v >> (e - 8))
    return (e << 6) + table[m & 255]
