"""What frames tell of each other before any layer: of a place that has not moved each is one more observation.

With y = z / alpha a frame shows x with noise of variance exp(-logsnr). x of another frame s differs by D: to frame t
that is worth 1 / (exp(-logsnr_s) + D) of precision. The mean of all, weighted so, is y of a place that is less noisy,
which is what the layers of `photo-vdm` know how to make x_hat of. D is told by how far y of both differ about the
place, more than noise does, at several sizes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = (3, 7, 15)  #: of what differences are averaged over, in squares of 2x2 points
HIDDEN = 16
MOST = 1.0  #: D, at most
FAR = 8  #: frames further apart than this are not joined


class Joining(nn.Module):
    """D of two frames at a place, of the mean squared difference of their y, over what noise makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.tensor([0.6, 0.8, 0.6]))
        self.bias = nn.Parameter(torch.tensor([4.6]))
        self.first, self.last = nn.Linear(len(SIDES) + 2, HIDDEN), nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def ratio(self, squared: Tensor, noise: Tensor, apart: int) -> Tensor:
        """D over ``noise`` (N, 1, 1), float32 (N, h, w), of mean squared differences of 2x2 points (N, h, w).

        noise: the sum of the variances of both frames. apart: frames between them, and one.
        """
        told = []
        for side in SIDES:
            r = side // 2
            mean = F.avg_pool2d(F.pad(squared[:, None], (r, r, r, r), mode="replicate"), side, 1)[:, 0]
            deviation = math.sqrt(2 / (12 * side * side))  # of the mean of squares of so many unit normals
            # where noise hides all that there may be, that counts in place of what it hides
            scale = (MOST / noise).clamp(max=deviation)
            told.append((F.softplus((mean / noise - 1) / deviation) * scale).log())
        besides = [noise.log() / 8, torch.full_like(noise, math.log2(apart) / 2)]
        features = torch.stack([*told, *(one.expand_as(squared) for one in besides)], -1)
        ratio: Tensor = self.bias + features[..., : len(SIDES)] @ self.gains
        ratio = ratio + self.last(F.silu(self.first(features)))[..., 0]
        return ratio.clamp(-12, 12).exp()

    def forward(self, z: Tensor, logsnr: Tensor, frames: int, most: float) -> tuple[Tensor, Tensor]:
        """(z, log-SNRs (N, 1, H/2, W/2) of its places), float32: the mean of what all frames show of each place.

        Of z float32 (N, 3, H, W), clips of ``frames`` that follow each other, at log-SNRs float32 (N,); ``most`` is the
        greatest log-SNR.
        """
        _, C, H, W = z.shape
        noise = torch.exp(-logsnr).view(-1, frames, 1, 1)
        y = (z / torch.sigmoid(logsnr).sqrt()[:, None, None, None]).view(-1, frames, C, H, W)
        precision = (1 / noise).expand(-1, -1, H // 2, W // 2).clone()
        total = y / noise[:, :, None]
        for apart in range(1, min(frames, FAR + 1)):
            here, there = slice(None, -apart), slice(apart, None)
            squared = F.avg_pool2d((y[:, there] - y[:, here]).square().mean(2), 2).flatten(0, 1)
            both = (noise[:, here] + noise[:, there]).flatten(0, 1)
            D = (both * self.ratio(squared, both, apart)).view(len(y), frames - apart, H // 2, W // 2)
            for t, s in ((here, there), (there, here)):
                worth = 1 / (noise[:, s] + D)
                edge = (apart, 0) if t is there else (0, apart)
                precision = precision + F.pad(worth, (0, 0, 0, 0, *edge))
                part = _doubled(worth)[:, :, None] * y[:, s]
                total = total + F.pad(part, (0, 0, 0, 0, 0, 0, *edge))
        joined = precision.log().clamp(max=most).view(-1, 1, H // 2, W // 2)
        mean = (total / _doubled(precision)[:, :, None]).view(-1, C, H, W)
        return torch.sigmoid(_doubled(joined)).sqrt() * mean, joined


def _doubled(x: Tensor) -> Tensor:
    """(…, 2h, 2w) of (…, h, w), each point four times."""
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)
