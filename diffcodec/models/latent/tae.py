"""Tiny autoencoders: convolutions between pictures and latents of an eighth of their sides, of TAESD's layout.

Layers are those of TAESD (github.com/madebyollin/taesd, MIT), with the blocks of its later kinds that see the means of
the whole picture; widths are told by the tensors. Importing this loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

FACTOR = 8  #: of the sides of a picture to those of its latents
GROUPS = 4  #: of the channels that are normalised together
LIMIT = 3.0  #: that latents are softly kept within before they are decoded


class Block(nn.Module):
    """Three 3x3 convolutions, added to their input; ``pooled``: behind what is normalised over the whole picture."""

    def __init__(self, channels: int, pooled: bool):
        super().__init__()
        wide = 4 * channels
        self.conv = nn.Sequential(_conv(channels), nn.ReLU(), _conv(channels), nn.ReLU(), _conv(channels))
        self.pool = (
            nn.Sequential(
                nn.Conv2d(channels, wide, 1, bias=False),
                nn.GroupNorm(GROUPS, wide),
                nn.ReLU(),
                nn.Conv2d(wide, channels, 1, bias=False),
            )
            if pooled
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (N, C, H, W) -> (N, C, H, W)."""
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class Bounded(nn.Module):
    """Softly within ±LIMIT."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape -> the same."""
        return torch.tanh(x / LIMIT) * LIMIT


def _conv(channels: int, out: int | None = None, **options: int | bool) -> nn.Conv2d:
    return nn.Conv2d(channels, out or channels, 3, padding=1, **options)  # type: ignore[arg-type]


def _down(channels: int) -> nn.Conv2d:
    return _conv(channels, stride=2, bias=False)


def encoder(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """Pictures (N, 3, H, W) in [0, 1], sides multiples of FACTOR -> latents (N, C, H / 8, W / 8).

    tensors: by their names in TAESD's files. Raises any error for others.
    """
    C, last = tensors["0.weight"].shape[0], tensors["14.weight"].shape[0]
    pooled = "11.pool.0.weight" in tensors
    net = nn.Sequential(
        _conv(3, C), Block(C, False),
        _down(C), *(Block(C, False) for _ in range(3)),
        _down(C), *(Block(C, False) for _ in range(3)),
        _down(C), *(Block(C, pooled) for _ in range(3)),
        _conv(C, last),
    )  # fmt: skip
    return _with(net, tensors)


def decoder(tensors: Mapping[str, Tensor]) -> nn.Sequential:
    """The mirror of :func:`encoder`: latents (N, C, h, w) -> pictures (N, 3, 8 h, 8 w), about [0, 1]."""
    C, first = tensors["1.weight"].shape[:2]
    pooled = "3.pool.0.weight" in tensors

    def up(last: bool = False) -> list[nn.Module]:
        return [nn.Upsample(scale_factor=2), _conv(C, bias=False), *(Block(C, False) for _ in range(1 if last else 3))]

    net = nn.Sequential(
        Bounded(), _conv(first, C), nn.ReLU(), *(Block(C, pooled) for _ in range(3)),
        *up(), *up(), *up(last=True), _conv(C, 3),
    )  # fmt: skip
    return _with(net, tensors)


def _with(net: nn.Sequential, tensors: Mapping[str, Tensor]) -> nn.Sequential:
    net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return net.eval().requires_grad_(False)
