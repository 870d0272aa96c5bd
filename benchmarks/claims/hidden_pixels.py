"""Lossy coding spends nothing on colours that alpha hides: dB of what is seen, with noise hidden and with black.

    python -m benchmarks.claims.hidden_pixels [PICTURE] [--bpp 0.5]

PICTURE has an alpha channel; without one, a generated picture is measured. Prints a line for each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import diffcodec
from benchmarks.common import arguments, printed
from diffcodec import files


def generated(side: int = 128) -> np.ndarray:
    """RGBA uint8: smooth colours in a disc, hidden noise about it."""
    y, x = np.mgrid[0:side, 0:side] / side
    seen = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09
    waves = [128 + 90 * np.sin(9 * x + 4 * y * k) * np.cos(6 * y - k) for k in (1, 2, 3)]
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3))
    colours = np.where(seen[..., None], np.stack(waves, -1), noise)
    return np.concatenate([colours, 255 * seen[..., None]], -1).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB of the pictures on black, 8-bit samples, over the pixels that are not wholly transparent."""
    seen = b[..., 3] > 0
    on_black = [p[seen][:, :3] * (p[seen][:, 3:] / 255.0) for p in (a, b)]
    return float(10 * np.log10(65025 / max(1e-9, np.square(on_black[0] - on_black[1]).mean())))


def measured(picture: np.ndarray, bpp: float) -> tuple[float, int]:
    """(dB of what is seen in the "mean" reconstruction, bytes)."""
    data = diffcodec.encode(picture, "diffc", bpp=bpp)
    return psnr(diffcodec.decode(data, reconstruction="mean"), picture), len(data)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("picture", nargs="?")
    parser.add_argument("--bpp", type=float, default=0.5)
    args = parser.parse_args(argv)
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    picture = generated() if args.picture is None else files.read(args.picture).samples
    black = np.where(picture[..., 3:] > 0, picture, 0).astype(np.uint8)
    for name, one in (("as it is", picture), ("black where it is hidden", black)):
        decibels, size = measured(one, args.bpp)
        print(f"{name:26} {decibels:6.2f} dB {size:7} bytes")


if __name__ == "__main__":
    main()
