"""Adaptive context coder: planes of bytes to bytes and back, losslessly, with nothing trained beforehand.

For what a network trained on photographs is bad at: flat and drawn pictures, screenshots, text, palette indices,
bilevel scans, alpha planes, low bytes of 16-bit data, noise. Each value is split into binary decisions; a decision's
probability is the logistic mix of twelve adaptive contexts, refined by an adaptive map, and goes to a binary range
coder (`decisions`). All arithmetic is integer, so every machine decodes the same pixels.
bitstream_spec/CONTEXT.md is the normative description.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ...runtime import threads
from ...runtime.errors import CorruptStream
from ...runtime.kernels import kernel, woven
from ...runtime.progress import Progress, side_by_side
from . import decisions, kernels, state

Mode = Literal[0, 1, 2, 3, 4]
RAW: Mode = 0  # the bytes themselves: noise
NUMBERS: Mode = 1  # residuals of a prediction, channel after channel
NUMBERS_AND_PIXELS: Mode = 2  # the same, but first: is it a neighbour's pixel, or one that stood in such a place?
COLOURS: Mode = 3  # a palette of up to 65 536 colours, indices from the top bit down
COLOURS_AND_PIXELS: Mode = 4

MAX_CHANNELS = 8
MAX_COLOURS = 1 << 16
SAMPLE = 1 << 15  # pixels on which the modes are compared
WORKERS = 2  #: threads that try modes
BAND = 1 << 16  #: pixels that are coded between two reports of how far it is
SMALL = 64 * 64  #: pixels up to which starting them takes longer than the work
WIDE = 1 << 16  # wider pictures than this are coded on their side, which bounds the memory for rows


def encode_planes(planes: np.ndarray, most: int = 2, progress: Progress | None = None) -> bytes:
    """Code uint8 planes (H, W, C), C in 1..8, H and W at least 1. At most H*W*C + 1 bytes come out.

    ``most``: modes tried on the whole of a picture that is larger than their sample, where that leaves a doubt.
    Raises ValueError for other planes.
    """
    height, width, channels = planes.shape
    if planes.dtype != np.uint8 or not 1 <= channels <= MAX_CHANNELS or not height or not width:
        raise ValueError(f"expected uint8 planes (H, W, 1..8), found {planes.dtype} {planes.shape}")
    planes = np.require(planes.transpose(1, 0, 2) if on_its_side(height, width) else planes, requirements=["C", "W"])
    palette, indices = _palette(planes)
    raw = bytes([RAW]) + planes.tobytes()
    modes = _likely_modes(planes, palette, indices, most)
    workers = WORKERS if height * width > SMALL else 1
    tries = list(zip(modes, side_by_side(progress, len(modes)), strict=True))
    found = threads.each(lambda one: _encode_mode(planes, palette, indices, *one), tries, workers)
    return min([raw, *(data for data in found if data is not None)], key=len)


def decode_planes(data: bytes, height: int, width: int, channels: int, progress: Progress | None = None) -> np.ndarray:
    """The uint8 planes (height, width, channels) that `encode_planes` made `data` from.

    Raises CorruptStream where the bytes cannot be such planes, ValueError for a geometry that `encode_planes` refuses.
    Time and memory depend on the geometry alone, whatever the data.
    """
    if not 1 <= channels <= MAX_CHANNELS or height < 1 or width < 1:
        raise ValueError(f"expected a geometry (H, W, 1..8), found {(height, width, channels)}")
    if not data:
        raise CorruptStream("context-coded planes: expected a mode byte, found no data; the file is damaged")
    turned = on_its_side(height, width)
    shape = (width, height, channels) if turned else (height, width, channels)
    mode, body = data[0], data[1:]
    if mode == RAW:
        planes = _decode_raw(body, shape)
    elif mode in (NUMBERS, NUMBERS_AND_PIXELS):
        planes = _decode_body(body, shape, 0, mode == NUMBERS_AND_PIXELS, progress)
    elif mode in (COLOURS, COLOURS_AND_PIXELS):
        planes = _decode_colours(body, shape, mode == COLOURS_AND_PIXELS, progress)
    else:
        raise CorruptStream(f"context-coded planes: expected a mode of 0 to 4, found {mode}; the file is damaged")
    return np.ascontiguousarray(planes.transpose(1, 0, 2)) if turned else planes


def on_its_side(height: int, width: int) -> bool:
    """Whether a picture of so many rows and columns is coded with the two exchanged."""
    return width > WIDE and width > height


# --- one mode ---------------------------------------------------------------------------------------------------------


def _encode_mode(
    planes: np.ndarray, palette: np.ndarray, indices: np.ndarray, mode: Mode, progress: Progress | None = None
) -> bytes | None:
    """Mode byte and body; None where it would be no shorter than RAW."""
    if mode in (NUMBERS, NUMBERS_AND_PIXELS):
        body = _encode_body(planes, 0, mode == NUMBERS_AND_PIXELS, progress)
    else:
        body = _encode_colours(palette, indices, mode == COLOURS_AND_PIXELS, progress)
    return None if body is None else bytes([mode]) + body


def _encode_colours(palette: np.ndarray, indices: np.ndarray, pixels: bool, progress: Progress | None) -> bytes | None:
    """Number of colours - 1 (2 bytes, little-endian), length of the palette (3 bytes), palette, indices."""
    colours = len(palette)
    table = _encode_palette(palette)
    body = _encode_body(indices, colours, pixels, progress) if colours > 1 else b""
    return (
        None if body is None else (colours - 1).to_bytes(2, "little") + len(table).to_bytes(3, "little") + table + body
    )


def _decode_colours(data: bytes, shape: tuple[int, int, int], pixels: bool, progress: Progress | None) -> np.ndarray:
    height, width, channels = shape
    if len(data) < 5:
        raise CorruptStream(
            f"context-coded planes: expected 5 bytes of palette header, found {len(data)}; the file is damaged"
        )
    colours, length = int.from_bytes(data[:2], "little") + 1, int.from_bytes(data[2:5], "little")
    if colours > height * width or length > len(data) - 5:
        raise CorruptStream(
            f"context-coded planes: a palette of {colours} colours in {length} bytes does not fit "
            f"{height * width} pixels in {len(data) - 5} bytes; the file is damaged"
        )
    palette = _decode_palette(data[5 : 5 + length], colours, channels)
    if colours == 1:
        if length != len(data) - 5:
            raise CorruptStream("context-coded planes: bytes follow a single colour; the file is damaged")
        return np.tile(palette[0], (height, width, 1))
    shape = height, width, _index_channels(colours)
    indices = _decode_body(data[5 + length :], shape, colours, pixels, progress)
    return palette.take(_joined(indices), axis=0)


def _encode_palette(palette: np.ndarray) -> bytes:
    """The sorted palette is a picture one row high."""
    row = np.ascontiguousarray(palette[None])
    body = _encode_body(row, 0, False)
    return bytes([RAW]) + row.tobytes() if body is None else bytes([NUMBERS]) + body


def _decode_palette(data: bytes, colours: int, channels: int) -> np.ndarray:
    if not data or data[0] not in (RAW, NUMBERS):
        raise CorruptStream(
            f"context-coded planes: expected a palette, found {data[:1].hex() or 'nothing'}; the file is damaged"
        )
    shape = (1, colours, channels)
    row = _decode_raw(data[1:], shape) if data[0] == RAW else _decode_body(data[1:], shape, 0, False)
    return row.reshape(colours, channels)


def _decode_raw(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    size = shape[0] * shape[1] * shape[2]
    if len(data) != size:
        raise CorruptStream(f"context-coded planes: expected {size} raw bytes, found {len(data)}; the file is damaged")
    planes: np.ndarray = np.frombuffer(data, np.uint8).reshape(shape).copy()
    return planes


def _encode_body(planes: np.ndarray, colours: int, pixels: bool, progress: Progress | None = None) -> bytes | None:
    """Range-coded bytes; None where they would be no fewer than the planes'."""
    data = np.empty(planes.size, np.uint8)
    model = state.new_model(planes, order_of(planes.shape[2]), decoding=False)
    if not _code(model, data, colours, pixels, progress):
        return None
    length = decisions.finish(model, data)
    return data[:length].tobytes() if length < data.size else None


def _decode_body(
    body: bytes, shape: tuple[int, int, int], colours: int, pixels: bool, progress: Progress | None = None
) -> np.ndarray:
    data = np.frombuffer(body, np.uint8).copy()  # the kernel is typed for an array it could write to
    planes = np.zeros(shape, np.uint8)
    model = state.new_model(planes, order_of(shape[2]), decoding=True)
    decisions.start(model, data)
    if not _code(model, data, colours, pixels, progress) or not decisions.finished(model, data):
        raise CorruptStream(
            f"context-coded planes: the {len(body)} bytes do not end where the pixels do; the file is damaged"
        )
    return planes


def _code(model: state.Model, data: np.ndarray, colours: int, pixels: bool, progress: Progress | None) -> bool:
    """`kernels.code_rows` of all rows, a band after another; False when `data` is too short or cannot be."""
    height, width, _ = model.planes.shape
    band, repeats = max(1, BAND // width), 0
    for first in range(0, height, band):
        last = min(first + band, height)
        repeats = kernels.code_rows(model, data, colours, pixels, first, last, repeats)
        if repeats < 0:
            return False
        if progress:
            progress(last / height)
    return True


def order_of(channels: int) -> np.ndarray:
    """int64 (C,), channels as they are coded. Green first: it predicts red and blue better than they predict it."""
    return np.array([1, 0, *range(2, channels)] if channels >= 3 else range(channels), np.int64)


# --- palette ----------------------------------------------------------------------------------------------------------


def _palette(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted colours uint8 (n, C) and indices uint8 (H, W, 1 or 2, low byte first); n = 0 where there are too many."""
    height, width, channels = planes.shape
    limit = min(MAX_COLOURS, max(256, height * width // 4))
    keys, used = np.zeros(4 * MAX_COLOURS, np.uint64), np.zeros(4 * MAX_COLOURS, np.uint8)
    order = order_of(channels)
    if not _collect_colours(planes, order, keys, used, limit):
        return np.zeros((0, channels), np.uint8), np.zeros((0, 0, 1), np.uint8)
    slots = np.flatnonzero(used)
    slots = slots[np.argsort(keys[slots])]
    ranks = np.zeros(keys.size, np.int64)
    ranks[slots] = np.arange(slots.size)
    palette = np.zeros((slots.size, channels), np.uint8)
    for j, c in enumerate(order):
        palette[:, c] = (keys[slots] >> np.uint64(8 * (channels - 1 - j))).astype(np.uint8)
    indices = np.zeros((height, width, _index_channels(slots.size)), np.uint8)
    _index_colours(planes, order, keys, used, ranks, indices)
    return palette, indices


@woven
def _find_colour(planes, y, x, order, keys, used):
    """The slot where the colour of a pixel is or would be, and the colour as a number, first coded channel on top."""
    key = np.uint64(0)
    for j in range(order.size):
        key = (key << np.uint64(8)) | np.uint64(planes[y, x, order[j]])
    slot = np.int64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & (keys.size - 1)
    while used[slot] and keys[slot] != key:
        slot = (slot + 1) & (keys.size - 1)
    return slot, key


@kernel
def _collect_colours(planes, order, keys, used, limit):
    """Put every colour into the open-addressing table keys/used; False as soon as there are more than `limit`."""
    count = 0
    for y in range(planes.shape[0]):
        for x in range(planes.shape[1]):
            slot, key = _find_colour(planes, y, x, order, keys, used)
            if not used[slot]:
                if count == limit:
                    return False
                used[slot] = 1
                keys[slot] = key
                count += 1
    return True


@kernel
def _index_colours(planes, order, keys, used, ranks, indices):
    """Replace every pixel by the rank of its colour, low byte first."""
    for y in range(planes.shape[0]):
        for x in range(planes.shape[1]):
            slot, _ = _find_colour(planes, y, x, order, keys, used)
            for c in range(indices.shape[2]):
                indices[y, x, c] = (ranks[slot] >> (8 * c)) & 255


def _index_channels(colours: int) -> int:
    return 1 if colours <= 256 else 2


def _joined(indices: np.ndarray) -> np.ndarray:
    return indices[..., 0] if indices.shape[2] == 1 else indices[..., 0] | indices[..., 1].astype(np.uint16) << 8


# --- choice of the mode -----------------------------------------------------------------------------------------------


def _likely_modes(planes: np.ndarray, palette: np.ndarray, indices: np.ndarray, most: int) -> list[Mode]:
    """The modes worth coding the whole picture with: all for a small one, else the best on a sample; none for noise."""
    if len(palette) == 1:
        return [COLOURS]
    modes: list[Mode] = [NUMBERS, NUMBERS_AND_PIXELS]
    height, width, _ = planes.shape
    if len(palette) and 2 * len(palette) <= height * width:  # with more, the palette alone is half of the picture
        modes += [COLOURS, COLOURS_AND_PIXELS]
    if height * width <= SAMPLE:
        return modes
    some, some_indices = _sample(planes), _sample(indices) if len(palette) else indices
    # The palette of the whole is compared with a sample of the pixels: blown up to scale, its own bytes apart.
    scale = planes.size / some.size
    table = len(_encode_palette(palette)) if len(palette) else 0
    bodies = threads.each(
        lambda mode: _encode_planes_or_indices(some, some_indices, len(palette), mode), modes, WORKERS
    )
    sizes = [
        scale * len(body) + (table if mode in (COLOURS, COLOURS_AND_PIXELS) else 0) if body is not None else np.inf
        for mode, body in zip(modes, bodies, strict=True)
    ]
    # Where two come out close and the picture is not large, the whole decides.
    close = 1.15 * min(sizes) if height * width <= 1 << 20 else min(sizes)
    ranked = sorted(zip(sizes, modes, strict=True))
    return [mode for size, mode in ranked[:most] if size < np.inf and size <= close]


def _encode_planes_or_indices(planes: np.ndarray, indices: np.ndarray, colours: int, mode: Mode) -> bytes | None:
    if mode in (NUMBERS, NUMBERS_AND_PIXELS):
        return _encode_body(planes, 0, mode == NUMBERS_AND_PIXELS)
    return _encode_body(indices, colours, mode == COLOURS_AND_PIXELS)


def _sample(planes: np.ndarray) -> np.ndarray:
    """About SAMPLE pixels: blocks of up to 128x64 from a grid, one below the other, none overlapping."""
    height, width, _ = planes.shape
    w = min(width, 128)
    h = min(height, 64 * 128 // w)
    blocks = SAMPLE // (w * h)
    across = max(1, min(2, blocks, width // w))
    down = max(1, min(blocks // across, height // h))
    tops = [k * (height - h) // max(1, down - 1) for k in range(down)]
    lefts = [k * (width - w) // max(1, across - 1) for k in range(across)]
    return np.concatenate([planes[top : top + h, left : left + w] for top in tops for left in lefts])
