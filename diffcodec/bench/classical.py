"""Classical codecs through Pillow, its plugins, and imagecodecs where Pillow has no lossless form of a codec."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from .point import SLACK, Codec, Point, Points

Encode = Callable[[np.ndarray], bytes]
Decode = Callable[[bytes], Any]


def _timed(original: np.ndarray, encode: Encode, decode: Decode, setting: str) -> Point:
    start = time.perf_counter()
    data = encode(original)
    middle = time.perf_counter()
    image = np.asarray(decode(data))
    return Point(len(data), image, middle - start, time.perf_counter() - middle, setting)


def _save(original: np.ndarray, format: str, options: dict[str, Any]) -> bytes:
    from PIL import Image

    if format == "JPEG2000":  # Pillow leaves the colours apart, adds a container, and splits small pictures to nothing
        levels = max(1, min(6, min(original.shape[:2]).bit_length() - 3))
        options = {"mct": 1, "no_jp2": True, "num_resolutions": levels, **options}
    out = io.BytesIO()
    Image.fromarray(original).save(out, format, **options)
    return out.getvalue()


def _open(data: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(data)).convert("RGB")


def _pillow_lossless(format: str, **options: Any) -> Points:
    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        yield _timed(original, lambda x: _save(x, format, options), _open, "lossless")

    return points


def _imagecodecs(name: str, **options: Any) -> Points:
    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        import imagecodecs

        encode, decode = (getattr(imagecodecs, f"{name}_{way}") for way in ("encode", "decode"))
        yield _timed(original, lambda x: encode(x, **options), decode, "lossless")

    return points


def _pillow_lossy(format: str, low: int = 1, high: int = 98, name: str = "quality", **options: Any) -> Points:
    """For each rate the file of the highest quality that fits; none where even the lowest is larger.

    name "bpp": JPEG 2000 is told a compression ratio, here in steps of 0.01 bits per pixel.
    """

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        made: dict[int, Point] = {}

        def at(quality: int) -> Point:
            if quality not in made:
                own = {"quality": quality} if name == "quality" else {"quality_layers": [2400 / quality]}
                shown = quality if name == "quality" else quality / 100
                made[quality] = _timed(original, lambda x: _save(x, format, options | own), _open, f"{name} {shown:g}")
            return made[quality]

        for rate in sorted(rates):
            room = SLACK * rate * original.shape[0] * original.shape[1] / 8
            found = highest(lambda quality: at(quality).size, room, low, high, made)
            if found is not None:
                best = made[found]
                yield Point(best.size, best.image, best.encode_s, best.decode_s, best.setting, rate)

    return points


def highest(size: Callable[[int], int], room: float, low: int, high: int, known: Collection[int]) -> int | None:
    """The highest of low..high whose ``size`` is within ``room``, if sizes grow; None if that of ``low`` is not.

    Every other guess interpolates log size, which takes half the encodings of halving alone. ``known``: qualities
    whose size costs nothing.
    """
    if size(low) > room:
        return None
    fits = max(q for q in {low, *known} if size(q) <= room)
    beyond = min((q for q in known if q > fits), default=high + 1)
    halve = False
    while beyond - fits > 1:
        guess = (fits + beyond) // 2
        if not halve and beyond <= high:
            a, b = math.log(size(fits)), math.log(size(beyond))
            guess = fits + round((math.log(room) - a) / max(b - a, 1e-9) * (beyond - fits))
        guess = min(max(guess, fits + 1), beyond - 1)
        halve = not halve
        if size(guess) <= room:
            fits = guess
        else:
            beyond = guess
    return fits


_HEIF, _JXL, _MORE = ("pillow_heif",), ("pillow_jxl",), ("imagecodecs",)
_RATES = {"quality_mode": "rates", "irreversible": True}

CODECS = (
    Codec("png", True, _pillow_lossless("PNG", optimize=True)),
    Codec("webp-lossless", True, _pillow_lossless("WEBP", lossless=True, quality=100, method=6)),
    Codec("jpeg2000-lossless", True, _pillow_lossless("JPEG2000", irreversible=False)),
    Codec("jpegls", True, _imagecodecs("jpegls"), _MORE),
    Codec("avif-lossless", True, _imagecodecs("avif", level=100, speed=6), _MORE),
    Codec("heic-lossless", True, _pillow_lossless("HEIF", quality=-1, chroma=444, matrix_coefficients=0), _HEIF),
    Codec("jxl-lossless", True, _pillow_lossless("JXL", lossless=True, effort=9), _JXL),
    Codec("jpeg", False, _pillow_lossy("JPEG")),
    Codec("webp", False, _pillow_lossy("WEBP", 0)),
    Codec("jpeg2000", False, _pillow_lossy("JPEG2000", 2, 1200, "bpp", **_RATES)),
    Codec("avif", False, _pillow_lossy("AVIF", 0)),
    Codec("heic", False, _pillow_lossy("HEIF", 0), _HEIF),
    Codec("jxl", False, _pillow_lossy("JXL", 1), _JXL),
)
