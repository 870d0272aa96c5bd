"""A stream that goes on: whole streams behind its own passes, written as they come."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from ..runtime.varint import read_varint, write_varint
from .container import SEAL_BYTES, START_BYTES, seal_of


def extended(stream: bytes, behind: Iterable[bytes]) -> Iterator[bytes]:
    """A whole stream, which may have more behind it, with further streams in front of its end: piece by piece.

    Its version must have room for them.
    """
    at, end = 0, START_BYTES
    while end < len(stream):
        at = end
        length, start = read_varint(stream, at + 1, 35)
        end = start + length + SEAL_BYTES
    yield stream[:at]
    seal = stream[at - SEAL_BYTES : at]
    for kind, payload in itertools.chain((("N", one) for one in behind), [("E", stream[start:-SEAL_BYTES])]):
        front = kind.encode("ascii") + write_varint(len(payload))
        seal = seal_of(seal, front, payload)
        yield front + payload + seal
