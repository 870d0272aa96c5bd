"""A picture in fewer pixels, each the mean of those that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .medium import Signal
from .picture import Picture
from .sizes import Size, within

_POINTS = {"HSV"}  #: modes with samples that have no mean: a hue is an angle

Floats = NDArray[np.floating]


def fitted(signal: Signal, size: Size) -> Signal:
    """A picture no larger than ``size``, in its own mode, frames left out; itself where it fits, or is no picture.

    Alpha weighs the colours that it belongs to; hues are those in the middle of what a pixel stands for.
    """
    if not isinstance(signal, Picture):
        return signal
    width, height = within((signal.width, signal.height), size)
    if (height, width) == signal.geometry:
        return signal
    reduce = _points if signal.mode in _POINTS else _means
    return replace(signal, samples=reduce(signal, height, width), frames=())


def _points(picture: Picture, height: int, width: int) -> NDArray[np.generic]:
    rows = (2 * np.arange(height) + 1) * picture.height // (2 * height)
    columns = (2 * np.arange(width) + 1) * picture.width // (2 * width)
    return np.ascontiguousarray(picture.samples[rows][:, columns])


def _means(picture: Picture, height: int, width: int) -> NDArray[np.generic]:
    info = picture.info
    samples = picture.samples.reshape(*picture.geometry, -1)
    wide = np.float32 if info.sample_bytes <= 2 else np.float64
    weighted = info.alpha is not None and not info.premultiplied

    def row_of(rows: NDArray[np.generic]) -> Floats:
        out = rows.astype(wide)
        if weighted:
            out[..., :-1] *= out[..., -1:]
        return out

    few = _along_rows(lambda at: row_of(samples[at]), picture.height, height)
    turned = np.ascontiguousarray(few.swapaxes(0, 1))
    few = _along_rows(lambda at: turned[at], picture.width, width).swapaxes(0, 1)
    if weighted:
        few[..., :-1] /= np.where(few[..., -1:] == 0, 1, few[..., -1:])
    if info.sample == "bit":
        few = np.where(few >= 127.5, 255, 0)
    elif not info.sample.startswith("f"):
        few = np.rint(few)
    few = few.astype(picture.samples.dtype)
    return np.ascontiguousarray(few.reshape(height, width, *picture.samples.shape[2:]))


def _along_rows(rows: Callable[[slice], Floats], many: int, few: int) -> Floats:
    """(few, w, C), means of ``many`` rows (h, w, C); a row on an edge belongs to either side by its share."""
    out = []
    for number in range(few):
        top, bottom = number * many, (number + 1) * many  # in few-ths of a row
        first, last = top // few, -(-bottom // few)
        part = rows(slice(first, last))
        weights = np.full(last - first, few, part.dtype)
        weights[0] -= top - first * few
        weights[-1] -= last * few - bottom
        out.append(np.tensordot(weights / many, part, 1))
    return np.stack(out)
