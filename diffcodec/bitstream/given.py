"""Payload of the 'G' chunk (formats 1.4 and 1.6): what the model was given, one part after another, each by its kind.

A part: kind (a byte), its length, its fields. Writing and reading of a kind stand side by side. A nested stream is read
with what is left of the limits, and its size must be that of what the operator leaves of the picture: depth, pixels and
sizes are judged before anything is decoded.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

from ..runtime.errors import CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from ..runtime.fields import Fields, name_in, name_out
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import write_varint
from .header import FINGERPRINT_BYTES

if TYPE_CHECKING:
    from .container import Container

    Reader = Callable[[bytes, Limits], Container]

Size = tuple[int, int]  #: width, height

MOST = 8  #: parts of a chunk
MAX_TEXT = 2**16  #: bytes of UTF-8
OUTSIDE_BYTES = 32  #: of the digest of what the reader must supply
SCALE = 256  #: scales of guidance are in 1/256
AUGMENTATIONS = 2**19 - 1  #: the greatest log-SNR of an augmentation, and the least but for its sign, in 1/1024
#: what texts are likely to hold, for the deflate of short ones; part of the format (bitstream_spec/words.bin)
WORDS = (
    b"illustration of in the style of drawing of sketch flat icon simple logo symbol digital art painting "
    b"watercolor oil vector black and white monochrome high quality detailed intricate sharp focus soft "
    b"light natural light sunset cinematic close-up of portrait of a woman a man people a child landscape "
    b"mountains forest river lake sea beach sky clouds city street building house car dog cat bird flower "
    b"tree red green blue yellow orange purple brown grey with and on the at from a photo of a photograph "
    b"of an "
)


# ---- operators: what a nested stream shows of the picture


@dataclass(frozen=True)
class Seen:
    """What an operator leaves of a picture.

    size: (width, height) of it, of the picture's size and the operator's numbers; None where these cannot be. numbers:
    how many there are. channels: of a grey picture and of one in colour, 0 where the operator takes none such. masked:
    whether a bilevel picture of the picture's size tells which pixels.
    """

    size: Callable[..., Size | None]
    numbers: int = 0
    channels: tuple[int, int] = (1, 3)
    masked: bool = False


def _boxes(size: Size, k: int) -> Size | None:
    return (-(-size[0] // k), -(-size[1] // k)) if 1 <= k <= min(size) else None


def _with_boxes(size: Size, k: int) -> Size | None:
    return size if 1 <= k <= min(size) else None


def _part(size: Size, top: int, left: int, height: int, width: int) -> Size | None:
    inside = width and height and left + width <= size[0] and top + height <= size[1]
    return (width, height) if inside else None


#: by name, in the order of their numbers in a stream; the names are `models.operators`'
OPERATORS = {
    "box": Seen(_boxes, 1),
    "luma": Seen(lambda size: size, channels=(1, 1)),
    "chroma": Seen(_with_boxes, 1, channels=(0, 3)),
    "mask": Seen(lambda size: size, masked=True),
    "crop": Seen(_part, 4),
}
_NAMES = tuple(OPERATORS)


def _looked_at(operator: str, numbers: Sequence[int], augmentation: int | None) -> bytes:
    """Operator, augmentation, numbers. Raises ValueError for an augmentation that does not fit."""
    return bytes([_NAMES.index(operator)]) + _augmented(augmentation) + b"".join(map(write_varint, numbers))


def _augmented(augmentation: int | None) -> bytes:
    """A varint. Raises ValueError for an augmentation that does not fit."""
    if augmentation is not None and abs(augmentation) > AUGMENTATIONS:
        raise ValueError(f"an augmentation of {augmentation}, beyond ±{AUGMENTATIONS}")
    return write_varint(0 if augmentation is None else 1 + _unsigned(augmentation))


def _augmentation(fields: Fields) -> int | None:
    """Mirror of :func:`_augmented`. Raises CorruptStream."""
    signed = fields.varint(20)
    return _signed(signed - 1) if signed else None


def _looking(fields: Fields, within: Within) -> tuple[str, tuple[int, ...], int | None, Size]:
    """Mirror of :func:`_looked_at`, and the size of what is left. Raises CorruptStream, UnsupportedVersion."""
    number = fields.byte()
    if number >= len(OPERATORS):
        raise UnsupportedVersion(f"operator {number} of what was given is unknown here")
    augmentation = _augmentation(fields)
    seen = OPERATORS[_NAMES[number]]
    numbers = tuple(fields.varint() for _ in range(seen.numbers))
    size = seen.size(within.size, *numbers)
    if size is None:
        raise CorruptStream(f"{_NAMES[number]} {numbers} is not of this picture; the file is damaged")
    return _NAMES[number], numbers, augmentation, size


# ---- parts


@dataclass(frozen=True)
class Within:
    """What parts are read within: the ``size`` of the picture, what is left of the limits, who reads nested streams."""

    size: Size
    limits: Limits
    reader: Reader

    def nested(self, stream: bytes, size: Size) -> Container:
        """A stream of that size, which is given. Raises as ``reader``, but CorruptStream for one that is cut."""
        if not self.limits.max_given:
            raise LimitExceeded(f"streams are given one within another more than {DEFAULT_LIMITS.max_given} deep")
        try:
            found = self.reader(stream, replace(self.limits, max_given=self.limits.max_given - 1, max_frames=0))
        except Truncated:
            raise CorruptStream("a stream that was given is cut; the file is damaged") from None
        if (found.header.width, found.header.height) != size:
            has, wanted = ("×".join(map(str, one)) for one in ((found.header.width, found.header.height), size))
            raise CorruptStream(f"a stream that was given has {has} pixels where {wanted} belong; the file is damaged")
        return found

    def after(self, part: Given) -> Within:
        """What is left behind that part."""
        pixels, metadata = part.used
        limits = self.limits
        left = replace(limits, max_pixels=limits.max_pixels - pixels, max_metadata=limits.max_metadata - metadata)
        return replace(self, limits=left)


class Part(Protocol):
    """One thing that was given."""

    kind: ClassVar[int]
    name: ClassVar[str]

    def write(self) -> bytes:
        """Its fields."""
        ...

    @property
    def used(self) -> tuple[int, int]:
        """What it takes of the limits: pixels, and bytes that count as metadata."""
        ...

    @property
    def file(self) -> bytes:
        """What of it is a file of its own; empty where nothing is."""
        ...


@dataclass(frozen=True)
class Text:
    """scale: of guidance, in 1/256. encoder: name of the network that reads it, with the start of its fingerprint.

    packed: prompt and negative prompt as they stand in a stream, where they come from one.
    """

    prompt: str
    negative: str = ""
    scale: int = SCALE
    encoder: str = ""
    fingerprint: bytes = bytes(FINGERPRINT_BYTES)
    packed: tuple[bytes, ...] = field(default=(), compare=False, repr=False)

    kind: ClassVar[int] = 1
    name: ClassVar[str] = "text"
    file: ClassVar[bytes] = b""

    @property
    def used(self) -> tuple[int, int]:
        """No pixels; the bytes of its texts."""
        return 0, len(self.prompt.encode()) + len(self.negative.encode())

    def write(self) -> bytes:
        """Scale, encoder, fingerprint, prompt, negative prompt. Raises ValueError for a field that does not fit."""
        if not 0 <= self.scale < 2**16 or len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"a scale of {self.scale}, a fingerprint of {len(self.fingerprint)} bytes")
        texts = self.packed or tuple(map(_packed, (self.prompt, self.negative)))
        front = write_varint(self.scale) + name_out(self.encoder, "name of an encoder") + self.fingerprint
        return front + b"".join(write_varint(len(text)) + text for text in texts)

    @classmethod
    def read(cls, fields: Fields, within: Within) -> Text:
        """Mirror of :meth:`write`. Raises CorruptStream, LimitExceeded, UnsupportedVersion."""
        scale, encoder = fields.varint(16), name_in(fields, within.limits, "name of a text's encoder")
        fingerprint = fields.take(FINGERPRINT_BYTES)
        left, texts, packed = within.limits.max_metadata, list[str](), list[bytes]()
        for _ in range(2):
            packed.append(fields.counted())
            texts.append(_unpacked(packed[-1], left))
            left -= len(texts[-1].encode())
        return cls(texts[0], texts[1], scale, encoder, fingerprint, tuple(packed))


@dataclass(frozen=True)
class Stream:
    """A whole stream, and how its picture comes of the one that is coded.

    operator: one of OPERATORS; numbers: its own; mask: a stream of a bilevel picture, where it takes one.
    augmentation: in 1/1024 of log-SNR, None for none. containers: of ``stream`` and of ``mask``, where they were read.
    """

    operator: str
    numbers: tuple[int, ...]
    augmentation: int | None
    stream: bytes
    mask: bytes = b""
    containers: tuple[Container, ...] = field(default=(), compare=False, repr=False)

    kind: ClassVar[int] = 2
    name: ClassVar[str] = "stream"

    @property
    def file(self) -> bytes:
        """The stream."""
        return self.stream

    @property
    def used(self) -> tuple[int, int]:
        """Pixels and metadata of its pictures, and of all that they were given."""
        return sum(one.pixels for one in self.containers), sum(one.metadata for one in self.containers)

    def write(self) -> bytes:
        """Operator, augmentation, numbers, mask, stream. Raises ValueError for an augmentation that does not fit."""
        mask = write_varint(len(self.mask)) + self.mask if OPERATORS[self.operator].masked else b""
        return _looked_at(self.operator, self.numbers, self.augmentation) + mask + self.stream

    @classmethod
    def read(cls, fields: Fields, within: Within) -> Stream:
        """Mirror of :meth:`write`. Raises CorruptStream, LimitExceeded, UnsupportedVersion, ChecksumMismatch."""
        operator, numbers, augmentation, size = _looking(fields, within)
        mask, masks = b"", list["Container"]()
        if OPERATORS[operator].masked:
            mask = fields.counted()
            masks.append(within.nested(mask, within.size))
        stream = fields.rest()
        part = cls(operator, numbers, augmentation, stream, mask, tuple(masks))
        return replace(part, containers=(within.after(part).nested(stream, size), *masks))


@dataclass(frozen=True)
class File:
    """A foreign file, byte for byte."""

    data: bytes

    kind: ClassVar[int] = 3
    name: ClassVar[str] = "file"
    used: ClassVar[tuple[int, int]] = (0, 0)

    @property
    def file(self) -> bytes:
        """As it is."""
        return self.data

    def write(self) -> bytes:
        """The file."""
        return self.data

    @classmethod
    def read(cls, fields: Fields, within: Within) -> File:
        """Mirror of :meth:`write`. Raises CorruptStream."""
        data = fields.rest()
        if not data:
            raise CorruptStream("a file that was given has no bytes; the file is damaged")
        return cls(data)


@dataclass(frozen=True)
class SmallFile:
    """A foreign file, byte for byte, of what an operator without a mask leaves of the picture; as of `Stream`."""

    operator: str
    numbers: tuple[int, ...]
    augmentation: int | None
    data: bytes

    kind: ClassVar[int] = 6
    name: ClassVar[str] = "small file"
    used: ClassVar[tuple[int, int]] = (0, 0)

    @property
    def file(self) -> bytes:
        """As it is."""
        return self.data

    def size(self, whole: Size) -> Size | None:
        """(width, height) of the file's picture, of the size of the whole one."""
        return OPERATORS[self.operator].size(whole, *self.numbers)

    def write(self) -> bytes:
        """Operator, augmentation, numbers, file. Raises ValueError for what does not fit."""
        if OPERATORS[self.operator].masked:
            raise ValueError(f"a file of what {self.operator} leaves")
        return _looked_at(self.operator, self.numbers, self.augmentation) + self.data

    @classmethod
    def read(cls, fields: Fields, within: Within) -> SmallFile:
        """Mirror of :meth:`write`. Raises CorruptStream, UnsupportedVersion."""
        operator, numbers, augmentation, _ = _looking(fields, within)
        if OPERATORS[operator].masked:
            raise UnsupportedVersion(f"a file of what {operator} leaves was given, which is unknown here")
        data = fields.rest()
        if not data:
            raise CorruptStream("a file that was given has no bytes; the file is damaged")
        return cls(operator, numbers, augmentation, data)


@dataclass(frozen=True)
class Before:
    """So many of the last frames of the group before. augmentation: in 1/1024 of log-SNR, since 1.7; None for none."""

    count: int
    augmentation: int | None = None

    kind: ClassVar[int] = 4
    name: ClassVar[str] = "before"
    file: ClassVar[bytes] = b""
    used: ClassVar[tuple[int, int]] = (0, 0)

    def write(self) -> bytes:
        """Their number, augmentation. Raises ValueError for an augmentation that does not fit."""
        return write_varint(self.count) + (b"" if self.augmentation is None else _augmented(self.augmentation))

    @classmethod
    def read(cls, fields: Fields, within: Within | None = None) -> Before:
        """Mirror of :meth:`write`. Raises CorruptStream."""
        count = fields.varint(16)
        if not count:
            raise CorruptStream("no frames before this one were given; the file is damaged")
        augmentation = None
        if not fields.ended and (augmentation := _augmentation(fields)) is None:
            raise CorruptStream("no augmentation of frames before this one; the file is damaged")
        return cls(count, augmentation)


@dataclass(frozen=True)
class Outside:
    """digest: SHA-256 of what the reader must supply. label: what it is called."""

    digest: bytes
    label: str = ""

    kind: ClassVar[int] = 5
    name: ClassVar[str] = "outside"
    file: ClassVar[bytes] = b""
    used: ClassVar[tuple[int, int]] = (0, 0)

    def write(self) -> bytes:
        """Digest, label. Raises ValueError for a digest of another length, and a label that is too long."""
        if len(self.digest) != OUTSIDE_BYTES:
            raise ValueError(f"a digest of {len(self.digest)} bytes")
        return self.digest + name_out(self.label, "label")

    @classmethod
    def read(cls, fields: Fields, within: Within) -> Outside:
        """Mirror of :meth:`write`. Raises CorruptStream, LimitExceeded."""
        digest = fields.take(OUTSIDE_BYTES)
        return cls(digest, name_in(fields, within.limits, "name of what was given from outside"))


Given = Text | Stream | File | SmallFile | Before | Outside
_SINCE = {SmallFile.kind: (1, 6)}  #: first versions of kinds that came later
KINDS: dict[int, type[Given]] = {kind.kind: kind for kind in (Text, Stream, File, Before, Outside, SmallFile)}


# ---- the chunk


def write(parts: Sequence[Given]) -> bytes:
    """Payload of the chunk. Raises ValueError for more parts than MOST, or none, and for fields that do not fit."""
    if not 1 <= len(parts) <= MOST:
        raise ValueError(f"expected 1 to {MOST} things that are given, found {len(parts)}")
    fields = [(part.kind, part.write()) for part in parts]
    return b"".join(bytes([kind]) + write_varint(len(data)) + data for kind, data in fields)


def read(payload: bytes, within: Within) -> tuple[Given, ...]:
    """Mirror of :func:`write`. Raises CorruptStream, LimitExceeded, UnsupportedVersion, ChecksumMismatch."""
    fields, parts = Fields(payload, "chunk 'G' ends"), list[Given]()
    while not fields.ended:
        if len(parts) == MOST:
            raise LimitExceeded(f"more than {MOST} things were given; the file is damaged")
        kind, data = fields.byte(), fields.counted()
        if kind not in KINDS:
            raise UnsupportedVersion(f"a thing of kind {kind} was given, which is unknown here")
        inner = Fields(data, "what was given ends")
        part = KINDS[kind].read(inner, within)
        if not inner.ended:
            raise CorruptStream("bytes follow the fields of what was given; the file is damaged")
        within = within.after(part)
        parts.append(part)
    if not parts:
        raise CorruptStream("chunk 'G' gives nothing; the file is damaged")
    labels = [part.label for part in parts if isinstance(part, Outside)]
    if len(set(labels)) < len(labels):
        raise CorruptStream("two things were given from outside by one name; the file is damaged")
    return tuple(parts)


def since(payload: bytes) -> tuple[int, int]:
    """The first version that has all parts of a payload that :func:`write` made."""
    fields, first = Fields(payload, "chunk 'G' ends"), (1, 4)
    while not fields.ended:
        kind, data = fields.byte(), fields.counted()
        first = max(first, _SINCE.get(kind, first))
        if kind == Before.kind and Before.read(Fields(data, "what was given ends")).augmentation is not None:
            first = max(first, (1, 7))
    return first


# ---- texts and signed numbers


def _packed(text: str) -> bytes:
    """A text as it is or deflated, whichever is shorter. Raises ValueError for one that is too long."""
    data = text.encode()
    if len(data) > MAX_TEXT:
        raise ValueError(f"a text of {len(data)} bytes, over {MAX_TEXT}")
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=WORDS)
    short = b"\1" + engine.compress(data) + engine.flush()
    return min(b"\0" + data, short, key=len) if data else b""


def _unpacked(data: bytes, left: int) -> str:
    """Mirror of :func:`_packed`; inflates to no more than MAX_TEXT bytes, nor than those that are ``left``."""
    if not data:
        return ""
    if data[0] > 1:
        raise UnsupportedVersion(f"compression {data[0]} of a text is unknown here")
    most, raw = min(MAX_TEXT, left), data[1:]
    if data[0]:
        engine = zlib.decompressobj(-15, zdict=WORDS)
        try:
            raw = engine.decompress(raw, most + 1)
        except zlib.error:
            raise CorruptStream("a text that was given does not inflate; the file is damaged") from None
        if len(raw) <= most and (not engine.eof or engine.unused_data):
            raise CorruptStream("a text that was given does not end where it should; the file is damaged")
    if len(raw) > most:
        raise LimitExceeded(f"a text that was given has more than {most} bytes")
    if not raw:
        raise CorruptStream("an empty text takes no bytes; the file is damaged")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise CorruptStream("what was given holds a text that is not UTF-8; the file is damaged") from None


def _unsigned(value: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def _signed(value: int) -> int:
    """Mirror of :func:`_unsigned`."""
    return value // 2 if value % 2 == 0 else -(value + 1) // 2
