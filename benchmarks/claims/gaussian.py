"""DiffC in real bits on Gaussian sources, where every curve has a closed form (models/gaussian.py).

    python -m benchmarks.claims.gaussian [--n 200000] [--delta 0.01]

Per target rate: bits spent and KL delivered per dimension, and for each reconstruction its PSNR (of unit peak) less the
closed form's at the log-SNR whose mutual information is the delivered KL, in dB. Then the spread flow - ancestral.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import arguments, printed
from diffcodec.codecs.codec import Room
from diffcodec.codecs.diffc import rate as rates
from diffcodec.codecs.diffc.effort import Effort
from diffcodec.codecs.reconstruction import NAMED
from diffcodec.diffusion import samplers
from diffcodec.models.denoiser import Denoiser
from diffcodec.models.gaussian import GaussianModel


class Source(Denoiser):
    """A draw of the source in place of a picture, as one plane."""

    def __init__(self, model: GaussianModel, x: Tensor):
        self.model, self.x = model, x
        self.name, self.fingerprint = model.name, model.fingerprint
        self.logsnr_min, self.logsnr_max = -10.0, 16.0

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        return self.model.predict(z.double(), logsnr.double()).float()

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        _, C, h, w = self.x.shape
        return C, h, w

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
    ap = arguments(__doc__)
    ap.add_argument("--n", type=int, default=200_000)
    ap.add_argument("--delta", type=float, default=0.01)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    n = args.n
    rates.PASS_COST = 10.0  # network calls are free here: steps short enough that their finiteness does not show
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
            room = Room(lambda k: k, round(rate * n / 8))
            sender = rates.Sender(np.zeros((1, 1, 3), np.uint8), Source(model, x), room, 7, Effort(args.delta, 14, 64))
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
            samplers.FLOW_STEPS, samplers.ANCESTRAL_STEPS = 60, 400  # the solvers' own error is not at stake here
            for kind, expected in theory.items():
                decibel[kind] = -10 * math.log10(float((chain.reconstruct(NAMED[kind]) - x).double().square().mean()))
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
