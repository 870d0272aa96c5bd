"""Seconds to encode and decode one picture by DiffC, and the share that channel coding takes of it.

python benchmarks/diffc_speed.py PICTURE [--bpp 0.5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import diffcodec
from diffcodec.channel import trellis


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("picture", type=Path)
    ap.add_argument("--bpp", type=float, default=0.5)
    args = ap.parse_args()
    image = np.asarray(Image.open(args.picture).convert("RGB"))
    spent = {"encode": 0.0, "decode": 0.0}

    def timed(name: str) -> Any:
        original = getattr(trellis, name)

        def call(*a: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*a)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    for name in spent:
        setattr(trellis, name, timed(name))
    diffcodec.decode(diffcodec.encode(image[:64, :64], "diffc", bpp=1.0))  # loads, compiles
    spent.update(encode=0.0, decode=0.0)
    start = time.perf_counter()
    data = diffcodec.encode(image, "diffc", bpp=args.bpp)
    middle = time.perf_counter()
    diffcodec.decode(data, reconstruction="mean")
    end = time.perf_counter()
    print(f"{len(data)} bytes, {8 * len(data) / image[..., 0].size:.4f} bpp asked {args.bpp:g}")
    for name, seconds in (("encode", middle - start), ("decode", end - middle)):
        print(f"{name}: {seconds:.1f} s, of which channel coding {spent[name]:.1f} s = {spent[name] / seconds:.1%}")


if __name__ == "__main__":
    main()
