"""What is said of the agents of a frame, by a network whose last layer may learn from frame to frame.

bitstream_spec/TRACKS.md §7, and §8 where it is known where they will be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid
from ...models.protocols import TrackModel
from ...models.tracks.bridge import PLAIN, Bridge
from ...models.tracks.past import FLOOR, Past, logs_of
from .learning import Layer, Rule

BAND = 48  #: displacements, at least, after which a step is made
_LARGEST = 1 << 44  # of a scale that grows smaller

Values = NDArray[np.int64]
#: whole numbers that a layer was given, and 64 behind them; nothing where it does not learn
Inputs = NDArray[np.float64] | None


@dataclass(frozen=True)
class Asked:
    """Of N agents: what the network says, int32 (N, 6, K), and what its last layer was given; of what prediction.

    predicted: int64 (N, 2), 1/64 of a cell. sigma: int64 (N,), 1/1024 of one.
    """

    params: NDArray[np.int32]
    codes: NDArray[np.float64]
    predicted: Values
    sigma: Values


def asked(
    past: Past, known: NDArray[np.bool_], index: Values, model: TrackModel, bridge: Bridge | None = None, t: int = 0
) -> Asked:
    """What the network says of the agents ``known`` bool (A,), at ``index`` int64 (N,).

    bridge: over frames of which t is one between those that are known. A prediction that knows of these is surer, and
    what the network adds to it counts by as much less.
    """
    past.look(known)
    params, codes = model.mixtures(past, index)
    predicted, sigma = past.predicted[index], past.sigma[index]
    if bridge is not None:
        ahead, ratio = (one[index] for one in bridge.aim(past, known, t))
        narrow = np.maximum(np.minimum(sigma, _LARGEST) * ratio >> 10, FLOOR)
        predicted, sigma = predicted + ahead, np.where(ratio == PLAIN, sigma, narrow)
        left = ratio * ratio >> 10  # of the variance
        params = params.copy()
        params[:, 1:3] = params[:, 1:3] * (left * left)[:, None, None] >> 20
    return Asked(params, codes, predicted, sigma)


class Network:
    """What the last layer learns of a pass, where it does."""

    def __init__(self, rate: int):
        self.rate = rate
        self.layer: Layer | None = None
        self.seen: list[tuple[NDArray[np.float64], Values]] = []  # inputs, gradients, since the last step

    def mixtures(self, told: Asked) -> tuple[grid.GridMixtures, Inputs]:
        """(displacements of agents that the network was asked for; what :meth:`learn` wants)."""
        params, inputs = told.params, None
        if self.rate:
            self.layer = self.layer or Layer(told.codes.shape[1], _rule(params.shape[2], self.rate))
            params, inputs = self.layer.params(params, told.codes)
        return grid.GridMixtures(params, told.predicted, told.sigma, logs_of(told.sigma)), inputs

    def learn(self, found: grid.GridMixtures, inputs: Inputs, moves: Values) -> None:
        """From what these mixtures said of displacements int64 (N, 2)."""
        if self.layer is None or inputs is None:
            return
        self.seen.append((inputs, found.gradients(moves)))
        if sum(len(one) for one, _ in self.seen) >= BAND:
            self.layer.learn(*(np.concatenate(column) for column in zip(*self.seen, strict=True)))
            self.seen = []


def _rule(K: int, rate: int) -> Rule:
    """How a last layer of K mixtures learns: weights in 1/16384, of 4 at most."""
    limit, ones = np.full(6 * K, 2.0**15), np.ones(6 * K)
    return Rule(ones, -limit, limit, 64, 14, float(rate), 65536.0, 4096.0)
