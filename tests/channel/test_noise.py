"""Philox against its published vectors, the quantile table against an independent quantile function."""

from __future__ import annotations

import hashlib
from statistics import NormalDist

import numpy as np
import pytest
import torch

from diffcodec.channel import noise

# Random123's kat_vectors, philox4x32-10: counter, key, result
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_philox_known_answers(counter: str, key: str, result: str) -> None:
    c, k = words(counter), words(key)
    with np.errstate(over="ignore"):
        in_numpy = noise.philox(*(np.array([x], np.int64) for x in c), *k)
    in_torch = noise.philox(*(torch.tensor([x]) for x in c), *k)
    in_numba = noise.block(np.uint64(c[0] | c[1] << 32), c[2], c[3], k[0], k[1])
    for found in (in_numpy, in_torch, in_numba):
        assert [int(np.asarray(x).item()) for x in found] == words(result)


def test_counters_are_64_bits() -> None:
    key = noise.Key(2**64 - 1, 2**32 - 1, 2**32 - 1)
    far = noise.halves(key, 24, 2**35)  # block 2^32: its counter's high word is 1
    assert not np.array_equal(far, noise.halves(key, 24, 0))
    index = np.array([2**32, 2**32 + 1, 2**32 + 2], np.int64)
    c2, c3, k0, k1 = key.words()
    parts = noise.philox(index & 0xFFFFFFFF, index >> 32, index * 0 + c2, index * 0 + c3, k0, k1)
    expected = np.stack([np.stack([p & 0xFFFF, p >> 16], 1) for p in parts], 1).reshape(-1)
    assert np.array_equal(far, expected)


def test_any_window_of_the_draws_is_the_same() -> None:
    key = noise.Key(5, 6, 7)
    whole = noise.halves(key, 100)
    for start, n in ((0, 1), (3, 20), (7, 9), (16, 84), (99, 1)):
        assert np.array_equal(noise.halves(key, n, start), whole[start : start + n])


@pytest.mark.parametrize("change", [(6, 6, 7), (5, 7, 7), (5, 6, 8), (5 + 2**32, 6, 7)])
def test_every_field_of_the_key_matters(change: tuple[int, int, int]) -> None:
    agree = (noise.halves(noise.Key(5, 6, 7), 4096) == noise.halves(noise.Key(*change), 4096)).mean()
    assert agree < 0.003


def test_quantile_table() -> None:
    table = noise.quantiles()
    exact = [NormalDist().inv_cdf((i + 0.5) / 65536) * noise.UNIT for i in range(65536)]
    assert np.array_equal(table, (np.rint(exact) / noise.UNIT).astype(np.float32))
    ties = np.abs(np.abs(np.array(exact) - np.floor(exact)) - 0.5)
    assert ties.min() > 1e-6
    units = np.rint(table.astype(np.float64) * noise.UNIT).astype("<i4")
    assert np.array_equal(units / noise.UNIT, table)
    assert np.array_equal(table, -table[::-1])
    assert hashlib.sha256(units.tobytes()).hexdigest() == GOLDEN_QUANTILES


GOLDEN_QUANTILES = "ee46eda6f743ea9b2949c72134d6385025bcc7573bb0fba98b3bf40224779880"


def test_normals_are_normal() -> None:
    n = 200_000
    x = np.sort(noise.normals(noise.Key(1, 2, 3), n).astype(np.float64))
    expected = np.array([NormalDist().cdf(v) for v in x])
    apart = max(np.abs(expected - k / n).max() for k in (np.arange(n), np.arange(1, n + 1)))
    assert apart < 1.95 / n**0.5  # Kolmogorov's statistic: one in a thousand is larger
    x = noise.normals(noise.Key(1, 2, 3), n).astype(np.float64)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.01
