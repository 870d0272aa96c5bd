"""A cursor over bytes that never passes their end."""

from __future__ import annotations

from .refused import refuse


class Fields:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self.data):
            refuse("CorruptStream", "the data end inside a field")
        return self.data[self.at - count : self.at]

    def varint(self, bits: int = 32) -> int:
        value = 0
        for k in range(-(-bits // 7)):
            byte = self.bytes(1)[0]
            value |= (byte & 127) << 7 * k
            if byte < 128:
                if (k and not byte) or value >> bits:
                    break
                return value
        refuse("CorruptStream", "a varint")

    def rest(self) -> bytes:
        return self.bytes(max(0, len(self.data) - self.at))
