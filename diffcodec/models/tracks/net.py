"""The network of tracks in floats, for training: an encoder of each agent's own past, attention from agent to agent.

"Agent-centric" as in arXiv 2104.09402: another agent is looked at in the first one's frame of reference, by where it is
and how it moves relative to it, so no place in the plane is special. What an agent is told of the others does not
depend on their order or number. The mixture is one of K logistics over both residuals of the linear prediction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .past import FEATURES, RELATIVE

AHEAD = 4  #: frames beyond the next whose displacements the predictive objective asks for
LIMIT = 127.0  #: activations are cut to this


@dataclass(frozen=True)
class TracksConfig:
    """Widths of the layers: ``channels`` of an agent, ``others`` of a pair, ``heads`` of attention, K ``mixtures``."""

    channels: int = 128
    others: int = 24
    heads: int = 2
    mixtures: int = 3

    def as_dict(self) -> dict[str, int]:
        """Fields for JSON."""
        return asdict(self)


class TracksNet(nn.Module):
    """Parameters of the mixtures of every agent's next frame."""

    def __init__(self, config: TracksConfig):
        super().__init__()
        self.config = config
        C, M, K = config.channels, config.others, config.mixtures
        self.own = nn.Linear(FEATURES, C)
        if M:
            self.seen, self.seeing = nn.Linear(C, M, bias=False), nn.Linear(C, M)
            self.relative = nn.Linear(RELATIVE, M, bias=False)
            self.pair = nn.Linear(M, config.heads + M)
        self.joined = nn.Linear(C + M, C)
        self.deeper = nn.Linear(C, C)
        self.head = nn.Linear(C, 6 * K)
        self.ahead = nn.Linear(C, 2 * AHEAD)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
            for part in (3, 4):
                self.head.bias[part * K : (part + 1) * K] = torch.linspace(-1, 0.5, K)

    def forward(self, features: Tensor, relative: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """(parameters (B, A, 6K), displacements ahead (B, A, 2 AHEAD)).

        features: (B, A, FEATURES). relative: (B, A, A, RELATIVE), of the second agent as the first sees it. there:
        bool (B, A), the agents that are. Without ``others`` in the configuration only the first is looked at.
        """
        h = _cut(self.own(features))
        if self.config.others:
            h = _cut(self.joined(torch.cat([h, self._attended(h, relative, there)], -1)))
        else:
            h = _cut(self.joined(h))
        h = h + _cut(self.deeper(h))
        return self.head(h), self.ahead(h)

    def _attended(self, h: Tensor, relative: Tensor, there: Tensor) -> Tensor:
        """(B, A, M): of each head the mean of what the others say, by softmax weights."""
        B, A, _ = h.shape
        heads, M = self.config.heads, self.config.others
        both = self.seeing(h)[:, :, None] + self.seen(h)[:, None] + self.relative(relative)
        found = self.pair(_cut(both))
        others = there[:, None] & ~torch.eye(A, dtype=torch.bool, device=h.device)
        weights = found[..., :heads].clamp(-8, 8).exp() * others[..., None]
        weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-6)
        said = _cut(found[..., heads:]).reshape(B, A, A, heads, M // heads)
        return torch.einsum("bijh,bijhm->bihm", weights, said).reshape(B, A, M)


def _cut(x: Tensor) -> Tensor:
    return x.clamp(0, LIMIT)


def bits(found: Tensor, residual: Tensor, sigma: Tensor) -> Tensor:
    """Bits a coordinate (...): of ``residual`` (..., 2) cells, less the linear prediction's, under ``found`` (..., 6K).

    sigma: (...), the running scale in cells. Weights, means of both coordinates, log-scales of both, couplings.
    """
    weights, *rest = found.reshape(*found.shape[:-1], 6, -1).unbind(-2)
    mean_x, mean_y, scale_x, scale_y, coupling = rest
    x, y = residual[..., :1], residual[..., 1:]
    s = sigma[..., None]
    lead = (x / s).clamp(-8, 8)
    both = _mass(x - s * mean_x, s, scale_x) + _mass(y - s * (mean_y + coupling * lead), s, scale_y)
    found = torch.logsumexp(F.log_softmax(weights, -1) + both, -1)
    return -found / (2 * 0.6931471805599453)


def _mass(z: Tensor, sigma: Tensor, log_scale: Tensor) -> Tensor:
    """log of what a logistic gives to the cell about z."""
    s = (sigma * log_scale.clamp(-4, 5).exp()).clamp(0.05, 1e9)
    low, high = (z - 0.5) / s, (z + 0.5) / s
    # on the side where both are negative nothing cancels
    low, high = torch.where(z > 0, -high, low), torch.where(z > 0, -low, high)
    return F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(low - high) + 1e-12)
