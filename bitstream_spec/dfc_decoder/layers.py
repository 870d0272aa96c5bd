"""TRACKS.md, section 8: rows that are known ahead."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

from .ans import clamp

if TYPE_CHECKING:
    from .tracks import Agent


class Ahead:
    """Section 8: coarse rows, every k-th of these, lead to what is between them."""

    def __init__(self, c: list[int], k: int, rows: list[dict[int, list[int]]]):
        self.c, self.k, self.rows, a, b = c, k, rows, [4096], [4096]
        for _ in range(2 * k):
            a.append(sum(x * y for x, y in zip(c, reversed(a), strict=False)) >> 12)
            b.append(b[-1] + a[-1])
        self.b = b

    def product(self, i: int, j: int) -> int:
        return sum(self.b[i - n] * self.b[j - n] for n in range(min(i, j) + 1))

    def shares(self, h: int, two: bool) -> tuple[int, int, int]:
        """G, G', rho."""

        def share(u: int, w: int) -> int:
            return clamp((u << 28) // w, -(2**17), 2**17)

        def ratio(u: int, w: int) -> int:
            return max(64, isqrt((w - u << 20) // w))

        near, far, one = self.b[h], self.b[h + self.k], self.product(h, h)
        if not two:
            return share(near, one), 0, ratio(near * near, one)
        both, other = self.product(h, h + self.k), self.product(h + self.k, h + self.k)
        w, u, v = one * other - both * both, near * other - far * both, far * one - near * both
        return share(u, w), share(v, w), ratio(near * u + far * v, w)

    def led(self, a: int, agent: Agent, t: int) -> tuple[list[int], int, int]:
        """p, sigma and kappa of agent a in front of row t."""
        h = self.k - t % self.k
        seen = [self.rows[row][a] for row in (t + h, t + h + self.k) if row < len(self.rows) and a in self.rows[row]]
        if agent.row != t - 1 or t + h >= len(self.rows) or a not in self.rows[t + h]:
            return agent.p, agent.sigma, 1024
        added, (*G, rho) = [0, 0], self.shares(h, len(seen) == 2)
        for f in range(2):
            X = [64 * clamp(place[f] - agent.place[f], -(2**38), 2**38) for place in seen]
            if agent.count == 0:
                added[f] = X[0] // (h + 1)
                continue
            n, R, sums = [clamp(64 * m, -(2**44), 2**44) for m in agent.m[f]], 0, []
            for _ in range(h + self.k + 1):
                n = [clamp(sum(x * y for x, y in zip(self.c, n, strict=False)) >> 12, -(2**44), 2**44), *n[:-1]]
                R += n[0]
                sums.append(R)
            missed = [clamp(x - r, -(2**44), 2**44) for x, r in zip(X, (sums[h], sums[-1]), strict=False)]
            added[f] = sum(x * y for x, y in zip(G, missed, strict=False)) >> 16
        p = [one + two for one, two in zip(agent.p, added, strict=True)]
        if agent.count == 0 or rho == 1024:
            return p, agent.sigma, 1024
        return p, max(min(agent.sigma, 2**44) * rho >> 10, 384), rho * rho >> 10
