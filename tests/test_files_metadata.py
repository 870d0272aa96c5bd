"""Metadata in files: what each format holds comes back, through a .dfc as well, or is named in one warning."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_metadata import exif_of

import diffcodec
from diffcodec import api, files
from diffcodec.files import metadata as file_metadata
from diffcodec.files import metadata_gif, metadata_iptc, metadata_jpeg, metadata_png, metadata_tiff, metadata_webp
from diffcodec.media.exif import Directory, Value, byte_order, directory, first_directory, reordered, structure
from diffcodec.media.metadata import Density, Frame, Metadata, Text
from diffcodec.media.picture import Picture

pytestmark = pytest.mark.usefixtures("fake_codec")
CASES = Path(__file__).parent / "data" / "cases"
ARRAY = np.random.default_rng(3).integers(0, 256, (18, 20, 3), dtype=np.uint8)
EXIF = structure(
    Directory(
        {274: Value(3, 1, b"\1\0"), 271: Value(2, 6, b"maker\0"), 65000: Value(1, 7, b"private")},
        {
            0x8769: Directory({0x927C: Value(7, 9, b"the note ")}, {}, 0),
            0x8825: Directory({1: Value(2, 2, b"N\0")}, {}, 0),
        },
        0,
    ),
    "<",
)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
IPTC = b"\x1c\x02\x05\x00\x05title"
ICC = bytes(36) + b"acsp" + bytes(88)
PNG_KINDS = {
    "icc": ICC,
    "exif": exif_of(bytes(range(200))),
    "xmp": XMP,
    "iptc": IPTC,
    "text": (
        Text("Title", "plain"),
        Text("Title", "naïve"),
        Text("Long", "words " * 500),
        Text("Title", "ein Bild ❤", "de", "Titel", True),
        Text("Author", "international without a language", international=True),
        Text("Later", "❤" * 2000, "x-later", "", True),
    ),
    "colour": (
        ("gAMA", struct.pack(">I", 45455)),
        ("cHRM", struct.pack(">8I", *range(1, 9))),
        ("sRGB", b"\1"),
        ("cICP", b"\x09\x10\0\1"),
        ("mDCV", bytes(24)),
        ("cLLI", bytes(8)),
    ),
    "other": (("sBIT", b"\5\6\5"), ("bKGD", bytes(6)), ("tIME", b"\x07\xe8\1\2\3\4\5"), ("vpAg", b"private")),
    "density": Density(Fraction(11811), Fraction(5905), "metre"),
}
TIFF_KINDS = {
    "icc": ICC,
    "exif": EXIF,
    "xmp": XMP,
    "iptc": IPTC,
    "density": Density(Fraction(300), Fraction(7201, 100), "inch"),
}
WEBP_KINDS = {"icc": ICC, "exif": exif_of(bytes(range(200))), "xmp": XMP}
BMP_KINDS = {"density": Density(Fraction(11811), Fraction(5905), "metre")}
HELD = {"PNG": PNG_KINDS, "TIFF": TIFF_KINDS, "WEBP": WEBP_KINDS, "BMP": BMP_KINDS}


def through(data: bytes, format: str, *, warn: bool = False) -> tuple[bytes, Picture]:
    """file -> .dfc -> file: the file written, and the picture that was read."""
    with warnings.catch_warnings():
        warnings.simplefilter("default" if warn else "error")
        picture = files.read_all(data)
        back = api.decode_picture(diffcodec.encode(picture), frames=True)
        return files.write_all(back, format), picture


# ---- laws


@pytest.mark.parametrize("format", HELD)
def test_what_a_format_holds_reads_back_together_and_alone(format: str) -> None:
    kinds = HELD[format]
    for metadata in [Metadata(**kinds), *(Metadata(**{kind: value}) for kind, value in kinds.items()), Metadata()]:
        data = files.write(Picture(ARRAY, "RGB", metadata=metadata), format)
        back = files.read(data)
        assert back.metadata == metadata and np.array_equal(back.samples, ARRAY)
        again, _ = through(data, format)
        assert again == data


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "BMP", "PPM", "NPY"])
@pytest.mark.parametrize("kind", [*PNG_KINDS, "comments"])
def test_every_kind_is_held_or_named_in_one_warning(format: str, kind: str) -> None:
    value = (b"a comment",) if kind == "comments" else PNG_KINDS[kind]
    metadata = Metadata(**{kind: value})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = files.write(Picture(ARRAY, "RGB", metadata=metadata), format)
    back = files.read(data).metadata
    assert len(told) <= 1
    as_other_kind = {"comments": ("PNG", "TIFF"), "density": ("TIFF",), "exif": ("TIFF",)}
    if getattr(back, kind) != value and format not in as_other_kind.get(kind, ()):
        assert len(told) == 1 and "has no place" in str(told[0].message)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_in_another_byte_order_than_the_tiff_file(order: str) -> None:
    found = directory(EXIF, 8)
    assert found is not None
    exif = structure(reordered(found, "<", order), order)
    back = files.read(files.write(Picture(ARRAY, "RGB", exif=exif), "TIFF"))
    assert back.exif is not None
    there = directory(back.exif, first_directory(back.exif))
    assert there is not None and reordered(there, byte_order(back.exif) or "", "<").tags == found.tags


def test_structural_tags_in_exif_do_not_reach_a_tiff() -> None:
    tags = {tag: Value(3, 1, b"\7\0") for tag in (256, 258, 259, 262, 266, 277, 284, 317, 338, 339)} | {
        271: Value(2, 6, b"maker\0")
    }
    back = files.read(files.write(Picture(ARRAY, "RGB", exif=structure(Directory(tags, {}, 0), "<")), "TIFF"))
    assert np.array_equal(back.samples, ARRAY) and back.exif is not None
    found = directory(back.exif, 8)
    assert found is not None and found.tags == {271: tags[271]}


# ---- PNG


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png_with(*chunks: bytes, behind: bytes = b"") -> bytes:
    plain = files.write(Picture(ARRAY, "RGB"), "PNG")
    return plain[:33] + b"".join(chunks) + plain[33:-12] + behind + plain[-12:]


def test_png_chunks_behind_the_pixels_and_hidden_in_texts() -> None:
    exif = b"Exif\0\0" + EXIF

    def hidden(kind: bytes, data: bytes) -> bytes:
        lines = f"\n{kind.decode()}\n{len(data):8}\n".encode() + data.hex().encode()
        return chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(lines))

    behind = png_with(behind=chunk(b"eXIf", EXIF))
    for data in (behind, png_with(hidden(b"exif", exif)), png_with(hidden(b"APP1", exif))):
        assert files.read(data).exif == EXIF
    assert files.read(png_with(hidden(b"iptc", metadata_iptc.resources(IPTC)))).metadata.iptc == IPTC
    assert files.read(png_with(hidden(b"xmp", XMP))).metadata.xmp == XMP
    assert files.read(png_with(behind=chunk(b"tEXt", b"Title\0behind"))).metadata.text == (Text("Title", "behind"),)


def test_a_text_that_inflates_beyond_all_limits_is_named() -> None:
    bomb = zlib.compress(bytes(2**26), 9)
    found, lost = metadata_png.read(png_with(chunk(b"zTXt", b"Title\0\0" + bomb)))
    assert found == Metadata() and lost == ("a damaged zTXt",)


def test_chunks_of_hostile_metadata_do_not_change_the_pixels() -> None:
    names = ("tRNS", "acTL", "fcTL", "iCCP", "gAMA", "sBIT", "hIST")
    metadata = Metadata(other=tuple((name, b"\0" * 6) for name in names))
    with pytest.warns(UserWarning, match="tRNS"):
        data = files.write(Picture(ARRAY, "RGB", metadata=metadata), "PNG")
    back = files.read(data)
    assert back.mode == "RGB" and np.array_equal(back.samples, ARRAY)


@pytest.mark.parametrize("name", ["exif-after-idat-rgb16.png", "png-colour-tags.png", "label-mask-palette.png"])
def test_png_cases_come_back_with_all_they_say(name: str) -> None:
    data = (CASES / name).read_bytes()
    again, picture = through(data, "PNG")
    assert picture.metadata and files.read(again).metadata == picture.metadata

    def told(file: bytes) -> dict[str, bytes]:
        found = {name: payload for name, payload, _, _ in metadata_png.chunks(file)}
        return {name: payload for name, payload in found.items() if name not in ("IDAT", "IHDR", "IEND")}

    assert told(again) == told(data)
    assert again[24:26] == data[24:26] or name == "label-mask-palette.png"  # depth, colour type


@pytest.mark.parametrize("transparency", [None, b"\0\x80\xff\x10", 2])
def test_palettes_and_indices_come_back(transparency: bytes | int | None) -> None:
    rng = np.random.default_rng(8)
    indices = rng.integers(0, 8, (13, 9), dtype=np.uint8)
    image = Image.fromarray(indices, "P")
    palette = bytes([9, 9, 9, 1, 2, 3, 9, 9, 9, 200, 1, 2, 1, 2, 3, 77, 77, 77, 9, 9, 9, 5, 5, 5])
    image.putpalette(palette)
    out = io.BytesIO()
    image.save(out, "PNG", **({} if transparency is None else {"transparency": transparency}))
    again, picture = through(out.getvalue(), "PNG")
    back = Image.open(io.BytesIO(again))
    assert back.mode == "P" and np.array_equal(np.asarray(back), indices) and back.palette is not None
    assert bytes(back.palette.palette) == palette
    assert np.array_equal(np.asarray(back.convert(picture.mode)), picture.samples)
    with pytest.warns(UserWarning, match="palette"):
        files.write(picture, "TIFF")
    cut = replace(picture, samples=picture.samples[:5].copy())
    with pytest.warns(UserWarning, match="palette"):  # no longer of this picture
        assert np.array_equal(files.read(files.write(cut, "PNG")).samples, cut.samples)


# ---- JPEG, TIFF, WebP, GIF


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(ARRAY).save(out, "JPEG")
    data = out.getvalue()
    body = b"".join(b"\xff" + bytes([m]) + struct.pack(">H", len(p) + 2) + p for m, p in segments)
    return data[:20] + body + data[20:]


def test_jpeg_segments() -> None:
    profile = bytes(range(256)) * 4
    data = jpeg_with(
        (0xE1, b"Exif\0\0" + EXIF),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        (0xE2, b"ICC_PROFILE\0\2\2" + profile[500:]),
        (0xE2, b"ICC_PROFILE\0\1\2" + profile[:500]),
        (0xED, b"Photoshop 3.0\0" + metadata_iptc.resources(IPTC)),
        (0xFE, b"one"),
        (0xFE, b"two"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = files.read(data).metadata
    assert found == Metadata(icc=profile, exif=EXIF, xmp=XMP, iptc=IPTC, comments=(b"one", b"two"))


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ((0xE2, b"MPF\0" + bytes(20)), "MPF"),
        ((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(50)), "extended"),
        ((0xE1, b'http://ns.adobe.com/xap/1.0/\0<x xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/"/>'), "gain map"),
        ((0xEB, b"JP\0\0jumb"), "APP11"),
        ((0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x0b\0\0" + struct.pack(">I", 4) + b"http"), "Photoshop"),
    ],
)
def test_what_of_a_jpeg_is_not_kept_is_named(segment: tuple[int, bytes], name: str) -> None:
    with pytest.warns(UserWarning, match=name) as told:
        files.read(jpeg_with(segment))
    assert len([one for one in told if str(one.message).startswith("of this file is not kept")]) == 1


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_the_jpeg_case_keeps_density_xmp_comment_and_exif(format: str) -> None:
    data, picture = through((CASES / "jpeg-xmp-dpi.jpg").read_bytes(), format)
    back = files.read(data).metadata
    assert back.xmp == picture.metadata.xmp is not None
    assert back.density is not None and [round(float(side), 2) for side in back.density.dpi() or ()] == [300, 300]
    with Image.open(io.BytesIO(data)) as image:
        assert [round(side, 2) for side in image.info["dpi"]] == [300, 300]
        assert "hello" in (image.info.get("Comment"), image.getexif().get(270))
        exif = image.getexif()
    before = Image.Exif()
    before.load(b"Exif\0\0" + (picture.exif or b""))
    assert before and {tag: exif.get(tag) for tag in before if tag < 0x8000} == {
        tag: value for tag, value in before.items() if tag < 0x8000
    }


def test_tiff_pages_come_back() -> None:
    data = (CASES / "tiff-3pages.tif").read_bytes()
    again, picture = through(data, "TIFF")
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(again)) as after:
        assert after.n_frames == before.n_frames == 1 + len(picture.frames) == 3
        for page in range(3):
            before.seek(page)
            after.seek(page)
            assert np.array_equal(np.asarray(before), np.asarray(after))


def test_pages_with_sizes_modes_and_metadata_of_their_own() -> None:
    grey = Picture(ARRAY[:5, :7, 0].copy(), "L", metadata=Metadata(**TIFF_KINDS))
    first = Picture(ARRAY, "RGB", metadata=Metadata(exif=EXIF), frames=(grey, Picture(ARRAY[:3].copy(), "RGB")))
    data = files.write_all(first, "TIFF")
    again, back = through(data, "TIFF")
    assert again == data
    for one, other in zip((back, *back.frames), (first, *first.frames), strict=True):
        assert one.mode == other.mode and np.array_equal(one.samples, other.samples)
        assert one.metadata == other.metadata


def test_gif_comments_xmp_and_animation() -> None:
    frames = [Image.fromarray((ARRAY // 64 * 64) ^ np.uint8(64 * k)) for k in range(3)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=[40, 50, 60], loop=0, comment=b"hello")
    data = out.getvalue()
    at = data.index(b"\x21\xf9")
    xmp = b"\x21\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    picture = files.read_all(data[:at] + xmp + data[at:])
    assert picture.metadata.xmp == XMP and b"hello" in picture.metadata.comments
    timings = [one.metadata.frame for one in (picture, *picture.frames)]
    assert timings == [Frame(Fraction(k, 100), 0 if k == 4 else None) for k in (4, 5, 6)]
    with Image.open(io.BytesIO(data)) as image:
        for number, one in enumerate((picture, *picture.frames)):
            image.seek(number)
            assert np.array_equal(np.asarray(image.convert("RGBA")), np.asarray(one.to_pillow().convert("RGBA")))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_animations_come_back(format: str, mode: str) -> None:
    rng = np.random.default_rng(6)
    shape = (9, 11, len(mode))
    frames = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(3)]
    frames.append(frames[-1])  # shown twice
    timing = [Frame(Fraction(k, 1000), 5 if not n else None) for n, k in enumerate((40, 50, 1000, 7))]
    pictures = [Picture(f, mode, metadata=Metadata(frame=t)) for f, t in zip(frames, timing, strict=True)]
    first = replace(pictures[0], metadata=Metadata(frame=timing[0], exif=EXIF), frames=tuple(pictures[1:]))
    data = files.write_all(first, format)
    again, back = through(data, format)
    assert again == data and len(back.frames) == 3
    for one, other in zip((back, *back.frames), (first, *first.frames), strict=True):
        assert one.metadata == other.metadata
        assert np.array_equal(one.samples.reshape(shape), other.samples)


def test_frames_that_do_not_fit_an_animation_are_named() -> None:
    picture = Picture(ARRAY, "RGB", frames=(Picture(ARRAY[:4].copy(), "RGB"),))
    for format in ("PNG", "WEBP", "BMP"):
        with pytest.warns(UserWarning, match="1 further frames"):
            assert np.array_equal(files.read(files.write_all(picture, format)).samples, ARRAY)


# ---- hostile bytes


@settings(max_examples=300)
@given(st.sampled_from([*HELD, "JPEG", "GIF"]), st.data())
def test_damaged_files_raise_nothing_foreign_and_do_not_hang(format: str, data: st.DataObject) -> None:
    if format in HELD:
        whole = bytearray(files.write(Picture(ARRAY, "RGB", metadata=Metadata(**HELD[format])), format))
    elif format == "JPEG":
        photoshop = b"Photoshop 3.0\0" + metadata_iptc.resources(IPTC)
        whole = bytearray(jpeg_with((0xE1, b"Exif\0\0" + EXIF), (0xED, photoshop)))
    else:
        out = io.BytesIO()
        Image.fromarray(ARRAY).save(out, "GIF", comment=b"hello")
        whole = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(8, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(8, len(whole)))])
    for reader in (metadata_png, metadata_jpeg, metadata_tiff, metadata_webp, metadata_gif):
        reader.read(cut)
    metadata_tiff.offsets(cut)
    file_metadata.attached(Picture(ARRAY, "RGB"), cut)


@given(st.binary(max_size=200))
def test_any_bytes_hold_metadata_or_none(data: bytes) -> None:
    heads = (b"", metadata_png.SIGNATURE, b"\xff\xd8\xff\xe1", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"GIF89a")
    for head in (*heads, b"RIFF\0\0\0\0WEBP"):
        for reader in (metadata_png, metadata_jpeg, metadata_tiff, metadata_webp, metadata_gif):
            reader.read(head + data)
