"""Train the lattice ARDM (`photo-ardm`, `cifar10-ardm`) on tiles packed by `tools/prepare_photos.py`.

    python tools/train_ardm.py PHOTOS.npz RUN_DIR --minutes 90 [--resume]
    python tools/train_ardm.py PHOTOS.npz RUN_DIR --cifar SOURCE [--photos 0.5] --init WEIGHTS.safetensors ...

SOURCE is described in `cifar_data.py`. --init may hold fewer residual pairs than --blocks: the others begin as nothing.

Weights and activations are quantised to int8 (straight-through) for the last ``--qat`` share of the time.
RUN_DIR/log.csv holds the validation bits. `training.py` says how a run goes; `torchrun --nproc_per_node N
tools/train_ardm.py ...` takes N processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from cifar_data import SIDE, SmallPictures, load_cifar
from photo_data import augment, load_tiles
from PIL import Image
from torch import Tensor, nn
from training import Training, arguments, low_precision

from diffcodec.codecs.lattice import SIDE_PIXELS
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

    def __call__(self) -> tuple[Tensor, Tensor]:
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


def small_codes(x: Tensor) -> Tensor:
    """Side codes (N, levels, 2) of pictures (N, 3, SIDE, SIDE) as the codec sends them: of levels that are large."""
    levels = int(math.log2(SIDE))
    codes = torch.full((len(x), levels, 2), STAT_UNKNOWN)
    for level in range(levels):
        part = x[..., :: 2**level, :: 2**level]
        if part[0, 0].numel() >= SIDE_PIXELS:
            codes[:, level] = side_codes(part)
    return codes


class SmallBatches:
    """CIFAR-10 images and parts of downscaled photographs, with their side codes."""

    def __init__(self, pictures: SmallPictures, batch: int):
        self.pictures, self.batch, self.tiles = pictures, batch, pictures.tiles

    def __call__(self) -> tuple[Tensor, Tensor]:
        x = ((self.pictures(self.batch) + 1) * 127.5).round().to(torch.uint8)
        return x, small_codes(x)


def image_bits(net: LatticeNet, x: Tensor, codes: Tensor) -> Tensor:
    """Bits of all levels of a batch (N, 3, H, W), sides a power of two, coarsest 2x2 left out."""
    total = torch.zeros((), device=x.device)
    for level in range(codes.shape[1]):
        part = x[..., :: 2**level, :: 2**level]
        if min(part.shape[-2:]) < 4:
            break
        total = total + net.nats(part, level, codes[:, level])
    return total / LN2


@torch.no_grad()
def validate(net: LatticeNet, sets: dict[str, list[tuple[Tensor, Tensor]]], device: str) -> dict[str, float]:
    out = {}
    for name, items in sets.items():
        bits = pixels = 0.0
        for x, codes in items:
            with low_precision(device):
                bits += float(image_bits(net, x.to(device), codes.to(device)))
            pixels += x.numel()
        out[name] = bits / pixels
    return out


def validation_sets(path: Path, extra: Path | None) -> dict[str, list[tuple[Tensor, Tensor]]]:
    def centre(t: np.ndarray, n: int = 128) -> tuple[Tensor, Tensor]:
        y, x = (t.shape[0] - n) // 2, (t.shape[1] - n) // 2
        part = np.ascontiguousarray(t[y : y + n, x : x + n])
        return torch.from_numpy(part).permute(2, 0, 1)[None], torch.from_numpy(level_codes(t, 7))[None]

    sets = {"val": [centre(t) for t in load_tiles(path, "val") if min(t.shape[:2]) >= 128][::2]}
    if extra is not None:
        images = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(extra.iterdir())]
        sets["extra"] = [centre(t, 256) for t in images]
    return sets


def small_validation(images: np.ndarray) -> dict[str, list[tuple[Tensor, Tensor]]]:
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    return {"val": [(part, small_codes(part)) for part in x.split(64)]}


def calibrate(net: LatticeNet, batches: Callable[[], tuple[Tensor, Tensor]], device: str) -> None:
    """Set the steps of the activations' codes from a few batches."""
    convs = [m for m in net.modules() if isinstance(m, QuantConv)]
    for m in convs:
        m.observe = []
    with torch.no_grad(), low_precision(device):
        for _ in range(12):
            x, codes = batches()
            image_bits(net, x.to(device), codes.to(device))
    for m in convs:
        m.calibrate(0.9999)


def main() -> None:
    ap = arguments(__doc__, batch=8, lr=2e-3, photos=0.5)
    ap.add_argument("--qat", type=float, default=0.25, help="last share of the schedule with int8 in the loop")
    ap.add_argument("--channels", type=int, default=96)
    ap.add_argument("--blocks", type=int, default=3)
    ap.add_argument("--components", type=int, default=5)
    ap.add_argument("--crop", type=int, default=64)
    ap.add_argument("--extra", type=Path, help="folder of other photographs to validate on")
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    config = LatticeConfig(args.channels, args.blocks, args.components)
    net = LatticeNet(config)
    run = Training(args, net, config.as_dict(), betas=(0.9, 0.98))
    if args.init and not run.step:
        with torch.no_grad():
            for p in (p for name, p in net.named_parameters() if name not in run.started_from and ".mix." in name):
                p.zero_()
    ema: LatticeNet = run.ema  # type: ignore[assignment]
    quantized = run.state.setdefault("quantized", False)
    net.set_quantized(quantized)
    ema.set_quantized(quantized)
    tiles = load_tiles(args.data, "train")
    batches: Batches | SmallBatches
    if args.cifar:
        pictures = SmallPictures(load_cifar(args.cifar, "train"), tiles, args.photos, run.seed)
        batches, sets = SmallBatches(pictures, args.batch), small_validation(load_cifar(args.cifar, "val"))
    else:
        batches, sets = Batches(tiles, args.crop, args.batch, run.seed), validation_sets(args.data, args.extra)
    if run.rank == 0:
        print(f"{sum(p.numel() for p in net.parameters())} parameters, step {run.step}", flush=True)
    forward = torch.compile(image_bits) if args.compile else image_bits

    def begin_quantised() -> None:
        if not run.state["quantized"] and run.progress >= 1 - args.qat:
            run.state["quantized"] = True
            net.load_state_dict(ema.state_dict())
            calibrate(net, batches, args.device)
            ema.load_state_dict(net.state_dict())
            run.same_weights()
            net.set_quantized(True)
            ema.set_quantized(True)

    def loss() -> Tensor:
        x, codes = batches()
        with low_precision(args.device):
            return forward(net, x.to(args.device), codes.to(args.device)) / x.numel()

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        scores = validate(ema, sets, args.device)  # type: ignore[arg-type]
        return {"log": [str(int(run.state["quantized"])), *[f"{v:.4f}" for v in scores.values()]]}

    run.loop(loss, lines, {"log": ["quantized", *[f"{k}_bpd" for k in sets]]}, prepare=begin_quantised)


if __name__ == "__main__":
    main()
