"""append: further pictures of a folder for an archive that is there. Its groups stay byte for byte, new ones follow."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ..bitstream.archive import Reader, Writer
from ..runtime import atomic as output
from ..runtime import remote
from ..runtime.errors import DiffcodecError, InputError
from ..runtime.hostile import guarded
from ..runtime.progress import Progress
from ..runtime.stages import stage
from . import memory as archive
from .engines import check as check_workers
from .group import encode_group
from .grouping import LeftOut, Neighbours, read_groups, stamped
from .listing import alike, digests_in, digests_of, list_archive
from .names import shown
from .plan import Plan, differing, environment_of
from .walking import files_below, path_of, size_of
from .workers import Workers


@guarded
def append(
    out: str,
    folder: str,
    *,
    model: str | None = None,
    batch: int | None = None,
    group: int = archive.GROUP,
    device: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The pictures below ``folder`` whose names the archive ``out`` does not have, as further groups of it.

    The groups that are there are copied as they are, and the model and steps are the archive's own. A picture of a name
    that is there is left out: with the same samples it is there already, with others it is one of the ``failed``. The
    new archive replaces the old one at once, when it is whole, or nothing is changed. ``out`` may be the name of a file
    elsewhere: it is fetched, and written once.

    Returns pictures, bytes, added_bytes (how many more than before), source_bytes (of those that were added), already
    (how many were there), left_out and failed (names), groups (of the whole archive).
    Raises InputError for an archive that is cut, damaged, or made where sums of floats differ, or that has no place for
    times of files; as `pack`, and as `decode_archive` for what is no archive.
    """
    if not os.path.isdir(folder):
        raise InputError(f"expected a folder of pictures, found {'a file' if os.path.exists(folder) else 'nothing'}")
    archive.check_settings(group, batch, jobs)
    check_workers(jobs, model)
    output.check(out, overwrite=True)
    items, problems = list_archive(out)
    if problems:
        raise InputError(f"{shown(out)} is not whole: {problems[0]}; unpack what there is, and pack it anew")
    left = LeftOut()
    there = {item.name: item for item in items}
    found = files_below(folder, left.add, os.path.realpath(out))
    known = digests_in(out, [there[name] for name in found if name in there], model=model, device=device, jobs=jobs)
    names, already = [], 0
    for name in found:
        if name not in there:
            names.append(name)
        elif _unchanged(path_of(folder, name), known[name]):
            already += 1
        else:
            left.add(name, "the archive has another picture of this name", True)
    total = sum(size_of(path_of(folder, name)) for name in names)
    source_bytes = added = 0
    with _copied(out) as file:
        reader = Reader(file)
        size_before = file.seek(0, os.SEEK_END)
        plan, writer = _resumed(reader, Plan(model or reader.header.model, device, reader.header.params, batch))
        before = len(writer.places)
        groups: list[Neighbours] = []

        def tasks() -> Iterator[tuple[float, tuple[Plan, list[str], Sequence[Any]]]]:
            for some in read_groups(folder, names, group, left):
                groups.append(some)
                yield some.bytes, (plan, some.names, some.pictures)

        with Workers(jobs) as workers:
            for coded in workers.map(encode_group, tasks(), total, progress):
                some = groups.pop(0)
                archive.add(writer, stamped(coded, some.stats))
                added += len(some.names)
                source_bytes += sum(one.size for one in some.stats)
        size = size_before
        if added:
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.close()  # Windows renames no open file
            with stage("writing the archive"):
                (remote.put if remote.is_remote(out) else output.replace)(file.name, out)
        count = before if not added else len(writer.places)
    told = {"pictures": added, "already": already, "left_out": left.names, "failed": left.failed, "groups": count}
    return told | {"bytes": size, "added_bytes": size - size_before, "source_bytes": source_bytes}


def _unchanged(path: str, known: tuple[bytes, ...]) -> bool:
    with contextlib.suppress(DiffcodecError, OSError):
        digests = digests_of(path)
        return digests is not None and alike(digests, known)
    return False


@contextlib.contextmanager
def _copied(out: str) -> Iterator[BinaryIO]:
    """A copy beside an archive, open for reading and writing, and gone at the end unless it took the archive's name.

    Of one elsewhere it stands where temporary files do.
    """
    elsewhere = remote.is_remote(out)
    target = out.rpartition("/")[2] if elsewhere else os.path.realpath(out)
    folder = None if elsewhere else os.path.dirname(target)
    handle, name = tempfile.mkstemp(prefix=f".{os.path.basename(target)[:64]}.", dir=folder)
    try:
        os.close(handle)
        with open(name, "r+b") as file:
            with stage("copying the archive"):
                remote.fetch(out, file)
            if not elsewhere:
                shutil.copymode(target, name)
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _resumed(reader: Reader, plan: Plan) -> tuple[Plan, Writer]:
    """(plan, writer behind the last group). Raises InputError, ModelNotFound, ModelMismatch."""
    header = reader.header
    if not header.extended:
        raise InputError("the archive was made in memory and has no place for times of files: unpack it and pack that")
    schedule, environment = plan.schedule()
    if schedule is None:
        plan.provider(header.fingerprint)  # raises where it is another
    else:
        here = environment_of(plan.denoiser(header.fingerprint))
        if environment != here:
            raise InputError(f"the archive was made with {differing(environment, here)}: pack others apart")
    digests = [reader.group(place).digest for place in reader.places]
    reader.file.truncate(max([reader.first, *(place.offset + place.size for place in reader.places)]))
    reader.file.seek(0, os.SEEK_END)
    return plan, Writer.resume(reader, reader.places, digests)
