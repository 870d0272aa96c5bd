"""Photoshop's image resource blocks (8BIM), in which JPEG, TIFF and PNG keep IPTC records."""

from __future__ import annotations

import struct

IPTC = 0x0404
_MARK = b"Photoshop 3.0\0"


def records(data: bytes) -> tuple[bytes | None, tuple[int, ...]]:
    """(IPTC-IIM records or None, numbers of the other resources) of a run of resource blocks."""
    found, others, at = None, [], len(_MARK) if data.startswith(_MARK) else 0
    while at + 12 <= len(data) and data[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        start = at + 6 + name + name % 2
        if start + 4 > len(data):
            break
        (size,) = struct.unpack_from(">I", data, start)
        end = start + 4 + size
        if end > len(data):
            break
        if number == IPTC and found is None:
            found = data[start + 4 : end]
        else:
            others.append(number)
        at = end + size % 2
    return found, tuple(others)


def resources(iptc: bytes) -> bytes:
    """One resource block with these records."""
    return b"8BIM" + struct.pack(">HHI", IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
