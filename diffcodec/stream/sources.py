"""Bytes from wherever they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from ..runtime import remote
from ..runtime.errors import InputError

Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


def read_all(source: Any, most: int | None = None) -> bytes:
    """Bytes, or what a path, here or elsewhere, or a binary file holds; of more than ``most`` bytes only the first.

    Raises InputError for anything else, OSError.
    """
    if isinstance(source, bytes):
        return source[:most]
    if isinstance(source, (bytearray, memoryview)):
        return bytes(source[:most])
    if isinstance(source, (str, os.PathLike)):
        return remote.read(source, most)
    if hasattr(source, "read"):
        data = source.read() if most is None else source.read(most)
        if isinstance(data, bytes):
            return data
    raise InputError(f"expected bytes, a path or a binary file, found {type(source).__name__}")


def pieces(source: Any, size: int = 65536) -> Iterator[bytes]:
    """The same in pieces, also from an iterable of byte strings. Raises InputError."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        with remote.opened(source) as file:
            yield from iter(lambda: file.read(size), b"")
    elif hasattr(source, "read") or isinstance(source, Iterable):
        for piece in iter(lambda: source.read(size), b"") if hasattr(source, "read") else source:
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise InputError(f"expected bytes from {type(source).__name__}, found {type(piece).__name__}")
            yield bytes(piece)
    else:
        raise InputError(
            f"expected bytes, a path, a binary file or an iterable of bytes, found {type(source).__name__}"
        )
