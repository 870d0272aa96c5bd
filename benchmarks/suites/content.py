"""Pictures as people have them, by kind: sum of bytes of whole files against the best of WebP, JPEG XL e9 and PNG.

    python -m benchmarks.suites.content [--only KIND ...] [--save]

Pictures are drawn here or come with scikit-image, matplotlib, pydicom and nibabel; the last two are left out where they
are not installed. Every file is decoded and compared. JPEG XL gets floats that are
halves or whole numbers as such, and signed numbers less their least; WebP takes 8 bits of colour.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

import diffcodec
from benchmarks.common import arguments, centre, classical, save
from benchmarks.suites import context_coder as drawn
from benchmarks.suites.wide_files import WIDE, Named

Kind = Callable[[], Named]


def screenshots() -> Named:
    whole = drawn.desktop()
    yield "window", whole[30:222, 40:296]
    yield "wallpaper-and-bar", whole[440:600, :256]
    yield "picture", whole[30:190, 560:760]


def text() -> Named:
    yield "bilevel", drawn.page_of_text("1", 256)[..., 0].astype(bool)
    yield "grey", drawn.page_of_text("L", 256)[..., 0]
    yield "colour", drawn.page_of_text("RGB", 256)


def charts() -> Named:
    found = drawn.chart()
    if found is not None:
        yield "axes", found[:300, :400]
        yield "scatter", found[300:, :400]
    yield "gradients", drawn.gradients(192)


def clip_art() -> Named:
    yield "opaque", drawn.vector("RGB", 192)
    yield "alpha", drawn.vector("RGBA", 192)
    yield "mask", drawn.vector("A", 192)[..., 0]


def bilevel() -> Named:
    from skimage import data

    yield "scan", drawn.bilevel_scan()[:190, :256, 0].astype(bool)
    yield "horse", data.horse()[:256, :256]
    yield "text", data.text()[:160, :256] > 110


def sprites(seed: int) -> np.ndarray:
    """Tiles of 16×16 with eight colours and a mirror line, laid out at random."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (8, 3), np.uint8)
    half = rng.integers(0, 3, (6, 16, 8)) * rng.integers(0, 2, (6, 16, 8))
    tiles = np.concatenate([half, half[:, :, ::-1]], 2) + np.arange(6)[:, None, None] % 6
    grid = rng.integers(0, 6, (8, 10))
    return colours[np.concatenate([np.concatenate(list(tiles[row]), 1) for row in grid], 0) % 8]


def pixel_art() -> Named:
    for seed in (1, 2, 3):
        yield f"sprites-{seed}", sprites(seed)


def few_colours() -> Named:
    from skimage import data

    for name, colours, dither in (("coffee", 16, True), ("chelsea", 32, False), ("astronaut", 128, True)):
        picture = centre(getattr(data, name)(), 192)
        image = Image.fromarray(picture).quantize(colours, dither=Image.Dither(3 * dither))
        yield f"{name}-{colours}", np.asarray(image.convert("RGB"))


def label_maps() -> Named:
    for seed, count in ((1, 12), (2, 60), (3, 200)):
        rng = np.random.default_rng(seed)
        points = rng.uniform(0, 192, (count, 2))
        y, x = np.mgrid[:192, :192]
        nearest = np.argmin((y[..., None] - points[:, 0]) ** 2 + (x[..., None] - points[:, 1]) ** 2, 2)
        yield f"cells-{count}", nearest.astype(np.uint8)


def icons() -> Named:
    """Glyphs of one colour under alpha, and small pictures in colour."""
    for number, size in enumerate((16, 16, 24, 32, 48)):
        whole = Image.fromarray(np.roll(drawn.vector("A", 192)[..., 0], 31 * number, 1))
        cover = np.asarray(whole.resize((size, size), Image.Resampling.BOX))
        ink = np.broadcast_to(np.array([(40, 44, 52), (220, 50, 47)][number % 2], np.uint8), (size, size, 3))
        yield f"glyph-{size}-{number}", np.dstack([ink, cover])
    for size in (16, 32):
        small = Image.fromarray(drawn.vector("RGBA", 192)).resize((size, size), Image.Resampling.BOX)
        yield f"colour-{size}", np.asarray(small)


def scans() -> Named:
    from skimage import data

    yield "page", data.page()[:190, :256]
    yield "text", data.text()[:160, :256]


def microscopy() -> Named:
    from skimage import data

    yield "cell", centre(data.cell(), 192)
    yield "stained", centre(data.immunohistochemistry(), 160)


KINDS: dict[str, Kind] = {
    "screenshots": screenshots,
    "text": text,
    "charts": charts,
    "clip art": clip_art,
    "1-bit": bilevel,
    "pixel art": pixel_art,
    "few colours": few_colours,
    "label maps": label_maps,
    "icons": icons,
    "scans": scans,
    "microscopy": microscopy,
    **WIDE,
}


def others(samples: np.ndarray) -> dict[str, int]:
    """Bytes by codec, of those that take these samples."""
    if samples.dtype == np.uint8 or samples.dtype == np.bool_:
        image = Image.fromarray(samples)
        found = {"png": classical(image, "png")}
        found["jxl"] = len(imagecodecs.jpegxl_encode(samples.astype(np.uint8), lossless=True, effort=9))
        out = io.BytesIO()
        colours = image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
        colours.save(out, "WEBP", lossless=True, quality=100, method=6, exact=True)
        return found | {"webp": out.tell()}
    if samples.dtype.kind == "i":
        samples = (samples - np.int32(min(0, int(samples.min())))).astype(np.uint16)
    if samples.dtype == np.float32:  # as what it is
        half, whole = samples.astype(np.float16), samples - samples.min()
        if (half == samples).all():
            samples = half
        elif (samples == np.rint(samples)).all() and float(whole.max()) < 65536:
            samples = whole.astype(np.uint16)
    found = {"jxl": len(imagecodecs.jpegxl_encode(samples, lossless=True, effort=9))}
    if samples.dtype == np.uint16:
        found["png"] = len(imagecodecs.png_encode(samples, level=9))
    return found


def measured(only: list[str]) -> Iterator[dict[str, Any]]:
    for kind, files in KINDS.items():
        if only and not any(part in kind for part in only):
            continue
        for name, given in files():
            samples = np.ascontiguousarray(given)
            start = time.perf_counter()
            data = diffcodec.encode(samples)
            middle = time.perf_counter()
            back = diffcodec.decode(data)
            end = time.perf_counter()
            assert back.tobytes() == (samples.astype(np.uint8) * 255 if samples.dtype == bool else samples).tobytes()
            pixels = samples.shape[0] * samples.shape[1]
            beside = others(samples)
            yield {
                "kind": kind,
                "file": name,
                "pixels": pixels,
                "dtype": samples.dtype.name,
                "bytes": len(data),
                **{codec: beside.get(codec, "") for codec in ("png", "webp", "jxl")},
                "ratio": len(data) / min(beside.values()),
                "encode_s_mp": (middle - start) / pixels * 1e6,
                "decode_s_mp": (end - middle) / pixels * 1e6,
            }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    diffcodec.decode(diffcodec.encode(np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)))
    rows = []
    for row in measured(args.only):
        rows.append(row)
        print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)
    print(f"\n{'kind':16} files  sum of bytes / best of each file's others")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        ratio = sum(row["bytes"] for row in of) / sum(row["bytes"] / row["ratio"] for row in of)
        print(f"{kind:16} {len(of):5}  {ratio:.3f}")
    seconds = [sum(row[way] * row["pixels"] for row in rows) / sum(row["pixels"] for row in rows)
               for way in ("encode_s_mp", "decode_s_mp")]  # fmt: skip
    print(f"{len(rows)} files, seconds a megapixel: encode {seconds[0]:.1f}, decode {seconds[1]:.1f}")
    save(args.save, rows)


if __name__ == "__main__":
    main()
