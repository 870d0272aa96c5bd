"""view, thumbnail: streams and archives for the eye, as one page that needs nothing else, and as small pictures."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..runtime.errors import DiffcodecError, InputError
from . import console
from .options import Budget, Device, Json, MaxPixels, Model, Overwrite, Quiet, allow_large_pictures
from .pipes import check_target, read, write
from .showing import ARCHIVE

if TYPE_CHECKING:
    from PIL import Image

    from .view.seen import Seen
    from .view.small import How

PAGE = 2**26  #: bytes of picture files in a page, at most, but for a few of each picture
_TRIED = 8  # pictures of an archive that may stand for it


def view(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Streams and archives; - for standard input.")],
    *,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="OUT.html", help="The page to write; else one that is opened at once."),
    ] = None,
    original: Annotated[
        str | None, typer.Option(metavar="IN", help="A picture to compare one FILE with, beside or under a wipe.")
    ] = None,
    previews: Annotated[int, typer.Option(min=1, max=64, help="Previews of a stream at most.")] = 12,
    most: Annotated[int, typer.Option(min=1, help="Pictures of an archive that are decoded, the first ones.")] = 60,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser: print where the page is.")] = False,
    model: Model = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Budget = 1.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show streams and archives on one page: zoom, previews by bytes, bits per pass, metadata, a contact sheet."""
    _check(files, original, out, overwrite, as_json)
    console.hush(quiet)
    from .view import page
    from .view.small import How

    how = How(previews, most, PAGE // len(files), model, device, max_pixels, budget)
    allow_large_pictures()
    with console.interruptible(lambda: "no page was written, and nothing is kept: begin again"):
        every = [_looked_at(name, how, original) for name in files]
    _require_any(every)
    data = page.render(every).encode()
    place = _temporary(files) if out is None else out
    write(place, data, overwrite)
    if as_json:
        for seen in every:
            print(json.dumps(_fields(seen, place)))
    elif place != "-":
        console.tell(f"{place}: {len(every)} file{'s' * (len(every) > 1)}, {len(data)} bytes")
    if out is None:
        _open(place, no_open, as_json)
    _require_no_problem(every)


def _check(files: list[str], original: str | None, out: str | None, overwrite: bool, as_json: bool) -> None:
    """Raises BadParameter, InputError; before the work."""
    if original is not None and len(files) != 1:
        raise typer.BadParameter("--original is of one FILE")
    if files.count("-") > 1:
        raise typer.BadParameter("- stands for one stream: give it once")
    if out is not None:
        for source in (*files, *([] if original is None else [original])):
            check_target(out, overwrite, as_json, source)


def _require_any(every: list[Seen]) -> None:
    """Raises DiffcodecError where there is nothing to see of any."""
    if not any(seen.what for seen in every):
        raise DiffcodecError("; ".join(map(_problem, every)))


def _require_no_problem(every: list[Seen]) -> None:
    """Say what is wrong with each, and leave with status 1 if anything is. Raises typer.Exit."""
    bad = [seen for seen in every if seen.problem]
    for seen in bad:
        console.say(f"error: {console.line(_problem(seen))}")
    if bad:
        raise typer.Exit(1)


def _problem(seen: Seen) -> str:
    return f"{seen.name}: {seen.problem}"


def _looked_at(name: str, how: How, original: str | None) -> Seen:
    """A file as far as it can be seen; one that cannot at all has a problem only. Raises where the original cannot."""
    from .view import seen

    shown = "standard input" if name == "-" else name
    beside = None if original is None else seen.read_original(original)
    try:
        data = read(name)
        with console.bar(f"looking at {console.line(shown)}") as progress:
            return seen.look_at(shown, data, how, beside, progress)
    except DiffcodecError as error:
        return seen.Seen(shown, 0, problem=str(error))
    except OSError as error:
        return seen.Seen(shown, 0, problem=error.strerror or type(error).__name__)


def _fields(seen: Seen, place: str) -> dict[str, Any]:
    """A line of --json."""
    return {
        "file": seen.name,
        "page": place,
        "bytes": seen.size,
        "shown": seen.what or None,
        "previews": [layer.size for layer in seen.layers],
        "thumbnails": sum(bool(one.url) for one in seen.thumbnails),
        "problem": seen.problem or None,
    }


def _temporary(files: list[str]) -> str:
    """A page's name in a folder of its own, which only its user may enter."""
    import tempfile

    name = "diffcodec" if len(files) > 1 or files[0] == "-" else os.path.basename(os.path.normpath(files[0]))
    return os.path.join(tempfile.mkdtemp(prefix="diffcodec-"), f"{name[:60]}.html")


def _open(path: str, no_open: bool, as_json: bool) -> None:
    """Have a browser show a page, or say where it is."""
    from pathlib import Path

    if no_open:
        if not as_json:
            print(path)
        return
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        console.say(console.line(f"no browser was found: open {path}"))


# ---- small pictures


def thumbnail(
    source: Annotated[str, typer.Argument(metavar="IN", help="A stream or an archive; - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT.png", help="The PNG to write; - for standard output.")],
    *,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Pixels of the longer side at most.")] = 256,
    model: Model = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Budget = 1.0,
    overwrite: Overwrite = False,
) -> None:
    """Write a small picture of a stream, from its first bytes, or of the first picture of an archive."""
    check_target(target, overwrite, False, source)
    data = read(source)
    from .view import drawn
    from .view.small import How, small

    how = How(model=model, device=device, max_pixels=max_pixels, budget=budget)
    with console.bar("decoding"):
        image, icc = _first_of(data, size, how) if data.startswith(ARCHIVE) else small(data, size, how)
    write(target, drawn.png(image, icc), overwrite)


def _first_of(data: bytes, size: int, how: How) -> tuple[Image.Image, bytes]:
    """Of an archive, the first picture that can be read. Raises DiffcodecError."""
    from ..archive import listing
    from .view.small import of_archive

    problem: DiffcodecError = InputError("the archive holds no picture that can be read")
    for _, held in listing.contents(data, _TRIED, **how.decoding):
        try:
            return of_archive(held, size, how)
        except DiffcodecError as error:
            problem = error
    raise problem
