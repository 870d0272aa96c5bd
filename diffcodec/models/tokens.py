"""Order-agnostic ARDM of categorical data: text, audio, or the subpixels of pictures (arXiv 2110.02037 §3 to §5).

A residual network without down-sampling, over a row or a plane of tokens. A token is embedded by what is known of it;
with depth upscaling (§4) it becomes known in stages, digit by digit in base b. Data parameterisation (§4.2) gives
logits of whole values, summed over those that share a digit; direct parameterisation gives logits of the digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.tables import Categorical, frequency_tables
from ..runtime.errors import InputError
from .architectures import Weights
from .checks import profile_of
from .protocols import PINNED, device_of, digit_units
from .settings import held


@dataclass(frozen=True)
class TokenConfig:
    """``dims`` 1: tokens (1, n); 2: pictures whose ``colours`` are tokens of their own (ARDM's D = 3072 of CIFAR-10).

    ``branching`` b of upscaling; ``vocabulary`` or more is one stage. ``dilations`` are repeated over the ``blocks``.
    """

    vocabulary: int = 256
    dims: int = 1
    colours: int = 1
    branching: int = 256
    data_parameterisation: bool = True
    channels: int = 64
    blocks: int = 8
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    embedding: int = 64

    def as_dict(self) -> dict[str, object]:
        """Fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, object]) -> TokenConfig:
        """Mirror of :meth:`as_dict` as JSON gives it back. Raises TypeError for unknown fields."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]

    @property
    def units(self) -> list[int]:
        """What a digit of each stage counts, most significant first."""
        return digit_units(self.vocabulary, self.branching)

    @property
    def outputs(self) -> int:
        """Numbers that the network gives for a token."""
        return self.vocabulary if self.data_parameterisation else min(self.branching, self.vocabulary)


#: the papers' sizes; `tools/training/train_tokens.py` trains smaller ones
PAPER = {
    # ARDM app. C: 32 residual blocks of 256 channels at full resolution, without their attention
    "cifar10": TokenConfig(256, 2, 3, 256, True, 256, 32, (1,), 256),
    "cifar10-upscale-4": TokenConfig(256, 2, 3, 4, True, 256, 32, (1,), 256),
    # SC09: the residual layers of DiffWave, 256 channels
    "audio-upscale-16": TokenConfig(256, 1, 1, 16, True, 256, 36, tuple(2**k for k in range(12)), 256),
}


class Block(nn.Module):
    """Norm over channels, FiLM, dilated convolution, SiLU, pointwise convolution, added to the input."""

    def __init__(self, config: TokenConfig, dilation: int):
        super().__init__()
        conv = nn.Conv1d if config.dims == 1 else nn.Conv2d
        C = config.channels
        self.film = nn.Linear(config.embedding, 2 * C)
        self.conv = conv(C, 2 * C, 3, padding=dilation, dilation=dilation)
        self.mix = conv(2 * C, C, 1)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.mix.weight.mul_(0.1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """``x`` (N, C, ...) and the state's embedding ``e`` (N, E) -> (N, C, ...)."""
        film = self.film(e)
        scale, shift = film.view(*film.shape, *[1] * (x.ndim - 2)).chunk(2, 1)
        h = F.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1)
        h = F.silu(torch.addcmul(shift, h, 1 + scale))
        step: Tensor = self.mix(F.silu(self.conv(h)))
        return x + step


class TokenNet(nn.Module):
    """Logits of every token's digit of a stage, from the digits known."""

    def __init__(self, config: TokenConfig):
        super().__init__()
        self.config = config
        conv = nn.Conv1d if config.dims == 1 else nn.Conv2d
        V, S, C, E = config.vocabulary, len(config.units), config.channels, config.embedding
        self.embed = nn.ModuleList(nn.Embedding(2 * S * V, C) for _ in range(config.colours))
        self.state = nn.Sequential(nn.Linear(S + 2, E), nn.SiLU(), nn.Linear(E, E), nn.SiLU())
        dilations = [config.dilations[k % len(config.dilations)] for k in range(config.blocks)]
        self.blocks = nn.ModuleList(Block(config, d) for d in dilations)
        self.head = conv(C, config.colours * config.outputs, 1)

    def forward(self, tokens: Tensor, known: Tensor, stage: Tensor) -> Tensor:
        """Log-probabilities float32 (N, colours, ..., b) of the digits.

        ``tokens`` int64 (N, colours, ...), ``known`` bool of that shape, ``stage`` int64 (N,), 0 the first.
        """
        V, b = self.config.vocabulary, self.config.branching
        units = torch.tensor(self.config.units, device=tokens.device)
        unit = units[stage].view(-1, *[1] * (tokens.ndim - 1))
        above = unit * b  # what the stage before has told, nothing at the first
        first = (stage == 0).view_as(unit)
        coarse = torch.where(first, 0, tokens // above)
        index = torch.where(known, tokens // unit, V + coarse) + 2 * V * stage.view_as(unit)
        x = sum(embed(index[:, c]) for c, embed in enumerate(self.embed)).movedim(-1, 1)  # type: ignore[union-attr]
        share = known.flatten(1).float().mean(1)
        state = torch.cat([F.one_hot(stage, len(units)).float(), share[:, None], (1 - share[:, None]).sqrt()], 1)
        e = self.state(state)
        for block in self.blocks:
            x = block(x, e)
        out = self.head(x).float().unflatten(1, (self.config.colours, self.config.outputs)).movedim(2, -1)
        return self._digits(out, coarse * above, unit)

    def _digits(self, logits: Tensor, low: Tensor, unit: Tensor) -> Tensor:
        V, b = self.config.vocabulary, min(self.config.branching, self.config.vocabulary)
        if self.config.data_parameterisation:
            if len(self.config.units) == 1:
                return logits.log_softmax(-1)
            value = torch.arange(V, device=logits.device)
            inside = (value >= low[..., None]) & (value < (low + unit * b)[..., None])
            logits = logits.masked_fill(~inside, -torch.inf)
            digit = ((value - low[..., None]) // unit[..., None]).clamp(0, b - 1)
            p = logits.softmax(-1)
            return by_digit(p, digit, b).clamp_min(1e-9).log()
        beyond = low[..., None] + unit[..., None] * torch.arange(b, device=logits.device) >= V
        return logits.masked_fill(beyond, -30.0).log_softmax(-1)

    def nats(self, tokens: Tensor, known: Tensor, stage: Tensor) -> Tensor:
        """-log p of the digit of every token that is not known, as if each were coded next; (N, colours, ...)."""
        b = self.config.branching
        unit = torch.tensor(self.config.units, device=tokens.device)[stage].view(-1, *[1] * (tokens.ndim - 1))
        digit = tokens // unit
        digit = torch.where((stage == 0).view_as(unit), digit, digit % b)
        log_p: Tensor = self(tokens, known, stage).gather(-1, digit[..., None])[..., 0]
        return -log_p * ~known


def by_digit(p: Tensor, digit: Tensor, b: int) -> Tensor:
    """Probabilities float32 (..., b) of digits, of those of values ``p`` (..., V), whose digits are ``digit``."""
    if p.device.type == "cpu":
        return p.new_zeros(*p.shape[:-1], b).scatter_add(-1, digit, p)
    # elsewhere it adds in any order, and not the same one twice
    return torch.stack([(p * (digit == k)).sum(-1) for k in range(b)], -1)


def load(weights: Weights) -> TokenModel:
    """Of architecture tokens-1. Raises any error for other tensors."""
    config, profile = TokenConfig.from_dict(weights.fields("profile")), profile_of(weights.config["profile"])
    return TokenModel(weights.tensors, config, profile, weights.name, weights.fingerprint, weights.device)


class TokenModel:
    """The provider of a token network: a `protocols.MaskedModel` in floats, of class pinned."""

    numerics = PINNED

    def __init__(
        self,
        tensors: dict[str, Tensor],
        config: TokenConfig,
        profile: Sequence[int],
        name: str,
        fingerprint: bytes,
        device: str,
    ):
        self.name, self.fingerprint, self.profile, self.config = name, fingerprint, profile, config
        self.vocabulary, self.branching = config.vocabulary, config.branching
        self.separate = config.colours > 1
        self.device = torch.device(device_of(device))
        with torch.device("meta"):  # no draws from the caller's generator for numbers that nobody uses
            net = TokenNet(config)
        net.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
        self.net = net.eval().to(self.device)

    @torch.inference_mode()
    @held()
    def ask(self, tokens: np.ndarray, known: np.ndarray, stage: int, asked: np.ndarray) -> Categorical:
        """Tables of tokens ``asked`` of ``tokens`` uint8 (1, n, 1), or (H, 3 W, 1) of RGB: `protocols.MaskedModel`.

        Raises InputError for another shape.
        """
        H, W, C = tokens.shape
        colours = self.config.colours
        if C != 1 or (self.config.dims == 1 and H != 1) or W % colours:
            raise InputError(f"'{self.name}' codes {'rows of tokens' if self.config.dims == 1 else 'RGB pictures'}")

        def arranged(array: np.ndarray) -> Tensor:
            if self.config.dims == 1:
                return torch.from_numpy(array.reshape(1, 1, W)).to(self.device)
            return torch.from_numpy(array.reshape(1, H, W // colours, colours)).permute(0, 3, 1, 2).to(self.device)

        log_p = self.net(arranged(tokens).long(), arranged(known), torch.tensor([stage], device=self.device))
        log_p = log_p[0].movedim(0, -2).reshape(H * W, -1)  # raster order of (H, W)
        weights = (log_p[torch.from_numpy(asked).to(self.device)].double().exp() * 2**37).round().long()
        return Categorical(frequency_tables(weights.cpu().numpy()))
