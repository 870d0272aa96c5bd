"""Planes of tracks, gaps and bytes of numbers, as numbers and back; and beside places what the context coder codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...entropy.context import coder as context
from ...runtime.errors import CorruptStream
from ...runtime.fields import Fields
from ...runtime.varint import write_varint
from .track_plan import Plan

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]


def parted(planes: Bytes, columns: int) -> tuple[Bytes, Bytes]:
    """(gaps (T, A, columns), bytes of the numbers (T, A, columns, n)) of (T, A columns, 1 + n)."""
    height, width, count = planes.shape
    every = planes.reshape(height, width // columns, columns, count)
    return every[..., 0], every[..., 1:]


def joined(numbers: Bytes) -> Values:
    """int64 (...) of bytes (..., n), big-endian."""
    out = np.zeros(numbers.shape[:-1], np.int64)
    for k in range(numbers.shape[-1]):
        out = out << 8 | numbers[..., k]
    return out


def bytes_of(numbers: Values, count: int) -> Iterator[Bytes]:
    """The bytes uint8 of numbers int64, the most significant first. Raises CorruptStream for one that has more."""
    if count < 8 and bool((numbers >> (8 * count)).any()):
        raise CorruptStream("a number of tracks is beyond its range; the file is damaged")
    for k in range(count):
        yield (numbers >> (8 * (count - 1 - k)) & 255).astype(np.uint8)


def gaps_block(gaps: Bytes, plan: Plan) -> bytes:
    """What the context coder tells of gaps uint8 (t, A, F): all, or where other columns' differ from the place's."""
    if not plan.further.walked:
        return _block(gaps.reshape(len(gaps), -1, 1) if gaps.any() else None)
    others = gaps[:, :, plan.others] ^ gaps[:, :, plan.places[:1]]
    return _block(others.reshape(len(gaps), -1, 1) if others.any() else None)


def take_gaps(fields: Fields, out: Bytes, plan: Plan) -> None:
    """Mirror of :func:`gaps_block`, into uint8 (t, A, F). Raises CorruptStream."""
    height, agents, columns = out.shape
    told = plan.others if plan.further.walked else list(range(columns))
    if block := fields.counted():
        if not told:
            raise CorruptStream("gaps of columns that the tracks have not; the file is damaged")
        planes = context.decode_planes(block, height, agents * len(told), 1)
        out[:, :, told] = planes.reshape(height, agents, len(told))


def plain_block(numbers: Bytes, plan: Plan) -> bytes:
    """Columns that nothing predicts, of uint8 (t, A, F, n); nothing where there is none."""
    if not plan.plain:
        return b""
    rest = numbers[:, :, plan.plain]
    return _block(rest.reshape(len(rest), -1, rest.shape[-1]))


def take_plain(fields: Fields, out: Bytes, plan: Plan) -> None:
    """Mirror of :func:`plain_block`, into uint8 (t, A, F, n). Raises CorruptStream."""
    height, agents, _, count = out.shape
    if plan.plain:
        planes = context.decode_planes(fields.counted(), height, agents * len(plan.plain), count)
        out[:, :, plan.plain] = planes.reshape(height, agents, len(plan.plain), count)


def _block(planes: Bytes | None) -> bytes:
    """Planes of the context coder behind their length, which is 0 where there are none."""
    data = b"" if planes is None else context.encode_planes(np.ascontiguousarray(planes), 1)
    return write_varint(len(data)) + data
