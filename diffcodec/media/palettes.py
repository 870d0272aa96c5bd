"""Palettes of indexed files, told by what the picture itself says: its colours, in an order (SPEC.md §2.2, kind `l`).

A decoder that has the samples knows the colours in use. What it lacks is their order among the entries, the entries
that no pixel shows, and the indices of pixels whose colour stands in several entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import CorruptStream
from ..runtime.varint import write_varint
from .metadata import Cursor, Metadata, PackedPalette, Palette

if TYPE_CHECKING:
    from .picture import Picture

MOST = 256  #: entries of a palette
#: numbers of the orders; those before PERMUTED may be reversed
SORTED, SHOWN, LUMA, FREQUENT, PERMUTED, RAMP = range(1, 7)
_ORDER, _REVERSED, _OTHERS, _ALPHAS, _RESERVED = 7, 8, 16, 32, 192  # bits of the first byte
_STRIP = 2**16  # pixels that are sorted at once

Key = int  # of a colour: R, G, B and alpha, a byte each, R the highest


@dataclass(frozen=True)
class Used:
    """The colours of a picture, ascending by their keys; of each the first pixel and the number of pixels."""

    keys: list[Key]
    first: list[int]
    counts: list[int]
    channels: int

    def ordered(self, order: int) -> list[Key]:
        """In one of the orders before PERMUTED."""
        luma = [299 * (key >> 24) + 587 * (key >> 16 & 255) + 114 * (key >> 8 & 255) for key in self.keys]
        values = {
            SORTED: self.keys,
            SHOWN: self.first,
            LUMA: luma,
            FREQUENT: [-count for count in self.counts],
        }[order]
        return [self.keys[i] for i in sorted(range(len(self.keys)), key=lambda i: (values[i], self.keys[i]))]


def packed(picture: Picture) -> Metadata:
    """The picture's metadata with its palette in the shortest form; none that is not of this picture's samples."""
    palette = picture.metadata.palette
    if palette is None:
        return picture.metadata
    if isinstance(palette, PackedPalette):  # of a stream whose picture was not decoded with it
        return replace(picture.metadata, palette=None)
    used = used_colours(picture)
    forms = [] if used is None else [PackedPalette(data) for data in _forms(palette, used)]
    every: list[Palette | PackedPalette] = [palette, *forms]
    ways = [replace(picture.metadata, palette=form) for form in every]
    return min(ways, key=lambda metadata: metadata.size("palette"))


def unpacked(picture: Picture, metadata: Metadata) -> Metadata:
    """Mirror of :func:`packed` for the decoded picture. Raises CorruptStream where the two contradict each other."""
    palette = metadata.palette
    if palette is None:
        return metadata
    if isinstance(palette, PackedPalette):
        used = used_colours(picture)
        if used is None:
            raise CorruptStream(
                f"a palette in a picture of mode {picture.mode} that has none, or too many colours; the file is damaged"
            )
        palette = _read(Cursor(palette.data), used)
    if len(palette.ambiguous) > picture.width * picture.height:
        raise CorruptStream("the metadata hold more palette indices than the picture has pixels; the file is damaged")
    return replace(metadata, palette=palette)


def used_colours(picture: Picture) -> Used | None:
    """None where the samples are no bytes in three or four channels, or have more than 256 colours."""
    samples = picture.samples
    if samples.dtype != np.uint8 or samples.ndim != 3 or samples.shape[2] not in (3, 4):
        return None
    found: dict[Key, tuple[int, int]] = {}
    for at, keys in _strips(samples.reshape(-1, samples.shape[2])):
        values, first, counts = np.unique(keys, return_index=True, return_counts=True)
        if len(values) > MOST:
            return None
        for key, start, count in zip(values.tolist(), first.tolist(), counts.tolist(), strict=True):
            before = found.get(key, (at + start, 0))
            found[key] = before[0], before[1] + count
        if len(found) > MOST:
            return None
    ascending = sorted(found)
    first_ones, numbers = [found[key][0] for key in ascending], [found[key][1] for key in ascending]
    return Used(ascending, first_ones, numbers, samples.shape[2])


def _strips(pixels: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    for at in range(0, len(pixels), _STRIP):
        part = pixels[at : at + _STRIP].astype(np.uint32)
        alpha = part[:, 3] if part.shape[1] == 4 else np.uint32(255)
        yield at, part[:, 0] << np.uint32(24) | part[:, 1] << np.uint32(16) | part[:, 2] << np.uint32(8) | alpha


def _forms(palette: Palette, used: Used) -> Iterator[bytes]:
    """Everything that stands for this palette beside these colours; nothing if it lacks one of them."""
    colours, alphas = palette.colours, palette.alphas + b"\xff" * (len(palette.colours) // 3 - len(palette.alphas))
    entries = [int.from_bytes(colours[3 * i : 3 * i + 3] + alphas[i : i + 1], "big") for i in range(len(alphas))]
    if len(alphas) != len(colours) // 3 or not set(used.keys) <= set(entries):
        return
    if used.channels == 3 and any(alpha != 255 for alpha in alphas):
        return
    told = len(palette.alphas) != _least_alphas(entries)
    flags = told * _ALPHAS
    number = write_varint(len(palette.alphas)) if told else b""
    if entries == _ramp(len(entries)):
        yield bytes([RAMP | flags]) + number + bytes([len(entries) - 1]) + palette.ambiguous
    left = set(used.keys)
    order: list[Key] = []
    others = []  # of each entry whether it is none that names a colour for the first time
    for key in entries:
        others.append(key not in left)
        if key in left:
            left.remove(key)
            order.append(key)
    further = b""
    if any(others):
        flags |= _OTHERS
        number += bytes([len(entries) - 1])
        bits = sum(other << i for i, other in enumerate(others))
        raw = [key.to_bytes(4, "big")[: used.channels] for key, other in zip(entries, others, strict=True) if other]
        further = bits.to_bytes(-(-len(entries) // 8), "little") + b"".join(raw)
    rest = further + palette.ambiguous
    for known in range(SORTED, PERMUTED):
        ordered = used.ordered(known)
        for reverse in (0, _REVERSED):
            if order == (ordered[::-1] if reverse else ordered):
                yield bytes([known | reverse | flags]) + number + rest
                return
    yield bytes([PERMUTED | flags]) + number + _number(order, used.keys) + rest


def _read(cursor: Cursor, used: Used) -> Palette:
    first = cursor.byte()
    order, reverse, has_others = first & _ORDER, first & _REVERSED, first & _OTHERS
    if not SORTED <= order <= RAMP or first & _RESERVED or (reverse and order >= PERMUTED):
        raise CorruptStream(f"a palette is told in form {first:#04x}, which is none; the file is damaged")
    if order == RAMP and has_others:
        raise CorruptStream("a palette of greys has further entries; the file is damaged")
    count = cursor.varint() if first & _ALPHAS else None
    size = cursor.byte() + 1 if order == RAMP or has_others else len(used.keys)
    if order == RAMP:
        entries = _ramp(size)
        if not set(used.keys) <= set(entries):
            raise CorruptStream("a palette of greys lacks a colour of its picture; the file is damaged")
    else:
        if order == PERMUTED:
            known = _permuted(cursor.take(_number_bytes(len(used.keys))), used.keys)
        else:
            known = used.ordered(order)
        entries = known[::-1] if reverse else known
        if has_others:
            entries = _with_others(cursor, entries, size, used.channels)
    least = _least_alphas(entries)
    count = least if count is None else count
    if not least <= count <= len(entries):
        raise CorruptStream(f"a palette of {len(entries)} entries has {count} alphas, {least} of them needed")
    every = b"".join(key.to_bytes(4, "big") for key in entries)
    colours = bytes(value for i, value in enumerate(every) if i % 4 < 3)
    return Palette(colours, every[3::4][:count], cursor.rest())


def _with_others(cursor: Cursor, known: list[Key], size: int, channels: int) -> list[Key]:
    """``size`` entries: the known ones, and between them those that follow, where a bit is set."""
    bits = int.from_bytes(cursor.take(-(-size // 8)), "little")
    if bits >> size or size - bits.bit_count() != len(known):
        raise CorruptStream(
            f"a palette of {size} entries marks {bits.bit_count()} of them as further ones, and its picture has "
            f"{len(known)} colours; the file is damaged"
        )
    names = iter(known)
    return [
        int.from_bytes((cursor.take(channels) + b"\xff")[:4], "big") if bits >> i & 1 else next(names)
        for i in range(size)
    ]


def _least_alphas(entries: list[Key]) -> int:
    """Entries up to the last that is not opaque."""
    return max((i + 1 for i, key in enumerate(entries) if key & 255 != 255), default=0)


def _ramp(size: int) -> list[Key]:
    levels = [255 * i // max(1, size - 1) for i in range(size)]
    return [level << 24 | level << 16 | level << 8 | 255 for level in levels]


# ---- permutations as numbers


def _number_bytes(size: int) -> int:
    """Bytes of the greatest number of a permutation."""
    return -(-(math.factorial(size) - 1).bit_length() // 8)


def _number(order: list[Key], keys: list[Key]) -> bytes:
    """The place of each among those of ``keys`` that are left, the first in the lowest place of mixed radix."""
    left, value, radix = list(keys), 0, 1
    for key in order:
        value += radix * left.index(key)
        radix *= len(left)
        left.remove(key)
    return value.to_bytes(_number_bytes(len(keys)), "little")


def _permuted(number: bytes, keys: list[Key]) -> list[Key]:
    """Mirror of :func:`_number`."""
    value, left, order = int.from_bytes(number, "little"), list(keys), []
    while left:
        value, at = divmod(value, len(left))
        order.append(left.pop(at))
    if value:
        raise CorruptStream("the order of a palette is a number beyond all permutations; the file is damaged")
    return order
