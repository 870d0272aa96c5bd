"""Whether kernels are being compiled just now, in this process or in its workers: what a first run waits for.

`kernels` tells, whoever draws a bar asks; no numba is needed for either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LINGERS = 1.0  #: seconds for which compiling counts as going on: between two kernels there is a moment

_lock = threading.Lock()
_depth = 0  # kernels within kernels
_begun = 0.0
_ended = -LINGERS
_seconds = 0.0
_elsewhere = 0
_watchers: list[Callable[[bool], None]] = []


def begin() -> None:
    """A kernel begins to be compiled."""
    global _depth, _begun
    with _lock:
        _depth += 1
        first = _depth == 1
        if first:
            _begun = time.monotonic()
    if first:
        _tell(True)


def end() -> None:
    """The kernel that was begun last is compiled."""
    global _depth, _ended, _seconds
    with _lock:
        _depth -= 1
        last = _depth == 0
        if last:
            _ended = time.monotonic()
            _seconds += _ended - _begun
    if last:
        _tell(False)


def elsewhere(begins: bool) -> None:
    """As `begin` and `end`, of a worker process."""
    global _elsewhere
    with _lock:
        _elsewhere += 1 if begins else -1


def now() -> bool:
    """Whether kernels are being compiled, or were a moment ago."""
    return _depth > 0 or _elsewhere > 0 or time.monotonic() - _ended < LINGERS


def seconds() -> float:
    """How long this process has compiled since it began; 0.0 where all kernels were found on disk."""
    with _lock:
        return _seconds + (time.monotonic() - _begun if _depth else 0.0)


def watch(function: Callable[[bool], None]) -> None:
    """Call ``function`` with True when compiling begins in this process and with False when it ends, from now on."""
    _watchers.append(function)


def _tell(begins: bool) -> None:
    for function in _watchers:
        function(begins)
