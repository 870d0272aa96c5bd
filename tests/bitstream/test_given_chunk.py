"""Chunk `G`: its payload against SPEC.md §2.3, both readers on forged ones, what is left of the limits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from streams import SPEC, gifts, headers, reader_verdict, sized_streams, verdict

from diffcodec.bitstream import Chunk, Header, given, read, small, write
from diffcodec.runtime.errors import CorruptStream, LimitExceeded, UnsupportedVersion
from diffcodec.runtime.limits import DEFAULT_LIMITS, Limits
from diffcodec.runtime.varint import write_varint

SIZE = (9, 6)  #: width, height
HEAD = Header(2, 2, *SIZE, 3, 0, 0, "toy", bytes(range(8)), b"\0\0\0\0\x09")


def holding(payload: bytes, header: Header = HEAD) -> bytes:
    """A stream that was given what the payload says."""
    return write([Chunk("H", header.to_bytes()), Chunk("G", payload), Chunk("P", b"pass"), Chunk("E", b"")])


def picture(width: int, height: int) -> bytes:
    """A small picture's stream, by its looks."""
    header = Header(0, 0, width, height, 1, 0, 0, "", bytes(4), b"\0\1")
    return write([Chunk("S", small.pack(header, b"pass", b"dige"))])


def parts_of(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> Sequence[given.Given]:
    return read(holding(payload), limits=limits).given


def part(kind: int, fields: bytes) -> bytes:
    return bytes([kind]) + write_varint(len(fields)) + fields


def test_the_words_are_those_of_the_specification() -> None:
    assert (SPEC / "words.bin").read_bytes() == given.WORDS


@drawn(gifts(SIZE, 2).filter(bool))
def test_payload_inverse(some: list[given.Given]) -> None:
    payload = given.write(some)
    found = parts_of(payload)
    assert list(found) == some and given.write(found) == payload


@pytest.mark.parametrize("augmentation", [None, 0, 1, -1, 12345, given.AUGMENTATIONS, -given.AUGMENTATIONS])
def test_augmentations(augmentation: int | None) -> None:
    (found,) = parts_of(given.write([given.Stream("luma", (), augmentation, picture(*SIZE))]))
    assert isinstance(found, given.Stream) and found.augmentation == augmentation


def test_texts_come_back_as_they_were_packed() -> None:
    """By whoever wrote them: what `inspect` counts is what is there."""
    plain = b"\0a photo of a woman with a red flower"
    text = b"\0\0" + bytes(8) + write_varint(len(plain)) + plain + b"\0"
    assert given.write(parts_of(part(1, text))) == part(1, text)
    (found,) = parts_of(part(1, text))
    assert isinstance(found, given.Text) and len(given.write([given.Text(found.prompt)])) < len(text) - 12


# ---- forged payloads


def changed(payload: bytes, draw: st.DataObject) -> bytes:
    at = draw.draw(st.integers(0, len(payload) - 1))
    ways = {
        "set": payload[:at] + bytes([draw.draw(st.integers(0, 255))]) + payload[at + 1 :],
        "cut": payload[:at],
        "drop": payload[:at] + payload[at + 1 :],
        "insert": payload[:at] + draw.draw(st.binary(min_size=1, max_size=2)) + payload[at:],
        "repeat": payload[: at + 7] + payload[at:],
    }
    return ways[draw.draw(st.sampled_from(sorted(ways)))]


def resealed(some: given.Given, draw: st.DataObject) -> given.Given:
    """A nested stream with its own chunks changed under right checksums, or another size."""
    if not isinstance(some, given.Stream):
        return some
    width, height = SIZE
    other = draw.draw(st.sampled_from([(width, height), (1, 1), (width, height - 1), (2, 2)]))
    numbers = tuple(max(0, n + draw.draw(st.integers(-1, 1))) for n in some.numbers)
    stream = draw.draw(sized_streams(other, 1)) if draw.draw(st.booleans()) else some.stream
    mask = draw.draw(sized_streams(other, 0)) if some.mask and draw.draw(st.booleans()) else some.mask
    return given.Stream(some.operator, numbers, some.augmentation, stream, mask)


@drawn(some=gifts(SIZE, 2).filter(bool), header=headers, draw=st.data())
@settings(max_examples=300, deadline=None)
def test_both_readers_judge_forged_payloads_alike(some: list[given.Given], header: Header, draw: st.DataObject) -> None:
    kind = draw.draw(st.sampled_from(["bytes", "nested", "size"]))
    if kind == "bytes":
        payload = given.write(some)
        for _ in range(draw.draw(st.integers(1, 3))):
            payload = changed(payload, draw) or b"\0"
    else:
        payload = given.write([resealed(one, draw) for one in some])
    data = holding(payload, header if kind == "size" else HEAD)
    for partial in (False, True):
        assert verdict(data, partial=partial) == reader_verdict(data, partial=partial)


TEXT = b"\0\0" + bytes(8)  # scale, encoder, fingerprint
BOX = b"\0\0\3"  # box averages of 3×3, not augmented


@pytest.mark.parametrize(
    ("payload", "error", "match"),
    [
        (b"", CorruptStream, "nothing"),
        (part(9, b""), UnsupportedVersion, "kind 9"),
        (part(0, b""), UnsupportedVersion, "kind 0"),
        (b"\x03\x05abc", CorruptStream, "inside a field"),
        (b"\x03\x81\0abc", CorruptStream, "shortest form"),
        (part(4, b"\1") * 9, LimitExceeded, "more than 8"),
        (part(4, b"\0"), CorruptStream, "no frames"),
        (part(4, b"\1\1\1"), CorruptStream, "follow"),
        (part(4, b"\x80\x80\4"), CorruptStream, "16 bits"),
        (part(3, b""), CorruptStream, "no bytes"),
        (part(5, bytes(31)), CorruptStream, "inside a field"),
        (part(5, bytes(32)), CorruptStream, "inside a field"),
        (part(5, bytes(32) + b"\1a") * 2, CorruptStream, "by one name"),
        (part(5, bytes(32) + b"\3a/b"), CorruptStream, "plain"),
        (part(5, bytes(32) + b"\1\xff"), CorruptStream, "UTF-8"),
        (part(5, bytes(32) + b"\x41" + b"a" * 65), LimitExceeded, "65 bytes"),
        (part(5, bytes(32) + b"\1ab"), CorruptStream, "follow"),
        (part(1, TEXT + b"\0"), CorruptStream, "inside a field"),
        (part(1, TEXT + b"\2\2x\0"), UnsupportedVersion, "compression 2"),
        (part(1, TEXT + b"\1\0\0"), CorruptStream, "empty text"),
        (part(1, TEXT + b"\2\0\xff\0"), CorruptStream, "UTF-8"),
        (part(1, TEXT + b"\2\1\x07\0"), CorruptStream, "inflate"),
        (part(1, TEXT + b"\1\1\0"), CorruptStream, "end where it should"),
        (part(1, TEXT + b"\0\0\0"), CorruptStream, "follow"),
        (part(1, b"\x80\x80\4\0" + bytes(8) + b"\0\0"), CorruptStream, "16 bits"),
        (part(1, b"\0\1.\0" + bytes(8)), CorruptStream, "plain"),
        (part(2, b"\5\0\3" + picture(3, 2)), UnsupportedVersion, "operator 5"),
        (part(2, b"\0\x80\x80\x40\3" + picture(3, 2)), CorruptStream, "20 bits"),
        (part(2, b"\0\0\0" + picture(3, 2)), CorruptStream, "not of this picture"),
        (part(2, b"\0\0\7" + picture(2, 1)), CorruptStream, "not of this picture"),
        (part(2, b"\2\0\7" + picture(*SIZE)), CorruptStream, "not of this picture"),
        (part(2, b"\4\0\0\0\0\1" + picture(1, 1)), CorruptStream, "not of this picture"),
        (part(2, b"\4\0\6\0\1\1" + picture(1, 1)), CorruptStream, "not of this picture"),
        (part(2, b"\4\0\0\x09\1\1" + picture(1, 1)), CorruptStream, "not of this picture"),
        (part(2, BOX + picture(3, 3)), CorruptStream, "3×3 pixels where 3×2"),
        (part(2, BOX + picture(3, 2) + b"x"), CorruptStream, "bytes follow the end"),
        (part(2, BOX + picture(3, 2)[:-1]), CorruptStream, "is cut"),
        (part(2, BOX), CorruptStream, "is cut"),
        (part(2, b"\3\0\0" + picture(*SIZE)), CorruptStream, "is cut"),
    ],
)
def test_payloads_that_break_a_rule(payload: bytes, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        parts_of(payload)
    assert verdict(holding(payload)) == reader_verdict(holding(payload)) == error.__name__


# ---- limits


def nested(depth: int) -> bytes:
    """A stream with so many others within one another."""
    data = picture(*SIZE)
    for _ in range(depth):
        data = holding(given.write([given.Stream("luma", (), None, data)]))
    return data


def test_depth() -> None:
    assert read(nested(4)).pixels == 5 * 54
    for data in (nested(5), holding(given.write([given.Stream("mask", (), None, nested(4), picture(*SIZE))]))):
        assert verdict(data) == reader_verdict(data) == "LimitExceeded"
    with pytest.raises(LimitExceeded, match="more than 4 deep"):
        read(nested(5))
    within_masks = holding(given.write([given.Stream("mask", (), None, nested(3), nested(3))]))
    assert read(within_masks).pixels == 9 * 54


def test_pixels_count_at_every_level() -> None:
    for data, pixels in ((nested(3), 4 * 54), (frames_given(3), 3 * 2 * 54)):
        assert read(data, limits=Limits(max_pixels=pixels)).pixels == pixels
        with pytest.raises(LimitExceeded):
            read(data, limits=Limits(max_pixels=pixels - 1))


def frames_given(count: int) -> bytes:
    """A stream of so many frames, each of which was given another."""
    one = given.write([given.Stream("luma", (), None, picture(*SIZE))])
    head = [Chunk("H", HEAD.to_bytes()), Chunk("G", one), Chunk("P", b"pass")]
    frames = [Chunk("N", write([*head, Chunk("E", b"")]))] * (count - 1)
    return write([*head, *frames, Chunk("E", b"")])


def bomb(size: int) -> bytes:
    """A text of so many bytes, deflated."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=given.WORDS)
    data = b"\1" + engine.compress(b"a" * size) + engine.flush()
    return part(1, TEXT + write_varint(len(data)) + data + b"\0")


def test_a_text_that_inflates_without_end() -> None:
    assert len(parts_of(bomb(2**16))) == 1
    for size in (2**16 + 1, 2**24):
        assert verdict(holding(bomb(size))) == reader_verdict(holding(bomb(size))) == "LimitExceeded"


def test_texts_count_as_metadata_wherever_they_are() -> None:
    """Else a few bytes of a nested stream, or of one frame among many, were 64 kB of memory each."""
    inner = holding(bomb(1000) * 3)
    outer = bomb(500) + part(2, b"\1\0" + inner) + part(2, b"\1\0" + inner)
    assert read(holding(outer)).metadata == 6500
    for most, error in ((6500, ""), (6499, "LimitExceeded")):
        try:
            read(holding(outer), limits=Limits(max_metadata=most))
            assert not error
        except LimitExceeded:
            assert error
    frames = [Chunk("N", inner)] * 3
    data = write([Chunk("H", HEAD.to_bytes()), *frames, Chunk("E", b"")])
    assert read(data).metadata == 9000
    with pytest.raises(LimitExceeded):
        read(data, limits=Limits(max_metadata=8999))


def test_what_is_nested_holds_no_frames() -> None:
    data = holding(part(2, b"\1\0" + frames_given(2)))
    assert verdict(data) == reader_verdict(data) == "CorruptStream"
