"""A clip: frames of one size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError, Truncated
from .arrays import array_of, described
from .medium import Alone, Coded, Rated, Signal
from .planes import Bytes, laid_out, restored
from .rows.clip import (
    KEPT_PLANES,
    NUMBERS,
    PHOTOGRAPHS,
    SINCE,
    UNTOLD,
    ClipFields,
    ClipForm,
    Colour,
    Sampling,
    mode_of,
)
from .rows.fractions import check_rate
from .yuv import from_rgb, to_rgb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .medium import Samples


@dataclass(frozen=True, eq=False)
class Clip(Alone):
    """T frames of H×W pixels, 8 bits a sample.

    planes:   uint8 arrays: of "RGB" one, (T, H, W, 3); of "YUV444" Y, U, V (T, H, W); of "YUV420" Y (T, H, W), and
              U, V (T, ⌈H/2⌉, ⌈W/2⌉). T, H and W are at least 1.
    sampling: "RGB", "YUV420" or "YUV444".
    rate:     frames a second, None if it is not known.
    colour:   how samples are to be shown.

    Raises InputError for arrays of other shapes or types.
    """

    planes: tuple[Bytes, ...]
    sampling: Sampling = "RGB"
    rate: Fraction | None = None
    colour: Colour = UNTOLD

    def __post_init__(self) -> None:
        if self.sampling not in NUMBERS:
            raise InputError(f"expected sampling {', '.join(NUMBERS)}, found {self.sampling!r}")
        check_rate(self.rate)
        shapes = [plane.shape for plane in self.planes]
        first = shapes[0] if shapes else ()
        wanted = _shapes(first[:3], self.sampling) if len(first) >= 3 and min(first[:3]) else []
        if not shapes or shapes != wanted or any(plane.dtype != np.uint8 for plane in self.planes):
            found = ", ".join(map(described, self.planes)) or "none"
            raise InputError(f"expected the uint8 planes of a clip of {self.sampling}, found {found}")
        object.__setattr__(self, "planes", tuple(map(np.ascontiguousarray, self.planes)))

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return mode_of(self.sampling)

    @property
    def number(self) -> int:
        """Number of the mode."""
        return NUMBERS[self.sampling]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, H, W)."""
        frames, height, width = self.planes[0].shape[:3]
        return frames, height, width

    @property
    def geometry(self) -> tuple[int, int]:
        """Frames one below another; of YUV420 with U and V side by side below each Y."""
        return self._fields.geometry(self.sampling)

    @property
    def length(self) -> int:
        """Frames."""
        return self.shape[0]

    @property
    def likeness(self) -> tuple[object, ...]:
        """What all groups of a clip have in common."""
        return self.sampling, self.shape[1:], self.rate, self.colour

    def between(self, start: int, stop: int) -> Clip:
        """Frames from ``start`` to before ``stop``, as far as there are any. Raises InputError where there is none."""
        return replace(self, planes=tuple(plane[start:stop] for plane in self.planes))

    def and_then(self, others: Sequence[Clip]) -> Clip:
        """With the frames of others, alike, behind its own."""
        every = zip(*(one.planes for one in (self, *others)), strict=True)
        return replace(self, planes=tuple(np.concatenate(planes) for planes in every))

    @property
    def units(self) -> int:
        """Pixels of all frames."""
        return self._fields.pixels

    @property
    def array(self) -> Samples:
        """uint8 (T, H, W, 3), RGB or YUV; of YUV420 (T, H + ⌈H/2⌉, 2⌈W/2⌉): Y, below it U and V side by side (IMC4).

        Where W is odd, the last column beside Y repeats its neighbour.
        """
        if self.sampling == "RGB":
            return self.planes[0]
        return np.stack(self.planes, 3) if self.sampling == "YUV444" else _side_by_side(self.planes)

    @property
    def _fields(self) -> ClipFields:
        return ClipFields(*self.shape, self.rate, self.colour)

    def fields(self) -> bytes:
        """As they stand in the parameters: sizes, rate, colour."""
        return self._fields.write()

    def parts(self) -> list[Samples]:
        """The planes."""
        return list(self.planes)

    def forms(self, palettes: bool = True) -> list[Coded]:
        """Frames one below another, and the same as a photograph's planes; `clip_of` is the mirror."""
        array = self.array
        every = np.asarray(array.reshape(*self.geometry, -1), np.uint8)
        photo, extra, layout = laid_out(every, 0)
        fields, frames = self.fields(), self.shape[0]
        kept = fields + KEPT_PLANES[self.sampling].write()
        return [
            Coded(photo, extra, fields + layout.write(), frames=frames),
            Coded(every, every[..., :0], kept, frames=frames, since=SINCE, sampling=self.sampling),
        ]

    def rgb(self) -> Bytes:
        """uint8 (T, H, W, 3), as its matrix and range say."""
        return to_rgb(self.planes, self.sampling, self.colour)

    def like(self, frames: Bytes) -> Clip:
        """Of other frames, uint8 (T, H, W, 3) in RGB, a clip of the same sampling, rate and colour."""
        return replace(self, planes=from_rgb(frames, self.sampling, self.colour))

    def lossy(self) -> Rated:
        """Frames as photographs one below another, in RGB; `clip_of_photographs` is the mirror."""
        shown = Photographs(self.planes, self.sampling, self.rate, self.colour, metadata=self.metadata)
        photo = self.rgb().reshape(*shown.geometry, 3)
        layout = self.fields() + PHOTOGRAPHS.write()
        return Rated(shown, Coded(photo, photo[..., :0], layout, frames=self.shape[0], since=SINCE))


class Photographs(Clip):
    """A clip whose frames are coded as photographs."""

    @property
    def geometry(self) -> tuple[int, int]:
        """Frames one below another."""
        return self._fields.geometry(self.sampling, photographs=True)


def clip_of_photographs(photo: Bytes, form: ClipForm) -> Clip:
    """Mirror of `Clip.lossy`, of ``photo`` uint8 (T H, W, 3)."""
    fields = form.fields
    frames = photo.reshape(fields.frames, fields.height, fields.width, 3)
    return Clip(from_rgb(frames, form.sampling, fields.colour), form.sampling, fields.rate, fields.colour)


def clip_of(planes: Bytes | None, form: ClipForm) -> Clip:
    """Mirror of `Clip.forms`, of the planes that were coded. Raises Truncated where they are not there."""
    if planes is None or planes.shape[2] < max(form.extra, form.photo):
        raise Truncated("the stream ends before the frames of the clip: fetch more of it")
    fields = form.fields
    every = planes if form.kept else restored(None, planes, form.layout, form.kind, lambda every, index: 0)
    if form.sampling == "YUV420":
        parts = _one_by_one(every.reshape(fields.frames, -1, every.shape[1]), fields)
    else:
        frames = every.reshape(fields.frames, fields.height, fields.width, 3)
        parts = (frames,) if form.sampling == "RGB" else tuple(np.moveaxis(frames, 3, 0))
    return Clip(parts, form.sampling, fields.rate, fields.colour)


def taken(given: Any) -> Signal | None:
    """A clip, or an array or a tensor (T, H, W, 3) of uint8 as one of RGB; None of anything else."""
    if isinstance(given, Clip):
        return given
    array = array_of(given)
    if array is None or array.ndim != 4 or array.dtype != np.uint8 or array.shape[3] != 3 or not array.size:
        return None
    return Clip((array,))


def _shapes(shape: tuple[int, ...], sampling: Sampling) -> list[tuple[int, ...]]:
    """Of the planes of a clip (T, H, W)."""
    if sampling == "RGB":
        return [(*shape, 3)]
    half = (shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
    chroma = half if sampling == "YUV420" else shape
    return [shape, chroma, chroma]


# ---- planes of YUV420 in one


def _side_by_side(planes: tuple[Bytes, ...]) -> Bytes:
    """(T, H + h, 2w) of Y (T, H, W), U and V (T, h, w)."""
    luma, *chroma = planes
    wide: NDArray[np.uint8] = np.pad(luma, ((0, 0), (0, 0), (0, luma.shape[2] % 2)), mode="edge")
    return np.concatenate([wide, np.concatenate(chroma, 2)], 1)


def _one_by_one(frames: Bytes, fields: ClipFields) -> tuple[Bytes, ...]:
    """The inverse of :func:`_side_by_side`."""
    below, (_, width) = frames[:, fields.height :], fields.chroma
    return frames[:, : fields.height, : fields.width], below[..., :width], below[..., width:]
