"""encode, decode, info: one picture and its stream."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import typer

from .. import api
from ..archive import memory as archive
from ..runtime import atomic as output
from ..runtime.errors import InputError
from . import console
from .options import Budget, Device, Json, MaxPixels, Model, Overwrite, Threads, allow_large_pictures
from .sizes import sizes, told, warn_if_larger

CONCEALED = 3  #: exit status where something was filled in that a stream has lost


def encode(
    source: Annotated[str, typer.Argument(metavar="IN", help="A picture file, or - for standard input.")],
    target: Annotated[str, typer.Argument(metavar="OUT.dfc", help="The file to write, or - for standard output.")],
    *,
    codec: Annotated[
        Literal["ardm", "vdm", "diffc"] | None,
        typer.Option(help="ardm: lossless (the default); diffc: lossy (the default when a rate is asked for)."),
    ] = None,
    bpp: Annotated[float | None, typer.Option(min=0, help="Bits per pixel to aim at (lossy).")] = None,
    psnr: Annotated[float | None, typer.Option(min=0, help="Quality to aim at, in dB (lossy).")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Size to stay within (lossy).")] = None,
    model: Model = None,
    prompt: Annotated[str | None, typer.Option(help="A text that guides the model (lossy).")] = None,
    base: Annotated[
        str | None, typer.Option(help="First the picture in small, 1/4, or in stages, 1/16,1/4 (lossy).")
    ] = None,
    base_bpp: Annotated[
        str | None, typer.Option(help="Of the base: bits per pixel of the picture, or lossless (4/10 of the rate).")
    ] = None,
    device: Device = "auto",
    effort: Annotated[
        int | None, typer.Option(min=1, max=9, help="diffc: 1 is the fastest, 9 gives the smallest file (5).")
    ] = None,
    calls: Annotated[int | None, typer.Option(min=1, help="Network calls of an order-agnostic model (50).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed recorded in the stream.")] = 0,
    tune: Annotated[
        bool, typer.Option("--tune", help="Fit the network to the picture: smaller, slow to encode.")
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Leave out metadata but ICC profile, colour, orientation, timing.")
    ] = False,
    strip_thumbnail: Annotated[
        bool, typer.Option("--strip-thumbnail", help="Leave out the thumbnail in the Exif data.")
    ] = False,
    first: Annotated[bool, typer.Option("--first", help="Only the first frame or page.")] = False,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Encode a picture, with its metadata and all frames or pages; of a .npy file also tokens or a clip."""
    rates = [value for value in (bpp, psnr, max_bytes) if value is not None]
    if len(rates) > 1:
        raise typer.BadParameter("give one of --bpp, --psnr and --max-bytes")
    if base is None and base_bpp is not None:
        raise typer.BadParameter("--base-bpp is of a base: give --base as well")
    check_target(target, overwrite, as_json, source)
    data = read(source)
    from .. import files

    allow_large_pictures()
    signal = files.read_signal(data, first=first)
    start = time.perf_counter()
    with _nothing_kept(target):
        given = None
        if base is not None:
            with console.bar("encoding the base") as progress:
                rate = _base_rate(base_bpp, bpp, max_bytes, signal.units)
                given = api.base_of(
                    signal, _factors(base), bpp=rate, effort=effort, device=device, seed=seed, progress=progress
                )
            codec, model = "diffc", model or api.CONDITIONAL
        with console.bar("encoding") as progress:
            stream = api.encode(
                signal,
                codec,
                model,
                given=given,
                bpp=bpp,
                psnr=psnr,
                max_bytes=max_bytes,
                prompt=prompt,
                device=device,
                calls=calls,
                effort=effort,
                seed=seed,
                tune=tune,
                threads=threads,
                strip="all" if strip else "thumbnail" if strip_thumbnail else None,
                progress=progress,
            )
        seconds = time.perf_counter() - start
        write(target, stream, overwrite)
    kind = "JPEG file" if data.startswith(b"\xff\xd8\xff") else "file"
    remedy = "keep that file, or ask for a lower rate" if rates else "keep that file, or ask for a rate"
    warn_if_larger(".dfc", len(stream), kind, len(data), remedy)
    _report(_summary(api.inspect(stream), seconds, device) | sizes(len(data), len(stream)), target, as_json)


def decode(
    source: Annotated[str, typer.Argument(metavar="IN.dfc", help="A .dfc file, or - for standard input.")],
    target: Annotated[
        str, typer.Argument(metavar="OUT.png", help="PNG, TIFF, WebP, BMP, PPM or npy by its name; - writes PNG.")
    ],
    *,
    upto_bytes: Annotated[int | None, typer.Option(min=1, help="Decode a preview from this many bytes.")] = None,
    realism: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of a lossy stream: 0 has the least squared error, 1 looks sharpest (0.75)."),
    ] = None,
    reconstruction: Annotated[
        Literal["flow", "ancestral", "mean"] | None,
        typer.Option(help="The same by name: mean is realism 0, flow 1; ancestral is a draw."),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(help="Makes the flow: a model's name or path; teacher: the stream's own, in 17 network calls."),
    ] = None,
    conceal: Annotated[
        bool, typer.Option("--conceal", help="Of a damaged stream what is left, the rest filled in: exit status 3.")
    ] = False,
    mask: Annotated[
        str | None, typer.Option(help="With --conceal: a picture to write, white where pixels are exact.")
    ] = None,
    model: Model = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    budget: Budget = 1.0,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Decode a stream; a lossless one is checked against the digest of its pixels."""
    check_target(target, overwrite, as_json, source)
    if conceal:
        if reconstruction is not None or decoder is not None:
            raise typer.BadParameter("--conceal takes --realism, neither --reconstruction nor --decoder")
        _conceal(
            source, target, mask, overwrite, as_json,
            upto_bytes=upto_bytes, realism=realism, device=device, model=model, max_pixels=max_pixels, budget=budget,
            threads=threads,
        )  # fmt: skip
        return
    if mask is not None:
        raise typer.BadParameter("--mask is of --conceal: give that as well")
    data = read(source)[:upto_bytes]
    header = api.inspect(data, partial=upto_bytes is not None, max_pixels=max_pixels)
    from .. import files

    format = "PNG" if target == "-" else files.format_of(target)
    files.check(header["mode"], format)
    start = time.perf_counter()
    with _nothing_kept(target):
        with console.bar("decoding") as progress:
            signal = api.decode_signal(
                data,
                upto_bytes=upto_bytes,
                realism=realism,
                reconstruction=reconstruction,
                decoder=decoder,
                device=device,
                model=model,
                max_pixels=max_pixels,
                frames=True,
                budget=budget,
                threads=threads,
                progress=progress,
            )
        seconds = time.perf_counter() - start
        with console.bar("writing"):
            written = files.write_signal(signal, format)
        write(target, written, overwrite)
    found = {key: header[key] for key in ("width", "height", "mode", "complete")}
    _report(_summary(header, seconds, device) | sizes(len(data), len(written)) | found, target, as_json)


def _conceal(
    source: str, target: str, mask: str | None, overwrite: bool, as_json: bool, **wanted: Any
) -> None:
    """Write what is left of a stream, say what is lost, and leave with status 3 if anything is. Raises typer.Exit."""
    if mask is not None:
        check_target(mask, overwrite, False, source)
    data = read(source)
    from .. import files

    format = "PNG" if target == "-" else files.format_of(target)
    with _nothing_kept(target), console.bar("decoding") as progress:
        left = api.decode_concealed(data, progress=progress, **wanted)
        files.check(left.signal.mode, format)
        write(target, files.write_signal(left.signal, format), overwrite)
        if mask is not None:
            write(mask, files.write_signal(api.Picture.from_any(left.known), files.format_of(mask)), overwrite)
    share = float(left.known.mean())
    if as_json:
        found = {"lost": left.lost, "passes": left.passes, "exact_pixels": share, "file": target, "mask": mask}
        print(json.dumps(found))
    elif left.lost:
        told = f"{left.lost}; {left.passes} passes were there, {100 * share:.3g} % of the pixels are exact"
        console.say(console.line(f"{target}: filled in: {told}"))
    else:
        console.say(console.line(f"{target}: nothing is lost"))
    if left.lost:
        raise typer.Exit(CONCEALED)


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


# ---- a base


def _factors(text: str) -> list[int]:
    """Of "1/4" or "1/16,1/4". Raises BadParameter."""
    try:
        every = [one.strip().partition("/") for one in text.split(",")]
        if any(one != "1" for one, _, _ in every):
            raise ValueError
        return [int(factor) for _, _, factor in every]
    except ValueError:
        raise typer.BadParameter(f"expected --base 1/4, or 1/16,1/4, found {text}") from None


def _base_rate(base_bpp: str | None, bpp: float | None, max_bytes: int | None, units: int) -> float | None:
    """Bits per pixel of the base, None for one without loss. Raises BadParameter."""
    if base_bpp == "lossless":
        return None
    if base_bpp is None:
        whole = 8 * max_bytes / units if max_bytes is not None else bpp
        if whole is None:
            raise typer.BadParameter("how many bits may the base take? give --base-bpp, --bpp or --max-bytes")
        return api.SHARE * whole
    try:
        return float(base_bpp)
    except ValueError:
        raise typer.BadParameter(f"expected --base-bpp of a number, or lossless, found {base_bpp}") from None


# ---- one file in, one file out


def _nothing_kept(target: str) -> contextlib.AbstractContextManager[None]:
    name = "standard output" if target == "-" else target
    return console.interruptible(lambda: f"nothing is written to {name}, and nothing is kept: begin again")


def check_target(target: str, overwrite: bool, as_json: bool, source: str) -> None:
    """Raise InputError, or BadParameter, for what cannot or must not be written to; before the work."""
    if target != "-":
        output.check(target, overwrite)
        if output.same_file(_descriptor_of_input() if source == "-" else source, target):
            given = "standard input" if source == "-" else source
            raise InputError(f"{given} and {target} are the same file: choose another name")
    elif as_json:
        raise typer.BadParameter("--json prints on standard output, and so does OUT -: name a file")
    elif sys.stdout.isatty():
        raise typer.BadParameter("OUT - writes bytes, and standard output is a terminal: redirect it")


def _descriptor_of_input() -> int:
    """Of standard input; -1, which is no file, where it has none."""
    try:
        return sys.stdin.fileno()
    except (OSError, ValueError):
        return -1


def read(source: str) -> bytes:
    """The bytes of a file, or of standard input for -. Raises InputError for a directory, OSError."""
    if source == "-":
        return sys.stdin.buffer.read()
    if os.path.isdir(source):
        raise InputError(f"expected an input file, found the directory {source}")
    with open(source, "rb") as file:
        return file.read()


def write(target: str, data: bytes, overwrite: bool) -> None:
    """A file at once or not at all, or standard output for -. Raises InputError, OSError."""
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
    console.say(
        console.line(
            f"{'standard output' if target == '-' else target}{part}: {told(summary)}, "
            f"{summary['bpp']:.3f} bits per pixel, {summary['seconds']:.2f} s on {summary['device']}"
        )
    )
