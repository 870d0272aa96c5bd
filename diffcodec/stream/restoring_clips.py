"""Frames between those of a clip, and behind them, as they may have been (arXiv 2204.03458, §3.1)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..models.condition import GUIDED, REPLACED, TOLD, Frames, Way, given
from ..models.protocols import Framed, framed
from ..runtime.errors import InputError, ModelMismatch
from ..runtime.progress import Progress, part
from .typed import WayName

if TYPE_CHECKING:
    from ..codecs.diffc.refine import Begun
    from ..media.clip import Clip
    from ..media.planes import Bytes
    from ..models.clips.blending import Blend

SEEN = 4  #: of the last frames, that those behind them are made from
FEWEST, MOST = 1, 64  #: frames that are made between two, or behind all
MOVED: WayName = "moved"  #: of the ways that one in which frames that are made begin as blends of those that are there
WAYS: dict[WayName, Way] = {MOVED: TOLD, "told": TOLD, "replaced": REPLACED, "guided": GUIDED}  #: what a model is told
#: log-SNR that a draw begins below what its blend is worth: least SWD of training clips, where PSNR is not yet lost
BELOW = 1.0
BLENDING = 1 / 4  #: of the work, about, of a way that blends

Blends = Iterator["Blend"]


@dataclass(frozen=True)
class Plan:
    """How a clip becomes another: ``frames`` of it, of which those of the first at ``where`` are there.

    first: of the frames that there are, the first that is looked at. faster: times as many frames a second.
    """

    frames: int
    where: tuple[int, ...]
    first: int = 0
    faster: int = 1

    @property
    def wanted(self) -> list[int]:
        """Places of frames that are to be made."""
        return sorted({*range(self.frames)} - {*self.where})


def _between(frames: int, new: int) -> Plan:
    if frames < 2:
        raise InputError("task between needs a clip of at least 2 frames")
    step = new + 1
    return Plan(step * (frames - 1) + 1, tuple(range(0, step * frames, step)), faster=step)


def _extended(frames: int, new: int) -> Plan:
    seen = min(SEEN, frames)
    return Plan(seen + new, tuple(range(seen)), frames - seen)


def _blends_between(there: Bytes, plan: Plan) -> Blends:
    """Of each frame that is wanted, in their order, of frames uint8 (N, H, W, 3)."""
    from ..models.clips.blending import blend

    for one, other in itertools.pairwise(there):
        for number in range(1, plan.faster):
            yield blend(one, other, number / plan.faster)


def _blends_behind(there: Bytes, plan: Plan) -> Blends:
    """As if all that moves went on as it did last; of one frame alone, where nothing is known to move, as it is."""
    from ..models.clips.blending import blend

    one, other, error = there[max(0, len(there) - 2)], there[-1], 0.0
    for _ in plan.wanted:
        made = blend(one, other, 2.0)
        error += made.error  # of each on top of those before
        yield replace(made, error=error)
        one, other = other, made.picture


@dataclass(frozen=True)
class Task:
    """plan: (frames that there are, frames to be made) -> Plan. usual: how many are made where nobody says.

    blends: (frames uint8 (N, H, W, 3), Plan) -> those that are made of them by motion.
    """

    plan: Callable[[int, int], Plan]
    usual: int
    blends: Callable[[Bytes, Plan], Blends]


#: by name; a further one adds a row
TASKS = {"between": Task(_between, 1, _blends_between), "extend": Task(_extended, 8, _blends_behind)}


def restore_clip(
    clip: Clip,
    name: str,
    frames: int | None,
    way: WayName,
    provider: object,
    draw: Callable[..., Iterator[Bytes]],
    progress: Progress | None = None,
) -> list[Clip]:
    """The clip with ``frames`` more between two of its own, or behind them; its own stay as they are.

    name: of the task. frames: None is 1 between two, 8 behind all. provider: a model that sees frames together. draw:
    (a model, the size (H, W) of its pictures, progress, what is begun or None) -> pictures uint8 (H, W, 3), a clip of
    each. Raises InputError, ModelMismatch.
    """
    task = TASKS[name]
    new = task.usual if frames is None else frames
    if not FEWEST <= new <= MOST:
        raise InputError(f"expected {FEWEST} to {MOST} frames to be made, found {new}")
    if way not in WAYS:
        raise InputError(f"expected way {', '.join(WAYS)}, found {way!r}")
    plan = task.plan(clip.shape[0], new)
    if not isinstance(provider, Framed):
        model = getattr(provider, "name", provider)
        raise ModelMismatch(f"'{model}' does not see the frames of a clip together: give a model that does")
    there = clip.rgb()[plan.first :]
    told = given(provider, [Frames(tuple(there), plan.where, way=WAYS[way])])
    _, height, width = clip.shape
    begun, size, left = None, (plan.frames * height, width), progress
    if way == MOVED:
        begun = _begun(there, plan, task, part(progress, 0, BLENDING))
        left = part(progress, BLENDING, 1 - BLENDING)
    made = draw(framed(told, plan.frames), size, left, begun)
    return [_with(clip, plan, one.reshape(plan.frames, height, width, 3)) for one in made]


def _begun(there: Bytes, plan: Plan, task: Task, progress: Progress | None) -> Begun:
    """All frames one below another, blends for those that are wanted, and the log-SNR from which a draw goes on."""
    from ..codecs.diffc.refine import Begun

    every = np.zeros((plan.frames, *there.shape[1:]), np.uint8)
    every[list(plan.where)] = there
    wanted, logs = plan.wanted, list[float]()
    for place, made in zip(wanted, task.blends(there, plan), strict=True):
        every[place] = made.picture
        logs.append(math.log(made.error))
        if progress:
            progress(len(logs) / len(wanted))
    return Begun(every.reshape(-1, *there.shape[2:]), -float(np.mean(logs)) - BELOW)


def _with(clip: Clip, plan: Plan, made: Bytes) -> Clip:
    """``clip`` with frames uint8 (T, H, W, 3) by a plan: new ones by their colours, its own as they are."""
    new = clip.like(made)
    planes = []
    for own, other in zip(clip.planes, new.planes, strict=True):
        whole = other.copy()
        whole[list(plan.where)] = own[plan.first :]
        planes.append(np.concatenate([own[: plan.first], whole]))
    rate = None if clip.rate is None else clip.rate * plan.faster
    return replace(clip, planes=tuple(planes), rate=rate)
