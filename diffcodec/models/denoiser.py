"""A base for providers of diffusions: what most of them have in common, so that their own part is `predict`.

Importing this loads nothing heavy; a provider need not derive from it (`completion`). Of a network that predicts, in
whatever form, `network.NetworkDenoiser` is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .protocols import TOLERANT

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Denoiser:
    """A `protocols.DiffusionModel` of pictures in [-1, 1], but for its own part.

    That is ``name``, ``fingerprint``, ``logsnr_min``, ``logsnr_max`` and :meth:`predict`; all else may be overridden.
    """

    numerics: int = TOLERANT
    device: torch.device | str = "cpu"
    channels: int = 3
    grid: int = 1
    pixels: bool = True

    @property
    def arithmetic(self) -> str:
        """What it multiplies: "float32"."""
        return "float32"

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, C, h, w), at one log-SNR, float32 ()."""
        raise NotImplementedError(f"{type(self).__name__} has no predict()")

    def posed(self, z: Tensor, logsnr: Tensor, sides: tuple[int, ...]) -> Tensor:
        """As :meth:`predict`, by an answer to z mirrored along ``sides``, 2 (upside down), 3 or both."""
        return self.predict(z.flip(sides), logsnr).flip(sides)

    def x_hat(self, z: Tensor, units: int) -> Tensor:
        """E[x|z_t] float64, of the shape of z float32 (N, C, h, w), at log-SNR ``units``/1024, by :meth:`predict`."""
        from ..diffusion import samplers

        return samplers.mean(self.predict, z, units / 1024).double()

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(C, h, w) of x of a picture of ``shape`` (H, W): its size, continued to multiples of ``grid``."""
        H, W = (-(-side // self.grid) * self.grid for side in shape)
        return self.channels, H, W

    def to_latent(self, image: Tensor) -> Tensor:
        """x = image / 127.5 - 1, float32 (N, 3, h, w), from uint8 (N, 3, H, W), continued by its border."""
        x = image.to(self.device).float() / 127.5 - 1
        H, W = image.shape[2:]
        _, h, w = self.latent_shape((H, W))
        if (h, w) == (H, W):
            return x
        from torch.nn.functional import pad

        return pad(x, (0, w - W, 0, h - H), mode="replicate")

    def from_latent(self, x: Tensor) -> Tensor:
        """Mirror of :meth:`to_latent`, rounded and clamped to uint8 (N, 3, h, w)."""
        return ((x + 1) * 127.5).round().clamp(0, 255).byte()
