"""What `encode(..., tune=True)` saves and takes: real files with and without it, each decoded and compared.

    python -m benchmarks.studies.tuning DIR|PHOTOS.npz|scikit-image [--limit N] [--save kodak.csv]

DIR holds PNG, WebP, TIFF or BMP files, PHOTOS.npz is of `tools.training.prepare_photos` (its validation tiles). Times
are per picture, the model loaded and the kernels compiled before.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import arguments, pictures, save


def measured(pixels: np.ndarray, tune: bool) -> tuple[bytes, float, float]:
    """The stream, seconds to encode, seconds to decode."""
    start = time.perf_counter()
    data = diffcodec.encode(pixels, tune=tune)
    middle = time.perf_counter()
    assert np.array_equal(diffcodec.decode(data), pixels)
    return data, middle - start, time.perf_counter() - middle


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("where", type=Path)
    ap.add_argument("--limit", type=int)
    args = ap.parse_args()
    ramp = np.zeros((64, 64, 3), np.uint8) + np.arange(64, dtype=np.uint8)[:, None, None]
    measured(ramp + np.random.default_rng(0).integers(0, 64, ramp.shape, np.uint8), False)
    rows: list[dict[str, Any]] = []
    for name, image in list(pictures(args.where))[: args.limit]:
        pixels = np.asarray(image)
        plain, *plain_seconds = measured(pixels, False)
        tuned, *tuned_seconds = measured(pixels, True)
        row = {
            "file": name,
            "pixels": pixels.shape[0] * pixels.shape[1],
            "plain_bytes": len(plain),
            "tuned_bytes": len(tuned),
            "adjustment_bytes": diffcodec.inspect(tuned)["adjustment_bytes"],
            "saved_percent": 100 * (1 - len(tuned) / len(plain)),
        }
        for kind, (encode, decode) in (("plain", plain_seconds), ("tuned", tuned_seconds)):
            row |= {f"{kind}_encode_s": encode, f"{kind}_decode_s": decode}
        row |= {"plain_bpd": 8 * len(plain) / pixels.size, "tuned_bpd": 8 * len(tuned) / pixels.size}
        rows.append(row)
        print(" ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in row.items()), flush=True)
    mean = {key: statistics.fmean(row[key] for row in rows) for key in ("plain_bpd", "tuned_bpd", "saved_percent")}
    median = {key: statistics.median(row[key] for row in rows) for key in rows[0] if key.endswith("_s")}
    print(f"MEAN of {len(rows)}:", " ".join(f"{k} {v:.4f}" for k, v in mean.items()))
    print("median", " ".join(f"{k} {v:.2f}" for k, v in median.items()))
    print(f"{sum(row['adjustment_bytes'] > 0 for row in rows)} of {len(rows)} streams are tuned")
    save(args.save, rows, 4)


if __name__ == "__main__":
    main()
