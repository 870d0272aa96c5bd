"""Write bitstream_spec/vectors: container streams that a reader must accept or refuse, with what it must find.

    python -m tools.make_vectors [--container]

Pass payloads of these are arbitrary: they are about the container. Expectations are written down here, not read back.
Streams that hold pictures are made by `decodable` beside this file, unless --container says to leave them as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import google_crc32c

from diffcodec.bitstream import Chunk, Header, write
from diffcodec.bitstream.container import SIGNATURE
from tools import given_vectors
from tools.told import tell

FOLDER = Path(__file__).parent.parent / "bitstream_spec" / "vectors"
TOY = Header(
    codec=0, numerics=0, width=3, height=2, mode=1, statistics=0, seed=0, model="toy",
    fingerprint=bytes(range(8)), params=b"\x01",
)  # fmt: skip
P, E = Chunk("P", b"pass"), Chunk("E", b"digest!!")
S = Chunk("S", b"\x04\x01\x03\x02\x00\x01\x02\x03\x01\x01pass" + b"dige")  # TOY's picture


#: kinds of metadata (SPEC.md §2.2), compressed in each way
METADATA = [
    Chunk("p", b"\x04\xc8\x18\x00"), Chunk("d", b"\x00\x02\xac\x02\x01\xac\x02\x01"),
    Chunk("k", b"\x01\x08" + bytes.fromhex("b3a9b0b3d1afb0e30200")), Chunk("w", b"\x00\x00\x05Title\x05words"),
]  # fmt: skip


def small_with(*chunks: Chunk, count: int | None = None) -> bytes:
    """The payload of S, TOY's picture, with these metadata."""
    items = b"".join(chunk.type.encode("latin-1") + bytes([len(chunk.payload)]) + chunk.payload for chunk in chunks)
    body = bytes([len(chunks) if count is None else count]) + items
    return b"\x14" + S.payload[1:10] + body + S.payload[10:]


def frame(*chunks: Chunk) -> Chunk:
    return Chunk("N", write([head(), *chunks, E]))


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
        codec=2, numerics=2, width=1, height=1, mode=0, statistics=0, seed=0, model="", fingerprint=bytes(8),
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
        "one_row": write([head(width=2**28, height=1, numerics=1), P, E]),
        "model_name_utf8": write([head(model="фото · 写真.1"), P, E]),
        "largest_palette": write([head(), Chunk("C", bytes(1024)), P, E]),
        "unused_flags": write([Chunk("H", raw[:2] + b"\x0f" + raw[3:]), P, E]),
        "statistics": write([head(statistics=1), P, E]),
        "adjusted": write([head(), Chunk("A", b"adjustment"), Chunk("i", b"icc"), P, E]),
        "small": write([S]),
        "small_without_model": write([Chunk("S", b"\x00\x01\x03\x02\x01\x01" + b"pass" + b"dige")]),
        "small_with_seed": write([Chunk("S", b"\x0d" + S.payload[1:8] + b"\xac\x02" + S.payload[8:])]),
        "small_with_metadata": write([Chunk("S", small_with(*METADATA))]),
        "small_with_plain_metadata": write([Chunk("S", small_with(Chunk("z", b""), Chunk("i", b"icc")))]),
        "frame_of_a_small_picture_with_metadata": write(
            [head(), P, Chunk("M", b""), METADATA[1], Chunk("N", write([Chunk("S", small_with(METADATA[1]))])), E]
        ),
        "small_empty_pass": write([Chunk("S", b"\x00\x01\x03\x02\x00" + b"dige")]),
        "metadata_in_front": write([head(), Chunk("x", b"exif"), *METADATA, P, E]),
        "metadata_behind": write([head(), Chunk("x", b"exif"), P, Chunk("M", b""), *METADATA, Chunk("z", b"?"), E]),
        "no_metadata_behind": write([head(), P, Chunk("M", b""), E]),
        "frames": write([head(), P, Chunk("M", b""), METADATA[0], frame(P), frame(METADATA[0], P), E]),
        "frame_of_a_small_picture": write([head(), P, Chunk("N", write([S])), E]),
        "mark_without_passes": write([head(), Chunk("M", b""), METADATA[1], E]),
        "frames_without_passes": write([head(), frame(P), frame(), E]),
        "metadata_at_the_limit": write(
            [head(), *everything[1:], Chunk("k", b"\x01\x80\x80\x80\x10\x03\x00"), P, E]  # i, x, t do not count
        ),
        "profile_of_another_kind": write([head(), Chunk("k", METADATA[0].payload), P, E]),
        "statistics_of_diffc": write([head(codec=2, numerics=2, statistics=1), P, E]),
        "newer_minor_version": sealed(body(head()), body(P), body(E), version=b"\x01\x07"),
        **{f"given_{name}": data for name, data in given_vectors.valid().items()},
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
            "compression_of_metadata": write([H, Chunk("k", b"\x05\x01?"), P, E]),
            "unknown_critical": write([H, Chunk("Q", b""), P, E]),
            "unknown_critical_cut_behind": write([H, Chunk("Q", b""), P])[:-1],
            **smalls(reserved=b"\x24" + S.payload[1:], compression=small_with(Chunk("k", b"\x05\x01?")),
                     numerics=b"\x07" + S.payload[1:]),
            **headers(
                codec=b"\x03" + raw[1:],
                codec_of_archives=b"\x01" + raw[1:],
                numerics=raw[:1] + b"\x03" + raw[2:],
                reserved_flag=raw[:2] + b"\x10" + raw[3:],
                colour_transform=raw[:6] + b"\x02" + raw[7:],  # what statistics were once called
            ),
        },
        "Truncated": {
            "empty": b"",
            "signature_only": SIGNATURE,
            "no_chunk": whole[:10],
            "major_version_2_alone": SIGNATURE + b"\x02",
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
            "adjustment_of_lossy_too_long": write([head(codec=2, numerics=2), Chunk("A", bytes(2**16 + 1)), P, E]),
            "metadata": write([H, Chunk("k", b"\x01\x81\x80\x80\x10\x03\x00"), P, E]),
            "metadata_together": write(
                [H, *(Chunk(letter, b"\x01\x80\x80\x80\x0c\x03\x00") for letter in "kw"), P, E]
            ),
            "pixels_of_frames": write([head(width=2**14, height=2**14), P, frame(P), E]),
            "pixel_bomb": write([head(width=2**32 - 1, height=2**32 - 1), P, E]),
            "pixels_plus_one_row": write([head(width=2**14, height=2**14 + 1), P, E]),
            "pixel_bomb_in_damaged_file": write([head(width=2**20, height=2**20), P])[:-1] + b"?",
            **smalls(
                pixel_bomb=b"\x00\x01" + b"\xff\xff\xff\xff\x0f" * 2 + b"\x00dige",
                params=S.payload[:8] + b"\x81\x80\x04" + bytes(80),
                metadata=small_with(Chunk("k", b"\x01\x81\x80\x80\x10\x03\x00")),
            ),
            **headers(
                model_name=raw[:8] + b"\x41" + b"m" * 65 + tail,
                params=raw[:20] + b"\x81\x80\x04",
            ),
        },
        "CorruptStream": {
            "two_marks_of_metadata": write([H, P, Chunk("M", b""), Chunk("M", b""), E]),
            "mark_of_metadata_not_empty": write([H, P, Chunk("M", b"?"), E]),
            "pass_behind_metadata": write([H, P, Chunk("M", b""), METADATA[1], P, E]),
            "pass_behind_mark": write([H, Chunk("M", b""), P, E]),
            "metadata_twice": write([H, METADATA[1], P, Chunk("M", b""), METADATA[1], E]),
            "profile_in_two_forms": write([H, Chunk("i", b"icc"), P, Chunk("M", b""), METADATA[0], E]),
            "metadata_without_mark": write([H, P, METADATA[1], E]),
            "metadata_behind_frame": write([H, P, Chunk("M", b""), frame(P), METADATA[1], E]),
            "mark_behind_frame": write([H, P, frame(P), Chunk("M", b""), E]),
            "pass_behind_frame": write([H, P, frame(P), P, E]),
            "frame_behind_end": write([H, P, E, frame(P)]),
            "frame_cut": write([H, P, Chunk("N", write([H, P])), E]),
            "frame_empty": write([H, P, Chunk("N", b""), E]),
            "frame_of_frames": write([H, P, frame(P, frame(P)), E]),
            "metadata_without_size": write([H, Chunk("k", b"\x01"), P, E]),
            "metadata_without_method": write([H, Chunk("k", b""), P, E]),
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
                no_metadata=small_with(),
                metadata_twice=small_with(METADATA[1], METADATA[1]),
                profile_in_two_forms=small_with(Chunk("i", b"icc"), METADATA[0]),
                critical_metadata=small_with(Chunk("P", b"pass")),
                metadata_past_end=small_with(METADATA[1], count=9),
                metadata_without_size=small_with(Chunk("k", b"\x01")),
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
    for error, group in given_vectors.invalid().items():
        by_error[error] |= {f"given_{name}": data for name, data in group.items()}
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
    good, bad = valid(), invalid()
    for name, data in good.items():
        (FOLDER / "valid" / f"{name}.dfc").write_bytes(data)
    tell(FOLDER / "valid", {name: expected(data) for name, data in good.items()})
    for name, (data, _) in bad.items():
        (FOLDER / "invalid" / f"{name}.dfc").write_bytes(data)
    tell(FOLDER / "invalid", {name: {"error": error} for name, (_, error) in bad.items()})
    if "--container" not in sys.argv[1:]:
        from tools import decodable

        decodable.write_all(FOLDER / "decodable")


if __name__ == "__main__":
    main()
