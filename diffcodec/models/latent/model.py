"""A denoiser in the latents of a tiny autoencoder, which come in one file: architecture latent-1.

x is a latent, less the mean of its channel and over its deviation. What the autoencoder loses of a picture, no rate
brings back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.process import alpha, sigma
from ..architectures import Weights
from ..denoiser import Denoiser
from ..protocols import bfloat16_serves, device_of
from ..settings import held
from ..unet.model import asked, ready
from ..unet.net import UNet, UNetConfig
from . import tae

PARTS = ("net", "encoder", "decoder")  #: before the dot of the names of tensors; beside them `mean` and `deviation`


def load(weights: Weights) -> LatentVDM:
    """Of architecture latent-1. Raises any error for other tensors."""
    return LatentVDM(weights, UNetConfig.from_dict(weights.fields()))


class LatentVDM(Denoiser):
    """eps_hat(z_t, log-SNR) of latents: a `DiffusionModel` of pictures of any size."""

    device: torch.device
    grid = tae.FACTOR
    pixels = False

    def __init__(self, weights: Weights, config: UNetConfig):
        self.name, self.fingerprint = weights.name, weights.fingerprint
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device = torch.device(device_of(weights.device))
        self.half = bfloat16_serves(self.device.type)
        parts = {part: _below(weights.tensors, part) for part in PARTS}
        self.mean, self.deviation = (_per_channel(weights.tensors[name], self.device) for name in ("mean", "deviation"))
        self.channels = int(self.mean.numel())
        planes = self.channels
        self.net = ready(lambda shape: UNet(shape, planes, planes), config, parts["net"], self.device, self.half)
        self.encoder = tae.encoder(parts["encoder"]).to(self.device)
        self.decoder = tae.decoder(parts["decoder"]).to(self.device)

    @property
    def arithmetic(self) -> str:
        """"bfloat16" where the device multiplies that itself."""
        return "bfloat16" if self.half else "float32"

    @torch.inference_mode()
    @held()
    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, C, h, w), at one log-SNR, float32 ()."""
        z = z.to(self.device)
        t = torch.as_tensor(logsnr, dtype=torch.float32, device=self.device).reshape(())
        v = asked(self.net, self.half, z, t.expand(len(z)))
        return sigma(t) * z + alpha(t) * v  # Salimans & Ho 2022, §4

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(C, h, w) of a picture (H, W): a point for 8x8 pixels."""
        return self.channels, -(-shape[0] // self.grid), -(-shape[1] // self.grid)

    @torch.inference_mode()
    @held()
    def to_latent(self, image: Tensor) -> Tensor:
        """x float32 (N, C, h, w) of pictures uint8 (N, 3, H, W), continued by their borders."""
        H, W = image.shape[2:]
        picture = F.pad(image.to(self.device).float() / 255, (0, -W % self.grid, 0, -H % self.grid), mode="replicate")
        x: Tensor = (self.encoder(picture) - self.mean) / self.deviation
        return x

    @torch.inference_mode()
    @held()
    def from_latent(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, 3, 8 h, 8 w) of x float32 (N, C, h, w)."""
        picture: Tensor = self.decoder(x.to(self.device).float() * self.deviation + self.mean)
        return (picture * 255).round().clamp(0, 255).byte()


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Those whose names begin with ``part``, by the rest of their names."""
    return {name.removeprefix(f"{part}."): one for name, one in tensors.items() if name.startswith(f"{part}.")}


def _per_channel(values: Tensor, device: torch.device) -> Tensor:
    return values.float().to(device).reshape(1, -1, 1, 1)
