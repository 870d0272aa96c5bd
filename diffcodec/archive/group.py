"""Groups of an archive: the pictures that are coded, read and lost together.

Runs in worker processes as well. Encode and decode walk the same order: chained pictures by size, then streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..bitstream.archive import CHAINED, COPY, MAX_GROUP_PIXELS, STREAM, Entry, Group, digest_of
from ..codecs import budget as budgets
from ..media.medium import Signal
from ..runtime.errors import (
    CorruptStream,
    DecodeMismatch,
    DiffcodecError,
    LimitExceeded,
    Truncated,
    UnsupportedVersion,
)
from ..runtime.hostile import guarded
from ..runtime.limits import Limits
from ..runtime.progress import Progress, Shares
from ..stream.decode import Wanted, decode_all
from ..stream.encode import Sender, encode
from ..stream.parsed import Stream
from . import chain as chains
from .plan import Plan, chainable
from .reading import each_stream, streams_of


def encode_group(task: tuple[Plan, list[str], list[Signal]], progress: Progress | None = None) -> Group:
    """A group of pictures. Runs in worker processes as well; `decode_group` is its mirror.

    ``progress`` goes by pixels.
    """
    plan, names, pictures = task
    digests = [digest_with_frames(picture) for picture in pictures]
    originals = _originals(pictures, digests)
    pixels = {i: pixels_of(picture) for i, picture in enumerate(pictures) if i not in originals}
    shares = Shares(progress, sum(pixels.values()))
    sender = Sender.of(None, plan.stream_model, plan.device)

    def stream_of(i: int) -> bytes:
        part = shares.take(pixels[i])
        return encode(pictures[i], sender, part)

    fit = {i: p for i, p in enumerate(pictures) if plan.params and i not in originals and chainable(p)}
    streams = {i: stream_of(i) for i in range(len(pictures)) if i not in originals and i not in fit}
    depth = chains.Depth(8.0 * sum(map(len, streams.values())))
    chain: list[int] = []
    for i in sorted(fit, key=lambda i: chains.size_of(fit[i])):
        if depth.takes(fit[i]):
            chain.append(i)
        else:
            streams[i] = stream_of(i)
            depth.add(streams[i])
    initial = b"".join(streams[i] for i in sorted(streams))
    part = shares.take(sum(pixels[i] for i in chain))
    payload = chains.encode([fit[i] for i in chain], initial, plan, part) if chain else initial
    if payload is None:  # the chain is not worth its work
        shares = Shares(None, 1)
        streams |= {i: stream_of(i) for i in chain}
        payload = b"".join(streams[i] for i in sorted(streams))
    entries: list[Entry] = []
    for i, name in enumerate(names):
        if i in originals:
            entries.append(Entry(name, COPY, originals[i]))
        elif i in streams:
            entries.append(Entry(name, STREAM, len(streams[i])))
        else:
            entries.append(chains.entry_of(name, fit[i], digests[i]))
    return Group(tuple(entries), payload, digest_of(digests))


@guarded
def decode_group(task: tuple[Plan, Group], progress: Progress | None = None) -> list[Signal | DiffcodecError]:
    """The pictures of a group, verified; for a stream that does not decode its error, and for copies of it.

    Raises CorruptStream, LimitExceeded, DecodeMismatch for what spoils all of a group.
    """
    plan, group = task
    entries, initial = group.entries, group.payload
    alone = sum(entry.size for entry in entries if entry.kind == STREAM)
    shares = Shares(progress, max(alone, len(initial)))
    pictures: dict[int, Signal | DiffcodecError] = {}
    chain = [i for i, entry in enumerate(entries) if entry.kind == CHAINED]
    if chain:
        chain.sort(key=lambda i: chains.size_of(entries[i]))
        found, initial = chains.decode(group, chain, plan, shares.take(max(0, len(initial) - alone)))
        pictures |= zip(chain, found, strict=True)
    if group.whole and alone != len(initial):
        raise CorruptStream("the streams of a group are not as long as its directory tells; the file is damaged")
    pictures |= _decode_streams(group, initial, plan, shares)
    _check_digest(group, pictures)
    return [pictures[original] for original in _originals_of(entries)]


def _decode_streams(
    group: Group, initial: bytes, plan: Plan, shares: Shares
) -> dict[int, Signal | DiffcodecError]:
    """The pictures that are streams of their own, or why there is none. Raises LimitExceeded."""
    checked = _check_streams(group.entries, initial, plan)
    limits = Limits.of(plan.max_pixels)
    wanted = Wanted(model=plan.stream_model, device=plan.device, limits=limits, budget=plan.budget, frames=True)
    out: dict[int, Signal | DiffcodecError] = {}
    for i, stream in each_stream(group.entries, initial):
        try:
            _check_kind(checked.get(i, ()))
            out[i] = decode_all(stream, wanted, shares.take(len(stream)))
        except Truncated as error:  # its bytes are all there, unless the group itself is cut
            out[i] = CorruptStream(str(error)) if group.whole else error
        except DiffcodecError as error:
            out[i] = error
    return out


def _check_kind(every: Sequence[Stream]) -> None:
    """Raises CorruptStream, UnsupportedVersion for a picture, with its frames, that no version puts into archives."""
    if any(one.container.given for one in every):
        raise UnsupportedVersion(
            "a stream in an archive was given something, which is for a newer diffcodec"
        )
    if not all(one.container.digest for one in every):
        raise CorruptStream("a lossy stream stands in an archive, which holds pictures without loss")


def _check_digest(group: Group, pictures: dict[int, Signal | DiffcodecError]) -> None:
    """Raises DecodeMismatch where all pictures are there and the group's digest is another."""
    digests: dict[int, bytes] = {}
    for i, picture in pictures.items():
        if isinstance(picture, DiffcodecError):
            return
        digests[i] = digest_with_frames(picture)
    if group.whole and digest_of([digests[original] for original in _originals_of(group.entries)]) != group.digest:
        raise DecodeMismatch("the pictures of a group differ from its digest: nothing of it was returned")


def _originals_of(entries: Sequence[Entry]) -> list[int]:
    """For each entry the number of the picture that it shows: its own, or of a copy the first such."""
    return [entry.size if entry.kind == COPY else i for i, entry in enumerate(entries)]


def _check_streams(entries: Sequence[Entry], data: bytes, plan: Plan) -> dict[int, list[Stream]]:
    """`streams_of` them. Raises LimitExceeded for more pixels or work than an encoder puts into a group."""
    streams = streams_of(entries, data, plan.max_pixels)
    pixels = {i: entry.width * entry.height for i, entry in enumerate(entries)}
    for i, every in streams.items():
        pixels[i] = sum(one.head.pixels for one in every)
    total = sum(pixels[original] for original in _originals_of(entries))
    if total > MAX_GROUP_PIXELS and len(entries) > 1:
        raise LimitExceeded(f"the {len(entries)} pictures of a group have {total} pixels, over {MAX_GROUP_PIXELS}")
    if len(streams) > 1:  # one alone is checked when it is decoded
        budgets.check([one.prefix for every in streams.values() for one in every], len(data), plan.budget)
    return streams


def extends(plan: Plan, pictures: Iterable[Signal]) -> bool:
    """Whether an archive of these pictures needs further columns in its directories."""
    return plan.codec == "vdm" and any(chainable(picture) and chains.further_metadata(picture) for picture in pictures)


def digest_with_frames(signal: Signal) -> bytes:
    """What stands for a signal in its group's digest: its own digest, or one of all its frames'."""
    if not signal.following:
        return signal.digest()
    return digest_of([one.digest() for one in (signal, *signal.following)])


def pixels_of(signal: Signal) -> int:
    """Pixels, or other positions that are coded, of a signal with all its frames."""
    return sum(height * width for height, width in (one.geometry for one in (signal, *signal.following)))


def _originals(signals: Sequence[Signal], digests: Sequence[bytes]) -> dict[int, int]:
    """For each signal that equals an earlier one, samples, metadata and frames, the first such."""
    first: dict[Any, int] = {}
    out = {}
    for i, (signal, digest) in enumerate(zip(signals, digests, strict=True)):
        every = (signal, *signal.following)
        earlier = first.setdefault((digest, *((one.mode, one.metadata) for one in every)), i)
        others = (signals[earlier], *signals[earlier].following)
        if earlier != i and all(a.equals(b) for a, b in zip(every, others, strict=True)):
            out[i] = earlier
    return out
