"""The media. To add one: modules of the signal and of its row, a line here, a section of docs and of the format."""

from __future__ import annotations

from typing import Any

from ..runtime.errors import CorruptStream
from .medium import Medium, Signal
from .rows.clip import Clips
from .rows.picture import Pictures
from .rows.tokens import TokenRows
from .rows.tracks import TrackSets

#: the last one takes whatever the others do not, or says what it would have to be
ROWS: tuple[Medium, ...] = (TokenRows(), Clips(), TrackSets(), Pictures())
#: by the number of the header mode
MEDIA: dict[int, Medium] = {number: medium for medium in ROWS for number in medium.modes}


def medium_of(mode: int) -> Medium:
    """The medium of a header mode. Raises CorruptStream if there is none."""
    try:
        return MEDIA[mode]
    except KeyError:
        raise CorruptStream(f"unknown mode {mode}: this file needs a newer diffcodec") from None


def signal_of(given: Any) -> Signal:
    """What a caller gives, as a signal of the medium that takes it. Raises InputError."""
    for medium in ROWS:
        signal = medium.taken(given)
        if signal is not None:
            return signal
    raise AssertionError("pictures take or refuse all that is left")
