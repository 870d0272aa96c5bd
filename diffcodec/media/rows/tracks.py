"""Tracks: what many agents do over time, in numbers on grids (bitstream_spec/MEDIA.md, §2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from ...runtime.errors import CorruptStream, InputError, LimitExceeded
from ...runtime.fields import Fields, known
from ...runtime.varint import write_varint
from ..medium import Continued, Form, Signal
from ..modes import Layout, Plain, read_layout
from .fractions import read_rate, write_rate

if TYPE_CHECKING:
    from ..medium import Bytes

NUMBER, MODE = 78, "tracks"
MOST = 2**32  #: values, where no side counts as none: of a table without values, sides multiply all the same
MOST_ORDER, MOST_BYTES = 3, 8  #: of differences, and of bytes of one
_NAMED, _TEAMS = 1, 2  # bits of the first byte behind the sizes
_EXPONENTS = range(-128, 128)
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Column:
    """What a feature's whole numbers k stand for: offset + k · step.

    step, offset: decimals of at most 18 digits, the step above 0. Their form is kept: 0.10 does not become 0.1.

    Raises InputError.
    """

    name: str = ""
    step: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        for number in (self.step, self.offset):
            if not isinstance(number, Decimal):
                raise InputError(f"expected step and offset as Decimal, found {type(number).__name__}")
            _, digits, exponent = number.as_tuple()
            fits = exponent in _EXPONENTS and len(digits) <= 18
            if not fits or (number.is_zero() and number.is_signed()):
                raise InputError(f"expected a decimal of at most 18 digits, of 10^-128 to 10^127, found {number}")
        if self.step <= 0:
            raise InputError(f"expected a step above 0, found {self.step}")


@dataclass(frozen=True, slots=True)
class TracksFields:
    """What stands at the front of the parameters.

    frames, agents: at least 0. columns: one for each feature. names, teams: of the agents, or empty. rate: frames a
    second.
    """

    frames: int
    agents: int
    columns: tuple[Column, ...]
    names: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    rate: Fraction | None = None

    @property
    def values(self) -> int:
        """Numbers in all, those that are missing too."""
        return self.frames * self.agents * len(self.columns)

    @property
    def geometry(self) -> tuple[int, int]:
        """(height, width) of the positions that are coded: a row for each frame; 1 position where there are none."""
        return (self.frames, self.agents * len(self.columns)) if self.values else (1, 1)

    def write(self) -> bytes:
        """Bytes that :meth:`read` reads; all tracks have one form. Raises InputError for names that are no Unicode."""
        sizes = b"".join(map(write_varint, (self.frames, self.agents, len(self.columns))))
        out = [sizes, write_rate(self.rate), bytes([_NAMED * bool(self.names) | _TEAMS * bool(self.teams)])]
        out += map(_write_text, self.names)
        if self.teams:
            known = list(dict.fromkeys(self.teams))
            out += [write_varint(len(known)), *map(_write_text, known)]
            out += [write_varint(known.index(team)) for team in self.teams]
        for column in self.columns:
            out += [_write_text(column.name), _write_decimal(column.step), _write_decimal(column.offset)]
        return b"".join(out)

    @classmethod
    def read(cls, fields: Fields) -> TracksFields:
        """Raises CorruptStream, LimitExceeded, UnsupportedVersion."""
        frames, agents, count = (fields.varint() for _ in range(3))
        if max(1, frames) * max(1, agents) * max(1, count) > MOST:
            raise LimitExceeded(f"tracks of {frames} x {agents} x {count} values are over the limit of {MOST}")
        rate = read_rate(fields)
        flags = known("set of fields of tracks", fields.byte(), 4)
        if flags and not agents:
            raise CorruptStream("names of no agents; the file is damaged")
        names = tuple(_some(agents, fields, _read_text)) if flags & _NAMED else ()
        teams = _read_teams(agents, fields) if flags & _TEAMS else ()
        return cls(frames, agents, tuple(_some(count, fields, _read_column)), names, teams, rate)


def _some(count: int, fields: Fields, read: Callable[[Fields], Read]) -> list[Read]:
    """So many: each takes a byte or more, so that a large count ends with the data."""
    return [read(fields) for _ in range(count)]


def _read_teams(agents: int, fields: Fields) -> tuple[str, ...]:
    """Names in the order in which agents have them first. Raises CorruptStream."""
    teams = _some(fields.varint(), fields, _read_text)
    numbers = _some(agents, fields, Fields.varint)
    if list(dict.fromkeys(numbers)) != list(range(len(teams))) or len(set(teams)) != len(teams):
        raise CorruptStream("the teams of the agents are not in their order; the file is damaged")
    return tuple(teams[number] for number in numbers)


def _write_text(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InputError(f"expected names in Unicode, found {text!a}") from None
    return write_varint(len(data)) + data


def _read_text(fields: Fields) -> str:
    try:
        return fields.counted().decode()
    except UnicodeDecodeError:
        raise CorruptStream("a name of the tracks is not UTF-8; the file is damaged") from None


def parts_of(number: Decimal) -> tuple[int, int]:
    """(whole number, exponent of ten) of a finite decimal, as it is written."""
    negative, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    value = int("".join(map(str, digits)))
    return -value if negative else value, exponent


def _write_decimal(number: Decimal) -> bytes:
    """Exponent of ten, then the whole number before it."""
    value, exponent = parts_of(number)
    return write_varint(_zigzag(exponent)) + write_varint(_zigzag(value))


def _read_decimal(fields: Fields) -> Decimal:
    exponent, value = _unzigzag(fields.varint(8)), _unzigzag(fields.varint(64))
    return Decimal((int(value < 0), tuple(map(int, str(abs(value)))), exponent))


def _read_column(fields: Fields) -> Column:
    name, step, offset = _read_text(fields), _read_decimal(fields), _read_decimal(fields)
    try:
        return Column(name, step, offset)
    except InputError as error:
        raise CorruptStream(f"a column of the tracks is none ({error}); the file is damaged") from None


def _zigzag(value: int) -> int:
    """Whole numbers as natural ones: 0, -1, 1, -2, ... are 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if not value & 1 else -(value >> 1) - 1


@dataclass(frozen=True, slots=True)
class Differenced:
    """How a feature's numbers are coded: differences of this order over time, less the ``least``."""

    order: int = 0
    least: int = 0


@dataclass(frozen=True)
class TracksForm:
    """Of tracks.

    coding: of each column. size: bytes of a difference. layout: of the plane of gaps and of those of these bytes.
    """

    fields: TracksFields
    coding: tuple[Differenced, ...]
    size: int
    layout: Layout

    mode = MODE
    indexed = False
    photo = colours = 0
    planes = 1 + MOST_BYTES

    @property
    def kind(self) -> Plain:
        """Its byte planes."""
        return Plain(MODE, 1 + self.size)

    @property
    def extra(self) -> int:
        """Planes that are coded."""
        return len(self.layout.coded)

    @property
    def units(self) -> int:
        """Values, those that are missing too; 1 of none."""
        return max(1, self.fields.values)

    @property
    def samples(self) -> int:
        """Values."""
        return self.units

    @property
    def frames(self) -> int:
        """Rows of the planes, where there are values."""
        return self.fields.frames

    def write(self) -> bytes:
        """Bytes that :meth:`read` reads."""
        coding = [bytes([one.order]) + write_varint(_zigzag(one.least)) for one in self.coding]
        return b"".join([self.fields.write(), bytes([self.size]), *coding, self.layout.write()])

    @classmethod
    def read(cls, params: bytes) -> tuple[TracksForm, bytes]:
        """The form, and the bytes behind it. Raises CorruptStream, LimitExceeded, UnsupportedVersion."""
        cursor = Fields(params, "the fields of the tracks end")
        fields, size = TracksFields.read(cursor), cursor.byte()
        coding = _some(len(fields.columns), cursor, _read_coding)
        if not 1 <= size <= MOST_BYTES:
            raise CorruptStream(f"values of {size} bytes where tracks have 1 to {MOST_BYTES}; the file is damaged")
        layout, rest = read_layout(cursor.rest(), Plain(MODE, 1 + size))
        return cls(fields, tuple(coding), size, layout), rest

    def about(self) -> dict[str, object]:
        """mode, dtype, channels (features), frames, agents, columns ({name, step, offset}), names, teams, rate."""
        fields = self.fields
        columns = [{"name": c.name, "step": str(c.step), "offset": str(c.offset)} for c in fields.columns]
        return {
            "mode": MODE,
            "dtype": "int64",
            "channels": len(columns),
            "frames": fields.frames,
            "agents": fields.agents,
            "columns": columns,
            "names": list(fields.names),
            "teams": list(fields.teams),
            "rate": None if fields.rate is None else str(fields.rate),
        }

    def rows(self, count: int) -> TracksForm | None:
        """Of so many frames; None of differences."""
        differ = any(one.order for one in self.coding)
        return None if differ else replace(self, fields=replace(self.fields, frames=count))

    def signal(self, photo: Bytes, extra: Bytes | None, rounded: bool = False) -> Signal:
        """The tracks, of ``extra`` uint8 (H, W, E). Raises Truncated where that is not all there, CorruptStream."""
        from ..tracks import tracks_of

        return tracks_of(extra, self)


def _read_coding(fields: Fields) -> Differenced:
    order, least = fields.byte(), _unzigzag(fields.varint(64))
    if order > MOST_ORDER:
        raise CorruptStream(f"differences of order {order} where tracks have 0 to {MOST_ORDER}; the file is damaged")
    return Differenced(order, least)


class TrackSets(Continued):
    """The row of tracks."""

    name, plural, unit = "tracks", "tracks", "value"
    modes = MappingProxyType({NUMBER: MODE})
    formats = ("CSV", "PARQUET", "NPZ")
    group = MOST  # frames: passes hold 1 024 each, which are decoded by themselves already

    def taken(self, given: Any) -> Signal | None:
        """`Tracks`."""
        from ..tracks import Tracks

        return given if isinstance(given, Tracks) else None

    def form(self, mode: int, height: int, width: int, params: bytes, palette: bytes | None) -> tuple[Form, bytes]:
        """The fields of the tracks, how they are coded, and a plane layout. Raises as :meth:`TracksForm.read`."""
        if palette is not None:
            raise CorruptStream("a palette in tracks; the file is damaged")
        form, rest = TracksForm.read(params)
        if form.fields.geometry != (height, width):
            told = f"{form.fields.frames} x {form.fields.agents} x {len(form.coding)} values"
            raise CorruptStream(f"tracks of {told} are not coded in {width}x{height} positions; the file is damaged")
        return form, rest

    def whole(self, forms: Sequence[Form]) -> Form:
        """Of the tracks whose groups have these headers. Raises CorruptStream for groups of unlike tracks."""
        first, *others = (form for form in forms if isinstance(form, TracksForm))
        for number, other in enumerate(others, 1):
            if replace(other.fields, frames=first.fields.frames) != first.fields:
                told = f"group {number} is of {other.fields.agents} agents"
                raise CorruptStream(f"{told}, with names, columns or rate that the first has not; the file is damaged")
        return replace(first, fields=replace(first.fields, frames=sum(form.frames for form in forms)))
