"""The command `diffcodec`. Heavy imports wait inside the commands: --help and info must start at once.

Each subcommand is a function of a module beside this one, which is imported where its name is the first word.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from ..runtime.errors import DiffcodecError
from ..runtime.version import __version__
from . import console

#: module and function of each subcommand, in the order of the help
COMMANDS = {
    "encode": ("pictures", "encode"),
    "decode": ("pictures", "decode"),
    "info": ("showing", "info"),
    "restore": ("restoring", "restore"),
    "pack": ("archives", "pack"),
    "append": ("archives", "append"),
    "unpack": ("archives", "unpack"),
    "extract": ("archives", "extract"),
    "list": ("showing", "listed"),
    "diff": ("showing", "diff"),
    "test": ("showing", "checked"),
    "view": ("viewing", "view"),
    "thumbnail": ("viewing", "thumbnail"),
    "desktop": ("desktop", "desktop"),
    "bench": ("tools", "bench"),
    "models": ("tools", "models"),
    "calibrate": ("calibrating", "calibrate"),
    "demo": ("tools", "demo"),
}


def app_of(argv: Sequence[str]) -> typer.Typer:
    """The command with the subcommand that ``argv`` begins with, or with all of them: for help, completion, typos."""
    app = typer.Typer(
        name="diffcodec",
        help="Images to bits and back with neural models. Lossless .dfc files decode bit-exactly on any machine.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        module, function = COMMANDS[name]
        app.command(name)(_begun(getattr(import_module(f".{module}", __package__), function)))
    return app


def _begun(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with garbage collected from its beginning on, but for what was imported until then."""

    @functools.wraps(command)
    def begun(*args: Any, **options: Any) -> None:
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        command(*args, **options)

    return begun


def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main(argv: list[str] | None = None) -> None:
    """Run the command and leave with status 0, 1 (an error the user can act on), 2 (usage) or 130 (interrupted)."""
    atexit.register(gc.freeze)  # nothing is looked through on leaving, which takes a second where torch is loaded
    if argv is None:  # a process of its own: what it imports stays, and is not looked through as it comes
        gc.disable()
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    console.prepare()
    warnings.showwarning = lambda message, *_: console.say(f"warning: {console.line(message)}")
    try:
        app_of(argv)(argv, prog_name="diffcodec")
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
