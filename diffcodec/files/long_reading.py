"""Long tables that are open: what they hold, found by reading them, of text or Parquet.

In which form numbers stand is found first, then which frames and agents there are: only then do groups come. What
stands in other orders than that of frames, and of agents in each, is for `tables.read`.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError
from . import parquet, tables
from .columns import SPARSE, named
from .layout import MOST_DIGITS, Form, Layout
from .long_tables import ELSE, Chunk, LongTable
from .raw import optional
from .tables import MISSING, MOST_WORDS, NUMBER, read_cells

Values = NDArray[np.int64]

LONG = 2**26  #: bytes of a table of text, or values in all of one in Parquet times 16, from which on it is long
ROWS = 2**15  #: rows that are read at a time
MOST_ORDERS = 2**16  #: of agents in frames, that are told apart


def opened(file: BinaryIO, size: int, grouped: bool = False) -> LongTable | None:
    """The table of a file that is open, of so many bytes; None of what is none, is not long, or stands in other orders.

    grouped: though it is not long. Raises InputError for a damaged table.
    """
    front = file.read(tables.FRONT)
    file.seek(0)
    if parquet.sniff(front):
        found = _of_parquet(file, grouped)
    elif tables.sniff(front) and (grouped or size >= LONG):
        found = _of_text(file)
    else:
        return None
    return found and _with_agents(found)


def _with_agents(table: LongTable) -> LongTable | None:
    """With frames and agents where columns tell these; None where rows stand in another order."""
    for frame, agent in named(table.layout):
        if not table.layout.forms[frame].words:
            return _arranged(table, frame, agent)
    return replace(table, count=sum(len(chunk.values) for chunk in table.chunks()))


@dataclass
class _Frames:
    """Frames as they come: whether they rise, the first and last, what all steps are multiples of, rows."""

    first: int | None = None
    last: int = 0
    step: int = 0
    rows: int = 0

    def add(self, frames: Values) -> bool:
        """Whether they still rise."""
        if self.first is None:
            self.first = self.last = int(frames[0])
        steps = np.diff(frames, prepend=self.last)
        self.last, self.rows = int(frames[-1]), self.rows + len(frames)
        self.step = math.gcd(self.step, int(np.gcd.reduce(steps)))
        return bool((steps >= 0).all())


def _arranged(table: LongTable, frame: int, agent: int) -> LongTable | None:
    """By the columns of frame and agent; None where these rise in no way."""
    found, known, orders = _Frames(), dict[int, None](), set[tuple[int, ...]]()
    empty: list[tuple[int, int]] = []
    rest = [n for n in range(len(table.layout.forms)) if n not in (frame, agent)]
    last = np.zeros(0, np.int64)  # agents of a frame that may go on
    for chunk in table.chunks():
        frames, ids = chunk.values[:, frame], chunk.values[:, agent]
        before = found.last
        if chunk.gaps[:, [frame, agent]].any() or not rest or not found.add(frames):
            return None
        known |= dict.fromkeys(ids.tolist())
        ends = np.flatnonzero(np.diff(frames)) + 1
        parts = np.split(ids, ends)
        if len(last) and before == int(frames[0]):
            parts[0] = np.concatenate([last, parts[0]])
        orders |= {tuple(part.tolist()) for part in parts}
        last = parts[-1]
        for n in np.flatnonzero(chunk.gaps[:, rest].all(1)):
            empty.append((int(frames[n]), int(ids[n])))
        if max(len(orders), len(empty), len(known)) > MOST_ORDERS:
            return None
    if found.first is None:
        return None
    step, start = found.step or 1, found.first
    count = (found.last - start) // step + 1
    if count * len(known) > SPARSE * (found.rows + 64):
        return replace(table, count=found.rows)
    for way in (sorted(known), list(known)):
        place = {one: n for n, one in enumerate(way)}
        if all(_rises([place[one] for one in order]) for order in orders):
            rows = tuple(((t - start) // step, place[one]) for t, one in empty)
            forms = table.layout.forms
            bare = tuple(replace(form, words=()) if n == agent else form for n, form in enumerate(forms))
            layout = replace(table.layout, forms=bare, frame=frame, agent=agent, start=start, step=step, rows=rows)
            return replace(table, layout=layout, count=count, ids=tuple(way), agent=forms[agent])
    return None


def _rises(order: Sequence[int]) -> bool:
    return all(one < other for one, other in itertools.pairwise(order))


# ---- text


@dataclass
class _Column:
    """Cells of a column, as they come: whether all are numbers, their decimals, what stands where there is none."""

    numbers: bool = True
    decimals: set[int] = field(default_factory=set)
    digits: int = 0
    point: bool = False  # whether one is a whole number with .0 behind it
    words: dict[str, None] | None = field(default_factory=dict)
    marks: Counter[str] = field(default_factory=Counter)

    def add(self, cells: Sequence[str]) -> None:
        """Further cells."""
        every = dict.fromkeys(cells)
        for mark in MISSING:
            if mark in every:
                self.marks[mark] += cells.count(mark)
        if self.numbers:
            for cell in every:
                if cell not in self.marks:
                    self._number(cell)
        if self.words is not None:
            self.words |= every
            self.words = self.words if len(self.words) <= MOST_WORDS else None

    def _number(self, cell: str) -> None:
        self.numbers = self.numbers and NUMBER.fullmatch(cell) is not None
        whole, _, behind = cell.partition(".")
        self.decimals.add(len(behind))
        self.digits = max(self.digits, len(whole.lstrip("-")))
        self.point = self.point or behind == "0"

    def form(self, name: str) -> Form:
        """Raises InputError for too many words."""
        missing = self.marks.most_common(1)[0][0] if self.marks else ""
        decimals = max(self.decimals, default=0)
        if self.numbers and len(self.marks) <= 1 and self.digits + decimals <= MOST_DIGITS:
            fixed = len(self.decimals) <= 1
            return Form(name, decimals, short=not fixed, point=not fixed and self.point, missing=missing)
        if self.words is None:
            raise InputError(f"column {name!r} has more than {MOST_WORDS} different words")
        return Form(name, words=tuple(self.words))


def _of_text(file: BinaryIO) -> LongTable:
    """Raises InputError."""
    line = next(_lines(file)).removeprefix("\ufeff")
    separator = tables.separator_of(line)
    first = next(csv.reader([line], delimiter=separator))
    header = not any(NUMBER.fullmatch(cell) for cell in first)
    newline, last, width = ("\r\n" if line.endswith("\r\n") else "\n"), True, len(first)
    columns = [_Column() for _ in first]
    for _, rows in _read(file, separator, header, width):
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.add(cells)
    file.seek(-1, os.SEEK_END)
    last = file.read(1) == b"\n"
    file.seek(0)
    mark = file.read(3) == b"\xef\xbb\xbf"
    names = first if header else [""] * width
    forms = tuple(column.form(name) for column, name in zip(columns, names, strict=True))
    layout = Layout(separator, newline, last, mark, header, forms)
    if header and line != tables.heading(layout):
        raise InputError(f"the first line of the table has a form that would not come back: {ELSE}")

    def chunks() -> Iterator[Chunk]:
        for lines, rows in _read(file, separator, header, width):
            cells = zip(*rows, strict=True)
            found = [read_cells(column, form) for column, form in zip(cells, forms, strict=True)]
            if not last and not lines[-1].endswith("\n"):
                lines[-1] += newline
            yield Chunk(np.stack([one[0] for one in found], 1), np.stack([one[1] for one in found], 1), lines)

    return LongTable(layout, chunks, 0)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Raises InputError for what is not UTF-8."""
    file.seek(0)
    try:
        for line in file:
            yield line.decode()
    except UnicodeDecodeError:
        raise InputError("expected a table in UTF-8") from None


def _read(file: BinaryIO, separator: str, header: bool, width: int) -> Iterator[tuple[list[str], list[list[str]]]]:
    """(lines, cells) of ROWS at a time, without the header. Raises InputError for rows of another width."""
    seen: list[str] = []

    def tapped() -> Iterator[str]:
        for number, line in enumerate(_lines(file)):
            seen.append(line if number else line.removeprefix("\ufeff"))
            yield seen[-1]

    lines, rows = list[str](), list[list[str]]()
    for number, row in enumerate(_parsed(tapped(), separator)):
        own = "".join(seen)
        seen.clear()
        if header and not number:
            continue
        if len(row) != width:
            raise InputError("expected a table whose lines have as many cells each")
        lines.append(own)
        rows.append(row)
        if len(rows) == ROWS:
            yield lines, rows
            lines, rows = [], []
    if rows:
        yield lines, rows


def _parsed(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    """Raises InputError for what is no table."""
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:
        raise InputError(f"expected a table, found lines that are none: {error}") from None


# ---- Parquet


def _of_parquet(file: BinaryIO, grouped: bool) -> LongTable | None:
    """Raises InputError."""
    optional("pyarrow", "a Parquet file", "parquet")
    source = optional("pyarrow.parquet", "a Parquet file", "parquet")
    with parquet.guarded():
        whole = source.ParquetFile(file)
        names, rows = whole.schema_arrow.names, whole.metadata.num_rows
    if not names or (not grouped and rows * len(names) * 16 < LONG):
        file.seek(0)
        return None
    scans = [parquet.Scan(name) for name in names]
    for batch in parquet.batches(whole, ROWS):
        for scan, column in zip(scans, batch.columns, strict=True):
            scan.add(column)
    forms, types = tuple(scan.form for scan in scans), tuple(scan.kind for scan in scans)
    layout = Layout(",", "\n", True, False, True, forms, types=types)

    def chunks() -> Iterator[Chunk]:
        for batch in parquet.batches(whole, ROWS):
            found = [scan.read(column) for scan, column in zip(scans, batch.columns, strict=True)]
            yield Chunk(np.stack([one[0] for one in found], 1), np.stack([one[1] for one in found], 1))

    return LongTable(layout, chunks, 0, lost=parquet.notes_of(whole.schema_arrow))
