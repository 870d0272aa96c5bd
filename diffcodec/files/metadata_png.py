"""Metadata in PNG: read from all chunks of a file, in front of and behind the pixels, and put into a written one."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from ..media.metadata import COLOUR_CHUNKS, Density, Metadata, Text
from ..runtime.limits import DEFAULT_LIMITS
from .metadata_iptc import records, resources
from .raw import behind

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
#: chunks that say how the samples are stored, or that have a place of their own in the metadata
_TAKEN = {"tRNS", "acTL", "fcTL", "fdAT", "iCCP", "eXIf", "pHYs", "tEXt", "zTXt", "iTXt"}
#: lengths of chunks that a reader may refuse at another length
_LENGTHS = {"gAMA": 4, "cHRM": 32, "sRGB": 1, "cICP": 4, "mDCV": 24, "cLLI": 8, "tIME": 7, "oFFs": 9}
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # entries of sBIT by colour type
_BACKGROUND = {0: 2, 2: 6, 3: 1, 4: 2, 6: 6}  # bytes of bKGD by colour type
_BEFORE_PALETTE = (*COLOUR_CHUNKS, "sBIT")
_LONG = 1024  # characters from which a text is compressed
_INCH = Fraction(254, 10000)  # metres


def chunks(data: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    """(name, payload, start, end) of the whole chunks from the front, up to IEND."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            return
        name = data[at + 4 : at + 8].decode("latin-1")
        yield name, data[at + 8 : end - 4], at, end
        if name == "IEND":
            return
        at = end


def read(data: bytes) -> tuple[Metadata, tuple[str, ...]]:
    """What a PNG file says beside its samples, and the names of what cannot be kept of it."""
    metadata, lost = read_chunks((name, payload) for name, payload, _, _ in chunks(data))
    end = next((end for name, _, _, end in chunks(data) if name == "IEND"), len(data))
    return metadata, (*lost, *behind(data, end))


def damaged_chunk(data: bytes) -> str | None:
    """The name of the first chunk that its checksum does not fit."""
    for name, _, start, end in chunks(data):
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return name if name.isascii() and name.isalpha() else "without a name"
    return None


def essential(data: bytes) -> bytes:
    """The file without the chunks that change no sample, which another reader may refuse or spend memory on."""
    kept = [data[a:b] for name, _, a, b in chunks(data) if name[0].isupper() or name in _OF_SAMPLES]
    whole = max((b for _, _, _, b in chunks(data)), default=len(SIGNATURE))
    return SIGNATURE + b"".join(kept) + data[whole:]


_OF_SAMPLES = ("tRNS", "acTL", "fcTL", "fdAT")


def read_chunks(pairs: Iterable[tuple[str, bytes]]) -> tuple[Metadata, tuple[str, ...]]:
    """As `read`, of (name, payload) of chunks."""
    found: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {"text": [], "colour": [], "other": []}
    lost: list[str] = []
    for name, payload in pairs:
        if name in ("tEXt", "zTXt", "iTXt"):
            lists["text"] += _texts(name, payload, found, lost)
        elif name == "iCCP":
            profile = _inflate(payload[payload.find(b"\0") + 2 :])
            found["icc"] = profile
            lost += [] if profile else ["a damaged ICC profile"]
        elif name == "eXIf":
            found["exif"] = payload.removeprefix(b"Exif\0\0")
        elif name == "pHYs" and len(payload) == 9:
            x, y, unit = struct.unpack(">IIB", payload)
            found["density"] = Density(Fraction(x), Fraction(y), "metre" if unit == 1 else "none")
        elif name in COLOUR_CHUNKS:
            lists["colour"].append((name, payload))
        elif name[0].islower() and name not in _TAKEN and re.fullmatch(r"[A-Za-z]{4}", name):
            lists["other"].append((name, payload))
    found |= {name: tuple(items) for name, items in lists.items()}
    return Metadata(**{name: value for name, value in found.items() if value}), tuple(lost)


def _inflate(data: bytes) -> bytes | None:
    """What zlib data hold, None if they are damaged or hold more than metadata may."""
    try:
        inflater = zlib.decompressobj()
        out = inflater.decompress(data, DEFAULT_LIMITS.max_metadata)
    except zlib.error:
        return None
    return out if inflater.eof else None


def _texts(name: str, payload: bytes, found: dict[str, Any], lost: list[str]) -> list[Text]:
    """The text of a chunk, or none where it is damaged or belongs to another kind."""
    text = _text(name, payload)
    if text is None:
        lost.append(f"a damaged {name}")
    return [] if text is None or _special(text, found, lost) else [text]


def _text(name: str, payload: bytes) -> Text | None:
    keyword, nul, rest = payload.partition(b"\0")
    if not nul:
        return None
    if name != "iTXt":
        value = rest if name == "tEXt" else _inflate(rest[1:])
        return None if value is None else Text(keyword.decode("latin-1"), value.decode("latin-1"))
    fields = rest[2:].split(b"\0", 2)
    if len(rest) < 2 or len(fields) != 3:
        return None
    value = _inflate(fields[2]) if rest[0] else fields[2]
    try:
        string, language, translated = (field.decode("utf-8") for field in (value or b"", fields[0], fields[1]))
    except UnicodeDecodeError:
        return None
    return None if value is None else Text(keyword.decode("latin-1"), string, language, translated, True)


def _special(text: Text, found: dict[str, Any], lost: list[str]) -> bool:
    """Take XMP, and what ImageMagick's "Raw profile" texts hold, to where it belongs."""
    if text.keyword == _XMP:
        found["xmp"] = text.text.encode()
        return True
    if not text.keyword.startswith(_RAW):
        return False
    kind = text.keyword.removeprefix(_RAW).lower()
    try:
        data = binascii.unhexlify("".join(text.text.split("\n", 3)[3].split()))
    except (ValueError, IndexError):
        lost.append(f"a damaged {text.keyword}")
        return True
    if kind in ("exif", "app1") and data.startswith(b"Exif\0\0"):
        found.setdefault("exif", data.removeprefix(b"Exif\0\0"))
    elif kind == "exif":
        found.setdefault("exif", data)
    elif kind in ("xmp", "app1"):
        found.setdefault("xmp", data.rpartition(b"http://ns.adobe.com/xap/1.0/\0")[2])
    elif kind == "iptc":
        found.setdefault("iptc", records(data)[0] or data)
    elif kind in ("icc", "icm"):
        found.setdefault("icc", data)
    else:
        return False
    return True


def embed(data: bytes, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """A PNG file with these metadata in place of its own, and the names of what has no place in it."""
    lost: list[str] = []
    before: list[bytes] = []
    after: list[bytes] = []
    if metadata.icc:
        before.append(chunk("iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc, 9)))
    colour_type, depth = data[25], data[24]
    entries = next((len(payload) // 3 for name, payload, _, _ in chunks(data) if name == "PLTE"), 0)
    once = set()
    for name, payload in metadata.colour + metadata.other:
        kept = _adapted(name, payload, colour_type, depth, entries)
        if kept is None or name in _TAKEN or (name in _LENGTHS and name in once):
            lost.append(name)
        else:
            (before if name in _BEFORE_PALETTE else after).append(chunk(name, kept))
        once.add(name)
    if metadata.density:
        physical = _physical(metadata.density)
        after += [chunk("pHYs", physical)] if physical else []
        lost += [] if physical else ["density"]
    if metadata.exif:
        after.append(chunk("eXIf", metadata.exif))
    texts = list(metadata.text)
    texts += [Text("Comment", comment.decode("utf-8", "replace")) for comment in metadata.comments]
    if metadata.xmp:
        try:
            texts.append(Text(_XMP, metadata.xmp.decode("utf-8"), international=True))
        except UnicodeDecodeError:
            lost.append("XMP that is not UTF-8")
    if metadata.iptc:
        block = resources(metadata.iptc)
        lines = "\n".join(block.hex()[i : i + 72] for i in range(0, 2 * len(block), 72))
        texts.append(Text(f"{_RAW}iptc", f"\niptc\n{len(block):8}\n{lines}\n"))
    for text in texts:
        written = _written(text)
        after += [written] if written else []
        lost += [] if written else [f"the text {text.keyword!r}"]
    return _placed(data, b"".join(before), b"".join(after)), tuple(lost)


def _placed(data: bytes, before: bytes, after: bytes) -> bytes:
    """The file's own critical chunks and transparency, with others before the palette and before the pixels."""
    out, pixels = [data[: len(SIGNATURE)]], False
    for name, _, start, end in chunks(data):
        if name == "IDAT" and not pixels:
            out.append(after)
            pixels = True
        if name[0].isupper() or name in _OF_SAMPLES:
            out.append(data[start:end])
        if name == "IHDR":
            out.append(before)
    return b"".join(out)


def _adapted(name: str, payload: bytes, colour_type: int, depth: int, entries: int) -> bytes | None:
    """The chunk's payload for a file of this colour type, None if it means nothing there."""
    if name == "sBIT":
        want = _CHANNELS[colour_type]
        if colour_type in (4, 6) and len(payload) == want - 1:  # transparency became a channel
            payload += bytes([depth])
        sample = 8 if colour_type == 3 else depth
        return payload if len(payload) == want and all(0 < bits <= sample for bits in payload) else None
    if name == "bKGD":
        return payload if len(payload) == _BACKGROUND[colour_type] else None
    if name == "hIST":
        return payload if entries and len(payload) == 2 * entries else None
    return payload if len(payload) == _LENGTHS.get(name, len(payload)) else None


def _physical(density: Density) -> bytes | None:
    factor = {"none": Fraction(1), "metre": Fraction(1), "centimetre": Fraction(100), "inch": 1 / _INCH}[density.unit]
    if density.unit == "none":  # a ratio: of whole numbers
        factor = Fraction(density.x.denominator * density.y.denominator)
    x, y = (round(value * factor) for value in (density.x, density.y))
    if not (0 < x < 2**31 and 0 < y < 2**31):
        return None
    return struct.pack(">IIB", x, y, density.unit != "none")


def _written(text: Text) -> bytes | None:
    """A text's chunk; None if PNG takes no such keyword."""
    try:
        keyword = text.keyword.encode("latin-1")
    except UnicodeEncodeError:
        return None
    if not 1 <= len(keyword) <= 79 or b"\0" in keyword or "\0" in text.text:
        return None
    try:
        plain = None if text.international else text.text.encode("latin-1")
    except UnicodeEncodeError:
        plain = None
    if plain is not None:
        if len(plain) >= _LONG:
            return chunk("zTXt", keyword + b"\0\0" + zlib.compress(plain, 9))
        return chunk("tEXt", keyword + b"\0" + plain)
    language, translated, value = (s.encode() for s in (text.language, text.translated, text.text))
    if b"\0" in language + translated:
        return None
    packed = len(value) >= _LONG and text.keyword != _XMP  # readers look for XMP as it is
    head = keyword + b"\0" + bytes([packed, 0]) + language + b"\0" + translated + b"\0"
    return chunk("iTXt", head + (zlib.compress(value, 9) if packed else value))


def chunk(name: str, payload: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    body = name.encode("latin-1") + payload
    return struct.pack(">I", len(payload)) + body + struct.pack(">I", zlib.crc32(body))


def as_texts(metadata: Metadata) -> Metadata:
    """The same as it reads back from PNG, where a comment is a text."""
    comments = tuple(Text("Comment", comment.decode("utf-8", "replace")) for comment in metadata.comments)
    return replace(metadata, text=metadata.text + comments, comments=())
