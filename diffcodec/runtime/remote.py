"""Files that are elsewhere, `s3://bucket/a.dfc`, `http://…`, `memory://…`: by fsspec (extra `remote`), in ranges.

A name is remote where it begins with a scheme of two letters or more and `://`. Only callers name such files: nothing
that stands in a stream or an archive is ever opened.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from .errors import DiffcodecError, InputError

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PIECE = 2**23  # bytes that are in memory while a file travels
AHEAD = 2**13  #: bytes that are read at least: a header, an index or a directory stand in so many

Name = str | os.PathLike[str]


def is_remote(name: object) -> bool:
    """Whether a path is the name of a file elsewhere."""
    return isinstance(name, str) and _REMOTE.match(name) is not None


def opened(name: Name) -> BinaryIO:
    """A file to read bytes of, here or elsewhere; there, no more is fetched than is read, and AHEAD.

    Raises InputError where a library for it is missing, OSError.
    """
    if not is_remote(name):
        return open(name, "rb")
    return cast(BinaryIO, Ranges(os.fspath(name)))


def read(name: Name, most: int | None = None) -> bytes:
    """The first ``most`` bytes of a file, here or elsewhere, or all. Raises as :func:`opened`."""
    if not is_remote(name):
        with open(name, "rb") as file:
            return file.read() if most is None else file.read(most)
    with _told(name):
        system, path = _found(name)
        data = bytes(system.cat_file(path) if most is None else system.cat_file(path, start=0, end=most))
    return data[:most]


def check(name: str, overwrite: bool) -> None:
    """Raise InputError where a file elsewhere is there already and is not to be replaced, and as :func:`opened`."""
    with _told(name):
        system, path = _found(name)
        if not overwrite and system.exists(path):
            raise InputError(f"{name} exists already: choose another name or give --overwrite")


def write(name: str, data: bytes) -> None:
    """A file elsewhere, as a whole. Raises InputError, OSError."""
    with _told(name):
        system, path = _found(name)
        system.pipe_file(path, data)


def put(path: str, name: str) -> None:
    """A file of this machine elsewhere, as a whole, piece by piece. Raises InputError, OSError.

    The name is given when all of it is there, by stores that can: object stores do, and folders by renaming.
    """
    with open(path, "rb") as here, _told(name):
        system, place = _found(name)
        with system.transaction, system.open(place, "wb") as there:
            shutil.copyfileobj(here, there, _PIECE)


def fetch(name: str, file: BinaryIO) -> None:
    """All of a file elsewhere into one that is open. Raises as :func:`opened`."""
    with opened(name) as there:
        shutil.copyfileobj(there, file, _PIECE)


class Placed(io.RawIOBase):
    """A file of ``_size`` bytes that is read from place to place, next at ``_at``; what follows from these two."""

    _at: int
    _size: int

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file; nothing is read."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at


class Ranges(Placed):
    """A file elsewhere, to be read at any place. fetched: bytes that came, in how many ``requests``.

    Raises as :func:`opened`, also later.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name, self.fetched, self.requests = name, 0, 0
        with _told(name):
            self._system, self._path = _found(name)
            size = self._system.info(self._path).get("size")
        self._at, self._start, self._buffer = 0, 0, b""  # the next byte; where the bytes that are here begin
        self._size = size if isinstance(size, int) else self._whole()

    def _whole(self) -> int:
        """Fetch a file that tells no size; its size."""
        self._buffer = read(self.name)
        self.fetched, self.requests = len(self._buffer), self.requests + 1
        return len(self._buffer)

    def readinto(self, buffer: Any) -> int:
        """As many bytes as there is room for, fewer only at the end."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        if not self._start <= self._at <= end <= self._start + len(self._buffer):
            self._fetch(min(self._size, max(end, self._at + AHEAD)))
        data = self._buffer[self._at - self._start : end - self._start]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, end: int) -> None:
        with _told(self.name):
            data = bytes(self._system.cat_file(self._path, start=self._at, end=end))
        self.fetched, self.requests = self.fetched + len(data), self.requests + 1
        whole = len(data) > end - self._at  # of a server that knows no ranges
        self._start, self._buffer = (0 if whole else self._at), data


def _found(name: Name) -> tuple[Any, str]:
    """(file system, path in it) of a name. Raises InputError where the library for it is missing."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{name} is read by fsspec: pip install 'diffcodec[remote]'") from None
    try:
        system, path = url_to_fs(os.fspath(name))
    except ImportError as error:
        raise InputError(f"{name} needs another library: {_line(error)}") from None
    except ValueError as error:
        raise InputError(f"no file is found by {name}: {_line(error)}") from None
    return system, path


@contextlib.contextmanager
def _told(name: Name) -> Iterator[None]:
    """Within, what a library raises of its own is an OSError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(name)) from None
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or _line(error), os.fspath(name)) from error
    except DiffcodecError:
        raise
    except NotImplementedError:
        raise InputError(f"{name} cannot be written: choose another place") from None
    except Exception as error:
        raise OSError(errno.EIO, _line(error), os.fspath(name)) from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]
