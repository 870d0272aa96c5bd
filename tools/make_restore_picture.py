"""The picture of docs/howto/restore.md: each task of `diffcodec.restore`, what there was, the mean, four draws.

    python -m tools.make_restore_picture [--out docs/images/restore.jpg] [--model MODEL]

The photographs are parts of scikit-image's, 192×192 pixels, on which nothing was trained. Prints PSNR by task.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import diffcodec
from diffcodec.models.operators import Box, Luma

SIDE, GAP, LINE, SAMPLES = 192, 4, 14, 4
Bytes = np.ndarray[Any, Any]
#: (words, photograph, its top and left, task)
ROWS: list[tuple[str, str, tuple[int, int], str]] = [
    ("enlarged 4 times", "astronaut", (0, 128), "enlarge"),
    ("coloured", "coffee", (60, 200), "colour"),
    ("filled", "chelsea", (40, 110), "fill"),
    ("extended", "rocket", (180, 230), "extend"),
    ("a JPEG of quality 10", "astronaut", (200, 250), "jpeg"),
]


def enlarge(photo: Bytes) -> tuple[Any, Bytes, dict[str, Any]]:
    small = Box(4).apply(photo)
    return small, small.repeat(4, 0).repeat(4, 1), {}


def colour(photo: Bytes) -> tuple[Any, Bytes, dict[str, Any]]:
    grey = Luma().apply(photo)
    return grey.squeeze(2), grey.repeat(3, 2), {}


def fill(photo: Bytes) -> tuple[Any, Bytes, dict[str, Any]]:
    known = np.ones(photo.shape[:2], bool)
    known[72:120, 56:104] = False
    return photo, np.where(known[..., None], photo, np.uint8(255)), {"known": known}


def extend(photo: Bytes) -> tuple[Any, Bytes, dict[str, Any]]:
    width = SIDE // 5
    inner = np.ascontiguousarray(photo[:, : SIDE - width])
    return inner, np.pad(inner, ((0, 0), (0, width), (0, 0)), constant_values=255), {"margins": (0, width, 0, 0)}


def jpeg(photo: Bytes) -> tuple[Any, Bytes, dict[str, Any]]:
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "JPEG", quality=10)
    return out.getvalue(), np.asarray(Image.open(io.BytesIO(out.getvalue()))), {}


TASKS: dict[str, Callable[[Bytes], tuple[Any, Bytes, dict[str, Any]]]] = {
    "enlarge": enlarge, "colour": colour, "fill": fill, "extend": extend, "jpeg": jpeg,
}  # fmt: skip


def psnr(a: Bytes, b: Bytes) -> float:
    return 10 * math.log10(65025 / max(1e-9, float(np.square(a.astype(float) - b).mean())))


def panels(photo: Bytes, task: str, model: str | None) -> list[tuple[str, Bytes]]:
    """(words, picture), from left to right."""
    given, seen, options = TASKS[task](photo)
    mean = diffcodec.restore(given, task, realism=0, model=model, **options)
    draws = diffcodec.restore(given, task, samples=SAMPLES, model=model, **options)
    words = [("what there was", seen), ("the mean", mean), *((f"draw {k + 1}", one) for k, one in enumerate(draws))]
    told = [(f"{name}: {psnr(picture, photo):.1f} dB", picture) for name, picture in words]
    return [*told, ("the photograph", photo)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/restore.jpg"))
    parser.add_argument("--model")
    args = parser.parse_args()
    columns = SAMPLES + 3
    sheet = Image.new("RGB", (columns * (SIDE + GAP) - GAP, len(ROWS) * (SIDE + LINE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (words, name, (top, left), task) in enumerate(ROWS):
        photo = np.ascontiguousarray(getattr(data, name)()[top : top + SIDE, left : left + SIDE])
        for k, (told, picture) in enumerate(panels(photo, task, args.model)):
            x, y = k * (SIDE + GAP), number * (SIDE + LINE + GAP)
            sheet.paste(Image.fromarray(picture), (x, y))
            draw.text((x, y + SIDE + 1), f"{words}: {told}" if k == 1 else told, "black")
            print(words, told, sep=", ", flush=True)
    sheet.save(args.out, quality=88)


if __name__ == "__main__":
    main()
