"""The network of `photo-cond`: the U-Net of `photo-vdm`, which sees what was given beside z_t (SR3, Palette).

What was given comes as planes of the picture's size, and as facts about it that have no place. All that is new starts
at zero, so that a network that begins from `photo-vdm` begins as `photo-vdm`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..unet.net import STEM, UNet, UNetConfig

KINDS = ("box", "luma", "chroma", "mask", "file")  #: that a network of this kind may be told of
TABLES = 128  #: numbers of the quantisation tables of a JPEG, of luma and of chroma
FACTS = len(KINDS) + 7 + TABLES
PLANES = 4  #: a picture of x, and where it is one


@dataclass(frozen=True)
class CondConfig(UNetConfig):
    """Shape of the U-Net. fades: how soon what was given counts less beside z_t."""

    fades: float = 10.0

    def as_dict(self) -> dict[str, object]:
        """As that of the U-Net's; ``fades`` only where it is not that of the first networks, which do not have it."""
        return {k: v for k, v in super().as_dict().items() if (k, v) != ("fades", 10.0)}


@dataclass(frozen=True)
class Seen:
    """What the network sees of what was given, of N pictures.

    planes: float32 (N, PLANES, H, W), in x, and 1 where they tell something, else 0. facts: float32 (N, FACTS), of
    :func:`facts`. precision: float32 (N,), 1 / mean squared error of the planes as x, about; 0 where they are not that.
    """

    planes: Tensor
    facts: Tensor
    precision: Tensor


def facts(
    kind: str = "",
    *,
    octaves: float = 0.0,
    logsnr: float | None = None,
    grey: bool = False,
    sampling: tuple[int, int] = (0, 0),
    tables: Tensor | None = None,
) -> Tensor:
    """float32 (FACTS,) of what was given: its kind, "" where nothing was.

    octaves: log2 of the size of boxes. logsnr: of an augmentation, None where there is none. grey: of the picture.
    sampling: log2 of how much finer luma is than chroma, across and down; tables: float32 (2, 64), of a JPEG.
    """
    told = torch.zeros(FACTS)
    if kind:
        told[KINDS.index(kind)] = 1
    numbers = [octaves / 3, float(logsnr is None and bool(kind)), 0.0 if logsnr is None else min(logsnr, 13.0) / 8]
    numbers += [float(tables is not None), float(sampling[0]), float(sampling[1]), float(grey)]
    told[len(KINDS) : len(KINDS) + len(numbers)] = torch.tensor(numbers)
    if tables is not None:
        told[-TABLES:] = tables.clamp_min(1).log2().flatten() / 8
    return told


def joined(logsnr: Tensor, precision: Tensor, config: CondConfig) -> tuple[Tensor, Tensor]:
    """Share (N,) of what was given in z_s, and the log-SNR (N,) of z_s, `config.logsnr_max` at most.

    Of the log-SNR (N,) of z_t, and ``precision`` 1/e (N,), 0 where there is nothing to join: share 0, and z_t itself.
    """
    snr = logsnr.exp()
    share = 1 / (1 + (config.fades * snr / precision.clamp_min(1e-6)).square())
    share = torch.where(precision > 0, share, torch.zeros_like(share))
    error = share.square() / precision.clamp_min(1e-6) + (1 - share).square() / snr
    return share, -error.log().clamp_min(-config.logsnr_max)


class ConditionalUNet(UNet):
    """x_hat(z_t, log-SNR, what was given).

    Where what was given is a picture that errs by about e, it is one more observation of x: with z_t it is worth z_s,
    a mean of both. That is what the layers of `photo-vdm` know how to make x_hat of; how it came about, and both its
    parts, they are told beside it. What was given lacks the fine octaves whole, where z_t soon knows more: its share
    1 / (1 + (fades e SNR)^2) falls sooner than that of an observation whose error is noise.
    """

    config: CondConfig

    def __init__(self, config: CondConfig):
        super().__init__(config)
        C, E = config.channels[0], config.embedding
        self.seen = nn.Parameter(torch.zeros(C, PLANES, STEM, STEM))
        self.told1, self.told2 = nn.Linear(FACTS + 2, E), nn.Linear(E, E)
        self.mix = nn.Linear(E, 2 * C)  # how much of z and of what was given the features hold
        for layer in (self.told2, self.mix):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z: Tensor, logsnr: Tensor, seen: Seen | None = None) -> Tensor:  # type: ignore[override]
        """``z`` float32 (N, 3, H, W), sides multiples of `config.multiple`; ``logsnr`` (N,) -> x_hat float32."""
        if seen is None:
            N, _, H, W = z.shape
            seen = Seen(z.new_zeros(N, PLANES, H, W), z.new_zeros(N, FACTS), z.new_zeros(N))
        with torch.autocast(z.device.type, enabled=False):
            z, t = z.float(), logsnr.float()
            share, s = joined(t, seen.precision, self.config)
            alpha, alpha_s, sigma_s = (torch.sigmoid(one).sqrt()[:, None, None, None] for one in (t, s, -s))
            facts = torch.cat([seen.facts, share[:, None], t[:, None] / 8], 1)
            share = share[:, None, None, None]
            z = alpha_s * (share * seen.planes[:, :3] + (1 - share) / alpha * z)
            e = self.timed(s) + self.told2(F.silu(self.told1(facts)))
            e = F.silu(self.time2(F.silu(e)))
            of_z, of_seen = (1 + self.mix(e)[:, :, None, None]).chunk(2, 1)
            planes = F.pad(seen.planes, (2, 2, 2, 2), mode="replicate")
            h = of_z * self.first(z, sigma_s) + of_seen * F.conv2d(planes, self.seen, stride=2)
        x: Tensor = alpha_s * z - sigma_s * self.through(h, e)  # of v: Salimans & Ho 2022, §4
        return x
