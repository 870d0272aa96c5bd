"""Make the committed results of the suite anew: benchmarks/results/kodak, cifar10 and throughput.

    python benchmarks/regenerate.py --kodak KODAK_DIR --cifar CIFAR.npz [--part kodak cifar10 throughput]

CIFAR.npz holds `test`, uint8 N x 32 x 32 x 3; the first --pictures of them are written as PNG files and measured one by
one, and as one archive. What was measured before (below --work) is not measured again; the whole takes hours on two
cores, most of it DiffC on Kodak. The pages with their viewers stay in --work: they are too large to commit.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent / "results"
KEPT = ("rows.csv", "summary.csv", "bd-rate.csv", "equal-bytes.csv", "about.json", "curves.png", "curves.svg")
LOSSY = ["jpeg", "webp", "avif", "jxl", "diffc-mean", "diffc-flow"]
LOSSLESS = ["png", "jpegls", "jpeg2000-lossless", "webp-lossless", "avif-lossless", "jxl-lossless"]
COMMAND = "python benchmarks/regenerate.py --kodak KODAK_DIR --cifar CIFAR.npz --part "


def measure(folder: Path, work: Path, names: list[str], part: str, first: int | None = None) -> None:
    from diffcodec.bench import run

    done = run.run(str(folder), str(work), names, first=first, command=COMMAND + part, progress=progress(part))
    for line in done["errors"]:
        print(f"{part}: {line}", flush=True)
    target = RESULTS / part
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (work / name).exists():
            shutil.copy(work / name, target / name)
    print(f"{part}: {done['rows']} rows of {done['images']} pictures; page {work / 'report.html'}", flush=True)


def progress(part: str):
    told = [0.0]

    def tell(fraction: float) -> None:
        if fraction - told[0] >= 0.02 or fraction == 1:
            told[0] = fraction
            print(f"{part} {100 * fraction:.0f} %", flush=True)

    return tell


def kodak(folder: Path, work: Path, first: int | None) -> None:
    """Whole curves picture by picture, then the rest: a run that is cut off leaves a smaller set, not half a plot."""
    measure(folder, work, LOSSY, "kodak", first)
    measure(folder, work, [*LOSSY, *LOSSLESS], "kodak", first)
    measure(folder, work, [*LOSSY, *LOSSLESS, "ardm"], "kodak", first)


def cifar10(source: Path, work: Path, pictures: int) -> None:
    folder = work.parent / "cifar10-png"
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(source) as z:
        for k, image in enumerate(z["test"][:pictures]):
            Image.fromarray(image).save(folder / f"{k:04d}.png")
    ours = ["ardm", "ardm:cifar10-ardm", "vdm-archive:cifar10-vdm"]
    measure(folder, work, [*LOSSLESS, "heic-lossless", *ours], "cifar10", pictures)


def throughput(work: Path) -> None:
    here = Path(__file__).parent / "throughput"
    work.mkdir(parents=True, exist_ok=True)
    for name in ("entropy", "codecs"):
        report = work / f"{name}.json"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", here / f"bench_{name}.py", f"--benchmark-json={report}"], check=True
        )
        subprocess.run([sys.executable, here / "ratios.py", report, RESULTS / "throughput"], check=True)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kodak", type=Path)
    ap.add_argument("--cifar", type=Path)
    ap.add_argument("--part", nargs="+", choices=["kodak", "cifar10", "throughput"])
    ap.add_argument("--work", type=Path, default=Path("build/bench"), help="rows, pages, pictures; kept between runs")
    ap.add_argument("--first", type=int, help="only this many pictures of Kodak")
    ap.add_argument("--pictures", type=int, default=200, help="of CIFAR-10")
    args = ap.parse_args()
    parts = args.part or ["kodak", "cifar10", "throughput"]
    for part, given in (("kodak", args.kodak), ("cifar10", args.cifar)):
        if part in parts and given is None:
            ap.error(f"{part} needs --{part.removesuffix('10')}")
    if "kodak" in parts:
        kodak(args.kodak, args.work / "kodak", args.first)
    if "cifar10" in parts:
        cifar10(args.cifar, args.work / "cifar10", args.pictures)
    if "throughput" in parts:
        throughput(args.work / "throughput")


if __name__ == "__main__":
    main()
