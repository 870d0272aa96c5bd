"""What a picture file says beside its samples: one immutable value, the same whatever format it came from.

No NumPy here: `inspect` and archives read it without. Bytes of hostile files come through `from_parts`, `from_chunks`
and `from_bytes`, which raise CorruptStream, LimitExceeded or UnsupportedVersion and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Literal

from ..runtime import ancillary
from ..runtime.errors import CorruptStream, InputError
from ..runtime.fields import Fields
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import write_varint

Unit = Literal["none", "metre", "inch", "centimetre"]
UNITS: tuple[Unit, ...] = ("none", "metre", "inch", "centimetre")
#: chunks of PNG that say what the samples' colours are
COLOUR_CHUNKS = ("gAMA", "cHRM", "sRGB", "cICP", "mDCV", "cLLI")
_INCHES = {"metre": Fraction(254, 10000), "centimetre": Fraction(254, 100), "inch": Fraction(1)}


@dataclass(frozen=True, slots=True)
class Text:
    """A text of PNG. international: from an iTXt chunk, which alone has a language and a translated keyword."""

    keyword: str
    text: str
    language: str = ""
    translated: str = ""
    international: bool = False


@dataclass(frozen=True, slots=True)
class Density:
    """Pixels per unit along x and y; unit "none": only their ratio is meant."""

    x: Fraction
    y: Fraction
    unit: Unit = "inch"

    def dpi(self) -> tuple[Fraction, Fraction] | None:
        """Pixels per inch, None where only a ratio is known."""
        if self.unit == "none":
            return None
        return self.x * _INCHES[self.unit], self.y * _INCHES[self.unit]


@dataclass(frozen=True, slots=True)
class Palette:
    """Of a picture that was stored as indices. colours: 3 bytes an entry (R, G, B); alphas: of the first entries.

    ambiguous: the indices, in raster order, of the pixels whose colour stands in several entries; empty where each of
    them has the first of its colour. All others follow from their colours.
    """

    colours: bytes
    alphas: bytes = b""
    ambiguous: bytes = b""


@dataclass(frozen=True, slots=True)
class PackedPalette:
    """A palette as a stream tells it, by the colours of its picture; `palettes.unpacked` makes a `Palette` of it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """How a picture stands among others. duration: seconds shown; loops: how often all are shown, 0 for ever."""

    duration: Fraction | None = None
    loops: int | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    r"""One entry per kind; None or empty where there is none.

    icc:      ICC profile
    exif:     Exif data as a TIFF structure, without the "Exif\0\0" prefix; the orientation is kept, never applied
    xmp:      XMP packet (XML, as stored)
    iptc:     IPTC-IIM records
    text:     texts of PNG, in their order
    comments: comments of JPEG and GIF, in their order
    colour:   PNG's chunks gAMA, cHRM, sRGB, cICP, mDCV and cLLI by name, as they are
    other:    PNG's further ancillary chunks (sBIT, bKGD, tIME, ...) by name, as they are, in their order
    density:  pixels per inch, centimetre or metre
    palette:  of a picture that was stored as indices; packed where metadata are read without their picture
    frame:    duration and loops of an animation
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[Text, ...] = ()
    comments: tuple[bytes, ...] = ()
    colour: tuple[tuple[str, bytes], ...] = ()
    other: tuple[tuple[str, bytes], ...] = ()
    density: Density | None = None
    palette: Palette | PackedPalette | None = None
    frame: Frame | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _NAMES)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds that are there."""
        return tuple(name for name in _NAMES if getattr(self, name))

    def chunk(self, name: str) -> bytes | None:
        """The payload of the first PNG chunk of this name among `colour` and `other`."""
        return dict(reversed(self.colour + self.other)).get(name)

    @property
    def gamma(self) -> Fraction | None:
        """Of the chunk gAMA: the exponent of the transfer function, None where it is not told."""
        data = self.chunk("gAMA")
        return Fraction(int.from_bytes(data, "big"), 100000) if data and len(data) == 4 else None

    @property
    def cicp(self) -> tuple[int, int, int, int] | None:
        """Colour primaries, transfer characteristics, matrix coefficients, full range (ITU-T H.273)."""
        data = self.chunk("cICP")
        return (data[0], data[1], data[2], data[3]) if data and len(data) == 4 else None

    @property
    def significant_bits(self) -> tuple[int, ...] | None:
        """Bits of each channel that mean something, in the channels of the file it came from."""
        data = self.chunk("sBIT")
        return tuple(data) if data else None

    @property
    def time(self) -> tuple[int, int, int, int, int, int] | None:
        """Of the last change: year, month, day, hour, minute, second (UTC)."""
        data = self.chunk("tIME")
        if not data or len(data) != 7:
            return None
        year, month, day, hour, minute, second = struct.unpack(">HBBBBB", data)
        return year, month, day, hour, minute, second

    def without_thumbnail(self) -> Metadata:
        """The same but for the thumbnail in the Exif data; all other bytes of those keep their places."""
        from .exif import without_thumbnail

        return self if self.exif is None else replace(self, exif=without_thumbnail(self.exif))

    def stripped(self) -> Metadata:
        """What says how the samples are shown: profile, colour, orientation and timing; nothing else."""
        from .exif import orientation

        exif = orientation(self.exif) if self.exif else None
        return Metadata(icc=self.icc, exif=exif, colour=self.colour, frame=self.frame)

    def parts(self) -> list[tuple[str, bytes]]:
        """(letter of the kind, its bytes) of all that is there, as in chunks before they are compressed."""
        return [(kind.letter, kind.write(value)) for kind in _KINDS if (value := getattr(self, kind.name))]

    def size(self, name: str) -> int:
        """Bytes that the kind of this name takes, compressed; 0 where it is not there."""
        only = Metadata(**{name: getattr(self, name)})
        return sum(len(payload) for _, payload in only.chunks())

    @classmethod
    def from_parts(cls, parts: Mapping[str, bytes]) -> Metadata:
        """Mirror of `parts`; other letters are skipped. Raises CorruptStream."""
        return cls(**{kind.name: kind.read(parts[kind.letter]) for kind in _KINDS if kind.letter in parts})

    def chunks(self) -> list[tuple[str, bytes]]:
        """(letter, payload) of the ancillary chunks of format 1.4."""
        return [(letter, ancillary.pack(data, profile=letter == "p")) for letter, data in self.parts()]

    @classmethod
    def from_chunks(cls, chunks: Mapping[str, bytes], limits: Limits = DEFAULT_LIMITS) -> Metadata:
        """Of the ancillary chunks of a stream, those of format 1.0 too. Raises as the module says."""
        parts = {new: chunks[old] for new, old in ancillary.PLAIN.items() if chunks.get(old)}
        left = limits.max_metadata
        for letter in ancillary.LETTERS:
            if letter in chunks:
                parts[letter] = ancillary.unpack(chunks[letter], replace(limits, max_metadata=left))
                left -= len(parts[letter])
        return cls.from_parts(parts)

    def to_bytes(self) -> bytes:
        """All of it, compressed; nothing of an empty one. The same value always gives the same bytes."""
        return b"".join(letter.encode() + write_varint(len(data)) + data for letter, data in self.chunks())

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Metadata:
        """Mirror of `to_bytes`; all kinds together inflate to at most `limits.max_metadata` bytes.

        Raises CorruptStream, LimitExceeded or UnsupportedVersion.
        """
        cursor, chunks, last = Cursor(data), {}, -1
        while not cursor.ended:
            letter = chr(cursor.byte())
            place = ancillary.LETTERS.find(letter)
            if place <= last:
                raise CorruptStream("kinds of metadata are unknown, repeated or out of order; the file is damaged")
            chunks[letter], last = cursor.counted(), place
        return cls.from_chunks(chunks, limits)


EMPTY = Metadata()


# ---- bytes of the kinds


class Cursor(Fields):
    """Reads fields of metadata and never passes the end."""

    def __init__(self, data: bytes):
        super().__init__(data, "metadata end")

    def string(self) -> str:
        """A counted text of UTF-8. Raises CorruptStream."""
        try:
            return self.counted().decode("utf-8")
        except UnicodeDecodeError:
            raise CorruptStream("a text among the metadata is not UTF-8; the file is damaged") from None

    def fraction(self) -> Fraction:
        """Numerator and denominator, below 2^32. Raises CorruptStream."""
        above, below = self.varint(), self.varint()
        if not below:
            raise CorruptStream("a fraction among the metadata is divided by 0; the file is damaged")
        return Fraction(above, below)

    def finish(self) -> None:
        """All bytes must have been read. Raises CorruptStream."""
        if not self.ended:
            raise CorruptStream("bytes follow the last field of metadata; the file is damaged")


def _counted(data: bytes) -> bytes:
    return write_varint(len(data)) + data


def _fraction(value: Fraction) -> bytes:
    if not (0 <= value.numerator < 2**32 and value.denominator < 2**32):
        raise InputError(f"expected a fraction of numbers below 2^32 among the metadata, found {value}")
    return write_varint(value.numerator) + write_varint(value.denominator)


def _write_text(texts: tuple[Text, ...]) -> bytes:
    try:
        return b"".join(
            bytes([t.international]) + b"".join(map(_counted, (s.encode() for s in _strings(t)))) for t in texts
        )
    except UnicodeEncodeError as error:
        raise InputError(f"expected texts of Unicode characters, found a lone surrogate: {error.reason}") from None


def _strings(text: Text) -> tuple[str, ...]:
    extra = (text.language, text.translated) if text.international else ()
    return (text.keyword, text.text, *extra)


def _read_text(cursor: Cursor) -> tuple[Text, ...]:
    texts = []
    while not cursor.ended:
        international = bool(_flag(cursor.byte(), 2))
        keyword, text = cursor.string(), cursor.string()
        language, translated = (cursor.string(), cursor.string()) if international else ("", "")
        texts.append(Text(keyword, text, language, translated, international))
    return tuple(texts)


def _flag(value: int, count: int) -> int:
    if value >= count:
        raise CorruptStream(f"a field of metadata is {value} where values below {count} belong; the file is damaged")
    return value


def _write_list(items: tuple[bytes, ...]) -> bytes:
    return b"".join(map(_counted, items))


def _read_list(cursor: Cursor) -> tuple[bytes, ...]:
    items = []
    while not cursor.ended:
        items.append(cursor.counted())
    return tuple(items)


def _write_named(items: tuple[tuple[str, bytes], ...]) -> bytes:
    return b"".join(name.encode("ascii") + _counted(data) for name, data in items)


def _read_named(cursor: Cursor) -> tuple[tuple[str, bytes], ...]:
    items = []
    while not cursor.ended:
        name = cursor.take(4)
        # lowercase first letter: ancillary, changes no sample of the PNG that it will be written to
        if not (name.isalpha() and name.isascii() and name[:1].islower()):
            raise CorruptStream("the name of a PNG chunk among the metadata is none; the file is damaged")
        items.append((name.decode("ascii"), cursor.counted()))
    return tuple(items)


def _write_density(density: Density) -> bytes:
    return bytes([UNITS.index(density.unit)]) + _fraction(density.x) + _fraction(density.y)


def _read_density(cursor: Cursor) -> Density:
    unit = UNITS[_flag(cursor.byte(), len(UNITS))]
    return Density(cursor.fraction(), cursor.fraction(), unit)


def _write_palette(palette: Palette | PackedPalette) -> bytes:
    if isinstance(palette, PackedPalette):
        return palette.data
    return b"\0" + _counted(palette.colours) + _counted(palette.alphas) + palette.ambiguous


def _read_palette(cursor: Cursor) -> Palette | PackedPalette:
    form = cursor.byte()
    if form:
        return PackedPalette(bytes([form]) + cursor.rest())
    colours, alphas = cursor.counted(), cursor.counted()
    entries, rest = divmod(len(colours), 3)
    if rest or not 1 <= entries <= 256 or len(alphas) > entries:
        raise CorruptStream(f"a palette of {len(colours)} and {len(alphas)} bytes among the metadata is none")
    return Palette(colours, alphas, cursor.rest())


def _write_frame(frame: Frame) -> bytes:
    out = bytes([(frame.duration is not None) | (frame.loops is not None) << 1])
    out += _fraction(frame.duration) if frame.duration is not None else b""
    return out + (write_varint(frame.loops) if frame.loops is not None else b"")


def _read_frame(cursor: Cursor) -> Frame:
    known = _flag(cursor.byte(), 4)
    duration = cursor.fraction() if known & 1 else None
    return Frame(duration, cursor.varint() if known & 2 else None)


@dataclass(frozen=True, slots=True)
class _Kind:
    letter: str
    name: str
    write: Callable[[Any], bytes]
    parse: Callable[[Cursor], Any]

    def read(self, data: bytes) -> Any:
        cursor = Cursor(data)
        value = self.parse(cursor)
        cursor.finish()
        return value


def _rest(cursor: Cursor) -> bytes | None:
    return cursor.rest() or None


_KINDS = (  # in the order of ancillary.LETTERS
    _Kind("p", "icc", bytes, _rest),
    _Kind("e", "exif", bytes, _rest),
    _Kind("g", "colour", _write_named, _read_named),
    _Kind("d", "density", _write_density, _read_density),
    _Kind("k", "xmp", bytes, _rest),
    _Kind("w", "text", _write_text, _read_text),
    _Kind("n", "iptc", bytes, _rest),
    _Kind("c", "comments", _write_list, _read_list),
    _Kind("b", "other", _write_named, _read_named),
    _Kind("f", "frame", _write_frame, _read_frame),
    _Kind("l", "palette", _write_palette, _read_palette),
)
_NAMES = tuple(field.name for field in fields(Metadata))
NAMES = {kind.letter: kind.name for kind in _KINDS}  #: the kinds' names by their letters
