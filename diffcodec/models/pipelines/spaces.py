"""What x is: the picture itself, or the latents of an autoencoder, scaled as the network was trained on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.errors import ModelMismatch
from ..denoiser import Denoiser
from ..settings import held


class Space(Protocol):
    """The part of a `protocols.DiffusionModel` that is between pictures and x."""

    @property
    def channels(self) -> int:
        """As `DiffusionModel.channels`."""
        ...

    @property
    def grid(self) -> int:
        """As `DiffusionModel.grid`."""
        ...

    @property
    def pixels(self) -> bool:
        """As `DiffusionModel.pixels`."""
        ...

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """As `DiffusionModel.latent_shape`."""
        ...

    def to_latent(self, image: Tensor) -> Tensor:
        """As `DiffusionModel.to_latent`."""
        ...

    def from_latent(self, x: Tensor) -> Tensor:
        """As `DiffusionModel.from_latent`."""
        ...


class Pixels(Denoiser):
    """x is the picture in [-1, 1], on a device."""

    def __init__(self, device: torch.device):
        self.device = device


@dataclass(frozen=True)
class Coded:
    """How a class of autoencoders is asked.

    encode: (autoencoder, pictures (N, 3, H, W)) -> latents, of a distribution its mode, so that nothing is drawn.
    factor: of its sides to those of latents.
    """

    encode: Callable[[Any, Tensor], Tensor]
    factor: Callable[[Any], int]


def _halvings(vae: Any) -> int:
    return int(2 ** (len(vae.config["block_out_channels"]) - 1))


AUTOENCODERS: dict[str, Coded] = {
    "AutoencoderKL": Coded(lambda vae, x: vae.encode(x).latent_dist.mode(), _halvings),
    "AutoencoderDC": Coded(lambda vae, x: vae.encode(x).latent, lambda vae: int(vae.spatial_compression_ratio)),
    "AutoencoderTiny": Coded(
        lambda vae, x: vae.encode(x).latents, lambda vae: 2 ** (len(vae.config["encoder_block_out_channels"]) - 1)
    ),
    "VQModel": Coded(lambda vae, x: vae.encode(x).latents, _halvings),
}


class Latents(Denoiser):
    """x = (latents - shift) scale, of an autoencoder on a device; of its mean and deviation where it tells them.

    Raises ModelMismatch for a class that is not of AUTOENCODERS.
    """

    pixels = False

    def __init__(self, vae: Any, device: torch.device):
        name = type(vae).__name__
        if name not in AUTOENCODERS:
            raise ModelMismatch(f"no row for autoencoder {name}: expected one of {', '.join(AUTOENCODERS)}")
        self.vae, self.coded = vae, AUTOENCODERS[name]
        self.grid, self.channels = self.coded.factor(vae), int(vae.config["latent_channels"])
        self.device = device
        scale = vae.config.get("scaling_factor") or 1.0
        mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
        self.shift = self._per_channel(mean if mean and deviation else [vae.config.get("shift_factor") or 0.0])
        self.scale = scale / self._per_channel(deviation if mean and deviation else [1.0])

    def _per_channel(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device).reshape(1, -1, 1, 1)

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(C, h, w) of a picture (H, W): a point for ``grid``×``grid`` pixels."""
        return self.channels, -(-shape[0] // self.grid), -(-shape[1] // self.grid)

    @torch.inference_mode()
    @held()
    def to_latent(self, image: Tensor) -> Tensor:
        """x float32 (N, C, h, w) of uint8 (N, 3, H, W), continued by its border."""
        H, W = image.shape[2:]
        picture = image.to(self.device).float() / 127.5 - 1
        picture = F.pad(picture, (0, -W % self.grid, 0, -H % self.grid), mode="replicate")
        latents = self.coded.encode(self.vae, picture.to(self.vae.dtype)).float()
        return (latents - self.shift) * self.scale

    @torch.inference_mode()
    @held()
    def from_latent(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, 3, grid h, grid w)."""
        latents = x.to(self.device) / self.scale + self.shift
        return super().from_latent(self.vae.decode(latents.to(self.vae.dtype)).sample.float())
