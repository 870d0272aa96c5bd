"""Groups of an archive side by side: the same function on one task after another, in this process or in several."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import partial
from typing import Any

from .errors import DiffcodecError, InputError

Progress = Callable[[float], None]
_reports: Any = None  # of a worker process: where it says how far it is


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
        function: Callable[[Any, Progress | None], Any],
        tasks: Iterable[Any],
        count: int,
        progress: Progress | None = None,
        *,
        errors: bool = False,
    ) -> Iterator[Any]:
        """Results in the order of the tasks; with ``errors`` a DiffcodecError comes as a result."""
        if min(self.jobs, count) <= 1:
            for number, task in enumerate(tasks):
                part = None if progress is None else _part(progress, number, count)
                yield _settle(partial(function, task, part), errors)
                if progress:
                    progress((number + 1) / count)
            return
        context = multiprocessing.get_context("spawn")
        reports = context.Queue()
        jobs = min(self.jobs, count)
        self.pool = ProcessPoolExecutor(jobs, context, _begin, (reports, jobs))
        waiting: deque[Future[Any]] = deque()
        done = 0
        fractions: dict[int, float] = {}
        source = enumerate(tasks)
        more = True
        while more or waiting:
            while more and len(waiting) <= self.jobs:
                number, task = next(source, (-1, None))
                more = number >= 0
                if more:
                    waiting.append(self._submit(function, task, number))
            if not waiting:
                break
            while not wait([waiting[0]], timeout=0.2).done:
                fractions.update(_drained(reports))
                if progress:
                    progress((done + sum(f for n, f in fractions.items() if n >= done)) / count)
            future = waiting.popleft()
            done += 1
            yield _settle(future.result, errors)
            if progress:
                progress((done + sum(f for n, f in fractions.items() if n >= done)) / count)

    def _submit(self, function: Callable[[Any, Progress | None], Any], task: Any, number: int) -> Future[Any]:
        assert self.pool is not None
        return self.pool.submit(_work, function, task, number)


def check(jobs: int, model: Any) -> None:
    """Raise InputError where a model cannot be sent to another process."""
    if jobs > 1 and model is not None and not isinstance(model, str):
        raise InputError("several processes need a model by its name or path: pass that, or jobs=1")


def _drained(reports: Any) -> Iterator[tuple[int, float]]:
    """What lies in a queue."""
    while True:
        try:
            yield reports.get_nowait()
        except queue.Empty:
            return


def _settle(call: Callable[[], Any], errors: bool) -> Any:
    try:
        return call()
    except DiffcodecError as error:
        if not errors:
            raise
        return error


def _part(progress: Progress, number: int, count: int) -> Progress:
    return lambda fraction: progress((number + fraction) / count)


def _begin(reports: Any, jobs: int) -> None:
    """In a worker: its share of the cores, and an end of its own should the parent be killed, which it cannot tell."""
    global _reports
    _reports = reports
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    import torch

    torch.set_num_threads(max(1, torch.get_num_threads() // jobs))


def _end_with(sentinel: Any) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _work(function: Callable[[Any, Progress | None], Any], task: Any, number: int) -> Any:
    def report(fraction: float) -> None:
        _reports.put((number, fraction))

    return function(task, report)
