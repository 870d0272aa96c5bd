"""What a codec needs of a model. Any object that fits may be passed as ``model``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ..entropy.stack import AnsStack

EXACT, PINNED, TOLERANT = 0, 1, 2  #: numerics classes, DESIGN.md §6


class Distributions(Protocol):
    """Of N tokens of C values each, as integers: `entropy.logistic.Mixtures` and `entropy.tables.Categorical`."""

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (N C,) in coding order, of ``values`` uint8 (N, C)."""
        ...

    def pop(self, stack: AnsStack) -> np.ndarray:
        """Mirror of ``intervals``: uint8 (N, C) from an entropy coder."""
        ...


@runtime_checkable
class MaskedModel(Protocol):
    """An order-agnostic ARDM: any set of known tokens -> distributions of others.

    A token has a value below ``vocabulary`` for each channel. With depth upscaling (ARDM §4) a token becomes known in
    stages, most significant digit first.
    """

    name: str
    fingerprint: bytes  #: SHA-256 of weights and configuration, 32 bytes
    numerics: int  #: EXACT or PINNED
    device: object  #: of torch, or its name; recorded in a pinned stream
    separate: bool  #: whether every colour is a token of its own: a picture is then given as (H, W C, 1)
    vocabulary: int  #: 2 to 256
    branching: int  #: values of a digit: ``vocabulary`` or more means one stage
    profile: Sequence[int]  #: bits of a token x 1024 at evenly spaced shares of known ones, 0 to 1, of 2^20 at most

    def ask(self, tokens: np.ndarray, known: np.ndarray, stage: int, asked: np.ndarray) -> Distributions:
        """Distributions of the digits of stage ``stage`` of tokens ``asked`` int (N,), places in raster order.

        tokens: uint8 (H, W, C), of which only the digits of earlier stages, and of this one where ``known`` bool
        (H, W) says so, are looked at. Raises InputError for shapes that the model does not take.
        """
        ...


def digit_units(vocabulary: int, branching: int) -> list[int]:
    """What a digit of each stage of depth upscaling counts, most significant first: powers of the base, 1 the last."""
    units = [1]
    while units[0] * branching < vocabulary:
        units.insert(0, units[0] * branching)
    return units


@runtime_checkable
class PhaseModel(Protocol):
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


def single_threaded() -> None:
    """Makes torch use one thread in the thread that calls: for workers that run networks side by side."""
    import torch

    torch.set_num_threads(1)
