"""Agents that move in a plane, coded by a network frame after frame: an ARDM that is causal over time.

Of an agent in a frame the network sees the frames before, its own and the others', and gives the joint distribution of
both coordinates; agents of a frame do not see each other, so their order is free. A pass holds so many frames and is
decoded by itself. What an agent's other columns hold is predicted from their past and from how it moves, or goes to
the context coder (`columns`). Who was away is known again when it comes back, and the network's last layer
learns from what was coded (`agents`), where either serves. Or every so many frames one is told before all others, so
that a beginning of the stream shows where agents are (`track_layers`). bitstream_spec/TRACKS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...entropy import presence, running
from ...entropy.context import coder as context
from ...entropy.stack import AnsStack
from ...models.protocols import TrackModel
from ...models.tracks import prediction
from ...models.tracks.bridge import Bridge
from ...runtime.errors import CorruptStream, Truncated
from ...runtime.fields import Fields
from ...runtime.progress import Progress, side_by_side
from ..codec import Head
from ..codec import Receiver as AnyReceiver
from ..reconstruction import DEFAULT, Reconstruction
from .columns import MOST_WIDTH as MOST_COLUMN
from .columns import Column, Motion, fitted
from .track_layers import EVERY, Coarse, first_of, layers_of, shown
from .track_places import Front, Intervals, Places, places, pop
from .track_plan import MOST_FRAMES, Further, Layers, Plan
from .track_planes import bytes_of, gaps_block, joined, parted, plain_block, take_gaps, take_plain

FRAMES = 1024  #: of a pass, or more where few agents are in them
STATES = 1 << 14  #: of agents in a pass, which more frames hold together where few agents are in one
LONGEST = 32  #: frames for which an agent may be away and is known when it comes back
RATE = 48  #: of learning, 1/16384

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]
Flags = NDArray[np.bool_]


def encode(
    planes: Bytes,
    columns: int,
    where: tuple[int, int],
    model: TrackModel,
    progress: Progress | None = None,
    circles: tuple[int, ...] = (),
    further: Further | None = None,
    progressive: bool = False,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of uint8 (T, A columns, 1 + n): plane 0 tells gaps, the others a number, big-endian.

    where: the columns that are a place. Where it has a gap both have, and their numbers are below 2^MOST_WIDTH.
    circles: of each column, how many numbers go round, below which all are; 0 where they do not. further: what else is
    done; None for what serves, in layers if ``progressive``, and there are frames enough.
    """
    gaps, numbers = parted(planes, columns)
    here = gaps[..., where[0]] == 0
    positions = np.ascontiguousarray(joined(numbers[:, :, list(where)]))
    number, coefficients = prediction.chosen(positions, here)
    layers = layers_of(positions, here) if progressive and len(planes) > EVERY else None
    layers = further.layers if further else layers
    plan = Plan(columns, where, _frames(here, layers), number, coefficients)
    plan = replace(plan, told=_told(numbers, gaps, positions, here, plan, circles or (0,) * columns))
    begin = slice(0, plan.frames)
    plans = [replace(plan, further=one) for one in ([further] if further else _furthers(gaps[begin], plan, layers))]
    plan, agents = _smallest(positions[begin], here[begin], model, plans)
    blocks = []
    for first in range(0, len(planes), plan.frames):
        part = slice(first, first + plan.frames)
        if first:
            agents = _ways(positions[part], here[part], model, [plan])[0]
        blocks.append(_encode_block(gaps[part], numbers[part], positions[part], here[part], plan, agents))
        if progress:
            progress(min(first + plan.frames, len(planes)) / len(planes))
    return plan.to_bytes(), [one for layer in zip(*blocks, strict=True) for one in layer]


def _frames(here: Flags, layers: Layers | None) -> int:
    """Of a pass, so that it holds enough of agents to know them by; of layers whole steps of the first."""
    frames, every = FRAMES, 1 if layers is None else layers.every
    if len(here) > FRAMES:
        frames = int(np.clip(STATES * len(here) // max(1, int(here.sum())), FRAMES, MOST_FRAMES))
    return max(every, frames - frames % every)


def _furthers(gaps: Bytes, plan: Plan, layers: Layers | None) -> list[Further]:
    """What else may serve, by a pass of gaps uint8 (t, A, F)."""
    here, walked = gaps[..., plan.places[0]] == 0, Further(walked=True)
    bits = running.bits(presence.intervals(here)[1]) + 8 * len(walked.to_bytes())
    smaller = bits / 8 + len(gaps_block(gaps, replace(plan, further=walked))) < len(gaps_block(gaps, plan))
    comes_back = ((np.diff(here.astype(np.int8), axis=0, prepend=0) > 0).sum(0) > 1).any()
    lengths = (0, LONGEST) if comes_back else (0,)
    return [Further(longest, rate, smaller, layers) for longest in lengths for rate in (0, RATE)]


def _smallest(positions: Values, here: Flags, model: TrackModel, plans: list[Plan]) -> tuple[Plan, list[Places]]:
    """(the plan by which these frames take least, what :func:`_ways` has of it)."""
    tried = list[list[Places]]()
    for _, alike in groupby(plans, lambda one: one.further.longest):
        tried += _ways(positions, here, model, list(alike))
    sizes = [sum(one.bits for one in way) for way in tried]
    best = min(range(len(plans)), key=lambda n: sizes[n] + 8 * len(plans[n].further.to_bytes()))
    return plans[best], tried[best]


def _ways(positions: Values, here: Flags, model: TrackModel, plans: Sequence[Plan]) -> list[list[Places]]:
    """Of plans that learn at other rates and are alike otherwise: where agents are, layer by layer."""
    coarse, bridge = plans[0].coarse, _bridge(plans[0], positions, here)
    if coarse is None or bridge is None:
        return [[one] for one in places(positions, here, model, plans)]
    first = places(*first_of(positions, here, bridge.every), model, [coarse])
    return [[*first, one] for one in places(positions, here, model, plans, bridge)]


def _bridge(plan: Plan, positions: Values, here: Flags) -> Bridge | None:
    """Over the frames of a pass that are told first, if there are such."""
    layers = plan.further.layers
    return None if layers is None else Bridge(plan.coefficients, layers.every, positions, here)


@dataclass(frozen=True)
class _Beside:
    """A column that is predicted: its numbers int64 (T, A), where they are, and how."""

    numbers: Values
    there: Flags
    column: Column

    @property
    def width(self) -> int:
        """Bits of a number."""
        return int(self.numbers[self.there].max(initial=0)).bit_length()


def _told(
    numbers: Bytes, gaps: Bytes, positions: Values, here: Flags, plan: Plan, circles: tuple[int, ...]
) -> tuple[Column, ...]:
    """How each column that is no place comes out smaller, by its first frames."""
    found, most = [], slice(0, plan.frames)
    motion = Motion.of(positions, here) if plan.others else None
    for n in plan.others:
        own, there = numbers[:, :, n], gaps[..., n] == 0
        values = np.where(there, joined(own), 0)
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


def _motion(positions: Values, here: Flags, plan: Plan) -> Motion | None:
    """Of the frames of a pass, where something is predicted by it."""
    return Motion.of(positions, here) if plan.running else None


def _encode_block(
    gaps: Bytes, numbers: Bytes, positions: Values, here: Flags, plan: Plan, agents: Sequence[Places]
) -> list[bytes]:
    """The passes of some frames, one of each layer: gaps and who is there in the first, other columns in the last."""
    told, parts, passes = gaps_block(gaps, plan), list[Intervals](), []
    if plan.further.walked:
        parts.append(presence.intervals(here))
    *before, last = agents
    for one in before:
        passes.append(told + one.front.to_bytes() + _stacked(parts + one.parts))
        told, parts = b"", []
    motion = _motion(positions, here, plan)
    beside = [_Beside(joined(numbers[:, :, n]), gaps[..., n] == 0, column) for n, column in plan.running]
    told += plain_block(numbers, plan) + last.front.to_bytes() + bytes(one.width for one in beside)
    parts = parts + last.parts
    if motion is not None:
        parts += [one.column.running(motion, one.there, one.width).intervals(one.numbers) for one in beside]
    return [*passes, told + _stacked(parts)]


def _stacked(parts: Sequence[Intervals]) -> bytes:
    """A stack that pops these in their order."""
    stack = AnsStack()
    if parts:
        starts, freqs = (np.concatenate(column) for column in zip(*parts, strict=True))
        stack.push_intervals(starts, freqs)
    return stack.to_bytes()


class Receiver(AnyReceiver):
    """Mirror of :func:`encode`, pass by pass. Raises CorruptStream."""

    def __init__(self, head: Head, model: TrackModel):
        self.plan, self.model = Plan.from_bytes(head.params), model
        self.height, self.width, self.count = head.height, head.width, head.extra
        if head.photo or head.extra < 2 or head.width % self.plan.columns:
            raise CorruptStream("the parameters of the tracks do not fit their planes; the file is damaged")
        self.agents = self.width // self.plan.columns
        self.firsts = range(0, self.height, self.plan.frames)
        self.layers, self.coarse = self.plan.further.layers, list[Coarse]()
        self.parts: list[Bytes] = []

    @property
    def complete(self) -> bool:
        """Whether every pass was taken."""
        return len(self.parts) == len(self.firsts)

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """The next frames. Raises CorruptStream."""
        if self.complete:
            passes = len(self.parts) + len(self.coarse)
            raise CorruptStream(f"more passes than the {passes} expected; the file is damaged")
        if self.layers is not None and len(self.coarse) < len(self.firsts):
            self.coarse.append(self.begun(len(self.coarse), payload, progress))
            return
        number = len(self.parts)
        self.parts.append(self.part(number, payload, progress, self.coarse[number] if self.coarse else None))

    def begun(self, number: int, payload: bytes, progress: Progress | None = None) -> Coarse:
        """What is told first of the ``number``-th frames together, in layers, by itself. Raises CorruptStream."""
        plan, layers = self.plan.coarse, self.layers
        assert plan is not None and layers is not None
        fields = Fields(payload, "a pass of the tracks ends")
        gaps = self._gaps(number, fields)
        front, stack = Front.read(fields), AnsStack.from_bytes(fields.rest())
        here = self._here(stack, gaps)
        positions = np.zeros((*here.shape, 2), np.int64)
        _, there = first_of(positions, here, layers.every)
        positions[:: layers.every] = pop(stack, front, there, self.model, plan, None, progress)
        stack.finish()
        for _ in bytes_of(positions, self.count - 1):  # none is beyond the range of what can be shown
            pass
        return Coarse(gaps, positions)

    def part(
        self, number: int, payload: bytes, progress: Progress | None = None, coarse: Coarse | None = None
    ) -> Bytes:
        """uint8 (t, A columns, 1 + n) of the ``number``-th frames together, by itself. Raises CorruptStream.

        coarse: of layers, what :meth:`begun` has of them.
        """
        plan, fields = self.plan, Fields(payload, "a pass of the tracks ends")
        gaps = self._gaps(number, fields) if coarse is None else coarse.gaps
        out = np.zeros((*gaps.shape, self.count), np.uint8)
        take_plain(fields, out[..., 1:], plan)
        front, widths = Front.read(fields), fields.take(len(plan.running))
        if max(widths, default=0) > MOST_COLUMN:
            raise CorruptStream("numbers of tracks are beyond their range; the file is damaged")
        stack = AnsStack.from_bytes(fields.rest())
        here = self._here(stack, gaps) if coarse is None else gaps[..., plan.places[0]] == 0
        bridge = None if coarse is None else _bridge(plan, coarse.positions, here)
        positions = pop(stack, front, here, self.model, plan, bridge, progress)
        motion = _motion(positions, here, plan)
        found = {column: positions[..., f] for f, column in enumerate(plan.places)}
        for (n, column), width in zip(plan.running, widths, strict=True):
            assert motion is not None
            found[n] = column.running(motion, gaps[..., n] == 0, width).pop(stack)
        stack.finish()
        out[..., 0] = gaps
        for n, numbers in found.items():
            for k, byte in enumerate(bytes_of(numbers, self.count - 1)):
                out[:, :, n, 1 + k] = byte
        return out.reshape(len(gaps), self.width, self.count)

    def _gaps(self, number: int, fields: Fields) -> Bytes:
        """uint8 (t, A, F) of the ``number``-th frames together, as far as a plane tells them. Raises CorruptStream."""
        height = min(self.plan.frames, self.height - self.firsts[number])
        gaps = np.zeros((height, self.agents, self.plan.columns), np.uint8)
        take_gaps(fields, gaps, self.plan)
        return gaps

    def _here(self, stack: AnsStack, gaps: Bytes) -> Flags:
        """Who is there bool (t, A); where that is told frame by frame, the ``gaps`` are filled by it."""
        if self.plan.further.walked:
            away = ~presence.pop(stack, *gaps.shape[:2])[..., None]
            gaps[:, :, list(self.plan.places)] = away
            gaps[:, :, self.plan.others] ^= away
        here: Flags = gaps[..., self.plan.places[0]] == 0
        return here

    def rows(self, payloads: Sequence[bytes], first: int, last: int, progress: Progress | None = None) -> Bytes:
        """uint8 (last - first, A columns, 1 + n) of these rows, of the passes that hold them. Raises CorruptStream."""
        blocks, begun = len(self.firsts), 0 if self.layers is None else len(self.firsts)
        if len(payloads) != begun + blocks:
            raise CorruptStream(f"{len(payloads)} passes where there are {begun + blocks}; the file is damaged")
        numbers = range(first // self.plan.frames, -(-last // self.plan.frames))
        shares = side_by_side(progress, len(numbers))
        parts = [
            self.part(n, payloads[begun + n], share, self.begun(n, payloads[n]) if begun else None)
            for n, share in zip(numbers, shares, strict=True)
        ]
        start = self.firsts[numbers[0]]
        return np.concatenate(parts)[first - start : last - start]

    def show(self, reconstruction: Reconstruction = DEFAULT) -> tuple[Bytes, Bytes | None]:
        """(photo uint8 (H, W, 0), extra uint8 (H, W, E)); of layers as far as there is any. Raises Truncated."""
        if self.layers is not None and self.coarse and not self.complete:
            shape = (self.height, self.agents, self.plan.columns, self.count)
            every = shown(self.parts, self.coarse, self.plan, self.layers.every, shape)
            every = every.reshape(self.height, self.width, self.count)
        elif self.complete:
            every = np.concatenate(self.parts)
        else:
            raise Truncated(f"the stream ends before frame {self.plan.frames * (len(self.parts) + 1)} of its tracks")
        return every[..., :0], every
