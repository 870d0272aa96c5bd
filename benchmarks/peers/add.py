"""Add a peer's decoded pictures and file sizes to the table of `diffcodec bench`. See README.md beside this.

python -m benchmarks.peers.add REPORT --codec NAME --originals DIR --decoded DIR --sizes SIZES.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from diffcodec.bench import metrics
from diffcodec.bench.measuring import FIELDS


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("report", type=Path)
    ap.add_argument("--codec", required=True)
    ap.add_argument("--originals", type=Path, required=True)
    ap.add_argument("--decoded", type=Path, required=True)
    ap.add_argument("--sizes", type=Path, required=True, help="CSV: image,bytes[,target_bpp,encode_s,decode_s]")
    args = ap.parse_args()
    rows = []
    with args.sizes.open(newline="") as file:
        for given in csv.DictReader(file):
            pictures = (folder / given["image"] for folder in (args.decoded, args.originals))
            image, original = (np.asarray(Image.open(path).convert("RGB")) for path in pictures)
            bpp = 8 * int(given["bytes"]) / (original.shape[0] * original.shape[1])
            found = {key: f"{value:.5f}" for key, value in metrics.measure(image, original).items()}
            rows.append(
                {
                    "image": given["image"],
                    "frames": 1,
                    "codec": args.codec,
                    "target_bpp": given.get("target_bpp") or "",
                    "setting": "peer",
                    "bytes": given["bytes"],
                    "bpp": f"{bpp:.5f}",
                    "bpd": f"{bpp / 3:.5f}",
                    "encode_s": given.get("encode_s") or "nan",
                    "decode_s": given.get("decode_s") or "nan",
                    **found,
                }
            )
    with (args.report / "rows.csv").open("a", newline="") as file:
        csv.DictWriter(file, FIELDS).writerows(rows)
    print(f"{len(rows)} rows of {args.codec} added")


if __name__ == "__main__":
    main()
