"""The noise and the trellis of CHANNEL.md in plain Python: slow, and independent of the package."""

from __future__ import annotations

import math
from statistics import NormalDist

LOW = 0xFFFFFFFF


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10: four 32-bit words."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & LOW, (p0 >> 32) ^ c[3] ^ k[1], p0 & LOW]
        k = [(k[0] + 0x9E3779B9) & LOW, (k[1] + 0xBB67AE85) & LOW]
    return c


def half(seed: int, number: int, purpose: int, i: int) -> int:
    """Draw ``i`` of 16 bits."""
    words = philox([i >> 3 & LOW, i >> 35, number, purpose], [seed & LOW, seed >> 32])
    return words[i % 8 >> 1] >> 16 * (i & 1) & 0xFFFF


def quantile(h: int) -> float:
    """The normal quantile of draw ``h``, a multiple of 2^-16."""
    if h < 32768:
        return -quantile(65535 - h)
    return round(NormalDist().inv_cdf((h + 0.5) / 65536) * 65536) / 65536


def labels() -> list[float]:
    """The quantiles in the order of the first Philox word of each index."""
    return [quantile(h) for h in sorted(range(65536), key=lambda i: philox([i, 0, 0, 0], [0, 0])[0])]


def trellis(path: list[int], n: int, seed: int, number: int, purpose: int, L: int) -> list[float]:
    """The sample of n dimensions that the bits ``path`` stand for."""
    bits = len(path)
    signs = n >= 64 * bits
    draws = [half(seed, number, 16 * purpose, i) for i in range(4)]
    offset = (draws[0] | draws[1] << 16) % n
    stride = n // 4 + (draws[2] | draws[3] << 16) % max(1, n // 2)
    while math.gcd(stride, n) != 1:
        stride += 1
    segments = min(bits, max(-(-bits // 4096), -(-n // 2**24), min(2, bits // 1024)))
    starts = {bits * i // segments for i in range(segments)}
    useful = (0.9365 - 0.0075 * (14 - L)) * bits * bits / (bits + 6)
    gain = math.sqrt(1 + 2 * math.log(2) * useful / n)
    table = [] if signs else labels()
    sample, state = [0.0] * n, 0
    for k, bit in enumerate(path):
        if k in starts:
            state = 0
        window = bit << L | state
        for j in range(k * n // bits, (k + 1) * n // bits):
            draw = half(seed, number, 16 * purpose + 1, j)
            if signs:
                value = quantile(half(seed, number, 16 * purpose + 2, j)) * gain
                value = -value if bin(draw & window).count("1") & 1 else value
            else:
                value = table[(draw + window) % 65536]
            sample[(stride * j + offset) % n] = value
        state = (state << 1 | bit) & (1 << L) - 1
    return sample
