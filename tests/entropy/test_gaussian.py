"""Laws of the Gaussian on a grid: inverse, exact tables, agreement with the float density."""

from __future__ import annotations

import hashlib
from math import erf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy import gaussian
from diffcodec.entropy.stack import TOTAL, AnsStack

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 1 << 16), st.sampled_from([12, 24, 62]))
@settings(max_examples=60)
def test_symbols_come_back(seed, size, reach):
    rng = np.random.default_rng(seed)
    mean, q = rng.integers(-(2**reach), 2**reach, 50), rng.integers(-100, 600, 50)
    symbols = rng.integers(0, size, 50)
    starts, freqs = gaussian.intervals(symbols, mean, q, size)
    assert freqs.min() >= 1
    stack = AnsStack()
    stack.push_intervals(starts, freqs)
    stack = AnsStack.from_bytes(stack.to_bytes())
    assert (gaussian.pop(stack, mean[:20], q[:20], size) == symbols[:20]).all()
    assert (gaussian.pop(stack, mean[20:], q[20:], size) == symbols[20:]).all()
    stack.finish()


@given(st.integers(1, 3000), st.integers(-(1 << 40), 1 << 40) | st.integers(-100, 200000), st.integers(0, 384))
@settings(max_examples=60)
def test_tables_are_exact(size, mean, q):
    starts, freqs = gaussian.intervals(np.arange(size), np.full(size, mean), np.full(size, q), size)
    assert freqs.min() >= 1 and int(freqs.sum(dtype=np.int64)) == TOTAL
    assert (np.cumsum(freqs[:-1], dtype=np.int64) == starts[1:]).all() and starts[0] == 0


@pytest.mark.parametrize("q", [40, 100, 200])
def test_integers_follow_the_float_density(q):
    rng = np.random.default_rng(q)
    size, n, sigma = 4096, 20000, np.exp(-2 + q / 32)
    mean = rng.integers(64 * 1000, 64 * 3000, n)
    symbols = np.clip(np.round(mean / 64 + sigma * rng.standard_normal(n)), 0, size - 1).astype(np.int32)
    starts, freqs = gaussian.intervals(symbols, mean, np.full(n, q), size)
    z = (symbols - mean / 64)[:, None] + np.array([-0.5, 0.5])
    mass = 0.5 * np.diff(np.vectorize(erf)(z / sigma / np.sqrt(2)), axis=1)[:, 0]
    ideal = -np.log2(mass).sum()
    bits = float(24 * n - np.log2(freqs.astype(np.float64)).sum())
    assert bits == pytest.approx(ideal, rel=0.001)
    stack = AnsStack()
    stack.push_intervals(starts, freqs)
    assert 8 * len(stack.to_bytes()) <= bits * 1.001


def test_other_grids_are_refused():
    one = np.zeros(1, np.int64)
    for size in (0, (1 << 16) + 1):
        with pytest.raises(ValueError, match="a grid has"):
            gaussian.intervals(one, one, one, size)
        with pytest.raises(ValueError, match="a grid has"):
            gaussian.pop(AnsStack(), one, one, size)
    for symbol in (-1, 5):
        with pytest.raises(ValueError, match=r"symbols must be in 0\.\.4"):
            gaussian.intervals(one + symbol, one, one, 5)


def test_golden_tables():
    """A change here is a change of format."""
    tables = b"".join(t.astype("<i8").tobytes() for t in gaussian.tables())
    assert hashlib.sha256(tables).hexdigest()[:16] == "d687a1e34b546d2c"
