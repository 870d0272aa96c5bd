"""The files below a folder, and which of them are meant to be pictures."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..runtime.errors import InputError

Add = Callable[[str, str, bool], None]  #: (name, why it is left out, whether it should have been there)


def files_below(folder: str, leave_out: Add, besides: str = "") -> list[str]:
    """Relative paths with '/' of all files below, sorted, but for ``besides``, a real path.

    Folders that are links or cannot be read, and what is no regular file, are told to ``leave_out``.
    """

    def name_of(path: str) -> str:
        return os.path.relpath(path, folder).replace(os.sep, "/")

    def unreadable(error: OSError) -> None:
        leave_out(name_of(os.fspath(error.filename)), error.strerror or type(error).__name__, True)

    found = []
    for parent, folders, files in os.walk(folder, onerror=unreadable):
        for one in sorted(folders):
            if os.path.islink(os.path.join(parent, one)):  # which os.walk lists and does not enter
                leave_out(name_of(os.path.join(parent, one)), "a link to a folder, which is not followed", False)
        for one in sorted(files):
            path = os.path.join(parent, one)
            if os.path.realpath(path) == besides:
                continue
            if os.path.isfile(path):
                found.append(name_of(path))
            elif os.path.exists(path):
                leave_out(name_of(path), "no regular file", False)
            else:
                leave_out(name_of(path), "a link that leads nowhere", named_as_picture(path))
    return sorted(found)


def path_of(folder: str, name: str) -> str:
    """Of a name with '/' below a folder."""
    return os.path.join(folder, *name.split("/"))


def size_of(path: str) -> int:
    """Bytes of a file, at least one; it may have gone meanwhile."""
    try:
        return max(1, os.stat(path).st_size)
    except OSError:
        return 1


def named_as_picture(path: str) -> bool:
    """Whether the name ends as those of a format that is read."""
    from PIL import Image

    from .. import files

    Image.init()
    if Image.EXTENSION.get(os.path.splitext(path)[1].lower()) in Image.OPEN:
        return True
    try:
        files.format_of(path)
    except InputError:
        return False
    return True


def may_be_picture(path: str) -> bool:
    """Whether a file that cannot be read was meant to be a picture: by its extension, or else by its content."""
    from PIL import Image, UnidentifiedImageError

    from .. import files

    if named_as_picture(path):
        return True
    *own, _ = files.READERS  # the last reads whatever Pillow knows
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
        if any(format.sniff(start) for format in own):
            return True
        Image.open(path).close()
    except UnidentifiedImageError:
        return False
    except Exception:  # whatever a decoder says of a file that it takes for its own
        return True
    return True
