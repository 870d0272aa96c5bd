"""The float network behind `photo-ardm`: an ARDM (arXiv 2110.02037) whose order is the 2x lattice.

One *level* of stride ``s`` refines the grid of pixels whose coordinates are multiples of ``2s`` to the
grid of multiples of ``s``, in three *phases*, each a set of pixels coded in parallel given all known ones
(ARDM eq. 3 with the permutation fixed to this order)::

    c e c e        c  coarse, known before the level      (even row, even column)
    f d f d        d  phase 0, from c                     (odd row,  odd column)
    c e c e        e  phase 1, from c, d                  (even row, odd column)
    f d f d        f  phase 2, from c, d, e               (odd row,  even column)

All four cosets are planes of the same size (ceil(H/2), ceil(W/2)), so every phase network is a plain
convolutional network at half resolution. Only operations with an exact integer counterpart are used
(:mod:`diffcodec.models.exact`): convolutions, hard-swish, one companding table, clamps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import PAST_SIDES, SIDES
from .geometry import NO_PAST

KERNEL = 6  #: window of the first convolution, offsets -2..3, symmetric about a point between two samples
PIXEL_UNIT = 8.0  #: 8-bit levels per unit of the first convolution's input
MEAN_UNIT = 4.0  #: 8-bit levels per unit of the head's mean outputs
LOG_SCALE_MIN, LOG_SCALE_MAX = -3.0, 5.0  #: natural log of the logistic scale, in 8-bit levels
STAT_CODES = 16  #: values of each per-level side-information code
STAT_UNKNOWN = STAT_CODES  #: the code of a level whose side information is not sent
COMPAND_LIMIT = 127.0  #: first-layer outputs are clamped to this before companding


@dataclass(frozen=True)
class LatticeConfig:
    """Shape of a lattice ARDM. ``components`` is the number K of logistics in each pixel's mixture.

    past: known pictures of the same size that it is given besides, R of them; 0: none, for single pictures.
    """

    channels: int = 96
    blocks: int = 3
    components: int = 5
    levels: int = 6
    past: int = 0

    @property
    def sides(self) -> dict[str, int]:
        """The tables of side information: their rows, by name, in the order of the codes."""
        return {**SIDES, **PAST_SIDES} if self.past else SIDES

    def as_dict(self) -> dict[str, int]:
        """Fields for JSON."""
        return {name: value for name, value in asdict(self).items() if value or name != "past"}


def fake_quantise(y: Tensor, step: Tensor, low: Tensor) -> Tensor:
    """Round ``y``, of any shape, to multiples of ``step`` with codes in [low, low + 255], straight-through gradient."""
    clamped = torch.minimum(torch.maximum(y, low * step), (low + 255) * step)
    return clamped + ((clamped / step).round() * step - clamped).detach()


def fake_quantise_weight(w: Tensor) -> Tensor:
    """Symmetric int8 weights, one scale per output channel, straight-through gradient."""
    step = w.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8) / 127
    return w + ((w / step).round() * step - w).detach()


class QuantConv(nn.Conv2d):
    """Convolution of a hard-swish activation; with ``quantised`` on, both operands are int8 in effect."""

    step: Tensor
    low: Tensor

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__(c_in, c_out, kernel, padding=kernel // 2)
        self.register_buffer("step", torch.tensor(0.0))  # 0: not calibrated yet
        self.register_buffer("low", torch.tensor(0.0))
        self.quantised = False
        self.observe: list[Tensor] | None = None

    def forward(self, r: Tensor) -> Tensor:
        """``r`` (N, C_in, H, W) -> (N, C_out, H, W); what it is given is kept while ``observe`` is a list."""
        y = F.hardswish(r)
        if self.observe is not None:
            self.observe.append(y.detach().float().flatten()[::7])
        w = self.weight
        if self.quantised:
            y = fake_quantise(y, self.step, self.low)
            w = fake_quantise_weight(w)
        return F.conv2d(y, w, self.bias, padding=self.padding)

    def calibrate(self, percentile: float) -> None:
        """Set the activation step from the values seen since ``observe`` was armed."""
        assert self.observe
        seen = torch.cat(self.observe)
        top = float(torch.quantile(seen[torch.randint(len(seen), (1_000_000,), device=seen.device)], percentile))
        step = (max(top, 0.5) + 0.375) / 255  # hard-swish is never below -0.375
        self.step.fill_(step)
        self.low.fill_(-math.ceil(0.375 / step))
        self.observe = None


class Block(nn.Module):
    """Residual pair: 3x3 then 1x1, each behind a hard-swish."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = QuantConv(channels, channels, 3)
        self.mix = QuantConv(channels, channels, 1)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        nn.init.normal_(self.mix.weight, std=0.3 * channels**-0.5)

    def forward(self, r: Tensor) -> Tensor:
        """``r`` (N, C, H, W) -> (N, C, H, W)."""
        step: Tensor = self.mix(self.conv(r))
        return r + step


class PhaseNet(nn.Module):
    """Network of one phase: ``known`` cosets, and four of each past picture (RGB each) -> features and parameters."""

    def __init__(self, config: LatticeConfig, known: int):
        super().__init__()
        C, K = config.channels, config.components
        self.planes = planes = known + 4 * config.past
        self.K, self.past = K, config.past
        # C features and, as a linear skip at full precision, one correction of each component's means
        self.first = nn.Parameter(torch.randn(C + 3 * K, 3 * planes, KERNEL, KERNEL) / (KERNEL * (3 * planes) ** 0.5))
        with torch.no_grad():
            self.first[C:].zero_()
        self.level_bias = nn.Parameter(torch.randn(config.levels, C) * 0.1)
        self.sides = tuple(config.sides)
        for name, rows in config.sides.items():
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(rows, C)))
        self.entry = QuantConv(C, C, 1) if known > 1 else None  # features of the phase before
        self.blocks = nn.Sequential(*[Block(C) for _ in range(config.blocks)])
        self.head = QuantConv(C, 10 * K, 1)
        nn.init.normal_(self.head.weight, std=0.2 * C**-0.5)
        with torch.no_grad():
            bias = torch.zeros(10, K)
            bias[4:7] = torch.linspace(-0.7, 2.0, K)
            bias[7], bias[8], bias[9] = 0.9, 0.5, 0.4
            assert self.head.bias is not None
            self.head.bias.copy_(bias.flatten())

    def zero_sum_first(self) -> Tensor:
        """First-layer weights (C + 3K, 3 planes, 6, 6) whose taps sum to 0 for each colour: only contrast passes."""
        w = self.first.reshape(len(self.first), self.planes, 3, KERNEL, KERNEL)
        return (w - w.mean(dim=(1, 3, 4), keepdim=True)).flatten(1, 2)

    def side_bias(self, level: int, stats: Tensor) -> Tensor:
        """Bias (N, C) from the level and the side-information codes ``stats`` (N, tables)."""
        total = self.level_bias[min(level, len(self.level_bias) - 1)]
        for column, name in enumerate(self.sides):
            total = total + self.get_parameter(f"{name}_bias")[stats[:, column]]
        return total

    def forward(self, x: Tensor, before: Tensor | None, level: int, stats: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (N, 3·planes, h+5, w+5) levels 0..255, replicate-padded; -> r (N, C, h, w), params (N, 10K, h, w)."""
        C = self.level_bias.shape[1]
        with torch.autocast(x.device.type, enabled=False):
            contrast, weight = (x.float() - 128) / PIXEL_UNIT, self.zero_sum_first().float()
            if self.past:
                contrast, (weight, rest) = contrast.contiguous(memory_format=torch.channels_last), weight.split(C)
                skip = F.conv2d(contrast, rest)
            else:
                v = F.conv2d(contrast, weight)
                v, skip = v[:, :C], v[:, C:]
        if self.past:  # most of the time goes here, and features want no more bits than those behind them
            v = F.conv2d(contrast, weight)
        with torch.autocast(x.device.type, enabled=False):
            bias = self.side_bias(level, stats)[:, :, None, None]
            r = torch.asinh((v.float() + bias).clamp(-COMPAND_LIMIT, COMPAND_LIMIT))
        r = r.contiguous(memory_format=torch.channels_last)
        if self.entry is not None:
            r = r + self.entry(before)
        r = self.blocks(r)
        params = self.head(r).float()
        n = 3 * self.K
        params = torch.cat([params[:, : self.K], params[:, self.K : self.K + n] + skip, params[:, self.K + n :]], 1)
        return r, from_means(params) if self.past else params


class LatticeNet(nn.Module):
    """The three phase networks, shared across levels."""

    def __init__(self, config: LatticeConfig):
        super().__init__()
        self.config = config
        self.phases = nn.ModuleList(PhaseNet(config, planes) for planes in (1, 2, 3))

    def nats(
        self, image: Tensor, level: int, stats: Tensor, past: Tensor | None = None, grey: Tensor | None = None
    ) -> Tensor:
        """Nats of one level of ``image`` (N, 3, H, W), H and W even, given its coarse grid and ``past`` (N, 3R, H, W).

        Where ``stats`` say that there is no past, its place is taken by the coarse grid, enlarged. ``grey`` bool (N,):
        pictures of which G alone counts.
        """
        c, d, e, f = cosets(image)
        total = image.new_zeros((), dtype=torch.float32)
        features = None
        known: list[Tensor] = [c]
        before: list[Tensor] = []
        if past is not None:
            without = (stats[:, 2] == NO_PAST[0])[:, None, None, None]
            drawn = enlarged(c)
            for one in past.split(3, 1):
                pairs = zip(drawn, cosets(one), strict=True)
                before += [torch.where(without, own, seen.float()) for own, seen in pairs]
        for phase, target in enumerate((d, e, f)):
            net = self.phases[phase]
            x = phase_input(known, phase, before)
            features, params = net(x, features, level, stats)
            total = total + mixture_nats(target.float(), phase_base(known, phase) / 4, params, grey=grey)
            known.append(target)
        return total

    def set_quantised(self, on: bool) -> None:
        """Whether every convolution is int8 in effect."""
        for m in self.modules():
            if isinstance(m, QuantConv):
                m.quantised = on


def _shift(x: Tensor, dy: int, dx: int) -> Tensor:
    """Plane whose element [i, j] is ``x[i - dy, j - dx]``, edges replicated."""
    return F.pad(x, (dx, 0, dy, 0), mode="replicate")[..., : x.shape[-2], : x.shape[-1]] if dy or dx else x


def cosets(image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """c, d, e, f of ``image`` (N, C, H, W), H and W even."""
    return image[:, :, 0::2, 0::2], image[:, :, 1::2, 1::2], image[:, :, 0::2, 1::2], image[:, :, 1::2, 0::2]


def enlarged(c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cosets, whole levels, of the coarse grid ``c`` (N, C, h, w) at twice its size: means of its neighbours."""
    c = c.float()
    p = F.pad(c, (0, 1, 0, 1), mode="replicate")
    right, below = p[..., :-1, 1:], p[..., 1:, :-1]
    d = torch.floor((c + right + below + p[..., 1:, 1:] + 2) / 4)
    return c, d, torch.floor((c + right + 1) / 2), torch.floor((c + below + 1) / 2)


#: first row and column of the cosets c, d, e, f
PLACES = ((0, 0), (1, 1), (0, 1), (1, 0))


def phase_input(known: list[Tensor], phase: int, past: Sequence[Tensor] = ()) -> Tensor:
    """Known cosets aligned so that the window is symmetric about the target, replicate-padded by (2, 3).

    past: cosets c, d, e, f of one picture after another, of all of which each is known.
    """
    y, x = PLACES[phase + 1]
    places = [*PLACES[: len(known)], *PLACES * (len(past) // 4)]
    planes = [
        _shift(coset.float(), row * (1 - y), column * (1 - x))
        for coset, (row, column) in zip([*known, *past], places, strict=True)
    ]
    return F.pad(torch.cat(planes, 1), (2, 3, 2, 3), mode="replicate")


def phase_base(known: list[Tensor], phase: int) -> Tensor:
    """Sum of the four nearest known neighbours of each target, (N, 3, h, w) in quarter levels."""
    c = known[0].float()
    if phase == 0:
        p = F.pad(c, (0, 1, 0, 1), mode="replicate")
        return p[..., :-1, :-1] + p[..., :-1, 1:] + p[..., 1:, :-1] + p[..., 1:, 1:]
    d = known[1].float()
    if phase == 1:
        right = F.pad(c, (0, 1, 0, 0), mode="replicate")[..., 1:]
        return c + right + d + _shift(d, 1, 0)
    below = F.pad(c, (0, 0, 0, 1), mode="replicate")[..., 1:, :]
    return c + below + d + _shift(d, 0, 1)


def from_means(params: Tensor) -> Tensor:
    """Parameters (N, 10K, h, w) whose couplings go from a component's own means, as such that go from ``base``.

    Where the past tells a colour, a component's mean is far from its neighbours', and what one colour tells of the next
    is by how much it misses that mean.
    """
    N, _, h, w = params.shape
    q = params.view(N, 10, -1, h, w)
    red = q[:, 2] - q[:, 7] * q[:, 1]
    blue = q[:, 3] - q[:, 8] * q[:, 1] - q[:, 9] * q[:, 2]
    return torch.cat([q[:, :2], torch.stack([red, blue], 1), q[:, 4:]], 1).view_as(params)


def mixture_nats(
    target: Tensor,
    base: Tensor,
    params: Tensor,
    summed: bool = True,
    channels: int = 3,
    grey: Tensor | None = None,
) -> Tensor:
    """-log p(G) p(R|G) p(B|G,R) of pixels under the mixture (PixelCNN++ eq. 3, means offset from ``base``), summed.

    ``target`` and ``base`` are (N, 3, h, w) in RGB order, ``params`` (N, 10K, h, w). ``channels`` of 1: only G's part,
    as of pictures that are ``grey``, bool (N,).
    """
    N, _, h, w = target.shape
    q = params.view(N, 10, -1, h, w)
    logw = F.log_softmax(q[:, 0], dim=1)
    x = target[:, [1, 0, 2]].unsqueeze(2)
    p = base[:, [1, 0, 2]].unsqueeze(2)
    means = p + q[:, 1:4] * MEAN_UNIT
    delta = x - p
    means = means + torch.stack(
        [torch.zeros_like(logw), q[:, 7] * delta[:, 0], q[:, 8] * delta[:, 0] + q[:, 9] * delta[:, 1]], 1
    )
    log_s = q[:, 4:7].clamp(LOG_SCALE_MIN, LOG_SCALE_MAX)
    inv_s = torch.exp(-log_s)
    plus = (x + 0.5 - means) * inv_s
    minus = (x - 0.5 - means) * inv_s
    # log(sigmoid(plus) - sigmoid(minus)), stable: sigma(a)-sigma(b) = sigma(a) sigma(-b) (1 - exp(b - a))
    log_p = F.logsigmoid(plus) + F.logsigmoid(-minus) + torch.log(-torch.expm1(-inv_s).clamp(max=-1e-9))
    log_p = torch.where(x == 0, F.logsigmoid(plus), torch.where(x == 255, F.logsigmoid(-minus), log_p))
    # a floor of 2^-23 for every symbol, as the integer tables give it
    log_p = log_p.clamp_min(-25.0)[:, :channels]
    told = log_p.sum(1) if grey is None else torch.where(grey[:, None, None, None], log_p[:, 0], log_p.sum(1))
    log_p = torch.logsumexp(logw + told, dim=1)
    return -log_p.sum() if summed else -log_p


def side_codes(image: Tensor) -> Tensor:
    """Side-information codes (N, 2) of one level of ``image`` (N, 3, H, W) in 8-bit levels.

    Half-octave codes of the mean absolute error of the four-neighbour average at the phase-0 points, for G and
    for R-G and B-G together: how sharp and noisy the level is, which the coarse grid alone does not tell.
    """
    c, d = image[:, :, 0::2, 0::2].float(), image[:, :, 1::2, 1::2].float()
    error = d - phase_base([c], 0)[..., : d.shape[-2], : d.shape[-1]] / 4
    luma = error[:, 1].abs().mean((-2, -1))
    chroma = (error[:, [0, 2]] - error[:, 1:2]).abs().mean((1, 2, 3))
    codes = torch.stack([luma, chroma], 1).clamp_min(2**-2.5)
    return (2 * torch.log2(codes) + 5).round().long().clamp(0, STAT_CODES - 1)
