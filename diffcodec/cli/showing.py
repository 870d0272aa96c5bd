"""info, list, diff, test: what a stream or an archive holds, whether it holds; nothing is written."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import api
from ..runtime import remote
from ..runtime.errors import BitstreamError, ChecksumMismatch, DiffcodecError, InputError, Truncated
from . import console
from .options import Budget, Device, Jobs, Json, MaxPixels, Model, allow_large_pictures, cores
from .pipes import read

if TYPE_CHECKING:
    from ..archive.listing import Item

ARCHIVE = b"\x8bDFA"  #: first bytes of one


def info(
    source: Annotated[str, typer.Argument(metavar="IN.dfc", help="A .dfc file, or - for standard input.")],
    *,
    model: Annotated[
        str | None, typer.Option(help="The stream's, whose calibration tells what its autoencoder leaves at any rate.")
    ] = None,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Show what a stream or an archive holds; needs no weights."""
    data = read(source)
    found, problem = told(data, max_pixels, model)
    if as_json:
        print(json.dumps(found))
    else:
        _print(found)
    if problem is not None:
        raise problem


def told(data: bytes, max_pixels: int | None, model: str | None = None) -> tuple[dict[str, Any], DiffcodecError | None]:
    """What there is, and what is wrong where it is cut or damaged but for its header. Raises BitstreamError."""
    if data.startswith(ARCHIVE):
        from ..archive import memory as archive

        found: dict[str, Any] = dict(archive.inspect_archive(data, max_pixels=max_pixels))
        cut = f"the archive is cut or damaged; whole groups: {len(found['groups'])}"
        return found, None if found["complete"] else Truncated(cut)
    try:
        return dict(api.inspect(data, max_pixels=max_pixels, model=model)), None
    except (Truncated, ChecksumMismatch) as error:
        try:
            return dict(api.inspect(data, partial=True, max_pixels=max_pixels)), error
        except BitstreamError:
            raise error from None


def _print(found: dict[str, Any]) -> None:
    passes, groups, given = found.pop("passes", None), found.pop("groups", None), found.pop("given", ())
    for key, value in [*facts(found), *given_lines(given)]:
        print(f"{key:16} {value}")
    if passes is None:
        print(f"\n{'group':>6} {'pictures':>9} {'chained':>9} {'bytes':>12}")
        for one in groups:
            print(f"{one['number']:6} {one['pictures']:9} {one['chained']:9} {one['bytes']:12}")
        return
    if groups is not None:
        print(f"\n{'group':>6} {'frames':>12} {'bytes':>12} {'decodes from byte':>18}")
        at = 0
        for one in groups:
            print(f"{f'{at}:':>6} {one['frames']:12} {one['bytes']:12} {one['upto']:18}")
            at += one["frames"]
        print()
    unit = f"bits/{found['unit']}"
    print(f"{'passes':16} {len(passes)}\n\n{'pass':>6} {'bytes':>12} {unit:>12} {'decodes from byte':>18}")
    for number, one in enumerate(passes):
        print(f"{number:6} {one['bytes']:12} {one['bpp']:12.4f} {one['end']:18}")


def listed(
    source: Annotated[str, typer.Argument(metavar="IN.dfca", help="An archive.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Only names like these.")] = None,
    *,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """List the pictures of an archive: permissions, size, bytes in it, time, name; needs no weights."""
    from ..archive import listing

    items, problems = listing.list_archive(source, max_pixels=max_pixels)
    if names:
        items = _like(items, names)
    for item in items:
        if as_json:
            told = dataclasses.asdict(item) | {"digests": [digest.hex() for digest in item.digests]}
            print(json.dumps(told))
        else:
            print(console.line(_row(item)))
    _require_none(problems)


def _like(items: list[Item], names: list[str]) -> list[Item]:
    """Those of names like these. Raises InputError where there is none."""
    found = [item for item in items if any(fnmatch.fnmatchcase(item.name, name) for name in names)]
    if not found:
        raise InputError(f"no picture of the archive has a name like {' or '.join(names)}")
    return found


def _require_none(problems: Sequence[str]) -> None:
    """Raises DiffcodecError."""
    if problems:
        raise DiffcodecError("; ".join(problems))


def _row(item: Item) -> str:
    """As tar has it. A chain's bytes are those of all its pictures: no one's."""
    permissions = "?" * 9 if item.permissions is None else stat.filemode(stat.S_IFREG | item.permissions)[1:]
    size = f"{item.width}×{item.height} {item.mode}" if item.mode else "damaged" if item.kind == "damaged" else ""
    many = f" ×{item.frames}" if item.frames > 1 else ""
    packed = {"chained": "in chain", "copy": "copy"}.get(item.kind, str(item.packed_bytes))
    try:
        when = "" if item.time is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(item.time // 10**9))
    except (OverflowError, ValueError, OSError):  # of a year that the system has none for
        when = ""
    return f"-{permissions}  {size + many:>18}  {packed:>10}  {when:16}  {item.name}"


def diff(
    source: Annotated[str, typer.Argument(metavar="IN.dfca", help="An archive.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="A folder of pictures, or another archive.")],
    *,
    model: Model = None,
    jobs: Jobs = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Compare an archive with a folder or another one, by names and samples; exit status 1 where they differ."""
    from ..archive import listing

    allow_large_pictures()
    with console.bar("comparing") as progress:
        how: dict[str, Any] = {"model": model, "jobs": jobs or cores(), "device": device, "max_pixels": max_pixels}
        found = listing.differences(source, other, progress=progress, **how)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        for what, names in (("added", found.added), ("removed", found.removed), ("changed", found.changed)):
            for name in names:
                print(console.line(f"{what:8} {name}"))
        counts = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed"
        console.tell(f"{counts}, {found.same} the same")
    _require_none(found.problems)
    if found.added or found.removed or found.changed:
        raise typer.Exit(1)


def checked(
    sources: Annotated[list[str], typer.Argument(metavar="FILE", help="Streams and archives.")],
    *,
    model: Model = None,
    jobs: Jobs = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Budget = 1.0,
    as_json: Json = False,
) -> None:
    """Decode streams and archives, check them against their digests, and write nothing."""
    how: dict[str, Any] = {"model": model, "device": device, "max_pixels": max_pixels, "budget": budget}
    bad = 0
    for source in sources:
        try:
            with (
                console.interruptible(lambda: "nothing was to be written: begin again"),
                console.bar(f"testing {console.line(source)}") as progress,
            ):
                told, problems = _check(source, jobs or cores(), {**how, "progress": progress})
        except (DiffcodecError, OSError) as error:
            words = error.strerror if isinstance(error, OSError) else None
            told, problems = {}, [words or str(error)]
        bad += bool(problems)
        if as_json:
            print(json.dumps({"file": source, "whole": not problems, **told, "problems": problems}), flush=True)
        elif not problems:
            console.tell(f"{source}: {', '.join(_counted(told))}, whole")
        for problem in problems:
            console.say(f"error: {console.line(f'{source}: {problem}')}")
    if bad:
        raise typer.Exit(1)


def _counted(found: dict[str, int]) -> list[str]:
    return [f"{value} {key.removesuffix('s') if value == 1 else key}" for key, value in found.items() if value]


def _check(source: str, jobs: int, how: dict[str, Any]) -> tuple[dict[str, int], list[str]]:
    """What there is, and what is wrong with it. Raises DiffcodecError, OSError."""
    from ..archive import listing

    with remote.opened(source) as file:
        is_archive = file.read(len(ARCHIVE)) == ARCHIVE
    if is_archive:
        found = listing.check_archive(source, jobs=jobs, **how)
        return {"pictures": found.pictures, "lost": found.lost}, list(found.problems)
    signal = api.decode_signal(source, frames=True, **how)
    return {"frames": 1 + len(signal.following)}, []


def facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said of a stream or an archive, key and value, but the names, the passes and what was given.

    The cost of decoding stands with the others.
    """
    every: dict[str, Any] = {}
    for key, value in found.items():
        if key == "decode_cost":
            for what, cost in value.items():
                every |= {f"allowed_{k}": v for k, v in cost.items()} if what == "allowed" else {f"decode_{what}": cost}
        elif key == "metadata":
            every[key] = ", ".join(f"{kind} {size}" for kind, size in value.items()) or None
        elif key not in ("names", "passes", "groups", "given"):
            every[key] = value
    return [
        (key.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else console.line(value))
        for key, value in every.items()
        if value is not None
    ]


def given_lines(parts: Sequence[Mapping[str, Any]], depth: int = 0) -> list[tuple[str, str]]:
    """A line for each thing that the model was given, what a nested stream was given in turn further in."""
    lines = []
    for part in parts:
        words = console.line(_GIVEN[part["kind"]](part))
        lines.append(("" if depth else "given", f"{'  ' * depth}{words}, {part['bytes']} bytes"))
        lines += given_lines(part.get("given", ()), depth + 1)
    return lines


def _observed_words(part: Mapping[str, Any]) -> str:
    """Of what was observed of the picture, by which operator."""
    numbers = "".join(f" {number}" for number in part["numbers"])
    believed = "" if part["augmentation"] is None else f", augmentation {part['augmentation']}"
    stream = f"{part['codec']}, {part['width']}×{part['height']} {part['mode']}" if "codec" in part else "a file"
    return f"{part['operator']}{numbers}: {stream}{believed}"


_SHOWN = 60  #: characters of a text that `info` shows
_GIVEN: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda part: f"text {part['prompt'][:_SHOWN]!r}, scale {part['scale']:g}",
    "stream": _observed_words,
    "small file": _observed_words,
    "file": lambda part: "file",
    "before": lambda part: f"before: {part['frames']} frames",
    "outside": lambda part: f"outside: {part['label']!r}, SHA-256 {part['digest'][:16]}…",
}
