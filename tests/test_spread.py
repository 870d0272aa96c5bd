"""The samples of DiffC's passes: transforms are orthonormal, both sides make the same, and they are draws of q."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.channel.noise import Key
from diffcodec.codecs.diffc.spread import COARSE, COLOURS, LN2, NONE, UNIT, Coarse, Shares, Wide, less
from diffcodec.runtime.errors import CorruptStream

KEY = Key(2**40 + 7, 3, 0)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(h=st.integers(1, 90), w=st.integers(1, 90), channels=st.sampled_from([1, 3, 4]))
@settings(max_examples=40, deadline=None)
def test_the_coarse_part_is_a_part_of_an_orthonormal_basis(h: int, w: int, channels: int) -> None:
    coarse = Coarse((channels, h, w), (0.0, 1.0, 2.0, 3.0)[:channels])
    x, averages = drawn(channels, h, w), drawn(*coarse.shape, seed=1)
    assert np.allclose(coarse.averaged(coarse.filled(averages)), averages, atol=1e-5)
    assert float((coarse.averaged(x) * averages).sum()) == pytest.approx(
        float((x * coarse.filled(averages)).sum()), abs=1e-3
    )
    y = coarse.analysed(averages, KEY)
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(averages), rel=1e-5)
    assert np.allclose(coarse.synthesised(y, KEY), averages, atol=1e-5)
    assert coarse.counts.sum() == coarse.n == averages.size


def test_classes_come_from_coarse_to_fine_and_from_light_to_colour() -> None:
    coarse = Coarse((3, 256, 256), COLOURS)
    flat = np.zeros(coarse.shape, np.float32)
    flat[:] = 1  # grey, all alike: the sums of the coarsest octave of the first plane, and nothing else
    energy = np.bincount(coarse.classes, coarse.analysed(flat, KEY).astype(np.float64) ** 2)
    assert np.argmax(energy) == np.argmax(coarse.levels)
    assert energy.max() == pytest.approx(energy.sum(), rel=1e-6)
    grey = Coarse((3, 64, 64), less(True, 1, 3))
    assert NONE == math.inf and np.isinf(grey.levels[0]) and grey.counts[0] == 2 * 64
    assert grey.variances(0.5, 3.0, lambda v: v)[0] == 0
    assert less(False, 3, 3) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shape", [(3, 20, 30), (3, 100, 72), (3, 67, 65), (1, 130, 120), (16, 32, 32)])
@pytest.mark.parametrize(("bits", "share"), [(40, 0), (40, 100), (900, 256 // 3), (8, 255), (1, 0)])
def test_both_sides_make_the_same_sample(shape: tuple[int, int, int], bits: int, share: int) -> None:
    wide = Wide(shape, 8, less(True, 3, shape[0]), paths=2)
    shares = Shares.of(bits, share)
    if shares.coarse > wide.coarse_n:
        with pytest.raises(CorruptStream, match="coarse"):
            wide.receive(bytes(-(-bits // 8)), bits, share, 200, KEY)
        return
    payload, sample = wide.send(drawn(wide.n), shares, 200, KEY)
    assert len(payload) == -(-bits // 8) and shares.bits == bits
    assert shares.coarse % 8 == 0 or shares.fine == 0
    assert np.array_equal(wide.receive(payload, bits, share, 200, KEY), sample)


def test_a_sample_is_a_draw_of_q() -> None:
    """With the bits that the information asks for: mean and variance of the coarse part's classes and of the rest."""
    shape, units = (3, 256, 256), 400
    wide, rng = Wide(shape, 12, COLOURS), np.random.default_rng(0)
    coarse, gain = wide.coarse, math.expm1(units * UNIT)
    assert coarse is not None
    variances = coarse.variances(gain, 0.12 * coarse.n * gain, lambda v: v)
    products, energies, rests = np.zeros(len(variances) + 1), np.zeros(len(variances) + 1), np.zeros(len(variances) + 1)
    for draw in range(3):
        key = Key(draw, 1, 0)
        y = (rng.standard_normal(coarse.n) * np.sqrt(variances)[coarse.classes]).astype(np.float32)
        part = coarse.synthesised(y, key)
        fine = (0.1 * rng.standard_normal(shape)).astype(np.float32)
        mu = fine - coarse.filled(coarse.averaged(fine)) + coarse.filled(part)
        needed = wide.information(wide.products(flat := mu.reshape(-1), flat), units)
        bits = [round(part / useful) for part, useful in zip(needed, (0.915, 0.95), strict=True)]
        shares = Shares(8 * round(bits[0] / 8), bits[1], round(256 * bits[0] / sum(bits)))
        _, sample = wide.send(mu.reshape(-1), shares, units, key)
        own = coarse.averaged(sample.reshape(shape))
        told = coarse.analysed(own, key)
        rest = sample.reshape(shape) - coarse.filled(own)
        both = [(told[coarse.classes == k], y[coarse.classes == k]) for k in range(len(variances))]
        both.append((rest.ravel(), (mu - coarse.filled(part)).ravel()))
        for k, (a, b) in enumerate(both):
            a, b = a.astype(np.float64), b.astype(np.float64)
            products[k] += a @ b
            energies[k] += b @ b
            rests[k] += ((a - b) ** 2).mean() / 3
    assert products[:-1].sum() / energies[:-1].sum() == pytest.approx(1, abs=0.05)
    assert products[-1] / energies[-1] == pytest.approx(1, abs=0.05)
    large = coarse.counts > 500
    assert np.allclose(rests[:-1][large], 1, atol=0.06) and rests[-1] == pytest.approx(1, abs=0.02)


def test_information_is_less_than_the_divergence_of_equal_variances_and_tends_to_it() -> None:
    wide = Wide((3, 128, 128), 12, COLOURS)
    for units, most in ((20, 1.0), (1000, 0.9)):
        energies = (0.2 * wide.coarse_n * math.expm1(units * UNIT), 0.02 * wide.n * math.expm1(units * UNIT))
        coarse, fine = wide.information(energies, units)
        assert coarse < most * energies[0] / (2 * LN2) and fine < energies[1] / (2 * LN2)
        if units == 20:
            assert coarse + fine > 0.98 * sum(energies) / (2 * LN2)


def test_small_pictures_have_no_coarse_part() -> None:
    assert Wide((3, 40, 40), 8, COLOURS).coarse is None and Wide((3, 64, 64), 8, COLOURS).coarse_n == COARSE
