"""encode_archive, decode_archive, pack, unpack: many pictures <-> one lossless `.dfca` archive.

A group is what is coded, read and lost together. Its RGB pictures are one chain of bits-back coding (codecs/vdm.py);
the initial bits that a chain needs are no waste: they are the group's other pictures (grey, palette, alpha, 16 bit) and
as many of its smallest RGB pictures as it takes, coded as `.dfc` streams by ARDM. Equal pictures are kept once a group.
An archive of an ARDM has no chain and no schedule: all its pictures are streams.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from .bitstream.archive import (
    CHAINED,
    COPY,
    MAX_GROUP_PIXELS,
    STREAM,
    ArchiveHeader,
    Group,
    Place,
    Reader,
    Writer,
    digest_of,
    valid_name,
)
from .bitstream.header import FINGERPRINT_BYTES, NUMERICS
from .bitstream.limits import Limits
from .errors import (
    BitstreamError,
    DecodeMismatch,
    DiffcodecError,
    InputError,
    Truncated,
)
from .groups import EXACT, PINNED, Plan, decode_group, differing, encode_group, environment_of, make_plan
from .workers import Workers
from .workers import check as check_workers

if TYPE_CHECKING:
    from .api import Progress, Samples
    from .image import Picture

GROUP = 256  #: pictures of a group at most
GROUP_PIXELS = MAX_GROUP_PIXELS  #: of all pictures of a group, unless it has only one, which is never chained


def encode_archive(
    images: Iterable[Any],
    model: Any = None,
    *,
    names: Sequence[str] | None = None,
    steps: int | None = None,
    batch: int | None = None,
    group: int = GROUP,
    device: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
) -> bytes:
    """Code pictures as a `.dfca` archive, without loss.

    images: anything `encode` takes, of any sizes and modes; at least one. names: a relative path for each, or none.
    model:  of diffusion or an ARDM, a bundled name, a path or a provider. steps: T of a diffusion's chain, 100 if
            None: more are slower and smaller. group: pictures that are coded, and can be read, together.
    batch:  pictures of one network call at most; changes the bytes, never what they decode to.
    jobs:   processes that code groups side by side (with more than 1, ``model`` must be a name or a path, and the
            program guarded by ``if __name__ == "__main__"``).

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    from .image import Picture

    pictures = [Picture.from_any(image) for image in images]
    named = list(names) if names is not None else [""] * len(pictures)
    check_settings(group, batch, jobs)
    check_workers(jobs, model)
    _check(len(pictures), named)
    groups = list(_grouped([p.width * p.height for p in pictures], group))
    out = io.BytesIO()
    plan = make_plan(model, device, steps, batch, lambda: [pictures[i] for i in groups[0]])
    writer = Writer(out, header_of(plan))
    tasks = ((plan, [named[i] for i in g], [pictures[i] for i in g]) for g in groups)
    with Workers(jobs) as workers:
        for coded in workers.map(encode_group, tasks, len(groups), progress):
            writer.add(coded)
    writer.finish()
    return out.getvalue()


def decode_archive(
    data: Any,
    *,
    model: Any = None,
    groups: Sequence[int] | None = None,
    device: str = "auto",
    jobs: int = 1,
    damaged: str = "raise",
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> list[Samples | None]:
    """The pictures of an archive (bytes or a path), arrays as from `decode`, in their order.

    groups:  numbers of the groups to read, None for all; the others are not looked at.
    damaged: "raise", or "skip": None stands for each picture of a group that cannot be read (a warning names it).

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream, InputError,
    ModelNotFound, ModelMismatch; DecodeMismatch if pixels are not the ones that were encoded.
    """
    out: list[Samples | None] = []
    with open_archive(data, max_pixels) as reader:
        _require_index(reader, damaged)
        places = reader.places
        if groups is not None:
            wrong = next((g for g in groups if not 0 <= g < len(places)), None)
            if wrong is not None:
                raise InputError(f"expected groups from 0 to {len(places) - 1}, found {wrong}")
            places = [places[g] for g in groups]
        for place, result in decoded(reader, places, model, device, jobs, progress):
            if not isinstance(result, DiffcodecError):
                out += [picture.samples for _, picture in result]
            elif damaged == "raise":
                raise result
            else:
                warnings.warn(f"group {place.number} is lost: {result}", stacklevel=2)
                out += [None] * (place.pictures or 0)
    return out


def inspect_archive(data: Any, *, max_pixels: int | None = None) -> dict[str, Any]:
    """What an archive says about itself, its checksums verified; needs no weights.

    Keys: complete, format, codec, lossless, numerics, model, fingerprint, steps, environment, bytes, pictures, bpd
    (bits per sample), groups (a list of {number, pictures, chained, streams, copies, bytes}) and names.
    """
    with open_archive(data, max_pixels) as reader:
        schedule, environment = Plan(None, "cpu", reader.header.params).schedule()
        groups, names, samples = [], [], 0
        for place in reader.places:
            group = reader.group(place)
            kinds = [entry.kind for entry in group.entries]
            groups.append(
                {
                    "number": place.number,
                    "pictures": len(kinds),
                    "chained": kinds.count(CHAINED),
                    "streams": kinds.count(STREAM),
                    "copies": kinds.count(COPY),
                    "bytes": place.size,
                }
            )
            names += [entry.name for entry in group.entries]
            samples += sum(3 * entry.width * entry.height for entry in group.entries if entry.kind == CHAINED)
        only_chained = bool(groups) and not any(g["streams"] or g["copies"] for g in groups)
        return {
            "complete": reader.complete,
            "format": "1.0",
            "codec": "vdm" if schedule else "ardm",
            "lossless": True,
            "numerics": NUMERICS[reader.header.numerics],
            "model": reader.header.model or None,
            "fingerprint": reader.header.fingerprint.hex(),
            "steps": schedule.steps if schedule else None,
            "environment": environment or None,
            "bytes": reader.end,
            "pictures": sum(g["pictures"] for g in groups),
            "bpd": 8 * reader.end / samples if only_chained else None,
            "groups": groups,
            "names": names,
        }


def decoded(
    reader: Reader, places: Sequence[Place], model: Any, device: str, jobs: int, progress: Progress | None
) -> Iterator[tuple[Place, list[tuple[str, Picture]] | DiffcodecError]]:
    """For each place its pictures with their names, or the error that lost them."""
    check_workers(jobs, model)
    header = reader.header
    plan = Plan(model or header.model, device, header.params, max_pixels=reader.limits.max_pixels)
    _, environment = plan.schedule()
    made_on = environment.split(", ")[1] if ", " in environment else "cpu"
    plan = replace(plan, device=made_on if device == "auto" and made_on == "cpu" else device)
    provider = plan.provider(header.fingerprint)
    here = environment_of(provider) if plan.codec == "vdm" else ""
    if environment != here:
        warnings.warn(f"this archive was made with {differing(environment, here)}: it may not decode", stacklevel=3)
    names: dict[int, list[str]] = {}
    digests: dict[int, bytes] = {}
    broken: dict[int, DiffcodecError] = {}

    def tasks() -> Iterator[tuple[Plan, Group]]:
        for place in places:
            try:
                group = reader.group(place)
            except BitstreamError as error:
                broken[place.number] = error
                group = Group((), b"", digest_of([]))
            names[place.number] = [entry.name for entry in group.entries]
            digests[place.number] = group.digest
            yield plan, group

    with Workers(jobs) as workers:
        results = workers.map(decode_group, tasks(), len(places), progress, errors=True)
        for place, result in zip(places, results, strict=True):
            if place.number in broken:
                yield place, broken[place.number]
            elif isinstance(result, DiffcodecError):
                yield place, result
            else:
                yield place, list(zip(names[place.number], result, strict=True))
    if not broken and list(digests) == list(range(len(reader.places))) and reader.complete:
        if digest_of(list(digests.values())) != reader.digest:
            raise DecodeMismatch("the groups of the archive differ from its digest: some are not its own")


# ---- headers, files


def check_settings(group: int, batch: int | None, jobs: int) -> None:
    """Raise InputError for a number out of its range."""
    for what, value in (("group", group), ("batch", 1 if batch is None else batch), ("jobs", jobs)):
        if not 1 <= value <= 2**20:
            raise InputError(f"expected {what} from 1 to 2^20, found {value}")


def _check(count: int, names: Sequence[str]) -> None:
    if not count:
        raise InputError("expected at least one picture, found none")
    if len(names) != count:
        raise InputError(f"expected a name for each of {count} pictures, found {len(names)}")
    wrong = next((name for name in names if name and not valid_name(name)), None)
    if wrong is not None:
        raise InputError(f"expected names that are relative paths with '/', found {wrong!r}: rename it")


def header_of(plan: Plan) -> ArchiveHeader:
    """Raises InputError."""
    provider = plan.provider()
    numerics = EXACT if provider.numerics == EXACT else PINNED
    header = ArchiveHeader(numerics, provider.name, provider.fingerprint[:FINGERPRINT_BYTES], plan.params)
    try:
        ArchiveHeader.from_bytes(header.to_bytes())
    except (ValueError, BitstreamError) as error:
        raise InputError(f"the model {provider.name!r} cannot be recorded in an archive: {error}") from None
    return header


def same_settings(a: ArchiveHeader, b: ArchiveHeader) -> bool:
    """Whether groups made under one header belong under the other: all but the schedule's profile."""
    first, second = (Plan(None, "cpu", header.params).schedule() for header in (a, b))
    same = (a.numerics, a.model, a.fingerprint) == (b.numerics, b.model, b.fingerprint)
    steps = [schedule.steps if schedule else 0 for schedule, _ in (first, second)]
    return same and steps[0] == steps[1] and first[1] == second[1]


def _grouped(pixels: Sequence[int], group: int) -> Iterator[range]:
    """Ranges of pictures: at most ``group`` of them, and GROUP_PIXELS unless it is a single one."""
    start, total = 0, 0
    for i, count in enumerate(pixels):
        if i > start and (i - start == group or total + count > GROUP_PIXELS):
            yield range(start, i)
            start, total = i, 0
        total += count
    yield range(start, len(pixels))


@contextlib.contextmanager
def open_archive(source: Any, max_pixels: int | None = None) -> Iterator[Reader]:
    """A reader of bytes or of a path."""
    limits = Limits() if max_pixels is None else Limits(max_pixels=max_pixels)
    file: BinaryIO
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = io.BytesIO(source)
    elif isinstance(source, (str, os.PathLike)):
        file = open(source, "rb")
    else:
        raise InputError(f"expected bytes or a path, found {type(source).__name__}")
    with file:
        yield Reader(file, limits)


def _require_index(reader: Reader, damaged: str) -> None:
    if damaged not in ("raise", "skip"):
        raise InputError(f"expected damaged to be raise or skip, found {damaged}")
    if not reader.complete and damaged == "raise":
        raise Truncated(f"{reader.problem}: whole groups before that: {len(reader.places)}")
