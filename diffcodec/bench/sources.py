"""What is measured: pictures and clips of a folder, and how far what a codec makes of one is from it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import files
from ..api import Clip
from ..runtime.errors import InputError
from . import metrics
from .point import Medium

FRAMES = 32  #: of a clip, that are measured unless others are asked for
MOST = 2**28  #: pixels of them


@dataclass(frozen=True)
class Source:
    """A picture or a clip.

    given: what codecs of its medium are given, uint8 (H, W, 3) or a `Clip`. pixels: what decoded ones are compared
    with, uint8 (H, W, 3) or (T, H, W, 3). samples: how many it has, which of planes of YUV is less.
    """

    given: np.ndarray | Clip
    pixels: np.ndarray
    samples: int

    @property
    def frames(self) -> int:
        """1 of a picture."""
        return len(self.pixels) if self.pixels.ndim == 4 else 1

    @property
    def units(self) -> int:
        """Pixels, of all frames."""
        return self.pixels.size // 3

    def distances(self, decoded: np.ndarray) -> dict[str, float]:
        """A number for each of `metrics.METRICS`, of what is decoded, of the shape of ``pixels``."""
        return _DISTANCES[self.pixels.ndim](decoded, self.pixels)


def of_clips(decoded: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """A number for each of `metrics.METRICS` between clips uint8 (T, H, W, 3).

    psnr of the mean squared error of all frames; flicker, the root mean square of how much the change from frame to
    frame is off, in levels; means of the others over the frames.
    """
    each = [metrics.measure(a, b) for a, b in zip(decoded, original, strict=True)]
    off = decoded.astype(np.float64) - original
    error = float(np.square(off).mean())
    found = {name: float(np.mean([one[name] for one in each])) for name in metrics.METRICS}
    found["psnr"] = 10 * math.log10(65025 / error) if error else metrics.EQUAL["psnr"]
    found["flicker"] = float(np.sqrt(np.square(np.diff(off, axis=0)).mean())) if len(off) > 1 else 0.0
    return found


_DISTANCES: dict[int, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {3: metrics.measure, 4: of_clips}


def medium_of(path: Path) -> Medium:
    """What a file holds, which is read for it. Raises InputError, OSError."""
    with path.open("rb") as file:
        if files.clips.film_of(file) is not None:
            return "clip"
    files.read(path)
    return "picture"


def _picture(path: Path, frames: int) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = files.read(path)
    pixels = np.ascontiguousarray(np.asarray(picture.to_pillow().convert("RGB")))
    return Source(pixels, pixels, pixels.size)


def _clip(path: Path, frames: int) -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with path.open("rb") as file:
            film = files.clips.film_of(file)
            if film is None:
                raise InputError(f"expected a clip, found none in {path.name}")
            found = next(film.groups(frames, MOST))
    return Source(found, found.rgb(), sum(plane.size for plane in found.planes))


#: (file, frames of a clip) -> Source; a further medium adds a row
READ: dict[Medium, Callable[[Path, int], Source]] = {"picture": _picture, "clip": _clip}
