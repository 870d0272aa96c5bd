"""Train the lattice ARDM (`photo-ardm`, `cifar10-ardm`) on tiles packed by `tools/training/prepare_photos.py`.

    python -m tools.training.train_ardm PHOTOS.npz RUN_DIR --minutes 90 [--resume]
    python -m tools.training.train_ardm PHOTOS.npz RUN_DIR --cifar SOURCE [--photos 0.5] --init WEIGHTS.safetensors ...

SOURCE is described in `cifar_data.py`. --init may hold fewer residual pairs than --blocks, and fewer channels: what is
new begins as nothing, so that the network starts where the smaller one ended.

Weights and activations are quantised to int8 (straight-through) for the last ``--qat`` share of the time.
RUN_DIR/log.csv holds the validation bits. `frame.py` says how a run goes; `torchrun --nproc_per_node N -m
tools.training.train_ardm ...` takes N processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from diffcodec.models.lattice.geometry import SIDE_PIXELS
from diffcodec.models.lattice.net import STAT_UNKNOWN, LatticeConfig, LatticeNet, QuantConv, side_codes
from tools.training.cifar_data import SIDE, SmallPictures, load_cifar
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import Crops, load_tiles

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
    """Random crops uint8 (N, 3, crop, crop) with their side codes (N, levels, 2), some of which are left out."""

    def __init__(self, tiles: list[np.ndarray], crop: int, batch: int, seed: int):
        self.batch, self.rng = batch, np.random.default_rng(seed)
        levels = int(math.log2(crop))
        self.crops = Crops(tiles, crop, seed, lambda tile: level_codes(tile, levels))

    def __call__(self) -> tuple[Tensor, Tensor]:
        pixels, codes = zip(*self.crops(self.batch), strict=True)
        given = np.where(self.rng.random((self.batch, 1, 1)) < 0.08, STAT_UNKNOWN, np.stack(codes))
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(given)


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
        self.pictures, self.batch = pictures, batch

    def __call__(self) -> tuple[Tensor, Tensor]:
        x = self.pictures(self.batch)
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


def calibrate(net: LatticeNet, drawn: Iterator[tuple[Tensor, Tensor]], device: str) -> None:
    """Set the steps of the activations' codes from a few batches, of large ones from their first pictures."""
    convs = [m for m in net.modules() if isinstance(m, QuantConv)]
    for m in convs:
        m.observe = []
    with torch.no_grad(), low_precision(device):
        for _ in range(12):
            x, codes = next(drawn)
            image_bits(net, x[:32], codes[:32])
    for m in convs:
        m.calibrate(0.9999)


def widened(start: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """``start`` in the shapes of ``own``, a network of as many channels or more that computes the same.

    Weights of new features into old ones are 0, those of old features into new ones stay as they were drawn: a new
    feature is there from the beginning and is heard as soon as training gives it weight.
    """
    rows = {name: len(value) for name, value in start.items() if name.endswith("head.bias")}  # 10 for each logistic
    if any(name not in own or len(own[name]) != count for name, count in rows.items()):
        return start  # what agrees in shape is taken
    out = {}
    for name, old in start.items():
        new = own[name].clone() if name in own else None
        if new is None or any(n < o for n, o in zip(new.shape, old.shape, strict=True)):
            continue
        if name.endswith(".first"):  # rows of features, then of the linear skip
            skip = 3 * rows[name.removesuffix("first") + "head.bias"] // 10
            new[: len(old) - skip], new[len(new) - skip :] = old[:-skip], old[-skip:]
        elif new.ndim == 0:
            new.copy_(old)
        elif new.ndim == 1:
            new[: len(old)] = old
        else:
            new[: old.shape[0], old.shape[1] :] = 0
            new[: old.shape[0], : old.shape[1]] = old
        out[name] = new
    return out


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
    run = Training(args, net, config.as_dict(), betas=(0.9, 0.98), fit=widened)
    if args.init and not run.step:
        with torch.no_grad():
            for p in (p for name, p in net.named_parameters() if name not in run.started_from and ".mix." in name):
                p.zero_()
        run.ema.load_state_dict(net.state_dict())
    ema: LatticeNet = run.ema  # type: ignore[assignment]
    quantised = run.state.setdefault("quantised", False)
    net.set_quantised(quantised)
    ema.set_quantised(quantised)
    tiles = load_tiles(args.data, "train") if args.photos or not args.cifar else []
    images = load_cifar(args.cifar, "train") if args.cifar else None

    def make(seed: int) -> Batches | SmallBatches:
        if images is None:
            return Batches(tiles, args.crop, args.batch, seed)
        return SmallBatches(SmallPictures(images, tiles, args.photos, seed), args.batch)

    drawn = batches(make, args, run.seed)
    held_out = load_cifar(args.cifar, "val") if args.cifar else None
    sets = validation_sets(args.data, args.extra) if held_out is None else small_validation(held_out)
    if run.rank == 0:
        print(f"{sum(p.numel() for p in net.parameters())} parameters, step {run.step}", flush=True)
    forward = torch.compile(image_bits) if args.compile else image_bits

    def begin_quantised() -> None:
        if not run.state["quantised"] and run.progress >= 1 - args.qat:
            run.state["quantised"] = True
            net.load_state_dict(ema.state_dict())
            calibrate(net, drawn, args.device)
            ema.load_state_dict(net.state_dict())
            run.same_weights()
            net.set_quantised(True)
            ema.set_quantised(True)

    def loss() -> Tensor:
        x, codes = next(drawn)
        with low_precision(args.device):
            return forward(net, x, codes) / x.numel()

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        scores = validate(ema, sets, args.device)  # type: ignore[arg-type]
        return {"log": [str(int(run.state["quantised"])), *[f"{v:.4f}" for v in scores.values()]]}

    run.loop(loss, lines, {"log": ["quantised", *[f"{k}_bpd" for k in sets]]}, prepare=begin_quantised)


if __name__ == "__main__":
    main()
