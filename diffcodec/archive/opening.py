"""A picture of an archive as a file of its own: only what is read of it is fetched."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from ..bitstream.archive import CHAINED, COPY, STREAM, Place, Reader
from ..bitstream.directory import GROUP_DIGEST_BYTES, Entry, Group
from ..runtime.errors import InputError
from ..runtime.hostile import guarded
from ..runtime.remote import Placed
from ..runtime.varint import read_varint
from .names import shown
from .reading import reader_of

_FRONT = 2**12  # bytes of a group in which its directory mostly stands


@guarded
def open_picture(source: Any, picture: str | int, *, max_pixels: int | None = None) -> BinaryIO:
    """The `.dfc` stream of a picture of an archive, for `decode`, `decode_progressive` and `inspect`; close it after.

    source:  bytes or a path, here or elsewhere: of ``http://…`` and the like come the index, the directory of the
             picture's group, by a name also those of groups before it, and what is read of the stream, no more.
    picture: its name, or its number from 0.

    The stream has checksums of its own, which are checked as ever; that of its group takes the group, and is not.
    Raises InputError for a picture that is not there, or has no stream since it is of a chain; OSError; as
    `bitstream.archive.Reader`.
    """
    reader = reader_of(source, max_pixels)
    try:
        entries, index, at = _found(reader, picture)
    except BaseException:
        reader.file.close()
        raise
    entry = entries[index]
    if entry.kind == COPY:
        index, entry = entry.size, entries[entry.size]
    before = sum(one.size for one in entries[:index] if one.kind == STREAM)
    return cast(BinaryIO, Part(reader.file, at + before, entry.size))


def _found(reader: Reader, picture: str | int) -> tuple[tuple[Entry, ...], int, int]:
    """(entries of the picture's group, its index among them, where their streams begin). Raises InputError."""
    number = 0
    for place in reader.places:
        count = place.pictures
        if isinstance(picture, int) and count is not None and not number <= picture < number + count:
            number += count
            continue
        entries, at = _front(reader, place)
        index = _index_in(entries, picture, number)
        if index is not None:
            return entries, index, at
        number += len(entries)
    raise InputError(f"no picture of the archive is {shown(picture) if isinstance(picture, str) else picture}")


def _index_in(entries: tuple[Entry, ...], picture: str | int, number: int) -> int | None:
    """Where the picture stands in a group whose first has this number."""
    names = [entry.name or f"{number + k:06}" for k, entry in enumerate(entries)]
    keys: list[str | int] = [*names] if isinstance(picture, str) else [*range(number, number + len(entries))]
    return keys.index(picture) if picture in keys else None


def _front(reader: Reader, place: Place) -> tuple[tuple[Entry, ...], int]:
    """Entries of a group of streams as its directory tells them, and the offset of the first of these streams."""
    reader.file.seek(place.offset)
    front = reader.file.read(min(_FRONT, place.size))
    _, start = read_varint(front, 1, 35)
    length, at = read_varint(front, start + GROUP_DIGEST_BYTES, 35)
    front += reader.file.read(max(0, min(place.size, at + length) - len(front)))
    entries = Group.front(front[start:], place.size - start, reader.limits, reader.header.extended)
    if any(entry.kind == CHAINED for entry in entries):
        raise InputError(
            f"the pictures of group {place.number} are of a chain, which has no streams: use diffcodec.decode_archive"
        )
    return tuple(entries), place.offset + at + length


class Part(Placed):
    """``size`` bytes of a file from ``start`` on, as a file; closing it closes that."""

    def __init__(self, file: BinaryIO, start: int, size: int):
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there is room for, fewer only at the end."""
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """With the file that it is a part of."""
        if not self.closed:
            self._file.close()
        super().close()
