"""Tables of numbers as text, CSV: read as `Tracks` on grids of decimals, and written again byte for byte.

What of a file the tracks do not tell - its separator, its order, in which form numbers stand, words - is its `Layout`,
kept as a text among the metadata. A table that would not come back byte for byte is refused.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..media.metadata import EMPTY, Metadata, Text
from ..media.rows.tracks import Column
from ..media.tracks import Tracks
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from .raw import check_size

if TYPE_CHECKING:
    from ..media.medium import Signal

KEYWORD = "diffcodec table"  #: of the metadata's text that holds the layout
SEPARATORS = ",;\t "
FRAMES = ("frame", "frame_id", "frameid", "frame_number", "framenumber", "t", "time", "timestamp")
AGENTS = ("track_id", "trackid", "agent", "agent_id", "id", "nflid", "nfl_id", "player", "player_id", "object_id")
MOST_DIGITS = 18  #: of a number without its point
MOST_WORDS = 2**16  #: of a column of words
SPARSE = 24  #: times the rows that frames and agents may have places
FRONT = 4096  #: bytes that tell a table from other files
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_MISSING = ("", "NA", "NaN", "nan", "NULL", "null", "None", "-")

Values = NDArray[np.int64]


@dataclass(frozen=True)
class Form:
    """In which form the cells of a column stand.

    name: of the column. decimals: digits behind the point. short: whether zeros at the end are left out; point: but for
    one behind the point. missing: what stands where there is no value. words: of a column of these, in the order of
    their numbers.
    """

    name: str
    decimals: int = 0
    short: bool = False
    point: bool = False
    missing: str = ""
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 2 * MOST_DIGITS:
            raise ValueError(f"{self.decimals} decimals")

    def cell(self, value: int) -> str:
        """A value as it stands. Raises IndexError for the number of no word."""
        if self.words:
            return self.words[value if value >= 0 else len(self.words)]
        text = f"{'-' * (value < 0)}{abs(value):0{self.decimals + 1}d}"
        if not self.decimals:
            return text + ".0" * self.point
        text = f"{text[: -self.decimals]}.{text[-self.decimals :]}"
        if self.short:
            text = text.rstrip("0").rstrip(".")
            text += ".0" * (self.point and "." not in text)
        return text


@dataclass(frozen=True)
class Layout:
    """How a table stands in its file.

    separator, newline: between cells and behind lines. last: whether one is behind the last line. mark: whether the
    file begins with U+FEFF. header: whether the first line names columns. forms: of the columns. frame, agent: the
    numbers of the columns that tell these, None of a table whose rows stand one after another. by_agent: whether the
    rows of an agent stand together. start, step: of the numbers of frames, in units of their last digit. rows: where
    rows stand that have no value: pairs of frame and agent. orders: (frame, agents ...) where these stand in another
    order than theirs.
    """

    separator: str
    newline: str
    last: bool
    mark: bool
    header: bool
    forms: tuple[Form, ...]
    frame: int | None = None
    agent: int | None = None
    by_agent: bool = False
    start: int = 0
    step: int = 1
    rows: tuple[tuple[int, ...], ...] = ()
    orders: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator not in SEPARATORS or self.newline not in ("\n", "\r\n"):
            raise ValueError(f"lines that end in {self.newline!r} and are parted by {self.separator!r}")

    def to_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str) -> Layout:
        """Mirror of :meth:`to_text`. Raises ValueError, TypeError, KeyError for other texts."""
        found: dict[str, Any] = json.loads(text)
        forms = tuple(Form(**{**one, "words": tuple(one["words"])}) for one in found.pop("forms"))
        rows, orders = (tuple(map(tuple, found.pop(name))) for name in ("rows", "orders"))
        return cls(forms=forms, rows=rows, orders=orders, **found)


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
    return any(_NUMBER.fullmatch(cell) for separator in even for line in lines for cell in line.split(separator))


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
    separator = _separator(text)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise InputError("expected a table whose lines have as many cells each")
    check_size(len(rows[0]), len(rows), max_pixels)
    header = not any(_NUMBER.fullmatch(cell) for cell in rows[0])
    names = rows[0] if header else [""] * len(rows[0])
    cells = list(zip(*rows[header:], strict=True)) or [()] * len(names)
    layout = Layout(separator, newline, text.endswith("\n"), mark, header, ())
    columns = [_column(name, column) for name, column in zip(names, cells, strict=True)]
    layout = replace(layout, forms=tuple(form for form, _, _ in columns))
    values = np.stack([one for _, one, _ in columns], 1) if columns else np.zeros((len(rows) - header, 0), np.int64)
    missing = np.stack([one for _, _, one in columns], 1)
    for tracks in _arranged(layout, values, missing):
        if _text_of(tracks).encode() == data:
            return tracks
    raise InputError("the table has a form that would not come back byte for byte: quotes where none are needed, "
                     "numbers in several forms in a column, or lines that end in several ways")  # fmt: skip


def _separator(text: str) -> str:
    first = text.partition("\n")[0]
    found = max(SEPARATORS, key=first.count)
    if not first.count(found):
        raise InputError("expected a table of two columns or more")
    return found


def _column(name: str, cells: Sequence[str]) -> tuple[Form, Values, NDArray[np.bool_]]:
    """(form, values int64 (rows,), where there is none): of numbers, or else of words."""
    odd = Counter(cell for cell in cells if cell in _MISSING)
    missing = odd.most_common(1)[0][0] if odd else ""
    there = [cell for cell in cells if cell != missing or not odd]
    form = _number_form(name, there, missing) if all(map(_NUMBER.fullmatch, there)) else None
    if form is None:
        words = tuple(dict.fromkeys(cells))
        if len(words) > MOST_WORDS:
            raise InputError(f"column {name!r} has more than {MOST_WORDS} different words")
        number = {word: n for n, word in enumerate(words)}
        values = np.array([number[cell] for cell in cells], np.int64)
        return Form(name, words=words), values, np.zeros(len(cells), bool)
    gaps = np.array([bool(odd) and cell == missing for cell in cells], bool)
    numbers = (0 if gap else _number(cell, form.decimals) for cell, gap in zip(cells, gaps, strict=True))
    return form, np.fromiter(numbers, np.int64, len(cells)), gaps


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


def _arranged(layout: Layout, values: Values, missing: NDArray[np.bool_]) -> Iterator[Tracks]:
    """Tracks of agents, where the columns tell frame and agent; else, and if these do not do, of rows."""
    for frame, agent in _places(layout):
        if len(values) and not (missing[:, frame] | missing[:, agent]).any() and not layout.forms[frame].words:
            ids = values[:, agent]
            for order in (np.unique(ids), np.array(list(dict.fromkeys(ids.tolist())), np.int64)):
                yield from _of_agents(replace(layout, frame=frame, agent=agent), values, missing, order)
    columns = tuple(_grid(form) for form in layout.forms)
    yield _told(Tracks(values[:, None], columns, missing[:, None]), layout)


def _orders(t: Values, a: Values) -> tuple[tuple[int, ...], ...]:
    """(frame, agents ...) of frames whose rows stand in another order than the agents' own; frames rise."""
    ends = np.flatnonzero(np.diff(t)) + 1
    parts = zip(np.split(t, ends), np.split(a, ends), strict=True)
    return tuple((int(frame[0]), *map(int, own)) for frame, own in parts if (np.diff(own) < 0).any())


def _places(layout: Layout) -> Iterator[tuple[int, int]]:
    """Where frame and agent may stand: by their names, or, in a table without names, in front, in either order."""
    names = [form.name.strip().lower() for form in layout.forms]
    if not layout.header:
        yield from ((1, 0), (0, 1)) if len(names) > 2 else ()
        return
    found = [next((names.index(one) for one in known if one in names), None) for known in (FRAMES, AGENTS)]
    if found[0] is not None and found[1] is not None:
        yield found[0], found[1]


def _of_agents(
    layout: Layout, values: Values, missing: NDArray[np.bool_], ids: Values
) -> Iterator[Tracks]:
    """With the agents in the order of ``ids``."""
    assert layout.frame is not None and layout.agent is not None
    frames = values[:, layout.frame]
    step = int(np.gcd.reduce(np.diff(np.unique(frames)))) or 1
    start = int(frames.min())
    count = (int(frames.max()) - start) // step + 1
    rest = [n for n in range(values.shape[1]) if n not in (layout.frame, layout.agent)]
    if count * len(ids) > SPARSE * (len(values) + 64) or not rest:
        return
    t = (frames - start) // step
    a = np.argsort(ids)[np.searchsorted(np.sort(ids), values[:, layout.agent])]
    if len(np.unique(t * len(ids) + a)) < len(values):
        return  # an agent stands twice in a frame
    made, gaps = np.zeros((count, len(ids), len(rest)), np.int64), np.ones((count, len(ids), len(rest)), bool)
    there = np.zeros((count, len(ids)), bool)
    made[t, a], gaps[t, a], there[t, a] = values[:, rest], missing[:, rest], True
    empty = tuple(map(tuple, np.argwhere(there & gaps.all(2)).tolist()))
    form = layout.forms[layout.agent]
    columns = tuple(_grid(layout.forms[n]) for n in rest)
    tracks = Tracks(made, columns, gaps, tuple(form.cell(int(one)) for one in ids))
    told = replace(layout, start=start, step=step, rows=empty)
    bare = replace(form, words=())  # the names are the agents'
    told = replace(told, forms=tuple(bare if n == layout.agent else one for n, one in enumerate(layout.forms)))
    if (np.diff(t) >= 0).all():
        yield _told(tracks, replace(told, orders=_orders(t, a)))
    else:
        yield _told(tracks, replace(told, by_agent=True))


def _grid(form: Form) -> Column:
    return Column(form.name, Decimal(1).scaleb(-form.decimals))


def _told(tracks: Tracks, layout: Layout) -> Tracks:
    return replace(tracks, metadata=replace(EMPTY, text=(Text(KEYWORD, layout.to_text(), international=True),)))


# ---- writing


def layout_of(metadata: Metadata) -> Layout | None:
    """That of the table that tracks were read from; None where there is none. Raises InputError for a damaged one."""
    text = next((one.text for one in metadata.text if one.keyword == KEYWORD), None)
    if text is None:
        return None
    try:
        return Layout.of_text(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError("what the metadata tell of the table is damaged") from error


def write(signal: Signal) -> bytes:
    """The table, as it was read, or of other tracks a plain one. Raises InputError for what are no tracks."""
    if not isinstance(signal, Tracks):
        raise InputError(f"a table holds tracks, found {signal.mode}")
    told = signal if layout_of(signal.metadata) is not None else _plainly(signal)
    try:
        return _text_of(told).encode()
    except (IndexError, TypeError, ValueError) as error:
        raise InputError("what the metadata tell of the table does not fit its values") from error


def _plainly(tracks: Tracks) -> Tracks:
    """With a layout: a line for each frame and agent, frame, agent, features."""
    features = [
        Form(column.name or f"feature {n}", max(0, -int(column.step.as_tuple().exponent)))
        for n, column in enumerate(tracks.columns)
    ]
    grids = zip(tracks.columns, features, strict=True)
    if any(column.step != _grid(form).step or column.offset for column, form in grids):
        raise InputError("a table holds columns of steps 1, 0.1, 0.01, … from 0: take the values from floats()")
    names = tracks.names or tuple(map(str, range(tracks.values.shape[1])))
    gaps = np.zeros(tracks.values.shape, bool) if tracks.missing is None else tracks.missing
    empty = tuple(map(tuple, np.argwhere(gaps.all(2)).tolist()))
    forms = (Form("frame"), Form("agent"), *features)
    layout = Layout(",", "\n", True, False, True, forms, 0, 1, rows=empty)
    return _told(replace(tracks, names=names), layout)


def _text_of(tracks: Tracks) -> str:
    """The file of tracks that have a layout. Raises IndexError, TypeError, ValueError where that does not fit."""
    layout = layout_of(tracks.metadata)
    assert layout is not None
    out = io.StringIO()
    writer = csv.writer(out, delimiter=layout.separator, lineterminator=layout.newline)
    if layout.header:
        writer.writerow([form.name for form in layout.forms])
    writer.writerows(_rows(tracks, layout))
    text = out.getvalue()
    if not layout.last:
        text = text.removesuffix(layout.newline)
    return "\ufeff" * layout.mark + text


def _rows(tracks: Tracks, layout: Layout) -> Iterator[list[str]]:
    gaps = np.zeros(tracks.values.shape, bool) if tracks.missing is None else tracks.missing
    told = (layout.frame, layout.agent)
    features = [form for n, form in enumerate(layout.forms) if layout.frame is None or n not in told]
    cells = [_cells(tracks.values[..., n], gaps[..., n], form) for n, form in enumerate(features)]
    if layout.frame is None or layout.agent is None:
        yield from map(list, zip(*(column[:, 0] for column in cells), strict=True))
        return
    there: NDArray[np.bool_] = np.logical_not(gaps.all(2))
    for t, a in layout.rows:
        there[t, a] = True
    where = np.argwhere(there.T)[:, ::-1] if layout.by_agent else np.argwhere(there)
    frame, orders = layout.forms[layout.frame], {one[0]: one[1:] for one in layout.orders}
    first, second = sorted((layout.frame, layout.agent))
    places = where.tolist()
    for t, agents in orders.items():
        begin, end = np.searchsorted(where[:, 0], [t, t + 1])
        if sorted(agents) != [a for _, a in places[begin:end]]:
            raise ValueError(f"the order of frame {t} is not of its agents")
        places[begin:end] = [[t, a] for a in agents]
    for t, a in places:
        row = [column[t, a] for column in cells]
        own = {layout.frame: frame.cell(layout.start + layout.step * t), layout.agent: tracks.names[a]}
        row.insert(first, own[first])
        row.insert(second, own[second])
        yield row


def _cells(values: Values, gaps: NDArray[np.bool_], form: Form) -> NDArray[np.object_]:
    """As they stand, object (T, A)."""
    pairs = zip(values.ravel().tolist(), gaps.ravel().tolist(), strict=True)
    every = [form.missing if gap else form.cell(value) for value, gap in pairs]
    out = np.empty(len(every), object)
    out[:] = every
    return out.reshape(values.shape)
