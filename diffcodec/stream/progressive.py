"""A stream as it comes: a signal for every pass, no pass decoded twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..bitstream import Container
from ..codecs import budget as budgets
from ..media.medium import Signal
from ..runtime.errors import CorruptStream, Truncated
from .decode import Wanted, Work, check_end, check_together, decode, verified
from .parsed import Stream, parse

PREVIEWS = 4  #: times the work of a stream that its previews may take together


@dataclass(frozen=True)
class Shown:
    """A signal from the first ``size`` bytes of a stream, its number among those that follow one another."""

    signal: Signal
    size: int
    complete: bool = False
    frame: int = 0


class Progressive:
    """A stream as it comes: its receiver, and the signals that there have been."""

    def __init__(self, wanted: Wanted):
        self.wanted = wanted
        self.doing: Work | None = None
        self.signal: Signal | None = None
        self.parts: list[Signal] = []  # of a signal that is continued, those behind the first
        self.taken, self.work = 0, 0  # passes, and network pixels of all previews
        self.seen, self.frames, self.complete = 0, 0, False

    def more(self, container: Container, size: int) -> Iterator[Shown]:
        """Signals of the passes that have come since; ``size``: bytes of the stream up to here. Raises as `decode`."""
        stream = parse(container)
        prefixes = [prefix for one in stream.all for prefix in one.prefixes]
        checked = container.complete or len(stream.all) > 1
        if checked:
            check_together(prefixes, self.wanted.limits)
            budgets.check(prefixes, size, self.wanted.budget, self.wanted.reconstruction)
        if stream.head.given and self.doing is None:
            yield from self._pass(stream.cut(0), container.begins, checked)
        for number in range(self.taken + 1, len(container.passes) + 1):
            end = container.ends[number - 1]
            if container.complete and end == size:  # a small stream: its end is that of its pass
                break
            yield from self._pass(stream.cut(number), end, checked)
        for frame in stream.frames[self.frames :]:
            self.frames += 1
            signal = decode(frame, self.wanted)
            self.parts += [signal] * stream.medium.continued
            yield Shown(signal, size, frame=self.frames)
        if container.complete:
            yield self._end(stream, size)

    def _pass(self, stream: Stream, end: int, checked: bool) -> Iterator[Shown]:
        """The signal behind the last pass of a stream that is cut there, if it may be shown and there is one."""
        if not checked and not budgets.affordable(stream.prefixes, end, self.wanted.budget, self.wanted.reconstruction):
            return
        self._take(stream)
        if self._worth(stream, end) and self._show(stream):
            assert self.signal is not None
            self.seen = end
            yield Shown(self.signal, end)

    def _end(self, stream: Stream, size: int) -> Shown:
        work = self._take(stream)
        check_end(stream, work.receiver)
        if self.signal is None and not self._show(stream):
            raise CorruptStream("the stream ends without a signal; the file is damaged")
        assert self.signal is not None
        verified(self.signal, stream, work.model)
        self.seen, self.complete = size, True
        return Shown(stream.medium.joined([self.signal, *self.parts]), size, True)

    def _take(self, stream: Stream) -> Work:
        """Decode the passes that wait, and forget the signal of those before them."""
        if self.doing is None:
            self.doing = Work(stream, self.wanted)
        for payload in stream.container.passes[self.taken :]:
            self.doing.receiver.take(payload)
            self.signal = None
        self.taken = len(stream.container.passes)
        return self.doing

    def _worth(self, stream: Stream, size: int) -> bool:
        """Whether another preview is within the budget; counts it if so."""
        work, allowed = budgets.preview(stream.prefix, size, self.wanted.reconstruction)
        if self.work + work > PREVIEWS * self.wanted.budget * allowed:
            return False
        self.work += work
        return True

    def _show(self, stream: Stream) -> bool:
        """Whether there is a signal yet."""
        assert self.doing is not None
        try:
            self.signal = self.doing.signal(stream)
        except Truncated:  # no plane of the photograph yet
            return False
        return True
