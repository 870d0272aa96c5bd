"""Samples <-> byte planes <-> the planes that are coded: what the media have in common.

A sample of b bytes is b planes, the most significant first (see `modes`); constant and repeated planes are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import CorruptStream
from ..runtime.limits import DEFAULT_LIMITS
from .modes import CODED, CONSTANT, COPY, Layout, Mode, Planar

Bytes = NDArray[np.uint8]


# ---- samples <-> byte planes


def split(samples: NDArray[Any], mode: Mode) -> Bytes:
    """(H, W, P) bytes of samples (H, W) or (H, W, C), most significant byte of each channel first."""
    height, width = samples.shape[:2]
    planes: Bytes = samples.reshape(height, width, mode.components)
    if mode.sample == "bit":
        planes = (planes != 0).astype(np.uint8)
    elif mode.sample_bytes > 1:
        big = planes.astype(planes.dtype.newbyteorder(">")).view(np.uint8)
        parts = big.reshape(*planes.shape, mode.sample_bytes).swapaxes(2, 3)
        planes = parts.reshape(height, width, mode.planes)
    return planes


def joined(planes: Bytes, mode: Mode) -> NDArray[Any]:
    """The inverse of :func:`split`. Raises CorruptStream if a plane of bits holds anything but 0 and 1."""
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
    return np.ascontiguousarray(samples.reshape((height, width, mode.channels) if mode.channels else (height, width)))


# ---- byte planes <-> those that are coded


def laid_out(every: Bytes, photo: int) -> tuple[Bytes, Bytes, Layout]:
    """(photo, extra, layout): the planes of (H, W, P) that have to be coded, the first ``photo`` a photograph's."""
    kinds: list[tuple[int, int]] = []
    for index in range(every.shape[2]):
        kinds.append((CODED, 0) if index < photo else _derived(every, index))
    if photo == 3 and all(np.array_equal(every[..., 0], every[..., i]) for i in (1, 2)):
        kinds[1] = kinds[2] = (COPY, 0)
    if all(kind != CODED for kind, _ in kinds):
        kinds[0] = (CODED, 0)
    return chosen(every, photo, Layout(tuple(kinds)))


def chosen(every: Bytes, photo: int, layout: Layout) -> tuple[Bytes, Bytes, Layout]:
    """(photo, extra, layout): the planes that the layout codes, contiguous; the array itself if they are all of it."""
    count = sum(1 for index in layout.coded if index < photo)
    return _chosen(every, layout.coded[:count]), _chosen(every, layout.coded[count:]), layout


def bare(photo: Bytes, extra: Bytes, layout: Layout, planes: int) -> tuple[Bytes, Bytes, Layout]:
    """The same (H, W, n) without a photograph of one colour beside other planes; ``planes``: of it, 0, 1 or 3."""
    if not photo.shape[2] or not extra.shape[2] or (photo != photo[:1, :1]).any():
        return photo, extra, layout
    values = photo[0, 0].tolist() * (planes if photo.shape[2] == 1 else 1)
    kinds = tuple((CONSTANT, value) for value in values) + layout.planes[planes:]
    return photo[..., :0], extra, Layout(kinds)


def _chosen(every: Bytes, indices: tuple[int, ...]) -> Bytes:
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


#: of the planes so far and the number of one that is not there: what stands for it in a preview
Missing = Callable[[Bytes, int], "Bytes | int"]


def restored(photo: Bytes | None, extra: Bytes | None, layout: Layout, kind: Planar, missing: Missing) -> Bytes:
    """The inverse of `laid_out`: (H, W, P) bytes. Raises CorruptStream where no plane was decoded at all.

    photo: None where it has no planes. extra: as far as it is there, None for not at all.
    """
    some = photo if photo is not None and photo.shape[2] else extra
    if some is None:
        raise CorruptStream(f"no plane of this {kind.name} picture was decoded")
    every = np.empty((*some.shape[:2], kind.planes), np.uint8)
    n_photo, _ = layout.counts(kind)
    at = 0
    for index, (origin, value) in enumerate(layout.planes):
        if origin != CODED:
            every[..., index] = value if origin == CONSTANT else every[..., value]
            continue
        if at < n_photo and photo is not None:
            every[..., index] = photo[..., at]
        elif extra is not None and at - n_photo < extra.shape[2]:
            every[..., index] = extra[..., at - n_photo]
        else:
            every[..., index] = missing(every, index)
        at += 1
    return every


# ---- byte planes <-> indices of a palette


def palette(every: Bytes) -> tuple[Bytes, Bytes] | None:
    """(entries N×P, index H×W×1) of (H, W, P) if P is 2 to 8 and they fit in 256 entries and 1024 bytes, else None.

    Entries are ordered by the sum of their bytes, so that neighbouring colours have neighbouring indices.
    """
    count = every.shape[2]
    if not 2 <= count <= 8:
        return None
    limit = min(256, DEFAULT_LIMITS.max_palette // count)
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


def unpalette(entries: Bytes, index: Bytes) -> Bytes:
    """The inverse of `palette`: (H, W, P) bytes. Raises CorruptStream for an index without an entry."""
    if int(index.max(initial=0)) >= len(entries):
        raise CorruptStream(f"palette of {len(entries)} colours, index {int(index.max())}")
    return entries[index[..., 0]]


def _packed(pixels: Bytes) -> NDArray[np.uint64]:
    """One integer for the bytes of each pixel of N×P."""
    packed = np.zeros(len(pixels), np.uint64)
    for index in range(pixels.shape[1]):
        packed |= pixels[:, index].astype(np.uint64) << np.uint64(8 * index)
    return packed
