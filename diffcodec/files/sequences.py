"""Animations and documents: every frame as it is shown, every page as it is; written as TIFF, WebP or PNG."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..media.metadata import Frame, Metadata
from ..media.picture import Picture
from ..runtime import remote
from ..runtime.errors import DiffcodecError, InputError
from ..runtime.limits import DEFAULT_LIMITS
from . import metadata_png, metadata_tiff, metadata_webp, png16
from .metadata import names_of
from .pictures import check, read, write
from .raw import line

#: formats whose frames Pillow puts together as they are shown
_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")


def read_all(source: str | os.PathLike[str] | bytes, *, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Picture:
    """As `read`, with all frames of an animation (GIF, APNG, WebP, AVIF) or pages of a TIFF in `Picture.frames`.

    Warns of what is left out. Raises as `read`; also InputError where all frames together have over `max_pixels`.
    """
    if not isinstance(source, bytes):
        source = remote.read(source)
    pages = metadata_tiff.offsets(source) if metadata_tiff.sniff(source) else []
    if len(pages) > 1:
        return _read_pages(source, pages, max_pixels)
    is_png = source.startswith(metadata_png.SIGNATURE)
    pixels = metadata_png.essential(source) if is_png else source
    frames = _frames_of(pixels)
    if frames < 2:
        return read(source, max_pixels=max_pixels)
    return _read_animation(source, pixels, frames, max_pixels)


def _read_pages(data: bytes, pages: list[int], max_pixels: int) -> Picture:
    """Each page is read as the only one of its file."""
    metadata_tiff.check_chain(data)
    found: list[Picture] = []
    left = max_pixels
    for at in pages:
        found.append(read(metadata_tiff.alone(data, at), max_pixels=left))
        left -= found[-1].width * found[-1].height
    return replace(found[0], frames=tuple(found[1:]))


def _frames_of(data: bytes) -> int:
    """Frames of an animation that Pillow reads; 1 of everything else."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return int(getattr(image, "n_frames", 1)) if image.format in _ANIMATIONS else 1
    except Exception:  # what is wrong with the file is `read`'s to say
        return 1


def _read_animation(data: bytes, pixels: bytes, frames: int, max_pixels: int) -> Picture:
    """pixels: the file without what may keep Pillow from reading it."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"the file has \d+ frames")
        first = read(data, max_pixels=max_pixels // frames)
    if png16.is_wide(data):
        warnings.warn(f"of this file is not kept: {frames - 1} further frames of 16 bits", stacklevel=4)
        return first
    found: list[Picture] = []
    try:
        with Image.open(io.BytesIO(pixels)) as image:
            if image.info.get("default_image"):
                warnings.warn("the first picture of this file, no frame of its animation, is kept as one", stacklevel=4)
            for number in range(frames):
                image.seek(number)
                image.load()
                loops = image.info.get("loop", 1) if not number else None
                timing = Frame(_seconds(image.info.get("duration")), loops if isinstance(loops, int) else None)
                picture = first if not number else Picture.from_any(image.copy())
                metadata = first.metadata if not number else Metadata()
                found.append(replace(picture, metadata=replace(metadata, frame=timing, palette=None)))
    except DiffcodecError:
        raise
    except Exception as error:  # as of the first frame, readers fail in every way that Python can
        raise InputError(f"frame {len(found)} of the picture is damaged: {line(error)}") from error
    return replace(found[0], frames=tuple(found[1:]))


def _seconds(milliseconds: Any) -> Fraction | None:
    if not isinstance(milliseconds, (int, float)) or not 0 <= milliseconds < 2**31:
        return None
    return Fraction(milliseconds).limit_denominator(100000) / 1000


# ---- writing


def write_all(picture: Picture, format: str) -> bytes:
    """A file with all frames: pages of a TIFF, an animation as WebP or PNG. As `write` of a picture without frames.

    Warns (UserWarning) of frames that the format cannot hold, which are then left out. Raises as `write`.
    """
    first = replace(picture, frames=())
    if not picture.frames:
        return write(first, format)
    frames = [first, *picture.frames]
    for frame in frames:
        check(frame.mode, format)
    if format in _JOIN:
        why, data = _JOIN[format](frames)
        if data is not None:
            return data
        warnings.warn(f"{len(frames) - 1} further frames are left out: {why}; TIFF holds them", stacklevel=2)
    else:
        warnings.warn(f"{format} holds one picture: {len(frames) - 1} further frames are left out", stacklevel=2)
    return write(first, format)


Joined = tuple[str, bytes | None]


def _tiff(frames: list[Picture]) -> Joined:
    if any(frame.metadata.frame for frame in frames):
        warnings.warn("TIFF has no place for the frames' durations and loops", stacklevel=4)
    try:
        return "", metadata_tiff.joined([write(frame, "TIFF") for frame in frames])
    except ValueError as error:
        return str(error), None


def _alike(frames: list[Picture]) -> list[Picture] | None:
    """The frames in one mode and size, with alpha if one has it; None if their samples differ more."""
    if len({frame.samples.shape[:2] for frame in frames}) > 1:
        return None
    modes = {frame.mode for frame in frames}
    if len(modes) == 1:
        return frames
    if not modes <= {"L", "LA", "RGB", "RGBA"}:
        return None
    alike = []
    for frame in frames:
        colours = frame.samples.reshape(frame.height, frame.width, -1)
        alpha = colours[..., -1:] if frame.mode in ("LA", "RGBA") else np.full_like(colours[..., :1], 255)
        grey = frame.mode in ("L", "LA")
        rgb = np.repeat(colours[..., :1], 3, axis=2) if grey else colours[..., :3]
        alike.append(replace(frame, samples=np.concatenate([rgb, alpha], axis=2), mode="RGBA"))
    return alike


def _timing(frame: Picture) -> Fraction:
    timing = frame.metadata.frame
    return timing.duration if timing and timing.duration is not None else Fraction(1)


def _loops(frames: list[Picture], limit: int) -> int:
    timing = frames[0].metadata.frame
    return min(timing.loops, limit) if timing and timing.loops is not None else 0


def _own_metadata_lost(frames: list[Picture], format: str) -> None:
    lost = {name: None for frame in frames[1:] for name in names_of(frame.metadata)}
    if lost:
        warnings.warn(f"{format} has no place for the further frames' {', '.join(lost)}", stacklevel=5)


def _webp(frames: list[Picture]) -> Joined:
    alike = _alike(frames)
    if alike is None:
        return "an animation has frames of one size", None
    _own_metadata_lost(frames, "WEBP")
    alpha = 0x10 if alike[0].mode == "RGBA" else 0
    width, height = alike[0].width - 1, alike[0].height - 1
    size = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    chunk = metadata_webp.chunk
    body = chunk(b"VP8X", bytes([alpha | 0x02, 0, 0, 0]) + size)
    body += chunk(b"ANIM", bytes(4) + struct.pack("<H", _loops(frames, 2**16 - 1)))
    for frame in alike:
        plain = write(replace(frame, metadata=Metadata()), "WEBP")
        pixels = b"".join(chunk(*one) for one in metadata_webp.chunks(plain) if one[0] == b"VP8L")
        duration = min(round(1000 * _timing(frame)), 2**24 - 1).to_bytes(3, "little")
        body += chunk(b"ANMF", bytes(6) + size + duration + b"\x02" + pixels)  # replaces what was shown before
    data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    data, lost = metadata_webp.embed(data, frames[0].metadata)
    if lost:
        warnings.warn(f"WEBP has no place for {', '.join(lost)} of this picture", stacklevel=4)
    return "", data


def _png(frames: list[Picture]) -> Joined:
    alike = _alike(frames)
    if alike is None:
        return "an animation has frames of one size and mode", None
    _own_metadata_lost(frames, "PNG")
    chunk = metadata_png.chunk
    plays = chunk("acTL", struct.pack(">II", len(alike), _loops(frames, 2**31 - 1)))
    out, number = [metadata_png.SIGNATURE], 0
    for index, frame in enumerate(alike):
        metadata = Metadata() if index else replace(frame.metadata, palette=None)
        control = struct.pack(">5I", number, frame.width, frame.height, 0, 0) + _delay(_timing(frame)) + bytes(2)
        number += 1
        controlled = False
        for name, payload, _, _ in metadata_png.chunks(write(replace(frame, metadata=metadata), "PNG")):
            if name == "IDAT" and not controlled:
                out += [] if index else [plays]
                out.append(chunk("fcTL", control))
                controlled = True
            if index and name == "IDAT":
                out.append(chunk("fdAT", struct.pack(">I", number) + payload))
                number += 1
            elif not index and name != "IEND":
                out.append(chunk(name, payload))
    return "", b"".join([*out, chunk("IEND", b"")])


def _delay(seconds: Fraction) -> bytes:
    if max(seconds.numerator, seconds.denominator) >= 2**16:
        seconds = min(seconds, Fraction(65535)).limit_denominator(1000)
    return struct.pack(">HH", min(seconds.numerator, 65535), seconds.denominator)


_JOIN: dict[str, Callable[[list[Picture]], Joined]] = {"TIFF": _tiff, "WEBP": _webp, "PNG": _png}
