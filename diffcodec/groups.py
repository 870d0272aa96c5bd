"""Groups of an archive: the pictures that are coded, read and lost together, and the plan that all groups share.

Runs in worker processes as well. Encode and decode walk the same order: chained pictures by size, then streams.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import api
from .api import Progress
from .bitstream.archive import CHAINED, COPY, STREAM, Entry, Group, digest_of
from .bitstream.header import NUMERICS
from .bitstream.varint import read_varint, write_varint
from .errors import CorruptStream, DecodeMismatch, InputError, LimitExceeded, Truncated

if TYPE_CHECKING:
    from .image import Picture

_PROBE = 128  # side of the parts that the schedule is measured on
EXACT, PINNED = NUMERICS.index("exact"), NUMERICS.index("pinned")


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
    return Plan(model, device, schedule.to_bytes() + environment_of(provider).encode(), batch)


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
    facts = differing(environment, environment_of(plan.provider()))
    remedy = f"it was made with {facts}: decode it there" if facts else ""
    return DecodeMismatch(f"{what}: nothing of its group was returned; {remedy or 'the file is damaged'}")


def differing(made: str, here: str) -> str:
    """The facts of an environment that differ from those of another: "torch 2.9 (here torch 2.13), ..."."""
    pairs = itertools.zip_longest(made.split(", "), here.split(", "), fillvalue="nothing")
    return ", ".join(f"{a} (here {b})" for a, b in pairs if a != b)


def _centre(samples: Any) -> Any:
    y, x = (max(0, (n - _PROBE) // 2) for n in samples.shape[:2])
    return samples[y : y + _PROBE, x : x + _PROBE]


def _vdm() -> Any:
    return importlib.import_module(f"{__package__}.codecs.vdm")


def environment_of(provider: Any) -> str:
    """What decoding depends on besides the model: nothing if that is exact."""
    vdm = _vdm()
    if provider.numerics == EXACT:
        return ""
    with vdm.numerics_of(provider):
        device = getattr(provider, "device", None)
        where = vdm.environment(device.type if device is not None else "cpu")
    return f"{where}, {'bfloat16' if getattr(provider, 'half', False) else 'float32'}"
