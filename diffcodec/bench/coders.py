"""What two functions, encode and decode, are to the suite: without loss, for a rate, or of a quality."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from .point import SLACK, Codec, Medium, Point, Points

Takes = Literal["nothing", "bpp", "quality"]
Encode = Callable[..., bytes]  #: (picture uint8 (H, W, 3)) or (picture, bits per pixel or quality) -> a whole file
Decode = Callable[[bytes], Any]  #: a file -> uint8 (H, W, 3)


def codec_of(
    name: str,
    encode: Encode,
    decode: Decode,
    takes: Takes = "bpp",
    *,
    qualities: tuple[int, int] = (1, 100),
    medium: Medium = "picture",
) -> Codec:
    """A codec of two functions, for `register_codec`, or to be returned by what ``--codec module:factory`` names.

    decode: a whole file, as bytes, to the picture uint8 (H, W, 3). encode: a picture uint8 (H, W, 3) to a whole file,
    and what it is told beside the picture is ``takes``: "nothing", and it is without loss; "bpp", the bits per pixel
    that its file may have, a larger one is left out; "quality", a whole number within ``qualities``, lowest and
    highest, of which larger files come the higher it is: the highest whose file fits is searched. medium: of "clip"
    all of this is of frames uint8 (T, H, W, 3).
    """
    points = _TAKES[takes](encode, decode, *qualities)
    of_rgb: Points = lambda clip, rates: points(clip.rgb(), rates)  # noqa: E731
    return Codec(name, takes == "nothing", points if medium == "picture" else of_rgb, medium=medium)


def timed(original: np.ndarray, encode: Callable[[np.ndarray], bytes], decode: Decode, setting: str) -> Point:
    """The file of ``original``, uint8 (H, W, 3), and what it decodes to, its seconds measured."""
    start = time.perf_counter()
    data = encode(original)
    middle = time.perf_counter()
    image = np.asarray(decode(data))
    return Point(len(data), image, middle - start, time.perf_counter() - middle, setting)


def lossless(encode: Encode, decode: Decode) -> Points:
    """One file."""

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        yield timed(original, encode, decode, "lossless")

    return points


def by_rate(encode: Encode, decode: Decode) -> Points:
    """For each rate the file that is made for it, none where that is larger."""

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        for rate in sorted(rates):
            found = timed(original, partial(_told, encode, rate), decode, f"bpp {rate:g}")
            if found.size <= _room(original, rate):
                yield Point(found.size, found.image, found.encode_s, found.decode_s, found.setting, rate)

    return points


def by_quality(
    encode: Encode, decode: Decode, low: int, high: int, told: Callable[[int], str] = lambda q: f"quality {q}"
) -> Points:
    """For each rate the file of the highest quality, of low..high, that fits; none where even the lowest is larger."""

    def points(original: np.ndarray, rates: Sequence[float]) -> Iterator[Point]:
        made: dict[int, Point] = {}

        def at(quality: int) -> Point:
            if quality not in made:
                made[quality] = timed(original, partial(_told, encode, quality), decode, told(quality))
            return made[quality]

        for rate in sorted(rates):
            found = highest(lambda quality: at(quality).size, _room(original, rate), low, high, made)
            if found is not None:
                best = made[found]
                yield Point(best.size, best.image, best.encode_s, best.decode_s, best.setting, rate)

    return points


#: by what ``encode`` is told: the points of (encode, decode, lowest quality, highest quality)
_TAKES: dict[Takes, Callable[[Encode, Decode, int, int], Points]] = {
    "nothing": lambda encode, decode, low, high: lossless(encode, decode),
    "bpp": lambda encode, decode, low, high: by_rate(encode, decode),
    "quality": by_quality,
}


def _told(encode: Encode, what: float, original: np.ndarray) -> bytes:
    return encode(original, what)


def _room(original: np.ndarray, rate: float) -> float:
    """Bytes that a file for a rate may have, of a picture or all frames uint8 (..., 3)."""
    return float(SLACK * rate * (original.size // 3) / 8)


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
