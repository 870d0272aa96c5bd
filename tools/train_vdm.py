"""Train `photo-vdm` or `cifar10-vdm`, variational diffusion models (arXiv 2107.00630).

    python tools/train_vdm.py PHOTOS.npz RUN_DIR --minutes 90 [--resume]
    python tools/train_vdm.py PHOTOS.npz RUN_DIR --cifar SOURCE [--photos 0.4] ...

PHOTOS.npz holds the tiles packed by `tools/prepare_photos.py`; SOURCE is described in `cifar_data.py`.

v-prediction with log-SNR uniform over the trained range and, for a share of the draws, over --focus. Per log-SNR,
||v - v_hat||^2 = (1 + SNR) ||x - x_hat||^2, which at high SNR is twice the integrand of the bound (VDM eq. 17), and at
low SNR keeps the picture's own scale.
RUN_DIR/log.csv holds the validation bound, RUN_DIR/psnr.csv the denoising PSNR by log-SNR. `training.py` says how a run
goes; `torchrun --nproc_per_node N tools/train_vdm.py ...` takes N processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from cifar_data import SIDE, SmallPictures, load_cifar
from photo_data import augment, load_tiles
from torch import Tensor, nn
from training import Training, arguments, low_precision

from diffcodec.models.unet import PAPER, UNet, UNetConfig

LN2 = math.log(2)


class Crops:
    """Random crops (N, 3, crop, crop) in [-1, 1]; several are cut from each augmented tile."""

    def __init__(self, tiles: list[np.ndarray], crop: int, seed: int):
        self.tiles, self.crop = tiles, crop
        self.rng = np.random.default_rng(seed)
        area = np.array([t.shape[0] * t.shape[1] for t in tiles], np.float64)
        self.p = area / area.sum()
        self.pool: list[np.ndarray] = []

    def __call__(self, batch: int) -> Tensor:
        while len(self.pool) < 64 + batch:  # crops of one tile are spread over batches
            tile = augment(self.tiles[self.rng.choice(len(self.tiles), p=self.p)], self.rng, self.crop)
            if min(tile.shape[:2]) < self.crop:
                continue
            for _ in range(4):
                y, x = (self.rng.integers(n - self.crop + 1) for n in tile.shape[:2])
                self.pool.append(np.ascontiguousarray(tile[y : y + self.crop, x : x + self.crop]))
        chosen = []
        for _ in range(batch):
            i = self.rng.integers(len(self.pool))
            self.pool[i], self.pool[-1] = self.pool[-1], self.pool[i]
            chosen.append(self.pool.pop())
        return torch.from_numpy(np.stack(chosen)).permute(0, 3, 1, 2) / 127.5 - 1


def diffuse(x: Tensor, logsnr: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """z_t and the target v = alpha eps - sigma x (VDM eq. 1; Salimans & Ho 2022)."""
    alpha, sigma = (torch.sigmoid(s * logsnr).sqrt()[:, None, None, None] for s in (1, -1))
    return alpha * x + sigma * eps, alpha * eps - sigma * x


@torch.no_grad()
def validate(net: nn.Module, x: Tensor, levels: Tensor, device: str) -> tuple[float, Tensor]:
    """(bits per dimension of the diffusion loss over the range of ``levels``, PSNR in dB at each level)."""
    squared = []  # mean (x - x_hat)^2 at each log-SNR
    generator = torch.Generator().manual_seed(1)
    for logsnr in levels:
        total = 0.0
        for part in x.split(8 * 128**2 // x[0, 0].numel()):
            eps = torch.randn(part.shape, generator=generator)
            t = logsnr.expand(len(part))
            z, v = diffuse(part, t, eps)
            with low_precision(device):
                v_hat = net(z.to(device), t.to(device)).float().cpu()
            total += float((v - v_hat).square().sum())
        squared.append(total / x.numel() * float(torch.sigmoid(-logsnr)))
    mse = torch.tensor(squared)
    bits = torch.trapezoid(mse * levels.exp(), levels) / 2 / LN2  # 1/2 int SNR ||x - x_hat||^2 dlogsnr, VDM eq. 17
    return float(bits), 10 * torch.log10(4 / mse)


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--channels", type=int, nargs="+", default=[64, 96, 128, 160])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2, 2])
    ap.add_argument("--attention", action="store_true", help="at the lowest resolution")
    ap.add_argument("--fourier", action="store_true", help="Fourier features of z")
    ap.add_argument("--paper", action="store_true", help="a network of the VDM paper's size")
    ap.add_argument("--crop", type=int, default=64)
    ap.add_argument("--wide", type=float, default=0.25, help="share of steps on crops twice as wide")
    ap.add_argument(
        "--focus",
        type=float,
        nargs=3,
        default=[-2, 8, 0.4],
        metavar=("LOW", "HIGH", "SHARE"),
        help="this share of the draws falls on log-SNRs from LOW to HIGH, where DiffC spends its bits",
    )
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    config = UNetConfig(tuple(args.channels), tuple(args.blocks), attention=args.attention, fourier=args.fourier)
    config = PAPER if args.paper else config
    net = UNet(config)
    run = Training(args, net, config.as_dict())
    tiles = load_tiles(args.data, "train")
    draw: dict[int, Callable[[int], Tensor]] = {}
    if args.cifar:
        args.crop, args.wide = SIDE, 0.0
        draw[SIDE] = SmallPictures(load_cifar(args.cifar, "train"), tiles, args.photos, run.seed)
        held_out = load_cifar(args.cifar, "val")
    else:
        draw |= {n: Crops(tiles, n, run.seed + n) for n in (args.crop, 2 * args.crop)}
        val = [t for t in load_tiles(args.data, "val") if min(t.shape[:2]) >= 128][::4]
        centres = [t[(y := (t.shape[0] - 128) // 2) : y + 128, (x := (t.shape[1] - 128) // 2) : x + 128] for t in val]
        held_out = np.stack(centres)
    x_val = torch.from_numpy(held_out).permute(0, 3, 1, 2) / 127.5 - 1
    low, high, share = args.focus
    knots = np.array([config.logsnr_min, low, high, config.logsnr_max])
    mass = (1 - share) * np.diff(knots) / (knots[-1] - knots[0]) + [0, share, 0]
    cdf = np.concatenate([[0.0], np.cumsum(mass)])  # of the density of log-SNR draws, constant between the knots
    levels = torch.arange(config.logsnr_min, config.logsnr_max + 0.5)
    forward = torch.compile(run.net) if args.compile else run.net
    if run.rank == 0:
        size = sum(p.numel() for p in net.parameters())
        print(f"{size} parameters, {len(tiles)} tiles, {len(held_out)} held out, step {run.step}", flush=True)
    pick = np.random.default_rng(run.seed)

    def loss() -> Tensor:
        wide = pick.random() < args.wide
        batch = max(1, args.batch // 4) if wide else args.batch
        x = draw[2 * args.crop if wide else args.crop](batch).to(args.device, memory_format=torch.channels_last)
        # one stratified draw for the batch (VDM app. I.1: low-discrepancy times)
        u = (np.arange(batch) + pick.random()) / batch
        logsnr = torch.from_numpy(np.interp(u, cdf, knots)).float().to(args.device)
        z, v = diffuse(x, logsnr, torch.randn_like(x))
        with low_precision(args.device):
            return (forward(z, logsnr) - v).square().mean()

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        bits, psnr = validate(ema, x_val, levels, args.device)
        return {"log": [f"{bits:.4f}"], "psnr": [f"{p:.3f}" for p in psnr.tolist()]}

    run.loop(loss, lines, {"log": ["val_diffusion_bpd"], "psnr": [f"{s:g}" for s in levels.tolist()]})


if __name__ == "__main__":
    main()
