"""Write bitstream_spec/vectors: container streams a reader must accept or refuse, with what it must find."""

from __future__ import annotations

import json
from pathlib import Path

from diffcodec.bitstream import Chunk, Header, write
from diffcodec.bitstream.container import SIGNATURE

FOLDER = Path(__file__).parent.parent / "bitstream_spec" / "vectors"


def head(**changes: object) -> Header:
    fields = dict(
        codec=0, numerics=0, width=3, height=2, mode=1, colour_transform=0, seed=0, model="toy",
        fingerprint=bytes(range(8)), params=b"\x01",
    )  # fmt: skip
    return Header(**(fields | changes))  # type: ignore[arg-type]


def main() -> None:
    H, P, E = Chunk("H", head().to_bytes()), Chunk("P", b"pass"), Chunk("E", b"digest!!")
    valid = {
        "smallest": [Chunk("H", head(model="", params=b"").to_bytes()), E],
        "two_passes": [H, P, Chunk("P", b""), E],
        "palette_and_ancillary": [H, Chunk("C", bytes(6)), Chunk("i", b"icc"), Chunk("x", b"exif"), Chunk("z", b"?"), P, E],
        "largest_picture": [Chunk("H", head(width=2**14, height=2**14, seed=2**64 - 1).to_bytes()), P, E],
    }
    whole = write([H, P, E])
    raw = head().to_bytes()
    invalid = {
        "empty": (b"", "Truncated"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(8), "NotADiffcodecFile"),
        "text_mode": (whole.replace(b"\r\n", b"\n"), "NotADiffcodecFile"),
        "version_2": (SIGNATURE + b"\x02\x00" + whole[10:], "UnsupportedVersion"),
        "no_end": (write([H, P]), "Truncated"),
        "cut": (whole[:-3], "Truncated"),
        "after_end": (write([H, P, E, P]), "CorruptStream"),
        "garbage_after_end": (whole + b"P", "CorruptStream"),
        "crc": (whole[:-1] + bytes([whole[-1] ^ 1]), "ChecksumMismatch"),
        "no_header": (write([P, E]), "CorruptStream"),
        "two_headers": (write([H, H, P, E]), "CorruptStream"),
        "unknown_critical": (write([H, Chunk("Q", b""), P, E]), "UnsupportedVersion"),
        "type_not_letter": (whole[:10] + b"\x30" + whole[11:], "CorruptStream"),
        "late_palette": (write([H, P, Chunk("C", b"abc"), E]), "CorruptStream"),
        "short_digest": (write([H, P, Chunk("E", b"1234")]), "CorruptStream"),
        "zero_width": (write([Chunk("H", head(width=0).to_bytes()), P, E]), "CorruptStream"),
        "pixel_bomb": (write([Chunk("H", head(width=2**31, height=2**31).to_bytes()), P, E]), "LimitExceeded"),
        "huge_palette": (write([H, Chunk("C", bytes(1025)), P, E]), "LimitExceeded"),
        "reserved_flag": (write([Chunk("H", raw[:2] + b"\x10" + raw[3:]), P, E]), "UnsupportedVersion"),
        "path_as_model": (write([Chunk("H", head(model="../x").to_bytes()), P, E]), "CorruptStream"),
        "header_tail": (write([Chunk("H", raw + b"\0"), P, E]), "CorruptStream"),
        "long_varint": (whole[:10] + b"H\x80\x00" + whole[12:], "CorruptStream"),
        "chunk_over_2_gib": (whole[:10] + b"P\xff\xff\xff\xff\x0f", "LimitExceeded"),
    }
    for name, chunks in valid.items():
        (FOLDER / "valid" / f"{name}.dfc").write_bytes(write(chunks))
        passes = [c.payload.hex() for c in chunks if c.type == "P"]
        (FOLDER / "valid" / f"{name}.json").write_text(json.dumps({"passes": passes, "digest": chunks[-1].payload.hex()}) + "\n")
    for name, (data, error) in invalid.items():
        (FOLDER / "invalid" / f"{name}.dfc").write_bytes(data)
        (FOLDER / "invalid" / f"{name}.json").write_text(json.dumps({"error": error}) + "\n")


if __name__ == "__main__":
    main()
