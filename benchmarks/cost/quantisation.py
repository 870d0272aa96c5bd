"""Bits of the bundled integer model against its float parent, on the same pictures.

    python -m benchmarks.cost.quantisation [PHOTOS.npz]

Without a file of `tools.training.prepare_photos` the pictures are scikit-image's photographs, 256x256 from the middle;
with one, its validation tiles. The parent is the float network with the same training, weights and activations not
rounded.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.common import ROOT, arguments, centre, pictures, printed, tiles
from diffcodec.codecs.ardm import codec as ardm
from diffcodec.codecs.ardm import lattice as lattice_codec
from diffcodec.entropy import logistic
from diffcodec.models import registry
from diffcodec.models.lattice import geometry
from diffcodec.models.lattice import phases as lattice
from diffcodec.models.lattice.net import LatticeConfig, LatticeNet

PARENT = ROOT / "tools" / "training" / "weights" / "photo-ardm-float16.safetensors"


def shots(photos: Path | None) -> list[np.ndarray]:
    if photos is not None:
        return [tile[:128, :128] for tile in tiles(photos) if min(tile.shape[:2]) >= 128]
    return [centre(np.asarray(image), 256) for _, image in pictures(Path("scikit-image"))]


@torch.no_grad()
def float_bits(net: LatticeNet, picture: np.ndarray) -> float:
    x = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    side = set(geometry.side_levels(*picture.shape[:2]))
    total = 0.0
    for level in range(geometry.level_count(*picture.shape[:2])):
        codes = lattice.side_codes(picture[:: 1 << level, :: 1 << level]) if level in side else geometry.UNKNOWN
        total += float(net.nats(x[..., :: 1 << level, :: 1 << level], min(level, 4), torch.tensor([codes])))
    return total / math.log(2)


def integer_bits(model: object, picture: np.ndarray) -> float:
    parts: list[float] = []  # appended to by several threads
    inner = logistic.intervals

    def metered(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, freqs = inner(params, base, pixels)
        parts.append(logistic.bits(freqs))
        return starts, freqs

    lattice_codec.intervals = metered  # type: ignore[attr-defined]
    picture = np.ascontiguousarray(picture)
    ardm.encode(picture, picture[..., :0], model, method=ardm.LATTICE, tables=0, learned=False)  # type: ignore[arg-type]
    lattice_codec.intervals = inner  # type: ignore[attr-defined]
    return sum(parts)


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("photos", type=Path, nargs="?")
    args = ap.parse_args()
    with printed(args.save):
        measure(args.photos)


def measure(photos: Path | None) -> None:
    model = registry.load("photo-ardm")
    card = next(c for c in registry.cards() if c["name"] == "photo-ardm")
    net = LatticeNet(LatticeConfig(**{k: v for k, v in card["config"].items() if k != "architecture"})).eval()
    net.load_state_dict(load_file(PARENT))
    measured = shots(photos)
    parent = sum(float_bits(net, p) for p in measured)
    integer = sum(integer_bits(model, p) for p in measured)
    size = sum(p.size for p in measured)
    print(f"{len(measured)} pictures: float {parent / size:.4f} bpd, integer {integer / size:.4f} bpd, ", end="")
    print(f"{100 * (integer / parent - 1):+.2f} %")


if __name__ == "__main__":
    main()
