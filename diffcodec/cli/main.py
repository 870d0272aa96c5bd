"""The command `diffcodec`. Heavy imports wait inside the commands: --help and info must start at once."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from ..runtime.errors import DiffcodecError
from ..runtime.version import __version__
from . import archives, console, pictures, restoring, showing, tools

app = typer.Typer(
    name="diffcodec",
    help="Images to bits and back with neural models. Lossless .dfc files decode bit-exactly on any machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    pictures.encode,
    pictures.decode,
    showing.info,
    restoring.restore,
    archives.pack,
    archives.unpack,
    tools.bench,
    tools.models,
    tools.demo,
):
    app.command()(_command)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main(argv: list[str] | None = None) -> None:
    """Run the command and leave with status 0, 1 (an error the user can act on), 2 (usage) or 130 (interrupted)."""
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    console.prepare()
    warnings.showwarning = lambda message, *_: console.say(f"warning: {console.line(message)}")
    try:
        app(argv, prog_name="diffcodec")
    except SystemExit as stop:
        return console.flush(stop.code if isinstance(stop.code, int) else 1)
    except console.Interrupted as stop:
        console.say(f"interrupted: {console.line(stop)}")
        return 130
    except KeyboardInterrupt:
        console.say("interrupted")
        return 130
    except BrokenPipeError:
        return console.abandon_stdout()
    except DiffcodecError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError:
        return _fail("not enough memory for a picture of this size")
    return console.flush(0)


def _fail(message: str) -> int:
    console.say(f"error: {console.line(message)}")
    return 1
