"""What is left of a damaged stream: the passes before the damage, and which pixels of them are what was encoded."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..bitstream.container import Container, StreamReader
from ..codecs import budget as budgets
from ..media.medium import Signal
from ..media.metadata import EMPTY
from ..media.table import medium_of
from ..runtime.errors import BitstreamError, ChecksumMismatch, DecodeMismatch, Truncated
from ..runtime.progress import Progress
from ..runtime.progress import part as part_of
from .decode import Wanted, Work, check_together, decode, decode_all
from .parsed import Stream, begins, parse
from .sources import Source, read_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_OF_ONE = "PMEixt"  #: chunks whose damage moves no group


@dataclass(frozen=True)
class Concealed:
    """What is left of a stream.

    signal: at full size, with its metadata, and what was lost filled in from what came before it. known: bool (H, W),
    pixels whose colours are exactly what was encoded; none of a lossy stream. lost: what is wrong, "" if nothing is;
    passes: how many of them were there.
    """

    signal: Signal
    known: NDArray[np.bool_]
    lost: str
    passes: int

    @property
    def image(self) -> NDArray[Any]:
        """The samples of the signal: uint8 (H, W) or (H, W, C), or whatever `decode` gives of it."""
        return self.signal.array


def left_of(source: Source, wanted: Wanted, progress: Progress | None = None) -> Concealed:
    """The first signal of a stream, whole or damaged behind its first pass; of a clip all groups.

    Raises what `decode` raises where nothing can be shown: a damaged header, no pass, a model that is not here.
    """
    import numpy as np

    data = read_all(source, wanted.upto)
    reader = StreamReader(wanted.limits)
    found = _salvaged(reader, data)
    container = replace(reader.container(), frames=[])
    whole = container.complete and not found.lost
    stream = parse(container if whole else replace(container, passes=container.passes[: found.passes], digest=None))
    if whole and stream.medium.continued:
        signal = decode_all(data, wanted, progress)
        return Concealed(signal, np.full(signal.geometry, stream.lossless), "", len(container.passes))
    if stream.medium.continued:
        return _clip_of(stream, found, len(data), wanted, progress)
    budgets.check(stream.prefixes, len(data), wanted.budget, wanted.reconstruction)
    if whole:
        signal = decode(stream, wanted, progress)
        return Concealed(signal, np.full(signal.geometry, stream.lossless), "", len(container.passes))
    return _front_of(stream, found.lost or "the stream ends before its end chunk", wanted, progress)


@dataclass
class _Salvaged:
    """What is left of a stream: its passes in front of all damage; behind them whole streams, and damaged ones."""

    lost: str = ""
    passes: int | None = None
    behind: list[Container | bytes] = field(default_factory=list)


def _salvaged(reader: StreamReader, data: bytes) -> _Salvaged:
    """Of a clip, what is damaged is passed over where its length can be believed. Raises where no header is left."""
    found, fed = _Salvaged(), data
    while True:
        try:
            reader.feed(fed)
            if reader.pending:
                found.lost = found.lost or "the stream ends within a chunk"
            break
        except BitstreamError as error:
            if not reader.begun:
                raise
            found.lost = found.lost or str(error).split(";")[0]
            container = reader.container()
            found.behind += reader.take_frames()
            if found.passes is None and not found.behind:
                found.passes = len(container.passes)
            grouped = medium_of(container.header.mode).continued
            over = reader.pass_over() if grouped and isinstance(error, ChecksumMismatch) else None
            if over is None or not (begins(over.payload) or over.type in _OF_ONE):
                break  # what it was is not known, nor where what comes behind it belongs
            found.behind += [over.payload] * begins(over.payload)
            fed = b""
    if not reader.begun:
        raise Truncated("the stream ends within its header; nothing can be shown")
    found.behind += reader.take_frames()
    return found


def _front_of(stream: Stream, lost: str, wanted: Wanted, progress: Progress | None) -> Concealed:
    """What the passes tell that are there."""
    import numpy as np

    work, passes = Work(stream, wanted), stream.container.passes
    work.receiver.take_all(passes, progress)
    signal = work.signal(stream).told(stream.metadata, complete=False, exact=False)
    known = work.receiver.known()
    return Concealed(signal, np.zeros(signal.geometry, bool) if known is None else known, lost, len(passes))


# ---- clips


def _clip_of(stream: Stream, found: _Salvaged, size: int, wanted: Wanted, progress: Progress | None) -> Concealed:
    """All groups: those that are whole, what is left of the others, and the frame before where nothing is.

    Raises Truncated where no group can be shown.
    """
    import numpy as np

    groups: list[tuple[Stream, bool]] = [(stream, found.passes is None)]
    groups += [_group_of(one, stream, wanted) for one in found.behind]
    prefixes = [prefix for one, _ in groups for prefix in one.prefixes]
    check_together(prefixes, wanted.limits)
    budgets.check(prefixes, size, wanted.budget, wanted.reconstruction)
    shown: list[Concealed | None] = []
    for number, (one, whole) in enumerate(groups):
        told = part_of(progress, number, 1, len(groups))
        try:
            left = _front_of(one, "", wanted, told)
            exact = np.full(left.known.shape, one.lossless)
            shown.append(replace(left, known=exact) if whole else left)
        except (BitstreamError, DecodeMismatch):
            shown.append(None)
    there = [one.signal for one in shown if one is not None]
    if not there:
        raise Truncated("no group of the clip is whole, and none has a preview; nothing can be shown")
    last, signals, known, gone, at = stream.medium.cut(there[0], 0, 1), [], [], [], 0
    for (one, _), shows in zip(groups, shown, strict=True):
        count = one.form.frames
        if shows is None:
            gone.append(f"{at} to {at + count - 1}")
            signals += [last] * count
            known += [np.zeros(last.geometry, bool)] * count
        else:
            signals.append(shows.signal)
            known.append(shows.known)
            last = stream.medium.cut(shows.signal, count - 1, count)
        at += count
    metadata = [one.with_metadata(stream.metadata if not number else EMPTY) for number, one in enumerate(signals)]
    lost = found.lost or "the stream ends before its end chunk"
    lost += f"; frames {', '.join(gone)} are lost, where the nearest stand" if gone else ""
    return Concealed(stream.medium.joined(metadata), np.concatenate(known), lost, len(stream.container.passes))


def _group_of(one: Container | bytes, first: Stream, wanted: Wanted) -> tuple[Stream, bool]:
    """(a group, or what is left of it, whether it is whole); of one without a header that fits, one like the first."""
    if isinstance(one, Container):
        return parse(one), True
    reader = StreamReader(wanted.limits)
    try:
        with contextlib.suppress(ChecksumMismatch):
            reader.feed(one)
        stream = parse(replace(reader.container(), frames=[], digest=None)) if reader.begun else first.cut(0)
        first.medium.whole([first.form, stream.form])
        return stream, False
    except BitstreamError:
        return first.cut(0), False
