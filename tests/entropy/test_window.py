"""Laws of the windowed Gaussian: inverse from any stack, statistics of what is popped, escapes, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy import window
from diffcodec.entropy.stack import AnsStack
from diffcodec.runtime.errors import CorruptStream

seeds = st.integers(0, 2**32 - 1)
sigmas = st.floats(0.1, 2000)


@given(seeds, sigmas, st.booleans(), st.integers(0, 400))
@settings(max_examples=60)
def test_pop_then_push_restores_any_stack(seed, sigma, open_ended, size):
    """Bits-back: also from a stack that is too short for what is popped."""
    rng = np.random.default_rng(seed)
    stack = AnsStack.from_bytes(rng.bytes(size) + b"\1")
    before = stack.to_bytes()
    mean = rng.integers(-(1 << 20), 1 << 20, 80)
    z = window.pop(stack, mean, sigma, open_ended=open_ended)
    window.push(stack, z, mean, sigma, open_ended=open_ended)
    assert stack.to_bytes() == before


@given(seeds, sigmas, st.sampled_from([1, 100, 1 << 22]))
@settings(max_examples=60)
def test_push_then_pop_restores_any_points(seed, sigma, reach):
    rng = np.random.default_rng(seed)
    mean = rng.integers(-(1 << 20), 1 << 20, 50)
    z = np.clip((mean >> 6) + rng.integers(-reach, reach + 1, 50), -(1 << 23), (1 << 23) - 1)
    stack = AnsStack()
    window.push(stack, z, mean, sigma, open_ended=True)
    stack = AnsStack.from_bytes(stack.to_bytes())
    assert (window.pop(stack, mean[:20], sigma, open_ended=True) == z[:20]).all()
    assert (window.pop(stack, mean[20:], sigma, open_ended=True) == z[20:]).all()
    stack.finish()


@pytest.mark.parametrize("sigma", [0.3, 4.0, 37.7, 900.0])
def test_random_bits_pop_as_the_gaussian(sigma):
    rng = np.random.default_rng(3)
    n = 400_000
    stack = AnsStack.from_bytes(rng.bytes(4 * n) + b"\1")
    mean = rng.integers(-1000, 1000, n)
    error = (window.pop(stack, mean, sigma, open_ended=False) - mean / 64) / sigma
    wanted = np.sqrt(1 + 1 / 12 / sigma**2)  # rounding to cells adds a uniform's variance
    assert abs(error.mean()) < 5 / np.sqrt(n) * wanted
    assert error.std() == pytest.approx(wanted, rel=0.01)
    assert np.mean(error**3) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("sigma", [1.0, 4.0, 30.0])
def test_bits_are_those_of_the_density(sigma):
    rng = np.random.default_rng(5)
    n = 50_000
    mean = rng.integers(-1000, 1000, n)
    z = np.rint(mean / 64 + sigma * rng.standard_normal(n)).astype(np.int64)
    stack = AnsStack()
    window.push(stack, z, mean, sigma, open_ended=True)
    total = np.hypot(sigma, 12**-0.5)
    entropy = n * np.log2(total * np.sqrt(2 * np.pi * np.e))
    assert 8 * len(stack.to_bytes()) == pytest.approx(entropy, rel=0.01)


def test_points_outside_are_refused():
    stack = AnsStack()
    with pytest.raises(CorruptStream, match="outside"):
        window.push(stack, np.array([0, 36]), np.zeros(2, np.int64), 4.0, open_ended=False)
    with pytest.raises(CorruptStream, match="outside"):
        window.push(stack, np.array([1 << 23]), np.zeros(1, np.int64), 4.0, open_ended=True)
    for sigma in (0.05, 2e4, float("nan")):
        with pytest.raises(ValueError, match="standard deviation"):
            window.pop(stack, np.zeros(1, np.int64), sigma, open_ended=True)
