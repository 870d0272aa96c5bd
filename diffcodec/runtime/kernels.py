"""numba's compiler, told once what every kernel wants; where nothing can be kept on disk it works all the same.

numba types a kernel by what it is called with, and its integers are machine words that wrap: to mypy a kernel is
untyped on purpose, which is what `no_type_check` stands for. Whoever calls one says what comes back.

numba takes a kernel from disk while the file it is written in stays as it was. The kernels that it calls and the
constants that it reads are compiled into it wherever they stand, so they are part of the name that it is kept by.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba.core import event

from . import compiling

__all__ = ["inlined", "kernel", "njit", "woven"]


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """As `numba.njit`; kernels that cannot be cached are compiled at every start, which is said once."""
    if not isinstance(function, FunctionType):
        return lambda function: njit(function, **options)
    content = _content(function)
    function.__qualname__ += f"-{content[:8]}"
    try:
        compiled = numba.njit(**options)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        if not options.get("cache"):
            raise
        _say()
        compiled = numba.njit(**{**options, "cache": False})(function)
    _contents[compiled] = content
    return compiled


_contents: dict[Any, str] = {}  # of kernels


def _content(function: FunctionType) -> str:
    """A digest of a kernel's code and of the kernels and constants that it names."""
    parts: list[object] = []
    for code in _codes(function.__code__):
        parts += [code.co_code, code.co_names]
        parts += [value for value in code.co_consts if isinstance(value, (int, float, str, tuple))]
        for name in code.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, np.ndarray):
                parts += [value.dtype, value.shape, value.tobytes()]
            elif isinstance(value, (int, float, str, tuple, np.generic)):
                parts.append(value)
            elif callable(value):
                parts.append(_contents.get(value))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _codes(value)


@cache
def _say() -> None:
    warnings.warn(
        "no folder to keep compiled kernels in can be written, so every start compiles them anew, for about a minute: "
        "name one in NUMBA_CACHE_DIR",
        stacklevel=4,
    )


class _Compiling(event.Listener):  # type: ignore[misc]
    """numba's word that a kernel is compiled, rather than found on disk."""

    def on_start(self, event: Any) -> None:
        compiling.begin()

    def on_end(self, event: Any) -> None:
        compiling.end()


event.register("numba:compile", _Compiling())  # type: ignore[no-untyped-call]

if TYPE_CHECKING:
    from typing import no_type_check as inlined
    from typing import no_type_check as kernel
    from typing import no_type_check as woven
else:
    kernel = njit(nogil=True, cache=True)  #: compiled once, kept on disk, runs beside other threads
    inlined = njit(nogil=True, cache=True, inline="always")  #: numba puts the body where the call stands
    woven = njit(forceinline=True)  #: LLVM does: for large bodies, whose types stay their own
