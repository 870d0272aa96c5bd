"""What there is to see of a stream or an archive, as far as it goes: previews, thumbnails, facts, what is wrong."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import api, files
from ...archive import listing
from ...runtime.errors import DiffcodecError, InputError
from .. import showing
from . import drawn, paths
from .drawn import Look
from .small import How, as_far, frames, of_archive

if TYPE_CHECKING:
    from PIL import Image

    from ...media.medium import Signal
    from ...media.metadata import Metadata
    from ...runtime.progress import Progress

THUMBNAIL = 192  #: pixels of the longer side on a contact sheet
FRAMES = 240  #: of a clip that are shown at most, the first ones
_RATE = Fraction(25)  # frames a second of a clip that does not say
_TEXT = 500  # characters of a text that are shown
_TEXTS = 50
_ROOM = 2**10  # bytes that a picture is always given
_NAMED = 10  # times the pictures decoded of an archive, names and sizes of others that stand below them


@dataclass(frozen=True)
class Layer:
    """A picture of the viewer. url: data; size: bytes of the file that it takes; note: what is to be said of it."""

    url: str
    size: int
    note: str


@dataclass(frozen=True)
class Thumbnail:
    """A picture of the contact sheet; one without a url is not drawn."""

    name: str
    note: str
    url: str = ""


@dataclass
class Seen:
    """A FILE. width, height: as it is shown, upright; 0 where it is not. passes: as `inspect` tells them.

    left_out: pictures of an archive that are not even named. rate: frames a second, where layers are frames to play.
    """

    name: str
    size: int
    what: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""
    passes: list[Mapping[str, Any]] = field(default_factory=list)
    width: int = 0
    height: int = 0
    layers: list[Layer] = field(default_factory=list)
    original: Layer | None = None
    thumbnails: list[Thumbnail] = field(default_factory=list)
    left_out: int = 0
    rate: float = 0.0


@dataclass(frozen=True)
class Original:
    """A picture to compare with, upright. size: bytes of its file."""

    image: Image.Image
    look: Look
    size: int


def read_original(path: str) -> Original:
    """As `files.read` gives it. Raises InputError, OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of further frames and metadata, which are not looked at
        picture = files.read(path)
    look = Look.of(picture.metadata)
    image = drawn.turned(drawn.visible(picture.samples, picture.mode, look.white), look)
    return Original(image, look, os.path.getsize(path))


def look_at(
    name: str, data: bytes, how: How, original: Original | None = None, progress: Progress | None = None
) -> Seen:
    """A stream or an archive. Raises DiffcodecError where not even its header can be read, InputError."""
    seen = Seen(name, len(data))
    if data.startswith(showing.ARCHIVE):
        if original is not None:
            raise InputError("it is an archive, and an original is of one picture")
        _look_at_archive(seen, data, how, progress)
        return seen
    found, sound, seen.problem = as_far(data, how.max_pixels)
    seen.passes = list(found["passes"])
    seen.facts = [*showing.facts(found), *showing.given_lines(found["given"])]
    try:
        metadata = api.metadata_of(sound, max_pixels=how.max_pixels)
        seen.facts += [(key, text[:_TEXT]) for key, text in _texts(metadata)]
        _MEDIA[found["medium"]](_Task(seen, sound, found, Look.of(metadata), how, original, progress))
    except DiffcodecError as error:
        seen.problem = seen.problem or str(error)
    if original is not None and seen.layers:
        _compare(seen, original, how)
    return seen


def _texts(metadata: Metadata) -> Iterator[tuple[str, str]]:
    for text in metadata.text[:_TEXTS]:
        yield f"text {text.keyword}", text.text
    for comment in metadata.comments[:_TEXTS]:
        yield "comment", comment.decode("utf-8", "replace")


def grouped(number: int) -> str:
    """With a space at each thousand."""
    return f"{number:,}".replace(",", " ")


# ---- streams


@dataclass(frozen=True)
class _Task:
    """A stream that is looked at. sound: its bytes before any damage."""

    seen: Seen
    sound: bytes
    found: Mapping[str, Any]
    look: Look
    how: How
    original: Original | None
    progress: Progress | None


def _look_at_picture(task: _Task) -> None:
    seen, found = task.seen, task.found
    seen.what = f"{found['width']}×{found['height']} {found['mode']}"
    if found["frames"] > 1:
        seen.what += f", the first of {found['frames']} frames or pages"
    for preview in _previews(task):
        _add(task, preview)


def _previews(task: _Task) -> Iterator[api.Preview]:
    """Those that are shown, of what is cut also the last that there is."""
    found, size, shown = task.found, len(task.sound), 0
    ends = [one["end"] for one in task.seen.passes]
    wanted = _wanted([*ends[:-1], size] if found["complete"] else ends, task.how.previews)
    last: api.Preview | None = None  # that is not shown yet
    try:
        for preview in api.decode_progressive(task.sound, **task.how.decoding):
            if task.progress is not None:
                task.progress(preview.bytes_read / size)
            if preview.frame:
                continue
            last = preview
            if shown < len(wanted) and preview.bytes_read >= wanted[shown]:
                yield preview
                last, shown = None, shown + 1
    except DiffcodecError as error:
        task.seen.problem = task.seen.problem or str(error)
    if last is not None and shown < task.how.previews:
        yield last


def _wanted(ends: list[int], most: int) -> list[int]:
    """Bytes from which on previews are shown: the first that there is, the last, at most so many, evenly spread."""
    count = min(most, len(ends))
    if count < 2:
        return ends[-1:]
    return [0, *(ends[round(n * (len(ends) - 1) / (count - 1))] for n in range(1, count))]


def _add(task: _Task, preview: api.Preview) -> None:
    """A preview as a layer."""
    seen = task.seen
    image = drawn.turned(drawn.visible(preview.image, task.found["mode"], task.look.white), task.look)
    seen.width, seen.height = image.size
    parts = [f"{grouped(preview.bytes_read)} bytes", f"{preview.bpp:.4g} bits per pixel"]
    if preview.complete and task.found["lossless"]:
        parts.append("exact")
    elif task.original is not None and task.original.image.size == image.size:
        parts.append(f"{_psnr(image, task.original.image):.2f} dB")
    seen.layers.append(_layer(image, task.look, preview.bytes_read, ", ".join(parts), _room(task, preview)))


def _room(task: _Task, preview: api.Preview) -> int:
    """Half of it is for the whole picture and the original, half for all that comes before."""
    return task.how.room // 4 if preview.complete else task.how.room // (2 * task.how.previews)


def _layer(image: Image.Image, look: Look, size: int, note: str, room: int) -> Layer:
    return Layer(drawn.data_url(drawn.reduced(image, drawn.SIDE), look.icc, max(room, _ROOM)), size, note)


def _psnr(image: Image.Image, original: Image.Image) -> float:
    """In dB, of the colours at 8 bits."""
    a, b = (np.asarray(one.convert("RGB"), np.float32) for one in (image, original))
    error = float(np.mean((a - b) ** 2, dtype=np.float64))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _look_at_clip(task: _Task) -> None:
    seen, found = task.seen, task.found
    count = int(found["frames"])
    shown = min(FRAMES, count)
    seen.what = f"a clip of {count} frames" + (f", of which the first {shown} are shown" if shown < count else "")
    seen.rate = float(Fraction(found["rate"]) if found.get("rate") else _RATE)
    for number, image in enumerate(frames(found, task.sound, shown, task.how)):
        seen.width, seen.height = image.size
        note = f"frame {number} of {count}, {number / seen.rate:.2f} s"
        room = task.how.room // (2 * shown)
        seen.layers.append(_layer(image, task.look, len(task.sound), note, room))
        if task.progress is not None:
            task.progress((number + 1) / shown)


def _look_at_tracks(task: _Task) -> None:
    seen, found = task.seen, task.found
    seen.what = f"tracks of {found['agents']} agents over {found['frames']} frames"
    every = [(one, paths.places_of(one.image, found["columns"])) for one in _previews(task)]
    whole = every[-1][1] if every else None
    if whole is None:
        seen.what += ", of which nothing is drawn"
        return
    for preview, places in every:
        if places is None:
            continue
        image = paths.drawn(places, paths.bounds(whole))
        seen.width, seen.height = image.size
        told = "exact" if preview.complete and found["lossless"] else f"{places[..., 0].count()} places"
        note = f"{grouped(preview.bytes_read)} bytes, {preview.bpp:.4g} bits per value, {told}"
        seen.layers.append(_layer(image, task.look, preview.bytes_read, note, _room(task, preview)))


def _look_at_tokens(task: _Task) -> None:
    task.seen.what = "a row of tokens, of which nothing is drawn"


_MEDIA: dict[str, Callable[[_Task], None]] = {
    "picture": _look_at_picture,
    "clip": _look_at_clip,
    "tracks": _look_at_tracks,
    "tokens": _look_at_tokens,
}


def _compare(seen: Seen, original: Original, how: How) -> None:
    """Put the original beside the layers."""
    image, note = original.image, f"original, {grouped(original.size)} bytes"
    if image.size != (seen.width, seen.height):
        note += f", {image.width}×{image.height} drawn as large as the stream"
    seen.original = _layer(image, original.look, original.size, note, how.room // 4)


# ---- archives


def _look_at_archive(seen: Seen, data: bytes, how: How, progress: Progress | None) -> None:
    items, problems = listing.list_archive(data, max_pixels=how.max_pixels)
    try:
        found, _ = showing.told(data, how.max_pixels)
        seen.facts = showing.facts(found)
    except DiffcodecError as error:
        problems = problems or [str(error)]
    seen.problem = "; ".join(problems)
    seen.what = f"an archive of {len(items)} picture{'s' * (len(items) != 1)}"
    shown = min(how.most, len(items))
    room = how.room // max(1, shown)
    try:
        for item, held in listing.contents(data, how.most, **how.decoding):
            seen.thumbnails.append(_thumbnail(item, held, how, room))
            if progress is not None:
                progress(len(seen.thumbnails) / shown)
    except DiffcodecError as error:  # a model that is not here, say: names and sizes are
        seen.problem = seen.problem or str(error)
    rest = items[len(seen.thumbnails) :]
    seen.thumbnails += [Thumbnail(item.name, _told(item)) for item in rest[: _NAMED * how.most]]
    seen.left_out = max(0, len(rest) - _NAMED * how.most)


def _thumbnail(item: listing.Item, held: bytes | Signal | DiffcodecError, how: How, room: int) -> Thumbnail:
    try:
        image, icc = of_archive(held, THUMBNAIL, how)
    except DiffcodecError as error:
        return Thumbnail(item.name, f"{_told(item)}: {error}")
    return Thumbnail(item.name, _told(item), drawn.data_url(image, icc, max(room, _ROOM)))


def _told(item: listing.Item) -> str:
    size = f"{item.width}×{item.height} {item.mode}" if item.mode else item.kind
    packed = f"{grouped(item.packed_bytes or 0)} bytes"
    return f"{size}, { {'chained': 'in a chain', 'copy': 'a copy'}.get(item.kind, packed) }"
