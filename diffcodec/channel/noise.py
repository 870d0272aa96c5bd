"""Shared randomness: Philox4x32-10 (Salmon et al., SC 2011) and normals by an integer-indexed quantile table.

A draw is a pure function of (key, stream, index): the key is the seed of the stream of bytes, ``stream`` says what the
draw is for, the index counts 64 bits. The same integers in Numba here, and in NumPy or torch through :func:`philox`.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from ..runtime.kernels import inlined, kernel

QUANTILES = 1 << 16
UNIT = 1 << 16  #: quantiles are multiples of 1 / UNIT, exact in float32
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF


class Purpose(IntEnum):
    """What draws are for. The numbers are the format's: none is changed, none given twice."""

    PASS = 0  #: of DiffC: the channel's own, in parts
    START = 1  #: of DiffC: z where it is noise
    ANCESTRAL = 2  #: of DiffC: its reconstruction
    PROBE = 5  #: of VDM: what its schedule is measured with
    ORDER = 6  #: of an order-agnostic ARDM
    SAMPLES = 7  #: of inpainting by one
    COARSE = 8  #: of DiffC: the channel's own of a pass's coarse part, in parts


class Part(IntEnum):
    """Of a key's parts, those of a pass of DiffC."""

    STRIDE = 0
    SHUFFLE = 1
    VALUES = 2
    SILENT = 3  #: the sample of a pass without bits


class Key(NamedTuple):
    """Which randomness: ``seed`` 0..2^64 - 1, ``number`` 0..2^32 - 1 of the pass, ``purpose`` 0..2^32 - 1."""

    seed: int
    number: int
    purpose: int

    def part(self, what: int) -> Key:
        """The key of one of a method's own uses of randomness, ``what`` 0..15."""
        return Key(self.seed, self.number, 16 * self.purpose + what)

    def words(self) -> tuple[int, int, int, int]:
        """(c2, c3, k0, k1) of Philox."""
        return self.number, int(self.purpose), self.seed & _LOW, self.seed >> 32


def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: int, k1: int) -> tuple[Any, Any, Any, Any]:
    """Four words of Philox4x32-10 for counters that are int64 NumPy arrays or torch tensors of 32-bit values.

    Products wrap modulo 2^64 in both, and the mask after the shift undoes its sign: CPU and CUDA give the same words.
    """
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 32) & _LOW ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) & _LOW ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@inlined
def block(index, c2, c3, k0, k1):
    """Four uint32 words, in uint64, of 64-bit counter ``index``: :func:`philox` of one counter."""
    low = np.uint64(_LOW)
    shift = np.uint64(32)
    c0, c1 = np.uint64(index) & low, np.uint64(index) >> shift
    c2, c3, k0, k1 = np.uint64(c2), np.uint64(c3), np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(_M0), c2 * np.uint64(_M1)
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ k0, p1 & low, (p0 >> shift) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(_W0)) & low, (k1 + np.uint64(_W1)) & low
    return c0, c1, c2, c3


@kernel
def _halves(start, c2, c3, k0, k1, out):
    first = start >> 3
    for b in range(first, (start + len(out) + 7) >> 3):
        words = block(b, c2, c3, k0, k1)
        for j in range(8):
            i = (b << 3) + j - start
            if 0 <= i < len(out):
                out[i] = (words[j >> 1] >> np.uint64(16 * (j & 1))) & np.uint64(0xFFFF)


def halves(key: Key, n: int, start: int = 0) -> np.ndarray:
    """uint16 (n,), uniform: draws ``start`` to ``start`` + n - 1 of 16 bits, eight to a block, low half first."""
    out = np.empty(n, np.uint16)
    _halves(np.int64(start), *key.words(), out)
    return out


@cache
def quantiles() -> np.ndarray:
    """float32 (65536,): the standard normal quantile of (i + 1/2) / 65536, rounded to multiples of 2^-16.

    No quantile lies within 10^-6 of a tie in that unit, so any inverse good to ten digits makes this table (tested).
    """
    quantile = NormalDist().inv_cdf
    half = np.rint([quantile((i + 0.5) / QUANTILES) * UNIT for i in range(QUANTILES // 2, QUANTILES)])
    table = (np.concatenate([-half[::-1], half]) / UNIT).astype(np.float32)
    table.setflags(write=False)
    return table


def normals(key: Key, n: int, start: int = 0) -> np.ndarray:
    """float32 (n,) of N(0, 1): the quantiles of :func:`halves`."""
    return quantiles().take(halves(key, n, start))
