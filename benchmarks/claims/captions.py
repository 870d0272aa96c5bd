"""What a name is worth: held-out icons by DiffC of a model that is told the name, nothing, or another icon's name.

    python -m tools.training.icons_data ICONS.zip HELD.npz
    python -m benchmarks.claims.captions HELD.npz [--model icons-text] [--first N] [--save]
    python -m benchmarks.claims.captions HELD.npz --guidance [--first N] [--save guidance.csv]

Two kinds of icons: ``drawings``, whose name was seen in the other style, and ``names`` never seen. Files have --rates
bytes beside those of the text, PSNR is of `mean`. A row for each icon, rate and what was told; at the end PSNR, and the
bytes to equal PSNR against telling nothing (BD-rate), of files without the text's bytes, with them, and of passes
alone. The header of such a file takes some 55 bytes. With --guidance pictures are drawn from the name alone, by scale
of guidance with and without dynamic thresholding: the share of samples that are 0 or 255, that of the icons themselves,
and SWD to the icons of those names.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, save
from diffcodec.bench import metrics
from diffcodec.bench.report import bd_rate
from diffcodec.bitstream import given as chunk
from diffcodec.bitstream import read
from diffcodec.codecs.diffc import refine
from diffcodec.models import registry
from diffcodec.models.condition import ConditionalModel, Text
from diffcodec.models.guidance import Guided
from diffcodec.models.protocols import DiffusionModel

KINDS = ("drawings", "names")
RATES = (92, 112, 144, 192, 256, 312)  #: bytes beside the text's: passes of 0.06 to 0.5 bpp
SCALES = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0)


@dataclass(frozen=True)
class Icon:
    """picture uint8 (64, 64, 3), and what it shows."""

    picture: np.ndarray
    name: str
    style: str


def held(path: Path) -> dict[str, list[Icon]]:
    """By kind."""
    with np.load(path) as z:
        told = zip(z["kinds"], z["pictures"], z["names"], z["styles"], strict=True)
        every = [(str(kind), Icon(picture, str(name), str(style))) for kind, picture, name, style in told]
    return {kind: [icon for of, icon in every if of == kind] for kind in KINDS}


def told_of(every: list[Icon], number: int) -> dict[str, str]:
    """By what they are called, the texts for one icon: the wrong name is another one's of the same kind."""
    icon, other = every[number], every[(number + len(every) // 2) % len(every)]
    return {"right": icon.name, "right, style": f"{icon.name}, {icon.style}", "none": "", "wrong": other.name}


def rows(model: DiffusionModel, kind: str, every: list[Icon], number: int) -> Iterator[dict[str, Any]]:
    icon = every[number]
    for what, text in told_of(every, number).items():
        given = diffcodec.Prompt(text) if text else None
        for rate in RATES:
            extra = _text_bytes(text)
            data = diffcodec.encode(icon.picture, "diffc", model, max_bytes=rate + extra, given=given)
            shown = diffcodec.decode(data, reconstruction="mean", model=model)
            passes = sum(map(len, read(data).passes))
            row = {"kind": kind, "icon": f"{icon.style} {icon.name}", "told": what, "rate": rate}
            row |= {"bytes": len(data), "text_bytes": extra, "pass_bytes": passes}
            yield row | {"psnr": metrics.measure(shown, icon.picture)["psnr"]}


def _text_bytes(text: str) -> int:
    """Of chunk G in a file."""
    return len(chunk.write([chunk.Text(text)])) + 6 if text else 0


def guided(model: ConditionalModel, every: list[Icon]) -> Iterator[dict[str, Any]]:
    """Drawn from names alone, a row for each scale, without and with thresholding."""
    truth = np.concatenate([icon.picture for icon in every])
    nothing = model.given(Text(""))
    for scale, threshold in itertools.product(SCALES, (False, True)):
        drawn = []
        for seed, icon in enumerate(every):
            one = Guided(model.given(Text(icon.name)), nothing, scale, threshold)
            drawn.append(refine.drawn(one, icon.picture.shape[:2], seed, 16, curvature=1.0, start=-6.0))
        picture = np.concatenate(drawn)
        shares = {name: saturated(one) for name, one in (("saturated", picture), ("icons_saturated", truth))}
        yield {"scale": scale, "thresholding": threshold} | shares | {"swd": metrics.measure(picture, truth)["swd"]}


def saturated(picture: np.ndarray) -> float:
    """The share of samples uint8, of any shape, at a bound."""
    return float(((picture == 0) | (picture == 255)).mean())


SIZES = {
    "without the text": lambda row: row["bytes"] - row["text_bytes"],
    "with it": lambda row: row["bytes"],
    "passes": lambda row: row["pass_bytes"],
}


def curve(found: list[dict[str, Any]], kind: str, told: str, size: str) -> list[dict[str, float]]:
    """The mean size and PSNR at each rate."""
    these = [row for row in found if (row["kind"], row["told"]) == (kind, told)]
    of = [[row for row in these if row["rate"] == rate] for rate in RATES]
    return [{"bpp": fmean(map(SIZES[size], part)), "psnr": fmean(row["psnr"] for row in part)} for part in of]


def printed(found: list[dict[str, Any]]) -> None:
    for kind, told in dict.fromkeys((row["kind"], row["told"]) for row in found):
        every = {size: (curve(found, kind, "none", size), curve(found, kind, told, size)) for size in SIZES}
        saved = (f"{size} {bd_rate(*curves, metric='psnr'):+.1f} %" for size, curves in every.items())
        psnr = (f"{one['psnr']:.2f}" for one in every["passes"][1])
        print(kind, told, "PSNR", *psnr, "bytes to equal PSNR:", ", ".join(saved))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("held", type=Path)
    parser.add_argument("--model", default="icons-text")
    parser.add_argument("--first", type=int, default=60, help="of each kind")
    parser.add_argument("--guidance", action="store_true")
    args: argparse.Namespace = parser.parse_args()
    model, every = registry.load(args.model, codec="diffc"), held(args.held)
    if not isinstance(model, ConditionalModel):
        raise SystemExit(f"'{model.name}' takes no text")
    if args.first < 2:
        parser.error("another icon's name needs another icon: --first 2 or more")
    if args.guidance:
        found = list(guided(model, every["drawings"][: args.first]))
        print(*found[0])
        for row in found:
            print(*(f"{v:.4f}" if isinstance(v, float) else v for v in row.values()))
        save(args.save, found)
        return
    found = []
    for kind in KINDS:
        these = every[kind][: args.first]
        for number, icon in enumerate(these):
            found += rows(model, kind, these, number)
            print(kind, icon.name, flush=True)
    save(args.save, found)
    printed(found)


if __name__ == "__main__":
    main()
