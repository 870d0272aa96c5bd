"""The errors of the format by their names."""

from __future__ import annotations

from typing import NoReturn


class Refused(Exception):
    """``name`` is the error that the documents give for the violation."""

    def __init__(self, name: str, why: str):
        super().__init__(f"{name}: {why}")
        self.name, self.why = name, why


def refuse(name: str, why: str) -> NoReturn:
    raise Refused(name, why)
