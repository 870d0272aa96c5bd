"""bench, models, demo: what is measured, what is there, what it looks like."""

from __future__ import annotations

import json
import os
import re
import textwrap
from typing import Annotated, Any

import typer

from .. import api
from ..runtime.errors import ModelNotFound
from . import console
from .options import Device, Engine, FileJobs, Json, Model, Quiet, allow_large_pictures, jobs_of, model_names


def bench(
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of pictures, of clips, or both.")],
    *,
    out: Annotated[str, typer.Option(help="Folder of the report; rows already there are kept.")],
    codec: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:MODEL]", help="Measure only this codec, or package.module:name of yours; may be repeated."
        ),
    ] = None,
    rate: Annotated[list[float] | None, typer.Option(min=0, help="Bits per pixel; may be repeated.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Only this many pictures and clips.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Of a clip only the first frames.")] = 32,
    published: Annotated[
        str | None, typer.Option(metavar="FILE.csv", help="Points to draw in: columns codec, bpp, psnr_db, ms_ssim.")
    ] = None,
    jobs: FileJobs = None,
    engine: Engine = "processes",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure codecs on a folder: real bytes, quality, seconds; a table, plots and an HTML page."""
    from ..bench import run

    def kept() -> str:
        rows = os.path.join(out, "rows.csv")
        if not os.path.isfile(rows):
            return "nothing was measured yet: begin again"
        return f"what was measured stands in {rows}: the same command goes on from there"

    console.hush(quiet)
    allow_large_pictures()
    most, rates = jobs_of(engine, jobs, here=1), rate or run.RATES
    how: dict[str, Any] = {"jobs": most, "engine": engine, "published": published, "frames": frames}
    with console.interruptible(kept), console.bar("measuring") as progress:
        done = run.run(source, out, codec, rates, first, progress, **how)
    if as_json:
        print(json.dumps(done))
        return
    for line in [*done["errors"], *(f"{name} {reason}" for name, reason in done["skipped"].items())]:
        console.say(console.line(f"left out: {line}"))
    console.tell(f"{done['report']}: {done['rows']} files of {done['images']} pictures and clips")


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A model, to see its card.", autocompletion=model_names)
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the bundled models; of one, show its card."""
    cards: list[dict[str, Any]] = [dict(card) for card in api.list_models()]
    if name is not None:
        _show_card(_card(cards, name), as_json)
    elif as_json:
        defaults = {codec: card["name"] for card in cards for codec in card["default_for"]}
        print(json.dumps({"models": cards, "default": defaults}))
    else:
        print(f"{'name':16} {'codec':6} {'default of':11} {'numerics':9} {'bytes':>9}  what")
        for card in cards:
            what, default = _short(card["description"]), ", ".join(card["default_for"])
            codec, numerics = card["codec"], card["numerics"]
            print(f"{card['name']:16} {codec:6} {default:11} {numerics:9} {card['bytes']:9}  {what}")


def _card(cards: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Raises ModelNotFound."""
    found = next((card for card in cards if card["name"] == name), None)
    if found is None:
        names = ", ".join(card["name"] for card in cards)
        raise ModelNotFound(f"no model '{name}' is bundled: expected one of {names}")
    return found


def _show_card(card: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(card))
        return
    for key, value in card.items():
        print(f"{key.replace('_', ' '):18} {value if isinstance(value, str) else json.dumps(value)}")


_WORDS = 64  #: characters of a description in the table


def _short(description: str) -> str:
    """What a model is, up to where its description goes into detail."""
    return textwrap.shorten(re.split(r"[:;(.]\s?", description)[0], _WORDS, placeholder=" …")


def demo(
    *,
    out: Annotated[str, typer.Option(help="Directory for the pictures; made if it is not there.")] = "diffcodec-demo",
    image: Annotated[str | None, typer.Option(help="A picture file instead of scikit-image's photograph.")] = None,
    model: Model = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Encode and decode a photograph, draw its previews, compare with PNG and WebP."""
    from . import demo as run

    console.hush(quiet)
    allow_large_pictures()
    with console.interruptible(lambda: f"what was written stays in {out}, and so do compiled kernels: begin again"):
        result = run.run(out, image, model=model, device=device, tell=None if as_json or quiet else _tell)
    if as_json:
        print(json.dumps(result))


def _tell(line: str) -> None:
    print(line, flush=True)
