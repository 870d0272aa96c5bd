"""Pictures that were stored as indices: their palette, and the indices again from colours and palette."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .metadata import Palette

if TYPE_CHECKING:
    from .picture import Picture


def of_pillow(image: Any, samples: NDArray[Any]) -> Palette | None:
    """The palette of a loaded Pillow image of indices whose colours, H×W×3 or H×W×4 uint8, are `samples`.

    None of other images, and of a palette that does not give these colours.
    """
    if image.mode != "P" or image.palette is None or image.palette.mode not in ("RGB", "RGBA"):
        return None
    entries = len(image.palette.mode)
    colours = np.frombuffer(bytes(image.palette.palette), np.uint8)
    colours = colours[: len(colours) // entries * entries].reshape(-1, entries)[:256]
    transparency = image.info.get("transparency")
    alphas = colours[:, 3].tobytes() if entries == 4 else transparency if isinstance(transparency, bytes) else b""
    if isinstance(transparency, int) and entries == 3:
        alphas = b"\xff" * transparency + b"\0"
    palette = Palette(colours[:, :3].tobytes(), alphas[: len(colours)])
    indices = np.asarray(image)
    if not len(colours) or indices.shape != samples.shape[:2] or int(indices.max()) >= len(colours):
        return None
    for whole in (palette, replace(palette, ambiguous=indices[_shared(palette)[indices]].tobytes())):
        found = indices_of(samples, whole)
        if found is not None and np.array_equal(found, indices):
            return whole
    return None


def of_picture(picture: Picture) -> tuple[NDArray[np.uint8], Palette] | None:
    """(H×W indices of the pixels, palette) of a picture that was stored so, or None if the palette is not of it."""
    palette = picture.metadata.palette
    if not isinstance(palette, Palette):
        return None
    indices = indices_of(picture.samples, palette)
    return None if indices is None else (indices, palette)


def indices_of(samples: NDArray[Any], palette: Palette) -> NDArray[np.uint8] | None:
    """H×W indices of the pixels of H×W×3 or H×W×4 samples, or None if the palette is not of them."""
    if samples.dtype != np.uint8 or samples.ndim != 3 or samples.shape[2] not in (3, 4):
        return None
    wide = samples.astype(np.uint32)
    alpha = wide[..., 3] if samples.shape[2] == 4 else np.uint32(255)
    pixels = (wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16 | alpha << 24).ravel()
    table = _table(palette)
    order = np.argsort(table, kind="stable")
    at = np.searchsorted(table[order], pixels)
    indices: NDArray[np.uint8] = order[np.minimum(at, len(order) - 1)].astype(np.uint8)
    if not np.array_equal(table[indices], pixels):
        return None
    told = np.frombuffer(palette.ambiguous, np.uint8)
    if len(told):
        if int(told.max()) >= len(table):
            return None
        several = np.isin(pixels, np.unique(table[told]))
        if int(several.sum()) != len(told) or not np.array_equal(table[told], pixels[several]):
            return None
        indices[several] = told
    return indices.reshape(samples.shape[:2])


def _table(palette: Palette) -> NDArray[np.uint32]:
    """One number for the colour and alpha of each entry."""
    colours = np.frombuffer(palette.colours, np.uint8).reshape(-1, 3).astype(np.uint32)
    alphas = np.full(len(colours), 255, np.uint32)
    alphas[: len(palette.alphas)] = np.frombuffer(palette.alphas, np.uint8)
    table: NDArray[np.uint32] = (colours[:, 0] | colours[:, 1] << 8 | colours[:, 2] << 16 | alphas << 24).astype(
        np.uint32
    )
    return table


def _shared(palette: Palette) -> NDArray[np.bool_]:
    """For every index whether its colour is another entry's as well."""
    _, inverse, counts = np.unique(_table(palette), return_inverse=True, return_counts=True)
    shared: NDArray[np.bool_] = counts[inverse] > 1
    return shared
