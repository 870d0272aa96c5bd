"""Write bitstream_spec/vectors: container streams that a reader must accept or refuse, with what it must find.

    PYTHONPATH=. python tools/make_vectors.py

Pass payloads are arbitrary: these vectors are about the container. Expectations are written down here, not read back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import google_crc32c

from diffcodec.bitstream import Chunk, Header, write
from diffcodec.bitstream.container import SIGNATURE

FOLDER = Path(__file__).parent.parent / "bitstream_spec" / "vectors"
TOY = Header(
    codec=0, numerics=0, width=3, height=2, mode=1, colour_transform=0, seed=0, model="toy",
    fingerprint=bytes(range(8)), params=b"\x01",
)  # fmt: skip
P, E = Chunk("P", b"pass"), Chunk("E", b"digest!!")
S = Chunk("S", b"\x04\x01\x03\x02\x00\x01\x02\x03\x01\x01pass" + b"dige")  # TOY's picture


def head(**changes: Any) -> Chunk:
    return Chunk("H", Header(**(vars(TOY) | changes)).to_bytes())


def sealed(*bodies: bytes, version: bytes = b"\x01\x00") -> bytes:
    """A stream of chunks whose type and length bytes are given as they stand."""
    out, before = SIGNATURE + version, version
    for body in bodies:
        before = google_crc32c.value(before + body).to_bytes(4, "little")
        out += body + before
    return out


def body(chunk: Chunk, length: bytes | None = None) -> bytes:
    return chunk.type.encode("latin-1") + (length or bytes([len(chunk.payload)])) + chunk.payload


def valid() -> dict[str, bytes]:
    raw = head().payload
    tiny = Header(
        codec=2, numerics=2, width=1, height=1, mode=0, colour_transform=0, seed=0, model="", fingerprint=bytes(8),
        params=b"",
    )  # fmt: skip
    everything = [Chunk("C", bytes(range(6))), Chunk("i", b"icc"), Chunk("x", b"exif"), Chunk("t", "blue ❤".encode())]
    return {
        "smallest": write([Chunk("H", tiny.to_bytes()), E]),
        "lossy": write([head(codec=2, numerics=2), P, Chunk("E", b"")]),
        "two_passes": write([head(), P, Chunk("P", b"second"), E]),
        "empty_pass": write([head(), Chunk("P", b""), P, E]),
        "every_known_chunk": write([head(), *everything, P, Chunk("P", b"second"), E]),
        "unknown_ancillary": write([head(), Chunk("z", b"?"), Chunk("i", b"icc"), Chunk("z", b"again"), P, E]),
        "two_length_bytes": write([head(), Chunk("P", bytes(range(200))), E]),
        "largest_fields": write([head(width=2**14, height=2**14, mode=255, seed=2**64 - 1, model="m" * 64), P, E]),
        "one_row": write([head(width=2**28, height=1, codec=1, numerics=1), P, E]),
        "model_name_utf8": write([head(model="фото · 写真.1"), P, E]),
        "largest_palette": write([head(), Chunk("C", bytes(1024)), P, E]),
        "unused_flags": write([Chunk("H", raw[:2] + b"\x0f" + raw[3:]), P, E]),
        "statistics": write([head(colour_transform=1), P, E]),
        "adjusted": write([head(), Chunk("A", b"adjustment"), Chunk("i", b"icc"), P, E]),
        "small": write([S]),
        "small_without_model": write([Chunk("S", b"\x00\x01\x03\x02\x01\x01" + b"pass" + b"dige")]),
        "small_with_seed": write([Chunk("S", b"\x0d" + S.payload[1:8] + b"\xac\x02" + S.payload[8:])]),
        "small_empty_pass": write([Chunk("S", b"\x00\x01\x03\x02\x00" + b"dige")]),
        "newer_minor_version": sealed(body(head()), body(P), body(E), version=b"\x01\x07"),
    }


def invalid() -> dict[str, tuple[bytes, str]]:
    H, raw, whole = head(), head().payload, write([head(), P, E])
    tail = raw[12:]  # fingerprint and parameters

    def headers(**payloads: bytes) -> dict[str, bytes]:
        return {name: write([Chunk("H", payload), P, E]) for name, payload in payloads.items()}

    def smalls(**payloads: bytes) -> dict[str, bytes]:
        return {f"small_{name}": write([Chunk("S", payload)]) for name, payload in payloads.items()}

    def flipped(at: int) -> bytes:
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]

    by_error: dict[str, dict[str, bytes]] = {
        "NotADiffcodecFile": {
            "png": b"\x89PNG\r\n\x1a\n" + bytes(8),
            "signature_lf": whole.replace(b"\r\n", b"\n", 1),
            "signature_crlf": SIGNATURE.replace(b"\x1a\n", b"\x1a\r\n") + whole[8:],
            "signature_7_bit": b"\x0b" + whole[1:],
            "signature_utf8": SIGNATURE.decode("latin-1").encode() + whole[8:],
        },
        "UnsupportedVersion": {
            "major_version_2": sealed(body(H), body(P), body(E), version=b"\x02\x00"),
            "major_version_0": sealed(body(H), body(P), body(E), version=b"\x00\x00"),
            "unknown_critical": write([H, Chunk("Q", b""), P, E]),
            "unknown_critical_cut_behind": write([H, Chunk("Q", b""), P])[:-1],
            **smalls(reserved=b"\x14" + S.payload[1:], numerics=b"\x07" + S.payload[1:]),
            **headers(
                codec=b"\x03" + raw[1:],
                numerics=raw[:1] + b"\x03" + raw[2:],
                reserved_flag=raw[:2] + b"\x10" + raw[3:],
                colour_transform=raw[:6] + b"\x02" + raw[7:],
            ),
        },
        "Truncated": {
            "empty": b"",
            "signature_only": SIGNATURE,
            "no_chunk": whole[:10],
            "in_length": whole[:10] + b"P\x80",
            "in_header": whole[:20],
            "no_end": write([H, P]),
            "in_checksum": whole[:-3],
            "in_small": write([S])[:-5],
            "absent_gigabytes": write([H]) + b"P\xff\xff\xff\xff\x07" + bytes(9),
        },
        "ChecksumMismatch": {
            "flip_minor_version": flipped(9),
            "flip_type": flipped(10),
            "flip_payload": flipped(len(whole) - 14 - 5),
            "flip_checksum": flipped(len(whole) - 1),
            "flip_small": write([S])[:-6] + b"?" + write([S])[-5:],
            "pass_missing": write([H, P]) + write([H, P, Chunk("P", b"second"), E])[len(write([H, P, P])) + 2 :],
            "pass_twice": write([H, P]) + write([H, P])[len(write([H])) :] + whole[len(write([H, P])) :],
            "pass_of_another": write([H]) + write([head(seed=1), P, E])[len(write([H])) :],
        },
        "LimitExceeded": {
            "chunk_of_2_gib": write([H]) + b"P\x80\x80\x80\x80\x08",
            "palette": write([H, Chunk("C", bytes(1025)), P, E]),
            "adjustment": write([H, Chunk("A", bytes(2**16 + 1)), P, E]),
            "pixel_bomb": write([head(width=2**32 - 1, height=2**32 - 1), P, E]),
            "pixels_plus_one_row": write([head(width=2**14, height=2**14 + 1), P, E]),
            "pixel_bomb_in_damaged_file": write([head(width=2**20, height=2**20), P])[:-1] + b"?",
            **smalls(
                pixel_bomb=b"\x00\x01" + b"\xff\xff\xff\xff\x0f" * 2 + b"\x00dige",
                params=S.payload[:8] + b"\x81\x80\x04" + bytes(80),
            ),
            **headers(
                model_name=raw[:8] + b"\x41" + b"m" * 65 + tail,
                params=raw[:20] + b"\x81\x80\x04",
            ),
        },
        "CorruptStream": {
            "type_digit": sealed(body(H), b"0\x00"),
            "type_high_bit": sealed(body(H), b"\xd0\x00"),
            "length_not_canonical": sealed(body(H), body(P, b"\x84\x00"), body(E)),
            "length_of_six_bytes": write([H]) + b"P\x84\x80\x80\x80\x80",
            "no_header": write([P, E]),
            "ancillary_first": write([Chunk("i", b""), H, P, E]),
            "two_headers": write([H, H, P, E]),
            "two_palettes": write([H, Chunk("C", b"abc"), Chunk("C", b"abc"), P, E]),
            "palette_after_pass": write([H, P, Chunk("C", b"abc"), E]),
            "two_adjustments": write([H, Chunk("A", b"abc"), Chunk("A", b"abc"), P, E]),
            "adjustment_after_palette": write([H, Chunk("C", b"abc"), Chunk("A", b"abc"), P, E]),
            "palette_after_adjustment": write([H, Chunk("A", b"abc"), Chunk("C", b"abc"), P, E]),
            "adjustment_after_ancillary": write([H, Chunk("i", b"icc"), Chunk("A", b"abc"), P, E]),
            "adjustment_after_pass": write([H, P, Chunk("A", b"abc"), E]),
            "adjustment_after_small": write([S, Chunk("A", b"abc")]),
            "adjustment_of_lossy": write([head(codec=2, numerics=2), Chunk("A", b"abc"), P, Chunk("E", b"")]),
            "palette_after_ancillary": write([H, Chunk("i", b"icc"), Chunk("C", b"abc"), P, E]),
            "ancillary_after_pass": write([H, P, Chunk("i", b"icc"), E]),
            "unknown_ancillary_after_pass": write([H, P, Chunk("z", b""), E]),
            "ancillary_twice": write([H, Chunk("x", b""), Chunk("x", b"exif"), P, E]),
            "digest_short": write([H, P, Chunk("E", b"1234567")]),
            "digest_missing": write([H, P, Chunk("E", b"")]),
            "digest_long": write([H, P, Chunk("E", b"123456789")]),
            "chunk_after_end": write([H, P, E, P]),
            "end_twice": write([H, P, E, E]),
            "byte_after_end": whole + b"P",
            "newline_after_end": whole + b"\n",
            "small_after_header": write([H, S]),
            "small_twice": write([S, S]),
            "pass_after_small": write([S, P]),
            "end_after_small": write([S, E]),
            "byte_after_small": write([S]) + b"S",
            **smalls(
                empty=b"",
                cut=S.payload[:7],
                digest_cut=b"\x00\x01\x03\x02\x00dig",
                params_past_end=S.payload[:8] + b"\x0adigest",
                zero_width=S.payload[:2] + b"\x00" + S.payload[3:],
                zero_model=S.payload[:4] + bytes(4) + S.payload[8:],
                zero_seed=b"\x08\x01\x03\x02\x00\x00dige",
                seed_not_canonical=b"\x08\x01\x03\x02\x83\x00\x00dige",
            ),
            **headers(
                header_empty=b"",
                header_cut=raw[:-1],
                header_cut_in_varint=raw[:3] + b"\x83",
                header_tail=raw + b"\x00",
                zero_width=raw[:3] + b"\x00" + raw[4:],
                zero_height=raw[:4] + b"\x00" + raw[5:],
                width_not_canonical=raw[:3] + b"\x83\x00" + raw[4:],
                width_of_33_bits=raw[:3] + b"\x80\x80\x80\x80\x10" + raw[4:],
                seed_of_65_bits=raw[:7] + b"\x80" * 9 + b"\x02" + raw[8:],
                seed_of_11_bytes=raw[:7] + b"\x80" * 10 + b"\x01" + raw[8:],
                model_not_utf8=raw[:9] + b"\xff\xfe\xfd" + tail,
                params_past_end=raw[:20] + b"\x02\x01",
            ),
            **{
                f"model_name_{what}": write([head(model=name), P, E])
                for what, name in {
                    "slash": "a/b", "backslash": "a\\b", "parent": "..", "newline": "a\nb", "nul": "a\0",
                    "c1": "a\x9b", "override": "a\u202eb",
                }.items()
            },
        },
    }  # fmt: skip
    return {name: (data, error) for error, group in by_error.items() for name, data in group.items()}


def expected(data: bytes) -> dict[str, Any]:
    """Written by the independent reader, so that the package does not vouch for itself."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("spec_reader", FOLDER.parent / "reader.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parse(data)  # type: ignore[no-any-return]


def main() -> None:
    for kind in ("valid", "invalid"):
        (FOLDER / kind).mkdir(parents=True, exist_ok=True)
        for old in (FOLDER / kind).iterdir():
            old.unlink()
    for name, data in valid().items():
        (FOLDER / "valid" / f"{name}.dfc").write_bytes(data)
        text = json.dumps(expected(data), ensure_ascii=False, indent=1)
        (FOLDER / "valid" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    for name, (data, error) in invalid().items():
        (FOLDER / "invalid" / f"{name}.dfc").write_bytes(data)
        (FOLDER / "invalid" / f"{name}.json").write_text(json.dumps({"error": error}) + "\n")


if __name__ == "__main__":
    main()
