"""What the channel's coders share: the walk that scatters dimensions, Walsh functions, payloads of a fixed rate."""

from __future__ import annotations

import math

import numpy as np

from ..runtime.errors import CorruptStream
from ..runtime.kernels import inlined, kernel
from .noise import Key, halves


def stride(key: Key, n: int) -> tuple[int, int]:
    """(multiplier, offset) of the walk i -> (multiplier i + offset) mod n that visits every dimension once."""
    draws = [int(d) for d in halves(key, 8)]
    offset = (draws[0] | draws[1] << 16) % n
    multiplier = n // 4 + (draws[2] | draws[3] << 16) % max(1, n // 2)
    while math.gcd(multiplier, n) != 1:
        multiplier += 1
    return multiplier % n, offset


@kernel
def gather(x, multiplier, offset, first, out):
    """out[j] = x at place first + j of the walk."""
    n = np.int64(len(x))
    at = (np.int64(multiplier) * (np.int64(first) % n) + np.int64(offset)) % n
    for j in range(len(out)):
        out[j] = x[at]
        at += multiplier
        if at >= n:
            at -= n


@kernel
def scatter(values, multiplier, offset, first, x):
    """Mirror of :func:`gather`."""
    n = np.int64(len(x))
    at = (np.int64(multiplier) * (np.int64(first) % n) + np.int64(offset)) % n
    for j in range(len(values)):
        x[at] = values[j]
        at += multiplier
        if at >= n:
            at -= n


@kernel
def walsh(v):
    """v[w] = sum_r (-1)^popcount(w & r) v[r], in place."""
    n = len(v)
    for i in range(0, n, 8):
        a0, a1, a2, a3 = v[i] + v[i + 1], v[i] - v[i + 1], v[i + 2] + v[i + 3], v[i + 2] - v[i + 3]
        a4, a5, a6, a7 = v[i + 4] + v[i + 5], v[i + 4] - v[i + 5], v[i + 6] + v[i + 7], v[i + 6] - v[i + 7]
        b0, b1, b2, b3 = a0 + a2, a1 + a3, a0 - a2, a1 - a3
        b4, b5, b6, b7 = a4 + a6, a5 + a7, a4 - a6, a5 - a7
        v[i], v[i + 1], v[i + 2], v[i + 3] = b0 + b4, b1 + b5, b2 + b6, b3 + b7
        v[i + 4], v[i + 5], v[i + 6], v[i + 7] = b0 - b4, b1 - b5, b2 - b6, b3 - b7
    h = 8
    while h < n:
        for i in range(0, n, 2 * h):
            low, high = v[i : i + h], v[i + h : i + 2 * h]
            for j in range(h):
                a, b = low[j], high[j]
                low[j] = a + b
                high[j] = a - b
        h *= 2


@inlined
def parity(x):
    """Whether a number below 2^16 has an odd number of bits."""
    x ^= x >> 8
    x ^= x >> 4
    x ^= x >> 2
    x ^= x >> 1
    return x & 1


def read_path(payload: bytes, n: int, bits: int) -> np.ndarray:
    """The bits uint8 (bits,) of a payload of fixed rate. Raises CorruptStream."""
    if not 1 <= bits <= n or len(payload) != -(-bits // 8):
        raise CorruptStream(f"{len(payload)} bytes where {bits} bits of {n} dimensions belong; the file is damaged")
    path = np.unpackbits(np.frombuffer(payload, np.uint8))
    if path[bits:].any():
        raise CorruptStream("the bits after a pass are not zero; the file is damaged")
    return path[:bits]
