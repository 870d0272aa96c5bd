"""Orders in which an order-agnostic ARDM codes its tokens, and the calls they are coded in. NumPy integers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...channel.noise import Key, Purpose, halves
from ...diffusion.parallel import calls_at, plans, token_bits

RANDOM, LATTICE = 0, 1  #: which order: a number in the stream
MAX_PLANNED = 4096  #: tokens beyond which calls are placed on a grid of as many


def order(kind: int, height: int, width: int, seed: int) -> np.ndarray:
    """Permutation int64 (height * width,) of the places, those coded first in front.

    RANDOM: uniform, from ``seed`` (ARDM's sigma). LATTICE: the 2x grids, coarse to fine, each at random.
    """
    n = height * width
    words = halves(Key(seed, 0, Purpose.ORDER), 4 * n).astype(np.uint64).reshape(n, 4)
    keys = words[:, 0] << np.uint64(48) | words[:, 1] << np.uint64(32) | words[:, 2] << np.uint64(16) | words[:, 3]
    if kind == RANDOM:
        return np.argsort(keys, kind="stable")
    y, x = np.divmod(np.arange(n), width)
    both = y | x | 1 << 30
    fineness = np.zeros(n, np.int64)  # of the coarsest grid that holds the place: 2^-(trailing zeros of y | x)
    for bit in range(31):
        fineness += both & ((2 << bit) - 1) == 0
    return np.lexsort((keys, -fineness))


def groups(D: int, calls: int, profile: Sequence[int], known: int = 0) -> list[tuple[int, int]]:
    """(first, last) of each call's tokens among those that are not known yet, in order.

    The best ``calls`` calls for D tokens, ``known`` of them before the first, with a model of this profile.
    """
    left = D - known
    planned = min(left, MAX_PLANNED)
    bits = token_bits(profile, D)[known + np.arange(planned, dtype=np.int64) * left // planned]
    calls = max(1, min(calls, planned))
    places = [a * left // planned for a in calls_at(bits, plans(bits, calls), calls)]
    return list(zip(places, [*places[1:], left], strict=True))
