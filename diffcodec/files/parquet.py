"""Tables in Parquet, by pyarrow (extra `parquet`): numbers and words come back as they are, and in their types.

A column of floats stands on the grid of as few decimals as tell each of them exactly, and where there are none, by the
bits of the floats. What of a file is no value - how it is cut and compressed, notes of its schema - is not kept.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..media.tracks import Tracks
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from .columns import Cells, arranged, columns_of, plainly
from .grids import bits_of, of_bits, off_grid, on_grid
from .layout import Form, Layout, layout_of
from .raw import check_size, line, optional
from .tables import MOST_WORDS

Values = NDArray[np.int64]
Gaps = NDArray[np.bool_]

BITS = " by its bits"  #: behind the name of a type of floats that have no grid
_NAN = "NaN"  # what stands for a gap in floats that have no nulls
_FLOATS = {"float": np.float32, "double": np.float64}
_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
_TIMES = ("date32[day]", "date64[ms]", *(f"{kind}[{unit}]" for kind in ("time32", "time64", "timestamp", "duration")
                                         for unit in ("s", "ms", "us", "ns")))  # fmt: skip
_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=([^\]]+)\]")
_DECIMAL = re.compile(r"decimal128\((\d+), (-?\d+)\)")


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a Parquet file."""
    return data[:4] == b"PAR1"


def read(data: bytes, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Tracks:
    """The tracks of a table of ``max_pixels`` values at most. Warns of what is not kept.

    Raises InputError for a damaged file, for columns of lists and other types, and where pyarrow is not there.
    """
    optional("pyarrow", "a Parquet file", "parquet")
    parquet = optional("pyarrow.parquet", "a Parquet file", "parquet")
    with guarded():
        file = parquet.ParquetFile(io.BytesIO(data))
        check_size(len(file.schema_arrow.names), max(1, file.metadata.num_rows), max_pixels)
        table = file.read()
    if not table.num_columns:
        raise InputError("expected a table with columns, found none")
    if notes := notes_of(table.schema):
        warnings.warn(f"of this file is not kept: {'; '.join(notes)}", stacklevel=2)
    found = [read_column(name, column) for name, column in zip(table.column_names, table.columns, strict=True)]
    forms, types = (tuple(part) for part in list(zip(*found, strict=True))[:2])
    layout = Layout(",", "\n", True, False, True, forms, types=types)
    values, gaps = np.stack([one[2] for one in found], 1), np.stack([one[3] for one in found], 1)
    for tracks in arranged(layout, values, gaps):
        told = layout_of(tracks.metadata)
        assert told is not None
        if all(map(_same, columns_of(tracks, told), zip(layout.forms, values.T, gaps.T, strict=True))):
            return tracks
    raise AssertionError("rows as they stand are always the same")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """What pyarrow raises within becomes InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # pyarrow's own kinds, and what its decoders raise
        raise InputError(f"the Parquet file is damaged: {line(error)}") from error


def notes_of(schema: Any) -> list[str]:
    """What of an Arrow schema is not kept."""
    notes = sorted(key.decode("utf-8", "replace") for key in schema.metadata or {})
    return [f"notes of its schema ({', '.join(notes)})"] if notes else []


def batches(file: Any, rows: int) -> Iterator[Any]:
    """So many rows at a time of a `pyarrow.parquet.ParquetFile`. Raises InputError for a damaged one."""
    with guarded():
        yield from file.iter_batches(rows)


def _same(cells: Cells, column: tuple[Form, Values, Gaps]) -> bool:
    """Whether cells are those of a column that was read."""
    (own, gaps), (form, values, missing) = cells, column
    if (gaps != missing).any():
        return False
    if isinstance(own, np.ndarray):
        return bool((own[~gaps] == values[~missing]).all())
    pairs = zip(own, values.tolist(), missing, strict=True)
    return all(one == form.cell(value) for one, value, gap in pairs if not gap)


# ---- columns in


def read_column(name: str, column: Any) -> tuple[Form, str, Values, Gaps]:
    """(form, type, numbers int64 (rows,), where there is none) of an Arrow column.

    Raises InputError for other types.
    """
    scan = Scan(name)
    scan.add(column)
    return scan.form, scan.kind, *scan.read(column)


class Scan:
    """A column as it comes, part by part: what all its parts are told by. Raises InputError for other types."""

    def __init__(self, name: str):
        self.name, self._type = name, ""
        self._decimals: int | None = 0  # of floats; None: by their bits
        self._most = 0.0
        self._nulls, self._odd = False, False
        self._words: dict[str, int] = {}

    def add(self, column: Any) -> None:
        """A further part, an Arrow array. Raises InputError."""
        column, self._type = _plain(self.name, column)
        if self._type in _FLOATS:
            floats, gaps, odd = _floats(column, _FLOATS[self._type])
            self._nulls, self._odd = self._nulls or bool(gaps.any()), self._odd or bool(odd.any())
            if self._decimals is not None:
                found = on_grid(floats, self._decimals)
                self._most = max(self._most, float(np.abs(floats).max(initial=0)))
                fits = found is not None and self._most * 10.0 ** found[1] < 2.0**52  # also what came before
                self._decimals = found[1] if fits and found is not None else None
        elif self._type == "string":
            for word in column.unique().to_pylist():
                if word is not None:
                    self._words.setdefault(word, len(self._words))
            if len(self._words) > MOST_WORDS:
                raise InputError(f"column {self.name!r} has more than {MOST_WORDS} different words")

    @property
    def kind(self) -> str:
        """Its type, as a layout names it."""
        return self._type + BITS * (self._type in _FLOATS and self._decimals is None)

    @property
    def form(self) -> Form:
        """In which its numbers stand. Warns of nulls beside NaN."""
        if self._type == "string":
            return Form(self.name, words=tuple(self._words) or ("",))
        if self._type in _FLOATS:
            if self._odd and self._nulls:
                warnings.warn(f"column {self.name!r} has nulls and NaN: both come back as nulls", stacklevel=3)
            missing = _NAN if self._odd and not self._nulls else ""
            return Form(self.name, self._decimals or 0, short=self._decimals is not None, missing=missing)
        found = _DECIMAL.fullmatch(self._type)
        return Form(self.name, int(found[2]) if found else 0)

    def read(self, column: Any) -> tuple[Values, Gaps]:
        """(numbers int64 (rows,), where there is none) of a part that was added."""
        column, _ = _plain(self.name, column)
        if self._type in _FLOATS:
            floats, gaps, odd = _floats(column, _FLOATS[self._type])
            return (bits_of(floats) if self._decimals is None else _on(floats, self._decimals)), gaps | odd
        gaps = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)
        if self._type == "string":
            words = ("" if word is None else word for word in column.to_pylist())
            return np.array([self._words.get(word, 0) for word in words], np.int64), gaps
        if found := _DECIMAL.fullmatch(self._type):
            pairs = column.to_pylist()
            return np.array([0 if one is None else int(one.scaleb(int(found[2]))) for one in pairs], np.int64), gaps
        return _whole(self.name, column, self._type), gaps


def _plain(name: str, column: Any) -> tuple[Any, str]:
    """(an array without a dictionary, its type's name). Raises InputError for types that have no place."""
    import pyarrow as pa

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = str(column.type).replace("large_string", "string")
    decimal = _DECIMAL.fullmatch(kind)
    known = kind in (*_FLOATS, *_WHOLE, *_TIMES, "string") or _ZONED.fullmatch(kind)
    if not known and not (decimal and int(decimal[1]) <= 18 and int(decimal[2]) >= 0):
        raise InputError(f"column {name!r} holds {kind}: expected numbers, times or words; leave it out")
    return column, kind


def _floats(column: Any, dtype: Any) -> tuple[NDArray[Any], Gaps, Gaps]:
    """(floats, 0 where there is none; where they are null; where they are NaN)."""
    gaps = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)
    floats = np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), dtype)
    odd = np.isnan(floats)
    return np.where(odd, dtype(0), floats), gaps, odd


def _on(floats: NDArray[Any], decimals: int) -> Values:
    found = on_grid(floats, decimals)
    assert found is not None  # as it was when it was added
    return found[0]


def _whole(name: str, column: Any, kind: str) -> Values:
    """Raises InputError for what 64 bits have no place for."""
    import pyarrow as pa

    wide = column.cast(pa.int32()) if kind in ("date32[day]", "time32[s]", "time32[ms]") else column
    try:
        numbers = wide.cast(pa.int64()).fill_null(0)
    except pa.ArrowInvalid:
        raise InputError(f"column {name!r} holds numbers from 2^63 on, for which tracks have no place") from None
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.int64)


# ---- and out


def write(signal: Any) -> bytes:
    """The table that was read, or of other tracks a plain one: values and types. Raises InputError for no tracks."""
    if not isinstance(signal, Tracks):
        raise InputError(f"a table holds tracks, found {signal.mode}")
    tracks = signal if layout_of(signal.metadata) is not None else plainly(signal)
    out = io.BytesIO()
    write_groups([tracks], out)
    return out.getvalue()


def write_groups(groups: Iterable[Tracks], file: BinaryIO) -> None:
    """Tracks one behind another, each with the layout of its own frames. Raises InputError where that does not fit."""
    pa, parquet = (optional(name, "a Parquet file", "parquet") for name in ("pyarrow", "pyarrow.parquet"))
    writer = None
    try:
        for tracks in groups:
            table = _table(tracks)
            writer = writer or parquet.ParquetWriter(file, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"what the metadata tell of the table does not fit its values: {line(error)}") from error


def _table(tracks: Tracks) -> Any:
    import pyarrow as pa

    layout = layout_of(tracks.metadata)
    assert layout is not None
    types = layout.types or tuple(map(_type_of, layout.forms))
    columns = [
        write_column(form, kind, *cells)
        for form, kind, cells in zip(layout.forms, types, columns_of(tracks, layout), strict=True)
    ]
    return pa.table(columns, names=[form.name or f"column {n}" for n, form in enumerate(layout.forms)])


def _type_of(form: Form) -> str:
    """Of a column of a table of text."""
    if form.words:
        return "string"
    return "double" if form.decimals or form.point else "int64"


def write_column(form: Form, kind: str, own: Values | list[str], gaps: Gaps) -> Any:
    """Mirror of :func:`read_column`: an Arrow array. Raises ValueError, ArrowException for what does not fit."""
    import pyarrow as pa

    if kind == "string":
        words = own if isinstance(own, list) else list(map(form.cell, own.tolist()))
        return pa.array(words, pa.string(), mask=gaps)
    numbers = own if isinstance(own, np.ndarray) else np.array([_digits(one, form.decimals) for one in own], np.int64)
    name = kind.removesuffix(BITS)
    if name in _FLOATS:
        dtype = _FLOATS[name]
        floats = of_bits(numbers, dtype) if kind.endswith(BITS) else off_grid(numbers, min(form.decimals, 22), dtype)
        if form.missing == _NAN:
            return pa.array(np.where(gaps, dtype(np.nan), floats))
        return pa.array(floats, mask=gaps)
    whole = pa.array(numbers, pa.int64(), mask=gaps)
    if found := _DECIMAL.fullmatch(kind):
        precision, scale = map(int, found.groups())
        pairs = zip(numbers.tolist(), gaps, strict=True)
        return pa.array([None if gap else _decimal(one, scale) for one, gap in pairs], pa.decimal128(precision, scale))
    if found := _ZONED.fullmatch(kind):
        return whole.cast(pa.timestamp(found[1], found[2]))
    if kind in ("date32[day]", "time32[s]", "time32[ms]"):
        whole = whole.cast(pa.int32())
    return whole.cast(_named(kind))


def _digits(cell: str, decimals: int) -> int:
    whole, _, behind = cell.partition(".")
    return int(whole + behind[:decimals].ljust(decimals, "0"))


def _decimal(number: int, scale: int) -> Any:
    from decimal import Decimal

    return Decimal(number).scaleb(-scale)


def _named(kind: str) -> Any:
    """An Arrow type by its name. Raises ValueError for another."""
    import pyarrow as pa

    if kind not in (*_WHOLE, *_TIMES):
        raise ValueError(f"a column of type {kind}")
    name, _, unit = kind.rstrip("]").partition("[")
    dated = {"date32": pa.date32, "date64": pa.date64, "bool": pa.bool_}
    if name in dated:
        return dated[name]()
    return getattr(pa, name)(unit) if unit else getattr(pa, name)()
