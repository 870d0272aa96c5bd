"""NumPy's `.npy`: an array as it is."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..media.modes import BY_NAME
from ..media.picture import Picture
from ..media.table import signal_of
from ..runtime.errors import InputError
from .film import Film
from .raw import Raw, check_size, line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..media.medium import Samples, Signal
    from .film import Planes

_HEADERS = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
#: modes that an array of samples tells by its shape and type alone
PICTURES = tuple(name for name, mode in BY_NAME.items() if mode.number < 64)
MODES = (*PICTURES, "tokens", "tokens;16", "clip:RGB")


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a NumPy array file."""
    return data[:6] == b"\x93NUMPY"


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """A picture. Raises InputError for an array of another shape or type."""
    signal = read_signal(data, max_pixels)
    if not isinstance(signal, Picture):
        raise InputError(f"the array holds {signal.mode}, no picture: use diffcodec.files.read_signal")
    return Raw(signal.samples, signal.mode)


def read_signal(data: bytes, max_pixels: int) -> Signal:
    """An array of numbers, of a shape and type that `diffcodec.encode` takes. Raises InputError for any other."""
    file = io.BytesIO(data)
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)[0]](file)
        here = len(data) - file.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > here:
            raise ValueError(f"{here} bytes are no array {'×'.join(map(str, shape))} of {dtype}")
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # its header is Python source, and fails in every way that source can
        raise InputError(f"expected a .npy array of numbers, found a damaged one: {line(error)}") from error
    signal = signal_of(array)
    height, width = signal.geometry
    check_size(width, height, max_pixels)
    return signal


def film(file: BinaryIO) -> Film | None:
    """The film of an array T×H×W×3 of uint8, a frame at a time; None of any other array. Raises InputError."""
    try:
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)[0]](file)
    except Exception as error:  # as above
        raise InputError(f"expected a .npy array of numbers, found a damaged one: {line(error)}") from error
    if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8 or fortran or not math.prod(shape):
        file.seek(0)
        return None
    return Film("RGB", shape[1], shape[2], _frames(file, shape), count=shape[0])


def _frames(file: BinaryIO, shape: tuple[int, ...]) -> Iterator[Planes]:
    for _ in range(shape[0]):
        data = file.read(math.prod(shape[1:]))
        if len(data) != math.prod(shape[1:]):
            raise InputError("expected a .npy array of numbers, found a damaged one: it ends within a frame")
        yield (np.frombuffer(data, np.uint8).reshape(shape[1:]),)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The header of an array of uint8; of the same length for any first side."""
    fields = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)


def write(picture: Picture) -> bytes:
    """The array, bool where samples are bits."""
    return _file(picture.array != 0 if picture.info.sample == "bit" else picture.array)


def write_signal(signal: Signal) -> bytes:
    """Likewise, of whatever medium: what is beside the samples has no place."""
    return write(signal) if isinstance(signal, Picture) else _file(signal.array)


def _file(array: Samples) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=False)
    return out.getvalue()
