"""The media. To add one: modules of the signal and of its row, a line here, a section of docs and of the format.

A row is imported when one of its modes is read, or when what a caller gives is asked of all: a command that tells of a
picture starts sooner without the others.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from ..runtime.errors import CorruptStream
from .medium import Medium, Signal

#: by its module in rows/: its class, and the numbers of its header modes; the last one has all others, and takes
#: whatever the others do not, or says what it would have to be
_PLACES: dict[str, tuple[str, tuple[int, ...]]] = {
    "tokens": ("TokenRows", (71, 74)),
    "clip": ("Clips", (75, 76, 77)),
    "tracks": ("TrackSets", (78,)),
    "picture": ("Pictures", ()),
}
_MODULES = {number: module for module, (_, numbers) in _PLACES.items() for number in numbers}


@functools.cache
def _row(module: str) -> Medium:
    row: Medium = getattr(import_module(f".rows.{module}", __package__), _PLACES[module][0])()
    return row


def rows() -> tuple[Medium, ...]:
    """All of them, in the order in which they are asked what a caller gives."""
    return tuple(map(_row, _PLACES))


def medium_of(mode: int) -> Medium:
    """The medium of a header mode. Raises CorruptStream if there is none."""
    medium = _row(_MODULES.get(mode, "picture"))
    if mode not in medium.modes:
        raise CorruptStream(f"unknown mode {mode}: this file needs a newer diffcodec")
    return medium


def signal_of(given: Any) -> Signal:
    """What a caller gives, as a signal of the medium that takes it. Raises InputError."""
    for medium in rows():
        signal = medium.taken(given)
        if signal is not None:
            return signal
    raise AssertionError("pictures take or refuse all that is left")
