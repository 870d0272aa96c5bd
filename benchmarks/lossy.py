"""Rate, PSNR and realism of DiffC beside JPEG, WebP, AVIF and JPEG XL on a folder of pictures; real file sizes.

    python benchmarks/lossy.py DIR --out benchmarks/results/kodak-lossy.csv [--part classical|diffc|summary]

DiffC codes each picture once, at --bpp, and is measured at the ends of its payloads, each of which is a whole file but
for 6 closing bytes, counted. Rows that the CSV has already are not measured again. `summary` prints means at fixed
rates, each picture's curve interpolated in log bpp, and draws the curves.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

import diffcodec
from diffcodec import api
from diffcodec.bench import realism
from diffcodec.bitstream import read

FIELDS = ["image", "codec", "bpp", "psnr", "swd", "encode_s", "decode_s", "passes"]
CLASSICAL = {
    "jpeg": ("JPEG", [5, 10, 20, 40, 60, 80, 90, 95]),
    "webp": ("WEBP", [1, 10, 30, 50, 75, 90, 96]),
    "avif": ("AVIF", [10, 20, 30, 45, 60, 75, 85, 92]),
    "jxl": ("JXL", [10, 20, 35, 50, 70, 85, 93]),
}
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
END_BYTES = 6


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(65025 / max(float(np.mean((a.astype(np.float64) - b) ** 2)), 1e-9))


def row(name: str, codec: str, size: int, image: np.ndarray, original: np.ndarray, **times: float) -> dict[str, object]:
    bpp = 8 * size / (original.shape[0] * original.shape[1])
    out: dict[str, object] = {"image": name, "codec": codec, "bpp": f"{bpp:.5f}"}
    out |= {"psnr": f"{psnr(image, original):.3f}", "swd": f"{realism.distance(image, original):.2f}"}
    return out | {key: f"{value:.2f}" for key, value in times.items()}


def classical(name: str, original: np.ndarray) -> list[dict[str, object]]:
    rows = []
    for codec, (format, qualities) in CLASSICAL.items():
        for quality in qualities:
            file = io.BytesIO()
            start = time.perf_counter()
            Image.fromarray(original).save(file, format, quality=quality)
            middle = time.perf_counter()
            image = np.asarray(Image.open(file).convert("RGB"))
            times = {"encode_s": middle - start, "decode_s": time.perf_counter() - middle}
            rows.append(row(name, codec, len(file.getvalue()), image, original, **times))
    return rows


def diffc(name: str, original: np.ndarray, bpp: float) -> list[dict[str, object]]:
    start = time.perf_counter()
    data = diffcodec.encode(original, "diffc", bpp=bpp)
    encode_s = time.perf_counter() - start
    container = read(data)
    receiver = api._receiver(container, api._provider(container, None, "auto"))
    pixels = original.shape[0] * original.shape[1]
    sizes = [end + END_BYTES for end in container.ends[:-1]] + [len(data)]
    at = {min(range(len(sizes)), key=lambda i: abs(math.log(8 * sizes[i] / pixels / r))) for r in RATES if r <= bpp}
    rows, seconds = [], 0.0
    for i, (payload, size) in enumerate(zip(container.passes, sizes, strict=True)):
        start = time.perf_counter()
        receiver.take(payload)
        image = receiver.show("mean")[0]
        seconds += time.perf_counter() - start
        last = {"encode_s": encode_s} if i + 1 == len(sizes) else {}
        passes = {"passes": receiver.chain.number}
        rows.append(row(name, "diffc-mean", size, image, original, decode_s=seconds, **last, **passes))
        if i in at:
            start = time.perf_counter()
            image = receiver.show("flow")[0]
            flow = seconds + time.perf_counter() - start
            rows.append(row(name, "diffc-flow", size, image, original, decode_s=flow, **passes))
    return rows


def at_rate(points: list[tuple[float, float]], bpp: float) -> float:
    """Interpolated in log bpp; NaN outside the curve."""
    points = sorted(points)
    x, y = np.log([p[0] for p in points]), [p[1] for p in points]
    slack = 0.12  # payloads end near the rates, not on them
    if not x[0] - slack <= math.log(bpp) <= x[-1] + slack:
        return math.nan
    return float(np.interp(math.log(bpp), x, y))


def summary(path: Path) -> None:
    curves: dict[str, dict[str, dict[str, list[tuple[float, float]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    with path.open() as file:
        for r in csv.DictReader(file):
            for metric in ("psnr", "swd"):
                curves[metric][r["codec"]][r["image"]].append((float(r["bpp"]), float(r[metric])))
    shared = set.intersection(*(set(images) for images in curves["psnr"].values()))
    print(f"{len(shared)} pictures; means at equal bytes")
    for metric in ("psnr", "swd"):
        print(f"{metric:10}", *(f"{r:8.2f}" for r in RATES), "bpp")
        for codec, images in curves[metric].items():
            means = [np.mean([at_rate(images[name], r) for name in shared]) for r in RATES]
            print(f"{codec:10}", *(f"{m:8.2f}" for m in means), flush=True)
    draw(curves, sorted(shared), path.with_suffix(".png"))


def draw(curves: dict, shared: list[str], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5))
    grid = np.geomspace(0.06, 2.2, 40)
    for axis, metric in zip(axes, ("psnr", "swd"), strict=True):
        for codec, images in curves[metric].items():
            means = [np.mean([at_rate(images[name], r) for name in shared]) for r in grid]
            style = "-" if codec.startswith("diffc") else "--"
            axis.plot(grid, means, style, label=codec, linewidth=2 if style == "-" else 1.2)
        axis.set_xscale("log")
        axis.set_xlabel("bits per pixel, real files")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR, dB")
    axes[1].set_ylabel("sliced Wasserstein distance of patches")
    axes[1].set_yscale("log")
    axes[0].legend()
    figure.suptitle(f"Mean of {len(shared)} pictures")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"drew {path}")


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("directory", type=Path)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument(
        "--part", choices=["classical", "diffc", "summary"], nargs="+", default=["classical", "diffc", "summary"]
    )
    ap.add_argument("--bpp", type=float, default=2.1)
    ap.add_argument("--first", type=int, help="measure only this many pictures")
    args = ap.parse_args()
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        del CLASSICAL["jxl"]
    done: set[tuple[str, str]] = set()
    if args.out.exists():
        with args.out.open() as file:
            done = {(r["image"], r["codec"]) for r in csv.DictReader(file)}
    paths = sorted(p for p in args.directory.iterdir() if p.suffix.lower() == ".png")[: args.first]
    for part in args.part:
        if part == "summary":
            summary(args.out)
            continue
        for path in paths:
            if (path.stem, "jpeg" if part == "classical" else "diffc-mean") in done:
                continue
            original = np.asarray(Image.open(path).convert("RGB"))
            rows = classical(path.stem, original) if part == "classical" else diffc(path.stem, original, args.bpp)
            fresh = not args.out.exists()
            with args.out.open("a", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                if fresh:
                    writer.writeheader()
                writer.writerows(rows)
            print(f"{path.stem} {part}: {len(rows)} rows", flush=True)


if __name__ == "__main__":
    main()
