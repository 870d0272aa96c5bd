"""Torch's settings of a process or a thread, held where a network's sums must not depend on them.

A caller may have asked torch for faster products (`torch.set_float32_matmul_precision`), for autocast, another default
device, deterministic algorithms. Some of these change sums of floats, some make an operation refuse. While
:func:`held` they are what the networks were made for; behind it they are as the caller left them. Default dtype and
number of threads need no holding: the networks name their dtypes, and exact sums come out the same in any order.

Process-wide settings are shared by threads, so the first that comes in changes them and the last that goes puts them
back; those of a thread are its own. Nothing is touched where nothing has to be.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.backends import nnpack

# A forked child has none of the threads that its parent's sums ran in, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

EXACT_FLOAT32 = ("none", "ieee")  #: of `fp32_precision`; "none" takes what stands above it, at the top "ieee"
_NNPACK = bool(nnpack.is_available())  # type: ignore[no-untyped-call]
_lock = threading.Lock()
_inside = 0  # threads that hold the process-wide settings
_undo: list[Callable[[], None]] = []


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Sums of float32 in float32, no autocast, new tensors on the CPU unless told; also a decorator.

    Products on CUDA may still be TensorFloat-32: the factors of exact networks fit its 11 bits.
    """
    with contextlib.ExitStack() as stack:
        if _enter():
            stack.callback(_leave)
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextlib.contextmanager
def outside_inference() -> Iterator[None]:
    """As :func:`held`, for tensors that stay: those made in a caller's inference mode would be of no use elsewhere."""
    with torch.inference_mode(False), held():
        yield


def _enter() -> bool:
    """Whether there was anything to hold."""
    global _inside
    with _lock:
        if not _inside and not _has_process_settings():
            return False
        _inside += 1
        if _inside == 1:
            _undo.extend(_changed())
        return True


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if not _inside:
            while _undo:
                _undo.pop()()


def _has_process_settings() -> bool:
    return (
        _NNPACK
        or torch.are_deterministic_algorithms_enabled()
        or any(precision.fp32_precision not in EXACT_FLOAT32 for precision in _precisions())
    )


def _changed() -> Iterator[Callable[[], None]]:
    """Makes the process-wide settings what they must be; gives what puts each back."""
    # it knows Winograd and Fourier transforms
    if _NNPACK and nnpack.set_flags(False)[0]:  # type: ignore[no-untyped-call]
        yield partial(nnpack.set_flags, True)
    if torch.are_deterministic_algorithms_enabled():  # on CUDA it refuses matrix products, unless a variable is set
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(False)
        yield partial(torch.use_deterministic_algorithms, True, warn_only=warn_only)
    for precision in _precisions():
        before = precision.fp32_precision
        if before in EXACT_FLOAT32:
            continue
        precision.fp32_precision = "none"
        inherited = precision.fp32_precision == before  # from what stands above: its own was nothing
        precision.fp32_precision = "ieee"
        yield partial(setattr, precision, "fp32_precision", "none" if inherited else before)


def _precisions() -> tuple[Any, ...]:
    """The settings of precision that a float32 product or convolution on the CPU asks."""
    backend = torch.backends.mkldnn
    return (backend.matmul, backend.conv) if hasattr(backend, "matmul") else (_LEGACY,)  # type: ignore[attr-defined]


class _Legacy:
    """`torch.set_float32_matmul_precision`, where torch has nothing finer, in the words of the finer one."""

    @property
    def fp32_precision(self) -> str:
        precision = torch.get_float32_matmul_precision()
        return "ieee" if precision == "highest" else precision

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        torch.set_float32_matmul_precision("highest" if value in EXACT_FLOAT32 else value)


_LEGACY = _Legacy()
