"""Groups of a `.dfca` archive: a directory by columns, and the payload that it describes (ARCHIVE.md §2).

A group of an *extended* archive has further columns behind the first ones, and, where none of its pictures is chained,
its directory twice: then no single damaged place costs more than the picture it lies in.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..runtime.errors import BitstreamError, CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from ..runtime.fields import Fields, limited
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import read_varint, write_varint
from .container import SEAL_BYTES, START_BYTES
from .container import SIGNATURE as STREAM_SIGNATURE

DIGEST_BYTES = 4  #: of a picture
GROUP_DIGEST_BYTES = 8
MAX_GROUP_PIXELS = 2**24  #: of all pictures of a group, unless it has only one: what a reader must have the memory for
STREAM, CHAINED, COPY = 0, 1, 2  #: how a picture is kept: a .dfc stream, in the group's chain, as an earlier one
_MAX_DIRECTORY = 2**26  # bytes of a group's directory, inflated
_COPY_LENGTH = 4  # bytes behind the second directory that tell its length
_TIMES = 2**63  # a modification time in nanoseconds is signed, of 64 bits
_PERMISSIONS = 0o777
# a relative path of plain names: no controls, no backslash, no drive, no empty part, '.' or '..'
_PART = r"(?!\.\.?(/|$))[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069/\\]+"
_PATH = re.compile(rf"(?![A-Za-z]:){_PART}(/{_PART})*")


def most_pictures(size: int) -> int:
    """How many pictures a group of this many bytes may hold: copies are cheap, but not free to who reads them."""
    return 256 + 4 * size


def check_pictures(count: int, size: int) -> None:
    """Raise LimitExceeded for more pictures than a group of ``size`` bytes may hold."""
    if count > most_pictures(size):
        raise LimitExceeded(f"a group claims {count} pictures, over {most_pictures(size)} for its {size} bytes")


def _most_inflated(size: int) -> int:
    """Bytes to which a directory of ``size`` deflated ones may grow."""
    return min(_MAX_DIRECTORY, 2**20 + 512 * size)


def valid_name(name: str) -> bool:
    """Whether an archive may hold a picture of this name: a relative path with '/' that cannot leave its folder."""
    return bool(_PATH.fullmatch(name)) and len(name.encode()) <= 4096


@dataclass(frozen=True)
class Entry:
    """A picture of a group. Chained ones are RGB; a stream tells its own geometry.

    name: relative path with '/', or empty.  kind: STREAM, CHAINED or COPY.
    size: bytes of a STREAM, or index in the group of the picture that a COPY equals.
    digest: first 4 bytes of the pixels' digest, icc and exif, and metadata of other kinds: of a CHAINED one.
    time: of the file's last modification, nanoseconds since 1970, or None.  permissions: its nine POSIX bits, or None.
    """

    name: str
    kind: int
    size: int = 0
    width: int = 0
    height: int = 0
    digest: bytes = b""
    icc: bytes = b""
    exif: bytes = b""
    metadata: bytes = b""
    time: int | None = None
    permissions: int | None = None


@dataclass(frozen=True)
class Group:
    """Entries in the order of the pictures, the codec's payload, and 8 bytes of the SHA-256 of all pixels' digests.

    whole: whether the group's own checksum held. If not, only streams are left, and each must hold by its own.
    """

    entries: tuple[Entry, ...]
    payload: bytes
    digest: bytes
    whole: bool = field(default=True, compare=False)

    def to_bytes(self, extended: bool = False) -> bytes:
        """Raises ValueError for entries that :meth:`from_bytes` would refuse for their number or size."""
        entries = self.entries
        columns = [write_varint(len(entries)), *(e.name.encode() + b"\0" for e in entries)]
        columns.append(bytes(e.kind for e in entries))
        columns += [write_varint(e.size) for e in entries if e.kind != CHAINED]
        chained = [e for e in entries if e.kind == CHAINED]
        columns += [write_varint(v) for e in chained for v in (e.width, e.height)]
        columns += [write_varint(len(v)) for e in chained for v in (e.icc, e.exif)]
        columns += [v for e in chained for v in (e.icc, e.exif)]
        if extended:
            for letter, column in _COLUMNS.items():
                content = column.write(entries)
                if content is not None:
                    columns += [letter.encode(), write_varint(len(content)), content]
        elif any((e.time, e.permissions, e.metadata) != (None, None, b"") for e in entries):
            raise ValueError("times, permissions and metadata of other kinds need an extended archive")
        inflated = b"".join(columns)
        directory = zlib.compress(inflated, 9)
        digests = b"".join(e.digest for e in chained)
        data = self.digest + write_varint(len(directory)) + directory + digests + self.payload
        if extended and not chained:
            data += directory + len(directory).to_bytes(_COPY_LENGTH, "little")
        if len(entries) > most_pictures(len(data)) or len(inflated) > _most_inflated(len(directory)):
            raise ValueError(f"{len(entries)} pictures in {len(data)} bytes: readers refuse that much out of so little")
        return data

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS, extended: bool = False) -> Group:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream, LimitExceeded, UnsupportedVersion."""
        outer = Fields(data)
        digest = outer.take(GROUP_DIGEST_BYTES)
        directory = outer.take(outer.varint(32))
        entries = _entries(directory, len(data), limits, extended)
        chained = any(entry.kind == CHAINED for entry in entries)
        if chained:
            marks = iter([outer.take(DIGEST_BYTES) for entry in entries if entry.kind == CHAINED])
            entries = [replace(entry, digest=next(marks)) if entry.kind == CHAINED else entry for entry in entries]
        end = len(data)
        if extended and not chained:
            copy = directory + len(directory).to_bytes(_COPY_LENGTH, "little")
            end -= len(copy)
            if end < outer.at or data[end:] != copy:
                raise CorruptStream("the two directories of a group differ; the file is damaged")
        return cls(tuple(entries), data[outer.at : end], digest)

    @staticmethod
    def front(data: bytes, size: int, limits: Limits = DEFAULT_LIMITS, extended: bool = False) -> list[Entry]:
        """What the directory tells at the front of a group of ``size`` bytes, of which no checksum is seen.

        Raises Truncated where ``data`` ends before it does, CorruptStream, LimitExceeded, UnsupportedVersion.
        """
        length, start = read_varint(data, GROUP_DIGEST_BYTES, 35)
        if length > size:
            raise CorruptStream(f"a directory claims {length} bytes of a group of {size}; the file is damaged")
        if len(data) < start + length:
            raise Truncated(f"the directory of a group takes {start + length} bytes")
        return _entries(data[start : start + length], size, limits, extended)

    @classmethod
    def salvaged(cls, data: bytes, limits: Limits = DEFAULT_LIMITS, extended: bool = False, cut: bool = False) -> Group:
        """What a group whose checksum fails still tells of its streams: names and places, if a directory is sound.

        Without one, streams that lie one behind another have no names. cut: the bytes end before the group does; then
        the streams behind the cut are told and have no bytes. Raises CorruptStream where nothing is left.
        """
        found = []  # (directory, where the payload begins, where it ends)
        try:
            outer = Fields(data)
            outer.take(GROUP_DIGEST_BYTES)
            directory = outer.take(outer.varint(32))
            tail = len(directory) + _COPY_LENGTH if extended and not cut else 0
            found.append((directory, outer.at, len(data) - tail))
        except CorruptStream:
            pass
        if extended and not cut:
            length = int.from_bytes(data[-_COPY_LENGTH:], "little")
            end = len(data) - _COPY_LENGTH - length
            start = GROUP_DIGEST_BYTES + len(write_varint(length)) + length
            found.append((data[max(0, end) : len(data) - _COPY_LENGTH], start, end))
        digest = data[:GROUP_DIGEST_BYTES]
        for directory, start, end in found:
            try:
                entries = _entries(directory, len(data), limits, extended)
            except BitstreamError:
                continue
            streams = sum(entry.size for entry in entries if entry.kind == STREAM)
            fits = streams == end - start or (cut and streams > end - start)
            if fits and not any(entry.kind == CHAINED for entry in entries):
                return cls(tuple(entries), data[start:end], digest, False)
        for _, start, end in found:
            sizes = [] if cut else _streams(data, start, end)
            if sizes:
                return cls(tuple(Entry("", STREAM, size) for size in sizes), data[start:end], digest, False)
        raise CorruptStream("nothing of a damaged group stands by itself; the file is damaged")


def _streams(data: bytes, start: int, end: int) -> list[int]:
    """Bytes of the `.dfc` streams that fill data[start:end], or none where it holds anything else."""
    fields, sizes = Fields(data[start:end]), []
    try:
        while fields.at < len(fields.data):
            at, last = fields.at, False
            if not fields.take(START_BYTES).startswith(STREAM_SIGNATURE):
                return []
            while not last:
                last = fields.byte() in b"ES"
                fields.take(fields.varint(35) + SEAL_BYTES)
            sizes.append(fields.at - at)
    except CorruptStream:
        return []
    return sizes


# ---- directories


def _entries(directory: bytes, size: int, limits: Limits, extended: bool) -> list[Entry]:
    """The entries, without their digests, that the deflated directory of a group of ``size`` bytes tells.

    Raises CorruptStream, LimitExceeded, UnsupportedVersion.
    """
    fields = Fields(_inflate(directory))
    count = fields.varint(32)
    check_pictures(count, size)
    limited("a group", count, len(fields.data))  # every picture has a name's end at least
    names = [_name(fields) for _ in range(count)]
    kinds = fields.take(count)
    if count and max(kinds) > COPY:
        raise CorruptStream("a picture of a group is of an unknown kind; the file is damaged")
    sizes = [fields.varint(32) if kind != CHAINED else 0 for kind in kinds]
    for i, kind in enumerate(kinds):
        if kind == COPY and (sizes[i] >= i or kinds[sizes[i]] == COPY):
            raise CorruptStream(f"picture {i} of a group copies one that cannot be; the file is damaged")
    entries = [Entry(name, kind, size) for name, kind, size in zip(names, kinds, sizes, strict=True)]
    chained = [i for i, kind in enumerate(kinds) if kind == CHAINED]
    for i, (width, height) in _shapes(fields, chained, limits).items():
        entries[i] = replace(entries[i], width=width, height=height)
    lengths = {i: (fields.varint(32), fields.varint(32)) for i in chained}
    for i, (icc, exif) in lengths.items():
        entries[i] = replace(entries[i], icc=fields.take(icc), exif=fields.take(exif))
    if extended:
        entries = _read_columns(fields, entries)
    if fields.at != len(fields.data):
        raise CorruptStream("bytes follow the entries of a group; the file is damaged")
    return entries


def _shapes(fields: Fields, chained: list[int], limits: Limits) -> dict[int, tuple[int, int]]:
    """(width, height) of each chained picture. Raises CorruptStream, LimitExceeded."""
    shapes = {i: (fields.varint(32), fields.varint(32)) for i in chained}
    pixels = sum(w * h for w, h in shapes.values())
    if pixels > MAX_GROUP_PIXELS:
        raise LimitExceeded(f"the chained pictures of a group have {pixels} pixels, over {MAX_GROUP_PIXELS}")
    for i, (w, h) in shapes.items():
        if not w * h:
            raise CorruptStream(f"picture {i} of a group is {w}x{h} pixels; the file is damaged")
        if w * h > limits.max_pixels:
            raise LimitExceeded(
                f"picture {i} of a group is {w}x{h} = {w * h} pixels, over the limit of {limits.max_pixels}; "
                "raise max_pixels if you trust the file"
            )
    return shapes


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        out = engine.decompress(data, _most_inflated(len(data)))
    except zlib.error:
        raise CorruptStream("the directory of a group cannot be inflated; the file is damaged") from None
    if not engine.eof or engine.unused_data:
        raise CorruptStream("the directory of a group is cut, too large or followed by bytes; the file is damaged")
    return out


def _name(fields: Fields) -> str:
    end = fields.data.find(b"\0", fields.at)
    if end < 0:
        raise CorruptStream("the directory of a group ends inside a name; the file is damaged")
    raw = fields.take(end + 1 - fields.at)[:-1]
    if not raw:
        return ""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = "/"
    if not valid_name(name):
        raise CorruptStream("a name in the archive is no plain relative path; the file is damaged or forged")
    return name


# ---- further columns of extended archives


@dataclass(frozen=True)
class _Column:
    """write: entries -> content, or None where none has such a value.  read: (content, entries) -> entries."""

    write: Callable[[Sequence[Entry]], bytes | None]
    read: Callable[[Fields, list[Entry]], list[Entry]]


def _read_columns(fields: Fields, entries: list[Entry]) -> list[Entry]:
    last = ""
    while fields.at < len(fields.data):
        letter = chr(fields.byte())
        if not ("A" <= letter <= "Z" or "a" <= letter <= "z") or letter <= last:
            raise CorruptStream("the columns of a group's directory are out of order; the file is damaged")
        last = letter
        content = Fields(fields.take(fields.varint(32)))
        if letter in _COLUMNS:
            entries = _COLUMNS[letter].read(content, entries)
            if content.at != len(content.data):
                raise CorruptStream("bytes follow a column of a group's directory; the file is damaged")
        elif letter.isupper():
            raise UnsupportedVersion(f"column '{letter}' of a directory is unknown here; install a newer diffcodec")
    return entries


def _write_times(entries: Sequence[Entry]) -> bytes | None:
    """For each picture 0, or 1 + the zigzag of its time's difference to the last one told."""
    if all(entry.time is None for entry in entries):
        return None
    out, before = [], 0
    for entry in entries:
        if entry.time is None:
            out.append(b"\0")
            continue
        step, before = entry.time - before, entry.time
        out.append(write_varint(1 + (2 * step if step >= 0 else -2 * step - 1)))
    return b"".join(out)


def _read_times(content: Fields, entries: list[Entry]) -> list[Entry]:
    out, before = [], 0
    for entry in entries:
        value = content.varint(67)
        if value:
            value -= 1
            before += -(value + 1) // 2 if value & 1 else value // 2
            if not -_TIMES <= before < _TIMES:
                raise CorruptStream("a modification time of a group is out of range; the file is damaged")
            entry = replace(entry, time=before)
        out.append(entry)
    return out


def _write_permissions(entries: Sequence[Entry]) -> bytes | None:
    """For each picture 0, or 1 + its nine bits."""
    if all(entry.permissions is None for entry in entries):
        return None
    told = (0 if entry.permissions is None else 1 + (entry.permissions & _PERMISSIONS) for entry in entries)
    return b"".join(map(write_varint, told))


def _read_permissions(content: Fields, entries: list[Entry]) -> list[Entry]:
    values = [content.varint(32) for _ in entries]
    if any(value > 1 + _PERMISSIONS for value in values):
        raise CorruptStream("permissions of a group are out of range; the file is damaged")
    return [replace(e, permissions=v - 1) if v else e for e, v in zip(entries, values, strict=True)]


def _write_metadata(entries: Sequence[Entry]) -> bytes | None:
    """For each chained picture the length of its metadata; then these."""
    chained = [entry.metadata for entry in entries if entry.kind == CHAINED]
    if not any(chained):
        return None
    return b"".join([*(write_varint(len(m)) for m in chained), *chained])


def _read_metadata(content: Fields, entries: list[Entry]) -> list[Entry]:
    lengths = iter([content.varint(32) for entry in entries if entry.kind == CHAINED])
    return [replace(e, metadata=content.take(next(lengths))) if e.kind == CHAINED else e for e in entries]


_COLUMNS = {
    "m": _Column(_write_metadata, _read_metadata),
    "p": _Column(_write_permissions, _read_permissions),
    "t": _Column(_write_times, _read_times),
}
