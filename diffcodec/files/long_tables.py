"""Tables that are longer than memory, of text or Parquet: read group by group, and written group by group.

`long_reading` finds what a table's layout tells of the whole.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..media.groups import joined
from ..media.metadata import EMPTY
from ..media.tracks import Tracks
from ..runtime.errors import InputError
from . import npz, parquet, tables
from .columns import grid, plainly
from .layout import Form, Layout, layout_of, told

Values = NDArray[np.int64]
Gaps = NDArray[np.bool_]

VALUES = 2**18  #: about so many are a group, where nobody says
ELSE = "read it as a whole (files.read_signal)"  #: in messages


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows of a table: values int64 and gaps bool (rows, columns), and the lines they stand in, where it is of text."""

    values: Values
    gaps: Gaps
    lines: Sequence[str] | None = None


Chunks = Callable[[], Iterator[Chunk]]


@dataclass
class LongTable:
    """A table that is open. layout: of the whole. ids: of the agents, by their values, where there are such.

    count: frames. seen: those that were read. agent: the forms of ids.
    """

    layout: Layout
    chunks: Chunks
    count: int
    ids: tuple[int, ...] = ()
    agent: Form | None = None
    seen: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def features(self) -> list[int]:
        """The columns that tell neither frame nor agent."""
        return [n for n in range(len(self.layout.forms)) if n not in (self.layout.frame, self.layout.agent)]

    @property
    def group(self) -> int:
        """Frames of a group, where nobody says."""
        return max(1, VALUES // (max(1, len(self.ids)) * max(1, len(self.features))))

    def counts(self, length: int) -> list[int]:
        """Frames of each group of ``length``."""
        return [min(length, self.count - at) for at in range(0, self.count, length)]

    def groups(self, length: int, max_pixels: int) -> Iterator[Tracks]:
        """Tracks of ``length`` frames, the last of what is left; the first tells the layout. Warns of what is not kept.

        Raises InputError for groups over ``max_pixels`` values, and where one would not come back as it stands.
        """
        if length * max(1, len(self.ids)) * max(1, len(self.features)) > max_pixels:
            raise InputError(f"groups of {length} frames are over the limit of {max_pixels} values: give fewer")
        if self.lost:
            warnings.warn(f"of this file is not kept: {'; '.join(self.lost)}", stacklevel=2)
        self.seen = 0
        for rows in self._parted(length):
            count = min(length, self.count - self.seen)
            tracks = self._tracks(rows, count)
            layout = self.layout.shifted(self.seen, count)
            if rows.lines is not None and "".join(rows.lines) != tables.lines(tracks, layout):
                where = f"frames {self.seen} to {self.seen + count - 1}"
                raise InputError(f"{where} of the table have a form that would not come back: {ELSE}")
            first = not self.seen
            self.seen += count
            yield told(tracks, self.layout) if first else tracks

    def _index(self, chunk: Chunk) -> Values:
        """The frame of each row; of a table of rows, which these are, counted from the chunk's first."""
        if self.layout.frame is None:
            return np.arange(len(chunk.values))
        return (chunk.values[:, self.layout.frame] - self.layout.start) // self.layout.step

    def _parted(self, length: int) -> Iterator[Chunk]:
        """The rows of each group."""
        waiting: list[Chunk] = []
        at, end = 0, length  # rows that were read, of a table of rows; where the group ends
        for chunk in self.chunks():
            frames = self._index(chunk) + (at if self.layout.frame is None else 0)
            at, begin = at + len(frames), 0
            while begin < len(frames):
                cut = int(np.searchsorted(frames, end))
                waiting.append(_rows(chunk, begin, cut))
                if cut == len(frames):
                    break
                yield _together(waiting)
                waiting, begin, end = [], cut, end + length
        while end - length < self.count:  # the last, and whatever frames are empty before it
            yield _together(waiting or [self._nothing])
            waiting, end = [], end + length

    @property
    def _nothing(self) -> Chunk:
        none = np.zeros((0, len(self.layout.forms)), np.int64)
        return Chunk(none, none.astype(np.bool_), [])

    def _tracks(self, rows: Chunk, count: int) -> Tracks:
        forms = self.layout.forms
        columns = tuple(grid(forms[n]) for n in self.features)
        values, gaps = rows.values[:, self.features], rows.gaps[:, self.features]
        if self.layout.frame is None or self.layout.agent is None:
            return Tracks(values[:, None], columns, gaps[:, None])
        shape = (count, len(self.ids), len(columns))
        made, missing = np.zeros(shape, np.int64), np.ones(shape, np.bool_)
        t = self._index(rows) - self.seen
        ids = np.array(self.ids, np.int64)
        a = np.argsort(ids)[np.searchsorted(np.sort(ids), rows.values[:, self.layout.agent])]
        made[t, a], missing[t, a] = values, gaps
        assert self.agent is not None
        return Tracks(made, columns, missing, tuple(map(self.agent.cell, self.ids)))


def _rows(chunk: Chunk, begin: int, end: int) -> Chunk:
    part = slice(begin, end)
    return Chunk(chunk.values[part], chunk.gaps[part], None if chunk.lines is None else chunk.lines[part])


def _together(chunks: Sequence[Chunk]) -> Chunk:
    lines = None if chunks[0].lines is None else list(itertools.chain(*(chunk.lines or () for chunk in chunks)))
    return Chunk(np.concatenate([one.values for one in chunks]), np.concatenate([one.gaps for one in chunks]), lines)


# ---- writing


def write(groups: Iterable[Tracks], file: BinaryIO, format: str, first: int = 0) -> int:
    """Write groups of tracks from frame ``first`` on, as they come, to a table; how many frames there were.

    A table whose rows stand agent by agent, and arrays, are held as a whole. Raises InputError for no group.
    """
    waiting = iter(groups)
    head = next(waiting, None)
    if head is None:
        raise InputError("expected tracks, found no group of them")
    layout = layout_of(head.metadata)
    if format not in _GROUPED or (layout is not None and layout.by_agent):
        whole = joined([head, *waiting])
        assert isinstance(whole, Tracks)
        file.write(_WHOLE[format](_shifted(whole, first)))
        return whole.length
    count = 0

    def each() -> Iterator[Tracks]:
        nonlocal count
        tables_of = head if layout is not None else plainly(head)
        own = layout_of(tables_of.metadata)
        assert own is not None
        for group in itertools.chain([head], waiting):
            names = group.names or tables_of.names
            yield told(replace(group, names=names, metadata=EMPTY), own.shifted(first + count, group.length))
            count += group.length

    _GROUPED[format](each(), file)
    return count


def _shifted(tracks: Tracks, first: int) -> Tracks:
    layout = layout_of(tracks.metadata)
    return tracks if layout is None or not first else told(tracks, layout.shifted(first, tracks.length))


#: by format, what writes tracks that are held as a whole
_WHOLE: dict[str, Callable[[Tracks], bytes]] = {"CSV": tables.write, "PARQUET": parquet.write, "NPZ": npz.write}
FORMATS = tuple(_WHOLE)
#: by format, what writes tracks one behind another, each with its own layout
_GROUPED: dict[str, Callable[[Iterable[Tracks], BinaryIO], None]] = {
    "CSV": tables.write_groups,
    "PARQUET": parquet.write_groups,
}
