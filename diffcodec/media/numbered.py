"""Samples of 16 and 32 bits as whole numbers of 16 bits, for a codec that predicts numbers rather than bytes.

Which integer a sample is, `modes.READINGS` names: in the order of what it stands for, so that near samples are near
numbers. Those of 32 bits count from the least, and where they span more than 16 bits are told as two numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import CorruptStream
from .modes import HALF, ORDERED, PLAIN, READINGS, SIGNED, WHOLE, Mode, Numbers

Bytes = NDArray[np.uint8]
Unsigned = NDArray[Any]  # uint16 or uint32


def numbered(samples: NDArray[Any], mode: Mode) -> tuple[Bytes, Numbers] | None:
    """(uint8 (H, W, 2n), of each number the high byte, then the low one; how they are read) of H×W or H×W×C samples.

    None for samples of 8 bits or 1.
    """
    found = [kind for kind in READINGS.get(mode.sample, ()) if kind not in _MADE or _MADE[kind](samples)]
    if not found:
        return None
    reading = found[-1]
    height, width = samples.shape[:2]
    integers = _READ[reading](samples).reshape(height, width, mode.components)
    base = int(integers.min()) if integers.dtype.itemsize == 4 else 0
    integers = integers - integers.dtype.type(base)
    parts = [integers] if int(integers.max()) < 1 << 16 else [integers >> 16, integers & 0xFFFF]
    numbers = np.concatenate(parts, 2).astype(np.uint16)
    planes = np.stack([numbers >> 8, numbers & 255], 3).astype(np.uint8).reshape(height, width, -1)
    return planes, Numbers(reading, len(parts), base)


def samples_of(planes: Bytes, layout: Numbers, mode: Mode) -> NDArray[Any]:
    """The inverse of :func:`numbered`; numbers that are not there yet are 0. Raises CorruptStream for no sample."""
    height, width, there = planes.shape
    lacking = layout.counts(mode)[1] - there
    if lacking > 0:
        planes = np.concatenate([planes, np.zeros((height, width, lacking), np.uint8)], 2)
    numbers = planes[..., 0::2].astype(np.uint16) << 8 | planes[..., 1::2]
    integers: Unsigned = numbers
    if layout.wide(mode):
        integers = numbers[..., -mode.components :].astype(np.uint32)
        if layout.parts == 2:
            integers |= numbers[..., : mode.components].astype(np.uint32) << 16
        if int(integers.max()) + layout.base >= 1 << 32:
            raise CorruptStream(f"a number of {int(integers.max())} above {layout.base} has no sample of 32 bits")
        integers = integers + np.uint32(layout.base)
    samples = _WRITTEN[layout.reading](integers, mode)
    return np.ascontiguousarray(samples.reshape((height, width, mode.channels) if mode.channels else (height, width)))


def _top(integers: Unsigned) -> Any:
    """The highest bit of their type."""
    return integers.dtype.type(1 << (8 * integers.dtype.itemsize - 1))


def _unsigned(samples: NDArray[Any]) -> Unsigned:
    integers: Unsigned = np.ascontiguousarray(samples).view(f"u{samples.dtype.itemsize}")
    return integers


def _signed(samples: NDArray[Any]) -> Unsigned:
    integers = _unsigned(samples)
    turned: Unsigned = integers ^ _top(integers)
    return turned


def _ordered(samples: NDArray[Any]) -> Unsigned:
    """Of floats: negative ones below the others, the greater their magnitude the lower."""
    integers = _unsigned(samples)
    top = _top(integers)
    return np.where(integers & top, ~integers, integers | top)


def _unordered(integers: Unsigned, mode: Mode) -> NDArray[Any]:
    top = _top(integers)
    return np.where(integers & top, integers ^ top, ~integers).view(f"f{integers.dtype.itemsize}")


def _as_half(samples: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore", invalid="ignore"):
        return samples.astype(np.float16)


def _as_whole(samples: NDArray[Any]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        return np.clip(samples.astype(np.float64), -(2.0**31), 2.0**31 - 1).astype(np.int32)


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Bit by bit."""
    return bool(np.array_equal(_unsigned(one), _unsigned(other)))


#: where a reading loses nothing
_MADE: dict[int, Callable[[NDArray[Any]], bool]] = {
    HALF: lambda samples: _same(_as_half(samples).astype(np.float32), samples),
    WHOLE: lambda samples: bool(np.isfinite(samples).all()) and _same(_as_whole(samples).astype(np.float32), samples),
}
_READ: dict[int, Callable[[NDArray[Any]], Unsigned]] = {
    PLAIN: _unsigned,
    SIGNED: _signed,
    ORDERED: _ordered,
    HALF: lambda samples: _ordered(_as_half(samples)),
    WHOLE: lambda samples: _signed(_as_whole(samples)),
}
_WRITTEN: dict[int, Callable[[Unsigned, Mode], NDArray[Any]]] = {
    PLAIN: lambda integers, mode: integers.view(f"={mode.sample}"),
    SIGNED: lambda integers, mode: (integers ^ _top(integers)).view(f"={mode.sample}"),
    ORDERED: _unordered,
    HALF: lambda integers, mode: _unordered(integers, mode).astype(np.float32),
    WHOLE: lambda integers, mode: (integers ^ _top(integers)).view(np.int32).astype(np.float32),
}
