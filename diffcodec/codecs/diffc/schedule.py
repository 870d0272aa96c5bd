"""Where passes lie for the fewest network calls, of a model's calibration: its x_hat's error at every log-SNR.

A pass from log-SNR t costs what `spread.Wide` and the codes make of x_hat's error at t: for a long step x_hat is stale
within it, and a short one has so few bits that the code loses more of them. Of all chains over a grid of log-SNRs the
cheapest is found by dynamic programming, a network call costing a price in bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...channel import polar, trellis
from ...models.calibration import Calibration
from .effort import EFFORT, EFFORTS, Effort
from .spread import LN2, UNIT, Wide, less

NODE = 32  #: units between levels at which passes may begin
REACH = 192  #: nodes that a pass may go over: 6 in log-SNR
DENSE = 0.2  #: bits that a dimension takes in a pass, at most: what the codes deliver of denser ones is not as reckoned
PRICES = 2.0 ** np.arange(-22, 0.25, 0.25)  #: of a call, in bits a dimension
CALL = 40.0  #: bits that a pass takes anyway: its frame, and what it is rounded up to
SCALES = 64.0  #: times the pictures of the calibration that a picture may be as hard, or as easy


class Schedule:
    """The best steps of a model for pictures of one shape, from its noise on."""

    def __init__(self, calibration: Calibration, spread: Wide, start: int, end: int):
        """``start``, ``end``: units of log-SNR that the model has; ``spread``: of the shape of z."""
        self.n = spread.n
        self.levels = np.append(np.arange(start, end, NODE), end)
        logsnr = self.levels * UNIT
        whole, coarse = (
            np.exp(np.interp(logsnr, calibration.levels, np.log(values)))
            for values in (calibration.whole, calibration.coarse)
        )
        self.whole = whole  #: mean square of x - x_hat at each
        coarse = np.minimum(coarse * spread.coarse_n, 0.999 * whole * self.n)
        energies = np.exp(logsnr) * np.stack([coarse, whole * self.n - coarse])
        self.costs = _costs(spread, energies, self.levels)
        self.prices = PRICES  #: of a call, in bits a dimension
        self.strides = _cheapest(self.costs, PRICES * self.n)
        self.paths = [_followed(strides) for strides in self.strides]
        self.bits = np.stack([self.told(path) for path in self.paths])  #: up to each level, of each price
        self.least = self.bits.min(0)  #: up to each level, of the best chain of any number of calls
        self.loss = calibration.loss

    def told(self, path: list[int]) -> NDArray[np.float64]:
        """Bits up to each level, float64 (levels,), by a chain, between its passes as if they were told evenly."""
        sizes = [self.costs[a, b - a - 1] for a, b in itertools.pairwise(path)]
        return np.asarray(np.interp(self.levels, self.levels[path], np.cumsum([0.0, *sizes])))

    def priced(self, end: int, loss: float) -> int:
        """Number of the highest price whose chain to level ``end`` costs 1 + ``loss`` times the least at most."""
        allowed = self.bits[:, end] <= (1 + loss) * self.least[end]
        return int(np.flatnonzero(allowed)[-1])

    def reached(self, bits: float) -> int:
        """The level up to which so many bits are told, by the best chain of any number of calls."""
        return int(np.searchsorted(self.least, bits, "right").clip(2, len(self.levels)) - 1)

    def level(self, logsnr: float) -> int:
        """The last level at or below a log-SNR."""
        return int(np.searchsorted(self.levels, round(logsnr / UNIT), "right").clip(1, len(self.levels)) - 1)

    def resolved(self, square: float) -> int:
        """The first level at which the mean square of x - x_hat is no more than that; the last if it never is."""
        below = np.flatnonzero(self.whole <= square)
        return int(below[0]) if len(below) else len(self.levels) - 1

    def furthest(self, level: int) -> int:
        """The last level that a pass from there may go to."""
        return level + max(1, int(np.isfinite(self.costs[level]).sum()))


class Pace:
    """The steps of a picture on its way to an end, by a schedule."""

    def __init__(self, schedule: Schedule, end: int, effort: Effort):
        """``end``: the level that the picture's bits are reckoned to reach."""
        self.schedule = schedule
        loss = schedule.loss * effort.step / EFFORTS[EFFORT].step
        self.price = max(PRICES[schedule.priced(end, loss)], CALL / schedule.n)

    def stride(self, units: int, squared: float) -> int:
        """Units of the next step from ``units``, of |x - x_hat|^2 there: as if the error fell as the model's does."""
        at = self.schedule
        level = at.level(units * UNIT)
        scale = squared / (at.n * float(at.whole[level]))
        price = self.price / min(SCALES, max(1 / SCALES, scale))
        number = int(np.abs(np.log(PRICES / price)).argmin())
        further = min(level + int(at.strides[number, level]), len(at.levels) - 1)
        return max(1, int(at.levels[further]) - units)


@lru_cache(maxsize=8)
def schedule_of(
    calibration: Calibration, shape: tuple[int, int, int], pixels: bool, photo: int, start: int, end: int
) -> Schedule:
    """Of pictures whose z has ``shape`` (C, h, w), in so many photo planes; ``start``, ``end``: units of log-SNR."""
    return Schedule(calibration, Wide(shape, EFFORTS[EFFORT].L, less(pixels, photo, shape[0])), start, end)


def _costs(spread: Wide, energies: NDArray[np.float64], levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits of passes, (levels, REACH): from each level over 1, 2, … nodes; infinite of what no pass is.

    energies: of x - x_hat in units of 1 / SNR, (2, levels), of its coarse and fine parts.
    """
    count = len(levels)
    costs = np.full((count, REACH), np.inf)
    fine = _bits(spread.n, lambda bits: polar.delivered(bits, spread.n))
    coarse = _bits(spread.coarse_n, lambda bits: trellis.delivered(bits, spread.coarse_n, spread.L))
    for k in range(count - 1):
        gains = np.expm1((levels[k + 1 : k + 1 + REACH] - levels[k]) * UNIT)
        told = fine(spread.n * np.log1p(energies[1, k] / spread.n * gains) / (2 * LN2))
        if spread.coarse is not None:
            heights = spread.coarse.variances(1.0, float(energies[0, k]), lambda v: v)
            told = told + coarse(np.log1p(np.multiply.outer(gains, heights)) @ spread.coarse.counts / (2 * LN2))
        told[0] = min(told[0], float(spread.n))
        costs[k, : len(gains)] = told
    return costs


def _bits(n: int, delivered: Callable[[int], float]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The bits that a code of ``n`` dimensions takes for so much information; infinite beyond its densest pass."""
    bits = np.unique(np.geomspace(1, max(2, DENSE * n), 96).astype(int))
    useful = np.array([delivered(int(one)) for one in bits])
    return lambda information: np.interp(information, [0.0, *useful], [0.0, *bits], right=np.inf)


def _cheapest(costs: NDArray[np.float64], prices: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nodes of the best step from each level to the end, (prices, levels), by backward induction."""
    count = len(costs)
    to_go = np.zeros((len(prices), count + REACH))
    strides = np.ones((len(prices), count), np.int64)
    for k in range(count - 2, -1, -1):
        every = costs[k] + to_go[:, k + 1 : k + 1 + REACH]
        strides[:, k] = every.argmin(1) + 1
        to_go[:, k] = every.min(1) + prices
    return strides


def _followed(strides: NDArray[np.int64]) -> list[int]:
    """Levels of the chain from the first to the last."""
    path = [0]
    while path[-1] < len(strides) - 1:
        path.append(path[-1] + int(strides[path[-1]]))
    return path
