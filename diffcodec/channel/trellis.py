"""Reverse-channel coding by a trellis: the sample is a codeword of a shared random tree code, found by Viterbi.

Step k of K shifts one bit into a window of L + 1 bits, which names the values of the step's dimensions: so K bits say
everything, nothing is entropy-coded, and the rate is fixed. The search maximises the inner product with mu; of 2^K
codewords the best has one near sqrt(2 K ln 2) |mu|, which is |mu|^2 when K is the KL divergence |mu|^2 / (2 ln 2).
Off mu the code is unit noise, so the sample is one of N(mu, I) up to the code's efficiency (:func:`delivered`).

A step's dimensions are scattered over the vector by a keyed stride, so that every step meets the same energy. From 64
dimensions per bit up the values are shared half-normals with signs from Walsh functions of the window, and one fast
transform gives the inner products of all windows; below, they are entries of a shuffled quantile table, read from an
offset per dimension. Steps come in segments of their own trellis, searched in parallel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit

from ..errors import CorruptStream
from .noise import QUANTILES, Key, halves, normals, philox, quantiles

SEGMENT = 4096  #: most steps of a segment: bounds the survivors to 2^L / 8 bytes a step
SIGNS = 64  #: dimensions per bit from which the values are signed half-normals
STATES = 13  #: log2 of the states
SHORT = 1024  #: fewest steps of a segment that is there for the second core's sake
MOST = 1 << 24  #: most dimensions of a segment
THREADS = 2
EDGE = 6.0  #: bits that a trellis loses where it starts
_STRIDE, _SHUFFLE, _VALUES = 0, 1, 2  # purposes, added to 16 times the caller's


@cache
def _labels() -> np.ndarray:
    """float32 (3 * 65536,): the quantiles in a fixed random order, repeated so that no offset needs to wrap."""
    index = np.arange(QUANTILES, dtype=np.int64)
    order = np.argsort(philox(index, index * 0, index * 0, index * 0, 0, 0)[0], kind="stable")
    return np.tile(quantiles()[order], 3)


def _stride(key: Key, n: int) -> tuple[int, int]:
    """(multiplier, offset) of the walk i -> (multiplier i + offset) mod n that visits every dimension once."""
    draws = [int(d) for d in halves(key, 8)]
    offset = (draws[0] | draws[1] << 16) % n
    multiplier = n // 4 + (draws[2] | draws[3] << 16) % max(1, n // 2)
    while math.gcd(multiplier, n) != 1:
        multiplier += 1
    return multiplier % n, offset


@njit(nogil=True, cache=True)
def _gather(x, multiplier, offset, first, out):
    """out[j] = x at place first + j of the walk."""
    n = np.int64(len(x))
    at = (np.int64(multiplier) * (np.int64(first) % n) + np.int64(offset)) % n
    for j in range(len(out)):
        out[j] = x[at]
        at += multiplier
        if at >= n:
            at -= n


@njit(nogil=True, cache=True)
def _scatter(values, multiplier, offset, first, x):
    """Mirror of :func:`_gather`."""
    n = np.int64(len(x))
    at = (np.int64(multiplier) * (np.int64(first) % n) + np.int64(offset)) % n
    for j in range(len(values)):
        x[at] = values[j]
        at += multiplier
        if at >= n:
            at -= n


@njit(nogil=True, cache=True)
def _add_labels(mu, shifts, labels, scores):
    """scores[w] += sum_j mu[j] labels[shifts[j] + w]."""
    size = len(scores)
    j = 0
    while j + 4 <= len(mu):
        a, b, c, d = mu[j], mu[j + 1], mu[j + 2], mu[j + 3]
        la = labels[shifts[j] : np.int64(shifts[j]) + size]
        lb = labels[shifts[j + 1] : np.int64(shifts[j + 1]) + size]
        lc = labels[shifts[j + 2] : np.int64(shifts[j + 2]) + size]
        ld = labels[shifts[j + 3] : np.int64(shifts[j + 3]) + size]
        for w in range(size):
            scores[w] += (a * la[w] + b * lb[w]) + (c * lc[w] + d * ld[w])
        j += 4
    while j < len(mu):
        a = mu[j]
        la = labels[shifts[j] : np.int64(shifts[j]) + size]
        for w in range(size):
            scores[w] += a * la[w]
        j += 1


@njit(nogil=True, cache=True)
def _walsh(v):
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


@njit(nogil=True, cache=True, inline="always")
def _parity(x):
    x ^= x >> 8
    x ^= x >> 4
    x ^= x >> 2
    x ^= x >> 1
    return x & 1


@njit(nogil=True, cache=True)
def _survive(best, scores, kept, bit, after):
    """after[j]: the better of the two states j and j + half that one newest bit leads to the same place."""
    half = len(after)
    low, high, to_low, to_high = best[:half], best[half:], scores[:half], scores[half:]
    for j in range(half):
        one, two = low[j] + to_low[j], high[j] + to_high[j]
        after[j] = max(one, two)
        kept[j] |= bit if two > one else np.uint8(0)


@njit(nogil=True, cache=True)
def _search(mu, ends, draws, values, labels, signs, L):
    """Bits uint8 (K,) of the best path: Viterbi over 2^L states, the last L bits, the newest lowest.

    ``mu`` (n,) in the order of the walk, ``ends`` (K,) where each step's dimensions end; ``draws`` uint16 (n,).
    """
    K, states = len(ends), 1 << L
    half = states >> 1
    best = np.full(states, np.float32(-1e30), np.float32)
    best[0] = 0
    zeros, ones = np.empty(half, np.float32), np.empty(half, np.float32)
    scores = np.empty(2 * states, np.float32)
    survivors = np.zeros(((K + 7) >> 3, states), np.uint8)
    begin = 0
    for k in range(K):
        end = ends[k]
        scores[:] = 0
        if signs:
            for j in range(begin, end):
                scores[draws[j] & (2 * states - 1)] += mu[j] * values[j]
            _walsh(scores)
        else:
            _add_labels(mu[begin:end], draws[begin:end], labels, scores)
        kept, bit = survivors[k >> 3], np.uint8(1 << (k & 7))
        _survive(best, scores[:states], kept[:half], bit, zeros)
        _survive(best, scores[states:], kept[half:], bit, ones)
        for j in range(half):
            best[2 * j] = zeros[j]
            best[2 * j + 1] = ones[j]
        begin = end
    state = np.argmax(best)
    bits = np.empty(K, np.uint8)
    for k in range(K - 1, -1, -1):
        newest = state & 1
        oldest = (survivors[k >> 3, newest * half + (state >> 1)] >> (k & 7)) & 1
        bits[k] = newest
        state = (state >> 1) | (np.int64(oldest) << (L - 1))
    return bits


@njit(nogil=True, cache=True)
def _follow(bits, ends, draws, values, labels, signs, L, out):
    """The values along a path; mirror of :func:`_search`."""
    state = np.int64(0)
    begin = 0
    for k in range(len(ends)):
        window = (np.int64(bits[k]) << L) | state
        for j in range(begin, ends[k]):
            if signs:
                odd = _parity(np.int64(draws[j]) & window)
                out[j] = -values[j] if odd else values[j]
            else:
                out[j] = labels[np.int64(draws[j]) + window]
        state = ((state << 1) & ((1 << L) - 1)) | np.int64(bits[k])
        begin = ends[k]


class _Plan:
    """How ``bits`` steps walk over ``n`` dimensions; both sides make the same."""

    def __init__(self, n: int, bits: int, key: Key, L: int):
        if not 1 <= bits <= n or not 3 <= L <= 14:
            raise ValueError(f"expected 1 to {n} bits for {n} dimensions and L 3..14, found {bits} and {L}")
        self.n, self.bits = n, bits
        self.signs = n >= SIGNS * bits
        self.walk = _stride(key.part(_STRIDE), n)
        self.draws_key, self.values_key = key.part(_SHUFFLE), key.part(_VALUES)
        # a codeword of fixed magnitudes lacks the |mu|^2 that a draw of N(mu, I) has beyond n
        self.gain = (
            np.float32(math.sqrt(1 + 2 * math.log(2) * delivered(bits, n, L) / n)) if self.signs else np.float32(1)
        )
        count = max(-(-bits // SEGMENT), -(-n // MOST), min(THREADS, bits // SHORT))
        count = min(bits, count)
        self.cuts = [bits * i // count for i in range(count + 1)]

    def segment(self, i: int) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
        """(first dimension, number of dimensions, ends of the steps, draws, values) of segment i."""
        steps = np.arange(self.cuts[i] + 1, self.cuts[i + 1] + 1, dtype=np.int64)
        first = self.cuts[i] * self.n // self.bits
        ends = steps * self.n // self.bits - first
        size = int(ends[-1])
        draws = halves(self.draws_key, size, first)
        values = np.empty(0, np.float32)
        if self.signs:
            values = normals(self.values_key, size, first) * self.gain
        return first, size, ends, draws, values


def encode(mu: np.ndarray, bits: int, key: Key, L: int = STATES) -> tuple[bytes, np.ndarray]:
    """(payload of ceil(bits / 8) bytes, sample float32 (n,)) for mu float32 (n,), finite; 1 <= ``bits`` <= n.

    The sample has mean mu where ``delivered(bits, n, L)`` is |mu|^2 / (2 ln 2); mu's length itself does not matter.
    ``L`` 3..14: 2^L states, the same for both sides. Raises ValueError for others.
    """
    mu = np.ascontiguousarray(mu, np.float32)
    plan, labels = _Plan(len(mu), bits, key, L), _labels()
    sample, path = np.empty(plan.n, np.float32), np.empty(bits, np.uint8)

    def one(i: int) -> None:
        first, size, ends, draws, values = plan.segment(i)
        part = np.empty(size, np.float32)
        _gather(mu, *plan.walk, first, part)
        found = _search(part, ends, draws, values, labels, plan.signs, L)
        path[plan.cuts[i] : plan.cuts[i + 1]] = found
        _follow(found, ends, draws, values, labels, plan.signs, L, part)
        _scatter(part, *plan.walk, first, sample)

    _run(one, len(plan.cuts) - 1)
    return np.packbits(path).tobytes(), sample


def decode(payload: bytes, n: int, bits: int, key: Key, L: int = STATES) -> np.ndarray:
    """The sample float32 (n,); mirror of :func:`encode`. Raises CorruptStream for a payload that does not fit."""
    path = _path(payload, n, bits)
    plan, labels = _Plan(n, bits, key, L), _labels()
    sample = np.empty(n, np.float32)

    def one(i: int) -> None:
        first, size, ends, draws, values = plan.segment(i)
        part = np.empty(size, np.float32)
        _follow(path[plan.cuts[i] : plan.cuts[i + 1]], ends, draws, values, labels, plan.signs, L, part)
        _scatter(part, *plan.walk, first, sample)

    _run(one, len(plan.cuts) - 1)
    return sample


def _path(payload: bytes, n: int, bits: int) -> np.ndarray:
    """The bits uint8 (bits,) of a payload of fixed rate. Raises CorruptStream."""
    if not 1 <= bits <= n or len(payload) != -(-bits // 8):
        raise CorruptStream(f"{len(payload)} bytes where {bits} bits of {n} dimensions belong; the file is damaged")
    path = np.unpackbits(np.frombuffer(payload, np.uint8))
    if path[bits:].any():
        raise CorruptStream("the bits after a pass are not zero; the file is damaged")
    return path[:bits]


def _run(one: Callable[[int], None], count: int) -> None:
    if count == 1:
        return one(0)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(count)))


def delivered(bits: int, n: int, L: int = STATES) -> float:
    """KL divergence in bits for which ``bits`` bits are right: a fit to benchmarks/channel.py for L 10..14.

    The first bits of a trellis have few paths to choose from, so a short pass delivers less.
    """
    return _useful(L) * bits * bits / (bits + EDGE)


def bits_for(kl: float, n: int, L: int = STATES) -> int:
    """Bits to spend on a divergence of ``kl`` bits, 1 to n; the inverse of :func:`delivered`."""
    ideal = kl / _useful(L)
    return max(1, min(n, round((ideal + math.sqrt(ideal * (ideal + 4 * EDGE))) / 2)))


def _useful(L: int) -> float:
    return 0.9365 - 0.0075 * (14 - L)
