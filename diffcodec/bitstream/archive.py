"""The `.dfca` archive: a header, groups of pictures that stand alone, an index behind them.

Chunks look as in a `.dfc` stream. The checksum of the header chunk 'A' also covers the version bytes; those of a group
'G' and of the index 'Z' cover the header's checksum and their own number before their own bytes. So groups are bound to
their archive and place, and none depends on another: a damaged one is lost alone, and of a group whose pictures are all
streams only those that the damage lies in.

Readers take a seekable binary file and never hold more than one group.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from ..runtime.errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from ..runtime.fields import Fields, known, limited
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.recorded import Recorded
from ..runtime.varint import read_varint, write_varint
from .container import SEAL_BYTES, seal_of
from .directory import (
    CHAINED,
    COPY,
    GROUP_DIGEST_BYTES,
    MAX_GROUP_PIXELS,
    STREAM,
    Entry,
    Group,
    check_pictures,
    valid_name,
)
from .header import FINGERPRINT_BYTES, NUMERICS

__all__ = [
    "CHAINED",
    "COPY",
    "MAX_GROUP_PIXELS",
    "STREAM",
    "ArchiveHeader",
    "Entry",
    "Group",
    "Place",
    "Reader",
    "Writer",
    "digest_of",
    "valid_name",
]

SIGNATURE = b"\x8bDFA\r\n\x1a\n"
VERSION = (1, 0)
EXTENDED_VERSION = (1, 1)  #: of archives whose directories have further columns
_START = len(SIGNATURE) + len(VERSION)
_INDEX = 2**32 - 1  # the index's number in its checksum
_TAIL = 8 + SEAL_BYTES
_LEAST_GROUP = 3 + GROUP_DIGEST_BYTES + SEAL_BYTES  # bytes of a group's chunk
_MOST_DEFLATED = 1032 // 2  # pictures a byte: deflate's best, and two bytes of each in the directory
_EXTENDED = 1  # flag of the header
_LEAST_HEADER = 2 + 3 + FINGERPRINT_BYTES + 1 + SEAL_BYTES  # bytes of the header's chunk
_MOST_HEADER = 4096  # bytes of the header's chunk that damage to it is looked through for: a chain's takes under 2 000


@dataclass(frozen=True)
class ArchiveHeader:
    """Fields of the 'A' chunk; ``params`` are the codec's own. extended: directories have further columns."""

    numerics: int
    model: str
    fingerprint: bytes
    params: bytes
    extended: bool = False

    @property
    def version(self) -> tuple[int, int]:
        """(major, minor): the lowest that has what the header says."""
        return EXTENDED_VERSION if self.extended else VERSION

    def to_bytes(self) -> bytes:
        """Payload of the chunk. Raises ValueError for a name, fingerprint or parameters of another length."""
        name = self.model.encode()
        if len(name) > DEFAULT_LIMITS.max_name or len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"a model name of {len(name)} bytes or a fingerprint of {len(self.fingerprint)}")
        params = write_varint(len(self.params)) + self.params
        return bytes([self.numerics, _EXTENDED * self.extended, len(name)]) + name + self.fingerprint + params

    @classmethod
    def from_bytes(cls, data: bytes) -> ArchiveHeader:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream, UnsupportedVersion or LimitExceeded."""
        fields = Fields(data)
        numerics = known("numerics class", fields.byte(), NUMERICS.index("tolerant"))
        flags = known("set of reserved flags", fields.byte(), 2 * _EXTENDED)
        name = fields.take(limited("model name", fields.byte(), DEFAULT_LIMITS.max_name))
        fingerprint = fields.take(FINGERPRINT_BYTES)
        params = fields.take(limited("parameters", fields.varint(32), DEFAULT_LIMITS.max_params))
        if fields.at != len(data):
            raise CorruptStream("bytes follow the fields of the archive's header; the file is damaged")
        try:
            model = name.decode("utf-8")
        except UnicodeDecodeError:
            model = "/"
        if "/" in model or (model and not valid_name(model)):
            raise CorruptStream("the model name in the archive's header is not a plain name; the file is damaged")
        return cls(numerics, Recorded(model), fingerprint, params, bool(flags & _EXTENDED))


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
        self.extended = header.extended
        file.write(SIGNATURE + bytes(header.version))
        self.seal = self._chunk("A", header.to_bytes(), bytes(header.version))

    @classmethod
    def resume(cls, reader: Reader, places: list[Place], digests: list[bytes]) -> Writer:
        """Go on in the file of a reader behind groups that are there; it is positioned behind the last."""
        writer = cls.__new__(cls)
        writer.file, writer.seal, writer.extended = reader.file, reader.seal, reader.header.extended
        writer.places, writer.digests = list(places), list(digests)
        return writer

    def _chunk(self, letter: str, payload: bytes, before: bytes) -> bytes:
        start = letter.encode() + write_varint(len(payload))
        seal = seal_of(before, start, payload)
        self.file.write(start + payload + seal)
        return seal

    def add(self, group: Group) -> None:
        """Write a group behind the others. Raises ValueError as `Group.to_bytes`."""
        number, offset = len(self.places), self.file.tell()
        self._chunk("G", group.to_bytes(self.extended), self.seal + _number(number))
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
    and problem says why. remains: what is there besides then: damaged groups that a sound one follows, and what a cut
    left of the last. header_problem: with ``lenient``, why the header does not hold in an archive whose index does: of
    such a one streams can be read all the same, chains only where just the header's checksum is damaged.
    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, CorruptStream, LimitExceeded.
    """

    def __init__(self, file: BinaryIO, limits: Limits = DEFAULT_LIMITS, *, lenient: bool = False):
        self.file, self.limits = file, limits
        self.header_problem: BitstreamError | None = None
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
        self.version = (head[8], head[9])
        try:
            self.header, self.seal = self._read_header(head[len(SIGNATURE) :])
            self.first = file.tell()
        except BitstreamError as error:
            found = self._without_header() if lenient else None
            if found is None:
                raise
            self.header_problem = error
            self.header, self.seal, self.first = found
        self.places: list[Place] = []
        self.remains: list[Place] = []
        self.digest: bytes | None = None
        self.problem: BitstreamError | None = None
        try:
            at, payload = self._find_index()
        except BitstreamError as error:
            self.problem = error
            self._survey()
        else:  # its checksum holds: what contradicts itself now was made so
            self._read_index(at, payload)

    @property
    def complete(self) -> bool:
        """Whether the index was read: nothing of the archive is missing from its end."""
        return self.digest is not None

    def _read_header(self, before: bytes) -> tuple[ArchiveHeader, bytes]:
        """(header, its checksum); the file is then positioned behind it."""
        letter, payload, seal = self._chunk(_START, before)
        if letter != "A":
            raise CorruptStream(f"the first chunk is '{letter}' where the header 'A' belongs; the file is damaged")
        return ArchiveHeader.from_bytes(payload), seal

    def _without_header(self) -> tuple[ArchiveHeader, bytes, int] | None:
        """(header, its checksum, offset of the first group) of an archive with a damaged header, if its index holds.

        The checksum of the index covers that of the header. So whichever four bytes near the front it agrees with are
        the header's checksum as it was written, or else the one that the header's bytes give is.
        """
        self.file.seek(0)
        front = self.file.read(_START + _MOST_HEADER)
        with contextlib.suppress(BitstreamError):  # the header itself may be sound
            length, start = read_varint(front, _START + 1, 35)
            payload, self.first = front[start : start + length], start + length + SEAL_BYTES
            for version in (VERSION, EXTENDED_VERSION):
                self.seal = seal_of(bytes(version), front[_START:start], payload)
                if self._index_holds():
                    return ArchiveHeader.from_bytes(payload), self.seal, self.first
        for self.first in range(_START + _LEAST_HEADER, len(front) + 1):
            self.seal = front[self.first - SEAL_BYTES : self.first]
            if self._index_holds():
                nothing = bytes(FINGERPRINT_BYTES)
                extended = self.version >= EXTENDED_VERSION
                lost = ArchiveHeader(NUMERICS.index("exact"), "", nothing, b"", extended)
                return lost, self.seal, self.first
        return None

    def _index_holds(self) -> bool:
        with contextlib.suppress(BitstreamError):
            self._find_index()
            return True
        return False

    def group(self, place: Place) -> Group:
        """A group, its checksum verified. Raises ChecksumMismatch, Truncated, CorruptStream, LimitExceeded."""
        letter, payload, _ = self._chunk(place.offset, self.seal + _number(place.number))
        if letter != "G" or self.file.tell() != place.offset + place.size:
            raise CorruptStream(f"group {place.number} is not where the index has it; the file is damaged")
        group = Group.from_bytes(payload, self.limits, self.header.extended)
        if place.pictures not in (None, len(group.entries)):
            found = f"the index tells {place.pictures} pictures of group {place.number}, which has {len(group.entries)}"
            raise CorruptStream(f"{found}; the file is damaged or forged")
        return group

    def salvage(self, place: Place) -> Group:
        """What stands by itself of a group that is damaged or cut: streams. Raises CorruptStream if nothing does."""
        claimed = self._claimed(place.offset)
        cut = not self.complete and claimed is not None and place.offset + claimed > self.end
        self.file.seek(place.offset)
        data = self.file.read(place.size)
        sizes = (place.size - len(write_varint(n)) - 1 - SEAL_BYTES for n in (0, 2**7, 2**14, 2**21, 2**28))
        length = next((n for n in sizes if 1 + len(write_varint(max(0, n))) + n + SEAL_BYTES == place.size), -1)
        if cut:
            length = len(data) - read_varint(data, 1, 35)[1]
        if length < 0:
            raise CorruptStream(f"nothing of group {place.number} stands by itself; the file is damaged")
        start = len(data) - length - (0 if cut else SEAL_BYTES)
        group = Group.salvaged(data[start : start + length], self.limits, self.header.extended, cut)
        if place.pictures not in (None, len(group.entries)):
            raise CorruptStream(f"copies and names of group {place.number} are lost, and so is their order")
        return group

    def walk(self, at: int | None = None, number: int = 0) -> Iterator[tuple[Place, Group]]:
        """Whole groups from the front, or from one of this number at ``at``, until one is damaged or cut."""
        at = self.first if at is None else at
        while at < self.end:
            try:
                letter, payload, _ = self._chunk(at, self.seal + _number(number))
                if letter != "G":
                    return
                end = self.file.tell()
                group = Group.from_bytes(payload, self.limits, self.header.extended)
            except BitstreamError:
                return
            yield Place(number, at, end - at, len(group.entries)), group
            at, number = end, number + 1

    def _survey(self) -> None:
        """Find the groups of an archive without an index."""
        at: int | None = self.first
        while at is not None and at < self.end:
            for place, _ in self.walk(at, len(self.places) + len(self.remains)):
                self.places.append(place)
                at = place.offset + place.size
            at = self._beyond(at)

    def _beyond(self, at: int) -> int | None:
        """Where to go on behind a place that is no whole group, which is added to the remains if it is one at all."""
        number = len(self.places) + len(self.remains)
        if self._holds(at, "Z", _INDEX):
            self.problem = CorruptStream(f"{self.end - self.file.tell()} bytes follow the index of the archive")
            return None
        size = self._claimed(at)
        if size is None:
            return None
        place = Place(number, at, min(size, self.end - at))
        if at + size < self.end and (self._holds(at + size, "G", number + 1) or self._holds(at + size, "Z", _INDEX)):
            self.remains.append(place)
            return at + size
        if at + size > self.end:
            try:
                self.salvage(place)
            except BitstreamError:
                return None
            self.remains.append(place)
        return None

    def _holds(self, at: int, letter: str, number: int) -> bool:
        """Whether a sound chunk of this type and number stands there; the file is then positioned behind it."""
        try:
            return self._chunk(at, self.seal + _number(number))[0] == letter
        except BitstreamError:
            return False

    def _claimed(self, at: int, letter: bytes = b"G") -> int | None:
        """Bytes of the chunk of this type at an offset as it says itself, or None where none begins."""
        self.file.seek(at)
        head = self.file.read(6)
        try:
            length, start = read_varint(head, 1, 35)
        except BitstreamError:
            return None
        return start + length + SEAL_BYTES if head[:1] == letter else None

    def _find_index(self) -> tuple[int, bytes]:
        """(offset, payload) of the index."""
        if self.end < self.first + _TAIL:
            raise Truncated("the archive ends before its index; fetch the whole file")
        self.file.seek(self.end - _TAIL)
        at = int.from_bytes(self.file.read(8), "little")
        if not self.first <= at < self.end:
            raise Truncated("the archive ends before its index; fetch the whole file")
        if self._claimed(at, b"Z") != self.end - at:
            raise Truncated("the archive does not end with its index; fetch the whole file")
        return at, self._chunk(at, self.seal + _number(_INDEX))[1]

    def _read_index(self, at: int, payload: bytes) -> None:
        fields = Fields(payload)
        count = limited("an index", fields.varint(32), len(payload))
        offset = self.first
        for number in range(count):
            size, pictures = fields.varint(35), fields.varint(32)
            if size < _LEAST_GROUP or offset + size > at or pictures > _MOST_DEFLATED * size:
                raise CorruptStream(
                    f"the index tells {pictures} pictures in {size} bytes of group {number}, which cannot be; "
                    "the file is damaged or forged"
                )
            check_pictures(pictures, size)
            self.places.append(Place(number, offset, size, pictures))
            offset += size
        digest = fields.take(GROUP_DIGEST_BYTES)
        if offset != at or fields.take(8) != at.to_bytes(8, "little") or fields.at != len(payload):
            raise CorruptStream("the index of the archive contradicts itself; the file is damaged or forged")
        self.digest = digest

    def _chunk(self, at: int, before: bytes) -> tuple[str, bytes, bytes]:
        """(type, payload, seal) of the chunk at an offset."""
        self.file.seek(at)
        head = self.file.read(6)
        if not head:
            raise Truncated(f"the archive ends at offset {at}, where a chunk belongs; fetch the whole file")
        letter = chr(head[0])
        length, start = read_varint(head, 1, 35)
        limited("a chunk", length, self.limits.max_chunk)
        if at + start + length + SEAL_BYTES > self.end:
            raise Truncated(f"the archive ends inside the chunk at offset {at}; fetch the whole file")
        self.file.seek(at + start)
        payload, seal = self.file.read(length), self.file.read(SEAL_BYTES)
        if seal_of(before, head[:start], payload) != seal:
            raise ChecksumMismatch(f"the chunk at offset {at} of the archive is damaged or out of place")
        return letter, payload, seal


def digest_of(digests: Sequence[bytes]) -> bytes:
    """The digest of a group, of its pictures' digests, or of an archive, of its groups': 8 bytes each, in order."""
    return hashlib.sha256(b"".join(digests)).digest()[:GROUP_DIGEST_BYTES]
