"""Floats as whole numbers on grids of decimals, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 15  #: decimals
_EXACT = 2.0**53

Values = NDArray[np.int64]


def on_grid(floats: NDArray[Any], decimals: int = 0) -> tuple[Values, int] | None:
    """(whole numbers, decimals) of float32 or float64 (n,), none of them NaN, of as few decimals as tell all exactly.

    decimals: from which on these are tried. None where there are none: then they are told by their bits (`bits_of`).
    """
    for count in range(decimals, MOST + 1):
        numbers = np.rint(floats.astype(np.float64) * 10.0**count)
        if not (np.abs(numbers) < _EXACT).all():
            return None
        found = numbers.astype(np.int64)
        if (off_grid(found, count, floats.dtype) == floats).all():
            return found, count
    return None


def off_grid(numbers: Values, decimals: int, dtype: Any) -> NDArray[Any]:
    """Mirror of :func:`on_grid`: the floats nearest to int64 (n,) / 10^decimals, of this type; decimals up to 22."""
    floats: NDArray[Any] = (numbers.astype(np.float64) / 10.0**decimals).astype(dtype)
    return floats


def bits_of(floats: NDArray[Any]) -> Values:
    """int64 (n,): the bits of float32 or float64 (n,), in the order of the floats."""
    numbers = floats.view(f"i{floats.dtype.itemsize}").astype(np.int64)
    least = np.int64(-(2 ** (8 * floats.dtype.itemsize - 1)))
    return np.where(numbers < 0, least - numbers - 1, numbers)


def of_bits(numbers: Values, dtype: Any) -> NDArray[Any]:
    """Mirror of :func:`bits_of`."""
    size = np.dtype(dtype).itemsize
    least = np.int64(-(2 ** (8 * size - 1)))
    floats: NDArray[Any] = np.where(numbers < 0, least - numbers - 1, numbers).astype(f"i{size}").view(dtype)
    return floats
