"""Files that readers take for something else, silently: each kind by its right value, of a writer or reader of another
hand where there is one. What cannot be kept is named or refused."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from diffcodec import files
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import InputError

H, W = 24, 33


def read(data: bytes, every: bool = False) -> tuple[Picture, str]:
    """The picture, and all that was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        picture = (files.read_all if every else files.read)(data)
    return picture, "; ".join(str(one.message) for one in said)


def random(shape: tuple[int, ...], top: int = 256, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(3).integers(0, top, shape).astype(dtype)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff_of(samples: np.ndarray, **options: Any) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    out = io.BytesIO()
    options.setdefault("photometric", "rgb" if samples.shape[-1] in (3, 4) and samples.ndim == 3 else "minisblack")
    tifffile.imwrite(out, samples, metadata=None, **options)
    return out.getvalue()


def bare_tiff(tags: dict[int, tuple[int, list[int]]], strip: bytes, order: str = "<") -> bytes:
    """One strip, one directory. tags: type (3 SHORT, 4 LONG) and numbers."""
    tags = {256: (4, [W]), 257: (4, [H]), 259: (3, [1]), 278: (4, [H]), **tags, 273: (4, [8]), 279: (4, [len(strip)])}
    at = 8 + len(strip) + len(strip) % 2
    entries, behind, values = b"", b"", at + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        raw = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        field = raw.ljust(4, b"\0")
        if len(raw) > 4:
            field, behind = struct.pack(f"{order}I", values + len(behind)), behind + raw
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return head + strip.ljust(at - 8, b"\0") + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + behind


# ---- TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f2", "f4"])
@pytest.mark.parametrize("bands", [1, 3])
def test_tiff_byte_order_under_compression(order: str, compression: str | None, dtype: str, bands: int) -> None:
    samples = random((H, W) if bands == 1 else (H, W, bands), 200, dtype)
    picture, _ = read(tiff_of(samples, byteorder=order, compression=compression))
    assert picture.samples.dtype == np.dtype(dtype) and np.array_equal(picture.samples, samples)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("predictor", [False, True])
def test_bigtiff_keeps_samples_and_all_that_it_says(order: str, dtype: str, predictor: bool) -> None:
    samples = random((H, W, 3), 200, dtype)
    compression = {"compression": "zlib", "predictor": True} if predictor else {}
    data = tiff_of(
        samples,
        **{"bigtiff": True, "byteorder": order, "tile": (16, 16), "iccprofile": b"x" * 200, "resolution": (300, 300)},
        **{"resolutionunit": "INCH", "extratags": [(274, 3, 1, 6, True), (271, 2, 5, "Make", True)]},
        **compression,
    )
    picture, said = read(data)
    assert np.array_equal(picture.samples, samples) and not said
    assert picture.icc == b"x" * 200 and picture.metadata.density and picture.metadata.density.dpi() == (300, 300)
    found = Image.Exif()
    found.load(b"Exif\0\0" + (picture.exif or b""))
    assert (found[274], found[271]) == (6, "Make")


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_bigtiff_come_back(order: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    pages = [random((5, 9)), random((8, 3), 60000, np.uint16), random((4, 4, 3))]
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=True, byteorder=order) as file:
        for page in pages:
            file.write(page, metadata=None, photometric="rgb" if page.ndim == 3 else "minisblack")
    picture, said = read(out.getvalue(), every=True)
    assert not said
    for page, frame in zip(pages, (picture, *picture.frames), strict=True):
        assert np.array_equal(page, frame.samples)


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"compression": "zlib", "predictor": True}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_lab_has_the_same_samples_in_planes_and_in_pixels(planes: str, layout: dict[str, Any]) -> None:
    samples = random((H, W, 3))
    stored = samples if planes == "contig" else np.moveaxis(samples, 2, 0)
    picture, _ = read(tiff_of(stored, photometric="cielab", planarconfig=planes, **layout))
    assert picture.mode == "LAB" and np.array_equal(picture.samples, samples)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
def test_ycbcr_that_was_stored_without_loss_stays(compression: str | None) -> None:
    samples = random((H, W, 3))
    picture, said = read(tiff_of(samples, photometric="ycbcr", subsampling=(1, 1), compression=compression))
    assert picture.mode == "YCbCr" and np.array_equal(picture.samples, samples) and not said


@pytest.mark.parametrize("told", [{530: (3, [2, 2])}, {}])  # (2, 2) is what a file that says nothing means
@pytest.mark.parametrize("compression", [1, 8])
def test_subsampled_chroma_is_refused_or_named(told: dict[int, Any], compression: int) -> None:
    units = random((H // 2 * ((W + 1) // 2) * 6,)).tobytes()
    tags = {258: (3, [8, 8, 8]), 259: (3, [compression]), 262: (3, [6]), 277: (3, [3]), **told}
    data = bare_tiff(tags, units if compression == 1 else zlib.compress(units))
    if compression == 1:
        with pytest.raises(InputError, match="chroma"):
            files.read(data)
    else:
        assert "chroma" in read(data)[1]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [17, 20, 23, 24, 28, 31])
def test_depths_above_16(order: str, bits: int) -> None:
    pytest.importorskip("tifffile")
    samples = random((H, W), 1 << bits, np.int64)
    rows = (samples[..., None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8).reshape(H, -1)
    data = bare_tiff({258: (3, [bits]), 262: (3, [1]), 277: (3, [1])}, np.packbits(rows, axis=1).tobytes(), order)
    if bits == 24:  # in the file's byte order or as one row of bits: readers differ
        with pytest.raises(InputError, match="24 bits"):
            files.read(data)
    else:
        assert np.array_equal(files.read(data).samples, samples)


def test_pages_of_several_planes_in_depth_are_refused() -> None:
    data = tiff_of(random((4, 16, 16)), volumetric=True, tile=(4, 16, 16))
    with pytest.raises(InputError, match="depth"):
        files.read(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("unit", [0, 1, 256, 257])  # 0: entries of 16 bits
def test_tiff_palettes_are_kept_or_named(order: str, bits: int, unit: int) -> None:
    indices = random((H, W), 1 << bits)
    entries = random((3 << bits,), 256, np.int64) * unit if unit else random((3 << bits,), 65536, np.int64)
    entries[0] = 65535 if not unit else entries[0]
    rows = (indices[..., None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8).reshape(H, -1)
    tags = {258: (3, [bits]), 262: (3, [3]), 277: (3, [1]), 320: (3, entries.tolist())}
    picture, said = read(bare_tiff(tags, np.packbits(rows, axis=1).tobytes(), order))
    assert np.array_equal(picture.samples, (entries // (unit or 1)).reshape(3, -1).T[indices])
    assert (picture.metadata.palette is None) == ("palette" in said)
    if picture.metadata.palette:
        assert np.array_equal(Image.open(io.BytesIO(files.write(picture, "PNG"))), indices)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("pages", [1, 2, 3])
def test_pages_that_a_tiff_names_and_lacks_are_no_silent_loss(pages: int, every: bool) -> None:
    """A writer that forgot the 4 bytes behind its directory, or a file whose end was cut off."""
    images = [Image.fromarray(random((H, W)) // (i + 1)) for i in range(3)]
    whole = saved(images[0], "TIFF", save_all=True, append_images=images[1:])
    (at,) = struct.unpack_from("<I", whole, 4)
    for _ in range(pages - 1):
        (at,) = struct.unpack_from("<I", whole, at + 2 + 12 * struct.unpack_from("<H", whole, at)[0])
    data = bytearray(whole)
    struct.pack_into("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 1057868288)
    with pytest.raises(InputError, match="byte 1057868288"):
        read(bytes(data), every)
    assert read(whole, every)


# ---- PNG


def png(samples: np.ndarray, bits: int, colours: int, *chunks: bytes, rows: int = 10**9, whole: bool = True) -> bytes:
    """Only `rows` of the rows are there; whole: their zlib data end."""

    def chunk(name: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    big = samples.astype(">u2" if bits == 16 else np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in big[:rows])
    data = zlib.compress(raw)[: None if whole else -8]
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *(chunk(c[:4], c[4:]) for c in chunks), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("rows", [0, 1, H // 2, H - 1])
@pytest.mark.parametrize(("colours", "bands"), [(0, 1), (2, 3), (3, 1), (4, 2), (6, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_with_too_few_rows_is_refused(bits: int, colours: int, bands: int, rows: int, whole: bool) -> None:
    if colours == 3 and bits == 16:
        return
    samples = random((H, W, bands))
    palette = b"PLTE" + bytes(range(256)) * 3
    assert files.read(png(samples, bits, colours, palette) if colours == 3 else png(samples, bits, colours))
    with pytest.raises(InputError, match="damaged"):
        files.read(png(samples, bits, colours, *([palette] if colours == 3 else []), rows=rows, whole=whole))


def test_indices_without_an_entry_are_named() -> None:
    assert "indices" in read(png(random((H, W), 8), 8, 3, b"PLTE" + random((4, 3)).tobytes()))[1]


@pytest.mark.parametrize("hidden", [False, True])
def test_a_first_picture_outside_of_the_animation_is_named(hidden: bool) -> None:
    frames = [Image.fromarray(random((H, W, 3)) // (i + 1)) for i in range(3)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=hidden, duration=70)
    picture, said = read(data, every=True)
    assert len(picture.frames) == 2 and ("no frame of its animation" in said) == hidden


# ---- JPEG


def jpeg(*segments: tuple[int, bytes], **options: Any) -> bytes:
    data = saved(Image.fromarray(random((H, W, 3))), "JPEG", **options)
    return data[:2] + b"".join(struct.pack(">BBH", 255, m, len(p) + 2) + p for m, p in segments) + data[2:]


@pytest.mark.parametrize(
    ("segments", "behind", "name"),
    [
        ([], b"\xff\xd8\xff\xd9", "4 bytes behind the picture"),
        ([], b"\0" * 9, ""),
        ([(0xE1, b"http://ns.adobe.com/xap/1.0/\0<a/>")] * 2, b"", "second XMP"),
        ([(0xE2, b"ICC_PROFILE\0\1\2aa")], b"", "incomplete ICC"),
        ([(0xE2, b"ICC_PROFILE\0\2\2bb"), (0xE2, b"ICC_PROFILE\0\1\2aa")], b"", ""),
    ],
)
def test_what_a_jpeg_holds_beside_its_picture(segments: list[tuple[int, bytes]], behind: bytes, name: str) -> None:
    said = read(jpeg(*segments) + behind)[1]
    assert name in said if name else not said


@pytest.mark.parametrize("progressive", [False, True])
def test_comments_between_and_behind_scans_are_kept(progressive: bool) -> None:
    data = jpeg(progressive=progressive)
    comment = b"\xff\xfe\0\7after"
    at = data.rindex(b"\xff\xda")  # of a progressive picture, in front of the last scan
    data = data[:at] + comment.replace(b"after", b"betwe") + data[at:-2] + comment + b"\xff\xd9"
    assert read(data)[0].metadata.comments == (b"betwe", b"after")


@pytest.mark.parametrize("lossless", [False, True])
def test_every_cut_of_a_12_bit_jpeg_is_refused(lossless: bool) -> None:
    codecs = pytest.importorskip("imagecodecs")
    data = codecs.jpeg8_encode(random((H, W), 4096, np.uint16), level=95, bitspersample=12, lossless=lossless)
    assert files.read(data).samples.dtype == np.uint16
    for end in (*range(0, len(data), 29), len(data) - 2, len(data) - 1):
        with pytest.raises(InputError):
            files.read(data[:end])


# ---- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_viewers_show_what_is_written_as_they_show_what_was_read(format: str, orientation: int) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if format == "AVIF":
        pytest.importorskip("PIL._avif")
    y, x = np.mgrid[:H, :48]
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "Make"
    image = Image.fromarray(np.stack([x * 5, y * 7, (x + y) * 3], 2).astype(np.uint8))
    data = saved(image, format, exif=exif.tobytes(), **({"lossless": True} if format == "WEBP" else {}))
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    for out in ("PNG", "TIFF", "WEBP"):
        written = Image.open(io.BytesIO(files.write(files.read(data), out)))
        assert written.getexif()[271] == "Make"
        again = ImageOps.exif_transpose(written).convert("RGB")
        assert again.size == shown.size
        assert np.abs(np.asarray(again).astype(int) - np.asarray(shown)).max() <= 3  # AVIF, HEIF: of the converter


# ---- palettes


@pytest.mark.parametrize("format", [None, "PNG", "GIF", "BMP", "TIFF", "PCX", "TGA"])
@pytest.mark.parametrize("entries", ["RGB", "RGBA"])
def test_indices_of_pillow_images_and_of_files(format: str | None, entries: str) -> None:
    indices = random((H, W), 8)
    palette = random((8, len(entries)))
    palette[5] = palette[0]
    image = Image.fromarray(indices, "L")
    image = Image.frombytes("P", (W, H), indices.tobytes())
    image.putpalette(palette.tobytes(), entries)
    if format is not None:
        if entries == "RGBA":
            return  # what writers do with it differs
        picture, said = read(saved(image, format))
        assert not said
    else:
        picture = Picture.from_any(image)
    assert np.array_equal(picture.samples, palette[indices])
    assert np.array_equal(Image.open(io.BytesIO(files.write(picture, "PNG"))), indices)


def test_a_pcx_file_without_its_palette_is_refused() -> None:
    image = Image.frombytes("P", (W, H), random((H, W)).tobytes())
    image.putpalette(random((256, 3)).tobytes())
    data = saved(image, "PCX")
    for end in (len(data) - 1, len(data) - 400, len(data) - 769):
        with pytest.raises(InputError, match="damaged"):
            files.read(data[:end])


# ---- sequences


def test_durations_that_tiff_has_no_place_for_are_named() -> None:
    frames = [Image.fromarray(random((H, W, 3)) // (i + 1)) for i in range(2)]
    picture, _ = read(saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=70), every=True)
    with pytest.warns(UserWarning, match="durations"):
        files.write_all(picture, "TIFF")
    assert not read(files.write_all(picture, "PNG"), every=True)[1]


@pytest.mark.filterwarnings("ignore:of this file")
def test_a_huge_frame_is_refused_by_our_own_error() -> None:
    """A second frame of 65 535² pixels in a GIF of 2×2."""
    image = saved(Image.fromarray(np.zeros((2, 2), np.uint8)), "GIF")
    at = image.index(b"\x2c")
    frame = image[at:-1]
    data = image[:-1] + frame[:1] + struct.pack("<HHHH", 0, 0, 65535, 65535) + frame[9:] + b";"
    with pytest.raises(InputError):
        files.read_all(data)


# ---- what stands beside and behind


@pytest.mark.parametrize("format", ["PNG", "GIF", "WEBP", "JPEG"])
def test_bytes_behind_a_picture_are_named(format: str) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = saved(Image.fromarray(random((H, W))).convert("RGB"), format, **lossless)
    assert not read(data)[1] and not read(data + bytes(7))[1]
    assert "9 bytes behind the picture" in read(data + b"a picture")[1]


def test_text_over_a_gif_and_second_packets_of_a_webp_are_named() -> None:
    gif = saved(Image.fromarray(random((H, W))), "GIF")
    assert "text" in read(gif[:-1] + b"\x21\x01\x0c" + bytes(12) + b"\3abc\0;")[1]
    webp = saved(Image.fromarray(random((H, W, 3))), "WEBP", lossless=True, xmp=b"<x/>")
    body = webp[8:] + b"XMP \4\0\0\0<y/>"
    picture, said = read(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert picture.metadata.xmp == b"<x/>" and "second chunk XMP" in said


def test_a_long_text_and_a_long_profile_do_not_stop_the_reader() -> None:
    """Pillow takes a PNG file for damaged where they inflate to over 1 MiB."""
    long = bytes(3 << 20)
    profile = b"iCCPname\0\0" + zlib.compress(long)
    picture, said = read(png(random((H, W, 3)), 8, 2, profile, b"zTXtKey\0\0" + zlib.compress(b"a" * (2 << 20))))
    assert not said and picture.icc == long and picture.metadata.text[0].text == "a" * (2 << 20)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("chunk", [b"tEXtKey\0value", b"tRNS\0\1\0\2\0\3", b"gAMA\0\0\xb1\x8f"])
def test_every_flipped_bit_of_a_png_chunk_is_seen(bits: int, chunk: bytes) -> None:
    data = png(random((H, W, 3)), bits, 2, chunk)
    at = data.index(chunk)
    assert files.read(data)
    for bit in range(8 * (at - 4), 8 * (at + len(chunk) + 4)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError):
            files.read(bytes(flipped))


def test_further_frames_of_a_jpeg_xl_are_named() -> None:
    codecs = pytest.importorskip("imagecodecs")
    frames = random((3, H, W, 3))
    picture, said = read(codecs.jpegxl_encode(frames, lossless=True))
    assert np.array_equal(picture.samples, frames[0]) and "further frames" in said
    assert "further frames" not in read(codecs.jpegxl_encode(frames[0], lossless=True))[1]


def test_masked_arrays_are_refused() -> None:
    samples = np.ma.MaskedArray(random((3, 3)), mask=np.eye(3))
    with pytest.raises(InputError, match="mask"):
        Picture.from_any(samples)
    assert Picture.from_any(np.ma.MaskedArray(random((3, 3)))).mode == "L"


def test_avif_sequences_of_10_bits_are_refused() -> None:
    """imagecodecs ends the process on some of them."""
    codecs = pytest.importorskip("imagecodecs")
    pytest.importorskip("PIL._avif")
    frames = random((2, H, W, 3), 1024, np.uint16)
    assert files.read(codecs.avif_encode(frames[0], bitspersample=10, level=100, speed=10)).mode == "RGB;16"
    with pytest.raises(InputError, match="sequence"):
        files.read(codecs.avif_encode(frames, bitspersample=10, level=100, speed=10))
