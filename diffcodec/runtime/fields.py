"""Fields of bytes that anyone may have made, read one after another, never past the end."""

from __future__ import annotations

from .errors import CorruptStream, LimitExceeded, Truncated, UnsupportedVersion
from .limits import DEFAULT_LIMITS, Limits
from .recorded import PLAIN, Recorded
from .varint import read_varint, write_varint


class Fields:
    """A cursor over ``data``; ``ends`` says in errors what it is that ends too soon."""

    def __init__(self, data: bytes, ends: str = "the header ends"):
        self.data, self.at = data, 0
        self._ends = ends

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.at >= len(self.data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes. Raises CorruptStream."""
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise CorruptStream(f"{self._ends} inside a field; the file is damaged")
        return self.data[start : self.at]

    def byte(self) -> int:
        """The next byte, 0..255."""
        return self.take(1)[0]

    def varint(self, bits: int = 32) -> int:
        """A number below 2^``bits``. Raises CorruptStream."""
        try:
            value, self.at = read_varint(self.data, self.at, bits)
        except Truncated:
            raise CorruptStream(f"{self._ends} inside a field; the file is damaged") from None
        return value

    def counted(self) -> bytes:
        """Bytes behind a varint that says how many they are."""
        return self.take(self.varint())

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(max(0, len(self.data) - self.at))


def known(what: str, value: int, count: int) -> int:
    """``value`` if it is below ``count``, the number of those that this version knows. Raises UnsupportedVersion."""
    if value >= count:
        raise UnsupportedVersion(f"{what} {value} in the header is unknown to this version; install a newer diffcodec")
    return value


def limited(what: str, size: int, limit: int) -> int:
    """``size`` in bytes if it is at most ``limit``. Raises LimitExceeded."""
    if size > limit:
        raise LimitExceeded(f"{what} of {size} bytes is over the limit of {limit}; the file is damaged")
    return size


def name_out(name: str, what: str) -> bytes:
    """A name behind its length, a byte. Raises ValueError for one that is too long."""
    data = name.encode()
    if len(data) > DEFAULT_LIMITS.max_name:
        raise ValueError(f"a {what} has at most {DEFAULT_LIMITS.max_name} bytes, got {len(data)}")
    return write_varint(len(data)) + data


def name_in(fields: Fields, limits: Limits, what: str) -> Recorded:
    """Mirror of :func:`name_out`: a plain name. Raises LimitExceeded, CorruptStream for one that is none."""
    data = fields.take(limited(what, fields.byte(), limits.max_name))
    try:
        name = data.decode("utf-8")
    except UnicodeDecodeError:
        raise CorruptStream(f"the {what} is not UTF-8; the file is damaged") from None
    if not PLAIN.fullmatch(name):
        raise CorruptStream(f"the {what} is not a plain name; the file is damaged or forged")
    return Recorded(name)
