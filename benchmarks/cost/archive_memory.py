"""Peak memory of packing and reading a folder of very many small pictures.

    python -m benchmarks.cost.archive_memory [--count 1000 100000]

A row per count, each measured in a process of its own. The network is the exact denoiser of white pixels, so that the
time is what lies around it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import arguments, printed
from diffcodec.models.denoiser import Denoiser


class White(Denoiser):
    """The exact denoiser of pixels that are independent N(0, 0.3)."""

    name, fingerprint = "white", bytes(32)
    logsnr_min, logsnr_max = -8.0, 13.5

    def predict(self, z: torch.Tensor, logsnr: float) -> torch.Tensor:
        a2 = torch.sigmoid(torch.as_tensor(logsnr, dtype=torch.float32))
        return (1 - a2).sqrt() * z / (a2 * 0.3 + 1 - a2)


def picture(n: int) -> np.ndarray:
    return np.clip(np.random.default_rng(n).normal(127, 70, (4, 4, 3)), 0, 255).astype(np.uint8)


def packed_and_read(count: int) -> None:
    from diffcodec.archive import folder as packing
    from diffcodec.archive import memory as archive

    with tempfile.TemporaryDirectory() as name:
        root, out = Path(name, "in"), Path(name, "x.dfca")
        for n in range(count):
            path = root / f"{n // 1000:03}" / f"{n:06}.png"
            if n % 1000 == 0:
                path.parent.mkdir(parents=True)
            Image.fromarray(picture(n)).save(path)
        start = time.perf_counter()
        packing.pack(str(root), str(out), White(), steps=5)
        middle, packed = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with archive.open_archive(str(out)) as reader:
            at = 0
            for group in archive.decoded(reader, reader.places, White(), "auto", 1, None):
                for found in group.pictures:
                    assert (found.samples == picture(at)).all()
                    at += 1
        assert at == count
        seconds = middle - start, time.perf_counter() - middle
        read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{count} pictures: packed in {seconds[0]:.0f} s, peak {packed / 1024:.0f} MB; read in {seconds[1]:.0f} s, "
            f"peak of both {read / 1024:.0f} MB; {os.path.getsize(out) / count:.1f} bytes each",
            flush=True,
        )


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--count", type=int, nargs="+", default=[1000, 100_000])
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    if len(args.count) == 1:
        return packed_and_read(args.count[0])
    for count in args.count:
        again = [sys.executable, "-m", "benchmarks.cost.archive_memory", "--count", str(count)]
        print(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
