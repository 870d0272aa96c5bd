"""SPEC.md §2.2.1: the palette of a file of indices, told by the colours of its picture."""

from __future__ import annotations

import numpy as np

from .fields import Fields
from .refused import refuse

Colour = tuple[int, int, int, int]


def entries_of(data: bytes, samples: np.ndarray) -> tuple[list[Colour], int, bytes]:
    """(R, G, B, alpha of each entry; how many alphas the file told; indices of pixels in doubt)."""
    if samples.dtype != np.uint8 or samples.ndim != 3 or samples.shape[2] not in (3, 4):
        refuse("CorruptStream", "a palette in a picture of another kind")
    pixels: list[Colour] = [(*map(int, pixel[:3]), int(pixel[3]) if len(pixel) == 4 else 255)
                            for row in samples for pixel in row]  # fmt: skip
    shown: dict[Colour, int] = {}  # in the order of first appearance
    for pixel in pixels:
        shown[pixel] = shown.get(pixel, 0) + 1
    if len(shown) > 256:
        refuse("CorruptStream", "a palette in a picture of more than 256 colours")
    ascending = sorted(shown)
    fields = Fields(data)
    form = fields.bytes(1)[0]
    order, turned, further, told = form % 8, form & 8, form & 16, form & 32
    if form > 63 or not 1 <= order <= 6 or (turned and order > 4) or (further and order == 6):
        refuse("CorruptStream", "the form of a palette")
    alphas = fields.varint() if told else None
    count = fields.bytes(1)[0] + 1 if further or order == 6 else len(shown)
    entries = ascending
    if order == 2:
        entries = list(shown)
    elif order == 3:
        entries = sorted(ascending, key=lambda c: 299 * c[0] + 587 * c[1] + 114 * c[2])
    elif order == 4:
        entries = sorted(ascending, key=lambda c: -shown[c])
    elif order == 5:
        most = 1
        for k in range(2, len(shown) + 1):
            most *= k
        size = 0
        while 256**size < most:
            size += 1
        number, entries, left = int.from_bytes(fields.bytes(size), "little"), [], list(ascending)
        if number >= most:
            refuse("CorruptStream", "the number of a permutation")
        while left:
            entries.append(left.pop(number % len(left)))
            number //= len(left) + 1
    elif order == 6:
        greys = [255 * i // max(1, count - 1) for i in range(count)]
        entries = [(grey, grey, grey, 255) for grey in greys]
        if not set(shown) <= set(entries):
            refuse("CorruptStream", "a colour that is no entry")
    if turned:
        entries = entries[::-1]
    if further:
        marks = fields.bytes(-(-count // 8))
        marked = [marks[i // 8] >> i % 8 & 1 for i in range(8 * len(marks))]
        if any(marked[count:]) or count - sum(marked) != len(entries):
            refuse("CorruptStream", "another number of entries")
        known = iter(entries)
        entries = []
        for mark in marked[:count]:
            if mark:
                raw = fields.bytes(samples.shape[2])
                entries.append((raw[0], raw[1], raw[2], raw[3] if len(raw) == 4 else 255))
            else:
                entries.append(next(known))
    least = max([i + 1 for i, colour in enumerate(entries) if colour[3] != 255], default=0)
    alphas = least if alphas is None else alphas
    if not least <= alphas <= len(entries):
        refuse("CorruptStream", "the number of alphas")
    return entries, alphas, data[fields.at :]


def plain(data: bytes, samples: np.ndarray) -> bytes:
    """The same palette as form 0 has it."""
    entries, count, rest = entries_of(data, samples)
    colours = b"".join(bytes(colour[:3]) for colour in entries)
    return b"\0" + _counted(colours) + _counted(bytes(colour[3] for colour in entries[:count])) + rest


def _counted(data: bytes) -> bytes:
    size = len(data)
    return (bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])) + data
