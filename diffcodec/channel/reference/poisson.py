"""Reverse-channel coding by the Poisson functional representation (Li & El Gamal, 2018): the unbiased reference.

Candidates z_i ~ N(0, I) come with the arrival times t_i of a Poisson process; the one with the least t_i / w(z_i),
w = N(mu, I) / N(0, I), has distribution N(mu, I) exactly, and its index costs at most I + log2(I + 1) + 5 bits under a
Zipf distribution. A chunk of c bits of divergence takes 2^c candidates and more, so dimensions are split into chunks.

The search ends after 2^(c + 6) candidates. The true minimum lies beyond in about one chunk of a thousand at the usual
chunk size; the sample is then the best of those seen.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ...entropy import zipf
from ...entropy.stack import AnsStack
from ...runtime.errors import CorruptStream
from ...runtime.kernels import kernel
from ..noise import Key, Part, block, quantiles
from ..walk import gather, scatter, stride

CHUNK = 8.0  #: bits of divergence of a chunk, on average
_CANDIDATES, _TIMES = 1, 2


@kernel
def _candidate(i, first, table, c2, c3, k0, k1, out):
    """Candidate ``i`` of the chunk that starts at dimension ``first``; a counter of its own for every eight."""
    blocks = (len(out) + 7) >> 3
    for b in range(blocks):
        words = block(np.uint64(i * blocks + b), c2 ^ (first << 8), c3, k0, k1)
        for j in range(8):
            if 8 * b + j < len(out):
                out[8 * b + j] = table[(words[j >> 1] >> np.uint64(16 * (j & 1))) & np.uint64(0xFFFF)]


@kernel
def _choose(mu, first, count, table, candidates, times):
    """Index of the candidate with the least t / w among ``count``."""
    best, chosen, now = np.inf, np.int64(0), 0.0
    z = np.empty(len(mu), np.float32)
    for i in range(count):
        words = block(np.uint64(i), times[0] ^ (first << 8), times[1], times[2], times[3])
        now -= math.log((float(words[0]) + 0.5) / 4294967296.0)
        _candidate(i, first, table, candidates[0], candidates[1], candidates[2], candidates[3], z)
        product = 0.0
        for j in range(len(mu)):
            product += mu[j] * z[j]
        score = math.log(now) - product
        if score < best:
            best, chosen = score, i
    return chosen


def _cuts(n: int, bits: int) -> list[int]:
    if bits < 1:
        raise ValueError(f"expected at least 1 bit, found {bits}")
    count = min(n, max(1, math.ceil(bits / CHUNK)))
    return [n * i // count for i in range(count + 1)]


def encode(mu: np.ndarray, bits: int, key: Key) -> tuple[bytes, np.ndarray]:
    """(payload, sample float32 (n,)) for mu float32 (n,) of divergence near ``bits`` bits; payloads vary in size."""
    mu = np.ascontiguousarray(mu, np.float32)
    cuts = _cuts(len(mu), bits)
    walk = stride(key.part(Part.STRIDE), len(mu))
    candidates, times = key.part(_CANDIDATES).words(), key.part(_TIMES).words()
    sample, indices = np.empty(len(mu), np.float32), []
    for first, end in itertools.pairwise(cuts):
        part = np.empty(end - first, np.float32)
        gather(mu, *walk, first, part)
        information = float(part @ part) / (2 * math.log(2))
        count = 1 << min(22, math.ceil(information) + 6)
        index = _choose(part, first, count, quantiles(), candidates, times)
        _candidate(index, first, quantiles(), *candidates, part)
        scatter(part, *walk, first, sample)
        indices.append(index + 1)
    a = zipf.exponent(bits / (len(cuts) - 1))
    stack = AnsStack()
    zipf.push(stack, np.array(indices), a)
    return a.to_bytes(2, "little") + stack.to_bytes(), sample


def decode(payload: bytes, n: int, bits: int, key: Key) -> np.ndarray:
    """The sample float32 (n,); mirror of :func:`encode`. Raises CorruptStream."""
    a = int.from_bytes(payload[:2], "little")
    if len(payload) < 2 or not 257 <= a <= 2048:
        raise CorruptStream("the exponent of the Zipf indices is missing or out of range; the file is damaged")
    cuts = _cuts(n, bits)
    walk = stride(key.part(Part.STRIDE), n)
    candidates = key.part(_CANDIDATES).words()
    stack = AnsStack.from_bytes(payload[2:])
    indices = zipf.pop(stack, len(cuts) - 1, a)
    stack.finish()
    sample = np.empty(n, np.float32)
    for index, first, end in zip(indices, cuts[:-1], cuts[1:], strict=True):
        part = np.empty(end - first, np.float32)
        _candidate(index - 1, first, quantiles(), *candidates, part)
        scatter(part, *walk, first, sample)
    return sample


def bits_for(kl: float, n: int) -> int:
    """The divergence itself, rounded: what the chunks are cut by."""
    return max(1, round(kl))
