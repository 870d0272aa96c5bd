"""Metadata in the directories of TIFF files: read of any page, and put into a written file of one page."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

from ..media.exif import (
    Directory,
    Value,
    byte_order,
    directory,
    first_directory,
    following,
    layout,
    reordered,
    structure,
    write_directory,
)
from ..media.metadata import Density, Metadata, Text, Unit
from ..runtime.errors import InputError
from .metadata_iptc import records

_X, _Y, _UNIT = 282, 283, 296
_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_SUB_DIRECTORIES = 330
_UNITS: dict[int, Unit] = {1: "none", 2: "inch", 3: "centimetre"}
_OWN = {_X, _Y, _UNIT, _XMP, _IPTC, _PHOTOSHOP, _ICC}
#: tags that say how a file stores its samples: of another file they would be wrong
STRUCTURAL = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292}
    | {293, 297, 317, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 334, 336, 338, 339, 340, 341, 342, 343}
    | {344, 345, 346, 347, 351, 400, 401, 402, 403, 404, 405, 433, 434, 435, 437, 512, 513, 514, 515, 517, 518, 519}
    | {520, 521, 529, 530, 531, 559, 32995, 32996, 32997, 32998, 33421, 33422, 34016, 34017, 34018, 34019, 34020}
    | {34021, 34022, 34023, 34024, 34025, 34026, 34027, 34028, 34029, 34030, 34031, 37724, 50711, 50838, 50839}
)
#: keywords of PNG's texts by the tag of the same meaning
_TEXT_TAGS = {"Description": 270, "Software": 305, "Author": 315, "Copyright": 33432}


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a TIFF structure, BigTIFF included."""
    return layout(data) is not None


def offsets(data: bytes) -> list[int]:
    """Offsets of the directories of all pages, each once."""
    found: list[int] = []
    at = first_directory(data)
    seen = set()
    while at and at not in seen:
        behind = following(data, at)
        if behind is None:
            break
        found.append(at)
        seen.add(at)
        at = behind
    return found


def check_chain(data: bytes) -> None:
    """Raise InputError if a page names a next one that is not there: the file is cut, and pages of it are lost."""
    last = next(reversed(offsets(data)), None)
    following_one = first_directory(data) if last is None else following(data, last)
    if following_one and following(data, following_one) is None:
        raise InputError(
            f"the picture is damaged: a page of the TIFF file would stand at byte {following_one} of {len(data)}"
        )


def read(data: bytes, page: int = 0) -> tuple[Metadata, tuple[str, ...]]:
    """What a page of a TIFF file says beside its samples, and the names of what cannot be kept of it."""
    form = layout(data)
    pages = offsets(data)
    found = directory(data, pages[page]) if page < len(pages) else None
    if form is None or found is None:
        return Metadata(), ()
    order, tags, lost = form.order, found.tags, []
    values: dict[str, Any] = {}
    values["icc"] = _raw(tags, _ICC)
    values["xmp"] = _raw(tags, _XMP)
    values["iptc"] = _iptc(tags.get(_IPTC), order)
    if _PHOTOSHOP in tags:
        iptc, others = records(tags[_PHOTOSHOP].raw)
        values["iptc"] = values["iptc"] or iptc
        if others:
            lost.append("Photoshop resources")
    if _SUB_DIRECTORIES in tags:
        lost.append("sub-directories")
    kept = {tag: value for tag, value in tags.items() if tag not in STRUCTURAL | _OWN}
    exif = structure(Directory(kept, found.sub, 0), order) if kept or found.sub else None
    return Metadata(**{k: v for k, v in values.items() if v}, exif=exif, density=_density(tags, order)), tuple(lost)


def _raw(tags: dict[int, Value], tag: int) -> bytes | None:
    return tags[tag].raw if tag in tags else None


def _iptc(value: Value | None, order: str) -> bytes | None:
    """The records, which some writers declare as 32-bit numbers in a byte order that they do not have."""
    if value is None or value.type != 4:
        return value.raw if value else None
    raw = value.raw
    if order == ">" or raw[:1] == b"\x1c":
        return raw
    return b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))


def _density(tags: dict[int, Value], order: str) -> Density | None:
    sides = []
    for tag in (_X, _Y):
        value = tags.get(tag)
        if value is None or value.type != 5 or value.count != 1:
            return None
        above, below = struct.unpack(f"{order}II", value.raw)
        if not above or not below:
            return None
        sides.append(Fraction(above, below))
    unit = tags.get(_UNIT)
    number = struct.unpack(f"{order}H", unit.raw)[0] if unit and unit.type == 3 and unit.count == 1 else 2
    density = Density(sides[0], sides[1], _UNITS.get(number, "none"))
    return None if density == Density(Fraction(1), Fraction(1), "none") else density  # nothing is said


def alone(data: bytes, at: int) -> bytes:
    """The file with the page whose directory is at this offset as its only one."""
    form = layout(data)
    entries = form.entries(data, at) if form else None
    if form is None or entries is None:
        return data
    out = bytearray(data)
    struct.pack_into(form.offset, out, form.first, at)
    if entries.stop + form.width <= len(out):
        struct.pack_into(form.offset, out, entries.stop, 0)
    return bytes(out)


def embed(data: bytes, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """A TIFF file of one page with these metadata in place of its own, and the names of what has no place in it.

    The directory moves to the end of the file; what it points to stays where it is.
    """
    order = byte_order(data)
    found = directory(data, first_directory(data), depth=0) if order else None
    if order is None or found is None:
        return data, tuple(metadata.kinds)
    tags = {tag: value for tag, value in found.tags.items() if tag in STRUCTURAL}
    described, lost = _described(metadata, order)
    new = Directory(tags | described.tags, described.sub, 0)
    at = len(data) + len(data) % 2
    out = bytearray(data.ljust(at, b"\0")) + write_directory(new, order, at)
    struct.pack_into(f"{order}I", out, 4, at)
    return bytes(out), lost


def _described(metadata: Metadata, order: str) -> tuple[Directory, tuple[str, ...]]:
    """The tags that hold the metadata."""
    tags: dict[int, Value] = {}
    sub: dict[int, Directory] = {}
    lost: list[str] = []
    if metadata.exif:
        old = byte_order(metadata.exif)
        first = directory(metadata.exif, first_directory(metadata.exif)) if old else None
        if old is None or first is None:
            lost.append("Exif data that are no TIFF structure")
        else:
            first = reordered(first, old, order)
            elsewhere = STRUCTURAL | (_OWN - {_X, _Y, _UNIT})
            tags |= {tag: value for tag, value in first.tags.items() if tag not in elsewhere}
            sub = first.sub
            if first.next and directory(metadata.exif, first.next, depth=0):
                lost.append("the Exif data's thumbnail")
    if metadata.density:
        values, unit = _resolution(metadata.density)
        tags |= {tag: Value(5, 1, struct.pack(f"{order}II", *ab)) for tag, ab in zip((_X, _Y), values, strict=True)}
        tags[_UNIT] = Value(3, 1, struct.pack(f"{order}H", unit))
    for tag, kind, value in ((_ICC, 7, metadata.icc), (_XMP, 1, metadata.xmp), (_IPTC, 7, metadata.iptc)):
        if value:
            tags[tag] = Value(kind, len(value), value)
    texts = [*metadata.text, *(Text("Description", c.decode("latin-1")) for c in metadata.comments)]
    for text in texts:
        tag = _TEXT_TAGS.get(text.keyword, 0)
        if tag in tags or not tag or not text.text.isascii() or "\0" in text.text or text.international:
            lost.append(f"the text {text.keyword!r}")
        else:
            tags[tag] = Value(2, len(text.text) + 1, text.text.encode("ascii") + b"\0")
    lost += [name for name, _ in metadata.colour + metadata.other]
    return Directory(tags, sub, 0), tuple(lost)


def _resolution(density: Density) -> tuple[list[tuple[int, int]], int]:
    """((numerator, denominator) of x and y, number of the unit)."""
    unit = {"none": 1, "inch": 2, "centimetre": 3, "metre": 3}[density.unit]
    divisor = 100 if density.unit == "metre" else 1
    values = []
    for value in (density.x / divisor, density.y / divisor):
        if max(value.numerator, value.denominator) >= 2**32:
            value = value.limit_denominator(10**4)
        values.append((min(value.numerator, 2**32 - 1), value.denominator))
    return values, unit


def joined(files: list[bytes]) -> bytes:
    """One file of the pages of several files of one page and the same byte order. Raises ValueError over 4 GiB."""
    order = byte_order(files[0])
    out, link = bytearray(files[0]), _link(files[0], first_directory(files[0]))
    for data in files[1:]:
        if byte_order(data) != order or order is None:
            raise ValueError("pages of different byte orders")
        base = len(out) + len(out) % 2
        out = out.ljust(base, b"\0")
        page = bytearray(data)
        _move(page, first_directory(data), order, base)
        out += page
        if len(out) >= 2**32:
            raise ValueError("TIFF ends at 4 GiB")
        struct.pack_into(f"{order}I", out, link, base + first_directory(data))
        link = base + _link(data, first_directory(data))
    return bytes(out)


_OFFSETS = {273, 324, 0x8769, 0x8825, 0xA005}  # of strips, of tiles, of directories


def _link(data: bytes, at: int) -> int:
    """Where a directory names the next one."""
    (count,) = struct.unpack_from(f"{byte_order(data)}H", data, at)
    return int(at + 2 + 12 * count)


def _move(data: bytearray, at: int, order: str, base: int) -> None:
    """Add ``base`` to all offsets of a directory that was written here."""
    from ..media.exif import SIZES

    (count,) = struct.unpack_from(f"{order}H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        size = SIZES[kind] * number
        start = entry + 8
        if size > 4:
            (start,) = struct.unpack_from(f"{order}I", data, entry + 8)
            struct.pack_into(f"{order}I", data, entry + 8, start + base)
        if tag not in _OFFSETS:
            continue
        if tag in (0x8769, 0x8825, 0xA005):
            (inner,) = struct.unpack_from(f"{order}I", data, start)
            _move(data, inner, order, base)
        letter: Any = "H" if kind == 3 else "I"
        values = struct.unpack_from(f"{order}{number}{letter}", data, start)
        struct.pack_into(f"{order}{number}{letter}", data, start, *(value + base for value in values))
