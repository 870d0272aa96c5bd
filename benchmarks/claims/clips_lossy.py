"""Clips coded together, frame by frame, and their frames in between, of held-out clips.

    python -m benchmarks.claims.clips_lossy CLIPS.zip [--cases rates between behind] [--frames 16] [--first N] [--save]

CLIPS.zip has frames of a clip one below another, CLIPS.csv beside it file, id, w, h, frames; those of
validation-clips.txt are looked at, of each the first segment's first --frames.

rates:   at --rates bits a pixel, streams of all frames together by --model, and by --alone, which knows no frames and
         sees each by itself, in one stream as well: PSNR of `mean`; flicker of `mean` and of `flow`, the root mean
         squared difference of differences from one frame to the next. Behind them bytes together over bytes frame by
         frame at equal PSNR.
between: every second frame, made of the others: PSNR and SWD of a linear blend, of the blend that motion displaces,
         which is `mean`, of `mean` of the network told the others, and of draws in --ways.
behind:  the last 4 frames, made of those before: the same of the last that there is, held.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, save, segments, validation_clips
from diffcodec.bench import sources

AHEAD = 4  #: frames that are made behind the last
Rows = Iterator[dict[str, Any]]


def clips(source: Path, frames: int) -> Iterator[tuple[str, np.ndarray]]:
    """(id, uint8 (T, H, W, 3)) of each held-out clip."""
    held = validation_clips()
    for row, every in segments(source, lambda row: row["id"] in held):
        held.remove(row["id"])
        yield row["id"], every[:frames]


def coded(clip: np.ndarray, rate: float, model: str) -> tuple[int, np.ndarray, np.ndarray]:
    """(bytes, `mean`, `flow`)."""
    data = diffcodec.encode(clip, "diffc", model, bpp=rate, group=len(clip))
    mean, flow = (diffcodec.decode(data, model=model, realism=realism) for realism in (0.0, 1.0))
    return len(data), np.asarray(mean), np.asarray(flow)


def by_rate(clip: np.ndarray, args: Any) -> Rows:
    for rate in args.rates:
        for kind, model in (("together", args.model), ("alone", args.alone)):
            size, mean, flow = coded(clip, rate, model)
            of_mean, of_flow = (sources.of_clips(shown, clip) for shown in (mean, flow))
            told = {"psnr": of_mean["psnr"], "flicker mean": of_mean["flicker"], "flicker flow": of_flow["flicker"]}
            yield {"at": f"{rate:g} bpp", "kind": kind, "bytes": size} | told | {"swd flow": of_flow["swd"]}


def in_between(clip: np.ndarray, args: Any) -> Rows:
    clip = clip[: len(clip) - 1 + len(clip) % 2]
    there, wanted = clip[::2], clip[1::2]
    blend = np.rint((there[:-1].astype(float) + there[1:]) / 2).astype(np.uint8)
    made = {"blend": blend}
    for way in ("moved", "told"):
        made[f"mean {way}"] = diffcodec.restore(there, "between", model=args.model, way=way, realism=0)[1::2]
    for way in args.ways:
        made[way] = diffcodec.restore(there, "between", model=args.model, way=way, calls=args.calls)[1::2]
    for kind, shown in made.items():
        found = sources.of_clips(shown, wanted)
        yield {"at": "every second", "kind": kind, "bytes": 0, "psnr": found["psnr"], "swd": found["swd"]}


def behind(clip: np.ndarray, args: Any) -> Rows:
    there, wanted = clip[:-AHEAD], clip[-AHEAD:]
    how: dict[str, Any] = {"model": args.model, "frames": AHEAD}
    made = {"held": np.repeat(there[-1:], AHEAD, 0)}
    for way in ("moved", "told"):
        made[f"mean {way}"] = diffcodec.restore(there, "extend", way=way, realism=0, **how)[-AHEAD:]
    for way in args.ways:
        made[way] = diffcodec.restore(there, "extend", way=way, calls=args.calls, **how)[-AHEAD:]
    for kind, shown in made.items():
        found = sources.of_clips(shown, wanted)
        yield {"at": f"{AHEAD} more", "kind": kind, "bytes": 0, "psnr": found["psnr"], "swd": found["swd"]}


CASES: dict[str, Callable[[np.ndarray, Any], Rows]] = {"rates": by_rate, "between": in_between, "behind": behind}


def bytes_at(rows: list[dict[str, Any]], kind: str, psnr: float) -> float:
    """Of a kind at a PSNR, its logarithm on straight lines between the rates, and on from the last two."""
    points = sorted((row["psnr"], np.log(row["bytes"])) for row in rows if row["kind"] == kind)
    (a, b), (c, d) = next(((p, q) for p, q in itertools.pairwise(points) if psnr <= q[0]), points[-2:])
    return float(np.exp(b + (d - b) * (psnr - a) / (c - a)))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rates", nargs="+", type=float, default=[0.02, 0.05, 0.1, 0.2])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--first", type=int)
    parser.add_argument("--model", default="clip-vdm")
    parser.add_argument("--alone", default="photo-octaves")
    parser.add_argument("--ways", nargs="+", default=["moved", "told", "replaced", "guided"])
    parser.add_argument("--calls", type=int, help="of the network, of a draw")
    args = parser.parse_args()
    every: list[dict[str, Any]] = []
    ratios: list[float] = []
    for number, (name, clip) in enumerate(clips(args.clips, args.frames)):
        if number == args.first:
            break
        for case in args.cases:
            rows = list(CASES[case](clip, args))
            for row in rows:
                every.append({"clip": name, "case": case} | row)
                print(*(f"{v:.4f}" if isinstance(v, float) else v for v in every[-1].values()), flush=True)
            if case == "rates" and len(args.rates) > 1:
                own = [row for row in rows if row["kind"] == "together"]
                ratios += [row["bytes"] / bytes_at(rows, "alone", row["psnr"]) for row in own]
    save(args.save, every)
    print("\nmeans over the clips")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in every:
        groups[row["case"], row["at"], row["kind"]].append(row)
    for key, rows in groups.items():
        told = {name: fmean(row[name] for row in rows) for name in rows[0] if isinstance(rows[0][name], float | int)}
        print(*key, *(f"{name} {value:.3f}" for name, value in told.items()))
    if ratios:
        ratio = np.exp(np.log(ratios).mean())
        print(f"bytes together over bytes frame by frame at equal PSNR, geometric mean: {ratio:.3f}")


if __name__ == "__main__":
    main()
