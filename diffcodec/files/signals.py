"""Files of signals of any medium: pictures by their formats, and arrays of what else an array can be."""

from __future__ import annotations

import io
import os

from ..media.clip import Clip
from ..media.medium import Signal
from ..media.picture import Picture
from ..runtime import remote
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from . import clips, npy, npz, parquet, tables
from .pictures import READERS, check, read
from .sequences import read_all, write_all


def read_signal(
    source: str | os.PathLike[str] | bytes,
    *,
    first: bool = False,
    videos: bool = True,
    max_pixels: int = DEFAULT_LIMITS.max_pixels,
) -> Signal:
    """What a file (a path, or its bytes) holds.

    Tokens or a clip in a `.npy`, the clip of a video, tracks in a table, of text or Parquet, or the arrays of a `.npz`,
    else a picture with all its frames.
    first: only the first frame or page of a picture. videos: whether they are read, or refused as no picture.
    Raises as `read`; InputError over ``max_pixels`` positions.
    """
    if not isinstance(source, bytes):
        source = remote.read(source)
    if npy.sniff(source):
        return npy.read_signal(source, max_pixels)
    if clips.sniff(source[:512]):
        if not videos:
            raise InputError("expected a picture, found a video: encode it by itself")
        return clips.read(io.BytesIO(source), max_pixels)
    if parquet.sniff(source):
        return parquet.read(source, max_pixels)
    if npz.sniff(source):
        return npz.read(source, max_pixels)
    if tables.sniff(source) and not any(form.sniff(source) for form in READERS[:-1]):
        return tables.read(source, max_pixels)
    return (read if first else read_all)(source, max_pixels=max_pixels)


def write_signal(signal: Signal, format: str) -> bytes:
    """A file of this format that `read_signal` gives back equal; of a picture as `write_all`.

    Raises InputError where the format has no place for its samples.
    """
    if isinstance(signal, Picture):
        return write_all(signal, format)
    check(signal.mode, format)
    if isinstance(signal, Clip):
        file = io.BytesIO()
        clips.write([signal], file, format)
        return file.getvalue()
    return _WRITERS.get(format, npy.write_signal)(signal)


_WRITERS = {"CSV": tables.write, "PARQUET": parquet.write, "NPZ": npz.write}
