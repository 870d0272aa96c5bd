"""Picture modes, and the byte planes each is coded as (bitstream_spec/MODES.md).

A picture of C channels of b bytes is C*b byte planes: the most significant byte of every channel, in channel order,
then the next byte of every channel, and so on. The first `photo` planes are what a photograph model codes; the others
are extra planes. A `Layout` says which planes the stream carries and how the rest follow from them.

No NumPy here: `inspect` reads modes and layouts without it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from ..runtime.errors import CorruptStream

CODED, CONSTANT, COPY = 0, 1, 2
#: of all planes of a clip: its frames are coded as photographs, in red, green and blue; or its planes as they are, as
#: a photograph's
PHOTO, KEPT = 3, 4


class Planar(Protocol):
    """Something of so many byte planes, the first ``photo`` of them a photograph's."""

    @property
    def name(self) -> str:
        """In messages."""
        ...

    @property
    def planes(self) -> int:
        """How many."""
        ...

    @property
    def photo(self) -> int:
        """Those of a photograph."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """So many byte planes that are no photograph's."""

    name: str
    planes: int
    photo: int = 0


@dataclass(frozen=True, slots=True)
class Mode:
    """One row of the mode table. `sample`: NumPy type string or "bit"; `channels` 0: array H×W, else H×W×C."""

    number: int
    name: str
    sample: str
    channels: int
    photo: int

    @property
    def sample_bytes(self) -> int:
        """Bytes of a channel of a pixel."""
        return 1 if self.sample == "bit" else int(self.sample[-1])

    @property
    def components(self) -> int:
        """Channels, with an H×W array counted as one."""
        return max(1, self.channels)

    @property
    def planes(self) -> int:
        """Byte planes of a picture: one for each byte of a pixel."""
        return self.components * self.sample_bytes

    @property
    def pillow(self) -> str | None:
        """The Pillow mode with the same samples, or None where Pillow has none."""
        base = self.name.removesuffix("[1]")
        return base if base in _PILLOW else None

    @property
    def alpha(self) -> int | None:
        """Index of the alpha channel, or None."""
        return self.components - 1 if self.name in _ALPHA else None

    @property
    def premultiplied(self) -> bool:
        """Whether colours are stored times alpha."""
        return self.name in _PREMULTIPLIED


_PILLOW = {"1", "L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F"}
_PREMULTIPLIED = {"La", "RGBa", "RGBa;16"}
_ALPHA = {"LA", "La", "RGBA", "RGBa", "LA;16", "RGBA;16", "RGBa;16"}
#: NumPy's names of the sample types
DTYPES = {
    **{"u1": "uint8", "u2": "uint16", "i4": "int32", "f4": "float32", "bit": "uint8"},
    **{"i2": "int16", "u4": "uint32", "f2": "float16"},
}
_PHOTO = (1, 1, 1, 3, 3)  # photograph planes of a picture with 0 (H×W), 1, 2, 3, 4 channels


def _table() -> tuple[Mode, ...]:
    rows = []
    names = {
        "u1": ("L", "L[1]", "LA", "RGB", "RGBA"),
        "u2": ("I;16", "I;16[1]", "LA;16", "RGB;16", "RGBA;16"),
        "i4": ("I", "I[1]", "I[2]", "I[3]", "I[4]"),
        "f4": ("F", "F[1]", "F[2]", "F[3]", "F[4]"),
        "bit": ("1", "1[1]", "1[2]", "1[3]", "1[4]"),
        "i2": ("I;16S", "I;16S[1]", "I;16S[2]", "I;16S[3]", "I;16S[4]"),
        "u4": ("I;32", "I;32[1]", "I;32[2]", "I;32[3]", "I;32[4]"),
        "f2": ("F;16", "F;16[1]", "F;16[2]", "F;16[3]", "F;16[4]"),
    }
    for row, (sample, five) in enumerate(names.items()):
        for channels, name in enumerate(five):
            photo = _PHOTO[channels] if sample in ("u1", "u2") else 0
            rows.append(Mode(8 * row + channels, name, sample, channels, photo))
    rows += [
        Mode(64, "CMYK", "u1", 4, 0),
        Mode(65, "YCbCr", "u1", 3, 1),
        Mode(66, "LAB", "u1", 3, 1),
        Mode(67, "HSV", "u1", 3, 0),
        Mode(68, "RGBX", "u1", 4, 3),
        Mode(69, "RGBa", "u1", 4, 3),
        Mode(70, "La", "u1", 2, 1),
        Mode(72, "RGBX;16", "u2", 4, 3),
        Mode(73, "RGBa;16", "u2", 4, 3),
    ]
    return tuple(rows)


MODES = _table()
BY_NAME = {m.name: m for m in MODES}
BY_NUMBER = {m.number: m for m in MODES}


def digest_prefix(mode: Mode, width: int, height: int) -> bytes:
    """What the pixel digest covers before the samples: mode number, width, height."""
    return struct.pack("<BII", mode.number, width, height)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the planes of a mode come about: per plane CODED, (CONSTANT, value) or (COPY, index of an earlier plane).

    At least one plane is coded. Of three photograph planes either all are coded or the first is and the other two are
    its copies (a grey picture stored as RGB); a single one is coded.
    """

    planes: tuple[tuple[int, int], ...]

    @property
    def coded(self) -> tuple[int, ...]:
        """Indices of the planes in the stream."""
        return tuple(i for i, (kind, _) in enumerate(self.planes) if kind == CODED)

    def counts(self, kind: Planar) -> tuple[int, int]:
        """(photograph planes, extra planes) in the stream."""
        n_photo = sum(1 for i in self.coded if i < kind.photo)
        return n_photo, len(self.coded) - n_photo

    def write(self) -> bytes:
        """Bytes of the layout, which `read_layout` reads."""
        return b"".join(
            bytes([kind]) if kind in (CODED, PHOTO, KEPT) else bytes([kind, value]) for kind, value in self.planes
        )


def read_layout(data: bytes, kind: Planar) -> tuple[Layout, bytes]:
    """The layout at the front of `data`, and the bytes after it. Raises CorruptStream."""
    planes: list[tuple[int, int]] = []
    at = 0
    for index in range(kind.planes):
        origin = data[at] if at < len(data) else -1
        size = 1 if origin == CODED else 2
        if origin not in (CODED, CONSTANT, COPY) or at + size > len(data):
            raise CorruptStream(f"plane layout of mode {kind.name}: bad or missing entry for plane {index}")
        value = data[at + 1] if size == 2 else 0
        if origin == COPY and value >= index:
            raise CorruptStream(f"plane layout: plane {index} copies plane {value}, which does not come before it")
        planes.append((origin, value))
        at += size
    layout = Layout(tuple(planes))
    photo = layout.planes[: kind.photo]
    grey = ((CODED, 0), (COPY, 0), (COPY, 0))
    if not layout.coded or (any(origin != CODED for origin, _ in photo) and photo != grey):
        raise CorruptStream(f"plane layout: these planes cannot make a picture of mode {kind.name}")
    return layout, data[at:]
