"""Train `photo-vdm` or `cifar10-vdm`, variational diffusion models (arXiv 2107.00630).

    python tools/train_vdm.py PHOTOS.npz RUN_DIR --minutes 90 [--resume]
    python tools/train_vdm.py PHOTOS.npz RUN_DIR --cifar SOURCE [--photos 0.4] ...

PHOTOS.npz holds the tiles packed by `tools/prepare_photos.py`; SOURCE is described in `cifar_data.py`.

v-prediction with log-SNR uniform over the trained range and, for a share of the draws, over --focus. Per log-SNR,
||v - v_hat||^2 = (1 + SNR) ||x - x_hat||^2, which at high SNR is twice the integrand of the bound (VDM eq. 17), and at
low SNR keeps the picture's own scale.
The schedule is in minutes of training, so a run may be interrupted and resumed anywhere: cosine learning rate to 1 %,
EMA of the weights, a checkpoint and lines of RUN_DIR/log.csv (validation bound) and RUN_DIR/psnr.csv (denoising PSNR
by log-SNR) every few minutes.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cifar_data import SIDE, SmallPictures, load_cifar
from photo_data import augment, load_tiles
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file as save_safetensors
from torch import Tensor

from diffcodec.models.unet import UNet, UNetConfig

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
def validate(net: UNet, x: Tensor, levels: Tensor, device: str) -> tuple[float, Tensor]:
    """(bits per dimension of the diffusion loss over the range of ``levels``, PSNR in dB at each level)."""
    squared = []  # mean (x - x_hat)^2 at each log-SNR
    generator = torch.Generator().manual_seed(1)
    for logsnr in levels:
        total = 0.0
        for part in x.split(8 * 128**2 // x[0, 0].numel()):
            eps = torch.randn(part.shape, generator=generator)
            t = logsnr.expand(len(part))
            z, v = diffuse(part, t, eps)
            with torch.autocast(device, torch.bfloat16):
                v_hat = net(z.to(device), t.to(device)).float().cpu()
            total += float((v - v_hat).square().sum())
        squared.append(total / x.numel() * float(torch.sigmoid(-logsnr)))
    mse = torch.tensor(squared)
    bits = torch.trapezoid(mse * levels.exp(), levels) / 2 / LN2  # 1/2 int SNR ||x - x_hat||^2 dlogsnr, VDM eq. 17
    return float(bits), 10 * torch.log10(4 / mse)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path)
    ap.add_argument("run", type=Path)
    ap.add_argument("--minutes", type=float, default=90, help="length of the whole schedule")
    ap.add_argument("--channels", type=int, nargs="+", default=[64, 96, 128, 160])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2, 2])
    ap.add_argument("--cifar", type=Path, help="train on CIFAR-10 from this folder or .npz")
    ap.add_argument("--photos", type=float, default=0.4, help="with --cifar: share of downscaled photographs")
    ap.add_argument("--crop", type=int, default=64)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--wide", type=float, default=0.25, help="share of steps on crops twice as wide")
    ap.add_argument(
        "--focus",
        type=float,
        nargs=3,
        default=[-2, 8, 0.4],
        metavar=("LOW", "HIGH", "SHARE"),
        help="this share of the draws falls on log-SNRs from LOW to HIGH, where DiffC spends its bits",
    )
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--ema", type=float, default=0.999)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    ap.add_argument("--steps", type=int, default=0, help="stop after this many steps (a dry run)")
    ap.add_argument("--resume", action="store_true")
    ap.add_argument(
        "--init", type=Path, help="start from these weights (diffcodec/models/weights/photo-vdm.safetensors)"
    )
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    config = UNetConfig(tuple(args.channels), tuple(args.blocks))
    net = UNet(config).to(args.device, memory_format=torch.channels_last)
    if args.init:
        net.load_state_dict(load_safetensors(args.init))
    ema = copy.deepcopy(net)
    decay = [p for p in net.parameters() if p.ndim == 4]
    rest = [p for p in net.parameters() if p.ndim != 4]
    opt = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 1e-3}, {"params": rest, "weight_decay": 0.0}],
        lr=args.lr,
        betas=(0.9, 0.99),
        fused=True,
    )
    step, minutes = 0, 0.0
    state_path = args.run / "state.pt"
    if args.resume and state_path.exists():
        state = torch.load(state_path, weights_only=True, map_location=args.device)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        opt.load_state_dict(state["opt"])
        step, minutes = state["step"], state["minutes"]
    tiles = load_tiles(args.data, "train")
    seed = args.seed + step
    draw: dict[int, Callable[[int], Tensor]] = {}
    if args.cifar:
        args.crop, args.wide = SIDE, 0.0
        draw[SIDE] = SmallPictures(load_cifar(args.cifar, "train"), tiles, args.photos, seed)
        held_out = load_cifar(args.cifar, "val")
    else:
        draw |= {n: Crops(tiles, n, seed + n) for n in (args.crop, 2 * args.crop)}
        val = [t for t in load_tiles(args.data, "val") if min(t.shape[:2]) >= 128][::4]
        centres = [t[(y := (t.shape[0] - 128) // 2) : y + 128, (x := (t.shape[1] - 128) // 2) : x + 128] for t in val]
        held_out = np.stack(centres)
    x_val = torch.from_numpy(held_out).permute(0, 3, 1, 2) / 127.5 - 1
    low, high, share = args.focus
    knots = np.array([config.logsnr_min, low, high, config.logsnr_max])
    mass = (1 - share) * np.diff(knots) / (knots[-1] - knots[0]) + [0, share, 0]
    cdf = np.concatenate([[0.0], np.cumsum(mass)])  # of the density of log-SNR draws, constant between the knots
    levels = torch.arange(config.logsnr_min, config.logsnr_max + 0.5)
    size = sum(p.numel() for p in net.parameters())
    print(f"{size} parameters, {len(tiles)} tiles, {len(held_out)} held out, step {step}", flush=True)
    forward = torch.compile(net) if args.compile else net
    logs = {}
    for name, head in (
        ("log", ["step", "minutes", "lr", "train_v", "val_diffusion_bpd"]),
        ("psnr", ["step", *[f"{s:g}" for s in levels.tolist()]]),
    ):
        fresh = not (args.run / f"{name}.csv").exists()
        logs[name] = (args.run / f"{name}.csv").open("a", newline="")
        if fresh:
            csv.writer(logs[name]).writerow(head)
    pick = np.random.default_rng(args.seed + step)
    window: list[float] = []
    last = time.perf_counter()
    next_save = minutes + args.every
    while minutes < args.minutes and (not args.steps or step < args.steps):
        lr = args.lr * min(1.0, (step + 1) / 300) * (0.01 + 0.99 * (1 + math.cos(math.pi * minutes / args.minutes)) / 2)
        for group in opt.param_groups:
            group["lr"] = lr
        wide = pick.random() < args.wide
        batch = max(1, args.batch // 4) if wide else args.batch
        x = draw[2 * args.crop if wide else args.crop](batch).to(args.device, memory_format=torch.channels_last)
        # one stratified draw for the batch (VDM app. I.1: low-discrepancy times)
        u = (np.arange(batch) + pick.random()) / batch
        logsnr = torch.from_numpy(np.interp(u, cdf, knots)).float().to(args.device)
        z, v = diffuse(x, logsnr, torch.randn_like(x))
        with torch.autocast(args.device, torch.bfloat16):
            loss = (forward(z, logsnr) - v).square().mean()
        opt.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if torch.isfinite(norm):
            opt.step()
        step += 1
        with torch.no_grad():
            m = min(args.ema, step / (step + 20))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - m)
        window.append(float(loss.detach()))
        now = time.perf_counter()
        minutes, last = minutes + (now - last) / 60, now
        if step % 200 == 0:
            print(f"{step} {minutes:.1f} min lr {lr:.2e} train {np.mean(window[-200:]):.4f}", flush=True)
        if minutes >= next_save or minutes >= args.minutes or step == args.steps:
            bits, psnr = validate(ema, x_val, levels, args.device)
            csv.writer(logs["log"]).writerow(
                [step, f"{minutes:.2f}", f"{lr:.3e}", f"{np.mean(window):.5f}", f"{bits:.4f}"]
            )
            csv.writer(logs["psnr"]).writerow([step, *[f"{p:.3f}" for p in psnr.tolist()]])
            for file in logs.values():
                file.flush()
            print(f"== {step} {minutes:.1f} min, diffusion loss {bits:.4f} bpd", flush=True)
            window.clear()
            state = {
                "net": net.state_dict(),
                "ema": ema.state_dict(),
                "opt": opt.state_dict(),
                "step": step,
                "minutes": minutes,
                "config": config.as_dict(),
            }
            torch.save(state, state_path.with_suffix(".tmp"))
            state_path.with_suffix(".tmp").replace(state_path)
            half = {k: v.half().cpu().contiguous() for k, v in ema.state_dict().items()}
            save_safetensors(half, args.run / "ema-float16.safetensors")
            next_save = minutes + args.every
            last = time.perf_counter()
    print("done", step, flush=True)


if __name__ == "__main__":
    main()
