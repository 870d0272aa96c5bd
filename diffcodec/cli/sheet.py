"""Previews side by side on one sheet, with what each took."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ..api import Preview
from ..media.picture import Picture
from .view.drawn import visible

_PANEL, _TEXT, _GAP, _COLUMNS = 256, 34, 8, 4


def sheet(previews: Sequence[Preview], picture: Picture) -> Image.Image:
    """An RGB picture of them, four to a row, the bytes each took under it. picture: of their size and mode."""
    scale = _PANEL / max(picture.width, picture.height)
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    columns = min(_COLUMNS, len(previews))
    rows = -(-len(previews) // columns)
    drawn = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + _TEXT + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(14)
    for number, preview in enumerate(previews):
        left = _GAP + number % columns * (width + _GAP)
        top = _GAP + number // columns * (height + _TEXT + _GAP)
        small = visible(preview.image, picture.mode).convert("RGB").resize((width, height), Image.Resampling.BOX)
        drawn.paste(small, (left, top))
        label = f"{preview.bytes_read:,} bytes".replace(",", " ") + ("  exact" if preview.complete else "")
        draw.text((left, top + height + 4), label, fill="black", font=font)
        draw.text((left, top + height + 18), f"{preview.bpp:.3f} bit/pixel", fill="grey", font=font)
    return drawn
