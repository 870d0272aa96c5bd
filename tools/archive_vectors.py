"""Write bitstream_spec/vectors/archives: archives that a reader must decode, give the rest of, or refuse.

    python -m tools.archive_vectors

Expectations of errors are written down here, not read back; digests of samples are those of the pictures given.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

import diffcodec
from diffcodec.archive import memory as archive
from diffcodec.bitstream.archive import CHAINED, COPY, STREAM, ArchiveHeader, Entry, Group, Writer, digest_of
from diffcodec.bitstream.container import Chunk, write
from diffcodec.bitstream.header import Header
from diffcodec.media.metadata import Metadata, Text
from diffcodec.media.picture import Picture
from tools.leb128 import varint
from tools.told import tell

FOLDER = Path(__file__).parent.parent / "bitstream_spec" / "vectors" / "archives"
SIGNATURE = b"\x8bDFA\r\n\x1a\n"
PLAIN = ArchiveHeader(0, "photo-ardm", bytes.fromhex("76133bbf23594511"), b"")
EXTENDED = replace(PLAIN, extended=True)


def drawing(seed: int, height: int = 9, width: int = 13) -> Picture:
    """Few colours, which the context coder takes: no model is needed."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (4, 3), np.uint8)
    return Picture(colours[rng.integers(0, 4, (height, width))], "RGB")


def photograph(seed: int, side: int = 16) -> np.ndarray:
    """Smooth, with grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    smooth = [90 + 60 * np.sin(2 * x + k) + 50 * np.cos(3 * y * k) for k in (1, 1.3, 1.7)]
    return np.clip(np.stack(smooth, 2) + rng.normal(0, 3, (side, side, 3)), 0, 255).astype(np.uint8)


# ---- archives of groups, and their parts


def packed(*groups: Group, head: ArchiveHeader = PLAIN) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, head)
    for group in groups:
        writer.add(group)
    writer.finish()
    return out.getvalue()


def of_streams(pictures: list[Picture], names: list[str], copies: tuple[int, ...] = ()) -> Group:
    made = [diffcodec.encode(picture) for picture in pictures]
    entries = [Entry(name, STREAM, len(stream)) for name, stream in zip(names, made, strict=False)]
    entries += [Entry(name, COPY, of) for name, of in zip(names[len(made) :], copies, strict=True)]
    digests = [picture.digest() for picture in pictures]
    return Group(tuple(entries), b"".join(made), digest_of([*digests, *(digests[i] for i in copies)]))


THREE = of_streams([drawing(n) for n in range(3)], ["a.png", "b/c.png", "b/d.png", "again.png"], (1,))
OTHER = of_streams([drawing(7)], ["e.png"])
TRIPLE = of_streams([drawing(8)], ["f.png", "g.png", "h.png"], (0, 0))


def told(group: Group) -> Group:
    entries = [
        replace(entry, time=1_700_000_000_123_456_789 - 10**9 * i * i, permissions=0o640 + i)
        for i, entry in enumerate(group.entries)
    ]
    entries[1] = replace(entries[1], time=-5, permissions=None)
    entries[2] = replace(entries[2], time=None)
    return replace(group, entries=tuple(entries))


class Raw:
    """A group whose bytes are given; it stands where a `Group` does."""

    def __init__(self, data: bytes, pictures: int):
        self.data, self.entries, self.digest = data, [None] * pictures, data[:8]

    def to_bytes(self, extended: bool = False) -> bytes:
        return self.data


def forged(*columns: bytes, payload: bytes = b"", marks: bytes = b"", pictures: int = 1, twice: bool = False) -> Any:
    """A group under a directory of these columns."""
    directory = zlib.compress(b"".join(columns), 9)
    copy = directory + len(directory).to_bytes(4, "little") if twice else b""
    return Raw(bytes(8) + varint(len(directory)) + directory + marks + payload + copy, pictures)


def one(name: bytes = b"a.png", kind: int = STREAM, number: int = 0, more: bytes = b"") -> tuple[bytes, ...]:
    return b"\1", name + b"\0", bytes([kind]), varint(number), more


def chained(width: int, height: int) -> tuple[bytes, ...]:
    return b"\1", b"a.png\0", bytes([CHAINED]), varint(width) + varint(height), b"\0\0"


def column(letter: bytes, content: bytes) -> bytes:
    return letter + varint(len(content)) + content


# ---- what must be found


def described(data: bytes) -> dict[str, Any]:
    with archive.open_archive(data) as reader:
        found = list(archive.decoded(reader, archive.all_places(reader), None, "cpu", 1, None))
        head = {"version": list(reader.version), "extended": reader.header.extended}
    pictures = []
    for group in found:
        for entry, picture in zip(group.entries, group.pictures, strict=True):
            known: dict[str, Any] = {"name": entry.name, "kind": ("stream", "chained", "copy")[entry.kind]}
            known |= {"time": entry.time, "permissions": entry.permissions}
            if isinstance(picture, Picture):
                known |= {"mode": picture.info.number, "digest": picture.digest().hex()}
                known |= {"metadata": picture.metadata.to_bytes().hex()}
            pictures.append(known)
    return head | {"groups": [len(group.entries) for group in found], "pictures": pictures}


def valid() -> Iterator[tuple[str, bytes]]:
    yield "streams", packed(THREE, OTHER)
    yield "streams_extended", packed(told(THREE), OTHER, head=EXTENDED)
    yield "unknown_column", packed(forged_from(told(TRIPLE), column(b"z", b"later")), head=EXTENDED)
    yield "no_names", packed(of_streams([drawing(1), drawing(2)], ["", ""]))
    yield "no_groups", packed()
    yield "empty_group", packed(Group((), b"", digest_of([])))
    yield "many_copies", packed(of_streams([drawing(3)], ["", *[""] * 255], (0,) * 255))
    metadata = Metadata(icc=b"a profile", xmp=b"<x/>", text=(Text("Title", "one"),))
    photos = [Picture(photograph(n), "RGB", metadata=metadata if n % 2 else Metadata()) for n in range(4)]
    grain = Picture(np.random.default_rng(0).integers(0, 256, (72, 72), np.uint8), "L")  # initial bits
    yield "chained", diffcodec.encode_archive([*(p.samples for p in photos), grain], "cifar10-vdm", steps=4)
    yield "chained_extended", diffcodec.encode_archive([*photos, grain], "cifar10-vdm", steps=4)


def forged_from(group: Group, more: bytes) -> Any:
    """An extended group without chained pictures, with a further column."""
    raw = group.to_bytes(extended=True)
    size = int.from_bytes(raw[-4:], "little")
    directory = zlib.compress(zlib.decompress(raw[-4 - size : -4]) + more, 9)
    copy = directory + len(directory).to_bytes(4, "little")
    return Raw(group.digest + varint(len(directory)) + directory + group.payload + copy, len(group.entries))


def damaged() -> Iterator[tuple[str, bytes, str]]:
    """(name, archive, what a strict reader says); `described` tells what is left."""
    whole = packed(THREE, OTHER)
    with archive.open_archive(whole) as reader:
        _first, second = reader.places
    start = whole.index(THREE.payload)
    yield "flipped_stream", flipped(whole, start + THREE.entries[0].size + 40), "ChecksumMismatch"
    extended = packed(told(THREE), OTHER, head=EXTENDED)
    yield "flipped_first_directory", flipped(extended, extended.index(THREE.payload) - 9), "ChecksumMismatch"
    yield (
        "flipped_last_directory",
        flipped(extended, extended.index(THREE.payload) + len(THREE.payload) + 9),
        ("ChecksumMismatch"),
    )
    without = packed(
        replace(THREE, entries=THREE.entries[:3], digest=digest_of([drawing(n).digest() for n in range(3)]))
    )
    yield "flipped_directory", flipped(without, without.index(THREE.payload) - 9), "ChecksumMismatch"
    yield "flipped_index", flipped(whole, second.offset + second.size + 3), "ChecksumMismatch"
    yield "flipped_offset_of_index", flipped(whole, len(whole) - 11), "Truncated"
    yield "cut_in_a_stream", whole[: start + sum(e.size for e in THREE.entries[:2]) - 1], "Truncated"
    yield "cut_index", whole[:-5], "Truncated"
    yield "bytes_behind_the_index", whole + b"more", "CorruptStream"


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def told_index(*numbers: tuple[int, int], wrong_place: int = 0) -> bytes:
    """THREE and OTHER under an index of (change of bytes, pictures)."""
    out = io.BytesIO()
    writer = Writer(out, PLAIN)
    writer.add(THREE)
    writer.add(OTHER)
    pairs = zip(writer.places, numbers, strict=True)
    writer.places = [replace(place, size=place.size + more, pictures=count) for place, (more, count) in pairs]
    writer.finish()
    return out.getvalue()


def header(payload: bytes, version: bytes = b"\1\0", letter: str = "A") -> bytes:
    """An archive of nothing but this first chunk, whose checksum is right."""
    body = write([Chunk(letter, payload)])[10:-4]
    return SIGNATURE + version + body + google_crc32c.value(version + body).to_bytes(4, "little")


def invalid() -> Iterator[tuple[str, bytes, str]]:
    head = PLAIN.to_bytes()
    yield "signature", b"\x8bDFB" + packed(OTHER)[4:], "NotADiffcodecFile"
    yield "empty", b"", "NotADiffcodecFile"
    yield "cut_signature", SIGNATURE[:6], "Truncated"
    yield "one_byte", SIGNATURE[:1], "Truncated"
    yield "major_version_2_alone", SIGNATURE + b"\2", "Truncated"
    yield "header_of_2_gib", SIGNATURE + b"\1\0A\x80\x80\x80\x80\x08", "LimitExceeded"
    yield "header_cut_in_its_length", SIGNATURE + b"\1\0A\x80", "Truncated"
    yield "numerics_alone", header(b"\2"), "UnsupportedVersion"
    yield "long_parameters", header(head[:-1] + varint(2**16 + 1)), "LimitExceeded"
    yield "major_version", header(head, b"\2\0"), "UnsupportedVersion"
    yield "first_chunk", header(head, letter="G"), "CorruptStream"
    yield "header_checksum", flipped(packed(OTHER), 20), "ChecksumMismatch"
    yield "tolerant", header(b"\2" + head[1:]), "UnsupportedVersion"
    yield "flags", header(head[:1] + b"\2" + head[2:]), "UnsupportedVersion"
    yield "long_model_name", header(b"\0\0\x41" + b"n" * 65 + bytes(9)), "LimitExceeded"
    yield "model_name_with_a_slash", header(b"\0\0\3a/b" + bytes(9)), "CorruptStream"
    yield "bytes_behind_the_parameters", header(head + b"\0"), "CorruptStream"
    yield "cut_parameters", header(head[:-1] + b"\5"), "CorruptStream"
    first, second = len(THREE.entries), len(OTHER.entries)
    yield "index_of_other_counts", told_index((0, first - 1), (0, second)), "CorruptStream"
    yield "index_of_other_bytes", told_index((1, first), (-1, second)), "CorruptStream"
    yield "index_that_does_not_add_up", told_index((0, first), (1, second)), "CorruptStream"
    yield "index_beyond_deflate", told_index((0, 2**32 - 1), (0, second)), "CorruptStream"
    yield "index_of_many", told_index((0, 256 + 5 * 2**10), (0, second)), "LimitExceeded"
    yield "index_of_many_before_other_bytes", told_index((0, 256 + 5 * 2**10), (1, second)), "LimitExceeded"
    whole = packed(THREE, OTHER)
    yield "index_of_another_place", whole_with_place(whole), "CorruptStream"
    with archive.open_archive(whole) as reader:
        a, b = (whole[p.offset : p.offset + p.size] for p in reader.places)
    yield "groups_in_other_places", whole.replace(a + b, b + a), "ChecksumMismatch"
    yield "digest_of_the_archive", packed_with(b"\0" * 8), "DecodeMismatch"
    yield "digest_of_a_group", packed(replace(OTHER, digest=bytes(8))), "DecodeMismatch"
    stream = OTHER.payload
    size = len(stream)
    sound = one(number=size)
    groups = {
        "directory_not_deflated": (Raw(bytes(8) + b"\4abcd" + stream, 1), "CorruptStream"),
        "directory_beyond_its_limit": (forged(b"\1", b"a" * 2**22, b"\0\0\0"), "CorruptStream"),
        "directory_of_many": (
            forged(b"\xb9\x17", bytes(3001), b"\2" * 3000, bytes(3001), pictures=300),
            "LimitExceeded",
        ),
        "bytes_behind_the_columns": (forged(*sound, b"\0", payload=stream), "CorruptStream"),
        "cut_columns": (forged(*sound[:-2]), "CorruptStream"),
        "kind_of_3": (forged(*one(kind=3)), "CorruptStream"),
        "copy_of_itself": (forged(*one(kind=COPY)), "CorruptStream"),
        "copy_of_a_copy": (
            forged(b"\3", bytes(3), b"\0\2\2", varint(size) + b"\0\1", payload=stream, pictures=3),
            "CorruptStream",
        ),
        "stream_shorter_than_told": (forged(*one(number=size + 1), payload=stream), "CorruptStream"),
        "bytes_behind_the_streams": (forged(*sound, payload=stream + b"x"), "CorruptStream"),
        "chained_without_a_schedule": (forged(*chained(8, 8), marks=bytes(4), payload=b"\1\1\1x"), "CorruptStream"),
        "chained_without_pixels": (forged(*chained(0, 8), marks=bytes(4)), "CorruptStream"),
        "chained_of_many_pixels": (forged(*chained(2**12, 2**12 + 1), marks=bytes(4)), "LimitExceeded"),
    }
    for name, bad in {
        "up": b"../a.png", "root": b"/a.png", "drive": b"c:/a.png", "empty_part": b"a//b.png", "backslash": b"a\\b.png",
        "line": b"a\nb.png", "direction": "a\u202eb.png".encode(), "latin": b"\xe9.png", "long": b"n" * 4097,
    }.items():  # fmt: skip
        groups[f"name_{name}"] = forged(*one(bad, number=size), payload=stream), "CorruptStream"
    for name, (group, error) in groups.items():
        yield name, packed(group), error
    claim = Header(0, 0, 2**14, 2**14, 3, 0, 0, "", bytes(8), b"\0\0\0\3").to_bytes()
    large = write([Chunk("H", claim), Chunk("P", b"few"), Chunk("E", bytes(8))])
    entries = tuple(Entry("", STREAM, len(large)) for _ in range(40))
    yield "group_of_many_pixels", packed(Group(entries, large * 40, bytes(8))), "LimitExceeded"
    yield from other_streams()
    further = {
        "columns_out_of_order": ([column(b"t", b"\1"), column(b"p", b"\1")], "CorruptStream"),
        "column_repeated": ([column(b"t", b"\1"), column(b"t", b"\1")], "CorruptStream"),
        "column_of_a_capital": ([column(b"Q", b"")], "UnsupportedVersion"),
        "column_of_a_digit": ([column(b"1", b"")], "CorruptStream"),
        "column_too_long": ([column(b"t", b"\1\1")], "CorruptStream"),
        "column_too_short": ([column(b"p", b"")], "CorruptStream"),
        "permissions_of_ten_bits": ([column(b"p", varint(0o1001))], "CorruptStream"),
        "time_beyond_64_bits": ([column(b"t", varint(1 + 2**64))], "CorruptStream"),
        "metadata_of_a_stream": ([column(b"m", b"\1x")], "CorruptStream"),
    }
    for name, (columns, error) in further.items():
        yield name, packed(forged(*sound, *columns, payload=stream, twice=True), head=EXTENDED), error
    yield "second_directory_missing", packed(forged(*sound, payload=stream), head=EXTENDED), "CorruptStream"
    yield (
        "further_columns_without_the_flag",
        packed(forged(*sound, column(b"t", b"\1"), payload=stream)),
        "CorruptStream",
    )
    yield from schedules()


def whole_with_place(whole: bytes) -> bytes:
    """The archive with an index, its checksum right, that tells another place of its own."""
    at = int.from_bytes(whole[-12:-4], "little")
    length = whole[11]  # of the payload of the header, whose checksum all others begin with
    seal = whole[12 + length : 16 + length]
    index = whole[at:-12] + (at + 1).to_bytes(8, "little")
    return whole[:at] + index + google_crc32c.value(seal + b"\xff" * 4 + index).to_bytes(4, "little")


def other_streams() -> Iterator[tuple[str, bytes, str]]:
    """Streams that do not belong into an archive, or not so many."""
    lossy = (FOLDER.parent / "decodable" / "diffc_white_first_bits.dfc").read_bytes()
    yield "lossy_stream", packed(Group((Entry("", STREAM, len(lossy)),), lossy, bytes(8))), "CorruptStream"
    first, further = (Header(0, 0, 2**12, rows, 3, 0, 0, "", bytes(8), b"\0\0\0\1") for rows in (2**12 - 1, 2))
    some, end = Chunk("P", b"few"), Chunk("E", bytes(8))
    frame = write([Chunk("H", further.to_bytes()), some, end])
    large = write([Chunk("H", first.to_bytes()), some, Chunk("N", frame), end])
    entries = (Entry("", STREAM, len(large)), Entry("", STREAM, len(OTHER.payload)))
    yield "group_of_many_pixels_of_frames", packed(Group(entries, large + OTHER.payload, bytes(8))), "LimitExceeded"


def packed_with(digest: bytes) -> bytes:
    """OTHER in an archive that tells another group's digest."""
    out = io.BytesIO()
    writer = Writer(out, PLAIN)
    writer.add(OTHER)
    writer.digests = [digest]
    writer.finish()
    return out.getvalue()


def schedules() -> Iterator[tuple[str, bytes, str]]:
    """Chains whose parameters, or whose bytes, are not an encoder's."""
    with archive.open_archive(dict(valid())["chained"]) as reader:
        head, group = reader.header, reader.group(reader.places[0])
    params = head.params
    knots = int.from_bytes(params[4:6], "little")
    at = 6 + 4 * knots
    deflated = zlib.compress(b"\1\0" * 4, 9)
    start = params[at : at + 4]
    short = len(params) - at - 8
    yield "schedule", packed(group, head=replace(head, params=params[:at])), "CorruptStream"
    for name, changed in {
        "no_steps": b"\0\0" + params[2:],
        "many_steps": (2001).to_bytes(2, "little") + params[2:],
        "scale": params[:2] + (385).to_bytes(2, "little") + params[4:],
        "one_knot": params[:4] + b"\1\0" + params[6:],
        "knots_that_fall": params[:6] + params[8:10] + params[6:8] + params[10:],
        "a_step_of_0": params[:at] + start + len(z := zlib.compress(bytes(8), 9)).to_bytes(4, "little") + z,
        "a_far_start": params[:at] + (34769).to_bytes(4, "little") + len(deflated).to_bytes(4, "little") + deflated,
        "steps_cut": params[:at] + start + (short - 1).to_bytes(4, "little") + params[at + 8 : -1],
        "steps_too_close": params[:at] + start + len(deflated).to_bytes(4, "little") + deflated,
    }.items():
        yield f"schedule_of_{name}", packed(group, head=replace(head, params=changed)), "CorruptStream"
    forty = Group((Entry("", CHAINED, 0, 4096, 4096, bytes(4)),), b"\1\1\1" + b"few bytes", bytes(8))
    yield "chain_above_no_bits", packed(forty, head=head), "LimitExceeded"
    nothing = replace(group, payload=b"\2\0\5" + group.payload[1:])
    yield "batches_of_nothing", packed(nothing, head=head), "CorruptStream"
    yield "batches", packed(replace(group, payload=b"\1\1\1" + group.payload[3:]), head=head), "CorruptStream"


def main() -> None:
    for kind in ("valid", "damaged", "invalid"):
        (FOLDER / kind).mkdir(parents=True, exist_ok=True)
        for old in (FOLDER / kind).iterdir():
            old.unlink()

    def save(kind: str, name: str, data: bytes, found: dict[str, Any]) -> None:
        (FOLDER / kind / f"{name}.dfca").write_bytes(data)
        tell(FOLDER / kind, {name: found})

    for name, data in valid():
        save("valid", name, data, described(data))
    for name, data, error in damaged():
        save("damaged", name, data, {"error": error} | described(data))
    for name, data, error in invalid():
        save("invalid", name, data, {"error": error})


if __name__ == "__main__":
    main()
