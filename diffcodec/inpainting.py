"""inpaint: pictures and rows of tokens completed by an order-agnostic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .api import Samples


def inpaint(
    image: Any, known: Any, model: Any, *, calls: int | None = None, seed: int = 0, device: str = "auto"
) -> Samples:
    """The picture, or row of tokens, with what is not known drawn from an order-agnostic model (ARDM).

    image: uint8 array H×W×3, H×W or (n,), as for `encode`. known: bool array H×W or (n,). calls: network calls, 50 if
    None. seed: of the draw: the same seed gives the same picture.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    import numpy as np

    from .codecs import ordered
    from .image import Picture, from_planes, to_planes
    from .models import registry

    picture, told = Picture.from_any(image), np.atleast_2d(np.asarray(known, bool))
    planes = to_planes(picture)
    if planes.shape[2] != picture.info.photo:
        raise InputError(f"expected a picture of mode RGB or L, or tokens, found mode {picture.mode}")
    if told.shape != planes.shape[:2]:
        raise InputError(f"expected known of shape {planes.shape[:2]}, found {told.shape}")
    provider = registry.load(model, device=device)
    if not hasattr(provider, "ask"):
        raise InputError(f"'{provider.name}' codes in one order: inpainting needs an order-agnostic model")
    plan = ordered.Plan(ordered.RANDOM, calls or ordered.CALLS, seed)
    if provider.separate:
        told = told.repeat(planes.shape[2], 1)
    drawn = ordered.inpaint(ordered.arranged(planes, provider), told, provider, plan)
    return from_planes(drawn.reshape(planes.shape), picture.info).array
