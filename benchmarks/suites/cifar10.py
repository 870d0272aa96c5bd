"""Lossless codecs on small pictures: the suite on the first pictures of CIFAR-10 test, one by one and as one archive.

    python -m benchmarks.suites.cifar10 CIFAR.npz [--pictures 200]

CIFAR.npz holds `test`, uint8 (N, 32, 32, 3), of which the first are written as PNG files. Rows and tables go to
benchmarks/results/cifar10; what was measured before (below --work) is not measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import LOSSLESS, suite

OURS = ["ardm", "ardm:cifar10-ardm", "vdm-archive:cifar10-vdm"]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("source", type=Path)
    ap.add_argument("--work", type=Path, default=Path("build/bench"), help="pictures, rows, page; kept between runs")
    ap.add_argument("--pictures", type=int, default=200)
    args = ap.parse_args()
    folder = args.work / "cifar10-png"
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(args.source) as z:
        for k, image in enumerate(z["test"][: args.pictures]):
            Image.fromarray(image).save(folder / f"{k:04d}.png")
    codecs = [*LOSSLESS, "heic-lossless", *OURS]
    suite("cifar10", folder, args.work / "cifar10", codecs, args.pictures)


if __name__ == "__main__":
    main()
