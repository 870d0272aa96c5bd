"""What a stream of tracks says of itself in front of its passes. bitstream_spec/TRACKS.md §1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.tracks import prediction
from ...models.tracks.past import LAGS, Past
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ...runtime.varint import write_varint
from .columns import PLAIN, Column
from .cost import TRACKS

MOST_FRAMES = 2**20  #: of a pass
_TOLD = 4  # a bit of the prediction's number: how other columns are coded follows
_FURTHER = 8  # another: what else is done follows

Values = NDArray[np.int64]


@dataclass(frozen=True)
class Further:
    """What else is done to take fewer bits.

    longest: frames for which an agent may be away and is still known when it comes back, below 256. rate: of learning,
    in 1/16384, below 256; 0 where nothing is learned. walked: who is there is coded frame by frame
    (`entropy.presence`), not as a plane.
    """

    longest: int = 0
    rate: int = 0
    walked: bool = False

    def to_bytes(self) -> bytes:
        """Of nothing else no bytes."""
        return b"" if self == Further() else bytes([self.longest, self.rate, self.walked])

    @classmethod
    def read(cls, fields: Fields) -> Further:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        longest, rate, walked = fields.take(3)
        if walked > 1 or not (longest or rate or walked):
            raise CorruptStream("what else is done with the tracks fits nothing; the file is damaged")
        return cls(longest, rate, bool(walked))


@dataclass(frozen=True)
class Plan:
    """How numbers are coded: columns of an agent, which two are its place, frames of a pass, the linear prediction.

    coefficients: int64 (LAGS,); number: theirs in `prediction.KNOWN`, its length for others, which stand in the stream.
    told: how the columns are coded that are no place, in their order; all plain where none is told. further: what else.
    """

    columns: int
    places: tuple[int, int]
    frames: int
    number: int
    coefficients: Values
    told: tuple[Column, ...] = ()
    further: Further = Further()

    def past(self, agents: int, scale: int, speed: int) -> Past:
        """Of a pass, before its first frame."""
        return Past(agents, self.coefficients, scale, speed, self.further.longest)

    @property
    def others(self) -> list[int]:
        """The columns that are no place."""
        return [n for n in range(self.columns) if n not in self.places]

    @property
    def plain(self) -> list[int]:
        """Those of the others that the context coder codes."""
        return [n for n, one in zip(self.others, self.told, strict=True) if one.kind == PLAIN]

    @property
    def running(self) -> list[tuple[int, Column]]:
        """Those of the others that are predicted."""
        return [(n, one) for n, one in zip(self.others, self.told, strict=True) if one.kind != PLAIN]

    def to_bytes(self) -> bytes:
        """The codec's parameters."""
        numbers = (self.columns, *self.places, self.frames)
        own = self.coefficients.astype("<i2").tobytes() if self.number == len(prediction.KNOWN) else b""
        told = b"".join(one.to_bytes() for one in self.told) if self.running else b""
        further = self.further.to_bytes()
        first = bytes([self.number | bool(told) * _TOLD | bool(further) * _FURTHER])
        return bytes([TRACKS]) + b"".join(map(write_varint, numbers)) + first + further + own + told

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        fields = Fields(data[1:], "the parameters of the tracks end")
        columns, x, y, frames = (fields.varint() for _ in range(4))
        first = fields.byte()
        number = first & ~(_TOLD | _FURTHER)
        further = Further.read(fields) if first & _FURTHER else Further()
        own = number == len(prediction.KNOWN)
        coefficients = np.frombuffer(fields.take(2 * LAGS if own else 0), "<i2").astype(np.int64)
        fits = x < columns and y < columns and x != y and 1 <= frames <= MOST_FRAMES
        if not fits or number > len(prediction.KNOWN):
            raise CorruptStream("the parameters of the tracks fit none; the file is damaged")
        others = columns - 2 if first & _TOLD else 0
        told = tuple(Column.read(fields) for _ in range(others)) or (Column(),) * (columns - 2)
        if not fields.ended:
            raise CorruptStream("the parameters of the tracks do not end where they should; the file is damaged")
        known = coefficients if own else prediction.KNOWN[number]
        return cls(columns, (x, y), frames, number, known, told, further)
