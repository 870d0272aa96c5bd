"""Integer frequency tables from integer weights: every symbol at least 1, exact total 2^24."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runtime.kernels import kernel
from .stack import TOTAL, AnsStack


@kernel
def _build(weights, out):
    N, S = weights.shape
    for n in range(N):
        total = np.int64(0)
        for s in range(S):
            total += weights[n, s]
        best, left = 0, np.int64(TOTAL)
        for s in range(S):
            f = np.int64(1)
            if total > 0:
                f += weights[n, s] * np.int64(TOTAL - S) // total
            out[n, s] = f
            left -= f
            if weights[n, s] > weights[n, best]:
                best = s
        out[n, best] += left  # what flooring left over, at most S; or everything when all weights are 0


def frequency_tables(weights: np.ndarray) -> np.ndarray:
    """Tables uint32 (N, S) from weights (N, S), integers in [0, 2^38), S in 1..65536.

    Raises ValueError for weights outside that range.
    """
    weights = np.ascontiguousarray(weights, np.int64)
    if weights.ndim != 2 or not 1 <= weights.shape[1] <= 65536:
        raise ValueError(f"weights must be (N, S) with S in 1..65536, found shape {weights.shape}")
    if weights.size and (int(weights.min()) < 0 or int(weights.max()) >= 1 << 38):
        raise ValueError("weights must be integers in [0, 2^38)")
    tables = np.empty(weights.shape, np.uint32)
    _build(weights, tables)
    return tables


@dataclass(frozen=True)
class Categorical:
    """Distributions of symbols 0..S - 1: frequency tables uint32 (N, S), total 2^24."""

    tables: np.ndarray

    def intervals(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Intervals (starts, freqs), uint32 (N,), of ``symbols`` int (N, 1)."""
        row, s = np.arange(len(symbols)), symbols[:, 0].astype(np.int64)
        freqs = self.tables[row, s]
        return (np.cumsum(self.tables, 1, dtype=np.uint32)[row, s] - freqs).astype(np.uint32), freqs

    def pop(self, stack: AnsStack) -> np.ndarray:
        """Mirror of :meth:`intervals`: uint8 (N, 1)."""
        return stack.pop(len(self.tables), self.tables).astype(np.uint8)[:, None]
