"""encode, decode: pictures and their streams."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import api
from ..runtime.errors import DiffcodecError
from . import clips, console, many
from .options import (
    Budget,
    Device,
    DryRun,
    Engine,
    FileJobs,
    Json,
    MaxPixels,
    Model,
    Out,
    OutDir,
    Overwrite,
    Quiet,
    Recursive,
    SkipExisting,
    Threads,
    Verbose,
    allow_large_pictures,
)
from .pipes import check_suffix, check_target, nothing_kept, read, write
from .sizes import report, sizes, summary_of, warn_if_larger

if TYPE_CHECKING:
    from ..archive.coding import Decoding, Encoding

CONCEALED = 3  #: exit status where something was filled in that a stream has lost
Form = Literal["dfc", "jpeg", "webp"]
_STRIP: dict[tuple[bool, bool], Literal["all", "thumbnail"] | None] = {
    (False, False): None,
    (False, True): "thumbnail",
    (True, False): "all",
    (True, True): "all",
}


def encode(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="IN OUT.dfc, - for a pipe; or many: files, patterns, folders (-r), each its .dfc."
        ),
    ],
    *,
    out: Out = None,
    out_dir: OutDir = None,
    recursive: Recursive = False,
    jobs: FileJobs = None,
    engine: Engine = "processes",
    skip_existing: SkipExisting = False,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete each IN once what was written decodes to all of it.")
    ] = False,
    dry_run: DryRun = False,
    codec: Annotated[
        Literal["ardm", "vdm", "diffc"] | None,
        typer.Option(help="ardm: lossless (the default); diffc: lossy (the default when a rate is asked for)."),
    ] = None,
    bpp: Annotated[float | None, typer.Option(min=0, help="Bits per pixel to aim at (lossy).")] = None,
    psnr: Annotated[float | None, typer.Option(min=0, help="Quality to aim at, in dB (lossy).")] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Size to stay within (lossy).")] = None,
    model: Model = None,
    prompt: Annotated[str | None, typer.Option(help="A text that guides the model (lossy).")] = None,
    negative: Annotated[str | None, typer.Option(help="With --prompt: a text to be led away from.")] = None,
    guidance: Annotated[
        float, typer.Option(min=0, max=255, help="With --prompt: the scale of guidance that readers draw with.")
    ] = 1.0,
    base: Annotated[
        str | None, typer.Option(help="First the picture in small, 1/4, or in stages, 1/16,1/4 (lossy).")
    ] = None,
    base_bpp: Annotated[
        str | None, typer.Option(help="Of the base: bits per pixel of the picture, or lossless (4/10 of the rate).")
    ] = None,
    base_form: Annotated[
        Form | None, typer.Option(help="Of the base: dfc, or jpeg or webp, a file that opens everywhere (dfc).")
    ] = None,
    device: Device = "auto",
    effort: Annotated[
        int | None, typer.Option(min=1, max=9, help="diffc: 1 is the fastest, 9 gives the smallest file (5).")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(metavar="FILE", help="diffc: of calibrate (the one beside the model), or none.")
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
    group: Annotated[
        int | None, typer.Option(min=1, help="Frames of a clip (16) or tracks (all) that stand alone together.")
    ] = None,
    chained: Annotated[
        int, typer.Option(min=1, help="Groups of a clip with loss that hang together: smaller, but for seeking.")
    ] = 1,
    progressive: Annotated[
        bool, typer.Option("--progressive", help="Tracks: a beginning of the file shows all frames; a little larger.")
    ] = False,
    first: Annotated[bool, typer.Option("--first", help="Only the first frame or page.")] = False,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Encode pictures, with metadata and all frames or pages; clips of videos, tracks of tables, tokens of .npy."""
    if sum(value is not None for value in (bpp, psnr, max_bytes)) > 1:
        raise typer.BadParameter("give one of --bpp, --psnr and --max-bytes")
    if base is None and (base_bpp is not None or base_form is not None):
        raise typer.BadParameter("--base-bpp and --base-form are of a base: give --base as well")
    if prompt is None and (negative is not None or guidance != 1):
        raise typer.BadParameter("--negative and --guidance are of a prompt: give --prompt as well")
    from ..archive.coding import Encoding
    from ..archive.many import Placing

    console.hush(quiet)
    told = None if prompt is None else api.Prompt(prompt, negative or "", guidance)
    rates = {"bpp": bpp, "psnr": psnr, "max_bytes": max_bytes}
    wishes: dict[str, Any] = {**rates, "given": told, "calls": calls, "effort": effort, "seed": seed, "tune": tune}
    wishes |= {"group": group, "chained": chained, "calibration": False if calibration == "none" else calibration}
    wishes |= {"progressive": progressive}
    coding = Encoding(codec, model, device, wishes, _STRIP[strip, strip_thumbnail], first, threads)
    placing = Placing(out_dir, recursive, overwrite, skip_existing, delete_source, dry_run)
    pair = many.pair_of(files, out, out_dir, recursive)
    if pair is None or many.wanted(placing, jobs, engine):
        many.refuse(base=base)
        many.run(files, pair, coding, placing, jobs, engine, as_json=as_json, verbose=verbose)
        return
    _encode_one(*pair, coding, None if base is None else (base, base_bpp, base_form), overwrite, as_json, verbose)


def _encode_one(
    source: str,
    target: str,
    coding: Encoding,
    base: tuple[str, str | None, Form | None] | None,
    overwrite: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    check_target(target, overwrite, as_json, source)
    check_suffix(target)
    if base is None and clips.encode(source, target, coding, overwrite, as_json, verbose):
        return
    data = read(source)
    from .. import files

    allow_large_pictures()
    with console.bar("reading"):
        signal = files.read_signal(data, first=coding.first)
    model, wishes, device = coding.model, coding.wishes, coding.device
    codec: Any = coding.codec  # vdm is refused there, which says what codes with it
    start = time.perf_counter()
    with nothing_kept(target):
        gifts = [] if wishes["given"] is None else [wishes["given"]]
        if base is not None:
            with console.bar("encoding the base") as progress:
                rate = _base_rate(base[1], wishes["bpp"], wishes["max_bytes"], signal.units)
                common: dict[str, Any] = {"effort": wishes["effort"], "seed": wishes["seed"]}
                common |= {"form": base[2] or "dfc", "device": device, "progress": progress}
                gifts.append(api.base_of(signal, _factors(base[0]), bpp=rate, **common))
            codec, model = "diffc", model or api.CONDITIONAL
        with console.bar("encoding") as progress:
            stream = api.encode(
                signal,
                codec,
                model,
                device=device,
                threads=coding.threads,
                strip=coding.strip,
                progress=progress,
                **wishes | {"given": gifts},
            )
        seconds = time.perf_counter() - start
        write(target, stream, overwrite)
    kind = "JPEG file" if data.startswith(b"\xff\xd8\xff") else "file"
    lossy = any(wishes[rate] is not None for rate in ("bpp", "psnr", "max_bytes"))
    remedy = "keep that file, or ask for a lower rate" if lossy else "keep that file, or ask for a rate"
    warn_if_larger(".dfc", len(stream), kind, len(data), remedy)
    summary = summary_of(dict(api.inspect(stream)), seconds, device) | sizes(len(data), len(stream))
    report(summary, target, as_json, verbose)


def decode(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="IN.dfc OUT, PNG, TIFF, WebP, BMP, PPM, npy, of a clip mkv, mp4, y4m, of tracks csv, parquet, npz "
            "by its name, - for a pipe (PNG); or many: .dfc files, patterns, folders (-r).",
        ),
    ],
    *,
    out: Out = None,
    out_dir: OutDir = None,
    recursive: Recursive = False,
    jobs: FileJobs = None,
    engine: Engine = "processes",
    skip_existing: SkipExisting = False,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete each IN once what was written reads back as all of it.")
    ] = False,
    dry_run: DryRun = False,
    upto_bytes: Annotated[int | None, typer.Option(min=1, help="Decode a preview from this many bytes.")] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="A:B", help="Of a clip or tracks frames A to B - 1; A: to the end.")
    ] = None,
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
    base: Annotated[
        bool, typer.Option("--base", help="Write the first file that the stream was given, as it is: OUT.jpg, OUT.dfc.")
    ] = False,
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
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Decode streams; a lossless one is checked against the digest of its pixels."""
    if conceal and (reconstruction is not None or decoder is not None):
        raise typer.BadParameter("--conceal takes --realism, neither --reconstruction nor --decoder")
    if mask is not None and not conceal:
        raise typer.BadParameter("--mask is of --conceal: give that as well")
    from ..archive.coding import Decoding
    from ..archive.many import Placing

    wanted = None if frames is None else clips.range_of(frames)
    if wanted is not None and (conceal or base):
        raise typer.BadParameter("--frames is of what decodes: give neither --conceal nor --base")
    console.hush(quiet)
    coding = Decoding(upto_bytes, reconstruction, realism, decoder, model, device, max_pixels, budget, threads)
    placing = Placing(out_dir, recursive, overwrite, skip_existing, delete_source, dry_run)
    pair = many.pair_of(files, out, out_dir, recursive)
    if pair is None or many.wanted(placing, jobs, engine):
        many.refuse(conceal=conceal, base=base, frames=frames)
        many.run(files, pair, coding, placing, jobs, engine, as_json=as_json, verbose=verbose)
        return
    check_target(pair[1], overwrite, as_json, pair[0])
    if base:
        _cut_out(*pair, overwrite, max_pixels)
    elif conceal:
        _conceal(*pair, mask, coding, overwrite, as_json)
    elif not clips.decode(*pair, wanted, coding, overwrite, as_json, verbose):
        _decode_one(*pair, wanted, coding, overwrite, as_json, verbose)


def _decode_one(
    source: str, target: str, frames: slice | None, coding: Decoding, overwrite: bool, as_json: bool, verbose: bool
) -> None:
    data = read(source)[: coding.upto_bytes]
    partial = coding.upto_bytes is not None
    header: dict[str, Any] = dict(api.inspect(data, partial=partial, max_pixels=coding.max_pixels))
    from .. import files

    format = "PNG" if target == "-" else files.format_of(target)
    files.check(header["mode"], format)
    start = time.perf_counter()
    with nothing_kept(target):
        with console.bar("decoding") as progress:
            told = True if frames is None else frames
            signal = api.decode_signal(data, frames=told, progress=progress, **coding.options)
        seconds = time.perf_counter() - start
        with console.bar("writing"):
            written = files.write_signal(signal, format)
        write(target, written, overwrite)
    found = {key: header[key] for key in ("width", "height", "mode", "complete")}
    summary = summary_of(header, seconds, coding.device) | sizes(len(data), len(written)) | found
    report(summary, target, as_json, verbose)


def _cut_out(source: str, target: str, overwrite: bool, max_pixels: int | None) -> None:
    """Write what a stream was given. Raises DiffcodecError where that is no file."""
    found = api.given_files(read(source), max_pixels=max_pixels)
    if not found:
        raise DiffcodecError(f"{source} was given no file")
    write(target, found[0], overwrite)
    console.tell(f"{target}: {len(found[0])} bytes, as they stand in {source}")


def _conceal(source: str, target: str, mask: str | None, coding: Decoding, overwrite: bool, as_json: bool) -> None:
    """Write what is left of a stream, say what is lost, and leave with status 3 if anything is. Raises typer.Exit."""
    if mask is not None:
        check_target(mask, overwrite, False, source)
    data = read(source)
    from .. import files

    format = "PNG" if target == "-" else files.format_of(target)
    with nothing_kept(target), console.bar("decoding") as progress:
        left = api.decode_concealed(
            data,
            upto_bytes=coding.upto_bytes,
            realism=coding.realism,
            device=coding.device,
            model=coding.model,
            max_pixels=coding.max_pixels,
            budget=coding.budget,
            threads=coding.threads,
            progress=progress,
        )
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
        console.tell(f"{target}: filled in: {told}")
    else:
        console.tell(f"{target}: nothing is lost")
    if left.lost:
        raise typer.Exit(CONCEALED)


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
