"""Train `cifar10-oa`, an order-agnostic ARDM (arXiv 2110.02037, algorithm 2) of small pictures.

    python -m tools.training.train_oa PHOTOS.npz RUN_DIR --cifar SOURCE --minutes 90 [--resume]

PHOTOS.npz holds the tiles packed by `tools/training/prepare_photos.py`; SOURCE is described in `cifar_data.py`.

A step draws for each picture how many of its D pixels are known, t - 1, and which. The objective D / (D - t + 1) times
the nats of the unknown pixels (ARDM eq. 3), as bits per dimension, is their mean over the unknown pixels.
RUN_DIR/profile.csv holds the validation loss by the share of known pixels, from which the dynamic program places
network calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from diffcodec.models.masked.net import MaskedConfig, MaskedUNet
from tools.training.cifar_data import SIDE, SmallPictures, load_cifar
from tools.training.frame import Training, arguments, batches, low_precision
from tools.training.photo_data import load_tiles

LN2 = math.log(2)
SHARES = 8  #: of known pixels that validation looks at
KNOTS = 17  #: of the profile that a model carries


def draw_known(n: int, counts: np.ndarray, rng: np.random.Generator) -> Tensor:
    """bool (n, 1, SIDE, SIDE) with counts[i] known pixels at random places."""
    rank = rng.random((n, SIDE * SIDE)).argsort(1).argsort(1)
    return torch.from_numpy(rank < counts[:, None]).view(n, 1, SIDE, SIDE)


def validate(net: nn.Module, images: Tensor, device: str) -> list[float]:
    """Bits per dimension of unknown pixels, at (k + 1/2) / SHARES known for every k."""
    return bits_at(net, images, [round((k + 0.5) / SHARES * SIDE * SIDE) for k in range(SHARES)], device)


def profile(net: nn.Module, images: Tensor, device: str) -> list[int]:
    """Bits of a pixel x 1024 at evenly spaced shares known, 0 to 1 (one unknown): `provider.MaskedModel.profile`."""
    counts = [min(SIDE * SIDE - 1, round(k / (KNOTS - 1) * SIDE * SIDE)) for k in range(KNOTS)]
    bits = np.array(bits_at(net, images, counts, device)) * 3
    return [int(v) for v in np.rint(np.minimum.accumulate(bits) * 1024)]


@torch.no_grad()
def bits_at(net: nn.Module, images: Tensor, counts: list[int], device: str) -> list[float]:
    """Bits per dimension of unknown pixels, with each number of known ones."""
    rng = np.random.default_rng(1)
    out = []
    for known_count in counts:
        bits = 0.0
        for part in images.split(64):
            known = draw_known(len(part), np.full(len(part), known_count), rng).to(device)
            with low_precision(device):
                bits += float(net.nats(part.to(device), known).double().sum()) / LN2  # type: ignore[operator]
        out.append(bits / (len(images) * (SIDE * SIDE - known_count) * 3))
    return out


def main() -> None:
    ap = arguments(__doc__, batch=32)
    ap.add_argument("--channels", type=int, nargs="+", default=[64, 96, 128, 160])
    ap.add_argument("--blocks", type=int, nargs="+", default=[2, 2, 2, 2])
    ap.add_argument("--components", type=int, default=5)
    args = ap.parse_args()
    if not args.cifar:
        ap.error("--cifar is needed")
    torch.manual_seed(args.seed)
    config = MaskedConfig(tuple(args.channels), tuple(args.blocks), components=args.components)
    net = MaskedUNet(config)
    run = Training(args, net, config.as_dict())
    images, tiles = load_cifar(args.cifar, "train"), load_tiles(args.data, "train") if args.photos else []
    held_out = torch.from_numpy(load_cifar(args.cifar, "val")).permute(0, 3, 1, 2).contiguous()
    forward = torch.compile(run.net.nats) if args.compile else run.net.nats
    if run.rank == 0:
        print(f"{sum(p.numel() for p in net.parameters())} parameters, step {run.step}", flush=True)

    def make(seed: int) -> Callable[[], tuple[Tensor, Tensor, Tensor]]:
        pictures, rng = SmallPictures(images, tiles, args.photos, seed), np.random.default_rng(seed)

        def draw() -> tuple[Tensor, Tensor, Tensor]:
            """Pictures, which of their pixels are known, and how many are not (N,)."""
            # one stratified draw for the batch (VDM app. I.1: low-discrepancy times)
            u = (rng.permutation(args.batch) + rng.random()) / args.batch
            counts = np.floor(u * SIDE * SIDE).astype(int)
            known = draw_known(args.batch, counts, rng)
            return pictures(args.batch), known, torch.from_numpy(SIDE * SIDE - counts)

        return draw

    drawn = batches(make, args, run.seed)

    def loss() -> Tensor:
        x, known, unknown = next(drawn)
        with low_precision(args.device):
            nats = forward(x, known)
        return (nats.sum((1, 2)) / unknown).mean() / (3 * LN2)

    def lines(ema: nn.Module) -> dict[str, list[str]]:
        bits = validate(ema, held_out[:96], args.device)
        return {"log": [f"{np.mean(bits):.4f}"], "profile": [f"{b:.4f}" for b in bits]}

    run.loop(loss, lines, {"log": ["val_bpd"], "profile": [f"{(k + 0.5) / SHARES:.3f}" for k in range(SHARES)]})


if __name__ == "__main__":
    main()
