"""The U-Net in integers: `unet.UNet` after quantisation, the same numbers on any device, thread count or library.

Weights are int8, activations are codes of up to ±511 that tables make of what lies before; every sum of products stays
below 2^24 in magnitude, so a float32 convolution that only multiplies and adds is exact in any order. The residual
stream h holds multiples of UNIT. Where it must be real arithmetic (normalisation, FiLM, requantisation) it is single
IEEE operations on equal numbers, never fused, never a library's exp or rsqrt. What depends on the log-SNR alone is a
table with knots every 1/8, linear between. Normative: bitstream_spec/ARCHIVE.md §4.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...runtime.decimals import decimals
from ..settings import held
from .net import STEM, UNetConfig

UNIT = 1 / 64  #: of h
H_LIMIT = 65_000  # |h|, so that sums over channels are exact in float32
KNOT = 128  #: units of 1/1024 in log-SNR between the knots of the FiLM tables
FILM = 1 / 1024  #: of the tables' values
FINE = 64  #: steps of a table's argument per 1
TABLE = (-12 * FINE, 28 * FINE)  #: its range
ASINH = 64  #: steps per 1 of asinh(contrast)
Z = 1 << 16  #: units of z per 1
_EPS = 1e-5  # of the normalisation


@lru_cache(maxsize=1)
def asinh_edges() -> np.ndarray:
    """sinh((k + 1/2) / ASINH), float64, k = 0..: |u| above k of them has asinh code k."""
    with decimals(30):
        out = []
        for k in range(14 * ASINH):
            e = (Decimal(2 * k + 1) / (2 * ASINH)).exp()
            out.append(float((e - 1 / e) / 2))
        return np.array(out)


class ExactUNet:
    """v_hat of integers. ``tensors`` as made by `unet_quant.quantise`, checked here to take and give so many planes."""

    def __init__(
        self, tensors: dict[str, Tensor], config: UNetConfig, device: torch.device, planes: int = 3, outputs: int = 3
    ):
        self.config, self.device = config, device
        self.t = {}
        for name, value in tensors.items():
            if name.endswith(".weight") and name != "stem.weight":
                limit = float(tensors[name.removesuffix("weight") + "limit"])
                if float(value.float().abs().flatten(1).sum(1).max()) * limit >= 2**24:
                    raise ValueError(f"{name} could exceed 2^24")
                value = value.float()
                if device.type == "cpu" and value.ndim == 4:
                    value = value.contiguous(memory_format=torch.channels_last)
            self.t[name] = value.to(device)
        self.tables = {k: v.float() for k, v in self.t.items() if k.endswith(".table")}
        self.edges = torch.from_numpy(asinh_edges()).to(device)
        self.film = tensors["film"].double().numpy()
        self._check_range()
        self._films: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._check()
        self._try(planes, outputs)

    @torch.inference_mode()
    def _try(self, planes: int, outputs: int) -> None:
        """Run once, on the smallest picture: a tensor that is not there or has another shape is found now.

        Raises ValueError.
        """
        z = torch.zeros(1, planes, self.config.multiple, self.config.multiple, dtype=torch.float64, device=self.device)
        try:
            if self.film.shape[1] != 2 * sum(c * n for c, n in self.widths()) or len(self.film) < 2:
                raise ValueError(f"film has the shape {self.film.shape}")
            if self.run(z, 0, 1.0).shape[1] != outputs:
                raise ValueError(f"it does not give {outputs} planes")
        except KeyError as error:
            raise ValueError(f"it has no {error}") from None
        except (RuntimeError, IndexError) as error:
            raise ValueError(str(error)) from error

    def _check_range(self) -> None:
        """That h, which blocks limit, stays exact under sums over channels where layers without a limit make it."""
        kept, C = 0.0, self.config.channels
        for level in range(1, len(C)):
            for name, channels, before in (
                (f"coarser.{level - 1}", C[level], 0.0),
                (f"finer.{level - 1}", C[level - 1], H_LIMIT),
            ):
                sums = self.t[f"{name}.weight"].abs().flatten(1).sum(1).double() * float(self.t[f"{name}.limit"])
                scaled = sums * self.t[f"{name}.multiplier"].double().flatten().abs()
                kept = before + float((scaled + self.t[f"{name}.bias"].double().flatten().abs()).max())
                if not kept * channels < 2**24:
                    raise ValueError(f"sums behind {name} could exceed 2^24")

    @held()
    def _check(self) -> None:
        """Whether convolutions here are sums of products. Raises ValueError."""
        name = f"down.{len(self.config.blocks) - 1}.0.conv1"
        w, limit = self.t[f"{name}.weight"], int(self.t[f"{name}.limit"])
        codes = (torch.arange(w.shape[1] * 64, device=self.device) * 7919 % (2 * limit + 1) - limit).float()
        codes = codes.reshape(1, w.shape[1], 8, 8)
        wanted = w.double().flatten(1) @ F.unfold(codes.double(), 3, padding=1)
        if not torch.equal(self._sums(w, codes, 1, 1).double().flatten(), wanted.flatten()):
            raise ValueError("convolutions are not exact on this device, which an exact model needs")

    def __call__(self, z: Tensor, units: int, noise: float) -> Tensor:
        """v float32 of ``z`` float32 (N, 3, H, W), sides multiples of `config.multiple`; log-SNR in 1/1024.

        ``noise``: sigma_t there, correctly rounded.
        """
        return self.run((z.double() * Z).round_(), units, noise)

    @held()
    def run(self, z: Tensor, units: int, noise: float) -> Tensor:
        """As `__call__`, of ``z`` float64 in whole 1/Z, however many planes it has and outputs there are."""
        films = iter(self._film(units))
        h = self._first(z, noise)
        kept = []
        for level, blocks in enumerate(self.config.blocks):
            if level:
                kept.append(h)
                h = self._affine(f"coarser.{level - 1}", self._codes(f"coarser.{level - 1}", h), stride=2).round_()
            for k in range(blocks):
                h = self._block(f"down.{level}.{k}", h, next(films))
        ups = [next(films) for _ in range(sum(self.config.blocks[:-1]))]
        starts = np.concatenate([[0], np.cumsum(self.config.blocks[:-1])])
        for level in reversed(range(len(self.config.channels) - 1)):
            name = f"finer.{level}"
            h = kept[level] + F.pixel_shuffle(self._affine(name, self._codes(name, h)).round_(), 2)
            h = h.contiguous(memory_format=torch.channels_last)
            for k in range(self.config.blocks[level]):
                h = self._block(f"up.{level}.{k}", h, ups[starts[level] + k])
        return F.pixel_shuffle(self._affine("head", self._codes("head", h), padding=1), 2)

    def _first(self, z: Tensor, noise: float) -> Tensor:
        """Features at half resolution, in float64: `UNet.first`."""
        n, _, H, W = z.shape
        z = F.pad(z, (2, 2, 2, 2), mode="replicate")
        windows = F.unfold(z, STEM, stride=2).transpose(1, 2)  # (N, points, planes * 36)
        sums = windows @ self.t["stem.weight"].double()
        half = sums.shape[2] // 2
        level = (sums[..., :half] * self.t["stem.level"].double()).round_()
        u = sums[..., half:] * (self.t["stem.contrast"].double() * (1 / noise))
        code = torch.bucketize(u.abs(), self.edges, right=False).double()
        contrast = code * torch.sign(u) * (1 / (ASINH * UNIT))
        h = torch.cat([level, contrast], 2).float().reshape(n, H // 2, W // 2, 2 * half)
        return h.permute(0, 3, 1, 2)

    def _block(self, name: str, h: Tensor, film: tuple[Tensor, Tensor]) -> Tensor:
        g, b = film
        x = h.permute(0, 2, 3, 1)
        C = x.shape[3]
        s1 = x.sum(3, keepdim=True)
        s2 = x.double().square_().sum(3, keepdim=True)
        spread = (C * s2 - s1.double().square() + _EPS * C * C / UNIT**2).sqrt_()
        x = (x * C).sub_(s1).mul_((1 / spread).float()).mul_(g).add_(b)
        c = self._lookup(f"{name}.conv1", x).permute(0, 3, 1, 2)
        y = self._affine(f"{name}.conv1", c, padding=1).permute(0, 2, 3, 1)
        c = self._lookup(f"{name}.conv2", y).permute(0, 3, 1, 2)
        return self._affine(f"{name}.conv2", c, padding=1).round_().add_(h).clamp_(-H_LIMIT, H_LIMIT)

    def _lookup(self, name: str, x: Tensor) -> Tensor:
        """Codes of SiLU(x / FINE)."""
        index = x.round_().clamp_(TABLE[0], TABLE[1] - 1).sub_(TABLE[0]).int()
        return self.tables[f"{name}.table"].index_select(0, index.flatten()).view(x.shape)

    def _codes(self, name: str, h: Tensor) -> Tensor:
        limit = float(self.t[f"{name}.limit"])
        return (h * self.t[f"{name}.input"]).round_().clamp_(-limit, limit)

    def _affine(self, name: str, codes: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        """Sums of products, exact, then one multiplication and one addition per value."""
        sums = self._sums(self.t[f"{name}.weight"], codes, stride, padding)
        return sums.mul_(self.t[f"{name}.multiplier"]).add_(self.t[f"{name}.bias"])

    def _sums(self, w: Tensor, codes: Tensor, stride: int, padding: int) -> Tensor:
        if self.device.type == "cpu":
            return F.conv2d(codes, w, stride=stride, padding=padding)
        n, _, H, W = codes.shape  # elsewhere a library may take Winograd or FFT for a convolution, not a product
        columns = F.unfold(codes, w.shape[2], padding=padding, stride=stride)
        return (w.flatten(1) @ columns).view(n, len(w), H // stride, W // stride)

    def _film(self, units: int) -> list[tuple[Tensor, Tensor]]:
        """(1 + scale, shift) of every block in units of 1/FINE, float32 (C,)."""
        if units not in self._films:
            at = units - round(1024 * self.config.logsnr_min)
            k = min(max(at // KNOT, 0), len(self.film) - 2)
            row = (self.film[k] * (KNOT * (k + 1) - at) + self.film[k + 1] * (at - KNOT * k)) * (FINE * FILM / KNOT)
            sizes = [c for c, n in self.widths() for _ in range(n)]
            out: list[tuple[Tensor, Tensor]] = []
            start = 0
            for c in sizes:
                g, b = row[start : start + c] + FINE, row[start + c : start + 2 * c]
                scale, shift = (torch.from_numpy(v.astype(np.float32)).to(self.device) for v in (g, b))
                out.append((scale, shift))
                start += 2 * c
            self._films[units] = out
        return self._films[units]

    def widths(self) -> list[tuple[int, int]]:
        """(channels, blocks) in the order of the FiLM table: down, then up from the finest level."""
        pairs = list(zip(self.config.channels, self.config.blocks, strict=True))
        return [*pairs, *pairs[:-1]]


def film_knots(config: UNetConfig) -> list[float]:
    """Log-SNRs of the FiLM table."""
    count = math.ceil((config.logsnr_max - config.logsnr_min) * 1024 / KNOT) + 1
    return [config.logsnr_min + k * KNOT / 1024 for k in range(count)]
