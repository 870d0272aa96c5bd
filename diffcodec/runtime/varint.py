"""Canonical LEB128: seven bits a byte, low bits first, no unneeded last byte."""

from __future__ import annotations

from .errors import CorruptStream, Truncated


def write_varint(value: int) -> bytes:
    """``value`` as LEB128. Raises ValueError for a negative one."""
    if value < 0:
        raise ValueError(f"a varint is not negative, got {value}")
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | bytearray, at: int, bits: int) -> tuple[int, int]:
    """Value below 2^bits at offset ``at``, in at most ceil(bits / 7) bytes, and the offset behind it.

    Raises Truncated if the bytes end inside it, CorruptStream if it is too long, too large or not canonical.
    """
    value = 0
    for shift in range(0, bits, 7):
        if at >= len(data):
            raise Truncated("the stream ends inside a number; fetch the whole file")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                raise CorruptStream("a number is not in its shortest form; the file is damaged")
            if value >> bits:
                break
            return value, at
    raise CorruptStream(f"a number does not fit in {bits} bits; the file is damaged")
