"""Independent reader of the .dfc container, standard library only: SPEC.md §1 and §2 as a program.

    python bitstream_spec/reader.py FILE.dfc

prints the chunk table and the header. It shares no code with the package; the tests compare the two on every vector, on
generated and on mutated streams. Slow on purpose: one way to do each thing, none of them clever.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn


class Refused(Exception):
    """``name`` is the error that SPEC.md gives for the violation."""

    def __init__(self, name: str, why: str):
        super().__init__(f"{name}: {why}")
        self.name = name


def refuse(name: str, why: str) -> NoReturn:
    raise Refused(name, why)


def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return table


TABLE = crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli). crc32c(b"123456789") = 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Cut(Exception):
    """The bytes end inside what is being read."""


def take(data: bytes, at: int, count: int) -> tuple[bytes, int]:
    if at + count > len(data):
        raise Cut
    return data[at : at + count], at + count


def take_varint(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """Canonical LEB128 of at most ceil(bits / 7) bytes with a value below 2^bits."""
    groups = []
    while True:
        (byte,), at = take(data, at, 1)
        groups.append(byte % 128)
        if byte < 128:
            break
        if len(groups) * 7 >= bits:
            refuse("CorruptStream", "a varint is too long")
    if groups[-1] == 0 and len(groups) > 1:
        refuse("CorruptStream", "a varint is not canonical")
    value = sum(group * 128**place for place, group in enumerate(groups))
    if value >= 2**bits:
        refuse("CorruptStream", "a varint is too large")
    return value, at


def read_header(payload: bytes, max_pixels: int) -> dict[str, Any]:
    """The fields of the header chunk, checked in their order."""

    def byte(known: int) -> int:
        nonlocal at
        (value,), at = take(payload, at, 1)
        if value >= known:
            refuse("UnsupportedVersion", f"a header field is {value}, known are values below {known}")
        return value

    def varint(bits: int) -> int:
        nonlocal at
        value, at = take_varint(payload, at, bits)
        return value

    def counted(length: int, limit: int) -> bytes:
        nonlocal at
        if length > limit:
            refuse("LimitExceeded", f"a header field has {length} bytes, the limit is {limit}")
        value, at = take(payload, at, length)
        return value

    at = 0
    try:
        header: dict[str, Any] = {"codec": byte(3), "numerics": byte(3), "flags": byte(16)}
        header["width"], header["height"] = varint(32), varint(32)
        if header["width"] == 0 or header["height"] == 0:
            refuse("CorruptStream", "the picture has no pixels")
        if header["width"] * header["height"] > max_pixels:
            refuse("LimitExceeded", "the picture has too many pixels")
        header["mode"], header["colour_transform"], header["seed"] = byte(256), byte(2), varint(64)
        name = counted(byte(256), 64)
        try:
            header["model"] = name.decode("utf-8")
        except UnicodeDecodeError:
            refuse("CorruptStream", "the model name is not UTF-8")
        for position, character in enumerate(header["model"]):
            code = ord(character)
            refused = code <= 0x1F or 0x7F <= code <= 0x9F or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069
            if refused or character in "/\\" or (character == "." and position == 0):
                refuse("CorruptStream", "the model name is not a plain name")
        header["fingerprint"] = counted(8, 8).hex()
        header["params"] = counted(varint(32), 65536).hex()
    except Cut:
        refuse("CorruptStream", "the header ends inside a field")
    if at != len(payload):
        refuse("CorruptStream", "bytes follow the last field of the header")
    return header


def read_small(payload: bytes, max_pixels: int) -> tuple[dict[str, Any], bytes, bytes]:
    """The header, the pass and the digest of a small picture (SPEC.md §2.1)."""
    header: dict[str, Any] = {"codec": 0, "colour_transform": 0, "model": "", "seed": 0, "fingerprint": "00000000"}
    try:
        (kind,), at = take(payload, 0, 1)
        if kind >= 16 or kind % 4 == 3:
            refuse("UnsupportedVersion", f"the kind of small picture is {kind}")
        (mode,), at = take(payload, at, 1)
        width, at = take_varint(payload, at, 32)
        height, at = take_varint(payload, at, 32)
        if width == 0 or height == 0:
            refuse("CorruptStream", "the picture has no pixels")
        if width * height > max_pixels:
            refuse("LimitExceeded", "the picture has too many pixels")
        header |= {"numerics": kind % 4, "mode": mode, "width": width, "height": height}
        if kind & 4:
            model, at = take(payload, at, 4)
            header["fingerprint"] = model.hex()
        if kind & 8:
            header["seed"], at = take_varint(payload, at, 64)
        if (kind & 4 and header["fingerprint"] == "00000000") or (kind & 8 and header["seed"] == 0):
            refuse("CorruptStream", "a field of zeros is written out")
        count, at = take_varint(payload, at, 32)
        if count > 65536:
            refuse("LimitExceeded", "the parameters are too long")
        params, at = take(payload, at, count)
        header["params"] = params.hex()
        one_pass, at = take(payload, at, max(0, len(payload) - at - 4))
        digest, at = take(payload, at, 4)
    except Cut:
        refuse("CorruptStream", "the header ends inside a field")
    return header, one_pass, digest


def read_chunks(data: bytes) -> tuple[list[dict[str, Any]], Refused | None]:
    """The chunks from the front, and what is wrong behind the last of them, if anything."""
    chunks: list[dict[str, Any]] = []
    before, at = data[8:10], 10
    try:
        while at < len(data):
            start = at
            if chunks and (chunks[-1]["type"] == "E" or (len(chunks) == 1 and chunks[0]["type"] == "S")):
                refuse("CorruptStream", "bytes follow the end of the picture")
            (letter,), at = take(data, at, 1)
            if not (0x41 <= letter <= 0x5A or 0x61 <= letter <= 0x7A):
                refuse("CorruptStream", "a chunk type is no letter")
            length, at = take_varint(data, at, 35)
            if length > 2**31 - 1:
                refuse("LimitExceeded", "a chunk is too long")
            payload, at = take(data, at, length)
            covered = before + data[start:at]
            before, at = take(data, at, 4)
            if crc32c(covered) != int.from_bytes(before, "little"):
                refuse("ChecksumMismatch", f"chunk at offset {start}")
            chunks.append({"type": chr(letter), "offset": start, "end": at, "payload": payload})
    except Cut:
        return chunks, None
    except Refused as error:
        return chunks, error
    return chunks, None


def parse(data: bytes, *, partial: bool = False, max_pixels: int = 2**28) -> dict[str, Any]:
    """All that the container says, byte strings in hexadecimal. Raises Refused: the first violation from the front."""
    signature = bytes([0x8B, 0x44, 0x46, 0x43, 0x0D, 0x0A, 0x1A, 0x0A])
    if data[:8] != signature[: len(data)]:
        refuse("NotADiffcodecFile", "the signature is missing")
    if len(data) > 9 and data[8] != 1:
        refuse("UnsupportedVersion", f"major version {data[8]}")
    chunks, wrong = read_chunks(data)
    found: dict[str, Any] = {"version": list(data[8:10]), "palette": None, "adjustment": None, "ancillary": {}}
    found |= {"passes": [], "ends": [], "digest": None}
    stage, seen = "", set()  # the last chunk of those that set the order: H C A P E
    for chunk in chunks:
        letter, payload = chunk["type"], chunk["payload"]
        if not stage and letter == "S":
            found["header"], one_pass, digest = read_small(payload, max_pixels)
            found["passes"], found["ends"], found["digest"] = [one_pass.hex()], [chunk["end"]], digest.hex()
            stage = "S"
            continue
        if not stage and letter != "H":
            refuse("CorruptStream", "the header is not the first chunk")
        if letter.isupper() and letter not in "HCAPES":
            refuse("UnsupportedVersion", f"critical chunk {letter}")
        lawful = {"": "H", "H": "CAPE", "C": "PE", "A": "PE", "P": "PE"}[stage]
        if letter.isupper():
            if letter not in lawful or (letter in "CA" and seen):
                refuse("CorruptStream", f"chunk {letter} repeated or out of order")
            stage = letter
        elif stage == "P" or (letter in found["ancillary"]):
            refuse("CorruptStream", f"chunk {letter} repeated or out of order")
        if letter == "H":
            found["header"] = read_header(payload, max_pixels)
        elif letter == "C":
            if len(payload) > 1024:
                refuse("LimitExceeded", "the palette is too long")
            found["palette"] = payload.hex()
        elif letter == "A":
            if len(payload) > 65536:
                refuse("LimitExceeded", "the adjustment is too long")
            if found["header"]["codec"] != 0:
                refuse("CorruptStream", "an adjustment outside of ARDM")
            found["adjustment"] = payload.hex()
        elif letter == "P":
            found["passes"].append(payload.hex())
            found["ends"].append(chunk["end"])
        elif letter == "E":
            if len(payload) != 8 and (payload or found["header"]["codec"] != 2):
                refuse("CorruptStream", "the digest has not 8 bytes")
            found["digest"] = payload.hex()
        else:
            seen.add(letter)
            if letter in "ixt":
                found["ancillary"][letter] = payload.hex()
    if wrong is not None:
        raise wrong
    if not stage or not (partial or found["digest"] is not None):
        refuse("Truncated", "the stream ends before its end chunk")
    return found


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    print(f"{'offset':>10} {'type':4} {'':9} {'payload':>10}")
    for chunk in read_chunks(data)[0]:
        kind = "critical" if chunk["type"].isupper() else "ancillary"
        print(f"{chunk['offset']:10} {chunk['type']:4} {kind:9} {len(chunk['payload']):10}")
    try:
        found = parse(data, partial=True)
    except Refused as error:
        sys.exit(f"refused: {error}")
    summary = {"version": found["version"], **found["header"], "complete": found["digest"] is not None}
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
