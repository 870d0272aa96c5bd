"""The size that a picture is reduced to: plain numbers, importing this loads nothing."""

from __future__ import annotations

from ..runtime.errors import InputError

Size = int | tuple[int, int]  #: the longest side, or (width, height) to fit into


def check_size(size: Size) -> None:
    """Raises InputError for what is neither a side nor a width and a height of at least 1."""
    sides = size if isinstance(size, tuple) else (size, size)
    right = len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not right or min(sides) < 1:
        raise InputError(f"expected size to be a longest side or (width, height), each at least 1, found {size!r}")


def within(full: tuple[int, int], size: Size) -> tuple[int, int]:
    """(width, height) of the largest picture of this size at most that has the proportions of ``full``, no larger."""
    (width, height), (most_w, most_h) = full, size if isinstance(size, tuple) else (size, size)
    if width <= most_w and height <= most_h:
        return full
    if width * most_h >= height * most_w:
        return most_w, max(1, min(most_h, (2 * height * most_w + width) // (2 * width)))
    return max(1, min(most_w, (2 * width * most_h + height) // (2 * height))), most_h
