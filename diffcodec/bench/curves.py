"""Rate against quality: what the page draws, of all pictures and of each, and the same as files (PNG, SVG)."""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import metrics

Row = dict[str, Any]
Mean = dict[str, float]
Lossy = dict[str, list[Mean]]  #: codec -> a mean per rate, lowest rate first

FILES = ("curves.png", "curves.svg")
ALL_METRICS = (*metrics.METRICS, *metrics.SETS)
LOWER_IS_BETTER = {m for m in ALL_METRICS if not metrics.HIGHER_IS_BETTER.get(m, False)}
FIDELITY = ("psnr", "ms_ssim")  #: the others stand for realism
_LOGARITHMIC = ("swd", "fid")


def data(rows: Sequence[Row], means: dict[str, Lossy], published: Lossy) -> dict[str, Any]:
    """What the page draws, as JSON has it.

    means: by what they are over. metrics: (name, whether lower is better, whether its axis is logarithmic). pictures:
    (name, codec -> points), the means first; a point is bits per pixel, then each metric, None where it is not known.
    published: codec -> points, means over all pictures. styles: codec -> (colour or "", whether it is ours).
    """
    by_picture: dict[str, Lossy] = defaultdict(lambda: defaultdict(list))
    for row in sorted((row for row in rows if row["target_bpp"] != ""), key=lambda row: float(row["bpp"])):
        point = {key: float(row[key]) for key in ("bpp", *metrics.METRICS)}
        by_picture[row["image"]][row["codec"]].append(point)
    pictures = [*means.items(), *sorted(by_picture.items())]
    names = {codec: None for _, found in pictures for codec in found}
    return {
        "metrics": [(metrics.UNITS[m], m in LOWER_IS_BETTER, m in _LOGARITHMIC) for m in ALL_METRICS],
        "pictures": [(name, _points(found)) for name, found in pictures],
        "published": _points(published),
        "styles": {codec: (_COLOURS.get(codec, ""), _is_ours(codec)) for codec in names},
    }


def _points(found: Lossy) -> dict[str, list[list[float | None]]]:
    def numbers(point: Mean) -> Iterable[float | None]:
        for value in (point.get(key, math.nan) for key in ("bpp", *ALL_METRICS)):
            yield round(value, 5) if math.isfinite(value) else None

    return {codec: [list(numbers(point)) for point in points] for codec, points in found.items()}


def missing() -> str:
    """Why no files of curves are drawn here; empty if they are."""
    return "needs matplotlib" if importlib.util.find_spec("matplotlib") is None else ""


def draw(lossy: Lossy, published: Lossy, out: Path) -> None:
    """FILES: a panel per metric that was measured, fidelity first, then realism; published points dotted."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    every = [p for points in lossy.values() for p in points]
    shown = [m for m in ALL_METRICS if any(not math.isnan(p[m]) for p in every)]
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4.8 * columns, 4 * lines + 0.5), squeeze=False)
    for axis, metric in zip(axes.flat, shown, strict=False):
        for codec, points in lossy.items():
            x, y = [p["bpp"] for p in points], [p[metric] for p in points]
            axis.plot(x, y, label=codec, **style(codec))
        for codec, points in published.items():
            known = [p for p in points if not math.isnan(p.get(metric, math.nan))]
            x, y = [p["bpp"] for p in known], [p[metric] for p in known]
            axis.plot(x, y, label=f"{codec}, published", linestyle=":", marker="x", markersize=4, linewidth=1)
        better = "lower" if metric in LOWER_IS_BETTER else "higher"
        name = f"{metrics.UNITS[metric]} ({better} is better)"
        axis.set(xscale="log", xlabel="bits per pixel, whole files", ylabel=name)
        ticks = sorted({p["target"] for p in every})
        axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axis.minorticks_off()
        if metric in _LOGARITHMIC:
            axis.set_yscale("log")
        axis.set_title("rate–distortion" if metric in FIDELITY else "rate–realism", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=min(8, len(labels)), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (4 * lines + 0.5)))
    for name in FILES:
        figure.savefig(out / name, dpi=110)
    plt.close(figure)


_COLOURS = {
    "jpeg": "#8c8c8c",
    "webp": "#2a9d8f",
    "jpeg2000": "#b5651d",
    "avif": "#e09f3e",
    "heic": "#8ab17d",
    "jxl": "#7b5ea7",
    "diffc": "#5b3a8c",
    "diffc-mean": "#1f6fb2",
    "diffc-flow": "#c1272d",
}


def style(codec: str) -> dict[str, Any]:
    """Of a codec's line: the same colour in every report, ours thick."""
    ours = _is_ours(codec)
    known = {"color": _COLOURS[codec]} if codec in _COLOURS else {}
    return {
        "linestyle": "-" if ours else "--",
        "marker": "o",
        "markersize": 3,
        "linewidth": 2.2 if ours else 1.3,
    } | known


def _is_ours(codec: str) -> bool:
    return codec.startswith("diffc")
