"""What is said of the agents of a frame, by a network whose last layer may learn from frame to frame.

bitstream_spec/TRACKS.md §7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...entropy import grid
from ...models.protocols import TrackModel
from ...models.tracks.past import Past
from .learning import Layer, Rule

BAND = 48  #: displacements, at least, after which a step is made

Values = NDArray[np.int64]
#: whole numbers that a layer was given, and 64 behind them; nothing where it does not learn
Inputs = NDArray[np.float64] | None
#: of agents: parameters int32 (N, 6, K), and what the network's last layer was given of them
Asked = tuple[NDArray[np.int32], NDArray[np.float64]]


def asked(past: Past, known: NDArray[np.bool_], index: Values, model: TrackModel) -> Asked:
    """What the network says of the agents ``known`` bool (A,), at ``index`` int64 (N,)."""
    past.look(known)
    return model.mixtures(past, index)


class Network:
    """What the last layer learns of a pass, where it does."""

    def __init__(self, rate: int):
        self.rate = rate
        self.layer: Layer | None = None
        self.seen: list[tuple[NDArray[np.float64], Values]] = []  # inputs, gradients, since the last step

    def mixtures(self, past: Past, index: Values, asked: Asked) -> tuple[grid.GridMixtures, Inputs]:
        """(displacements of the agents at ``index``; what :meth:`learn` wants)."""
        params, codes = asked
        inputs: Inputs = None
        if self.rate:
            self.layer = self.layer or Layer(codes.shape[1], _rule(params.shape[2], self.rate))
            params, inputs = self.layer.params(params, codes)
        return grid.GridMixtures(params, past.predicted[index], past.sigma[index], past.logs[index]), inputs

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
