"""Vectors of chunk `G` (SPEC.md §2.3): payloads that a container's reader accepts or refuses, pictures, and what only
decoding refuses. `make_vectors`, `decodable` and `corners` beside this file write them with all others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import diffcodec
from diffcodec import Base
from diffcodec.bitstream import Chunk, Header, StreamReader, given, small, write
from diffcodec.media.picture import Picture
from diffcodec.models.gaussian import WhiteInBoxes
from diffcodec.models.operators import Box, Operator
from tools.leb128 import varint

#: of 6 rows and 9 columns, in colour
HEAD = Header(
    codec=2, numerics=2, width=9, height=6, mode=3, statistics=0, seed=0, model="toy", fingerprint=bytes(range(8)),
    params=b"\0\0\0\0\x09",
)  # fmt: skip
P, E = Chunk("P", b"pass"), Chunk("E", b"")
TEXT = b"\x80\2\0" + bytes(8)  #: scale 1, no encoder
TWO = b"\2\0\2"  #: boxes of 2×2


# ---- the container's


def small_one(width: int, height: int, mode: int = 3, metadata: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    """A small picture by its looks."""
    header = Header(0, 0, width, height, mode, 0, 0, "", bytes(4), b"\0\1")
    return write([Chunk("S", small.pack(header, b"pass", b"dige", metadata))])


def part(kind: int, fields: bytes) -> bytes:
    return bytes([kind]) + varint(len(fields)) + fields


def holding(payload: bytes, *before: Chunk, **header: Any) -> bytes:
    """A stream that was given what the payload says."""
    head = Chunk("H", replace(HEAD, **header).to_bytes())
    return write([head, *before, Chunk("G", payload), P, E])


def text(data: bytes, negative: bytes = b"") -> bytes:
    return part(1, TEXT + varint(len(data)) + data + varint(len(negative)) + negative)


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=given.WORDS)
    return b"\1" + engine.compress(data) + engine.flush()


def nested(stream: bytes, operator: bytes = b"\1\0") -> bytes:
    """A stream that was given another: by default as its luma."""
    return holding(part(2, operator + stream))


def levels(depth: int) -> bytes:
    data = small_one(9, 6, 1)
    for _ in range(depth):
        data = nested(data)
    return data


def valid() -> dict[str, bytes]:
    box = part(2, b"\0\0\4" + small_one(3, 2))
    wide = Header(2, 2, 2**13, 2**14, 3, 0, 0, "toy", bytes(8), b"")
    half = write([Chunk("H", wide.to_bytes()), P, E])
    return {
        "text": holding(text(b"\0a photo of a field", b"\0grey")),
        "text_deflated": holding(text(deflated(b"a photo of a red flower"))),
        "text_with_encoder": holding(part(1, b"\xff\xff\3\5t5-xl" + bytes(range(8)) + b"\0\0")),
        "text_at_the_limit": holding(text(deflated(b"a" * 2**16))),
        "texts_in_many_letters": holding(text("\0Blühende Wiese · 野原 🌾".encode(), b"\0x")),
        "boxes": holding(box),
        "boxes_augmented": holding(part(2, b"\0\x80\x10\4" + small_one(3, 2))),
        "boxes_augmented_most": holding(part(2, b"\0\xff\xff\x3f\4" + small_one(3, 2))),
        "luma": holding(part(2, b"\1\2" + small_one(9, 6, 1))),
        "chroma": holding(part(2, b"\2\1\6" + small_one(9, 6))),
        "mask": holding(part(2, b"\3\0" + varint(len(small_one(9, 6, 32))) + small_one(9, 6, 32)
                             + small_one(9, 6))),
        "part": holding(part(2, b"\4\0\1\2\5\7" + small_one(7, 5))),
        "stream_of_chunks": nested(write([Chunk("H", HEAD.to_bytes()), Chunk("i", b"icc"), P, P, E])),
        "stream_with_metadata": nested(small_one(9, 6, 1, (("k", b"\1\x80\x80\x80\x10\3\0"),))),
        "two_deep": levels(2),
        "four_deep": levels(4),
        "file": holding(part(3, b"\xff\xd8\xff and so on")),
        "small_file": holding(part(6, b"\0\0\4\xff\xd8\xff and so on")),
        "small_file_augmented": holding(part(6, b"\4\3\1\2\5\7RIFF")),
        "before": holding(part(4, b"\xff\xff\3")),
        "outside": holding(part(5, bytes(range(32)) + b"\5depth") + part(5, bytes(32) + b"\0")),
        "eight": holding(b"".join(part(4, bytes([n])) for n in range(1, 9))),
        "behind_a_palette": holding(box, Chunk("C", b"abc")),
        "behind_an_adjustment": write([Chunk("H", replace(HEAD, codec=0, params=b"\0\0\0\0").to_bytes()),
                                       Chunk("A", b"abc"), Chunk("G", box), Chunk("i", b"icc"), P,
                                       Chunk("E", b"digest!!")]),
        "without_passes": write([Chunk("H", HEAD.to_bytes()), Chunk("G", box), E]),
        "in_frames": write([Chunk("H", HEAD.to_bytes()), P, Chunk("N", nested(small_one(9, 6, 1))),
                            Chunk("N", nested(small_one(9, 6, 1))), E]),
        "pixels_at_the_limit": write([Chunk("H", wide.to_bytes()), Chunk("G", part(2, b"\1\0" + half)), P, E]),
    }  # fmt: skip


def invalid() -> dict[str, dict[str, bytes]]:
    """By their errors."""
    box, luma = b"\0\0\4" + small_one(3, 2), b"\1\0" + small_one(9, 6, 1)
    damaged = small_one(3, 2)[:-6] + b"?" + small_one(3, 2)[-5:]
    head = Chunk("H", HEAD.to_bytes())
    framed = write([head, P, Chunk("N", write([head, P, E])), E])
    wide = Header(2, 2, 2**13, 2**14 + 1, 3, 0, 0, "toy", bytes(8), b"")
    most = text(deflated(b"a" * 2**16)) * 8

    def mask(data: bytes) -> bytes:
        return part(2, b"\3\0" + varint(len(data)) + data + small_one(9, 6))

    def parts(**payloads: bytes) -> dict[str, bytes]:
        return {name: holding(payload) for name, payload in payloads.items()}

    return {
        "UnsupportedVersion": parts(
            kind=part(7, b"?"), kind_0=part(0, b"?"), compression=text(b"\2?"),
            operator=part(2, b"\5\0" + small_one(9, 6)), operator_of_file=part(6, b"\5\0?"),
            mask_of_file=part(6, b"\3\0?"),
            in_nested=part(2, b"\1\0" + holding(part(7, b"?"))),
        ),
        "NotADiffcodecFile": parts(nested=part(2, b"\1\0\x89PNG\r\n\x1a\n")),
        "ChecksumMismatch": parts(nested=part(2, b"\0\0\4" + damaged)),
        "LimitExceeded": parts(
            nine=part(4, b"\1") * 9,
            nine_of_nothing_known=part(4, b"\1") * 8 + part(7, b""),
            text=text(deflated(b"a" * (2**16 + 1))),
            text_without_end=text(deflated(b"a" * 2**22)),
            text_as_it_is=text(b"\0" + b"a" * (2**16 + 1)),
            encoder=part(1, b"\0\x41" + b"e" * 65 + bytes(8) + b"\0\0"),
            label=part(5, bytes(32) + b"\x41" + b"l" * 65),
            five_deep=part(2, b"\1\0" + levels(4)),
            mask_five_deep=part(2, b"\1\0" + nested(nested(nested(holding(mask(nested(small_one(9, 6, 1)))))))),
        ) | {
            "pixels": write([Chunk("H", wide.to_bytes()),
                             Chunk("G", part(2, b"\1\0" + write([Chunk("H", wide.to_bytes()), P, E]))), P, E]),
            "texts_together": write([head, Chunk("k", b"\1\x80\x80\x80\x0e\3\0"), P,
                                     *[Chunk("N", write([head, Chunk("G", most), P, E]))] * 9, E]),
            "metadata_of_nested": write([head, Chunk("G", part(2, b"\1\0" + small_one(
                9, 6, 1, (("k", b"\1\x80\x80\x80\x08\3\0"),)))), Chunk("k", b"\1\x81\x80\x80\x08\3\0"), P, E]),
        },
        "CorruptStream": parts(
            nothing=b"",
            cut_before_length=b"\3",
            cut_in_length=b"\3\x80",
            cut_in_fields=b"\3\5abc",
            length_not_canonical=b"\3\x81\0abc",
            text_cut=part(1, TEXT + b"\2\0a"),
            text_and_more=part(1, TEXT + b"\0\0\0"),
            text_empty=text(b"\0"),
            text_empty_deflated=text(deflated(b"")),
            text_not_utf8=text(b"\0\xed\xa0\x80"),
            text_does_not_inflate=text(b"\1\7"),
            text_does_not_end=text(deflated(b"a photo")[:-1]),
            text_ends_early=text(deflated(b"a photo") + b"\0"),
            scale=part(1, b"\x80\x80\4\0" + bytes(8) + b"\0\0"),
            encoder_no_name=part(1, b"\0\3a/b" + bytes(8) + b"\0\0"),
            augmentation=part(2, b"\0\x80\x80\x40\4" + small_one(3, 2)),
            boxes_of_nothing=part(2, b"\0\0\0" + small_one(9, 6)),
            boxes_too_large=part(2, b"\0\0\7" + small_one(2, 1)),
            boxes_cut=part(2, b"\0\0"),
            boxes_of_another_size=part(2, b"\0\0\4" + small_one(3, 3)),
            boxes_swapped=part(2, b"\0\0\4" + small_one(2, 3)),
            boxes_and_more=part(2, box + b"?"),
            boxes_cut_stream=part(2, box[:-1]),
            boxes_without_stream=part(2, b"\0\0\4"),
            luma_of_another_size=part(2, b"\1\0" + small_one(6, 9)),
            chroma_of_nothing=part(2, b"\2\0\0" + small_one(9, 6)),
            chroma_too_large=part(2, b"\2\0\7" + small_one(9, 6)),
            chroma_of_another_size=part(2, b"\2\0\2" + small_one(5, 3)),
            mask_of_another_size=mask(small_one(6, 9, 32)),
            mask_cut=mask(small_one(9, 6, 32)[:-1]),
            mask_longer_than_all=part(2, b"\3\0\x7f" + small_one(9, 6)),
            mask_of_frames=mask(framed),
            part_of_nothing=part(2, b"\4\0\0\0\0\1" + small_one(1, 1)),
            part_beyond_rows=part(2, b"\4\0\6\0\1\1" + small_one(1, 1)),
            part_beyond_columns=part(2, b"\4\0\0\3\1\7" + small_one(7, 1)),
            part_of_another_size=part(2, b"\4\0\0\0\2\3" + small_one(2, 3)),
            frames=part(2, b"\1\0" + framed),
            file_of_nothing=part(3, b""),
            small_file_of_nothing=part(6, b"\0\0\4"),
            small_file_of_large_boxes=part(6, b"\0\0\7\xff\xd8\xff"),
            small_file_cut=part(6, b"\0\0"),
            before_nothing=part(4, b"\0"),
            before_and_more=part(4, b"\1\1\1"),
            digest_cut=part(5, bytes(31)),
            label_missing=part(5, bytes(32)),
            label_and_more=part(5, bytes(32) + b"\1ab"),
            label_a_path=part(5, bytes(32) + b"\2.."),
            label_not_utf8=part(5, bytes(32) + b"\1\xff"),
            label_twice=part(5, bytes(32) + b"\1a") + part(5, bytes(range(32)) + b"\1a"),
        ) | {
            "twice": write([head, Chunk("G", part(2, luma)), Chunk("G", part(2, luma)), P, E]),
            "before_a_palette": write([head, Chunk("G", part(2, luma)), Chunk("C", b"abc"), P, E]),
            "behind_ancillary": write([head, Chunk("i", b"icc"), Chunk("G", part(2, luma)), P, E]),
            "behind_a_pass": write([head, P, Chunk("G", part(2, luma)), E]),
            "behind_small": write([Chunk("S", StreamReader().feed(small_one(9, 6))[0].payload),
                                   Chunk("G", part(2, luma))]),
            "first": write([Chunk("G", part(2, luma)), head, P, E]),
            "nested_lacks_its_digest": holding(part(2, b"\1\0" + write([
                Chunk("H", replace(HEAD, codec=0).to_bytes()), P, E]))),
        },
    }  # fmt: skip


# ---- pictures


def base(image: np.ndarray, operator: Operator, augmentation: int | None = None, **options: Any) -> Base:
    """What the operator leaves of a picture, without loss or with ``options`` of `encode`."""
    return Base(diffcodec.encode(operator.apply(image), **options), operator, augmentation)


def decodable(photo: np.ndarray, alpha: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """DiffC by the test model, which was given boxes. photo uint8 (20, 24, 3), alpha uint8 (20, 24, 1)."""
    white, grey = WhiteInBoxes(), photo[:19, :23, :1]
    yield "given_boxes", diffcodec.encode(photo, "diffc", white, psnr=30, given=base(photo, Box(4)))
    yield "given_grey", diffcodec.encode(grey, "diffc", white, psnr=28, given=base(grey, Box(5), augmentation=3000))
    yield "given_alpha", diffcodec.encode(np.dstack([photo, alpha]), "diffc", white, psnr=26, given=base(photo, Box(2)))
    inner: dict[str, Any] = {"codec": "diffc", "model": white, "psnr": 34}
    half = Box(2).apply(photo)
    twice = base(photo, Box(2), 4096, **inner, given=base(half, Box(2), augmentation=6000))
    yield "given_twice", diffcodec.encode(photo, "diffc", white, psnr=29, given=twice)
    chunks = StreamReader().feed(diffcodec.encode(photo, "diffc", white, psnr=26, given=base(photo, Box(3))))
    yield "given_alone", write([chunk for chunk in chunks if chunk.type in "HGE"])


def undecodable(photo: np.ndarray) -> Iterator[tuple[str, bytes, str]]:
    """(name, stream, error) of what SPEC.md §2.3 allows and whoever decodes refuses."""
    told = diffcodec.encode(photo, "diffc", WhiteInBoxes(), psnr=26, given=base(photo, Box(4)))

    def other(payload: bytes, stream: bytes = told) -> bytes:
        first, *rest = StreamReader().feed(stream)
        return write([first, Chunk("G", payload), *(chunk for chunk in rest if chunk.type != "G")])

    def boxes(image: np.ndarray) -> bytes:
        return part(2, b"\0\0\4" + diffcodec.encode(image))

    small_photo = Box(4).apply(photo)
    known = np.indices(photo.shape[:2]).sum(0) % 2 == 0
    (seal,) = StreamReader().feed(diffcodec.encode(small_photo))
    wrong = write([Chunk("S", seal.payload[:-1] + bytes([seal.payload[-1] ^ 1]))])
    grey_mask = diffcodec.encode(known.astype(np.uint8))
    yield "given_text_to_the_test_model", other(text(b"\0a photo")), "ModelMismatch"
    yield "given_luma_to_the_test_model", other(part(2, b"\1\0" + diffcodec.encode(photo[..., 0]))), "ModelMismatch"
    yield "given_boxes_to_the_test_model_twice", other(boxes(small_photo) * 2), "ModelMismatch"
    yield "given_frames_before", other(part(4, b"\1")), "UnsupportedVersion"
    yield "given_boxes_of_alpha", other(boxes(small_photo.repeat(2, 2)[..., :4])), "CorruptStream"
    yield "given_boxes_of_16_bits", other(boxes(small_photo.astype(np.uint16) * 257)), "CorruptStream"
    yield "given_grey_boxes_of_colour", other(boxes(small_photo[..., :1])), "CorruptStream"
    yield "given_boxes_of_other_samples", other(part(2, b"\0\0\4" + wrong)), "DecodeMismatch"
    mask = part(2, b"\3\0" + varint(len(grey_mask)) + grey_mask + diffcodec.encode(photo))
    yield "given_a_grey_mask", other(mask), "CorruptStream"
    plain = diffcodec.encode(Picture(np.linspace(0, 1, 42, dtype=np.float32).reshape(6, 7), "F", b"profile"))
    yield "given_to_no_model", other(text(b"\0a photo"), plain), "CorruptStream"


def lattice_given(adjusted: bytes) -> bytes:
    """A stream of the lattice with an adjustment, whose model was given a text."""
    header, adjustment, *rest = StreamReader().feed(adjusted)
    assert adjustment.type == "A"
    return write([header, adjustment, Chunk("G", text(b"\0a photo")), *rest])
