"""Pixels in and out: Pillow images of every mode, NumPy arrays and torch tensors <-> byte planes, without rounding."""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import CorruptStream, InputError
from . import indices, palettes
from .arrays import array_of, described
from .hidden import told_apart
from .medium import Coded, Rated, Signal
from .metadata import EMPTY, Metadata, PackedPalette
from .modes import BY_NAME, COPY, DTYPES, MODES, Layout, Mode, digest_prefix
from .numbered import numbered
from .pillow_info import info_of, of_pillow
from .planes import bare, chosen, joined, laid_out, palette, restored, split

Bytes = NDArray[np.uint8]
_SAMPLES = {"bool": "bit", **{name: sample for sample, name in DTYPES.items() if sample != "bit"}}
_BOTH_FORMS = 2**20  # pixels up to which a picture of few colours is coded with and without a palette
_BY_SHAPE = {(m.sample, m.channels): m for m in MODES if m.number < 64}


@dataclass(frozen=True, eq=False, init=False)
class Picture:
    """Samples with their meaning.

    samples:  H×W or H×W×C array, native byte order, C-contiguous, of the type that the mode says (modes.DTYPES;
              mode "1": uint8, 0 or 255).
    mode:     a name of the mode table (bitstream_spec/MODES.md): Pillow's names, and "RGB;16" and the like.
    metadata: what the file says beside its samples; `icc` and `exif` are its first entries, and arguments of their own.
    frames:   further frames of an animation, or pages of a document, none of which has frames of its own.
    """

    samples: NDArray[Any]
    mode: str
    metadata: Metadata
    frames: tuple[Picture, ...]

    def __init__(
        self,
        samples: NDArray[Any],
        mode: str,
        icc: bytes | None = None,
        exif: bytes | None = None,
        *,
        metadata: Metadata = EMPTY,
        frames: tuple[Picture, ...] = (),
    ):
        if icc or exif:
            metadata = replace(metadata, icc=icc or metadata.icc, exif=exif or metadata.exif)
        for name, value in (("samples", samples), ("mode", mode), ("metadata", metadata), ("frames", frames)):
            object.__setattr__(self, name, value)

    @property
    def icc(self) -> bytes | None:
        """ICC profile."""
        return self.metadata.icc

    @property
    def exif(self) -> bytes | None:
        r"""Exif data as a TIFF structure, without the "Exif\0\0" prefix; the orientation is kept, never applied."""
        return self.metadata.exif

    @property
    def array(self) -> NDArray[Any]:
        """The samples, H×W or H×W×C."""
        return self.samples

    @property
    def info(self) -> Mode:
        """The row of the mode table."""
        return BY_NAME[self.mode]

    @property
    def number(self) -> int:
        """Number of the mode."""
        return self.info.number

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        """Pixels of a row."""
        return int(self.samples.shape[1])

    @property
    def geometry(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def colours(self) -> int:
        """Planes of a photograph that the mode has: 0, 1 or 3."""
        return self.info.photo

    @property
    def units(self) -> int:
        """Pixels."""
        return self.width * self.height

    @property
    def following(self) -> tuple[Picture, ...]:
        """Further frames or pages."""
        return self.frames

    def digest(self) -> bytes:
        """First 8 bytes of SHA-256 over mode, width, height and the samples in little-endian order."""
        samples = self.samples if sys.byteorder == "little" else self.samples.astype(self.samples.dtype.newbyteorder())
        sha = hashlib.sha256(digest_prefix(self.info, self.width, self.height))
        sha.update(np.ascontiguousarray(samples).view(np.uint8).data)
        return sha.digest()[:8]

    def equals(self, other: Signal) -> bool:
        """Whether the other is a picture of the same mode, samples (bit by bit) and metadata; frames do not count."""
        if not isinstance(other, Picture) or (self.mode, self.metadata) != (other.mode, other.metadata):
            return False
        return self.samples.shape == other.samples.shape and self.samples.tobytes() == other.samples.tobytes()

    def with_metadata(self, metadata: Metadata) -> Picture:
        """The same picture with other metadata."""
        return replace(self, metadata=metadata)

    def photograph(self) -> Bytes:
        """uint8 (H, W, 0, 1 or 3): the high bytes of grey or colour."""
        return to_planes(self)[..., : self.colours]

    def with_photograph(self, planes: Bytes) -> Picture:
        """The same with another photograph, uint8 (H, W, 1 or 3). Raises InputError where there is more than that."""
        if self.info.planes != self.colours:
            raise InputError(f"expected a picture of mode RGB or L, found mode {self.mode}")
        return replace(self, samples=joined(planes, self.info))

    def packed(self) -> Picture:
        """The same picture, its palette in the shortest form, or none where that is not of its samples."""
        return self.with_metadata(palettes.packed(self))

    def told(self, metadata: Metadata, *, complete: bool, exact: bool) -> Picture:
        """With the metadata of its stream; no palette with a preview, whose colours are others. Raises CorruptStream.

        complete: whether the whole stream was there. exact: whether the samples have the digest in it.
        """
        if metadata.palette is not None and not complete:
            metadata = replace(metadata, palette=None)
        elif isinstance(metadata.palette, PackedPalette) and not exact:
            raise CorruptStream("a palette is told by the colours of a lossy picture; the file is damaged")
        return self.with_metadata(palettes.unpacked(self, metadata))

    def forms(self, palettes: bool = True) -> list[Coded]:
        """The ways of coding this picture that may turn out smallest; without ``palettes`` only the direct one."""
        every = to_planes(self)
        photo, extra, layout = laid_out(every, self.info.photo)
        if not palettes:
            return [Coded(photo, extra, layout.write())]
        shown, hidden = told_apart(every, self.info) or (every, None)
        photo, extra, layout = bare(*laid_out(shown, self.info.photo), self.info.photo)
        layout = replace(layout, hidden=hidden)
        direct = Coded(photo, extra, layout.write(), since=layout.since(self.info))
        indexed = palette(every) if len(layout.coded) > 1 else None
        ways = [direct]
        if indexed is not None:
            entries, index = indexed
            few = Coded(index[..., :0], index, b"", entries)
            if index.size > _BOTH_FORMS:
                return [few]
            ways.insert(0, few)
        told = numbered(self.samples, self.info)
        if told is not None:
            planes, numbers = told
            ways.insert(0, Coded(planes[..., :0], planes, numbers.write(self.info), numbers=True))
        return ways

    def lossy(self) -> Rated:
        """For a lossy codec, as `lossy_planes`; its colours are no longer those of a palette. Raises InputError."""
        plain = self.with_metadata(replace(self.metadata, palette=None))
        picture, photo, extra, layout = lossy_planes(plain)
        return Rated(picture, Coded(photo, extra, layout.write()), seen_pixels(picture))

    @classmethod
    def from_any(cls, image: Any) -> Picture:
        """From a Pillow image (first frame), a NumPy array, a torch tensor or a Picture. Raises InputError."""
        if isinstance(image, Picture):
            return image
        array = array_of(image)
        if array is not None:
            return _from_array(array)
        pil = sys.modules.get("PIL.Image")
        if pil is not None and isinstance(image, pil.Image):
            return _from_pillow(image)
        raise InputError(f"expected a Pillow image, a NumPy array or a torch tensor, found {type(image).__name__}")

    def to_pillow(self) -> Any:
        """A Pillow image with the same samples. Raises InputError where Pillow has no such mode (16-bit RGB)."""
        from PIL import Image

        mode = self.info.pillow
        if mode is None:
            raise InputError(f"Pillow has no mode for {self.mode} pixels: take the array from diffcodec.decode instead")
        if mode == "1":
            image = Image.fromarray(np.ascontiguousarray(self.samples.reshape(self.height, self.width))).convert("1")
        else:
            little = self.samples.astype(self.samples.dtype.newbyteorder("<"), copy=False)
            image = Image.frombytes(mode, (self.width, self.height), little.tobytes())
        image.info.update(info_of(self.metadata))
        return image


def with_frames(signals: Sequence[Signal]) -> Picture:
    """The first picture with the others as its frames; where two are one and the same, each gets its own samples.

    Raises ValueError for none, or for what is no picture.
    """
    pictures = [signal for signal in signals if isinstance(signal, Picture)]
    if not pictures or len(pictures) < len(signals):
        raise ValueError("expected one picture or more")
    for number in range(1, len(pictures)):
        if pictures[number] is signals[number - 1]:
            pictures[number] = replace(pictures[number], samples=pictures[number].samples.copy())
    return replace(pictures[0], frames=tuple(pictures[1:]))


# ---- the three kinds of input


def _from_array(array: NDArray[Any]) -> Picture:
    sample = _SAMPLES.get(array.dtype.name)
    channels = 0 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else -1
    mode = _BY_SHAPE.get((sample or "", channels))
    if mode is None:
        raise InputError(
            f"expected an array H×W or H×W×1..4 of {', '.join(_SAMPLES)}, (n,) of uint8 or uint16, or T×H×W×3 of "
            f"uint8, found {described(array)}"
        )
    if array.size == 0:
        raise InputError(f"expected at least one pixel, found an array {'×'.join(map(str, array.shape))}")
    samples = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    if mode.sample == "bit":
        samples = samples.astype(np.uint8) * np.uint8(255)
    return Picture(np.ascontiguousarray(samples), mode.name)


def _from_pillow(image: Any) -> Picture:
    if image.width < 1 or image.height < 1:
        raise InputError(f"expected at least one pixel, found an image of {image.width}×{image.height}")
    _warn_of_losses(image)
    stored = [str(part) for tile in getattr(image, "tile", ()) for part in _flat(tile[3])]  # gone once it is loaded
    metadata, transparency = of_pillow(image), image.info.get("transparency")
    if image.format == "PNG" and image.mode in ("1", "L") and isinstance(transparency, int):
        return _with_key(image, transparency, stored, metadata)
    if image.mode.startswith("I;16"):
        return _wide(image, transparency, metadata)
    shown = _with_colours(image, transparency)
    if shown.mode not in BY_NAME:
        raise InputError(f"expected one of Pillow's modes {', '.join(BY_NAME)}, found {shown.mode}")
    samples = np.array(shown)  # a copy: a Pillow buffer may change under us
    if shown.mode == "1":
        samples = samples.astype(np.uint8) * np.uint8(255)
    if image.mode == "P":
        metadata = replace(metadata, palette=indices.of_pillow(image, samples))
    return Picture(np.ascontiguousarray(samples), shown.mode, metadata=metadata)


def _warn_of_losses(image: Any) -> None:
    """Of what Pillow is about to do to the samples of a file."""
    if reduced_by_pillow(image):
        warnings.warn(
            "Pillow reads this 16-bit file as 8 bits per channel, and only those are coded: "
            "use diffcodec.files.read(path) to keep all 16",
            stacklevel=5,
        )
    elif (change := changed_by_pillow(image)) is not None:
        warnings.warn(f"Pillow {change} of this file: use diffcodec.files.read(path) to keep them", stacklevel=5)


def _with_colours(image: Any, transparency: Any) -> Any:
    """A Pillow image whose pixels say their colour and alpha themselves, without palette or transparent key."""
    if image.mode in ("P", "PA"):
        has_alpha = image.mode == "PA" or transparency is not None or image.palette.mode == "RGBA"
        return image.convert("RGBA" if has_alpha else "RGB")
    if transparency is not None and image.mode in ("1", "L", "RGB"):
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    return image


def _wide(image: Any, transparency: Any, metadata: Metadata) -> Picture:
    """Grey of 16 bits, where a transparent key becomes a channel."""
    samples = np.asarray(image).astype(np.uint16)
    if isinstance(transparency, int):
        samples = np.stack([samples, np.where(samples == transparency, 0, 65535).astype(np.uint16)], axis=2)
    return Picture(np.ascontiguousarray(samples), "LA;16" if samples.ndim == 3 else "I;16", metadata=metadata)


def _with_key(image: Any, key: int, stored: list[str], metadata: Metadata) -> Picture:
    """Grey PNG of up to 8 bits: Pillow spreads samples over 8 bits, but leaves the transparent one as it is stored."""
    grey = np.array(image.convert("L"))
    units = {"L;2": 85, "L;4": 17}
    unit = next((units[name] for name in stored if name in units), 1)
    if not stored and image.mode == "L":  # loaded, its depth forgotten: the spread after which any sample can match
        unit = next((unit for unit in (85, 17) if key <= 255 // unit and not (grey % unit).any()), 1)
        if unit > 1:
            warnings.warn(
                f"the transparent grey {key} of this PNG image is taken for one of {2 if unit == 85 else 4} bits, "
                "which Pillow does not tell: use diffcodec.files.read(path)",
                stacklevel=5,
            )
    shown = (255 if key else 0) if image.mode == "1" else key * unit
    alpha = np.where(grey == shown, 0, 255).astype(np.uint8)
    return Picture(np.stack([grey, alpha], axis=2), "LA", metadata=metadata)


def changed_by_pillow(image: Any) -> str | None:
    """What Pillow is about to do to the samples of a file just opened, None where it keeps them."""
    for tile in getattr(image, "tile", ()):
        args = _flat(tile[3])
        raw = str(args[0]) if args else ""
        if image.format == "TIFF" and raw.startswith(("RGBX", "LX", "CMYKX", "PX", "RGBAX", "RGBaX")):
            return "drops the further bands"
        if image.format == "TIFF" and image.mode == "RGBA" and raw.startswith("RGBa"):
            return "divides the colours by the alpha"
        if image.format == "PPM" and tile[0].startswith("ppm") and args[-1] not in (255, 65535) and image.mode != "1":
            return "scales the samples"
    if image.format == "TIFF" and getattr(image, "tile", ()) and image.tag_v2.get(274, 1) in range(2, 9):
        return "turns the rows and columns"
    return None


# names of Pillow's that say how samples are stored, of which it then drops bits; "RGB;16" is 5-6-5 bits and loses none
_REDUCED = re.compile(r"(L|LA|CMYK|RGB[AXa]?|BGRA|[RGBA]);16[LBN]|L;16|F;64.*|.*SGI16")


def reduced_by_pillow(image: Any) -> bool:
    """Whether Pillow is about to drop bits of a file's samples (known only before the pixels are loaded)."""
    if image.mode.startswith("I"):
        return False
    return any(
        _REDUCED.fullmatch(str(part)) for tile in getattr(image, "tile", ()) for part in (tile[0], *_flat(tile[3]))
    )


def _flat(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


# ---- pictures <-> byte planes <-> what a codec is given


def to_planes(picture: Picture) -> Bytes:
    """H×W×P bytes, most significant byte of each channel first (see modes)."""
    return split(picture.samples, picture.info)


def from_planes(every: Bytes, mode: Mode) -> Picture:
    """The inverse of `to_planes`. Raises CorruptStream if a plane of mode 1 holds anything but 0 and 1."""
    return Picture(joined(every, mode), mode.name)


def planes(picture: Picture) -> tuple[Bytes, Bytes, Layout]:
    """(photo, extra, layout): the byte planes that have to be coded; constant and repeated ones are left out."""
    return laid_out(to_planes(picture), picture.info.photo)


def unplanes(photo: Bytes | None, extra: Bytes | None, layout: Layout, mode: Mode) -> Picture:
    """The inverse of `planes`. What `extra` lacks, or None, is filled in: opaque, low bytes as the high ones.

    Raises CorruptStream for planes that are none of such a picture.
    """
    return from_planes(every_plane(photo, extra, layout, mode), mode)


def every_plane(photo: Bytes | None, extra: Bytes | None, layout: Layout, mode: Mode) -> Bytes:
    """H×W×P bytes of the planes that a layout codes; what is not there as :func:`unplanes` says. Raises CorruptStream.

    photo: uint8 (H, W, 0, 1 or 3). extra: uint8 (H, W, E), as far as it is there, None for not at all.
    """

    def missing(every: Bytes, index: int) -> Bytes | int:
        if index % mode.components == mode.alpha:
            return 255
        # a preview: the low byte of a wide sample follows its high byte, a chroma plane is neutral
        return every[..., index - mode.components] if index >= mode.components else 128

    return restored(photo, extra, layout, mode, missing)


def seen_pixels(picture: Picture) -> NDArray[np.bool_] | None:
    """Bool H×W: where alpha, or the high byte of it that a lossy stream keeps, is above 0; None without alpha."""
    alpha = picture.info.alpha
    return None if alpha is None else to_planes(picture)[..., alpha] != 0


def without_hidden_light(picture: Picture) -> Picture:
    """A picture of premultiplied colours, black where alpha is 0: what a lossy decoder drew there would be added."""
    samples = np.where(picture.samples[..., -1:] == 0, 0, picture.samples).astype(picture.samples.dtype)
    return replace(picture, samples=samples)


def lossy_planes(picture: Picture) -> tuple[Picture, Bytes, Bytes, Layout]:
    """(picture, photo, extra, layout) for a lossy codec: low bytes repeat the high ones, alpha is kept.

    Modes that are no photograph planes are made grey or RGB by Pillow first. Raises InputError for signed,
    32-bit and float samples.
    """
    if picture.info.sample not in ("u1", "u2", "bit") or picture.mode == "LAB":
        raise InputError(f"expected a picture of 8 or 16 bits for a lossy codec, found mode {picture.mode}: convert it")
    if picture.info.sample == "bit":
        samples = (picture.samples != 0).astype(np.uint8) * np.uint8(255)
        mode = _BY_SHAPE["u1", picture.info.channels].name
        picture = Picture(samples, mode, metadata=picture.metadata)
    elif picture.mode in ("CMYK", "HSV", "YCbCr"):
        samples = np.array(picture.to_pillow().convert("RGB"))
        # a profile of four inks does not describe RGB
        metadata = replace(picture.metadata, icc=None) if picture.mode == "CMYK" else picture.metadata
        picture = Picture(samples, "RGB", metadata=metadata)
    info = picture.info
    photo, extra, layout = planes(picture)
    if info.planes > info.components:
        kinds = [
            (COPY, index - info.components) if index >= info.components else kind
            for index, kind in enumerate(layout.planes)
        ]
        photo, extra, layout = chosen(to_planes(picture), info.photo, Layout(tuple(kinds)))
    return picture, photo, extra, layout
