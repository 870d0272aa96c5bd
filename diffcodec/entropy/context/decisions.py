"""A binary decision of the adaptive context coder: its probability, mixed of its contexts', and the range coder.

`decide` either codes the bit it is given or reads it, so the two directions cannot drift apart. The range coder is
carryless (48-bit interval, 16-bit probabilities): an adaptive model must be decoded in the order it was encoded, which
a queue gives for nothing and a stack (ANS) only by recording every probability first.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...runtime.kernels import woven
from .state import (
    CELLS,
    CHECK,
    CLOCK,
    DECODING,
    HIGH,
    I64,
    LIMIT,
    LOW,
    MAGNITUDE,
    MASK48,
    PIXELS,
    POSITION,
    RATE,
    SLOT,
    SPREAD,
    SQUASH,
    STRETCH,
    STRETCH_LIMIT,
    STRETCHED,
    VALUE,
)


class Ranged(Protocol):
    """What a range coder is a part of: a `state.Model`, a `whole_state.Whole`."""

    @property
    def coder(self) -> np.ndarray:
        """int64[6]: see LOW ... CLOCK of `state`."""
        ...


def start(m: Ranged, data: np.ndarray) -> None:
    """Read the first six bytes of ``data`` uint8 (n,), zeros past the end."""
    m.coder[VALUE] = int.from_bytes(bytes(data[:6]).ljust(6, b"\0"), "big")
    m.coder[POSITION] = 6


def finish(m: Ranged, data: np.ndarray) -> int:
    """Write the last byte to ``data`` uint8 (n,); the decoder reads zeros after it.

    The length in bytes, above n if it did not fit.
    """
    length = int(m.coder[POSITION])
    if length < data.size:
        data[length] = (m.coder[LOW] + (1 << 40) - 1) >> 40
    return length + 1


def finished(m: Ranged, data: np.ndarray) -> bool:
    """Whether the decoder has used all of ``data`` uint8 (n,): five of the six bytes it holds were not there."""
    return int(m.coder[POSITION]) == data.size + 5


@woven
def _code(coder, data, bit, p):
    """Code (or read) one bit whose probability of being 1 is p / 65536, p in 1..65535."""
    low = coder[LOW]
    high = coder[HIGH]
    span = high - low
    middle = low + (span >> 16) * p + (((span & 65535) * p) >> 16)
    if coder[DECODING]:
        bit = I64(coder[VALUE] <= middle)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 40 == 0:
        position = coder[POSITION]
        if coder[DECODING]:
            byte = I64(data[position]) if position < data.size else I64(0)
            coder[VALUE] = ((coder[VALUE] << 8) & MASK48) | byte
        elif position < data.size:
            data[position] = low >> 40
        coder[POSITION] = position + 1
        low = (low << 8) & MASK48
        high = ((high << 8) & MASK48) | 255
    coder[LOW] = low
    coder[HIGH] = high
    return bit


@woven
def decide_plainly(coder, plain, data, bit, where):
    """Code one bit with the adaptive probability plain[where] alone."""
    v = plain[where]
    p = (v >> 6) ^ 0x20000
    bit = _code(coder, data, bit, min(max(p >> 2, I64(1)), I64(65535)))
    p += ((bit * 0x3FFFF - p) * RATE[PIXELS, v & 63]) >> 16
    plain[where] = ((p ^ 0x20000) << 6) | min((v & 63) + 1, I64(LIMIT))
    return bit


@woven
def decide(coder, table, weights, refine, now, data, bit, set1, set2, map_, kind, inputs):
    """Code one bit with the mix of the ``inputs`` probabilities at now[SLOT], by the sum of two sets of weights."""
    base1 = set1 * inputs
    base2 = set2 * inputs
    dot = I64(0)
    for i in range(inputs):
        v = I64(table[now[SLOT + i]])
        if v & 255 != now[CHECK + i]:
            v = now[CHECK + i]  # another context's slot: start afresh at one half
            table[now[SLOT + i]] = v
        now[STRETCHED + i] = STRETCH[(v >> 18) ^ 0x2000]
        dot += (I64(weights[base1 + i]) + I64(weights[base2 + i])) * now[STRETCHED + i]
    dot = min(max(dot >> 16, I64(-STRETCH_LIMIT)), I64(STRETCH_LIMIT)) + 3072
    mixed = I64(SQUASH[dot])
    cell = map_ * CELLS + (dot >> 8)
    part = dot & 255
    refined = (I64(refine[cell]) * (256 - part) + I64(refine[cell + 1]) * part) >> 14

    bit = _code(coder, data, bit, min(max((mixed + refined + 1) >> 1, I64(1)), I64(65535)))

    cell += part >> 7
    refine[cell] += ((bit << 22) - bit - I64(refine[cell])) >> 7
    coder[CLOCK] += 1
    error = ((bit << 16) - mixed) * (10 + (30 << 12) // (coder[CLOCK] + (1 << 12)))
    for i in range(inputs):
        change = (now[STRETCHED + i] * error + (1 << 19)) >> 20
        weights[base1 + i] += change
        weights[base2 + i] += change
        v = I64(table[now[SLOT + i]])
        n = (v >> 8) & 63
        p = (v >> 14) ^ 0x20000
        p += ((bit * 0x3FFFF - p) * RATE[kind, n]) >> 16
        table[now[SLOT + i]] = ((p ^ 0x20000) << 14) | (min(n + 1, I64(LIMIT)) << 8) | now[CHECK + i]
    return bit


@woven
def mix(h, v):
    """One step of the context hash, modulo 2^64 (the shift is arithmetic)."""
    h = (h ^ v) * I64(SPREAD)
    return h ^ (h >> 32)


@woven
def select(now, i, h, mask):
    """Point input i at the slot of hash h."""
    now[SLOT + i] = i * (mask + 1) + ((h >> 20) & mask)
    now[CHECK + i] = (h >> 48) & 255


@woven
def signed(d):
    """0..15: sign and order of magnitude of d."""
    m = I64(MAGNITUDE[min(abs(d), I64(511))])
    return m if d >= 0 else m + 8
