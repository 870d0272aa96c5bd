"""The groups of a clip, or of tracks, one after another: neither stream nor signal is ever held as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..bitstream import Container, StreamReader
from ..codecs import budget as budgets
from ..media.medium import Signal
from ..media.table import signal_of
from ..runtime.errors import CorruptStream, InputError, Truncated
from ..runtime.hostile import guarded
from ..runtime.progress import Progress, end
from ..runtime.progress import part as part_of
from ..runtime.threads import limited
from .decode import Wanted, Work, check_end, decode, decode_part, hangs, rows_of, verified
from .encode import Sender, encoded, stripped
from .parsed import Stream, parse
from .sources import Source, pieces
from .typed import CodecName, EncodeOptions, ReconstructionName

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..media.clip import Clip
    from ..media.tracks import Tracks


def encode_groups(
    groups: Iterable[Any],
    codec: CodecName | None = None,
    model: Any = None,
    *,
    frames: Sequence[int] = (),
    **options: Unpack[EncodeOptions],
) -> Iterator[bytes]:
    """As `encode`, of a clip or tracks that come group by group: the stream piece by piece, two groups held at a time.

    groups:  a `Clip`, or a uint8 array T×H×W×3, for each group; all of one size, sampling, rate and colour. Or `Tracks`
             of the same agents, columns and rate.
    frames:  of each group, as far as they are known: by them progress is told, and max_bytes shared.
    options: as of `encode`.

    Raises as `encode`; InputError for groups that are not of one clip, or of one set of tracks.
    """
    from ..media.groups import alike

    told: dict[str, Any] = dict(options)
    device, threads, strip, progress = (told.pop(key, None) for key in ("device", "threads", "strip", "progress"))
    sender = Sender.of(codec, model, device or "auto", **told)
    parts = (stripped(one, strip) for one in alike(map(signal_of, groups)))
    size, most = 0, sender.wish.max_bytes
    for piece in _limited(encoded(parts, sender, progress, frames), threads):
        size += len(piece)
        if most is not None and size > most and not sender.to_rate:
            raise InputError(f"the lossless stream takes {size} bytes and more, over max_bytes = {most}: allow more")
        yield piece
    end(progress)


@guarded
def decode_groups(
    data: Source,
    *,
    frames: slice | None = None,
    upto_bytes: int | None = None,
    realism: float | None = None,
    reconstruction: ReconstructionName | None = None,
    decoder: Any = None,
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Iterator[Clip | Tracks]:
    """As `decode_signal`, of a clip or tracks: groups one after another, neither stream nor signal held as a whole.

    Each is verified, but the first, which others follow, at the end alone, where its digest stands: whoever writes them
    to a file keeps it where there is no error in the end.

    frames:     of a range of frames from the front, as ``slice(16, 32)``, the groups that hold them, cut to it.
    max_pixels: of a group.

    Options as of `decode`. Raises as `decode`, and InputError for a stream that holds neither.
    """
    wanted = Wanted.of(
        realism=realism,
        reconstruction=reconstruction,
        decoder=decoder,
        device=device,
        model=model,
        max_pixels=max_pixels,
        budget=budget,
        given=given,
        frames=frames or False,
        upto=upto_bytes,
    )
    for group in _limited(_decoded(data, wanted, progress), threads):
        yield cast("Clip | Tracks", group)
    end(progress)


Made = TypeVar("Made")


def _limited(work: Iterator[Made], threads: int | None) -> Iterator[Made]:
    """What the work gives, done by at most so many threads."""
    while True:
        with limited(threads):
            made = next(work, None)
        if made is None:
            return
        yield made


def _decoded(source: Source, wanted: Wanted, progress: Progress | None) -> Iterator[Signal]:
    groups = _Groups(wanted)
    size = _size_of(source) if wanted.upto is None else wanted.upto
    for data in _front(source, wanted.upto):
        yield from groups.feed(data, size, progress)
    yield from groups.close()


class _Groups:
    """A stream as it comes, of which only a group is held."""

    def __init__(self, wanted: Wanted):
        self.wanted = wanted
        self.reader = StreamReader(wanted.limits)
        self.spent = budgets.Spent(wanted.budget, "the stream")
        self.start, self.stop = _range(wanted.frames)
        self.first: tuple[Stream, Work, Signal] | None = None  # decoded, and not verified yet
        self.begun: Stream | None = None  # the first group
        self.frames, self.shown, self.read = 0, 0, 0
        self.passed: list[Stream] = []  # groups that were not wanted, which the next one may hang on

    def feed(self, data: bytes, size: int | None, progress: Progress | None) -> Iterator[Signal]:
        """Groups that are whole with these bytes."""
        self.reader.feed(data)
        before, self.read = self.read, self.read + len(data)
        if not self.reader.begun:
            return
        behind, container = self.reader.take_frames(), self.reader.container()
        if self.begun is None:
            self._check(container)
        parts = len(behind) + 1
        told = None if not size else part_of(progress, before, len(data), max(size, self.read))
        if self.begun is None and (behind or container.complete):
            yield from self._begin(container, part_of(told, 0, 1, parts))
        for number, one in enumerate(behind, 1):
            yield from self._next(one, part_of(told, number, 1, parts))
        if told is not None:
            told(1.0)
        if container.complete:
            self._end(container)

    def close(self) -> Iterator[Signal]:
        """What is there of a first group, where only the front of the stream is wanted. Raises Truncated."""
        if not self.reader.begun:
            raise Truncated("the stream ends inside its header; fetch the whole file")
        container = self.reader.container()
        if not container.complete and self.wanted.upto is None:
            raise Truncated(f"the stream ends before its end chunk, behind {self.frames} frames: fetch the whole file")
        if self.begun is None:
            yield from self._begin(container, None, container.complete)
        if not self.shown:
            raise InputError(f"no frame is in the range that was asked for: there are {self.frames}, the first is 0")

    def _check(self, container: Container) -> None:
        """Raises InputError for what has no groups."""
        stream = parse(replace(container, passes=[], ends=[], frames=[], digest=None))
        if not stream.medium.continued:
            raise InputError(f"the stream holds {stream.form.mode}, no groups of frames: use diffcodec.decode_signal")

    def _begin(self, container: Container, progress: Progress | None, whole: bool = True) -> Iterator[Signal]:
        stream = self.begun = parse(container)
        if self._wanted(stream):
            self._spend(stream)
            part = rows_of(stream, self._range(stream), self.wanted, progress) if whole else None
            if part is not None:
                self._within(stream)
                yield part
                self.frames += stream.form.frames
                return
            work = Work(stream, self.wanted)
            work.receiver.take_all(stream.container.passes, progress)
            signal = work.signal(stream).told(stream.metadata, complete=False, exact=False)
            self.first = stream, work, signal
            yield self._shown(stream, signal)
        else:
            self._pass_by(stream)
        self.frames += stream.form.frames

    def _pass_by(self, stream: Stream) -> None:
        self.passed = [*(self.passed if hangs(stream) else ()), stream]

    def _catch_up(self, stream: Stream) -> None:
        """Decode the groups before that this one hangs on, if they were not wanted themselves."""
        passed, self.passed = self.passed if hangs(stream) else [], []
        for one in passed:
            self._spend(one)
            decode(one, self.wanted)

    def _next(self, container: Container, progress: Progress | None) -> Iterator[Signal]:
        stream, first = parse(container), self.begun
        assert first is not None
        if stream.medium is not first.medium:
            raise CorruptStream(f"something follows a {first.medium.name} that does not belong to it")
        first.medium.whole([first.form, stream.form])
        if self._wanted(stream):
            shown = self.shown
            self._catch_up(stream)
            self._spend(stream)
            part = decode_part(stream, self._within(stream), self.wanted, progress)
            yield part if shown else part.with_metadata(first.metadata)
        else:
            self._pass_by(stream)
        self.frames += stream.form.frames

    def _end(self, container: Container) -> None:
        if self.first is not None:
            _, work, signal = self.first
            stream, self.first = parse(container), None
            check_end(stream, work.receiver)
            verified(signal, stream, work.model)

    def _wanted(self, stream: Stream) -> bool:
        stop = self.frames + stream.form.frames
        return self.start < stop and (self.stop is None or self.frames < self.stop)

    def _spend(self, stream: Stream) -> None:
        self.spent.add(stream.prefixes, sum(map(len, stream.container.passes)))

    def _range(self, stream: Stream) -> range:
        """Which frames of a group are wanted."""
        count = stream.form.frames
        stop = count if self.stop is None else min(count, self.stop - self.frames)
        return range(max(0, self.start - self.frames), stop)

    def _within(self, stream: Stream) -> range:
        """As :meth:`_range`, and they count as shown."""
        found = self._range(stream)
        self.shown += len(found)
        return found

    def _shown(self, stream: Stream, signal: Signal) -> Signal:
        """The frames of a group that are wanted."""
        within = self._within(stream)
        return signal if len(within) == stream.form.frames else stream.medium.cut(signal, within.start, within.stop)


def _range(frames: bool | slice) -> tuple[int, int | None]:
    """(first frame, the one behind the last or None). Raises InputError for a range that needs to know how many."""
    if not isinstance(frames, slice):
        return 0, None
    start, stop = frames.start or 0, frames.stop
    if start < 0 or (stop is not None and stop <= start) or frames.step not in (None, 1):
        raise InputError(f"expected a range of frames from the front, as 16:32, found {start}:{stop}")
    return start, stop


def _front(source: Source, most: int | None) -> Iterator[bytes]:
    left = most
    for data in pieces(source):
        if left is None:
            yield data
        elif left > 0:
            yield data[:left]
            left -= len(data)
        else:
            return


def _size_of(source: Source) -> int | None:
    """Bytes in all, where they are known."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return len(source)
    if isinstance(source, (str, os.PathLike)) and os.path.isfile(source):
        return os.path.getsize(source)
    return None
