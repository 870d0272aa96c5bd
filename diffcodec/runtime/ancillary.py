"""Payloads of the ancillary chunks of format 1.4: how they are compressed (a byte), their size, the data.

`profiles.bin`, part of the format, holds three ICC profiles of sRGB (Hewlett-Packard's and the ICC's, unchanged, and
the one that LittleCMS makes, without its date). One of the first two takes a byte; a variant takes what differs.
"""

from __future__ import annotations

import functools
import lzma
import zlib

from .errors import CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

LETTERS = "pegdkwncbfl"  #: kinds of metadata of format 1.4, in the order in which they are written
#: a kind's letter of format 1.0, whose payload is stored as it is
PLAIN = {"p": "i", "e": "x"}
STORED, DEFLATE, PROFILE_DEFLATE, LZMA, PROFILE = range(5)
_HP_BYTES, _ICC_BYTES = 3144, 3048
_INTENT = 67  # offset of the byte of a profile that names the rendering intent
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 2**22}]


@functools.cache
def _dictionary() -> bytes:
    from importlib import resources  # which takes longer to come than all of this module

    return resources.files(__package__).joinpath("profiles.bin").read_bytes()


@functools.cache
def _standard() -> tuple[bytes, ...]:
    """The profiles that a byte stands for."""
    first, rest = _dictionary()[:_HP_BYTES], _dictionary()[_HP_BYTES:]
    other_intent = first[:_INTENT] + bytes([first[_INTENT] ^ 1]) + first[_INTENT + 1 :]
    return first, other_intent, rest[:_ICC_BYTES]


def pack(data: bytes, *, profile: bool = False) -> bytes:
    """The shortest payload of these bytes. ``profile``: they are an ICC profile."""
    size = write_varint(len(data))
    if profile and data in _standard():
        return bytes([PROFILE]) + size + bytes([_standard().index(data)])
    ways = [(STORED, data), (DEFLATE, size + _deflate(data))]
    if profile:
        ways.append((PROFILE_DEFLATE, size + _deflate(data, _dictionary())))
    if len(data) >= 512:  # LZMA has gained on nothing shorter
        ways.append((LZMA, size + lzma.compress(data, lzma.FORMAT_RAW, filters=_FILTERS)))
    method, shortest = min(ways, key=lambda way: len(way[1]))
    return bytes([method]) + shortest


def declared(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    """Bytes of the data in a payload, as it says. Raises CorruptStream, LimitExceeded, UnsupportedVersion."""
    return _head(payload, limits)[1]


def unpack(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Mirror of :func:`pack`; inflates no further than the size that was declared and is within the limit.

    Raises CorruptStream, LimitExceeded or UnsupportedVersion.
    """
    method, size, start = _head(payload, limits)
    body = payload[start:]
    if method == PROFILE:
        data = _standard()[body[0]] if len(body) == 1 and body[0] < len(_standard()) else b""
        rest = b""
    elif method == STORED:
        data, rest = body, b""
    else:
        try:
            data, rest = _inflated(method, body, size)
        except (zlib.error, lzma.LZMAError, EOFError) as error:
            raise CorruptStream(f"metadata cannot be decompressed ({error}); the file is damaged") from None
    if len(data) != size or rest:
        raise CorruptStream(f"metadata of {size} bytes decompress to other {len(data)}; the file is damaged")
    return data


def _head(payload: bytes, limits: Limits) -> tuple[int, int, int]:
    """(method, size, offset of the data)."""
    if payload[:1] == bytes([STORED]):  # whose size is that of the payload
        size, start = len(payload) - 1, 1
    else:
        try:
            size, start = read_varint(payload, 1, 32)
        except Truncated:
            raise CorruptStream("metadata end inside their size; the file is damaged") from None
    if payload[0] > PROFILE:
        raise UnsupportedVersion(f"compression {payload[0]} of metadata is unknown here; install a newer diffcodec")
    if size > limits.max_metadata:
        raise LimitExceeded(f"metadata of {size} bytes are over the limit of {limits.max_metadata} bytes")
    return payload[0], size, start


def _inflated(method: int, body: bytes, size: int) -> tuple[bytes, bytes]:
    """At most ``size`` + 1 bytes, and the bytes behind the end of the compressed data."""
    if method == LZMA:
        stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        data = stream.decompress(body, size + 1)
        return data, stream.unused_data if stream.eof else b"?"
    known = _dictionary() if method == PROFILE_DEFLATE else b""
    inflater = zlib.decompressobj(-15, zdict=known) if known else zlib.decompressobj(-15)
    data = inflater.decompress(body, size + 1)
    return data, inflater.unused_data if inflater.eof else b"?"


def _deflate(data: bytes, known: bytes = b"") -> bytes:
    args = (9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY)
    deflater = zlib.compressobj(*args, known) if known else zlib.compressobj(*args)
    return deflater.compress(data) + deflater.flush()
