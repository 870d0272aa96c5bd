"""Train `photo-vdm` or `cifar10-vdm`, variational diffusion models (arXiv 2107.00630).

    python -m tools.training.train_vdm PHOTOS.npz RUN_DIR --minutes 90 [--resume]
    python -m tools.training.train_vdm PHOTOS.npz RUN_DIR --cifar SOURCE [--photos 0.4] ...

PHOTOS.npz holds the tiles packed by `tools/training/prepare_photos.py`; SOURCE is described in `cifar_data.py`.

v-prediction with log-SNR uniform over the trained range and, for a share of the draws, over --focus. Per log-SNR,
||v - v_hat||^2 = (1 + SNR) ||x - x_hat||^2, which at high SNR is twice the integrand of the bound (VDM eq. 17), and at
low SNR keeps the picture's own scale.
RUN_DIR/log.csv holds the validation bound, RUN_DIR/psnr.csv the denoising PSNR by log-SNR. `frame.py` says how a run
goes; `torchrun --nproc_per_node N -m tools.training.train_vdm ...` takes N processes.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from diffcodec.models.unet.net import PAPER, UNet, UNetConfig
from tools.training.cifar_data import SIDE, SmallPictures, load_cifar
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import Crops, load_tiles

LN2 = math.log(2)


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


def stacked(crops: Iterable[tuple[np.ndarray, object]]) -> Tensor:
    """uint8 (N, 3, H, W) of crops uint8 (H, W, 3)."""
    return torch.from_numpy(np.stack([crop for crop, _ in crops])).permute(0, 3, 1, 2)


def validation(args: Namespace) -> np.ndarray:
    """uint8 (N, H, W, 3): CIFAR's, else the centres, 128², of every fourth tile that is large enough."""
    if args.cifar:
        return load_cifar(args.cifar, "val")
    val = [t for t in load_tiles(args.data, "val") if min(t.shape[:2]) >= 128][::4]
    corners = [((t.shape[0] - 128) // 2, (t.shape[1] - 128) // 2) for t in val]
    return np.stack([t[y : y + 128, x : x + 128] for t, (y, x) in zip(val, corners, strict=True)])


def grown(start: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """What to start a larger network from: the weights ``start`` of a smaller one, whose answers it gives at first.

    ``own`` are the larger one's. Whatever is new ends in a layer that adds nothing yet: a level's way back up, and the
    second convolution of a block on a level that there was.
    """
    whole = [f"down.{n}." for n in range(9) if not any(k.startswith(f"down.{n}.") for k in start)]  # new levels
    last = [k for k in own if k not in start and k.startswith(("finer.", "up.", "down.")) and ".conv1." not in k]
    last = [k for k in last if not k.startswith(tuple(whole))]
    return start | {k: torch.zeros_like(own[k]) for k in last}


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
    run = Training(args, net, config.as_dict(), fit=grown)
    tiles = load_tiles(args.data, "train") if args.photos or not args.cifar else []
    if args.cifar:
        args.crop, args.wide = SIDE, 0.0
        images = load_cifar(args.cifar, "train")
    held_out = validation(args)
    x_val = torch.from_numpy(held_out).permute(0, 3, 1, 2) / 127.5 - 1
    low, high, share = args.focus
    knots = np.array([config.logsnr_min, low, high, config.logsnr_max])
    mass = (1 - share) * np.diff(knots) / (knots[-1] - knots[0]) + [0, share, 0]
    cdf = np.concatenate([[0.0], np.cumsum(mass)])  # of the density of log-SNR draws, constant between the knots
    levels = torch.arange(config.logsnr_min, config.logsnr_max + 0.5)
    forward = torch.compile(run.net, dynamic=False) if args.compile else run.net
    if run.rank == 0:
        size = sum(p.numel() for p in net.parameters())
        print(f"{size} parameters, {len(tiles)} tiles, {len(held_out)} held out, step {run.step}", flush=True)

    def make(seed: int) -> Callable[[], tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(seed)
        small = SmallPictures(images, tiles, args.photos, seed) if args.cifar else None
        crops = {n: Crops(tiles, n, seed + n) for n in (args.crop, 2 * args.crop)} if small is None else {}

        def draw() -> tuple[Tensor, Tensor]:
            """Pictures uint8 (N, 3, H, W) and their log-SNRs float32 (N,)."""
            wide = rng.random() < args.wide
            batch = max(1, args.batch // 4) if wide else args.batch
            x = small(batch) if small is not None else stacked(crops[2 * args.crop if wide else args.crop](batch))
            # one stratified draw for the batch (VDM app. I.1: low-discrepancy times)
            u = (np.arange(batch) + rng.random()) / batch
            return x, torch.from_numpy(np.interp(u, cdf, knots)).float()

        return draw

    drawn = batches(make, args, run.seed)

    def objective(pixels: Tensor, logsnr: Tensor) -> Tensor:
        x = pixels.to(memory_format=torch.channels_last) / 127.5 - 1
        z, v = diffuse(x, logsnr, torch.randn_like(x))
        with low_precision(args.device):
            return (forward(z, logsnr) - v).square().mean()

    if args.compile:  # for both sizes before the first step, so that no step of the schedule waits for it
        sizes = [(args.batch, args.crop)] + [(max(1, args.batch // 4), 2 * args.crop)] * (args.wide > 0)
        for batch, side in sizes:
            blank = torch.zeros(batch, 3, side, side, dtype=torch.uint8, device=args.device)
            objective(blank, torch.zeros(batch, device=args.device)).backward()
        net.zero_grad(set_to_none=True)

    def loss() -> Tensor:
        return objective(*next(drawn))

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        bits, psnr = validate(ema, x_val, levels, args.device)
        return {"log": [f"{bits:.4f}"], "psnr": [f"{p:.3f}" for p in psnr.tolist()]}

    run.loop(loss, lines, {"log": ["val_diffusion_bpd"], "psnr": [f"{s:g}" for s in levels.tolist()]})


if __name__ == "__main__":
    main()
