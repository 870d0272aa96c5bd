"""What is being done just now: named where it takes seconds in which nothing can be told of how far it is.

Who does it says so, whoever draws a bar asks. Of this process; of its workers it is known that they start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_under_way: list[str] = []  # the innermost last


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Within, ``what`` is being done."""
    _under_way.append(what)
    try:
        yield
    finally:
        _under_way.remove(what)


def now() -> str:
    """What is being done, the innermost of it; empty where nobody says."""
    return _under_way[-1] if _under_way else ""
