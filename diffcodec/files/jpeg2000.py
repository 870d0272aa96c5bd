"""JPEG 2000: Pillow's reader for 8 bits; imagecodecs (extra `files`) for all other depths, unscaled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..runtime.errors import InputError
from . import by_pillow
from .raw import Raw, check_size, optional

_BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_SYCC, _CMYK = 18, 12


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a JPEG 2000 file or codestream."""
    return data[:4] == _START or data[:12] == _BOXES


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """One picture; of four components without a word on alpha the fourth is padding (`RGBX`).

    Raises InputError for a damaged file, and samples that no mode holds.
    """
    at = data.find(_START)
    if at < 0 or len(data) < at + 43:
        raise InputError("the picture is damaged: JPEG 2000 without a codestream")
    numbers = [int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4)]
    width, height = numbers[0] - numbers[2], numbers[1] - numbers[3]
    count = int.from_bytes(data[at + 40 : at + 42], "big")
    parts = [data[at + 42 + 3 * i : at + 45 + 3 * i] for i in range(min(count, 5))]
    check_size(width, height, max_pixels)
    boxes = data[:at] if data[:4] != _START else b""
    alpha = _has_alpha(boxes)
    if all(part[:1] == b"\x07" for part in parts):
        raw = by_pillow.read(data, frame, max_pixels)
        if raw.mode in ("RGBA", "LA") and boxes and not alpha:
            if raw.mode == "LA":
                raise InputError("no mode holds the samples of this JPEG 2000 file: two bands, none of them alpha")
            return replace(raw, mode="RGBX")
        return raw
    if len({part[:1] for part in parts}) != 1 or any(part[1:] != b"\1\1" for part in parts) or frame:
        raise InputError("no mode holds a JPEG 2000 file whose components have several depths or sizes")
    bits, signed = (parts[0][0] & 127) + 1, parts[0][0] > 127
    unusual = b"pclr" in boxes or any(b"colr\1\0\0\0\0\0" + bytes([kind]) in boxes for kind in (_SYCC, _CMYK))
    if bits > 16 or (signed and bits > 16) or unusual:
        raise InputError(f"no mode holds this JPEG 2000 file of {bits} bits: palette, sYCC, CMYK, or over 16 bits")
    names = {1: ("L", "I;16", "I;16S"), 3: ("RGB", "RGB;16", "I;16S[3]"), 4: ("RGBX", "RGBX;16", "I;16S[4]")}
    if alpha and not signed:
        names |= {2: ("LA", "LA;16", ""), 4: ("RGBA", "RGBA;16", "")}
    if count not in names:
        raise InputError(f"no mode holds a JPEG 2000 file of {count} components of {bits} bits")
    samples = optional("imagecodecs", f"a JPEG 2000 file of {bits} bits").jpeg2k_decode(data, numthreads=1)
    mode = names[count][2 if signed else int(bits > 8)]
    dtype = np.int16 if signed else np.uint16 if bits > 8 else np.uint8
    samples = np.ascontiguousarray(samples.reshape(height, width, count).astype(dtype))
    if mode in ("RGBA", "LA") and bits < 8:
        raise InputError(f"no mode holds a JPEG 2000 file of {bits} bits with alpha")
    white = (1 << bits) - 1 if bits not in (8, 16) and not signed else None
    lost = ("its colour profile",) if b"colr\x02" in boxes else ()
    return Raw(samples if count > 1 else samples[..., 0], mode, white=white, lost=lost)


def _has_alpha(boxes: bytes) -> bool:
    """Whether the channel definitions (cdef) have one of type 1, opacity."""
    at = boxes.find(b"cdef")
    if at < 0:
        return False
    count = int.from_bytes(boxes[at + 4 : at + 6], "big")
    return any(boxes[at + 8 + 6 * i : at + 10 + 6 * i] == b"\0\1" for i in range(min(count, 16)))
