"""Rows -> means, BD-rates, plots (PNG, SVG) and one HTML page that needs no network."""

from __future__ import annotations

import base64
import csv
import html
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from . import metrics

ANCHOR = "jpeg"  #: of the BD-rates
Row = dict[str, Any]


def write(
    out: Path, rows: Sequence[Row], about: dict[str, str], errors: Sequence[str], skipped: dict[str, str]
) -> Path:
    """Write summary.csv, curves.png, curves.svg and report.html below ``out``; returns the page's path."""
    lossy, lossless = summarise(rows)
    with (out / "summary.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["codec", "target_bpp", "images", "bpp", *metrics.METRICS, "encode_s", "decode_s"])
        for codec, points in lossy.items():
            for p in points:
                values = (f"{p[key]:.4f}" for key in ("bpp", *metrics.METRICS, "encode_s", "decode_s"))
                writer.writerow([codec, f"{p['target']:g}", p["images"], *values])
        for codec, p in lossless.items():
            nothing = [""] * len(metrics.METRICS)
            writer.writerow(
                [codec, "", p["images"], f"{p['bpp']:.4f}", *nothing, f"{p['encode_s']:.4f}", f"{p['decode_s']:.4f}"]
            )
    if lossy:
        draw(lossy, out)
    page = out / "report.html"
    page.write_text(render(out, lossy, lossless, about, errors, skipped), encoding="utf-8")
    return page


def summarise(rows: Sequence[Row]) -> tuple[dict[str, list[dict[str, float]]], dict[str, dict[str, float]]]:
    """Means by codec and rate over the pictures that every lossy codec has at that rate; of lossless ones over all.

    A codec that misses a rate on some picture has no point there, rather than a mean over the easier ones.
    """
    images = {r["image"] for r in rows}
    by_point: dict[tuple[str, float], list[Row]] = defaultdict(list)
    by_codec: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["target_bpp"] == "":
            by_codec[row["codec"]].append(row)
        else:
            by_point[row["codec"], float(row["target_bpp"])].append(row)
    lossy: dict[str, list[dict[str, float]]] = defaultdict(list)
    for (codec, target), some in sorted(by_point.items()):
        if len({r["image"] for r in some}) == len(images):
            lossy[codec].append({"target": target, **_means(some)})
    return dict(lossy), {codec: _means(some) for codec, some in by_codec.items()}


def _means(rows: Sequence[Row]) -> dict[str, float]:
    keys = ("bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s")
    return {"images": len(rows), **{key: float(np.mean([float(r[key]) for r in rows])) for key in keys}}


def bd_rate(anchor: Sequence[dict[str, float]], test: Sequence[dict[str, float]], metric: str) -> float:
    """Mean difference in rate at equal quality, in percent (negative is better); NaN without enough overlap."""
    curves = []
    for points in (anchor, test):
        sign = 1 if metrics.HIGHER_IS_BETTER[metric] else -1
        pairs = sorted((p["bpp"], sign * p[metric]) for p in points if not math.isnan(p[metric]))
        curves.append(([r for r, _ in pairs], [q for _, q in pairs]))
    (r1, q1), (r2, q2) = curves
    if min(len(r1), len(r2)) < 4 or max(q1[0], q2[0]) >= min(q1[-1], q2[-1]):
        return math.nan
    if any(a >= b for q in (q1, q2) for a, b in zip(q, q[1:], strict=False)):
        return math.nan
    import bjontegaard

    return float(bjontegaard.bd_rate(r1, q1, r2, q2, method="pchip", require_matching_points=False, min_overlap=0))


def draw(lossy: dict[str, list[dict[str, float]]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(metrics.METRICS), figsize=(5 * len(metrics.METRICS), 4.2))
    for axis, metric in zip(axes, metrics.METRICS, strict=True):
        for codec, points in lossy.items():
            ours = codec.startswith("diffc")
            x, y = [p["bpp"] for p in points], [p[metric] for p in points]
            axis.plot(x, y, "-o" if ours else "--", markersize=3, linewidth=2 if ours else 1.2, label=codec)
        axis.set(xscale="log", xlabel="bits per pixel, whole files", ylabel=metrics.UNITS[metric])
        if metric == "swd":
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    for suffix in ("png", "svg"):
        figure.savefig(out / f"curves.{suffix}", dpi=110)
    plt.close(figure)


# ---- the page


def render(
    out: Path,
    lossy: dict[str, list[dict[str, float]]],
    lossless: dict[str, dict[str, float]],
    about: dict[str, str],
    errors: Sequence[str],
    skipped: dict[str, str],
) -> str:
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    notes = [f"<li>{html.escape(line)}</li>" for line in [*errors, *(f"{k} {v}" for k, v in skipped.items())]]
    curves = ""
    if (out / "curves.svg").exists() and lossy:
        curves = f'<img class="plot" alt="rate curves" src="{_data(out / "curves.svg", "image/svg+xml")}">'
    parts = {
        "about": "<br>".join(html.escape(f"{k}: {v}") for k, v in about.items()),
        "lossy": _lossy_table(lossy),
        "lossless": _lossless_table(lossless),
        "curves": curves,
        "notes": f"<h2>Left out</h2><ul>{''.join(notes)}</ul>" if notes else "",
        "views": json.dumps(_views(out / "pictures")).replace("</", "<\\/"),
    }
    for name, value in parts.items():
        template = template.replace(f"@{name}@", value)
    return template


def _views(folder: Path) -> dict[str, Any]:
    """picture -> {"original": data URL, "rates": {rate: {codec: data URL}}}."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.webp")) if folder.is_dir() else ():
        picture, *rest = path.stem.rsplit("~", 2) if path.stem.count("~") > 1 else path.stem.rsplit("~", 1)
        view = found.setdefault(picture, {"original": "", "rates": {}})
        if rest == ["original"]:
            view["original"] = _data(path, "image/webp")
        else:
            codec, rate = rest
            view["rates"].setdefault(rate, {})[codec] = _data(path, "image/webp")
    return {k: v for k, v in found.items() if v["original"] and v["rates"]}


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    if not body:
        return "<p>none</p>"
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in body]
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _number(value: float, digits: int = 2) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _lossy_table(lossy: dict[str, list[dict[str, float]]]) -> str:
    targets = sorted({p["target"] for points in lossy.values() for p in points})
    head = ["codec", *(f"PSNR at {t:g} bpp" for t in targets), f"BD-rate to {ANCHOR}, %", "encode s", "decode s"]
    body = []
    for codec, points in lossy.items():
        at = {p["target"]: p for p in points}
        anchor = lossy.get(ANCHOR)
        change = bd_rate(anchor, points, "psnr") if anchor and codec != ANCHOR else math.nan
        last = points[-1]
        cells = [_number(at[t]["psnr"]) if t in at else "" for t in targets]
        body.append([codec, *cells, _number(change, 1), _number(last["encode_s"]), _number(last["decode_s"])])
    return _table(head, body)


def _lossless_table(lossless: dict[str, dict[str, float]]) -> str:
    ranked = sorted(lossless.items(), key=lambda item: item[1]["bpd"])
    cells = [
        [codec, _number(p["bpd"], 3), _number(p["encode_s"]), _number(p["decode_s"]), str(int(p["images"]))]
        for codec, p in ranked
    ]
    return _table(["codec", "bits per sample", "encode s", "decode s", "pictures"], cells)
