"""Inputs for tools/fuzz.py: whole streams and archives in parts, changed, and sealed with right checksums again."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import zlib
from pathlib import Path
from typing import Any

import google_crc32c

from diffcodec import DiffcodecError
from diffcodec.bitstream import Header
from tools import fuzz_given
from tools.leb128 import read_varint, varint

ROOT = Path(__file__).resolve().parents[1]
GOLDEN, FOLDER = ROOT / "tests" / "golden", ROOT / "tests" / "fuzz"
SMALL = 1300  #: bytes of seeds that are taken often
#: how often to take what takes long to decode, by the first letters of its name: the rest takes some 0.5 ms
SELDOM = {
    **{"archive-ordered": 0.001, "archive-float": 0.002, "archive-exact": 0.01, "archive-cifar10": 0.005},
    **{"archive-streams": 0.02, "archive-extended": 0.05, "diffc": 0.003, "ordered": 0.01, "adjusted": 0.1},
    **{f"mode-{name}": 0.04 for name in ("L", "RGB", "YCbCr", "I-16.", "I-16x1")},
    **{"given": 0.3, "lattice": 0.03, "metadata-behind.": 0.03, "frames": 0.1, "statistics": 0.5},
}
NUMBERS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 32, 63, 64, 127, 128, 255, 256, 1023, 4096, 65535, 2**16, 2**24, 2**28)
MORE = (*NUMBERS, 2**28 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**35 - 1, 2**63, 2**64 - 1)


# ---- streams and archives in parts


def chunks_of(data: bytes) -> list[tuple[str, bytes]]:
    """(letter, payload) of every chunk of a whole stream or archive."""
    at, out = 10, []
    while at < len(data):
        size, start = read_varint(data, at + 1)
        out.append((chr(data[at]), data[start : start + size]))
        at = start + size + 4
    return out


def sealed(signature: bytes, version: bytes, chunks: list[tuple[str, bytes]]) -> bytes:
    """A stream (a chain of checksums) or an archive (groups and index bound to the header, the index made anew)."""
    out, archive = [signature, version], signature[3:4] == b"A"
    before = head = version
    at, number, sizes = 10, 0, []
    for letter, payload in chunks:
        if archive and letter == "Z" and payload is REBUILT:
            counts = [varint(len(sizes)), *(varint(n) + varint(held) for n, held in sizes)]
            payload = b"".join(counts) + bytes(8) + at.to_bytes(8, "little")
        body = letter.encode("latin-1") + varint(len(payload)) + payload
        if archive:
            tail = {"G": number, "Z": 2**32 - 1}.get(letter)
            before = head if tail is None else head + tail.to_bytes(4, "little")
        seal = google_crc32c.value(before + body).to_bytes(4, "little")
        before = seal
        if letter == "A" and archive:
            head = seal
        if letter == "G":
            number, sizes = number + 1, [*sizes, (len(body) + 4, pictures(payload))]
        at += len(body) + 4
        out += [body, seal]
    return b"".join(out)


def pictures(group: bytes) -> int:
    """What a group's directory says first."""
    with contextlib.suppress(zlib.error, IndexError):
        size, start = read_varint(group, 8)
        return read_varint(zlib.decompress(group[start : start + size]), 0)[0]
    return 1


REBUILT = b"rebuilt"


# ---- changes


class Draw:
    """Choices of a seeded generator."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)

    def havoc(self, data: bytes, other: bytes = b"") -> bytes:
        """A few small changes of any kind."""
        r, out = self.r, bytearray(data)
        for _ in range(1 + int(r.expovariate(0.9))):
            kind, n = r.randrange(8), len(out)
            at = r.randrange(n) if n else 0
            if kind == 0 and n:
                out[at] ^= 1 << r.randrange(8)
            elif kind == 1 and n:
                out[at] = r.choice((0, 1, 2, 3, 4, 127, 128, 254, 255, r.randrange(256)))
            elif kind == 2:
                out[at:at] = r.randbytes(1 + int(r.expovariate(0.3)))
            elif kind == 3 and n:
                del out[at : at + 1 + int(r.expovariate(0.3))]
            elif kind == 4 and n:
                del out[at:]
            elif kind == 5 and n:
                piece = out[at : at + 1 + r.randrange(16)]
                out[at:at] = piece
            elif kind == 6 and other:
                start = r.randrange(len(other))
                out[at : at + 8] = other[start : start + 1 + r.randrange(64)]
            elif kind == 7 and n:
                out[at : at + 4] = r.randbytes(r.randrange(1, 5))
        return bytes(out)

    def header(self, payload: bytes) -> bytes:
        """One or two fields of a header chunk with other values; any bytes where it is none."""
        r = self.r
        try:
            header = Header.from_bytes(payload)
        except DiffcodecError:
            return self.havoc(payload)
        for _ in range(1 + r.randrange(2)):
            name, digest = r.choice(models())
            change: dict[str, Any] = r.choice(
                (
                    {"codec": r.randrange(3)},
                    {"numerics": r.randrange(3)},
                    {"width": r.choice(NUMBERS)},
                    {"height": r.choice(NUMBERS)},
                    {"width": r.randrange(1, 40), "height": r.randrange(1, 40)},
                    {"mode": r.randrange(80)},
                    {"statistics": r.randrange(2)},
                    {"seed": r.choice(MORE[:-1])},
                    {"model": name, "fingerprint": digest},
                    {"model": name},
                    {"model": r.choice(("", "x", "é", "a" * 64, "../x", "cuda"))},
                    {"fingerprint": bytes(8)},
                    {"params": self.havoc(header.params)},
                    {"params": self.havoc(header.params)},
                    {"params": self.havoc(header.params)},
                )
            )
            header = dataclasses.replace(header, **change)
        try:
            return header.to_bytes()
        except ValueError:
            return payload

    def group(self, payload: bytes, other: bytes) -> bytes:
        """A group of an archive: its directory inflated, changed and deflated again, or what stands behind it."""
        size, start = read_varint(payload, 8)
        directory, rest = payload[start : start + size], payload[start + size :]
        kind = self.r.randrange(4)
        if kind < 2:
            with contextlib.suppress(zlib.error):
                directory = zlib.compress(self.havoc(zlib.decompress(directory)), 1)
        elif kind == 2:
            rest = self.havoc(rest, other)
        else:
            rest = self.stream_in(rest)
        return payload[:8] + varint(len(directory)) + directory + rest

    def stream_in(self, data: bytes) -> bytes:
        """Streams that lie in a group's payload, the first of them changed with its checksums mended."""
        at = data.find(STREAM[:8])
        if at < 0:
            return self.havoc(data)
        with contextlib.suppress(IndexError, ValueError):
            size, start = read_varint(data, at + 11)
            if data[at + 10 : at + 11] == b"S":
                one = sealed(STREAM[:8], data[at + 8 : at + 10], [("S", self.havoc(data[start : start + size]))])
                return data[:at] + one + data[start + size + 4 :]
        return self.havoc(data)

    def changed(self, data: bytes, other: bytes) -> bytes:
        """An input made from a whole file; ``other`` lends pieces."""
        r = self.r
        if r.random() < 0.03:
            return self.havoc(data, other)  # checksums as they come
        signature, version, chunks = data[:8], data[8:10], list(chunks_of(data))
        if r.random() < 0.03:
            version = bytes([1, r.randrange(6)])
        archive = signature[3:4] == b"A"
        for _ in range(1 + r.randrange(2)):
            at = r.randrange(len(chunks))
            kind = r.random()
            if kind < 0.18:
                self.shuffled(chunks, at, kind, other)
            else:
                chunks[at] = (chunks[at][0], self.payload(*chunks[at], other, archive))
        if archive and r.random() < 0.9:
            chunks = [(letter, REBUILT if letter == "Z" else payload) for letter, payload in chunks]
        return sealed(signature, version, chunks)

    def shuffled(self, chunks: list[tuple[str, bytes]], at: int, kind: float, other: bytes) -> None:
        """A chunk left out, repeated, put in or taken from elsewhere; ``kind`` 0..0.18 says which."""
        r = self.r
        if kind < 0.06 and len(chunks) > 1:
            del chunks[at]
        elif kind < 0.10:
            chunks.insert(r.randrange(len(chunks) + 1), chunks[at])
        elif kind < 0.14:
            letters = "HCAPESMNGixtbcdefghjklmnopqrsuvwyz"
            chunks.insert(r.randrange(len(chunks) + 1), (r.choice(letters), r.randbytes(r.randrange(20))))
        else:
            lent = r.choice(chunks_of(other))
            chunks[at] = (chunks[at][0], lent[1]) if r.random() < 0.7 else lent

    def payload(self, letter: str, payload: bytes, other: bytes, archive: bool) -> bytes:
        """A chunk's payload, changed by what it holds."""
        if letter == "H":
            return self.header(payload)
        if letter == "N" and self.r.random() < 0.7:
            with contextlib.suppress(IndexError):
                return self.changed(payload, other)
            return payload
        if letter == "E":
            return self.r.choice((b"", bytes(4), bytes(8), payload[:4], payload + b"x"))
        if letter == "G":
            return self.group(payload, other) if archive else fuzz_given.changed(self, payload, other)
        return self.havoc(payload, other)


STREAM = fuzz_given.STREAM


def models() -> list[tuple[str, bytes]]:
    if not _MODELS:
        from diffcodec.models import registry

        _MODELS.extend((card["name"], bytes.fromhex(card["fingerprint"])[:8]) for card in registry.cards())
    return _MODELS


_MODELS: list[tuple[str, bytes]] = []


def seeds() -> tuple[list[tuple[str, bytes]], list[float]]:
    """(name, bytes) of what inputs are made from, and how often to take each."""
    paths = [*GOLDEN.glob("*/*.dfc"), *GOLDEN.glob("*/*.dfca"), *(FOLDER / "corpus").glob("*")]
    files = [(path.name, path.read_bytes()) for path in sorted(paths)] + fuzz_given.seeds()
    weights = []
    for name, data in files:
        slow = next((share for start, share in SELDOM.items() if name.startswith(start)), 1.0)
        weights.append(slow * (1.0 if len(data) <= SMALL or name.endswith("a") else 0.03))
    return files, weights
