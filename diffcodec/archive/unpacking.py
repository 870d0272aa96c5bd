"""The pictures of an archive as files below one folder, and nowhere else."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from ..bitstream.archive import Entry
from ..runtime import atomic as output
from ..runtime.errors import InputError
from .names import folded, refusal, shown

if TYPE_CHECKING:
    from ..media.medium import Signal

_LOSSLESS = ("PNG", "TIFF", "NPY")  #: tried in this order for pictures that keep no name of their own
_ANIMATED = ("PNG", "WEBP")  # where frames are alike; pages of a TIFF are what they are
_EXTENSION = {"PNG": ".png", "TIFF": ".tif", "NPY": ".npy"}
_HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other name would do better


class Target:
    """A folder that pictures are written into.

    names: of the files written, paths with '/' below it. bytes: of these together. problems: a line for each picture
    that could not be written. source: the archive, which is never written over.
    """

    def __init__(self, folder: str, overwrite: bool, source: str):
        self.folder, self.overwrite, self.source = folder, overwrite, source
        self.names: set[str] = set()
        self.bytes = 0
        self.problems: list[str] = []
        self._folded: dict[str, str] = {}  # names by what a file system may take them for
        self._root = os.path.realpath(folder)

    def write(self, entry: Entry, picture: Signal, number: int) -> None:
        """Write a picture under its entry's name, or its ``number``; what stands against it becomes a problem.

        Raises InputError for a file that is there and must not be replaced, OSError where no other picture could be
        written either.
        """
        from .. import files

        name, format = self._named(entry.name or f"{number:06}", picture)
        try:
            path = self._path(name)
            exists = os.path.exists(path) and not self.overwrite
            if not exists:
                data = files.write_signal(picture, format)
                output.write(path, data, self.overwrite)
                self.bytes += len(data)
        except InputError as error:
            self.problems.append(f"{shown(name)} is not written: {error}")
            return
        except OSError as error:
            if error.errno in _HOPELESS:
                raise
            self.problems.append(f"{shown(name)} is not written: {error.strerror or type(error).__name__}")
            return
        if exists:
            raise InputError(f"{shown(path)} exists already: choose another folder or give --overwrite")
        self.names.add(name)
        self._folded[folded(name)] = name
        _stamp(path, entry)

    def _named(self, name: str, picture: Signal) -> tuple[str, str]:
        """(name, format): with an extension that the picture fits in, and no name that was written before."""
        from .. import files

        try:
            format = files.format_of(name)
        except InputError:
            format = ""
        if not format or not _holds(picture, format):
            format = next((f for f in _LOSSLESS if _holds(picture, f)), "TIFF")
            name += _EXTENSION[format]
        stem, extension = os.path.splitext(name)
        if name in self.names:
            name += extension
        number = 2
        while name in self.names:
            name, number = f"{stem}.{number}{extension}", number + 1
        return name, format

    def _path(self, name: str) -> str:
        """Where a file of this name goes, its folders made. Raises InputError, OSError."""
        if reason := refusal(name):
            raise InputError(reason)
        *folders, last = name.split("/")
        path = self.folder
        for part in folders:
            path = os.path.join(path, part)
            try:
                os.mkdir(path)
            except FileExistsError:
                if not os.path.isdir(path):
                    raise InputError(f"a file stands where its folder {shown(part)} must be") from None
                self._check_inside(path)
        path = os.path.join(path, last)
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            earlier = self._folded.get(folded(name))
            if earlier is not None:
                raise InputError(f"it is the same file here as {shown(earlier)}")
            if stat.S_ISLNK(found.st_mode):
                self._check_inside(path)
            if stat.S_ISDIR(found.st_mode):
                raise InputError("a folder stands where it must be")
            if output.same_file(self.source, path):
                raise InputError("the archive itself stands there")
        return path

    def _check_inside(self, path: str) -> None:
        """Raise InputError for a link that leads out of the folder."""
        real = os.path.realpath(path)
        if os.path.commonpath([real, self._root]) != self._root:
            raise InputError("a link there leads out of the folder")


def _holds(picture: Signal, format: str) -> bool:
    """Whether a file of this format has a place for the samples of a picture and of all its frames."""
    from .. import files

    frames = (picture, *picture.following)
    try:
        for frame in frames:
            files.check(frame.mode, format)
    except InputError:
        return False
    sizes, modes = {frame.geometry for frame in frames}, {frame.mode for frame in frames}
    alike = len(sizes) == 1 and (len(modes) == 1 or modes <= {"L", "LA", "RGB", "RGBA"})
    return len(frames) == 1 or format == "TIFF" or (format in _ANIMATED and alike)


def _stamp(path: str, entry: Entry) -> None:
    """Give a file its picture's permissions and time of modification; some file systems have none to give."""
    with contextlib.suppress(OSError, OverflowError, ValueError):
        if entry.permissions is not None:
            os.chmod(path, entry.permissions)
    with contextlib.suppress(OSError, OverflowError, ValueError):
        if entry.time is not None:
            os.utime(path, ns=(entry.time, entry.time))
