"""YUV4MPEG2 (`.y4m`): frames as they are, behind a line of text. By us: readers of libraries tell no siting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from ..media.clip import Clip
from ..media.rows.clip import Colour, Sampling
from ..runtime.errors import InputError
from .film import Film, Planes

MAGIC = b"YUV4MPEG2 "
_LINE = 1024  #: bytes of a line at most
#: what a header's C says -> sampling, siting of chroma as in `Colour`
SPACES: dict[str, tuple[Sampling, int]] = {
    "420": ("YUV420", 0),
    "420jpeg": ("YUV420", 2),
    "420mpeg2": ("YUV420", 1),
    "420paldv": ("YUV420", 3),
    "444": ("YUV444", 0),
}
_RANGES = {"LIMITED": 1, "FULL": 2}
_INTERLACED = {"t": "that top fields come first", "b": "that bottom fields come first", "m": "which frames are fields"}


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a YUV4MPEG2 file."""
    return data.startswith(MAGIC)


def opened(file: BinaryIO) -> Film:
    """The film that a file holds. Raises InputError for what is damaged, or what no clip holds."""
    words = _line(file).split()
    if not words or words[0] != MAGIC.strip():
        raise InputError("expected a YUV4MPEG2 file, found another")
    fields = {word[:1].decode("latin-1"): word[1:].decode("latin-1") for word in words[1:] if word[:1] != b"X"}
    further = dict(word[1:].decode("latin-1").partition("=")[::2] for word in words[1:] if word[:1] == b"X")
    width, height = _number(fields.get("W", "")), _number(fields.get("H", ""))
    space = fields.get("C", "420")
    if space not in SPACES:
        raise InputError(f"no clip holds YUV4MPEG2 of {space}: 8 bits of {', '.join(SPACES)}")
    sampling, siting = SPACES[space]
    lost = []
    if fields.get("I", "p") in _INTERLACED:
        lost.append(_INTERLACED[fields["I"]])
    aspect = _ratio(fields.get("A", "0:0"))
    if aspect not in (None, 1):
        lost.append(f"that pixels are {aspect} times as wide as high")
    colour = Colour(range=_RANGES.get(further.get("COLORRANGE", ""), 0), siting=siting)
    frames, rate = _frames(file, sampling, height, width), _ratio(fields.get("F", "0:0"))
    return Film(sampling, height, width, frames, rate, colour, lost=lost)


def write(groups: Iterable[Clip], file: BinaryIO) -> list[str]:
    """Write clips one behind another; names of what has no place. Raises InputError for RGB."""
    lost: list[str] = []
    for number, clip in enumerate(groups):
        if not number:
            file.write(_header(clip))
            colour = clip.colour
            if (colour.primaries, colour.transfer, colour.matrix) != (2, 2, 2):
                lost.append("the primaries, transfer and matrix of its colours")
            if space_of(clip)[1] != colour.siting:
                lost.append("the siting of its chroma")
        for planes in zip(*clip.planes, strict=True):
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes))
    return lost


def space_of(clip: Clip) -> tuple[str, int]:
    """(what C says, the siting that this means), of a clip's own siting where there is a word for it."""
    words = {(sampling, siting): (word, siting) for word, (sampling, siting) in SPACES.items()}
    return words.get((clip.sampling, clip.colour.siting)) or words[clip.sampling, 0]


def _header(clip: Clip) -> bytes:
    _, height, width = clip.shape
    rate = clip.rate or Fraction(0)
    frequency = f"F{rate.numerator}:{rate.denominator if rate else 0}"
    words = [f"W{width}", f"H{height}", frequency, "Ip", f"C{space_of(clip)[0]}"]
    words += [f"XCOLORRANGE={name}" for name, number in _RANGES.items() if number == clip.colour.range]
    return MAGIC + " ".join(words).encode("ascii") + b"\n"


def _frames(file: BinaryIO, sampling: Sampling, height: int, width: int) -> Iterator[Planes]:
    chroma = (-(-height // 2), -(-width // 2)) if sampling == "YUV420" else (height, width)
    shapes = ((height, width), chroma, chroma)
    while line := _line(file, last=True):
        if not line.startswith(b"FRAME"):
            raise InputError("the video is damaged: a frame does not begin where the one before ends")
        planes = []
        for shape in shapes:
            data = file.read(shape[0] * shape[1])
            if len(data) != shape[0] * shape[1]:
                raise InputError("the video is cut within a frame")
            planes.append(np.frombuffer(data, np.uint8).reshape(shape))
        yield tuple(planes)


def _line(file: BinaryIO, last: bool = False) -> bytes:
    """A line without its end; ``last``: nothing where the file has come to its own. Raises InputError."""
    line = file.readline(_LINE)
    if not line.endswith(b"\n") and not (last and not line):
        raise InputError("the video is damaged: a line of its header has no end")
    return line.removesuffix(b"\n")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise InputError(f"the video is damaged: a side of {text or 'no'} pixels")
    return int(text)


def _ratio(text: str) -> Fraction | None:
    """Of "30000:1001"; None of 0:0. Raises InputError."""
    over, _, under = text.partition(":")
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in (over, under)):
        raise InputError(f"the video is damaged: {text} is no ratio")
    return Fraction(int(over), int(under)) if int(over) and int(under) else None
