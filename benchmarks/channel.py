"""Delivered KL / bits spent of every channel method, microseconds per bit, and the cost of Poisson indices.

    python benchmarks/channel.py [--bits 8192]

Delivered KL is (sample . mu / |mu|)^2 / (2 ln 2), the mean over draws; useful = delivered / bits in the payload.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from diffcodec.channel import hadamard, poisson, trellis
from diffcodec.channel.noise import Key

LN2 = math.log(2)


def target(n: int, rng: np.random.Generator, spread: float) -> np.ndarray:
    """A unit mu float32 (n,); ``spread`` > 0 gives its elements log-normal scales, as pictures have."""
    mu = rng.standard_normal(n) * np.exp(spread * rng.standard_normal(n))
    return (mu / np.linalg.norm(mu)).astype(np.float32)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--bits", type=int, default=8192)
    ap.add_argument("--draws", type=int, default=3)
    args = ap.parse_args()
    rng = np.random.default_rng(1)
    trellis.encode(target(500, rng, 0), 300, Key(0, 0, 0))
    trellis.encode(target(500, rng, 0), 3, Key(0, 0, 0))
    print("trellis: bits per dimension, log2 states, spread of mu's scales: useful, variance off mu, us per bit")
    for spread in (0.0, 0.5):
        for rate in (0.002, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8):
            for L in (10, 12, 13, 14):
                bits = args.bits
                n = round(bits / rate)
                useful, off, seconds = [], [], []
                for draw in range(args.draws):
                    u = target(n, rng, spread)
                    start = time.perf_counter()
                    payload, sample = trellis.encode(u, bits, Key(draw, 0, 0), L)
                    seconds.append(time.perf_counter() - start)
                    p = float(sample @ u)
                    useful.append(p * p / (2 * LN2) / (8 * len(payload)))
                    off.append((float(sample @ sample) - p * p) / (n - 1))
                print(
                    f"{rate:6.3f} {L:3} {spread:4.1f}   {np.mean(useful):.4f}   {np.mean(off):.4f}"
                    f"   {np.median(seconds) / bits * 1e6:6.1f}",
                    flush=True,
                )
    print("short trellises (log2 states 13, 0.02 bits per dimension): bits, useful, predicted")
    for bits in (8, 16, 32, 64, 128, 256, 512, 1024):
        n = 50 * bits
        p = [
            float(trellis.encode(u, bits, Key(draw, 1, 0))[1] @ u)
            for draw in range(max(4, 2048 // bits))
            for u in [target(n, rng, 0)]
        ]
        print(f"{bits:6} {np.mean(p) ** 2 / (2 * LN2 * bits):.4f} {trellis.delivered(bits, n) / bits:.4f}", flush=True)
    print("hadamard, 16-bit chunks: useful")
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
