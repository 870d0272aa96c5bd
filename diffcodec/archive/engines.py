"""Where tasks are done side by side: in processes of this machine, or on a Ray cluster. What comes of them is the same.

To add one: a class as of `Engine`, a row here, a line of docs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol

from ..runtime.errors import InputError
from ..runtime.progress import Progress
from .cluster import Cluster
from .workers import Work, Workers

EngineName = Literal["processes", "ray"]
ALL = 2**20  #: as ``jobs``: as many as an engine has room for


class Engine(Protocol):
    """Within, tasks are done; behind it nothing of them goes on. Tasks and results travel between processes."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def map(
        self,
        function: Work,
        tasks: Iterable[tuple[float, Any]],
        total: float,
        progress: Progress | None = None,
        *,
        errors: bool = False,
    ) -> Iterator[Any]:
        """Results in the order of the tasks, few of which are in memory at a time.

        A task comes with how much of ``total`` it is, in any unit; ``progress`` ends at exactly 1. With ``errors`` a
        DiffcodecError is a result. Raises InputError where workers are lost, and what ``function`` raises.
        """


#: of at most so many jobs, for models on a device
ENGINES: dict[EngineName, Callable[[int, str], Engine]] = {
    "processes": lambda jobs, device: Workers(jobs),
    "ray": Cluster,
}


def engine_of(name: EngineName, jobs: int, device: str = "auto") -> Engine:
    """The engine of this name. Raises InputError for another name."""
    if name not in ENGINES:
        raise InputError(f"expected an engine of {' or '.join(ENGINES)}, found {name!r}")
    return ENGINES[name](jobs, device)


def check(jobs: int, model: Any, engine: EngineName = "processes") -> None:
    """Raise InputError where a model cannot be sent to where it is wanted."""
    elsewhere = jobs > 1 or engine != "processes"
    if elsewhere and model is not None and not isinstance(model, str):
        raise InputError("several processes need a model by its name or path: pass that, or jobs=1")
