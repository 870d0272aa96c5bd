"""The package's noise, trellis and polar code against the independent reader's."""

from __future__ import annotations

import numpy as np
import pytest
from dfc_decoder import channel as plain

from diffcodec.channel import noise, polar, trellis


@pytest.mark.parametrize("start", [0, 5, 2**20, 2**35 - 3])
def test_draws(start: int) -> None:
    key = noise.Key(2**63 + 5, 7, 2**31)
    assert noise.halves(key, 20, start).tolist() == [plain.half(*key, start + i) for i in range(20)]


def test_quantiles() -> None:
    table = noise.quantiles()
    for h in (0, 1, 500, 32767, 32768, 40000, 65535):
        assert table[h] == plain.quantile(h)


@pytest.mark.parametrize(("n", "bits", "L"), [(7, 7, 3), (300, 40, 9), (700, 10, 12), (640, 10, 6), (3000, 2100, 5)])
def test_trellis(n: int, bits: int, L: int) -> None:
    path = np.random.default_rng(n).integers(0, 2, bits).astype(np.uint8)
    key = noise.Key(2**40 + 1, 3, 9)
    sample = trellis.decode(np.packbits(path).tobytes(), n, bits, key, L)
    assert np.allclose(sample, plain.trellis(path.tolist(), n, *key, L), rtol=3e-7, atol=0)


@pytest.mark.parametrize(
    ("n", "bits"), [(1, 1), (2, 2), (7, 7), (63, 1), (64, 1), (300, 40), (700, 3), (5000, 2100), (8300, 4097)]
)
def test_polar(n: int, bits: int) -> None:
    path = np.random.default_rng(n).integers(0, 2, bits).astype(np.uint8)
    key = noise.Key(2**40 + 1, 3, 9)
    sample = polar.decode(np.packbits(path).tobytes(), n, bits, key)
    assert np.allclose(sample, plain.polar(path.tolist(), n, *key), rtol=0, atol=3e-6)
    if 4 * bits <= n:
        assert np.array_equal(sample, plain.polar(path.tolist(), n, *key))
