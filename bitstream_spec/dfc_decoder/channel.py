"""CHANNEL.md: the noise, the trellis and the polar code. Slow, and independent of the package."""

from __future__ import annotations

import hashlib
import itertools
import math
from functools import cache
from statistics import NormalDist

import numpy as np

LOW = 0xFFFFFFFF


def philox(counter: list, key: list[int]) -> list:
    """Philox4x32-10: four 32-bit words of counters that are integers or arrays of uint64."""
    c, k = [np.asarray(v, np.uint64) for v in counter], list(key)
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        k0, k1, low, half = np.uint64(k[0]), np.uint64(k[1]), np.uint64(LOW), np.uint64(32)
        c = [(p1 >> half) ^ c[1] ^ k0, p1 & low, (p0 >> half) ^ c[3] ^ k1, p0 & low]
        k = [(k[0] + 0x9E3779B9) & LOW, (k[1] + 0xBB67AE85) & LOW]
    return c


def draws(seed: int, number: int, purpose: int, start: int, count: int) -> np.ndarray:
    """Draws ``start`` ... of 16 bits, int64 (count,)."""
    i = np.arange(start, start + count, dtype=np.uint64)
    b = i >> np.uint64(3)
    words = philox([b & np.uint64(LOW), b >> np.uint64(32), number, purpose], [seed & LOW, seed >> 32])
    stacked = np.stack([np.broadcast_to(w, i.shape) for w in words])
    word = stacked[(i.astype(np.int64) & 7) >> 1, np.arange(count)]
    return (word >> (np.uint64(16) * (i & np.uint64(1))) & np.uint64(0xFFFF)).astype(np.int64)


def half(seed: int, number: int, purpose: int, i: int) -> int:
    """Draw ``i`` of 16 bits."""
    return int(draws(seed, number, purpose, i, 1)[0])


def quantile(h: int) -> float:
    """The normal quantile of draw ``h``, a multiple of 2^-16."""
    if h < 32768:
        return -quantile(65535 - h)
    return round(NormalDist().inv_cdf((h + 0.5) / 65536) * 65536) / 65536


@cache
def quantiles() -> np.ndarray:
    """float64 (65536,), whose digest CHANNEL.md tells."""
    upper = [quantile(h) for h in range(32768, 65536)]
    table = np.array([-v for v in upper[::-1]] + upper)
    found = hashlib.sha256((table * 65536).astype("<i4").tobytes()).hexdigest()
    assert found == "ee46eda6f743ea9b2949c72134d6385025bcc7573bb0fba98b3bf40224779880"
    return table


def normals(seed: int, number: int, purpose: int, count: int) -> np.ndarray:
    return quantiles()[draws(seed, number, purpose, 0, count)]


@cache
def labels() -> np.ndarray:
    """The quantiles in the order of the first Philox word of each index."""
    index = np.arange(65536, dtype=np.uint64)
    return quantiles()[np.argsort(philox([index, 0 * index, 0 * index, 0 * index], [0, 0])[0], kind="stable")]


def walk(n: int, seed: int, number: int, purpose: int) -> tuple[int, int]:
    """(offset, stride) of a pass."""
    d = [half(seed, number, 16 * purpose, i) for i in range(4)]
    stride = n // 4 + (d[2] | d[3] << 16) % max(1, n // 2)
    while math.gcd(stride, n) != 1:
        stride += 1
    return (d[0] | d[1] << 16) % n, stride


def trellis(
    path: list[int], n: int, seed: int, number: int, purpose: int, L: int, labelled: bool = False
) -> list[float]:
    """The sample of n dimensions that the bits ``path`` stand for; ``labelled``: of a coarse part."""
    bits = len(path)
    signs = n >= 64 * bits and not labelled
    offset, stride = walk(n, seed, number, purpose)
    segments = min(bits, max(-(-bits // 4096), -(-n // 2**24), 0 if labelled else min(2, bits // 1024)))
    starts = {bits * i // segments for i in range(segments)}
    useful = (0.9365 - 0.0075 * (14 - L)) * bits * bits / (bits + 6)
    gain = math.sqrt(1 + 2 * math.log(2) * useful / n)
    r = draws(seed, number, 16 * purpose + 1, 0, n).tolist()
    magnitudes = normals(seed, number, 16 * purpose + 2, n).tolist() if signs else []
    table = [] if signs else labels().tolist()
    sample, state = [0.0] * n, 0
    for k, bit in enumerate(path):
        if k in starts:
            state = 0
        window = bit << L | state
        for j in range(k * n // bits, (k + 1) * n // bits):
            if signs:
                value = magnitudes[j] * gain
                value = -value if bin(r[j] & window).count("1") & 1 else value
            else:
                value = table[(r[j] + window) % 65536]
            sample[(stride * j + offset) % n] = value
        state = (state << 1 | bit) & (1 << L) - 1
    return sample


def polar(path: list[int], n: int, seed: int, number: int, purpose: int) -> list[float]:
    """The sample of n dimensions that the bits ``path`` stand for."""
    K = len(path)
    offset, stride = walk(n, seed, number, purpose)
    count = min(K, max(-(-K // 4096), -(-n // 2**24)))
    starts = [K * b // count for b in range(count + 1)]
    sample = [0.0] * n
    for at, end in itertools.pairwise(starts):
        first, m = at * n // K, end * n // K - at * n // K
        y = _layers(path[at:end], m, n, first, (seed, number, 16 * purpose + 1))
        y *= _signs((seed, number, 16 * purpose + 2), first, m)
        for j in range(m):
            sample[(stride * (first + j) + offset) % n] = float(y[j])
    return sample


def _layers(path: list[int], m: int, n: int, first: int, key: tuple[int, int, int]) -> np.ndarray:
    """A block of m dimensions, before its last signs."""
    k, N = len(path), 1
    while N < min(m, 64 * k):
        N *= 2
    unused = max(0, N - m)
    layers = min(k, -(-4 * k // m))
    factors = [2 ** (-k * v / (layers * m)) for v in range(layers)]
    y = np.zeros(m)
    for v, factor in enumerate(factors):
        bits = path[k * v // layers : k * (v + 1) // layers]
        u = [0] * N
        for place, bit in zip(places(N, unused, len(bits)), bits, strict=True):
            u[place] = bit
        h = 1
        while h < N:
            for i in range(N):
                if not i & h:
                    u[i] ^= u[i + h]
            h *= 2
        word = np.array([1 - 2 * u[unused + j % N] for j in range(m)])
        y += factor / math.sqrt(sum(f * f for f in factors)) * _signs(key, v * n + first, m) * word
    at, size = 0, 1024
    while at < m:
        while size > m - at:
            size //= 4
        y[at : at + size] = _walsh(y[at : at + size]) / math.sqrt(size)
        at += size
    return y


def places(N: int, unused: int, q: int) -> list[int]:
    """The free places of a word of N signs."""
    c = [0] * unused + [3 * q * 2**31 // (4 * (N - unused))] * (N - unused)
    h = N // 2
    while h:
        for i in range(N):
            if not i & h:
                both = c[i] * c[i + h] // 2**31
                c[i], c[i + h] = both, c[i] + c[i + h] - both
        h //= 2
    return sorted(sorted(range(N), key=lambda i: (c[i], i))[N - q :])


def _signs(key: tuple[int, int, int], start: int, count: int) -> np.ndarray:
    d = draws(*key, start >> 4, (start % 16 + count + 15) // 16)
    i = np.arange(start, start + count)
    return 1 - 2 * (d[(i >> 4) - (start >> 4)] >> (i & 15) & 1)


def _walsh(y: np.ndarray) -> np.ndarray:
    if len(y) == 1:
        return y
    a, b = np.split(y, 2)
    return np.concatenate([_walsh(a + b), _walsh(a - b)])
