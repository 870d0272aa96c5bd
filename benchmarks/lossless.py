"""Lossless rate of real files on a folder of pictures: bits per dimension, the model's own entropy, seconds.

    python benchmarks/lossless.py DIR [--against png webp jxl] [--method auto|lattice] [--csv OUT.csv]

Every file is decoded and compared. Times are per picture, the model loaded and the kernels compiled before.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

import diffcodec
from diffcodec.codecs import ardm
from diffcodec.entropy import logistic
from diffcodec.models import registry

FRAME = 70  #: bytes around the passes: signature, header, end; and at most 8 around each pass


def classical(image: Image.Image, codec: str) -> int:
    out = io.BytesIO()
    if codec == "png":
        image.save(out, "PNG", optimize=True)
    elif codec == "webp":
        image.save(out, "WEBP", lossless=True, quality=100, method=6)
    else:
        import pillow_jxl  # noqa: F401

        image.save(out, "JXL", lossless=True, effort=9)
    return len(out.getvalue())


class EntropyMeter:
    """Adds up the ideal code length of every interval the codec asks for."""

    def __init__(self) -> None:
        self.parts: list[float] = []  # appended to by several threads
        self._inner = logistic.intervals

    @property
    def bits(self) -> float:
        return sum(self.parts)

    def __enter__(self) -> EntropyMeter:
        def measured(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            starts, freqs = self._inner(params, base, pixels)
            self.parts.append(logistic.bits(freqs))
            return starts, freqs

        ardm.intervals = measured  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        ardm.intervals = self._inner  # type: ignore[attr-defined]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--model")
    ap.add_argument("--against", nargs="*", default=[], choices=["png", "webp", "jxl"])
    ap.add_argument("--limit", type=int, default=None)
    ap.add_argument("--csv", type=Path)
    args = ap.parse_args()
    paths = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in {".png", ".webp", ".tif", ".bmp"})[
        : args.limit
    ]
    warm = np.zeros((64, 64, 3), np.uint8)
    diffcodec.decode(
        diffcodec.encode(warm + np.arange(64, dtype=np.uint8)[:, None, None], model=args.model), model=args.model
    )
    rows = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        pixels = np.asarray(image)
        t0 = time.perf_counter()
        data = diffcodec.encode(image, model=args.model)
        t1 = time.perf_counter()
        back = diffcodec.decode(data, model=args.model)
        t2 = time.perf_counter()
        assert np.array_equal(back, pixels), f"{path.name} did not come back"
        row = {
            "file": path.name,
            "bytes": len(data),
            "bpd": 8 * len(data) / pixels.size,
            "encode_s": t1 - t0,
            "decode_s": t2 - t1,
        }
        with EntropyMeter() as meter:  # of the network, whichever method the file took
            params, passes = ardm.encode(pixels, pixels[..., :0], registry.load(args.model), method=ardm.LATTICE)
        row["lattice_bpd"] = 8 * (sum(map(len, passes)) + len(params) + FRAME + 8 * len(passes)) / pixels.size
        row["entropy_bpd"] = meter.bits / pixels.size
        row["method"] = "lattice" if diffcodec.inspect(data)["model"] else "context"
        row |= {codec: 8 * classical(image, codec) / pixels.size for codec in args.against}
        rows.append(row)
        print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
    mean = {k: statistics.fmean(r[k] for r in rows) for k in rows[0] if k not in ("file", "bytes", "method")}
    print(f"MEAN of {len(rows)}:", " ".join(f"{k} {v:.4f}" for k, v in mean.items()))
    encode, decode = (statistics.median(r[k] for r in rows) for k in ("encode_s", "decode_s"))
    print(f"median encode {encode:.2f} s, decode {decode:.2f} s, {os.cpu_count()} CPUs")
    over = mean["lattice_bpd"] / mean["entropy_bpd"] - 1
    print(f"{sum(r['method'] == 'lattice' for r in rows)} files by the network, the others by the context coder")
    print(f"network alone: file size over the model's own entropy {100 * over:+.3f} %")
    if args.csv:
        with args.csv.open("w", newline="") as f:
            writer = csv.DictWriter(f, rows[0].keys())
            writer.writeheader()
            writer.writerows({k: f"{v:.5f}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)


if __name__ == "__main__":
    main()
