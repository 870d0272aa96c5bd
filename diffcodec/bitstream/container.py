"""Signature, version, chunks. Every chunk is sealed by a CRC-32C; every prefix that ends on a chunk can be read.

A checksum covers its own chunk and the four checksum bytes before it (the first one: the two version bytes). So the
chunks form a chain, and one that is missing, repeated, moved or spliced in from another stream is found although it is
whole: prefixes and lossy streams have no digest that would find it. It costs no byte and no second look at the data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import google_crc32c

from ..runtime.ancillary import LETTERS, PLAIN, declared
from ..runtime.errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    LimitExceeded,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import read_varint, write_varint
from . import small
from .header import CODECS, Header, Traits

if TYPE_CHECKING:
    from .given import Given

SIGNATURE = b"\x8bDFC\r\n\x1a\n"
VERSION = (1, 0)
#: versions of streams that have these chunks
SINCE = {"S": (1, 1), "A": (1, 2), **dict.fromkeys(("G", "M", "N", *LETTERS), (1, 4))}
_STATISTICS = (1, 3)  # version of streams whose header tells of them
#: samples of signed 16, unsigned 32 and half floats; RGBX and RGBa of 16 bits; tokens of 16 bits, clips, tracks
_MODES_OF_1_4 = (*range(40, 64), *range(72, 79))
_GROUPED = (75, 76, 77, 78)  #: modes whose further streams are groups of frames: each is within the limits alone
DIGEST_BYTES = 8
ANCILLARY = "ixt" + LETTERS  #: ICC profile, Exif data, text prompt; kinds of metadata since 1.4
_OTHER_FORM = PLAIN | {old: new for new, old in PLAIN.items()}  # a profile or Exif data in two forms is there twice
START_BYTES = len(SIGNATURE) + len(VERSION)
SEAL_BYTES = 4


@dataclass(frozen=True)
class Chunk:
    """``type`` is one ASCII letter, uppercase for critical chunks; ``end`` the stream offset behind the chunk."""

    type: str
    payload: bytes
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Container:
    """A parsed stream.

    palette:   payload of the 'C' chunk, or None
    adjustment: payload of the 'A' chunk, or None
    ancillary: payloads of the known ancillary chunks by type; unknown ones are skipped
    passes:    payloads of the 'P' chunks, coarse to fine
    ends:      stream offset behind each pass: that many bytes from the front decode with it
    digest:    8 bytes, 4 of a small stream, none of a lossy one, or None while the end chunk is missing
    version:   (major, minor)
    frames:    the streams of further frames, pages or groups of frames
    given:     what the model was given; begins: stream offset behind it
    behind:    stream offset behind each of them
    pixels, metadata: of the picture, its frames and all that was given, as the limits count them
    """

    header: Header
    palette: bytes | None
    adjustment: bytes | None
    ancillary: dict[str, bytes]
    passes: list[bytes]
    ends: list[int]
    digest: bytes | None
    version: tuple[int, int]
    frames: list[Container] = field(default_factory=list)
    given: tuple[Given, ...] = ()
    begins: int = 0
    behind: list[int] = field(default_factory=list)
    pixels: int = 0
    metadata: int = 0

    @property
    def complete(self) -> bool:
        """Whether the end chunk is there."""
        return self.digest is not None


def seal_of(before: bytes, start: bytes, payload: bytes) -> bytes:
    """The checksum of the chunk ``start + payload`` that follows ``before``, little-endian."""
    checksum: int = google_crc32c.extend(google_crc32c.value(before + start), payload)
    return checksum.to_bytes(SEAL_BYTES, "little")


def framed(length: int) -> int:
    """Bytes that a chunk with a payload of ``length`` bytes takes in a stream."""
    return 1 + len(write_varint(length)) + length + SEAL_BYTES


def write(chunks: Iterable[Chunk], since: tuple[int, int] = VERSION) -> bytes:
    """Signature, the lowest version that has all ``chunks``, and these in the order given, which is not checked.

    ``since``: the lowest version for what the chunks' payloads hold.
    """
    chunks = list(chunks)
    seal = bytes(max([since, *(_since(chunk) for chunk in chunks)]))
    out = [SIGNATURE, seal]
    for chunk in chunks:
        start = chunk.type.encode("ascii") + write_varint(len(chunk.payload))
        seal = seal_of(seal, start, chunk.payload)
        out += [start, chunk.payload, seal]
    return b"".join(out)


def _since(chunk: Chunk) -> tuple[int, int]:
    """The first version that has this chunk."""
    if chunk.type in "HS":
        with contextlib.suppress(BitstreamError):  # whatever it is, a damaged header does not tell
            small_one = small.unpack(chunk.payload) if chunk.type == "S" else None
            header = Header.from_bytes(chunk.payload) if small_one is None else small_one[0]
            if header.mode in _MODES_OF_1_4 or (small_one is not None and small_one[3]):
                return (1, 4)
            if header.statistics:
                return _STATISTICS
    if chunk.type == "G":
        with contextlib.suppress(BitstreamError):
            from . import given  # which few streams have a part of

            return given.since(chunk.payload)
    return SINCE.get(chunk.type, VERSION)


def read(data: bytes, *, limits: Limits = DEFAULT_LIMITS, partial: bool = False) -> Container:
    """Mirror of :func:`write` for a whole stream; with ``partial`` the passes that a cut stream holds completely.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded or CorruptStream: the first
    violation from the front.
    """
    reader = StreamReader(limits)
    if not reader.feed(data):
        part = "header" if len(data) >= START_BYTES else f"first {START_BYTES} bytes, its signature and version"
        raise Truncated(f"the stream of {len(data)} bytes ends inside its {part}; fetch the whole file")
    container = reader.container()
    if not container.complete and not partial:
        prefix = ", or decode what is there with upto_bytes" if container.passes else ""
        raise Truncated(
            f"the stream ends before its end chunk, whole passes: {len(container.passes)}; fetch the whole file{prefix}"
        )
    return container


class StreamReader:
    """Incremental parser: feed bytes as they come, get the chunks they complete, checked and in their lawful order."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS):
        self._limits = limits
        self._buffer = bytearray()
        self._dropped = 0
        self._before = b""
        self._parts = _Parts(limits)
        self.version: tuple[int, int] | None = None

    @property
    def pending(self) -> int:
        """Bytes held of a chunk that is not complete."""
        return len(self._buffer)

    @property
    def begun(self) -> bool:
        """Whether a header was among what was read."""
        return self._parts.header is not None

    def take_frames(self) -> list[Container]:
        """Further frames that came since they were taken last; they are kept no longer, nor told by `container`."""
        taken, self._parts.frames = self._parts.frames, []
        return taken

    def container(self) -> Container:
        """What was read so far; the header chunk must have been among it."""
        assert self.version is not None
        return self._parts.container(self.version)

    def feed(self, data: bytes) -> list[Chunk]:
        """Chunks newly complete. Raises as :func:`read`, except Truncated; feed nothing more after that."""
        self._buffer += data
        if self.version is None:
            _check_signature(self._buffer)
            if len(self._buffer) < START_BYTES:
                return []
            self._before = bytes(self._buffer[len(SIGNATURE) : START_BYTES])
            self.version = (self._before[0], self._before[1])
            if self.version[0] != VERSION[0]:
                raise UnsupportedVersion(
                    f"the stream is of format {self.version[0]}.{self.version[1]}, this version reads {VERSION[0]}.x; "
                    "install a newer diffcodec"
                )
            self._drop(START_BYTES)
        chunks = []
        while (chunk := self._next()) is not None:
            self._parts.add(chunk)
            chunks.append(chunk)
        return chunks

    def pass_over(self) -> Chunk | None:
        """What stands where `feed` has found a checksum that is not right: unverified, and the reader behind it.

        None where no whole chunk stands there.
        """
        letter = chr(self._buffer[0])
        length, start = read_varint(self._buffer, 1, 35)
        end = start + length
        if not letter.isalpha() or len(self._buffer) < end + SEAL_BYTES:
            return None
        payload, self._before = bytes(self._buffer[start:end]), bytes(self._buffer[end : end + SEAL_BYTES])
        self._drop(end + SEAL_BYTES)
        return Chunk(letter, payload, self._dropped)

    def _next(self) -> Chunk | None:
        buffer, at = self._buffer, self._dropped
        if not buffer:
            return None
        if self._parts.digest is not None:
            raise CorruptStream(f"bytes follow the end of the stream at offset {at}; the file is damaged")
        letter = chr(buffer[0])
        if not (letter.isascii() and letter.isalpha()):
            raise CorruptStream(f"chunk type {buffer[0]:#04x} at offset {at} is no letter; the file is damaged")
        try:
            length, start = read_varint(buffer, 1, 35)
        except Truncated:
            return None
        if length > self._limits.max_chunk:
            raise LimitExceeded(f"chunk '{letter}' at offset {at} has {length} bytes, over {self._limits.max_chunk}")
        end = start + length
        if len(buffer) < end + SEAL_BYTES:
            return None
        payload, seal = bytes(memoryview(buffer)[start:end]), bytes(buffer[end : end + SEAL_BYTES])
        if seal_of(self._before, bytes(buffer[:start]), payload) != seal:
            before = f", or decode the {at} bytes before it with upto_bytes" if self._parts.passes else ""
            raise ChecksumMismatch(
                f"chunk '{letter}' at offset {at} is damaged or out of place; fetch the file again{before}"
            )
        self._before = seal
        self._drop(end + SEAL_BYTES)
        return Chunk(letter, payload, self._dropped)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._dropped += count


def _check_signature(data: bytes | bytearray) -> None:
    head = bytes(data[: len(SIGNATURE)])
    if SIGNATURE.startswith(head):
        return
    if any(data.startswith(start + b"DFC") for start in (b"\x8b", b"\x0b", b"?", b"\xc2\x8b", b"\xef\xbf\xbd")):
        raise NotADiffcodecFile("the signature was damaged by a text-mode or 7-bit transfer; copy the file as binary")
    raise NotADiffcodecFile(f"expected a .dfc file, found bytes {head[:4].hex(' ')}; is this another format?")


class _Place(IntEnum):
    """How far the chunks of a stream have come."""

    START = 0
    HEADER = 1
    SIDE = 2
    GIVEN = 3
    IN_FRONT = 4
    PASSES = 5
    BEHIND = 6
    FRAMES = 7
    END = 8


@dataclass(frozen=True)
class _Row:
    """A row of the grammar of chunks: from which places a chunk may come, and to which it leads."""

    first: _Place
    last: _Place
    to: _Place
    take: Callable[[_Parts, Chunk], None]


class _Parts:
    """Chunks sorted by kind as they come, in the order that GRAMMAR tells."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.header: Header | None = None
        self.palette: bytes | None = None
        self.adjustment: bytes | None = None
        self.given: tuple[Given, ...] = ()
        self.begins = 0
        self.ancillary: dict[str, bytes] = {}
        self.passes: list[bytes] = []
        self.ends: list[int] = []
        self.digest: bytes | None = None
        self.frames: list[Container] = []
        self.behind: list[int] = []
        self.pixels = self.metadata = 0
        self.place = _Place.START

    def add(self, chunk: Chunk) -> None:
        """Raises CorruptStream, UnsupportedVersion or LimitExceeded."""
        if self.place == _Place.START and chunk.type not in "HS":
            raise CorruptStream(f"the first chunk is '{chunk.type}' where the header 'H' belongs; the file is damaged")
        if chunk.type.islower():
            self._take_ancillary(chunk.type, chunk.payload)
            self.place = max(self.place, _Place.IN_FRONT)
            return
        row = GRAMMAR.get(chunk.type)
        if row is None:
            raise UnsupportedVersion(f"critical chunk '{chunk.type}' is unknown here; install a newer diffcodec")
        if not row.first <= self.place <= row.last:
            raise CorruptStream(f"chunk '{chunk.type}' is repeated or out of order; the file is damaged")
        row.take(self, chunk)
        self.place = row.to

    @property
    def _traits(self) -> Traits:
        assert self.header is not None
        return CODECS[self.header.codec]

    def take_small(self, chunk: Chunk) -> None:
        self.header, one_pass, digest, ancillary = small.unpack(chunk.payload, self.limits)
        self.pixels = self.header.width * self.header.height
        for letter, payload in ancillary:
            self._take_ancillary(letter, payload)
        self.passes, self.ends, self.digest = [one_pass], [chunk.end], digest

    def take_header(self, chunk: Chunk) -> None:
        self.header = Header.from_bytes(chunk.payload, self.limits)
        self.pixels = self.header.width * self.header.height

    def take_palette(self, chunk: Chunk) -> None:
        self.palette = _within(chunk, "palette", self.limits.max_palette)

    def take_adjustment(self, chunk: Chunk) -> None:
        self.adjustment = _within(chunk, "adjustment", self.limits.max_params)
        if not self._traits.adjusts:
            raise CorruptStream("an adjustment of a network in a stream of a codec without; the file is damaged")

    @property
    def left(self) -> Limits:
        """What streams within this one may have."""
        limits = self.limits
        return replace(
            limits, max_pixels=limits.max_pixels - self.pixels, max_metadata=limits.max_metadata - self.metadata
        )

    def take_given(self, chunk: Chunk) -> None:
        assert self.header is not None
        size = (self.header.width, self.header.height)
        from . import given

        within = given.Within(size, self.left, lambda data, limits: read(data, limits=limits))
        self.given = given.read(chunk.payload, within)
        for part in self.given:
            self.take_used(*part.used)
        self.begins = chunk.end

    def take_used(self, pixels: int, metadata: int) -> None:
        self.pixels += pixels
        self.metadata += metadata

    def take_pass(self, chunk: Chunk) -> None:
        self.passes.append(chunk.payload)
        self.ends.append(chunk.end)

    def take_mark(self, chunk: Chunk) -> None:
        if chunk.payload:
            raise CorruptStream(f"chunk 'M' holds {len(chunk.payload)} bytes, not 0; the file is damaged")

    def take_end(self, chunk: Chunk) -> None:
        without = self._traits.lossy and not chunk.payload  # nothing to check its pixels by
        if len(chunk.payload) != DIGEST_BYTES and not without:
            raise CorruptStream(f"the end chunk holds {len(chunk.payload)} bytes, its digest {DIGEST_BYTES}")
        self.digest = chunk.payload

    def _take_ancillary(self, letter: str, payload: bytes) -> None:
        """A lowercase chunk, or what a small picture has in place of one."""
        repeated = letter in self.ancillary or _OTHER_FORM.get(letter) in self.ancillary
        if repeated or self.place not in _ANCILLARY_PLACES:
            raise CorruptStream(f"chunk '{letter}' is repeated or out of order; the file is damaged")
        if letter in LETTERS:
            self.metadata += declared(payload, self.limits)
            if self.metadata > self.limits.max_metadata:
                raise LimitExceeded(
                    f"metadata of {self.metadata} bytes are over the limit of {self.limits.max_metadata} bytes"
                )
        if letter in ANCILLARY:
            self.ancillary[letter] = payload

    def take_frame(self, chunk: Chunk) -> None:
        """A further frame: a whole stream without frames of its own, within what the others left of the limits."""
        assert self.header is not None
        if not self.limits.max_frames:
            raise CorruptStream("a frame, or a stream that was given, holds frames of its own; the file is damaged")
        if len(self.behind) >= self.limits.max_frames:
            raise LimitExceeded(f"the stream holds more than {self.limits.max_frames} further frames")
        left = replace(self.left, max_frames=0)
        if self.header.mode in _GROUPED:
            left = replace(left, max_pixels=self.limits.max_pixels)
        try:
            frame = read(chunk.payload, limits=left)
        except Truncated:
            raise CorruptStream(f"frame {len(self.behind) + 1} is cut; the file is damaged") from None
        self.take_used(frame.pixels, frame.metadata)
        self.frames.append(frame)
        self.behind.append(chunk.end)

    def container(self, version: tuple[int, int]) -> Container:
        assert self.header is not None
        return Container(
            self.header,
            self.palette,
            self.adjustment,
            dict(self.ancillary),
            list(self.passes),
            list(self.ends),
            self.digest,
            version,
            list(self.frames),
            self.given,
            self.begins,
            list(self.behind),
            self.pixels,
            self.metadata,
        )


def _within(chunk: Chunk, what: str, most: int) -> bytes:
    if len(chunk.payload) > most:
        raise LimitExceeded(f"{what} of {len(chunk.payload)} bytes is over {most} bytes")
    return chunk.payload


_ANCILLARY_PLACES = (_Place.START, _Place.HEADER, _Place.SIDE, _Place.GIVEN, _Place.IN_FRONT, _Place.BEHIND)
#: The order of chunks: H, at most one C or A, at most one G, ancillary ones, passes, at most one M with ancillary ones
#: behind it, frames, E; or one S.
GRAMMAR = {
    "S": _Row(_Place.START, _Place.START, _Place.END, _Parts.take_small),
    "H": _Row(_Place.START, _Place.START, _Place.HEADER, _Parts.take_header),
    "C": _Row(_Place.HEADER, _Place.HEADER, _Place.SIDE, _Parts.take_palette),
    "A": _Row(_Place.HEADER, _Place.HEADER, _Place.SIDE, _Parts.take_adjustment),
    "G": _Row(_Place.HEADER, _Place.SIDE, _Place.GIVEN, _Parts.take_given),
    "P": _Row(_Place.HEADER, _Place.PASSES, _Place.PASSES, _Parts.take_pass),
    "M": _Row(_Place.HEADER, _Place.PASSES, _Place.BEHIND, _Parts.take_mark),
    "N": _Row(_Place.HEADER, _Place.FRAMES, _Place.FRAMES, _Parts.take_frame),
    "E": _Row(_Place.HEADER, _Place.FRAMES, _Place.END, _Parts.take_end),
}
