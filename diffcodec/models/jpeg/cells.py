"""What a JPEG file tells of the picture it was made from: each of its coefficients lies within half a step.

The pictures for which all do are a convex set, but for rounding; `project` goes to the nearest of them, and `agree` to
one in bytes, which an encoder makes the same file of. Sums are taken in one order: any two machines get the same.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import UnsupportedVersion
from ...runtime.kernels import kernel
from ..operators import BACK, CHROMA, LUMA, ONE, bytes_of, luma_of
from . import search
from .blocks import Layout, check, quantised
from .coefficients import Jpeg

Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

ROUNDS = 60  #: of projections in turn, at most
STEPS = 200  #: moves of a pixel in a tile, at most, from each start
STARTS = 6  #: of the search, beside the first
ALL_STEPS = 24  #: for each tile, all of a strip together, and `MORE_STEPS`
MORE_STEPS = 8000
STRIP = 1 << 19  #: pixels that are made to agree at once
_MARGIN = 0.5  # levels by which cells are narrower, and become narrower where a coefficient has missed its own
_HARDLY = 0.93  # of the tiles that were wrong before: more that still are, and rounds are given up
_BEYOND = 1.8  # how far a projection is gone, the first but once: turns of two sets come to an end sooner
_CLIPPED = 0.25  # levels beyond what colours can be: rounds are not given up for such a tile

# rounded, as the last bits of cosines and inverses are not the same everywhere
_FORTH, _BACK = np.vstack([LUMA, CHROMA]).T / ONE, np.round(BACK, 12)  # RGB -> YCbCr about 0 -> RGB
_FREQUENCY, _PLACE = np.arange(8)[:, None], np.arange(8)
_COSINES = np.cos((2 * _PLACE + 1) * _FREQUENCY * np.pi / 16) * np.where(_FREQUENCY, 0.5, np.sqrt(1 / 8))
_COSINES = np.round(_COSINES, 14)  # orthonormal, (8 frequencies, 8 places)


def tables(jpeg: Jpeg) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Steps of luma and of chroma float32 (2, 64), the latter 0 for a grey file; log2 of a chroma sample's (w, h).

    Steps by vertical, then horizontal frequency; width and height in samples of luma: (1, 1) for 4:2:0. Raises
    UnsupportedVersion for a file that these do not describe: of RGB, of more than one kind of chroma.
    """
    steps = np.zeros((2, 64), np.float32)
    steps[0] = jpeg.components[0].table.ravel()
    if len(jpeg.components) == 1:
        return steps, (0, 0)
    luma, *chroma = Layout.of(jpeg).boxes
    _, cb, cr = jpeg.components
    if not jpeg.transform or luma != (1, 1) or chroma[0] != chroma[1] or (cb.table != cr.table).any():
        raise UnsupportedVersion("expected a JPEG file of YCbCr whose luma is whole and whose chroma are alike")
    steps[1] = cb.table.ravel()
    v, h = chroma[0]
    return steps, (h.bit_length() - 1, v.bit_length() - 1)


def forward(picture: Bytes, jpeg: Jpeg) -> tuple[Shorts, ...]:
    """What libjpeg-turbo makes of a picture uint8 (H, W, C) with a file's sampling and its steps, up to 8191.

    For each component int16 (rows, cols, 8, 8), in steps, as `coefficients.Component` has them. Raises InputError for
    a picture of another size.
    """
    layout = Layout.of(jpeg)
    check(picture[None], layout)
    return tuple(found[0] for found in quantised(picture[None], layout, [part.table for part in jpeg.components]))


def project(x: Floats, jpeg: Jpeg) -> Floats:
    """The nearest picture whose coefficients lie in their cells, float64 (H, W, C) of (H, W, C), in levels.

    Nearest in YCbCr whose chroma is averaged; nothing is rounded or kept from 0 to 255. Where blocks reach beyond the
    picture it is near only. Raises InputError for a picture of another size.
    """
    layout = Layout.of(jpeg)
    check(x[None], layout)
    half = [part.table.reshape(64) / 2.0 for part in jpeg.components]
    middle = [2 * step * part.coefficients.reshape(1, -1, 64) for step, part in zip(half, jpeg.components, strict=True)]
    projected: Floats = _clamped(x[None], layout, middle, half)[0]
    return projected


def agree(picture: Bytes, jpeg: Jpeg, rounds: int = ROUNDS, steps: int = STEPS) -> tuple[Bytes, int]:
    """A picture uint8 (H, W, C) near ``picture`` (H, W, C) of which :func:`forward` makes the file's coefficients.

    And how many of them still differ: 0 but for files of the finest steps, and those that no picture is made into.
    rounds: of projections onto cells and onto what colours can be. steps: of the search that follows where they fail.
    Blocks that are right stay as they are. Raises InputError for a picture of another size.
    """
    layout = Layout.of(jpeg)
    check(picture[None], layout)
    out, wrong = picture.copy(), 0
    high, wide = layout.tile
    for rows in _parts(layout.height, high, max(1, STRIP // (high * layout.width))):
        for cols in _parts(layout.width, wide, layout.width):
            part = _Tiles(jpeg, layout, rows, cols)
            tiles = part.cut(out)
            wrong += part.settle(tiles, rounds, steps)
            part.paste(tiles, out)
    return out, wrong


# ---- in floats


def _clamped(x: Floats, layout: Layout, middle: list[Floats], half: list[Floats]) -> Floats:
    """Pictures (n, H, W, C) of which each coefficient is moved to within ``half`` of its ``middle``.

    Both float64 for each component, (n, blocks, 64) or what broadcasts with it, in levels.
    """
    planes = _coloured(x, _FORTH) if layout.transform else x
    moved = np.empty_like(planes)
    for c in range(len(layout.boxes)):
        found = _coefficients(planes[..., c] - (0 if layout.transform and c else 128), layout, c)
        change = np.clip(found, middle[c] - half[c], middle[c] + half[c]) - found
        moved[..., c] = _spread(change, layout, c)
    out: Floats = x + (_coloured(moved, _BACK) if layout.transform else moved)
    return out


def _coefficients(plane: Floats, layout: Layout, c: int) -> Floats:
    """A component's coefficients (n, blocks, 64) of its plane (n, H, W) before it is averaged; edges as libjpeg has."""
    (rows, cols), (v, h) = layout.blocks(c), layout.boxes[c]
    wide = _continued(plane, layout.height + -layout.height % layout.group, 8 * cols * h)
    if v * h > 1:
        wide = reduce(np.add, [wide[:, i::v, j::h] for i in range(v) for j in range(h)]) / (v * h)
    wide = _continued(wide, 8 * rows, 8 * cols)
    blocks = np.ascontiguousarray(wide.reshape(-1, rows, 8, cols, 8).swapaxes(2, 3)).reshape(-1, 8, 8)
    _product(blocks, _COSINES, np.ascontiguousarray(_COSINES.T))
    return blocks.reshape(len(plane), rows * cols, 64)


def _spread(blocks: Floats, layout: Layout, c: int) -> Floats:
    """The samples of coefficients (n, blocks, 64), which are changed, at every pixel of their boxes, (n, H, W)."""
    (rows, cols), (v, h) = layout.blocks(c), layout.boxes[c]
    _product(blocks.reshape(-1, 8, 8), np.ascontiguousarray(_COSINES.T), _COSINES)
    plane: Floats = blocks.reshape(-1, rows, cols, 8, 8).swapaxes(2, 3).reshape(-1, 8 * rows, 8 * cols)
    plane = _ended(plane, (layout.height + -layout.height % layout.group) // v, 1)
    if v * h > 1:
        plane = plane.repeat(v, 1).repeat(h, 2)
    return _ended(plane[:, : layout.height], layout.width, 2)


def _continued(plane: Floats, height: int, width: int) -> Floats:
    """A plane (n, h, w) to ``height`` and ``width``, if that is more, its last row and column once and again."""
    below, right = height - plane.shape[1], width - plane.shape[2]
    return np.pad(plane, ((0, 0), (0, below), (0, right)), "edge") if below > 0 or right > 0 else plane


def _ended(plane: Floats, size: int, axis: int) -> Floats:
    """A plane (n, h, w) cut to ``size`` rows (1) or columns (2), of which the last is the mean of all from there on."""
    if size >= plane.shape[axis]:
        return plane
    rows: Floats = plane.swapaxes(1, axis)
    mean = reduce(np.add, [rows[:, k] for k in range(size - 1, rows.shape[1])]) / (rows.shape[1] - size + 1)
    ended: Floats = np.concatenate([rows[:, : size - 1], mean[:, None]], 1).swapaxes(1, axis)
    return ended


def _coloured(x: Floats, matrix: Floats) -> Floats:
    """Colours (..., 3) times a matrix (3, 3)."""
    out = np.empty(x.shape)
    _mix(np.ascontiguousarray(x).reshape(-1, 3), matrix, out.reshape(-1, 3))
    return out


@kernel
def _mix(x, matrix, out):
    for i in range(x.shape[0]):
        for c in range(3):
            out[i, c] = x[i, 0] * matrix[0, c] + x[i, 1] * matrix[1, c] + x[i, 2] * matrix[2, c]


@kernel
def _product(blocks, left, right):
    """``left`` block ``right`` of every block (n, 8, 8), in place; all float64, the matrices (8, 8)."""
    half = np.empty((8, 8))
    for n in range(blocks.shape[0]):
        block = blocks[n]
        half[:] = 0
        for i in range(8):
            for j in range(8):
                for k in range(8):
                    half[i, k] += left[i, j] * block[j, k]
        block[:] = 0
        for i in range(8):
            for j in range(8):
                for k in range(8):
                    block[i, k] += half[i, j] * right[j, k]


# ---- in bytes


def _parts(size: int, side: int, most: int) -> list[tuple[int, int, int]]:
    """(start, end, side) of parts of one side of a picture: of whole tiles, so many at most, and what is left."""
    whole = size - size % side
    parts = [(start, min(start + most * side, whole), side) for start in range(0, whole, most * side)]
    return parts if whole == size else [*parts, (whole, size, size - whole)]


def _counted(missed: list[Flags]) -> Ints:
    """How many coefficients of each tile (n,) are missed, of (n, blocks, 64) for each component."""
    counts: Ints = reduce(np.add, [part.sum((1, 2)) for part in missed])
    return counts


def _shaken(tiles: Bytes, number: int) -> Bytes:
    """Tiles whose bytes are moved by a few levels, without order, in one of many ways; 0: as they are."""
    most = np.uint64((number + 1) // 2)
    place = np.arange(tiles[0].size, dtype=np.uint64) + np.uint64(number << 20)
    mixed = (place * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    moves = (mixed * np.uint64(0xD1B54A32D192ED03) >> np.uint64(40)) % (2 * most + np.uint64(1))
    shaken: Ints = tiles.astype(np.int64) + moves.astype(np.int64).reshape(tiles.shape[1:]) - int(most)
    return bytes_of(np.clip(shaken, 0, 255))


class _Tiles:
    """Tiles of one size, each of which its own blocks depend on and no others; what they should become."""

    def __init__(self, jpeg: Jpeg, whole: Layout, rows: tuple[int, int, int], cols: tuple[int, int, int]):
        self.rows, self.cols = rows, cols
        self.layout = Layout(rows[2], cols[2], whole.boxes, whole.group, whole.transform)
        self.left = 0  # steps of the search
        self.tables = [part.table for part in jpeg.components]
        self.targets = []
        for c, part in enumerate(jpeg.components):
            (v, h), (down, across) = whole.boxes[c], self.layout.blocks(c)
            blocks = part.coefficients[rows[0] // (8 * v) :, cols[0] // (8 * h) :]
            high, wide = self._count
            blocks = blocks[: high * down, : wide * across].reshape(high, down, wide, across, 64).swapaxes(1, 2)
            self.targets.append(blocks.reshape(high * wide, down * across, 64))

    @property
    def _count(self) -> tuple[int, int]:
        """Tiles, down and across."""
        (top, bottom, high), (left, right, wide) = self.rows, self.cols
        return (bottom - top) // high, (right - left) // wide

    def cut(self, picture: Bytes) -> Bytes:
        """The tiles (n, h, w, C) of a picture (H, W, C)."""
        (top, bottom, high), (left, right, wide) = self.rows, self.cols
        down, across = self._count
        part = picture[top:bottom, left:right].reshape(down, high, across, wide, -1).swapaxes(1, 2)
        return np.ascontiguousarray(part).reshape(down * across, high, wide, -1)

    def paste(self, tiles: Bytes, picture: Bytes) -> None:
        """Mirror of `cut`."""
        (top, bottom, high), (left, right, wide) = self.rows, self.cols
        part = tiles.reshape(*self._count, high, wide, -1).swapaxes(1, 2)
        picture[top:bottom, left:right] = part.reshape(bottom - top, right - left, -1)

    def settle(self, tiles: Bytes, rounds: int, steps: int) -> int:
        """Change tiles until they are right; how many coefficients still are not."""
        which = np.flatnonzero(_counted(self._missed(tiles, np.arange(len(tiles)))))
        given, best = tiles[which], tiles[which]
        counts = np.full(len(which), np.iinfo(np.int64).max)
        self.left = ALL_STEPS * len(tiles) + MORE_STEPS
        for start in range(1 + STARTS):
            failed = np.flatnonzero(counts)
            if not len(failed) or (start and len(failed) > len(tiles) // 4 + 100):
                break
            others = _shaken((best if start % 2 else given)[failed], start)
            if start % 2 == 0:  # of the second kind: to the middles of cells, where a decoder would be
                margin = _MARGIN if start % 4 == 0 else np.inf
                self._approach(others, which[failed], rounds // 4 if start else rounds, margin)
            found = self._search(others, which[failed], steps, careful=start == 0)
            better = found < counts[failed]
            best[failed[better]], counts[failed[better]] = others[better], found[better]
        tiles[which] = best
        return int(counts.sum())

    def _cells(self, which: Ints) -> tuple[list[Floats], list[Floats]]:
        """Middles (n, blocks, 64) and half the sizes (64,) of the cells of some tiles, for each component."""
        half = [table.reshape(64) / 2.0 for table in self.tables]
        return [2 * size * target[which] for size, target in zip(half, self.targets, strict=True)], half

    def _missed(self, tiles: Bytes, which: Ints) -> list[Flags]:
        """Which coefficients (n, blocks, 64) of each component are not what they should be."""
        found = quantised(tiles, self.layout, self.tables)
        return [a.reshape(b[which].shape) != b[which] for a, b in zip(found, self.targets, strict=True)]

    def _approach(self, tiles: Bytes, which: Ints, rounds: int, margin: float) -> None:
        """Project tiles in turn onto cells and onto what colours can be.

        Cells are narrower by ``margin`` levels on each side, and the more so where one has been missed.
        """
        places, x = np.arange(len(tiles)), tiles.astype(np.float64)
        missed, clipped = self._missed(tiles, which), np.zeros(len(tiles), bool)
        margins = [np.full(part.shape, margin, np.float32) for part in missed]
        before = 2 * len(tiles)
        for turn in range(rounds):
            wrong = _counted(missed) > 0
            free = int((wrong & ~clipped).sum())  # of them only rounding stands in the way
            if free > _HARDLY * before:
                wrong &= clipped
            before, places, x = free, places[wrong], x[wrong]
            if not len(places):
                break
            for narrower, part in zip(margins, missed, strict=True):
                narrower[places] += _MARGIN * part[wrong]
            middle, half = self._cells(which[places])
            half = [np.maximum(size - narrower[places], 0) for size, narrower in zip(half, margins, strict=True)]
            x = np.clip(x + (_BEYOND if turn else 1) * (_clamped(x, self.layout, middle, half) - x), 0, 255)
            moved = _clamped(x, self.layout, middle, half)
            x = np.clip(moved, 0, 255)
            clipped = np.asarray((np.abs(x - moved) > _CLIPPED).any((1, 2, 3)))
            tiles[places] = self._rounded(x)
            missed = self._missed(tiles[places], which[places])

    def _rounded(self, x: Floats) -> Bytes:
        """Tiles (n, h, w, C) in bytes; first in YCbCr where components are whole: back in RGB that is all but kept."""
        if not self.layout.transform:
            return np.clip(np.rint(x), 0, 255).astype(np.uint8)
        planes = _coloured(x, _FORTH)
        for c, box in enumerate(self.layout.boxes):
            if box == (1, 1):
                planes[..., c] = np.rint(planes[..., c])
        colours = np.rint(_coloured(planes, _BACK)).astype(np.int64)
        off = np.rint(planes[..., :1]).astype(np.int64) - luma_of(colours)
        return np.clip(colours + off, 0, 255).astype(np.uint8)

    def _search(self, tiles: Bytes, which: Ints, steps: int, careful: bool) -> Ints:
        """Change tiles by `search.repair`; how many coefficients of each (n,) are not what they should be."""
        counts = _counted(self._missed(tiles, which))
        wrong = np.flatnonzero(counts)
        low, high = [], []
        for table, target in zip(self.tables, self.targets, strict=True):
            level, step = target[which[wrong]].astype(np.int64), table.reshape(64).astype(np.int64)
            low.append(8 * step * level - 4 * step + (level <= 0))
            high.append(8 * step * level + 4 * step - (level >= 0))
        if len(wrong):
            limits = [np.concatenate(part, 1).reshape(len(wrong), -1).astype(np.float32) for part in (low, high)]
            changed = tiles[wrong]
            pixels = changed.reshape(len(wrong), -1, tiles.shape[3])
            of = search.geometry(self.layout, np.kron(_COSINES, _COSINES), careful)
            self.left = int(search.repair(pixels, *limits, of, steps, self.left))
            tiles[wrong], counts[wrong] = changed, _counted(self._missed(changed, which[wrong]))
        return counts
