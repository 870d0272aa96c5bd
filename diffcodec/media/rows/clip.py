"""Clips: frames of one size, RGB or planar YUV of 8 bits (bitstream_spec/MEDIA.md, §1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ...runtime.errors import CorruptStream, InputError
from ...runtime.fields import Fields
from ...runtime.varint import write_varint
from ..medium import Continued, Form, Signal
from ..modes import KEPT, PHOTO, Layout, Plain, read_layout
from .fractions import read_rate, write_rate

if TYPE_CHECKING:
    from ..medium import Bytes

Sampling = Literal["RGB", "YUV420", "YUV444"]
SAMPLINGS: dict[int, Sampling] = {75: "RGB", 76: "YUV420", 77: "YUV444"}
NUMBERS = {sampling: number for number, sampling in SAMPLINGS.items()}
#: planes of bytes that lie upon each other; those of YUV420, of three sizes, lie beside each other in one
LAYERS: dict[Sampling, int] = {"RGB": 3, "YUV420": 1, "YUV444": 3}
#: of clips whose frames are coded as photographs, as a codec takes them that does not keep every sample
PHOTOGRAPHS = Layout(((PHOTO, 0),) * 3)
#: of clips whose planes a codec takes as they are, which keeps every sample, with a model that sees frames
KEPT_PLANES: dict[Sampling, Layout] = {sampling: Layout(((KEPT, 0),) * count) for sampling, count in LAYERS.items()}
SINCE = (1, 7)  #: the first version of the format that has these


@dataclass(frozen=True, slots=True)
class Colour:
    """How samples are to be shown: kept, never interpreted. Numbers from 0 to 255.

    primaries, transfer, matrix: code points of ITU-T H.273, 2 for unspecified.
    range:  0 unspecified, 1 limited, 2 full.
    siting: of chroma samples, 0 unspecified, else one more than H.273's ChromaLocType: 1 left, 2 centre, 3 top left.

    Raises InputError for other numbers.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    siting: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(tag, int) and 0 <= tag <= 255 for tag in astuple(self)):
            raise InputError(f"expected colour tags from 0 to 255, found {astuple(self)}")


UNTOLD = Colour()  #: nothing is specified


@dataclass(frozen=True, slots=True)
class ClipFields:
    """What stands at the front of the parameters. frames, height, width: at least 1. rate: frames a second."""

    frames: int
    height: int
    width: int
    rate: Fraction | None = None
    colour: Colour = UNTOLD

    def write(self) -> bytes:
        """Bytes that :meth:`read` reads; each clip has one form."""
        sizes = b"".join(map(write_varint, (self.frames, self.width, self.height)))
        return sizes + write_rate(self.rate) + bytes(astuple(self.colour))

    @classmethod
    def read(cls, fields: Fields) -> ClipFields:
        """Raises CorruptStream."""
        frames, width, height = (fields.varint() for _ in range(3))
        if not (frames and width and height):
            raise CorruptStream(f"a clip of {frames} frames of {width}x{height} pixels; the file is damaged")
        return cls(frames, height, width, read_rate(fields), Colour(*fields.take(5)))

    def geometry(self, sampling: Sampling, photographs: bool = False) -> tuple[int, int]:
        """(height, width) of the positions that are coded: the frames one below another."""
        if sampling != "YUV420" or photographs:
            return self.frames * self.height, self.width
        chroma_height, chroma_width = self.chroma
        return self.frames * (self.height + chroma_height), 2 * chroma_width

    @property
    def chroma(self) -> tuple[int, int]:
        """(height, width) of the chroma planes of YUV420."""
        return -(-self.height // 2), -(-self.width // 2)

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.frames * self.height * self.width


@dataclass(frozen=True)
class ClipForm:
    """Of a clip. layout: how its planes come about."""

    sampling: Sampling
    fields: ClipFields
    layout: Layout

    indexed = False
    colours = 0

    @property
    def photographs(self) -> bool:
        """Whether frames are coded as photographs."""
        return self.layout == PHOTOGRAPHS

    @property
    def kept(self) -> bool:
        """Whether planes are coded as they are, as a photograph's."""
        return self.layout == KEPT_PLANES[self.sampling]

    @property
    def photo(self) -> int:
        """Planes of photographs that are coded."""
        return len(self.layout.planes) if self.photographs or self.kept else 0

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return mode_of(self.sampling)

    @property
    def kind(self) -> Plain:
        """Its byte planes."""
        return Plain(self.mode, LAYERS[self.sampling])

    @property
    def extra(self) -> int:
        """Planes that are coded."""
        return len(self.layout.coded)

    @property
    def planes(self) -> int:
        """Bytes of a position."""
        return self.photo or LAYERS[self.sampling]

    @property
    def units(self) -> int:
        """Pixels of all frames."""
        return self.fields.pixels

    @property
    def frames(self) -> int:
        """Pictures one below another."""
        return self.fields.frames

    @property
    def samples(self) -> int:
        """Numbers of all planes of all frames."""
        height, width = self.fields.chroma
        return self.fields.frames * 2 * height * width + self.units if self.sampling == "YUV420" else 3 * self.units

    def about(self) -> dict[str, object]:
        """mode, dtype, channels, frames, width, height, rate (frames a second, "30000/1001") and colour tags."""
        fields = self.fields
        return {
            "mode": self.mode,
            "dtype": "uint8",
            "channels": 3,
            "width": fields.width,
            "height": fields.height,
            "frames": fields.frames,
            "rate": None if fields.rate is None else str(fields.rate),
            "colour": asdict(fields.colour),
        }

    def signal(self, photo: Bytes, extra: Bytes | None, rounded: bool = False) -> Signal:
        """The clip, of ``photo`` or ``extra`` uint8 (H, W, n). Raises Truncated where that is not all there."""
        from ..clip import clip_of, clip_of_photographs

        return clip_of_photographs(photo, self) if self.photographs else clip_of(photo if self.kept else extra, self)


def mode_of(sampling: Sampling) -> str:
    """The name of the mode of clips that are sampled so."""
    return f"clip:{sampling}"


class Clips(Continued):
    """The row of clips."""

    name, plural, unit = "clip", "clips", "pixel"
    modes = MappingProxyType({number: mode_of(sampling) for number, sampling in SAMPLINGS.items()})
    formats = ("MKV", "MP4", "Y4M", "NPY")
    group = 16

    def taken(self, given: Any) -> Signal | None:
        """A `Clip`, or an array (T, H, W, 3) of uint8 as one of RGB."""
        from ..clip import taken

        return taken(given)

    def form(self, mode: int, height: int, width: int, params: bytes, palette: bytes | None) -> tuple[Form, bytes]:
        """The clip's fields and a plane layout, or that frames are photographs. Raises CorruptStream."""
        if palette is not None:
            raise CorruptStream("a palette in a clip; the file is damaged")
        cursor, sampling = Fields(params, "the fields of the clip end"), SAMPLINGS[mode]
        fields = ClipFields.read(cursor)
        left = cursor.rest()
        photographs = left.startswith(PHOTOGRAPHS.write())
        if fields.geometry(sampling, photographs) != (height, width):
            told = f"{fields.frames} frames of {fields.width}x{fields.height} pixels"
            raise CorruptStream(f"a clip of {told} is not coded in {width}x{height} positions; the file is damaged")
        for layout in (PHOTOGRAPHS, KEPT_PLANES[sampling]):
            if left.startswith(front := layout.write()):
                return ClipForm(sampling, fields, layout), left[len(front) :]
        layout, rest = read_layout(left, Plain(mode_of(sampling), LAYERS[sampling]))
        return ClipForm(sampling, fields, layout), rest

    def whole(self, forms: Sequence[Form]) -> Form:
        """Of the clip whose groups have these headers. Raises CorruptStream for groups of unlike clips."""
        first, *others = (form for form in forms if isinstance(form, ClipForm))
        for number, other in enumerate(others, 1):
            if other.sampling != first.sampling or replace(other.fields, frames=first.fields.frames) != first.fields:
                told = f"group {number} is of {other.mode}, {other.fields.width}x{other.fields.height} pixels"
                raise CorruptStream(f"{told}, with a size, rate or colour that the first has not; the file is damaged")
        frames = sum(form.frames for form in forms)
        return replace(first, fields=replace(first.fields, frames=frames))
