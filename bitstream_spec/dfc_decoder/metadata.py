"""SPEC.md §2.2: the data of each kind of metadata."""

from __future__ import annotations

import hashlib
import lzma
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from . import palette
from .fields import Fields
from .refused import refuse

PROFILES = Path(__file__).parents[1] / "profiles.bin"
KINDS = "pegdkwncbfl"
IN_PNG = b"gAMA cHRM sRGB cICP mDCV cLLI".split()


def profiles() -> bytes:
    data = PROFILES.read_bytes()
    assert hashlib.sha256(data).hexdigest() == "63d492d2fe50c7fa41d6ca6fe24610103dcf039ca28b35a000273e844a853d82"
    return data


def unpack(payload: bytes) -> bytes:
    """The data of a chunk, whose method and size the container's reader has checked."""
    fields = Fields(payload)
    method = fields.bytes(1)[0]
    size = fields.varint() if method else len(payload) - 1
    body = payload[fields.at :]
    try:
        data, rest = body, b""
        if method in (1, 2):
            engine = zlib.decompressobj(-15, zdict=profiles()) if method == 2 else zlib.decompressobj(-15)
            data = engine.decompress(body, size + 1)
            rest = engine.unused_data if engine.eof else b"?"
        elif method == 3:
            lzma2 = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**22}])
            data = lzma2.decompress(body, size + 1)
            rest = lzma2.unused_data if lzma2.eof else b"?"
        elif method == 4:
            first, last = profiles()[:3144], profiles()[3144 : 3144 + 3048]
            known = [first, first[:67] + b"\1" + first[68:], last]
            data = known[body[0]] if len(body) == 1 and body[0] < 3 else b""
    except (zlib.error, lzma.LZMAError, EOFError):
        refuse("CorruptStream", "metadata cannot be decompressed")
    if len(data) != size or rest:
        refuse("CorruptStream", "metadata have another size")
    return data


def kinds(found: dict[str, Any], samples: np.ndarray) -> dict[str, bytes]:
    """The data by kind, `i` and `x` under the letters of 1.4, their fields walked through; the palette in form 0."""
    out = {}
    for letter, value in found["ancillary"].items():
        payload = bytes.fromhex(value)
        if letter in "ix":
            out["p" if letter == "i" else "e"] = payload
        elif letter in KINDS:
            out[letter] = data = unpack(payload)
            if letter == "l" and data[:1] > b"\0":
                if not found["digest"]:
                    refuse("CorruptStream", "a palette told by the colours of a lossy picture")
                out[letter] = palette.plain(data, samples)
            check(letter, out[letter], found["header"]["width"] * found["header"]["height"])
    return out


def check(letter: str, data: bytes, pixels: int) -> None:
    fields = Fields(data)

    def counted() -> bytes:
        return fields.bytes(fields.varint())

    def fraction() -> None:
        fields.varint()
        if not fields.varint():
            refuse("CorruptStream", "a fraction over 0")

    def text() -> None:
        try:
            counted().decode("utf-8")
        except UnicodeDecodeError:
            refuse("CorruptStream", "a text is not UTF-8")

    if letter in "pekn":
        return
    if letter == "d":
        if fields.bytes(1)[0] > 3:
            refuse("CorruptStream", "the unit of a density")
        fraction()
        fraction()
    elif letter == "f":
        which = fields.bytes(1)[0]
        if which > 3:
            refuse("CorruptStream", "the parts of a frame")
        if which & 1:
            fraction()
        if which & 2:
            fields.varint()
    elif letter == "l":
        fields.bytes(1)
        colours, alphas = counted(), counted()
        entries = len(colours) // 3
        if len(colours) % 3 or not 1 <= entries <= 256 or len(alphas) > entries or len(data) - fields.at > pixels:
            refuse("CorruptStream", "the palette of the file")
        fields.bytes(len(data) - fields.at)
    while fields.at < len(data):
        if letter in "gb":
            name = fields.bytes(4)
            if not name.isalpha() or not name[:1].islower() or (letter == "g" and name not in IN_PNG):
                refuse("CorruptStream", "the name of a chunk of PNG")
            counted()
        elif letter == "w":
            for _ in range({0: 2, 1: 4}.get(fields.bytes(1)[0]) or refuse("CorruptStream", "the kind of a text")):
                text()
        elif letter == "c":
            counted()
        else:
            refuse("CorruptStream", "bytes follow the fields of metadata")
