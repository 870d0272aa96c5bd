"""DiffC `mean` on Kodak against the published curves of other codecs: BD-rate by PSNR, and dB at given rates.

    python -m benchmarks.claims.published [--report REPORT] [--codec diffc-mean@9] [--save] [--draw FILE.jpg]

Reads benchmarks/results/kodak/summary.csv (whole files, means of 24 pictures), or another report of `diffcodec bench`
of Kodak, a folder or its rows (results/since/report.csv is of the present version), and benchmarks/published/kodak.csv;
nothing is measured. BD-rate is over the qualities that both curves have, in percent of the other codec's rate: below 0
DiffC takes fewer bits. A difference in dB is DiffC's PSNR less the other's, linear in log(bpp) between their points.
--draw: a picture of the report's curves with some of the published points, as its page draws them, by Chromium (that of
docs/howto/bench.md). Needs the extra "bench" (bjontegaard).
"""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import tempfile
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from benchmarks.common import RESULTS, ROOT, arguments, save
from diffcodec.bench.metrics import METRICS
from diffcodec.bench.published import read
from diffcodec.bench.report import bd_rate, write

PUBLISHED = ROOT / "benchmarks" / "published" / "kodak.csv"
DRAWN = ("VTM (H.266 intra)", "ELIC 2022")
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)


def curves(report: Path, codec: str) -> tuple[list[dict[str, float]], dict[str, list[dict[str, float]]]]:
    """Points {bpp, psnr} of DiffC, and of every published codec, by rising rate."""
    with open(report / "summary.csv" if report.is_dir() else report, newline="") as file:
        ours = [row for row in csv.DictReader(file) if row["codec"] == codec]
    with open(PUBLISHED, newline="") as file:
        rows = list(csv.DictReader(file))
    published = {
        name: [{"bpp": float(row["bpp"]), "psnr": float(row["psnr_db"])} for row in group]
        for name, group in groupby(rows, key=lambda row: row["codec"])
    }
    rates = sorted({float(row["target_bpp"]) for row in ours})
    means = [{name: fmean(float(row[name]) for row in ours if float(row["target_bpp"]) == rate)
              for name in ("bpp", "psnr")} for rate in rates]  # fmt: skip
    return means, published


def at(points: list[dict[str, float]], bpp: float) -> float:
    """PSNR at a rate, NaN outside of the curve."""
    rates = [math.log(p["bpp"]) for p in points]
    value = np.interp(math.log(bpp), rates, [p["psnr"] for p in points], left=math.nan, right=math.nan)
    return float(value)


def draw(report: Path, to: Path) -> None:
    """The curves of the page of a report's rows. Raises StopIteration where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with (report / "rows.csv").open(newline="") as file:
        rows = [dict.fromkeys(METRICS, "nan") | row for row in csv.DictReader(file)]  # older ones have fewer
    others = read(str(PUBLISHED))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = write(folder, rows, {}, [], {}, {codec: others[codec] for codec in DRAWN})
        style = "section, h1, dl { display: none } section:has(#curves) { display: block }</style>"
        page.write_text(page.read_text(encoding="utf-8").replace("</style>", style, 1), encoding="utf-8")
        flags = "--headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=3000".split()
        line = [browser, *flags, f"--user-data-dir={folder / 'profile'}", "--window-size=1150,510"]
        subprocess.run([*line, f"--screenshot={folder / 'x.png'}", page.as_uri()], check=True, capture_output=True)
        Image.open(folder / "x.png").convert("RGB").save(to, quality=80, optimize=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--report", type=Path, default=RESULTS / "kodak", help="of diffcodec bench")
    parser.add_argument("--codec", default="diffc-mean")
    parser.add_argument("--draw", type=Path, metavar="FILE.jpg", help="draw the page's curves, and do no more")
    options = parser.parse_args()
    if options.draw:
        draw(options.report, options.draw)
        return
    ours, published = curves(options.report, options.codec)
    # whole files lie a little below the rates that were asked for: 0.099 for 0.1, 0.9999 for 1
    reached = [min((point["bpp"] for point in ours), key=lambda bpp, rate=rate: abs(bpp - rate)) for rate in RATES]
    rates = [bpp if abs(bpp - rate) < 0.01 * rate else rate for rate, bpp in zip(RATES, reached, strict=True)]
    table = [["codec", "bd_rate_percent", *(f"db_at_{rate:g}" for rate in RATES)]]
    for name, points in published.items():
        differences = [at(ours, rate) - at(points, rate) for rate in rates]
        shown = ["" if math.isnan(d) else f"{d:+.2f}" for d in differences]
        table.append([name, f"{bd_rate(points, ours, 'psnr'):+.1f}", *shown])
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    save(options.save, [dict(zip(table[0], row, strict=True)) for row in table[1:]])


if __name__ == "__main__":
    main()
