"""What can be observed of a picture: averages of boxes, luma, luma and coarse chroma, some pixels, a part of it.

Everything is in integers, so any two machines observe the same. Importing this does not load torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)

#: weights of R, G, B in 1/65536: of luma they add up to 1, of chroma to 0 (JFIF; luma as Pillow's mode L)
LUMA = np.array([19595, 38470, 7471], np.int64)
CHROMA = np.array([[-11059, -21709, 32768], [32768, -27439, -5329]], np.int64)
ONE = 1 << 16
BACK = np.linalg.inv(np.vstack([LUMA, CHROMA]) / ONE).T  #: YCbCr about 0 -> RGB
ROUNDS = 400  #: of projections in turn, at most


class Operator(Protocol):
    """A row of `OPERATORS`: picture -> what is observed of it."""

    name: ClassVar[str]
    within: ClassVar[int]  #: levels that a projected picture may be off what was observed

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of a picture of which ``observed`` (h, w, c) is the shape of what is seen, all boxes whole."""
        ...

    def affine(self, picture: Floats) -> Floats:
        """What is observed before it is rounded, in levels: an affine map of float64 (..., H, W, C) to (..., h, w, c).

        Raises InputError for sizes that the operator does not have.
        """
        ...

    def apply(self, picture: Bytes) -> Bytes:
        """What is observed, uint8 (h, w, c), of ``picture`` uint8 (H, W, C): rounded to nearest, halves up.

        Raises InputError for sizes that the operator does not have.
        """
        ...

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """A picture uint8 (H, W, C) near ``picture`` of which ``observed`` uint8 (h, w, c) is seen.

        Seen to ``within`` levels. ``observed`` is what the operator gives of some picture of this size, or nothing is
        promised. Raises InputError where sizes do not belong together.
        """
        ...


@dataclass(frozen=True)
class Box:
    """Averages of boxes of ``k``×``k`` pixels, of what is left of them at the far edges: the picture in small."""

    k: int

    name: ClassVar[str] = "box"
    within: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"expected boxes of 1 pixel a side or more, found {self.k}")

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(k h, k w) of (h, w, C)."""
        return self.k * observed[0], self.k * observed[1]

    def affine(self, picture: Floats) -> Floats:
        """float64 (..., ceil(H/k), ceil(W/k), C) of (..., H, W, C): see :meth:`Operator.affine`."""
        averages: Floats = summed(picture, self.k) / counted(picture.shape[-3:-1], self.k)
        return averages

    def apply(self, picture: Bytes) -> Bytes:
        """uint8 (ceil(H/k), ceil(W/k), C) of (H, W, C)."""
        count = counted(picture.shape[:2], self.k)
        averages: Ints = (2 * summed(picture.astype(np.int64), self.k) + count) // (2 * count)
        return averages.astype(np.uint8)

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """As :meth:`Operator.project`: a box's sum is moved as little as its average asks, evenly over its pixels."""
        agree(self, picture, observed)
        count = counted(picture.shape[:2], self.k)
        out = picture.astype(np.int64)
        least = count * observed - count // 2  # the sums that round to what was observed
        most = least + count - 1
        while (left := np.clip(total := summed(out, self.k), least, most) - total).any():
            out = self._nearer(out, left)
        return bytes_of(out)

    def _nearer(self, out: Ints, left: Ints) -> Ints:
        """``left`` (h, w, C) added to the boxes' sums, shared by pixels that have room, what is over by the first."""
        wanted = spread(left, self.k, out.shape[:2])
        free = np.where(wanted > 0, out < 255, out > 0) & (wanted != 0)
        number = ranked(free, self.k)
        among = np.maximum(spread(summed(free.astype(np.int64), self.k), self.k, out.shape[:2]), 1)
        share = np.abs(wanted) // among + (number < np.abs(wanted) % among)
        moved: Ints = np.clip(out + np.where(free, np.sign(wanted) * share, 0), 0, 255)
        return moved


@dataclass(frozen=True)
class Luma:
    """Grey: 0.299 R + 0.587 G + 0.114 B, as Pillow's mode L; of a grey picture itself."""

    name: ClassVar[str] = "luma"
    within: ClassVar[int] = 0

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of (H, W, c)."""
        return observed[0], observed[1]

    def affine(self, picture: Floats) -> Floats:
        """float64 (..., H, W, 1) of (..., H, W, 1 or 3): see :meth:`Operator.affine`."""
        weights: Floats = LUMA[:, None] / ONE
        return picture if coloured(picture) == 1 else picture @ weights

    def apply(self, picture: Bytes) -> Bytes:
        """uint8 (H, W, 1) of (H, W, 1 or 3)."""
        if coloured(picture) == 1:
            return picture
        return bytes_of(luma_of(picture.astype(np.int64)))

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """As :meth:`Operator.project`: all colours of a pixel are moved alike, but for those that have no room."""
        agree(self, picture, observed)
        if coloured(picture) == 1:
            return observed
        return bytes_of(with_luma(picture.astype(np.int64), observed.astype(np.int64)))


@dataclass(frozen=True)
class LumaChroma:
    """YCbCr whose chroma are averages of boxes of ``k``×``k``, which stand at every pixel of their box: (H, W, 3)."""

    k: int = 2

    name: ClassVar[str] = "chroma"
    within: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"expected boxes of 1 pixel a side or more, found {self.k}")

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of (H, W, c)."""
        return observed[0], observed[1]

    def affine(self, picture: Floats) -> Floats:
        """float64 (..., H, W, 3) of (..., H, W, 3): see :meth:`Operator.affine`."""
        size = rgb(picture).shape[-3:-1]
        chroma = summed(picture @ (CHROMA.T / ONE), self.k) / counted(size, self.k) + 128
        return np.concatenate([picture @ (LUMA[:, None] / ONE), spread(chroma, self.k, size)], -1)

    def apply(self, picture: Bytes) -> Bytes:
        """uint8 (H, W, 3) of (H, W, 3)."""
        wide = rgb(picture).astype(np.int64)
        chroma = np.clip(self._chroma(wide), 0, 255)
        return bytes_of(np.concatenate([luma_of(wide), spread(chroma, self.k, picture.shape[:2])], 2))

    def _chroma(self, wide: Ints) -> Ints:
        """Averages of Cb and Cr of boxes, rounded, (h, w, 2)."""
        count = ONE * counted(wide.shape[:2], self.k)
        averages: Ints = (2 * summed(wide @ CHROMA.T, self.k) + count) // (2 * count)
        return averages + 128

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """As :meth:`Operator.project`, luma exactly: onto luma and averages, and onto what colours can be, in turn."""
        agree(self, picture, observed)
        k, size = self.k, picture.shape[:2]
        there, luma = boxed(np.ones((*size, 1)), k), boxed(observed[..., :1].astype(np.int64), k)
        corner = observed[::k, ::k, 1:].reshape(-1, 1, 2).astype(np.int64)
        colours = boxed(picture.astype(np.float64), k)
        out, off = np.zeros(colours.shape, np.int64), np.arange(len(colours))
        for _ in range(ROUNDS):
            seen = np.clip(colours[off], 0, 255)
            out[off] = with_luma(np.rint(seen).astype(np.int64), luma[off])
            found = (out[off] @ CHROMA.T * there[off]).sum(1, keepdims=True) / there[off].sum(1, keepdims=True) / ONE
            wrong = (np.abs(np.clip(found + 128, 0, 255) - corner[off]) > self.within / 2).any(axis=(1, 2))
            if not wrong.any():
                break
            seen, off = seen[wrong], off[wrong]
            chroma = seen @ (CHROMA.T / ONE)
            average = (chroma * there[off]).sum(1, keepdims=True) / there[off].sum(1, keepdims=True)
            colours[off] = np.concatenate([luma[off], chroma + corner[off] - 128 - average], 2) @ BACK
        return bytes_of(unboxed(out, k, size))


@dataclass(frozen=True, eq=False)
class Mask:
    """The pixels where ``known`` bool (H, W) says so; 0 elsewhere."""

    known: NDArray[np.bool_]

    name: ClassVar[str] = "mask"
    within: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.known.dtype != bool or self.known.ndim != 2:
            raise InputError(f"expected known bool (H, W), found {self.known.dtype} {self.known.shape}")

    def _sized(self, shape: tuple[int, ...]) -> None:
        if shape[-3:-1] != self.known.shape:
            raise InputError(f"a mask of {self.known.shape} pixels for a picture of {shape[-3:-1]}")

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of (H, W, c)."""
        return observed[0], observed[1]

    def affine(self, picture: Floats) -> Floats:
        """float64 (..., H, W, C) of (..., H, W, C): see :meth:`Operator.affine`."""
        self._sized(picture.shape)
        return np.where(self.known[..., None], picture, 0.0)

    def apply(self, picture: Bytes) -> Bytes:
        """uint8 (H, W, C) of (H, W, C)."""
        self._sized(picture.shape)
        return np.where(self.known[..., None], picture, np.uint8(0))

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """As :meth:`Operator.project`: the known pixels are those that were observed."""
        agree(self, picture, observed)
        return np.where(self.known[..., None], observed, picture)


@dataclass(frozen=True)
class Crop:
    """The part of ``height``×``width`` pixels from row ``top`` and column ``left`` on."""

    top: int
    left: int
    height: int
    width: int

    name: ClassVar[str] = "crop"
    within: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or min(self.height, self.width) < 1:
            raise InputError(f"expected a part of the picture, found {self}")

    @property
    def part(self) -> tuple[slice, slice]:
        """Of rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def _sized(self, shape: tuple[int, ...]) -> None:
        H, W = shape[-3:-1]
        if self.top + self.height > H or self.left + self.width > W:
            raise InputError(f"{self} does not lie within a picture of {H}×{W} pixels")

    def size(self, observed: tuple[int, ...]) -> tuple[int, int]:
        """(H, W) of the smallest picture that has the part."""
        return self.top + self.height, self.left + self.width

    def affine(self, picture: Floats) -> Floats:
        """float64 (..., height, width, C) of (..., H, W, C): see :meth:`Operator.affine`."""
        self._sized(picture.shape)
        rows, columns = self.part
        return picture[..., rows, columns, :]

    def apply(self, picture: Bytes) -> Bytes:
        """uint8 (height, width, C) of (H, W, C)."""
        self._sized(picture.shape)
        part: Bytes = picture[self.part].copy()
        return part

    def project(self, picture: Bytes, observed: Bytes) -> Bytes:
        """As :meth:`Operator.project`: the part is what was observed."""
        agree(self, picture, observed)
        out: Bytes = picture.copy()
        out[self.part] = observed
        return out


#: by name; a further one adds a row
OPERATORS: dict[str, type[Operator]] = {kind.name: kind for kind in (Box, Luma, LumaChroma, Mask, Crop)}


def agree(operator: Operator, picture: Bytes, observed: Bytes) -> None:
    """Raises InputError unless ``observed`` uint8 (h, w, c) has the size of what is seen of ``picture`` (H, W, C)."""
    wanted = operator.affine(np.zeros(picture.shape)).shape
    if observed.shape != wanted:
        raise InputError(f"of a picture {picture.shape} {operator.name} gives {wanted}, found {observed.shape}")


# ---- boxes


def _edges(size: int, k: int) -> list[int]:
    return list(range(0, size, k))


def summed(picture: NDArray[Number], k: int) -> NDArray[Number]:
    """Sums of boxes of k×k: (..., ceil(H/k), ceil(W/k), C) of (..., H, W, C), of the same type."""
    H, W = picture.shape[-3:-1]
    sums: NDArray[Number] = np.add.reduceat(np.add.reduceat(picture, _edges(H, k), -3), _edges(W, k), -2)
    return sums


def counted(size: tuple[int, ...], k: int) -> Ints:
    """Pixels of every box of a picture of ``size`` (H, W): int64 (h, w, 1)."""
    return summed(np.ones((*size, 1), np.int64), k)


def spread(boxes: NDArray[Number], k: int, size: tuple[int, ...]) -> NDArray[Number]:
    """What stands for a box at every pixel of it: (..., H, W, C) of (..., h, w, C), ``size`` (H, W)."""
    H, W = size
    return boxes.repeat(k, -3).repeat(k, -2)[..., :H, :W, :]


def boxed(picture: NDArray[Number], k: int) -> NDArray[Number]:
    """The pixels of every box, row after row: (boxes, k k, C) of (H, W, C), with zeros beyond the picture."""
    H, W, C = picture.shape
    h, w = -(-H // k), -(-W // k)
    padded = np.zeros((h * k, w * k, C), picture.dtype)
    padded[:H, :W] = picture
    boxes: NDArray[Number] = padded.reshape(h, k, w, k, C).transpose(0, 2, 1, 3, 4).reshape(h * w, k * k, C)
    return boxes


def unboxed(boxes: NDArray[Number], k: int, size: tuple[int, ...]) -> NDArray[Number]:
    """Mirror of :func:`boxed` for a picture of ``size`` (H, W): (H, W, C) of (boxes, k k, C)."""
    H, W = size
    h, w = -(-H // k), -(-W // k)
    padded: NDArray[Number] = boxes.reshape(h, w, k, k, -1).transpose(0, 2, 1, 3, 4).reshape(h * k, w * k, -1)
    return padded[:H, :W]


def ranked(free: NDArray[np.bool_], k: int) -> Ints:
    """For every pixel the number of free ones before it in its box: int64 (H, W, C) of bool (H, W, C)."""
    boxes = boxed(free.astype(np.int64), k)
    before: Ints = np.cumsum(boxes, 1) - boxes
    return unboxed(before, k, free.shape[:2])


# ---- colours


def bytes_of(wide: Ints) -> Bytes:
    """uint8 of int64 of any shape, from 0 to 255."""
    return wide.astype(np.uint8)


def coloured(picture: NDArray[np.generic]) -> int:
    """Channels of (..., H, W, C): 1 or 3. Raises InputError."""
    if picture.shape[-1] not in (1, 3):
        raise InputError(f"expected a picture of 1 or 3 channels, found {picture.shape[-1]}")
    return int(picture.shape[-1])


def rgb(picture: NDArray[Number]) -> NDArray[Number]:
    """The picture (..., H, W, 3) itself. Raises InputError for a grey one."""
    if coloured(picture) != 3:
        raise InputError("a grey picture has no chroma")
    return picture


def luma_of(wide: Ints) -> Ints:
    """int64 (H, W, 1) of RGB int64 (H, W, 3)."""
    luma: Ints = (wide @ LUMA[:, None] + ONE // 2) >> 16
    return luma


def with_luma(wide: Ints, luma: Ints) -> Ints:
    """RGB int64 (H, W, 3) from 0 to 255 with that luma (H, W, 1) exactly, all colours moved alike while they can be.

    The same added to all three moves luma by just that. Where a colour has no room the others go on, one level at a
    time, which moves luma by one at most: so it is never passed.
    """
    out: Ints = np.clip(wide + (luma - luma_of(wide)), 0, 255)
    flat, wanted = out.reshape(-1, 1, 3), luma.reshape(-1, 1, 1)
    wrong = np.flatnonzero(luma_of(flat) != wanted)
    while len(wrong):
        flat[wrong] = np.clip(flat[wrong] + np.sign(wanted[wrong] - luma_of(flat[wrong])), 0, 255)
        wrong = wrong[(luma_of(flat[wrong]) != wanted[wrong]).ravel()]
    return out
