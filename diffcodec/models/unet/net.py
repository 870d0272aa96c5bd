"""The float network behind `photo-vdm`: a convolutional U-Net that predicts v from (z_t, log-SNR), on any size.

Everything in the bundled ones is local (normalisation is over the channels of one point, no attention, no statistics of
the picture), so a block of a large picture with enough margin gives the numbers that the whole picture gives. Attention
and Fourier features are there for networks of the VDM paper's kind, for small pictures.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

STEM = 6  #: side of the first filters: 3x3 points of the 2x2 pixel-unshuffled input


def _asinh(x: Tensor) -> Tensor:
    """asinh of float32, to 1e-6 of it: by operations that have vectors on every processor, a fifth of torch's time."""
    size = x.abs()
    return torch.copysign(torch.log(size + (size * size + 1).sqrt()), x)


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the U-Net. ``channels`` at 1/2, 1/4, ... resolution; ``blocks`` per side, of the lowest in all.

    ``attention``: over all points of the lowest resolution, behind its middle block. ``fourier``: the network sees
    sin and cos of 2^n pi z, n = 7 and 8, as well (VDM app. C). A network with either is not local and has no form in
    integers.
    """

    channels: tuple[int, ...] = (64, 96, 128, 160)
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    embedding: int = 128
    logsnr_min: float = -8.0
    logsnr_max: float = 13.5
    attention: bool = False
    fourier: bool = False

    def as_dict(self) -> dict[str, object]:
        """Fields for JSON, those of non-local networks only where they are set: fingerprints cover this."""
        return {k: v for k, v in asdict(self).items() if v is not False}

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> Self:
        """Mirror of :meth:`as_dict` as JSON gives it back. Raises TypeError for unknown fields."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]

    @property
    def multiple(self) -> int:
        """Sides of z that need no padding are multiples of this."""
        return 1 << len(self.channels)


class ResBlock(nn.Module):
    """Norm over channels, FiLM from the log-SNR, two 3x3 convolutions behind SiLU, added to the input."""

    def __init__(self, channels: int, embedding: int):
        super().__init__()
        self.film = nn.Linear(embedding, 2 * channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """``x`` (N, C, H, W) and the log-SNR's embedding ``e`` (N, E) -> (N, C, H, W)."""
        return self.filmed(x, self.film(e)[:, None, None])

    def filmed(self, x: Tensor, film: Tensor) -> Tensor:
        """As `forward`, with scales and shifts (N, H, W, 2 C), or what broadcasts with them."""
        scale, shift = film.chunk(2, -1)
        h = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],))
        h = F.silu(torch.addcmul(shift, h, 1 + scale)).permute(0, 3, 1, 2)
        step: Tensor = self.conv2(F.silu(self.conv1(h)))
        return x + step


#: of the size of the VDM paper's network for CIFAR-10 (32 residual blocks a side there, without down-sampling)
PAPER = UNetConfig((256, 256, 256), (8, 12, 12), 512, attention=True, fourier=True)
FOURIER = (7, 8)  #: n of the Fourier features


class Attention(nn.Module):
    """Self-attention of one head over all points, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (N, C, H, W) -> (N, C, H, W)."""
        points = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(F.layer_norm(points, points.shape[-1:])).chunk(3, -1)
        seen: Tensor = self.out(F.scaled_dot_product_attention(q, k, v))
        return x + seen.transpose(1, 2).view_as(x)


class UNet(nn.Module):
    """v_hat(z_t, log-SNR); with x_hat = alpha z - sigma v and eps_hat = sigma z + alpha v (Salimans & Ho 2022, §4).

    ``planes`` it is given and ``outputs`` it gives per point are 3 and 3 there; `masked.MaskedUNet` has others.
    """

    def __init__(self, config: UNetConfig, planes: int = 3, outputs: int = 3):
        super().__init__()
        self.config = config
        C, E = config.channels, config.embedding
        planes *= 1 + 2 * len(FOURIER) if config.fourier else 1
        self.stem = nn.Parameter(torch.randn(C[0], planes, STEM, STEM) / (STEM * planes**0.5))
        self.time1, self.time2 = nn.Linear(E, E), nn.Linear(E, E)
        self.down = nn.ModuleList(
            nn.ModuleList(ResBlock(c, E) for _ in range(n)) for c, n in zip(C, config.blocks, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(ResBlock(c, E) for _ in range(n)) for c, n in zip(C[:-1], config.blocks[:-1], strict=True)
        )
        self.attention = Attention(C[-1]) if config.attention else None
        pairs = list(itertools.pairwise(C))
        self.coarser = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.finer = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairs)
        self.head = nn.Conv2d(C[0], 4 * outputs, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def first(self, z: Tensor, sigma: Tensor) -> Tensor:
        """Features at half resolution. Half of the filters see z; half see only contrast, in units of the noise.

        The second half is what Fourier features are for (VDM §4.1): noise far below the picture's own range stays
        visible. It needs float32, and asinh bounds what an edge does to it.
        """
        half = len(self.stem) // 2
        w = self.stem
        contrast = w[half:] - w[half:].mean(dim=(2, 3), keepdim=True)
        around = (2, 2, 2, 2)
        level = F.conv2d(F.pad(z, around, mode="replicate"), w[:half], stride=2)
        noisy = F.conv2d(F.pad(z / sigma, around, mode="replicate"), contrast, stride=2)
        return torch.cat([level, _asinh(noisy)], 1)

    def forward(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """``z`` float32 (N, 3, H, W), sides multiples of `config.multiple`; ``logsnr`` (N,) -> v_hat float32."""
        return self.run(z, logsnr, torch.sigmoid(-logsnr.float()).sqrt()[:, None, None, None])

    def run(self, z: Tensor, logsnr: Tensor, sigma: Tensor) -> Tensor:
        """As `forward`; contrast is seen in units of ``sigma``, which broadcasts with z."""
        with torch.autocast(z.device.type, enabled=False):
            e = F.silu(self.time2(F.silu(self.timed(logsnr))))
            z = z.float()
            if self.config.fourier:
                waves = torch.cat([2**n * math.pi * z for n in FOURIER], 1)
                z = torch.cat([z, waves.sin(), waves.cos()], 1)
            h = self.first(z, sigma)
        return self.through(h, e)

    def timed(self, logsnr: Tensor) -> Tensor:
        """The first layer (N, E) of the embedding of log-SNRs (N,), in float32."""
        E = self.config.embedding
        frequencies = (
            torch.exp(torch.arange(E // 2, device=logsnr.device, dtype=torch.float32) * (-math.log(100) / (E // 2))) * 2
        )
        angles = logsnr.float()[:, None] * frequencies
        first: Tensor = self.time1(torch.cat([angles.sin(), angles.cos()], 1))
        return first

    def through(self, h: Tensor, e: Tensor) -> Tensor:
        """v_hat float32 (N, outputs, 2 h, 2 w) of features ``h`` (N, C, h, w) and of what is known of all, ``e``."""
        device = h.device.type
        h = h.contiguous(memory_format=torch.channels_last)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            e, h = e.to(dtype), h.to(dtype)
        kept = []
        for level, blocks in enumerate(self.down):
            if level:
                kept.append(h)
                h = self.coarser[level - 1](h)
            assert isinstance(blocks, nn.ModuleList)
            for number, block in enumerate(blocks):
                h = block(h, e)
                if self.attention and level == len(self.down) - 1 and number == len(blocks) // 2:
                    h = self.attention(h)
        for level in reversed(range(len(self.up))):
            h = kept[level] + F.pixel_shuffle(self.finer[level](h), 2)
            h = h.contiguous(memory_format=torch.channels_last)
            blocks = self.up[level]
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, e)
        with torch.autocast(device, enabled=False):
            return F.pixel_shuffle(self.head(h.float()), 2)
