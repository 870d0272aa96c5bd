"""Signals of frames in groups, clips and tracks, and groups as one signal again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from ..runtime.errors import InputError
from .medium import Signal
from .metadata import EMPTY

if TYPE_CHECKING:
    from collections.abc import Hashable

Own = TypeVar("Own", bound="Series")


@runtime_checkable
class Series(Signal, Protocol):
    """A signal of frames one after another."""

    @property
    def length(self) -> int:
        """Frames."""
        ...

    @property
    def likeness(self) -> Hashable:
        """What all groups of one signal have in common."""
        ...

    def between(self: Own, start: int, stop: int) -> Own:
        """Frames from ``start`` to before ``stop``, as far as there are any. Raises InputError where there is none."""
        ...

    def and_then(self: Own, others: Sequence[Own]) -> Own:
        """With the frames of others behind its own; metadata are its own."""
        ...


def parted(signal: Signal, length: int) -> list[Signal]:
    """Groups of ``length`` frames, the last of what is left: what a stream holds in a chunk each.

    Metadata are the first one's. Raises InputError for what has no frames, or less than one frame a group.
    """
    whole = _series(signal)
    if length < 1:
        raise InputError(f"expected groups of at least 1 frame, found {length}")
    if whole.length <= length:
        return [whole]
    groups = [whole.between(start, start + length) for start in range(0, whole.length, length)]
    return [groups[0], *(group.with_metadata(EMPTY) for group in groups[1:])]


def joined(signals: Sequence[Signal]) -> Series:
    """Mirror of :func:`parted`. Raises InputError for groups of unlike signals."""
    first, *others = alike(signals)
    return first.and_then(others) if others else first


def alike(signals: Iterable[Signal]) -> Iterator[Series]:
    """The signals, groups of one, as they come. Raises InputError for one that is not of the first one's."""
    first: Series | None = None
    for group in map(_series, signals):
        first = first or group
        if (group.mode, group.likeness) != (first.mode, first.likeness):
            found = f"{group.mode} of {group.array.shape} behind {first.array.shape}"
            raise InputError(f"expected groups of one signal, found {found}, or with other fields")
        yield group


def cut(signal: Signal, start: int, stop: int) -> Series:
    """The frames from ``start`` to before ``stop``, as far as there are any. Raises InputError where there are none."""
    return _series(signal).between(start, stop)


def _series(signal: Signal) -> Series:
    if not isinstance(signal, Series):
        raise InputError(f"expected a clip or tracks, found a signal of mode {signal.mode}")
    return signal
