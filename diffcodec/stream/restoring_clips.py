"""Frames between those of a clip, and behind them, as they may have been (arXiv 2204.03458, §3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..models.condition import Frames, Way, given
from ..models.protocols import Framed, framed
from ..runtime.errors import InputError, ModelMismatch

if TYPE_CHECKING:
    from ..media.clip import Clip
    from ..media.planes import Bytes

SEEN = 4  #: of the last frames, that those behind them are made from
FEWEST, MOST = 1, 64  #: frames that are made between two, or behind all


@dataclass(frozen=True)
class Plan:
    """How a clip becomes another: ``frames`` of it, of which those of the first at ``where`` are there.

    first: of the frames that there are, the first that is looked at. faster: times as many frames a second.
    """

    frames: int
    where: tuple[int, ...]
    first: int = 0
    faster: int = 1


def _between(frames: int, new: int) -> Plan:
    if frames < 2:
        raise InputError("task between needs a clip of at least 2 frames")
    step = new + 1
    return Plan(step * (frames - 1) + 1, tuple(range(0, step * frames, step)), faster=step)


def _extended(frames: int, new: int) -> Plan:
    seen = min(SEEN, frames)
    return Plan(seen + new, tuple(range(seen)), frames - seen)


#: (frames that there are, frames to be made) -> Plan, and how many are made where nobody says; a further one adds a row
TASKS: dict[str, tuple[Callable[[int, int], Plan], int]] = {"between": (_between, 1), "extend": (_extended, 8)}


def restore_clip(
    clip: Clip, task: str, frames: int | None, way: Way, provider: object, draw: Callable[..., Iterator[Bytes]]
) -> list[Clip]:
    """The clip with ``frames`` more between two of its own, or behind them; its own stay as they are.

    frames: None is 1 between two, 8 behind all. provider: a model that sees frames together. draw: (a model, the size
    (H, W) of its pictures) -> pictures uint8 (H, W, 3), a clip of each. Raises InputError, ModelMismatch.
    """
    plan_of, usual = TASKS[task]
    new = usual if frames is None else frames
    if not FEWEST <= new <= MOST:
        raise InputError(f"expected {FEWEST} to {MOST} frames to be made, found {new}")
    plan = plan_of(clip.shape[0], new)
    if not isinstance(provider, Framed):
        name = getattr(provider, "name", provider)
        raise ModelMismatch(f"'{name}' does not see the frames of a clip together: give a model that does")
    told = given(provider, [Frames(tuple(clip.rgb()[plan.first :]), plan.where, way=way)])
    _, height, width = clip.shape
    made = draw(framed(told, plan.frames), (plan.frames * height, width))
    return [_with(clip, plan, one.reshape(plan.frames, height, width, 3)) for one in made]


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
