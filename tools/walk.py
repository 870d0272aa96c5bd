"""The way of a stream through the parts of the package while it is decoded, by watching it.

    python -m tools.walk [stream.dfc ...] [--model MODEL]

The calls are printed by which `api` and `stream`, who carry the data, hand something of it to other parts, in their
order. What such a part does within, and properties, are not; nor is `runtime`, on which all stand.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import diffcodec

PACKAGE = Path(diffcodec.__file__).parent
GOLDEN = PACKAGE.parent / "tests" / "golden" / "1.3"
STREAMS = [GOLDEN / "lattice-rgb.dfc", GOLDEN / "diffc-rgb.dfc"]
CARRIERS = ("api", "stream")
PLAIN = (bool, int, float, str, type(None))  # of which no data are handed on


def part_of(frame: FrameType) -> str | None:
    """The part that a function is of; None outside the package."""
    place = Path(frame.f_code.co_filename)
    return place.relative_to(PACKAGE).parts[0].removesuffix(".py") if place.is_relative_to(PACKAGE) else None


def handed(call: Callable[[], object]) -> list[tuple[str, str]]:
    """(part, function) of each time that the carriers hand data to another part, while ``call`` runs."""
    found: list[tuple[str, str]] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_back is None or part_of(frame.f_back) not in CARRIERS:
            return
        code, part = frame.f_code, part_of(frame)
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        data = any(name not in ("self", "cls") and not isinstance(frame.f_locals[name], PLAIN) for name in names)
        if data and part not in (None, "runtime", *CARRIERS):
            found.append((str(part), code.co_name))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(before)
    return found


def stays(calls: list[tuple[str, str]]) -> list[str]:
    """The parts that the data come to, one after another: behind each stay the carriers have them again."""
    return [part for part, _ in itertools.groupby(part for part, _ in calls)]


def figures(calls: list[tuple[str, str]]) -> tuple[int, int]:
    """(parts that the data pass, the carriers among them; times that they come back to one which they had left)."""
    every = [*CARRIERS, *itertools.chain.from_iterable((part, "stream") for part in stays(calls))][:-1]
    return len(set(every)), len(every) - len(set(every))


def main() -> None:
    """Prints the way of each stream, and its figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("streams", nargs="*", type=Path, default=STREAMS, help="a lossless and a lossy one if left out")
    parser.add_argument("--model", help="as of decode")
    args = parser.parse_args()
    for path in args.streams:
        calls = handed(partial(diffcodec.decode, path, model=args.model))
        parts, returns = figures(calls)
        print(f"{path.name}: {parts} parts, {returns} returns")
        for part, group in itertools.groupby(calls, lambda one: one[0]):
            print(f"    {part:10} {', '.join(function for _, function in group)}")


if __name__ == "__main__":
    main()
