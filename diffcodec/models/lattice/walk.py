"""The cosets of a picture on the 2x lattice as they become known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .geometry import TARGETS
from .phases import enlarged, past_cosets, phase_base

THREADS = 2  #: that strips of one phase go side by side in


def target_of(image: np.ndarray, level: int, phase: int) -> np.ndarray:
    """View (h, w, C) of the pixels of ``image`` (H, W, C) that a phase codes."""
    y, x = TARGETS[phase]
    return image[:: 1 << level, :: 1 << level][y::2, x::2]


def interpolated(base: np.ndarray) -> np.ndarray:
    """Mean of the four neighbours, uint8: what stands for pixels that are not known."""
    return ((base + 2) >> 2).astype(np.uint8)


def filled(target: np.ndarray, base: np.ndarray) -> np.ndarray:
    """A coset at full size (h, w, C): odd grids lack its last row or column, which interpolation stands in for."""
    if target.shape == base.shape:
        return target
    full = interpolated(base)
    full[: target.shape[0], : target.shape[1]] = target
    return full


class Walk:
    """The cosets of one level as they become known, unit after unit."""

    def __init__(self, image: np.ndarray, pictures: Sequence[np.ndarray | None] = ()):
        """``pictures``: known ones of the size of ``image`` uint8 (H, W, C), of which ``past`` has the level's cosets.

        None has what the level's coarse grid tells in their place.
        """
        self.image, self.pictures, self.level = image, pictures, -1
        self.known: list[np.ndarray] = []
        self.past: list[np.ndarray] = []

    def copy(self) -> Walk:
        """Another walk from here on, over a copy of the picture."""
        other = Walk(self.image.copy(), self.pictures)
        other.level, other.known, other.past = self.level, list(self.known), list(self.past)
        return other

    def enter(self, level: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
        """(target view, base) of a unit; brings ``known`` and ``past`` up to date."""
        if level != self.level:
            self.level, step = level, 1 << level
            self.known = [np.ascontiguousarray(self.image[:: 2 * step, :: 2 * step])]
            self.past = []
            for one in self.pictures:
                self.past += enlarged(self.known[0]) if one is None else past_cosets(one[::step, ::step])
        return target_of(self.image, level, phase), phase_base(self.known, phase)

    def leave(self, target: np.ndarray, base: np.ndarray) -> None:
        """Mirror of :meth:`enter`, with what it gave: the unit's pixels are known from here on."""
        self.known.append(np.ascontiguousarray(filled(target, base)))
