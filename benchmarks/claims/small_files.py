"""What metadata cost small files: icons of 16, 32 and 64 pixels, as files, as .dfc with --strip and as .dfc with all.

    python -m benchmarks.claims.small_files [--save]

Palette PNG of 16 colours as Pillow orders them and in a random order, with unused entries, with transparency; RGBA PNG
with pHYs, sRGB and a tEXt; GIF of 256 colours. Each is encoded and decoded, and the decoded picture's indices, palette
and other metadata are compared with those of the file.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin

import diffcodec
from benchmarks.common import arguments, save
from diffcodec import files
from diffcodec.bitstream import StreamReader
from diffcodec.media import indices

COLUMNS = ("icon", "pixels", "file_bytes", "stripped_bytes", "dfc_bytes", "metadata_bytes", "chunks", "equal")
SIZES = (16, 32, 64)
FOUR = 4  #: times that an icon is drawn larger, for smooth edges


def icon(size: int) -> Image.Image:
    """A folder with a disc before it, shaded, on nothing."""
    big = Image.new("RGBA", (FOUR * size, FOUR * size))
    draw, unit = ImageDraw.Draw(big), FOUR * size / 16
    draw.rounded_rectangle([unit, 3 * unit, 15 * unit, 13 * unit], unit, fill=(240, 190, 60, 255))
    draw.rectangle([2 * unit, 2 * unit, 7 * unit, 4 * unit], fill=(200, 150, 40, 255))
    draw.ellipse([7 * unit, 7 * unit, 14.5 * unit, 14.5 * unit], fill=(40, 110, 200, 255))
    draw.line([9 * unit, 11 * unit, 10.5 * unit, 13 * unit, 13 * unit, 9 * unit], fill="white", width=int(unit))
    small = np.asarray(big.resize((size, size), Image.Resampling.BOX)).astype(int)
    small[..., :3] -= np.arange(size)[:, None, None] * 40 // size  # shade
    return Image.fromarray(small.clip(0, 255).astype(np.uint8), "RGBA")


def png(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=image.mode != "P", **options)
    return out.getvalue()


def indexed(indices: np.ndarray, colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(colours.astype(np.uint8).tobytes())
    return image


def shuffled(indices: np.ndarray, colours: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(len(colours))
    return np.argsort(order)[indices], colours[order]


def made(size: int) -> Iterator[tuple[str, bytes]]:
    """(what it is, file) of each icon of this size."""
    drawn = icon(size)
    flat = Image.alpha_composite(Image.new("RGBA", drawn.size, (235, 235, 240, 255)), drawn).convert("RGB")
    few = flat.quantize(16, dither=Image.Dither.NONE)
    indices, colours = np.asarray(few), np.array(few.getpalette()).reshape(-1, 3)[:16]
    yield "palette PNG, 16 colours", png(indexed(indices, colours))
    yield "palette PNG, 16 colours shuffled", png(indexed(*shuffled(indices, colours, 1)))
    yield "palette PNG, 16 of 20 entries", png(indexed(indices, np.concatenate([colours, colours[:4] // 2])))
    transparent = indices.copy()
    transparent[np.asarray(drawn)[..., 3] == 0] = 15
    yield "palette PNG, 16 colours, tRNS", png(indexed(transparent, colours), transparency=15)
    text = PngImagePlugin.PngInfo()
    text.add(b"sRGB", b"\0")
    text.add_text("Software", "icons")
    yield "RGBA PNG, pHYs sRGB tEXt", png(drawn, dpi=(72, 72), pnginfo=text)
    y, x = np.mgrid[0:size, 0:size]
    waves = (8 * (np.sin(x * 9 / size) + np.cos(y * 7 / size) + 2) + 3 * (x * y % 7)).astype(int)
    many = (waves * 256 // (waves.max() + 1)).ravel()
    many[np.random.default_rng(2).permutation(size * size)[:256]] = np.arange(256)  # all of them are in use
    rainbow = np.stack([np.arange(256), 255 - np.arange(256) * 7 % 256, np.arange(256) * 3 % 256], 1)
    for name, (index, table) in {
        "GIF, 256 colours": (many, rainbow),
        "GIF, 256 colours shuffled": shuffled(many, rainbow, 3),
    }.items():
        out = io.BytesIO()
        indexed(index.reshape(size, size), table).save(out, "GIF", optimize=False)
        yield name, out.getvalue()


def main() -> int:
    args = arguments(__doc__).parse_args()
    rows, bad = [], 0
    for size in SIZES:
        for what, data in made(size):
            picture = files.read(data)
            bare, whole = diffcodec.encode(picture, strip="all"), diffcodec.encode(picture)
            back = diffcodec.api.decode_picture(whole)
            equal = back.metadata == picture.metadata and np.array_equal(back.samples, picture.samples)
            with Image.open(io.BytesIO(data)) as image:
                if image.mode == "P":
                    found = indices.of_picture(back)
                    equal = equal and found is not None and np.array_equal(found[0], np.asarray(image))
            bad += not equal
            chunks = "".join(chunk.type for chunk in StreamReader().feed(whole))
            rows.append([what, size, len(data), len(bare), len(whole), len(whole) - len(bare), chunks, equal])
            sizes = f"file {len(data):5}  stripped {len(bare):5}  .dfc {len(whole):5}"
            cost = f"metadata {len(whole) - len(bare):4}"
            print(f"{what:34} {size:3} px  {sizes}  {cost}  {chunks}  {'equal' if equal else 'NOT EQUAL'}", flush=True)
    save(args.save, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
