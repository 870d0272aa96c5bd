"""Numbers as the specification writes them, apart from the package: what is made to test it does not rest on it."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """LEB128 of a number from 0 on: seven bits a byte, low bits first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, offset behind it), of any length. Raises IndexError where the bytes end."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
