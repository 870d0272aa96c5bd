"""The last resort between bytes that anyone may have made and the caller: whatever goes wrong is one of our errors.

Every public function that decodes is `guarded`. What the net catches (`Unforeseen`, its cause chained) is a fault to be
mended where it arises: tools/fuzz.py counts it as the exception that it was.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from .errors import DiffcodecError, LimitExceeded, Unforeseen

Function = TypeVar("Function", bound=Callable[..., Any])


class Net:
    """Left alone are errors of reading and importing, warnings made errors, interrupts, and what is the caller's."""

    def __init__(self) -> None:
        self._own: BaseException | None = None

    def callback(self, function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """A caller's function, whose exceptions are the caller's."""
        if function is None:
            return None

        def called(*values: Any) -> Any:
            try:
                return function(*values)
            except BaseException as error:
                self._own = error
                raise

        return called

    def __enter__(self) -> Net:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or error is self._own or not isinstance(error, Exception):
            return
        if isinstance(error, (DiffcodecError, OSError, ImportError, Warning)):
            return
        told = (str(error).strip() or "no more is known").split("\n")[0]
        if isinstance(error, MemoryError) or "out of memory" in told or "allocate memory" in told:
            raise LimitExceeded(
                f"decoding takes more memory than there is ({told}): free some, or lower max_pixels"
            ) from error
        raise Unforeseen(
            f"the content cannot be decoded ({type(error).__name__}: {told}); the file is damaged or forged"
        ) from error


def guarded(function: Function) -> Function:
    """A function of hostile bytes within a `Net`. Its ``progress`` is the caller's own."""
    signature = inspect.signature(function)

    def bound(net: Net, args: tuple[Any, ...], options: dict[str, Any]) -> inspect.BoundArguments:
        given = signature.bind(*args, **options)  # a wrong call is no fault of the bytes
        if "progress" in given.arguments:
            given.arguments["progress"] = net.callback(given.arguments["progress"])
        return given

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **options: Any) -> Any:
            net = Net()
            given = bound(net, args, options)

            def run() -> Iterator[Any]:
                with net:
                    yield from function(*given.args, **given.kwargs)

            return run()

        return generator  # type: ignore[return-value]

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        net = Net()
        given = bound(net, args, options)
        with net:
            return function(*given.args, **given.kwargs)

    return called  # type: ignore[return-value]
