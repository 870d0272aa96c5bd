"""The 'S' chunk (format 1.1): a whole lossless picture of one pass, alone in its stream.

Since format 1.4 it may hold ancillary data, which other streams have in chunks.

Of a thumbnail the frames of four chunks, the model's name and a long digest are several per cent; none of them says
anything that a reader could not find out otherwise. There is no prefix to decode, and one checksum covers everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.errors import CorruptStream
from ..runtime.fields import Fields, known, limited
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.varint import write_varint
from .header import NUMERICS, Header, sized

MODEL_BYTES = 4  #: of the fingerprint, which also stands for the model's name
DIGEST_BYTES = 4
WORTH = 4096  #: bytes of a pass with its metadata up to which writers use this form: 37 bytes are 1 % of it
_MODEL, _SEED, _ANCILLARY = 4, 8, 16  # bits of the first byte, above two of the numerics class
_RESERVED = 32

Ancillary = Sequence[tuple[str, bytes]]  # letters and payloads, as of ancillary chunks


def pack(header: Header, one_pass: bytes, digest: bytes, ancillary: Ancillary = ()) -> bytes:
    """Payload of the 'S' chunk; the model's name is left out. Raises ValueError for another codec than ARDM."""
    if header.codec or header.statistics or len(header.params) > DEFAULT_LIMITS.max_params:
        raise ValueError("a small stream holds an ARDM's picture without statistics of values")
    model = any(header.fingerprint)
    return b"".join(
        [
            bytes([header.numerics | model * _MODEL | bool(header.seed) * _SEED | bool(ancillary) * _ANCILLARY]),
            bytes([header.mode]),
            write_varint(header.width),
            write_varint(header.height),
            header.fingerprint[:MODEL_BYTES] if model else b"",
            write_varint(header.seed) if header.seed else b"",
            write_varint(len(header.params)),
            header.params,
            write_varint(len(ancillary)) if ancillary else b"",
            *(letter.encode("ascii") + write_varint(len(payload)) + payload for letter, payload in ancillary),
            one_pass,
            digest[:DIGEST_BYTES],
        ]
    )


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[Header, bytes, bytes, Ancillary]:
    """Mirror of :func:`pack`, checked field by field; of the fingerprint and the digest there are 4 bytes.

    What the ancillary data hold is not looked at. Raises CorruptStream, UnsupportedVersion or LimitExceeded.
    """
    fields = Fields(data)
    first = known("set of reserved flags", fields.byte(), _RESERVED)
    numerics = known("numerics class", first & 3, len(NUMERICS))
    mode = fields.byte()
    width, height = sized(fields, limits)
    fingerprint = fields.take(MODEL_BYTES) if first & _MODEL else bytes(MODEL_BYTES)
    seed = fields.varint(64) if first & _SEED else 0
    if (first & _SEED and not seed) or (first & _MODEL and not any(fingerprint)):
        raise CorruptStream("the header has a field of zeros that it could have left out; the file is damaged")
    params = fields.take(limited("parameters", fields.varint(32), limits.max_params))
    ancillary = _ancillary(fields) if first & _ANCILLARY else []
    one_pass = fields.take(max(0, len(data) - fields.at - DIGEST_BYTES))
    digest = fields.take(DIGEST_BYTES)
    return Header(0, numerics, width, height, mode, 0, seed, "", fingerprint, params), one_pass, digest, ancillary


def _ancillary(fields: Fields) -> Ancillary:
    count = fields.varint(32)
    if not count:
        raise CorruptStream("the header has a field of zeros that it could have left out; the file is damaged")
    found = []
    for _ in range(count):  # each takes bytes of the payload, whose end ends this too
        letter = chr(fields.byte())
        if not (letter.isascii() and letter.islower()):
            raise CorruptStream(f"ancillary data are of kind {ord(letter):#04x}, no small letter; the file is damaged")
        found.append((letter, fields.take(fields.varint(32))))
    return found
