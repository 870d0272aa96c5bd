"""What a linear prediction expects of a frame once it is known where agents will be later, in integers.

Normative description: bitstream_spec/TRACKS.md, §8. Frames 0, k, 2k, ... are known, the others come one after another
with all that is known of the frames before. What the prediction missed up to a frame that is known is shared out among
the frames on the way there, as it would be most likely if each missed by as much as another: so the coefficients of the
prediction say all that is needed.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ...runtime.kernels import kernel
from .past import COEFFICIENT, LAGS, Past

AHEAD = 2  #: frames that are known and looked at
PLAIN = 1 << 10  #: units of 1.0 of how far a prediction misses, to how far it does that knows of no frames ahead
SHARE = 1 << 16  #: units of 1.0 of a share
LEAST_RATIO = PLAIN >> 4  #: of these
_MOST_SHARE = SHARE << 1
_FURTHEST, _FASTEST = 1 << 38, 1 << 44  # of differences, in cells, and of what is predicted, in 1/64

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def bridge_shares(coefficients: Numbers, every: int) -> Numbers:
    """int64 (every, 5) of the frames h = 0, 1, ... before one that is known; the first row is of no use.

    Where that one alone is known: share, ratio. And where the next one after it is, too: both shares, ratio.
    """
    weights = [int(one) for one in coefficients]
    steps, reached = [COEFFICIENT], [COEFFICIENT]  # of an error: displacements, and how far they lead, frames later
    for _ in range(AHEAD * every):
        steps.append(sum(c * one for c, one in zip(weights, reversed(steps), strict=False)) // COEFFICIENT)
        reached.append(reached[-1] + steps[-1])

    def product(g: int, h: int) -> int:
        """Of errors of frames on the way to both."""
        return sum(reached[g - j] * reached[h - j] for j in range(min(g, h) + 1))

    def share(part: int, whole: int) -> int:
        return max(-_MOST_SHARE, min(part * COEFFICIENT * SHARE // whole, _MOST_SHARE))

    def ratio(part: int, whole: int) -> int:
        return max(LEAST_RATIO, isqrt(PLAIN**2 * (whole - part) // whole))

    out = np.zeros((every, 5), np.int64)
    for h in range(1, every):
        b, c = reached[h], reached[h + every]
        near, both, far = product(h, h), product(h, h + every), product(h + every, h + every)
        first, second, whole = b * far - c * both, c * near - b * both, near * far - both * both
        out[h, :2] = share(b, near), ratio(b * b, near)
        out[h, 2:] = share(first, whole), share(second, whole), ratio(b * first + c * second, whole)
    return out


@kernel
def _aim(  # noqa: C901, PLR0917
    t, every, positions, here, known, moves, last, count, pace, coefficients, table, ahead, ratio
):
    T, h = len(here), every - t % every
    near, far = t + h, t + h + every
    coming = np.empty((2, LAGS), np.int64)
    for a in range(len(last)):
        ahead[a, 0] = ahead[a, 1] = 0
        ratio[a] = PLAIN
        if not known[a] or pace[a] != 1 or near >= T or not here[near, a]:
            continue
        two = far < T and here[far, a]
        for f in range(2):
            wanted = min(max(positions[near, a, f] - last[a, f], np.int64(-_FURTHEST)), np.int64(_FURTHEST)) << 6
            if count[a] == 0:  # as if it always moved so
                ahead[a, f] = wanted // (h + 1)
                continue
            for k in range(LAGS):
                coming[f, k] = min(max(moves[a, f, k] << 6, np.int64(-_FASTEST)), np.int64(_FASTEST))
            reached, missed = np.int64(0), np.int64(0)
            for i in range(h + (every if two else 0) + 1):
                total = np.int64(0)
                for k in range(LAGS):
                    total += coefficients[k] * coming[f, k]
                total = min(max(total >> 12, np.int64(-_FASTEST)), np.int64(_FASTEST))
                for k in range(LAGS - 1, 0, -1):
                    coming[f, k] = coming[f, k - 1]
                coming[f, 0] = total
                reached += total
                if i == h:
                    missed = min(max(wanted - reached, np.int64(-_FASTEST)), np.int64(_FASTEST))
            if two:
                wanted = min(max(positions[far, a, f] - last[a, f], np.int64(-_FURTHEST)), np.int64(_FURTHEST)) << 6
                later = min(max(wanted - reached, np.int64(-_FASTEST)), np.int64(_FASTEST))
                ahead[a, f] = (table[h, 2] * missed + table[h, 3] * later) >> 16
            else:
                ahead[a, f] = (table[h, 0] * missed) >> 16
        if count[a]:
            ratio[a] = table[h, 4] if two else table[h, 1]


class Bridge:
    """Where agents are in every ``every``-th frame, to which the frames between lead."""

    def __init__(self, coefficients: Numbers, every: int, positions: Numbers, here: Flags):
        """positions: int64 (T, A, 2), of which only frames 0, every, ... are looked at. here: bool (T, A)."""
        self.coefficients, self.every, self.positions, self.here = coefficients, every, positions, here
        self._shares = bridge_shares(coefficients, every)
        agents = here.shape[1]
        self._ahead, self._ratio = np.zeros((agents, 2), np.int64), np.full(agents, PLAIN)

    def __repr__(self) -> str:
        return f"<Bridge over {self.every} of {len(self.here)} frames>"

    def known(self, t: int) -> bool:
        """Whether frame t is."""
        return t % self.every == 0

    def aim(self, past: Past, known: Flags, t: int) -> tuple[Numbers, Numbers]:
        """What frames ahead say of frame t, which is not known, of the agents ``known`` bool (A,), behind a look.

        (What is to be added to their predictions int64 (A, 2), 1/64 of a cell; how far these miss then, to how far they
        do without it, int64 (A,), 1/PLAIN.)
        """
        _aim(
            t, self.every, self.positions, self.here, known, past.moves, past.last, past.count, past.pace,
            self.coefficients, self._shares, self._ahead, self._ratio,
        )  # fmt: skip
        return self._ahead, self._ratio
