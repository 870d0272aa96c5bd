"""info: what a stream or an archive holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from .. import api
from ..archive import memory as archive
from . import console
from .options import Json, MaxPixels
from .pipes import read


def info(
    source: Annotated[str, typer.Argument(metavar="IN.dfc", help="A .dfc file, or - for standard input.")],
    *,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Show what a stream or an archive holds; needs no weights."""
    data = read(source)
    is_archive = data.startswith(b"\x8bDFA")
    found = (archive.inspect_archive if is_archive else api.inspect)(data, max_pixels=max_pixels)
    if as_json:
        print(json.dumps(found))
        return
    passes, groups, given = found.pop("passes", None), found.pop("groups", None), found.pop("given", ())
    _print_facts(found)
    _print_given(given)
    if groups is not None:
        print(f"\n{'group':>6} {'pictures':>9} {'chained':>9} {'bytes':>12}")
        for one in groups:
            print(f"{one['number']:6} {one['pictures']:9} {one['chained']:9} {one['bytes']:12}")
        return
    print(f"{'passes':16} {len(passes)}\n\n{'pass':>6} {'bytes':>12} {'bits/pixel':>12} {'decodes from byte':>18}")
    for number, one in enumerate(passes):
        print(f"{number:6} {one['bytes']:12} {one['bpp']:12.4f} {one['end']:18}")


def _print_facts(found: dict[str, Any]) -> None:
    """A line for each fact but the names, those of the cost of decoding with the others."""
    facts: dict[str, Any] = {}
    for key, value in found.items():
        if key == "decode_cost":
            for what, cost in value.items():
                facts |= {f"allowed_{k}": v for k, v in cost.items()} if what == "allowed" else {f"decode_{what}": cost}
        elif key == "metadata":
            facts[key] = ", ".join(f"{kind} {size}" for kind, size in value.items()) or None
        elif key != "names":
            facts[key] = value
    for key, value in facts.items():
        if value is not None:
            print(f"{key.replace('_', ' '):16} {f'{value:.4f}' if isinstance(value, float) else console.line(value)}")


def _print_given(parts: Sequence[Mapping[str, Any]], depth: int = 0) -> None:
    """A line for each thing that the model was given, what a nested stream was given in turn further in."""
    for part in parts:
        words = console.line(_GIVEN[part["kind"]](part))
        print(f"{'' if depth else 'given':16} {'  ' * depth}{words}, {part['bytes']} bytes")
        _print_given(part.get("given", ()), depth + 1)


def _stream_words(part: Mapping[str, Any]) -> str:
    numbers = "".join(f" {number}" for number in part["numbers"])
    believed = "" if part["augmentation"] is None else f", augmentation {part['augmentation']}"
    return f"{part['operator']}{numbers}: {part['codec']}, {part['width']}×{part['height']} {part['mode']}{believed}"


_SHOWN = 60  #: characters of a text that `info` shows
_GIVEN: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda part: f"text {part['prompt'][:_SHOWN]!r}, scale {part['scale']:g}",
    "stream": _stream_words,
    "file": lambda part: "file",
    "before": lambda part: f"before: {part['frames']} frames",
    "outside": lambda part: f"outside: {part['label']!r}, SHA-256 {part['digest'][:16]}…",
}
