"""encode, decode of one clip or long table: from file to file, of which no more than a group is held."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import typer

from .. import api
from ..runtime import atomic as output
from ..runtime import remote
from ..runtime.errors import DiffcodecError
from ..runtime.limits import DEFAULT_LIMITS
from . import console
from .pipes import nothing_kept
from .sizes import report, sizes, summary_of, warn_if_larger

if TYPE_CHECKING:
    from ..archive.coding import Decoding, Encoding

_FRONT = 2**18  #: bytes of a stream that its header stands in, with names and parameters
_RANGE = re.compile(r"(\d*):(\d*)")


def range_of(text: str) -> slice:
    """Of "16:32", ":32" or "16:". Raises BadParameter."""
    found = _RANGE.fullmatch(text)
    if found is None or found[0] == ":" or (found[2] and int(found[1] or 0) >= int(found[2])):
        raise typer.BadParameter(f"expected --frames A:B with A below B, as 16:32 or 16:, found {text}")
    start, stop = (int(one) if one else None for one in found.groups())
    return slice(start, stop)


def encode(source: str, target: str, coding: Encoding, overwrite: bool, as_json: bool, verbose: bool) -> bool:
    """Encode a video, or a long table, group by group; False where it is none, or has to be held as a whole.

    Raises DiffcodecError.
    """
    if "-" in (source, target) or not os.path.isfile(source):
        return False
    from .. import files

    wishes: dict[str, Any] = {key: value for key, value in coding.wishes.items() if value is not None}
    asked = wishes.pop("group", None)
    start = time.perf_counter()
    with files.grouped.opened(source, tables=asked is not None) as film:
        if film is None:
            return False
        length = asked or film.group
        counts = film.counts(length)
        if "max_bytes" in wishes and not counts:  # shared by groups, of which nobody says how many there are
            return False
        with nothing_kept(target), console.bar("encoding") as progress, output.writing(target, overwrite) as file:
            told: dict[str, Any] = {"device": coding.device, "threads": coding.threads, "strip": coding.strip}
            told["progress"] = progress if counts else None
            groups, codec = film.groups(length, DEFAULT_LIMITS.max_pixels), coding.codec
            for piece in api.encode_groups(groups, codec, coding.model, frames=counts, **told, **wishes):  # type: ignore
                file.write(piece)
    seconds, before, after = time.perf_counter() - start, os.path.getsize(source), os.path.getsize(target)
    lossy = any(rate in wishes for rate in ("bpp", "psnr", "max_bytes"))
    warn_if_larger(".dfc", after, "file", before, "keep that file, or ask for a " + "lower " * lossy + "rate")
    found = _of_all(_header(target, None), after, film.seen)
    summary = summary_of(found, seconds, coding.device) | sizes(before, after) | {"frames": film.seen}
    report(summary, target, as_json, verbose)
    return True


def decode(
    source: str, target: str, frames: slice | None, coding: Decoding, overwrite: bool, as_json: bool, verbose: bool
) -> bool:
    """Decode a clip or tracks group by group; False where the stream holds none, or comes or goes by a pipe.

    Raises DiffcodecError.
    """
    if "-" in (source, target) or not (remote.is_remote(source) or os.path.isfile(source)):
        return False
    try:
        header = _header(source, coding.max_pixels)
    except DiffcodecError:  # what is wrong with it, whoever decodes it says
        return False
    if "groups" not in header:
        return False
    from .. import files

    format = files.format_of(target)
    files.check(header["mode"], format)
    start = time.perf_counter()
    with nothing_kept(target), console.bar("decoding") as progress, output.writing(target, overwrite) as file:
        groups = api.decode_groups(source, frames=frames, progress=progress, **coding.options)
        count = files.grouped.write(groups, file, format, frames.start or 0 if frames else 0)
    seconds = time.perf_counter() - start
    with remote.opened(source) as stream:
        size = stream.seek(0, os.SEEK_END)
    size = min(size, coding.upto_bytes or size)
    found = {key: header[key] for key in ("width", "height", "mode")}
    found |= {"frames": count, "complete": frames is None and coding.upto_bytes is None}
    summary = summary_of(_of_all(header, size, count), seconds, coding.device)
    report(summary | sizes(size, os.path.getsize(target)) | found, target, as_json, verbose)
    return True


def _of_all(header: dict[str, Any], size: int, frames: int) -> dict[str, Any]:
    """What the front of a stream says, with the rates of all of it."""
    units = 8 * header["bytes"] / header["bpp"] / max(1, header["frames"])  # of a frame
    bpp = 8 * size / (max(1, frames) * units)
    return header | {"bytes": size, "bpp": bpp, "bpd": bpp * header["bpd"] / header["bpp"]}


def _header(source: str, max_pixels: int | None) -> dict[str, Any]:
    """What the front of a stream says of it. Raises DiffcodecError."""
    with remote.opened(source) as file:
        front = file.read(_FRONT)
    return dict(api.inspect(front, partial=True, max_pixels=max_pixels))
