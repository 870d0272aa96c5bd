"""PNG of 16 bits per sample in colour, which Pillow reads as 8 bits and cannot write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPE = {2: 4, 3: 2, 4: 6}


def is_wide(data: bytes) -> bool:
    """Whether these bytes start a PNG of 16 bits per sample and more than one channel."""
    wide = data[:8] == SIGNATURE and data[12:16] == b"IHDR" and data[24:25] == b"\x10"
    return wide and len(data) > 25 and data[25] in _COLOUR_TYPE.values()


def read(data: bytes) -> NDArray[np.uint16]:
    """H×W×{2,3,4} uint16 as stored, whatever sBIT says; a transparent colour (tRNS) becomes an alpha channel.

    Raises png.Error, zlib.error.
    """
    import png

    reader = png.Reader(bytes=data)
    width, height, rows, info = reader.read()
    samples = np.empty((height, width * info["planes"]), np.uint16)
    for y, row in enumerate(rows):
        samples[y] = row
    samples = samples.reshape(height, width, info["planes"])
    if reader.trns and info["planes"] == 3:
        key = np.frombuffer(reader.trns[:6], ">u2")
        alpha = np.where((samples == key).all(axis=2), 0, 65535).astype(np.uint16)
        samples = np.concatenate([samples, alpha[..., None]], axis=2)
    return samples


def write(samples: NDArray[np.uint16], icc: bytes | None = None, exif: bytes | None = None) -> bytes:
    """A PNG file of H×W×{2,3,4} uint16."""
    height, width, channels = samples.shape
    rows = np.ascontiguousarray(samples.astype(">u2")).view(np.uint8).reshape(height, -1)
    out = io.BytesIO()
    out.write(SIGNATURE)
    _chunk(out, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0))
    if icc is not None:
        _chunk(out, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if exif is not None:
        _chunk(out, b"eXIf", exif)
    deflate = zlib.compressobj(6)
    above = np.zeros_like(rows[:1])
    for top in range(0, height, 64):  # bands bound the memory
        band = rows[top : top + 64]
        _chunk(out, b"IDAT", deflate.compress(_filtered(band, above, 2 * channels)))
        above = band[-1:]
    _chunk(out, b"IDAT", deflate.flush())
    _chunk(out, b"IEND", b"")
    return out.getvalue()


def _chunk(out: io.BytesIO, kind: bytes, payload: bytes) -> None:
    out.write(struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload)))


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> bytes:
    """Each row under the PNG filter (Sub, Up or Paeth) of least absolute sum, with its filter type in front."""
    up = np.concatenate([above, rows[:-1]])
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, step:], corner[:, step:] = rows[:, :-step], up[:, :-step]
    estimate = left.astype(np.int16) + up - corner
    to_left, to_up, to_corner = (np.abs(estimate - near) for near in (left, up, corner))
    paeth: Any = np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))
    candidates = np.stack([rows - left, rows - up, rows - paeth])
    cost = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    chosen = candidates[best, np.arange(len(rows))]
    kinds = np.array([1, 2, 4], np.uint8)[best]
    return np.concatenate([kinds[:, None], chosen], axis=1).tobytes()
