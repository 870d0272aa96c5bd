"""Peak memory of packing and reading a folder of very many small pictures.

    python benchmarks/archive_memory.py [--count 1000 100000]

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


class White:
    """The exact denoiser of pixels that are independent N(0, 0.3)."""

    name, numerics, channels, fingerprint = "white", 2, 3, bytes(32)
    logsnr_min, logsnr_max = -8.0, 13.5

    def predict(self, z: torch.Tensor, logsnr: float) -> torch.Tensor:
        a2 = torch.sigmoid(torch.as_tensor(logsnr, dtype=torch.float32))
        return (1 - a2).sqrt() * z / (a2 * 0.3 + 1 - a2)

    def to_latent(self, image: torch.Tensor) -> torch.Tensor:
        return image.float() / 127.5 - 1


def picture(n: int) -> np.ndarray:
    return np.clip(np.random.default_rng(n).normal(127, 70, (4, 4, 3)), 0, 255).astype(np.uint8)


def measure(count: int) -> None:
    from diffcodec import archive, packing

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
            for _, result in archive.decoded(reader, reader.places, White(), "auto", 1, None):
                for _, found in result:
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
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--count", type=int, nargs="+", default=[1000, 100_000])
    args = ap.parse_args()
    if len(args.count) == 1:
        return measure(args.count[0])
    for count in args.count:
        subprocess.run([sys.executable, __file__, "--count", str(count)], check=True)


if __name__ == "__main__":
    main()
