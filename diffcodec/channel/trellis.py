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
from functools import cache

import numpy as np

from ..runtime import threads
from ..runtime.kernels import kernel
from .noise import QUANTILES, Key, Part, halves, normals, philox, quantiles
from .walk import gather, parity, read_path, scatter, stride, walsh

SEGMENT = 4096  #: most steps of a segment: bounds the survivors to 2^L / 8 bytes a step
SIGNS = 64  #: dimensions per bit from which the values are signed half-normals
STATES = 13  #: log2 of the states
SHORT = 1024  #: fewest steps of a segment that is there for a second core's sake
MOST = 1 << 24  #: most dimensions of a segment
SEGMENTS = 2  #: segments, at least, where each has SHORT steps: a number of the format, whatever cores there are
WORKERS = 2  #: threads that work on segments
FOLLOWED = 3 * 2**15  #: dimensions up to which a receiver's segments are done sooner than workers are started
EDGE = 6.0  #: bits that a trellis loses where it starts


@cache
def _labels() -> np.ndarray:
    """float32 (3 * 65536,): the quantiles in a fixed random order, repeated so that no offset needs to wrap."""
    index = np.arange(QUANTILES, dtype=np.int64)
    order = np.argsort(philox(index, index * 0, index * 0, index * 0, 0, 0)[0], kind="stable")
    return np.tile(quantiles()[order], 3)


@kernel
def _add_labels(mu, curve, shifts, labels, scores):
    """scores[w] += sum_j (mu[j] + curve[j] label) label of labels[shifts[j] + w]."""
    size = len(scores)
    j = 0
    while j + 4 <= len(mu):
        a, b, c, d = mu[j], mu[j + 1], mu[j + 2], mu[j + 3]
        p, q, r, s = curve[j], curve[j + 1], curve[j + 2], curve[j + 3]
        la = labels[shifts[j] : np.int64(shifts[j]) + size]
        lb = labels[shifts[j + 1] : np.int64(shifts[j + 1]) + size]
        lc = labels[shifts[j + 2] : np.int64(shifts[j + 2]) + size]
        ld = labels[shifts[j + 3] : np.int64(shifts[j + 3]) + size]
        for w in range(size):
            scores[w] += ((a + p * la[w]) * la[w] + (b + q * lb[w]) * lb[w]) + (
                (c + r * lc[w]) * lc[w] + (d + s * ld[w]) * ld[w]
            )
        j += 4
    while j < len(mu):
        a, p = mu[j], curve[j]
        la = labels[shifts[j] : np.int64(shifts[j]) + size]
        for w in range(size):
            scores[w] += (a + p * la[w]) * la[w]
        j += 1


@kernel
def _survive(best, scores, kept, bit, after):
    """after[j]: the better of the two states j and j + half that one newest bit leads to the same place."""
    half = len(after)
    low, high, to_low, to_high = best[:half], best[half:], scores[:half], scores[half:]
    for j in range(half):
        one, two = low[j] + to_low[j], high[j] + to_high[j]
        after[j] = max(one, two)
        kept[j] |= bit if two > one else np.uint8(0)


@kernel
def _search(mu, curve, ends, draws, values, labels, signs, L):
    """Bits uint8 (K,) of the best path: Viterbi over 2^L states, the last L bits, the newest lowest.

    ``mu`` (n,) in the order of the walk, ``curve`` (n,), of labels; ``ends`` (K,) where each step's dimensions
    end; ``draws`` uint16 (n,).
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
            walsh(scores)
        else:
            _add_labels(mu[begin:end], curve[begin:end], draws[begin:end], labels, scores)
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


@kernel
def _follow(bits, ends, draws, values, labels, signs, L, out):
    """The values along a path; mirror of :func:`_search`."""
    state = np.int64(0)
    begin = 0
    for k in range(len(ends)):
        window = (np.int64(bits[k]) << L) | state
        for j in range(begin, ends[k]):
            if signs:
                odd = parity(np.int64(draws[j]) & window)
                out[j] = -values[j] if odd else values[j]
            else:
                out[j] = labels[np.int64(draws[j]) + window]
        state = ((state << 1) & ((1 << L) - 1)) | np.int64(bits[k])
        begin = ends[k]


class _Plan:
    """How ``bits`` steps walk over ``n`` dimensions; both sides make the same."""

    def __init__(self, n: int, bits: int, key: Key, L: int, labelled: bool = False):
        if not 1 <= bits <= n or not 3 <= L <= 14:
            raise ValueError(f"expected 1 to {n} bits for {n} dimensions and L 3..14, found {bits} and {L}")
        self.n, self.bits = n, bits
        self.signs = n >= SIGNS * bits and not labelled
        self.walk = stride(key.part(Part.STRIDE), n)
        self.draws_key, self.values_key = key.part(Part.SHUFFLE), key.part(Part.VALUES)
        # a codeword of fixed magnitudes lacks the |mu|^2 that a draw of N(mu, I) has beyond n
        self.gain = np.float32(math.sqrt(1 + 2 * math.log(2) * delivered(bits, n, L) / n) if self.signs else 1)
        count = max(-(-bits // SEGMENT), -(-n // MOST), 0 if labelled else min(SEGMENTS, bits // SHORT))
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


def encode(
    mu: np.ndarray, bits: int, key: Key, L: int = STATES, curve: np.ndarray | None = None
) -> tuple[bytes, np.ndarray]:
    """(payload of ceil(bits / 8) bytes, sample float32 (n,)) for mu float32 (n,), finite; 1 <= ``bits`` <= n.

    The sample has mean mu where ``delivered(bits, n, L)`` is |mu|^2 / (2 ln 2); mu's length itself does not matter.
    ``L`` 3..14: 2^L states, the same for both sides. Raises ValueError for others.

    With ``curve`` float32 (n,), 0 or less, the path is that of the greatest mu . y + curve . y^2, and all values are
    labels, draws of N(0, 1), whatever the rate. To be N(m, 1 / w^2) in units of a dimension's draws takes mu = m w^2
    and curve = (1 - w^2) / 2, the logarithm of the ratio of these densities, and 1/2 log2(w^2) bits.
    """
    mu = np.ascontiguousarray(mu, np.float32)
    plan, labels = _Plan(len(mu), bits, key, L, curve is not None), _labels()
    sample, path = np.empty(plan.n, np.float32), np.empty(bits, np.uint8)

    def one(i: int) -> None:
        first, size, ends, draws, values = plan.segment(i)
        part = np.empty(size, np.float32)
        gather(mu, *plan.walk, first, part)
        bends = np.zeros(size, np.float32)
        if curve is not None:
            gather(curve, *plan.walk, first, bends)
        found = _search(part, bends, ends, draws, values, labels, plan.signs, L)
        path[plan.cuts[i] : plan.cuts[i + 1]] = found
        _follow(found, ends, draws, values, labels, plan.signs, L, part)
        scatter(part, *plan.walk, first, sample)

    _run(one, len(plan.cuts) - 1)
    return np.packbits(path).tobytes(), sample


def decode(payload: bytes, n: int, bits: int, key: Key, L: int = STATES, *, labelled: bool = False) -> np.ndarray:
    """The sample float32 (n,); mirror of :func:`encode`, ``labelled`` of one with a curve.

    Raises CorruptStream for a payload that does not fit.
    """
    path = read_path(payload, n, bits)
    plan, labels = _Plan(n, bits, key, L, labelled), _labels()
    sample = np.empty(n, np.float32)

    def one(i: int) -> None:
        first, size, ends, draws, values = plan.segment(i)
        part = np.empty(size, np.float32)
        _follow(path[plan.cuts[i] : plan.cuts[i + 1]], ends, draws, values, labels, plan.signs, L, part)
        scatter(part, *plan.walk, first, sample)

    _run(one, len(plan.cuts) - 1, n > FOLLOWED)
    return sample


def _run(one: Callable[[int], None], count: int, worth: bool = True) -> None:
    threads.each(one, range(count), WORKERS if worth else 1)


def delivered(bits: int, n: int, L: int = STATES) -> float:
    """KL divergence in bits for which ``bits`` bits are right: a fit to benchmarks/claims/channel.py for L 10..14.

    The first bits of a trellis have few paths to choose from, so a short pass delivers less.
    """
    return _useful(L) * bits * bits / (bits + EDGE)


def bits_for(kl: float, n: int, L: int = STATES) -> int:
    """Bits to spend on a divergence of ``kl`` bits, 1 to n; the inverse of :func:`delivered`."""
    ideal = kl / _useful(L)
    return max(1, min(n, round((ideal + math.sqrt(ideal * (ideal + 4 * EDGE))) / 2)))


def _useful(L: int) -> float:
    return 0.9365 - 0.0075 * (14 - L)
