"""What the mean of a denoiser's answers to mirrored z errs, over what its answer to z alone does.

    python -m benchmarks.studies.poses KODAK_DIR [--model photo-octaves] [--first N] [--save]

Squared error of E[x|z_t] on the middle 256x256 of every picture, by log-SNR and by how many poses are asked: z as it
is; from left to right too; of these two also upside down; and all that transposed. Below 1 is better.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import arguments, centre, pictures, save, signal
from diffcodec.models import registry
from diffcodec.models.protocols import DiffusionModel

LEVELS = (-2, 0, 2, 4)
#: poses: (sides that are turned round, whether transposed)
POSES = [(sides, transposed) for transposed in (False, True) for sides in ((), (3,), (2,), (2, 3))]
COUNTS = (1, 2, 4, 8)


def answers(model: DiffusionModel, z: Tensor, logsnr: int) -> list[Tensor]:
    """x_hat of z (1, 3, h, w), h = w, in every pose, turned back."""
    out = []
    for sides, transposed in POSES:
        there = z.flip(sides).transpose(2, 3) if transposed else z.flip(sides)
        x = model.x_hat(there.contiguous(), 1024 * logsnr)
        out.append((x.transpose(2, 3) if transposed else x).flip(sides))
    return out


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="photo-octaves")
    parser.add_argument("--first", type=int)
    args = parser.parse_args()
    model = registry.load(args.model, codec="diffc")
    ratios: dict[tuple[int, int], list[float]] = {(level, count): [] for level in LEVELS for count in COUNTS}
    for number, (_, image) in enumerate(islice(pictures(args.folder), args.first)):
        x = model.to_latent(torch.from_numpy(np.array(centre(np.asarray(image), 256))).permute(2, 0, 1)[None])
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(number))
        for level in LEVELS:
            alpha, sigma = signal(level)
            every = answers(model, alpha * x + sigma * eps, level)
            errors = [float((sum(every[:count]) / count - x).square().mean()) for count in COUNTS]  # type: ignore[operator]
            for count, error in zip(COUNTS, errors, strict=True):
                ratios[level, count].append(error / errors[0])
    rows: list[dict[str, Any]] = [{"logsnr": level, "poses": count, "error": fmean(ratios[level, count])}
                                  for level in LEVELS for count in COUNTS]  # fmt: skip
    for row in rows:
        print(*row.values())
    save(args.save, rows)


if __name__ == "__main__":
    main()
