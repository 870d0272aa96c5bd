"""ARCHIVE.md: archives of streams and of chained pictures, all groups of a whole archive."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable

import numpy as np

from . import modes, vdm
from .fields import Fields
from .models import Models
from .refused import Refused, refuse
from .unet import IntegerUNet

CHAINED, COPY = 1, 2


def chunk(data: bytes, at: int, before: bytes, crc32c: Callable[[bytes], int]) -> tuple[str, bytes, bytes, int]:
    """(type, payload, checksum, end) of the chunk at an offset."""
    if at >= len(data):
        refuse("Truncated", "the archive ends where a chunk belongs")
    if len(data) < at + 6 and all(byte > 127 for byte in data[at + 1 :]):
        refuse("Truncated", "the archive ends inside the length of a chunk")
    fields = Fields(data[at + 1 : at + 6])
    length = fields.varint(35)
    if length >= 2**31:
        refuse("LimitExceeded", "a chunk is too long")
    start, end = at + 1 + fields.at, at + 1 + fields.at + length
    if end + 4 > len(data):
        refuse("Truncated", "the archive ends inside a chunk")
    seal = data[end : end + 4]
    if crc32c(before + data[at:end]) != int.from_bytes(seal, "little"):
        refuse("ChecksumMismatch", f"the chunk at offset {at}")
    return chr(data[at]), data[start:end], seal, end + 4


def read_header(payload: bytes) -> tuple[bool, bytes, bytes]:
    """(whether the archive is extended, fingerprint, parameters)."""
    head = Fields(payload)
    if head.bytes(1)[0] > 1:
        refuse("UnsupportedVersion", "numerics of the archive")
    extended = head.bytes(1)[0]
    if extended > 1:
        refuse("UnsupportedVersion", "flags of the archive")
    length = head.bytes(1)[0]
    if length > 64:
        refuse("LimitExceeded", "the model's name")
    name, fingerprint, length = head.bytes(length), head.bytes(8), head.varint()
    if length > 65536:
        refuse("LimitExceeded", "the parameters")
    params = head.bytes(length)
    if head.at != len(payload):
        refuse("CorruptStream", "bytes follow the parameters")
    if "/" in plain_path(name):
        refuse("CorruptStream", "the model's name")
    return bool(extended), fingerprint, params


def find_index(data: bytes, first: int, seal: bytes, crc32c: Callable[[bytes], int]) -> tuple[int, bytes]:
    """(offset, payload) of the index, which is the file's end; else what that says of the archive is refused."""
    last, problem = seal + b"\xff" * 4, "Truncated"

    def found(at: int, letter: str, before: bytes) -> tuple[bytes, int] | None:
        """(payload, end) of a sound chunk of this type."""
        try:
            there, payload, _, end = chunk(data, at, before, crc32c)
        except Refused:
            return None
        return (payload, end) if there == letter else None

    def claimed(at: int) -> int:
        """The end that a chunk tells, whatever its checksum; -1 of none."""
        try:
            fields = Fields(data[at + 1 : at + 6])
            return at + 1 + fields.varint(35) + fields.at + 4
        except Refused:
            return -1

    at = int.from_bytes(data[-12:-4], "little")
    if first <= at < len(data) - 12 and data[at : at + 1] == b"Z" and claimed(at) == len(data):
        index = found(at, "Z", last)
        if index:
            return at, index[0]
        problem = "ChecksumMismatch"
    at, number = first, 0
    while at >= 0:
        if found(at, "Z", last):
            refuse("CorruptStream", "an index that is not where the last bytes say, or not the last")
        end, one = claimed(at) if data[at : at + 1] == b"G" else -1, found(at, "G", seal + number.to_bytes(4, "little"))
        number += 1
        onward = one or found(end, "Z", last) or found(end, "G", seal + number.to_bytes(4, "little"))
        at = end if end >= 0 and onward else -1
    refuse(problem, "the archive does not end with a sound index")


def digest8(parts: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:8]


def decode(
    data: bytes,
    crc32c: Callable[[bytes], int],
    areas_of: Callable[[bytes], int],
    stream: Callable[[bytes], tuple[bytes, np.ndarray]],
    models: Models,
) -> list[tuple[str, np.ndarray]]:
    """(name, samples) of every picture. ``areas_of`` and ``stream`` give the pixels of a .dfc stream, all
    frames together, and (8 bytes that stand for its digest, samples), verified; both refuse a lossy one."""
    if not data or data[:8] != b"\x8bDFA\r\n\x1a\n"[: len(data)]:
        refuse("NotADiffcodecFile", "the signature is missing")
    if len(data) < 10:
        refuse("Truncated", "the archive ends inside its signature")
    if data[8:9] != b"\1":
        refuse("UnsupportedVersion", "major version")
    letter, payload, seal, first = chunk(data, 10, data[8:10], crc32c)
    if letter != "A":
        refuse("CorruptStream", "the header is not the first chunk")
    extended, fingerprint, params = read_header(payload)
    place, payload = find_index(data, first, seal, crc32c)
    index, at = Fields(payload), first
    count = index.varint()
    if count > len(payload):
        refuse("LimitExceeded", "more groups than the index has bytes")
    listed = []
    for _ in range(count):
        size, pictures = index.varint(35), index.varint()
        at += size
        if size < 15 or at > place or pictures > 516 * size:
            refuse("CorruptStream", "a group that cannot be")
        if pictures > 256 + 4 * size:
            refuse("LimitExceeded", "more pictures than a group may hold")
        listed.append((size, pictures))
    whole = index.bytes(8)
    if at != place or int.from_bytes(index.bytes(8), "little") != place or index.at != len(payload):
        refuse("CorruptStream", "the index contradicts itself")
    schedule = vdm.Schedule(params) if params else None
    out: list[tuple[str, np.ndarray]] = []
    digests: list[bytes] = []
    at = first
    for number, (size, pictures) in enumerate(listed):
        letter, payload, _, end = chunk(data, at, seal + number.to_bytes(4, "little"), crc32c)
        if letter != "G" or end != at + size:
            refuse("CorruptStream", f"chunk {letter} where a group belongs, or one of another size")
        digest, found = group(payload, schedule, fingerprint, areas_of, stream, models, extended)
        if len(found) != pictures:
            refuse("CorruptStream", "the index tells another number of pictures")
        digests.append(digest)
        out += found
        at = end
    if whole != digest8(digests):
        refuse("DecodeMismatch", "the digest of the archive")
    return out


def plain_path(raw: bytes) -> str:
    """A name: empty, or a relative path."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        refuse("CorruptStream", "a name is not UTF-8")
    for character in name:
        code = ord(character)
        control = code <= 0x1F or 0x7F <= code <= 0x9F or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069
        if control or character == "\\":
            refuse("CorruptStream", "a name with a control or a backslash")
    drive = len(name) > 1 and name[1] == ":" and name[0].isascii() and name[0].isalpha()
    if name and (drive or len(raw) > 4096 or any(part in ("", ".", "..") for part in name.split("/"))):
        refuse("CorruptStream", "a name is no plain relative path")
    return name


def columns(fields: Fields, count: int, chained: int) -> None:
    """Walk through the further columns of an extended archive's directory."""
    last = 0
    while fields.at < len(fields.data):
        letter = fields.bytes(1)[0]
        if not bytes([letter]).isalpha() or letter <= last:
            refuse("CorruptStream", "the further columns are out of order")
        last, content = letter, Fields(fields.bytes(fields.varint()))
        if chr(letter) == "m":
            content.bytes(sum([content.varint() for _ in range(chained)]))
        elif chr(letter) == "p":
            if any([content.varint() > 0o1000 for _ in range(count)]):
                refuse("CorruptStream", "permissions beyond nine bits")
        elif chr(letter) == "t":
            time = 0
            for zigzag in [content.varint(67) for _ in range(count)]:
                if zigzag:
                    time += (zigzag - 1) // 2 if zigzag % 2 else -zigzag // 2
                    if not -(2**63) <= time < 2**63:
                        refuse("CorruptStream", "a time beyond 64 bits")
        elif chr(letter).isupper():
            refuse("UnsupportedVersion", f"column {chr(letter)}")
        else:
            continue
        if content.at != len(content.data):
            refuse("CorruptStream", "a column does not end with its bytes")


def check_areas(
    kinds: bytes, numbers: list[int], areas: dict[int, int], data: bytes, areas_of: Callable[[bytes], int]
) -> None:
    """Streams that fill ``data``, and not more pixels than a group may have; ``areas`` are those of chained ones."""
    if sum(number for kind, number in zip(kinds, numbers, strict=True) if kind == 0) != len(data):
        refuse("CorruptStream", "the streams of a group are not as long as told")
    at = 0
    for i, (kind, number) in enumerate(zip(kinds, numbers, strict=True)):
        if kind == 0:
            areas[i] = areas_of(data[at : at + number])
            at += number
        elif kind == COPY:
            areas[i] = areas[number]
    if len(kinds) > 1 and sum(areas.values()) > 2**24:
        refuse("LimitExceeded", "pixels of a group")


def group(
    payload: bytes,
    schedule: vdm.Schedule | None,
    fingerprint: bytes,
    areas_of: Callable[[bytes], int],
    stream: Callable[[bytes], tuple[bytes, np.ndarray]],
    models: Models,
    extended: bool,
) -> tuple[bytes, list[tuple[str, np.ndarray]]]:
    """(the group's digest, its pictures)."""
    outer = Fields(payload)
    digest = outer.bytes(8)
    engine = zlib.decompressobj()
    directory = outer.bytes(outer.varint())
    try:
        inflated = engine.decompress(directory, min(2**26, 2**20 + 512 * len(directory)))
    except zlib.error:
        refuse("CorruptStream", "the directory cannot be inflated")
    if not engine.eof or engine.unused_data:
        refuse("CorruptStream", "the directory is cut, too large or followed by bytes")
    fields = Fields(inflated)
    count = fields.varint()
    if count > min(256 + 4 * len(payload), len(inflated)):
        refuse("LimitExceeded", "pictures of a group")
    names = []
    for _ in range(count):
        end = inflated.find(b"\0", fields.at)
        if end < 0:
            refuse("CorruptStream", "the directory ends inside a name")
        names.append(plain_path(fields.bytes(end + 1 - fields.at)[:-1]))
    kinds = fields.bytes(count)
    if max(kinds, default=0) > COPY:
        refuse("CorruptStream", "a picture of an unknown kind")
    numbers = [fields.varint() if kind != CHAINED else 0 for kind in kinds]
    for i, (kind, number) in enumerate(zip(kinds, numbers, strict=True)):
        if kind == COPY and (number >= i or kinds[number] == COPY):
            refuse("CorruptStream", f"entry {i} of a group cannot be")
    shapes = {i: (fields.varint(), fields.varint()) for i, kind in enumerate(kinds) if kind == CHAINED}  # (w, h)
    if sum(w * h for w, h in shapes.values()) > 2**24:
        refuse("LimitExceeded", "pixels of the chained pictures")
    if not all(w * h for w, h in shapes.values()):
        refuse("CorruptStream", "a chained picture without pixels")
    lengths = [(fields.varint(), fields.varint()) for _ in shapes]
    for icc, exif in lengths:
        fields.bytes(icc + exif)
    if extended:
        columns(fields, count, len(shapes))
        if not shapes:
            copy = directory + len(directory).to_bytes(4, "little")
            if payload[-len(copy) :] != copy or len(payload) - len(copy) < outer.at:
                refuse("CorruptStream", "the two directories of a group differ")
            payload = payload[: -len(copy)]
    if fields.at != len(inflated):
        refuse("CorruptStream", "bytes follow the directory's columns")
    if not shapes:
        check_areas(kinds, numbers, {}, payload[outer.at :], areas_of)
    marks = {i: outer.bytes(4) for i in shapes}
    initial, pictures = payload[outer.at :], {}
    if shapes:
        if schedule is None:
            refuse("CorruptStream", "chained pictures without a schedule")
        order = sorted(shapes, key=lambda i: (shapes[i][0] * shapes[i][1], shapes[i][1], i))
        runs, sizes = Fields(initial), []
        for _ in range(runs.varint()):
            size, repeated = runs.varint(), runs.varint()
            if not 1 <= size * repeated <= len(order) - sum(sizes):
                refuse("CorruptStream", "the batches do not add up")
            sizes += [size] * repeated
        if sum(sizes) != len(order):
            refuse("CorruptStream", "the batches do not add up")
        for k, size in enumerate(sizes):
            batch = [shapes[i] for i in order[sum(sizes[:k]) :][:size]]
            if len(set(batch)) > 1:
                refuse("CorruptStream", "a batch of several sizes")
            if size > 1 and size * batch[0][0] * batch[0][1] > 2**21:
                refuse("LimitExceeded", "pixels of a batch")
        before, streams = 0, sum(n for kind, n in zip(kinds, numbers, strict=True) if kind == 0)
        for i in order:
            own = 3 * shapes[i][0] * shapes[i][1]
            if 8 * streams + 2 * before < 11 * own:
                refuse("LimitExceeded", "a chain without bits to begin with")
            before += own
        chain_bytes = len(initial) - runs.at
        if 2 * chain_bytes < streams or schedule.T * before // 3 > 2**22 + 2**16 * len(initial):
            refuse("LimitExceeded", "a chain of more work than its bytes are worth")
        config, tensors = models.find(fingerprint)
        if config["architecture"] != "vdm-unet-exact-1":
            refuse("ModelMismatch", "this reader decodes chains of integer networks only")
        hw = [shapes[i][::-1] for i in order]
        chain = vdm.Chain(schedule, IntegerUNet(tensors, config))
        try:
            found, initial = vdm.decode(initial[runs.at :], hw, sizes, chain)
        except Refused as error:
            refuse("DecodeMismatch", f"the chain of a group: {error.why}")
        for i, picture in zip(order, found, strict=True):
            pictures[i] = modes.digest(3, picture)[:8], picture
            if pictures[i][0][:4] != marks[i]:
                refuse("DecodeMismatch", f"chained picture {i}")
    if shapes:
        check_areas(kinds, numbers, {i: w * h for i, (w, h) in shapes.items()}, initial, areas_of)
    at = 0
    for i, (kind, number) in enumerate(zip(kinds, numbers, strict=True)):
        if kind == 0:
            pictures[i] = stream(initial[at : at + number])
            at += number
    for i, kind in enumerate(kinds):
        if kind == COPY:
            pictures[i] = pictures[numbers[i]]
    if digest8([pictures[i][0] for i in range(count)]) != digest:
        refuse("DecodeMismatch", "the digest of a group")
    return digest, [(names[i], pictures[i][1]) for i in range(count)]
