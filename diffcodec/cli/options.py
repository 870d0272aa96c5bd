"""Options that several commands share, and the order they come in: what the command is about, then how it is done."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Model = Annotated[
    str | None, typer.Option(help="A bundled model's name, a path to one, or diffusers:FOLDER of a saved pipeline.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads at most (default: the network's own number).")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes (one per core).")]
Budget = Annotated[
    float, typer.Option(help="Times the usual work to allow: 0.1 for strangers' files, inf for your own.")
]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Refuse larger pictures (default 2^28 pixels).")]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def allow_large_pictures() -> None:
    """Pillow's own guard stops at 179 million pixels; `files.read` checks 2^28 before anything is decoded."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
