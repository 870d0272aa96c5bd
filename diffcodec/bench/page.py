"""The page of a report: tables, curves, and pictures at equal rate under a slider, all in one file."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from . import metrics
from .curves import Row
from .part import Part
from .point import SHOWN, view_file

#: what stands above the tables: title and text
LOSSY = (
    "Lossy, {count}: PSNR in dB",
    "Means over all. At each rate the largest file that is at most 2 % above it; empty where a codec has none on one "
    "of them. BD-rate: how many % more bits than {anchor} for the same quality (SWD: sliced Wasserstein distance of "
    "patches; flicker: how much the change from frame to frame is off); negative is better. Seconds at the highest "
    "rate. A click on a column's head sorts.",
)
LOSSLESS = (
    "Lossless, {count}",
    "Bits per dimension (sample) of whole files, each decoded and compared with its original.",
)


def render(
    out: Path,
    rows: Sequence[Row],
    parts: Sequence[Part],
    about: dict[str, str],
    left_out: Sequence[str],
    drawn: dict[str, Any],
) -> str:
    """The HTML text. Pictures are read below ``out`` and put in, beside what is ``drawn`` (`curves.data`), escaped."""
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in left_out)
    filled = {
        "title": " and ".join(part.count for part in parts),
        "about": "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in about.items()),
        "lossy": "".join(_section(part, LOSSY, _lossy_table(part)) for part in parts if part.lossy),
        "lossless": "".join(_section(part, LOSSLESS, _lossless_table(part)) for part in parts if part.lossless),
        "notes": f"<section><h2>Left out</h2><ul>{notes}</ul></section>" if notes else "",
        "views": _script(_views(out, rows)),
        "drawn": _script(drawn),
    }
    # in one go: what is put in is not searched for further names
    return re.sub(f"@({'|'.join(filled)})@", lambda match: filled[match[1]], template)


def _section(part: Part, text: tuple[str, str], table: str) -> str:
    title, told = (html.escape(one.format(count=part.count, anchor=part.anchor)) for one in text)
    return f"<section><h2>{title}</h2><p>{told}</p>{table}</section>"


def _script(found: dict[str, Any]) -> str:
    """As a constant of the page's script, which no text of a row may end."""
    return json.dumps(found, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _views(out: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """picture -> {"original": data URL, "frames": how many, "rates": {rate: {codec: {"src": data URL, "text": size}}}}.

    Frames of a clip lie one below another.
    """
    found: dict[str, Any] = {}
    for row in rows:
        name, codec, rate = row["image"], row["codec"], row["target_bpp"]
        path, original = view_file(out, name, codec, rate), view_file(out, name, "original", "")
        if rate == "" or not path.is_file() or not original.is_file():
            continue
        frames = min(int(row.get("frames") or 1), SHOWN)
        view = found.setdefault(name, {"original": _data(original, "image/webp"), "frames": frames, "rates": {}})
        text = f"{int(row['bytes']):,} bytes, {float(row['bpp']):.3f} bpp, {float(row['psnr']):.2f} dB"
        view["rates"].setdefault(rate, {})[codec] = {"src": _data(path, "image/webp"), "text": text}
    return found


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]], best: Sequence[int] = ()) -> str:
    """best: columns whose highest number is set in bold."""
    if not body:
        return "<p>none</p>"
    top = {}
    for column in best:
        values = [float(row[column]) for row in body if row[column]]
        top[column] = max(values, default=math.nan)
    rows = []
    for row in body:
        cells = []
        for column, cell in enumerate(row):
            bold = column in top and cell and float(cell) == top[column]
            cells.append(f'<td class="best">{html.escape(cell)}</td>' if bold else f"<td>{html.escape(cell)}</td>")
        ours = row[0].split(":")[0] in ("ardm", "ardm-clip", "vdm-archive") or row[0].startswith("diffc")
        rows.append(f'<tr class="ours">{"".join(cells)}</tr>' if ours else f"<tr>{''.join(cells)}</tr>")
    names = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def number(value: float, digits: int = 2) -> str:
    """Empty for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _lossy_table(part: Part) -> str:
    lossy, bd_rates = part.lossy, part.rates
    targets = sorted({p["target"] for points in lossy.values() for p in points})
    measured = [m for m in metrics.METRICS if any(not math.isnan(p[m]) for points in lossy.values() for p in points)]
    compared = [m for m in measured if any(not math.isnan(found[m]) for found in bd_rates.values())]
    head = ["codec", *(f"{t:g} bpp" for t in targets)]
    head += [f"BD-rate, {metrics.SHORT[m]}" for m in compared] + ["encode, s", "decode, s"]
    body = []
    for codec, points in lossy.items():
        at = {p["target"]: p for p in points}
        cells = [number(at[t]["psnr"]) if t in at else "" for t in targets]
        changes = [number(bd_rates[codec][m], 1) if codec in bd_rates else "0" for m in compared]
        last = points[-1]
        body.append([codec, *cells, *changes, number(last["encode_s"]), number(last["decode_s"])])
    return _table(head, body, range(1, len(targets) + 1))


def _lossless_table(part: Part) -> str:
    ranked = sorted(part.lossless.items(), key=lambda item: item[1]["bpd"])
    cells = [
        [
            codec,
            number(p["bpd"], 3),
            number(p["bpp"], 3),
            number(p["encode_s"]),
            number(p["decode_s"]),
            f"{p['images']:g}",
        ]
        for codec, p in ranked
    ]
    return _table(["codec", "bits per dimension", "bits per pixel", "encode, s", "decode, s", "files"], cells)
