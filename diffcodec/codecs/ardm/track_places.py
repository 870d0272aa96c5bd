"""Where agents are, frame after frame: what is told in front of a pass, who comes, how far those who are known move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid, running
from ...entropy.stack import AnsStack
from ...models.protocols import TrackModel
from ...models.tracks.bridge import Bridge
from ...models.tracks.past import SCALE
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ...runtime.progress import Progress
from ...runtime.varint import write_varint
from .agents import Network, asked
from .cost import MOST_AGENTS
from .track_plan import Plan

MOST_WIDTH = 60  #: bits of a coordinate, less the least
_SCALES = 200  # steps of scales
_FIRST = (4 * SCALE, 16 * SCALE)  # scale and speed, until they are known

Values = NDArray[np.int64]
Flags = NDArray[np.bool_]
Intervals = tuple[NDArray[np.uint32], NDArray[np.uint32]]


@dataclass(frozen=True)
class Front:
    """What is known before any frame of a pass: scale and speed, 1/1024 cell; of x and y the least, and bits of others.

    steps: of scale and speed, as :func:`_scale` has them.
    """

    steps: tuple[int, int]
    least: tuple[int, int]
    widths: tuple[int, int]

    @property
    def scales(self) -> tuple[int, int]:
        """Scale and speed. Raises CorruptStream."""
        return _scale(self.steps[0]), _scale(self.steps[1])

    def to_bytes(self) -> bytes:
        """As it stands in the pass."""
        ends = zip(self.least, self.widths, strict=True)
        return bytes(self.steps) + b"".join(write_varint(one) + bytes([width]) for one, width in ends)

    @classmethod
    def read(cls, fields: Fields) -> Front:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        steps = fields.byte(), fields.byte()
        (x, wide), (y, high) = ((fields.varint(64), fields.byte()) for _ in range(2))
        found = cls(steps, (x, y), (wide, high))
        if max(wide, high) > MOST_WIDTH or max(x, y) >> MOST_WIDTH or not all(found.scales):
            raise CorruptStream("places of tracks are beyond their range; the file is damaged")
        return found

    @classmethod
    def of(cls, positions: Values, here: Flags, plan: Plan, bridge: Bridge | None) -> Front:
        """Of the positions int64 (T, A, 2) of agents who are ``here`` bool (T, A); of a bridge of those who come."""
        past, told = plan.past(here.shape[1], *_FIRST), here.copy()
        for t, (now, there) in enumerate(zip(positions, here, strict=True)):
            known = past.known(there)
            if bridge is not None:
                told[t] &= ~known & (not bridge.known(t))
            past.look(known)
            past.tell(now, there)
        steps = [next((k for k in range(_SCALES) if _scale(k) >= one), _SCALES - 1) for one in past.common.tolist()]
        found = positions[told].reshape(-1, 2)
        least = [int(one) for one in found.min(0)] if len(found) else [0, 0]
        widths = [(int(found[:, f].max()) - least[f]).bit_length() if len(found) else 0 for f in range(2)]
        return cls((steps[0], steps[1]), (least[0], least[1]), (widths[0], widths[1]))


def _scale(step: int) -> int:
    """Scales by quarters of an octave, from 1/16 cell. Raises CorruptStream."""
    if step >= _SCALES:
        raise CorruptStream("a scale of tracks is beyond its range; the file is damaged")
    return (4 + (step & 3)) << (step >> 2) << 4


@dataclass
class Places:
    """Where agents are in the frames of a pass: what is told in front, and intervals in the order of popping."""

    front: Front
    parts: list[Intervals]

    @property
    def bits(self) -> float:
        """Ideal length of the intervals."""
        return sum(running.bits(freqs) for _, freqs in self.parts)


def places(
    positions: Values, here: Flags, model: TrackModel, plans: Sequence[Plan], bridge: Bridge | None = None
) -> list[Places]:
    """By plans that learn at other rates and are alike otherwise, which are asked together.

    positions: int64 (T, A, 2) of agents who are ``here`` bool (T, A). bridge: what is known already, of which nothing
    is told.
    """
    front = Front.of(positions, here, plans[0], bridge)
    past, networks = plans[0].past(here.shape[1], *front.scales), [Network(plan.further.rate) for plan in plans]
    every = [Places(front, []) for _ in plans]
    for t, (now, there) in enumerate(zip(positions, here, strict=True)):
        known = past.known(there)
        if bridge is not None and bridge.known(t):
            past.look(known)
            past.tell(now, there)
            continue
        come = now[there & ~known]
        for f in range(2) if len(come) else ():
            parts = grid.whole_intervals(come[:, f] - front.least[f], front.widths[f])
            for one in every:
                one.parts.append(parts)
        if known.any():
            index = np.flatnonzero(known)
            moves, answer = now[index] - past.last[index], asked(past, known, index, model, bridge, t)
            for one, network in zip(every, networks, strict=True):
                found, inputs = network.mixtures(answer)
                one.parts.append(found.intervals(moves))
                network.learn(found, inputs, moves)
        past.tell(now, there)
    return every


def pop(
    stack: AnsStack,
    front: Front,
    here: Flags,
    model: TrackModel,
    plan: Plan,
    bridge: Bridge | None = None,
    progress: Progress | None = None,
) -> Values:
    """Mirror of :func:`places`: int64 (T, A, 2), 0 where nobody is ``here`` bool (T, A). Raises CorruptStream."""
    if int(here.sum(1).max(initial=0)) > MOST_AGENTS:
        raise CorruptStream(f"more than {MOST_AGENTS} agents at once; the file is damaged")
    past, network = plan.past(here.shape[1], *front.scales), Network(plan.further.rate)
    positions = np.zeros((*here.shape, 2), np.int64) if bridge is None else bridge.positions.copy()
    for t, (now, there) in enumerate(zip(positions, here, strict=True)):
        known = past.known(there)
        if bridge is not None and bridge.known(t):
            past.look(known)
            past.tell(now, there)
            continue
        come = there & ~known
        for f in range(2) if come.any() else ():
            now[come, f] = front.least[f] + grid.pop_whole(stack, int(come.sum()), front.widths[f])
        if known.any():
            index = np.flatnonzero(known)
            mixtures, inputs = network.mixtures(asked(past, known, index, model, bridge, t))
            moves = mixtures.pop(stack)
            now[index] = past.last[index] + moves
            network.learn(mixtures, inputs, moves)
        past.tell(now, there)
        if progress and not t & 63:
            progress(t / len(here))
    return positions
