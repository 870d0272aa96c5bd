"""Agents that move in a plane, coded by a network frame after frame: an ARDM that is causal over time.

Of an agent in a frame the network sees the frames before, its own and the others', and gives the joint distribution of
both coordinates; agents of a frame do not see each other, so their order is free. A pass holds so many frames and is
decoded by itself. What an agent's other columns hold is predicted from their past and from how it moves, or goes to
the context coder (`columns`). bitstream_spec/TRACKS.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid, running
from ...entropy.context import coder as context
from ...entropy.stack import AnsStack
from ...models.protocols import TrackModel
from ...models.tracks import prediction
from ...models.tracks.past import LAGS, SCALE, Past
from ...runtime.errors import CorruptStream, Truncated
from ...runtime.fields import Fields
from ...runtime.progress import Progress, side_by_side
from ...runtime.varint import write_varint
from ..codec import Head
from ..codec import Receiver as AnyReceiver
from ..reconstruction import DEFAULT, Reconstruction
from .columns import MOST_WIDTH as MOST_COLUMN
from .columns import PLAIN, Column, Motion, fitted
from .cost import MOST_AGENTS, TRACKS

FRAMES = 1024  #: of a pass
MOST_FRAMES = 2**20  #: of one
MOST_WIDTH = 60  #: bits of a coordinate, less the least
_SCALES = 200  # steps of scales
_TOLD = 4  # a bit of the prediction's number: how other columns are coded follows
_FIRST = (4 * SCALE, 16 * SCALE)  # scale and speed, until they are known

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """How numbers are coded: columns of an agent, which two are its place, frames of a pass, the linear prediction.

    coefficients: int64 (LAGS,); number: theirs in `prediction.KNOWN`, its length for others, which stand in the stream.
    told: how the columns are coded that are no place, in their order; all plain where none is told.
    """

    columns: int
    places: tuple[int, int]
    frames: int
    number: int
    coefficients: Values
    told: tuple[Column, ...] = ()

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
        first = bytes([self.number | bool(told) * _TOLD])
        return bytes([TRACKS]) + b"".join(map(write_varint, numbers)) + first + own + told

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        fields = Fields(data[1:], "the parameters of the tracks end")
        columns, x, y, frames = (fields.varint() for _ in range(4))
        first = fields.byte()
        number = first & ~_TOLD
        own = number == len(prediction.KNOWN)
        coefficients = np.frombuffer(fields.take(2 * LAGS if own else 0), "<i2").astype(np.int64)
        fits = x < columns and y < columns and x != y and 1 <= frames <= MOST_FRAMES
        if not fits or number > len(prediction.KNOWN):
            raise CorruptStream("the parameters of the tracks fit none; the file is damaged")
        others = columns - 2 if first & _TOLD else 0
        told = tuple(Column.read(fields) for _ in range(others)) or (Column(),) * (columns - 2)
        if not fields.ended:
            raise CorruptStream("the parameters of the tracks do not end where they should; the file is damaged")
        return cls(columns, (x, y), frames, number, coefficients if own else prediction.KNOWN[number], told)


def encode(
    planes: Bytes,
    columns: int,
    places: tuple[int, int],
    model: TrackModel,
    progress: Progress | None = None,
    circles: tuple[int, ...] = (),
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of uint8 (T, A columns, 1 + n): plane 0 tells gaps, the others a number, big-endian.

    Where a place has a gap both its columns have. Numbers of places are below 2^MOST_WIDTH. circles: of each column,
    how many numbers go round, below which all are; 0 where they do not.
    """
    gaps, numbers = _parted(planes, columns)
    here = gaps[..., places[0]] == 0
    positions = np.ascontiguousarray(_joined(numbers[:, :, list(places)]))
    number, coefficients = prediction.chosen(positions, here)
    plan = Plan(columns, places, FRAMES, number, coefficients)
    plan = replace(plan, told=_told(numbers, gaps, positions, here, plan, circles or (0,) * columns))
    passes = []
    for first in range(0, len(planes), FRAMES):
        part = slice(first, first + FRAMES)
        front = _block(gaps[part].reshape(len(gaps[part]), -1, 1) if not here[part].all() or gaps[part].any() else None)
        if plan.plain:
            rest = numbers[part][:, :, plan.plain]
            front += _block(rest.reshape(len(rest), -1, rest.shape[-1]))
        motion = _motion(positions[part], here[part], plan)
        beside = [
            _Beside(_joined(numbers[part][:, :, n]), gaps[part][..., n] == 0, one) for n, one in plan.running
        ]
        passes.append(front + _encode_frames(positions[part], here[part], model, plan, motion, beside))
        if progress:
            progress(min(first + FRAMES, len(planes)) / len(planes))
    return plan.to_bytes(), passes


@dataclass(frozen=True)
class _Beside:
    """A column that is predicted: its numbers int64 (T, A), where they are, and how."""

    numbers: Values
    there: NDArray[np.bool_]
    column: Column

    @property
    def width(self) -> int:
        """Bits of a number."""
        return int(self.numbers[self.there].max(initial=0)).bit_length()


def _told(
    numbers: Bytes, gaps: Bytes, positions: Values, here: NDArray[np.bool_], plan: Plan, circles: tuple[int, ...]
) -> tuple[Column, ...]:
    """How each column that is no place comes out smaller, by its first frames."""
    found, most = [], slice(0, FRAMES)
    motion = Motion.of(positions, here) if plan.others else None
    for n in plan.others:
        own, there = numbers[:, :, n], gaps[..., n] == 0
        values = np.where(there, _joined(own), 0)
        found.append(Column())
        if motion is None or not there.any() or int(values.max()) >> MOST_COLUMN or int(values.min()) < 0:
            continue
        column = fitted(values, there, motion, circles[n])
        width = int(values.max()).bit_length()
        _, freqs = column.running(motion.first(FRAMES), there[most], width).intervals(values[most])
        plainly = len(context.encode_planes(np.ascontiguousarray(own[most]), 1))
        if running.bits(freqs) / 8 + len(column.to_bytes()) < plainly:
            found[-1] = column
    return tuple(found)


def _motion(positions: Values, here: NDArray[np.bool_], plan: Plan) -> Motion | None:
    """Of the frames of a pass, where something is predicted by it."""
    return Motion.of(positions, here) if plan.running else None


def _encode_frames(
    positions: Values,
    here: NDArray[np.bool_],
    model: TrackModel,
    plan: Plan,
    motion: Motion | None,
    beside: Sequence[_Beside],
) -> bytes:
    front, (scale, speed), least, widths = _front(positions, here, plan)
    past = Past(here.shape[1], plan.coefficients, scale, speed)
    parts = []
    for now, there in zip(positions, here, strict=True):
        known = past.known(there)
        come = now[there & ~known]
        parts += [grid.whole_intervals(come[:, f] - least[f], widths[f]) for f in range(2) if len(come)]
        if known.any():
            index = np.flatnonzero(known)
            parts.append(_mixtures(past, known, index, model).intervals(now[index] - past.last[index]))
        past.tell(now, there)
    if motion is not None:
        front += bytes(one.width for one in beside)
        parts += [one.column.running(motion, one.there, one.width).intervals(one.numbers) for one in beside]
    stack = AnsStack()
    if parts:
        starts, freqs = (np.concatenate(column) for column in zip(*parts, strict=True))
        stack.push_intervals(starts, freqs)
    return front + stack.to_bytes()


def _decode_frames(
    fields: Fields,
    here: NDArray[np.bool_],
    there_of: Sequence[NDArray[np.bool_]],
    model: TrackModel,
    plan: Plan,
    progress: Progress | None,
) -> tuple[Values, list[Values]]:
    """Mirror of :func:`_encode_frames`: places, and the columns that are predicted. Raises CorruptStream."""
    scale, speed = (_scale(fields.byte()) for _ in range(2))
    least, widths = zip(*((fields.varint(64), fields.byte()) for _ in range(2)), strict=True)
    if max(widths) > MOST_WIDTH or max(least) >> MOST_WIDTH:
        raise CorruptStream("places of tracks are beyond their range; the file is damaged")
    own = fields.take(len(plan.running))
    if max(own, default=0) > MOST_COLUMN:
        raise CorruptStream("numbers of tracks are beyond their range; the file is damaged")
    stack = AnsStack.from_bytes(fields.rest())
    past = Past(here.shape[1], plan.coefficients, scale, speed)
    positions = np.zeros((*here.shape, 2), np.int64)
    for t, (now, there) in enumerate(zip(positions, here, strict=True)):
        known = past.known(there)
        come = there & ~known
        for f in range(2) if come.any() else ():
            now[come, f] = least[f] + grid.pop_whole(stack, int(come.sum()), widths[f])
        if known.any():
            index = np.flatnonzero(known)
            now[index] = past.last[index] + _mixtures(past, known, index, model).pop(stack)
        past.tell(now, there)
        if progress and not t & 63:
            progress(t / len(here))
    motion, found = _motion(positions, here, plan), list[Values]()
    for (_, column), there, width in zip(plan.running, there_of, own, strict=True):
        assert motion is not None
        found.append(column.running(motion, there, width).pop(stack))
    stack.finish()
    return positions, found


def _mixtures(past: Past, known: NDArray[np.bool_], index: Values, model: TrackModel) -> grid.GridMixtures:
    """Distributions of the displacements of the agents that are ``known``, at ``index``."""
    past.look(known)
    params = model.mixtures(past, index)
    return grid.GridMixtures(params, past.predicted[index], past.sigma[index], past.logs[index])


def _front(
    positions: Values, here: NDArray[np.bool_], plan: Plan
) -> tuple[bytes, tuple[int, int], list[int], list[int]]:
    """(bytes, scale and speed of who comes first, least coordinates, bits of one less these) of a pass."""
    past = Past(here.shape[1], plan.coefficients, *_FIRST)
    for now, there in zip(positions, here, strict=True):
        past.look(past.known(there))
        past.tell(now, there)
    steps = [next((k for k in range(_SCALES) if _scale(k) >= common), _SCALES - 1) for common in past.common.tolist()]
    there = positions[here].reshape(-1, 2)
    least = [int(one) for one in there.min(0)] if len(there) else [0, 0]
    widths = [(int(there[:, f].max()) - least[f]).bit_length() if len(there) else 0 for f in range(2)]
    ends = b"".join(write_varint(one) + bytes([width]) for one, width in zip(least, widths, strict=True))
    scale, speed = map(_scale, steps)
    return bytes(steps) + ends, (scale, speed), least, widths


def _scale(step: int) -> int:
    """Scales by quarters of an octave, from 1/16 cell. Raises CorruptStream."""
    if step >= _SCALES:
        raise CorruptStream("a scale of tracks is beyond its range; the file is damaged")
    return (4 + (step & 3)) << (step >> 2) << 4


def _block(planes: Bytes | None) -> bytes:
    """Planes of the context coder behind their length, which is 0 where there are none."""
    data = b"" if planes is None else context.encode_planes(np.ascontiguousarray(planes), 1)
    return write_varint(len(data)) + data


def _parted(planes: Bytes, columns: int) -> tuple[Bytes, Bytes]:
    """(gaps (T, A, columns), bytes of the numbers (T, A, columns, n)) of (T, A columns, 1 + n)."""
    height, width, count = planes.shape
    every = planes.reshape(height, width // columns, columns, count)
    return every[..., 0], every[..., 1:]


def _joined(numbers: Bytes) -> Values:
    """int64 (...) of bytes (..., n), big-endian."""
    out = np.zeros(numbers.shape[:-1], np.int64)
    for k in range(numbers.shape[-1]):
        out = out << 8 | numbers[..., k]
    return out


class Receiver(AnyReceiver):
    """Mirror of :func:`encode`, pass by pass. Raises CorruptStream."""

    def __init__(self, head: Head, model: TrackModel):
        self.plan, self.model = Plan.from_bytes(head.params), model
        self.height, self.width, self.count = head.height, head.width, head.extra
        if head.photo or head.extra < 2 or head.width % self.plan.columns:
            raise CorruptStream("the parameters of the tracks do not fit their planes; the file is damaged")
        self.planes = np.zeros((0, self.width, self.count), np.uint8)
        self.parts: list[Bytes] = []
        self.firsts = range(0, self.height, self.plan.frames)

    @property
    def complete(self) -> bool:
        """Whether every pass was taken."""
        return len(self.parts) == len(self.firsts)

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """The next frames. Raises CorruptStream."""
        if self.complete:
            raise CorruptStream(f"more passes than the {len(self.parts)} expected; the file is damaged")
        self.parts.append(self.part(len(self.parts), payload, progress))

    def part(self, number: int, payload: bytes, progress: Progress | None = None) -> Bytes:
        """uint8 (t, A columns, 1 + n) of the frames of pass ``number``, by itself. Raises CorruptStream."""
        plan, first = self.plan, self.firsts[number]
        height, agents = min(plan.frames, self.height - first), self.width // plan.columns
        out = np.zeros((height, agents, plan.columns, self.count), np.uint8)
        fields = Fields(payload, "a pass of the tracks ends")
        if block := fields.counted():
            out[..., 0] = context.decode_planes(block, height, self.width, 1).reshape(out.shape[:3])
        if plan.plain:
            shape = (height, agents * len(plan.plain), self.count - 1)
            planes = context.decode_planes(fields.counted(), *shape)
            out[:, :, plan.plain, 1:] = planes.reshape(height, agents, len(plan.plain), -1)
        here = out[:, :, plan.places[0], 0] == 0
        if int(here.sum(1).max(initial=0)) > MOST_AGENTS:
            raise CorruptStream(f"more than {MOST_AGENTS} agents at once; the file is damaged")
        there_of = [out[:, :, n, 0] == 0 for n, _ in plan.running]
        positions, found = _decode_frames(fields, here, there_of, self.model, plan, progress)
        for k, byte in enumerate(_bytes_of(positions, self.count - 1)):
            out[:, :, list(plan.places), 1 + k] = byte
        for (n, _), numbers in zip(plan.running, found, strict=True):
            for k, byte in enumerate(_bytes_of(numbers, self.count - 1)):
                out[:, :, n, 1 + k] = byte
        return out.reshape(height, self.width, self.count)

    def rows(self, payloads: Sequence[bytes], first: int, last: int, progress: Progress | None = None) -> Bytes:
        """uint8 (last - first, A columns, 1 + n) of these rows, of the passes that hold them. Raises CorruptStream."""
        if len(payloads) != len(self.firsts):
            raise CorruptStream(f"{len(payloads)} passes where there are {len(self.firsts)}; the file is damaged")
        numbers = range(first // self.plan.frames, -(-last // self.plan.frames))
        shares = side_by_side(progress, len(numbers))
        parts = [self.part(n, payloads[n], share) for n, share in zip(numbers, shares, strict=True)]
        start = self.firsts[numbers[0]]
        return np.concatenate(parts)[first - start : last - start]

    def show(self, reconstruction: Reconstruction = DEFAULT) -> tuple[Bytes, Bytes | None]:
        """(photo uint8 (H, W, 0), extra uint8 (H, W, E)). Raises Truncated before all frames are there."""
        if not self.complete:
            raise Truncated(f"the stream ends before frame {self.plan.frames * (len(self.parts) + 1)} of its tracks")
        every = np.concatenate(self.parts)
        return every[..., :0], every


def _bytes_of(positions: Values, count: int) -> Iterator[Bytes]:
    """The bytes of numbers, the most significant first. Raises CorruptStream for one that has more."""
    if count < 8 and bool((positions >> (8 * count)).any()):
        raise CorruptStream("a number of tracks is beyond its range; the file is damaged")
    for k in range(count):
        yield (positions >> (8 * (count - 1 - k)) & 255).astype(np.uint8)
