"""Metadata in the marker segments of JPEG files, which are read only."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ..media.metadata import Density, Metadata, Unit
from .metadata_iptc import records
from .raw import behind

_EXIF, _XMP, _ICC = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_LARGER_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_SOS, _EOI, _COM, _APP = 0xDA, 0xD9, 0xFE, 0xE0
_UNITS: dict[int, Unit] = {0: "none", 1: "inch", 2: "centimetre"}
_GAIN_MAP = b"http://ns.adobe.com/hdr-gain-map/"


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a JPEG file."""
    return data[:3] == b"\xff\xd8\xff"


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, payload) of the segments up to the end of the picture, those between and behind its scans too."""
    for marker, start, end in _places(data):
        if marker != _EOI:
            yield marker, data[start:end]


def end_of(data: bytes) -> int | None:
    """Offset behind the picture, None if its end is not there."""
    return next((end for marker, _, end in _places(data) if marker == _EOI), None)


def _places(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start and end of the payload) of the segments; the picture's end is the last, of no payload."""
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= _EOI:
            at += 2
            if marker == _EOI:
                yield marker, at, at
                return
            continue
        if at + 4 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            return
        yield marker, at + 4, at + 2 + length
        at += 2 + length
        if marker == _SOS:
            found = _MARKER.search(data, at)
            if found is None:
                return
            at = found.start()


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in coded data, a 0 follows the value 255


def read(data: bytes) -> tuple[Metadata, tuple[str, ...]]:
    """What a JPEG file says beside its samples, and the names of what cannot be kept of it."""
    said = _Said()
    for marker, payload in segments(data):
        said.take(marker, payload)
    said.finish()
    end = end_of(data)
    if end is not None and not said.images:
        said.lost += behind(data, end)
    if _GAIN_MAP in said.found.get("xmp", b""):
        said.lost.append("the HDR gain map")
    found = {name: value for name, value in said.found.items() if value}
    return Metadata(**found, comments=tuple(said.comments)), tuple(dict.fromkeys(said.lost))


class _Said:
    """What the segments have said so far: a method for each kind of them, and the table that finds it."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.comments: list[bytes] = []
        self.profile: dict[int, bytes] = {}  # parts of the ICC profile by their numbers, which start at 1
        self.parts = 0
        self.images = False
        self.lost: list[str] = []

    def take(self, marker: int, payload: bytes) -> None:
        for of, start, least, take in _SEGMENTS:
            if marker == of and payload.startswith(start) and len(payload) >= least:
                take(self, payload)
                return
        if _APP <= marker <= _APP + 15:
            name = payload[:24].split(b"\0")[0].decode("latin-1")
            self.lost.append(f"APP{marker - _APP} {name if name.isascii() and name.isprintable() else ''}".strip())

    def finish(self) -> None:
        """Put the profile together."""
        if self.profile and sorted(self.profile) == list(range(1, self.parts + 1)):
            self.found["icc"] = b"".join(self.profile[number] for number in sorted(self.profile))
        elif self.profile:
            self.lost.append("an incomplete ICC profile")

    def comment(self, payload: bytes) -> None:
        self.comments.append(payload)

    def density(self, payload: bytes) -> None:
        unit, x, y = struct.unpack_from(">BHH", payload, 7)
        if x and y and (unit, x, y) != (0, 1, 1):  # no unit and equal: nothing is said
            self.found["density"] = Density(Fraction(x), Fraction(y), _UNITS.get(unit, "none"))

    def thumbnail(self, payload: bytes) -> None:
        self.lost.append("the JFIF thumbnail")

    def exif(self, payload: bytes) -> None:
        if "exif" in self.found:
            self.lost.append("a second Exif segment")
        self.found.setdefault("exif", payload[6:])

    def xmp(self, payload: bytes) -> None:
        if "xmp" in self.found:
            self.lost.append("a second XMP packet")
        self.found.setdefault("xmp", payload.removeprefix(_XMP))

    def larger_xmp(self, payload: bytes) -> None:
        self.lost.append("the extended part of its XMP")

    def icc(self, payload: bytes) -> None:
        self.profile[payload[12]] = payload[14:]
        self.parts = max(self.parts, payload[13])

    def further_images(self, payload: bytes) -> None:
        self.lost.append("further images (MPF)")
        self.images = True

    def photoshop(self, payload: bytes) -> None:
        iptc, others = records(payload)
        if iptc:
            self.found.setdefault("iptc", iptc)
        if others:
            self.lost.append("Photoshop resources")

    def adobe(self, payload: bytes) -> None:
        """How the samples are stored, which they say themselves once they are read."""


#: marker, what the payload starts with, how long it is at least, what takes it: the first row that fits
_SEGMENTS: tuple[tuple[int, bytes, int, Callable[[_Said, bytes], None]], ...] = (
    (_COM, b"", 0, _Said.comment),
    (_APP, b"JFIF\0", 14, _Said.density),
    (_APP, b"JFXX", 0, _Said.thumbnail),
    (_APP + 1, _EXIF, 0, _Said.exif),
    (_APP + 1, _XMP, 0, _Said.xmp),
    (_APP + 1, _LARGER_XMP, 0, _Said.larger_xmp),
    (_APP + 2, _ICC, 14, _Said.icc),
    (_APP + 2, b"MPF\0", 0, _Said.further_images),
    (_APP + 13, b"Photoshop 3.0\0", 0, _Said.photoshop),
    (_APP + 14, b"", 0, _Said.adobe),
)
