"""The picture of docs/given.md: what a model makes of a small picture that it is given, and of the bits behind that.

    python -m tools.make_given_picture [--out docs/images/given.jpg]

The photograph is 160×160 pixels of scikit-image's astronaut. The model is a Gaussian field with the spectrum of
photographs in blocks of 32×32 (`models.gaussian_pictures`), which knows nothing of faces. Prints bytes and PSNR.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import diffcodec
from diffcodec import Base
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.models.operators import Box

SIDE, ZOOM, GAP, LINE = 32, 2, 8, 16
#: variance and length, in pixels, of what a photograph is a sum of
PARTS = ((0.2, 20.0), (0.05, 6.0), (0.02, 2.5), (0.006, 1.0))
GRAIN, COLOURS = 1e-4, 0.9


def model() -> GaussianPictures:
    """Pixels correlate by sums of bells, colours by COLOURS."""
    at = np.arange(SIDE)
    square = (at[:, None] - at) ** 2
    plane = sum(v * np.kron(*[np.exp(-square / (2 * length**2))] * 2) for v, length in PARTS)
    colours = np.full((3, 3), COLOURS) + (1 - COLOURS) * np.eye(3)
    size = 3 * SIDE * SIDE
    return GaussianPictures(np.zeros(size), np.kron(colours, plane) + GRAIN * np.eye(size), SIDE)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(65025 / float(np.square(a.astype(float) - b).mean()))


def shown(photo: np.ndarray, field: GaussianPictures) -> list[tuple[str, np.ndarray]]:
    """(words beneath it, picture), from left to right."""
    operator = Box(4)
    base = diffcodec.encode(operator.apply(photo))
    small = diffcodec.decode(base).repeat(4, 0).repeat(4, 1)
    stream = diffcodec.encode(photo, "diffc", field, psnr=30, given=Base(base, operator))
    alone, *_, last = diffcodec.decode_progressive(stream, model=field, reconstruction="mean")
    rows = [
        ("what is given, 40 by 40 pixels", len(base), small),
        ("the prefix that ends behind it", alone.bytes_read, alone.image),
        ("the whole stream", last.bytes_read, last.image),
    ]
    labelled = [(f"{words}:\n{size} bytes, {psnr(picture, photo):.1f} dB", picture) for words, size, picture in rows]
    return [*labelled, ("the photograph", photo)]


def compared(photo: np.ndarray, field: GaussianPictures) -> None:
    """Print bytes at some qualities: with nothing given, given a base, of which those of the base."""
    operator = Box(4)
    bases = {"without loss": (diffcodec.encode(operator.apply(photo)), None)}
    bases["with loss"] = (diffcodec.encode(operator.apply(photo), "diffc", psnr=30), 4600)
    for quality in (28, 32, 36, 40):
        plain = diffcodec.encode(photo, "diffc", field, psnr=quality)
        print(f"{quality} dB: nothing given {len(plain)} bytes", end="")
        for words, (base, augmentation) in bases.items():
            gift = Base(base, operator, augmentation)
            stream = diffcodec.encode(photo, "diffc", field, psnr=quality, given=gift)
            print(f"; a base {words} {len(stream)}, of which {len(base)}", end="")
        print()


def sheet(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    side = len(panels[0][1]) * ZOOM
    out = Image.new("RGB", (len(panels) * (side + GAP) - GAP, side + 2 * LINE + GAP), "white")
    draw = ImageDraw.Draw(out)
    for number, (words, picture) in enumerate(panels):
        left = number * (side + GAP)
        out.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST), (left, 0))
        draw.multiline_text((left + 2, side + 4), words, "black")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "given.jpg")
    options = parser.parse_args()
    photo = np.ascontiguousarray(data.astronaut()[0:160, 144:304])
    field = model()
    panels = shown(photo, field)
    print(*(words.replace("\n", " ") for words, _ in panels), sep="\n")
    sheet(panels).save(options.out, quality=88, optimize=True)
    compared(photo, field)


if __name__ == "__main__":
    main()
