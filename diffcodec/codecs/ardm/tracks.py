"""Agents that move in a plane, coded by a network frame after frame: an ARDM that is causal over time.

Of an agent in a frame the network sees the frames before, its own and the others', and gives the joint distribution of
both coordinates; agents of a frame do not see each other, so their order is free. A pass holds so many frames and is
decoded by itself. What an agent's other columns hold goes to the context coder. bitstream_spec/TRACKS.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid
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
from .cost import MOST_AGENTS, TRACKS

FRAMES = 1024  #: of a pass
MOST_FRAMES = 2**20  #: of one
MOST_WIDTH = 60  #: bits of a coordinate, less the least
_SCALES = 200  # steps of scales
_FIRST = (4 * SCALE, 16 * SCALE)  # scale and speed, until they are known

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """How numbers are coded: columns of an agent, which two are its place, frames of a pass, the linear prediction.

    coefficients: int64 (LAGS,); number: theirs in `prediction.KNOWN`, its length for others, which stand in the stream.
    """

    columns: int
    places: tuple[int, int]
    frames: int
    number: int
    coefficients: Values

    @property
    def others(self) -> list[int]:
        """The columns that are no place."""
        return [n for n in range(self.columns) if n not in self.places]

    def to_bytes(self) -> bytes:
        """The codec's parameters."""
        numbers = (self.columns, *self.places, self.frames)
        own = self.coefficients.astype("<i2").tobytes() if self.number == len(prediction.KNOWN) else b""
        return bytes([TRACKS]) + b"".join(map(write_varint, numbers)) + bytes([self.number]) + own

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        fields = Fields(data[1:], "the parameters of the tracks end")
        columns, x, y, frames = (fields.varint() for _ in range(4))
        number = fields.byte()
        own = number == len(prediction.KNOWN)
        coefficients = np.frombuffer(fields.take(2 * LAGS if own else 0), "<i2").astype(np.int64)
        fits = x < columns and y < columns and x != y and 1 <= frames <= MOST_FRAMES and fields.ended
        if not fits or number > len(prediction.KNOWN):
            raise CorruptStream("the parameters of the tracks fit none; the file is damaged")
        return cls(columns, (x, y), frames, number, coefficients if own else prediction.KNOWN[number])


def encode(
    planes: Bytes, columns: int, places: tuple[int, int], model: TrackModel, progress: Progress | None = None
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of uint8 (T, A columns, 1 + n): plane 0 tells gaps, the others a number, big-endian.

    Where a place has a gap both its columns have. Numbers of places are below 2^MOST_WIDTH.
    """
    gaps, numbers = _parted(planes, columns)
    here = gaps[..., places[0]] == 0
    positions = np.ascontiguousarray(_joined(numbers[:, :, list(places)]))
    number, coefficients = prediction.chosen(positions, here)
    plan = Plan(columns, places, FRAMES, number, coefficients)
    passes = []
    for first in range(0, len(planes), FRAMES):
        part = slice(first, first + FRAMES)
        front = _block(gaps[part].reshape(len(gaps[part]), -1, 1) if not here[part].all() or gaps[part].any() else None)
        if plan.others:
            rest = numbers[part][:, :, plan.others]
            front += _block(rest.reshape(len(rest), -1, rest.shape[-1]))
        passes.append(front + _encode_frames(positions[part], here[part], model, plan))
        if progress:
            progress(min(first + FRAMES, len(planes)) / len(planes))
    return plan.to_bytes(), passes


def _encode_frames(positions: Values, here: NDArray[np.bool_], model: TrackModel, plan: Plan) -> bytes:
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
    stack = AnsStack()
    if parts:
        starts, freqs = (np.concatenate(column) for column in zip(*parts, strict=True))
        stack.push_intervals(starts, freqs)
    return front + stack.to_bytes()


def _decode_frames(
    fields: Fields, here: NDArray[np.bool_], model: TrackModel, plan: Plan, progress: Progress | None
) -> Values:
    """Mirror of :func:`_encode_frames`. Raises CorruptStream."""
    scale, speed = (_scale(fields.byte()) for _ in range(2))
    least, widths = zip(*((fields.varint(64), fields.byte()) for _ in range(2)), strict=True)
    if max(widths) > MOST_WIDTH or max(least) >> MOST_WIDTH:
        raise CorruptStream("places of tracks are beyond their range; the file is damaged")
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
    stack.finish()
    return positions


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
        if plan.others:
            shape = (height, agents * len(plan.others), self.count - 1)
            planes = context.decode_planes(fields.counted(), *shape)
            out[:, :, plan.others, 1:] = planes.reshape(height, agents, len(plan.others), -1)
        here = out[:, :, plan.places[0], 0] == 0
        if int(here.sum(1).max(initial=0)) > MOST_AGENTS:
            raise CorruptStream(f"more than {MOST_AGENTS} agents at once; the file is damaged")
        positions = _decode_frames(fields, here, self.model, plan, progress)
        for k, byte in enumerate(_bytes_of(positions, self.count - 1)):
            out[:, :, list(plan.places), 1 + k] = byte
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
    """The bytes of coordinates, the most significant first. Raises CorruptStream for one that has more."""
    if count < 8 and bool((positions >> (8 * count)).any()):
        raise CorruptStream("a place of tracks is beyond its range; the file is damaged")
    for k in range(count):
        yield (positions >> (8 * (count - 1 - k)) & 255).astype(np.uint8)
