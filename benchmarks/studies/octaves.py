"""What the answers of a denoiser at several sizes are worth together: squared error over that of full size alone.

    python -m benchmarks.studies.octaves PHOTOS.npz [--pictures FOLDER] [--tiles 36] [--save]

Averages of k x k blocks of z_t are z of the k times smaller picture at log-SNR + 2 ln k, so the network can be asked
there too. Its answers at the sizes of SIZES are put together octave by octave with weights of least squares for each
log-SNR (`models.octaves`), fitted to two thirds of the training tiles. What is told is the squared error of the other
tiles, or of the pictures in a folder, whose middles are taken; nothing is fitted to these. `bundled`: that of
`photo-octaves`, whose weights were fitted to other tiles of the same photographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common import about, arguments, centre, command, kept, note, save, tiles
from diffcodec.diffusion import samplers
from diffcodec.models import octaves, registry
from diffcodec.models.protocols import DiffusionModel

#: k of the sizes that are asked
SIZES: tuple[tuple[int, ...], ...] = ((1,), (1, 2), (1, 4), (1, 2, 4), (1, 2, 4, 8), (2, 4, 8), (4, 8))
CURVES = "curves.png"
SHOWN = ("1", "1 4", "1 2 4", "2 4 8", "bundled")  #: in the plot


def as_x(pixels: np.ndarray) -> Tensor:
    """float32 (1, 3, h, w) of uint8 (H, W, 3), as of `DiffusionModel.to_latent`."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 127.5 - 1


def drawn(path: Path, count: int, side: int, seed: int) -> list[Tensor]:
    """The middles of training tiles."""
    large = [tile for tile in tiles(path, "train") if min(tile.shape[:2]) >= side]
    chosen = np.random.default_rng(seed).choice(len(large), count, replace=False)
    return [as_x(centre(large[i], side)) for i in chosen]


def middles(folder: Path, side: int) -> list[Tensor]:
    """Of the pictures in a folder."""
    return [as_x(centre(np.asarray(Image.open(path).convert("RGB")), side)) for path in sorted(folder.iterdir())]


def error(model: DiffusionModel, pictures: Sequence[Tensor], logsnr: float) -> float:
    """Squared, of a model's x_hat, with the noises of `octaves.gather`."""
    total = 0.0
    for number, x in enumerate(pictures):
        z = octaves.noised(x, logsnr, number)
        total += float((samplers.mean(model.predict, z, logsnr) - x).double().square().sum())
    return total


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=Path, help="a folder of other pictures")
    parser.add_argument("--tiles", type=int, default=36)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--levels", type=float, nargs="+", default=[-4, -2, 0, 1, 2, 3, 4])
    args: argparse.Namespace = parser.parse_args()
    torch.set_num_threads(1)
    of, bundled = (registry.load(name, device="cpu", codec="diffc") for name in ("photo-vdm", "photo-octaves"))
    every, rows = drawn(args.photos, args.tiles, args.side, 11), []
    fitted, held = every[: 2 * len(every) // 3], {"tiles": every[2 * len(every) // 3 :]}
    if args.pictures is not None:
        held[args.pictures.name] = middles(args.pictures, args.side)
    for logsnr in args.levels:
        weights = {sizes: octaves.gather(of, fitted, logsnr, sizes).weights() for sizes in SIZES}
        for name, pictures in held.items():
            alone = error(of, pictures, logsnr)
            row: dict[str, Any] = {"pictures": name, "log-SNR": logsnr}
            for sizes in SIZES:
                left = octaves.gather(of, pictures, logsnr, sizes).error(weights[sizes])
                row[" ".join(map(str, sizes))] = left / alone
            row["bundled"] = error(bundled, pictures, logsnr) / alone
            rows.append(row)
            print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    save(args.save, rows, 4)
    if args.save is not None:
        draw(rows, kept(CURVES))
        note(kept(CURVES).parent, [CURVES], about(command()))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """What is left of the squared error by log-SNR, a panel for each set of pictures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["pictures"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(4.8 * len(names), 4), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        own = [row for row in rows if row["pictures"] == name]
        for sizes in SHOWN:
            axis.plot([row["log-SNR"] for row in own], [row[sizes] for row in own], marker="o", label=sizes)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_ylim(0.7, 1.1)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("log-SNR")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("squared error over that of full size alone", fontsize=8)
    axes[0][0].legend(frameon=False, fontsize=8, title="sizes 1/k", title_fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
