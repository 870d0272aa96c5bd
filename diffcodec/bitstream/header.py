"""The header chunk: all that decoding needs besides the passes and the model's weights."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from .limits import DEFAULT_LIMITS, Limits
from .varint import read_varint, write_varint

CODECS = ("ardm", "vdm", "diffc")
NUMERICS = ("exact", "pinned", "tolerant")
FINGERPRINT_BYTES = 8
_RESERVED_FLAGS = 0xF0  # refused when set; the low four bits are unused and ignored


@dataclass(frozen=True)
class Header:
    """Fields of the 'H' chunk. ``fingerprint`` is the first 8 bytes of the SHA-256 of weights and configuration."""

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
        name = self.model.encode()
        if len(name) > DEFAULT_LIMITS.max_name or len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError("model name over 64 bytes or fingerprint not of 8 bytes")
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
        """Parse and check. Raises CorruptStream, UnsupportedVersion or LimitExceeded."""
        try:
            codec, numerics, flags = data[0], data[1], data[2]
            width, at = read_varint(data, 3, 32)
            height, at = read_varint(data, at, 32)
            mode, colour_transform = data[at], data[at + 1]
            seed, at = read_varint(data, at + 2, 64)
            size = data[at]
            name, at = data[at + 1 : at + 1 + size], at + 1 + size
            fingerprint, at = data[at : at + FINGERPRINT_BYTES], at + FINGERPRINT_BYTES
            length, at = read_varint(data, at, 32)
        except (IndexError, Truncated):
            raise CorruptStream("the header ends inside a field; the file is damaged") from None
        if codec >= len(CODECS) or numerics >= len(NUMERICS) or flags & _RESERVED_FLAGS or colour_transform:
            raise UnsupportedVersion(
                f"the header asks for codec {codec}, numerics {numerics}, flags {flags:#x}, colour transform "
                f"{colour_transform}; this version knows codecs 0-2, numerics 0-2, flags below 0x10, transform 0"
            )
        if length > limits.max_params or size > limits.max_name:
            raise LimitExceeded(f"header field of {max(length, size)} bytes is above its limit; the file is damaged")
        if len(data) != at + length:
            raise CorruptStream(f"the header has {len(data)} bytes where its fields need {at + length}")
        try:
            model = name.decode()
        except UnicodeDecodeError:
            model = "/"
        if not (model == "" or model.isprintable()) or "/" in model or "\\" in model:
            raise CorruptStream("the model name in the header is not a plain name; the file is damaged")
        if not width or not height:
            raise CorruptStream(f"the picture is {width}x{height} pixels; sizes start at 1")
        if width * height > limits.max_pixels:
            raise LimitExceeded(
                f"the picture is {width}x{height} = {width * height} pixels, over the limit of {limits.max_pixels}; "
                "raise max_pixels if you trust the file"
            )
        return cls(
            codec, numerics, width, height, mode, colour_transform, seed, model, fingerprint, data[at : at + length]
        )
