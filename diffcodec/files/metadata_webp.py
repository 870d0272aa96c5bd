"""Metadata in the RIFF chunks of WebP: read, and put into a written file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from ..media.metadata import Metadata
from .raw import behind

_KINDS = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp"}
_FLAGS = {"icc": 0x20, "exif": 0x08, "xmp": 0x04}
_ALPHA, _ANIMATION = 0x10, 0x02
_PIXELS = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a WebP file."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, payload) of the whole chunks from the front."""
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + size > len(data):
            return
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def read(data: bytes) -> tuple[Metadata, tuple[str, ...]]:
    """What a WebP file says beside its samples, and the names of what cannot be kept of it."""
    found: dict[str, Any] = {}
    lost: list[str] = []
    for name, payload in chunks(data):
        if name in _KINDS:
            value = payload.removeprefix(b"Exif\0\0") if name == b"EXIF" else payload
            if _KINDS[name] in found:
                lost.append(f"a second chunk {name.decode().strip()}")
            elif value:
                found[_KINDS[name]] = value
        elif name not in _PIXELS and name != b"VP8X":
            shown = name.decode("latin-1").strip()
            lost.append(f"chunk {shown if shown.isascii() and shown.isprintable() else name.hex()}")
    lost += behind(data, 8 + int.from_bytes(data[4:8], "little"))
    return Metadata(**found), tuple(dict.fromkeys(lost))


def embed(data: bytes, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """A WebP file with these metadata in place of its own, and the names of what has no place in it."""
    parts = {kind: getattr(metadata, kind) for kind in _FLAGS if getattr(metadata, kind)}
    pixels = [(name, payload) for name, payload in chunks(data) if name in _PIXELS]
    head = next((payload for name, payload in chunks(data) if name == b"VP8X"), None)
    lost = _without_place(metadata)
    if head is None and not parts:
        return data, lost
    flags, canvas = (head[0], head[4:10]) if head else _canvas(pixels[0][1])
    flags = flags & (_ALPHA | _ANIMATION) | sum(_FLAGS[kind] for kind in parts)
    names = {kind: name for name, kind in _KINDS.items()}
    body = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + canvas)
    if "icc" in parts:
        body += chunk(b"ICCP", parts["icc"])
    body += b"".join(chunk(name, payload) for name, payload in pixels)
    body += b"".join(chunk(names[kind], parts[kind]) for kind in ("exif", "xmp") if kind in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body, lost


def _without_place(metadata: Metadata) -> tuple[str, ...]:
    names = [name for name, _ in metadata.colour + metadata.other]
    texts = [f"the text {text.keyword!r}" for text in metadata.text]
    kinds = [kind for kind in ("iptc", "comments", "density") if getattr(metadata, kind)]
    return (*kinds, *texts, *names)


def _canvas(lossless: bytes) -> tuple[int, bytes]:
    """Flags and size for VP8X, of a VP8L chunk: 14 bits of width and of height, one of alpha."""
    (bits,) = struct.unpack_from("<I", lossless, 1)
    width, height = bits & 0x3FFF, bits >> 14 & 0x3FFF
    return _ALPHA if bits >> 28 & 1 else 0, width.to_bytes(3, "little") + height.to_bytes(3, "little")


def chunk(name: bytes, payload: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
