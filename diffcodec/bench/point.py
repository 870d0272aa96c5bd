"""What a codec is to the suite, and what it gives."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

ALL = "(all in one file)"  #: in place of a picture's name in an archive's row
SHOWN = 32  #: frames of a clip that the page shows, one below another
SLACK = 1.02  #: a file may be this much larger than its rate


@dataclass(frozen=True)
class Point:
    """One file.

    image: uint8 (H, W, 3), of a clip (T, H, W, 3), what it decodes to; setting: quality, or realism; target: bits per
    pixel aimed at, None if lossless; size in bytes; times in seconds.
    """

    size: int
    image: np.ndarray
    encode_s: float
    decode_s: float
    setting: str
    target: float | None = None


def safe(name: str) -> str:
    """As a file's name, on any system."""
    return re.sub(r"[^\w.~-]", "_", name)


def view_file(out: Path, image: str, codec: str, target: str) -> Path:
    """Where the part of a decoded picture that the page shows is kept; codec "original", target "" of itself."""
    return out / "pictures" / f"{safe(f'{image}~{codec}~{target}')}.webp"


_EXTRAS = {"av": "video"}  # where a module comes from, if not with all that the suite needs
Medium = Literal["picture", "clip"]
Points = Callable[[Any, Sequence[float]], Iterator[Point]]


@dataclass(frozen=True)
class Codec:
    """A codec of the suite.

    points:     ``points(original uint8 (H, W, 3), rates)``: for each rate the largest file within `SLACK` of it, none
                where there is none; one file if lossless. A codec of clips takes a `diffcodec.Clip` instead, and one
                without loss checks for itself that the same samples come back. An archive takes the list of all
                originals instead, and its one point has no image: it checks likewise.
    modules:    that must be there; those that are plugins register with Pillow when imported.
    varied:     ``points`` of another of our models (None: the default one), at another effort (None: the default one).
    efforts:    whether it has any.
    usual:      whether it is measured when nobody says which.
    medium:     what it is measured on.
    shares:     codecs of the same word here show the same files of a picture in several ways: one task measures them,
                which makes the files once. Empty for a codec of files of its own.
    """

    name: str
    lossless: bool
    points: Points
    modules: tuple[str, ...] = ()
    archive: bool = False
    varied: Callable[[str | None, int | None], Points] | None = None
    efforts: bool = False
    usual: bool = True
    shares: str = ""
    medium: Medium = "picture"

    def missing(self) -> str:
        """Why this codec cannot run here; empty if it can."""
        for name in self.modules:
            try:
                module = importlib.import_module(name)
            except ImportError:
                return f"needs {name}: pip install 'diffcodec[{_EXTRAS.get(name, 'bench')}]'"
            getattr(module, "register_heif_opener", lambda: None)()
        return ""
