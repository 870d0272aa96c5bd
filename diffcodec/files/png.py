"""PNG: Pillow's reader for 8 bits, our own for 16 bits in colour; the transparent colour becomes alpha."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..runtime.errors import InputError
from . import by_pillow, metadata_png, png16
from .raw import Raw, check_size, with_key

_GREY, _RGB = 0, 2  # colour types that may have a transparent colour


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a PNG file."""
    return data[:8] == png16.SIGNATURE


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, payload) of the chunks that are there, checksums not looked at."""
    at = len(png16.SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """A PNG file. Grey of 2 and 4 bits is spread over 8 (times 85 and 17), as readers do; sBIT changes nothing.

    Raises InputError for a damaged file.
    """
    if data[12:16] != b"IHDR" or len(data) < 29:
        raise InputError("the picture is damaged: a PNG file without a header")
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    check_size(width, height, max_pixels)
    if (name := metadata_png.damaged_chunk(data)) is not None:
        raise InputError(f"the picture is damaged: its chunk {name} fails its checksum")
    data = metadata_png.essential(data)
    _check_whole(data, width, height)
    if png16.is_wide(data):
        return _wide(data, frame)
    with by_pillow.opened(data, max_pixels) as image:
        keyed = colours in (_GREY, _RGB)
        if keyed:
            image.load()  # tRNS is read by now
            image.info.pop("transparency", None)
        raw = by_pillow.loaded(image, data, frame)
    key = _key(data) if keyed and not frame else None
    if key is None:
        return raw
    top = (1 << depth) - 1
    key = (key & top) * ((255 if depth < 8 else top) // top)
    mode = {"1": "LA", "L": "LA", "RGB": "RGBA", "I;16": "LA;16"}[raw.mode]
    return replace(raw, samples=with_key(raw.samples, key), mode=mode)


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE = 1 << 16


def _check_whole(data: bytes, width: int, height: int) -> None:
    """Raise InputError if the pixels end early, which readers take for black ones where the stream itself is sound."""
    bits, passes = data[24] * _CHANNELS.get(data[25], 0), _PASSES if data[28] else ((0, 0, 1, 1),)
    sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes]
    left = needed = sum(h * (1 + -(-w * bits // 8)) for w, h in sizes if w > 0 and h > 0)
    inflater = zlib.decompressobj()
    for name, payload in chunks(data):
        if name != b"IDAT":
            continue
        for start in range(0, len(payload), _PIECE):
            piece = payload[start : start + _PIECE]
            while piece and left > 0:
                left -= len(inflater.decompress(piece, _PIECE))
                piece = inflater.unconsumed_tail
    if left > 0:
        raise InputError(f"the picture is damaged: {needed - left} of {needed} bytes of its pixels are there")


def _key(data: bytes) -> np.ndarray | None:
    """The transparent colour of a grey or RGB picture, in the file's own depth."""
    payload = next((payload for kind, payload in chunks(data) if kind == b"tRNS"), b"")
    return np.frombuffer(payload, ">u2").astype(np.int64) if len(payload) in (2, 6) else None


def _wide(data: bytes, frame: int) -> Raw:
    if frame:
        raise InputError("expected frame 0, found another: frames of a 16-bit animation are not read")
    samples = png16.read(data)
    found = dict(chunks(data))
    count = struct.unpack_from(">I", found[b"acTL"])[0] if len(found.get(b"acTL", b"")) == 8 else 1
    mode = {2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}[samples.shape[2]]
    return Raw(samples, mode, frames=count)
