"""Arrays and tensors as callers give them, without rounding."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError


def array_of(given: Any) -> NDArray[Any] | None:
    """A NumPy array as it is, of a torch tensor one (H×W×C of C×H×W); None of anything else.

    Raises InputError for an array with a mask, and for a tensor whose values are no whole numbers k, k/255 or k/65535.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.Tensor):
        return _of_tensor(given)
    if not isinstance(given, np.ndarray):
        return None
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise InputError("expected an array without a mask, found one: fill it, or code the mask as well")
    return given


def _of_tensor(tensor: Any) -> NDArray[Any]:
    array = tensor.detach().cpu().numpy() if tensor.dtype.itemsize != 2 or not tensor.is_floating_point() else None
    if array is None or array.dtype.name == "float16":
        raise InputError(f"expected a uint8, uint16, float32 or float64 tensor, found {tensor.dtype}")
    if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4):  # torch's own order; wins where both would do
        array = np.moveaxis(array, 0, 2)
    return _unscale(array) if array.dtype.kind == "f" else array


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


def described(array: NDArray[Any]) -> str:
    """Type and shape: "uint8 3×4"."""
    return f"{array.dtype.name} {'×'.join(map(str, array.shape)) or 'scalar'}"
