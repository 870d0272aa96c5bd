"""Many small files by one command: a hundred icons of 32x32 through `encode -r` and back, in seconds and bytes.

    python -m benchmarks.cost.many_files [--save] [--count 100] [--jobs 1 2]

The icons are drawn: discs and letters on a transparent ground. Each command is a process of its own, so that loading
counts; its kernels are compiled before. What comes back is compared. Processor seconds stand beside those of the wall.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common import ROOT, arguments, save


def icon(number: int, side: int = 32) -> Image.Image:
    """An RGBA icon, its colours and shapes by its number."""
    rng = np.random.default_rng(number)
    image = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(image)
    ground, ink = (tuple(map(int, rng.integers(0, 256, 3))) for _ in range(2))
    draw.ellipse((1, 1, side - 2, side - 2), fill=(*ground, 255))
    draw.text((side // 3, side // 4), chr(65 + number % 26), fill=(*ink, 255), font_size=side // 2)
    return image


def seconds(*argv: object) -> tuple[float, float]:
    """(wall, processor) of the command in a process of its own. Raises CalledProcessError where it fails."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "diffcodec", *map(str, argv), "-q"]
    subprocess.run(line, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, own


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in" / "first").mkdir(parents=True)
        for number in range(options.count):
            icon(number).save(root / "in" / f"{number:04}.png")
        icon(0).save(root / "in" / "first" / "a.png")
        seconds("encode", "-r", root / "in" / "first", "--out-dir", root / "first")  # compiles
        seconds("decode", "-r", root / "first", "--out-dir", root / "first")
        (root / "in" / "first" / "a.png").unlink()
        for jobs in options.jobs:
            coded, back = root / f"coded{jobs}", root / f"back{jobs}"
            there = seconds("encode", "-r", root / "in", "--out-dir", coded, "-j", jobs)
            again = seconds("decode", "-r", coded, "--out-dir", back, "-j", jobs)
            for path in sorted((root / "in").glob("*.png")):
                assert (np.asarray(Image.open(path)) == np.asarray(Image.open(back / path.name))).all(), path.name
            row = {"files": options.count, "jobs": jobs, "png_bytes": size(root / "in"), "dfc_bytes": size(coded)}
            for what, (wall, own) in {"encode": there, "decode": again}.items():
                row |= {f"{what}_seconds": f"{wall:.1f}", f"{what}_processor_seconds": f"{own:.1f}"}
            rows.append(row)
            print(" ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    save(options.save, rows)


if __name__ == "__main__":
    main()
