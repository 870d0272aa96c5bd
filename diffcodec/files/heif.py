"""AVIF and HEIC: 8 bits, or 10 and 12 bits unscaled in 16.

AVIF of 8 bits is read by Pillow (libavif), of more by imagecodecs (libavif); HEIC by pillow-heif (libheif). The last
two come with the extra `files`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..media.exif import turned_upright
from ..runtime.errors import InputError
from . import by_pillow
from .raw import Raw, check_size, optional

_AVIF = (b"avif", b"avis")
_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def sniff_avif(data: bytes) -> bool:
    """Whether the bytes begin an AVIF file."""
    return data[4:8] == b"ftyp" and any(brand in _brands(data) for brand in _AVIF)


def _brands(data: bytes) -> bytes:
    return data[8 : max(16, min(int.from_bytes(data[:4], "big"), 256))]


def sniff_heic(data: bytes) -> bool:
    """Whether the bytes begin a HEIC file."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC


def _head(data: bytes) -> bytes:
    """The boxes in front of the coded samples."""
    end = data.find(b"mdat")
    return data if end < 0 else data[:end]


def read_avif(data: bytes, frame: int, max_pixels: int) -> Raw:
    """Samples as libavif converts them to RGB at the file's own depth. Raises InputError for what it would change."""
    head = _head(data)
    at = head.find(b"av1C")
    if b"prem" in head:
        raise InputError("an AVIF file with premultiplied colours is divided by its reader: convert it to PNG first")
    high = at >= 0 and len(head) > at + 6 and head[at + 6] & 0x40
    with by_pillow.opened(data, max_pixels) as image:
        if not high:
            return by_pillow.loaded(image, data, frame)
        exif, frames = image.info.get("exif", b""), getattr(image, "n_frames", 1)
        icc, size = image.info.get("icc_profile"), image.size
    bits = 12 if head[at + 6] & 0x20 else 10
    if frames > 1 or b"avis" in _brands(data):  # sequences have ended the process inside imagecodecs
        raise InputError(f"an AVIF sequence of {bits} bits is not read here: convert its frames to PNG first")
    codecs = optional("imagecodecs", f"an AVIF file of {bits} bits")
    samples = codecs.avif_decode(data, index=frame, numthreads=1)
    samples = np.ascontiguousarray(samples)
    modes = {2: "I;16", 3: {3: "RGB;16", 4: "RGBA;16", 2: "LA;16"}.get(samples.shape[-1])}
    mode = modes.get(samples.ndim)
    if samples.dtype != np.uint16 or samples.shape[:2] != size[::-1] or mode is None:
        raise InputError(f"the picture cannot be read: samples {samples.dtype.name} {samples.shape} of {bits} bits")
    raw = Raw(samples, str(mode), icc or None, exif.removeprefix(b"Exif\0\0") or None, (1 << bits) - 1, int(frames))
    return raw


def read_heic(data: bytes, frame: int, max_pixels: int) -> Raw:
    """Samples as libheif converts them to RGB at the file's own depth; rotation and mirroring are part of that.

    Raises InputError for a frame that is not there, and samples that no mode holds.
    """
    heif = optional("pillow_heif", "a HEIC file")
    file = heif.open_heif(data, convert_hdr_to_8bit=False)
    if not 0 <= frame < len(file):
        raise InputError(f"expected a frame below {len(file)}, found {frame}")
    image = file[frame] if frame else file[file.primary_index]
    check_size(image.size[0], image.size[1], max_pixels)
    if getattr(image, "premultiplied_alpha", False):
        raise InputError("no mode is sure to hold a HEIC file with premultiplied colours: convert it to PNG first")
    bits = int(image.info.get("bit_depth", 8))
    samples = np.asarray(image)
    mode = {"L": "L", "RGB": "RGB", "RGBA": "RGBA", "LA": "LA"}.get(image.mode) or {
        **{"L;16": "I;16", "I;16": "I;16", "I;16L": "I;16", "RGB;16": "RGB;16", "RGBA;16": "RGBA;16"},
    }.get(image.mode)
    if mode is None:
        raise InputError(f"the picture cannot be read: HEIC of mode {image.mode}")
    wide = samples.dtype.itemsize == 2
    if wide and not bits > 8:
        raise InputError(f"the picture cannot be read: HEIC of {bits} bits in samples of 16")
    samples = samples >> np.uint16(16 - bits) if wide else samples  # pillow-heif shifts them to the left
    # libheif has turned the picture, as the standard asks, whatever Exif says; a viewer of Exif would turn it again
    exif = turned_upright((image.info.get("exif") or b"").removeprefix(b"Exif\0\0")) or None
    raw = Raw(np.ascontiguousarray(samples), mode, image.info.get("icc_profile") or None, exif, frames=len(file))
    return replace(raw, white=(1 << bits) - 1) if wide and bits < 16 else raw
