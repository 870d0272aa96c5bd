"""The bound of a VDM on small pictures: in T discrete steps against continuous time (VDM §4.2, eqs. 13 and 17).

    python -m benchmarks.studies.vdm_bound CIFAR.npz [--model cifar10-vdm] [--images 32] [--steps 1000] [--even]

The steps are the codec's own, placed by the model's KL profile on 24 of the training pictures, or with --even of one
width in log-SNR from the model's least to its greatest. Both sums take the same pictures and as many network calls, the
continuous one at a random log-SNR within each step. Prior and reconstruction terms are the same in both:
KL(q(z_T|x) || N(0, 1)), and x given z_0 as discretised Gaussians about x_hat of one scale.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np
import torch

from benchmarks.common import arguments, printed, signal
from diffcodec.codecs.diffc.remainder import means
from diffcodec.codecs.vdm import schedule as vdm
from diffcodec.entropy import gaussian, logistic
from diffcodec.models import registry

LN2 = math.log(2)


def guess(model, x: torch.Tensor, logsnr: float, generator: torch.Generator) -> torch.Tensor:
    """x_hat of a draw of z at the step of 1/1024 that is nearest to a log-SNR."""
    units = round(logsnr / vdm.UNIT)
    alpha, sigma = signal(units * vdm.UNIT)
    return model.x_hat(alpha * x + sigma * torch.randn(x.shape, generator=generator), units).cpu()


@torch.inference_mode()
def squared_error(model, x: torch.Tensor, logsnr: float, generator: torch.Generator) -> np.ndarray:
    """(x - x_hat)^2 summed over each picture (N,), at one log-SNR."""
    return (x - guess(model, x, logsnr, generator)).double().square().flatten(1).sum(1).numpy()


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("data")
    ap.add_argument("--model", default="cifar10-vdm")
    ap.add_argument("--images", type=int, default=32)
    ap.add_argument("--steps", type=int, default=1000)
    ap.add_argument("--even", action="store_true")
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    model = registry.load(args.model, codec="vdm", device="cpu")
    with np.load(args.data) as file:
        images, training = file["test"], file["train"][:24]
    images = images[:: len(images) // args.images][: args.images]
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    D = x[0].numel()
    schedule = vdm.measure(training, model, args.steps)
    edges = np.array(schedule.units[::-1]) * vdm.UNIT
    if args.even:
        edges = np.linspace(model.logsnr_min, model.logsnr_max, args.steps + 1)
    low, high, T = float(edges[0]), float(edges[-1]), args.steps
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    discrete, continuous = np.zeros(len(x)), np.zeros(len(x))
    for t, s in itertools.pairwise(edges):
        gain = math.exp(s) - math.exp(t)
        discrete += squared_error(model, x, float(t), generator) * gain / 2 / LN2 / D  # VDM eq. 13
        at = float(rng.uniform(t, s))
        continuous += squared_error(model, x, at, generator) * math.exp(at) * (s - t) / 2 / LN2 / D  # eq. 17
    a2, s2 = 1 / (1 + math.exp(-low)), 1 / (1 + math.exp(low))
    prior = 0.5 * (a2 * x.double().square().mean((1, 2, 3)).numpy() + s2 - math.log(s2) - 1) / LN2
    told = _reconstruction(model, x, images, high, schedule.scale, generator)
    rest = prior.mean() + told
    gap = discrete - continuous
    print(f"{args.model}, {len(x)} pictures of CIFAR-10 test, log-SNR {low} to {high}, bits per dimension")
    print(f"prior {prior.mean():.5f}, reconstruction {told:.4f}")
    print(f"discrete T = {T}: {discrete.mean() + rest:.4f}   continuous: {continuous.mean() + rest:.4f}")
    print(f"difference {gap.mean():+.4f} (standard error {gap.std() / math.sqrt(len(x)):.4f})")


def _reconstruction(
    model, x: torch.Tensor, images: np.ndarray, logsnr: float, scale: int, generator: torch.Generator
) -> float:
    with torch.inference_mode():
        x_hat = guess(model, x, logsnr, generator).permute(0, 2, 3, 1).numpy()
    q, mean64 = np.full(images.size, scale), means(x_hat)
    _, freqs = gaussian.intervals(images.ravel().astype(np.int64), mean64, q, 256)
    return logistic.bits(freqs) / images.size


if __name__ == "__main__":
    main()
