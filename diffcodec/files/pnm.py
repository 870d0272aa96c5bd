"""PBM, PGM, PPM (plain and raw) and PFM: samples as they are stored, whatever their maximum is."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..media.picture import Picture
from ..runtime.errors import InputError
from .raw import Raw, check_size

_BITS, _GREY, _RGB, _FLOAT = "1", "L", "RGB", "F"
#: signature -> (kind, channels, whether samples are text)
_KINDS = {
    b"P1": (_BITS, 1, True),
    b"P2": (_GREY, 1, True),
    b"P3": (_RGB, 3, True),
    b"P4": (_BITS, 1, False),
    b"P5": (_GREY, 1, False),
    b"P6": (_RGB, 3, False),
    b"Pf": (_FLOAT, 1, False),
    b"PF": (_FLOAT, 3, False),
}
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*(?:[\r\n]|$))*([^\s#]+)")
#: modes -> the signature they are written with
WRITTEN = {"1": b"P4", "L": b"P5", "I;16": b"P5", "RGB": b"P6", "RGB;16": b"P6"}


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a PBM, PGM, PPM, PAM or PFM file."""
    return data[:2] in _KINDS and (data[2:3].isspace() or data[2:3] == b"#")


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """The first picture of the file; `white` where its maximum is neither 255 nor 65535. Raises InputError."""
    if frame:
        raise InputError("expected frame 0 of a PNM file, found another")
    kind, channels, text = _KINDS[data[:2]]
    numbers: list[bytes] = []
    at = 2
    while len(numbers) < (2 if kind == _BITS else 3):
        found = _TOKEN.match(data, at)
        if found is None or len(found[1]) > 32:
            raise InputError("the picture is damaged: its PNM header is cut or has no numbers")
        numbers.append(found[1])
        at = found.end()
    try:
        width, height = int(numbers[0]), int(numbers[1])
        scale = 1.0 if kind == _BITS else float(numbers[2])
        maximum = 0 if kind == _FLOAT else int(scale)
    except (ValueError, OverflowError):
        raise InputError("the picture is damaged: its PNM header holds no numbers") from None
    check_size(width, height, max_pixels)
    shape = (height, width, channels) if channels > 1 else (height, width)
    if kind == _FLOAT:
        return _floats(data[at + 1 :], shape, scale)
    if not 1 <= maximum <= 65535:
        raise InputError(f"expected a maximum of 1 to 65535 in the PNM header, found {maximum}")
    samples, left = _text(data[at:], shape, kind) if text else _binary(data[at + 1 :], shape, kind, maximum)
    if int(samples.max()) > maximum:
        raise InputError(f"the picture is damaged: a sample is {int(samples.max())}, over its own maximum {maximum}")
    if kind == _BITS:
        return Raw((1 - samples).astype(np.uint8) * np.uint8(255), "1")  # 1 is black
    narrow = maximum < 256
    mode = kind if narrow else {_GREY: "I;16", _RGB: "RGB;16"}[kind]
    raw = Raw(np.ascontiguousarray(samples.astype(np.uint8 if narrow else np.uint16)), mode)
    if maximum not in (255, 65535):
        raw = replace(raw, white=maximum)
    return replace(raw, lost=("the pictures behind the first",)) if left[:2] in _KINDS else raw


def _text(body: bytes, shape: tuple[int, ...], kind: str) -> tuple[NDArray[np.int64], bytes]:
    body = re.sub(rb"#[^\r\n]*", b" ", body)
    count = int(np.prod(shape))
    if kind == _BITS:  # digits need no space between them
        values = np.frombuffer(b"".join(body.split()), np.uint8).astype(np.int64) - ord("0")
    else:
        try:
            values = np.array(body.split(maxsplit=count)[:count], dtype="S16").astype(np.int64)
        except ValueError:
            raise InputError("the picture is damaged: a sample is no number") from None
    if len(values) < count or int(values[:count].min()) < 0:
        raise InputError(f"the picture is damaged: {len(values)} of {count} samples are there")
    return values[:count].reshape(shape), b""


def _binary(body: bytes, shape: tuple[int, ...], kind: str, maximum: int) -> tuple[NDArray[np.int64], bytes]:
    size = 1 if maximum < 256 else 2
    columns = -(-shape[1] // 8) if kind == _BITS else int(np.prod(shape[1:])) * size
    needed = shape[0] * columns
    if len(body) < needed:
        raise InputError(f"the picture is damaged: {len(body)} of {needed} bytes are there")
    rows = np.frombuffer(body, np.uint8, needed).reshape(shape[0], columns)
    if kind == _BITS:
        return np.unpackbits(rows, axis=1)[:, : shape[1]].astype(np.int64), body[needed:]
    return rows.view(f">u{size}").reshape(shape).astype(np.int64), body[needed:]


def _floats(body: bytes, shape: tuple[int, ...], scale: float) -> Raw:
    needed = 4 * int(np.prod(shape))
    if len(body) < needed or scale == 0 or scale != scale:
        raise InputError(f"the picture is damaged: {len(body)} of {needed} bytes are there, scale {scale}")
    stored = np.frombuffer(body, "<f4" if scale < 0 else ">f4", needed // 4).reshape(shape)
    samples = np.ascontiguousarray(stored[::-1].astype(np.float32))  # rows run from the bottom up
    lost = () if abs(scale) == 1 else (f"the scale {abs(scale):g}",)
    return Raw(samples, "F" if len(shape) == 2 else "F[3]", lost=lost)


def write(picture: Picture, white: int | None = None) -> bytes:
    """A raw PBM, PGM or PPM file of a mode of `WRITTEN`; `white`: the header's maximum."""
    size = f"{picture.width} {picture.height}".encode()
    if picture.mode == "1":
        return b"P4\n" + size + b"\n" + np.packbits(picture.samples == 0, axis=1).tobytes()
    maximum = white or int(np.iinfo(picture.samples.dtype).max)
    big = picture.samples.astype(picture.samples.dtype.newbyteorder(">"), copy=False)
    return b"%s\n%s\n%d\n" % (WRITTEN[picture.mode], size, maximum) + big.tobytes()
