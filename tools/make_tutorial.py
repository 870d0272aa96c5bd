"""Do what docs/tutorial.md says, in a folder, and draw the page's pictures of what comes out.

    python -m tools.make_tutorial FOLDER [--draw]

--draw only draws, from what an earlier run left in FOLDER.
Prints what the commands print, and the PSNR and bytes that the page quotes. Needs scikit-image.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.M | re.S)
SIDE = 300  #: of a picture in a row


def steps() -> Iterator[tuple[str, str]]:
    """("python", a block) or ("sh", a command), as they stand on the page."""
    for language, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        yield from [("python", block)] if language == "python" else [("sh", line) for line in block.splitlines()]


def run(kind: str, text: str) -> None:
    """One step, in the current folder. Raises SystemExit with the status of a command that failed."""
    if kind == "python":
        exec(compile(text, "tutorial", "exec"), {"__name__": "tutorial"})
        return
    words = shlex.split(text)
    if words[0] != "diffcodec":
        if os.spawnvp(os.P_WAIT, words[0], words):
            raise SystemExit(f"{text} failed")
        return
    from diffcodec.cli import main as cli

    try:
        cli.main(words[1:])
    except SystemExit as stop:
        if stop.code:
            raise


def row(pictures: list[Image.Image], labels: list[str], to: Path, box: tuple[int, int, int, int]) -> None:
    """A JPEG of the same part of each picture, side by side."""
    out = Image.new("RGB", (len(pictures) * (SIDE + 6) - 6, SIDE + 16), "white")
    for k, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        out.paste(picture.convert("RGB").crop(box).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (k * (SIDE + 6), 16))
        ImageDraw.Draw(out).text((k * (SIDE + 6) + 2, 2), label, fill="black")
    out.save(to, quality=88)


def jpeg_within(picture: Image.Image, size: int) -> bytes:
    """The best JPEG of at most ``size`` bytes."""
    best = b""
    for quality in range(1, 96):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, optimize=True)
        if len(out.getvalue()) > size:
            break
        best = out.getvalue()
    return best


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = np.asarray(a.convert("RGB"), float) - np.asarray(b.convert("RGB"), float)
    return float(10 * np.log10(255**2 / np.square(error).mean()))


def main() -> None:
    images = ROOT / "docs" / "images"
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    for kind, text in [] if "--draw" in sys.argv else steps():
        run(kind, text)
    original = Image.open("face.png")
    sizes = (8000, 25000, 90000)
    previews = [Image.open(f"preview-{size}.png") for size in sizes]
    row(previews, [f"first {size} bytes" for size in sizes], images / "tutorial-previews.jpg", (0, 0, 512, 512))
    size = os.path.getsize("small.dfc")
    jpeg = jpeg_within(original, size)
    shown = {"JPEG": Image.open(io.BytesIO(jpeg)), "mean": Image.open("mean.png"), "flow": Image.open("flow.png")}
    labels = [f"{name}, {psnr(picture, original):.1f} dB" for name, picture in shown.items()]
    row(list(shown.values()), labels, images / "tutorial-lossy.jpg", (0, 0, 256, 256))
    print(f"JPEG {len(jpeg)} bytes, DiffC {size}; {'; '.join(labels)}")


if __name__ == "__main__":
    main()
