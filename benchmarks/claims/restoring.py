"""`diffcodec.restore` against what a user would take instead, on whole photographs that nothing was trained on.

    python -m benchmarks.claims.restoring FOLDER [--cases enlarge4 jpeg10 ...] [--methods mean] [--first N] [--side S]
        [--samples 16] [--model MODEL] [--save]

For every picture and case a row for each method: `mean` and `sample` (8 network calls) of the model, with --samples
also the average of so many samples; and the other: bicubic enlargement, the grey picture, Telea's inpainting, the
mirrored picture, the decoded JPEG (libjpeg, 4:2:0). PSNR, of filled and extended pictures over what was not known
alone; SWD and LPIPS-squeeze of whole pictures. `again` says whether a restored JPEG, compressed with the same tables,
is the same JPEG. At the end the means over the pictures. Telea's needs opencv-python-headless.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import diffcodec
from benchmarks.common import arguments, centre, pictures, save
from diffcodec.bench import metrics
from diffcodec.models.jpeg import cells, coefficients
from diffcodec.models.operators import Box, Luma

REALISM = {"mean": 0.0, "sample": 1.0}
MEASURES = ("psnr", "swd", "lpips_squeeze")


@dataclass(frozen=True)
class Case:
    """truth uint8 (H, W, 3 or 1): what was there. given, task, options: of `restore`. other: (its name, its picture).

    unknown: bool (H, W), where PSNR is measured; None for everywhere.
    """

    truth: np.ndarray
    given: Any
    task: str
    options: dict[str, Any]
    other: tuple[str, np.ndarray]
    unknown: np.ndarray | None = None


def enlarged(picture: np.ndarray, k: int) -> Case:
    H, W = (side // k * k for side in picture.shape[:2])
    truth = picture[:H, :W]
    small = Box(k).apply(truth)
    bicubic = np.asarray(Image.fromarray(small).resize((W, H), Image.Resampling.BICUBIC))
    return Case(truth, small, "enlarge", {"scale": k}, ("bicubic", bicubic))


def coloured(picture: np.ndarray, _: int) -> Case:
    grey = Luma().apply(picture)
    return Case(picture, grey.squeeze(2), "colour", {}, ("grey", grey.repeat(3, 2)))


def filled(picture: np.ndarray, _: int) -> Case:
    """Two squares whose side is a quarter of the picture's shorter one."""
    import cv2

    H, W = picture.shape[:2]
    side, hole = min(H, W) // 4, np.zeros((H, W), bool)
    for y, x in ((H // 6, W // 8), (H // 2, W * 5 // 8)):
        hole[y : y + side, x : x + side] = True
    other = cv2.inpaint(picture[..., ::-1].copy(), hole.astype(np.uint8), 5, cv2.INPAINT_TELEA)[..., ::-1]
    return Case(picture, picture, "fill", {"known": ~hole}, ("telea", np.ascontiguousarray(other)), hole)


def extended(picture: np.ndarray, _: int) -> Case:
    """A quarter of the inner part's width on the right, a quarter of its height below."""
    H, W = picture.shape[:2]
    h, w = H * 4 // 5, W * 4 // 5
    inner, margins = np.ascontiguousarray(picture[:h, :w]), (0, W - w, H - h, 0)
    mirrored = np.pad(inner, ((0, H - h), (0, W - w), (0, 0)), mode="symmetric")
    unknown = np.ones((H, W), bool)
    unknown[:h, :w] = False
    return Case(picture, inner, "extend", {"margins": margins}, ("mirror", mirrored), unknown)


def compressed(picture: np.ndarray, quality: int) -> Case:
    out = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(out, "JPEG", quality=quality, subsampling=2)
    shown = np.asarray(Image.open(io.BytesIO(out.getvalue())))
    return Case(picture, out.getvalue(), "jpeg", {}, ("jpeg", shown.reshape(picture.shape)))


def grey(picture: np.ndarray, quality: int) -> Case:
    return compressed(Luma().apply(picture), quality)


CASES: dict[str, Callable[[np.ndarray], Case]] = {
    **{f"enlarge{k}": lambda picture, k=k: enlarged(picture, k) for k in (2, 4, 8)},
    "colour": lambda picture: coloured(picture, 0),
    "fill": lambda picture: filled(picture, 0),
    "extend": lambda picture: extended(picture, 0),
    **{f"jpeg{q}": lambda picture, q=q: compressed(picture, q) for q in (10, 20, 30, 40)},
    **{f"grey{q}": lambda picture, q=q: grey(picture, q) for q in (10, 20, 30, 40)},
}


def measured(image: np.ndarray, case: Case) -> dict[str, float]:
    image, truth = (one.reshape(case.truth.shape) for one in (image, case.truth))
    off = (image.astype(np.float64) - truth) ** 2
    error = float((off if case.unknown is None else off[case.unknown]).mean())
    wide, original = (np.ascontiguousarray(one if one.shape[2] == 3 else one.repeat(3, 2)) for one in (image, truth))
    found = metrics.measure(wide, original)
    return {name: found[name] for name in MEASURES} | {"psnr": 10 * math.log10(65025 / max(error, 1e-9))}


def again(image: np.ndarray, case: Case) -> int:
    """Coefficients that differ once the picture is compressed with the tables of the JPEG that was given."""
    jpeg = coefficients.read(case.given)
    found = cells.forward(image.reshape(case.truth.shape), jpeg)
    return sum(int((a != c.coefficients).sum()) for a, c in zip(found, jpeg.components, strict=True))


def rows(name: str, label: str, case: Case, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each method."""
    row: dict[str, Any] = {"image": name, "case": label}
    yield row | {"method": case.other[0]} | measured(case.other[1], case)

    def ours(**options: Any) -> Any:
        return diffcodec.restore(case.given, case.task, model=args.model, **case.options, **options)

    for method, realism in ((one, REALISM[one]) for one in args.methods):
        start = time.perf_counter()
        image = ours(realism=realism, calls=args.calls)
        told = {"seconds": time.perf_counter() - start}
        if case.task == "jpeg":
            told["again"] = again(image, case)
        yield row | {"method": method} | measured(image, case) | told
    if args.samples:
        every = np.stack(ours(samples=args.samples, calls=args.calls)).astype(np.float64)
        average = np.rint(every.mean(0)).astype(np.uint8)
        yield row | {"method": f"average of {args.samples}"} | measured(average, case)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="+", choices=REALISM, default=list(REALISM))
    parser.add_argument("--first", type=int)
    parser.add_argument("--side", type=int, help="only the middle of every picture")
    parser.add_argument("--samples", type=int, default=0, help="also the average of so many samples")
    parser.add_argument("--calls", type=int)
    parser.add_argument("--model")
    args = parser.parse_args()
    every: list[dict[str, Any]] = []
    for number, (name, image) in enumerate(pictures(args.folder)):
        if number == args.first:
            break
        picture = np.asarray(image.convert("RGB"))
        picture = centre(picture, args.side) if args.side else picture
        for label in args.cases:
            for row in rows(name, label, CASES[label](picture), args):
                every.append({"seconds": "", "again": ""} | row)
                print(*(f"{v:.4f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    save(args.save, every)
    key = lambda row: (args.cases.index(row["case"]), row["method"])  # noqa: E731
    print("\nmeans over the pictures: case, method, " + ", ".join(MEASURES) + ", seconds")
    for (number, method), group in groupby(sorted(every, key=key), key=key):
        found = list(group)
        means = [statistics.fmean(float(row[one]) for row in found) for one in MEASURES]
        means += [statistics.fmean(row["seconds"] for row in found)] if found[0]["seconds"] != "" else []
        print(args.cases[number], method, *(f"{one:.4f}" for one in means))


if __name__ == "__main__":
    main()
