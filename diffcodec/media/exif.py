"""Exif data and TIFF directories as bytes: read within bounds, written anew, a thumbnail taken out.

A directory maps a tag to its type, count and value bytes as they are stored. Nothing here trusts a number before it is
compared with the bytes that are there.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

#: bytes of a value of each TIFF type (1 BYTE ... 13 IFD)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_LONG8 = (16, 18)  # of BigTIFF: 8 bytes, held as LONG here
ORIENTATION, EXIF, GPS, INTEROPERABILITY = 274, 0x8769, 0x8825, 0xA005
_THUMBNAIL = (0x0201, 0x0202)  # its offset and its bytes
_MOST_PAIRS = 10**6
_SUB = {EXIF: "exif", GPS: "gps", INTEROPERABILITY: "interoperability"}


@dataclass(frozen=True, slots=True)
class Value:
    """A tag's value. raw: ``count`` numbers of the type's size, in the structure's byte order."""

    type: int
    count: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """Tags by number; ``sub``: the directories that Exif, GPS and interoperability tags point to; ``next``: offset."""

    tags: dict[int, Value]
    sub: dict[int, Directory]
    next: int


def byte_order(data: bytes) -> str | None:
    """'<' or '>', as `struct` has it, or None if these bytes start no classic TIFF structure."""
    found = layout(data)
    return found.order if found and not found.big else None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a structure stores numbers. big: BigTIFF, whose offsets and counts have 64 bits."""

    order: str
    big: bool

    @property
    def first(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.big else 4

    @property
    def offset(self) -> str:
        """Format of an offset, and of the number of values, for `struct`."""
        return f"{self.order}{'Q' if self.big else 'I'}"

    @property
    def width(self) -> int:
        """Bytes of an offset."""
        return 8 if self.big else 4

    @property
    def head(self) -> int:
        """Bytes of a directory in front of its entries."""
        return 8 if self.big else 2

    @property
    def entry(self) -> int:
        """Bytes of a directory's entry."""
        return 20 if self.big else 12

    def entries(self, data: bytes, at: int) -> range | None:
        """Offsets of the entries of the directory at this offset; None if it leaves the data."""
        if at < 8 or at + self.head > len(data):
            return None
        (count,) = struct.unpack_from(f"{self.order}{'Q' if self.big else 'H'}", data, at)
        start = at + self.head
        end = start + self.entry * count
        return None if end > len(data) else range(start, end, self.entry)


def layout(data: bytes) -> Layout | None:
    """Of a classic TIFF structure or a BigTIFF file; None of other bytes."""
    marks = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
    found = marks.get(bytes(data[:4]))
    return Layout(*found) if found else None


def first_directory(data: bytes) -> int:
    """Offset of the first directory, 0 if there is none."""
    found = layout(data)
    return _offset(data, found.first, found) if found and len(data) >= found.first + found.width else 0


def _offset(data: bytes, at: int, form: Layout) -> int:
    return int(struct.unpack_from(form.offset, data, at)[0])


def _number(data: bytes, at: int) -> int:
    return int(struct.unpack_from(f"{byte_order(data)}I", data, at)[0])


def directory(data: bytes, at: int, depth: int = 2) -> Directory | None:
    """The directory at this offset, or None if it leaves the data.

    Values that leave the data are left out, and so are values that together are longer than the data: they overlap.
    """
    form = layout(data)
    entries = form.entries(data, at) if form else None
    if form is None or entries is None:
        return None
    tags: dict[int, Value] = {}
    sub: dict[int, Directory] = {}
    room = len(data)
    for entry in entries:
        tag, kind = struct.unpack_from(f"{form.order}HH", data, entry)
        number, field = _offset(data, entry + 4, form), entry + 4 + form.width
        size = (8 if form.big and kind in _LONG8 else SIZES.get(kind, 0)) * number
        start = field if size <= form.width else _offset(data, field, form)
        if not size or start + size > len(data) or size > room:
            continue
        room -= size
        value = _narrowed(Value(kind, number, bytes(data[start : start + size])), form.order)
        if tag in _SUB and number == 1 and value is not None and len(value.raw) == 4 and depth:
            inner_at = int(struct.unpack(f"{form.order}I", value.raw)[0])
            inner = directory(data, inner_at, depth - 1) if tag not in sub else None
            if inner is not None:
                sub[tag] = inner
            continue
        if value is not None:
            tags[tag] = value
    end = entries.stop
    return Directory(tags, sub, _offset(data, end, form) if end + form.width <= len(data) else 0)


def _narrowed(value: Value, order: str) -> Value | None:
    """Numbers of 64 bits as ones of 32, None if they do not fit; other values as they are."""
    if value.type not in _LONG8:
        return value
    numbers = struct.unpack(f"{order}{value.count}Q", value.raw)
    return Value(4, value.count, struct.pack(f"{order}{value.count}I", *numbers)) if max(numbers) < 2**32 else None


def following(data: bytes, at: int) -> int | None:
    """Offset of the directory after the one at this offset, 0 for none; None if this one leaves the data."""
    form = layout(data)
    entries = form.entries(data, at) if form else None
    if form is None or entries is None:
        return None
    return _offset(data, entries.stop, form) if entries.stop + form.width <= len(data) else 0


def write_directory(found: Directory, order: str, base: int, behind_it: int = 0) -> bytes:
    """The directory with its values and sub-directories behind it, for the offset ``base`` (even) of a structure.

    behind_it: offset of the directory after it, 0 for none.
    """
    tags = {**found.tags, **{tag: Value(4, 1, bytes(4)) for tag in found.sub}}
    head = 2 + 12 * len(tags) + 4
    entries, behind = [], b""
    for tag in sorted(tags):
        value, at = tags[tag], base + head + len(behind)
        if tag in found.sub:
            inner = write_directory(found.sub[tag], order, at)
            behind += inner + bytes(len(inner) % 2)
            field = struct.pack(f"{order}I", at)
        elif len(value.raw) <= 4:
            field = value.raw.ljust(4, b"\0")
        else:
            behind += value.raw + bytes(len(value.raw) % 2)
            field = struct.pack(f"{order}I", at)
        entries.append(struct.pack(f"{order}HHI", tag, value.type, value.count) + field)
    return struct.pack(f"{order}H", len(tags)) + b"".join(entries) + struct.pack(f"{order}I", behind_it) + behind


def structure(found: Directory, order: str) -> bytes:
    """Exif data that hold one directory."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8) + write_directory(found, order, 8)


def swapped(value: Value, old: str, new: str) -> Value:
    """The same value in another byte order."""
    if old == new:
        return value
    width = {5: 4, 10: 4}.get(value.type, SIZES[value.type])
    raw = b"".join(value.raw[i : i + width][::-1] for i in range(0, len(value.raw), width))
    return Value(value.type, value.count, raw)


def reordered(found: Directory, old: str, new: str) -> Directory:
    """The directory with all its values in another byte order."""
    tags = {tag: swapped(value, old, new) for tag, value in found.tags.items()}
    return Directory(tags, {tag: reordered(inner, old, new) for tag, inner in found.sub.items()}, found.next)


def without_thumbnail(data: bytes) -> bytes:
    """Exif data without their second directory and its picture; the other bytes keep their places.

    Maker notes hold offsets that nobody else knows, so what is taken out leaves zeros unless it stood at the end.
    """
    order = byte_order(data)
    first = directory(data, first_directory(data)) if order else None
    second = directory(data, first.next) if first and first.next else None
    if order is None or first is None or second is None:
        return data
    out = bytearray(data)
    (count,) = struct.unpack_from(f"{order}H", data, first.next)
    spans = [(first.next, 6 + 12 * count)]
    sizes = {tag: int.from_bytes(v.raw, "little" if order == "<" else "big") for tag, v in second.tags.items()}
    if all(tag in sizes and second.tags[tag].count == 1 for tag in _THUMBNAIL):
        spans.append((sizes[_THUMBNAIL[0]], sizes[_THUMBNAIL[1]]))
    for entry in range(first.next + 2, first.next + 2 + 12 * count, 12):  # values that stand outside of it
        _, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        if (size := SIZES.get(kind, 0) * number) > 4:
            spans.append((_number(data, entry + 8), size))
    used = _used(data, first_directory(data), order)
    if len(spans) * len(used) > _MOST_PAIRS:  # no camera writes so many tags
        return data
    for start, size in spans:
        end = min(start + size, len(out))
        if start >= 8 and all(end <= a or b <= start for a, b in used):
            out[start:end] = bytes(max(0, end - start))
    (entries,) = struct.unpack_from(f"{order}H", data, first_directory(data))
    struct.pack_into(f"{order}I", out, first_directory(data) + 2 + 12 * entries, 0)
    end = max((b for _, b in used), default=8)
    return bytes(out[:end]) + bytes(out[end:]).rstrip(b"\0")


def _used(data: bytes, at: int, order: str, depth: int = 2) -> list[tuple[int, int]]:
    """Spans that the first directory, its values and its sub-directories take."""
    if at < 8 or at + 2 > len(data):
        return []
    (count,) = struct.unpack_from(f"{order}H", data, at)
    if at + 2 + 12 * count > len(data):
        return []
    spans, seen = [(at, at + 6 + 12 * count)], set()
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, entry)
        size = SIZES.get(kind, 0) * number
        if size > 4:
            start = _number(data, entry + 8)
            spans.append((start, min(start + size, len(data))))
        elif tag in _SUB and size == 4 and depth and tag not in seen:
            seen.add(tag)
            spans += _used(data, _number(data, entry + 8), order, depth - 1)
    return spans


def turned_upright(data: bytes) -> bytes:
    """Exif data whose orientation is the usual one; all else stays as it is."""
    order = byte_order(data)
    entries = Layout(order, False).entries(data, first_directory(data)) if order else None
    out = bytearray(data)
    for entry in entries or ():
        if struct.unpack_from(f"{order}HHI", data, entry) == (ORIENTATION, 3, 1):
            struct.pack_into(f"{order}H", out, entry + 8, 1)
    return bytes(out)


def orientation(data: bytes) -> bytes | None:
    """Exif data that hold the orientation alone, None if there is none or it is the usual one."""
    order = byte_order(data)
    found = directory(data, first_directory(data)) if order else None
    value = found.tags.get(ORIENTATION) if found else None
    if order is None or value is None or value.type != 3 or int.from_bytes(value.raw, _NAMES[order]) in (0, 1):
        return None
    return structure(Directory({ORIENTATION: value}, {}, 0), order)


_NAMES: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
