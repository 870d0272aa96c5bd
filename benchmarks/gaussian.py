"""DiffC in real bits on Gaussian sources, where every curve has a closed form (models/gaussian.py).

    python benchmarks/gaussian.py [--n 200000] [--delta 0.01]

Per target rate: bits spent and KL delivered per dimension, and for each reconstruction its PSNR (of unit peak) less the
closed form's at the log-SNR whose mutual information is the delivered KL, in dB. Then the spread flow - ancestral.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor

from diffcodec.codecs import diffc
from diffcodec.models.gaussian import GaussianModel


class Source:
    """A draw of the source in place of a picture, as one plane."""

    def __init__(self, model: GaussianModel, x: Tensor):
        self.model, self.x = model, x
        self.logsnr_min, self.logsnr_max = -10.0, 16.0

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        return self.model.predict(z.double(), logsnr.double()).float()

    def to_latent(self, image: Tensor) -> Tensor:
        return self.x

    def from_latent(self, x: Tensor) -> Tensor:
        return x


def logsnr_of(model: GaussianModel, rate: float) -> float:
    """The log-SNR at which I(x; z_t) is ``rate`` bits per dimension."""
    low, high = -20.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if model.rate(middle) < rate else (low, middle)
    return low


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--n", type=int, default=200_000)
    ap.add_argument("--delta", type=float, default=0.01)
    args = ap.parse_args()
    n = args.n
    diffc.PASS_COST = 10.0  # network calls are free here: steps short enough that their finiteness does not show
    sources = {
        "white": np.full(n, 1.0),
        "spectrum": np.exp(np.linspace(2, -6, n)),
    }
    for name, variance in sources.items():
        model = GaussianModel(np.random.default_rng(0).permutation(variance))
        x = model.sample(1, torch.Generator().manual_seed(1)).float().reshape(1, 1, 1, n)
        print(f"{name}: n {n}, shortest step {args.delta} in log-SNR")
        print("   spent  delivered  useful   passes |  mean  ancestral  flow: dB off theory | flow - ancestral")
        for rate in (0.1, 0.25, 0.5, 1.0, 2.0, 3.0):
            target = diffc.Target(room=round(rate * n / 8))
            sender = diffc._Sender(
                np.zeros((1, 1, 3), np.uint8), Source(model, x), target, 7, lambda k: k, args.delta, 14
            )
            sender.run(None)
            chain = sender.chain
            delivered = sender.delivered / n
            at = logsnr_of(model, delivered)
            theory = {
                "mean": model.mean_distortion(at),
                "ancestral": model.ancestral_distortion(at),
                "flow": model.flow_distortion(at),
            }
            off, decibel = [], {}
            diffc.FLOW_STEPS, diffc.ANCESTRAL_STEPS = 60, 400  # the solvers' own error is not at stake here
            for kind, expected in theory.items():
                decibel[kind] = -10 * math.log10(float((chain.reconstruct(kind) - x).double().square().mean()))
                off.append(decibel[kind] + 10 * math.log10(expected))
            spent = 8 * sum(map(len, sender.payloads)) / n
            print(
                f"  {spent:6.3f}   {delivered:6.3f}   {delivered / spent:6.3f}   {chain.number:6}  |"
                f" {off[0]:+.3f}   {off[1]:+.3f}   {off[2]:+.3f}            |"
                f" {decibel['flow'] - decibel['ancestral']:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
