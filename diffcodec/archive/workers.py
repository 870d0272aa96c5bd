"""Groups of an archive side by side: the same function on one task after another, in this process or in several."""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..runtime import compiling
from ..runtime.errors import DiffcodecError
from ..runtime.progress import Progress, end
from ..runtime.stages import stage

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

Work = Callable[[Any, Progress | None], Any]

_reports: Any = None  # of a worker process: where it says how far it is
_COMPILES = -1  # in place of a task's number: a worker begins, or ends, to compile kernels


class Workers:
    """``jobs`` processes, or none for 1. Tasks are drawn as they can be started, so few are in memory at a time."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if self.pool is None:
            return
        if kind is not None:
            for process in list((getattr(self.pool, "_processes", None) or {}).values()):
                process.terminate()
        self.pool.shutdown(wait=kind is None, cancel_futures=True)

    def map(
        self,
        function: Work,
        tasks: Iterable[tuple[float, Any]],
        total: float,
        progress: Progress | None = None,
        *,
        errors: bool = False,
    ) -> Iterator[Any]:
        """Results in the order of the tasks; with ``errors`` a DiffcodecError comes as a result.

        A task comes with how much of ``total`` it is, in any unit: ``progress`` goes by that, and ends at exactly 1
        whatever they add up to.
        """
        source = iter(tasks)
        first = list(itertools.islice(source, self.jobs)) if self.jobs > 1 else []  # fewer need no more processes
        every = itertools.chain(first, source)
        done = Done(total, progress)
        if len(first) > 1:
            yield from self._side_by_side(function, every, len(first), errors, done)
        else:
            yield from _in_turn(function, every, errors, done)
        done.end()

    def _side_by_side(
        self,
        function: Work,
        tasks: Iterator[tuple[float, Any]],
        jobs: int,
        errors: bool,
        done: Done,
    ) -> Iterator[Any]:
        import multiprocessing  # which commands that start at once do without
        from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

        context = multiprocessing.get_context("spawn")
        reports = context.Queue()
        self.pool = pool = ProcessPoolExecutor(jobs, context, _begin, (reports, jobs))
        submitted = (pool.submit(_work, function, task, done.begin(weight)) for weight, task in tasks)
        waiting: deque[Future[Any]] = deque(itertools.islice(submitted, jobs + 1))
        with stage(f"starting {jobs} processes"):
            first: list[tuple[int, float]] = []
            while not first and not wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED).done:
                first = list(_drained(reports))
        done.take(first)
        while waiting:
            finished: set[Future[Any]] = set()
            while not finished:
                finished = wait([waiting[0]], timeout=0.2).done
                done.take(_drained(reports))
            waiting.popleft()
            yield settled(finished.pop().result, errors)
            done.finish()
            waiting.extend(itertools.islice(submitted, 1))


class Done:
    """How far tasks have come that are finished in the order in which they were begun."""

    def __init__(self, total: float, progress: Progress | None):
        self._total, self._progress = max(total, 1e-9), progress
        self._finished, self._count = 0.0, 0  # weight and number of the tasks that are done
        self._weights: list[float] = []
        self._fractions: dict[int, float] = {}  # of tasks under way, by number

    def begin(self, weight: float) -> int:
        """The number of a task that is begun."""
        self._weights.append(weight)
        return len(self._weights) - 1

    def part(self, number: int) -> Progress | None:
        """What a task of this process reports to."""
        return None if self._progress is None else lambda fraction: self.take([(number, fraction)])

    def take(self, reports: Iterable[tuple[int, float]]) -> None:
        """Take (number, fraction) of tasks, and what workers say of their compiling."""
        for number, fraction in reports:
            if number == _COMPILES:
                compiling.elsewhere(bool(fraction))
            elif number >= self._count:
                self._fractions[number] = min(1.0, fraction)
        self._tell()

    def finish(self) -> None:
        """The first task under way is done."""
        self._finished += self._weights[self._count]
        self._fractions.pop(self._count, None)
        self._count += 1
        self._tell()

    def end(self) -> None:
        """All tasks are done."""
        end(self._progress)

    def _tell(self) -> None:
        if self._progress:
            under_way = sum(self._weights[number] * fraction for number, fraction in self._fractions.items())
            self._progress(min(1.0, (self._finished + under_way) / self._total))


def _in_turn(
    function: Work,
    tasks: Iterator[tuple[float, Any]],
    errors: bool,
    done: Done,
) -> Iterator[Any]:
    for weight, task in tasks:
        yield settled(partial(function, task, done.part(done.begin(weight))), errors)
        done.finish()


def _drained(reports: Any) -> Iterator[tuple[int, float]]:
    """What lies in a queue."""
    while True:
        try:
            yield reports.get_nowait()
        except queue.Empty:
            return


def settled(call: Callable[[], Any], errors: bool) -> Any:
    """What a call gives; with ``errors`` a DiffcodecError that it raises is what it gives."""
    try:
        return call()
    except DiffcodecError as error:
        if not errors:
            raise
        return error


def _begin(reports: Any, jobs: int) -> None:
    """In a worker: its share of the cores, and an end of its own should the parent be killed, which it cannot tell.

    An interrupt is the parent's to answer, who ends its workers.
    """
    global _reports
    import multiprocessing

    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(gc.freeze)  # or all of torch is looked through on leaving, for which the parent waits
    compiling.watch(lambda begins: reports.put((_COMPILES, float(begins))))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))


def _end_with(sentinel: Any) -> None:
    import multiprocessing.connection

    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _work(function: Work, task: Any, number: int) -> Any:
    def report(fraction: float) -> None:
        _reports.put((number, fraction))

    return function(task, report)
