"""Rows -> means, BD-rates, curves, tables (CSV, Parquet) and one HTML page that needs no network."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import curves, features, metrics, page
from .curves import ALL_METRICS, LOWER_IS_BETTER, Lossy, Mean, Row
from .part import ANCHORS, Part
from .point import ALL, Medium

BD_RATES: dict[Medium, str] = {"picture": "bd-rate.csv", "clip": "bd-rate-clips.csv"}
COMPARED = ("psnr", "swd", "lpips_squeeze", "flicker")  #: at equal bytes


def write(
    out: Path,
    rows: Sequence[Row],
    about: dict[str, str],
    errors: Sequence[str],
    skipped: dict[str, str],
    published: Lossy,
) -> Path:
    """Write summary.csv, BD_RATES, equal-bytes.csv, about.json, curves.png and .svg, report.html below ``out``.

    The page draws curves itself; the files of them only where nothing is `curves.missing`, those of an earlier report
    are removed. Where pyarrow is installed, rows.parquet holds the rows of rows.csv. published: points that are drawn
    in, by their codec. Returns the path of report.html.
    """
    parts = [part_of(out, medium, some) for medium, some in by_medium(rows).items()]
    lossy: Lossy = {codec: points for part in parts for codec, points in part.lossy.items()}
    _summary(out / "summary.csv", lossy, {codec: mean for part in parts for codec, mean in part.lossless.items()})
    (out / "about.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    _parquet(out / "rows.parquet", rows)
    for part in parts:
        _bd_rates(out / BD_RATES[part.medium], part)
    for name in curves.FILES:
        (out / name).unlink(missing_ok=True)
    if lossy:
        if not curves.missing():
            curves.draw(lossy, published, out)
        _at_equal_bytes(out / "equal-bytes.csv", rows)
    partial = [line for part in parts for line in part.partial]
    left_out = [*errors, *(f"{name} {why}" for name, why in skipped.items()), *partial]
    path = out / "report.html"
    means = {f"mean of {part.count}": part.lossy for part in parts if part.lossy}
    drawn = curves.data(rows, means, published)
    path.write_text(page.render(out, rows, parts, about, left_out, drawn), encoding="utf-8")
    return path


def by_medium(rows: Sequence[Row]) -> dict[Medium, list[Row]]:
    """Rows of pictures, and of clips, where there are any: what has more frames than one is a clip."""
    clips = {row["image"] for row in rows if int(row.get("frames") or 1) > 1}
    found: dict[Medium, list[Row]] = {"picture": [], "clip": []}
    for row in rows:
        found["clip" if row["image"] in clips else "picture"].append(row)
    return {medium: some for medium, some in found.items() if some}


def part_of(out: Path, medium: Medium, rows: Sequence[Row]) -> Part:
    """What a report says of the pictures, or of the clips. Their features are read below ``out``."""
    lossy, lossless, partial = summarise(rows)
    add_sets(out, rows, lossy)
    return Part(medium, len({row["image"] for row in rows}), lossy, lossless, partial, bd_rates(lossy, ANCHORS[medium]))


def _bd_rates(path: Path, part: Part) -> None:
    if not part.rates:
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["codec", *(f"{m}, % to {ANCHORS[part.medium]}" for m in metrics.METRICS)])
        writer.writerows(
            [codec, *(page.number(found[m], 1) for m in metrics.METRICS)] for codec, found in part.rates.items()
        )


def _summary(path: Path, lossy: Lossy, lossless: dict[str, Mean]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["codec", "target_bpp", "images", "bpp", "bpd", *ALL_METRICS, "encode_s", "decode_s"])
        for codec, points in lossy.items():
            for p in points:
                values = (page.number(p[key], 4) for key in ("bpp", "bpd", *ALL_METRICS, "encode_s", "decode_s"))
                writer.writerow([codec, f"{p['target']:g}", int(p["images"]), *values])
        for codec, p in lossless.items():
            rate, time = ([page.number(p[k], 4) for k in keys] for keys in (("bpp", "bpd"), ("encode_s", "decode_s")))
            writer.writerow([codec, "", int(p["images"]), *rate, *[""] * len(ALL_METRICS), *time])


def _parquet(path: Path, rows: Sequence[Row]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    text = ("image", "codec", "setting")
    columns = {
        key: [row[key] if key in text else math.nan if row[key] == "" else float(row[key]) for row in rows]
        for key in rows[0]
    }
    parquet.write_table(pyarrow.table(columns), path)


def summarise(rows: Sequence[Row]) -> tuple[Lossy, dict[str, Mean], list[str]]:
    """Means by codec and rate over all pictures; of lossless codecs; and what has no mean, a line each.

    A codec that misses a rate on some picture has no point there, rather than a mean over the easier ones.
    """
    by_point: dict[tuple[str, float], list[Row]] = defaultdict(list)
    by_codec: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["target_bpp"] == "":
            by_codec[row["codec"]].append(row)
        else:
            by_point[row["codec"], float(row["target_bpp"])].append(row)
    images = {r["image"] for some in by_point.values() for r in some}
    lossy: Lossy = defaultdict(list)
    partial: dict[str, list[str]] = defaultdict(list)
    for (codec, target), some in sorted(by_point.items()):
        if len({r["image"] for r in some}) == len(images):
            lossy[codec].append({"target": target, **_means(some)})
        else:
            partial[codec].append(f"{target:g} bpp ({len(some)} of {len(images)} pictures)")
    lines = [f"{codec} has no mean at {', '.join(missed)}" for codec, missed in partial.items()]
    most = max(map(len, by_codec.values()), default=0)
    lossless = {}
    for codec, some in by_codec.items():
        if len(some) == most or some[0]["image"] == ALL:
            lossless[codec] = _means(some)
        else:
            lines.append(f"{codec} has no mean ({len(some)} of {most} pictures)")
    return dict(lossy), lossless, lines


def _means(rows: Sequence[Row]) -> Mean:
    keys = ("bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s")
    nothing = dict.fromkeys(metrics.SETS, math.nan)
    return {"images": len(rows), **nothing, **{key: float(np.mean([float(r[key]) for r in rows])) for key in keys}}


def add_sets(out: Path, rows: Sequence[Row], lossy: Lossy) -> None:
    """fid and kid of every point whose pictures' features are all there."""
    images = sorted({r["image"] for r in rows if r["target_bpp"] != ""})
    for codec, points in lossy.items():
        for p in points:
            names = (("original", ""), (codec, f"{p['target']:g}"))
            paths = [[features.file(out, image, *name) for image in images] for name in names]
            if all(path.is_file() for some in paths for path in some):
                p.update(features.distances(*([np.load(path) for path in some] for some in paths)))


def _at_equal_bytes(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["codec", "target_bpp", "ours", "images", *(f"{m} {k}" for m in COMPARED for k in _EQUAL)]
        )
        for (codec, target, ours), found in at_equal_bytes(rows).items():
            values = [page.number(v, 3) for m in COMPARED for v in found[m]]
            writer.writerow([codec, f"{target:g}", ours, int(found["images"]), *values])


_EQUAL = ("", "of ours", "difference")


def at_equal_bytes(rows: Sequence[Row]) -> dict[tuple[str, float, str], dict[str, Any]]:
    """As :func:`_equal_bytes`, of pictures and of clips by themselves."""
    return {key: found for some in by_medium(rows).values() for key, found in _equal_bytes(some).items()}


def _equal_bytes(rows: Sequence[Row]) -> dict[tuple[str, float, str], dict[str, Any]]:
    """(codec, rate, ours) -> images, and of each of COMPARED: its mean, that of ours at the same bytes, the difference.

    Picture by picture ours is read off its curve, linear in log bytes, at the size of the other's file; beyond its ends
    it stays as it is there. Only where all pictures have a file of the other.
    """
    curves: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["target_bpp"] != "":
            curves[row["codec"], row["image"]].append(row)
    images = sorted({image for _, image in curves})
    mine = sorted({codec for codec, _ in curves if codec.startswith("diffc")})
    out: dict[tuple[str, float, str], dict[str, Any]] = {}
    for ours in mine:
        known = {image: sorted(curves[ours, image], key=lambda r: float(r["bytes"])) for image in images}
        if not all(known.values()):
            continue
        for codec in dict.fromkeys(codec for codec, _ in curves if codec not in mine):
            for target in sorted({float(r["target_bpp"]) for i in images for r in curves[codec, i]}):
                files = [(i, r) for i in images for r in curves[codec, i] if float(r["target_bpp"]) == target]
                if len(files) < len(images):
                    continue
                out[codec, target, ours] = {"images": len(files)}
                for metric in COMPARED:
                    theirs = np.array([float(r[metric]) for _, r in files])
                    own = np.array([_read_off(known[i], metric, float(r["bytes"])) for i, r in files])
                    out[codec, target, ours][metric] = (theirs.mean(), own.mean(), (own - theirs).mean())
    return out


def _read_off(curve: Sequence[Row], metric: str, size: float) -> float:
    sizes, values = (np.array([float(r[key]) for r in curve]) for key in ("bytes", metric))
    return float(np.interp(np.log(size), np.log(sizes), values))


def bd_rates(lossy: Lossy, anchor: str = ANCHORS["picture"]) -> dict[str, dict[str, float]]:
    """codec -> metric -> BD-rate to the anchor in percent; NaN where the curves do not overlap enough."""
    if anchor not in lossy:
        return {}
    others = {codec: points for codec, points in lossy.items() if codec != anchor}
    return {c: {m: bd_rate(lossy[anchor], points, m) for m in metrics.METRICS} for c, points in others.items()}


def bd_rate(anchor: Sequence[Mean], test: Sequence[Mean], metric: str) -> float:
    """Mean difference in rate at equal quality, in percent (negative is better); NaN without enough overlap."""
    curves = []
    for points in (anchor, test):
        sign = -1 if metric in LOWER_IS_BETTER else 1
        pairs = sorted((p["bpp"], sign * p[metric]) for p in points if not math.isnan(p[metric]))
        curves.append(([r for r, _ in pairs], [q for _, q in pairs]))
    (r1, q1), (r2, q2) = curves
    if min(len(r1), len(r2)) < 4 or max(q1[0], q2[0]) >= min(q1[-1], q2[-1]):
        return math.nan
    if any(a >= b for q in (q1, q2) for a, b in itertools.pairwise(q)):
        return math.nan
    import bjontegaard

    return float(bjontegaard.bd_rate(r1, q1, r2, q2, method="pchip", require_matching_points=False, min_overlap=0))
