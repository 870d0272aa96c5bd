"""Names that come out of a file."""

from __future__ import annotations

import re

MOST_BYTES = 64  #: of a model's name
# One line that reads as it is written and names no place in a file system. Ranges, not str.isprintable(), whose
# answer changes with Python's Unicode tables: controls, line separators, direction overrides, surrogates, both slashes.
PLAIN = re.compile(r"(?!\.)[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\]*")


class Recorded(str):
    """A model's name as a stream or an archive records it: what is bundled or registered, never a place in a folder.

    A name of one's own may be a path. One that a stranger wrote must not be: he would choose which files are read.
    """

    __slots__ = ()


def recordable(name: str) -> bool:
    """Whether a stream can record a model of this name: a plain one of 1 to 64 bytes of UTF-8, no path."""
    return bool(name) and bool(PLAIN.fullmatch(name)) and len(name.encode()) <= MOST_BYTES
