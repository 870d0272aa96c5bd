"""pack, unpack: a folder of pictures <-> a `.dfca` file. An interrupted pack goes on where it stopped."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import itertools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from ..bitstream.archive import CHAINED, MAX_GROUP_PIXELS, SIGNATURE, Place, Reader, Writer, digest_of
from ..models import registry
from ..runtime import atomic as output
from ..runtime import remote
from ..runtime.errors import BitstreamError, DiffcodecError, InputError
from ..runtime.hostile import guarded
from ..runtime.progress import Progress
from ..runtime.progress import part as part_of
from ..runtime.stages import stage
from . import memory as archive
from .chain import further_metadata
from .choosing import chosen, group_pixels
from .engines import EngineName, engine_of
from .engines import check as check_workers
from .group import digest_with_frames, encode_group
from .grouping import Ahead, LeftOut, Stat, read_groups, stamped, without
from .names import shown
from .plan import Plan, make_plan
from .reading import HEADER_LOST, all_places, open_archive
from .unpacking import Target
from .walking import files_below, path_of, size_of

if TYPE_CHECKING:
    from ..media.medium import Signal

_WINDOWS = os.name == "nt"


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
    engine: EngineName = "processes",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """All pictures below ``folder``, in the order of their names, into the archive ``out``.

    Without ``model`` and ``steps`` the pictures say which: many small ones in colour are chained where that is smaller;
    others are streams, as `encode` makes them, in groups of few, so that an interrupted call loses little.
    With each go its file's time of modification and permissions. Files that are no pictures, or cannot be read without
    loss, and linked folders are left out with a warning each. What is done stands in a file beside (`part_file`), to
    which a later call with the same settings adds, after comparing it with the pictures. ``out`` may be the name of a
    file elsewhere, which is written once, when all is done. ``progress`` goes by the bytes of the files.
    engine: what does groups side by side, ``jobs`` at most, `engines.ALL` for as many as there is room for; it changes
    no byte.

    Returns pictures, left_out (names), failed (those of them that are pictures, or may be), groups, resumed (groups
    found done), samples, bytes, source_bytes (of the files that were packed), model, codec.
    Raises InputError, ModelNotFound, ModelMismatch, OSError.
    """
    if not os.path.isdir(folder):
        raise InputError(f"expected a folder of pictures, found {'a file' if os.path.exists(folder) else 'nothing'}")
    output.check(out, overwrite)
    archive.check_settings(group, batch, jobs)
    check_workers(jobs, model, engine)
    part = part_file(out)
    left = LeftOut()
    names = without(out, folder, files_below(folder, left.add, os.path.realpath(part)))
    total = sum(size_of(path_of(folder, name)) for name in names)
    open_choice = model is None and steps is None
    most = group_pixels(group) if open_choice else MAX_GROUP_PIXELS
    groups = Ahead(read_groups(folder, names, group, left, most))
    with stage("reading pictures"):
        first = groups.peek()
    if first is None:
        raise InputError(f"expected pictures in {folder}, found none among {len(names)} files")
    if remote.is_remote(out):
        os.makedirs(os.path.dirname(part), mode=0o700, exist_ok=True)
    with _locked(part) as file:
        if open_choice:
            model = _begun_with(file) or chosen(first.pictures, device)
        planned = partial(make_plan, model, device, steps, batch, lambda: first.pictures)
        plan, writer, resumed = _resume(file, planned, groups, lambda: progress and progress(groups.bytes / total))
        stats: deque[list[Stat]] = deque()

        def tasks() -> Iterator[tuple[float, tuple[Plan, list[str], list[Signal]]]]:
            for some in groups:
                stats.append(some.stats)
                yield some.bytes, (plan, some.names, some.pictures)

        with engine_of(engine, jobs, device) as workers:
            done = groups.bytes
            rest = part_of(progress, done / total, 1 - done / total)
            for coded in workers.map(encode_group, tasks(), total - done, rest):
                archive.add(writer, stamped(coded, stats.popleft()))
                _flush(file)
        pictures = sum(place.pictures or 0 for place in writer.places)
        writer.finish()
        _flush(file)
        size = file.tell()
        if not _WINDOWS:
            _placed(part, out)  # while it is locked
    if _WINDOWS:  # where an open file keeps its name
        _placed(part, out)
    return {
        "pictures": pictures,
        "left_out": left.names,
        "failed": left.failed,
        "groups": len(writer.places),
        "resumed": resumed,
        "samples": groups.samples,
        "bytes": size,
        "source_bytes": groups.source_bytes,
        "model": plan.provider().name,
        "codec": plan.codec,
    }


def part_file(out: str) -> str:
    """Where what is done of an archive stands until all is: ``out``.part; of one elsewhere in this machine's cache."""
    if not remote.is_remote(out):
        return f"{out}.part"
    told = os.environ.get("XDG_CACHE_HOME", "")
    cache = told if os.path.isabs(told) else os.path.join(os.path.expanduser("~"), ".cache")
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in out.rpartition("/")[2])[:64]
    return os.path.join(cache, "diffcodec", f"{hashlib.sha256(out.encode()).hexdigest()[:16]}-{name}.part")


def _placed(part: str, out: str) -> None:
    """Give an archive that is whole its name. One elsewhere that cannot be written stays here, as it is."""
    if not remote.is_remote(out):
        output.replace(part, out)
        return
    try:
        with stage("sending the archive"):
            remote.put(part, out)
    except OSError as error:
        told = error.strerror or type(error).__name__
        kept = f"the archive is whole in {part}, and the same command sends it"
        raise InputError(f"{out} was not written ({told}): {kept}") from error
    os.unlink(part)


def unfinished(out: str) -> tuple[int, int]:
    """How many groups, of how many pictures, an interrupted `pack` left (`part_file`); (0, 0) where there is none."""
    try:
        with open(part_file(out), "rb") as file:
            places = Reader(file).places
    except (DiffcodecError, OSError):
        return 0, 0
    return len(places), sum(place.pictures or 0 for place in places)


@guarded
def unpack(
    source: str,
    folder: str,
    *,
    only: str | Sequence[str] | None = None,
    model: str | None = None,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    max_pixels: int | None = None,
    budget: float = 1.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The pictures of an archive as files below ``folder``, which is made if it is not there.

    Each keeps its name where that stands for a lossless format that holds it; else ".png" (or ".tif", ".npy") is added,
    and added again where another picture of the archive has that name; and its file's time of modification and
    permissions, where the archive tells them.
    only: a pattern such as "holiday/*", or several; groups without such a name are not decoded.
    budget: as in `decode_archive`.
    What is damaged, or has a name that cannot be written here, is reported, and the others are written.

    Returns pictures, groups, lost (pictures that are damaged), refused (pictures that could not be written), problems
    (a line each), bytes_read (of the groups that were decoded), bytes_written (of the pictures' files).
    Raises InputError, OSError, and as `decode_archive` where nothing can be read at all.
    """
    check_workers(jobs, model)
    problems: list[str] = []
    lost = 0
    with open_archive(source, max_pixels, lenient=True) as reader:
        if reader.header_problem is not None:
            problems.append(f"{reader.header_problem}; {HEADER_LOST}")
        if not reader.complete:
            problems.append(f"{reader.problem}; whole groups: {len(reader.places)}")
        there = all_places(reader)
        patterns = [only] if isinstance(only, str) else only
        places = [place for place in there if patterns is None or _has(reader, place, patterns)]
        if patterns is not None and not places:
            raise InputError(f"no picture of the archive has a name like {shown(' or '.join(patterns))}")
        os.makedirs(folder, exist_ok=True)
        target = Target(folder, overwrite, source)
        starts = [0, *itertools.accumulate(place.pictures or 0 for place in there)]
        for one in archive.decoded(reader, places, model, device, jobs, progress, budget):
            problems += one.problems()
            lost += one.lost
            for number, (entry, picture) in enumerate(
                zip(one.entries, one.pictures, strict=True), starts[one.place.number]
            ):
                wanted = patterns is None or _like(entry.name, patterns)
                if wanted and not isinstance(picture, DiffcodecError):
                    target.write(entry, picture, number)
    return {
        "pictures": len(target.names),
        "groups": len(places),
        "lost": lost,
        "refused": len(target.problems),
        "problems": [*problems, *target.problems],
        "bytes_read": sum(place.size for place in places),
        "bytes_written": target.bytes,
    }


def _like(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _has(reader: Reader, place: Place, patterns: Sequence[str]) -> bool:
    try:
        return any(_like(entry.name, patterns) for entry in reader.group(place).entries)
    except BitstreamError:
        return True  # it may have held one: let its loss be reported


# ---- the unfinished file


@contextlib.contextmanager
def _locked(part: str) -> Iterator[BinaryIO]:
    """The unfinished archive, open for reading and writing, by one process at a time; removed while it is empty."""
    with _opened(part) as file:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise InputError(f"another process is packing into {shown(part)}: wait for it") from None
        try:
            yield file
        except BaseException:
            with contextlib.suppress(DiffcodecError, OSError):
                if not Reader(file).places:
                    os.unlink(part)
            raise


def _opened(part: str) -> BinaryIO:
    """The unfinished archive, made or found. Raises InputError for what is none: it is not ours to overwrite."""
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.fdopen(os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o666), "w+b")
    except FileExistsError:
        pass
    foreign = InputError(f"{shown(part)} is there and no unfinished archive: move it away, or choose another name")
    if not stat.S_ISREG(os.lstat(part).st_mode):
        raise foreign
    file = os.fdopen(os.open(part, flags), "r+b")
    start = file.read(len(SIGNATURE))
    if not SIGNATURE.startswith(start):
        file.close()
        raise foreign
    file.seek(0)
    return file


def _begun_with(file: BinaryIO) -> str | None:
    """The bundled model that an unfinished archive was begun with; None where there is no group of it."""
    with contextlib.suppress(BitstreamError):
        reader = Reader(file)
        if reader.places and any(card["name"] == reader.header.model for card in registry.cards()):
            return reader.header.model
    return None


def _resume(
    file: BinaryIO, planned: Callable[[bytes], Plan], groups: Ahead, compared: Callable[[], object]
) -> tuple[Plan, Writer, int]:
    """(plan, writer behind what is there, groups found done).

    planned: the plan, given the codec's parameters of an earlier one that are to be kept if they serve. Takes the
    groups done from ``groups``; calls ``compared`` after each.
    """
    with contextlib.suppress(BitstreamError):
        reader = Reader(file)
        plan = planned(reader.header.params)
        header = archive.header_of(plan, extended=True)
        if reader.header == header:
            places: list[Place] = []
            digests: list[bytes] = []
            for place, group in reader.walk():
                ahead = groups.peek()
                if ahead is None or [entry.name for entry in group.entries] != ahead.names:
                    break
                if digest_of([digest_with_frames(picture) for picture in ahead.pictures]) != group.digest:
                    break
                if stamped(group, ahead.stats) != group:
                    break  # touched meanwhile
                if any(
                    entry.kind == CHAINED
                    and (entry.icc, entry.exif, entry.metadata)
                    != (picture.metadata.icc or b"", picture.metadata.exif or b"", further_metadata(picture))
                    for entry, picture in zip(group.entries, ahead.pictures, strict=True)
                ):
                    break  # equal pixels with another profile
                next(groups)
                compared()
                places.append(place)
                digests.append(group.digest)
            if places:
                file.truncate(places[-1].offset + places[-1].size)
                file.seek(0, os.SEEK_END)
                return plan, Writer.resume(reader, places, digests), len(places)
    plan = planned(b"")
    file.seek(0)
    file.truncate()
    return plan, Writer(file, archive.header_of(plan, extended=True)), 0


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
