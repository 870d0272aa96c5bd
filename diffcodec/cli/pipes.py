"""One file in, one file out, either of them a standard stream: checked before the work, read and written whole."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

import typer

from ..runtime import atomic as output
from ..runtime import remote
from ..runtime.errors import InputError
from . import console

#: suffixes that say another format than .dfc
_FOREIGN = {
    f".{one}"
    for one in "avif bmp dfca gif heic heif jp2 jpeg jpg jxl mkv mov mp4 npy pgm png ppm tif tiff webm webp y4m".split()
}


def nothing_kept(target: str) -> contextlib.AbstractContextManager[None]:
    """Within, an interrupt says so."""
    name = "standard output" if target == "-" else target
    return console.interruptible(lambda: f"nothing is written to {name}, and nothing is kept: begin again")


def check_target(target: str, overwrite: bool, as_json: bool, source: str) -> None:
    """Raise InputError, or BadParameter, for what cannot or must not be written to; before the work."""
    if target != "-":
        output.check(target, overwrite)
        same = remote.is_remote(target) and source == target
        if same or output.same_file(_descriptor_of_input() if source == "-" else source, target):
            given = "standard input" if source == "-" else source
            raise InputError(f"{given} and {target} are the same file: choose another name")
    elif as_json:
        raise typer.BadParameter("--json prints on standard output, and so does OUT -: name a file")
    elif sys.stdout.isatty():
        raise typer.BadParameter("OUT - writes bytes, and standard output is a terminal: redirect it")


def check_suffix(target: str) -> None:
    """Warn of a name that says another format. Raises InputError where a file of that format would be replaced."""
    suffix = os.path.splitext(target)[1].lower()
    if suffix not in _FOREIGN:
        return
    if os.path.isfile(target) and not _is_stream(target):
        raise InputError(f"{target} is there and no .dfc: for several files give --out-dir, or else another name")
    warnings.warn(f"{target} will hold a .dfc stream, which nothing that reads {suffix} takes", stacklevel=2)


def _is_stream(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x8bDFC"


def _descriptor_of_input() -> int:
    """Of standard input; -1, which is no file, where it has none."""
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError):
        return -1


def read(source: str) -> bytes:
    """The bytes of a file, or of standard input for -. Raises InputError for a directory, OSError."""
    if source == "-":
        return sys.stdin.buffer.read()
    if os.path.isdir(source):
        raise InputError(f"expected an input file, found the directory {source}")
    return remote.read(source)


def write(target: str, data: bytes, overwrite: bool) -> None:
    """A file at once or not at all, or standard output for -. Raises InputError, OSError."""
    if target != "-":
        output.write(target, data, overwrite)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
