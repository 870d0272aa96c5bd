"""Pictures and rows of tokens completed by an order-agnostic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..models import registry
from ..models.protocols import MaskedModel
from ..runtime.errors import InputError
from ..runtime.progress import Progress, end

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.generic]


def inpaint(
    image: Any,
    known: Any,
    model: Any,
    *,
    calls: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Samples:
    """The picture, or row of tokens, with what is not known drawn from an order-agnostic model (ARDM).

    image: uint8 array H×W×3, H×W or (n,), as for `encode`. known: bool array H×W or (n,). calls: network calls, 50 if
    None. seed: of the draw: the same seed gives the same picture. progress: called with the fraction done, 0 to 1.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    import numpy as np

    from ..codecs.ardm import ordered, orders
    from ..media.table import signal_of

    signal, told = signal_of(image), np.atleast_2d(np.asarray(known, bool))
    planes = signal.photograph()
    if not planes.size or planes.size < signal.array.nbytes:
        raise InputError(f"expected a picture of mode RGB or L, or tokens, found mode {signal.mode}")
    if told.shape != planes.shape[:2]:
        raise InputError(f"expected known of shape {planes.shape[:2]}, found {told.shape}")
    provider = registry.load(model, device=device)
    if not isinstance(provider, MaskedModel):
        raise InputError(f"'{provider.name}' codes in one order: inpainting needs an order-agnostic model")
    plan = ordered.Plan(orders.RANDOM, calls or ordered.CALLS, seed)
    if provider.separate:
        told = told.repeat(planes.shape[2], 1)
    drawn = ordered.inpaint(ordered.arranged(planes, provider), told, provider, plan, progress)
    end(progress)
    return signal.with_photograph(drawn.reshape(planes.shape)).array
