"""JPEG: Pillow's reader for 8 bits; imagecodecs (extra `files`) for 9 to 16 and for lossless JPEG."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..runtime.errors import InputError
from . import by_pillow, metadata_jpeg
from .raw import Raw, check_size, optional

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers SOF0 to SOF15
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a JPEG file."""
    return data[:3] == b"\xff\xd8\xff"


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """A JPEG file: grey, RGB, or CMYK as Pillow gives it (Adobe's inverted values turned).

    Raises InputError for a damaged file, and samples that no mode holds.
    """
    marker, bits, height, width, components = _frame(data)
    if bits <= 8 and marker not in _LOSSLESS:
        return by_pillow.read(data, frame, max_pixels)
    check_size(width, height, max_pixels)
    modes = {1: ("L", "I;16"), 3: ("RGB", "RGB;16")}
    if components not in modes or frame:
        raise InputError(f"expected a JPEG file of 1 or 3 components of {bits} bits, found {components}")
    if metadata_jpeg.end_of(data) is None:  # its readers make up what is missing
        raise InputError("the picture is damaged: its end is not there")
    codecs = optional("imagecodecs", f"a JPEG file of {bits} bits, or a lossless one,")
    decode: Any = codecs.ljpeg_decode if marker in _LOSSLESS and components == 1 else codecs.jpeg8_decode
    samples = np.ascontiguousarray(decode(data))
    if samples.shape[:2] != (height, width) or samples.dtype.name not in ("uint8", "uint16"):
        raise InputError(f"the picture cannot be read: samples {samples.dtype.name} {samples.shape}")
    wide = samples.dtype.itemsize == 2
    white = (1 << bits) - 1 if bits not in (8, 16) else None
    return Raw(samples, modes[components][wide], white=white)


def _frame(data: bytes) -> tuple[int, int, int, int, int]:
    """(marker, bits of a sample, height, width, components) of the first frame header; (0, 8, 0, 0, 0) without one."""
    at = 2
    while at + 10 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[at + i : at + i + 2], "big") for i in (5, 7))
            return marker, data[at + 4], height, width, data[at + 9]
        if marker == 0xDA:
            break
        alone = marker in (0, 1, 0xFF) or 0xD0 <= marker <= 0xD9
        at += (1 if marker == 0xFF else 2) if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 8, 0, 0, 0
