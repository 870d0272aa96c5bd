"""How a table stands in its file: what of it tracks do not tell, kept as a text among the metadata.

Which columns tell frame and agent, in which order rows stand, in which form numbers do, words. `columns.arranged` makes
tracks of columns, `columns.places` says where the rows of such tracks are.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..media.metadata import EMPTY, Metadata, Text
from ..media.tracks import Tracks
from ..runtime.errors import InputError

KEYWORD = "diffcodec table"  #: of the metadata's text that holds the layout
SEPARATORS = ",;\t "
MOST_DIGITS = 18  #: of a number without its point


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
    order than theirs. types: of the columns, as Parquet names them; of a table of text none.
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
    types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.separator not in SEPARATORS or self.newline not in ("\n", "\r\n"):
            raise ValueError(f"lines that end in {self.newline!r} and are parted by {self.separator!r}")

    def shifted(self, first: int, count: int) -> Layout:
        """Of ``count`` frames from ``first`` on; of a table of rows, whose frames are not counted, itself."""
        if self.frame is None:
            return self
        inside = range(first, first + count)
        rows, orders = (
            tuple((one[0] - first, *one[1:]) for one in every if one[0] in inside) for every in (self.rows, self.orders)
        )
        return replace(self, start=self.start + self.step * first, rows=rows, orders=orders)

    def to_text(self) -> str:
        """JSON."""
        every = {key: value for key, value in asdict(self).items() if key != "types" or value}
        return json.dumps(every, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str) -> Layout:
        """Mirror of :meth:`to_text`. Raises ValueError, TypeError, KeyError for other texts."""
        found: dict[str, Any] = json.loads(text)
        forms = tuple(Form(**{**one, "words": tuple(one["words"])}) for one in found.pop("forms"))
        rows, orders = (tuple(map(tuple, found.pop(name))) for name in ("rows", "orders"))
        return cls(forms=forms, rows=rows, orders=orders, types=tuple(found.pop("types", ())), **found)


def told(tracks: Tracks, layout: Layout) -> Tracks:
    """With the layout among its metadata."""
    return replace(tracks, metadata=replace(EMPTY, text=(Text(KEYWORD, layout.to_text(), international=True),)))


def layout_of(metadata: Metadata) -> Layout | None:
    """That of the table that tracks were read from; None where there is none. Raises InputError for a damaged one."""
    text = next((one.text for one in metadata.text if one.keyword == KEYWORD), None)
    if text is None:
        return None
    try:
        return Layout.of_text(text)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError("what the metadata tell of the table is damaged") from error
