"""Fit the few calls of a model's `flow` to the answer of the solver of 17 calls: `models.shortcut`.

    python -m tools.training.fit_flow PHOTOS.npz MODEL [--ahead 1.5 4 8] [--curvature 3] [--gain 1.05]

On altered training crops, for each of LEVELS. Least squares leaves out what the few calls cannot foretell; --gain, on
all weights, gives texture back what it lacks (on training crops, at log-SNR 0.5, 2 and 3.5, sliced Wasserstein
distances are +1 to +2 % of the 17 calls' with 1.05, +1 to +6 % with 1). Prints the field ``flow`` of the model's card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from diffcodec.models import registry, shortcut
from tools.training.photo_data import Crops, load_tiles
from tools.training.train_vdm import stacked

LEVELS = (-6, -4, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10, 12)  #: log-SNRs; weights between them are interpolated


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("data", type=Path, help="tiles packed by prepare_photos.py")
    ap.add_argument("model")
    ap.add_argument("--ahead", type=float, nargs="+", default=[1.5, 4, 8])
    ap.add_argument("--curvature", type=float, default=3)
    ap.add_argument("--gain", type=float, default=1.05)
    ap.add_argument("--crops", type=int, default=16)
    ap.add_argument("--side", type=int, default=128)
    ap.add_argument("--device", default="auto")
    args = ap.parse_args()
    model = registry.load(args.model, device=args.device, codec="diffc")
    crops = Crops(load_tiles(args.data, "train"), args.side, seed=77)
    x, rows = model.to_latent(stacked(crops(args.crops))), []
    for level, weights, near in shortcut.fit(model, x, LEVELS, args.ahead, args.curvature):
        rows.append([level, *(round(args.gain * weight, 3) for weight in weights)])
        print(f"{level:+} {near:.1f} dB {rows[-1][1:]}", flush=True)
    print(json.dumps({"ahead": args.ahead, "curvature": args.curvature, "weights": rows}))


if __name__ == "__main__":
    main()
