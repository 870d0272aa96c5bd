"""Tables of numbers as text, CSV: read as `Tracks` on grids of decimals, and written again byte for byte.

What of a file the tracks do not tell is its `Layout`. A table that would not come back byte for byte is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..media.tracks import Tracks
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from .columns import arranged, places, plainly
from .layout import MOST_DIGITS, SEPARATORS, Form, Layout, layout_of
from .raw import check_size

if TYPE_CHECKING:
    from ..media.medium import Signal

MOST_WORDS = 2**16  #: of a column of words
FRONT = 4096  #: bytes that tell a table from other files
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")  #: as a cell that is one
#: what cells hold that have none
MISSING = ("", "NA", "NaN", "nan", "NULL", "null", "None", "-")

Values = NDArray[np.int64]


# ---- reading


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a table: lines of as many cells each, of which some are numbers."""
    front = data[:FRONT]
    if b"\0" in front or b"\n" not in front:
        return False
    lines = front[: front.rindex(b"\n")].decode("utf-8-sig", "replace").splitlines()[:20]
    if "\ufffd" in "".join(lines):
        return False
    counts = {separator: {line.count(separator) for line in lines} for separator in SEPARATORS}
    even = [separator for separator, found in counts.items() if len(found) == 1 and found != {0}]
    return any(NUMBER.fullmatch(cell) for separator in even for line in lines for cell in line.split(separator))


def read(data: bytes, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Tracks:
    """The tracks of a table of ``max_pixels`` cells at most.

    Raises InputError for what is none, and for one that would not come back as it is.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("expected a table in UTF-8") from None
    mark, newline = text.startswith("\ufeff"), "\r\n" if "\r\n" in text else "\n"
    text = text.removeprefix("\ufeff")
    separator = separator_of(text)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError("expected a table whose lines have as many cells each")
    check_size(len(rows[0]), len(rows), max_pixels)
    header = not any(NUMBER.fullmatch(cell) for cell in rows[0])
    names = rows[0] if header else [""] * len(rows[0])
    cells = list(zip(*rows[header:], strict=True)) or [()] * len(names)
    layout = Layout(separator, newline, text.endswith("\n"), mark, header, ())
    columns = [_column(name, column) for name, column in zip(names, cells, strict=True)]
    layout = replace(layout, forms=tuple(form for form, _, _ in columns))
    values = np.stack([one for _, one, _ in columns], 1) if columns else np.zeros((len(rows) - header, 0), np.int64)
    missing = np.stack([one for _, _, one in columns], 1)
    for tracks in arranged(layout, values, missing):
        if _text_of(tracks).encode() == data:
            return tracks
    raise InputError("the table has a form that would not come back byte for byte: quotes where none are needed, "
                     "numbers in several forms in a column, or lines that end in several ways")  # fmt: skip


def separator_of(text: str) -> str:
    """What parts the cells of the first line. Raises InputError for none."""
    first = text.partition("\n")[0]
    found = max(SEPARATORS, key=first.count)
    if not first.count(found):
        raise InputError("expected a table of two columns or more")
    return found


def _column(name: str, cells: Sequence[str]) -> tuple[Form, Values, NDArray[np.bool_]]:
    """(form, values int64 (rows,), where there is none): of numbers, or else of words."""
    odd = Counter(cell for cell in cells if cell in MISSING)
    missing = odd.most_common(1)[0][0] if odd else ""
    there = [cell for cell in cells if cell != missing or not odd]
    form = _number_form(name, there, missing) if all(map(NUMBER.fullmatch, there)) else None
    if form is None:
        words = tuple(dict.fromkeys(cells))
        if len(words) > MOST_WORDS:
            raise InputError(f"column {name!r} has more than {MOST_WORDS} different words")
        form = Form(name, words=words)
    return form, *read_cells(cells, form)


def read_cells(cells: Sequence[str], form: Form) -> tuple[Values, NDArray[np.bool_]]:
    """(values int64 (rows,), where there is none) of cells in a form. Raises InputError for what is no number."""
    if form.words:
        number = {word: n for n, word in enumerate(form.words)}
        return np.array([number[cell] for cell in cells], np.int64), np.zeros(len(cells), bool)
    gaps = np.array([cell == form.missing for cell in cells], bool)
    try:
        if form.short or form.point:
            numbers = [0 if cell == form.missing else _number(cell, form.decimals) for cell in cells]
        else:
            numbers = [0 if cell == form.missing else int(cell.replace(".", "", 1)) for cell in cells]
        return np.array(numbers, np.int64), gaps
    except (ValueError, OverflowError):
        raise InputError(f"column {form.name!r} has a cell that is no number of {MOST_DIGITS} digits") from None


def _number_form(name: str, cells: Sequence[str], missing: str) -> Form | None:
    """In which numbers come back as they are; None where there is none."""
    decimals = max((len(cell.partition(".")[2]) for cell in cells), default=0)
    if any(len(cell.lstrip("-").replace(".", "")) + decimals > 2 * MOST_DIGITS for cell in cells):
        return None
    for short, point in ((False, False), (True, False), (True, True), (False, True)):
        behind = 0 if point and not short else decimals
        form = Form(name, behind, short, point, missing)
        numbers = [_number(cell, behind) for cell in cells]
        fits = all(abs(number) < 10**MOST_DIGITS for number in numbers)
        if fits and all(map(str.__eq__, map(form.cell, numbers), cells)):
            return form
    return None


def _number(cell: str, decimals: int) -> int:
    """The digits of a cell as a whole number, of so many behind the point."""
    whole, _, behind = cell.partition(".")
    return int(whole + behind[:decimals].ljust(decimals, "0"))


# ---- writing


def write(signal: Signal) -> bytes:
    """The table, as it was read, or of other tracks a plain one. Raises InputError for what are no tracks."""
    if not isinstance(signal, Tracks):
        raise InputError(f"a table holds tracks, found {signal.mode}")
    told = signal if layout_of(signal.metadata) is not None else plainly(signal)
    try:
        return _text_of(told).encode()
    except (IndexError, TypeError, ValueError) as error:
        raise InputError("what the metadata tell of the table does not fit its values") from error


def _text_of(tracks: Tracks) -> str:
    """The file of tracks that have a layout. Raises IndexError, TypeError, ValueError where that does not fit."""
    layout = layout_of(tracks.metadata)
    assert layout is not None
    text = heading(layout) * layout.header + lines(tracks, layout)
    if not layout.last:
        text = text.removesuffix(layout.newline)
    return "\ufeff" * layout.mark + text


def heading(layout: Layout) -> str:
    """The first line, of a table that has names."""
    return _written([[form.name for form in layout.forms]], layout)


def lines(tracks: Tracks, layout: Layout) -> str:
    """The others. Raises as :func:`_text_of`."""
    return _written(_rows(tracks, layout), layout)


def _written(rows: Iterable[Sequence[str]], layout: Layout) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=layout.separator, lineterminator=layout.newline).writerows(rows)
    return out.getvalue()


def write_groups(groups: Iterable[Tracks], file: BinaryIO) -> None:
    """Tracks one behind another, each with the layout of its own frames. Raises InputError where that does not fit."""
    behind = ""
    for number, tracks in enumerate(groups):
        layout = layout_of(tracks.metadata)
        assert layout is not None
        front = ("\ufeff" * layout.mark + heading(layout) * layout.header) if not number else behind
        try:
            text = lines(tracks, layout)
        except (IndexError, TypeError, ValueError) as error:
            raise InputError("what the metadata tell of the table does not fit its values") from error
        behind = "" if layout.last else layout.newline
        file.write((front + (text if layout.last else text.removesuffix(layout.newline))).encode())


def _rows(tracks: Tracks, layout: Layout) -> Iterator[list[str]]:
    gaps, where = tracks.gaps, places(tracks, layout)
    t, a = where.T
    told = (layout.frame, layout.agent)
    features = [form for n, form in enumerate(layout.forms) if layout.frame is None or n not in told]
    columns = [_cells(tracks.values[t, a, n], gaps[t, a, n], form) for n, form in enumerate(features)]
    if layout.frame is not None and layout.agent is not None:
        frame = layout.forms[layout.frame]
        own = {layout.frame: [frame.cell(layout.start + layout.step * k) for k in t.tolist()]}
        own[layout.agent] = [tracks.names[k] for k in a.tolist()]
        for n in sorted(own):
            columns.insert(n, own[n])
    yield from map(list, zip(*columns, strict=True))


def _cells(values: Values, gaps: NDArray[np.bool_], form: Form) -> list[str]:
    """As they stand."""
    pairs = zip(values.tolist(), gaps.tolist(), strict=True)
    return [form.missing if gap else form.cell(value) for value, gap in pairs]
