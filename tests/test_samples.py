"""Samples come out of files as they were put in by another writer, depth by depth, or the file is refused by name."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffcodec import files
from diffcodec.media.picture import Picture
from diffcodec.runtime.errors import InputError

CASES = Path(__file__).parent / "data" / "cases"
RNG = np.random.default_rng(18)


def read(data: bytes | Path) -> tuple[Picture, str]:
    """The picture and what was said about it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        picture = files.read(data)
    return picture, "; ".join(str(warning.message) for warning in said)


def white(picture: Picture) -> int | None:
    value = picture.metadata.chunk(files.pictures.WHITE)
    return int.from_bytes(value, "big") if value else None


def random(shape: tuple[int, ...], bits: int) -> np.ndarray:
    samples = RNG.integers(0, 1 << bits, shape, dtype=np.uint32)
    samples.flat[:2] = 0, (1 << bits) - 1
    return samples.astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


# ---- PNG


def png_of(samples: np.ndarray, bits: int, **options: object) -> bytes:
    import png

    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    out = io.BytesIO()
    png.Writer(width, height, greyscale=bands < 3, alpha=bands in (2, 4), bitdepth=bits, **options).write(
        out, samples.reshape(height, -1).tolist()
    )
    return out.getvalue()


def with_chunk(data: bytes, name: bytes, payload: bytes) -> bytes:
    """A PNG file with one more chunk behind its header."""
    import zlib

    chunk = struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_png(bands: int, bits: int, interlace: bool) -> None:
    if bands > 1 and bits < 8:
        return
    samples = random((9, 13, bands) if bands > 1 else (9, 13), bits)
    picture, said = read(png_of(samples, bits, interlace=interlace))
    spread = {1: 255, 2: 85, 4: 17}.get(bits, 1)  # as PNG's readers show fewer than 8 bits
    assert np.array_equal(picture.samples, samples * samples.dtype.type(spread)) and not said
    assert picture.info.alpha == (bands - 1 if bands in (2, 4) else None)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("bands", [1, 3])
def test_png_transparent_colour(bands: int, bits: int) -> None:
    if bands > 1 and bits < 8:
        return
    samples = random((9, 13, bands) if bands > 1 else (9, 13), bits)
    key = samples[4, 5]
    samples[1, 2] = key
    picture, _ = read(png_of(samples, bits, transparent=tuple(key.tolist()) if bands > 1 else int(key)))
    clear = (samples.reshape(9, 13, -1) == key).all(axis=2)
    spread = {1: 255, 2: 85, 4: 17}.get(bits, 1)
    top = 65535 if bits == 16 else 255
    assert picture.mode == {1: "LA", 3: "RGBA"}[bands] + (";16" if bits == 16 else "")
    assert np.array_equal(picture.samples[..., -1], np.where(clear, 0, top))
    assert np.array_equal(picture.samples[..., :-1].reshape(samples.shape), samples * samples.dtype.type(spread))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_png_significant_bits_change_nothing(bands: int, bits: int) -> None:
    samples = random((5, 7, bands) if bands > 1 else (5, 7), bits)
    picture, _ = read(with_chunk(png_of(samples, bits), b"sBIT", bytes([bits - 3] * bands)))
    assert np.array_equal(picture.samples, samples)
    assert picture.metadata.significant_bits == (bits - 3,) * bands


# ---- PNM


@pytest.mark.parametrize("maximum", [1, 15, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_pnm(kind: str, maximum: int) -> None:
    shape = (5, 7, 3) if kind in ("P3", "P6") else (5, 7)
    samples = RNG.integers(0, maximum + 1, shape)
    samples.flat[0] = maximum
    head = f"{kind} # a comment\n7 # another\n5\n{maximum}\n".encode()
    if kind in ("P2", "P3"):
        data = head + b"\n".join(b" ".join(str(v).encode() for v in row) for row in samples.reshape(5, -1))
    else:
        data = head + samples.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    picture, said = read(data)
    assert np.array_equal(picture.samples, samples) and not said
    assert picture.samples.dtype == (np.uint16 if maximum > 255 else np.uint8)
    assert white(picture) == (None if maximum in (255, 65535) else maximum)
    again, _ = read(files.write(picture, "PPM"))
    assert np.array_equal(again.samples, samples) and white(again) == white(picture)
    if picture.mode in files.FORMATS["PNG"]:
        through_png, _ = read(files.write(picture, "PNG"))
        assert np.array_equal(through_png.samples, samples) and white(through_png) == white(picture)


def test_pbm_and_pfm() -> None:
    bits = RNG.integers(0, 2, (5, 13))
    expected = np.where(bits, 0, 255)
    plain = b"P1\n13 5\n" + b"\n".join("".join(map(str, row)).encode() for row in bits)
    raw = b"P4\n13 5\n" + np.packbits(bits.astype(bool), axis=1).tobytes()
    for data in (plain, raw):
        picture, _ = read(data)
        assert picture.mode == "1" and np.array_equal(picture.samples, expected)
    floats = RNG.standard_normal((4, 6, 3)).astype(np.float32)
    for kind, values, mode in (("PF", floats, "F[3]"), ("Pf", floats[..., 0], "F")):
        for scale, order in ((-1, "<f4"), (1, ">f4")):
            picture, said = read(f"{kind}\n6 4\n{scale}\n".encode() + values[::-1].astype(order).tobytes())
            assert picture.mode == mode and np.array_equal(picture.samples, values) and not said
    assert "scale 2" in read(b"Pf\n1 1\n-2\n\0\0\0\0")[1]


@pytest.mark.parametrize(
    "data",
    [
        b"P5\n2 2\n255\n123",
        b"P5\n2 2\n100\n12\xff4",
        b"P5\n2 2\n70000\n12345678",
        b"P5\n2 2\n0\n1234",
        b"P5\n2 -2\n255\n1234",
        b"P2\n2 2\n255\n1 2 3",
        b"P2\n2 2\n255\n1 2 3 x",
        b"P2\n2 2\n255\n1 2 3 999",
        b"P1\n2 2\n0 1 2 0",
        b"P5\n99999999999999 1\n255\n",
        b"P6 ",
        b"Pf\n1 1\nnan\n\0\0\0\0",
        b"Pf\n1 1\n-1\n\0",
    ],
)
def test_damaged_pnm_is_refused(data: bytes) -> None:
    with pytest.raises(InputError) as error:
        files.read(data)
    assert "\n" not in str(error.value)


# ---- TIFF

TYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32"]


def tiff_of(samples: np.ndarray, **options: object) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    out = io.BytesIO()
    tifffile.imwrite(out, samples, metadata=None, **options)
    return out.getvalue()


def any_samples(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    raw = RNG.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    return raw.view(dtype).reshape(shape)


LAYOUTS: list[dict[str, object]] = [
    {},
    {"byteorder": ">"},
    {"tile": (16, 16)},
    {"rowsperstrip": 3, "compression": "zlib", "predictor": True},
    {"compression": "lzw"},
    {"bigtiff": True},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(layout) or "plain")
@pytest.mark.parametrize("dtype", TYPES)
def test_tiff_types(dtype: str, layout: dict[str, object]) -> None:
    for shape, photometric in (((19, 21), "minisblack"), ((19, 21, 3), "rgb")):
        samples = any_samples(dtype, shape)
        if dtype == "float16" and "predictor" in layout:
            continue  # NaNs are not kept by that predictor's writer
        picture, _ = read(tiff_of(samples, photometric=photometric, **layout))
        if dtype == "int8":
            assert picture.samples.dtype == np.int16 and np.array_equal(picture.samples, samples)
        else:
            assert picture.samples.dtype == dtype and picture.samples.tobytes() == samples.tobytes()
            assert picture.samples.shape == shape


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("bands", "extra", "mode"),
    [
        (2, "unassalpha", "LA"),
        (2, "assocalpha", "La"),
        (4, "unassalpha", "RGBA"),
        (4, "assocalpha", "RGBa"),
        (4, "unspecified", "RGBX"),
    ],
)
def test_tiff_extra_bands(bands: int, extra: str, mode: str, dtype: str, planar: str) -> None:
    samples = any_samples(dtype, (19, 21, bands))
    stored = np.moveaxis(samples, 2, 0) if planar == "separate" else samples
    options = {"photometric": "rgb" if bands == 4 else "minisblack", "extrasamples": [extra], "planarconfig": planar}
    data = tiff_of(stored, **options)
    if mode == "La" and dtype == "uint16":
        with pytest.raises(InputError, match=r"no mode holds.*2 bands of 16 bits"):
            files.read(data)
        return
    picture, _ = read(data)
    assert picture.mode == mode + (";16" if dtype == "uint16" else "")
    assert np.array_equal(picture.samples, samples)


@pytest.mark.parametrize(("bands", "photometric"), [(2, "minisblack"), (5, "rgb"), (5, "separated")])
def test_tiff_bands_without_a_mode_are_refused(bands: int, photometric: str) -> None:
    colours = {"minisblack": 1, "rgb": 3, "separated": 4}[photometric]
    data = tiff_of(
        any_samples("uint8", (9, 9, bands)),
        photometric=photometric,
        extrasamples=["unspecified"] * (bands - colours),
        planarconfig="contig",
    )
    with pytest.raises(InputError, match=f"no mode holds.*{bands} bands of 8 bits"):
        files.read(data)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_depths(bits: int, photometric: str) -> None:
    samples = random((9, 13), bits)
    picture, _ = read(
        tiff_of(samples if bits > 1 else samples.astype(bool), bitspersample=bits, photometric=photometric)
    )
    shown = samples if photometric == "minisblack" else ((1 << bits) - 1) - samples
    spread = {1: 255, 2: 85, 4: 17}.get(bits, 1)
    assert np.array_equal(picture.samples, shown * spread)
    assert white(picture) == (None if bits in (1, 2, 4, 8, 16) else (1 << bits) - 1)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_orientation_is_kept_not_applied(orientation: int, dtype: str, photometric: str) -> None:
    samples = any_samples(dtype, (5, 8, 3) if photometric == "rgb" else (5, 8))
    picture, _ = read(tiff_of(samples, photometric=photometric, extratags=[(274, 3, 1, orientation, True)]))
    assert np.array_equal(picture.samples, samples)
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + (picture.exif or b""))
    assert exif.get(274, 1) == orientation


def test_tiff_palettes() -> None:
    indices = RNG.integers(0, 256, (9, 13), dtype=np.uint8)
    for wide, step in ((False, 257), (False, 256), (True, 1)):
        colours = RNG.integers(0, 65536 // step, (3, 256)) * step
        picture, _ = read(tiff_of(indices, photometric="palette", colormap=colours.astype(np.uint16)))
        expected = colours.T[indices] if wide else colours.T[indices] >> 8
        assert picture.mode == ("RGB;16" if wide else "RGB") and np.array_equal(picture.samples, expected)


def test_tiff_that_no_mode_holds() -> None:
    with pytest.raises(InputError, match="floats of 64 bits"):
        files.read(tiff_of(RNG.standard_normal((4, 4))))
    halves = RNG.integers(0, 99, (4, 4)) / 2
    assert np.array_equal(read(tiff_of(halves))[0].samples, halves)
    for array in (np.ones((4, 4), np.uint64), np.ones((4, 4), np.complex64)):
        with pytest.raises(InputError, match="no mode holds"):
            files.read(tiff_of(array))
    with pytest.raises(InputError, match="colour filter array"):
        files.read(tiff_of(np.ones((4, 4), np.uint16), photometric="cfa"))
    with pytest.raises(InputError, match="4 bands of 16 bits"):
        files.read(tiff_of(np.ones((4, 4, 4), np.uint16), photometric="separated"))


@pytest.mark.parametrize("compression", ["jpeg", "webp", "zstd", "lzma", "jpegxl", "jpeg2000", "packbits"])
def test_tiff_compressions(compression: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = np.cumsum(np.ones((32, 32, 3)), axis=1).astype(np.uint8)
    data = tiff_of(samples, photometric="rgb", compression=compression)
    assert np.array_equal(read(data)[0].samples, imagecodecs.tiff_decode(data) if compression == "jpeg" else samples)


# ---- formats that imagecodecs and pillow-heif write


@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16])
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("form", ["jp2", "j2k"])
def test_jpeg_2000(form: str, bands: int, bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = random((24, 20, bands) if bands > 1 else (24, 20), bits)
    data = imagecodecs.jpeg2k_encode(samples, bitspersample=bits, codecformat=form, reversible=True)
    picture, _ = read(data)
    assert np.array_equal(picture.samples, samples)
    assert white(picture) == (None if bits in (8, 16) else (1 << bits) - 1)


def test_signed_jpeg_2000() -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = RNG.integers(-2000, 2000, (24, 20), dtype=np.int16)
    picture, _ = read(imagecodecs.jpeg2k_encode(samples, reversible=True))
    assert picture.mode == "I;16S" and np.array_equal(picture.samples, samples)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_avif(bands: int, bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = random((24, 20, bands) if bands > 1 else (24, 20), bits)
    data = imagecodecs.avif_encode(samples, level=100, bitspersample=bits, pixelformat="444" if bands > 1 else "400")
    picture, _ = read(data)
    second = imagecodecs.avif_decode(data)
    assert np.array_equal(picture.samples, second) and picture.samples.dtype == samples.dtype
    assert white(picture) == ((1 << bits) - 1 if bits > 8 else None)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_heic(bits: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    if not heif.libheif_info()["HEIF"]:
        pytest.skip("no encoder of HEVC here")
    samples = random((24, 20, 3), bits)
    wide = bits > 8
    stored = (samples << (16 - bits)).astype(np.uint16) if wide else samples
    image = heif.from_bytes(mode="RGB;16" if wide else "RGB", size=(20, 24), data=stored.tobytes())
    out = io.BytesIO()
    heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        image.save(out, quality=-1, chroma=444, matrix_coefficients=0)
    finally:
        heif.options.SAVE_HDR_TO_12_BIT = False
    picture, _ = read(out.getvalue())
    assert white(picture) == ((1 << bits) - 1 if wide else None)
    assert np.array_equal(picture.samples, samples)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_xl(bands: int, dtype: str) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = RNG.random((24, 20, bands) if bands > 1 else (24, 20))
    samples = samples.astype(dtype) if dtype == "float32" else (samples * np.iinfo(dtype).max).astype(dtype)
    picture, _ = read(imagecodecs.jpegxl_encode(samples, lossless=True))
    assert np.array_equal(picture.samples, samples) and picture.samples.dtype == dtype
    if dtype == "uint16":
        for bits in (10, 12):
            narrow = samples >> (16 - bits)
            picture, _ = read(imagecodecs.jpegxl_encode(narrow, lossless=True, bitspersample=bits))
            assert np.array_equal(picture.samples, narrow) and white(picture) == (1 << bits) - 1


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_of_12_bits(bands: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = np.cumsum(np.ones((32, 32, bands)), axis=1).astype(np.uint16) * 100
    data = imagecodecs.jpeg8_encode(samples if bands > 1 else samples[..., 0], bitspersample=12, level=95)
    picture, _ = read(data)
    assert np.array_equal(picture.samples, imagecodecs.jpeg8_decode(data)) and white(picture) == 4095


def test_cmyk_jpeg_of_adobe() -> None:
    samples = np.cumsum(np.ones((32, 32, 4)), axis=1).astype(np.uint8) * np.uint8(6)
    out = io.BytesIO()
    Image.fromarray(samples, "CMYK").save(out, "JPEG", quality=100, subsampling=0)
    picture, _ = read(out.getvalue())
    assert picture.mode == "CMYK" and np.abs(picture.samples.astype(int) - samples).max() <= 3


# ---- what loses nothing and must be read


def test_grey_and_alpha_tga() -> None:
    samples = RNG.integers(0, 256, (5, 7, 2), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(samples, "LA").save(out, "TGA")
    picture, _ = read(out.getvalue())
    assert picture.mode == "LA" and np.array_equal(picture.samples, samples)


def test_bmp_of_5_6_5_bits() -> None:
    values = RNG.integers(0, 65536, (4, 6), dtype=np.uint16)
    head = struct.pack("<IiiHHIIiiII", 40, 6, -4, 1, 16, 3, 0, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    data = b"BM" + struct.pack("<IHHI", 14 + len(head) + values.nbytes, 0, 0, 14 + len(head)) + head + values.tobytes()
    picture, _ = read(data)
    red, green, blue = values >> 11, values >> 5 & 63, values & 31
    assert np.array_equal(picture.samples >> [3, 2, 3], np.stack([red, green, blue], axis=2))


def test_dds_is_read() -> None:
    samples = RNG.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(samples, "RGBA").save(out, "DDS")
    assert np.array_equal(read(out.getvalue())[0].samples, samples)


# ---- foreign exceptions, and what is no picture


@pytest.mark.parametrize("path", sorted(CASES.glob("file-*")), ids=lambda path: path.name)
def test_broken_files_raise_input_errors_only(path: Path) -> None:
    data = path.read_bytes()
    for cut in (len(data), len(data) // 2, 40):
        try:
            files.read(data[:cut])
        except InputError as error:
            assert "\n" not in str(error)


def test_page_descriptions_are_refused() -> None:
    with pytest.raises(InputError, match="EPS: a page description"):
        files.read(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    wide, narrow = (tiff_of(any_samples(dtype, (9, 9, 3)), photometric="rgb") for dtype in ("uint16", "uint8"))
    real = importlib.import_module

    def without(name: str) -> object:
        if name in ("tifffile", "imagecodecs", "pillow_heif"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(InputError, match=r"pip install 'diffcodec\[files\]'"):
        files.read(wide)
    assert files.read(narrow).mode == "RGB"


# ---- the inputs of the trials, with their right values


def test_inputs_of_the_trials() -> None:
    tifffile = pytest.importorskip("tifffile")
    sbit, _ = read(CASES / "sbit12-rgb16.png")
    assert int(sbit.samples.max()) == 65472 and sbit.metadata.significant_bits == (12, 12, 12)
    nir, _ = read(CASES / "tiff-rgb-nir.tif")
    assert np.array_equal(nir.samples, tifffile.imread(CASES / "tiff-rgb-nir.tif")) and nir.mode == "RGBX"
    grey4, _ = read(CASES / "trns-grey4.png")
    assert grey4.mode == "LA" and int((grey4.samples[..., 1] == 0).sum()) == 15
    inverse, _ = read(CASES / "tiff-16bit-miniswhite.tif")
    assert np.array_equal(inverse.samples, 65535 - tifffile.imread(CASES / "tiff-16bit-miniswhite.tif"))
    associated, _ = read(CASES / "tiff-premultiplied.tif")
    assert np.array_equal(associated.samples, tifffile.imread(CASES / "tiff-premultiplied.tif"))
    assert associated.mode == "RGBa"


# ---- Pillow's own images


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("loaded", [False, True])
def test_transparent_grey_of_pillow_images(loaded: bool, bits: int) -> None:
    samples = random((9, 13), bits)
    key = int(samples[4, 5])
    image = Image.open(io.BytesIO(png_of(samples, bits, transparent=key)))
    if loaded:
        image.load()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        picture = Picture.from_any(image)
    assert picture.mode == "LA" and np.array_equal(picture.samples[..., 1] == 0, samples == key)
    assert bool(said) == (loaded and bits in (2, 4))


@pytest.mark.parametrize(
    ("name", "word"), [("tiff-rgb-nir.tif", "further bands"), ("tiff-premultiplied.tif", "divides the colours")]
)
def test_pillow_images_that_pillow_changes_are_named(name: str, word: str) -> None:
    with Image.open(CASES / name) as image, pytest.warns(UserWarning, match=word):
        Picture.from_any(image)


def test_scaled_and_turned_pillow_images_are_named() -> None:
    with pytest.warns(UserWarning, match="scales the samples"):
        Picture.from_any(Image.open(io.BytesIO(b"P5\n2 2\n100\n1234")))
    out = io.BytesIO()
    Image.new("L", (3, 2)).save(out, "TIFF", tiffinfo={274: 6})
    with pytest.warns(UserWarning, match="turns the rows"):
        Picture.from_any(Image.open(out))
