"""Reverse-channel coding by the rows of a Hadamard matrix: chunks of up to 16 bits, independent of one another.

A codeword is a vector of shared half-normal magnitudes, its signs a Walsh function of the chunk's number: one fast
transform gives the inner products of all 2^c codewords with mu. The best is taken. For single passes at very low rate;
the trellis, which joins its chunks, delivers more wherever there are hundreds of bits.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ...runtime.kernels import kernel
from ..noise import Key, Part, normals
from ..walk import gather, parity, read_path, scatter, stride, walsh

CHUNK = 16  #: most bits of a chunk
# useful fraction of the best of 2^c normals: (E max)^2 / (2 c ln 2), c = 1..16
_USEFUL = (
    0.230,
    0.382,
    0.487,
    0.562,
    0.618,
    0.660,
    0.694,
    0.721,
    0.743,
    0.761,
    0.777,
    0.790,
    0.802,
    0.813,
    0.822,
    0.830,
)


@kernel
def _spread(n, bits, salt):
    """Walsh index of each dimension, int64 (n,): distinct and scattered, by an odd multiplier."""
    mask = (np.int64(1) << bits) - 1
    out = np.empty(n, np.int64)
    for j in range(n):
        out[j] = (np.int64(j) * 0x9E3779B1 + salt) & mask
    return out


@kernel
def _products(mu, values, rows, bits):
    v = np.zeros(max(8, 1 << bits), np.float32)
    for j in range(len(mu)):
        v[rows[j]] += mu[j] * values[j]
    walsh(v)
    return v[: 1 << bits]


@kernel
def _signed(values, rows, number):
    out = np.empty(len(values), np.float32)
    for j in range(len(values)):
        out[j] = -values[j] if parity(rows[j] & number) else values[j]
    return out


def _chunks(n: int, bits: int) -> list[tuple[int, int, int]]:
    """(bits, first dimension, end) of each chunk."""
    if not 1 <= bits <= n:
        raise ValueError(f"expected 1 to {n} bits for {n} dimensions, found {bits}")
    count = -(-bits // CHUNK)
    cuts = [bits * i // count for i in range(count + 1)]
    return [(b - a, a * n // bits, b * n // bits) for a, b in itertools.pairwise(cuts)]


def _values(key: Key, bits: int, first: int, end: int) -> np.ndarray:
    """Magnitudes, with the |mu|^2 that a draw of N(mu, I) has beyond the number of dimensions."""
    gain = math.sqrt(1 + 2 * math.log(2) * bits * _USEFUL[bits - 1] / (end - first))
    values = normals(key.part(Part.VALUES), end - first, first)
    values *= np.float32(gain)
    return values


def encode(mu: np.ndarray, bits: int, key: Key) -> tuple[bytes, np.ndarray]:
    """(payload, sample) as :func:`diffcodec.channel.trellis.encode`."""
    mu = np.ascontiguousarray(mu, np.float32)
    sample, path = np.empty(len(mu), np.float32), []
    walk = stride(key.part(Part.STRIDE), len(mu))
    for c, first, end in _chunks(len(mu), bits):
        part = np.empty(end - first, np.float32)
        gather(mu, *walk, first, part)
        values = _values(key, c, first, end)
        rows = _spread(end - first, c, first)
        number = int(np.argmax(_products(part, values, rows, c)))
        path += [number >> i & 1 for i in range(c)]
        scatter(_signed(values, rows, number), *walk, first, sample)
    return np.packbits(np.array(path, np.uint8)).tobytes(), sample


def decode(payload: bytes, n: int, bits: int, key: Key) -> np.ndarray:
    """The sample float32 (n,); mirror of :func:`encode`. Raises CorruptStream for a payload that does not fit."""
    path = read_path(payload, n, bits)
    sample, at = np.empty(n, np.float32), 0
    walk = stride(key.part(Part.STRIDE), n)
    for c, first, end in _chunks(n, bits):
        values = _values(key, c, first, end)
        rows = _spread(end - first, c, first)
        number = int((path[at : at + c].astype(np.int64) << np.arange(c)).sum())
        scatter(_signed(values, rows, number), *walk, first, sample)
        at += c
    return sample


def delivered(bits: int, n: int) -> float:
    """KL divergence in bits for which ``bits`` bits are right."""
    return sum(c * _USEFUL[c - 1] for c, _, _ in _chunks(n, bits))


def bits_for(kl: float, n: int) -> int:
    """Bits to spend on a divergence of ``kl`` bits; the inverse of :func:`delivered` above 16 bits."""
    return max(1, min(n, round(kl / _USEFUL[min(CHUNK, max(1, round(kl / 0.7))) - 1])))
