"""pack, append, unpack, extract: a folder of pictures and its archive."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from ..runtime.errors import DiffcodecError
from . import console
from .options import (
    Budget,
    Device,
    Engine,
    Jobs,
    Json,
    MaxPixels,
    Model,
    Overwrite,
    Quiet,
    allow_large_pictures,
    cores,
    jobs_of,
)
from .sizes import sizes, told, warn_if_larger


def pack(
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of pictures, with its subfolders.")],
    target: Annotated[str, typer.Argument(metavar="OUT.dfca", help="The archive to write.")],
    *,
    model: Model = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of a chain: more are slower, smaller (100).")] = None,
    group: Annotated[int, typer.Option(min=1, help="Pictures coded, and readable, together.")] = 256,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures in a network call at most (by size).")] = None,
    jobs: Jobs = None,
    engine: Engine = "processes",
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pack a folder of pictures into one lossless archive; goes on where an interrupted run stopped.

    Many small pictures in colour are chained where that is smaller, others are streams: unless --model or --steps say.
    """
    from ..archive import folder as packing

    def kept() -> str:
        groups, pictures = packing.unfinished(target)
        if not groups:
            return "no group of pictures was finished, and nothing is kept: begin again"
        held = f"{groups} finished group{'s' * (groups > 1)} of {pictures} picture{'s' * (pictures > 1)}"
        return f"{held} are kept in {packing.part_file(target)}: the same command goes on from there"

    console.hush(quiet)
    allow_large_pictures()
    start = time.perf_counter()
    with console.interruptible(kept), console.bar("packing") as progress:
        done = packing.pack(
            source,
            target,
            model,
            steps=steps,
            batch=batch,
            group=group,
            device=device,
            jobs=jobs_of(engine, jobs),
            engine=engine,
            overwrite=overwrite,
            progress=progress,
        )
    done |= {"bpd": 8 * done["bytes"] / done.pop("samples"), "seconds": round(time.perf_counter() - start, 3)}
    done |= sizes(done.pop("source_bytes"), done["bytes"]) | {"device": device}
    warn_if_larger("archive", done["bytes"], "files", done["input_bytes"], "keep these")
    if as_json:
        print(json.dumps(done))
    else:
        console.tell(
            f"{target}: {done['pictures']} pictures, {told(done)}, {done['bpd']:.3f} bits per sample, "
            f"{done['seconds']:.1f} s by {done['model']}, left out: {len(done['left_out'])}"
        )
    _require_all_packed(done)


def _require_all_packed(done: dict[str, Any]) -> None:
    if done["failed"]:
        names = _some([ascii(name)[1:-1] for name in done["failed"]])
        raise DiffcodecError(f"could not pack {names}; the {done['pictures']} pictures of the rest are in the archive")


def _some(lines: list[str], most: int = 20) -> str:
    """Lines as one, not all of very many."""
    more = f"; and {len(lines) - most} more" if len(lines) > most else ""
    return "; ".join(lines[:most]) + more


def append(
    target: Annotated[str, typer.Argument(metavar="IN.dfca", help="The archive, replaced when all is done.")],
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of pictures, with its subfolders.")],
    *,
    model: Model = None,
    group: Annotated[int, typer.Option(min=1, help="Pictures coded, and readable, together.")] = 256,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures in a network call at most (by size).")] = None,
    jobs: Jobs = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Add pictures of new names to an archive; those that are in it stay as they are."""
    from ..archive import appending

    console.hush(quiet)
    allow_large_pictures()
    start = time.perf_counter()
    with console.interruptible(lambda: f"{target} is as it was: begin again"), console.bar("appending") as progress:
        how: dict[str, Any] = {"model": model, "batch": batch, "group": group, "device": device}
        done = appending.append(target, source, jobs=jobs or cores(), progress=progress, **how)
    done |= sizes(done.pop("source_bytes"), done.pop("added_bytes"))
    done["seconds"] = round(time.perf_counter() - start, 3)
    if as_json:
        print(json.dumps(done))
    else:
        console.tell(
            f"{target}: {done['pictures']} pictures more, {told(done)}, {done['seconds']:.1f} s, "
            f"there already: {done['already']}, left out: {len(done['left_out'])}"
        )
    _require_all_added(done)


def _require_all_added(done: dict[str, Any]) -> None:
    if done["failed"]:
        raise DiffcodecError(f"could not add {_some([ascii(name)[1:-1] for name in done['failed']])}")


def unpack(
    source: Annotated[str, typer.Argument(metavar="IN.dfca", help="An archive.")],
    target: Annotated[str, typer.Argument(metavar="DIR", help="The folder to write to; made if it is not there.")],
    *,
    only: Annotated[str | None, typer.Option(help="Names to write, such as 'holiday/*'.")] = None,
    model: Model = None,
    jobs: Jobs = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Annotated[float, typer.Option(help="Work allowed, times what an honest file's bytes take.")] = 1.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Unpack an archive; every picture is checked, and a damaged group costs only its own."""
    console.hush(quiet)
    how = {"model": model, "device": device, "max_pixels": max_pixels, "budget": budget, "overwrite": overwrite}
    _unpack(source, target, None if only is None else [only], jobs, as_json, how)


def extract(
    source: Annotated[str, typer.Argument(metavar="IN.dfca", help="An archive.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of pictures, or patterns ('holiday/*').")],
    *,
    out_dir: Annotated[str, typer.Option(metavar="DIR", help="The folder to write to; made if it is not there.")] = ".",
    model: Model = None,
    jobs: Jobs = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Budget = 1.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Extract some pictures of an archive; only their groups are decoded."""
    console.hush(quiet)
    how = {"model": model, "device": device, "max_pixels": max_pixels, "budget": budget, "overwrite": overwrite}
    _unpack(source, out_dir, names, jobs, as_json, how)


def _unpack(
    source: str, target: str, only: list[str] | None, jobs: int | None, as_json: bool, how: dict[str, Any]
) -> None:
    from ..archive import folder as packing

    def kept() -> str:
        return f"what was written stays in {target}, each file whole: with --overwrite the same command writes all anew"

    start = time.perf_counter()
    with console.interruptible(kept), console.bar("unpacking") as progress:
        done = packing.unpack(source, target, only=only, jobs=jobs or cores(), progress=progress, **how)
    done |= sizes(done.pop("bytes_read"), done.pop("bytes_written"))
    done["seconds"] = round(time.perf_counter() - start, 3)
    if as_json:
        print(json.dumps(done))
    else:
        console.tell(f"{target}: {done['pictures']} pictures, {told(done)}, {done['seconds']:.1f} s")
    _require_all_written(done)


def _require_all_written(done: dict[str, Any]) -> None:
    if done["problems"]:
        raise DiffcodecError(f"{_some(done['problems'])}; the {done['pictures']} pictures of the rest are written")
