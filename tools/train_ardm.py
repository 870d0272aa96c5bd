"""Train the lattice ARDM (`photo-ardm`) on tiles packed by `tools/prepare_photos.py`.

    python tools/train_ardm.py PHOTOS.npz RUN_DIR --minutes 90 [--resume]

The schedule is in minutes of training, so a run may be interrupted and resumed anywhere: cosine learning rate to
1 %, weights and activations quantised to int8 (straight-through) for the last ``--qat`` share of the time, EMA of
the weights, a checkpoint and a line of RUN_DIR/log.csv every few minutes.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from photo_data import augment, load_tiles
from PIL import Image

from diffcodec.models.lattice_net import STAT_UNKNOWN, LatticeConfig, LatticeNet, QuantConv, side_codes

LN2 = math.log(2)


def level_codes(tile: np.ndarray, levels: int) -> np.ndarray:
    """Side codes (levels, 2) of an image, level l having stride 2^l."""
    x = torch.from_numpy(np.ascontiguousarray(tile)).permute(2, 0, 1)[None]
    codes = []
    for level in range(levels):
        part = x[..., :: 2**level, :: 2**level]
        codes.append(side_codes(part)[0].numpy() if min(part.shape[-2:]) >= 6 else np.full(2, STAT_UNKNOWN))
    return np.stack(codes)


class Batches:
    """Random crops with their side codes; several crops are cut from each augmented tile."""

    def __init__(self, tiles: list[np.ndarray], crop: int, batch: int, seed: int):
        self.tiles, self.crop, self.batch = tiles, crop, batch
        self.rng = np.random.default_rng(seed)
        self.levels = int(math.log2(crop))
        area = np.array([t.shape[0] * t.shape[1] for t in tiles], np.float64)
        self.p = area / area.sum()
        self.pool: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        crops, codes = [], []
        while len(self.pool) < 64:  # crops of one tile are spread over batches
            tile = augment(self.tiles[self.rng.choice(len(self.tiles), p=self.p)], self.rng, self.crop)
            if min(tile.shape[:2]) < self.crop:
                continue
            code = level_codes(tile, self.levels)
            for _ in range(4):
                y, x = (self.rng.integers(n - self.crop + 1) for n in tile.shape[:2])
                self.pool.append((np.ascontiguousarray(tile[y : y + self.crop, x : x + self.crop]), code))
        for _ in range(self.batch):
            i = self.rng.integers(len(self.pool))
            self.pool[i], self.pool[-1] = self.pool[-1], self.pool[i]
            tile, code = self.pool.pop()
            crops.append(tile)
            codes.append(np.full_like(code, STAT_UNKNOWN) if self.rng.random() < 0.08 else code)
        x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return x, torch.from_numpy(np.stack(codes))


def image_bits(net: LatticeNet, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Bits of all levels of a batch (N, 3, H, W), sides a power of two, coarsest 2x2 left out."""
    total = torch.zeros((), device=x.device)
    for level in range(codes.shape[1]):
        part = x[..., :: 2**level, :: 2**level]
        if min(part.shape[-2:]) < 4:
            break
        total = total + net.nats(part, level, codes[:, level])
    return total / LN2


@torch.no_grad()
def validate(
    net: LatticeNet, sets: dict[str, list[tuple[torch.Tensor, torch.Tensor]]], device: str
) -> dict[str, float]:
    out = {}
    for name, items in sets.items():
        bits = pixels = 0.0
        for x, codes in items:
            with torch.autocast(device, torch.bfloat16):
                bits += float(image_bits(net, x.to(device), codes.to(device)))
            pixels += x.numel()
        out[name] = bits / pixels
    return out


def validation_sets(path: Path, extra: Path | None) -> dict[str, list[tuple[torch.Tensor, torch.Tensor]]]:
    def centre(t: np.ndarray, n: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
        y, x = (t.shape[0] - n) // 2, (t.shape[1] - n) // 2
        part = np.ascontiguousarray(t[y : y + n, x : x + n])
        return torch.from_numpy(part).permute(2, 0, 1)[None], torch.from_numpy(level_codes(t, 7))[None]

    sets = {"val": [centre(t) for t in load_tiles(path, "val") if min(t.shape[:2]) >= 128][::2]}
    if extra is not None:
        images = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(extra.iterdir())]
        sets["extra"] = [centre(t, 256) for t in images]
    return sets


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path)
    ap.add_argument("run", type=Path)
    ap.add_argument("--minutes", type=float, default=90, help="length of the whole schedule")
    ap.add_argument("--qat", type=float, default=0.25, help="last share of the schedule with int8 in the loop")
    ap.add_argument("--channels", type=int, default=96)
    ap.add_argument("--blocks", type=int, default=3)
    ap.add_argument("--components", type=int, default=5)
    ap.add_argument("--crop", type=int, default=64)
    ap.add_argument("--batch", type=int, default=8)
    ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--ema", type=float, default=0.999)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    ap.add_argument("--extra", type=Path, help="folder of other photographs to validate on")
    ap.add_argument("--steps", type=int, default=0, help="stop after this many steps (a dry run)")
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    args.run.mkdir(parents=True, exist_ok=True)
    config = LatticeConfig(args.channels, args.blocks, args.components)
    net = LatticeNet(config).to(args.device, memory_format=torch.channels_last)
    ema = copy.deepcopy(net)
    decay = [p for n, p in net.named_parameters() if p.ndim == 4]
    rest = [p for n, p in net.named_parameters() if p.ndim != 4]
    opt = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 1e-3}, {"params": rest, "weight_decay": 0.0}], lr=args.lr, betas=(0.9, 0.98)
    )
    step, minutes, quantized = 0, 0.0, False
    state_path = args.run / "state.pt"
    if args.resume and state_path.exists():
        state = torch.load(state_path, weights_only=True, map_location=args.device)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        opt.load_state_dict(state["opt"])
        step, minutes, quantized = state["step"], state["minutes"], state["quantized"]
    net.set_quantized(quantized)
    ema.set_quantized(quantized)
    batches = Batches(load_tiles(args.data, "train"), args.crop, args.batch, args.seed + step)
    sets = validation_sets(args.data, args.extra)
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {len(batches.tiles)} tiles, step {step}", flush=True)
    forward = torch.compile(image_bits) if args.compile else image_bits
    log_path = args.run / "log.csv"
    new_log = not log_path.exists()
    log = csv.writer(log_path.open("a", newline=""))
    if new_log:
        log.writerow(["step", "minutes", "lr", "quantized", "train_bpd", *[f"{k}_bpd" for k in sets]])
    window: list[float] = []
    last = time.perf_counter()
    next_save = minutes + args.every
    while minutes < args.minutes and (not args.steps or step < args.steps):
        progress = minutes / args.minutes
        lr = args.lr * min(1.0, (step + 1) / 200) * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in opt.param_groups:
            group["lr"] = lr
        if not quantized and progress >= 1 - args.qat:
            quantized = True
            net.load_state_dict(ema.state_dict())
            convs = [m for m in net.modules() if isinstance(m, QuantConv)]
            for m in convs:
                m.observe = []
            with torch.no_grad(), torch.autocast(args.device, torch.bfloat16):
                for _ in range(12):
                    x, codes = batches()
                    image_bits(net, x.to(args.device), codes.to(args.device))
            for m in convs:
                m.calibrate(0.9999)
            ema.load_state_dict(net.state_dict())
            net.set_quantized(True)
            ema.set_quantized(True)
        x, codes = batches()
        with torch.autocast(args.device, torch.bfloat16):
            bpd = forward(net, x.to(args.device), codes.to(args.device)) / x.numel()
        opt.zero_grad(set_to_none=True)
        bpd.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if torch.isfinite(norm):
            opt.step()
        step += 1
        with torch.no_grad():
            m = min(args.ema, step / (step + 20))
            torch._foreach_lerp_(list(ema.parameters()), list(net.parameters()), 1 - m)
        window.append(float(bpd.detach()))
        now = time.perf_counter()
        minutes, last = minutes + (now - last) / 60, now
        if step % 200 == 0:
            print(
                f"{step} {minutes:.1f} min lr {lr:.2e} train {np.mean(window[-200:]):.4f} norm {float(norm):.3f}",
                flush=True,
            )
        if minutes >= next_save or minutes >= args.minutes:
            scores = validate(ema, sets, args.device)
            log.writerow(
                [
                    step,
                    f"{minutes:.2f}",
                    f"{lr:.3e}",
                    int(quantized),
                    f"{np.mean(window):.4f}",
                    *[f"{v:.4f}" for v in scores.values()],
                ]
            )
            print(f"== {step} {minutes:.1f} min {scores}", flush=True)
            window.clear()
            state = {
                "net": net.state_dict(),
                "ema": ema.state_dict(),
                "opt": opt.state_dict(),
                "step": step,
                "minutes": minutes,
                "quantized": quantized,
                "config": config.as_dict(),
            }
            torch.save(state, state_path.with_suffix(".tmp"))
            state_path.with_suffix(".tmp").replace(state_path)
            next_save = minutes + args.every
            last = time.perf_counter()
    print("done", step, flush=True)


if __name__ == "__main__":
    main()
