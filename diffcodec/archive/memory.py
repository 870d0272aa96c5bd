"""encode_archive, decode_archive, pack, unpack: many pictures <-> one lossless `.dfca` archive.

A group is what is coded, read and lost together. Its RGB pictures are one chain of bits-back coding (codecs/vdm);
the initial bits that a chain needs are no waste: they are the group's other pictures (grey, palette, alpha, 16 bit) and
as many of its smallest RGB pictures as it takes, coded as `.dfc` streams by ARDM. Equal pictures are kept once a group.
An archive of an ARDM has no chain and no schedule: all its pictures are streams.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from ..bitstream.archive import (
    CHAINED,
    COPY,
    MAX_GROUP_PIXELS,
    STREAM,
    ArchiveHeader,
    Entry,
    Group,
    Place,
    Reader,
    Writer,
    digest_of,
    valid_name,
)
from ..bitstream.header import FINGERPRINT_BYTES, NUMERICS
from ..codecs import budget as budgets
from ..media.table import signal_of
from ..runtime.errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    DecodeMismatch,
    DiffcodecError,
    InputError,
    Truncated,
)
from ..runtime.hostile import guarded
from .engines import check as check_workers
from .group import decode_group, encode_group, extends, pixels_of
from .names import shown
from .plan import EXACT, PINNED, Plan, differing, environment_of, make_plan
from .reading import HEADER_LOST, all_places, open_archive, streams_of
from .workers import Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from ..media.medium import Signal
    from ..runtime.progress import Progress

    Samples = NDArray[np.generic]

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
    pictures = [signal_of(image) for image in images]
    named = list(names) if names is not None else [""] * len(pictures)
    check_settings(group, batch, jobs)
    check_workers(jobs, model)
    _check(len(pictures), named)
    groups = list(_grouped([pixels_of(p) for p in pictures], group))
    out = io.BytesIO()
    plan = make_plan(model, device, steps, batch, lambda: [pictures[i] for i in groups[0]])
    writer = Writer(out, header_of(plan, extends(plan, pictures)))
    sizes = [sum(pixels_of(pictures[i]) for i in g) for g in groups]
    tasks = ((plan, [named[i] for i in g], [pictures[i] for i in g]) for g in groups)
    with Workers(jobs) as workers:
        for coded in workers.map(encode_group, zip(sizes, tasks, strict=True), sum(sizes), progress):
            add(writer, coded)
    writer.finish()
    return out.getvalue()


class DecodeArchive(TypedDict, total=False):
    """Options of `decode_archive`, but for what becomes of damage."""

    model: Any
    groups: Sequence[int] | None
    device: str
    jobs: int
    max_pixels: int | None
    budget: float
    progress: Progress | None


@overload
def decode_archive(
    data: Any, *, damaged: Literal["raise"] = "raise", **options: Unpack[DecodeArchive]
) -> list[Samples]: ...


@overload
def decode_archive(
    data: Any, *, damaged: Literal["skip"], **options: Unpack[DecodeArchive]
) -> list[Samples | None]: ...


@guarded
def decode_archive(
    data: Any,
    *,
    model: Any = None,
    groups: Sequence[int] | None = None,
    device: str = "auto",
    jobs: int = 1,
    damaged: Literal["raise", "skip"] = "raise",
    max_pixels: int | None = None,
    budget: float = 1.0,
    progress: Progress | None = None,
) -> list[Samples] | list[Samples | None]:
    """The pictures of an archive (bytes or a path), arrays as from `decode` (the first frame), in their order.

    groups:  numbers of the groups to read, None for all; the others are not looked at.
    damaged: "raise", or "skip": None stands for each picture that cannot be read, and warnings name them. A damaged
             group loses all of its pictures if some are chained, else those whose own checksums fail.
    budget:  how many times the work that an honest archive of this size takes may be done: raise it for a file that
             you trust and that was refused (LimitExceeded).

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream, InputError,
    ModelNotFound, ModelMismatch; DecodeMismatch if pixels are not the ones that were encoded.
    """
    out: list[Samples | None] = []
    with open_archive(data, max_pixels, lenient=damaged == "skip") as reader:
        _require_index(reader, damaged)
        places = all_places(reader)
        if groups is not None:
            wrong = next((g for g in groups if not 0 <= g < len(places)), None)
            if wrong is not None:
                raise InputError(f"expected groups from 0 to {len(places) - 1}, found {wrong}")
            places = [places[g] for g in groups]
        for group in decoded(reader, places, model, device, jobs, progress, budget, damaged == "skip"):
            if damaged == "raise" and (error := group.first_error()) is not None:
                raise error
            for problem in group.problems():
                warnings.warn(problem, stacklevel=3)
            out += [None if isinstance(picture, DiffcodecError) else picture.array for picture in group.pictures]
            out += [None] * group.lost_with_it
    return out


class GroupTold(TypedDict):
    """A group: its number, its pictures and how many are chained, streams of their own or copies, its bytes."""

    number: int
    pictures: int
    chained: int
    streams: int
    copies: int
    bytes: int


class ArchiveInspection(TypedDict):
    """What `inspect_archive` tells."""

    complete: bool
    format: str
    codec: str
    lossless: bool
    numerics: str
    model: str | None
    fingerprint: str
    steps: int | None
    environment: str | None
    bytes: int
    pictures: int
    bpd: float | None
    groups: list[GroupTold]
    names: list[str]


@guarded
def inspect_archive(data: Any, *, max_pixels: int | None = None) -> ArchiveInspection:
    """What an archive says about itself, its checksums verified; needs no weights.

    Keys: complete, format, codec, lossless, numerics, model, fingerprint, steps, environment, bytes, pictures, bpd
    (bits per sample), groups (a list of {number, pictures, chained, streams, copies, bytes}) and names.
    """
    with open_archive(data, max_pixels) as reader:
        schedule, environment = Plan(None, "cpu", reader.header.params).schedule()
        groups: list[GroupTold] = []
        names: list[str] = []
        samples = 0
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
            "format": ".".join(map(str, reader.version)),
            "codec": "vdm" if schedule else "ardm",
            "lossless": True,
            "numerics": NUMERICS[reader.header.numerics],
            "model": reader.header.model or None,
            "fingerprint": reader.header.fingerprint.hex(),
            "steps": schedule.steps if schedule else None,
            "environment": environment or None,
            "bytes": reader.end,
            "pictures": sum(g["pictures"] for g in groups),
            "bpd": 8 * reader.end / samples if only_chained and samples else None,
            "groups": groups,
            "names": names,
        }


@dataclass(frozen=True)
class Decoded:
    """What came of a group: its entries, and for each the picture or the error that lost it.

    error: why the group itself does not hold; entries are then those that stand by themselves, or none.
    """

    place: Place
    entries: tuple[Entry, ...] = ()
    pictures: tuple[Signal | DiffcodecError, ...] = ()
    error: DiffcodecError | None = None

    @property
    def lost_with_it(self) -> int:
        """Pictures of a group of which nothing is left, as the index tells."""
        return 0 if self.entries else self.place.pictures or 0

    @property
    def lost(self) -> int:
        """Pictures that cannot be read."""
        return self.lost_with_it + sum(isinstance(picture, DiffcodecError) for picture in self.pictures)

    def first_error(self) -> DiffcodecError | None:
        """Why the group, or else the first of its pictures that is lost, cannot be read; None where all can."""
        return self.error or next((p for p in self.pictures if isinstance(p, DiffcodecError)), None)

    def problems(self) -> list[str]:
        """A line for what is wrong with the group, and one for each of its pictures that is lost."""
        number, lines = self.place.number, []
        if self.error is not None and not self.entries:
            return [f"group {number} is lost: {self.error}"]
        if self.error is not None:
            held = f"{len(self.pictures) - self.lost} of its {len(self.pictures)} pictures hold by their own checksums"
            lines.append(f"group {number} is damaged: {self.error}; {held}, the group's digest cannot be checked")
        for i, (entry, picture) in enumerate(zip(self.entries, self.pictures, strict=True)):
            if isinstance(picture, DiffcodecError):
                lines.append(f"picture {i} of group {number} ({shown(entry.name)}) is lost: {picture}")
        return lines


def decoded(
    reader: Reader,
    places: Sequence[Place],
    model: Any,
    device: str,
    jobs: int,
    progress: Progress | None,
    budget: float = 1.0,
    salvage: bool = True,
) -> Iterator[Decoded]:
    """What comes of each place. salvage: look into damaged groups for streams that hold by themselves.

    Raises InputError, LimitExceeded, ModelNotFound, ModelMismatch; DecodeMismatch for groups of another archive.
    """
    check_workers(jobs, model)
    source = _Groups(reader, budgets.valid(budget), salvage)
    plan = _decoding_plan(reader, model, device, budget)
    with Workers(jobs) as workers:
        tasks = ((place.size, (plan, source.group(at, place))) for at, place in enumerate(places))
        size = sum(place.size for place in places)
        results = workers.map(decode_group, tasks, size, progress, errors=True)
        for at, (place, result) in enumerate(zip(places, results, strict=True)):
            entries, error = source.read.pop(at)
            if isinstance(result, DiffcodecError):
                yield Decoded(place, error=error or result)
            else:
                yield Decoded(place, entries, tuple(result), error)
    source.check_digest()


def _decoding_plan(reader: Reader, model: Any, device: str, budget: float) -> Plan:
    """The plan that the header tells, its model at hand; warns of another environment.

    Raises CorruptStream, ModelNotFound, ModelMismatch.
    """
    from ..models.environment import made_on

    header = reader.header
    plan = Plan(model or header.model, device, header.params, max_pixels=reader.limits.max_pixels, budget=budget)
    _, environment = plan.schedule()
    if environment and device == "auto" and made_on(environment) == "cpu":
        plan = replace(plan, device="cpu")  # floats of another device would differ
    if reader.header_problem is not None and not plan.params:
        return plan  # streams that name their models themselves
    here = ""
    if plan.params:
        here = environment_of(plan.denoiser(header.fingerprint))
    else:
        plan.provider(header.fingerprint)  # raises where it is another
    if environment != here:
        warnings.warn(f"this archive was made with {differing(environment, here)}: it may not decode", stacklevel=5)
    return plan


class _Groups:
    """The groups of an archive as they are read, and what has been read: their work, their digests."""

    def __init__(self, reader: Reader, budget: float, salvage: bool):
        self.reader, self.salvage = reader, salvage
        self.spent = budgets.Spent(budget)
        self.read: dict[int, tuple[tuple[Entry, ...], DiffcodecError | None]] = {}
        self.digests: dict[int, bytes] = {}

    def group(self, at: int, place: Place) -> Group:
        """What there is of a group; its entries and what is wrong with it are in ``read[at]``."""
        error: DiffcodecError | None = None
        try:
            group = self.reader.group(place)
            if not any(entry.kind == CHAINED for entry in group.entries):  # which are worth little work a byte
                streams = streams_of(group.entries, group.payload, self.reader.limits.max_pixels).values()
                self.spent.add([one.prefix for every in streams for one in every], len(group.payload))
            self.digests[place.number] = group.digest
        except BitstreamError as broken:
            error, group = broken, self._rest(place, broken)
        self.read[at] = group.entries, error
        return group

    def _rest(self, place: Place, broken: BitstreamError) -> Group:
        """What stands by itself in a damaged group, nothing unless that is looked for."""
        if self.salvage and isinstance(broken, (ChecksumMismatch, Truncated, CorruptStream)):
            with contextlib.suppress(BitstreamError):
                return self.reader.salvage(place)
        return Group((), b"", digest_of([]))

    def check_digest(self) -> None:
        """Raises DecodeMismatch where all groups were read and the archive's digest is another."""
        if not self.reader.complete or list(self.digests) != list(range(len(self.reader.places))):
            return
        if digest_of(list(self.digests.values())) != self.reader.digest:
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


def header_of(plan: Plan, extended: bool = False) -> ArchiveHeader:
    """extended: directories have further columns. Raises InputError."""
    provider = plan.provider()
    numerics = EXACT if provider.numerics == EXACT else PINNED
    header = ArchiveHeader(numerics, provider.name, provider.fingerprint[:FINGERPRINT_BYTES], plan.params, extended)
    try:
        ArchiveHeader.from_bytes(header.to_bytes())
    except (ValueError, BitstreamError) as error:
        raise InputError(f"the model {provider.name!r} cannot be recorded in an archive: {error}") from None
    return header


def add(writer: Writer, group: Group) -> None:
    """Write a group. Raises InputError where it holds so much in so little that readers would refuse it."""
    try:
        writer.add(group)
    except ValueError as error:
        raise InputError(f"group {len(writer.places)} holds {error}: pack groups of fewer pictures") from None


def _grouped(pixels: Sequence[int], group: int) -> Iterator[range]:
    """Ranges of pictures: at most ``group`` of them, and GROUP_PIXELS unless it is a single one."""
    start, total = 0, 0
    for i, count in enumerate(pixels):
        if i > start and (i - start == group or total + count > GROUP_PIXELS):
            yield range(start, i)
            start, total = i, 0
        total += count
    yield range(start, len(pixels))


def _require_index(reader: Reader, damaged: str) -> None:
    if damaged not in ("raise", "skip"):
        raise InputError(f"expected damaged to be raise or skip, found {damaged}")
    if reader.header_problem is not None:
        warnings.warn(f"{reader.header_problem}; {HEADER_LOST}", stacklevel=4)
    if not reader.complete and damaged == "raise":
        assert reader.problem is not None
        raise type(reader.problem)(f"{reader.problem}; whole groups: {len(reader.places)}")
    if not reader.complete:
        warnings.warn(f"{reader.problem}; whole groups: {len(reader.places)}", stacklevel=4)
