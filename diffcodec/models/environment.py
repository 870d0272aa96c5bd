"""Where a float network's answers were made: what their last bits depend on, recorded in a pinned stream."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from functools import cache

import numba

from .protocols import EXACT, Model, bfloat16_serves

ARITHMETIC = 2  #: of this package's own operations on floats: 2 since asinh is made of others


def environment(device: str) -> str:
    """What the last bits of a float network depend on, recorded in a pinned stream: facts, parted by ", ".

    ``device``: "cpu", "cuda" or a numbered one of that kind.
    """
    import torch  # which streams that no network codes do without

    device, _, number = device.partition(":")
    if device == "cuda" and torch.cuda.is_available():
        kind = torch.cuda.get_device_name(int(number or torch.cuda.current_device()))
    else:
        kind = f"{torch.backends.cpu.get_cpu_capability()} {_processor()}" if device == "cpu" else "not here"
    kind = kind.replace(",", "")
    made_by = f"torch {torch.__version__}, {device}, numba {numba.__version__}"
    facts = f"{made_by}, {platform.machine()} {kind}, {torch.get_num_threads()} threads, arithmetic {ARITHMETIC}"
    emulated = torch.ops.mkldnn._is_mkldnn_bf16_supported() and not bfloat16_serves(device)  # noqa: SLF001
    return f"{facts}, without bfloat16" if emulated else facts  # which versions before this one emulated there


def made_on(made: str) -> str:
    """The device in the facts of :func:`environment`: "cpu", "cuda", ..."""
    facts = made.split(", ")
    return facts[1].partition(":")[0] if len(facts) > 1 else "cpu"


@contextlib.contextmanager
def numerics_of(model: Model) -> Iterator[None]:
    """A float network runs on one thread within: its sums come out the same however many cores there are."""
    if model.numerics == EXACT:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def _processor() -> str:
    """The processor's name: libraries choose their kernels by more than its vector width."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
