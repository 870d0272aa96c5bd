"""What every channel method delivers of the bits it spends, microseconds per bit, and the cost of Poisson indices.

    python -m benchmarks.claims.channel [--bits 8192]

Of a draw's sample, p is what it is along mu, (sample . mu / |mu|). Delivered information is
-n / 2 log2(1 - p^2 / |sample|^2), what a reader learns who expects the sample as wide as it is; delivered KL is
p^2 / (2 ln 2), of a reader who expects unit noise. Both are of the mean p; useful = delivered / bits in the payload.
Time is that of all threads together.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.common import arguments, printed
from diffcodec.channel import polar, trellis
from diffcodec.channel.noise import Key
from diffcodec.channel.reference import hadamard, poisson

LN2 = math.log(2)


def target(n: int, rng: np.random.Generator, spread: float) -> np.ndarray:
    """A unit mu float32 (n,); ``spread`` > 0 gives its elements log-normal scales, as pictures have."""
    mu = rng.standard_normal(n) * np.exp(spread * rng.standard_normal(n))
    return (mu / np.linalg.norm(mu)).astype(np.float32)


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--bits", type=int, default=8192)
    ap.add_argument("--draws", type=int, default=3)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


Coder = Callable[[np.ndarray, int, Key], tuple[bytes, np.ndarray]]
RATES = (0.002, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
PATHS = (1, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Row:
    """Means over draws."""

    information: float  #: useful
    kl: float  #: useful
    off: float  #: variance off mu
    microseconds: float  #: of one core, a bit


def draws(coder: Coder, n: int, bits: int, count: int, spread: float) -> Row:
    rng = np.random.default_rng(bits)
    along, lengths, seconds = [], [], []
    for draw in range(count):
        u = target(n, rng, spread)
        start = time.process_time()
        payload, sample = coder(u, bits, Key(draw, 0, 0))
        seconds.append(time.process_time() - start)
        assert len(payload) == -(-bits // 8)
        along.append(float(sample @ u))
        lengths.append(float(sample @ sample))
    power, length = float(np.mean(along)) ** 2, float(np.mean(lengths))
    return Row(
        -n / 2 * math.log2(1 - power / length) / bits,
        power / (2 * LN2) / bits,
        (length - power) / (n - 1),
        float(np.median(seconds)) / bits * 1e6,
    )


def coders() -> Iterator[tuple[str, Coder]]:
    for L in (12, 13, 14):
        yield f"trellis {L:3}", functools.partial(trellis.encode, L=L)
    for paths in PATHS:
        yield f"polar {paths:5}", functools.partial(polar.encode, paths=paths)


def measure(args: argparse.Namespace) -> None:
    rng = np.random.default_rng(1)
    trellis.encode(target(500, rng, 0), 300, Key(0, 0, 0))
    trellis.encode(target(500, rng, 0), 3, Key(0, 0, 0))
    polar.encode(target(500, rng, 0), 300, Key(0, 0, 0))
    print("bits per dimension, spread of mu's scales, method, log2 states or paths:")
    print("useful information, useful KL, variance off mu, us per bit")
    for spread in (0.0, 0.5):
        for rate in RATES:
            for name, coder in coders():
                row = draws(coder, round(args.bits / rate), args.bits, args.draws, spread)
                print(
                    f"{rate:6.3f} {spread:4.1f} {name}   {row.information:.4f} {row.kl:.4f}   {row.off:.4f}"
                    f"   {row.microseconds:6.2f}",
                    flush=True,
                )
    print("polar by length, 0.02 bits per dimension: bits, useful with 8, 32 and 128 paths, predicted for 32")
    for bits in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384):
        n, count = 50 * bits, max(4, min(1000, 16384 // bits))
        useful = [draws(functools.partial(polar.encode, paths=paths), n, bits, count, 0) for paths in (8, 32, 128)]
        shown = " ".join(f"{row.information:.4f}" for row in useful)
        print(f"{bits:6} {shown}   {polar.delivered(bits, n) / bits:.4f}", flush=True)
    print("short trellises (log2 states 13, 0.02 bits per dimension): bits, useful KL, predicted")
    for bits in (8, 16, 32, 64, 128, 256, 512, 1024):
        n = 50 * bits
        p = [
            float(trellis.encode(u, bits, Key(draw, 1, 0))[1] @ u)
            for draw in range(max(4, 2048 // bits))
            for u in [target(n, rng, 0)]
        ]
        print(f"{bits:6} {np.mean(p) ** 2 / (2 * LN2 * bits):.4f} {trellis.delivered(bits, n) / bits:.4f}", flush=True)
    print("hadamard, 16-bit chunks: useful KL")
    n, bits = 200_000, 1600
    u = target(n, rng, 0)
    print(f"       {float(hadamard.encode(u, bits, Key(0, 2, 0))[1] @ u) ** 2 / (2 * LN2 * bits):.4f}", flush=True)
    print("poisson, 200 chunks of I bits: bits per index, I + log2(I + 1) + 5, + 2.5; mean along mu, variance about mu")
    for information in (1, 2, 4, 6, 8):
        chunks = 200
        n = 32 * chunks
        nominal = round(chunks * poisson.CHUNK)  # sets the number of chunks
        mu = target(n, rng, 0) * np.float32(math.sqrt(2 * LN2 * information * chunks))
        payload, sample = poisson.encode(mu, nominal, Key(0, 3, 0))
        limit = information + math.log2(information + 1)
        along = float(sample @ mu) / float(mu @ mu)
        print(
            f"{information:4} {8 * len(payload) / chunks:7.2f} {limit + 5:7.2f} {limit + 2.5:7.2f}"
            f" {along:7.3f} {float(np.var(sample - mu)):7.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
