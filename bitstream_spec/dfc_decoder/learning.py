"""SPEC.md §5.1.1: the last layers of the lattice network learn from what was decoded."""

from __future__ import annotations

import numpy as np

from .ans import EXP, INV, S, clamp, normalise

BAND = 128
UNITS = ((512, 1), (768, 3), (128, 3), (384, 3))  # and how many rows of parameters have them
LIMITS = ((2**14, 1), (2**15, 3), (256, 3), (2**13, 3))


def rows_of(values: tuple[tuple[int, int], ...], K: int) -> np.ndarray:
    return np.concatenate([np.full(rows * K, value, np.float64) for value, rows in values])


def gradient(rows: list[list[int]], base: list[int], pixel: list[int]) -> list[int]:
    """10 K numbers of a pixel of R, G, B or grey."""
    K, order = len(rows[0]), [1, 0, 2] if len(base) == 3 else [0]
    w = normalise([EXP[min(max(rows[0]) - v, 1024)] for v in rows[0]])
    out = [[0] * K for _ in range(10)]
    out[0], delta = list(w), [0, 0, 0]
    found = []
    for place, channel in enumerate(order):
        x, told, masses = pixel[channel], [], []
        for k in range(K):
            shift = (0, rows[7][k] * delta[0] >> 4, (rows[8][k] * delta[0] + rows[9][k] * delta[1]) >> 4)[place]
            mean = 16 * base[channel] + rows[1 + place][k] + shift
            inverse = INV[clamp(rows[4 + place][k], 0, 256)]
            u = [clamp((64 * at - 32 - mean) * inverse >> 12, -(2**22), 2**22) for at in (x, x + 1)]
            T = []
            for at, one in zip((x, x + 1), u, strict=True):
                i = one + 2**22
                inner = S[i >> 12] + ((S[(i >> 12) + 1] - S[i >> 12]) * (i & 4095) >> 12)
                T.append(0 if at <= 0 else 2**22 if at >= 256 else inner)
            mass = T[1] - T[0] + 1
            moved = u[1] * (T[1] * (2**22 - T[1]) >> 22) - u[0] * (T[0] * (2**22 - T[0]) >> 22)
            told.append(((2**22 - T[0] - T[1]) * inverse >> 22, clamp(moved // mass, -(2**22), 2**22)))
            masses.append(mass)
        w = normalise([w[k] * masses[k] for k in range(K)])
        found.append(told)
        delta[place] = 4 * x - base[channel]
    out[0] = [before - after for before, after in zip(out[0], w, strict=True)]
    for place, told in enumerate(found):
        out[1 + place] = [w[k] * told[k][0] >> 24 for k in range(K)]
        out[4 + place] = [w[k] * told[k][1] >> 18 for k in range(K)]
    for row, of, before in ((7, 2, 0), (8, 3, 0), (9, 3, 1)):
        out[row] = [v * delta[before] >> 2 for v in out[of]]
    return [v for row in out for v in row]


class Layer:
    """What has been learned of the last layer of a phase."""

    def __init__(self, inputs: int, K: int):
        self.K, shape = K, (inputs + 1, 10 * K)
        self.V, self.m, self.s = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.p = self.q = 1.0

    def inputs(self, codes: np.ndarray) -> np.ndarray:
        """(n, C) -> (n, C + 1)."""
        return np.concatenate([codes, np.full((len(codes), 1), 32)], 1).astype(np.float64)

    def params(self, params: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """(n, 10 K) of the network -> those in use."""
        D = np.rint(self.V * rows_of(UNITS, self.K))
        limit = rows_of(LIMITS, self.K)
        least = np.where(limit == 256, 0, -limit)
        moved = params + np.floor((inputs @ D + 2048) / 4096)
        return np.clip(moved, least, limit).astype(np.int64)

    def learn(self, inputs: np.ndarray, gradients: np.ndarray) -> None:
        """After a band: (n, C + 1), (n, 10 K)."""
        G = inputs.T @ gradients.astype(np.float64)
        self.p, self.q = 0.9 * self.p, 0.98 * self.q
        self.m = 0.9 * self.m + (1 - 0.9) * G
        self.s = 0.98 * self.s + (1 - 0.98) * (G * G)
        step = (self.m / (1 - self.p)) / (np.sqrt(self.s / (1 - self.q)) + 1)
        self.V = np.clip(self.V - 0.025 * step, -128, 128)
