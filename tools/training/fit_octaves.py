"""Fit what each octave of a denoiser's answers at several sizes counts (`models.octaves`), on training tiles.

    python -m tools.training.fit_octaves PHOTOS.npz photo-vdm OUT/photo-octaves.safetensors [--tiles 96]

Least squares of x - x_hat at each log-SNR of STRETCHES, over the middles of training tiles. Writes the weights, and the
card beside them but for what only a person can say of it; prints how much of the denoiser's own squared error is left
on every third tile, which nothing is fitted to while that is told.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from diffcodec.models import octaves, registry
from diffcodec.models.architectures import fingerprint_of
from tools.training.photo_data import load_tiles
from tools.training.train_vdm import stacked

#: (from log-SNR, sizes that are asked, of pictures of this side or more, log-SNRs to fit at): full size costs most
#: where it tells least
STRETCHES = (
    (-8.0, (2, 4, 8), 256, (-8, -6, -5, -4, -3, -2)),
    (-2.0, (1, 2, 4), 64, (-2, -1, 0, 1, 2, 3, 4)),
    (4.0, (1, 4), 64, (4, 5, 6)),
    (6.0, (1,), 0, (6,)),
)
ALONE = np.tile([1.0, 0.0], (octaves.OCTAVES + 1, 2, 1))  #: weights of one answer as it is


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path, help="tiles packed by prepare_photos.py")
    ap.add_argument("model")
    ap.add_argument("out", type=Path)
    ap.add_argument("--tiles", type=int, default=96)
    ap.add_argument("--side", type=int, default=256)
    ap.add_argument("--seed", type=int, default=5)
    args = ap.parse_args()
    of = registry.load(args.model, device="cpu", codec="diffc")
    large = [tile for tile in load_tiles(args.data, "train") if min(tile.shape[:2]) >= args.side]
    chosen = np.random.default_rng(args.seed).choice(len(large), min(args.tiles, len(large)), replace=False)
    x = [of.to_latent(stacked([(_middle(large[k], args.side), None)])) for k in chosen]
    held, fitted = x[::3], [one for k, one in enumerate(x) if k % 3]
    tensors: dict[str, torch.Tensor] = {}
    for number, (_, factors, _, levels) in enumerate(STRETCHES):
        tables = []
        for level in levels:
            kept, other = (octaves.gather(of, part, float(level), factors) for part in (fitted, held))
            alone = octaves.gather(of, held, float(level), (1,))
            left = other.error(kept.weights()) / alone.error(ALONE)
            print(f"log-SNR {level:+}, sizes {factors}: {left:.4f} of the squared error", flush=True)
            tables.append((kept + other).weights())
        tensors[f"{number}.levels"] = torch.tensor(levels, dtype=torch.float32)
        tensors[f"{number}.weights"] = torch.from_numpy(np.stack(tables)).float()
    stretches = [[start, list(factors), side] for start, factors, side, _ in STRETCHES]
    config = {"architecture": "octaves-1", "of": of.name, "fingerprint": of.fingerprint.hex(), "stretches": stretches}
    save_file(tensors, args.out)
    fingerprint = fingerprint_of(args.out.read_bytes(), config).hex()
    card = {"name": args.out.stem, "codec": "diffc", "numerics": "tolerant", "config": config}
    card |= {"fingerprint": fingerprint, "bytes": args.out.stat().st_size}
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


def _middle(tile: np.ndarray, side: int) -> np.ndarray:
    top, left = ((n - side) // 2 for n in tile.shape[:2])
    return np.ascontiguousarray(tile[top : top + side, left : left + side])


if __name__ == "__main__":
    main()
