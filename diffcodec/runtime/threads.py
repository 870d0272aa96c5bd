"""How many threads a call may use at most: asked by every pool of workers, and told to torch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from typing import TypeVar

from .errors import InputError

T = TypeVar("T")
R = TypeVar("R")

_most: ContextVar[int | None] = ContextVar("threads", default=None)


@contextlib.contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Within, this thread and its workers are at most ``threads``; None changes nothing. Raises InputError."""
    if threads is None:
        yield
        return
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"expected at least 1 thread, found {threads}")
    import torch

    token, before = _most.set(threads), torch.get_num_threads()
    torch.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _most.reset(token)


@contextlib.contextmanager
def alone(small: bool) -> Iterator[None]:
    """Within, torch works with one thread where the work is ``small``: two that wait for each other are slower."""
    torch = sys.modules.get("torch")
    if not small or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit() -> int | None:
    """The limit that the caller set, None where there is none."""
    return _most.get()


def workers(wanted: int) -> int:
    """Workers to start beside the thread that asks, which goes on working: ``wanted``, or what the limit leaves."""
    most = _most.get()
    return wanted if most is None else min(wanted, most - 1)


def each(
    function: Callable[[T], R], items: Iterable[T], wanted: int, begin: Callable[[], None] | None = None
) -> list[R]:
    """``function`` of every item in order, by ``wanted`` threads at most, while the one that asks waits.

    ``begin`` is called first in each thread that is started.
    """
    items, most = list(items), _most.get()
    count = min(wanted if most is None else min(wanted, most), len(items))
    if count <= 1:
        return [function(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    share = None if most is None else max(1, most // count)

    def one(item: T) -> R:
        _most.set(share)  # in the copy of the context that this item has
        return function(item)

    with ThreadPoolExecutor(count, initializer=begin) as pool:
        jobs = [pool.submit(copy_context().run, one, item) for item in items]
        return [job.result() for job in jobs]
