"""Writes docs/reference/cli.md from the commands of `diffcodec.cli.main`.

python -m tools.make_cli_doc [--check]
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from diffcodec.cli.main import app_of

PATH = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
INTRODUCTION = """# Command line

Written by `tools/make_cli_doc.py` from the commands themselves; `diffcodec COMMAND --help` says the same.

`-` stands for standard input or output. Output files appear whole or not at all. Exit status: 0; 1 for an error
that you can act on (one line on standard error); 2 for wrong usage; 130 after an interruption, which says what is kept
and how to go on. A summary on standard error says bytes in, bytes out and the second in per cent of the first;
`-q` leaves it out, `-v` says more. Two names are IN and OUT; one, more, a pattern, or `--out-dir` and `-r` are
[many files](../howto/files.md), with a line, or with `--json` an object, for each.
`python -m diffcodec` is the same command. `diffcodec --install-completion` lets the shell (bash, zsh, fish, PowerShell)
complete commands, options and names of models; `--show-completion` only prints what it would add.

```sh
diffcodec encode photo.png photo.dfc          # or TIFF, JPEG, WebP, PNM, AVIF, .npy, ...
diffcodec decode photo.dfc photo.png          # PNG, TIFF, WebP (lossless), BMP, PPM or .npy, by the name
diffcodec decode photo.dfc preview.png --upto-bytes 8000
diffcodec encode photo.png small.dfc --bpp 0.5          # or --max-bytes 20000, or --psnr 35: DiffC
diffcodec decode small.dfc photo.png --realism 0        # least squared error; at 1 it looks sharper
diffcodec decode small.dfc photo.png --decoder teacher  # 17 network calls for its textures in place of 4
diffcodec encode photo.png photo.dfc --tune   # fits the network to the photograph: smaller, slower to encode
diffcodec encode icon.png icon.dfc --model cifar10-ardm      # 32×32 pictures; cifar10-oa: in any order, --calls 50
diffcodec encode -r photos/ --out-dir coded/ --skip-existing -j 2     # photos/a/b.png -> coded/a/b.png.dfc
diffcodec decode coded/*.dfc --out-dir back/  # patterns as well where the shell leaves them, as on Windows
diffcodec info photo.dfc                      # geometry, model, bits per pass; needs no weights
diffcodec view photo.dfc --original photo.png # a page with zoom, previews, a wipe: howto/view.md
diffcodec models                              # a table; models photo-ardm: its card
diffcodec pack pictures/ pictures.dfca        # one lossless archive; goes on where an interrupted run stopped
diffcodec list pictures.dfca                  # as tar has it; extract, append, diff: howto/archive.md
diffcodec extract pictures.dfca 'holiday/*' --out-dir out/
diffcodec test photo.dfc pictures.dfca        # decodes all, writes nothing
diffcodec bench pictures/ --out report        # extra "bench": codecs at equal rates, table, plots, page with a slider
```
"""


WORDS = {str: "text", int: "whole number", float: "number"}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def takes(kind: Any, least: float | None, most: float | None = None) -> str:
    """What a parameter of this type takes: its choices, or a word."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    many = get_origin(kind) is list
    if many:
        (kind,) = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    word = WORDS.get(kind, "")  # nothing for a switch
    ends = "".join(f" {word} {end:g}" for word, end in (("from", least), ("to", most)) if end is not None)
    return f"{word}{ends}{', repeated' if many else ''}"


def parameters(command: Callable[..., Any]) -> Iterator[tuple[str, bool, str, Any, str]]:
    """Name, whether it stands without a name of its own, what it takes, default, help."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        if get_origin(hint) is Union:  # as Python 3.10 has it where the default is None
            hint = get_args(hint)[0]
        kind, about = get_args(hint)
        argument = isinstance(about, ArgumentInfo)
        # within Annotated, what stands where the default would be is a name as well
        names = [one for one in (about.default, *(about.param_decls or ())) if isinstance(one, str)]
        spelt = (about.metavar or name.upper()) if argument else ", ".join(names) or f"--{name.replace('_', '-')}"
        default = "required" if parameter.default is inspect.Parameter.empty else parameter.default
        yield spelt, argument, takes(kind, about.min, about.max), default, about.help or ""


def section(name: str, command: Callable[..., Any]) -> list[str]:
    """A command's heading, usage and table."""
    found = list(parameters(command))
    usage = " ".join(["diffcodec", name, *(spelt for spelt, argument, *_ in found if argument), "[OPTIONS]"])
    out = [f"## {name}", "", cell(command.__doc__ or ""), "", "```text", usage, "```", ""]
    out += ["| | takes | default | |", "|---|---|---|---|"]
    for spelt, _, kind, default, help in found:
        shown = "" if default in (None, False) else f"`{default}`" if default != "required" else default
        out.append(f"| `{spelt}` | {kind} | {shown} | {cell(help)} |")
    return [*out, ""]


def text() -> str:
    """The whole page."""
    out = [INTRODUCTION]
    for info in app_of([]).registered_commands:
        assert info.callback is not None
        out += section(info.name or info.callback.__name__, info.callback)
    return "\n".join(out).rstrip() + "\n"


def main() -> int:
    if "--check" in sys.argv:
        return 0 if PATH.read_text(encoding="utf-8") == text() else 1
    PATH.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
