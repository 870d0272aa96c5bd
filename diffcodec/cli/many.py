"""encode and decode of many files: which there are, what is said of each, of all together."""

from __future__ import annotations

import glob
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from ..runtime import remote
from ..runtime.errors import DiffcodecError
from . import console
from .options import jobs_of
from .sizes import sizes, told

if TYPE_CHECKING:
    from ..archive.coding import Coding
    from ..archive.engines import EngineName
    from ..archive.many import FileResult, Placing

_COUNTED = ("skipped", "failed", "left out")


def pair_of(files: list[str], out: str | None, out_dir: str | None, recursive: bool) -> tuple[str, str] | None:
    """IN and OUT where two names, or one and ``out``, are given; None where all names are of files to code.

    Raises BadParameter for what is neither.
    """
    if out is not None:
        if len(files) != 1 or out_dir is not None or recursive:
            raise typer.BadParameter("--out is of one file: give --out-dir")
        return files[0], out
    if len(files) == 2 and out_dir is None and not recursive and not _is_pattern(files[0]):
        return files[0], files[1]
    if "-" in files:
        raise typer.BadParameter("- stands for one stream: give it alone, with OUT")
    return None


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not os.path.lexists(name) and not remote.is_remote(name)


def wanted(placing: Placing, jobs: int | None, engine: EngineName) -> bool:
    """Whether something is asked for that is of many files, be it for one."""
    return placing.skip_existing or placing.delete_source or placing.dry_run or (jobs or 1) > 1 or engine != "processes"


def refuse(**options: object) -> None:
    """Raise BadParameter for an option that is of one file only, where it is given."""
    for name, value in options.items():
        if value:
            raise typer.BadParameter(f"--{name} is of one file: give IN and OUT, and neither --skip-existing, "
                                     "--delete-source, --dry-run nor --jobs")  # fmt: skip


def run(
    files: list[str],
    pair: tuple[str, str] | None,
    coding: Coding,
    placing: Placing,
    jobs: int | None,
    engine: EngineName,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Code all, say a line for each, one for all together.

    Raises typer.Exit with status 1 where a file failed, DiffcodecError where there is none, BadParameter.
    """
    from ..archive import many

    if pair is not None and "-" in pair:
        raise typer.BadParameter("- stands for one stream, without --skip-existing, --delete-source and --jobs")
    with console.bar("looking for files"):
        plan = many.plan(files if pair is None else {pair[0]: pair[1]}, coding, placing)
    if all(one is not None and one.status == "left out" for one in plan.results):
        raise DiffcodecError(f"found no file to {coding.verb} in {', '.join(files)}")
    most = jobs_of(engine, jobs, here=1)  # a file alone has all cores
    sum_ = Sum(coding.verb, len(plan), as_json, verbose)
    with console.interruptible(sum_.kept), console.bar(sum_.label) as progress:
        for result in many.run(plan, coding, placing, most, progress, engine):
            sum_.add(result)
    sum_.end()
    if sum_.count["failed"]:
        raise typer.Exit(1)


@dataclass
class Sum:
    """What came of files so far; says each as it comes."""

    verb: str
    total: int
    as_json: bool
    verbose: bool
    count: Counter[str] = field(default_factory=Counter)
    input_bytes: int = 0
    output_bytes: int = 0
    larger: int = 0
    start: float = field(default_factory=time.perf_counter)

    def label(self) -> str:
        """Of the bar."""
        name = f"{self.verb.removesuffix('e')}ing"
        return name if self.total == 1 else f"{name} {min(self.count['coded'] + 1, self.total)} of {self.total}"

    def kept(self) -> str:
        """After an interrupt."""
        count = self.count["written"]
        there = f"{count} file{'s are' if count != 1 else ' is'} written, each whole"
        return f"{there}: with --skip-existing the same command goes on"

    def add(self, one: FileResult) -> None:
        """Say what came of a file."""
        self.count[one.status] += 1
        self.count["coded"] += one.status in ("written", "failed")
        if one.status in ("written", "planned"):
            self.input_bytes += one.input_bytes
            self.output_bytes += one.output_bytes
            self.larger += one.status == "written" and one.output_bytes > one.input_bytes
        for warning in one.warnings:
            console.say(f"warning: {console.line(f'{one.source}: {warning}')}")
        if one.error is not None:
            console.say(f"error: {console.line(f'{one.source}: {_reason(one.error)}')}")
        if self.as_json:
            if one.status != "left out":
                print(json.dumps(_fields(one)), flush=True)
        elif one.status in _LINES and (self.verbose or one.status != "left out"):
            console.tell(_LINES[one.status](one, self.verbose))

    def end(self) -> None:
        """Say what came of all."""
        if self.as_json or sum(self.count[status] for status in ("written", "planned", *_COUNTED)) < 2:
            return
        parts = [f"{self.count[status]} {status}" for status in _COUNTED if self.count[status]]
        if self.larger and self.verb == "encode":
            parts.append(f"{self.larger} larger than before")
        if planned := self.count["planned"]:
            said = f"{planned} files of {self.input_bytes} bytes would be {self.verb}d"
        else:
            seconds = time.perf_counter() - self.start
            said = f"{self.count['written']} files: {told(sizes(self.input_bytes, self.output_bytes))}, {seconds:.1f} s"
        console.tell("; ".join([said, ", ".join(parts)] if parts else [said]))


def _reason(error: DiffcodecError | OSError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def _fields(one: FileResult) -> Mapping[str, Any]:
    """A line of --json."""
    found: dict[str, Any] = {"source": one.source, "target": one.target or None, "status": one.status}
    if one.error is not None:
        return {**found, "error": _reason(one.error)}
    if one.status == "planned":
        return {**found, "input_bytes": one.input_bytes, "found": one.note}
    found |= sizes(one.input_bytes, one.output_bytes)
    if one.status == "written":
        found |= {"bytes": one.output_bytes, **one.facts, "seconds": round(one.seconds, 4), "deleted": one.deleted}
    return found


def _written(one: FileResult, verbose: bool) -> str:
    more = [f"{one.target}: {told(sizes(one.input_bytes, one.output_bytes))}"]
    if verbose:
        facts = one.facts
        by = f" by {facts['model']}" if facts["model"] else ""
        more.append(f"{facts['width']}×{facts['height']} {facts['mode']}, {facts['codec']}{by}")
        more.append(f"{facts['bpp']:.3f} bits per {facts['unit']}, {one.seconds:.2f} s")
    if one.deleted:
        more.append(f"{one.source} deleted")
    return ", ".join(more)


_LINES: dict[str, Callable[[FileResult, bool], str]] = {
    "written": _written,
    "skipped": lambda one, verbose: f"{one.target}: is there already, skipped",
    "planned": lambda one, verbose: f"{one.source} -> {one.target}: {one.note}, {one.input_bytes} bytes",
    "left out": lambda one, verbose: f"{one.source}: left out, {one.note}",
}
