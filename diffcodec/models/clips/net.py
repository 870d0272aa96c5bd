"""The network of `clip-vdm`: the U-Net of `photo-vdm`, whose frames look at each other (arXiv 2204.03458, factorised).

Frames are first joined (`joining`): z of a place that has not moved is the mean of what all show of it, and has a
log-SNR of its own, by which the layers of `photo-vdm` are told, place by place. Space is seen by these, frame by frame;
time besides by attention over the frames at each place of every level, which at some looks at the places around as
well, so that it finds what has moved. Each frame has a log-SNR of its own: one that is known stands among the others
with the greatest. Attention starts at zero: a network that begins from `photo-vdm` begins as that, of joined frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..unet.net import ResBlock, UNet, UNetConfig
from .joining import Joining

KNOTS = 0.5  #: of log-SNR, between which FiLM lies on straight lines
HEADS = 4
REACH = 8  #: frames further apart than this are as this far
#: how soon each head looks less at frames ahead of the one that looks, and at those behind it, where it begins
SLOPES = ((0.1, 0.1), (1.5, 0.3), (0.3, 1.5), (0.7, 0.7))


@dataclass(frozen=True)
class ClipConfig(UNetConfig):
    """Shape of the U-Net, and of what looks over time at each of its levels.

    width: of what frames tell each other. down, up: the side of the places that are looked at on the way down and up,
    odd, 0 where there is nothing.
    """

    width: int = 64
    down: tuple[int, ...] = (1, 3, 3, 1)
    up: tuple[int, ...] = (1, 3, 1)


class TimeBlock(nn.Module):
    """Attention of HEADS heads over the frames, at a place and those around it, added to the input.

    How far a frame is and how noisy it is count besides what it shows.
    """

    def __init__(self, channels: int, width: int, embedding: int, side: int):
        super().__init__()
        self.side = side
        self.qkv, self.out = nn.Linear(channels, 3 * width), nn.Linear(width, channels)
        self.trust = nn.Linear(embedding, HEADS)
        for layer in (self.out, self.trust):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        far = torch.arange(-REACH, REACH + 1)
        slopes = torch.tensor(SLOPES)
        over_time = -torch.where(far[None] > 0, far * slopes[:, :1], -far * slopes[:, 1:])
        away = torch.arange(side) - side // 2
        over_space = -1.5 * (away[:, None].abs() + away.abs()).flatten()
        self.far = nn.Parameter(over_time[:, :, None] + over_space)

    def forward(self, x: Tensor, e: Tensor, frames: int) -> Tensor:
        """``x`` (N, C, h, w), clips of ``frames`` that follow each other in N, ``e`` (N, E) -> (N, C, h, w)."""
        N, C, h, w = x.shape
        B, T = N // frames, frames
        points = x.view(B, T, C, h, w).permute(0, 3, 4, 1, 2)
        q, k, v = self.qkv(F.layer_norm(points, (C,))).chunk(3, -1)  # (B, h, w, T, D)
        q = _heads(q)
        k, v = (_heads(_around(one, self.side)) for one in (k, v))  # (B, h, w, HEADS, T side², d)
        at = torch.arange(T, device=x.device)
        apart = (at - at[:, None]).clamp(-REACH, REACH) + REACH  # (who looks, at whom)
        trust = self.trust(e).view(B, 1, 1, T, HEADS).permute(0, 1, 2, 4, 3)
        bias = self.far[:, apart] + trust[..., None, :, None]  # (B, 1, 1, HEADS, T, T, side²)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias.flatten(-2).to(q.dtype)
        seen = (scores.softmax(-1).to(v.dtype) @ v).transpose(3, 4).flatten(4)  # (B, h, w, T, D)
        step: Tensor = self.out(seen).permute(0, 3, 4, 1, 2).reshape(N, C, h, w)
        return x + step


def _heads(x: Tensor) -> Tensor:
    """(B, h, w, L, D) -> (B, h, w, HEADS, L, D / HEADS)."""
    return x.reshape(*x.shape[:-1], HEADS, -1).transpose(3, 4)


def _around(x: Tensor, side: int) -> Tensor:
    """(B, h, w, T, D) -> (B, h, w, T side², D): of every frame the places about each; beyond the border those on it."""
    if side == 1:
        return x
    h, w = x.shape[1:3]
    reach = side // 2
    rows, columns = (torch.arange(-reach, n + reach, device=x.device).clamp(0, n - 1) for n in (h, w))
    x = x[:, rows][:, :, columns]
    every = [x[:, i : i + h, j : j + w] for i in range(side) for j in range(side)]
    return torch.stack(every, 4).flatten(3, 4)


class ClipUNet(UNet):
    """x_hat(z_t, log-SNR of each frame) of clips."""

    config: ClipConfig

    def __init__(self, config: ClipConfig):
        super().__init__(config)
        shapes = [(config.channels, config.down), (config.channels[:-1], config.up)]
        self.joining = Joining()
        self.times = nn.ModuleList(
            nn.ModuleList(
                TimeBlock(c, config.width, config.embedding, side) if side else nn.Identity()
                for c, side in zip(channels, sides, strict=True)
            )
            for channels, sides in shapes
        )

    def forward(self, z: Tensor, logsnr: Tensor, frames: int = 1) -> Tensor:  # type: ignore[override]
        """x_hat float32, of the shape of ``z`` float32 (N, 3, H, W): frames that follow each other in N.

        frames: of each clip. logsnr: float32 (N,), of each frame. Sides are multiples of `config.multiple`.
        """
        config, device = self.config, z.device.type
        with torch.autocast(device, enabled=False):
            z, joined = self.joining(z.float(), logsnr.float(), frames, config.logsnr_max)
            every = _doubled(joined)
            alpha, sigma = torch.sigmoid(every).sqrt(), torch.sigmoid(-every).sqrt()
            h = self.first(z, sigma).contiguous(memory_format=torch.channels_last)
            ends = config.logsnr_min, config.logsnr_max + 2 * KNOTS
            knots = torch.arange(*ends, KNOTS, dtype=torch.float32, device=z.device)
            e, table = (F.silu(self.time2(F.silu(self.timed(one)))) for one in (logsnr, knots))
            near = [self._near(F.avg_pool2d(joined, 1 << level), len(knots)) for level in range(len(config.channels))]
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else h.dtype
        v = self._v(h.to(dtype), e.to(dtype), table.to(dtype), [one.to(dtype) for one in near], frames)
        x: Tensor = alpha * z - sigma * v  # Salimans & Ho 2022, §4
        return x

    def _near(self, logsnr: Tensor, count: int) -> Tensor:
        """Weights (N, h, w, count) of the knots between which the log-SNRs (N, 1, h, w) lie."""
        at = (logsnr[:, 0, :, :, None] - self.config.logsnr_min) / KNOTS
        return (1 - (at - torch.arange(count, device=at.device)).abs()).clamp_min(0)

    def _v(self, h: Tensor, e: Tensor, table: Tensor, near: list[Tensor], frames: int) -> Tensor:
        """v float32 (N, 3, 2 h, 2 w), as of `through`, but with FiLM of a ``table`` (knots, E) by what is ``near``."""
        kept = []
        for level in range(len(self.down)):
            if level:
                kept.append(h)
                h = self.coarser[level - 1](h)
            h = self._level(h, e, table, near[level], (0, level), frames)
        for level in reversed(range(len(self.up))):
            h = kept[level] + F.pixel_shuffle(self.finer[level](h), 2)
            h = h.contiguous(memory_format=torch.channels_last)
            h = self._level(h, e, table, near[level], (1, level), frames)
        with torch.autocast(h.device.type, enabled=False):
            v: Tensor = F.pixel_shuffle(self.head(h.float()), 2)
        return v

    def _level(self, h: Tensor, e: Tensor, table: Tensor, near: Tensor, at: tuple[int, int], frames: int) -> Tensor:
        way, level = at
        blocks, time = (self.down, self.up)[way][level], self.times[way][level]  # type: ignore[index]
        assert isinstance(blocks, nn.ModuleList)
        for number, block in enumerate(blocks):
            assert isinstance(block, ResBlock)
            h = block.filmed(h, near @ block.film(table))
            if not number and isinstance(time, TimeBlock):
                h = time(h, e, frames)
        return h


def _doubled(x: Tensor) -> Tensor:
    """(N, 1, 2h, 2w) of (N, 1, h, w), each point four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
