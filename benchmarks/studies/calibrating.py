"""What a calibration saves: network calls and bytes to equal PSNR with `diffcodec calibrate` and without.

    python -m benchmarks.studies.calibrating PHOTOS.npz [--models photo-vdm gaussian] [--losses 0.02 0.05] [--save]

A model is calibrated on --tiles training tiles, and codes as many others at --rates. A row for each picture, rate and
way: without a calibration, or with one of a loss. At the end the mean calls at each rate, and the bytes to equal PSNR
(`mean`) against coding without a calibration (BD-rate). "gaussian" is `GaussianPictures.smooth`, for which no step is
too long.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

import diffcodec
from benchmarks.common import arguments, centre, save, tiles
from diffcodec.bench import metrics
from diffcodec.bench.report import bd_rate
from diffcodec.bitstream import read
from diffcodec.codecs.diffc.cost import steps
from diffcodec.codecs.diffc.profile import measured
from diffcodec.models import registry
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.protocols import DiffusionModel

MEANS = {"bpp": "bytes", "psnr": "psnr", "calls": "calls"}
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)  #: bits per pixel


def model_of(name: str) -> DiffusionModel:
    return GaussianPictures.smooth() if name == "gaussian" else registry.load(name, codec="diffc")


def rows(name: str, args: argparse.Namespace, pictures: list[np.ndarray]) -> list[dict[str, Any]]:
    model = model_of(name)
    calibration = measured(model, pictures[: args.tiles])
    ways: dict[str, Any] = {"without": False}
    ways |= {f"loss {loss:g}": replace(calibration, loss=loss) for loss in args.losses}
    found = []
    for number, picture in enumerate(pictures[args.tiles :]):
        for rate in args.rates:
            for way, told in ways.items():
                data = diffcodec.encode(picture, "diffc", model, bpp=rate, calibration=told)
                shown = diffcodec.decode(data, model=model, reconstruction="mean", budget=float("inf"))
                calls = sum(len(steps(payload, 1)) for payload in read(data).passes)
                row = {"model": name, "picture": number, "rate": rate, "way": way, "bytes": len(data), "calls": calls}
                found.append(row | {"psnr": metrics.measure(shown, picture)["psnr"]})
                print(*found[-1].values(), flush=True)
    return found


def curve(found: list[dict[str, Any]], way: str) -> list[dict[str, float]]:
    rates = sorted({row["rate"] for row in found})
    of = [[row for row in found if (row["rate"], row["way"]) == (rate, way)] for rate in rates]
    return [{key: fmean(row[name] for row in part) for key, name in MEANS.items()} for part in of]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--models", nargs="+", default=["photo-vdm", "gaussian"])
    parser.add_argument("--losses", type=float, nargs="+", default=[0.02, 0.05])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--side", type=int, default=192)
    args = parser.parse_args()
    torch.set_num_threads(1)
    large = [tile for tile in tiles(args.photos, "train") if min(tile.shape[:2]) >= args.side]
    chosen = np.random.default_rng(0).choice(len(large), 2 * args.tiles, replace=False)
    pictures = [np.ascontiguousarray(centre(large[k], args.side)) for k in chosen]
    found = []
    for name in args.models:
        these = rows(name, args, pictures)
        found += these
        plain = curve(these, "without")
        for way in dict.fromkeys(row["way"] for row in these):
            own = curve(these, way)
            told = ", ".join(f"{one['calls']:.1f} calls at {one['psnr']:.2f} dB" for one in own)
            print(f"{name} {way}: {told}; bytes to equal PSNR {bd_rate(plain, own, 'psnr'):+.2f} %")
    save(args.save, found)


if __name__ == "__main__":
    main()
