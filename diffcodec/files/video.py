"""Video files by PyAV (extra `video`): samples as FFmpeg's decoders give them, written by lossless codecs only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..media.clip import Clip
from ..media.rows.clip import Colour, Sampling
from ..runtime.errors import InputError
from . import heif
from .film import Film, Planes
from .raw import line, optional

Bytes = NDArray[np.uint8]

#: FFmpeg's name of a container -> whether bytes begin one: it is told which, so that no file opens another
CONTAINERS: dict[str, Callable[[bytes], bool]] = {
    "mov": lambda data: data[4:8] == b"ftyp" and not (heif.sniff_avif(data) or heif.sniff_heic(data)),
    "matroska": lambda data: data[:4] == b"\x1aE\xdf\xa3",
    "avi": lambda data: data[:4] == b"RIFF" and data[8:12] == b"AVI ",
    "mpegts": lambda data: data[:1] == b"G" == data[188:189] == data[376:377],
    "mpeg": lambda data: data[:4] == b"\0\0\1\xba",
    "ogg": lambda data: data[:4] == b"OggS",
    "flv": lambda data: data[:4] == b"FLV\1",
}


@dataclass(frozen=True)
class Pixels:
    """How samples of a pixel format lie in planes: of each of ours, the plane of FFmpeg's, and its byte of ``step``."""

    sampling: Sampling
    planes: tuple[int, int, int]
    step: int = 1


_YUV = (0, 1, 2)
#: by FFmpeg's names; of packed ones ``planes`` are bytes of a pixel
PLANAR = {
    "yuv420p": Pixels("YUV420", _YUV),
    "yuvj420p": Pixels("YUV420", _YUV),
    "yuv444p": Pixels("YUV444", _YUV),
    "yuvj444p": Pixels("YUV444", _YUV),
    "gbrp": Pixels("RGB", (2, 0, 1)),
    "gray": Pixels("RGB", (0, 0, 0)),
}
PACKED = {
    "rgb24": Pixels("RGB", (0, 1, 2), 3),
    "bgr24": Pixels("RGB", (2, 1, 0), 3),
    "rgb0": Pixels("RGB", (0, 1, 2), 4),
    "bgr0": Pixels("RGB", (2, 1, 0), 4),
    "0rgb": Pixels("RGB", (1, 2, 3), 4),
    "0bgr": Pixels("RGB", (3, 2, 1), 4),
}
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "duration"}


def container_of(data: bytes) -> str | None:
    """FFmpeg's name of the container whose first bytes these are; None for what is none of CONTAINERS."""
    return next((name for name, sniff in CONTAINERS.items() if sniff(data)), None)


def opened(file: BinaryIO, container: str) -> Film:
    """The first video stream of a file, as its decoder gives it.

    Raises InputError for damage, and samples that no clip holds: of more than 8 bits, with alpha, of other chroma.
    """
    av = optional("av", "a video file", "video")
    frames = _decoded(av, file, container)
    try:
        source, stream, first = next(frames)
    except StopIteration:
        raise InputError("the video has no frame") from None
    frame, pixels = first, _pixels(first)
    rate = stream.average_rate or stream.guessed_rate
    tags = (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range)
    colour = Colour(*(int(tag) if 0 <= int(tag) <= 255 else 2 for tag in tags))
    lost = _lost(source, stream, frame)
    count = stream.frames or None
    film = Film(pixels.sampling, frame.height, frame.width, iter(()), rate and Fraction(rate), colour, count, lost)
    film.frames = _planes(itertools.chain([first], (one for _, _, one in frames)), film)
    return film


def _decoded(av: ModuleType, file: BinaryIO, container: str) -> Iterator[tuple[Any, Any, Any]]:
    """(container, stream, frame) of each. Raises InputError."""
    try:
        with av.open(file, format=container, metadata_errors="replace") as source:
            if not source.streams.video:
                raise InputError("the file has no video")
            stream = source.streams.video[0]
            for frame in source.decode(stream):
                if frame.is_corrupt:
                    raise InputError("the video is damaged: a frame is not whole")
                yield source, stream, frame
    except av.error.FFmpegError as error:
        raise InputError(f"the video is damaged: {line(error)}") from error


def _pixels(frame: Any) -> Pixels:
    """Raises InputError for a format that no clip holds."""
    found = PLANAR.get(frame.format.name) or PACKED.get(frame.format.name)
    if found is not None:
        return found
    parts = frame.format.components
    why = "another sampling of chroma"
    if any(part.is_alpha for part in parts):
        why = "alpha"
    if max(part.bits for part in parts) > 8:
        why = f"{max(part.bits for part in parts)} bits"
    wanted = "8 bits of RGB, of YUV 4:2:0 or of 4:4:4"
    raise InputError(f"no clip holds {frame.format.name} ({why}): expected {wanted}; convert the video first")


def _lost(source: Any, stream: Any, frame: Any) -> list[str]:
    """What of a file is not in its clip."""
    kinds = {"audio": "sound", "subtitle": "subtitles", "data": "data streams", "attachment": "attachments"}
    lost = [name for kind, name in kinds.items() if any(one.type == kind for one in source.streams)]
    lost += ["further video streams"] * (len(source.streams.video) > 1)
    lost += [f"that it is turned by {abs(frame.rotation)}°"] * bool(frame.rotation)
    aspect = stream.sample_aspect_ratio
    lost += [f"that pixels are {aspect} times as wide as high"] * (aspect not in (None, 0, 1))
    lost += ["that frames are interlaced"] * bool(frame.interlaced_frame)
    lost += ["that it is grey: R, G and B are alike"] * (frame.format.name == "gray")
    named = sorted(name for name in source.metadata if name.lower() not in _TECHNICAL)
    lost += [f"its {', '.join(named)}"] * bool(named)
    return lost + ["chapters"] * bool(source.chapters())


def _planes(frames: Iterable[Any], film: Film) -> Iterator[Planes]:
    """Of each frame; says in the end whether they came at another time than their rate has. Raises InputError."""
    start, steady, name = None, True, None
    for number, frame in enumerate(frames):
        name = name or frame.format.name
        if (frame.height, frame.width, frame.format.name) != (film.height, film.width, name):
            found = f"{frame.width}×{frame.height} {frame.format.name}"
            raise InputError(f"a clip is of frames alike, found {found} behind {film.width}×{film.height} {name}")
        if frame.pts is not None and film.rate:
            time = frame.pts * frame.time_base
            start = time if start is None else start
            steady &= abs(time - start - number / film.rate) <= max(frame.time_base, Fraction(1, 1000))
        yield _of(frame)
    if not steady:
        film.lost.append(f"the times of its frames, which are not steady: {film.rate} a second stand in their place")


def _of(frame: Any) -> Planes:
    name = frame.format.name
    if name in PACKED:
        pixels = PACKED[name]
        return (_rows(frame.planes[0], pixels.step).reshape(frame.height, -1, pixels.step)[..., list(pixels.planes)],)
    pixels = PLANAR[name]
    planes = tuple(_rows(frame.planes[plane], 1) for plane in pixels.planes)
    return (np.stack(planes, 2),) if pixels.sampling == "RGB" else planes


def _rows(plane: Any, step: int) -> Bytes:
    """The samples of a plane, a row each."""
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return rows[:, : plane.width * step].copy()


# ---- writing


@dataclass(frozen=True)
class Muxed:
    """How clips stand in a file: FFmpeg's container, and by sampling the lossless encoder, and its pixel format."""

    container: str
    encoders: dict[Sampling, tuple[str, str]]
    options: dict[str, str]
    even: bool = False  # whether sides of YUV420 are
    rgb: int | None = None  # the matrix without which RGB would be read as YUV


WRITTEN = {
    "MKV": Muxed(
        "matroska",
        {"RGB": ("ffv1", "bgr0"), "YUV420": ("ffv1", "yuv420p"), "YUV444": ("ffv1", "yuv444p")},
        {"level": "3", "slicecrc": "1"},
    ),
    "MP4": Muxed(
        "mp4",
        {"RGB": ("libx264rgb", "bgr24"), "YUV420": ("libx264", "yuv420p"), "YUV444": ("libx264", "yuv444p")},
        {"qp": "0"},
        even=True,
        rgb=0,
    ),
}
_NO_RATE = Fraction(25)  #: frames a second of a file whose clip has none


def write(groups: Iterable[Clip], file: BinaryIO, format: str) -> list[str]:
    """Write clips one behind another without loss; names of what has no place in the file. Raises InputError."""
    av, how = optional("av", f"{format} output", "video"), WRITTEN[format]
    waiting = iter(groups)
    first = next(waiting)
    name, pixels = how.encoders[first.sampling]
    _, height, width = first.shape
    if how.even and first.sampling == "YUV420" and (height % 2 or width % 2):
        raise InputError(f"{format} of YUV 4:2:0 has even sides, found {width}×{height}: write MKV or Y4M instead")
    rate = first.rate or _NO_RATE
    if max(rate.numerator, rate.denominator) >= 2**31:
        raise InputError(f"{format} has no place for a rate of {rate}: write Y4M instead")
    lost = [] if first.rate else [f"that its rate is not known: {_NO_RATE} frames a second stand there"]
    lost += ["the siting of its chroma"] * bool(first.colour.siting)
    matrix = first.colour.matrix
    if how.rgb is not None and first.sampling == "RGB":
        lost += ["the matrix of its colours"] * (matrix not in (2, how.rgb))
        matrix = how.rgb
    try:
        with av.open(file, "w", format=how.container) as target:
            stream = target.add_stream(name, rate=rate, options=dict(how.options))
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            context, colour = stream.codec_context, first.colour
            context.time_base = stream.time_base = 1 / rate
            context.color_primaries, context.color_trc = colour.primaries, colour.transfer
            context.colorspace, context.color_range = matrix, colour.range
            for number, planes in enumerate(_each(itertools.chain([first], waiting))):
                frame = _filled(av.VideoFrame(width, height, pixels), planes)
                frame.pts, frame.time_base = number, 1 / rate
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        raise InputError(f"the clip cannot be written as {format}: {line(error)}") from error
    return lost


def _each(groups: Iterable[Clip]) -> Iterator[Planes]:
    return (planes for clip in groups for planes in zip(*clip.planes, strict=True))


def _filled(frame: Any, planes: Planes) -> Any:
    """FFmpeg's frame with these samples. Mirror of :func:`_of`."""
    name = frame.format.name
    if name in PACKED:
        pixels = PACKED[name]
        packed = np.zeros((frame.height, frame.width, pixels.step), np.uint8)
        packed[..., list(pixels.planes)] = planes[0]
        planes = (packed.reshape(frame.height, -1),)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : samples.shape[1]] = samples
        plane.update(rows.tobytes())
    return frame
