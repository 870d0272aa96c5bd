"""Metadata: the value's bytes, its chunks in streams, what a size that is asked for makes of it, hostile bytes."""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from conftest import White
from hypothesis import given
from hypothesis import strategies as st

import diffcodec
from diffcodec import api
from diffcodec.bitstream import StreamReader, read
from diffcodec.media.exif import Directory, Value, directory, first_directory, structure, without_thumbnail
from diffcodec.media.metadata import EMPTY, UNITS, Density, Frame, Metadata, Palette, Text
from diffcodec.media.picture import Picture
from diffcodec.runtime import ancillary
from diffcodec.runtime.errors import BitstreamError, CorruptStream, InputError, LimitExceeded
from diffcodec.runtime.limits import Limits

ARRAY = np.random.default_rng(5).integers(0, 256, (40, 30, 3), dtype=np.uint8)

fractions = st.builds(Fraction, st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
named = st.lists(
    st.tuples(st.sampled_from(["sBIT", "bKGD", "tIME", "gAMA", "cICP"]), st.binary(max_size=12)), max_size=3
).map(tuple)
plain_texts = st.builds(Text, strings, strings)
texts = plain_texts | st.builds(Text, strings, strings, strings, strings, st.just(True))
everything = st.builds(
    Metadata,
    icc=st.none() | st.binary(min_size=1, max_size=600),
    exif=st.none() | st.binary(min_size=1, max_size=60),
    xmp=st.none() | st.binary(min_size=1, max_size=60),
    iptc=st.none() | st.binary(min_size=1, max_size=60),
    text=st.lists(texts, max_size=3).map(tuple),
    comments=st.lists(st.binary(max_size=20), max_size=3).map(tuple),
    colour=named,
    other=named,
    density=st.none() | st.builds(Density, fractions, fractions, st.sampled_from(UNITS)),
    palette=st.none()
    | st.builds(Palette, st.binary(min_size=1, max_size=40).map(lambda b: b * 3), st.just(b""), st.binary(max_size=9)),
    frame=st.none() | st.builds(Frame, st.none() | fractions, st.none() | st.integers(0, 2**32 - 1)),
)


def exif_of(thumbnail: bytes, note: bytes = b"maker's note") -> bytes:
    """Exif data with an orientation, a directory of their own with a note, and a thumbnail behind."""
    tags = {274: Value(3, 1, b"\6\0"), 271: Value(2, 6, b"maker\0")}
    front = structure(Directory(tags, {0x8769: Directory({0x927C: Value(7, len(note), note)}, {}, 0)}, 0), "<")
    front += bytes(len(front) % 2)
    entries = [(0x0103, 3, 1, 6), (0x0201, 4, 1, len(front) + 2 + 36 + 4), (0x0202, 4, 1, len(thumbnail))]
    second = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    count = struct.unpack_from("<H", front, 8)[0]
    return front[: 10 + 12 * count] + struct.pack("<I", len(front)) + front[14 + 12 * count :] + second + thumbnail


# ---- bytes and back


@given(everything)
def test_bytes_and_chunks_give_the_same_back(metadata: Metadata) -> None:
    assert Metadata.from_bytes(metadata.to_bytes()) == metadata
    assert Metadata.from_chunks(dict(metadata.chunks())) == metadata
    assert Metadata.from_bytes(metadata.to_bytes()).to_bytes() == metadata.to_bytes()
    assert bool(metadata) == bool(metadata.to_bytes()) == bool(metadata.kinds)


@given(st.binary(max_size=60))
def test_any_bytes_are_metadata_or_refused(data: bytes) -> None:
    for payload in (data, b"p" + bytes([len(data)]) + data, b"w" + bytes([len(data) + 2, 0, len(data)]) + data):
        try:
            Metadata.from_bytes(payload)
        except BitstreamError as error:
            assert "\n" not in str(error)


@given(st.sampled_from("pegdkwncbfl"), st.binary(max_size=60))
def test_any_bytes_of_any_kind_are_read_or_refused(letter: str, data: bytes) -> None:
    for payload in (data, ancillary.pack(data), bytes([len(data) % 5, 200]) + data):
        try:
            metadata = Metadata.from_chunks({letter: payload})
        except BitstreamError as error:
            assert "\n" not in str(error)
        else:
            assert Metadata.from_bytes(metadata.to_bytes()) == metadata


@pytest.mark.parametrize("size", [0, 1, 511, 512, 5000])
@pytest.mark.parametrize("profile", [False, True])
def test_every_compression_and_its_size(size: int, profile: bool) -> None:
    data = bytes(np.random.default_rng(size).integers(0, 4, size, dtype=np.uint8))
    payload = ancillary.pack(data, profile=profile)
    assert ancillary.unpack(payload) == data and ancillary.declared(payload) == size
    stored = payload[0] == ancillary.STORED  # as they are, all bytes but the first
    for cut in range(1 if stored else len(payload)):
        with pytest.raises(BitstreamError):
            ancillary.unpack(payload[:cut])
    with pytest.raises(BitstreamError):
        ancillary.unpack(payload + b"\0" if not stored else b"")
    with pytest.raises(LimitExceeded):
        ancillary.unpack(payload, Limits(max_metadata=size - 1))


@pytest.mark.parametrize("way", ["deflate", "lzma"])
def test_a_bomb_inflates_to_no_more_than_it_says(way: str) -> None:
    import lzma
    import zlib

    zeros = bytes(2**24)
    if way == "deflate":
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        body, method = deflater.compress(zeros) + deflater.flush(), ancillary.DEFLATE
    else:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 2**22}]
        body, method = lzma.compress(zeros, lzma.FORMAT_RAW, filters=filters), ancillary.LZMA
    with pytest.raises(CorruptStream):
        ancillary.unpack(bytes([method, 100]) + body)


def test_a_standard_profile_is_a_flag_and_a_variant_little_more() -> None:
    from importlib import resources

    profiles = resources.files("diffcodec.runtime").joinpath("profiles.bin").read_bytes()
    for start, size in ((0, 3144), (3144, 3048)):
        profile = profiles[start : start + size]
        assert len(ancillary.pack(profile, profile=True)) == 4
        dated = profile[:24] + bytes(range(12)) + profile[36:]
        assert ancillary.unpack(ancillary.pack(dated, profile=True)) == dated
        assert len(ancillary.pack(dated, profile=True)) < 80
    assert ancillary.unpack(ancillary.pack(profiles[:3144], profile=True)) == profiles[:3144]


# ---- in streams


@pytest.mark.usefixtures("fake_codec")
def test_small_metadata_stand_in_front_as_ever() -> None:
    data = diffcodec.encode(Picture(ARRAY, "RGB", b"profile", b"II*\0"))
    letters = "".join(chunk.type for chunk in StreamReader().feed(data))
    assert letters.startswith("Hix") and "M" not in letters and read(data).version < (1, 4)


@pytest.mark.usefixtures("fake_codec")
@given(everything)
def test_a_stream_keeps_every_kind(metadata: Metadata) -> None:
    picture = Picture(ARRAY, "RGB", metadata=metadata)
    data = diffcodec.encode(picture)
    back = api.decode_picture(data)
    assert back.metadata == metadata and np.array_equal(back.samples, ARRAY)
    assert set(diffcodec.inspect(data)["metadata"]) == set(metadata.kinds)
    previews = list(diffcodec.decode_progressive(data))
    assert np.array_equal(previews[-1].image, ARRAY)


@pytest.mark.usefixtures("fake_codec")
def test_large_metadata_do_not_delay_the_first_preview() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 40000, dtype=np.uint8).tobytes()
    bare = diffcodec.inspect(diffcodec.encode(ARRAY))["passes"][0]["end"]
    many = Metadata(icc=noise[:3000], exif=exif_of(noise), xmp=noise[:500], comments=(b"short",))
    data = diffcodec.encode(Picture(ARRAY, "RGB", metadata=many))
    found = diffcodec.inspect(data)
    assert found["passes"][0]["end"] <= bare + 100 and found["format"] == "1.4"
    assert found["metadata"]["exif"] > 40000
    preview = api.decode_picture(data, upto_bytes=found["passes"][-1]["end"])
    assert np.array_equal(preview.samples, ARRAY) and preview.metadata == Metadata(comments=(b"short",))


def test_stripping() -> None:
    thumbnail = b"\xff\xd8" + bytes(range(256)) * 10
    exif = exif_of(thumbnail)
    full = Metadata(icc=b"profile", exif=exif, xmp=b"<x/>", comments=(b"c",), colour=(("gAMA", b"\0\0\xb1\x8f"),))
    assert thumbnail in exif
    smaller = full.without_thumbnail()
    assert smaller.exif is not None and len(smaller.exif) < len(exif) - len(thumbnail) and smaller.xmp == full.xmp
    found, before = (directory(data, first_directory(data)) for data in (smaller.exif, exif))
    assert found and before and found.next == 0 and (found.tags, found.sub) == (before.tags, before.sub)
    stripped = full.stripped()
    assert stripped.exif is not None and stripped.kinds == ("icc", "exif", "colour")
    left = directory(stripped.exif, first_directory(stripped.exif))
    assert left and list(left.tags) == [274] and left.tags[274].raw == b"\6\0"
    assert Metadata(exif=b"II*\0 no directory").stripped() == EMPTY


@given(st.integers(0, 300), st.integers(0, 255))
def test_a_thumbnail_of_damaged_exif_is_left_or_taken(at: int, value: int) -> None:
    data = bytearray(exif_of(bytes(200)))
    data[at % len(data)] = value
    out = without_thumbnail(bytes(data))
    assert len(out) <= len(data)
    Metadata(exif=bytes(data)).stripped()


def test_values_that_overlap_take_no_more_memory_than_the_data() -> None:
    entries = [struct.pack("<HHII", 1000 + n, 7, 60000, 8) for n in range(5000)]
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    found = directory(data, 8)
    assert found is not None and sum(len(value.raw) for value in found.tags.values()) <= len(data)


def test_directories_that_point_to_each_other_many_times_are_read_once() -> None:
    entries = [struct.pack("<HHII", 0x8769, 4, 1, 8) for _ in range(20000)]
    data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", 8)
    found = directory(data, 8)
    assert found is not None and not found.tags and len(found.sub) == 1
    assert len(without_thumbnail(data)) <= len(data)


@given(st.binary(max_size=100))
def test_any_bytes_as_exif(data: bytes) -> None:
    for exif in (data, b"II*\0\x08\0\0\0" + data, b"MM\0*\0\0\0\x08" + data):
        assert len(without_thumbnail(exif)) <= len(exif)
        Metadata(exif=exif).stripped()


@pytest.mark.usefixtures("fake_codec")
def test_strip_of_encode_reaches_all_frames() -> None:
    page = Picture(ARRAY, "RGB", b"profile", exif_of(bytes(300)), metadata=Metadata(xmp=b"<x/>"))
    data = diffcodec.encode(replace(page, frames=(page,)), strip="all")
    back = api.decode_picture(data, frames=True)
    assert [one.metadata.kinds for one in (back, *back.frames)] == [("icc", "exif")] * 2
    data = diffcodec.encode(replace(page, frames=(page,)), strip="thumbnail")
    back = api.decode_picture(data, frames=True)
    assert [one.metadata for one in (back, *back.frames)] == [page.metadata.without_thumbnail()] * 2
    with pytest.raises(InputError, match="strip"):
        diffcodec.encode(page, strip="some")  # type: ignore[arg-type]


# ---- frames


@pytest.mark.usefixtures("fake_codec")
def test_frames_of_their_own_sizes_and_modes() -> None:
    grey = Picture(ARRAY[:7, :9, 0].copy(), "L", metadata=Metadata(frame=Frame(Fraction(1, 10))))
    wide = Picture(ARRAY.astype(np.uint16) * 257, "RGB;16", exif=b"II*\0" + bytes(200))
    first = Picture(ARRAY, "RGB", metadata=Metadata(frame=Frame(Fraction(1, 25), 0)), frames=(grey, wide))
    data = diffcodec.encode(first)
    back = api.decode_picture(data, frames=True)
    for one, other in zip((back, *back.frames), (first, grey, wide), strict=True):
        assert one.mode == other.mode and np.array_equal(one.samples, other.samples) and one.metadata == other.metadata
    assert api.decode_picture(data).frames == ()
    assert [array.dtype.name for array in diffcodec.decode_sequence(data)] == ["uint8", "uint8", "uint16"]
    found = diffcodec.inspect(data)
    assert (found["frames"], found["format"]) == (3, "1.4")
    previews = list(diffcodec.decode_progressive([data[i : i + 100] for i in range(0, len(data), 100)]))
    assert [preview.frame for preview in previews[-3:]] == [1, 2, 0] and previews[-1].complete
    assert np.array_equal(previews[-3].image, grey.samples) and np.array_equal(previews[-2].image, wide.samples)


@pytest.mark.usefixtures("fake_codec")
def test_pixels_of_all_frames_are_within_the_limit() -> None:
    one = Picture(ARRAY, "RGB")
    data = diffcodec.encode(replace(one, frames=(one, one)))
    pixels = 3 * ARRAY.shape[0] * ARRAY.shape[1]
    assert len(diffcodec.decode_sequence(data, max_pixels=pixels)) == 3
    with pytest.raises(LimitExceeded):
        diffcodec.decode(data, max_pixels=pixels - 1)


# ---- sizes that are asked for


def test_a_size_counts_metadata() -> None:
    white, pixels = White(), ARRAY.shape[0] * ARRAY.shape[1]

    def lossy(metadata: Metadata, size: int) -> bytes:
        return diffcodec.encode(Picture(ARRAY, "RGB", metadata=metadata), "diffc", white, max_bytes=size)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(lossy(Metadata(xmp=b"<x/>"), pixels)) <= pixels
    noise = np.random.default_rng(2).integers(0, 256, 2000, dtype=np.uint8).tobytes()
    with pytest.warns(UserWarning, match="more than a tenth"):
        data = lossy(Metadata(xmp=noise[:300]), pixels)
    assert len(data) <= pixels and api.decode_picture(data, model=white).metadata.xmp == noise[:300]
    with pytest.warns(UserWarning, match="thumbnail is left out"):
        data = lossy(Metadata(exif=exif_of(noise)), pixels)
    kept = api.decode_picture(data, model=white).metadata
    assert len(data) <= pixels and kept == Metadata(exif=without_thumbnail(exif_of(noise)))
    with pytest.raises(InputError, match="strip"):
        lossy(Metadata(xmp=noise), pixels)


def test_lossy_frames_share_a_size() -> None:
    white, pixels = White(), ARRAY.shape[0] * ARRAY.shape[1]
    first = Picture(ARRAY, "RGB", frames=(Picture(ARRAY[::-1].copy(), "RGB"),))
    data = diffcodec.encode(first, "diffc", white, max_bytes=pixels)
    assert 0.9 * pixels < len(data) <= pixels
    shown = diffcodec.decode_sequence(data, model=white, reconstruction="mean")
    for array, other in zip(shown, (ARRAY, ARRAY[::-1]), strict=True):
        assert np.square(array.astype(float) - other).mean() < np.square(128.0 - other).mean()
