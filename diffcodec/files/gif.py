"""Clips as animated GIF, which anything plays: 256 colours a frame at most, and delays in hundredths of a second.

Each frame has its own palette, so that no more than one is held. Of a clip with more colours samples are not kept: this
is for showing it, and what is lost is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..media.clip import Clip
from ..media.rows.clip import UNTOLD
from ..runtime.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

Bytes = NDArray[np.uint8]

COLOURS = 256  #: of a frame
LONGEST = 2**16 - 1  #: a side, and a delay
SHORTEST = 2  #: hundredths of a second: what is shorter programs show as ten
_NO_RATE = Fraction(25)  #: frames a second of a file whose clip has none
_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"  # shown again and again
_END = b";"


def write(groups: Iterable[Clip], file: BinaryIO) -> list[str]:
    """Write clips one behind another; names of what has no place in the file. Raises InputError for large frames."""
    from PIL import GifImagePlugin

    lost, first, exact = list[str](), True, True
    for clip, frame, delay in _delayed(groups):
        if first:
            lost, first = _lost(clip), False
            _, height, width = clip.shape
            if max(height, width) > LONGEST:
                raise InputError(f"GIF has sides of up to {LONGEST} pixels, found {width}×{height}: write MKV instead")
            file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0) + _FOR_EVER)
        indexed, whole = _indexed(frame)
        exact &= whole
        told = {"duration": 10 * delay, "include_color_table": True, "disposal": 1}
        for block in GifImagePlugin.getdata(indexed, (0, 0), **told):
            file.write(block)
    file.write(_END)
    return lost + [f"all its colours: the nearest of {COLOURS} in each frame stand there"] * (not exact)


def _lost(clip: Clip) -> list[str]:
    """Of what a clip is besides its RGB samples, what has no place."""
    lost = [f"samples of {clip.sampling}: RGB stands there"] * (clip.sampling != "RGB")
    lost += ["the tags of its colours"] * (clip.colour != UNTOLD)
    if clip.rate is None:
        return [*lost, f"that its rate is not known: {_NO_RATE} frames a second stand there"]
    delay = 100 / clip.rate
    if delay < SHORTEST:
        return [*lost, f"its rate of {float(clip.rate):g}: {100 // SHORTEST} frames a second stand there"]
    return lost + [f"its rate of {clip.rate}: delays in hundredths of a second stand there"] * (delay.denominator > 1)


def _delayed(groups: Iterable[Clip]) -> Iterator[tuple[Clip, Bytes, int]]:
    """(its group, a frame uint8 (H, W, 3), hundredths of a second that it stands) of each; their sum keeps the rate."""
    number, start = 0, 0
    for clip in groups:
        delay = 100 / (clip.rate or _NO_RATE)
        for frame in clip.rgb():
            number += 1
            end = max(round(number * delay), start + SHORTEST)
            yield clip, np.ascontiguousarray(frame), min(end - start, LONGEST)
            start = end


def _indexed(frame: Bytes) -> tuple[Image.Image, bool]:
    """Picture of mode P of a frame uint8 (H, W, 3), and whether it has the frame's own colours."""
    from PIL import Image

    picture = Image.fromarray(frame)
    if picture.getcolors(COLOURS) is None:
        return picture.quantize(COLOURS), False
    keys = frame.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, places = np.unique(keys, return_inverse=True)
    indexed = Image.fromarray(places.reshape(frame.shape[:2]).astype(np.uint8))
    indexed.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes())
    return indexed, True
