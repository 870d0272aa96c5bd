"""Pixels in and out: Pillow images of every mode, NumPy arrays and torch tensors <-> byte planes, without rounding."""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bitstream import DEFAULT_LIMITS
from .errors import CorruptStream, InputError
from .modes import BY_NAME, CODED, CONSTANT, COPY, MODES, TOKENS, Layout, Mode, digest_prefix

Bytes = NDArray[np.uint8]
_SAMPLES = {"uint8": "u1", "uint16": "u2", "int32": "i4", "float32": "f4", "bool": "bit"}
_BY_SHAPE = {(m.sample, m.channels): m for m in MODES if m.number < 64}


@dataclass(frozen=True, eq=False)
class Picture:
    """Samples with their meaning.

    samples: H×W or H×W×C array, native byte order, C-contiguous; uint8, uint16, int32 or float32 as the mode says
             (mode "1": uint8, 0 or 255).
    mode:    a name of the mode table (bitstream_spec/MODES.md): Pillow's names, and "RGB;16" and the like.
    icc:     ICC profile; exif: Exif data as a TIFF structure, without the "Exif\\0\\0" prefix. The orientation tag is
             kept, never applied.
    """

    samples: NDArray[Any]
    mode: str
    icc: bytes | None = None
    exif: bytes | None = None

    @property
    def array(self) -> NDArray[Any]:
        """The samples in the shape they were given: (n,) of tokens, which are kept as a row."""
        return self.samples[0] if self.mode == TOKENS else self.samples

    @property
    def info(self) -> Mode:
        return BY_NAME[self.mode]

    @property
    def height(self) -> int:
        return int(self.samples.shape[0])

    @property
    def width(self) -> int:
        return int(self.samples.shape[1])

    def digest(self) -> bytes:
        """First 8 bytes of SHA-256 over mode, width, height and the samples in little-endian order."""
        samples = self.samples if sys.byteorder == "little" else self.samples.astype(self.samples.dtype.newbyteorder())
        sha = hashlib.sha256(digest_prefix(self.info, self.width, self.height))
        sha.update(np.ascontiguousarray(samples).view(np.uint8).data)
        return sha.digest()[:8]

    @classmethod
    def from_any(cls, image: Any) -> Picture:
        """From a Pillow image (first frame), a NumPy array, a torch tensor or a Picture. Raises InputError."""
        if isinstance(image, Picture):
            return image
        if isinstance(image, np.ndarray):
            return _from_array(image)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(image, torch.Tensor):
            return _from_tensor(image)
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
        if self.icc is not None:
            image.info["icc_profile"] = self.icc
        if self.exif is not None:
            image.info["exif"] = b"Exif\0\0" + self.exif
        return image


# ---- the three kinds of input


def _from_array(array: NDArray[Any]) -> Picture:
    if array.ndim == 1 and array.dtype == np.uint8 and array.size:
        return Picture(np.array(array[None]), TOKENS)
    sample = _SAMPLES.get(array.dtype.name)
    channels = 0 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else -1
    mode = _BY_SHAPE.get((sample or "", channels))
    if mode is None:
        raise InputError(
            f"expected an array H×W or H×W×1..4 of uint8, uint16, bool, int32 or float32, or (n,) of uint8, "
            f"found {array.dtype.name} {'×'.join(map(str, array.shape)) or 'scalar'}"
        )
    if array.size == 0:
        raise InputError(f"expected at least one pixel, found an array {'×'.join(map(str, array.shape))}")
    samples = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    if mode.sample == "bit":
        samples = samples.astype(np.uint8) * np.uint8(255)
    return Picture(np.ascontiguousarray(samples), mode.name)


def _from_tensor(tensor: Any) -> Picture:
    array = tensor.detach().cpu().numpy() if tensor.dtype.itemsize != 2 or not tensor.is_floating_point() else None
    if array is None or array.dtype.name == "float16":
        raise InputError(f"expected a uint8, uint16, float32 or float64 tensor, found {tensor.dtype}")
    if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4):  # torch's own order; wins where both would do
        array = np.moveaxis(array, 0, 2)
    if array.dtype.kind == "f":
        array = _unscale(array)
    return _from_array(array)


def _unscale(array: NDArray[Any]) -> NDArray[Any]:
    """Floats that are exactly k/255 or k/65535 in their own precision -> k. Anything else would have to be rounded."""
    for limit, dtype in ((255, np.uint8), (65535, np.uint16)):
        with np.errstate(invalid="ignore"):
            k = np.rint(array.astype(np.float64) * limit)
            inside = bool(np.all((k >= 0) & (k <= limit)))
        if inside and np.array_equal((k.astype(array.dtype) / array.dtype.type(limit)), array):
            return k.astype(dtype)
    raise InputError(
        "expected floats that are exactly k/255 or k/65535, found other values: "
        "lossless coding does not round; convert to uint8 or uint16 first"
    )


def _from_pillow(image: Any) -> Picture:
    icc, exif = image.info.get("icc_profile"), image.info.get("exif")
    if image.width < 1 or image.height < 1:
        raise InputError(f"expected at least one pixel, found an image of {image.width}×{image.height}")
    if reduced_by_pillow(image):
        warnings.warn(
            "Pillow reads this 16-bit file as 8 bits per channel, and only those are coded: "
            "use diffcodec.files.read(path) to keep all 16",
            stacklevel=4,
        )
    transparency = image.info.get("transparency")
    mode, wide = image.mode, image.mode.startswith("I;16")
    if mode in ("P", "PA"):
        has_alpha = mode == "PA" or transparency is not None or image.palette.mode == "RGBA"
        image = image.convert("RGBA" if has_alpha else "RGB")
    elif transparency is not None and mode in ("1", "L", "RGB"):
        image = image.convert("RGBA" if mode == "RGB" else "LA")
    if wide:
        samples = np.asarray(image).astype(np.uint16)
        if isinstance(transparency, int):
            samples = np.stack([samples, np.where(samples == transparency, 0, 65535).astype(np.uint16)], axis=2)
        mode = "LA;16" if samples.ndim == 3 else "I;16"
    elif image.mode in BY_NAME:
        samples, mode = np.array(image), image.mode  # a copy: a Pillow buffer may change under us
        if mode == "1":
            samples = samples.astype(np.uint8) * np.uint8(255)
    else:
        raise InputError(f"expected one of Pillow's modes {', '.join(BY_NAME)}, found {image.mode}")
    return Picture(
        np.ascontiguousarray(samples),
        mode,
        icc if isinstance(icc, bytes) and icc else None,
        exif.removeprefix(b"Exif\0\0") or None if isinstance(exif, bytes) else None,
    )


def reduced_by_pillow(image: Any) -> bool:
    """Whether Pillow is about to drop the low bytes of a 16-bit file (known only before the pixels are loaded)."""
    if image.mode not in ("RGB", "RGBA", "RGBX", "CMYK", "LA", "LAB"):
        return False
    return any("16" in str(part) for tile in getattr(image, "tile", ()) for part in _flat(tile[3]))


def _flat(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


# ---- samples <-> byte planes


def to_planes(picture: Picture) -> Bytes:
    """H×W×P bytes, most significant byte of each channel first (see modes)."""
    info = picture.info
    samples = picture.samples.reshape(picture.height, picture.width, info.components)
    if info.sample == "bit":
        return (samples != 0).astype(np.uint8)
    if info.sample_bytes == 1:
        return samples
    big = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8)
    shape = (picture.height, picture.width, info.components, info.sample_bytes)
    return big.reshape(shape).swapaxes(2, 3).reshape(picture.height, picture.width, info.planes)


def from_planes(planes: Bytes, mode: Mode, icc: bytes | None = None, exif: bytes | None = None) -> Picture:
    """The inverse of `to_planes`. Raises CorruptStream if a plane of mode 1 holds anything but 0 and 1."""
    height, width, _ = planes.shape
    if mode.sample == "bit":
        if int(planes.max(initial=0)) > 1:
            raise CorruptStream("a 1-bit picture holds a sample above 1")
        samples: NDArray[Any] = planes * np.uint8(255)
    elif mode.sample_bytes == 1:
        samples = planes
    else:
        big = np.ascontiguousarray(planes.reshape(height, width, mode.sample_bytes, mode.components).swapaxes(2, 3))
        samples = big.view(">" + mode.sample).astype("=" + mode.sample)
    shape = (height, width, mode.channels) if mode.channels else (height, width)
    return Picture(np.ascontiguousarray(samples.reshape(shape)), mode.name, icc, exif)


# ---- byte planes <-> what a codec is given


@dataclass(frozen=True, eq=False)
class Coded:
    """The planes a codec codes: photo H×W×{0,1,3} and extra H×W×E, uint8; `palette` N×P bytes if extra is an index."""

    photo: Bytes
    extra: Bytes
    layout: Layout | None
    palette: Bytes | None


def planes(picture: Picture) -> tuple[Bytes, Bytes, Layout]:
    """(photo, extra, layout): the byte planes that have to be coded; constant and repeated ones are left out."""
    every = to_planes(picture)
    mode = picture.info
    kinds: list[tuple[int, int]] = []
    for index in range(mode.planes):
        kinds.append((CODED, 0) if index < mode.photo else _derived(every, index))
    if mode.photo == 3 and all(np.array_equal(every[..., 0], every[..., i]) for i in (1, 2)):
        kinds[1] = kinds[2] = (COPY, 0)
    if all(kind != CODED for kind, _ in kinds):
        kinds[0] = (CODED, 0)
    layout = Layout(tuple(kinds))
    n_photo, _ = layout.counts(mode)
    return _chosen(every, layout.coded[:n_photo]), _chosen(every, layout.coded[n_photo:]), layout


def lossy_planes(picture: Picture) -> tuple[Picture, Bytes, Bytes, Layout]:
    """(picture, photo, extra, layout) for a lossy codec: low bytes repeat the high ones, alpha is kept.

    Modes that are no photograph planes are made grey or RGB by Pillow first. Raises InputError for int32 and float32.
    """
    if picture.info.sample in ("i4", "f4") or picture.mode in ("LAB", TOKENS):
        raise InputError(f"expected a picture of 8 or 16 bits for a lossy codec, found mode {picture.mode}: convert it")
    if picture.info.sample == "bit":
        samples = (picture.samples != 0).astype(np.uint8) * np.uint8(255)
        mode = _BY_SHAPE["u1", picture.info.channels].name
        picture = Picture(samples, mode, picture.icc, picture.exif)
    elif picture.mode in ("CMYK", "HSV", "YCbCr"):
        samples = np.array(picture.to_pillow().convert("RGB"))
        # a profile of four inks does not describe RGB
        picture = Picture(samples, "RGB", None if picture.mode == "CMYK" else picture.icc, picture.exif)
    info = picture.info
    photo, extra, layout = planes(picture)
    if info.planes > info.components:
        kinds = [
            (COPY, index - info.components) if index >= info.components else kind
            for index, kind in enumerate(layout.planes)
        ]
        every, layout = to_planes(picture), Layout(tuple(kinds))
        n_photo, _ = layout.counts(info)
        photo, extra = _chosen(every, layout.coded[:n_photo]), _chosen(every, layout.coded[n_photo:])
    return picture, photo, extra, layout


def _chosen(every: Bytes, indices: tuple[int, ...]) -> Bytes:
    """These planes, contiguous; the array itself if they are all of it."""
    first, last = (indices[0], indices[-1] + 1) if indices else (0, 0)
    neighbours = len(indices) == last - first
    return np.ascontiguousarray(every[..., first:last] if neighbours else every[..., list(indices)])


def _derived(every: Bytes, index: int) -> tuple[int, int]:
    plane = every[..., index]
    first = int(plane.flat[0])
    if bool((plane == first).all()):
        return CONSTANT, first
    for earlier in range(index):
        if np.array_equal(plane, every[..., earlier]):
            return COPY, earlier
    return CODED, 0


def unplanes(
    photo: Bytes | None, extra: Bytes | None, layout: Layout, mode: Mode, icc: bytes | None, exif: bytes | None
) -> Picture:
    """The inverse of `planes`. `extra` None (not decoded yet) is filled in: opaque, low bytes as the high ones."""
    some = photo if photo is not None and photo.shape[2] else extra
    if some is None:
        raise CorruptStream(f"no plane of this {mode.name} picture was decoded")
    if mode.name == TOKENS and len(some) != 1:
        raise CorruptStream(f"tokens are one row, found {len(some)}; the file is damaged")
    every = np.empty((*some.shape[:2], mode.planes), np.uint8)
    n_photo, _ = layout.counts(mode)
    at = 0
    for index, (kind, value) in enumerate(layout.planes):
        if kind != CODED:
            every[..., index] = value if kind == CONSTANT else every[..., value]
            continue
        if at < n_photo and photo is not None:
            every[..., index] = photo[..., at]
        elif extra is not None:
            every[..., index] = extra[..., at - n_photo]
        elif index % mode.components == mode.alpha:
            every[..., index] = 255
        else:  # a preview: the low byte of a wide sample follows its high byte, a chroma plane is neutral
            every[..., index] = every[..., index - mode.components] if index >= mode.components else 128
        at += 1
    return from_planes(every, mode, icc, exif)


def palette(picture: Picture) -> tuple[Bytes, Bytes] | None:
    """(palette N×P bytes, index H×W×1) if P is 2 to 8 and the colours fit in 256 entries and 1024 bytes, else None.

    Entries are ordered by the sum of their bytes, so that neighbouring colours have neighbouring indices.
    """
    count = picture.info.planes
    if not 2 <= count <= 8:
        return None
    limit = min(256, DEFAULT_LIMITS.max_palette // count)
    every = to_planes(picture)
    pixels = every.reshape(-1, count)
    if len(np.unique(_packed(pixels[:: max(1, len(pixels) // 8192)]))) > limit:  # a look before sorting all of it
        return None
    flat = _packed(pixels)
    colours, inverse = np.unique(flat, return_inverse=True)
    if len(colours) > limit:
        return None
    entries = np.stack([(colours >> np.uint64(8 * i)).astype(np.uint8) for i in range(count)], axis=1)
    order = np.argsort(entries.astype(np.int32).sum(axis=1), kind="stable")
    rank = np.empty(len(order), np.uint8)
    rank[order] = np.arange(len(order))
    return entries[order], rank[inverse].reshape(*every.shape[:2], 1)


def _packed(pixels: Bytes) -> NDArray[np.uint64]:
    """One integer for the bytes of each pixel of N×P."""
    packed = np.zeros(len(pixels), np.uint64)
    for index in range(pixels.shape[1]):
        packed |= pixels[:, index].astype(np.uint64) << np.uint64(8 * index)
    return packed


def unpalette(entries: Bytes, index: Bytes, mode: Mode, icc: bytes | None, exif: bytes | None) -> Picture:
    """The inverse of `palette`. Raises CorruptStream for an index without an entry."""
    if int(index.max(initial=0)) >= len(entries):
        raise CorruptStream(f"palette of {len(entries)} colours, index {int(index.max())}")
    return from_planes(entries[index[..., 0]], mode, icc, exif)
