"""DiffC beside JPEG, WebP, AVIF and JPEG XL at equal bytes, and the lossless codecs: the suite on Kodak's pictures.

    python -m benchmarks.suites.kodak KODAK_DIR [--first N]

Rows, plots and tables go to benchmarks/results/kodak. What was measured before (below --work) is not measured again;
the whole takes hours on two cores, most of it DiffC. The page with its viewer stays in --work: it is too large to
commit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common import LOSSLESS, suite

LOSSY = ["jpeg", "webp", "avif", "jxl", "diffc-mean", "diffc-flow"]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--work", type=Path, default=Path("build/bench/kodak"), help="rows and page; kept between runs")
    ap.add_argument("--first", type=int, help="only this many pictures")
    args = ap.parse_args()
    # whole curves picture by picture, then the rest: a run that is cut off leaves a smaller set, not half a plot
    for codecs in (LOSSY, [*LOSSY, *LOSSLESS], [*LOSSY, *LOSSLESS, "ardm"]):
        suite("kodak", args.folder, args.work, codecs, args.first)


if __name__ == "__main__":
    main()
