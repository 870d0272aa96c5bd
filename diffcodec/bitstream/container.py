"""Signature, version, chunks. Every chunk is sealed by a CRC-32C; every prefix that ends on a chunk can be read.

A checksum covers its own chunk and the four checksum bytes before it (the first one: the two version bytes). So the
chunks form a chain, and one that is missing, repeated, moved or spliced in from another stream is found although it is
whole: prefixes and lossy streams have no digest that would find it. It costs no byte and no second look at the data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import google_crc32c

from ..errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    LimitExceeded,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from . import small
from .header import CODECS, Header
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

SIGNATURE = b"\x8bDFC\r\n\x1a\n"
VERSION = (1, 0)
SINCE = {"S": (1, 1), "A": (1, 2)}  #: versions of streams that have these chunks
_STATISTICS = (1, 3)  # version of streams whose header tells of them
DIGEST_BYTES = 8
ANCILLARY = "ixt"  #: ICC profile, Exif data, text prompt
_START = len(SIGNATURE) + len(VERSION)
_SEAL_BYTES = 4


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
    """

    header: Header
    palette: bytes | None
    adjustment: bytes | None
    ancillary: dict[str, bytes]
    passes: list[bytes]
    ends: list[int]
    digest: bytes | None
    version: tuple[int, int]

    @property
    def complete(self) -> bool:
        return self.digest is not None


def _seal(before: bytes, start: bytes, payload: bytes) -> bytes:
    """The checksum of the chunk ``start + payload`` that follows ``before``, little-endian."""
    return google_crc32c.extend(google_crc32c.value(before + start), payload).to_bytes(_SEAL_BYTES, "little")


def framed(length: int) -> int:
    """Bytes that a chunk with a payload of ``length`` bytes takes in a stream."""
    return 1 + len(write_varint(length)) + length + _SEAL_BYTES


def write(chunks: Iterable[Chunk]) -> bytes:
    """Signature, the lowest version that has all ``chunks``, and these in the order given, which is not checked."""
    chunks = list(chunks)
    seal = bytes(max((_since(chunk) for chunk in chunks), default=VERSION))
    out = [SIGNATURE, seal]
    for chunk in chunks:
        start = chunk.type.encode("ascii") + write_varint(len(chunk.payload))
        seal = _seal(seal, start, chunk.payload)
        out += [start, chunk.payload, seal]
    return b"".join(out)


def _since(chunk: Chunk) -> tuple[int, int]:
    """The first version that has this chunk."""
    if chunk.type == "H":
        with contextlib.suppress(BitstreamError):  # whatever it is, a damaged header does not tell
            if Header.from_bytes(chunk.payload).colour_transform:
                return _STATISTICS
    return SINCE.get(chunk.type, VERSION)


def read(data: bytes, *, limits: Limits = DEFAULT_LIMITS, partial: bool = False) -> Container:
    """Mirror of :func:`write` for a whole stream; with ``partial`` the passes that a cut stream holds completely.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded or CorruptStream: the first
    violation from the front.
    """
    reader = StreamReader(limits)
    if not reader.feed(data):
        part = "header" if len(data) >= _START else f"first {_START} bytes, its signature and version"
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

    def container(self) -> Container:
        """What was read so far; the header chunk must have been among it."""
        assert self.version is not None
        return self._parts.container(self.version)

    def feed(self, data: bytes) -> list[Chunk]:
        """Chunks newly complete. Raises as :func:`read`, except Truncated; feed nothing more after that."""
        self._buffer += data
        if self.version is None:
            _check_signature(self._buffer)
            if len(self._buffer) < _START:
                return []
            self._before = bytes(self._buffer[len(SIGNATURE) : _START])
            self.version = (self._before[0], self._before[1])
            if self.version[0] != VERSION[0]:
                raise UnsupportedVersion(
                    f"the stream is of format {self.version[0]}.{self.version[1]}, this version reads {VERSION[0]}.x; "
                    "install a newer diffcodec"
                )
            self._drop(_START)
        chunks = []
        while (chunk := self._next()) is not None:
            self._parts.add(chunk)
            chunks.append(chunk)
        return chunks

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
        if len(buffer) < end + _SEAL_BYTES:
            return None
        payload, seal = bytes(memoryview(buffer)[start:end]), bytes(buffer[end : end + _SEAL_BYTES])
        if _seal(self._before, bytes(buffer[:start]), payload) != seal:
            before = f", or decode the {at} bytes before it with upto_bytes" if self._parts.passes else ""
            raise ChecksumMismatch(
                f"chunk '{letter}' at offset {at} is damaged or out of place; fetch the file again{before}"
            )
        self._before = seal
        self._drop(end + _SEAL_BYTES)
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


def assemble(chunks: Iterable[Chunk], version: tuple[int, int], limits: Limits = DEFAULT_LIMITS) -> Container:
    """Check the order of complete ``chunks`` and sort them into a :class:`Container`."""
    parts = _Parts(limits)
    for chunk in chunks:
        parts.add(chunk)
    return parts.container(version)


class _Parts:
    """Chunks sorted by kind as they come. Their order: H, at most one C or A, ancillary ones, passes, E; or one S."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.header: Header | None = None
        self.palette: bytes | None = None
        self.adjustment: bytes | None = None
        self.ancillary: dict[str, bytes] = {}
        self.passes: list[bytes] = []
        self.ends: list[int] = []
        self.digest: bytes | None = None
        self.last = ""

    def add(self, chunk: Chunk) -> None:
        """Raises CorruptStream, UnsupportedVersion or LimitExceeded."""
        last, self.last = self.last, chunk.type
        if not last and chunk.type == "S":
            self.header, one_pass, self.digest = small.unpack(chunk.payload, self.limits)
            self.passes, self.ends = [one_pass], [chunk.end]
        elif not last and chunk.type != "H":
            raise CorruptStream(f"the first chunk is '{chunk.type}' where the header 'H' belongs; the file is damaged")
        elif chunk.type == "H" and not last:
            self.header = Header.from_bytes(chunk.payload, self.limits)
        elif chunk.type == "C" and last == "H":
            if len(chunk.payload) > self.limits.max_palette:
                raise LimitExceeded(f"palette of {len(chunk.payload)} bytes is over {self.limits.max_palette} bytes")
            self.palette = chunk.payload
        elif chunk.type == "A" and last == "H":
            assert self.header is not None
            if len(chunk.payload) > self.limits.max_params:
                raise LimitExceeded(f"adjustment of {len(chunk.payload)} bytes is over {self.limits.max_params} bytes")
            if CODECS[self.header.codec] != "ardm":
                raise CorruptStream("an adjustment of ARDM's network in a stream of another codec; the file is damaged")
            self.adjustment = chunk.payload
        elif chunk.type == "P" and last != "E":
            self.passes.append(chunk.payload)
            self.ends.append(chunk.end)
        elif chunk.type == "E" and last != "E":
            assert self.header is not None
            lossy = CODECS[self.header.codec] == "diffc" and not chunk.payload  # nothing to check its pixels by
            if len(chunk.payload) != DIGEST_BYTES and not lossy:
                raise CorruptStream(f"the end chunk holds {len(chunk.payload)} bytes, its digest {DIGEST_BYTES}")
            self.digest = chunk.payload
        elif chunk.type.isupper() and chunk.type not in "HCAPES":
            raise UnsupportedVersion(f"critical chunk '{chunk.type}' is unknown here; install a newer diffcodec")
        elif chunk.type.isupper() or self.passes or self.digest is not None or chunk.type in self.ancillary:
            raise CorruptStream(f"chunk '{chunk.type}' is repeated or out of order; the file is damaged")
        elif chunk.type in ANCILLARY:
            self.ancillary[chunk.type] = chunk.payload

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
        )
