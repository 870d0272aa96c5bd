"""Lossless rate of real files on a folder of pictures: bits per dimension, the model's own entropy, seconds.

    python benchmarks/lossless.py DIR|PHOTOS.npz [--against png webp jxl] [--csv OUT.csv]

Every file is decoded and compared. Times are per picture, the model loaded and the kernels compiled before.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import diffcodec
from diffcodec.codecs import ardm
from diffcodec.entropy import logistic
from diffcodec.entropy.stack import AnsStack
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


class MeteredStack(AnsStack):
    """Adds up the ideal code length of what is pushed, and the part that cost nothing.

    Symbols of level 0 pushed onto an empty stack leave it empty, so the black border of a picture is free. Counted
    among the entropy it would hide what the coder adds.
    """

    ideal = free = 0.0  #: bits, of all stacks since `reset`

    @classmethod
    def reset(cls) -> None:
        cls.ideal = cls.free = 0.0

    def push_intervals(self, starts: np.ndarray, freqs: np.ndarray) -> None:
        MeteredStack.ideal += logistic.bits(freqs)
        if not self.size and not int(self.state):
            kept = np.flatnonzero(starts)  # the last of these is the first symbol to count: pushing is in reverse
            MeteredStack.free += logistic.bits(freqs[kept[-1] + 1 if len(kept) else 0 :])
        super().push_intervals(starts, freqs)


def pictures(source: Path) -> Iterator[tuple[str, Image.Image]]:
    """The pictures of a folder, or the validation tiles of a file of `tools/prepare_photos.py`."""
    if source.suffix == ".npz":
        with np.load(source) as z:
            shapes, pixels = z["val_shapes"], z["val_pixels"]
        ends = np.cumsum(shapes.prod(1) * 3)
        for k, (h, w) in enumerate(shapes):
            yield f"val-{k:03d}", Image.fromarray(pixels[ends[k] - h * w * 3 : ends[k]].reshape(h, w, 3))
        return
    for path in sorted(source.iterdir()):
        if path.suffix.lower() in {".png", ".webp", ".tif", ".bmp"}:
            yield path.name, Image.open(path).convert("RGB")


def write_rows(path: Path, rows: list[dict[str, Any]], digits: int = 5) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({k: f"{v:.{digits}f}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)


def by_network(pixels: np.ndarray, model: str | None, tables: int) -> float:
    """Bits per sample of a file by the network with these tables of statistics."""
    params, passes = ardm.encode(pixels, pixels[..., :0], registry.load(model), method=ardm.LATTICE, tables=tables)
    return 8 * (sum(map(len, passes)) + len(params) + FRAME + 8 * len(passes)) / pixels.size


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--model")
    ap.add_argument("--against", nargs="*", default=[], choices=["png", "webp", "jxl"])
    ap.add_argument("--limit", type=int, default=None)
    ap.add_argument("--csv", type=Path)
    args = ap.parse_args()
    shots = list(pictures(args.folder))[: args.limit]
    warm = np.zeros((64, 64, 3), np.uint8)
    diffcodec.decode(
        diffcodec.encode(warm + np.arange(64, dtype=np.uint8)[:, None, None], model=args.model), model=args.model
    )
    rows = []
    for name, image in shots:
        pixels = np.asarray(image)
        t0 = time.perf_counter()
        data = diffcodec.encode(image, model=args.model)
        t1 = time.perf_counter()
        back = diffcodec.decode(data, model=args.model)
        t2 = time.perf_counter()
        assert np.array_equal(back, pixels), f"{name} did not come back"
        row = {
            "file": name,
            "bytes": len(data),
            "bpd": 8 * len(data) / pixels.size,
            "encode_s": t1 - t0,
            "decode_s": t2 - t1,
        }
        # the network's own figures, whichever method the file took: with the tables of its choice, and without any
        params = ardm.encode(pixels, pixels[..., :0], registry.load(args.model), method=ardm.LATTICE)[0]
        row["tables"] = params[1] if ardm.refined(params) else 0
        row["plain_bpd"] = by_network(pixels, args.model, 0)
        MeteredStack.reset()
        ardm.AnsStack = MeteredStack  # type: ignore[misc]
        row["lattice_bpd"] = by_network(pixels, args.model, row["tables"])
        ardm.AnsStack = AnsStack  # type: ignore[misc]
        row["entropy_bpd"] = MeteredStack.ideal / pixels.size
        row["free_bpd"] = MeteredStack.free / pixels.size
        row["method"] = "lattice" if diffcodec.inspect(data)["model"] else "context"
        row |= {codec: 8 * classical(image, codec) / pixels.size for codec in args.against}
        rows.append(row)
        print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
    mean = {k: statistics.fmean(r[k] for r in rows) for k in rows[0] if k not in ("file", "bytes", "method", "tables")}
    print(f"MEAN of {len(rows)}:", " ".join(f"{k} {v:.4f}" for k, v in mean.items()))
    encode, decode = (statistics.median(r[k] for r in rows) for k in ("encode_s", "decode_s"))
    print(f"median encode {encode:.2f} s, decode {decode:.2f} s, {os.cpu_count()} CPUs")
    entropy, free = mean["entropy_bpd"], mean["free_bpd"]
    print(f"{sum(r['method'] == 'lattice' for r in rows)} files by the network, the others by the context coder")
    print(f"network alone: file size over the model's own entropy {100 * (mean['lattice_bpd'] / entropy - 1):+.3f} %,")
    print(
        f"  without what empty stacks take free of charge {100 * (mean['lattice_bpd'] / (entropy - free) - 1):+.3f} %"
    )
    print(f"slowest encode {max(r['encode_s'] for r in rows):.2f} s, decode {max(r['decode_s'] for r in rows):.2f} s")
    if args.csv:
        write_rows(args.csv, rows)


if __name__ == "__main__":
    main()
