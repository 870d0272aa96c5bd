"""Files of frames that are open: clips and long tables, read and written group by group."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ..media.clip import Clip
from ..media.tracks import Tracks
from ..runtime import remote
from . import clips, long_reading, long_tables
from .film import Film
from .long_tables import LongTable


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], tables: bool = False) -> Iterator[Film | LongTable | None]:
    """What a file holds, within; None where it is neither a clip nor a long table, or one that is not long.

    tables: those that are not long as well. Raises InputError, OSError.
    """
    with remote.opened(path) as file:
        yield clips.film_of(file) or long_reading.opened(file, os.path.getsize(path), tables)


def write(groups: Iterable[Clip | Tracks], file: BinaryIO, format: str, first: int = 0) -> int:
    """Write groups, from frame ``first`` on, to a file that can be sought in; how many frames there were.

    Warns (UserWarning) of what has no place in it. Raises InputError where it cannot hold them, or there are none.
    """
    if format in long_tables.FORMATS:
        return long_tables.write((one for one in groups if isinstance(one, Tracks)), file, format, first)
    return clips.write((one for one in groups if isinstance(one, Clip)), file, format)
