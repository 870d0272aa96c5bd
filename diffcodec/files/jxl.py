"""JPEG XL, by imagecodecs (extra `files`)."""

from __future__ import annotations

import numpy as np

from ..runtime.errors import InputError
from .raw import Raw, check_size, optional

_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
_MODES = {
    **{("uint8", 1): "L", ("uint8", 2): "LA", ("uint8", 3): "RGB", ("uint8", 4): "RGBA"},
    **{("uint16", 1): "I;16", ("uint16", 2): "LA;16", ("uint16", 3): "RGB;16", ("uint16", 4): "RGBA;16"},
    **{("float32", 1): "F", ("float32", 3): "F[3]", ("float16", 1): "F;16", ("float16", 3): "F;16[3]"},
}


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a JPEG XL file or codestream."""
    return data[:2] == b"\xff\x0a" or data[:12] == _BOXES


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """The first frame, unscaled. Raises InputError for kinds of samples that no mode holds."""
    if frame:
        raise InputError("expected frame 0 of a JPEG XL file, found another")
    width, height, bits, animated = _head(data)
    check_size(width, height, max_pixels)
    codecs = optional("imagecodecs", "a JPEG XL file")
    samples = np.asarray(codecs.jpegxl_decode(data, index=0, numthreads=1))
    bands = samples.shape[2] if samples.ndim == 3 else 1
    mode = _MODES.get((samples.dtype.name, bands))
    if mode is None or samples.ndim not in (2, 3):
        raise InputError(f"no mode holds the samples of this JPEG XL file: {samples.dtype.name} {samples.shape}")
    white = (1 << bits) - 1 if samples.dtype.kind == "u" and bits not in (8, 16) else None
    if white is not None and mode.startswith(("LA", "RGBA")):
        raise InputError(f"no mode holds a JPEG XL file of {bits} bits with alpha")
    shape = samples.shape if bands > 1 else samples.shape[:2]
    lost: tuple[str, ...] = ("its colour profile, Exif data and XMP",)
    lost += ("the further frames of its animation",) if animated else ()
    return Raw(np.ascontiguousarray(samples.reshape(shape)), mode, white=white, lost=lost)


class _Bits:
    """Reads the bit fields of a codestream's header, least significant first. Raises InputError at its end."""

    def __init__(self, data: bytes):
        self.value, self.left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise InputError("the picture is damaged: the header of the JPEG XL file is cut")
        value = self.value & ((1 << count) - 1)
        self.value >>= count
        return value

    def choice(self, *options: tuple[int, int]) -> int:
        """A number in one of four forms (offset, bits)."""
        offset, bits = options[self.take(2)]
        return offset + self.take(bits)


_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _size(bits: _Bits) -> tuple[int, int]:
    def side(small: int) -> int:
        return 8 * (1 + bits.take(5)) if small else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))

    small = bits.take(1)
    height = side(small)
    above, below = _RATIOS[bits.take(3)]
    return (height * above // below if above else side(small)), height


def _codestream(data: bytes) -> bytes:
    """Up to 64 bytes from the front of the codestream, which may stand in boxes; none where there is none."""
    if data[:2] == b"\xff\x0a":
        return data[:64]
    at = 0
    while at + 16 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 16 if length == 1 else 8
        length = int.from_bytes(data[at + 8 : at + 16], "big") if length == 1 else length or len(data) - at
        body = at + head + (4 if kind == b"jxlp" else 0)
        if kind in (b"jxlc", b"jxlp") and body < len(data):
            return data[body : body + 64]
        at += max(length, 8)
    return b""


def _head(data: bytes) -> tuple[int, int, int, bool]:
    """(width, height, bits of a sample, whether it is an animation) of the codestream."""
    start = _codestream(data)
    if start[:2] != b"\xff\x0a":
        raise InputError("the picture is damaged: no codestream in the JPEG XL file")
    bits = _Bits(start[2:])
    width, height = _size(bits)
    if bits.take(1):  # all as by default
        return width, height, 8, False
    animated = False
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            _size(bits)
        if bits.take(1):
            raise InputError("a JPEG XL file with a preview frame is not read here: convert it to PNG first")
        animated = bool(bits.take(1))
        if animated:
            bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
            bits.take(1)
    if bits.take(1):
        return width, height, bits.choice((32, 0), (16, 0), (24, 0), (1, 6)), animated
    return width, height, bits.choice((8, 0), (10, 0), (12, 0), (1, 6)), animated
