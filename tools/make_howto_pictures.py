"""The pictures of docs/howto: smaller pictures, pushed bytes, files elsewhere, chunks of Zarr.

    python -m tools.make_howto_pictures [NAME ...] [--out docs/images]

Names: reduced, pushed, remote, zarr; all of them if none is given. Photographs are scikit-image's, and parts of them.
Figures stand in the pictures. Needs the extras remote and zarr.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

import diffcodec

ROOT = Path(__file__).parents[1]
GAP, LINE = 6, 14
Panel = tuple[str, np.ndarray | Image.Image]  #: words above it, a picture


def face(side: int) -> np.ndarray:
    y, x = max(0, 120 - side // 2), 224 - side // 2
    return np.ascontiguousarray(data.astronaut()[y : y + side, x : x + side])


def row(panels: Sequence[Panel], side: int) -> Image.Image:
    """Pictures side by side, each in a square of so many pixels, magnified by whole numbers or made to fit, with words.
    """
    lines = max(words.count("\n") for words, _ in panels) + 1
    out = Image.new("RGB", (len(panels) * (side + GAP) - GAP, lines * LINE + side + GAP), "white")
    for k, (words, picture) in enumerate(panels):
        shown = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        shown = shown.resize([max(1, side // max(shown.size)) * n for n in shown.size], Image.Resampling.NEAREST)
        shown.thumbnail((side, side))
        out.paste(shown, (k * (side + GAP), lines * LINE + 4))
        ImageDraw.Draw(out).multiline_text((k * (side + GAP) + 1, 1), words, "black", spacing=2)
    return out


def reduced() -> Image.Image:
    """One lossless stream at four sizes, and the bytes that each takes of it."""
    stream = diffcodec.encode(face(256), "ardm")
    ends = [one["end"] for one in diffcodec.inspect(stream)["passes"]]
    panels: list[Panel] = []
    for size in (16, 32, 64, 256):
        whole = diffcodec.decode(stream, size=size)
        enough = next((end for end in ends[:-1] if _is_there(stream, end, size, whole)), len(stream))
        panels.append((f"size={size}: {enough} of\n{len(stream)} bytes", whole))
    return row(panels, 256)


def _is_there(stream: bytes, end: int, size: int, whole: np.ndarray) -> bool:
    return np.array_equal(diffcodec.decode(stream, upto_bytes=end, size=size), whole)


def pushed() -> Image.Image:
    """What a decoder shows that is fed a stream of DiffC, 100 bytes at a time."""
    stream = diffcodec.encode(face(128), "diffc", bpp=1)
    decoder = diffcodec.PushDecoder(reconstruction="mean")
    panels: list[Panel] = []
    for start in range(0, len(stream), 100):
        for preview in decoder.feed(stream[start : start + 100]):
            panels.append((f"fed {min(start + 100, len(stream))} bytes", preview.image))
    few = panels[:: max(1, -(-len(panels) // 4))][:4]
    return row([*few, (f"close(): {len(stream)} bytes", decoder.close())], 256)


def elsewhere() -> Image.Image:
    """Which bytes of an archive are fetched for the first preview of one picture, and for all of it."""
    import fsspec

    pictures = [data.chelsea(), data.astronaut(), data.rocket()[:300, 200:500].copy()]
    archive = diffcodec.encode_archive(pictures, "photo-ardm", group=1)
    system = fsspec.filesystem("memory")
    system.pipe_file("/all.dfca", archive)
    fetched: list[tuple[int, int]] = []
    real = system.cat_file

    def counted(path: str, start: int | None = None, end: int | None = None, **options: object) -> bytes:
        fetched.append((start or 0, len(archive) if end is None else end))
        return bytes(real(path, start=start, end=end, **options))

    system.cat_file = counted
    panels: list[Panel] = []
    strips = []
    with diffcodec.open_picture("memory://all.dfca", 1) as file:
        for preview in diffcodec.decode_progressive(file):
            if not panels or preview.complete:
                panels.append((f"{sum(b - a for a, b in fetched)} of\n{len(archive)} bytes", preview.image))
                strips.append(_strip(len(archive), fetched))
    bars = Image.new("RGB", (192, 192), "white")
    for k, (strip, words) in enumerate(zip(strips, ("the first preview", "all of the picture"), strict=True)):
        ImageDraw.Draw(bars).text((0, 44 + 64 * k), words, "black")
        bars.paste(strip, (0, 60 + 64 * k))
    return row([("bytes that are fetched\nof the archive", bars), *panels], 192)


def _strip(size: int, ranges: Sequence[tuple[int, int]]) -> Image.Image:
    """An archive from left to right, what is fetched in blue."""
    out = Image.new("RGB", (192, 24), "#dddddd")
    for first, end in ranges:
        ImageDraw.Draw(out).rectangle((192 * first // size, 0, 192 * end // size, 23), "#1f6fb2")
    return out


def chunks() -> Image.Image:
    """A chunk of a Zarr array by its own compressor, without loss and at two rates, and the bytes in the store."""
    import zarr

    from diffcodec.archive.zarr_codec import Dfc

    picture = face(128)
    panels: list[Panel] = []
    for words, how in (
        ("Zarr's own", {}),
        ("Dfc()", {"serializer": Dfc(), "compressors": None}),
        ("Dfc(bpp=1)", {"serializer": Dfc(bpp=1), "compressors": None}),
        ("Dfc(bpp=0.25)", {"serializer": Dfc(bpp=0.25), "compressors": None}),
    ):
        store: dict[str, object] = {}
        array = zarr.create_array(store, shape=picture.shape, chunks=picture.shape, dtype="uint8", **how)
        array[:] = picture
        size = sum(len(value.to_bytes()) for name, value in store.items() if not name.endswith("zarr.json"))
        panels.append((f"{words}:\n{size} bytes", np.asarray(array[:])))
    return row(panels, 256)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "reduced": reduced,
    "pushed": pushed,
    "remote": elsewhere,
    "zarr": chunks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    for name in options.names or PICTURES:
        path = options.out / f"howto-{name}.jpg"
        PICTURES[name]().save(path, quality=80, optimize=True)
        print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
