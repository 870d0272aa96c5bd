"""Agents that move in a plane, coded by a network frame after frame: an ARDM that is causal over time.

Of an agent in a frame the network sees the frames before, its own and the others', and gives the joint distribution of
both coordinates; agents of a frame do not see each other, so their order is free. A pass holds so many frames and is
decoded by itself. What an agent's other columns hold is predicted from their past and from how it moves, or goes to
the context coder (`columns`). Who was away is known again when it comes back, and the network's last layer
learns from what was coded (`agents`), where either serves. bitstream_spec/TRACKS.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid, presence, running
from ...entropy.context import coder as context
from ...entropy.stack import AnsStack
from ...models.protocols import TrackModel
from ...models.tracks import prediction
from ...models.tracks.past import SCALE
from ...runtime.errors import CorruptStream, Truncated
from ...runtime.fields import Fields
from ...runtime.progress import Progress, side_by_side
from ...runtime.varint import write_varint
from ..codec import Head
from ..codec import Receiver as AnyReceiver
from ..reconstruction import DEFAULT, Reconstruction
from .agents import Network, asked
from .columns import MOST_WIDTH as MOST_COLUMN
from .columns import Column, Motion, fitted
from .cost import MOST_AGENTS
from .track_plan import MOST_FRAMES, Further, Plan

FRAMES = 1024  #: of a pass, or more where few agents are in them
STATES = 1 << 14  #: of agents in a pass, which more frames hold together where few agents are in one
MOST_WIDTH = 60  #: bits of a coordinate, less the least
_SCALES = 200  # steps of scales
LONGEST = 32  #: frames for which an agent may be away and is known when it comes back
RATE = 48  #: of learning, 1/16384
_FIRST = (4 * SCALE, 16 * SCALE)  # scale and speed, until they are known

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]


def encode(
    planes: Bytes,
    columns: int,
    places: tuple[int, int],
    model: TrackModel,
    progress: Progress | None = None,
    circles: tuple[int, ...] = (),
    further: Further | None = None,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of uint8 (T, A columns, 1 + n): plane 0 tells gaps, the others a number, big-endian.

    Where a place has a gap both its columns have. Numbers of places are below 2^MOST_WIDTH. circles: of each column,
    how many numbers go round, below which all are; 0 where they do not. further: what else is done; None for what
    serves.
    """
    gaps, numbers = _parted(planes, columns)
    here = gaps[..., places[0]] == 0
    positions = np.ascontiguousarray(_joined(numbers[:, :, list(places)]))
    number, coefficients = prediction.chosen(positions, here)
    plan = Plan(columns, places, _frames(here), number, coefficients)
    plan = replace(plan, told=_told(numbers, gaps, positions, here, plan, circles or (0,) * columns))
    begin = slice(0, plan.frames)
    plans = [replace(plan, further=one) for one in ([further] if further else _furthers(gaps[begin], plan))]
    plan, places_of_first = _smallest(positions[begin], here[begin], model, plans)
    passes = []
    for first in range(0, len(planes), plan.frames):
        part = slice(first, first + plan.frames)
        front = _gaps_block(gaps[part], plan)
        if plan.plain:
            rest = numbers[part][:, :, plan.plain]
            front += _block(rest.reshape(len(rest), -1, rest.shape[-1]))
        motion = _motion(positions[part], here[part], plan)
        beside = [
            _Beside(_joined(numbers[part][:, :, n]), gaps[part][..., n] == 0, one) for n, one in plan.running
        ]
        agents = _places(positions[part], here[part], model, [plan])[0] if first else places_of_first
        passes.append(front + _encode_frames(agents, motion, beside))
        if progress:
            progress(min(first + plan.frames, len(planes)) / len(planes))
    return plan.to_bytes(), passes


def _frames(here: NDArray[np.bool_]) -> int:
    """Of a pass, so that it holds enough of agents to know them by."""
    if len(here) <= FRAMES:
        return FRAMES
    return int(np.clip(STATES * len(here) // max(1, int(here.sum())), FRAMES, MOST_FRAMES))


def _gaps_block(gaps: Bytes, plan: Plan) -> bytes:
    """What the context coder tells of gaps uint8 (t, A, F): all, or where other columns' differ from the place's."""
    if not plan.further.walked:
        return _block(gaps.reshape(len(gaps), -1, 1) if gaps.any() else None)
    others = gaps[:, :, plan.others] ^ gaps[:, :, plan.places[:1]]
    return _block(others.reshape(len(gaps), -1, 1) if others.any() else None)


def _furthers(gaps: Bytes, plan: Plan) -> list[Further]:
    """What else may serve, by a pass of gaps uint8 (t, A, F)."""
    here, walked = gaps[..., plan.places[0]] == 0, Further(walked=True)
    bits = running.bits(presence.intervals(here)[1]) + 8 * len(walked.to_bytes())
    smaller = bits / 8 + len(_gaps_block(gaps, replace(plan, further=walked))) < len(_gaps_block(gaps, plan))
    comes_back = ((np.diff(here.astype(np.int8), axis=0, prepend=0) > 0).sum(0) > 1).any()
    lengths = (0, LONGEST) if comes_back else (0,)
    return [Further(longest, rate, smaller) for longest in lengths for rate in (0, RATE)]


def _smallest(
    positions: Values, here: NDArray[np.bool_], model: TrackModel, plans: list[Plan]
) -> tuple[Plan, _Places]:
    """(the plan by which a pass of these frames takes least, this pass)."""
    tried = list[_Places]()
    for _, alike in groupby(plans, lambda one: one.further.longest):
        tried += _places(positions, here, model, list(alike))
    best = min(range(len(plans)), key=lambda n: tried[n].bits + 8 * len(plans[n].further.to_bytes()))
    return plans[best], tried[best]


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
    found, most = [], slice(0, plan.frames)
    motion = Motion.of(positions, here) if plan.others else None
    for n in plan.others:
        own, there = numbers[:, :, n], gaps[..., n] == 0
        values = np.where(there, _joined(own), 0)
        found.append(Column())
        if motion is None or not there.any() or int(values.max()) >> MOST_COLUMN or int(values.min()) < 0:
            continue
        column = fitted(values, there, motion, circles[n])
        width = int(values.max()).bit_length()
        _, freqs = column.running(motion.first(plan.frames), there[most], width).intervals(values[most])
        plainly = len(context.encode_planes(np.ascontiguousarray(own[most]), 1))
        if running.bits(freqs) / 8 + len(column.to_bytes()) < plainly:
            found[-1] = column
    return tuple(found)


def _motion(positions: Values, here: NDArray[np.bool_], plan: Plan) -> Motion | None:
    """Of the frames of a pass, where something is predicted by it."""
    return Motion.of(positions, here) if plan.running else None


@dataclass
class _Places:
    """Where agents are in the frames of a pass: what is told in front, and intervals in the order of popping."""

    front: bytes
    parts: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]

    @property
    def bits(self) -> float:
        """Ideal length of the intervals."""
        return sum(running.bits(freqs) for _, freqs in self.parts)


def _places(positions: Values, here: NDArray[np.bool_], model: TrackModel, plans: Sequence[Plan]) -> list[_Places]:
    """By plans that learn at other rates and are alike otherwise, which are asked together."""
    front, (scale, speed), least, widths = _front(positions, here, plans[0])
    past, networks = plans[0].past(here.shape[1], scale, speed), [Network(plan.further.rate) for plan in plans]
    every = [_Places(front, [presence.intervals(here)] if plan.further.walked else []) for plan in plans]
    for now, there in zip(positions, here, strict=True):
        known = past.known(there)
        come = now[there & ~known]
        for f in range(2) if len(come) else ():
            parts = grid.whole_intervals(come[:, f] - least[f], widths[f])
            for one in every:
                one.parts.append(parts)
        if known.any():
            index = np.flatnonzero(known)
            moves, answer = now[index] - past.last[index], asked(past, known, index, model)
            for one, network in zip(every, networks, strict=True):
                found, inputs = network.mixtures(past, index, answer)
                one.parts.append(found.intervals(moves))
                network.learn(found, inputs, moves)
        past.tell(now, there)
    return every


def _encode_frames(agents: _Places, motion: Motion | None, beside: Sequence[_Beside]) -> bytes:
    front, parts = agents.front, agents.parts
    if motion is not None:
        front += bytes(one.width for one in beside)
        parts = parts + [one.column.running(motion, one.there, one.width).intervals(one.numbers) for one in beside]
    stack = AnsStack()
    if parts:
        starts, freqs = (np.concatenate(column) for column in zip(*parts, strict=True))
        stack.push_intervals(starts, freqs)
    return front + stack.to_bytes()


def _decode_frames(
    fields: Fields,
    gaps: Bytes,
    model: TrackModel,
    plan: Plan,
    progress: Progress | None,
) -> tuple[Values, list[Values]]:
    """Mirror of :func:`_encode_frames`: places, and the columns that are predicted. Raises CorruptStream.

    gaps: uint8 (t, A, F), of places to be filled where they are coded frame by frame; of other columns, what a gap of
    the place does not tell.
    """
    scale, speed = (_scale(fields.byte()) for _ in range(2))
    least, widths = zip(*((fields.varint(64), fields.byte()) for _ in range(2)), strict=True)
    if max(widths) > MOST_WIDTH or max(least) >> MOST_WIDTH:
        raise CorruptStream("places of tracks are beyond their range; the file is damaged")
    own = fields.take(len(plan.running))
    if max(own, default=0) > MOST_COLUMN:
        raise CorruptStream("numbers of tracks are beyond their range; the file is damaged")
    stack = AnsStack.from_bytes(fields.rest())
    if plan.further.walked:
        away = ~presence.pop(stack, *gaps.shape[:2])[..., None]
        gaps[:, :, list(plan.places)] = away
        gaps[:, :, plan.others] ^= away
    here = gaps[..., plan.places[0]] == 0
    if int(here.sum(1).max(initial=0)) > MOST_AGENTS:
        raise CorruptStream(f"more than {MOST_AGENTS} agents at once; the file is damaged")
    past, network = plan.past(here.shape[1], scale, speed), Network(plan.further.rate)
    positions = np.zeros((*here.shape, 2), np.int64)
    for t, (now, there) in enumerate(zip(positions, here, strict=True)):
        known = past.known(there)
        come = there & ~known
        for f in range(2) if come.any() else ():
            now[come, f] = least[f] + grid.pop_whole(stack, int(come.sum()), widths[f])
        if known.any():
            index = np.flatnonzero(known)
            mixtures, inputs = network.mixtures(past, index, asked(past, known, index, model))
            moves = mixtures.pop(stack)
            now[index] = past.last[index] + moves
            network.learn(mixtures, inputs, moves)
        past.tell(now, there)
        if progress and not t & 63:
            progress(t / len(here))
    motion, found = _motion(positions, here, plan), list[Values]()
    for (n, column), width in zip(plan.running, own, strict=True):
        assert motion is not None
        found.append(column.running(motion, gaps[..., n] == 0, width).pop(stack))
    stack.finish()
    return positions, found


def _front(
    positions: Values, here: NDArray[np.bool_], plan: Plan
) -> tuple[bytes, tuple[int, int], list[int], list[int]]:
    """(bytes, scale and speed of who comes first, least coordinates, bits of one less these) of a pass."""
    past = plan.past(here.shape[1], *_FIRST)
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
        told = plan.others if plan.further.walked else list(range(plan.columns))
        if block := fields.counted():
            planes = context.decode_planes(block, height, agents * len(told), 1)
            out[:, :, told, 0] = planes.reshape(height, agents, len(told))
        if plan.plain:
            shape = (height, agents * len(plan.plain), self.count - 1)
            planes = context.decode_planes(fields.counted(), *shape)
            out[:, :, plan.plain, 1:] = planes.reshape(height, agents, len(plan.plain), -1)
        positions, found = _decode_frames(fields, out[..., 0], self.model, plan, progress)
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
