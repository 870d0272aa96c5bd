"""Samples of any mode as pictures for the eye: 8 bits, upright, of a bounded size, as data of a page."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...files.pictures import WHITE
from ...media.modes import BY_NAME
from ...media.picture import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...media.clip import Clip
    from ...media.metadata import Metadata

    Samples = NDArray[np.generic]
    Floats = NDArray[np.float32]

SIDE = 4096  #: pixels of a side that a page shows at most
_PROFILE = 2**16  # bytes of one that is put into every preview
_QUALITY = 90
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 274
_ALPHA = ("LA", "La", "RGBA", "RGBa")


@dataclass(frozen=True)
class Look:
    """How samples are to be looked at, as their metadata say.

    icc: a profile of RGB, b"" for sRGB. orientation: of Exif, 1 to 8. white: the largest value of 16-bit samples.
    """

    icc: bytes = b""
    orientation: int = 1
    white: int = 65535

    @classmethod
    def of(cls, metadata: Metadata) -> Look:
        """What cannot be read counts as not there."""
        icc = metadata.icc or b""
        white = int.from_bytes(metadata.chunk(WHITE) or b"", "big")
        icc = icc if icc[16:20] == b"RGB " and len(icc) <= _PROFILE else b""
        return cls(icc, _orientation(metadata.exif), white if 1 <= white <= 65535 else 65535)


def _orientation(exif: bytes | None) -> int:
    if exif is None:
        return 1
    found = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.load(exif)
            return int(found.get(_ORIENTATION, 1))
    except Exception:  # a stranger's directory fails in every way, and the picture is shown as it lies
        return 1


def visible(samples: Samples, mode: str, white: int = 65535) -> Image.Image:
    """Samples (H, W) or (H, W, C) of a picture's mode as an image RGB, or RGBA where it has alpha."""
    info = BY_NAME[mode]
    if samples.dtype == np.uint8 and info.pillow is not None and info.sample != "bit":
        image: Image.Image = Picture(np.ascontiguousarray(samples), mode).to_pillow()
    else:
        if samples.ndim == 3 and info.alpha is None:  # no more than three of them are colours
            samples = samples[..., :3] if samples.shape[2] >= 3 else samples[..., 0]
        image = Picture.from_any(samples if samples.dtype == np.uint8 else _eight_bits(samples, white)).to_pillow()
    if image.mode == "La":
        image = image.convert("LA")
    try:
        return image.convert("RGBA" if image.mode in _ALPHA else "RGB")
    except ValueError:  # CIELAB, of which Pillow makes no RGB: its lightness
        return image.getchannel(0).convert("RGB")


def _eight_bits(samples: Samples, white: int) -> NDArray[np.uint8]:
    """16 bits by their white; floats and wide integers from their least to their largest value."""
    values = samples.astype(np.float32)
    low, high = 0.0, float(white)
    if samples.dtype != np.uint16:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    values = np.nan_to_num((values - low) / max(high - low, 1e-30), nan=0.0, posinf=1.0, neginf=0.0)
    eight: NDArray[np.uint8] = (255 * values.clip(0, 1) + 0.5).astype(np.uint8)
    return eight


# ---- clips

_MATRICES = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}  # K_R, K_B of H.273
_IDENTITY = 0
_FULL = 2
_HIGH_DEFINITION = 720  # lines from which a clip that does not say is taken for one of ITU-R BT.709


def frame_of(clip: Clip, number: int) -> Image.Image:
    """A frame as RGB, by the clip's matrix and range; those of BT.601 or BT.709, limited, where it has none."""
    _, height, width = clip.shape
    if clip.sampling == "RGB":
        return Image.fromarray(clip.planes[0][number])
    y, u, v = (_of_size(plane[number], height, width) for plane in clip.planes)
    full = clip.colour.range == _FULL
    if clip.colour.matrix == _IDENTITY:  # Y, U, V hold green, blue, red
        rgb = np.stack([v, y, u], 2)
    else:
        luma = (y - (0 if full else 16)) / np.float32(255 if full else 219)
        blue, red = ((plane - 128) / np.float32(255 if full else 224) for plane in (u, v))
        k_r, k_b = _MATRICES.get(clip.colour.matrix, _MATRICES[1] if height >= _HIGH_DEFINITION else (0.299, 0.114))
        r, b = luma + 2 * (1 - k_r) * red, luma + 2 * (1 - k_b) * blue
        rgb = 255 * np.stack([r, (luma - k_r * r - k_b * b) / (1 - k_r - k_b), b], 2)
    return Image.fromarray((rgb.clip(0, 255) + 0.5).astype(np.uint8))


def _of_size(plane: NDArray[np.uint8], height: int, width: int) -> Floats:
    """Float (height, width); chroma of half the size repeated."""
    k = 1 if plane.shape == (height, width) else 2
    return plane.repeat(k, 0).repeat(k, 1)[:height, :width].astype(np.float32)


# ---- sizes, files


def turned(image: Image.Image, look: Look) -> Image.Image:
    """Upright."""
    turn = _TURNS.get(look.orientation)
    return image if turn is None else image.transpose(turn)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """Boxes averaged by a whole number, so that no side is over ``side``."""
    k = -(-max(image.size) // side)
    return image.reduce(k) if k > 1 else image


def data_url(image: Image.Image, icc: bytes = b"", room: int = 2**24) -> str:
    """For a page, in at most ``room`` bytes of file, 2^10 or more.

    A PNG of every pixel where that fits, else a WebP, of a smaller picture if need be.
    """
    if image.width * image.height <= 2 * room:  # a PNG is rarely below half a byte for a pixel
        data = png(image, icc)
        if len(data) <= room:
            return _url("png", data)
    while True:
        data = _file(image, "WEBP", icc if len(icc) < room // 4 else b"")
        if len(data) <= room or max(image.size) == 1:
            return _url("webp", data)
        image = reduced(image, -(-max(image.size) // 2))


def _file(image: Image.Image, form: str, icc: bytes) -> bytes:
    out = io.BytesIO()
    image.save(out, form, icc_profile=icc or None, **({"quality": _QUALITY} if form == "WEBP" else {}))
    return out.getvalue()


def png(image: Image.Image, icc: bytes = b"") -> bytes:
    """A PNG file."""
    return _file(image, "PNG", icc)


def _url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
