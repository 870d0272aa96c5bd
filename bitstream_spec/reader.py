"""Independent reader of the .dfc container, standard library only: SPEC.md §1 and §2 as a program.

    python bitstream_spec/reader.py FILE.dfc [OUT.npy] [--models FOLDER]
    python bitstream_spec/reader.py FILE.dfca OUT.npz [--models FOLDER]

prints the chunk table and the header. With OUT it decodes as well, by `dfc_decoder` beside this file and NumPy. It
shares no code with the package; the tests compare the two on every vector, on generated and on mutated streams. Slow on
purpose: one way to do each thing, none of them clever.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

WORDS = Path(__file__).with_name("words.bin")
WEIGHTS = Path(__file__).parents[1] / "diffcodec" / "models" / "weights"


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


def take_name(data: bytes, at: int, what: str) -> tuple[str, int]:
    """A plain name of at most 64 bytes, behind their number."""
    (length,), at = take(data, at, 1)
    if length > 64:
        refuse("LimitExceeded", f"the name ({what}) has {length} bytes, the limit is 64")
    raw, at = take(data, at, length)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        refuse("CorruptStream", f"the name ({what}) is not UTF-8")
    for position, character in enumerate(name):
        code = ord(character)
        refused = code <= 0x1F or 0x7F <= code <= 0x9F or 0x2028 <= code <= 0x202E or 0x2066 <= code <= 0x2069
        if refused or character in "/\\" or (character == "." and position == 0):
            refuse("CorruptStream", f"the name ({what}) is not a plain name")
    return name, at


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
        header: dict[str, Any] = {"codec": byte(3)}
        if header["codec"] == 1:
            refuse("UnsupportedVersion", "codec 1 codes archives, not streams")
        header |= {"numerics": byte(3), "flags": byte(16)}
        header["width"], header["height"] = varint(32), varint(32)
        if header["width"] == 0 or header["height"] == 0:
            refuse("CorruptStream", "the picture has no pixels")
        if header["width"] * header["height"] > max_pixels:
            refuse("LimitExceeded", "the picture has too many pixels")
        header["mode"], header["statistics"], header["seed"] = byte(256), byte(2), varint(64)
        header["model"], at = take_name(payload, at, "model")
        header["fingerprint"] = counted(8, 8).hex()
        header["params"] = counted(varint(32), 65536).hex()
    except Cut:
        refuse("CorruptStream", "the header ends inside a field")
    if at != len(payload):
        refuse("CorruptStream", "bytes follow the last field of the header")
    return header


def read_small(payload: bytes, max_pixels: int) -> tuple[dict[str, Any], bytes, bytes, list[tuple[str, bytes]]]:
    """The header, the pass, the digest and the metadata of a small picture (SPEC.md §2.1)."""
    header: dict[str, Any] = {"codec": 0, "statistics": 0, "model": "", "seed": 0, "fingerprint": "00000000"}
    try:
        (kind,), at = take(payload, 0, 1)
        if kind >= 32 or kind % 4 == 3:
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
        metadata = []
        if kind & 16:
            count, at = take_varint(payload, at, 32)
            if count == 0:
                refuse("CorruptStream", "a field of zeros is written out")
            while len(metadata) < count:
                (letter,), at = take(payload, at, 1)
                if not 0x61 <= letter <= 0x7A:
                    refuse("CorruptStream", "a kind of metadata is no small letter")
                length, at = take_varint(payload, at, 32)
                value, at = take(payload, at, length)
                metadata.append((chr(letter), value))
        one_pass, at = take(payload, at, max(0, len(payload) - at - 4))
        digest, at = take(payload, at, 4)
    except Cut:
        refuse("CorruptStream", "the header ends inside a field")
    return header, one_pass, digest, metadata


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


KINDS = "pegdkwncbfl"  # of metadata (SPEC.md §2.2)
OTHER_FORM = {"i": "p", "p": "i", "x": "e", "e": "x"}
GROUPED = (75, 76, 77, 78)  # modes of clips and tracks: each of their groups has the limit of pixels for itself


def declared_size(payload: bytes, limit: int) -> int:
    """The size of the data in a chunk of metadata, whose compression is known."""
    try:
        (method,), at = take(payload, 0, 1)
        size = take_varint(payload, at, 32)[0] if method else len(payload) - 1
    except Cut:
        refuse("CorruptStream", "metadata end inside their size")
    if payload[0] > 4:
        refuse("UnsupportedVersion", f"compression {payload[0]} of metadata")
    if size > limit:
        refuse("LimitExceeded", "metadata are too long")
    return size


def read_ancillary(letter: str, payload: bytes, found: dict[str, Any], limits: dict[str, int]) -> None:
    """An ancillary chunk, or what stands for one in a small picture."""
    if {letter, OTHER_FORM.get(letter)} & found["ancillary"].keys():
        refuse("CorruptStream", f"chunk {letter} repeated")
    if letter in KINDS:
        limits["metadata"] -= declared_size(payload, limits["metadata"])
    if letter in "ixt" + KINDS:
        found["ancillary"][letter] = payload.hex()


def read_frame(payload: bytes, found: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> None:
    """A further frame, which is a stream of its own within what the frames before left of the limits."""
    frames = found.setdefault("frames", [])
    if level["frames"] == 0:
        refuse("CorruptStream", "a frame has frames of its own")
    if len(frames) == level["frames"]:
        refuse("LimitExceeded", "there are too many frames")
    if found["header"]["mode"] in GROUPED:
        limits["pixels"] = level["pixels"]
    frames.append(read_nested(payload, limits, {"frames": 0, "given": level["given"]}))


def read_nested(payload: bytes, limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    """A stream within a stream."""
    try:
        return read_stream(payload, False, limits, level)
    except Refused as error:
        if error.name == "Truncated":
            refuse("CorruptStream", f"a stream within the stream is cut ({error})")
        raise


def read_given(payload: bytes, found: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> None:
    """What the model was given (SPEC.md §2.3): parts of a kind each."""
    parts: list[dict[str, Any]] = []
    at = 0
    try:
        while at < len(payload):
            if len(parts) == 8:
                refuse("LimitExceeded", "too many things were given")
            (kind,), at = take(payload, at, 1)
            length, at = take_varint(payload, at, 32)
            fields, at = take(payload, at, length)
            if kind not in GIVEN:
                refuse("UnsupportedVersion", f"a thing of kind {kind} was given")
            parts.append(GIVEN[kind](fields, found["header"], limits, level))
    except Cut:
        refuse("CorruptStream", "what was given ends inside a field")
    if not parts:
        refuse("CorruptStream", "nothing was given")
    labels = [part["label"] for part in parts if part["kind"] == "outside"]
    if len(set(labels)) != len(labels):
        refuse("CorruptStream", "two things from outside have one label")
    found["given"] = parts


def read_text(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    scale, at = take_varint(data, 0, 16)
    encoder, at = take_name(data, at, "encoder")
    fingerprint, at = take(data, at, 8)
    texts = []
    for _ in range(2):
        length, at = take_varint(data, at, 32)
        packed, at = take(data, at, length)
        most = min(65536, limits["metadata"])
        text = unpacked(packed, most)
        limits["metadata"] -= len(text)
        try:
            texts.append(text.decode("utf-8"))
        except UnicodeDecodeError:
            refuse("CorruptStream", "a text is not UTF-8")
    all_read(data, at)
    told = {"kind": "text", "scale": scale, "encoder": encoder, "fingerprint": fingerprint.hex()}
    return told | {"prompt": texts[0], "negative": texts[1]}


def unpacked(packed: bytes, most: int) -> bytes:
    """The bytes of a text, which is deflated with the words or stands as it is."""
    if not packed:
        return b""
    if packed[0] > 1:
        refuse("UnsupportedVersion", f"compression {packed[0]} of a text")
    text = packed[1:]
    if packed[0]:
        engine = zlib.decompressobj(-15, zdict=WORDS.read_bytes())
        try:
            text = engine.decompress(text, most + 1)
        except zlib.error:
            refuse("CorruptStream", "a text does not inflate")
        if len(text) <= most and (not engine.eof or engine.unused_data):
            refuse("CorruptStream", "a text does not end with its bytes")
    if len(text) > most:
        refuse("LimitExceeded", "a text is too long")
    if not text:
        refuse("CorruptStream", "an empty text is written out")
    return text


def augmentation_of(coded: int) -> int | None:
    """Signed, None of 0."""
    zigzag = coded - 1
    return None if coded == 0 else zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2


def read_operator(data: bytes, header: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, int], int]:
    """Operator, augmentation, numbers; the size of what the operator leaves of the picture; where they end."""
    W, H = header["width"], header["height"]
    (number,), at = take(data, 0, 1)
    if number > 4:
        refuse("UnsupportedVersion", f"operator {number}")
    coded, at = take_varint(data, at, 20)
    augmentation = augmentation_of(coded)
    numbers = []
    for _ in range((1, 0, 1, 0, 4)[number]):
        value, at = take_varint(data, at, 32)
        numbers.append(value)
    width, height = W, H
    if number in (0, 2):
        if not 1 <= numbers[0] <= min(W, H):
            refuse("CorruptStream", "boxes that no picture of this size has")
        if number == 0:
            width, height = -(-W // numbers[0]), -(-H // numbers[0])
    if number == 4:
        top, left, height, width = numbers
        if height == 0 or width == 0 or top + height > H or left + width > W:
            refuse("CorruptStream", "a part that no picture of this size has")
    told = {"kind": "stream", "operator": number, "augmentation": augmentation, "numbers": numbers}
    return told, (width, height), at


def read_observed(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    """A nested stream, of the size of what the operator leaves of the picture."""
    told, size, at = read_operator(data, header)
    if told["operator"] == 3:
        length, at = take_varint(data, at, 32)
        mask, at = take(data, at, length)
        told["mask"] = read_sized(mask, (header["width"], header["height"]), limits, level)
    told["stream"] = read_sized(data[at:], size, limits, level)
    return told


def read_of_file(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    """A file of what the operator leaves of the picture; of which size it is only its own reader sees."""
    told, _, at = read_operator(data, header)
    if told["operator"] == 3:
        refuse("UnsupportedVersion", "a file of what a mask leaves")
    if at == len(data):
        refuse("CorruptStream", "a file without bytes")
    return told | {"kind": "small file", "data": data[at:].hex()}


def read_sized(data: bytes, size: tuple[int, int], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    if level["given"] == 0:
        refuse("LimitExceeded", "streams are given too deep")
    found = read_nested(data, limits, {"frames": 0, "given": level["given"] - 1})
    if (found["header"]["width"], found["header"]["height"]) != size:
        refuse("CorruptStream", "a stream that was given is of another size")
    return found


def read_file(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    if not data:
        refuse("CorruptStream", "a file without bytes")
    return {"kind": "file", "data": data.hex()}


def read_before(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    count, at = take_varint(data, 0, 16)
    if count == 0:
        refuse("CorruptStream", "no frames before this one")
    found = {"kind": "before", "count": count}
    if at < len(data):
        coded, at = take_varint(data, at, 20)
        if not coded:
            refuse("CorruptStream", "no augmentation of frames before this one")
        found["augmentation"] = augmentation_of(coded)
    all_read(data, at)
    return found


def read_outside(data: bytes, header: dict[str, Any], limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    digest, at = take(data, 0, 32)
    label, at = take_name(data, at, "label")
    all_read(data, at)
    return {"kind": "outside", "digest": digest.hex(), "label": label}


def all_read(data: bytes, at: int) -> None:
    if at != len(data):
        refuse("CorruptStream", "bytes follow the fields of what was given")


GIVEN = {1: read_text, 2: read_observed, 3: read_file, 4: read_before, 5: read_outside, 6: read_of_file}


def parse(
    data: bytes,
    *,
    partial: bool = False,
    max_pixels: int = 2**28,
    max_metadata: int = 2**25,
    max_frames: int = 2**16,
    max_given: int = 4,
) -> dict[str, Any]:
    """All that the container says, byte strings in hexadecimal. Raises Refused: the first violation from the front.

    "frames" is there where there are further ones, "given" where the model was given something.
    """
    limits = {"pixels": max_pixels, "metadata": max_metadata}
    return read_stream(data, partial, limits, {"frames": max_frames, "given": max_given})


def read_stream(data: bytes, partial: bool, limits: dict[str, int], level: dict[str, int]) -> dict[str, Any]:
    """limits: what is left of them for this stream and all behind it; level: frames, and depth, that it may have."""
    signature = bytes([0x8B, 0x44, 0x46, 0x43, 0x0D, 0x0A, 0x1A, 0x0A])
    if data[:8] != signature[: len(data)]:
        refuse("NotADiffcodecFile", "the signature is missing")
    if len(data) > 9 and data[8] != 1:
        refuse("UnsupportedVersion", f"major version {data[8]}")
    chunks, wrong = read_chunks(data)
    found: dict[str, Any] = {"version": list(data[8:10]), "palette": None, "adjustment": None, "ancillary": {}}
    found |= {"passes": [], "ends": [], "digest": None}
    level = {**level, "pixels": limits["pixels"]}
    stage, seen = "", set()  # the last chunk of those that set the order: H C A G P E
    for chunk in chunks:
        letter, payload = chunk["type"], chunk["payload"]
        if not stage and letter == "S":
            found["header"], one_pass, digest, metadata = read_small(payload, limits["pixels"])
            limits["pixels"] -= found["header"]["width"] * found["header"]["height"]
            for kind, value in metadata:
                read_ancillary(kind, value, found, limits)
            found["passes"], found["ends"], found["digest"] = [one_pass.hex()], [chunk["end"]], digest.hex()
            stage = "S"
            continue
        if not stage and letter != "H":
            refuse("CorruptStream", "the header is not the first chunk")
        if letter.isupper() and letter not in "HCAGPMNES":
            refuse("UnsupportedVersion", f"critical chunk {letter}")
        lawful = {"": "H", "H": "CAGPMNE", "C": "GPMNE", "A": "GPMNE", "G": "PMNE"}
        lawful |= {"P": "PMNE", "M": "NE", "N": "NE"}
        if letter.isupper():
            if letter not in lawful[stage] or (letter in "CAG" and seen):
                refuse("CorruptStream", f"chunk {letter} repeated or out of order")
            stage = letter
        elif stage in ("P", "N"):
            refuse("CorruptStream", f"chunk {letter} out of order")
        if letter == "H":
            found["header"] = read_header(payload, limits["pixels"])
            limits["pixels"] -= found["header"]["width"] * found["header"]["height"]
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
        elif letter == "G":
            read_given(payload, found, limits, level)
        elif letter == "P":
            found["passes"].append(payload.hex())
            found["ends"].append(chunk["end"])
        elif letter == "E":
            if len(payload) != 8 and (payload or found["header"]["codec"] != 2):
                refuse("CorruptStream", "the digest has not 8 bytes")
            found["digest"] = payload.hex()
        elif letter == "M":
            if payload:
                refuse("CorruptStream", "chunk M has a payload")
        elif letter == "N":
            read_frame(payload, found, limits, level)
        else:
            seen.add(letter)
            read_ancillary(letter, payload, found, limits)
    if wrong is not None:
        raise wrong
    if not stage or not (partial or found["digest"] is not None):
        refuse("Truncated", "the stream ends before its end chunk")
    return found


def _with_decoder(work: Callable[[Any], Any]) -> Any:
    """What ``work`` makes with the package `dfc_decoder`; its refusals become this module's."""
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    import dfc_decoder

    try:
        return work(dfc_decoder)
    except dfc_decoder.Refused as error:
        raise Refused(error.name, error.why) from None


def decode(data: bytes, *, models: Path | str = WEIGHTS) -> Any:
    """The samples of a whole .dfc stream, a NumPy array. ``models``: folder of weights and cards. Raises Refused."""
    found = parse(data)
    return _with_decoder(lambda decoder: decoder.whole(found, decoder.Models(models)))


def decode_frames(data: bytes, *, models: Path | str = WEIGHTS) -> list[tuple[Any, dict[str, bytes]]]:
    """(samples, metadata by kind) of the picture and of each further frame (SPEC.md §1.2); a clip is one."""
    found = parse(data)

    def work(decoder: Any) -> Any:
        known = decoder.Models(models)
        clip = found["header"]["mode"] in GROUPED
        every = [found, *([] if clip else found.get("frames", []))]
        pictures = [decoder.whole(one, known) for one in every]
        return [(picture, decoder.metadata.kinds(one, picture)) for one, picture in zip(every, pictures, strict=True)]

    return _with_decoder(work)  # type: ignore[no-any-return]


def decode_archive(data: bytes, *, models: Path | str = WEIGHTS) -> list[tuple[str, Any]]:
    """(name, samples) of every picture of a whole .dfca archive. Raises Refused."""

    def work(decoder: Any) -> Any:
        known = decoder.Models(models)

        def parsed(one: bytes) -> dict[str, Any]:
            try:
                found = parse(one)
            except Refused as error:  # its bytes are all there are
                refuse("CorruptStream" if error.name == "Truncated" else error.name, str(error))
            if any("given" in frame for frame in [found, *found.get("frames", [])]):
                refuse("UnsupportedVersion", "a stream in an archive that was given something")
            if not all(frame["digest"] for frame in [found, *found.get("frames", [])]):
                refuse("CorruptStream", "a lossy stream in an archive")
            return found

        def areas_of(one: bytes) -> int:
            found = parsed(one)
            headers = [frame["header"] for frame in [found, *found.get("frames", [])]]
            return sum(int(header["width"] * header["height"]) for header in headers)

        def stream(one: bytes) -> tuple[bytes, Any]:
            found = parsed(one)
            if found["header"]["mode"] in GROUPED:
                clip = decoder.whole(found, known)
                return decoder.digest(found, clip)[:8], clip
            frames = [found, *found.get("frames", [])]
            samples = [decoder.samples(frame, known) for frame in frames]
            digests = [decoder.digest(frame, one)[:8] for frame, one in zip(frames, samples, strict=True)]
            return digests[0] if len(frames) == 1 else decoder.archive.digest8(digests), samples[0]

        return decoder.archive.decode(data, crc32c, areas_of, stream, known)

    return _with_decoder(work)  # type: ignore[no-any-return]


def told(found: dict[str, Any]) -> list[Any]:
    """Kinds of what a stream was given, each nested one with those of its own."""
    return [[part["kind"], *(told(part[name]) for name in ("mask", "stream") if "given" in part.get(name, ()))]
            for part in found["given"]]  # fmt: skip


def show(data: bytes) -> None:
    """Print the chunk table and the header."""
    print(f"{'offset':>10} {'type':4} {'':9} {'payload':>10}")
    for chunk in read_chunks(data)[0]:
        kind = "critical" if chunk["type"].isupper() else "ancillary"
        print(f"{chunk['offset']:10} {chunk['type']:4} {kind:9} {len(chunk['payload']):10}")
    found = parse(data, partial=True)
    summary = {"version": found["version"], **found["header"], "complete": found["digest"] is not None}
    summary |= {"given": told(found)} if "given" in found else {}
    print(json.dumps(summary, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a .dfc stream; with OUT decode it, or a .dfca archive.")
    parser.add_argument("file")
    parser.add_argument("out", nargs="?", help=".npy for a picture, .npz for an archive or several frames")
    parser.add_argument("--models", default=WEIGHTS, help="folder of weights and cards")
    given = parser.parse_args()
    data = Path(given.file).read_bytes()
    try:
        if data[:4] == b"\x8bDFA":
            pictures = decode_archive(data, models=given.models)
            for number, (name, picture) in enumerate(pictures):
                print(f"{number:6} {'x'.join(map(str, picture.shape)):>14} {picture.dtype} {name}")
            arrays = {f"{number}": picture for number, (_, picture) in enumerate(pictures)}
        else:
            show(data)
            frames = [samples for samples, _ in decode_frames(data, models=given.models)] if given.out else []
            arrays = {"" if len(frames) == 1 else str(number): one for number, one in enumerate(frames)}
    except Refused as error:
        sys.exit(f"refused: {error}")
    if given.out:
        import numpy as np

        plain = {name: np.ma.getdata(array) for name, array in arrays.items()}  # of tracks 0 where a value is missing
        if "" in plain:
            np.save(given.out, plain[""])
        else:
            np.savez(given.out, **plain)


if __name__ == "__main__":
    main()
