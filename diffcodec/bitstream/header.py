"""The header chunk: all that decoding needs besides the passes and the model's weights."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

CODECS = ("ardm", "vdm", "diffc")
NUMERICS = ("exact", "pinned", "tolerant")
FINGERPRINT_BYTES = 8
_RESERVED_FLAGS = 0xF0  # refused when set; the low four bits are unused and ignored
# One line that reads as it is written and names no place in a file system. Ranges, not str.isprintable(), whose
# answer changes with Python's Unicode tables: controls, line separators, direction overrides, both slashes.
_NAME = re.compile(r"(?!\.)[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069/\\]*")


@dataclass(frozen=True)
class Header:
    """Fields of the 'H' chunk, or of a small stream's 'S' chunk, which has no model and 4 bytes of the fingerprint.

    codec, numerics:  indices into CODECS, NUMERICS
    width, height:    pixels, 1 to 2^32 - 1
    mode:             0 to 255; the picture layer's number
    colour_transform: 0, or 1: the network's distributions are refined by statistics of values (since format 1.3)
    seed:             0 to 2^64 - 1
    model:            at most 64 bytes of UTF-8, empty if decoding needs no model
    fingerprint:      first 8 bytes of the SHA-256 of weights and configuration
    params:           the picture layer's and the codec's own bytes, at most 65536
    """

    codec: int
    numerics: int
    width: int
    height: int
    mode: int
    colour_transform: int
    seed: int
    model: str
    fingerprint: bytes
    params: bytes

    def to_bytes(self) -> bytes:
        """Payload of the header chunk. Raises ValueError for a field that does not fit its bytes."""
        name = self.model.encode()
        if len(name) > DEFAULT_LIMITS.max_name:
            raise ValueError(f"a model name has at most {DEFAULT_LIMITS.max_name} bytes, got {len(name)}")
        if len(self.fingerprint) != FINGERPRINT_BYTES or len(self.params) > DEFAULT_LIMITS.max_params:
            raise ValueError(f"fingerprint of {len(self.fingerprint)} bytes or parameters of {len(self.params)}")
        return b"".join(
            [
                bytes([self.codec, self.numerics, 0]),
                write_varint(self.width),
                write_varint(self.height),
                bytes([self.mode, self.colour_transform]),
                write_varint(self.seed),
                bytes([len(name)]),
                name,
                self.fingerprint,
                write_varint(len(self.params)),
                self.params,
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Header:
        """Mirror of :meth:`to_bytes`, checked field by field.

        Raises CorruptStream, UnsupportedVersion or LimitExceeded.
        """
        fields = _Fields(data)
        codec = _known("codec", fields.byte(), len(CODECS))
        numerics = _known("numerics class", fields.byte(), len(NUMERICS))
        _known("set of reserved flags", fields.byte() & _RESERVED_FLAGS, 1)
        width, height = sized(fields, limits)
        mode, colour_transform = fields.byte(), _known("colour transform", fields.byte(), 2)
        seed = fields.varint(64)
        name = fields.bytes(_limited("model name", fields.byte(), limits.max_name))
        try:
            model = name.decode("utf-8")
        except UnicodeDecodeError:
            raise CorruptStream("the model name in the header is not UTF-8; the file is damaged") from None
        if not _NAME.fullmatch(model):
            raise CorruptStream("the model name in the header is not a plain name; the file is damaged or forged")
        fingerprint = fields.bytes(FINGERPRINT_BYTES)
        params = fields.bytes(_limited("parameters", fields.varint(32), limits.max_params))
        if fields.at != len(data):
            raise CorruptStream(f"the header has {len(data)} bytes, its fields {fields.at}; the file is damaged")
        return cls(codec, numerics, width, height, mode, colour_transform, seed, model, fingerprint, params)


class _Fields:
    """A cursor over the header's bytes that never passes their end."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise CorruptStream("the header ends inside a field; the file is damaged")
        return self.data[start : self.at]

    def byte(self) -> int:
        return self.bytes(1)[0]

    def varint(self, bits: int) -> int:
        try:
            value, self.at = read_varint(self.data, self.at, bits)
        except Truncated:
            raise CorruptStream("the header ends inside a field; the file is damaged") from None
        return value


def sized(fields: _Fields, limits: Limits) -> tuple[int, int]:
    """Width and height, checked."""
    width, height = fields.varint(32), fields.varint(32)
    if not width or not height:
        raise CorruptStream(f"the picture is {width}x{height} pixels where sizes start at 1; the file is damaged")
    if width * height > limits.max_pixels:
        raise LimitExceeded(
            f"the picture is {width}x{height} = {width * height} pixels, over the limit of {limits.max_pixels}; "
            "raise max_pixels if you trust the file"
        )
    return width, height


def _known(what: str, value: int, count: int) -> int:
    if value >= count:
        raise UnsupportedVersion(f"{what} {value} in the header is unknown to this version; install a newer diffcodec")
    return value


def _limited(what: str, size: int, limit: int) -> int:
    if size > limit:
        raise LimitExceeded(f"{what} of {size} bytes in the header is over the limit of {limit}; the file is damaged")
    return size
