"""What the suite compares: classical codecs through Pillow and its plugins, and ours. Sizes are whole files."""

from __future__ import annotations

import importlib
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import api
from ..bitstream import Chunk, StreamReader, write


@dataclass(frozen=True)
class Point:
    """One file. image: what it decodes to; setting: quality, or a reconstruction; target: bits per pixel aimed at."""

    size: int
    image: np.ndarray
    encode_s: float
    decode_s: float
    setting: str
    target: float | None = None


@dataclass(frozen=True)
class Codec:
    """A codec of the suite. ``points(original uint8 (H, W, 3), rates)``: one file per rate, or one if lossless."""

    name: str
    lossless: bool
    points: Callable[[np.ndarray, Sequence[float]], Iterator[Point]]
    plugin: str = ""  #: module that must be there, and registers with Pillow where it is a plugin
    library: Callable[[], str] = field(default=lambda: _version("PIL"))

    def missing(self) -> str:
        """Why this codec cannot run here; empty if it can."""
        try:
            if self.plugin:
                module = importlib.import_module(self.plugin)
                getattr(module, "register_heif_opener", lambda: None)()
            return ""
        except ImportError:
            return f"needs {self.plugin}: pip install 'diffcodec[bench]'"


def _version(package: str) -> str:
    return f"{package} {getattr(importlib.import_module(package), '__version__', '?')}"


# ---- Pillow


def _file(original: np.ndarray, format: str, options: dict[str, Any], setting: str, target: float | None) -> Point:
    from PIL import Image

    out = io.BytesIO()
    start = time.perf_counter()
    Image.fromarray(original).save(out, format, **options)
    middle = time.perf_counter()
    image = np.asarray(Image.open(io.BytesIO(out.getvalue())).convert("RGB"))
    return Point(out.tell(), image, middle - start, time.perf_counter() - middle, setting, target)


def _pillow_lossless(format: str, **options: Any) -> Callable[[np.ndarray, Sequence[float]], Iterator[Point]]:
    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        yield _file(original, format, options, "lossless", None)

    return points


def _pillow_lossy(
    format: str, low: int = 1, high: int = 98, option: str = "quality", **options: Any
) -> Callable[[np.ndarray, Sequence[float]], Iterator[Point]]:
    """For each rate the file of the highest quality within 1.02 of it; none where even the lowest is larger."""

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        made: dict[int, Point] = {}

        def at(quality: int) -> Point:
            if quality not in made:
                value = [quality] if option == "quality_layers" else quality
                given = {**options, option: value}
                made[quality] = _file(original, format, given, f"{option} {quality}", None)
            return made[quality]

        for rate in rates:
            room = 1.02 * rate * original.shape[0] * original.shape[1] / 8
            if at(low).size > room:
                continue
            a, b = low, high + 1  # at(a) fits, b does not or is beyond
            while b - a > 1:
                middle = (a + b) // 2
                a, b = (middle, b) if at(middle).size <= room else (a, middle)
            best = made[a]
            yield Point(best.size, best.image, best.encode_s, best.decode_s, best.setting, rate)

    return points


# ---- ours


def _ardm(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
    start = time.perf_counter()
    data = api.encode(original)
    middle = time.perf_counter()
    image = np.asarray(api.decode(data))
    yield Point(len(data), image, middle - start, time.perf_counter() - middle, "lossless")


def shortened(data: bytes, payloads: int) -> bytes:
    """A whole lossy stream with only the first payloads of ``data``."""
    chunks = []
    for chunk in StreamReader().feed(data):
        if chunk.type == "P" and not payloads:
            break
        payloads -= chunk.type == "P"
        chunks.append(chunk)
    return write([*(c for c in chunks if c.type != "E"), Chunk("E", b"")])


def _diffc(reconstruction: str) -> Callable[[np.ndarray, Sequence[float]], Iterator[Point]]:
    """Coded once, at the highest rate; the other files are its prefixes, closed (`shortened`)."""

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        pixels = original.shape[0] * original.shape[1]
        data, encode_s = _encoded(original, max(rates))
        container = api.read(data)
        sizes = [len(shortened(data, k + 1)) for k in range(len(container.passes))]
        nearest = {
            min(range(len(sizes)), key=lambda i: abs(math.log(8 * sizes[i] / pixels / rate))): rate for rate in rates
        }
        provider = api._provider(container, None, "auto")
        receiver, seconds = api._receiver(container, provider), 0.0
        for i, payload in enumerate(container.passes):
            start = time.perf_counter()
            receiver.take(payload)
            seconds += time.perf_counter() - start
            if i in nearest:
                start = time.perf_counter()
                image = receiver.show(reconstruction)[0]
                shown = time.perf_counter() - start
                encode = encode_s * sizes[i] / sizes[-1]  # passes cost about alike, and a shorter stream ends earlier
                yield Point(sizes[i], image, encode, seconds + shown, reconstruction, nearest[i])

    return points


_last: list[tuple[bytes, float, bytes, float]] = []


def _encoded(original: np.ndarray, rate: float) -> tuple[bytes, float]:
    """The stream and its seconds; kept for the other reconstruction of the same picture."""
    key = original.tobytes()
    for pixels, made, data, seconds in _last:
        if pixels == key and made == rate:
            return data, seconds
    start = time.perf_counter()
    data = api.encode(original, "diffc", bpp=rate)
    _last[:] = [(key, rate, data, time.perf_counter() - start)]
    return data, _last[0][3]


CODECS = (
    Codec("png", True, _pillow_lossless("PNG", optimize=True)),
    Codec("webp-lossless", True, _pillow_lossless("WEBP", lossless=True, quality=100, method=6)),
    Codec("jpeg2000-lossless", True, _pillow_lossless("JPEG2000", irreversible=False)),
    Codec("jxl-lossless", True, _pillow_lossless("JXL", lossless=True, effort=9), "pillow_jxl"),
    Codec("ardm", True, _ardm),
    Codec("jpeg", False, _pillow_lossy("JPEG")),
    Codec("webp", False, _pillow_lossy("WEBP", 0)),
    Codec("jpeg2000", False, _pillow_lossy("JPEG2000", 20, 60, "quality_layers", quality_mode="dB", irreversible=True)),
    Codec("avif", False, _pillow_lossy("AVIF", 0)),
    Codec("heic", False, _pillow_lossy("HEIF", 0), "pillow_heif"),
    Codec("jxl", False, _pillow_lossy("JXL", 1), "pillow_jxl"),
    Codec("diffc-mean", False, _diffc("mean")),
    Codec("diffc-flow", False, _diffc("flow")),
)
BY_NAME = {codec.name: codec for codec in CODECS}
