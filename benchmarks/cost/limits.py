"""Cold start and peak memory, each in a process of its own.

python -m benchmarks.cost.limits [--megapixels 24]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import arguments, printed

PICTURE = """
import numpy as np, skimage.data, sys
from PIL import Image

from benchmarks.common import arguments, printed
h, w = int(sys.argv[1]), int(sys.argv[2])
a = Image.fromarray(skimage.data.astronaut()).resize((w, h), Image.Resampling.BICUBIC)
a = np.asarray(a).astype(np.float32) + np.random.default_rng(0).normal(0, 1.5, (h, w, 3))
Image.fromarray(np.clip(a, 0, 255).astype(np.uint8)).save(sys.argv[3])
"""


def run(*command: str) -> tuple[float, float]:
    """(seconds, peak GB) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--megapixels", type=float, default=24)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    command = [sys.executable, "-c", "from diffcodec.cli.main import main; main()"]
    with tempfile.TemporaryDirectory() as folder:
        small, big, coded = (str(Path(folder) / n) for n in ("small.png", "big.png", "x.dfc"))
        run(sys.executable, "-c", PICTURE, "256", "256", small)
        run(*command, "encode", small, coded)
        assert os.path.getsize(coded) > 0
        for name, words in {
            "--help": ["--help"],
            "info": ["info", coded],
            "encode 256x256": ["encode", small, coded, "--overwrite"],
            "decode 256x256": ["decode", coded, str(Path(folder) / "y.png"), "--overwrite"],
        }.items():
            times = [run(*command, *words)[0] for _ in range(5)]
            print(f"cold process, {name}: median {statistics.median(times):.2f} s of {len(times)}")
        if args.megapixels:
            side = round((args.megapixels * 1e6 / 1.5) ** 0.5)
            run(sys.executable, "-c", PICTURE, str(side), str(side * 3 // 2), big)
            seconds, peak = run(*command, "encode", big, coded, "--overwrite")
            print(f"encode {args.megapixels:g} megapixels: {seconds:.0f} s, peak {peak:.2f} GB")
            seconds, peak = run(*command, "decode", coded, str(Path(folder) / "z.png"))
            print(f"decode {args.megapixels:g} megapixels: {seconds:.0f} s, peak {peak:.2f} GB")
    print(f"{os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
