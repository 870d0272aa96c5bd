"""encode_archive, decode_archive, pack, unpack: many pictures <-> one lossless `.dfca` archive.

A group is what is coded, read and lost together. Its RGB pictures are one chain of bits-back coding (codecs/vdm.py);
the initial bits that a chain needs are no waste: they are the group's other pictures (grey, palette, alpha, 16 bit) and
as many of its smallest RGB pictures as it takes, coded as `.dfc` streams by ARDM. Equal pictures are kept once a group.
An archive of an ARDM has no chain and no schedule: all its pictures are streams.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from . import api
from .api import Progress
from .bitstream.archive import (
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
from .bitstream.header import FINGERPRINT_BYTES, NUMERICS
from .bitstream.limits import Limits
from .bitstream.varint import read_varint, write_varint
from .errors import (
    BitstreamError,
    CorruptStream,
    DecodeMismatch,
    DiffcodecError,
    InputError,
    LimitExceeded,
    Truncated,
)
from .workers import Workers
from .workers import check as check_workers

if TYPE_CHECKING:
    from .api import Samples
    from .image import Picture

GROUP = 256  #: pictures of a group at most
GROUP_PIXELS = MAX_GROUP_PIXELS  #: of all pictures of a group, unless it has only one, which is never chained
_PROBE = 128  # side of the parts that the schedule is measured on
_EXACT, _PINNED = NUMERICS.index("exact"), NUMERICS.index("pinned")


@dataclass(frozen=True)
class Plan:
    """What a group's coding takes besides its pictures; sent to worker processes.

    batch: pictures a network call takes at most, None by their size. max_pixels: of a picture to decode, None for the
    default.
    """

    model: Any
    device: str
    params: bytes
    batch: int | None = None
    max_pixels: int | None = None

    @property
    def codec(self) -> str:
        return "vdm" if self.params else "ardm"

    def provider(self, fingerprint: bytes | None = None) -> Any:
        return api._registry().load(self.model, device=self.device, fingerprint=fingerprint, codec=self.codec)

    def schedule(self) -> tuple[Any, str]:
        """(schedule, environment) from the parameters; (None, "") of an ARDM's archive. Raises CorruptStream."""
        if not self.params:
            return None, ""
        schedule, rest = _vdm().Schedule.from_bytes(self.params)
        return schedule, rest.decode("utf-8", "replace")


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


# ---- groups <-> pictures


def encode_group(task: tuple[Plan, list[str], list[Picture]], progress: Progress | None = None) -> Group:
    """A group of pictures. Runs in worker processes as well; `decode_group` is its mirror."""
    plan, names, pictures = task
    vdm, provider = _vdm(), plan.provider()
    schedule, _ = plan.schedule()
    digests = [picture.digest() for picture in pictures]
    originals = _originals(pictures, digests)
    order = sorted(
        (i for i, p in enumerate(pictures) if i not in originals and _chainable(p)), key=lambda i: _area(pictures[i])
    )
    if schedule is None:
        order, ardm = [], plan.model
    else:
        ardm = None
    alone = (i for i in range(len(pictures)) if i not in originals and i not in order)
    streams = {i: api.encode(pictures[i], model=ardm, device=plan.device) for i in alone}
    bits = 8 * sum(map(len, streams.values()))
    chain: list[int] = []
    for i in order:
        samples = 3 * pictures[i].width * pictures[i].height
        if bits < vdm.INITIAL_BITS * samples:
            streams[i] = api.encode(pictures[i])
            bits += 8 * len(streams[i])
        else:
            chain.append(i)
            bits += 2 * samples
    initial = b"".join(streams[i] for i in sorted(streams))
    payload = initial
    if chain:
        photos = [pictures[i].samples for i in chain]
        sizes = vdm.batches([p.shape[:2] for p in photos], 8 * len(initial), plan.batch)
        stack = vdm.encode(photos, sizes, provider, schedule, initial, progress=progress)
        payload = _write_sizes(sizes) + stack
    entries = []
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        if i in originals:
            entries.append(Entry(name, COPY, originals[i]))
        elif i in streams:
            entries.append(Entry(name, STREAM, len(streams[i])))
        else:
            w, h, icc, exif = picture.width, picture.height, picture.icc or b"", picture.exif or b""
            entries.append(Entry(name, CHAINED, 0, w, h, digests[i][:4], icc, exif))
    return Group(tuple(entries), payload, digest_of(digests))


def decode_group(task: tuple[Plan, Group], progress: Progress | None = None) -> list[Picture]:
    """The pictures of a group, verified. Raises CorruptStream, DecodeMismatch."""
    from .image import Picture

    plan, group = task
    vdm, entries, initial = _vdm(), group.entries, group.payload
    chained = (i for i, e in enumerate(entries) if e.kind == CHAINED)
    chain = sorted(chained, key=lambda i: (entries[i].width * entries[i].height, entries[i].height))
    pictures: dict[int, Picture] = {}
    if chain:
        schedule, environment = plan.schedule()
        if schedule is None:
            raise CorruptStream("chained pictures in an archive without a diffusion schedule; the file is damaged")
        sizes, payload = _read_sizes(group.payload, len(chain))
        shapes = [(entries[i].height, entries[i].width) for i in chain]
        _check_sizes(sizes, shapes)
        try:
            photos, initial = vdm.decode(payload, shapes, sizes, plan.provider(), schedule, progress=progress)
        except CorruptStream as error:
            raise _mismatch(plan, environment, str(error)) from None
        for i, photo in zip(chain, photos, strict=True):
            entry = entries[i]
            pictures[i] = Picture(photo, "RGB", entry.icc or None, entry.exif or None)
            if pictures[i].digest()[: len(entry.digest)] != entry.digest:
                raise _mismatch(plan, environment, f"picture {i} ({entry.name or 'no name'}) differs from its digest")
    at = 0
    for i, entry in enumerate(entries):
        if entry.kind == STREAM:
            ardm = plan.model if plan.codec == "ardm" else None
            stream = initial[at : at + entry.size]
            pictures[i] = api.decode_picture(stream, model=ardm, device=plan.device, max_pixels=plan.max_pixels)
            at += entry.size
    if at != len(initial):
        raise CorruptStream("bytes follow the last picture of a group; the file is damaged")
    for i, entry in enumerate(entries):
        if entry.kind == COPY:
            pictures[i] = pictures[entry.size]
    ordered = [pictures[i] for i in range(len(entries))]
    if digest_of([picture.digest() for picture in ordered]) != group.digest:
        raise DecodeMismatch("the pictures of a group differ from its digest: nothing of it was returned")
    return ordered


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
    here = _environment(provider) if plan.codec == "vdm" else ""
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


def _originals(pictures: Sequence[Picture], digests: Sequence[bytes]) -> dict[int, int]:
    """For each picture that equals an earlier one, pixels and metadata, the first such."""
    first: dict[Any, int] = {}
    out = {}
    for i, (picture, digest) in enumerate(zip(pictures, digests, strict=True)):
        key = (digest, picture.mode, picture.samples.shape, picture.icc, picture.exif)
        earlier = first.setdefault(key, i)
        if earlier != i and bool((pictures[earlier].samples == picture.samples).all()):
            out[i] = earlier
    return out


def _chainable(picture: Picture) -> bool:
    samples = picture.samples
    grey = picture.mode == "RGB" and bool((samples[..., :1] == samples).all())
    return picture.mode == "RGB" and not grey


def _area(picture: Picture) -> tuple[int, int]:
    return picture.width * picture.height, picture.height


def _write_sizes(sizes: Sequence[int]) -> bytes:
    """Batch sizes as runs: their number, then size and count of each."""
    runs: list[list[int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1][1] += 1
        else:
            runs.append([size, 1])
    return write_varint(len(runs)) + b"".join(write_varint(v) for run in runs for v in run)


def _read_sizes(payload: bytes, pictures: int) -> tuple[list[int], bytes]:
    """(sizes, bytes behind them); mirror of :func:`_write_sizes`. Raises CorruptStream."""
    sizes: list[int] = []
    try:
        runs, at = read_varint(payload, 0, 32)
        for _ in range(runs):
            size, at = read_varint(payload, at, 32)
            count, at = read_varint(payload, at, 32)
            if not 1 <= size * count <= pictures - sum(sizes):
                break
            sizes += [size] * count
    except Truncated:
        sizes = []
    if sum(sizes) != pictures:
        raise CorruptStream("the batches of a group do not add up to its pictures; the file is damaged")
    return sizes, payload[at:]


def _check_sizes(sizes: Sequence[int], shapes: Sequence[tuple[int, int]]) -> None:
    at, most = 0, _vdm().MAX_BATCH_PIXELS
    for size in sizes:
        if len(set(shapes[at : at + size])) > 1:
            raise CorruptStream("a batch of a group has pictures of several sizes; the file is damaged")
        if size > 1 and size * shapes[at][0] * shapes[at][1] > most:
            raise LimitExceeded(f"a batch of a group has {size} pictures of {shapes[at]}, over {most} pixels")
        at += size


def _mismatch(plan: Plan, environment: str, what: str) -> DecodeMismatch:
    facts = differing(environment, _environment(plan.provider()))
    remedy = f"it was made with {facts}: decode it there" if facts else ""
    return DecodeMismatch(f"{what}: nothing of its group was returned; {remedy or 'the file is damaged'}")


def differing(made: str, here: str) -> str:
    """The facts of an environment that differ from those of another: "torch 2.9 (here torch 2.13), ..."."""
    pairs = itertools.zip_longest(made.split(", "), here.split(", "), fillvalue="nothing")
    return ", ".join(f"{a} (here {b})" for a, b in pairs if a != b)


# ---- plans, headers, files


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


def make_plan(
    model: Any, device: str, steps: int | None, batch: int | None, pictures: Callable[[], Sequence[Picture]]
) -> Plan:
    """The plan for an archive that begins with these pictures: a diffusion's schedule is measured on them."""
    vdm = _vdm()
    ardm = Plan(model, device, b"", batch)
    if model is not None and not hasattr(api._registry().load(model, device=device, codec=None), "predict"):
        if steps is not None:
            raise InputError(f"'{ardm.provider().name}' is no diffusion model and takes no steps: leave them out")
        return ardm
    provider = api._registry().load(model, device=device, codec="vdm")
    parts = [_centre(p.samples) for p in pictures() if _chainable(p)]
    if not parts:
        import numpy as np

        parts = [np.zeros((32, 32, 3), np.uint8)]
    schedule = vdm.measure(parts, provider, vdm.STEPS if steps is None else steps)
    return Plan(model, device, schedule.to_bytes() + _environment(provider).encode(), batch)


def _centre(samples: Any) -> Any:
    y, x = (max(0, (n - _PROBE) // 2) for n in samples.shape[:2])
    return samples[y : y + _PROBE, x : x + _PROBE]


def _vdm() -> Any:
    return importlib.import_module(f"{__package__}.codecs.vdm")


def _environment(provider: Any) -> str:
    """What decoding depends on besides the model: nothing if that is exact."""
    vdm = _vdm()
    if provider.numerics == _EXACT:
        return ""
    with vdm.numerics_of(provider):
        device = getattr(provider, "device", None)
        where = vdm.environment(device.type if device is not None else "cpu")
    return f"{where}, {'bfloat16' if getattr(provider, 'half', False) else 'float32'}"


def header_of(plan: Plan) -> ArchiveHeader:
    """Raises InputError."""
    provider = plan.provider()
    numerics = _EXACT if provider.numerics == _EXACT else _PINNED
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
