"""What so many network calls cost in bits, by what p(z_s|z_t) is told of x_hat's error: ideal coding, no channel.

    python -m benchmarks.studies.steps PHOTOS.npz [--tiles 6] [--save]

Of x about x_hat(z_t), z_t ~ q(z_t|x) at log-SNRs 0.1 apart, the mean square in each octave (Haar) of three mixed
colours is measured in training tiles; interpolated, it tells what any chain to a rate costs. Bits are told in percent
beyond those of steps of 0.01 with p as wide as q. Steps are as 1 / sqrt(bits per unit of log-SNR), the best for so
many.

    nothing    p has q's variance: v d / (2 ln 2) bits a dimension
    one        and one v for all: 1/2 log2(1 + v d)
    octaves    one for each octave
    law        one height of a logistic function of octave and colour, `codecs.diffc.spread`
    all        one for each octave and colour
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import arguments, save
from benchmarks.studies.octaves import drawn
from diffcodec.codecs.diffc.spread import COLOURS, SLOPE
from diffcodec.diffusion import samplers
from diffcodec.diffusion.process import diffuse
from diffcodec.models import registry
from diffcodec.models.octaves import OCTAVES
from diffcodec.models.protocols import DiffusionModel

#: lightness and two differences of colours, orthonormal
MIX = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / torch.tensor([[3.0], [2.0], [6.0]]).sqrt()
LOW, HIGH, GRID, FINE = -8.0, 9.0, 0.1, 0.01
LONGEST, LN2 = 2.0, math.log(2)
LAW = SLOPE * np.arange(OCTAVES + 1) - np.array(COLOURS)[:, None]


def squares(error: Tensor) -> np.ndarray:
    """Means by colour and octave, (3, OCTAVES + 1), of an error (1, 3, h, w)."""
    x, out = torch.einsum("cd,ndhw->nchw", MIX, error)[0], []
    for _ in range(OCTAVES):
        a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
        details = torch.stack([a - b + c - d, a + b - c - d, a - b - c + d], 1) / 2
        out.append(details.square().mean((1, 2, 3)))
        x = (a + b + c + d) / 2
    return torch.stack([*out, x.square().mean((1, 2))], 1).double().numpy()


class Errors:
    """x_hat's error in one picture at every log-SNR."""

    def __init__(self, model: DiffusionModel, x: Tensor):
        self.levels = np.arange(LOW, HIGH + GRID / 2, GRID)
        found = []
        for k, level in enumerate(self.levels):
            logsnr = float(level)
            z = diffuse(x, torch.tensor(logsnr), torch.randn(x.shape, generator=torch.Generator().manual_seed(k)))
            found.append(squares(x - samplers.mean(model.predict, z, logsnr)))
        self.log = np.log(np.array(found) + 1e-12)
        h, w = x.shape[2:]
        counts = [3 * (h * w >> 2 * (octave + 1)) for octave in range(OCTAVES)] + [h * w >> 2 * OCTAVES]
        self.shares = np.broadcast_to(np.array(counts) / (3 * h * w), (3, OCTAVES + 1))

    def at(self, logsnr: float) -> np.ndarray:
        """v in units of 1 / SNR, (3, OCTAVES + 1)."""
        place = min(max((logsnr - LOW) / GRID, 0.0), len(self.levels) - 1.001)
        below = int(place)
        between = (1 - place + below) * self.log[below] + (place - below) * self.log[below + 1]
        return np.asarray(np.exp(between + logsnr))

    def density(self, logsnr: float) -> float:
        """Bits a pixel and unit of log-SNR, if x_hat were asked all the time."""
        return 3 * float((self.at(logsnr) * self.shares).sum()) / (2 * LN2)

    def path(self, end: float, pace: float) -> list[float]:
        """Log-SNRs up to ``end``, steps ``pace`` / sqrt(density)."""
        out = [end]
        while out[-1] > LOW:
            out.append(max(LOW, out[-1] - min(LONGEST, pace / math.sqrt(max(self.density(out[-1]), 1e-9)))))
        return out[::-1]

    def calls(self, end: float, count: int) -> list[float]:
        """The path of at most so many steps."""
        low, high = 1e-4, 20.0
        for _ in range(40):
            pace = math.sqrt(low * high)
            low, high = (pace, high) if len(self.path(end, pace)) - 1 > count else (low, pace)
        return self.path(end, high)


def _one(v: np.ndarray, shares: np.ndarray, d: float) -> float:
    return math.log1p(float((v * shares).sum()) * d)


def _octaves(v: np.ndarray, shares: np.ndarray, d: float) -> float:
    mean = (v * shares).sum(0) / shares.sum(0)
    return float((np.log1p(mean * d) * shares.sum(0)).sum())


def _law(v: np.ndarray, shares: np.ndarray, d: float) -> float:
    """Of the two densities that differ: 2 KL(q || p), p's energy that of q on the whole."""
    wanted, low, high = float((v * shares).sum()), -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        told = float((shares / (1 + np.exp(-(middle + LAW)))).sum())
        low, high = (middle, high) if told < wanted else (low, middle)
    p = 1 + d / (1 + np.exp(-(low + LAW)))
    return float(((np.log(p) + (1 + v * d) / p - 1) * shares).sum())


TOLD = {
    "nothing": lambda v, shares, d: float((v * shares).sum()) * d,
    "one": _one,
    "octaves": _octaves,
    "law": _law,
    "all": lambda v, shares, d: float((np.log1p(v * d) * shares).sum()),
}


def cost(errors: Errors, path: list[float], told: str) -> float:
    """Bits a pixel of a chain."""
    steps = itertools.pairwise(path)
    return sum(3 * TOLD[told](errors.at(a), errors.shares, math.expm1(b - a)) / (2 * LN2) for a, b in steps)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--tiles", type=int, default=6)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--calls", type=int, nargs="+", default=[15, 20, 30, 60])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.25, 0.5])
    args: argparse.Namespace = parser.parse_args()
    torch.set_num_threads(1)
    model = registry.load("photo-vdm", device="cpu", codec="diffc")
    every = [Errors(model, x) for x in drawn(args.photos, args.tiles, args.side, 1)]
    fine = np.arange(LOW, HIGH - 1, FINE).tolist()
    curves = []
    for errors in every:
        bits = [0.0, *(errors.density(a) * math.expm1(FINE) for a in fine[:-1])]
        curves.append(np.cumsum(bits))
    rows = []
    for rate in args.rates:
        reached = [(e, float(np.interp(rate, c, fine))) for e, c in zip(every, curves, strict=True) if c[-1] > rate]
        for calls in args.calls:
            paths = [(errors, errors.calls(end, calls)) for errors, end in reached]
            over = {told: float(np.mean([100 * (cost(e, p, told) / rate - 1) for e, p in paths])) for told in TOLD}
            rows.append({"bpp": rate, "calls": calls, "pictures": len(reached)} | over)
            print(", ".join(f"{k} {v:.1f} %" if k in TOLD else f"{k} {v:g}" for k, v in rows[-1].items()), flush=True)
    save(args.save, rows, 2)


if __name__ == "__main__":
    main()
