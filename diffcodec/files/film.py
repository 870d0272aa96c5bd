"""A clip's file that is open: what it says, and its frames as they come, of which only a group is held."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..media.clip import Clip
from ..media.rows.clip import UNTOLD, Colour, Sampling
from ..runtime.errors import InputError

Planes = tuple[NDArray[np.uint8], ...]


@dataclass
class Film:
    """What a file says of its clip.

    frames: the planes of each as in `Clip`, without the first axis: of "RGB" (H, W, 3), else Y (H, W), and U and V.
    count:  how many there are, where the file says so in front. lost: what of the file is not in here, by name.
    """

    sampling: Sampling
    height: int
    width: int
    frames: Iterator[Planes]
    rate: Fraction | None = None
    colour: Colour = UNTOLD
    count: int | None = None
    lost: list[str] = field(default_factory=list)
    seen: int = 0  #: frames that were read
    group = 16  #: frames of a group, where nobody says

    def counts(self, length: int) -> list[int]:
        """Frames of each group of ``length``; nothing where it is not known how many there are."""
        return [min(length, self.count - at) for at in range(0, self.count, length)] if self.count else []

    def groups(self, length: int, max_pixels: int) -> Iterator[Clip]:
        """Clips of ``length`` frames, the last of what is left. Warns of what is not kept.

        Raises InputError for no frame, and groups over ``max_pixels`` before they are read.
        """
        frame = self.height * self.width
        if frame * min(length, self.count or 1) > max_pixels:
            told = f"{min(length, self.count or 1)} frames of {self.width}×{self.height}"
            raise InputError(f"{told} are over the limit of {max_pixels} pixels: give groups of fewer")
        if self.lost:
            warnings.warn(f"of this file is not kept: {'; '.join(self.lost)}", stacklevel=2)
        said = len(self.lost)
        for number in itertools.count():
            planes = list(itertools.islice(self.frames, min(length, max(1, max_pixels // frame) + 1)))
            if len(planes) * frame > max_pixels:
                raise InputError(f"{len(planes)} frames and more are over the limit of {max_pixels} pixels")
            if not planes:
                if not number:
                    raise InputError("the video has no frame")
                break
            self.seen += len(planes)
            yield Clip(tuple(map(np.stack, zip(*planes, strict=True))), self.sampling, self.rate, self.colour)
        if later := self.lost[said:]:
            warnings.warn(f"of this file is not kept: {'; '.join(later)}", stacklevel=2)
