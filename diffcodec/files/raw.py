"""What a reader of one format gives, and what readers share."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class Raw:
    r"""One picture of a file.

    samples, mode: as in `Picture`
    icc, exif:     ICC profile, Exif data without the "Exif\0\0" prefix
    white:         the largest value that a sample can have, where that is not the largest of the mode's type: samples
                   of 10 bits are kept as they are in 16, not scaled
    frames:        how many frames or pages the file has
    lost:          what of the file is not in here, by name
    indexed:       whether the file stores indices of a palette
    """

    samples: NDArray[Any]
    mode: str
    icc: bytes | None = None
    exif: bytes | None = None
    white: int | None = None
    frames: int = 1
    lost: tuple[str, ...] = ()
    indexed: bool = False


def optional(module: str, what: str, extra: str = "files") -> Any:
    """A module of an extra. Raises InputError that names it; `what` says what it is needed for."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"{what} needs {module}: pip install 'diffcodec[{extra}]'") from None


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise InputError for no pixel, or more than `max_pixels`."""
    if width < 1 or height < 1:
        raise InputError(f"expected at least one pixel, found a picture of {width}×{height}")
    if width * height > max_pixels:
        raise InputError(f"the picture is {width}×{height}, over the limit of {max_pixels} pixels")


def behind(data: bytes, end: int) -> tuple[str, ...]:
    """The name of what stands behind the end of a picture in its file, zeros apart."""
    count = len(data[end:].rstrip(b"\0"))
    return (f"{count} bytes behind the picture",) if count else ()


def line(error: BaseException) -> str:
    """The message of an error on one line; its name where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def with_key(samples: NDArray[Any], key: NDArray[Any] | int) -> NDArray[Any]:
    """H×W or H×W×3 unsigned with an alpha channel: 0 where a pixel is the transparent colour `key`, else opaque."""
    samples = samples.reshape(*samples.shape[:2], -1)
    alpha = np.where((samples == key).all(axis=2), 0, np.iinfo(samples.dtype).max).astype(samples.dtype)
    return np.concatenate([samples, alpha[..., None]], axis=2)
