"""What a stream of tracks says of itself in front of its passes. bitstream_spec/TRACKS.md §1."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...models.tracks import prediction
from ...models.tracks.past import LAGS, Past
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ...runtime.varint import write_varint
from .columns import PLAIN, Column
from .cost import FURTHER, LAYERED, TRACKS, WALKED

MOST_FRAMES = 2**20  #: of a pass
MOST_EVERY = 16  #: frames from one of the first layer to the next
_TOLD = 4  # a bit of the prediction's number: how other columns are coded follows
_OWN = len(prediction.KNOWN)  # the number of a prediction whose coefficients follow

Values = NDArray[np.int64]


@dataclass(frozen=True)
class Layers:
    """Every so many frames there is one that is told in front of all others.

    every: 2 to MOST_EVERY. number, coefficients: of the linear prediction among these frames, as of `Plan`.
    """

    every: int
    number: int
    coefficients: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """How many, the prediction's number, and coefficients of its own."""
        return bytes([self.every, self.number]) + _own(self.number, np.array(self.coefficients))

    @classmethod
    def read(cls, fields: Fields) -> Layers:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        every, number = fields.take(2)
        if not 2 <= every <= MOST_EVERY or number > _OWN:
            raise CorruptStream("the layers of the tracks fit none; the file is damaged")
        return cls(every, number, tuple(_coefficients(number, fields).tolist()))


def _own(number: int, coefficients: Values) -> bytes:
    """Coefficients as they stand in the stream, where the number does not say them."""
    return coefficients.astype("<i2").tobytes() if number == _OWN else b""


def _coefficients(number: int, fields: Fields) -> Values:
    """Mirror of :func:`_own`."""
    if number < _OWN:
        return prediction.KNOWN[number]
    return np.frombuffer(fields.take(2 * LAGS), "<i2").astype(np.int64)


@dataclass(frozen=True)
class Further:
    """What else is done to take fewer bits.

    longest: frames for which an agent may be away and is still known when it comes back, below 256. rate: of learning,
    in 1/16384, below 256; 0 where nothing is learned. walked: who is there is coded frame by frame
    (`entropy.presence`), not as a plane. layers: which frames are told first, so that a beginning of the stream shows
    all; None where all are told in turn.
    """

    longest: int = 0
    rate: int = 0
    walked: bool = False
    layers: Layers | None = None

    def to_bytes(self) -> bytes:
        """Of nothing else no bytes."""
        if self == Further():
            return b""
        layers = b"" if self.layers is None else self.layers.to_bytes()
        return bytes([self.longest, self.rate, self.walked * WALKED | bool(layers) * LAYERED]) + layers

    @classmethod
    def read(cls, fields: Fields) -> Further:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        longest, rate, flags = fields.take(3)
        if flags > WALKED | LAYERED or not (longest or rate or flags):
            raise CorruptStream("what else is done with the tracks fits nothing; the file is damaged")
        layers = Layers.read(fields) if flags & LAYERED else None
        return cls(longest, rate, bool(flags & WALKED), layers)


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
    def coarse(self) -> Plan | None:
        """Of the frames that are told first, which are a sequence of their own and too few to learn from, if any."""
        layers = self.further.layers
        if layers is None:
            return None
        coefficients, further = np.array(layers.coefficients, np.int64), replace(self.further, rate=0)
        return replace(self, number=layers.number, coefficients=coefficients, further=further)

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
        own = _own(self.number, self.coefficients)
        told = b"".join(one.to_bytes() for one in self.told) if self.running else b""
        further = self.further.to_bytes()
        first = bytes([self.number | bool(told) * _TOLD | bool(further) * FURTHER])
        return bytes([TRACKS]) + b"".join(map(write_varint, numbers)) + first + further + own + told

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        fields = Fields(data[1:], "the parameters of the tracks end")
        columns, x, y, frames = (fields.varint() for _ in range(4))
        first = fields.byte()
        number = first & ~(_TOLD | FURTHER)
        further = Further.read(fields) if first & FURTHER else Further()
        every = 1 if further.layers is None else further.layers.every
        fits = x < columns and y < columns and x != y and 1 <= frames <= MOST_FRAMES and frames % every == 0
        if not fits or number > _OWN:
            raise CorruptStream("the parameters of the tracks fit none; the file is damaged")
        coefficients = _coefficients(number, fields)
        others = columns - 2 if first & _TOLD else 0
        told = tuple(Column.read(fields) for _ in range(others)) or (Column(),) * (columns - 2)
        if not fields.ended:
            raise CorruptStream("the parameters of the tracks do not end where they should; the file is damaged")
        return cls(columns, (x, y), frames, number, coefficients, told, further)
