"""PSNR of DiffC at one rate by three models: the provider of docs/howto/provider.md, white pixels, the bundled network.

    python -m benchmarks.claims.provider [--bpp 1]

On the 128×128 pixels at row 64, column 128 of scikit-image's astronaut; reconstruction `mean`, whole files.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np

import diffcodec
from benchmarks.common import ROOT, arguments, printed
from diffcodec.models.gaussian import WhitePictures

PAGE = ROOT / "docs" / "howto" / "provider.md"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--bpp", type=float, default=1.0)
    options = parser.parse_args()
    with printed(options.save):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    from skimage import data

    picture = data.astronaut()[64:192, 128:256]
    page: dict[str, Any] = {"__name__": "page"}
    exec(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)[0], page)
    print(f"{'model':10} {'bytes':>6} {'dB':>6}")
    for model in (page["model"], WhitePictures(), None):
        stream = diffcodec.encode(picture, "diffc", model, bpp=options.bpp)
        decoded = diffcodec.decode(stream, model=model, reconstruction="mean")
        psnr = 10 * np.log10(255**2 / np.square(decoded.astype(float) - picture).mean())
        print(f"{'photo-vdm' if model is None else model.name:10} {len(stream):6} {psnr:6.2f}")


if __name__ == "__main__":
    main()
