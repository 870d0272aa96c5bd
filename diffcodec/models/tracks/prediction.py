"""The linear prediction of displacements from those before: forward-adaptive, its coefficients stand in the stream.

Fitted in floats by who encodes and rounded; from the rounded ones on all is integers (`past`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .past import COEFFICIENT, LAGS

Coefficients = NDArray[np.int64]

LARGEST = (1 << 15) - 1  #: of a coefficient, in units of COEFFICIENT
ROWS = 1 << 15  #: windows at most that a fit looks at
_ROUNDS = 4

#: of American football at 10 Hz in hundredths of a yard, by `python -m tools.training.tracks_data FOOTBALL.npz`
FOOTBALL = (3891, 1459, -57, -532, -495, -220, -74, 3, 2, 27, 25, 40)
#: as it moved last; with the same acceleration; and as footballers do
KNOWN = tuple(
    np.array([*some, *[0] * (LAGS - len(some))], np.int64)
    for some in ((COEFFICIENT,), (2 * COEFFICIENT, -COEFFICIENT), FOOTBALL)
)


def windows(positions: NDArray[np.int64], here: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 (N, LAGS + 1): runs of displacements of agents that are ``here``, the oldest first; ROWS or few more.

    positions: (T, A, 2); here: (T, A). Where hardly anybody is there in so many frames on end, each agent's frames are
    taken as if they followed each other.
    """
    found = _windows(positions, here)
    if len(found) < 4 * LAGS:
        order = np.argsort(~here, axis=0, kind="stable")  # of each agent the frames in which it is there come first
        found = _windows(np.take_along_axis(positions, order[..., None], 0), np.take_along_axis(here, order, 0))
    return found


def _windows(positions: NDArray[np.int64], here: NDArray[np.bool_]) -> NDArray[np.float64]:
    """As they follow each other."""
    moves = np.diff(positions, axis=0)
    there = here[1:] & here[:-1]
    if len(moves) <= LAGS:
        return np.zeros((0, LAGS + 1))
    runs = np.lib.stride_tricks.sliding_window_view(moves, LAGS + 1, axis=0)
    whole = np.lib.stride_tricks.sliding_window_view(there, LAGS + 1, axis=0).all(-1)
    t, a = np.nonzero(whole)
    every = max(1, -(-2 * len(t) // ROWS))
    return runs[t[::every], a[::every]].reshape(-1, LAGS + 1).astype(np.float64)


def fitted(runs: NDArray[np.float64]) -> Coefficients:
    """int64 (LAGS,) by reweighted least squares, the last displacement's first; of too few runs as it moved last."""
    if len(runs) < 4 * LAGS:
        return KNOWN[0]
    past, now = runs[:, -2::-1], runs[:, -1]
    found = np.zeros(LAGS)
    found[0] = 1.0
    unit = np.median(np.abs(now - past[:, 0])) + 0.5
    for _ in range(_ROUNDS):
        weights = 1 / (np.abs(past @ found - now) / unit + 1) ** 2
        weighted = past * weights[:, None]
        scale = weighted.T @ past
        scale += (1e-6 * np.trace(scale) / LAGS + 1e-9) * np.eye(LAGS)
        found = np.linalg.solve(scale, weighted.T @ now)
    return np.clip(np.rint(found * COEFFICIENT), -LARGEST, LARGEST).astype(np.int64)


def chosen(positions: NDArray[np.int64], here: NDArray[np.bool_]) -> tuple[int, Coefficients]:
    """(number in KNOWN, or its length for others; coefficients) of those that miss by the fewest digits."""
    runs = windows(positions, here)
    if not len(runs):
        return 0, KNOWN[0]
    tried = [*KNOWN, fitted(runs)]
    missed = [np.abs(runs[:, -2::-1] @ one / COEFFICIENT - runs[:, -1]) for one in tried]
    digits = [float(np.log2(0.5 + error).sum()) for error in missed]
    digits[-1] += 12.0 * LAGS * len(runs) / (2 * max(1, int(here.sum())))  # what they take in the stream
    best = int(np.argmin(digits))
    return best, tried[best]
