"""What a codec needs of a model. Any object that fits may be passed as ``model``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

EXACT, PINNED, TOLERANT = 0, 1, 2  #: numerics classes, DESIGN.md §6


@runtime_checkable
class MaskedModel(Protocol):
    """An ARDM over the 2x lattice: known pixels -> integer distribution parameters of the next phase's pixels."""

    name: str
    fingerprint: bytes  #: SHA-256 of weights and configuration, 32 bytes
    numerics: int  #: EXACT, PINNED or TOLERANT
    halo: int  #: rows of context a strip needs above and below

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        """First-layer bias int32 (C,) from the level and its two side-information codes."""
        ...

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Parameters of a strip of rows: see :meth:`diffcodec.models.lattice_torch.TorchRuntime.strip`."""
        ...


@runtime_checkable
class DiffusionModel(Protocol):
    """A denoiser of the variance-preserving diffusion z = alpha x + sigma eps, alpha^2 = sigmoid(logsnr)."""

    name: str
    fingerprint: bytes  #: SHA-256 of weights and configuration, 32 bytes
    numerics: int  #: TOLERANT or PINNED
    channels: int  #: of x and z
    logsnr_min: float  #: where z is noise, and where a stream starts
    logsnr_max: float  #: where x is known as well as this model can tell

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z (N, C, H, W), any H and W."""
        ...

    def to_latent(self, image: Tensor) -> Tensor:
        """x float32 (N, C, h, w) of pictures uint8 (N, 3, H, W)."""
        ...

    def from_latent(self, x: Tensor) -> Tensor:
        """Pictures uint8 of x: the inverse up to rounding."""
        ...


def device_of(device: str) -> str:
    """The device's name; "auto" is CUDA when there is one. Raises InputError for CUDA where there is none."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but torch finds no CUDA device; use device 'cpu' or 'auto'")
    return device
