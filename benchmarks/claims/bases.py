"""Streams that are given the picture in small, beside streams that are given nothing and beside AVIF enlarged.

    python -m benchmarks.claims.bases FOLDER [--cases rates avif luma stages] [--first N] [--side S] [--save]

rates:  at --rates bits per pixel, the default and `mean` of streams given nothing, of streams given a quarter of the
        sides, and of a cascade of three stages, one more than that.
avif:   AVIF at a quarter of the sides enlarged by bicubic interpolation, and a stream of as many bytes given a quarter.
luma:   bytes of a stream of which luma is given without loss, at a PSNR, less those of luma; and of one given nothing.
stages: cascades of two and three stages whose bases are believed to the last level in place of their augmentation.

PSNR, SWD and LPIPS-squeeze of whole pictures; at the end the means over them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

import diffcodec
from benchmarks.common import arguments, centre, pictures, save
from diffcodec.bench import metrics
from diffcodec.models.operators import Box, Luma

MEASURES = ("psnr", "swd", "lpips_squeeze")
STAGES: dict[str, tuple[int, ...]] = {"nothing": (), "1/4": (4,), "1/16, 1/4": (16, 4)}
QUALITIES = (30, 50, 70)  #: of AVIF files of a quarter of the sides
PSNR = 34.0  #: of streams whose chroma is counted
Rows = Iterator[dict[str, Any]]


def stream(picture: np.ndarray, stages: tuple[int, ...], rate: float, *, believed: bool = False) -> bytes:
    """At ``rate`` bits per pixel; ``believed``: the base is said to be what it stands for, which it is not."""
    if not stages:
        return diffcodec.encode(picture, "diffc", bpp=rate)
    base = diffcodec.base_of(picture, stages, bpp=0.4 * rate)
    base = replace(base, augmentation=None) if believed else base
    return diffcodec.encode(picture, "diffc", "photo-cond", bpp=rate, given=base)


def shown(data: bytes, picture: np.ndarray, **told: Any) -> Rows:
    for method, realism in (("default", None), ("mean", 0.0)):
        image = diffcodec.decode(data, realism=realism)
        found = metrics.measure(np.asarray(image), picture)
        yield told | {"method": method, "bytes": len(data)} | {name: found[name] for name in MEASURES}


def by_rate(picture: np.ndarray, rates: list[float]) -> Rows:
    for rate in rates:
        for given, stages in STAGES.items():
            yield from shown(stream(picture, stages, rate), picture, at=f"{rate:g} bpp", given=given)


def beside_avif(picture: np.ndarray, rates: list[float]) -> Rows:
    small, (H, W) = Image.fromarray(Box(4).apply(picture)), picture.shape[:2]
    for quality in QUALITIES:
        out = io.BytesIO()
        small.save(out, "AVIF", quality=quality, speed=4)
        size = out.tell()
        large = np.asarray(Image.open(out).convert("RGB").resize((W, H), Image.Resampling.BICUBIC))
        found = metrics.measure(large, picture)
        row = {"at": f"quality {quality}", "given": "AVIF 1/4", "method": "bicubic", "bytes": size}
        yield row | {name: found[name] for name in MEASURES}
        data = stream(picture, (4,), 8 * size / (H * W))
        yield from shown(data, picture, at=f"quality {quality}", given="1/4")


def of_chroma(picture: np.ndarray, rates: list[float]) -> Rows:
    grey = diffcodec.encode(Luma().apply(picture).squeeze(2))
    given = diffcodec.Base(grey, Luma())
    row = {"at": f"{PSNR:g} dB", "method": "mean"}
    for name, data, less in (
        ("nothing", diffcodec.encode(picture, "diffc", psnr=PSNR), 0),
        ("luma", diffcodec.encode(picture, "diffc", "photo-cond", psnr=PSNR, given=given), len(grey)),
    ):
        found = metrics.measure(np.asarray(diffcodec.decode(data, realism=0)), picture)
        yield row | {"given": name, "bytes": len(data) - less} | {name: found[name] for name in MEASURES}


def by_stages(picture: np.ndarray, rates: list[float]) -> Rows:
    for rate in rates:
        for given, stages in STAGES.items():
            for believed in (False, True) if stages else ():
                told = {"at": f"{rate:g} bpp", "given": f"{given}, {'off' if believed else 'on'}"}
                yield from shown(stream(picture, stages, rate, believed=believed), picture, **told)


CASES: dict[str, Callable[[np.ndarray, list[float]], Rows]] = {
    "rates": by_rate, "avif": beside_avif, "luma": of_chroma, "stages": by_stages,
}  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1, 0.2, 0.4])
    parser.add_argument("--first", type=int)
    parser.add_argument("--side", type=int, help="only the middle of every picture")
    args = parser.parse_args()
    every: list[dict[str, Any]] = []
    for number, (name, image) in enumerate(pictures(args.folder)):
        if number == args.first:
            break
        picture = np.asarray(image.convert("RGB"))
        picture = np.ascontiguousarray(centre(picture, args.side)) if args.side else picture
        for case in args.cases:
            for row in CASES[case](picture, args.rates):
                every.append({"image": name, "case": case} | row)
                print(*(f"{v:.4f}" if isinstance(v, float) else v for v in every[-1].values()), flush=True)
    save(args.save, every)
    order = list(dict.fromkeys(_key(row) for row in every))
    print("\nmeans over the pictures: case, at, given, method, bytes, " + ", ".join(MEASURES))
    for key, group in groupby(sorted(every, key=lambda row: order.index(_key(row))), key=_key):
        found = list(group)
        print(*key, *(f"{fmean(row[one] for row in found):.4f}" for one in ("bytes", *MEASURES)))


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return row["case"], row["at"], row["given"], row["method"]


if __name__ == "__main__":
    main()
