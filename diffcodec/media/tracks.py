"""Tracks of many agents."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import CorruptStream, InputError, Truncated
from .arrays import described
from .medium import Alone, Coded, Walking
from .modes import CODED, Layout
from .planes import Bytes, laid_out, restored
from .rows.fractions import check_rate
from .rows.tracks import MODE, MOST, MOST_ORDER, NUMBER, Column, Differenced, TracksFields, TracksForm, parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .medium import Samples

Values = NDArray[np.int64]
MOST_AT_ONCE = 256  #: agents of a frame that a network looks at
_EXACT = 2**53  # whole numbers up to which doubles have them all
_EXACT_TEN = 22  # powers of ten likewise


@dataclass(frozen=True, eq=False)
class Tracks(Alone):
    """What A agents do over T frames, in F features: whole numbers, each on the grid of its column.

    values:  int64 (T, A, F), any of whose sides may be 0.
    columns: F of them.
    missing: bool (T, A, F), where there is no value; None where all are there. Values there count as 0.
    names, teams: of the agents, A each; empty where they have none.
    rate:    frames a second, None if it is not known.

    Raises InputError for what does not fit together.
    """

    values: Values
    columns: tuple[Column, ...]
    missing: NDArray[np.bool_] | None = None
    names: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    rate: Fraction | None = None

    def __post_init__(self) -> None:
        values, missing = self.values, self.missing
        if values.ndim != 3 or values.dtype != np.int64 or values.shape[2] != len(self.columns):
            count = len(self.columns)
            raise InputError(f"expected int64 (T, A, {count}) of as many columns, found {described(values)}")
        if missing is not None and (missing.shape != values.shape or missing.dtype != np.bool_):
            raise InputError(f"expected missing as bool of shape {values.shape}, found {described(missing)}")
        if any(given and len(given) != values.shape[1] for given in (self.names, self.teams)):
            raise InputError(f"expected names and teams of {values.shape[1]} agents, or none")
        if math.prod(max(1, side) for side in values.shape) > MOST:
            raise InputError(f"expected at most {MOST} values, found {described(values)}: cut them into parts")
        check_rate(self.rate)
        if missing is not None:
            values = np.where(missing, np.int64(0), values)
        object.__setattr__(self, "missing", missing if missing is not None and missing.any() else None)
        object.__setattr__(self, "values", np.ascontiguousarray(values))
        object.__setattr__(self, "columns", tuple(self.columns))

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return MODE

    @property
    def number(self) -> int:
        """Number of the mode."""
        return NUMBER

    @property
    def geometry(self) -> tuple[int, int]:
        """A row for each frame, of all features of the first agent, then of the second, …; 1 position of no values."""
        return self._fields.geometry

    @property
    def units(self) -> int:
        """Values, those that are missing too; 1 of none."""
        return max(1, self.values.size)

    @property
    def array(self) -> Samples:
        """The values as a masked array, int64 (T, A, F)."""
        return np.ma.MaskedArray(self.values, self.gaps)

    def floats(self) -> NDArray[np.float64]:
        """offset + value · step, float64 (T, A, F), NaN where it is missing.

        The nearest to the exact number where that has at most 15 digits, as a reader of the decimals gives them.
        """
        out = np.full(self.values.shape, np.nan)
        for f, column in enumerate(self.columns):
            out[..., f] = _on_grid(self.values[..., f], column)
        out[self.gaps] = np.nan
        return out

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """bool (T, A, F), where a value is missing."""
        return np.zeros(self.values.shape, np.bool_) if self.missing is None else self.missing

    @property
    def _fields(self) -> TracksFields:
        frames, agents, _ = self.shape
        return TracksFields(frames, agents, self.columns, tuple(self.names), tuple(self.teams), self.rate)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, A, F)."""
        frames, agents, features = self.values.shape
        return frames, agents, features

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.values)

    @property
    def likeness(self) -> tuple[object, ...]:
        """What all groups of tracks have in common."""
        return self.values.shape[1:], self.columns, self.names, self.teams, self.rate

    def between(self, start: int, stop: int) -> Tracks:
        """Frames from ``start`` to before ``stop``, as far as there are any."""
        missing = None if self.missing is None else self.missing[start:stop]
        return replace(self, values=self.values[start:stop], missing=missing)

    def and_then(self, others: Sequence[Tracks]) -> Tracks:
        """With the frames of others, alike, behind its own."""
        every = (self, *others)
        missing = np.concatenate([one.gaps for one in every])
        return replace(self, values=np.concatenate([one.values for one in every]), missing=missing)

    def fields(self) -> bytes:
        """As they stand in the parameters: sizes, rate, names, teams, columns."""
        return self._fields.write()

    def parts(self) -> list[Samples]:
        """The values, those that are missing as 0; then where they are missing, a byte each."""
        return [self.values, self.gaps.astype(np.uint8)]

    def forms(self, palettes: bool = True) -> list[Coded]:
        """Gaps, and bytes of differences over time; and of places as they are. `tracks_of` is the mirror."""
        fields, gaps = self._fields, self.gaps
        columns = np.moveaxis(_filled(self.values, gaps), 2, 0)
        found = [_smallest(values) for values in columns]
        every, coding = _in_bytes(fields, gaps, found)
        photo, extra, layout = laid_out(every, 0)
        forms = [Coded(photo, extra, TracksForm(fields, coding, every.shape[2] - 1, layout).write())]
        places = self._places()
        if places is not None:
            every, coding = _in_bytes(fields, gaps, [(0, values) for values in columns])
            layout = Layout(((CODED, 0),) * every.shape[2])
            told = TracksForm(fields, coding, every.shape[2] - 1, layout).write()
            circles = tuple(map(_circle, self.columns, columns))
            forms.append(
                Walking(every[..., :0], every, told, columns=len(columns), places=places, circles=circles)
            )
        return forms

    def _places(self) -> tuple[int, int] | None:
        """Which columns say where agents are in a plane, None where no two do: by their names, or the first that vary.

        Both have the same gaps, and are whole numbers that differ by less than 2^60.
        """
        if not self.values.size:
            return None
        names = [column.name for column in self.columns]
        vary = [f for f in range(len(names)) if (self.values[..., f] != self.values[0, 0, f]).any()]
        places = named_places(names) if any(map(str.strip, names)) else tuple(vary[:2]) if len(vary) > 1 else None
        if places is None:
            return None
        x, y = places
        gaps = self.gaps
        there = ~gaps[..., x]
        if (gaps[..., x] != gaps[..., y]).any() or not there.any() or int(there.sum(1).max()) > MOST_AT_ONCE:
            return None
        ends = [(int(values.min()), int(values.max())) for values in (self.values[..., f] for f in (x, y))]
        return (x, y) if all(high - low < 2**60 for low, high in ends) else None


def named_places(names: Sequence[str]) -> tuple[int, int] | None:
    """Which columns of these names say where agents are in a plane; None where none do."""
    plain = [name.strip().lower() for name in names]
    named = ((f, plain.index(name.replace("x", "y", 1))) for f, name in enumerate(plain)
             if "x" in name and name.replace("x", "y", 1) in plain)  # fmt: skip
    return next(named, None)


def _in_bytes(
    fields: TracksFields, gaps: NDArray[np.bool_], found: list[tuple[int, Values]]
) -> tuple[Bytes, tuple[Differenced, ...]]:
    """(gaps and the bytes of numbers uint8 (H, W, 1 + n), how they came about) of differences of each column."""
    coding = tuple(Differenced(order, int(values.min()) if values.size else 0) for order, values in found)
    left = np.zeros(gaps.shape, np.uint64)
    for f, (_, values) in enumerate(found):
        left[..., f] = values.view(np.uint64) - np.uint64(coding[f].least % 2**64)
    size = max(1, -(-int(left.max(initial=0)).bit_length() // 8))
    # one position where there are no values
    shape = fields.geometry if left.size else (0, 0)
    every = np.zeros((*fields.geometry, 1 + size), np.uint8)
    every[: shape[0], : shape[1], 0] = gaps.reshape(shape)
    for k in range(size):
        byte = left >> np.uint64(8 * (size - 1 - k)) & np.uint64(255)
        every[: shape[0], : shape[1], 1 + k] = byte.reshape(shape)
    return every, coding


def tracks_of(extra: Bytes | None, form: TracksForm) -> Tracks:
    """Mirror of `Tracks.forms`. Raises Truncated where not all planes are there, CorruptStream for gaps that are none.

    extra: uint8 (H, W, E) of the geometry of the form's fields, as far as it is there.
    """
    if extra is None or extra.shape[2] < form.extra:
        raise Truncated("the stream ends before the last bytes of the tracks: fetch more of it")
    fields = form.fields
    every = restored(None, extra, form.layout, form.kind, lambda every, index: 0)
    shape = (fields.frames, fields.agents, len(fields.columns))
    if not fields.values:
        if every.any():
            raise CorruptStream("values in tracks that have none; the file is damaged")
        every = every[:0, :0]
    if int(every[..., 0].max(initial=0)) > 1:
        raise CorruptStream("a gap of the tracks is neither there nor not; the file is damaged")
    gaps = every[..., 0].reshape(shape) != 0
    left = np.zeros(every.shape[:2], np.uint64)
    for k in range(form.size):
        left <<= np.uint64(8)
        left |= every[..., 1 + k]
    del every  # as large as the values
    values = left.reshape(shape).view(np.int64)
    for f, coded in enumerate(form.coding):
        differences = values[..., f].view(np.uint64) + np.uint64(coded.least % 2**64)
        values[..., f] = _summed(differences.view(np.int64), coded.order)
    missing = gaps if gaps.any() else None
    return Tracks(values, fields.columns, missing, fields.names, fields.teams, fields.rate)


# ---- differences over time, modulo 2^64, and back


def _differences(values: Values, order: int) -> Values:
    """Of (T, A). The first row stands as it is, and the k-th has differences of order k at most."""
    for k in range(1, min(order, len(values) - 1) + 1):
        values = np.concatenate([values[:k], values[k:] - values[k - 1 : -1]])
    return values


def _summed(differences: Values, order: int) -> Values:
    """The inverse of :func:`_differences`."""
    for k in range(min(order, len(differences) - 1), 0, -1):
        differences = np.concatenate([differences[: k - 1], np.cumsum(differences[k - 1 :], axis=0)])
    return differences


def _smallest(values: Values) -> tuple[int, Values]:
    """(order, differences) of the fewest digits."""

    def digits(order: int) -> float:
        found = _differences(values, order).astype(np.float64)
        return float(np.log2(1 + np.abs(found - np.median(found))).sum()) if found.size else 0.0

    order = min(range(MOST_ORDER + 1), key=digits)
    return order, _differences(values, order)


def _circle(column: Column, values: Values) -> int:
    """How many numbers are a whole turn in degrees; 0 where the values do not lie within one."""
    turn = 360 / column.step
    whole = turn == turn.to_integral_value() and 2 <= turn <= 2**30
    span = int(values.max()) - int(values.min()) if values.size else 0
    return int(turn) if whole and turn / 2 < span < turn else 0


def _filled(values: Values, gaps: NDArray[np.bool_]) -> Values:
    """Where a value is missing, the last one before it, else the first one after it, else 0."""
    if not gaps.any():
        return values
    frames = np.arange(len(values)).reshape(-1, 1, 1)
    last = np.maximum.accumulate(np.where(gaps, -1, frames), axis=0)
    first = np.argmin(gaps, axis=0)[None]
    return np.take_along_axis(values, np.where(last < 0, first, last), axis=0)


def _on_grid(values: Values, column: Column) -> NDArray[np.float64]:
    """offset + value · step as float64."""
    (k, a), (m, b) = parts_of(column.step), parts_of(column.offset)
    low = min(0, a, b)
    k, m = k * 10 ** (a - low), m * 10 ** (b - low)
    ends = int(values.min(initial=0)), int(values.max(initial=0))
    if k * max(map(abs, ends)) + abs(m) < _EXACT and low >= -_EXACT_TEN:
        step, offset, below = float(k), float(m), 10.0**-low
    else:
        step, offset, below = float(column.step), float(column.offset), 1.0
    return (values.astype(np.float64) * step + offset) / below
