"""Sizes and speed of the adaptive context coder against PNG and WebP lossless, on drawn pictures and a few photographs.

    python -m benchmarks.suites.context_coder [--only NAME ...] [--photos photos-train-0.zip]

Needs Pillow and scikit-image; the chart is drawn when matplotlib is installed. Pictures are drawn here or come with
scikit-image. Encoding compares modes on two threads; decoding uses one. numba is already compiled.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.common import arguments, printed
from diffcodec.entropy.context.coder import decode_planes, encode_planes

TEXT = (
    "The quick brown fox jumps over the lazy dog, and the five boxing wizards jump quickly. A compressor that meets "
    "printed words should see letters, not noise: each glyph returns again and again in the same pixels. "
)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow ships one
    return font


def gradients(n: int = 384) -> np.ndarray:
    y, x = np.mgrid[0:n, 0:n]
    radial = np.hypot(y - n / 2, x - n / 2)
    return np.stack([x * 255 // (n - 1), (x + y) * 255 // (2 * n - 2), np.minimum(255, radial)], -1).astype(np.uint8)


def page_of_text(mode: str, n: int = 640) -> np.ndarray:
    """Text in several sizes, anti-aliased (`L`, `RGB`) or not (`1`)."""
    image = Image.new(mode, (n, n), {"1": 1, "L": 255, "RGB": (250, 248, 240)}[mode])
    draw = ImageDraw.Draw(image)
    y, k = 8, 0
    while y < n - 30:
        size = (12, 14, 18, 24)[k % 4]
        ink = {"1": 0, "L": 0, "RGB": ((20, 20, 30), (160, 30, 40), (20, 60, 150))[k % 3]}[mode]
        draw.text((10, y), TEXT[7 * k % 90 :][: n * 2 // size], fill=ink, font=_font(size))
        y, k = y + size + 6, k + 1
    return np.atleast_3d(np.asarray(image)).astype(np.uint8)


def desktop(w: int = 800, h: int = 600) -> np.ndarray:
    """A screenshot: gradient wallpaper, windows with title bars, icons, text and a small picture."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:h, 0:w]
    wall = np.stack([40 + 60 * y / h, 70 + 50 * x / w, 120 + 40 * (x + y) / (w + h)], -1).astype(np.uint8)
    image = Image.fromarray(wall)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, h - 36, w, h), fill=(32, 34, 38))
    for i in range(9):
        box = (8 + 44 * i, h - 32, 36 + 44 * i, h - 4)
        draw.rounded_rectangle(box, 6, fill=tuple(int(v) for v in rng.integers(60, 255, 3)), outline=(220, 220, 220))
    for x0, y0, ww, hh in ((40, 30, 420, 300), (300, 180, 460, 340)):
        draw.rounded_rectangle((x0, y0, x0 + ww, y0 + hh), 8, fill=(248, 248, 250), outline=(120, 120, 130))
        draw.rectangle((x0 + 1, y0 + 6, x0 + ww - 1, y0 + 30), fill=(60, 110, 190))
        draw.text((x0 + 10, y0 + 10), "Document - Editor", fill="white", font=_font(14))
        for k in range((hh - 50) // 17):
            line = TEXT[11 * k % 100 :][: (ww - 20) // 8]
            draw.text((x0 + 10, y0 + 38 + 17 * k), line, fill=(30, 30, 34), font=_font(13))
    from skimage import data

    image.paste(Image.fromarray(data.astronaut()).resize((120, 120)), (620, 40))
    return np.asarray(image)


def chart() -> np.ndarray | None:
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(1)
    fig, axes = plt.subplots(2, 2, figsize=(8, 6), dpi=100)
    t = np.linspace(0, 10, 300)
    for k in range(4):
        axes[0, 0].plot(t, np.sin(t + k) * np.exp(-t / 8), label=f"run {k}")
    axes[0, 0].legend()
    axes[0, 1].bar(range(8), rng.integers(3, 30, 8), color="tab:orange")
    axes[1, 0].scatter(*rng.normal(size=(2, 150)), c=rng.random(150), s=18)
    axes[1, 1].imshow(np.add.outer(np.sin(t), np.cos(t)), aspect="auto")
    for ax in axes.flat:
        ax.set_title("measured against predicted")
    fig.tight_layout()
    fig.canvas.draw()
    out = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return out


def vector(mode: str, n: int = 512) -> np.ndarray:
    """Overlapping discs and polygons, anti-aliased by drawing at four times the size; `LA` gives the coverage as
    well."""
    rng = np.random.default_rng(3)
    big = Image.new("RGBA", (4 * n, 4 * n), (255, 255, 255, 0))
    draw = ImageDraw.Draw(big)
    for _ in range(24):
        colour = (*(int(v) for v in rng.integers(0, 256, 3)), 255)
        cx, cy, r = [*rng.integers(0, 4 * n, 2).tolist(), int(rng.integers(n // 4, n))]
        if rng.random() < 0.5:
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=colour)
        else:
            draw.regular_polygon((cx, cy, r), int(rng.integers(3, 8)), int(rng.integers(0, 90)), fill=colour)
    rgba = np.asarray(big.resize((n, n), Image.Resampling.BOX))
    return {"RGB": rgba[..., :3], "RGBA": rgba, "A": rgba[..., 3:]}[mode].copy()


def bilevel_scan() -> np.ndarray:
    """The photographed page of scikit-image, locally thresholded: ragged letters and specks like a fax."""
    from skimage import data, filters

    page = data.page()
    return (page > filters.threshold_local(page, 35, offset=10)).astype(np.uint8)[..., None]


def quantised(image: np.ndarray, colours: int, dither: bool) -> np.ndarray:
    mode = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    rgb = Image.fromarray(image)
    palette = rgb.quantize(colours, method=Image.Quantize.MEDIANCUT)
    return np.asarray(rgb.quantize(colours, palette=palette, dither=mode))[..., None]


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    from skimage import data

    rng = np.random.default_rng(0)
    logo = np.asarray(Image.open(_skimage_file("logo.png")))
    astronaut, coffee, chelsea = data.astronaut(), data.coffee(), data.chelsea()
    yield "flat 4096x4096", np.full((4096, 4096, 3), (255, 250, 7), np.uint8)
    yield "noise RGB 256", rng.integers(0, 256, (256, 256, 3), np.uint8)
    yield "noise 16 values", rng.integers(0, 16, (256, 256, 1), np.uint8)
    yield "gradients", gradients()
    yield "text bilevel", page_of_text("1")
    yield "text grey AA", page_of_text("L")
    yield "text RGB AA", page_of_text("RGB")
    yield "desktop", desktop()
    drawn = chart()
    if drawn is not None:
        yield "chart", drawn
    yield "vector RGB", vector("RGB")
    yield "vector RGBA", vector("RGBA")
    yield "vector alpha", vector("A")
    yield "icon RGBA 32", np.asarray(Image.fromarray(vector("RGBA")).resize((32, 32), Image.Resampling.BOX))
    yield "bilevel scan", bilevel_scan()
    yield "horse bilevel", data.horse().astype(np.uint8)[..., None]
    yield "palette 16 dither", quantised(coffee, 16, True)
    yield "palette 32", quantised(chelsea, 32, False)
    yield "palette 256", quantised(astronaut, 256, False)
    yield "logo", logo
    yield "colorwheel", np.asarray(Image.open(_skimage_file("color.png")))[..., :3]
    yield "page", data.page()[..., None]
    yield "text photo", data.text()[..., None]
    yield "checkerboard", data.checkerboard()[..., None]
    yield "phantom", np.atleast_3d(np.asarray(Image.open(_skimage_file("phantom.png")).convert("L")))
    yield "clock", data.clock()[..., None]
    yield "16-bit low byte", (np.add.outer(np.arange(256) * 37, np.arange(256) * 11) & 255).astype(np.uint8)[..., None]
    yield "camera", data.camera()[..., None]
    yield "astronaut", astronaut
    yield "coffee", coffee
    yield "chelsea", chelsea
    for size in (16, 32, 64):
        yield f"chelsea {size}", chelsea[100 : 100 + size, 150 : 150 + size]


def _skimage_file(name: str) -> str:
    import os

    import skimage.data

    return os.path.join(os.path.dirname(skimage.data.__file__), name)


def pillow_bytes(planes: np.ndarray, **options: object) -> int:
    """Size of the file Pillow writes; index and 0/1 planes go in as greyscale stretched over 0..255 (mode `1` for two
    values)."""
    if planes.shape[2] == 1 and planes.max() <= 1:
        image = Image.fromarray(planes[..., 0].astype(bool))
    elif planes.shape[2] == 1:
        image = Image.fromarray(planes[..., 0])
    else:
        image = Image.fromarray(planes)
    if options["format"] == "WEBP" and image.mode in "1L":
        image = image.convert("RGB")
    if options["format"] == "PNG" and image.mode == "L" and planes.max() < 64:
        image = Image.fromarray(planes[..., 0]).convert("P")
    out = io.BytesIO()
    image.save(out, **options)  # type: ignore[arg-type]
    return out.tell()


def zipped(path: str, count: int, side: int) -> Iterator[tuple[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        for name in names[:: max(1, len(names) // count)][:count]:
            image = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            yield name[:18], image[:side, :side]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--photos", help="zip of photographs to add")
    parser.add_argument("--no-decode", action="store_true")
    args = parser.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:

    encode_planes(np.zeros((2, 2, 1), np.uint8))
    print(f"{'picture':20} {'shape':>14} {'PNG':>9} {'WebP':>9} {'context':>9} {'/PNG':>6} {'/WebP':>6} {'bpd':>6} "
          f"{'enc us/B':>8} {'dec us/B':>8}")  # fmt: skip
    sums, count = np.zeros(3), 0
    todo = list(zipped(args.photos, 8, 512)) if args.photos else []
    for name, planes in (*pictures(), *todo):
        if args.only and not any(part in name for part in args.only):
            continue
        png = pillow_bytes(planes, format="PNG", optimize=True)
        webp = pillow_bytes(planes, format="WEBP", lossless=True, quality=100, method=6, exact=True)
        t0 = time.perf_counter()
        data = encode_planes(planes)
        t1 = time.perf_counter()
        if not args.no_decode:
            assert np.array_equal(decode_planes(data, *planes.shape), planes), name
        t2 = time.perf_counter()
        n = planes.size
        sums += np.log((png, webp, len(data)))
        count += 1
        print(f"{name:20} {'x'.join(map(str, planes.shape)):>14} {png:9} {webp:9} {len(data):9} {len(data) / png:6.3f} "
              f"{len(data) / webp:6.3f} {8 * len(data) / n:6.3f} {(t1 - t0) / n * 1e6:8.3f} {(t2 - t1) / n * 1e6:8.3f}",
              flush=True)  # fmt: skip
    means = np.exp((sums[2] - sums[:2]) / count)
    print(f"geometric mean of the ratio over {count} pictures: PNG {means[0]:.3f}, WebP {means[1]:.3f}")


if __name__ == "__main__":
    main()
