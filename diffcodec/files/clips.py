"""Clips in files: read group by group, written group by group, so that none is ever held as a whole."""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ..media.clip import Clip
from ..media.groups import joined
from ..runtime.errors import InputError
from ..runtime.limits import DEFAULT_LIMITS
from . import gif, npy, video, y4m
from .film import Film

_FRONT = 4096  # bytes that tell what a file is


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a video file."""
    return y4m.sniff(data) or video.container_of(data) is not None


def film_of(file: BinaryIO) -> Film | None:
    """The film of a file that is open; None where it holds no clip. Raises InputError."""
    front = file.read(_FRONT)
    file.seek(0)
    if y4m.sniff(front):
        return y4m.opened(file)
    if (container := video.container_of(front)) is not None:
        return video.opened(file, container)
    return npy.film(file) if npy.sniff(front) else None


def read(file: BinaryIO, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Clip:
    """The clip of a video file, as a whole. Raises InputError, also for more than ``max_pixels`` in all frames."""
    film = film_of(file)
    if film is None:
        raise InputError("expected a video file, found another")
    groups, left = [], max_pixels
    for group in film.groups(1, max_pixels):
        left -= film.height * film.width
        if left < 0:
            raise InputError(f"the video has over {max_pixels} pixels in all its frames: code it group by group")
        groups.append(group)
    whole = joined(groups)
    assert isinstance(whole, Clip)
    return whole


# ---- writing


def _npy(groups: Iterable[Clip], file: BinaryIO) -> list[str]:
    """An array of all frames; its header is written again when their number is known."""
    frames, first = 0, None
    for clip in groups:
        if first is None:
            first = clip
            npy.write_header(file, clip.planes[0].shape)
        file.write(clip.planes[0].tobytes())
        frames += clip.shape[0]
    assert first is not None
    file.seek(0)
    npy.write_header(file, (frames, *first.planes[0].shape[1:]))
    file.seek(0, os.SEEK_END)
    return []


#: by format, what writes clips one behind another and tells what has no place
WRITERS: dict[str, Callable[[Iterable[Clip], BinaryIO], list[str]]] = {
    "NPY": _npy,
    "Y4M": y4m.write,
    "GIF": gif.write,
    **{format: functools.partial(video.write, format=format) for format in video.WRITTEN},
}


def write(groups: Iterable[Clip], file: BinaryIO, format: str) -> int:
    """Write the groups of a clip to a file that can be sought in; how many frames there were.

    Warns (UserWarning) of what has no place in it. Raises InputError where it cannot hold them, or there are none.
    """
    waiting, count = iter(groups), 0
    first = next(waiting, None)
    if first is None:
        raise InputError("expected a clip, found no group of one")

    def counted() -> Iterator[Clip]:
        nonlocal count
        for clip in itertools.chain([first], waiting):
            count += clip.shape[0]
            yield clip

    if lost := WRITERS[format](counted(), file):
        warnings.warn(f"{format} has no place for {', '.join(lost)}", stacklevel=2)
    return count
