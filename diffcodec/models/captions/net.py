"""The network of `icons-text`: the U-Net of `photo-vdm`, told in words what the picture shows, and what reads them.

The text is read as one vector. It comes to every block with the log-SNR, and as a sketch: the few colours and places
that most pictures of such a name have, beside z_t. All that joins the U-Net starts at zero, so that a network that
begins from `photo-vdm` begins as `photo-vdm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..unet.net import STEM, UNet, UNetConfig
from .words import WORDS


@dataclass(frozen=True)
class CaptionConfig(UNetConfig):
    """Shape of the U-Net and of what reads texts.

    buckets: of parts of words. width: of a word. layers: in which words look at each other. sketch: side of the small
    picture that a text is read as.
    """

    buckets: int = 4096
    width: int = 64
    layers: int = 1
    sketch: int = 16


class Mixing(nn.Module):
    """Words look at each other: self-attention of one head, then two linear layers, each added (Vaswani 2017)."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, words: Tensor, there: Tensor) -> Tensor:
        """``words`` (N, L, D), of which those are looked at that are ``there``, bool (N, L) -> (N, L, D)."""
        q, k, v = self.qkv(F.layer_norm(words, words.shape[-1:])).chunk(3, -1)
        words = words + self.out(F.scaled_dot_product_attention(q, k, v, there[:, None]))
        step: Tensor = self.narrow(F.silu(self.wide(F.layer_norm(words, words.shape[-1:]))))
        return words + step


class Reader(nn.Module):
    """A text as one vector. Before its words stands one that every text has, so that no text is a text as well."""

    def __init__(self, config: CaptionConfig):
        super().__init__()
        D = config.width
        self.parts = nn.Embedding(config.buckets + 1, D, padding_idx=0)
        self.places = nn.Parameter(0.1 * torch.randn(1 + WORDS, D))
        self.layers = nn.ModuleList(Mixing(D) for _ in range(config.layers))

    def forward(self, numbers: Tensor) -> Tensor:
        """int64 (N, WORDS, PARTS) of `words.numbers_of` -> float32 (N, D)."""
        parts = numbers > 0
        count = parts.sum(-1, keepdim=True)
        words = (self.parts(numbers) * parts[..., None]).sum(2) / count.clamp_min(1)
        words = F.pad(words, (0, 0, 1, 0)) + self.places
        there = F.pad(count[..., 0] > 0, (1, 0), value=True)
        for layer in self.layers:
            words = layer(words, there)
        share = there.to(words.dtype) / there.sum(1, keepdim=True)
        read: Tensor = F.layer_norm((words * share[..., None]).sum(1), words.shape[-1:])
        return read


class CaptionedUNet(UNet):
    """v_hat(z_t, log-SNR, text)."""

    def __init__(self, config: CaptionConfig):
        super().__init__(config)
        E = config.embedding
        self.reader = Reader(config)
        self.told1, self.told2 = nn.Linear(config.width, E), nn.Linear(E, E)
        nn.init.zeros_(self.told2.weight)
        nn.init.zeros_(self.told2.bias)
        self.sketch = nn.Linear(config.width, 3 * config.sketch**2)
        self.sketched = nn.Parameter(torch.zeros(config.channels[0], 3, STEM, STEM))
        self.side = config.sketch

    def sketch_of(self, read: Tensor) -> Tensor:
        """Texts as :class:`Reader` gives them, (N, D) -> the pictures of x that it reads there, (N, 3, side, side)."""
        drawn: Tensor = self.sketch(read)
        return drawn.view(-1, 3, self.side, self.side)

    def forward(self, z: Tensor, logsnr: Tensor, numbers: Tensor) -> Tensor:  # type: ignore[override]
        """``z`` float32 (N, 3, H, W), ``logsnr`` (N,), ``numbers`` int64 (N, WORDS, PARTS) -> v_hat float32."""
        with torch.autocast(z.device.type, enabled=False):
            read = self.reader(numbers)
            told = self.told2(F.silu(self.told1(read)))
            e = F.silu(self.time2(F.silu(self.timed(logsnr) + told)))
            h = self.first(z.float(), torch.sigmoid(-logsnr.float()).sqrt()[:, None, None, None])
            sketch = F.interpolate(self.sketch_of(read), z.shape[-2:], mode="bilinear", align_corners=False)
            h = h + F.conv2d(F.pad(sketch, (2, 2, 2, 2), mode="replicate"), self.sketched, stride=2)
        return self.through(h, e)
