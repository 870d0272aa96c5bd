"""One pass of DiffC in bytes: bits and step as varints, then the bits. Sender and receiver come to the same z_s."""

from __future__ import annotations

import numpy as np

from ...runtime.errors import CorruptStream, Truncated
from ...runtime.varint import read_varint, write_varint
from .chain import Chain
from .spread import UNIT, Shares, Spread, Wide

NUMBER_BITS = 35  #: of the two numbers: five bytes


def frame(bits: int, share: int, units: int) -> bytes:
    """What stands in a pass before its bits: how many they are, the step, and the coarse part's share of the bits."""
    return write_varint(bits) + write_varint(units) + (bytes([share]) if bits else b"")


def write(chain: Chain, spread: Wide, shares: Shares, units: int, mu: np.ndarray | None) -> tuple[bytes, np.ndarray]:
    """(the pass, the sample that it stands for), and the chain ``units`` further on.

    mu: by what the mean of q(z_s|z_t, x) is off that of p(z_s|z_t), float32 (n,), in standard deviations of q; not
    needed for a pass without bits.
    """
    if shares.bits:
        assert mu is not None
        payload, sample = spread.send(mu, shares, units, chain.key())
    else:
        payload, sample = b"", chain.silent()
    chain.advance(units, sample)
    return frame(shares.bits, shares.share, units) + payload, sample


def read(chain: Chain, spread: Spread, data: bytes, at: int) -> int:
    """Mirror of :func:`write`, of the pass at offset ``at``: the offset behind it. Raises CorruptStream."""
    try:
        bits, at = read_varint(data, at, NUMBER_BITS)
        units, at = read_varint(data, at, NUMBER_BITS)
    except (Truncated, CorruptStream):
        raise CorruptStream("a number in a diffusion pass is cut or too long; the file is damaged") from None
    start = at + (spread.share_bytes if bits else 0)
    end = start + -(-bits // 8)
    top = round(chain.model.logsnr_max / UNIT)
    if not 1 <= units <= top - chain.units or bits > chain.n or end > len(data):
        raise CorruptStream("a diffusion pass contradicts the picture's size or range; the file is damaged")
    share = data[at] if start > at else 0
    sample = spread.receive(data[start:end], bits, share, units, chain.key()) if bits else chain.silent()
    chain.advance(units, sample)
    return end
