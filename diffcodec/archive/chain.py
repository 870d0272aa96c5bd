"""The chained pictures of a group: bits-back coding on top of the group's streams, and the checks before it is undone.

Encode and decode walk the same order: pictures by size, the smallest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..bitstream.archive import CHAINED, STREAM, Entry, Group
from ..codecs import cost
from ..codecs.vdm.cost import cost as chain_cost
from ..media.medium import Signal
from ..media.metadata import Metadata
from ..runtime.errors import CorruptStream, DecodeMismatch, LimitExceeded, Truncated
from ..runtime.progress import Progress
from ..runtime.varint import read_varint, write_varint
from .names import shown
from .plan import Plan, differing, environment_of

if TYPE_CHECKING:
    import numpy as np

    from ..media.picture import Picture

_METADATA = 2**24  # bytes of chained pictures' metadata in a directory; what is beyond goes into streams


class Depth:
    """How many bits lie below the next picture of a chain that grows, and how many bytes the directory says of it."""

    def __init__(self, bits: float):
        self.bits, self.described = bits, 0

    def takes(self, picture: Picture) -> bool:
        """Whether the picture may be the next of the chain; counts it if so."""
        from ..codecs.vdm.codec import GROWTH_BITS, INITIAL_BITS

        samples = 3 * picture.width * picture.height
        described = sum(map(len, (picture.icc or b"", picture.exif or b"", further_metadata(picture))))
        if self.bits < INITIAL_BITS * samples or self.described + described > _METADATA:
            return False
        self.described += described
        self.bits += GROWTH_BITS * samples
        return True

    def add(self, stream: bytes) -> None:
        """A picture that is not taken lies below the next as a stream."""
        self.bits += 8 * len(stream)


def size_of(one: Picture | Entry) -> tuple[int, int]:
    """What pictures of a chain are ordered by."""
    return one.width * one.height, one.height


def encode(pictures: Sequence[Picture], initial: bytes, plan: Plan, progress: Progress | None = None) -> bytes | None:
    """The payload of a group whose streams are ``initial``, under a chain of at least one picture, in order of size.

    None for pictures of next to nothing in very many steps, which readers refuse.
    """
    from ..codecs.vdm import codec as vdm

    schedule, _ = plan.schedule()
    assert schedule is not None
    photos = [picture.samples for picture in pictures]
    shapes = [(picture.height, picture.width) for picture in pictures]
    sizes = vdm.batches(shapes, 8 * len(initial), plan.batch)
    stack = vdm.encode(photos, sizes, plan.denoiser(), schedule, initial, progress=progress)
    payload = _write_sizes(sizes) + stack
    found, allowed = chain_cost(schedule.steps, shapes, sizes)
    return None if allowed.exceeded(found, len(payload)) else payload


def decode(
    group: Group, chain: Sequence[int], plan: Plan, progress: Progress | None = None
) -> tuple[list[Picture], bytes]:
    """(the pictures of these entries, verified, the group's streams): mirror of :func:`encode`.

    Raises CorruptStream, LimitExceeded, DecodeMismatch.
    """
    from ..codecs.vdm import codec as vdm

    schedule, environment = plan.schedule()
    if schedule is None:
        raise CorruptStream("chained pictures in an archive without a diffusion schedule; the file is damaged")
    entries = [group.entries[i] for i in chain]
    sizes, payload = _read_sizes(group.payload, len(chain))
    shapes = [(entry.height, entry.width) for entry in entries]
    check_sizes(sizes, shapes)
    check_work(group, shapes, sizes, schedule.steps, plan.budget)
    vdm.check(schedule)
    try:
        photos, initial = vdm.decode(payload, shapes, sizes, plan.denoiser(), schedule, progress=progress)
    except CorruptStream as error:
        raise _mismatch(plan, environment, str(error)) from None
    pictures = []
    for i, entry, photo in zip(chain, entries, photos, strict=True):
        picture = _picture_of(entry, photo)
        if picture is None:
            raise _mismatch(plan, environment, f"picture {i} ({shown(entry.name)}) differs from its digest")
        pictures.append(picture)
    return pictures, initial


# ---- a chained picture in the directory


def entry_of(name: str, picture: Picture, digest: bytes) -> Entry:
    """What the directory says of a chained picture."""
    icc, exif = picture.icc or b"", picture.exif or b""
    size = picture.width, picture.height
    return Entry(name, CHAINED, 0, *size, digest[:4], icc, exif, further_metadata(picture))


def _picture_of(entry: Entry, photo: np.ndarray) -> Picture | None:
    """Mirror of :func:`entry_of`, of samples uint8 (H, W, 3); None where these are not those of the digest."""
    from ..media.picture import Picture

    metadata = replace(Metadata.from_bytes(entry.metadata), icc=entry.icc or None, exif=entry.exif or None)
    picture = Picture(photo, "RGB", metadata=metadata)
    if picture.digest()[: len(entry.digest)] != entry.digest:
        return None
    return picture.told(metadata, complete=True, exact=True)


def further_metadata(signal: Signal) -> bytes:
    """Metadata besides the ICC profile and Exif data, as a chained picture's entry keeps them."""
    return replace(signal.packed().metadata, icc=None, exif=None).to_bytes()


# ---- batches


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


# ---- checks before a chain is undone


def check_sizes(sizes: Sequence[int], shapes: Sequence[tuple[int, int]]) -> None:
    """Raises CorruptStream for a batch of pictures (height, width) of several sizes, LimitExceeded for a large one."""
    from ..codecs.vdm.codec import MAX_BATCH_PIXELS as most

    at = 0
    for size in sizes:
        if len(set(shapes[at : at + size])) > 1:
            raise CorruptStream("a batch of a group has pictures of several sizes; the file is damaged")
        if size > 1 and size * shapes[at][0] * shapes[at][1] > most:
            raise LimitExceeded(f"a batch of a group has {size} pictures of {shapes[at]}, over {most} pixels")
        at += size


def check_work(
    group: Group, shapes: Sequence[tuple[int, int]], sizes: Sequence[int], steps: int, budget: float
) -> None:
    """Raises LimitExceeded for a chain that no encoder begins so, or that asks for more work than its bytes stand for.

    shapes: (height, width) in the order of coding. A chain's picture is coded only above bits enough for its latents.
    """
    from ..codecs.vdm.codec import GROWTH_BITS, INITIAL_BITS

    bits = 8.0 * sum(entry.size for entry in group.entries if entry.kind == STREAM)
    if bits > 16 * len(group.payload):
        raise LimitExceeded(f"a chain of {len(group.payload)} bytes holds {int(bits)} bits of streams; it is forged")
    for height, width in shapes:
        samples = 3 * height * width
        if bits < INITIAL_BITS * samples:
            raise LimitExceeded(
                f"a chain of {steps} steps on {width}x{height} pixels begins above {int(bits)} bits, where encoders "
                f"take {int(INITIAL_BITS * samples)}; the file is forged"
            )
        bits += GROWTH_BITS * samples
    cost.check(*chain_cost(steps, shapes, sizes), len(group.payload), budget, "the chain of a group")


def _mismatch(plan: Plan, environment: str, what: str) -> DecodeMismatch:
    facts = differing(environment, environment_of(plan.denoiser()))
    remedy = f"it was made with {facts}: decode it there" if facts else ""
    return DecodeMismatch(f"{what}: nothing of its group was returned; {remedy or 'the file is damaged'}")
