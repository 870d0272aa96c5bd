"""Independent reader of the .dfc container, standard library only: the specification as a program.

    python bitstream_spec/reader.py FILE.dfc

It shares no code with the package; the tests compare the two on every vector and on mutated streams.
"""

from __future__ import annotations

import sys

SIGNATURE = bytes([0x8B, 0x44, 0x46, 0x43, 0x0D, 0x0A, 0x1A, 0x0A])


class Refused(Exception):
    """``args[0]`` is the name of the error the specification gives."""


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), reflected polynomial 0x82F63B78. crc32c(b"123456789") = 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(data: bytes, at: int, bits: int) -> tuple[int, int] | None:
    """(value, next offset), or None if the bytes end first."""
    value = 0
    for count in range(-(-bits // 7)):
        if at + count >= len(data):
            return None
        byte = data[at + count]
        value += (byte & 0x7F) << 7 * count
        if value >= 1 << bits:
            raise Refused("CorruptStream")
        if byte < 0x80:
            if byte == 0 and count:
                raise Refused("CorruptStream")
            return value, at + count + 1
    raise Refused("CorruptStream")


def chunks(data: bytes) -> tuple[list[tuple[str, bytes]], bool]:
    """Complete chunks and whether bytes of an incomplete one follow."""
    if data[:8] != SIGNATURE[: len(data[:8])]:
        raise Refused("NotADiffcodecFile")
    if len(data) < 10:
        raise Refused("Truncated")
    if data[8] != 1:
        raise Refused("UnsupportedVersion")
    out, at = [], 10
    while at < len(data):
        if not (0x41 <= data[at] <= 0x5A or 0x61 <= data[at] <= 0x7A):
            raise Refused("CorruptStream")
        length = varint(data, at + 1, 35)
        if length is None:
            return out, True
        if length[0] > 2**31 - 1:
            raise Refused("LimitExceeded")
        end = length[1] + length[0]
        if end + 4 > len(data):
            return out, True
        if crc32c(data[at:end]) != int.from_bytes(data[end : end + 4], "little"):
            raise Refused("ChecksumMismatch")
        out.append((chr(data[at]), data[length[1] : end]))
        at = end + 4
    return out, False


def header(data: bytes, max_pixels: int) -> dict[str, object]:
    """Fields of the header chunk."""

    def number(at: int, bits: int) -> tuple[int, int]:
        found = varint(data, at, bits)
        if found is None:
            raise Refused("CorruptStream")
        return found

    def byte(at: int) -> int:
        if at >= len(data):
            raise Refused("CorruptStream")
        return data[at]

    codec, numerics, flags = byte(0), byte(1), byte(2)
    width, at = number(3, 32)
    height, at = number(at, 32)
    mode, transform = byte(at), byte(at + 1)
    seed, at = number(at + 2, 64)
    name_end = at + 1 + byte(at)
    name, fingerprint = data[at + 1 : name_end], data[name_end : name_end + 8]
    size, at = number(name_end + 8, 32)
    if codec > 2 or numerics > 2 or flags > 15 or transform:
        raise Refused("UnsupportedVersion")
    if len(name) > 64 or size > 65536:
        raise Refused("LimitExceeded")
    if at + size != len(data):
        raise Refused("CorruptStream")
    try:
        model = name.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("CorruptStream") from None
    if (model and not model.isprintable()) or "/" in model or "\\" in model or not width or not height:
        raise Refused("CorruptStream")
    if width * height > max_pixels:
        raise Refused("LimitExceeded")
    return {
        "codec": codec,
        "numerics": numerics,
        "width": width,
        "height": height,
        "mode": mode,
        "seed": seed,
        "model": model,
        "fingerprint": fingerprint.hex(),
        "params": data[at:].hex(),
    }


def parse(data: bytes, max_pixels: int = 2**28) -> dict[str, object]:
    """Header fields, passes and digest of a whole stream. Raises Refused with the error's name."""
    found, cut = chunks(data)
    if not found:
        raise Refused("Truncated")
    if found[0][0] != "H":
        raise Refused("CorruptStream")
    out = header(found[0][1], max_pixels)
    seen, passes, digest = {"H"}, [], None
    for letter, payload in found[1:]:
        if digest is not None:
            raise Refused("CorruptStream")
        if letter == "P":
            passes.append(payload)
        elif letter == "E":
            if len(payload) != 8:
                raise Refused("CorruptStream")
            digest = payload
        elif letter == "C" and seen == {"H"} and not passes:
            if len(payload) > 1024:
                raise Refused("LimitExceeded")
            out["palette"] = payload.hex()
        elif letter in "HC":
            raise Refused("CorruptStream")
        elif letter.isupper():
            raise Refused("UnsupportedVersion")
        elif passes or letter in seen:
            raise Refused("CorruptStream")
        seen.add(letter)
    if cut and digest is not None:
        raise Refused("CorruptStream")
    if digest is None:
        raise Refused("Truncated")
    return out | {"passes": [p.hex() for p in passes], "digest": digest.hex()}


def main() -> None:
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    try:
        for letter, payload in chunks(data)[0]:
            print(f"{letter} {'critical ' if letter.isupper() else 'ancillary'} {len(payload)} bytes")
        found = parse(data)
    except Refused as e:
        sys.exit(f"refused: {e.args[0]}")
    print({k: v for k, v in found.items() if k != "passes"})


if __name__ == "__main__":
    main()
