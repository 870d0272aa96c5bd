"""Whole numbers of 16 bits to bytes and back, losslessly: medicine's pictures, height maps, photographs of 16 bits.

A number is predicted by a blend of guesses and fits (`whole_prediction`); of what is missed the count of binary digits,
the sign and the first bit behind the leading one are decisions with contexts, mixed as everywhere in the context coder
(`decisions`). What most pictures do not have costs nothing: numbers that are never used are numbered away, and a value
that stands for nothing (outside of the scanner's circle, no depth) is told apart and does not disturb what is
predicted. All arithmetic is integer. bitstream_spec/CONTEXT.md §7 is the normative description.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...runtime.errors import CorruptStream
from ...runtime.progress import Progress
from . import coder as planes_coder
from . import decisions, whole_kernels, whole_state

MAX_NUMBERS = 4
BAND = 1 << 14  #: pixels that are coded between two reports of how far it is
LEVELS, TURNED = 16, 32  #: bits of the first byte: levels in use are told, a turn; those below: a void of each number
SAMPLE = 1 << 15  #: pixels on which ways are compared
_FEW = 48  # of so many pixels one that has a value makes it a candidate for the void


@dataclass(frozen=True)
class Way:
    """How numbers are told.

    levels: int64 (n,), ascending, where only these occur; None for all up to ``highest``.
    voids:  int64 (numbers,), of each the value that stands for nothing, -1 for none; as it is coded.
    turn:   what is coded as 0, of levels their number: where numbers lie at both ends, as signed ones taken for others.
    """

    levels: np.ndarray | None
    voids: np.ndarray
    highest: int
    turn: int = 0

    def meant(self) -> np.ndarray:
        """uint16 (highest + 1,): the number that each coded one stands for."""
        numbers: np.ndarray = (np.arange(self.highest + 1) + self.turn) % (self.highest + 1)
        told: np.ndarray = (numbers if self.levels is None else self.levels[numbers]).astype(np.uint16)
        return told

    def coded(self, numbers: np.ndarray) -> np.ndarray:
        """int32: what stands for numbers that occur, integers of any shape."""
        places = np.zeros(1 << 16, np.int32)
        places[self.meant()] = np.arange(self.highest + 1)
        coded: np.ndarray = places[numbers]
        return coded


def encode(planes: np.ndarray, progress: Progress | None = None) -> bytes:
    """Code uint8 planes (H, W, 2n), n in 1..4: of each number the high byte, then the low one.

    At most H·W·2n + 1 bytes come out. Raises ValueError for other planes.
    """
    height, width, channels = planes.shape
    if planes.dtype != np.uint8 or channels % 2 or not 2 <= channels <= 2 * MAX_NUMBERS or not height or not width:
        raise ValueError(f"expected uint8 planes (H, W, 2, 4, 6 or 8), found {planes.dtype} {planes.shape}")
    numbers = planes[..., 0::2].astype(np.int32) << 8 | planes[..., 1::2]
    if planes_coder.on_its_side(height, width):
        numbers = numbers.transpose(1, 0, 2)
    numbers = np.ascontiguousarray(numbers)
    ways = _ways(numbers)
    if len(ways) > 1:
        some = _sample(numbers)
        scale = numbers.size / some.size
        sizes = [len(_head(way)) + scale * len(_body(some, way) or some.tobytes()) for way in ways]
        ways = [ways[int(np.argmin(sizes))]]
    (way,) = ways
    body = _body(numbers, way, progress)
    raw = b"\xff" + planes.tobytes()
    return raw if body is None or len(_head(way)) + len(body) >= len(raw) else _head(way) + body


def decode(data: bytes, height: int, width: int, channels: int, progress: Progress | None = None) -> np.ndarray:
    """The uint8 planes (height, width, channels) that :func:`encode` made ``data`` from.

    Time and memory depend on the geometry alone. Raises CorruptStream where the bytes cannot be such planes,
    ValueError for a geometry that :func:`encode` refuses.
    """
    if channels % 2 or not 2 <= channels <= 2 * MAX_NUMBERS or height < 1 or width < 1:
        raise ValueError(f"expected a geometry (H, W, 2, 4, 6 or 8), found {(height, width, channels)}")
    if data[:1] == b"\xff":
        if len(data) != 1 + height * width * channels:
            raise _damaged(f"expected {height * width * channels} raw bytes, found {len(data) - 1}")
        raw: np.ndarray = np.frombuffer(data, np.uint8, offset=1).reshape(height, width, channels).copy()
        return raw
    way, at = _read_head(data, channels // 2)
    on_its_side = planes_coder.on_its_side(height, width)
    shape = (width, height) if on_its_side else (height, width)
    numbers = _decoded(data[at:], (*shape, channels // 2), way, progress)
    if on_its_side:
        numbers = numbers.transpose(1, 0, 2)
    numbers = way.meant()[numbers]
    planes = np.empty((height, width, channels), np.uint8)
    planes[..., 0::2], planes[..., 1::2] = numbers >> 8, numbers & 255
    return planes


# ---- what stands in front of the body


def _head(way: Way) -> bytes:
    flags = sum(1 << c for c, void in enumerate(way.voids.tolist()) if void >= 0)
    if way.levels is None:
        told = way.highest.to_bytes(2, "little")
    else:
        steps = (np.diff(way.levels, prepend=-1) - 1).astype(np.uint16)
        table = planes_coder.encode_planes(np.stack([steps >> 8, steps & 255], 1)[None].astype(np.uint8))
        told = way.highest.to_bytes(2, "little") + len(table).to_bytes(3, "little") + table
        flags |= LEVELS
    if way.turn:
        told += way.turn.to_bytes(2, "little")
        flags |= TURNED
    return bytes([flags]) + told + b"".join(void.to_bytes(2, "little") for void in way.voids.tolist() if void >= 0)


def _read_head(data: bytes, numbers: int) -> tuple[Way, int]:
    """The way, and where the body begins. Raises CorruptStream."""
    if len(data) < 3:
        raise _damaged(f"expected 3 bytes at least, found {len(data)}")
    flags, highest, at = data[0], int.from_bytes(data[1:3], "little"), 3
    if flags >> 6 or flags & (15 >> numbers << numbers):
        raise _damaged(f"flags {flags:#04x} do not fit {numbers} numbers")
    levels = None
    if flags & LEVELS:
        length = int.from_bytes(data[3:6], "little")
        if length > len(data) - 6:
            raise _damaged(f"{length} bytes of levels, where {max(0, len(data) - 6)} are left")
        steps = planes_coder.decode_planes(data[6 : 6 + length], 1, highest + 1, 2)[0].astype(np.int64)
        levels = np.cumsum((steps[:, 0] << 8) + steps[:, 1] + 1) - 1
        if levels[-1] > 65535:
            raise _damaged(f"a level of {int(levels[-1])}, above 65535")
        at = 6 + length
    turn = 0
    if flags & TURNED:
        turn = int.from_bytes(data[at : at + 2], "little")
        at += 2
    voids = np.full(numbers, -1, np.int64)
    for c in range(numbers):
        if flags >> c & 1:
            voids[c] = int.from_bytes(data[at : at + 2], "little")
            at += 2
    if at > len(data) or max(turn, int(voids.max())) > highest:
        raise _damaged(f"a void of {int(voids.max())}, a turn of {turn}, where {highest} is the highest number")
    return Way(levels, voids, highest, turn), at


def _damaged(what: str) -> CorruptStream:
    return CorruptStream(f"whole numbers: {what}; the file is damaged")


# ---- the body


def _body(numbers: np.ndarray, way: Way, progress: Progress | None = None) -> bytes | None:
    """Range-coded bytes; None where they would be no fewer than two for each number."""
    numbers = way.coded(numbers)
    data = np.empty(2 * numbers.size, np.uint8)
    model = whole_state.new_whole(numbers, planes_coder.order_of(numbers.shape[2]), way.voids, decoding=False)
    if not _code(model, data, way.highest, progress):
        return None
    length = decisions.finish(model, data)
    return data[:length].tobytes() if length < data.size else None


def _decoded(body: bytes, shape: tuple[int, int, int], way: Way, progress: Progress | None) -> np.ndarray:
    data = np.frombuffer(body, np.uint8).copy()  # the kernel is typed for an array it could write to
    numbers = np.zeros(shape, np.int32)
    model = whole_state.new_whole(numbers, planes_coder.order_of(shape[2]), way.voids, decoding=True)
    decisions.start(model, data)
    if not _code(model, data, way.highest, progress) or not decisions.finished(model, data):
        raise _damaged(f"the {len(body)} bytes do not end where the pixels do")
    return numbers


def _code(model: whole_state.Whole, data: np.ndarray, highest: int, progress: Progress | None) -> bool:
    """`whole_kernels.code_whole` of all rows, a band after another; False when `data` is too short or cannot be."""
    height, width, _ = model.samples.shape
    band, repeats = max(1, BAND // width), 0
    for first in range(0, height, band):
        last = min(first + band, height)
        repeats = whole_kernels.code_whole(model, data, highest, first, last, repeats)
        if repeats < 0:
            return False
        if progress:
            progress(last / height)
    return True


# ---- choice of the way


def _ways(numbers: np.ndarray) -> list[Way]:
    """Those that may turn out smallest: with the levels told or not, turned or not, with voids or not."""
    count = np.bincount(numbers.ravel(), minlength=1 << 16)
    used = np.flatnonzero(count)
    plain = Way(None, np.full(numbers.shape[2], -1, np.int64), int(used[-1]))
    ways = [plain]
    if 20 * len(used) < 19 * (int(used[-1]) + 1) and 2 * len(used) < numbers.size:
        steps = np.diff(used)
        ways.append(Way(used.astype(np.int64), plain.voids, len(used) - 1))
        if len(steps) and 4 * int(steps.max()) > int(used[-1]):
            ways.append(replace(ways[-1], turn=int(steps.argmax()) + 1))
    voids = np.array([_void(numbers[..., c]) for c in range(numbers.shape[2])], np.int64)
    if (voids >= 0).any():
        ways += [replace(way, voids=np.where(voids < 0, -1, way.coded(np.maximum(voids, 0)))) for way in ways]
    return ways


def _void(channel: np.ndarray) -> int:
    """The value that is most frequent and stands off from its neighbours, -1 where none does."""
    count = np.bincount(channel.ravel())
    value = int(count.argmax())
    there = channel == value
    if _FEW * int(count[value]) < channel.size or there.all():
        return -1
    step = np.abs(np.diff(channel, axis=1))
    edge, inside = there[:, 1:] != there[:, :-1], ~(there[:, 1:] | there[:, :-1])
    if not edge.any() or not inside.any():
        return -1
    return value if float(np.median(step[edge])) > 4 * float(np.median(step[inside])) else -1


def _sample(numbers: np.ndarray) -> np.ndarray:
    """The middle of the rows and columns, about SAMPLE pixels; all of a small picture."""
    height, width, _ = numbers.shape
    h = min(height, max(SAMPLE // width, 128))
    w = min(width, max(1, SAMPLE // h))
    top, left = (height - h) // 2, (width - w) // 2
    return np.ascontiguousarray(numbers[top : top + h, left : left + w])
