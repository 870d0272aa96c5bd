"""What agents have beside their place, predicted from its own past and from how they move, which is decoded first.

A length, as speed is, follows from how far an agent moves in the frames around; a direction, whose numbers go round a
circle, from where it moves to. Coefficients are fitted by who encodes, in floats, and stand rounded in the stream: from
there on all is integers. bitstream_spec/TRACKS.md, §6.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...entropy.running import COEFFICIENT, KINDS, PAST, Running
from ...models.tracks.motion import TURN, WINDOWS, moved
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ...runtime.varint import write_varint

PLAIN, LINE, ROUND = range(3)  #: coded by the context coder; numbers on a line, and on a circle
MOST_WIDTH = 62  #: bits of a number
MOST_CIRCLE, MOST_FINER = 2**30, 12
_TOLD = {LINE: 2 * WINDOWS + 1, ROUND: WINDOWS}
_PLACES = {LINE: 1, ROUND: KINDS}
_SPEEDS = np.array([96, 256, 640, 1600], np.int64)  # 1/64 cell a frame: from each on, a direction is surer
_LARGEST = (1 << 15) - 1  # of a coefficient
_ROUNDS, _FEWEST = 6, 40  # of a fit, and numbers that one takes

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """How agents move: lengths and directions int64 (T, A, WINDOWS) as of `models.tracks.motion.moved`."""

    lengths: Numbers
    directions: Numbers

    @classmethod
    def of(cls, positions: Numbers, here: Flags) -> Motion:
        """Of positions int64 (T, A, 2) of agents that are ``here`` bool (T, A)."""
        return cls(*moved(positions, here))

    def first(self, frames: int) -> Motion:
        """Of so many frames."""
        return Motion(self.lengths[:frames], self.directions[:frames])


@dataclass(frozen=True, eq=False)
class Column:
    """How a column is coded.

    kind: PLAIN, LINE or ROUND. coefficients: int64 (places, numbers that predict), none of PLAIN. circle: of ROUND, how
    many numbers go round. turned, zero: of ROUND, the number of a direction is zero + it, or zero - it.
    finer: of LINE, what is told besides its past counts 2^finer times.
    """

    kind: int = PLAIN
    coefficients: Numbers = field(default_factory=lambda: np.zeros((1, 0), np.int64))
    circle: int = 0
    turned: bool = False
    zero: int = 0
    finer: int = 0

    def to_bytes(self) -> bytes:
        """As it stands in the codec's parameters."""
        front = bytes([self.kind])
        if self.kind == ROUND:
            front += write_varint(self.circle) + bytes([self.turned]) + write_varint(self.zero)
        if self.kind == LINE:
            front += bytes([self.finer])
        return front + self.coefficients.astype("<i2").tobytes()

    @classmethod
    def read(cls, fields: Fields) -> Column:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        kind, circle, turned, zero, finer = fields.byte(), 0, 0, 0, 0
        if kind == PLAIN:
            return cls()
        if kind == ROUND:
            circle, turned, zero = fields.varint(), fields.byte(), fields.varint()
        if kind == LINE:
            finer = fields.byte()
        fits = finer <= MOST_FINER if kind == LINE else (2 <= circle <= MOST_CIRCLE and turned < 2 and zero < circle)
        if kind not in _TOLD or not fits:
            raise CorruptStream("a column of the tracks is told in no known way; the file is damaged")
        shape = (_PLACES[kind], PAST + _TOLD[kind] + (kind == LINE))
        coefficients = np.frombuffer(fields.take(2 * shape[0] * shape[1]), "<i2").astype(np.int64)
        return cls(kind, coefficients.reshape(shape), circle, bool(turned), zero, finer)

    def running(self, motion: Motion, there: Flags, width: int) -> Running:
        """How its numbers of ``width`` bits are predicted, of those ``there`` bool (T, A)."""
        told, kinds = self.told(motion)
        return Running(there, told, kinds, self.coefficients, self.circle, width)

    def told(self, motion: Motion) -> tuple[Numbers, Numbers]:
        """(what predicts besides its past int64 (T, A, J), kinds of places int64 (T, A)), as of `Running`."""
        lengths = motion.lengths
        if self.kind == LINE:
            before = np.concatenate([lengths[:1], lengths[:-1]])
            unit = np.full((*lengths.shape[:2], 1), 64)
            told = np.concatenate([lengths - before, lengths, unit], 2) << self.finer
            return told, np.zeros(lengths.shape[:2], np.int64)
        along = motion.directions * self.circle >> TURN
        told = (self.zero - along if self.turned else self.zero + along) % self.circle
        kinds = np.searchsorted(_SPEEDS, lengths[..., 0], side="right").astype(np.int64)
        return np.where(motion.directions < 0, -1, told), kinds


def fitted(values: Numbers, there: Flags, motion: Motion, circle: int) -> Column:
    """The column that suits ``values`` int64 (T, A); ``circle``: that its numbers go round so many, 0: they do not."""
    column = _bare(values, there, motion, circle) if circle else Column(LINE)
    told, kinds = column.told(motion)
    moves = _wrapped(np.diff(values, axis=0, prepend=values[:1]), circle)
    steps = [np.concatenate([np.zeros_like(moves[:k]), moves[:-k]]) for k in range(1, PAST + 1)]
    last = np.concatenate([values[:1], values[:-1]])
    if circle:
        known = [np.where(one < 0, 0, _wrapped(one - last, circle)) for one in np.moveaxis(told, 2, 0)]
    else:
        known = [*(np.moveaxis(told, 2, 0) / 64), last]
    every = np.stack([*steps, *known], 2).astype(np.float64)
    sure = there.copy()
    for k in range(1, PAST + 2):
        sure[k:] &= there[:-k]
        sure[:k] = False
    sure &= moves != 0  # what is the last again is not predicted
    moves = moves.astype(np.float64)
    if not circle:
        return _on_a_line(column, every[sure], moves[sure])
    whole = _least(every[sure], moves[sure], circle)
    parts = [sure & (kinds == kind) for kind in range(KINDS)]
    found = [
        _least(every[part], moves[part], circle) if int(part.sum()) >= _FEWEST else whole for part in parts
    ]
    return replace(column, coefficients=_rounded(np.stack(found)))


def _on_a_line(column: Column, every: Floats, wanted: Floats) -> Column:
    """By all that is told, by its past, or as it went last: what misses by the fewest digits once it is rounded."""
    told, missed = slice(PAST, PAST + _TOLD[LINE]), []
    for count in (every.shape[1], PAST, 0):
        exact = np.zeros((1, every.shape[1]))
        exact[0, 0] = 1.0
        if count:
            exact[0, :count] = _least(every[:, :count], wanted, 0)
        finer = 0
        while finer < MOST_FINER and np.abs(exact[:, told]).max() * COEFFICIENT > _LARGEST:
            exact[:, told] /= 2
            finer += 1
        one = replace(column, coefficients=_rounded(exact), finer=finer)
        times = np.ones(every.shape[1])
        times[told] = 2.0**finer
        error = wanted - every @ (one.coefficients[0] * times / COEFFICIENT)
        missed.append((float(np.log2(0.5 + np.abs(error)).sum()), one))
    return min(missed, key=lambda found: found[0])[1]


def _rounded(exact: Floats) -> Numbers:
    return np.clip(np.rint(exact * COEFFICIENT), -_LARGEST, _LARGEST).astype(np.int64)


def _wrapped(numbers: Numbers, circle: int) -> Numbers:
    return (numbers + circle // 2) % circle - circle // 2 if circle else numbers


def _least(every: Floats, wanted: Floats, circle: int) -> Floats:
    """Coefficients by reweighted least squares, so that few who are far off count little; of too few the last step."""
    found = np.zeros(every.shape[1])
    if len(every) < _FEWEST:
        found[0] = 0.5
        return found
    for _ in range(_ROUNDS):
        missed = wanted - every @ found
        missed = (missed + circle / 2) % circle - circle / 2 if circle else missed
        far = np.abs(missed)
        weighted = every / (np.median(far) + far + 0.5)[:, None]
        scale = weighted.T @ every
        scale += np.diag(1e-6 * np.diag(scale) + 1e-9)
        found = np.linalg.solve(scale, weighted.T @ (every @ found + missed))
    return found


def _bare(values: Numbers, there: Flags, motion: Motion, circle: int) -> Column:
    """Numbers that go round so, and from there, as agrees best with where agents move that do move."""
    moving = there & (motion.lengths[..., 0] >= _SPEEDS[1])
    along = motion.directions[..., 0][moving] / 2**TURN
    own = values[moving] / circle
    best, found = -1.0, Column(ROUND, circle=circle)
    for turned in (False, True):
        mean = np.exp(2j * np.pi * (own + along if turned else own - along)).sum()
        if abs(mean) > best:
            best = abs(mean)
            zero = round(float(np.angle(mean)) / (2 * np.pi) * circle) % circle
            found = replace(found, turned=turned, zero=zero)
    return found
