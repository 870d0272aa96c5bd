"""What a stream may cost its reader: checked before weights are loaded or anything is allocated (`codecs.cost`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from ..runtime.errors import InputError
from . import cost
from .codec import Prefix
from .reconstruction import DEFAULT, Reconstruction
from .table import CODECS


class DecodeCost(TypedDict):
    """What decoding takes at most, and what the bytes are allowed by default, ``budget`` 1."""

    pixels: int
    network_calls: int
    network_pixels: int
    context_pixels: int
    memory_bytes: int
    allowed: dict[str, int]
    budget: float


def valid(budget: float) -> float:
    """``budget`` itself. Raises InputError for one that is not above 0."""
    if not budget > 0:
        raise InputError(f"expected a budget above 0, found {budget}")
    return float(budget)


def cost_of(prefix: Prefix, reconstruction: Reconstruction = DEFAULT) -> tuple[cost.Cost, cost.Allowance]:
    """Of a stream, or of what has come of it. Raises CorruptStream."""
    return CODECS[prefix.head.codec].cost(prefix, reconstruction)


def cost_of_all(
    prefixes: Sequence[Prefix], reconstruction: Reconstruction = DEFAULT
) -> tuple[cost.Cost, cost.Allowance]:
    """Of a stream and its frames together: floors for a few, so that many are worth no more than their bytes."""
    costs, allowances = zip(*(cost_of(prefix, reconstruction) for prefix in prefixes), strict=True)
    return cost.total(costs), cost.widest(allowances)


def check(prefixes: Sequence[Prefix], size: int, budget: float, reconstruction: Reconstruction = DEFAULT) -> None:
    """Raises LimitExceeded if decoding all takes more than ``size`` bytes are allowed, ``budget`` times over."""
    cost.check(*cost_of_all(prefixes, reconstruction), size, budget)


class Spent:
    """Work that streams of one file take together: floors for a few, and for the others what their bytes stand for."""

    def __init__(self, budget: float, what: str = "the archive"):
        self.budget, self.what, self.size = budget, what, 0
        self._sums: dict[cost.Allowance, tuple[int, cost.Cost]] = {}

    def add(self, prefixes: Sequence[Prefix], size: int) -> None:
        """Take streams of ``size`` bytes on. Raises LimitExceeded where all until now take more than is allowed."""
        self.size += size
        for prefix in prefixes:
            found, allowed = cost_of(prefix)
            count, before = self._sums.get(allowed, (0, found))
            work = cost.total([before, found]) if count else found
            self._sums[allowed] = count + 1, replace(work, plain_bytes=0, fixed_bytes=0, memory_bytes=0)
        for allowed, (count, work) in self._sums.items():
            cost.check(work, allowed.times(count), self.size, self.budget, self.what)


def affordable(
    prefixes: Sequence[Prefix], size: int, budget: float = 1.0, reconstruction: Reconstruction = DEFAULT
) -> bool:
    """Whether :func:`check` passes."""
    found, allowed = cost_of_all(prefixes, reconstruction)
    return not allowed.exceeded(found, size, budget)


def preview(prefix: Prefix, size: int, reconstruction: Reconstruction) -> tuple[int, int]:
    """(network pixels of one preview at most, those that ``size`` bytes are allowed)."""
    found, allowed = cost_of(prefix, reconstruction)
    return found.preview_pixels, allowed.of(found, size)["network_pixels"]


def decode_cost(prefixes: Sequence[Prefix], size: int) -> DecodeCost:
    """What `inspect` says: ``budget`` is the least that lets the stream through, 1 or less by default."""
    found, allowance = cost_of_all(prefixes)
    return {
        "pixels": found.pixels,
        "network_calls": found.network_calls,
        "network_pixels": found.network_pixels,
        "context_pixels": found.context_pixels,
        "memory_bytes": found.memory_bytes,
        "allowed": allowance.of(found, size),
        "budget": allowance.needed(found, size),
    }
