"""The `.dfca` archive: a header, groups of pictures that stand alone, an index behind them.

Chunks look as in a `.dfc` stream. The checksum of the header chunk 'A' also covers the version bytes; those of a group
'G' and of the index 'Z' cover the header's checksum and their own number before their own bytes. So groups are bound to
their archive and place, and none depends on another: a damaged one is lost alone.

Readers take a seekable binary file and never hold more than one group.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    LimitExceeded,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from .container import _SEAL_BYTES, VERSION, _seal
from .header import FINGERPRINT_BYTES, NUMERICS, _Fields, _known, _limited
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

SIGNATURE = b"\x8bDFA\r\n\x1a\n"
DIGEST_BYTES = 4  #: of a picture
GROUP_DIGEST_BYTES = 8
MAX_GROUP_PIXELS = 2**24  #: of all chained pictures of a group: what a reader must have the memory for
STREAM, CHAINED, COPY = 0, 1, 2  #: how a picture is kept: a .dfc stream, in the group's chain, as an earlier one
_START = len(SIGNATURE) + len(VERSION)
_MAX_DIRECTORY = 2**26  # bytes of a group's directory, inflated
_MAX_GROUP = 2**20  # pictures
_INDEX = 2**32 - 1  # the index's number in its checksum
_TAIL = 8 + _SEAL_BYTES
# a relative path of plain names: no controls, no backslash, no drive, no empty part, '.' or '..'
_PART = r"(?!\.\.?(/|$))[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069/\\]+"
_PATH = re.compile(rf"(?![A-Za-z]:){_PART}(/{_PART})*")


@dataclass(frozen=True)
class ArchiveHeader:
    """Fields of the 'A' chunk; ``params`` are the codec's own."""

    numerics: int
    model: str
    fingerprint: bytes
    params: bytes

    def to_bytes(self) -> bytes:
        name = self.model.encode()
        if len(name) > DEFAULT_LIMITS.max_name or len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"a model name of {len(name)} bytes or a fingerprint of {len(self.fingerprint)}")
        params = write_varint(len(self.params)) + self.params
        return bytes([self.numerics, 0, len(name)]) + name + self.fingerprint + params

    @classmethod
    def from_bytes(cls, data: bytes) -> ArchiveHeader:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream, UnsupportedVersion or LimitExceeded."""
        fields = _Fields(data)
        numerics = _known("numerics class", fields.byte(), len(NUMERICS))
        _known("set of reserved flags", fields.byte(), 1)
        name = fields.bytes(_limited("model name", fields.byte(), DEFAULT_LIMITS.max_name))
        fingerprint = fields.bytes(FINGERPRINT_BYTES)
        params = fields.bytes(_limited("parameters", fields.varint(32), DEFAULT_LIMITS.max_params))
        if fields.at != len(data):
            raise CorruptStream("bytes follow the fields of the archive's header; the file is damaged")
        try:
            model = name.decode("utf-8")
        except UnicodeDecodeError:
            model = "/"
        if "/" in model or (model and not _PATH.fullmatch(model)):
            raise CorruptStream("the model name in the archive's header is not a plain name; the file is damaged")
        return cls(numerics, model, fingerprint, params)


@dataclass(frozen=True)
class Entry:
    """A picture of a group. Chained ones are RGB; a stream tells its own geometry.

    name: relative path with '/', or empty.  kind: STREAM, CHAINED or COPY.
    size: bytes of a STREAM, or index in the group of the picture that a COPY equals.
    digest: first 4 bytes of the pixels' digest, icc and exif: of a CHAINED one.
    """

    name: str
    kind: int
    size: int = 0
    width: int = 0
    height: int = 0
    digest: bytes = b""
    icc: bytes = b""
    exif: bytes = b""


@dataclass(frozen=True)
class Group:
    """Entries in the order of the pictures, the codec's payload, and 8 bytes of the SHA-256 of all pixels' digests."""

    entries: tuple[Entry, ...]
    payload: bytes
    digest: bytes

    def to_bytes(self) -> bytes:
        entries = self.entries
        columns = [write_varint(len(entries)), *(e.name.encode() + b"\0" for e in entries)]
        columns.append(bytes(e.kind for e in entries))
        columns += [write_varint(e.size) for e in entries if e.kind != CHAINED]
        chained = [e for e in entries if e.kind == CHAINED]
        columns += [write_varint(v) for e in chained for v in (e.width, e.height)]
        columns += [write_varint(len(v)) for e in chained for v in (e.icc, e.exif)]
        columns += [v for e in chained for v in (e.icc, e.exif)]
        directory = zlib.compress(b"".join(columns), 9)
        digests = b"".join(e.digest for e in chained)
        return self.digest + write_varint(len(directory)) + directory + digests + self.payload

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Group:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream, LimitExceeded."""
        outer = _Fields(data)
        digest = outer.bytes(GROUP_DIGEST_BYTES)
        fields = _Fields(_inflate(outer.bytes(outer.varint(32))))
        count = _limited("a group", fields.varint(32), _MAX_GROUP)
        _limited("a group", count, len(fields.data))  # every picture has a name's end at least
        names = [_name(fields) for _ in range(count)]
        kinds = fields.bytes(count)
        sizes = [fields.varint(32) if kind != CHAINED else 0 for kind in kinds]
        shapes = [(fields.varint(32), fields.varint(32)) if kind == CHAINED else (0, 0) for kind in kinds]
        lengths = [(fields.varint(32), fields.varint(32)) if kind == CHAINED else (0, 0) for kind in kinds]
        chained = sum(w * h for w, h in shapes)
        if chained > MAX_GROUP_PIXELS:
            raise LimitExceeded(f"the chained pictures of a group have {chained} pixels, over {MAX_GROUP_PIXELS}")
        entries = []
        for n, (name, kind, size, (w, h), (i, x)) in enumerate(zip(names, kinds, sizes, shapes, lengths, strict=True)):
            wrong = (
                kind > COPY or (kind == COPY and (size >= n or kinds[size] == COPY)) or (kind == CHAINED and not w * h)
            )
            if wrong:
                raise CorruptStream(f"entry {n} of a group cannot be; the file is damaged")
            _limited("a picture", w * h, limits.max_pixels)
            mark = outer.bytes(DIGEST_BYTES) if kind == CHAINED else b""
            entries.append(Entry(name, kind, size, w, h, mark, fields.bytes(i), fields.bytes(x)))
        if fields.at != len(fields.data):
            raise CorruptStream("bytes follow the entries of a group; the file is damaged")
        return cls(tuple(entries), data[outer.at :], digest)


def _inflate(data: bytes) -> bytes:
    engine = zlib.decompressobj()
    try:
        out = engine.decompress(data, _MAX_DIRECTORY)
    except zlib.error:
        raise CorruptStream("the directory of a group cannot be inflated; the file is damaged") from None
    if not engine.eof or engine.unused_data:
        raise CorruptStream("the directory of a group is cut, too large or followed by bytes; the file is damaged")
    return out


def _name(fields: _Fields) -> str:
    end = fields.data.find(b"\0", fields.at)
    if end < 0:
        raise CorruptStream("the directory of a group ends inside a name; the file is damaged")
    raw = fields.bytes(end + 1 - fields.at)[:-1]
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = "/"
    if name and not valid_name(name):
        raise CorruptStream("a name in the archive is no plain relative path; the file is damaged or forged")
    return name


def valid_name(name: str) -> bool:
    """Whether an archive may hold a picture of this name: a relative path with '/' that cannot leave its folder."""
    return bool(_PATH.fullmatch(name)) and len(name.encode()) <= 4096


@dataclass(frozen=True)
class Place:
    """Where a group's chunk lies in the file; ``pictures`` as the index tells, or None without one."""

    number: int
    offset: int
    size: int
    pictures: int | None = None


# ---- writing


class Writer:
    """Archive chunks into a file, one after another. With ``seal`` the file holds a header of that seal already."""

    def __init__(self, file: BinaryIO, header: ArchiveHeader):
        self.file = file
        self.places: list[Place] = []
        self.digests: list[bytes] = []
        file.write(SIGNATURE + bytes(VERSION))
        self.seal = bytes(VERSION)
        self.seal = self._chunk("A", header.to_bytes(), self.seal)

    @classmethod
    def resume(cls, file: BinaryIO, seal: bytes, places: list[Place], digests: list[bytes]) -> Writer:
        """Go on behind groups that are there. ``file`` is positioned behind the last."""
        writer = cls.__new__(cls)
        writer.file, writer.seal, writer.places, writer.digests = file, seal, list(places), list(digests)
        return writer

    def _chunk(self, letter: str, payload: bytes, before: bytes) -> bytes:
        start = letter.encode() + write_varint(len(payload))
        seal = _seal(before, start, payload)
        self.file.write(start + payload + seal)
        return seal

    def add(self, group: Group) -> None:
        number, offset = len(self.places), self.file.tell()
        self._chunk("G", group.to_bytes(), self.seal + _number(number))
        self.places.append(Place(number, offset, self.file.tell() - offset, len(group.entries)))
        self.digests.append(group.digest)

    def finish(self) -> bytes:
        """Write the index; returns the archive's digest."""
        digest = digest_of(self.digests)
        fields = [write_varint(len(self.places))]
        fields += [write_varint(v) for p in self.places for v in (p.size, p.pictures or 0)]
        at = self.file.tell()
        self._chunk("Z", b"".join(fields) + digest + at.to_bytes(8, "little"), self.seal + _number(_INDEX))
        return digest


def _number(number: int) -> bytes:
    return number.to_bytes(4, "little")


# ---- reading


class Reader:
    """An archive in a seekable file: its header at once, groups when asked for.

    places: the groups in order. complete: whether the index was found whole; without it places are found by walking,
    up to the first group that is damaged or cut.
    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, CorruptStream, LimitExceeded.
    """

    def __init__(self, file: BinaryIO, limits: Limits = DEFAULT_LIMITS):
        self.file, self.limits = file, limits
        self.end = file.seek(0, 2)
        file.seek(0)
        head = file.read(_START)
        if not SIGNATURE.startswith(head[: len(SIGNATURE)]) or not head:
            raise NotADiffcodecFile(
                f"expected a .dfca archive, found bytes {head[:4].hex(' ')}; is this another format?"
            )
        if len(head) < _START:
            raise Truncated(f"the archive of {self.end} bytes ends inside its signature; fetch the whole file")
        if head[len(SIGNATURE)] != VERSION[0]:
            raise UnsupportedVersion(f"the archive is of format {head[8]}.{head[9]}; install a newer diffcodec")
        letter, payload, self.seal = self._chunk(_START, head[len(SIGNATURE) :])
        if letter != "A":
            raise CorruptStream(f"the first chunk is '{letter}' where the header 'A' belongs; the file is damaged")
        self.header = ArchiveHeader.from_bytes(payload)
        self.first = file.tell()
        self.places: list[Place] = []
        self.digest: bytes | None = None
        self.problem = ""  #: why the index is missing
        try:
            self._read_index()
        except BitstreamError as error:
            self.problem, self.digest = str(error), None
            self.places = [place for place, _ in self.walk()]

    @property
    def complete(self) -> bool:
        return self.digest is not None

    def group(self, place: Place) -> Group:
        """A group, its checksum verified. Raises ChecksumMismatch, Truncated, CorruptStream, LimitExceeded."""
        letter, payload, _ = self._chunk(place.offset, self.seal + _number(place.number))
        if letter != "G" or self.file.tell() != place.offset + place.size:
            raise CorruptStream(f"group {place.number} is not where the index has it; the file is damaged")
        return Group.from_bytes(payload, self.limits)

    def walk(self) -> Iterator[tuple[Place, Group]]:
        """Whole groups from the front, until one is damaged or cut."""
        at, number = self.first, 0
        while at < self.end:
            try:
                letter, payload, _ = self._chunk(at, self.seal + _number(number))
                if letter != "G":
                    return
                end = self.file.tell()
                group = Group.from_bytes(payload, self.limits)
            except BitstreamError:
                return
            yield Place(number, at, end - at, len(group.entries)), group
            at, number = end, number + 1

    def _read_index(self) -> None:
        if self.end < self.first + _TAIL:
            raise Truncated("the archive ends before its index; fetch the whole file")
        self.file.seek(self.end - _TAIL)
        at = int.from_bytes(self.file.read(8), "little")
        if not self.first <= at < self.end:
            raise Truncated("the archive ends before its index; fetch the whole file")
        letter, payload, _ = self._chunk(at, self.seal + _number(_INDEX))
        if letter != "Z" or self.file.tell() != self.end:
            raise CorruptStream("the index of the archive is damaged")
        fields = _Fields(payload)
        count = _limited("an index", fields.varint(32), len(payload))
        offset = self.first
        for number in range(count):
            size, pictures = fields.varint(35), fields.varint(32)
            self.places.append(Place(number, offset, size, pictures))
            offset += size
        digest = fields.bytes(GROUP_DIGEST_BYTES)
        if offset != at or fields.bytes(8) != at.to_bytes(8, "little") or fields.at != len(payload):
            raise CorruptStream("the index of the archive contradicts itself; the file is damaged")
        self.digest = digest

    def _chunk(self, at: int, before: bytes) -> tuple[str, bytes, bytes]:
        """(type, payload, seal) of the chunk at an offset."""
        self.file.seek(at)
        head = self.file.read(6)
        if not head:
            raise Truncated(f"the archive ends at offset {at}, where a chunk belongs; fetch the whole file")
        letter = chr(head[0])
        length, start = read_varint(head, 1, 35)
        if at + start + length + _SEAL_BYTES > self.end:
            raise Truncated(f"the archive ends inside the chunk at offset {at}; fetch the whole file")
        _limited("a chunk", length, self.limits.max_chunk)
        self.file.seek(at + start)
        payload, seal = self.file.read(length), self.file.read(_SEAL_BYTES)
        if _seal(before, head[:start], payload) != seal:
            raise ChecksumMismatch(f"the chunk at offset {at} of the archive is damaged or out of place")
        return letter, payload, seal


def digest_of(digests: Sequence[bytes]) -> bytes:
    """The digest of a group, of its pictures' digests, or of an archive, of its groups': 8 bytes each, in order."""
    return hashlib.sha256(b"".join(digests)).digest()[:GROUP_DIGEST_BYTES]
