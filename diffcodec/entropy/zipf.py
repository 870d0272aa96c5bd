"""Zipf: indices i in 1..2^40 - 1 with p(i) proportional to i^-a, for the Poisson functional representation.

Li & El Gamal (2018) code the index of the chosen candidate so, with a = 1 + 1/(I + 1 + log2(e)/e) for I bits of
information. An index below 16 is a symbol of its own. A larger one is written like a float: its exponent and the three
bits after the leading one are a symbol, the bits below are uniform, which costs at most 0.001 bits for a in (1, 2].
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from functools import lru_cache

import numpy as np

from ..runtime.decimals import decimals
from ..runtime.errors import CorruptStream
from .stack import AnsStack
from .tables import frequency_tables

MAX_BITS = 40  #: indices are below 2^40
_LEAD = 3  # bits after the leading one that belong to the symbol
_HALF = 18  # the uniform bits, up to 36, go in two fields


def exponent(information: float) -> int:
    """a in units of 1/256 for ``information`` >= 0 bits, at least 257. A decoder reads it, never computes it."""
    return max(257, round(256 * (1 + 1 / (information + 1 + 0.5307378454230533))))


@lru_cache(maxsize=32)
def table(a: int) -> np.ndarray:
    """Frequencies uint32 (304,) for exponent ``a`` / 256, 257..2048: symbols 0 (unused), 1..15, then 8 per octave.

    Made with `decimal`, which rounds correctly everywhere, so every machine has the same table.
    Raises ValueError for another exponent.
    """
    if not 257 <= a <= 2048:
        raise ValueError(f"the exponent of a Zipf distribution must be 257..2048 (1/256), found {a}")
    with decimals(30):
        power, rest = Decimal(-a) / 256, Decimal(256 - a) / 256
        mass = [Decimal(0)] + [(power * Decimal(i).ln()).exp() for i in range(1, 16)]
        edges = [Decimal((8 + s % 8) << (s // 8)) - Decimal("0.5") for s in range(8, 8 * (MAX_BITS - _LEAD) + 1)]
        integral = [(rest * e.ln()).exp() / -rest for e in edges]  # of x^-a from the edge to infinity
        mass += [low - high for low, high in itertools.pairwise(integral)]
        total = sum(mass)
        weights = [int(m / total * (1 << 37)) for m in mass]
    return frequency_tables(np.array([weights])).reshape(-1)


def _symbols(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symbol and number of uniform bits of each index."""
    widths = np.zeros(len(indices), np.int64)
    for shift in (32, 16, 8, 4, 2, 1):  # widths: bit length - 4, at least 0
        widths += shift * (indices >> (widths + shift) >= 1 << _LEAD)
    return (indices >> widths) + 8 * widths, widths


def push(stack: AnsStack, indices: np.ndarray, a: int) -> None:
    """Push indices (n,) in 1..2^40 - 1 with exponent ``a`` / 256. Raises ValueError for others."""
    indices = np.asarray(indices, np.int64)
    if indices.size and not (1 <= int(indices.min()) and int(indices.max()) < 1 << MAX_BITS):
        raise ValueError("Zipf indices must be in 1..2^40 - 1")
    symbols, widths = _symbols(indices)
    low = indices - (indices >> widths << widths)
    stack.push_bits(low >> _HALF, np.maximum(widths - _HALF, 0))
    stack.push_bits(low & ((1 << _HALF) - 1), np.minimum(widths, _HALF))
    stack.push(symbols, table(a))


def pop(stack: AnsStack, n: int, a: int) -> np.ndarray:
    """Pop int64 (n,) indices; the mirror of :func:`push`. Raises CorruptStream for index 0."""
    symbols = stack.pop(n, table(a)).astype(np.int64)
    if not symbols.all():
        raise CorruptStream("a Zipf index is 0 where 1 is the first; the file is damaged")
    widths = np.maximum(symbols // 8 - 1, 0)
    low = stack.pop_bits(np.minimum(widths, _HALF)).astype(np.int64)
    low |= stack.pop_bits(np.maximum(widths - _HALF, 0)).astype(np.int64) << _HALF
    indices: np.ndarray = ((symbols - 8 * widths) << widths) | low
    return indices
