"""TIFF, read and written by one table: what the bands mean and what type their samples have.

Pillow (libtiff) reads what it keeps; tifffile (extra `files`) reads the rest. Orientation is kept, never applied.
"""

from __future__ import annotations

import io
import logging
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.picture import Picture
from ..runtime.errors import InputError
from . import by_pillow, metadata_tiff
from .raw import Raw, check_size, line, optional

WHITE_IS_ZERO, GREY, RGB, PALETTE, MASK, CMYK, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
#: names of the bands -> (photometric, bands of colour, ExtraSamples, sample type -> mode)
BANDS: tuple[tuple[int, int, tuple[int, ...], dict[str, str]], ...] = (
    (
        *(GREY, 1, ()),
        {
            **{"bit": "1", "u1": "L", "u2": "I;16", "u4": "I;32", "i2": "I;16S", "i4": "I", "f2": "F;16", "f4": "F"},
        },
    ),
    (GREY, 1, (1,), {"u1": "La"}),
    (GREY, 1, (2,), {"u1": "LA", "u2": "LA;16"}),
    (GREY, 1, (0,), {"i2": "I;16S[2]", "u4": "I;32[2]", "i4": "I[2]", "f2": "F;16[2]", "f4": "F[2]", "bit": "1[2]"}),
    (
        *(RGB, 3, ()),
        {
            **{"bit": "1[3]", "u1": "RGB", "u2": "RGB;16", "u4": "I;32[3]", "i2": "I;16S[3]", "i4": "I[3]"},
            **{"f2": "F;16[3]", "f4": "F[3]"},
        },
    ),
    (
        *(RGB, 3, (0,)),
        {
            **{"bit": "1[4]", "u1": "RGBX", "u2": "RGBX;16", "u4": "I;32[4]", "i2": "I;16S[4]", "i4": "I[4]"},
            **{"f2": "F;16[4]", "f4": "F[4]"},
        },
    ),
    (RGB, 3, (1,), {"u1": "RGBa", "u2": "RGBa;16"}),
    (RGB, 3, (2,), {"u1": "RGBA", "u2": "RGBA;16"}),
    (CMYK, 4, (), {"u1": "CMYK"}),
    (YCBCR, 3, (), {"u1": "YCbCr"}),
    (LAB, 3, (), {"u1": "LAB"}),
)
_MODES = {(photometric, extra): modes for photometric, _, extra, modes in BANDS}
_COLOURS = {WHITE_IS_ZERO: 1, PALETTE: 1, ICC_LAB: 3} | {photometric: bands for photometric, bands, _, _ in BANDS}
#: modes -> (photometric, ExtraSamples, sample type) they are written with
WRITTEN = {mode: (p, extra, sample) for p, _, extra, modes in BANDS for sample, mode in modes.items()}
_NAMES = {
    **{MASK: "a transparency mask", 32803: "a colour filter array", 34892: "linear raw data", 10: "ITU L*a*b*"},
    **{32844: "LogL", 32845: "LogLuv", 51177: "a depth map"},
}
_COMPRESSIONS_OF_PILLOW = (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000, 50001)
_JPEGS = (6, 7)
_PERHAPS = (34925, 50000, 50001)  # LZMA, Zstandard, WebP
_SHOWN = {"YCbCr": ("RGB",)}
_MODES_OF_PILLOW = ("1", "L", "La", "LA", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr", "LAB")
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_MAX_BANDS = 256


def sniff(data: bytes) -> bool:
    """Whether the bytes begin a TIFF file, BigTIFF included."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Page:
    """What a page says about its samples; `sample` is the type they are given in."""

    tags: Any
    offset: int
    width: int
    height: int
    bits: int
    kind: int
    sample: str
    photometric: int
    extra: tuple[int, ...]
    compression: int
    orientation: int
    subsampling: tuple[int, ...]

    @property
    def mode(self) -> str:
        """Raises InputError where no mode holds these bands."""
        as_grey = {WHITE_IS_ZERO: GREY, ICC_LAB: LAB}
        if self.photometric == PALETTE and self.extra in ((), (2,)) and self.kind == _UNSIGNED:
            return "P"
        mode = _MODES.get((as_grey.get(self.photometric, self.photometric), self.extra), {}).get(self.sample)
        if mode is None:
            bands = _COLOURS[self.photometric] + len(self.extra)
            raise InputError(
                f"no mode holds the samples of this TIFF file: {bands} bands of {self.bits} bits, photometric "
                f"{self.photometric}, ExtraSamples {self.extra[:8]}: store them as a .npy array or several files"
            )
        return mode


def _pages(data: bytes, frame: int) -> tuple[Any, int, int]:
    """(tags of page `frame`, offset of its directory, number of pages). Raises InputError."""
    from PIL import TiffImagePlugin

    offsets = metadata_tiff.offsets(data)
    metadata_tiff.check_chain(data)
    if len(offsets) <= frame:
        raise InputError(f"expected a page below {len(offsets)}, found {frame}; or the TIFF file is damaged")
    at = offsets[frame]
    if data[:4] == _BIG_AND_BIG_ENDIAN:
        return _tags_of_tifffile(data, at), at, len(offsets)
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:3] == b"+" else 8])
    file = io.BytesIO(data)
    file.seek(at)
    tags.load(file)
    return tags, at, len(offsets)


_BIG_AND_BIG_ENDIAN = b"MM\0+"  # which Pillow does not know


def _tags_of_tifffile(data: bytes, at: int) -> dict[int, Any]:
    tifffile = optional("tifffile", "a big-endian BigTIFF file")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return {tag.code: tag.value for tag in _tifffile_page(file, at).tags}


@dataclass(frozen=True)
class _Tags:
    """A directory's tags as integers, whichever reader gave them."""

    raw: Any

    def number(self, tag: int, default: int) -> int:
        value = self.raw.get(tag, default)
        return int(value[0] if isinstance(value, tuple) else value)

    def numbers(self, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.raw.get(tag, default)
        return tuple(int(item) for item in (value if isinstance(value, tuple) else (value,)))


def _page(raw: Any, offset: int) -> Page:
    """Raises InputError for what no mode holds exactly."""
    tags = _Tags(raw)
    photometric, count = tags.number(262, WHITE_IS_ZERO), tags.number(277, len(tags.numbers(258, (1,))))
    if photometric not in _COLOURS:
        raise InputError(f"no mode holds a TIFF file of {_NAMES.get(photometric, f'photometric {photometric}')}")
    if not 1 <= count <= _MAX_BANDS:
        raise InputError(f"no mode holds a TIFF file of {count} bands: store them as a .npy array or several files")
    depth, kind, sample = _type_of_samples(tags, count)
    photometric, extra = _bands(tags, photometric, count)
    if tags.number(32997, 1) > 1 or tags.number(32998, 1) > 1:
        raise InputError("no mode holds a TIFF page of several planes in depth: store them as pages or as a .npy array")
    if photometric == CMYK and tags.number(332, 1) != 1:
        raise InputError("no mode holds a TIFF file of inks other than CMYK")
    return Page(
        tags=raw,
        offset=offset,
        width=tags.number(256, 0),
        height=tags.number(257, 0),
        bits=depth,
        kind=kind,
        sample=sample,
        photometric=photometric,
        extra=extra,
        compression=tags.number(259, 1),
        orientation=tags.number(274, 1),
        subsampling=tags.numbers(530, (2, 2)),
    )


def _type_of_samples(tags: _Tags, count: int) -> tuple[int, int, str]:
    """(bits, SampleFormat, type) of the samples of ``count`` bands. Raises InputError."""
    bits, kinds = set(tags.numbers(258, (1,))[:count]), set(tags.numbers(339, (_UNSIGNED,))[:count])
    if len(bits) != 1 or len(kinds) != 1:
        raise InputError("no mode holds a TIFF file whose bands have samples of several types")
    (depth,), (kind,) = bits, kinds
    kind = _UNSIGNED if kind in (0, 4) else kind  # 4: undefined
    sample = _sample(kind, depth)
    if sample is None:
        raise InputError(f"no mode holds the samples of this TIFF file: {depth} bits of SampleFormat {kind}")
    return depth, kind, sample


def _bands(tags: _Tags, photometric: int, count: int) -> tuple[int, tuple[int, ...]]:
    """(photometric, ExtraSamples) that ``count`` bands come to. Raises InputError."""
    extra = tags.numbers(338, ())
    missing = count - _COLOURS[photometric]
    if photometric == YCBCR and count == 1:
        photometric, missing = GREY, 0
    if photometric == YCBCR and tags.number(259, 1) == 1 and tags.numbers(530, (2, 2)) != (1, 1):
        raise InputError("no mode holds a TIFF file whose chroma is stored, uncompressed, for fewer pixels")
    if photometric == RGB and missing == 1 and (not extra or extra[0] > 2):
        extra = (2,)  # as libtiff takes a fourth band that nobody describes
    if missing < 0:
        raise InputError(f"the picture is damaged: {count} bands where photometric {photometric} has more")
    return photometric, (extra + (0,) * missing)[:missing]


def _sample(kind: int, bits: int) -> str | None:
    """The type that holds these samples exactly: a name of modes.DTYPES, or "f8", which is looked at."""
    if kind == _UNSIGNED:
        steps = ((1, "bit"), (8, "u1"), (16, "u2"), (23, "u4"), (24, None), (32, "u4"))  # of 24, readers' orders differ
        return next((name for top, name in steps if 1 <= bits <= top), None)
    return {(_SIGNED, 8): "i2", (_SIGNED, 16): "i2", (_SIGNED, 32): "i4"}.get((kind, bits)) or {
        **{(_FLOAT, 16): "f2", (_FLOAT, 24): "f4", (_FLOAT, 32): "f4", (_FLOAT, 64): "f4"},
    }.get((kind, bits))


def read(data: bytes, frame: int, max_pixels: int) -> Raw:
    """Page `frame`. Raises InputError for what no mode holds exactly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about single broken tags
        tags, offset, count = _pages(data, frame)
        page = _page(tags, offset)
        check_size(page.width, page.height, max_pixels)
        mode = page.mode
        samples = _by_pillow(data, frame, page, mode, max_pixels)
        raw = Raw(*_by_tifffile(data, page, mode)) if samples is None else samples
    known = page.kind != _UNSIGNED or page.bits in (1, 2, 4, 8, 16, 32) or mode == "P"
    lost: tuple[str, ...] = ()
    if page.photometric == WHITE_IS_ZERO and page.kind != _UNSIGNED:
        lost += ("that 0 is white in it",)
    if page.photometric == YCBCR and raw.mode == "RGB" and page.compression not in _JPEGS:
        lost += ("its chroma, stored for fewer pixels (libtiff's RGB is coded)",)
    white = None if known else (1 << page.bits) - 1
    return replace(raw, white=white, frames=count, lost=lost, indexed=mode == "P")


# ---- the two readers


def _by_pillow(data: bytes, frame: int, page: Page, mode: str, max_pixels: int) -> Raw | None:
    """The page as libtiff gives it, None where Pillow would change it."""
    usual = page.kind == _UNSIGNED and page.bits in (1, 2, 4, 8) and mode in (*_MODES_OF_PILLOW, "P")
    usual &= page.photometric != ICC_LAB and not (page.extra and page.bits != 8)
    usual &= not ((page.extra or mode == "LAB") and (mode == "P" or page.tags.get(284, 1) != 1))
    # libtiff gives the machine's byte order where it decompresses, which Pillow takes for the file's in 32 bits
    plain = page.compression == 1 or data[:2] == b"II"
    wide = {
        **{"I;16": page.photometric == GREY and page.bits == 16},
        **{"I": page.bits == 32 and plain, "F": page.photometric == GREY and page.bits == 32 and plain},
    }
    if mode == "YCbCr" and page.compression not in _JPEGS and page.subsampling == (1, 1):
        return None  # what was compressed Pillow would convert to RGB
    if not (usual or wide.get(mode)) or page.compression not in _COMPRESSIONS_OF_PILLOW:
        return None
    try:
        with by_pillow.opened(data, max_pixels) as image:
            image.seek(frame)
            if image.format != "TIFF" or image.mode not in (mode, mode + "B", *_SHOWN.get(mode, ())):
                return None
            image.load()
            picture = None if mode == "P" else Picture.from_any(image)
            samples = np.asarray(image) if picture is None else picture.samples
    except InputError:  # Pillow knows the file not
        return None
    except OSError as error:
        if page.compression in _PERHAPS and "decoder error" in str(error):  # a libtiff built without it
            return None
        raise
    samples = np.ascontiguousarray(_as_stored(samples, page.orientation))
    return _coloured(samples, page) if picture is None else Raw(samples, picture.mode)


def _as_stored(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes what Pillow does for the orientation."""
    undo = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    return undo[orientation](samples) if orientation in undo else samples


def _coloured(indices: NDArray[Any], page: Page) -> Raw:
    """A palette's colours: 8 bits where its 16-bit entries are no more than that, else 16."""
    entries = np.array(page.tags.get(320, ()), np.int64)
    if entries.size != 3 << page.bits:
        raise InputError(f"the picture is damaged: a palette of {entries.size} entries for {page.bits} bits")
    colours = entries.reshape(3, -1).T
    alpha, indices = (indices[..., 1:], indices[..., 0]) if page.extra else (None, indices)
    if int(indices.max()) >= len(colours):
        raise InputError(f"the picture is damaged: index {int(indices.max())} of {len(colours)} colours")
    old = (colours < 256).all()  # some writers gave 8 bits
    if not (old or (colours % 257 == 0).all() or (colours % 256 == 0).all()):
        if alpha is not None:
            raise InputError("no mode holds the samples of this TIFF file: a palette of 16 bits with alpha of 8")
        return Raw(colours.astype(np.uint16)[indices], "RGB;16")
    samples = (colours if old else colours >> 8).astype(np.uint8)[indices]
    if alpha is None:
        return Raw(samples, "RGB")
    return Raw(np.concatenate([samples, alpha.astype(np.uint8)], axis=2), "RGBA")


def _by_tifffile(data: bytes, page: Page, mode: str) -> tuple[NDArray[Any], str]:
    tifffile = optional("tifffile", "this kind of TIFF file")
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            found = _tifffile_page(file, page.offset)
            samples = found.asarray(maxworkers=1)
            axes = found.axes
    except Exception as error:
        if "imagecodecs" in str(error):
            optional("imagecodecs", "the compression of this TIFF file")
        raise InputError(f"the picture is damaged, or of a kind that is not read: {line(error)}") from error
    bands = _COLOURS[page.photometric] + len(page.extra)
    if samples.size != page.width * page.height * bands or set(axes) - set("YXS"):
        raise InputError(f"no mode holds the samples of this TIFF file: axes {axes} of {samples.shape}")
    if axes.startswith("S"):
        samples = np.moveaxis(samples, 0, 2)
    shape = (page.height, page.width, bands) if bands > 1 else (page.height, page.width)
    samples = samples.reshape(shape)
    if mode == "P":
        raw = _coloured(samples.astype(np.intp), page)
        return raw.samples, raw.mode
    return _typed(samples, page), mode


def _tifffile_page(file: Any, offset: int) -> Any:
    for page in file.pages:
        if page.offset == offset:
            return page.aspage()
    raise InputError("the picture is damaged: a page that two readers do not find alike")


def _typed(samples: NDArray[Any], page: Page) -> NDArray[Any]:
    """Samples as tifffile gives them -> as the mode has them."""
    from ..media.modes import DTYPES

    if page.photometric == WHITE_IS_ZERO and page.kind == _UNSIGNED:
        samples = ((1 << page.bits) - 1) - samples.astype(np.int64)
    if page.sample == "bit":
        return np.ascontiguousarray((samples != 0).astype(np.uint8) * np.uint8(255))
    if page.kind == _UNSIGNED and page.bits in (2, 4):  # spread over 8 bits, as libtiff does
        samples = samples.astype(np.uint8) * np.uint8(255 // ((1 << page.bits) - 1))
    with np.errstate(over="ignore"):
        exact = samples.astype(DTYPES[page.sample])
    if samples.dtype.itemsize > 4 and samples.dtype.kind == "f" and not np.array_equal(exact, samples, equal_nan=True):
        raise InputError("no mode holds the samples of this TIFF file: floats of 64 bits that 32 do not hold")
    if page.photometric == ICC_LAB:  # a and b offset by 128, two's complement in the mode
        exact = exact ^ np.array([0, 128, 128], np.uint8)
    return np.ascontiguousarray(exact)


# ---- writing

_STRIP_BYTES = 1 << 16


def write(picture: Picture) -> bytes:
    """An uncompressed little-endian TIFF file, without metadata. Raises InputError above 4 GiB.

    The picture is of a mode of `WRITTEN`.
    """
    from PIL import TiffImagePlugin

    photometric, extra, sample = WRITTEN[picture.mode]
    rows, bits = _rows(picture, sample)
    rows_a_strip = max(1, _STRIP_BYTES // rows.shape[1])
    starts = range(0, len(rows), rows_a_strip)
    if 8 + rows.size > 2**32 - 2**24:
        raise InputError(f"TIFF ends at 4 GiB: write {picture.mode} pixels as NPY instead")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {
        **{256: picture.width, 257: picture.height, 258: (bits,) * picture.info.components, 259: 1, 262: photometric},
        **{273: tuple(start * rows.shape[1] for start in starts), 277: picture.info.components},
        **{278: rows_a_strip, 279: tuple(min(rows_a_strip, len(rows) - s) * rows.shape[1] for s in starts), 284: 1},
        **{339: ({"i": _SIGNED, "f": _FLOAT}.get(sample[0], _UNSIGNED),) * picture.info.components},
    }.items():
        tags[tag] = value
    for tag in (273, 279):
        tags.tagtype[tag] = 4
    if extra:
        tags[338] = extra
    if photometric == YCBCR:
        tags[530] = (1, 1)
    # the directory stands in front, and moves the offsets of the strips behind itself
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + rows.tobytes()


def _rows(picture: Picture, sample: str) -> tuple[NDArray[np.uint8], int]:
    """H×B bytes of the samples as stored, and the bits of a sample."""
    samples = picture.samples
    if sample == "bit":
        return np.packbits((samples != 0).reshape(picture.height, -1), axis=1), 1
    little = np.ascontiguousarray(samples.astype(samples.dtype.newbyteorder("<"), copy=False))
    return little.reshape(picture.height, -1).view(np.uint8), 8 * samples.dtype.itemsize
