"""The command `diffcodec`. Heavy imports wait inside the commands: --help and info must start at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import typer

from . import __version__, api, archive, output
from .errors import DiffcodecError, InputError

app = typer.Typer(
    name="diffcodec",
    help="Images to bits and back with neural models. Lossless .dfc files decode bit-exactly on any machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the model runs.")]
Model = Annotated[str | None, typer.Option(help="A bundled model's name, or a path to one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
MaxPixels = Annotated[int | None, typer.Option(min=1, help="Refuse larger pictures (default 2^28 pixels).")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def encode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A picture file, or - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT.dfc", help="The file to write, or - for standard output.")],
    codec: Annotated[
        Literal["ardm", "vdm", "diffc"] | None,
        typer.Option(help="ardm: lossless (the default); diffc: lossy (the default when a rate is asked for)."),
    ] = None,
    bpp: Annotated[float | None, typer.Option(min=0, help="Bits per pixel to aim at (lossy).")] = None,
    psnr: Annotated[float | None, typer.Option(min=0, help="Quality to aim at, in dB (lossy).")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Size to stay within (lossy).")] = None,
    model: Model = None,
    prompt: Annotated[str | None, typer.Option(help="A text that guides the model (lossy).")] = None,
    device: Device = "auto",
    calls: Annotated[int | None, typer.Option(min=1, help="Network calls of an order-agnostic model (50).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed recorded in the stream.")] = 0,
    tune: Annotated[
        bool, typer.Option("--tune", help="Fit the network to the picture: smaller, slow to encode.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode a picture."""
    rates = [value for value in (bpp, psnr, max_bytes) if value is not None]
    if len(rates) > 1:
        raise typer.BadParameter("give one of --bpp, --psnr and --max-bytes")
    _check_target(target, overwrite, as_json)
    data = _read(source)
    from . import files

    _allow_large_pictures()
    picture = files.read(data)
    start = time.perf_counter()
    with _progress("encoding") as progress:
        stream = api.encode(
            picture,
            codec or ("diffc" if rates else "ardm"),
            model,
            bpp=bpp,
            psnr=psnr,
            max_bytes=max_bytes,
            prompt=prompt,
            device=device,
            calls=calls,
            seed=seed,
            tune=tune,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    _write(target, stream, overwrite)
    _report({**_summary(api.inspect(stream), seconds, device), "input_bytes": len(data)}, target, as_json)


@app.command()
def decode(
    source: Annotated[str, typer.Argument(metavar="IN.dfc", help="A .dfc file, or - for standard input.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT.png", help="PNG, TIFF, WebP, BMP, PPM or npy by its name; - writes PNG.")
    ],
    upto_bytes: Annotated[int | None, typer.Option(min=1, help="Decode a preview from this many bytes.")] = None,
    reconstruction: Annotated[
        Literal["flow", "ancestral", "mean"], typer.Option(help="How a lossy stream is reconstructed.")
    ] = "flow",
    model: Model = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Decode a stream; a lossless one is checked against the digest of its pixels."""
    _check_target(target, overwrite, as_json)
    data = _read(source)[:upto_bytes]
    header = api.inspect(data, partial=upto_bytes is not None, max_pixels=max_pixels)
    from . import files

    format = "PNG" if target == "-" else files.format_of(target)
    files.check(header["mode"], format)
    start = time.perf_counter()
    with _progress("decoding") as progress:
        picture = api.decode_picture(
            data,
            upto_bytes=upto_bytes,
            reconstruction=reconstruction,
            device=device,
            model=model,
            max_pixels=max_pixels,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    _write(target, files.write(picture, format), overwrite)
    size = {"width": picture.width, "height": picture.height, "mode": picture.mode, "complete": header["complete"]}
    _report({**_summary(header, seconds, device), **size}, target, as_json)


@app.command()
def info(
    source: Annotated[str, typer.Argument(metavar="IN.dfc", help="A .dfc file, or - for standard input.")],
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Show what a stream or an archive holds; needs no weights."""
    data = _read(source)
    is_archive = data.startswith(b"\x8bDFA")
    found = (archive.inspect_archive if is_archive else api.inspect)(data, max_pixels=max_pixels)
    if as_json:
        print(json.dumps(found))
        return
    passes, groups = found.pop("passes", None), found.pop("groups", None)
    found.pop("names", None)
    for key, value in found.items():
        if value is not None:
            print(f"{key.replace('_', ' '):16} {f'{value:.4f}' if isinstance(value, float) else value}")
    if groups is not None:
        print(f"\n{'group':>6} {'pictures':>9} {'chained':>9} {'bytes':>12}")
        for one in groups:
            print(f"{one['number']:6} {one['pictures']:9} {one['chained']:9} {one['bytes']:12}")
        return
    print(f"{'passes':16} {len(passes)}\n\n{'pass':>6} {'bytes':>12} {'bits/pixel':>12} {'decodes from byte':>18}")
    for number, one in enumerate(passes):
        print(f"{number:6} {one['bytes']:12} {one['bpp']:12.4f} {one['end']:18}")


@app.command()
def pack(
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of pictures, with its subfolders.")],
    target: Annotated[str, typer.Argument(metavar="OUT.dfca", help="The archive to write.")],
    model: Model = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Diffusion steps: more are slower, smaller (100).")] = None,
    group: Annotated[int, typer.Option(min=1, help="Pictures coded, and readable, together.")] = 256,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures in a network call at most (by size).")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes (one per core).")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Pack a folder of pictures into one lossless archive; goes on where an interrupted run stopped."""
    from . import packing

    _allow_large_pictures()
    start = time.perf_counter()
    with _progress("packing") as progress:
        done = packing.pack(
            source,
            target,
            model,
            steps=steps,
            batch=batch,
            group=group,
            device=device,
            jobs=jobs or _cores(),
            overwrite=overwrite,
            progress=progress,
        )
    done |= {"bpd": 8 * done["bytes"] / done.pop("samples"), "seconds": round(time.perf_counter() - start, 3)}
    done |= {"device": device}
    if as_json:
        print(json.dumps(done))
        return
    print(
        f"{target}: {done['pictures']} pictures in {done['bytes']} bytes, {done['bpd']:.3f} bits per sample, "
        f"{done['seconds']:.1f} s, left out: {len(done['left_out'])}",
        file=sys.stderr,
    )


@app.command()
def unpack(
    source: Annotated[str, typer.Argument(metavar="IN.dfca", help="An archive.")],
    target: Annotated[str, typer.Argument(metavar="DIR", help="The folder to write to; made if it is not there.")],
    only: Annotated[str | None, typer.Option(help="Names to write, such as 'holiday/*'.")] = None,
    model: Model = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes (one per core).")] = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Unpack an archive; every picture is checked, and a damaged group costs only its own."""
    from . import packing

    start = time.perf_counter()
    with _progress("unpacking") as progress:
        done = packing.unpack(
            source,
            target,
            only=only,
            model=model,
            device=device,
            jobs=jobs or _cores(),
            overwrite=overwrite,
            max_pixels=max_pixels,
            progress=progress,
        )
    done["seconds"] = round(time.perf_counter() - start, 3)
    if as_json:
        print(json.dumps(done))
    else:
        print(f"{target}: {done['pictures']} pictures, {done['seconds']:.1f} s", file=sys.stderr)
    if done["problems"]:
        raise DiffcodecError(f"{'; '.join(done['problems'])}; the {done['pictures']} pictures of the rest are written")


@app.command()
def bench(
    source: Annotated[str, typer.Argument(metavar="DIR", help="A folder of pictures.")],
    out: Annotated[str, typer.Option(help="Folder of the report; rows already there are kept.")],
    codec: Annotated[list[str] | None, typer.Option(help="Measure only this codec; may be repeated.")] = None,
    rate: Annotated[list[float] | None, typer.Option(min=0, help="Bits per pixel; may be repeated.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Only this many pictures.")] = None,
    as_json: Json = False,
) -> None:
    """Measure codecs on a folder: real bytes, quality, seconds; a table, plots and an HTML page."""
    try:
        from .bench import run
    except ImportError as error:
        raise InputError(f"bench needs {error.name}: pip install 'diffcodec[bench]'") from None
    _allow_large_pictures()
    with _progress("measuring") as progress:
        done = run.run(source, out, codec, rate or run.RATES, first, progress)
    if as_json:
        print(json.dumps(done))
        return
    for line in [*done["errors"], *(f"{name} {reason}" for name, reason in done["skipped"].items())]:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{done['report']}: {done['rows']} files of {done['images']} pictures", file=sys.stderr)


@app.command()
def models(as_json: Json = False) -> None:
    """List the bundled models."""
    from .models import registry

    cards = registry.cards()
    if as_json:
        print(json.dumps({"models": cards, "default": registry.DEFAULT}))
        return
    for card in cards:
        print(card["name"])
        for key, value in card.items():
            if key != "name":
                print(f"  {key.replace('_', ' '):18} {value if isinstance(value, str) else json.dumps(value)}")


@app.command()
def demo(
    out: Annotated[str, typer.Option(help="Directory for the pictures; made if it is not there.")] = "diffcodec-demo",
    image: Annotated[str | None, typer.Option(help="A picture file instead of scikit-image's photograph.")] = None,
    model: Model = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Encode and decode a photograph, draw its previews, compare with PNG and WebP."""
    from . import demo as run

    _allow_large_pictures()
    with _progress("demo") as progress:
        result = run.run(out, image, model=model, device=device, progress=progress)
    print(json.dumps(result) if as_json else run.text(result))


# ---- around the commands


def main(argv: list[str] | None = None) -> None:
    """Run the command and leave with status 0, 1 (an error the user can act on), 2 (usage) or 130 (interrupted)."""
    sys.exit(_run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    warnings.showwarning = lambda message, *_: print(f"warning: {_line(message)}", file=sys.stderr)
    try:
        app(argv, prog_name="diffcodec")
    except SystemExit as stop:
        return _flush(stop.code if isinstance(stop.code, int) else 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return _abandon_stdout()
    except DiffcodecError as error:
        return _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError:
        return _fail("not enough memory for a picture of this size")
    return _flush(0)


def _fail(message: str) -> int:
    print(f"error: {_line(message)}", file=sys.stderr)
    return 1


def _flush(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _abandon_stdout()
    return code


def _abandon_stdout() -> int:
    """The reader went away: say nothing, and keep the interpreter's own flush at exit quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _line(message: object) -> str:
    return " ".join(str(message).split())


def _check_target(target: str, overwrite: bool, as_json: bool) -> None:
    if target != "-":
        output.check(target, overwrite)
    elif as_json:
        raise typer.BadParameter("--json prints on standard output, and so does OUT -: name a file")
    elif sys.stdout.isatty():
        raise typer.BadParameter("OUT - writes bytes, and standard output is a terminal: redirect it")


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    if os.path.isdir(source):
        raise InputError(f"expected an input file, found the directory {source}")
    with open(source, "rb") as file:
        return file.read()


def _write(target: str, data: bytes, overwrite: bool) -> None:
    if target != "-":
        output.write(target, data, overwrite)
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _summary(found: dict[str, Any], seconds: float, device: str) -> dict[str, Any]:
    if device == "auto":
        torch = sys.modules.get("torch")
        device = "cuda" if torch is not None and found["model"] and torch.cuda.is_available() else "cpu"
    keys = ("bytes", "bpp", "bpd", "codec", "model")
    return {**{key: found[key] for key in keys}, "seconds": round(seconds, 4), "device": device}


def _report(summary: dict[str, Any], target: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    part = "" if summary.get("complete", True) else " (a preview)"
    print(
        f"{'standard output' if target == '-' else target}{part}: {summary['bytes']} bytes of .dfc, "
        f"{summary['bpp']:.3f} bits per pixel, {summary['seconds']:.2f} s on {summary['device']}",
        file=sys.stderr,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _allow_large_pictures() -> None:
    """Pillow's own guard stops at 179 million pixels; files.read checks 2^28 before anything is decoded."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on a terminal's standard error; says after a while without progress what a first run waits for."""
    if not sys.stderr.isatty():
        yield None
        return
    import threading

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        hint = f"{what} (a first run compiles its kernels, for about a minute)"
        waiting = threading.Timer(5, lambda: bar.update(task, description=hint))
        waiting.daemon = True
        waiting.start()

        def advance(fraction: float) -> None:
            waiting.cancel()
            bar.update(task, completed=fraction, description=what)

        try:
            yield advance
        finally:
            waiting.cancel()
