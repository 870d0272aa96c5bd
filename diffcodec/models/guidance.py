"""Guidance without a classifier (Ho & Salimans, arXiv 2207.12598), with dynamic thresholding (Imagen, 2205.11487)."""

from __future__ import annotations

import math

from torch import Tensor

from ..diffusion import samplers
from ..diffusion.process import alpha, sigma
from .denoiser import Denoiser
from .protocols import DiffusionModel

PERCENTILE = 0.995  #: of |x_hat|, of one picture, that dynamic thresholding keeps


class Guided(Denoiser):
    """x_hat = untold + scale (told - untold), of two models of one z (2207.12598, eq. 6, with w = scale - 1).

    scale: 1 is ``told`` itself, more is further from other pictures.
    threshold: of pictures in pixels, whether x_hat is brought back into [-1, 1] by the size of most of it (2205.11487,
    §2.3): else it saturates at large scales.
    """

    def __init__(self, told: DiffusionModel, untold: DiffusionModel, scale: float, threshold: bool = True):
        self.told, self.untold, self.scale = told, untold, scale
        self.threshold = threshold and told.pixels
        self.name, self.fingerprint, self.numerics = told.name, told.fingerprint, told.numerics
        self.device, self.channels, self.grid, self.pixels = told.device, told.channels, told.grid, told.pixels
        self.logsnr_min, self.logsnr_max = told.logsnr_min, told.logsnr_max

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, C, h, w), at one log-SNR, float32 (): two calls."""
        at = float(logsnr)
        one, other = (samplers.mean(model.predict, z, at) for model in (self.told, self.untold))
        x = other + self.scale * (one - other)
        if self.threshold:
            x = thresholded(x)
        t = x.new_tensor(at)
        return (z.to(x.device) - alpha(t) * x) / sigma(t)

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """As of the model that was told."""
        return self.told.latent_shape(shape)

    def to_latent(self, image: Tensor) -> Tensor:
        """x float32 (N, C, h, w) of pictures uint8 (N, 3, H, W), as of the model that was told."""
        return self.told.to_latent(image)

    def from_latent(self, x: Tensor) -> Tensor:
        """Pictures uint8 (N, 3, H', W') of x float32 (N, C, h, w), as of the model that was told."""
        return self.told.from_latent(x)


def thresholded(x: Tensor, share: float = PERCENTILE, most: float = math.inf) -> Tensor:
    """x (N, C, h, w), of each picture clamped to ±s and divided by s, s the quantile ``share`` of its |x|.

    s is at least 1, and ``most`` at most.
    """
    sizes = x.abs().flatten(1)
    rank = min(sizes.shape[1] - 1, int(share * sizes.shape[1]))  # torch.quantile takes no more than 2^24 numbers
    s = sizes.kthvalue(rank + 1, 1).values.clamp(1, most)[:, None, None, None]
    return x.clamp(-s, s) / s
