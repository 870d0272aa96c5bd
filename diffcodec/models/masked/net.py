"""The float network of an order-agnostic ARDM (arXiv 2110.02037): any set of known pixels -> mixtures of the others.

The U-Net of the diffusion models, with other inputs and outputs. It sees the picture with its unknown pixels filled by
an average of the known ones about them, and which pixels are known; it tells a mixture of discretised logistics for
every pixel, whose means are offsets from that average. A token is a pixel: its colours are coded together, which
needs no further network call.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..lattice.net import mixture_nats
from ..settings import held
from ..unet.net import UNet, UNetConfig

PLANES = 4  #: R, G, B of the filled picture, and which pixels are known
LEVEL = 1 / 512  #: input per quarter level
CONTRAST = 1 / 64  #: what the contrast filters measure in: two levels
RADIUS = 5  #: of the average
PRIOR = 512  #: quarter levels where nothing is known about


@dataclass(frozen=True)
class MaskedConfig(UNetConfig):
    """``components`` K of each mixture. The log-SNR of the U-Net is the log-odds of a pixel's being known."""

    logsnr_min: float = -8.0
    logsnr_max: float = 8.0
    components: int = 5


def kernel() -> Tensor:
    """Integer weights (2 RADIUS + 1, ..) of the average: a quarter for each step of squared distance, at least 1."""
    d = torch.arange(-RADIUS, RADIUS + 1, device="cpu")
    squared = d[:, None] ** 2 + d**2
    return torch.where(squared < 7, 4 ** (7 - squared).clamp_min(0), 1)


@held()
def averages(image: Tensor, known: Tensor) -> Tensor:
    """Weighted means of known pixels in quarter levels, int64 (N, 3, H, W), exact on any device.

    ``image`` uint8 (N, 3, H, W), ``known`` bool (N, 1, H, W). Sums of products stay below 2^24.
    """
    w = kernel().to(image.device, torch.float32)[None, None]
    n, c, H, W = image.shape
    m = known.float()
    stacked = torch.cat([image.float() * m, m], 1).reshape(n * (c + 1), 1, H, W)
    if image.device.type == "cpu":
        sums = F.conv2d(stacked, w, padding=RADIUS)
    else:  # as in `unet_exact`
        sums = w.flatten()[None, None] @ F.unfold(stacked, w.shape[-1], padding=RADIUS)
    sums = sums.view(n, c + 1, H, W).long()
    count = sums[:, c:] + 1
    return (2 * (4 * sums[:, :c] + PRIOR) + count) // (2 * count)


def planes(image: Tensor, known: Tensor, base: Tensor) -> Tensor:
    """What the network sees, integers in quarter levels about 0, int64 (N, PLANES, H, W)."""
    filled = torch.where(known, 4 * image.long(), base) - 512
    return torch.cat([filled, 512 * known.long()], 1)


class MaskedUNet(UNet):
    """Mixture parameters of every pixel from any set of known ones."""

    def __init__(self, config: MaskedConfig):
        super().__init__(config, PLANES, 10 * config.components)
        K = config.components
        with torch.no_grad():
            assert self.head.bias is not None
            bias = torch.zeros(10, K)
            bias[4:7] = torch.linspace(0.0, 3.5, K)
            bias[7], bias[8], bias[9] = 0.9, 0.5, 0.4
            self.head.bias.copy_(bias.flatten().repeat_interleave(4))

    def forward(self, image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(base in levels float32 (N, 3, H, W), parameters as of `lattice_net.mixture_nats`, float32 (N, 10K, H, W)).

        ``image`` uint8 (N, 3, H, W), of which only ``known`` bool (N, 1, H, W) pixels are looked at.
        """
        base = averages(image, known)
        z = planes(image, known, base).float() * LEVEL
        params = self.run(z, log_odds(known), torch.full((1, 1, 1, 1), CONTRAST, device=z.device))
        return base.float() / 4, params

    def nats(self, image: Tensor, known: Tensor) -> Tensor:
        """-log p of each unknown pixel given the known ones, each as if it were coded next; float32 (N, H, W)."""
        base, params = self(image, known)
        return mixture_nats(image.float(), base, params, summed=False) * ~known[:, 0]


def log_odds(known: Tensor) -> Tensor:
    """(N,) of a pixel's being known: what stands for the log-SNR."""
    n = known.flatten(1).sum(1)
    return torch.log((n + 0.5) / (known[0].numel() - n + 0.5)).clamp(-8, 8)
