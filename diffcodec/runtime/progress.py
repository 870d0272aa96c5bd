"""How far a call has come: a function of the fraction done, 0 to 1."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[float], None]


def end(progress: Progress | None) -> None:
    """Say that all is done: no codec counts every part of its work, and none may stop at 99 per cent."""
    if progress is not None:
        progress(1.0)


class Shares:
    """Parts of a work one after another, each as large as it says, in any unit of which the whole has ``total``.

    Together they end at exactly 1 where they add up to that.
    """

    def __init__(self, progress: Progress | None, total: float):
        self._progress, self._total = progress, max(total, 1e-9)
        self._taken = 0.0

    def take(self, size: float) -> Progress | None:
        """What the next part reports to, which is ``size`` of the total."""
        before, report = self._taken, self._progress
        self._taken += size
        if report is None:
            return None
        return lambda fraction: report(min(1.0, (before + size * fraction) / self._total))


def side_by_side(progress: Progress | None, count: int) -> list[Progress | None]:
    """What each of ``count`` equal parts reports to that threads do at the same time."""
    if progress is None:
        return [None] * count
    fractions, lock = [0.0] * count, threading.Lock()

    def report_of(number: int) -> Progress:
        def report(fraction: float) -> None:
            with lock:
                fractions[number] = fraction
                progress(sum(fractions) / count)

        return report

    return [report_of(number) for number in range(count)]


def part(progress: Progress | None, done: float, size: float, total: float = 1) -> Progress | None:
    """Of a part of the work, ``size`` of a ``total`` of which so much is ``done``; of whole numbers it ends at 1."""
    return None if progress is None else lambda fraction: progress((done + size * fraction) / total)
