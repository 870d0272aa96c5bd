"""The 'S' chunk (format 1.1): a whole lossless picture of one pass, alone in its stream.

Of a thumbnail the frames of four chunks, the model's name and a long digest are several per cent; none of them says
anything that a reader could not find out otherwise. There is no prefix to decode, and one checksum covers everything.
"""

from __future__ import annotations

from ..errors import CorruptStream
from .header import NUMERICS, Header, _Fields, _known, _limited, sized
from .limits import DEFAULT_LIMITS, Limits
from .varint import write_varint

MODEL_BYTES = 4  #: of the fingerprint, which also stands for the model's name
DIGEST_BYTES = 4
WORTH = 4096  #: bytes of a pass up to which writers use this form: 37 bytes are 1 % of it
_MODEL, _SEED = 4, 8  # bits of the first byte, above two of the numerics class
_RESERVED = 16


def pack(header: Header, one_pass: bytes, digest: bytes) -> bytes:
    """Payload of the 'S' chunk. The header's codec is ARDM; its model's name is left out."""
    if header.codec or header.colour_transform or len(header.params) > DEFAULT_LIMITS.max_params:
        raise ValueError("a small stream holds an ARDM's picture without a colour transform")
    model = any(header.fingerprint)
    return b"".join(
        [
            bytes([header.numerics | model * _MODEL | bool(header.seed) * _SEED, header.mode]),
            write_varint(header.width),
            write_varint(header.height),
            header.fingerprint[:MODEL_BYTES] if model else b"",
            write_varint(header.seed) if header.seed else b"",
            write_varint(len(header.params)),
            header.params,
            one_pass,
            digest[:DIGEST_BYTES],
        ]
    )


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, bytes, bytes]:
    """Mirror of :func:`pack`, checked field by field; of the fingerprint and the digest there are 4 bytes.

    Raises CorruptStream, UnsupportedVersion or LimitExceeded.
    """
    fields = _Fields(data)
    first = _known("set of reserved flags", fields.byte(), _RESERVED)
    numerics = _known("numerics class", first & 3, len(NUMERICS))
    mode = fields.byte()
    width, height = sized(fields, limits)
    fingerprint = fields.bytes(MODEL_BYTES) if first & _MODEL else bytes(MODEL_BYTES)
    seed = fields.varint(64) if first & _SEED else 0
    if (first & _SEED and not seed) or (first & _MODEL and not any(fingerprint)):
        raise CorruptStream("the header has a field of zeros that it could have left out; the file is damaged")
    params = fields.bytes(_limited("parameters", fields.varint(32), limits.max_params))
    one_pass = fields.bytes(max(0, len(data) - fields.at - DIGEST_BYTES))
    digest = fields.bytes(DIGEST_BYTES)
    return Header(0, numerics, width, height, mode, 0, seed, "", fingerprint, params), one_pass, digest
