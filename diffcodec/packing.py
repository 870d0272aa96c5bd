"""pack, unpack: a folder of pictures <-> a `.dfca` file. An interrupted pack goes on where it stopped."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from . import archive, output
from .api import Progress
from .bitstream.archive import CHAINED, Place, Reader, Writer, digest_of, valid_name
from .errors import BitstreamError, DiffcodecError, InputError
from .groups import Plan, encode_group, make_plan
from .workers import Workers
from .workers import check as check_workers

if TYPE_CHECKING:
    from .image import Picture

_LOSSLESS = ("PNG", "TIFF", "NPY")  #: tried in this order for pictures that keep no name of their own


def pack(
    folder: str,
    out: str,
    model: str | None = None,
    *,
    steps: int | None = None,
    batch: int | None = None,
    group: int = archive.GROUP,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """All pictures below ``folder``, in the order of their names, into the archive ``out``.

    Files that are no pictures, or cannot be read without loss, are left out with a warning each. What is done stands in
    ``out``.part, to which a later call with the same settings adds, after comparing it with the pictures.

    Returns pictures, left_out (names), groups, resumed (groups found done), samples, bytes, model.
    Raises InputError, ModelNotFound, ModelMismatch, OSError.
    """
    if not os.path.isdir(folder):
        raise InputError(f"expected a folder of pictures, found {'a file' if os.path.exists(folder) else 'nothing'}")
    output.check(out, overwrite)
    archive.check_settings(group, batch, jobs)
    check_workers(jobs, model)
    part = f"{out}.part"
    names = _files(folder, {os.path.realpath(p) for p in (out, part)})
    left_out: list[str] = []
    groups = _Ahead(_read_groups(folder, names, group, left_out))
    first = groups.peek()
    if first is None:
        raise InputError(f"expected pictures in {folder}, found none among {len(names)} files")
    count = dict.fromkeys(("pictures", "samples"), 0)
    with _locked(part) as file:
        plan = make_plan(model, device, steps, batch, lambda: first[1])
        plan, writer, resumed = _resume(file, plan, groups)
        done = sum(place.pictures or 0 for place in writer.places)

        def tasks() -> Iterator[tuple[Plan, list[str], list[Picture]]]:
            for group_names, pictures in groups:
                yield plan, group_names, pictures

        def overall(fraction: float) -> None:
            if progress:
                progress(min(1.0, (done + fraction * (len(names) - done)) / len(names)))

        expected = max(1, -(-(len(names) - done) // group))
        with Workers(jobs) as workers:
            for coded in workers.map(encode_group, tasks(), expected, overall):
                writer.add(coded)
                _flush(file)
        count["pictures"] = sum(place.pictures or 0 for place in writer.places)
        writer.finish()
        _flush(file)
        size = file.tell()
        output.replace(part, out)
    return {
        "pictures": count["pictures"],
        "left_out": left_out,
        "groups": len(writer.places),
        "resumed": resumed,
        "samples": groups.samples,
        "bytes": size,
        "model": plan.provider().name,
        "codec": plan.codec,
    }


def unpack(
    source: str,
    folder: str,
    *,
    only: str | None = None,
    model: str | None = None,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The pictures of an archive as files below ``folder``, which is made if it is not there.

    Each keeps its name where that stands for a lossless format that holds it; else ".png" (or ".tif", ".npy") is added,
    and added again where another picture of the archive has that name.
    only: a pattern such as "holiday/*"; groups without such a name are not decoded.
    A damaged group is reported, and the others are written.

    Returns pictures, groups, lost (pictures of damaged groups), problems (a line each).
    Raises InputError, OSError, and as `decode_archive` where nothing can be read at all.
    """
    check_workers(jobs, model)
    problems: list[str] = []
    lost = 0
    written: set[str] = set()
    with archive.open_archive(source, max_pixels) as reader:
        if not reader.complete:
            problems.append(f"{reader.problem}; whole groups before that: {len(reader.places)}")
        places = [place for place in reader.places if only is None or _has(reader, place, only)]
        if only is not None and not places:
            raise InputError(f"no picture of the archive has a name like {only}")
        os.makedirs(folder, exist_ok=True)
        for place, result in archive.decoded(reader, places, model, device, jobs, progress):
            if isinstance(result, DiffcodecError):
                problems.append(f"group {place.number} is lost: {result}")
                lost += place.pictures or 0
                continue
            start = sum(p.pictures or 0 for p in reader.places[: place.number])
            for number, (name, picture) in enumerate(result, start):
                if only is None or fnmatch.fnmatchcase(name, only):
                    _write(folder, name or f"{number:06}", picture, overwrite, written)
    return {"pictures": len(written), "groups": len(places), "lost": lost, "problems": problems}


def _write(folder: str, name: str, picture: Picture, overwrite: bool, written: set[str]) -> None:
    """Write a picture under its name, or one that is none of those ``written`` before; adds that to them."""
    from . import files

    try:
        format = files.format_of(name)
        files.check(picture.mode, format)
    except InputError:
        mode = picture.mode.removesuffix("[1]")
        format = next(f for f in _LOSSLESS if f == "NPY" or mode in files.FORMATS[f])
        name += {"PNG": ".png", "TIFF": ".tif", "NPY": ".npy"}[format]
    while name in written:
        name += os.path.splitext(name)[1]
    written.add(name)
    path = os.path.join(folder, *name.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    output.write(path, files.write(picture, format), overwrite)


def _has(reader: Reader, place: Place, only: str) -> bool:
    try:
        return any(fnmatch.fnmatchcase(entry.name, only) for entry in reader.group(place).entries)
    except BitstreamError:
        return True  # it may have held one: let its loss be reported


# ---- reading a folder


def _files(folder: str, besides: set[str]) -> list[str]:
    """Relative paths with '/' of all files below, sorted. Warns of folders that cannot be read."""

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        warnings.warn(f"left out {ascii(name)[1:-1]}: {error.strerror}", stacklevel=4)

    found = []
    for parent, _, files in os.walk(folder, onerror=unreadable):
        for file in files:
            path = Path(parent, file)
            if path.is_file() and os.path.realpath(path) not in besides:
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def _read_groups(
    folder: str, names: list[str], group: int, left_out: list[str]
) -> Iterator[tuple[list[str], list[Picture]]]:
    from . import files

    some: list[tuple[str, Picture]] = []
    pixels = 0
    for name in names:
        try:
            if not valid_name(name):
                raise InputError("an archive cannot hold this name")
            picture = files.read(os.path.join(folder, name))
        except (DiffcodecError, OSError, UnicodeEncodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            warnings.warn(f"left out {ascii(name)[1:-1]}: {reason}", stacklevel=2)
            left_out.append(name)
            continue
        if some and (len(some) == group or pixels + picture.width * picture.height > archive.GROUP_PIXELS):
            yield [n for n, _ in some], [p for _, p in some]
            some, pixels = [], 0
        some.append((name, picture))
        pixels += picture.width * picture.height
    if some:
        yield [n for n, _ in some], [p for _, p in some]


class _Ahead:
    """The groups of a folder, with a look at the next one."""

    def __init__(self, groups: Iterator[tuple[list[str], list[Picture]]]):
        self._groups = groups
        self._next: tuple[list[str], list[Picture]] | None = None
        self.samples = 0  #: of the groups taken

    def peek(self) -> tuple[list[str], list[Picture]] | None:
        if self._next is None:
            self._next = next(self._groups, None)
        return self._next

    def __iter__(self) -> _Ahead:
        return self

    def __next__(self) -> tuple[list[str], list[Picture]]:
        found = self.peek()
        if found is None:
            raise StopIteration
        self._next = None
        self.samples += sum(int(p.samples.size) for p in found[1])
        return found


# ---- the unfinished file


@contextlib.contextmanager
def _locked(part: str) -> Iterator[BinaryIO]:
    """The unfinished archive, open for reading and writing, by one process at a time; removed while it is empty."""
    with open(part, "r+b" if os.path.exists(part) else "w+b") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(f"another process is packing into {part}: wait for it") from None
        try:
            yield file
        except BaseException:
            with contextlib.suppress(DiffcodecError, OSError):
                if not Reader(file).places:
                    os.unlink(part)
            raise


def _resume(file: BinaryIO, plan: Plan, groups: _Ahead) -> tuple[Plan, Writer, int]:
    """(plan, writer behind what is there, groups found done). Takes the groups done from ``groups``."""
    header = archive.header_of(plan)
    with contextlib.suppress(BitstreamError):
        reader = Reader(file)
        if archive.same_settings(reader.header, header):
            places: list[Place] = []
            digests: list[bytes] = []
            for place, group in reader.walk():
                ahead = groups.peek()
                if ahead is None or [entry.name for entry in group.entries] != ahead[0]:
                    break
                if digest_of([picture.digest() for picture in ahead[1]]) != group.digest:
                    break
                if any(
                    entry.kind == CHAINED and (entry.icc, entry.exif) != (picture.icc or b"", picture.exif or b"")
                    for entry, picture in zip(group.entries, ahead[1], strict=True)
                ):
                    break  # equal pixels with another profile
                next(groups)
                places.append(place)
                digests.append(group.digest)
            if places:
                file.truncate(places[-1].offset + places[-1].size)
                file.seek(0, os.SEEK_END)
                plan = replace(plan, params=reader.header.params)
                return plan, Writer.resume(file, reader.seal, places, digests), len(places)
    file.seek(0)
    file.truncate()
    return plan, Writer(file, header), 0


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
