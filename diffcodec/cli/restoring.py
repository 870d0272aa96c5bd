"""restore: a picture that was made small, grey, holed, cut or a JPEG; a clip of too few frames."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import api
from ..runtime.errors import InputError
from . import console, pipes
from .options import Device, Json, Model, Overwrite, Quiet, allow_large_pictures
from .sizes import sizes, told

if TYPE_CHECKING:
    import numpy as np


def restore(
    source: Annotated[str, typer.Argument(metavar="IN", help="A picture file, or - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT.png", help="The picture to write; of several samples OUT-1, …")],
    *,
    task: Annotated[
        Literal["enlarge", "colour", "fill", "extend", "jpeg", "between"],
        typer.Option(
            help="What to make good: size, colour, holes, sides, the artefacts of a JPEG or WebP file; of a clip "
            "frames behind the last one (extend), or in between."
        ),
    ],
    scale: Annotated[int, typer.Option(min=2, max=8, help="enlarge: times.")] = 4,
    mask: Annotated[str | None, typer.Option(help="fill: a picture file, white where IN is to be filled.")] = None,
    margins: Annotated[
        str, typer.Option(help="extend: a share of the sides (1/4), or pixels TOP,RIGHT,BOTTOM,LEFT.")
    ] = "1/4",
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of a clip: frames between two of its own (1), or behind the last (8).")
    ] = None,
    way: Annotated[
        Literal["moved", "told", "replaced", "guided"],
        typer.Option(help="Of a clip: how others come of frames that are there: by motion, the network, the sampler."),
    ] = "moved",
    samples: Annotated[int, typer.Option(min=1, help="How many different pictures to draw.")] = 1,
    realism: Annotated[
        float, typer.Option(min=0, max=1, help="0 has the least squared error (the mean), 1 is a draw.")
    ] = 1.0,
    calls: Annotated[int | None, typer.Option(min=1, help="Network calls of a draw (8).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    model: Model = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Restore a picture: larger, in colour, filled, extended, without a JPEG's artefacts; a clip: with more frames."""
    console.hush(quiet)
    targets = _targets(target, samples)
    for one in targets:
        pipes.check_target(one, overwrite, as_json, source)
    data = pipes.read(source)
    from .. import files

    format = "PNG" if target == "-" else files.format_of(target)
    allow_large_pictures()
    with console.bar("reading"):
        signal = files.read_signal(data, first=True)
    known = None if mask is None else ~_mask(mask)
    given: Any = data if task == "jpeg" else signal
    start = time.perf_counter()
    with console.interruptible(lambda: "nothing is written, and nothing is kept: begin again"):
        with console.bar("restoring") as progress:
            made = api.restore(
                given,
                task,
                scale=scale,
                known=known,
                margins=_margins(margins),
                frames=frames,
                way=way,
                samples=samples,
                realism=realism,
                calls=calls,
                seed=seed,
                model=model,
                device=device,
                progress=progress,
            )
        seconds = time.perf_counter() - start
        written = [files.write_signal(_like(signal, one), format) for one in made]
        for name, picture in zip(targets, written, strict=True):
            pipes.write(name, picture, overwrite)
    *count, height, width = made[0].shape if isinstance(signal, api.Clip) else made[0].shape[:2]
    summary: dict[str, Any] = {"task": task, "width": width, "height": height, "seconds": round(seconds, 4)}
    summary |= {"frames": count[0]} if count else {}
    summary |= sizes(len(data), sum(map(len, written))) | {"files": targets}
    if as_json:
        print(json.dumps(summary))
        return
    names = ", ".join("standard output" if one == "-" else one for one in targets)
    many = f"{count[0]} frames of " if count else ""
    console.tell(f"{names}: {told(summary)}, {many}{width}×{height} pixels, {seconds:.2f} s")


def _targets(target: str, samples: int) -> list[str]:
    """A name for each sample. Raises BadParameter for several on standard output."""
    if samples == 1:
        return [target]
    if target == "-":
        raise typer.BadParameter("OUT - takes one picture: name a file for several samples")
    stem, suffix = os.path.splitext(target)
    return [f"{stem}-{number}{suffix}" for number in range(1, samples + 1)]


def _like(signal: Any, samples: Any) -> api.Picture | api.Clip:
    """A picture of these samples, with what the file says beside its own; a clip has that itself."""
    if isinstance(samples, api.Clip):
        return samples
    metadata = signal.metadata if isinstance(signal, api.Picture) and signal.metadata.palette is None else None
    made = api.Picture.from_any(samples)
    return made if metadata is None else made.with_metadata(metadata)


def _mask(name: str) -> np.ndarray[Any, Any]:
    """bool (H, W), true where a picture file is light. Raises InputError."""
    from .. import files

    with open(name, "rb") as file:
        planes = files.read_signal(file.read(), first=True).photograph()
    if not planes.shape[2]:
        raise InputError(f"expected a grey or black-and-white picture as mask, found another in {name}")
    light: np.ndarray[Any, Any] = planes.mean(2) >= 128
    return light


def _margins(text: str) -> float | tuple[int, ...]:
    """A share of the sides, or four numbers of pixels. Raises BadParameter."""
    try:
        if "," in text:
            return tuple(int(one) for one in text.split(","))
        over, _, under = text.partition("/")
        return float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"expected --margins 1/4 or TOP,RIGHT,BOTTOM,LEFT, found {text}") from None
