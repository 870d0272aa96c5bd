"""NumPy's `.npz` as tracks: an array frames × agents for each feature, by its name; nothing in it is ever unpickled.

An array of three axes holds several features. `names`, `teams` and `rate` are what tracks have by these names.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.metadata import EMPTY, Text
from ..media.rows.tracks import Column
from ..media.tracks import Tracks
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from .grids import bits_of, of_bits, off_grid, on_grid
from .raw import check_size, line

KEYWORD = "diffcodec arrays"  #: of the metadata's text that tells what arrays there were
_BESIDE = ("names", "teams", "rate")
_FRONT = b"PK\3\4"

Values = NDArray[np.int64]
Gaps = NDArray[np.bool_]


@dataclass(frozen=True)
class _Array:
    """What is told of an array: its name, type, features (0: it has two axes), and whether floats are told by bits."""

    name: str
    dtype: str
    features: int = 0
    bits: bool = False


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a `.npz`: a ZIP archive whose first member is an array."""
    length = int.from_bytes(data[26:28], "little")
    return data[:4] == _FRONT and data[30 : 30 + length].endswith(b".npy")


def read(data: bytes, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Tracks:
    """The tracks of arrays with ``max_pixels`` values at most in all.

    Raises InputError for a damaged file, and for arrays that are no features of the same frames and agents, by name.
    """
    arrays = _arrays(data, max_pixels)
    beside = {name: arrays.pop(name) for name in _BESIDE if name in arrays}
    sizes = {array.shape[:2] for array in arrays.values() if array.ndim in (2, 3)}
    odd = [name for name, array in arrays.items() if array.ndim not in (2, 3) or array.dtype.kind not in "iufb"]
    if odd or len(sizes) != 1:
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "none"
        raise InputError(f"expected arrays frames × agents of numbers, of one size, found {found}: leave others out")
    told, parts = [], []
    for name, array in arrays.items():
        several = array.ndim == 3
        one, columns, values, gaps = _features(name, array if several else array[..., None])
        told.append(replace(one, features=array.shape[2] if several else 0))
        parts.append((columns, values, gaps))
    columns = tuple(column for some, _, _ in parts for column in some)
    values, gaps = (np.concatenate([part[n] for part in parts], 2) for n in (1, 2))
    own: dict[str, Any] = {name: tuple(map(str, beside[name].ravel())) for name in ("names", "teams") if name in beside}
    if "rate" in beside:
        own["rate"] = Fraction(*map(int, beside["rate"].ravel()[:2]))
    text = json.dumps([vars(one) for one in told], separators=(",", ":"), ensure_ascii=False)
    metadata = replace(EMPTY, text=(Text(KEYWORD, text, international=True),))
    return Tracks(values, columns, gaps, **own, metadata=metadata)


def _arrays(data: bytes, max_pixels: int) -> dict[str, NDArray[Any]]:
    """Raises InputError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            size = sum(member.file_size for member in file.infolist())
            if size > 16 * max_pixels:
                raise InputError(f"arrays of {size} bytes are over the limit of {max_pixels} values")
            found: dict[str, NDArray[Any]] = {}
            for member in file.infolist():
                array = np.lib.format.read_array(io.BytesIO(file.read(member)), allow_pickle=False)
                found[member.filename.removesuffix(".npy")] = array
    except InputError:
        raise
    except Exception as error:  # headers are Python source, and fail in every way that source can
        raise InputError(f"expected a .npz of arrays of numbers, found a damaged one: {line(error)}") from error
    values = sum(math.prod(array.shape) for name, array in found.items() if name not in _BESIDE)
    if found and values:
        check_size(1, values, max_pixels)
    return found


def _features(name: str, array: NDArray[Any]) -> tuple[_Array, tuple[Column, ...], Values, Gaps]:
    """Of an array (T, A, F)."""
    gaps = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
    count = array.shape[2]
    names = [name] if count == 1 else [f"{name} {n}" for n in range(count)]
    if array.dtype.kind == "u" and array.size and int(array.max()) >> 63:
        raise InputError(f"array {name!r} holds whole numbers from 2^63 on, which tracks have no place for")
    if array.dtype.kind != "f":
        return _Array(name, array.dtype.str), tuple(map(Column, names)), array.astype(np.int64), gaps
    if array.dtype.itemsize not in (4, 8):
        raise InputError(f"array {name!r} is of {array.dtype}: expected float32 or float64")
    floats = np.where(gaps, array.dtype.type(0), array).astype(array.dtype.newbyteorder("="))
    grids = [on_grid(floats[..., n].ravel()) for n in range(count)]
    if any(grid is None for grid in grids):
        bits = bits_of(floats.ravel()).reshape(floats.shape)
        return _Array(name, array.dtype.str, bits=True), tuple(map(Column, names)), bits, gaps
    there = [grid for grid in grids if grid is not None]
    values = np.stack([numbers.reshape(floats.shape[:2]) for numbers, _ in there], 2)
    columns = tuple(Column(own, Decimal(1).scaleb(-decimals)) for own, (_, decimals) in zip(names, there, strict=True))
    return _Array(name, array.dtype.str), columns, values, gaps


def write(signal: Any) -> bytes:
    """The arrays that were read, or of other tracks one for each feature, of whole numbers where it has steps of 1.

    Gaps of floats are NaN. Raises InputError for no tracks, and for gaps in features of whole numbers.
    """
    if not isinstance(signal, Tracks):
        raise InputError(f"a .npz of features holds tracks, found {signal.mode}")
    arrays = dict(_written(signal))
    if signal.names:
        arrays["names"] = np.array(signal.names)
    if signal.teams:
        arrays["teams"] = np.array(signal.teams)
    if signal.rate is not None:
        arrays["rate"] = np.array([signal.rate.numerator, signal.rate.denominator])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return out.getvalue()


def _written(tracks: Tracks) -> list[tuple[str, NDArray[Any]]]:
    """Arrays by their names. Raises InputError."""
    found, at = _told(tracks), 0
    if found is None:
        return [(column.name or f"feature {n}", _plain(tracks, n)) for n, column in enumerate(tracks.columns)]
    out = []
    for one in found:
        count = max(1, one.features)
        parts = [_array(tracks, n, one) for n in range(at, at + count)]
        out.append((one.name, np.stack(parts, 2) if one.features else parts[0]))
        at += count
    if at != len(tracks.columns):
        raise InputError("what the metadata tell of the arrays does not fit the columns")
    return out


def _told(tracks: Tracks) -> list[_Array] | None:
    """What arrays were read; None where nothing is told. Raises InputError where that is damaged."""
    text = next((one.text for one in tracks.metadata.text if one.keyword == KEYWORD), None)
    if text is None:
        return None
    try:
        found = [_Array(**one) for one in json.loads(text)]
        fits = all(np.dtype(one.dtype).kind in "iufb" and 0 <= one.features <= len(tracks.columns) for one in found)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("what the metadata tell of the arrays is damaged") from error
    if not fits:
        raise InputError("what the metadata tell of the arrays is damaged")
    return found


def _array(tracks: Tracks, n: int, one: _Array) -> NDArray[Any]:
    """A feature (T, A) as it was read. Raises InputError."""
    if n >= len(tracks.columns):
        raise InputError("what the metadata tell of the arrays does not fit the columns")
    dtype, values, gaps = np.dtype(one.dtype), tracks.values[..., n], tracks.gaps[..., n]
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        return values.astype(dtype)
    native = dtype.newbyteorder("=")
    decimals = -int(tracks.columns[n].step.as_tuple().exponent)
    if one.bits:
        floats = of_bits(values.ravel(), native).reshape(values.shape)
    elif 0 <= decimals <= 22:
        floats = off_grid(values.ravel(), decimals, native).reshape(values.shape)
    else:
        raise InputError("what the metadata tell of the arrays does not fit the columns")
    return np.where(gaps, native.type(np.nan), floats).astype(dtype)


def _plain(tracks: Tracks, n: int) -> NDArray[Any]:
    column, gaps = tracks.columns[n], tracks.gaps[..., n]
    if column.step == 1 and not column.offset and not gaps.any():
        return tracks.values[..., n]
    return tracks.floats()[..., n]
