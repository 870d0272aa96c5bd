"""Colours where alpha is 0: one and the same in most pictures, and then told once and coded as what stands beside them.

Nobody sees them, but they come back as they were.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .modes import Mode

Bytes = NDArray[np.uint8]
_STRIP = 64  # rows that are looked at together
_DIGITS = np.array([value.bit_length() for value in range(256)])


def told_apart(every: Bytes, mode: Mode) -> tuple[Bytes, bytes] | None:
    """(planes with other colours where alpha is 0, the bytes of the colour that stood there) of uint8 (H, W, P).

    None without alpha, where it is nowhere 0 or everywhere, where several colours stand there, and where the others
    would be harder to guess.
    """
    hidden = where_hidden(every, mode)
    if hidden is None or not hidden.any() or hidden.all():
        return None
    colours = list(mode.colour_planes)
    there = every[..., colours][hidden]
    if (there != there[0]).any():
        return None
    other = every.copy()
    other[..., colours] = _spread(every[..., colours], ~hidden)
    return (other, there[0].tobytes()) if _surprise(other) < _surprise(every) else None


def put_back(every: Bytes, mode: Mode, colour: bytes) -> Bytes:
    """The inverse of :func:`told_apart`."""
    hidden = where_hidden(every, mode)
    assert hidden is not None
    for index, value in zip(mode.colour_planes, colour, strict=True):
        every[..., index][hidden] = value
    return every


def where_hidden(every: Bytes, mode: Mode) -> NDArray[np.bool_] | None:
    """bool (H, W): where all bytes of alpha are 0; None for a mode without."""
    if mode.alpha is None:
        return None
    planes = set(range(mode.planes)) - set(mode.colour_planes)
    found: NDArray[np.bool_] = (every[..., sorted(planes)] == 0).all(2)
    return found


def _spread(colours: Bytes, seen: NDArray[np.bool_]) -> Bytes:
    """Each pixel that is not seen as the one to its left, in the first columns as the one above."""
    height, width = seen.shape
    out: Bytes = colours.copy()
    above = np.broadcast_to(colours[seen][0], (width, colours.shape[2]))
    columns = np.arange(width)
    for y in range(height):
        from_left = np.maximum.accumulate(np.where(seen[y], columns, -1))
        out[y] = np.where((from_left < 0)[:, None], above, colours[y][np.maximum(from_left, 0)])
        above = out[y]
    return out


def _surprise(every: Bytes) -> int:
    """Binary digits of what a median of left, above and both leaves of each byte but those of first row and column."""
    total = 0
    for first in range(1, len(every), _STRIP):
        rows = every[first - 1 : first + _STRIP].astype(np.int16)
        w, n, nw = rows[1:, :-1], rows[:-1, 1:], rows[:-1, :-1]
        guess = np.clip(w + n - nw, np.minimum(w, n), np.maximum(w, n))
        total += int(_DIGITS[np.abs(rows[1:, 1:] - guess)].sum())
    return total
