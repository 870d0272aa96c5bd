"""Bits of a codec in one report of `diffcodec bench` against another's, picture by picture: BD-rates.

    python -m benchmarks.claims.since REPORT [--before REPORT] [--codec diffc-mean] [--than diffc-mean] [--save]

REPORT is a folder, or its rows: results/since/report.csv is of Kodak's first six, the first at effort 9 as well.
BD-rates are of the pictures that both have at four rates or more; rates beyond those of REPORT are left out. Below 0
the codec takes fewer bits than ``--than`` takes in the other report, benchmarks/results/kodak unless another is
told. Below them stand means at each rate of the pictures that both have there. Needs the extra "bench" (bjontegaard).
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.common import RESULTS, arguments, save
from diffcodec.bench.report import bd_rate

MEASURES = ("psnr", "ms_ssim")
Curves = dict[str, list[dict[str, float]]]


def curves(report: Path, codec: str) -> Curves:
    """Points {target_bpp, bpp, psnr, ms_ssim} of each picture, by rising rate."""
    found: Curves = {}
    with open(report / "rows.csv" if report.is_dir() else report, newline="") as file:
        for row in csv.DictReader(file):
            if row["codec"] == codec:
                point = {key: float(row[key]) for key in ("target_bpp", "bpp", *MEASURES)}
                found.setdefault(row["image"], []).append(point)
    return {image: sorted(points, key=lambda point: point["bpp"]) for image, points in found.items()}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--before", type=Path, default=RESULTS / "kodak")
    parser.add_argument("--codec", default="diffc-mean")
    parser.add_argument("--than", default="diffc-mean")
    args = parser.parse_args()
    now, before = curves(args.report, args.codec), curves(args.before, args.than)
    rows: list[dict[str, Any]] = []
    for image in sorted(now.keys() & before.keys()):
        top = max(point["target_bpp"] for point in now[image])
        other = [point for point in before[image] if point["target_bpp"] <= top]
        if min(len(now[image]), len(other)) >= 4:
            rates = {measure: bd_rate(other, now[image], measure) for measure in MEASURES}
            rows.append({"image": image} | rates)
    if not rows:
        raise SystemExit("no picture has four rates in both reports")
    rows.append({"image": "mean"} | {measure: fmean(row[measure] for row in rows) for measure in MEASURES})
    for row in rows:
        print(row["image"], *(f"{measure} {row[measure]:+.2f} %" for measure in MEASURES))
    for rate in sorted({point["target_bpp"] for points in now.values() for point in points}):
        print(f"at {rate:g} bpp", "  against  ".join(_means(now, before, rate)))
    save(args.save, rows, 2)


def _means(now: Curves, before: Curves, rate: float) -> list[str]:
    """Of both, over the pictures that both have at a rate: bpp, PSNR, MS-SSIM."""
    found = [
        {image: point for image, points in some.items() for point in points if point["target_bpp"] == rate}
        for some in (now, before)
    ]
    shared = found[0].keys() & found[1].keys()
    return [
        ", ".join(f"{key} {fmean(some[image][key] for image in shared):.4f}" for key in ("bpp", *MEASURES))
        for some in found
        if shared
    ]


if __name__ == "__main__":
    main()
