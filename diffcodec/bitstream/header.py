"""The header chunk: all that decoding needs besides the passes and the model's weights."""

from __future__ import annotations

from dataclasses import dataclass

from ..runtime.errors import CorruptStream, LimitExceeded, UnsupportedVersion
from ..runtime.fields import Fields, known, limited, name_in, name_out
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import write_varint


@dataclass(frozen=True)
class Traits:
    """What the streams of a codec may have. adjusts: an 'A' chunk; lossy: an end without a digest."""

    adjusts: bool = False
    lossy: bool = False


#: codecs of streams by their number in the header; their names are `codecs.table`'s
CODECS = {0: Traits(adjusts=True), 2: Traits(lossy=True)}
ARCHIVES = 1  #: the number of the codec of archives, which have headers of their own
NUMERICS = ("exact", "pinned", "tolerant")
FINGERPRINT_BYTES = 8
_RESERVED_FLAGS = 0xF0  # refused when set; the low four bits are unused and ignored


@dataclass(frozen=True)
class Header:
    """Fields of the 'H' chunk, or of a small stream's 'S' chunk, which has no model and 4 bytes of the fingerprint.

    codec:            a key of CODECS
    numerics:         index into NUMERICS
    width, height:    pixels, 1 to 2^32 - 1
    mode:             0 to 255; the picture layer's number
    statistics:       0, or 1: the network's distributions are refined by statistics of values (since format 1.3)
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
    statistics: int
    seed: int
    model: str
    fingerprint: bytes
    params: bytes

    def to_bytes(self) -> bytes:
        """Payload of the header chunk. Raises ValueError for a field that does not fit its bytes."""
        if len(self.fingerprint) != FINGERPRINT_BYTES or len(self.params) > DEFAULT_LIMITS.max_params:
            raise ValueError(f"fingerprint of {len(self.fingerprint)} bytes or parameters of {len(self.params)}")
        return b"".join(
            [
                bytes([self.codec, self.numerics, 0]),
                write_varint(self.width),
                write_varint(self.height),
                bytes([self.mode, self.statistics]),
                write_varint(self.seed),
                name_out(self.model, "model name"),
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
        fields = Fields(data)
        codec = fields.byte()
        if codec == ARCHIVES:
            raise UnsupportedVersion("the codec of archives (.dfca) in a stream; is this of a newer diffcodec?")
        if codec not in CODECS:
            raise UnsupportedVersion(f"codec {codec} in the header is unknown here; install a newer diffcodec")
        numerics = known("numerics class", fields.byte(), len(NUMERICS))
        known("set of reserved flags", fields.byte() & _RESERVED_FLAGS, 1)
        width, height = sized(fields, limits)
        mode, statistics = fields.byte(), known("use of statistics", fields.byte(), 2)
        seed = fields.varint(64)
        model = name_in(fields, limits, "model name")
        fingerprint = fields.take(FINGERPRINT_BYTES)
        params = fields.take(limited("parameters", fields.varint(32), limits.max_params))
        if fields.at != len(data):
            raise CorruptStream(f"the header has {len(data)} bytes, its fields {fields.at}; the file is damaged")
        return cls(codec, numerics, width, height, mode, statistics, seed, model, fingerprint, params)


def sized(fields: Fields, limits: Limits) -> tuple[int, int]:
    """(width, height) in pixels. Raises CorruptStream for none, LimitExceeded for more than ``max_pixels``."""
    width, height = fields.varint(32), fields.varint(32)
    if not width or not height:
        raise CorruptStream(f"the picture is {width}x{height} pixels where sizes start at 1; the file is damaged")
    if width * height > limits.max_pixels:
        raise LimitExceeded(
            f"the picture is {width}x{height} = {width * height} pixels, over the limit of {limits.max_pixels}; "
            "raise max_pixels if you trust the file"
        )
    return width, height
