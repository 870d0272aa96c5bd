"""A clip in groups of frames, and groups as a clip again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.errors import InputError
from .clip import Clip
from .metadata import EMPTY

if TYPE_CHECKING:
    from .medium import Signal


def parted(signal: Signal, length: int) -> list[Signal]:
    """Clips of ``length`` frames, the last of what is left: what a stream holds in a chunk each.

    Metadata are the first one's. Raises InputError for anything but a clip, or less than one frame a group.
    """
    clip = _clip(signal)
    if length < 1:
        raise InputError(f"expected groups of at least 1 frame, found {length}")
    if clip.shape[0] <= length:
        return [clip]
    groups = [cut(clip, start, start + length) for start in range(0, clip.shape[0], length)]
    return [groups[0], *(group.with_metadata(EMPTY) for group in groups[1:])]


def joined(signals: Sequence[Signal]) -> Clip:
    """Mirror of :func:`parted`. Raises InputError for groups of unlike clips."""
    first, *others = alike(signals)
    if not others:
        return first
    every = zip(*(one.planes for one in (first, *others)), strict=True)
    return replace(first, planes=tuple(np.concatenate(planes) for planes in every))


def alike(signals: Iterable[Signal]) -> Iterator[Clip]:
    """The signals, groups of one clip, as they come. Raises InputError for one that is not of the first one's clip."""
    first: Clip | None = None
    for clip in map(_clip, signals):
        first = first or clip
        same = (clip.sampling, clip.shape[1:], clip.rate, clip.colour)
        if same != (first.sampling, first.shape[1:], first.rate, first.colour):
            raise InputError(f"expected groups of one clip, found {clip.mode} of {clip.shape} behind {first.shape}")
        yield clip


def cut(signal: Signal, start: int, stop: int) -> Clip:
    """The frames from ``start`` to before ``stop``, as far as there are any. Raises InputError where there are none."""
    clip = _clip(signal)
    return replace(clip, planes=tuple(plane[start:stop] for plane in clip.planes))


def _clip(signal: Signal) -> Clip:
    if not isinstance(signal, Clip):
        raise InputError(f"expected a clip, found a signal of mode {signal.mode}")
    return signal
