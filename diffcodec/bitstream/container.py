"""Signature, version, chunks. Every chunk carries a CRC-32C; every prefix that ends on a chunk can be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import google_crc32c

from ..errors import (
    ChecksumMismatch,
    CorruptStream,
    LimitExceeded,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from .header import Header
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

SIGNATURE = b"\x8bDFC\r\n\x1a\n"
VERSION = (1, 0)
_START = len(SIGNATURE) + len(VERSION)
DIGEST_BYTES = 8


@dataclass(frozen=True)
class Chunk:
    """``type`` is one ASCII letter, uppercase for critical chunks; ``end`` the stream offset behind the chunk."""

    type: str
    payload: bytes
    end: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Container:
    """A parsed stream. ``ends`` are the stream offsets behind each pass; ``digest`` is None when incomplete."""

    header: Header
    palette: bytes | None
    ancillary: dict[str, bytes]
    passes: list[bytes]
    ends: list[int]
    digest: bytes | None
    version: tuple[int, int]

    @property
    def complete(self) -> bool:
        return self.digest is not None


def write(chunks: Iterable[Chunk]) -> bytes:
    """Signature, version 1.0 and ``chunks`` in the order given."""
    out = [SIGNATURE, bytes(VERSION)]
    for chunk in chunks:
        body = chunk.type.encode("ascii") + write_varint(len(chunk.payload)) + chunk.payload
        out += [body, google_crc32c.value(body).to_bytes(4, "little")]
    return b"".join(out)


class StreamReader:
    """Incremental parser: feed bytes as they come, get the chunks they complete."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS):
        self._limits = limits
        self._buffer = bytearray()
        self._dropped = 0
        self.version: tuple[int, int] | None = None

    def feed(self, data: bytes) -> list[Chunk]:
        """Chunks newly complete. Raises as :func:`read`, except Truncated."""
        self._buffer += data
        if self.version is None:
            _check_signature(self._buffer)
            if len(self._buffer) < _START:
                return []
            self.version = (self._buffer[_START - 2], self._buffer[_START - 1])
            if self.version[0] != VERSION[0]:
                raise UnsupportedVersion(
                    f"the stream is of format {self.version[0]}.{self.version[1]}, this version reads 1.x; "
                    "install a newer diffcodec"
                )
            self._drop(_START)
        chunks = []
        while (chunk := self._next()) is not None:
            chunks.append(chunk)
        return chunks

    def _next(self) -> Chunk | None:
        buffer = self._buffer
        if not buffer:
            return None
        letter = chr(buffer[0])
        if not ("A" <= letter <= "Z" or "a" <= letter <= "z"):
            raise CorruptStream(f"chunk type {buffer[0]:#04x} at offset {self._dropped} is no letter; the file is damaged")
        try:
            length, start = read_varint(buffer, 1, 35)
        except Truncated:
            return None
        if length > self._limits.max_chunk:
            raise LimitExceeded(f"chunk '{letter}' of {length} bytes is over the limit of {self._limits.max_chunk}")
        end = start + length
        if len(buffer) < end + 4:
            return None
        body = bytes(buffer[:end])
        if google_crc32c.value(body) != int.from_bytes(buffer[end : end + 4], "little"):
            raise ChecksumMismatch(f"chunk '{letter}' at offset {self._dropped} is damaged; fetch the file again")
        self._drop(end + 4)
        return Chunk(letter, body[start:], self._dropped)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._dropped += count

    @property
    def pending(self) -> int:
        """Bytes held of a chunk that is not complete."""
        return len(self._buffer)


def _check_signature(data: bytes | bytearray) -> None:
    head = bytes(data[: len(SIGNATURE)])
    if SIGNATURE.startswith(head):
        return
    if head[:4] in (SIGNATURE[:4], b"\x0bDFC", b"?DFC"):
        raise NotADiffcodecFile("the signature was damaged by a text-mode or 7-bit transfer; copy the file in binary mode")
    raise NotADiffcodecFile(f"expected a .dfc file, found bytes {head[:4].hex(' ')}; is this another format?")


def read(data: bytes, *, limits: Limits = DEFAULT_LIMITS, partial: bool = False) -> Container:
    """Parse a whole stream, or with ``partial`` the passes that a cut stream holds completely.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded or CorruptStream.
    """
    reader = StreamReader(limits)
    chunks = reader.feed(data)
    if reader.version is None:
        raise Truncated(f"a .dfc file starts with {_START} bytes of signature and version, found {len(data)}")
    if not chunks:
        raise Truncated("the stream ends inside its header; fetch the whole file")
    container = assemble(chunks, reader.version, limits)
    if container.complete and reader.pending:
        raise CorruptStream(f"{reader.pending} bytes follow the end of the stream; the file is damaged")
    if not container.complete and not partial:
        raise Truncated(
            f"the stream ends after {len(container.passes)} whole passes, before its end chunk; "
            "fetch the whole file, or decode the prefix with upto_bytes"
        )
    return container


def assemble(chunks: list[Chunk], version: tuple[int, int], limits: Limits = DEFAULT_LIMITS) -> Container:
    """Check the order of complete ``chunks`` and sort them into a :class:`Container`."""
    if chunks[0].type != "H":
        raise CorruptStream(f"the first chunk is '{chunks[0].type}' where the header 'H' belongs")
    header = Header.from_bytes(chunks[0].payload, limits)
    palette: bytes | None = None
    ancillary: dict[str, bytes] = {}
    passes: list[bytes] = []
    ends: list[int] = []
    digest: bytes | None = None
    for chunk in chunks[1:]:
        if digest is not None:
            raise CorruptStream(f"chunk '{chunk.type}' follows the end chunk; the file is damaged")
        if chunk.type == "C" and palette is None and not passes and not ancillary:
            if len(chunk.payload) > limits.max_palette:
                raise LimitExceeded(f"palette of {len(chunk.payload)} bytes is over {limits.max_palette}")
            palette = chunk.payload
        elif chunk.type == "P":
            passes.append(chunk.payload)
            ends.append(chunk.end)
        elif chunk.type == "E":
            if len(chunk.payload) != DIGEST_BYTES:
                raise CorruptStream(f"the end chunk holds {len(chunk.payload)} bytes where its digest has {DIGEST_BYTES}")
            digest = chunk.payload
        elif chunk.type in "HC":
            raise CorruptStream(f"chunk '{chunk.type}' is repeated or out of order; the file is damaged")
        elif chunk.type.isupper():
            raise UnsupportedVersion(f"critical chunk '{chunk.type}' is unknown to this version; install a newer diffcodec")
        elif passes or chunk.type in ancillary:
            raise CorruptStream(f"chunk '{chunk.type}' is repeated or out of order; the file is damaged")
        else:
            ancillary[chunk.type] = chunk.payload
    return Container(header, palette, ancillary, passes, ends, digest, version)
