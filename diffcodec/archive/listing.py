"""What an archive holds, picture by picture; whether it all decodes; how it differs from a folder or another one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ..bitstream.archive import CHAINED, COPY, Entry, Group, Place, Reader
from ..runtime.errors import BitstreamError, CorruptStream, DiffcodecError, InputError
from ..runtime.hostile import guarded
from ..runtime.progress import Progress, end, part
from .names import shown
from .reading import HEADER_LOST, all_places, each_stream, open_archive, streams_of
from .walking import files_below, may_be_picture, path_of, size_of

if TYPE_CHECKING:
    from ..media.medium import Signal
    from ..stream.parsed import Stream

Kind = Literal["stream", "chained", "initial", "copy", "damaged"]


@dataclass(frozen=True)
class Item:
    """A picture of an archive, as its group's directory and its stream tell; nothing is decoded.

    name: as it is unpacked where it has none. kind: a stream of its own, of the group's chain, a stream among the
    chain's initial bits, a copy of an earlier one, or a stream that is damaged. width, height, mode, frames: 0 and ""
    of the last, and of initial ones, whose streams are there only when the chain is decoded. packed_bytes: of its
    stream, 0 of a copy, None where a chain holds it with others. time: of the file's modification, nanoseconds since
    1970, or None; permissions: nine bits, or None. digests: the first bytes, 4 or 8, of the samples' digest, of each
    frame, where it is known.
    """

    name: str
    group: int
    kind: Kind
    width: int = 0
    height: int = 0
    mode: str = ""
    frames: int = 1
    packed_bytes: int | None = None
    time: int | None = None
    permissions: int | None = None
    digests: tuple[bytes, ...] = ()


@guarded
def list_archive(source: Any, *, max_pixels: int | None = None) -> tuple[list[Item], list[str]]:
    """The pictures of an archive, bytes or a path, in their order, and a line for each thing that is wrong with it.

    Of a cut or damaged one what is left. Needs no weights. Raises InputError, NotADiffcodecFile, UnsupportedVersion,
    and for a header that does not hold Truncated, ChecksumMismatch, CorruptStream.
    """
    problems: list[str] = []
    with open_archive(source, max_pixels, lenient=True) as reader:
        return list(_items(reader, max_pixels, problems)), _of_whole(reader) + problems


def _of_whole(reader: Reader) -> list[str]:
    """What is wrong with the archive but for its groups."""
    lines = []
    if reader.header_problem is not None:
        lines.append(f"{reader.header_problem}; {HEADER_LOST}")
    if not reader.complete:
        lines.append(f"{reader.problem}; whole groups: {len(reader.places)}")
    return lines


def _items(reader: Reader, max_pixels: int | None, problems: list[str]) -> Iterator[Item]:
    number = 0
    for place in all_places(reader):
        try:
            group = _group(reader, place, problems)
        except BitstreamError as error:
            problems.append(f"group {place.number} is lost: {error}")
            number += place.pictures or 0
            continue
        found = _items_of(group, place.number, number, max_pixels)
        number += len(found)
        yield from found


def _items_of(group: Group, place: int, number: int, max_pixels: int | None) -> list[Item]:
    """Of a group; ``number``: of its first picture."""
    found: list[Item] = []
    chained = _chained(group)
    streams = {} if chained else streams_of(group.entries, group.payload, max_pixels)
    for at, entry in enumerate(group.entries):
        item = _item(entry.name or f"{number + at:06}", place, entry, streams.get(at), found, chained)
        found.append(replace(item, time=entry.time, permissions=entry.permissions))
    return found


def _chained(group: Group) -> bool:
    return any(entry.kind == CHAINED for entry in group.entries)


def _group(reader: Reader, place: Place, problems: list[str]) -> Group:
    """A group, or what stands by itself of a damaged one. Raises BitstreamError."""
    try:
        return reader.group(place)
    except BitstreamError as error:
        group = reader.salvage(place)
        problems.append(f"group {place.number} is damaged: {error}")
        return group


def _item(
    name: str, group: int, entry: Entry, streams: Sequence[Stream] | None, before: Sequence[Item], chained: bool
) -> Item:
    """streams: of its own one and its frames, None of a damaged one, and in a group that is ``chained``."""
    if entry.kind == CHAINED:
        return Item(name, group, "chained", entry.width, entry.height, "RGB", digests=(entry.digest,))
    if entry.kind == COPY:
        return replace(before[entry.size], name=name, kind="copy", packed_bytes=0)
    if streams is None:
        return Item(name, group, "initial" if chained else "damaged", packed_bytes=entry.size)
    first = streams[0]
    digests = tuple(one.container.digest or b"" for one in streams)
    size, mode = (first.head.width, first.head.height), first.form.mode
    return Item(name, group, "stream", *size, mode, len(streams), entry.size, digests=digests)


# ---- what is in it


@guarded
def contents(
    source: Any,
    most: int,
    *,
    model: Any = None,
    device: str = "auto",
    max_pixels: int | None = None,
    budget: float = 1.0,
) -> Iterator[tuple[Item, bytes | Signal | DiffcodecError]]:
    """The first ``most`` pictures of an archive, as they are listed, each with its stream, which is not decoded.

    A group with a chain is decoded: of its pictures the signals, or the errors that lost them. Raises as
    `decode_archive` where nothing can be read.
    """
    from . import memory as archive

    with open_archive(source, max_pixels, lenient=True) as reader:
        number = given = 0
        for place in all_places(reader):
            if given >= most:
                return
            try:
                group = _group(reader, place, [])
            except BitstreamError:
                number += place.pictures or 0
                continue
            items = _items_of(group, place.number, number, max_pixels)
            number += len(items)
            held: Sequence[bytes | Signal | DiffcodecError]
            if _chained(group):
                (one,) = archive.decoded(reader, [place], model, device, 1, None, budget)
                held = one.pictures or [one.error or CorruptStream("the group does not hold")] * len(items)
            else:
                held = _streams_alone(group)
            yield from zip(items[: most - given], held, strict=False)
            given += len(items)


def _streams_alone(group: Group) -> list[bytes]:
    """Of each picture of a group without a chain the stream, a copy's that of the one it equals."""
    streams = dict(each_stream(group.entries, group.payload))
    return [streams[entry.size if entry.kind == COPY else at] for at, entry in enumerate(group.entries)]


# ---- whether it all decodes


@dataclass(frozen=True)
class Checked:
    """Of an archive that was decoded: how many pictures hold, how many are lost, a line for each thing wrong."""

    pictures: int
    lost: int
    problems: tuple[str, ...]


@guarded
def check_archive(
    source: Any,
    *,
    model: Any = None,
    device: str = "auto",
    jobs: int = 1,
    max_pixels: int | None = None,
    budget: float = 1.0,
    progress: Progress | None = None,
) -> Checked:
    """Decode all of an archive, bytes or a path, and keep nothing of it. Raises as `decode_archive` where it cannot."""
    from . import memory as archive

    held = lost = 0
    with open_archive(source, max_pixels, lenient=True) as reader:
        problems = _of_whole(reader)
        for one in archive.decoded(reader, all_places(reader), model, device, jobs, progress, budget):
            problems += one.problems()
            lost += one.lost
            held += len(one.pictures) + one.lost_with_it - one.lost
    return Checked(held, lost, tuple(problems))


# ---- how it differs


@dataclass(frozen=True)
class Differences:
    """Names of pictures that only the second of two has, only the first, or both with other samples.

    same: how many both have alike; problems: a line for each thing that could not be read.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    same: int = 0
    problems: tuple[str, ...] = ()


def differences(
    source: Any,
    other: Any,
    *,
    model: Any = None,
    device: str = "auto",
    jobs: int = 1,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> Differences:
    """What an archive and a folder, or another archive, have of each other, by names and digests of samples.

    Of a folder all pictures are read. Of an archive groups with a chain are decoded, which tell some digests only so,
    and no others; metadata and times are not compared. Raises as `decode_archive`, and OSError.
    """
    problems: list[str] = []
    how = {"model": model, "device": device, "jobs": jobs, "max_pixels": max_pixels}
    folder = isinstance(other, (str, os.PathLike)) and os.path.isdir(other)
    items = {item.name: item for item in _listed(source, max_pixels, problems)}
    if folder:
        second = _digests_below(os.fspath(other), problems, part(progress, 0, 0.5))
        names = items.keys() & second.keys()
    else:
        others = {item.name: item for item in _listed(other, max_pixels, problems)}
        names = items.keys() & others.keys()
        told = digests_in(other, [others[name] for name in names], progress=part(progress, 0, 0.5), **how)
        second = {name: told.get(name, ()) for name in others}
    first = digests_in(source, [items[name] for name in names], progress=part(progress, 0.5, 0.5), **how)
    end(progress)
    changed = sorted(name for name in names if not alike(first[name], second[name]))
    added, removed = sorted(second.keys() - items.keys()), sorted(items.keys() - second.keys())
    return Differences(added, removed, changed, len(names) - len(changed), tuple(problems))


def _listed(source: Any, max_pixels: int | None, problems: list[str]) -> list[Item]:
    items, wrong = list_archive(source, max_pixels=max_pixels)
    problems += wrong
    return items


@guarded
def digests_in(
    source: Any,
    items: Sequence[Item],
    *,
    model: Any = None,
    device: str = "auto",
    jobs: int = 1,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> dict[str, tuple[bytes, ...]]:
    """Digests of these pictures of an archive by their names; groups whose chains hide some are decoded for them.

    () of damaged ones. Raises as `decode_archive`.
    """
    found = {item.name: item.digests for item in items}
    hidden = {item.group for item in items if not item.digests and item.kind != "damaged"}
    if not hidden:
        return found
    from . import memory as archive

    with open_archive(source, max_pixels, lenient=True) as reader:
        places = all_places(reader)
        starts = list(itertools.accumulate((place.pictures or 0 for place in places), initial=0))
        wanted = [place for place in places if place.number in hidden]
        for one in archive.decoded(reader, wanted, model, device, jobs, progress):
            for number, (entry, picture) in enumerate(
                zip(one.entries, one.pictures, strict=True), starts[one.place.number]
            ):
                name = entry.name or f"{number:06}"
                if name in found and not isinstance(picture, DiffcodecError):
                    found[name] = tuple(frame.digest() for frame in (picture, *picture.following))
    return found


def _digests_below(folder: str, problems: list[str], progress: Progress | None) -> dict[str, tuple[bytes, ...]]:
    """Of the pictures of a folder, by names as an archive has them."""

    def leave_out(name: str, reason: str, failed: bool) -> None:
        if failed:
            problems.append(f"{shown(name)} cannot be read: {reason}")

    names = files_below(folder, leave_out)
    sizes = [size_of(path_of(folder, name)) for name in names]
    found, done = {}, 0
    for name, size in zip(names, sizes, strict=True):
        try:
            digests = digests_of(path_of(folder, name))
        except (DiffcodecError, OSError) as error:
            told = error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
            leave_out(name, told, True)
            digests = (b"",)
        if digests is not None:
            found[name] = digests
        done += size
        if progress is not None:
            progress(done / sum(sizes))
    return found


def digests_of(path: str) -> tuple[bytes, ...] | None:
    """Of the samples of a picture's file, of each frame; None of what is no picture. Raises InputError, OSError."""
    from .. import files

    try:
        signal = files.read_signal(path)
    except InputError:
        if may_be_picture(path):
            raise
        return None
    return tuple(one.digest() for one in (signal, *signal.following))


def alike(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> bool:
    """Whether digests agree as far as both are told."""
    if len(one) != len(other) or not all(one) or not all(other):
        return False
    return all(a[: len(b)] == b[: len(a)] for a, b in zip(one, other, strict=True))
