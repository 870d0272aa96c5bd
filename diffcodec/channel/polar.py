"""Reverse-channel coding by polar codes: the sample is a word of a shared code, found by list decoding.

Polar codes reach the rate-distortion bound (Korada and Urbanke, "Polar codes are optimal for lossy source coding",
arXiv 0903.0307). Here a word of signs stands for the dimensions: its signs are flipped by shared noise, and an
orthonormal transform and more such flips make of it something that no network tells from Gaussian noise. mu goes the
same way back. Off mu the sample is unit noise, and it has the length of such noise: |sample|^2 = n. So
sqrt(1 + |mu|^2 / n) times it is one of N(mu, I) up to the code's efficiency (:func:`delivered`), and the information
in it is n / 2 log2(1 + |mu|^2 / n).

With 64 dimensions and more for each bit the word is repeated. With fewer than four it would lose to what is not binary,
so there are layers: a word tells what those before it left, as a Gaussian source can be refined without loss (Equitz
and Cover, 1991).

How well the sender searches is its own affair: a stream says nothing of it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..runtime import threads
from ..runtime.kernels import kernel
from .noise import Key, Part, halves
from .polar_search import search, subtrees
from .walk import gather, read_path, scatter, stride, walsh

PATHS = 32  #: candidates that the sender keeps
MOST_PATHS = 1 << 10
BLOCK = 1 << 12  #: most bits of a block, which is coded on its own
MOST = 1 << 24  #: most dimensions of a block
SIGNS = 64  #: signs of a word for each of its bits, where there are as many dimensions
LAYER = 4  #: dimensions for each bit of a word, at least
CHUNK = 1 << 10  #: most dimensions that are transformed together, a power of four
ONE = 1 << 31  #: of capacities
WORKERS = 2  #: threads that work on blocks
FOLLOWED = 3 * 2**17  #: dimensions up to which a receiver's blocks are done sooner than workers are started


@dataclass(frozen=True)
class _Block:
    """``size`` dimensions of the walk from place ``first``, and ``bits`` bits from bit ``at`` of the path."""

    first: int
    size: int
    at: int
    bits: int

    @property
    def signs(self) -> int:
        """Of a word: a power of two."""
        return 1 << (min(self.size, SIGNS * self.bits) - 1).bit_length()

    @property
    def unused(self) -> int:
        """Signs of a word, the first ones, that no dimension has."""
        return max(0, self.signs - self.size)

    @property
    def layers(self) -> list[int]:
        """The bits of each layer's word."""
        count = min(self.bits, -(-LAYER * self.bits // self.size))
        cuts = [self.bits * i // count for i in range(count + 1)]
        return [b - a for a, b in itertools.pairwise(cuts)]

    @property
    def factors(self) -> np.ndarray:
        """float32 of each layer; the sum of their squares is 1."""
        left = 2.0 ** (-2 * self.bits / (len(self.layers) * self.size))
        factors = left ** (np.arange(len(self.layers)) / 2)
        return np.asarray(factors / math.sqrt((factors * factors).sum()), np.float32)


def _blocks(n: int, bits: int) -> list[_Block]:
    if not 1 <= bits <= n:
        raise ValueError(f"expected 1 to {n} bits for {n} dimensions, found {bits}")
    count = min(bits, max(-(-bits // BLOCK), -(-n // MOST)))
    cuts = [bits * i // count for i in range(count + 1)]
    ends = [cut * n // bits for cut in cuts]
    return [_Block(ends[i], ends[i + 1] - ends[i], cuts[i], cuts[i + 1] - cuts[i]) for i in range(count)]


@lru_cache(maxsize=8)
def free_places(signs: int, unused: int, bits: int) -> np.ndarray:
    """bool (signs,): the places of a word's polar transform that carry its bits; the others are 0.

    They are the best by the capacities of erasure channels (Arikan, arXiv 0807.3917), in integers. The signs' own
    capacity is three quarters of the rate, which serves a list better than the rate does.
    """
    capacities = np.zeros(signs, np.uint64)
    capacities[unused:] = 3 * bits * ONE // (4 * (signs - unused))
    _polarize(capacities)
    least = np.partition(capacities, signs - bits)[signs - bits]
    free: np.ndarray = capacities > least
    ties = np.flatnonzero(capacities == least)
    free[ties[len(ties) - (bits - int(free.sum())) :]] = True
    free.setflags(write=False)
    return free


@kernel
def _polarize(capacities):
    """Of the signs, uint64 (N,) in units of 1 / ONE, to those of the places of the transform; in place."""
    h = len(capacities) >> 1
    while h:
        for i in range(0, len(capacities), 2 * h):
            low, high = capacities[i : i + h], capacities[i + h : i + 2 * h]
            for j in range(h):
                both = low[j] * high[j] >> np.uint64(31)
                high[j] += low[j] - both
                low[j] = both
        h >>= 1


@kernel
def _transform(bits):
    """The polar transform of uint8 (N,), in place; its own inverse."""
    h = 1
    while h < len(bits):
        for i in range(0, len(bits), 2 * h):
            low, high = bits[i : i + h], bits[i + h : i + 2 * h]
            for j in range(h):
                low[j] ^= high[j]
        h *= 2


@kernel
def _rotate(x):
    """Walsh-Hadamard transforms of chunks, each as large a power of four as there is, orthonormal; in place."""
    at, size = 0, CHUNK
    while at < len(x):
        while size > len(x) - at:
            size >>= 2
        chunk = x[at : at + size]
        if size >= 8:
            walsh(chunk)
        elif size == 4:
            a, b, c, d = chunk[0] + chunk[1], chunk[0] - chunk[1], chunk[2] + chunk[3], chunk[2] - chunk[3]
            chunk[0], chunk[1], chunk[2], chunk[3] = a + c, b + d, a - c, b - d
        factor = np.float32(1 / math.sqrt(size))
        for j in range(size):
            chunk[j] *= factor
        at += size


@kernel
def _negate(x, draws, skipped):
    """-x where the bits of ``draws``, the lowest first, are 1; ``skipped`` bits come before."""
    for j in range(len(x)):
        bit = j + skipped
        x[j] = -x[j] if draws[bit >> 4] >> (bit & 15) & 1 else x[j]


@kernel
def _fold(x, unused, out):
    """out[i] = sum of x[j] of all j for which i is ``unused`` + j modulo its length."""
    out[:] = 0
    for begin in range(0, len(x), len(out)):
        part = x[begin : begin + len(out)]
        for i in range(len(part)):
            out[unused + i] += part[i]


@kernel
def _unfold(word, unused, out):
    """out[j] = word[unused + j modulo its length]; mirror of :func:`_fold`."""
    for begin in range(0, len(out), len(word)):
        part = out[begin : begin + len(word)]
        for i in range(len(part)):
            part[i] = word[unused + i]


def _flip(x: np.ndarray, key: Key, begin: int) -> None:
    """Signs of float32 (n,) by shared bits from ``begin`` on; its own inverse."""
    _negate(x, halves(key, (len(x) + (begin & 15) + 15) >> 4, begin >> 4), begin & 15)


def _odds(totals: np.ndarray, used: int, bits: int) -> np.ndarray:
    """Of a word's signs, float32, by what falls on them; ``used`` of them carry ``bits`` bits."""
    rate = bits / used
    power = float(np.square(totals, dtype=np.float64).sum()) / used
    sharp = math.sqrt(2 * math.log(2) * rate / max(0.2, 1 - 1.8 * rate))
    return np.asarray(totals * np.float64(2 * sharp / math.sqrt(power)), np.float32) if power > 0 else totals


def _paths(paths: int, bits: int) -> int:
    """For a word of ``bits`` bits: more for a shorter one, by the root of how much shorter, in powers of two."""
    return min(MOST_PATHS, paths << ((BLOCK // bits).bit_length() - 1 >> 1))


def encode(mu: np.ndarray, bits: int, key: Key, paths: int = PATHS) -> tuple[bytes, np.ndarray]:
    """(payload of ceil(bits / 8) bytes, sample float32 (n,)) for mu float32 (n,), finite; 1 <= ``bits`` <= n.

    sqrt(1 + |mu|^2 / n) times the sample has mean mu where ``delivered(bits, n)`` is n / 2 log2(1 + |mu|^2 / n); mu's
    length itself does not matter. ``paths``: candidates at a time where words are longest, a power of two up to
    MOST_PATHS, of up to a MiB each; the receiver need not know. Raises ValueError for others.
    """
    if not 1 <= paths <= MOST_PATHS or paths & (paths - 1):
        raise ValueError(f"expected a power of two up to {MOST_PATHS} paths, found {paths}")
    mu = np.ascontiguousarray(mu, np.float32)
    n = len(mu)
    blocks, walk = _blocks(n, bits), stride(key.part(Part.STRIDE), n)
    sample, path = np.empty(n, np.float32), np.empty(bits, np.uint8)

    def one(block: _Block) -> None:
        rest = np.empty(block.size, np.float32)
        gather(mu, *walk, block.first, rest)
        _flip(rest, key.part(Part.VALUES), block.first)
        _rotate(rest)
        totals, at = np.empty(block.signs, np.float32), block.at
        for layer, count in enumerate(block.layers):
            begin = layer * n + block.first
            _flip(rest, key.part(Part.SHUFFLE), begin)
            _fold(rest, block.unused, totals)
            free = free_places(block.signs, block.unused, count)
            odds = _odds(totals, block.signs - block.unused, count)
            word = search(odds, subtrees(free), _paths(paths, count))
            told = word.view(np.uint8) & 1
            if layer + 1 < len(block.layers):
                found = np.empty(block.size, np.float32)
                _unfold(1 + 2 * word.astype(np.float32), block.unused, found)
                rest -= found * np.float32(float(rest @ found) / block.size)
                _flip(rest, key.part(Part.SHUFFLE), begin)
            _transform(told)
            path[at : at + count] = told[free]
            at += count
        scatter(_sample(block, path, n, key), *walk, block.first, sample)

    threads.each(one, blocks, WORKERS)
    return np.packbits(path).tobytes(), sample


def _sample(block: _Block, path: np.ndarray, n: int, key: Key) -> np.ndarray:
    """A block's part of the sample, float32 (size,), in the order of the walk."""
    out, part, at = np.zeros(block.size, np.float32), np.empty(block.size, np.float32), block.at
    for layer, (count, factor) in enumerate(zip(block.layers, block.factors, strict=True)):
        word = np.zeros(block.signs, np.uint8)
        word[free_places(block.signs, block.unused, count)] = path[at : at + count]
        _transform(word)
        _unfold(factor * (1 - 2 * word.astype(np.float32)), block.unused, part)
        _flip(part, key.part(Part.SHUFFLE), layer * n + block.first)
        out += part
        at += count
    _rotate(out)
    _flip(out, key.part(Part.VALUES), block.first)
    return out


def decode(payload: bytes, n: int, bits: int, key: Key) -> np.ndarray:
    """The sample float32 (n,); mirror of :func:`encode`. Raises CorruptStream for a payload that does not fit."""
    path = read_path(payload, n, bits)
    walk, sample = stride(key.part(Part.STRIDE), n), np.empty(n, np.float32)

    def one(block: _Block) -> None:
        scatter(_sample(block, path, n, key), *walk, block.first, sample)

    threads.each(one, _blocks(n, bits), WORKERS if n > FOLLOWED else 1)
    return sample


def delivered(bits: int, n: int) -> float:
    """Information in bits for which ``bits`` bits are right: a fit to benchmarks/claims/channel.py for PATHS.

    A block's word delivers the more of its bits the more it has. These numbers are the format's: how wide DiffC's
    passes are follows from them.
    """
    return bits * _useful(bits / min(bits, max(-(-bits // BLOCK), -(-n // MOST))))


def bits_for(information: float, n: int) -> int:
    """Bits to spend on ``information`` bits, 1 to n; the inverse of :func:`delivered`."""
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if delivered(middle, n) >= information else (middle + 1, high)
    return low


def _useful(bits: float) -> float:
    """Of the bits of a block."""
    return 0.98 / (1 + 1.27 * math.pow(bits, -0.554))
