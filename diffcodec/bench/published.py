"""Points that others published, to be drawn beside what is measured: a CSV of means over the same pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable

from ..runtime.errors import InputError
from .curves import Lossy, Mean

#: columns that may be there, and the metric that each is
_METRICS = {"psnr_db": "psnr", "psnr": "psnr", "ms_ssim": "ms_ssim"}
_MOST = 2**24  # bytes of a table


def read(path: str) -> Lossy:
    """codec -> points {bpp, psnr (dB), ms_ssim}, lowest rate first; NaN for what a row does not tell.

    Columns: codec, bpp (bits per pixel), psnr_db or psnr, ms_ssim (0 to 1), one of them at least; others are not
    looked at. Raises InputError for another table, with the line of what is no number; OSError.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file.read(_MOST).splitlines())
        columns = [name for name in _METRICS if name in (reader.fieldnames or ())]
        if not {"codec", "bpp"} <= {*(reader.fieldnames or ())} or not columns:
            raise InputError(f"{path}: expected columns codec, bpp, and psnr_db or ms_ssim")
        found: Lossy = {}
        for row in reader:
            point = _point(row, columns, lambda told: InputError(f"{path}, line {reader.line_num}: {told}"))
            found.setdefault(row["codec"], []).append(point)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no table of text: {error}") from None
    if not found:
        raise InputError(f"{path}: expected points, found none")
    return {codec: sorted(points, key=lambda p: p["bpp"]) for codec, points in found.items()}


def _point(row: dict[str, str], columns: list[str], wrong: Callable[[str], InputError]) -> Mean:
    """Raises InputError."""
    if None in row.values() or not row["codec"]:
        raise wrong("a cell is missing")
    try:
        told = {key: float(row[key]) if row[key] else math.nan for key in ("bpp", *columns)}
    except ValueError:
        raise wrong("expected numbers") from None
    if not 0 < told["bpp"] < math.inf:
        raise wrong(f"expected bits per pixel above 0, found {row['bpp']}")
    nothing = dict.fromkeys(_METRICS.values(), math.nan)
    return {"bpp": told["bpp"], **nothing, **{_METRICS[key]: told[key] for key in columns}}
