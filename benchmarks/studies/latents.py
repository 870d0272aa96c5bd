"""DiffC in latents beside DiffC in pixels on pictures of a folder, by real bytes; and how far the autoencoder reaches.

    python -m tools.training.export_model RUN/state.pt photo-latent.safetensors
    python -m benchmarks.studies.latents KODAK_DIR photo-latent.safetensors [--first 4] [--side 384] [--save]

The middles of the pictures are coded at --rates by the latent model and by the default one, `mean` and as a reader has
them who asks for nothing: the suite (`diffcodec bench`), whose rows stay in --work. PSNR, LPIPS-squeeze, whose weights
DIFFCODEC_LPIPS finds, and SWD are of the pictures in their own size; the ceiling is what the autoencoder makes of a
picture without any loss of bits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import about, arguments, centre, command, kept, note, pictures, save
from diffcodec.bench import metrics, run
from diffcodec.models import registry
from diffcodec.models.protocols import DiffusionModel

RATES = [0.02, 0.05, 0.1, 0.2, 0.3]
MEASURES = ("psnr", "lpips_squeeze", "swd")
LATENT, PIXELS = "photo-latent", registry.DEFAULT["diffc"]
SHOWN = {"diffc-mean": "mean", "diffc": "default"}
CURVES = "curves.png"


def cut(folder: Path, out: Path, first: int | None, side: int) -> list[tuple[str, np.ndarray]]:
    """(name, middle uint8 (side, side, 3)) of pictures, each written to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for name, picture in list(pictures(folder))[:first]:
        middle = np.ascontiguousarray(centre(np.asarray(picture), side))
        Image.fromarray(middle).save(out / f"{Path(name).stem}.png")
        found.append((f"{Path(name).stem}.png", middle))
    return found


def ceilings(model: DiffusionModel, every: list[tuple[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """A row of each picture that only the autoencoder has changed."""
    for name, picture in every:
        image = torch.from_numpy(picture.transpose(2, 0, 1))[None]
        shown = model.from_latent(model.to_latent(image))[0, :, : picture.shape[0], : picture.shape[1]]
        found = metrics.measure(np.ascontiguousarray(shown.permute(1, 2, 0).cpu().numpy()), picture)
        yield {"picture": name, "model": "autoencoder", "shown": "", "target_bpp": ""} | {m: found[m] for m in MEASURES}


def rows_of(path: Path, first: set[str]) -> Iterator[dict[str, Any]]:
    """The suite's, of these pictures."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            how, _, model = row["codec"].partition(":")
            if row["image"] in first and model in (LATENT, PIXELS):
                told = {"picture": row["image"], "model": model, "shown": SHOWN[how]}
                told |= {"target_bpp": float(row["target_bpp"]), "bytes": int(row["bytes"]), "bpp": float(row["bpp"])}
                yield told | {name: float(row[name]) for name in MEASURES}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path, help="of architecture latent-1")
    parser.add_argument("--first", type=int, default=4, help="only this many pictures")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--models", nargs="+", default=[PIXELS, LATENT])
    parser.add_argument("--work", type=Path, default=Path("build/bench/latents"), help="rows, kept between runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    registry.register(LATENT, args.weights)
    every = cut(args.folder, args.work / "pictures", args.first, args.side)
    codecs = [f"{how}:{model}" for model in args.models for how in SHOWN]
    done = run.run(str(args.work / "pictures"), str(args.work / "suite"), codecs, args.rates, viewed=0)
    print(*done["errors"], sep="\n")
    found = list(ceilings(registry.load(LATENT, codec="diffc"), every))
    found = [*rows_of(args.work / "suite" / "rows.csv", {name for name, _ in every}), *found]
    for model, shown, rate in dict.fromkeys((row["model"], row["shown"], row["target_bpp"]) for row in found):
        own = [row for row in found if (row["model"], row["shown"], row["target_bpp"]) == (model, shown, rate)]
        print(model, shown, rate, len(own), *(f"{name} {fmean(row[name] for row in own):.4f}" for name in MEASURES))
    save(args.save, found)
    if args.save is not None:
        draw(found, kept(CURVES))
        note(kept(CURVES).parent, [CURVES], about(command()))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each measure against the rate: a line for each model and what is shown; the ceiling."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(MEASURES), figsize=(12.6, 4))
    ceiling = [row for row in rows if row["model"] == "autoencoder"]
    for axis, measure in zip(axes, MEASURES, strict=True):
        for model, colour in ((PIXELS, "tab:blue"), (LATENT, "tab:orange")):
            for shown, style in (("mean", "--"), ("default", "-")):
                own = [row for row in rows if (row["model"], row["shown"]) == (model, shown)]
                points = [
                    [row for row in own if row["target_bpp"] == r] for r in sorted({row["target_bpp"] for row in own})
                ]
                x, y = ([fmean(row[name] for row in part) for part in points] for name in ("bpp", measure))
                axis.plot(x, y, style, marker="o", color=colour, label=f"{model}, {shown}")
        axis.axhline(fmean(row[measure] for row in ceiling), color="grey", linestyle=":", label="autoencoder alone")
        axis.set_xlabel("bits per pixel")
        better = "higher" if metrics.HIGHER_IS_BETTER[measure] else "lower"
        axis.set_ylabel(f"{metrics.UNITS[measure]} ({better} is better)", fontsize=8)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
