"""The quantised DCT coefficients of a JPEG file, as they stand in it (ITU-T T.81): nothing is decoded to pixels.

Baseline, extended sequential and progressive files of Huffman codes, of 8 bits, of one or three components. A file is
read in full or refused: every component with its table, every coefficient to its last bit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import CorruptStream, LimitExceeded, UnsupportedVersion
from ...runtime.limits import DEFAULT_LIMITS
from . import scans

MAX_SCANS = 256  #: of a file; encoders write 16 at most
FACTORS = (1, 2, 4)  #: of sampling that are read
MAX_BLOCKS = 10  #: of an MCU
_LOWEST = 13  # bit that a scan may end at

_SOI, _EOI = 0xD8, 0xD9
_NOT_READ = dict.fromkeys((0xC3, 0xC7), "lossless or hierarchical coding")
_NOT_READ |= dict.fromkeys((0xC5, 0xC6, 0xDE, 0xDF), "hierarchical coding")
_NOT_READ |= dict.fromkeys((0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF), "arithmetic coding")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # that ends a scan: there, a 0 follows the value 255
_RGB = tuple(b"RGB")  # what components are called that are not YCbCr


@dataclass(frozen=True, eq=False)
class Component:
    """A component of a JPEG file: its name in the file, sampling factors, and what is known of its blocks.

    table: uint16 (8, 8), steps of quantisation from 1 on. coefficients: int16 (rows, cols, 8, 8), in steps, without
    the blocks that only fill MCUs. Both by vertical, then horizontal frequency.
    """

    number: int
    h: int
    v: int
    table: NDArray[np.uint16]
    coefficients: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Jpeg:
    """What a JPEG file says of a picture of ``height``×``width`` pixels; transform: its colours are YCbCr."""

    width: int
    height: int
    components: tuple[Component, ...]
    transform: bool


def read(data: bytes, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Jpeg:
    """The tables and coefficients of a JPEG file; what follows its end is not looked at.

    Raises UnsupportedVersion for a kind of JPEG that is not read, LimitExceeded for more pixels than that,
    CorruptStream for damaged bytes.
    """
    reader = _Reader(data, max_pixels)
    while reader.segment():
        pass
    return reader.jpeg()


@dataclass
class _Part:
    """A component while its scans are read: blocks in all, and with those that fill MCUs, from ``offset`` on."""

    number: int
    h: int
    v: int
    quantiser: int
    rows: int
    cols: int
    down: int
    across: int
    offset: int
    known: NDArray[np.int64] = field(default_factory=lambda: np.full(64, -1))  # lowest bit of each coefficient
    table: NDArray[np.uint16] | None = None


class _Reader:
    """The segments of a file, one after another."""

    def __init__(self, data: bytes, max_pixels: int):
        if data[:2] != bytes((0xFF, _SOI)):
            raise CorruptStream("expected a JPEG file, found other bytes")
        self.data, self.max_pixels, self.at = data, max_pixels, 2
        self.width = self.height = self.interval = self.scans = 0
        self.progressive = self.jfif = False
        self.adobe: int | None = None
        self.quantisers: dict[int, NDArray[np.uint16]] = {}
        self.codes: dict[int, tuple[bytes, bytes]] = {}  # by number, 16 more for AC
        self.parts: list[_Part] = []
        self.store = np.empty((0, 64), np.int16)

    def segment(self) -> bool:
        """Read the next one; whether it was not the end of the picture."""
        marker = self._marker()
        if marker == _EOI:
            return False
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # they have no content
            return True
        if marker in _NOT_READ:
            raise UnsupportedVersion(f"a JPEG file of {_NOT_READ[marker]} is not read")
        payload = self._payload()
        take = _SEGMENTS.get(marker)
        if take is not None:
            take(self, payload)
        elif marker != 0xFE and not 0xE0 <= marker <= 0xEF:
            raise CorruptStream(f"a JPEG file has no marker {marker:#x} here")
        return True

    def _marker(self) -> int:
        at = self.at
        while self.data[at : at + 1] == b"\xff":
            at += 1
        if at == self.at and at < len(self.data):
            raise CorruptStream(f"expected a marker of a JPEG file at byte {at}, found {self.data[at]:#04x}")
        if at >= len(self.data):
            raise CorruptStream("the JPEG file ends before its picture does")
        self.at = at + 1
        return self.data[at]

    def _payload(self) -> bytes:
        start = self.at + 2
        length = int.from_bytes(self.data[self.at : start], "big")
        if length < 2 or self.at + length > len(self.data):
            raise CorruptStream("a segment of the JPEG file reaches beyond its end")
        self.at += length
        return self.data[start : self.at]

    # ---- tables

    def jfif_marker(self, payload: bytes) -> None:
        self.jfif |= payload.startswith(b"JFIF\0") and len(payload) >= 14 and not self.scans

    def adobe_marker(self, payload: bytes) -> None:
        if payload.startswith(b"Adobe") and len(payload) >= 12 and not self.scans:
            self.adobe = payload[11]

    def quantisation(self, payload: bytes) -> None:
        while payload:
            wide, number = divmod(payload[0], 16)
            size = 64 << wide
            if wide > 1 or number > 3 or len(payload) < 1 + size:
                raise CorruptStream("a quantisation table of the JPEG file is damaged")
            steps = np.frombuffer(payload[1 : 1 + size], ">u2" if wide else np.uint8)
            if not steps.all():
                raise CorruptStream("a quantisation table of the JPEG file has a step of 0")
            table = np.empty(64, np.uint16)
            table[scans.NATURAL] = steps
            self.quantisers[number] = table.reshape(8, 8)
            payload = payload[1 + size :]

    def huffman(self, payload: bytes) -> None:
        while payload:
            counts = payload[1:17]
            end = 17 + sum(counts)
            if payload[0] & ~0x13 or len(payload) < max(end, 18) or end > 17 + 256:
                raise CorruptStream("a Huffman table of the JPEG file is damaged")
            self.codes[payload[0]] = counts, payload[17:end]
            payload = payload[end:]

    def restarts(self, payload: bytes) -> None:
        if len(payload) != 2:
            raise CorruptStream("the restart interval of the JPEG file is damaged")
        self.interval = int.from_bytes(payload, "big")

    # ---- the frame

    def sequential(self, payload: bytes) -> None:
        self._frame(payload)

    def in_passes(self, payload: bytes) -> None:
        self.progressive = True
        self._frame(payload)

    def _frame(self, payload: bytes) -> None:
        if self.parts or len(payload) < 6:
            raise CorruptStream("a JPEG file has one frame header, of 6 bytes or more")
        bits, count = payload[0], payload[5]
        self.height, self.width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
        if bits != 8 or count not in (1, 3) or not self.height:
            found = f"{count} of {bits}" if self.height else "a height that follows"
            raise UnsupportedVersion(f"expected a JPEG file of 1 or 3 components of 8 bits, found {found}")
        said = [tuple(payload[i : i + 3]) for i in range(6, len(payload), 3)]
        if len(payload) != 6 + 3 * count or not self.width or len({number for number, _, _ in said}) < count:
            raise CorruptStream("the frame header of the JPEG file is damaged")
        if self.height * self.width > self.max_pixels:
            raise LimitExceeded(f"the JPEG file has {self.height * self.width} pixels, the limit is {self.max_pixels}")
        self._place([(number, *divmod(factors, 16), quantiser) for number, factors, quantiser in said])

    def _place(self, said: list[tuple[int, int, int, int]]) -> None:
        """Allocate the blocks of components: number, h, v, quantiser."""
        h_max, v_max = (max(part[i] for part in said) for i in (1, 2))
        if any(part[i] not in FACTORS for part in said for i in (1, 2)):
            if all(0 < part[i] <= 4 for part in said for i in (1, 2)):
                raise UnsupportedVersion("expected sampling factors of 1, 2 or 4 in a JPEG file, found 3")
            raise CorruptStream("expected sampling factors of 1 to 4 in a JPEG file, found others")
        offset = 0
        for number, h, v, quantiser in said:
            rows, cols = -(-self.height * v // (8 * v_max)), -(-self.width * h // (8 * h_max))
            down, across = -(-rows // v) * v, -(-cols // h) * h
            self.parts.append(_Part(number, h, v, quantiser, rows, cols, down, across, offset))
            offset += down * across
        if sum(part.rows * part.cols for part in self.parts) > 8 * len(self.data):  # a bit for each is the least
            raise CorruptStream("the JPEG file is too short for the size that it says")
        self.store = np.zeros((offset, 64), np.int16)

    # ---- scans

    def scan(self, payload: bytes) -> None:
        self.scans += 1
        count = payload[0] if payload else 0
        if self.scans > MAX_SCANS or not self.parts or len(payload) != 4 + 2 * count:
            raise CorruptStream("the JPEG file has a scan without a frame, a damaged one, or too many")
        by_number = {part.number: part for part in self.parts}
        numbers = payload[1 : 1 + 2 * count : 2]
        if not 0 < len(set(numbers)) == count or not by_number.keys() >= set(numbers):
            raise CorruptStream("a scan of the JPEG file is of components that it does not have")
        parts = [by_number[number] for number in numbers]
        first, last, bits = payload[-3:] if self.progressive else (0, 63, 0)
        mode = self._mode(parts, first, last, *divmod(bits, 16))
        for part in parts:
            if part.table is None:
                part.table = self.quantisers.get(part.quantiser)
            if part.table is None:
                raise CorruptStream("the JPEG file lacks a quantisation table")
        tables = np.zeros((count, 2, 1 << 16), np.uint16)
        for i, both in enumerate(payload[2 : 1 + 2 * count : 2]):
            if mode in (scans.SEQUENTIAL, scans.DC_FIRST):
                tables[i, 0] = self._lookup(both >> 4)
            if mode not in (scans.DC_FIRST, scans.DC_REFINED):
                tables[i, 1] = self._lookup(16 + (both & 15))
        self._decode(parts, tables, [mode, first, last, bits & 15])

    def _mode(self, parts: list[_Part], first: int, last: int, before: int, low: int) -> int:
        """What the scan codes. Every coefficient comes once from its highest bit on, then bit after bit."""
        refined = before > 0
        known = np.array([part.known[first : last + 1] for part in parts])
        banded = last == 0 if first == 0 else len(parts) == 1 and first <= last < 64
        if (self.progressive and not banded) or low > (before - 1 if refined else _LOWEST):
            raise CorruptStream("a scan of the JPEG file has a band of coefficients that none can have")
        behind_dc = first == 0 or all(part.known[0] >= 0 for part in parts)
        if not (known == (before if refined else -1)).all() or (refined and low != before - 1) or not behind_dc:
            raise CorruptStream("the scans of the JPEG file do not follow each other")
        for part in parts:
            part.known[first : last + 1] = low
        if not self.progressive:
            return scans.SEQUENTIAL
        first_modes, refined_modes = (scans.DC_FIRST, scans.AC_FIRST), (scans.DC_REFINED, scans.AC_REFINED)
        return (refined_modes if refined else first_modes)[first > 0]

    def _lookup(self, number: int) -> NDArray[np.uint16]:
        counts, symbols = self.codes.get(number, (bytes(16), b""))
        try:
            return scans.lookup(counts, symbols)
        except ValueError as error:
            raise CorruptStream(f"a Huffman table of the JPEG file has {error}") from None

    def _decode(self, parts: list[_Part], tables: NDArray[np.uint16], kind: list[int]) -> None:
        """The coded data of a scan of these components; ``kind``: its mode, first and last coefficient, low bit."""
        end = _MARKER.search(self.data, self.at)
        if end is None:
            raise CorruptStream("the JPEG file ends within a scan")
        data = np.frombuffer(self.data, np.uint8)[self.at : end.start()]
        self.at = end.start()
        coded, ends = np.zeros(len(data) + scans.PAD, np.uint8), np.zeros(len(data) // 2 + 1, np.int64)
        intervals = scans.unstuff(data, coded, ends)
        if len(parts) == 1:  # such a scan is of the picture's own blocks, one after another
            layout = [[parts[0].offset, parts[0].across, 1, 1]]
            across, down = parts[0].cols, parts[0].rows
        else:
            layout = [[part.offset, part.across, part.h, part.v] for part in parts]
            across, down = parts[0].across // parts[0].h, parts[0].down // parts[0].v
            if sum(part.h * part.v for part in parts) > MAX_BLOCKS:
                raise CorruptStream(f"an MCU of the JPEG file has more than {MAX_BLOCKS} blocks")
        total = across * down
        interval = self.interval or total
        if intervals != -(-total // interval):
            raise CorruptStream("the restart markers of the JPEG file are not those that it should have")
        scan = np.array([*kind, across, total, interval])
        found = scans.decode(self.store, coded, ends[:intervals], tables, np.array(layout), scan)
        if found < total:
            raise CorruptStream(f"a scan of the JPEG file is damaged at MCU {found} of {total}")

    # ---- all of it

    def jpeg(self) -> Jpeg:
        """The whole, once its end was seen."""
        components = []
        for part in self.parts:
            if part.table is None or part.known.any():
                raise CorruptStream("the JPEG file ends before all its coefficients are there")
            blocks = self.store[part.offset :][: part.down * part.across].reshape(part.down, part.across, 8, 8)
            own = np.ascontiguousarray(blocks[: part.rows, : part.cols])
            components.append(Component(part.number, part.h, part.v, part.table, own))
        if not components:
            raise CorruptStream("the JPEG file has no picture")
        return Jpeg(self.width, self.height, tuple(components), self._transform())

    def _transform(self) -> bool:
        """Whether colours are YCbCr, as libjpeg decides it: by JFIF, by Adobe's marker, by the components' names."""
        if len(self.parts) == 1:
            return False
        if self.jfif:
            return True
        if self.adobe is not None:
            return self.adobe != 0
        return tuple(part.number for part in self.parts) != _RGB


#: what reads the content of a segment, by its marker
_SEGMENTS: dict[int, Callable[[_Reader, bytes], None]] = {
    0xC0: _Reader.sequential,
    0xC1: _Reader.sequential,
    0xC2: _Reader.in_passes,
    0xC4: _Reader.huffman,
    0xDA: _Reader.scan,
    0xDB: _Reader.quantisation,
    0xDD: _Reader.restarts,
    0xE0: _Reader.jfif_marker,
    0xEE: _Reader.adobe_marker,
}
