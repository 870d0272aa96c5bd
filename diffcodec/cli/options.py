"""Options that several commands share, and the order they come in: what the command is about, then how it is done."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer


def model_names(start: str) -> list[str]:
    """Names of bundled models that begin so, for a shell to complete."""
    from .. import api

    return [card["name"] for card in api.list_models() if card["name"].startswith(start)]


Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="A bundled model's name, a path to one, or diffusers:FOLDER of a saved pipeline.",
        autocompletion=model_names,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, one object a line.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads at most (default: the network's own number).")]
Engine = Annotated[
    Literal["processes", "ray"], typer.Option(help="What works side by side: processes here, or a Ray cluster.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes (one per core).")]
FileJobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Processes (1), or actors, each with a model of its own.")
]
Out = Annotated[str | None, typer.Option("--out", "-o", metavar="OUT", help="The file to write, of one IN.")]
OutDir = Annotated[str | None, typer.Option(metavar="DIR", help="A folder to write to; else beside each IN.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Take folders, with their structure.")]
SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Leave files that are written already.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be written, and write nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more of each file.")]
Budget = Annotated[
    float, typer.Option(help="Times the usual work to allow: 0.1 for strangers' files, inf for your own.")
]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Refuse larger pictures (default 2^28 pixels).")]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_of(engine: Literal["processes", "ray"], jobs: int | None, here: int | None = None) -> int:
    """How many at most, where nothing is said: ``here`` of this machine, or one per core; all the room of a cluster."""
    from ..archive import engines

    return jobs or {"processes": here or cores(), "ray": engines.ALL}[engine]


def allow_large_pictures() -> None:
    """Pillow's own guard stops at 179 million pixels; `files.read` checks 2^28 before anything is decoded."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
