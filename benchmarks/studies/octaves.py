"""What the answers of a denoiser at every octave are worth together: squared error over that of the full one alone.

    python -m benchmarks.studies.octaves PHOTOS.npz [--pictures FOLDER] [--tiles 36] [--save]

Box averages by k of z_t are z of the k times smaller picture at log-SNR + 2 ln k (DESIGN.md §7), so the network can be
asked there too. The answers at full, half, quarter and eighth size, all brought to full size, are put together octave
by octave (Haar; lightness and colour apart) with weights of least squares for each log-SNR, fitted to two thirds of the
training tiles. What is told is the squared error of the other tiles, or of the pictures in a folder, whose middles are
taken; the weights are never fitted to these.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.common import arguments, centre, save, tiles
from diffcodec.diffusion import samplers
from diffcodec.diffusion.process import alpha, diffuse
from diffcodec.models import registry
from diffcodec.models.protocols import DiffusionModel

FACTORS, OCTAVES = (1, 2, 4, 8), 5
#: which of the answers, by their place in FACTORS
TOGETHER = {
    "full": [0],
    "full, half": [0, 1],
    "all": [0, 1, 2, 3],
    "all but full": [1, 2, 3],
    "quarter, eighth": [2, 3],
}
MIX = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / torch.tensor([[3.0], [2.0], [6.0]]).sqrt()


def answers(model: DiffusionModel, z: Tensor, logsnr: float) -> list[Tensor]:
    """x_hat of z float32 (1, 3, h, w), by each of FACTORS, all of z's size."""
    out = []
    for k in FACTORS:
        there = min(logsnr + 2 * math.log(k), model.logsnr_max)
        scale = float(alpha(torch.tensor(there)) / alpha(torch.tensor(logsnr)))
        x = samplers.mean(model.predict, F.avg_pool2d(z, k) * scale, there)
        out.append(x if k == 1 else F.interpolate(x, scale_factor=k, mode="bicubic", align_corners=False))
    return out


def bands(x: Tensor) -> list[Tensor]:
    """Of x (1, 3, h, w): for lightness and colour each octave's coefficients and the rest's, float64 (n,)."""
    x, out = torch.einsum("cd,ndhw->nchw", MIX, x).double(), []
    for _ in range(OCTAVES):
        a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
        details = torch.stack([a - b + c - d, a + b - c - d, a - b - c + d]) / 2
        out += [details[:, :, 0].flatten(), details[:, :, 1:].flatten()]
        x = (a + b + c + d) / 2
    return [*out, x[:, 0].flatten(), x[:, 1:].flatten()]


class Sums:
    """Of products of the answers' bands with each other and with x's, and squared errors of the full answer."""

    def __init__(self) -> None:
        size, count = len(FACTORS), 2 * (OCTAVES + 1)
        self.gram, self.with_x = torch.zeros(count, size, size).double(), torch.zeros(count, size).double()
        self.of_x, self.full = torch.zeros(count).double(), 0.0

    def add(self, model: DiffusionModel, x: Tensor, logsnr: float, seed: int) -> None:
        """One picture x float32 (1, 3, h, w)."""
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        z = diffuse(x, torch.tensor(logsnr), noise)
        wanted = bands(x)
        parts = zip(*map(bands, answers(model, z, logsnr)), strict=True)
        for k, (target, every) in enumerate(zip(wanted, parts, strict=True)):
            rows = torch.stack(every)
            self.gram[k] += rows @ rows.T
            self.with_x[k] += rows @ target
            self.of_x[k] += target @ target
            self.full += float((rows[0] - target).square().sum())

    def weights(self, chosen: list[int]) -> Tensor:
        """Least squares, (bands, chosen)."""
        gram = self.gram[:, chosen][:, :, chosen]
        ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(len(chosen)).double()
        return torch.linalg.solve(gram + ridge, self.with_x[:, chosen])

    def left(self, chosen: list[int], weights: Tensor) -> float:
        """Squared error with these weights over that of the full answer alone."""
        gram = self.gram[:, chosen][:, :, chosen]
        squared = self.of_x - 2 * (weights * self.with_x[:, chosen]).sum(1)
        squared = squared + torch.einsum("ki,kij,kj->k", weights, gram, weights)
        return float(squared.sum()) / self.full


def as_x(pixels: np.ndarray) -> Tensor:
    """float32 (1, 3, h, w) of uint8 (H, W, 3), as of `DiffusionModel.to_latent`."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 127.5 - 1


def drawn(path: Path, count: int, side: int, seed: int) -> list[Tensor]:
    """The middles of training tiles."""
    large = [tile for tile in tiles(path, "train") if min(tile.shape[:2]) >= side]
    chosen = np.random.default_rng(seed).choice(len(large), count, replace=False)
    return [as_x(centre(large[i], side)) for i in chosen]


def middles(folder: Path, side: int) -> list[Tensor]:
    """Of the pictures in a folder."""
    return [as_x(centre(np.asarray(Image.open(path).convert("RGB")), side)) for path in sorted(folder.iterdir())]


def summed(model: DiffusionModel, pictures: Sequence[Tensor], logsnr: float) -> Sums:
    """Over pictures."""
    sums = Sums()
    for seed, x in enumerate(pictures):
        sums.add(model, x, logsnr, seed)
    return sums


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder of other pictures")
    parser.add_argument("--tiles", type=int, default=36)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--levels", type=float, nargs="+", default=[-4, -2, 0, 1, 2, 3, 4])
    args: argparse.Namespace = parser.parse_args()
    torch.set_num_threads(1)
    model = registry.load("photo-vdm", device="cpu", codec="diffc")
    every, rows = drawn(args.photos, args.tiles, args.side, 5), []
    fitted, held = every[: 2 * len(every) // 3], {"tiles": every[2 * len(every) // 3 :]}
    if args.pictures is not None:
        held[args.pictures.name] = middles(args.pictures, args.side)
    for logsnr in args.levels:
        sums = summed(model, fitted, logsnr)
        weights = {name: sums.weights(chosen) for name, chosen in TOGETHER.items()}
        for name, pictures in held.items():
            other = summed(model, pictures, logsnr)
            ratios = {together: other.left(chosen, weights[together]) for together, chosen in TOGETHER.items()}
            rows.append({"pictures": name, "log-SNR": logsnr} | ratios)
            print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    save(args.save, rows, 4)


if __name__ == "__main__":
    main()
