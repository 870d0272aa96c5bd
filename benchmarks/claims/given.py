"""What a condition saves DiffC, on pictures whose conditional information is known (models/gaussian_pictures.py).

    python -m benchmarks.claims.given [--side 256] [--top 8] [--save]

Bits of a picture drawn from the model, to the log-SNR --top, without and with what is given of it. known: the closed
form I(x; z|given); told: I(given; z), and both together are I(x; z). ideal: sum of KL(q || p) of a chain with steps of
0.02. file: bits of a whole .dfc. … / known: what each takes of the closed form; saved / told: by how much the file is
smaller than with nothing given, at the efficiency that it has then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import diffcodec
from benchmarks.common import arguments, save
from diffcodec.diffusion.process import Step, diffuse
from diffcodec.models.condition import Observed
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.operators import Box, Luma, LumaChroma, Mask, Operator

STEP = 0.02  #: in log-SNR, of ideal chains


def ideal(model: GaussianPictures, x: np.ndarray, top: float) -> float:
    """Bits of a chain of x float64 (1, 3, H, W) from noise to ``top``: KL(q || p) of every step, z drawn from q."""
    random, exact = np.random.default_rng(3), torch.from_numpy(x).float()

    def noise() -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(x.shape, np.float32))

    bits, units, end = 0.0, round(1024 * model.logsnr_min), round(1024 * top)
    z = diffuse(exact, torch.tensor(units / 1024), noise())
    while units < end:
        then = min(end, units + round(1024 * STEP))
        step = Step.between(torch.tensor(units / 1024), torch.tensor(then / 1024))
        bits += float(step.kl(exact, model.x_hat(z, units).float()))
        z, units = step.mean(z, exact) + step.std * noise(), then
    return bits


def conditions(side: int) -> dict[str, Operator | None]:
    """What is given, by name; first nothing."""
    board = np.indices((side, side)).sum(0)
    return {
        "nothing": None,
        "boxes of 4x4": Box(4),
        "boxes of 2x2": Box(2),
        "left half": Mask(np.indices((side, side))[1] < side // 2),
        "luma": Luma(),
        "every other pixel": Mask(board % 2 == 0),
        "luma, chroma of 2x2": LumaChroma(2),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--side", type=int, default=256, help="of the picture, a multiple of 8")
    parser.add_argument("--top", type=float, default=8.0, help="log-SNR at the end")
    options = parser.parse_args()
    size, top = (options.side, options.side), options.top
    model = GaussianPictures.smooth()
    model.logsnr_max = top
    x = model.sample(size, 1)
    photo = np.clip(np.rint((x[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)
    rows: list[dict[str, Any]] = []
    for name, operator in conditions(options.side).items():
        observed = None if operator is None else Observed.of(photo, operator)
        given = model if observed is None else model.given(observed)
        known, told = given.rate(top, size), 0.0 if observed is None else model.told(observed, top)
        chain = ideal(given, x, top)
        file = 8 * len(diffcodec.encode(photo, "diffc", given, max_bytes=1 << 22))
        first = rows[0] if rows else {"ideal": chain, "file": file, "file / known": file / known}
        rows.append({
            "given": name, "known": round(known), "told": round(told), "ideal": round(chain), "file": file,
            "ideal / known": chain / known, "file / known": file / known,
            "file / known, by that of nothing": file / known / first["file / known"],
            "saved / told": (first["file"] - file) / told / first["file / known"] if told else float("nan"),
        })  # fmt: skip
        shown = (f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items())
        print(", ".join(shown), flush=True)
    save(options.save, rows, 4)


if __name__ == "__main__":
    main()
