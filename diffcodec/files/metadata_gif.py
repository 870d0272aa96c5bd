"""Metadata in the extension blocks of GIF, which is read only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..media.metadata import Metadata
from .raw import behind

_COMMENT, _APPLICATION, _TEXT, _IMAGE, _EXTENSION, _TRAILER_BYTE = 0xFE, 0xFF, 0x01, 0x2C, 0x21, 0x3B
_XMP, _ICC, _TRAILER = b"XMP DataXMP", b"ICCRGBG1012", 258  # behind XMP stands a trailer of so many bytes


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a GIF file."""
    return data[:6] in (b"GIF87a", b"GIF89a")


def read(data: bytes) -> tuple[Metadata, tuple[str, ...]]:
    """What a GIF file says beside its samples, and the names of what cannot be kept of it."""
    comments: list[bytes] = []
    found: dict[str, Any] = {}
    lost: list[str] = []
    for label, start in _extensions(data):
        payload, _ = _blocks(data, start)
        if label == _TEXT:
            lost.append("text that is drawn over it")
        elif label == _COMMENT and payload:
            comments.append(payload)
        elif label == _APPLICATION and data[start : start + 1] == b"\x0b":
            name = data[start + 1 : start + 12]
            rest, end = _blocks(data, start + 12)
            if name == _XMP:
                found.setdefault("xmp", data[start + 12 : max(start + 12, end - _TRAILER)])
            elif name == _ICC and rest:
                found.setdefault("icc", rest)
            elif name not in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                shown = name.decode("latin-1").strip("\0 ")
                lost.append(f"application data {shown if shown.isascii() and shown.isprintable() else name.hex()}")
    lost += behind(data, _end(data))
    return Metadata(**{k: v for k, v in found.items() if v}, comments=tuple(comments)), tuple(dict.fromkeys(lost))


def _extensions(data: bytes) -> Iterator[tuple[int, int]]:
    """(label, offset of the first sub-block) of the extensions."""
    return ((label, start) for label, start in _parts(data) if label != _TRAILER_BYTE)


def _end(data: bytes) -> int:
    """Offset behind the file's trailer, or the end of the data."""
    return next((start for label, start in _parts(data) if label == _TRAILER_BYTE), len(data))


def _parts(data: bytes) -> Iterator[tuple[int, int]]:
    """(label, offset of the first sub-block) of the extensions, and of the trailer the offset behind it."""
    if len(data) < 13:
        return
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while at < len(data):
        if data[at] == _TRAILER_BYTE:
            yield _TRAILER_BYTE, at + 1
            return
        if at + 2 >= len(data):
            return
        if data[at] == _EXTENSION:
            yield data[at + 1], at + 2
            _, at = _blocks(data, at + 2)
        elif data[at] == _IMAGE and at + 10 < len(data):
            flags = data[at + 9]
            _, at = _blocks(data, at + 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
        else:
            return


def _blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """(bytes of the sub-blocks, offset behind the empty one that ends them)."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts), at + 1
