"""The picture of docs/howto/any-model.md: held-out icons in few bytes, told their name, nothing, and another icon's.

    python -m tools.training.icons_data ICONS.zip HELD.npz
    python -m tools.make_text_picture HELD.npz [--out docs/images/text.jpg]

A row for each of some drawings whose name was seen in the other style: the icon; in 100 bytes beside the text's, told
its name, nothing, and another's name; what is drawn of the name alone, guided.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import diffcodec
from diffcodec.bitstream import given as chunk
from diffcodec.codecs.diffc import refine
from diffcodec.models import registry
from diffcodec.models.condition import ConditionalModel, Text
from diffcodec.models.guidance import Guided

BYTES, GAP, LINE, SCALE = 100, 6, 14, 3
COUNT, EVERY = 6, 31  #: rows, and how many icons lie between those shown
Bytes = np.ndarray[Any, Any]


def coded(picture: Bytes, text: str) -> Bytes:
    """In BYTES beside the text's, as to be expected."""
    extra = len(chunk.write([chunk.Text(text)])) + 6 if text else 0
    given = diffcodec.Prompt(text) if text else None
    data = diffcodec.encode(picture, "diffc", "icons-text", max_bytes=BYTES + extra, given=given)
    shown: Bytes = diffcodec.decode(data, reconstruction="mean")
    return shown


def alone(model: ConditionalModel, name: str, size: tuple[int, int], seed: int) -> Bytes:
    """Drawn from the name."""
    led = Guided(model.given(Text(name)), model.given(Text("")), float(SCALE), True)
    return refine.drawn(led, size, seed, 16, curvature=1.0, start=-6.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("held", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images/text.jpg"))
    args = parser.parse_args()
    model = registry.load("icons-text", codec="diffc")
    assert isinstance(model, ConditionalModel)
    with np.load(args.held) as z:
        drawings = z["kinds"] == "drawings"
        pictures, names = z["pictures"][drawings], [str(name) for name in z["names"][drawings]]
    rows = []
    for n in range(COUNT):
        icon, name, other = pictures[EVERY * n], names[EVERY * n], names[EVERY * ((n + 1) % COUNT)]
        shown = [icon, *(coded(icon, text) for text in (name, "", other))]
        rows.append((f"{name} / {other}", [*shown, alone(model, name, icon.shape[:2], n)]))
        print(name, flush=True)
    side = pictures.shape[1] * 2
    sheet = Image.new("RGB", (5 * (side + GAP) + GAP, LINE + COUNT * (side + LINE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for k, words in enumerate(("the icon", "told its name", "told nothing", "told another's", "drawn from it")):
        draw.text((GAP + k * (side + GAP), 1), words, fill="black")
    for n, (told, shown) in enumerate(rows):
        top = LINE + n * (side + LINE + GAP)
        for k, one in enumerate(shown):
            large = Image.fromarray(one).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(large, (GAP + k * (side + GAP), top))
        draw.text((GAP, top + side + 1), told, fill="grey")
    sheet.save(args.out, quality=85)


if __name__ == "__main__":
    main()
