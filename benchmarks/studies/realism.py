"""What realism does, on training photographs: PSNR, MS-SSIM, SWD and LPIPS from `mean` to `flow`, by real bytes.

    python -m benchmarks.studies.realism PHOTOS.npz [--tiles 32] [--side 192] [--save]

PHOTOS.npz is of `tools.training.prepare_photos`: a seeded choice of its training tiles that are large enough, the same
part of each, so that a default may be chosen by it, and nothing that others are measured on is looked at. Needs the
extra "bench", and the weights of LPIPS-squeeze where DIFFCODEC_LPIPS says (`diffcodec.bench.squeeze`).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import about, arguments, centre, command, kept, note, save, tiles
from diffcodec.bench import metrics
from diffcodec.bench.ours import Remembering
from diffcodec.models import registry

RATES = (0.1, 0.25, 0.5)
REALISMS = (0.0, 0.25, 0.5, 0.75, 1.0)
MEASURES = ("psnr", "ms_ssim", "swd", "lpips_squeeze")
SEED = 20
CURVES = "curves.png"


def chosen(path: Path, count: int, side: int) -> list[np.ndarray]:
    """Parts uint8 (side, side, 3) of ``count`` training tiles."""
    large = [tile for tile in tiles(path, "train") if min(tile.shape[:2]) >= side]
    picked = np.random.default_rng(SEED).choice(len(large), min(count, len(large)), replace=False)
    return [np.ascontiguousarray(centre(large[k], side)) for k in picked]


def measured(original: np.ndarray, rates: Sequence[float], realisms: Sequence[float]) -> Iterator[dict[str, Any]]:
    """A row for each rate and realism."""
    pixels = original.shape[0] * original.shape[1]
    for rate in rates:
        network = Remembering(registry.load(None, codec="diffc"))
        data = diffcodec.encode(original, "diffc", network.model, bpp=rate)
        for realism in realisms:
            image = np.asarray(diffcodec.decode(data, realism=realism, model=network.model))
            found = metrics.measure(image, original)
            row = {"target_bpp": rate, "realism": realism, "bytes": len(data), "bpp": 8 * len(data) / pixels}
            yield row | {name: found[name] for name in MEASURES}


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("photos", type=Path)
    ap.add_argument("--tiles", type=int, default=32)
    ap.add_argument("--side", type=int, default=192)
    args = ap.parse_args()
    if why := metrics.missing("lpips_squeeze"):
        ap.error(f"LPIPS-squeeze: {why}")
    rows: list[dict[str, Any]] = []
    for number, original in enumerate(chosen(args.photos, args.tiles, args.side)):
        rows += ({"tile": number, **row} for row in measured(original, RATES, REALISMS))
        print(f"tile {number + 1}", flush=True)
    tell(rows)
    save(args.save, rows)
    if args.save is not None:
        draw(rows, kept(CURVES))
        note(kept(CURVES).parent, [CURVES], about(command()))


def tell(rows: Sequence[dict[str, Any]]) -> None:
    """Means of every rate and realism, and of how many tiles the realism has the lowest LPIPS."""
    print("bpp realism", *MEASURES, "lowest LPIPS of so many tiles")
    for rate in RATES:
        own = [row for row in rows if row["target_bpp"] == rate]
        best = [
            min(own[k : k + len(REALISMS)], key=lambda r: r["lpips_squeeze"]) for k in range(0, len(own), len(REALISMS))
        ]
        for realism in REALISMS:
            some = [row for row in own if row["realism"] == realism]
            means = (f"{statistics.fmean(row[name] for row in some):.4f}" for name in MEASURES)
            print(f"{rate} {realism}", *means, sum(row["realism"] == realism for row in best))


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """PSNR against LPIPS and SWD: a line for each rate, a point for each realism."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4))
    for axis, measure in zip(axes, ("lpips_squeeze", "swd"), strict=True):
        for rate in RATES:
            some = [[row for row in rows if (row["target_bpp"], row["realism"]) == (rate, r)] for r in REALISMS]
            x, y = ([statistics.fmean(row[name] for row in own) for own in some] for name in ("psnr", measure))
            axis.plot(x, y, marker="o", label=f"{rate:g} bpp")
            for place, realism in zip(zip(x, y, strict=True), REALISMS, strict=True):
                axis.annotate(f"{realism:g}", place, textcoords="offset points", xytext=(5, 4), fontsize=8)
        axis.set_xlabel("PSNR, dB")
        axis.set_ylabel(f"{metrics.UNITS[measure]} (lower is better)", fontsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.suptitle("realism 0 (mean) to 1 (flow)", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
