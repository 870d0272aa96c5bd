"""The pictures of a folder, read one after another, as groups of neighbours."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..bitstream.archive import MAX_GROUP_PIXELS, SIGNATURE, Group, valid_name
from ..runtime import atomic as output
from ..runtime.errors import DiffcodecError, InputError
from .group import pixels_of
from .names import refusal, shown
from .walking import may_be_picture, path_of, size_of

if TYPE_CHECKING:
    from ..media.medium import Signal


class LeftOut:
    """Names of what does not go into the archive, each with a warning; ``failed`` are those that should have."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failed: list[str] = []

    def add(self, name: str, reason: str, failed: bool) -> None:
        """Leave out a name."""
        warnings.warn(f"left out {shown(name)}: {reason}", stacklevel=4)
        self.names.append(name)
        if failed:
            self.failed.append(name)


@dataclass(frozen=True)
class Stat:
    """Of a file: its time of modification in nanoseconds, the nine bits of its permissions, its bytes."""

    time: int
    permissions: int
    size: int


class Neighbours:
    """Neighbours that make a group; ``bytes`` of their files, and of those left out since the group before."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.pictures: list[Signal] = []
        self.stats: list[Stat] = []
        self.bytes = 0


def without(out: str, folder: str, names: list[str]) -> list[str]:
    """The names but that of the archive itself. Raises InputError where ``out`` is another of them, however spelt."""
    same = [name for name in names if output.same_file(path_of(folder, name), out)]
    if same:
        with open(out, "rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise InputError(f"{shown(out)} is one of the files to be packed: choose another name")
    return [name for name in names if name not in same]


def read_groups(
    folder: str, names: list[str], group: int, left: LeftOut, most: int = MAX_GROUP_PIXELS
) -> Iterator[Neighbours]:
    """The pictures of these names; what is none, or raises InputError, is left out.

    At most ``group`` together, and ``most`` pixels but for a single picture.
    """
    from .. import files

    some, pixels = Neighbours(), 0
    for name in names:
        path = path_of(folder, name)
        size = size_of(path)
        try:
            if not valid_name(name):
                raise InputError("an archive cannot hold this name")
            if reason := refusal(name, windows=False):
                raise InputError(f"it could not be unpacked: {reason}")
            told = os.stat(path)
            picture = files.read_signal(path)
        except (DiffcodecError, OSError, UnicodeEncodeError) as error:
            reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
            left.add(name, reason, isinstance(error, OSError) or may_be_picture(path))
            some.bytes += size
            continue
        count = pixels_of(picture)
        if some.names and (len(some.names) == group or pixels + count > most):
            yield some
            some, pixels = Neighbours(), 0
        some.bytes += size
        some.names.append(name)
        some.pictures.append(picture)
        some.stats.append(Stat(told.st_mtime_ns, stat.S_IMODE(told.st_mode) & 0o777, told.st_size))
        pixels += count
    if some.names:
        yield some


def stamped(group: Group, stats: list[Stat]) -> Group:
    """The group with what is known of its files."""
    pairs = zip(group.entries, stats, strict=True)
    return replace(group, entries=tuple(replace(e, time=s.time, permissions=s.permissions) for e, s in pairs))


class Ahead:
    """The groups of a folder, with a look at the next one."""

    def __init__(self, groups: Iterator[Neighbours]):
        self._groups = groups
        self._next: Neighbours | None = None
        # of the groups taken: their samples, and bytes of their files, with and without those left out
        self.samples, self.bytes, self.source_bytes = 0, 0, 0

    def peek(self) -> Neighbours | None:
        """The next group, which stays the next; None at the end."""
        if self._next is None:
            self._next = next(self._groups, None)
        return self._next

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Neighbours:
        found = self.peek()
        if found is None:
            raise StopIteration
        self._next = None
        self.samples += sum(int(one.array.size) for p in found.pictures for one in (p, *p.following))
        self.bytes += found.bytes
        self.source_bytes += sum(one.size for one in found.stats)
        return found
