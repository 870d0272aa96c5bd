"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from . import remote
from .errors import InputError


def check(path: str, overwrite: bool) -> None:
    """Raise InputError if `path` cannot be written, or exists and `overwrite` is false. Call it before the work."""
    if remote.is_remote(path):
        remote.check(path, overwrite)
        return
    parent = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise InputError(f"expected an output file, found the directory {path}")
    if not os.path.isdir(parent):
        raise InputError(f"cannot write {path}: there is no directory {parent}")
    if _is_special(path):
        return
    if os.path.exists(path) and not overwrite:
        raise InputError(f"{path} exists already: choose another name or give --overwrite")
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):
        raise InputError(f"cannot write {path}: no permission to write in {parent}")


def same_file(source: str | int, path: str) -> bool:
    """Whether a path, or a file's descriptor, and ``path`` are one file or folder, however each is spelt.

    False if one of them is not there, and of devices and pipes, which hold nothing that could be lost.
    """
    try:
        found = os.stat(path)
        kept = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        return kept and os.path.samestat(os.stat(source), found)
    except OSError:
        return False


def write(path: str, data: bytes, overwrite: bool) -> None:
    """Write a temporary file beside `path`, flush it to disk and rename it. Raises InputError as `check`, OSError."""
    with writing(path, overwrite) as file:
        file.write(data)


@contextlib.contextmanager
def writing(path: str, overwrite: bool) -> Iterator[BinaryIO]:
    """A file to write to, at any place, which has its name when all went well within, and else is gone.

    What goes to a pipe, a device or elsewhere is held in memory until then. Raises InputError as `check`, OSError.
    """
    check(path, overwrite)
    if remote.is_remote(path) or _is_special(path):
        held = io.BytesIO()
        yield held
        if remote.is_remote(path):  # where a file appears whole as well
            remote.write(path, held.getvalue())
            return
        with open(path, "wb") as file:  # a pipe or device is written to, never replaced
            file.write(held.getvalue())
        return
    target = os.path.realpath(path)  # a link stays a link
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)[:64]}.", dir=os.path.dirname(target))
    try:
        with open(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # some shares know no permissions
            os.chmod(temporary, _permissions(target))
        replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def replace(temporary: str, path: str) -> None:
    """Give a file that is written and flushed its name."""
    target = os.path.realpath(path)
    os.replace(temporary, target)
    _sync_directory(os.path.dirname(target))


def _is_special(path: str) -> bool:
    return os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode)


def _permissions(target: str) -> int:
    """Those of the file replaced, else what the umask leaves of rw-rw-rw-."""
    if os.path.exists(target):
        return stat.S_IMODE(os.stat(target).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_directory(path: str) -> None:
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):  # some shares sync no folders, some folders cannot be read
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
