"""Bits of the bundled integer model against its float parent, on the same pictures.

    python benchmarks/quantisation.py [PHOTOS.npz]

Without a file of `tools/prepare_photos.py` the pictures are scikit-image's photographs, 256x256 from the middle; with
one, its validation tiles. The parent is the float network with the same training, weights and activations not rounded.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from diffcodec.codecs import ardm, lattice
from diffcodec.entropy import logistic
from diffcodec.models import registry
from diffcodec.models.lattice_net import LatticeConfig, LatticeNet

PARENT = Path(__file__).parent.parent / "tools" / "weights" / "photo-ardm-float.safetensors"


def pictures() -> list[np.ndarray]:
    if len(sys.argv) > 1:
        with np.load(sys.argv[1]) as z:
            ends = np.cumsum(z["val_shapes"].prod(1) * 3)
            parts = np.split(z["val_pixels"], ends[:-1])
            tiles = [p.reshape(h, w, 3) for p, (h, w) in zip(parts, z["val_shapes"], strict=True)]
        return [t[:128, :128] for t in tiles if min(t.shape[:2]) >= 128]
    from skimage import data

    photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return [p[(p.shape[0] - 256) // 2 :, (p.shape[1] - 256) // 2 :][:256, :256] for p in photos]


@torch.no_grad()
def float_bits(net: LatticeNet, picture: np.ndarray) -> float:
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    side = set(lattice.side_levels(*picture.shape[:2]))
    total = 0.0
    for level in range(lattice.level_count(*picture.shape[:2])):
        codes = lattice.side_codes(picture[:: 1 << level, :: 1 << level]) if level in side else lattice.UNKNOWN
        total += float(net.nats(x[..., :: 1 << level, :: 1 << level], min(level, 4), torch.tensor([codes])))
    return total / math.log(2)


def integer_bits(model: object, picture: np.ndarray) -> float:
    parts: list[float] = []  # appended to by several threads
    inner = logistic.intervals

    def metered(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, freqs = inner(params, base, pixels)
        parts.append(logistic.bits(freqs))
        return starts, freqs

    ardm.intervals = metered  # type: ignore[attr-defined]
    picture = np.ascontiguousarray(picture)
    ardm.encode(picture, picture[..., :0], model, method=ardm.LATTICE)  # type: ignore[arg-type]
    ardm.intervals = inner  # type: ignore[attr-defined]
    return sum(parts)


def main() -> None:
    model = registry.load("photo-ardm")
    card = next(c for c in registry.cards() if c["name"] == "photo-ardm")
    net = LatticeNet(LatticeConfig(**{k: v for k, v in card["config"].items() if k != "architecture"})).eval()
    net.load_state_dict(load_file(PARENT))
    shots = pictures()
    parent = sum(float_bits(net, p) for p in shots)
    integer = sum(integer_bits(model, p) for p in shots)
    size = sum(p.size for p in shots)
    print(f"{len(shots)} pictures: float {parent / size:.4f} bpd, integer {integer / size:.4f} bpd, ", end="")
    print(f"{100 * (integer / parent - 1):+.2f} %")


if __name__ == "__main__":
    main()
