"""From pixels to blocks of a JPEG file as libjpeg goes, in its integers: colours, averages, transform, quantisation.

libjpeg-turbo's vector code gives the same numbers, and so does dividing where it multiplies by reciprocals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import InputError
from ...runtime.kernels import kernel, woven
from .coefficients import Jpeg

Bytes = NDArray[np.uint8]
Shorts = NDArray[np.int16]

#: of jfdctint: cos(k pi / 16) sqrt(2) and sums of such, in 1/8192
_C0298, _C0390, _C0541, _C0765, _C0899, _C1175 = 2446, 3196, 4433, 6270, 7373, 9633
_C1501, _C1847, _C1961, _C2053, _C2562, _C3072 = 12299, 15137, 16069, 16819, 20995, 25172
_CONST_BITS, _PASS_BITS = 13, 2
_I64 = np.int64


@dataclass(frozen=True)
class Layout:
    """How a picture of ``height``×``width`` pixels lies in blocks, for every component.

    boxes: (rows, columns) of pixels whose average is a sample. group: rows that libjpeg averages at once. transform:
    components are YCbCr, of an RGB picture; else they are its channels.
    """

    height: int
    width: int
    boxes: tuple[tuple[int, int], ...]
    group: int
    transform: bool

    @classmethod
    def of(cls, jpeg: Jpeg) -> Layout:
        """Of a JPEG file's picture."""
        h, v = (max(getattr(part, name) for part in jpeg.components) for name in "hv")
        boxes = tuple((v // part.v, h // part.h) for part in jpeg.components)
        return cls(jpeg.height, jpeg.width, boxes, v, jpeg.transform)

    @property
    def tile(self) -> tuple[int, int]:
        """(rows, columns) of pixels that no other blocks depend on than their own."""
        return 8 * max(v for v, _ in self.boxes), 8 * max(h for _, h in self.boxes)

    def blocks(self, c: int) -> tuple[int, int]:
        """(rows, columns) of a component's blocks."""
        v, h = self.boxes[c]
        return math.ceil(self.height / (8 * v)), math.ceil(self.width / (8 * h))

    def added(self, c: int) -> NDArray[np.int64]:
        """What is added to the sum of a box before it is divided, int64 (8 cols,): as jcsample, 2×1 and 2×2 in turn."""
        (v, h), columns = self.boxes[c], np.arange(8 * self.blocks(c)[1])
        return columns % 2 + v - 1 if h == 2 and v <= 2 else np.full_like(columns, v * h // 2)


def check(pictures: NDArray[np.generic], layout: Layout) -> None:
    """Raises InputError unless ``pictures`` (n, H, W, C) have the layout's size and as many channels."""
    wanted = layout.height, layout.width, len(layout.boxes)
    if pictures.ndim != 4 or pictures.shape[1:] != wanted:
        raise InputError(f"expected a picture {wanted} as the JPEG file's, found {pictures.shape[1:]}")


def quantised(pictures: Bytes, layout: Layout, tables: list[NDArray[np.uint16]]) -> list[Shorts]:
    """What libjpeg makes of pictures uint8 (n, H, W, C): for each component int16 (n, rows, cols, 8, 8), in steps.

    tables: uint16 (8, 8) each.
    """
    planes = pictures
    if layout.transform:
        planes = np.empty_like(pictures)
        _ycbcr(pictures.reshape(-1, 3), planes.reshape(-1, 3))
    return [_component(planes[..., c], layout, c, tables[c]) for c in range(len(layout.boxes))]


def _component(plane: Bytes, layout: Layout, c: int, table: NDArray[np.uint16]) -> Shorts:
    """A component of its plane uint8 (n, H, W): libjpeg continues the far edges, below only once it has averaged."""
    (rows, cols), (v, h) = layout.blocks(c), layout.boxes[c]
    wide = np.pad(plane, ((0, 0), (0, -layout.height % layout.group), (0, 8 * cols * h - layout.width)), "edge")
    samples = wide
    if (v, h) != (1, 1):
        samples = np.empty((len(plane), wide.shape[1] // v, 8 * cols), np.uint8)
        _average(wide, v, h, layout.added(c), samples)
    samples = np.pad(samples[:, : 8 * rows], ((0, 0), (0, max(0, 8 * rows - samples.shape[1])), (0, 0)), "edge")
    out = np.empty((len(plane), rows, cols, 8, 8), np.int16)
    _transform(samples, table.astype(np.int64), out)
    return out


@woven
def ycbcr(r, g, b):
    """As jccolor: 16 bits of fraction, halves up for luma, down for chroma."""
    y = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16
    cb = (-11059 * r - 21709 * g + 32768 * b + (128 << 16) + 32767) >> 16
    cr = (32768 * r - 27439 * g - 5329 * b + (128 << 16) + 32767) >> 16
    return y, cb, cr


@kernel
def _ycbcr(pixels, out):
    for i in range(pixels.shape[0]):
        out[i, 0], out[i, 1], out[i, 2] = ycbcr(_I64(pixels[i, 0]), _I64(pixels[i, 1]), _I64(pixels[i, 2]))


@kernel
def _average(plane, v, h, added, out):
    for n in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                total = _I64(0)
                for i in range(v):
                    for j in range(h):
                        total += plane[n, y * v + i, x * h + j]
                out[n, y, x] = (total + added[x]) // (v * h)


@woven
def _rounded(value, bits):
    return (value + (_I64(1) << (bits - 1))) >> bits


@woven
def _pass(block, at, step, bits, even):
    """Eight numbers of a block in place, of a row or of a column; ``even`` bits are dropped of terms 0 and 4."""
    a0, a7 = block[at] + block[at + 7 * step], block[at] - block[at + 7 * step]
    a1, a6 = block[at + step] + block[at + 6 * step], block[at + step] - block[at + 6 * step]
    a2, a5 = block[at + 2 * step] + block[at + 5 * step], block[at + 2 * step] - block[at + 5 * step]
    a3, a4 = block[at + 3 * step] + block[at + 4 * step], block[at + 3 * step] - block[at + 4 * step]
    b0, b3, b1, b2 = a0 + a3, a0 - a3, a1 + a2, a1 - a2
    if even > 0:
        block[at], block[at + 4 * step] = _rounded(b0 + b1, even), _rounded(b0 - b1, even)
    else:
        block[at], block[at + 4 * step] = (b0 + b1) << -even, (b0 - b1) << -even
    z = (b2 + b3) * _C0541
    block[at + 2 * step] = _rounded(z + b3 * _C0765, bits)
    block[at + 6 * step] = _rounded(z - b2 * _C1847, bits)
    z5 = (a4 + a6 + a5 + a7) * _C1175
    z1, z2 = -(a4 + a7) * _C0899, -(a5 + a6) * _C2562
    z3, z4 = z5 - (a4 + a6) * _C1961, z5 - (a5 + a7) * _C0390
    block[at + 7 * step] = _rounded(a4 * _C0298 + z1 + z3, bits)
    block[at + 5 * step] = _rounded(a5 * _C2053 + z2 + z4, bits)
    block[at + 3 * step] = _rounded(a6 * _C3072 + z2 + z3, bits)
    block[at + step] = _rounded(a7 * _C1501 + z1 + z4, bits)


@woven
def transform_block(block):
    """jfdctint: samples about 0, int64 (64,), into 8 times their cosine transform, in place."""
    for k in range(8):
        _pass(block, 8 * k, 1, _CONST_BITS - _PASS_BITS, -_PASS_BITS)
    for k in range(8):
        _pass(block, k, 8, _CONST_BITS + _PASS_BITS, _PASS_BITS)


@kernel
def _transform(samples, table, out):
    """Blocks of ``samples`` uint8 (n, 8 rows, 8 cols), transformed and divided by 8 ``table``, halves away from 0."""
    block = np.empty(64, np.int64)
    for n in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                for k in range(64):
                    block[k] = _I64(samples[n, 8 * y + k // 8, 8 * x + k % 8]) - 128
                transform_block(block)
                for k in range(64):
                    step = 8 * table[k // 8, k % 8]
                    level = (abs(block[k]) + step // 2) // step
                    out[n, y, x, k // 8, k % 8] = level if block[k] > 0 else -level
