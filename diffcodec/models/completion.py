"""Providers that have less than their protocol says get the rest: what kinds of models had before all was declared.

Importing this loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .denoiser import Denoiser
from .protocols import EXACT, DiffusionModel, Model, PhaseModel

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


SOME = (64, 64)  #: the size of a picture that is looked at to see what latents are


@runtime_checkable
class BareDiffusion(Protocol):
    """The least that makes a diffusion."""

    name: str
    fingerprint: bytes
    numerics: int
    channels: int
    logsnr_min: float
    logsnr_max: float

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """As `DiffusionModel.predict`."""
        ...

    def to_latent(self, image: Tensor) -> Tensor:
        """As `DiffusionModel.to_latent`."""
        ...

    def from_latent(self, x: Tensor) -> Tensor:
        """As `DiffusionModel.from_latent`."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A bare model that says where it runs."""

    device: torch.device | str


@runtime_checkable
class Exact(Protocol):
    """A bare model with an exact expectation of its own."""

    def x_hat(self, z: Tensor, units: int) -> Tensor:
        """As `DiffusionModel.x_hat`."""
        ...


class CompletedDiffusion(Denoiser):
    """A `BareDiffusion` with the defaults of `Denoiser` for what it lacks."""

    def __init__(self, model: BareDiffusion):
        self.bare = model
        self.name, self.fingerprint, self.numerics = model.name, model.fingerprint, model.numerics
        self.channels, self.logsnr_min, self.logsnr_max = model.channels, model.logsnr_min, model.logsnr_max
        if isinstance(model, Placed):
            self.device = model.device
        self.pixels = self.latent_shape(SOME) == (3, *SOME)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """As `DiffusionModel.predict`: the provider's."""
        return self.bare.predict(z, logsnr)

    def x_hat(self, z: Tensor, units: int) -> Tensor:
        """As `DiffusionModel.x_hat`: an exact provider's own, if it has one."""
        if self.numerics == EXACT and isinstance(self.bare, Exact):
            return self.bare.x_hat(z, units)
        return super().x_hat(z, units)

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """That of x of a black picture."""
        import torch

        x = self.to_latent(torch.zeros(1, 3, *shape, dtype=torch.uint8, device="cpu"))
        _, C, h, w = x.shape
        return C, h, w

    def to_latent(self, image: Tensor) -> Tensor:
        """As `DiffusionModel.to_latent`: the provider's."""
        return self.bare.to_latent(image)

    def from_latent(self, x: Tensor) -> Tensor:
        """As `DiffusionModel.from_latent`: the provider's."""
        return self.bare.from_latent(x)


@runtime_checkable
class BarePhases(Protocol):
    """The least that makes an ARDM over the lattice."""

    name: str
    fingerprint: bytes
    numerics: int
    halo: int

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        """As `PhaseModel.bias`."""
        ...

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `PhaseModel.strip`."""
        ...


class CompletedPhases:
    """A `BarePhases` that says where it runs: on the CPU."""

    device = "cpu"

    def __init__(self, model: BarePhases):
        self.name, self.fingerprint, self.numerics = model.name, model.fingerprint, model.numerics
        self.halo, self.bias, self.strip = model.halo, model.bias, model.strip


@runtime_checkable
class Pipeline(Protocol):
    """A pipeline of diffusers as an object: `pipelines.source.provider` makes a model of it."""

    @property
    def components(self) -> Mapping[str, object]:
        """Its parts by name."""
        ...

    @property
    def scheduler(self) -> object:
        """How noise was added."""
        ...

    @property
    def config(self) -> Mapping[str, object]:
        """What it is made with."""
        ...


def _of_pipeline(model: Pipeline) -> Model:
    from .pipelines.source import provider

    return provider(model)


#: (what an object has, what makes it one that needs no more, how it gets that)
COMPLETIONS: tuple[tuple[type, type, Callable[[Any], Model]], ...] = (
    (BareDiffusion, DiffusionModel, CompletedDiffusion),
    (BarePhases, PhaseModel, CompletedPhases),
    (Pipeline, Model, _of_pipeline),
)


def completed(model: object) -> object:
    """The model itself, or one that has what it lacks of its kind. Raises ModelMismatch for an unknown pipeline."""
    for bare, whole, complete in COMPLETIONS:
        if isinstance(model, bare) and not isinstance(model, whole):
            return complete(model)
    return model
