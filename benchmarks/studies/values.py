"""What statistics of values save on pictures that went through an 8-bit step of someone else's (SPEC.md §4).

    python -m benchmarks.studies.values PHOTOS.npz|DIR|scikit-image [--every N] [--save scikit-image.csv]

Each picture as it is, and after: JPEG (quality 97, chroma of half the resolution) and back; luma and chroma of BT.601's
video range and back; levels stretched by 5/4; JPEG and then a curve. Real files of the default encoder, decoded and
compared, beside the network without tables, the context coder, and JPEG XL (effort 9).
PHOTOS.npz is of `tools/training/prepare_photos.py`: its validation tiles of at least 200 pixels a side.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import diffcodec
from benchmarks.common import arguments, classical, pictures, save
from benchmarks.suites.lossless import by_network
from diffcodec.entropy.context import coder as context

#: BT.601, R'G'B' of 0..255 to Y' of 16..235, Cb and Cr of 16..240
VIDEO = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255


def by_jpeg(pixels: np.ndarray) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=97, subsampling=2)
    return np.asarray(Image.open(out).convert("RGB"))


def by_video(pixels: np.ndarray) -> np.ndarray:
    whole = np.rint(pixels @ VIDEO.T + [16, 128, 128])
    return np.clip(np.rint((whole - [16, 128, 128]) @ np.linalg.inv(VIDEO).T), 0, 255).astype(np.uint8)


def stretched(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint((pixels.astype(float) - 20) * 1.25), 0, 255).astype(np.uint8)


def curved(pixels: np.ndarray) -> np.ndarray:
    return np.rint(255 * (np.arange(256) / 255) ** 0.85).astype(np.uint8)[pixels]


STEPS = {
    "as it is": lambda pixels: pixels,
    "JPEG": by_jpeg,
    "video range": by_video,
    "stretched": stretched,
    "JPEG, curve": lambda pixels: curved(by_jpeg(pixels)),
}


def shots(where: Path, every: int) -> Iterator[tuple[str, np.ndarray]]:
    large = where.suffix != ".npz"
    found = [(n, np.asarray(i)[..., :3]) for n, i in pictures(where)]
    yield from [(n, p) for n, p in found if large or min(p.shape[:2]) >= 200][::every]


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("where", type=Path)
    ap.add_argument("--every", type=int, default=1, help="take one picture in so many")
    args = ap.parse_args()
    rows = []
    for name, original in shots(args.where, args.every):
        for step, change in STEPS.items():
            pixels = np.ascontiguousarray(change(original))
            data = diffcodec.encode(pixels)
            assert np.array_equal(diffcodec.decode(data), pixels), f"{name}, {step}: did not come back"
            info = diffcodec.inspect(data)
            row = {
                "file": name,
                "step": step,
                "tables": "+".join(info["statistics"]) or ("none" if info["model"] else "context coder"),
                "bpd": 8 * len(data) / pixels.size,
                "network_bpd": by_network(pixels, None, 0),
                "context_bpd": 8 * len(context.encode_planes(pixels)) / pixels.size,
                "jxl_bpd": 8 * classical(Image.fromarray(pixels), "jxl") / pixels.size,
            }
            rows.append(row)
            print(" ".join(f"{k} {v:.4f}" if isinstance(v, float) else str(v) for k, v in row.items()), flush=True)
    for step in STEPS:
        some = [row for row in rows if row["step"] == step]
        means = {k: float(np.mean([row[k] for row in some])) for k in some[0] if k.endswith("bpd")}
        print(f"MEAN of {len(some)}, {step}:", " ".join(f"{k} {v:.4f}" for k, v in means.items()))
    save(args.save, rows)


if __name__ == "__main__":
    main()
