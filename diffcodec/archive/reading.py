"""An archive that is open, and the streams of its groups, parsed; nothing is decoded, and little is imported."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from ..bitstream.archive import STREAM, Entry, Place, Reader
from ..runtime import remote
from ..runtime.errors import BitstreamError, InputError
from ..runtime.limits import Limits

if TYPE_CHECKING:
    from ..stream.parsed import Stream

HEADER_LOST = "pictures that are streams of their own are read without it"


@contextlib.contextmanager
def open_archive(source: Any, max_pixels: int | None = None, *, lenient: bool = False) -> Iterator[Reader]:
    """Within, a reader as of :func:`reader_of`."""
    reader = reader_of(source, max_pixels, lenient=lenient)
    with reader.file:
        yield reader


def reader_of(source: Any, max_pixels: int | None = None, *, lenient: bool = False) -> Reader:
    """A reader of bytes or of a path, here or elsewhere, its file open; lenient: of a damaged header as far as one can.

    Raises InputError for what is neither; as `bitstream.archive.Reader`.
    """
    limits = Limits.of(max_pixels)
    file: BinaryIO
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        file = remote.opened(source)
    else:
        raise InputError(f"expected bytes or a path, found {type(source).__name__}")
    try:
        return Reader(file, limits, lenient=lenient)
    except BaseException:
        file.close()
        raise


def all_places(reader: Reader) -> list[Place]:
    """Groups, and what remains of others, in their order."""
    return sorted([*reader.places, *reader.remains], key=lambda place: place.number)


def each_stream(entries: Sequence[Entry], data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number of the picture, stream) of those that lie in ``data`` one behind another."""
    at = 0
    for i, entry in enumerate(entries):
        if entry.kind == STREAM:
            yield i, data[at : at + entry.size]
            at += entry.size


def streams_of(entries: Sequence[Entry], data: bytes, max_pixels: int | None = None) -> dict[int, list[Stream]]:
    """For the number of each picture whose stream in ``data`` is sound, that and those of its frames."""
    from ..codecs import budget as budgets
    from ..stream.parsed import read

    limits = Limits.of(max_pixels)
    found = {}
    for i, stream in each_stream(entries, data):
        with contextlib.suppress(BitstreamError):
            every = read(stream, limits=limits).all
            budgets.cost_of_all([one.prefix for one in every])
            found[i] = every
    return found
