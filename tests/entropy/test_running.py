"""Numbers that run on come back whatever they are, at what a prediction leaves of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy.running import KINDS, PAST, Running, bits
from diffcodec.entropy.stack import AnsStack


def there_and_back(one: Running, values: np.ndarray) -> float:
    """Bits of the numbers that are there, which come back."""
    starts, freqs = one.intervals(values)
    stack = AnsStack()
    stack.push_intervals(starts, freqs)
    stack = AnsStack.from_bytes(stack.to_bytes())
    assert (one.pop(stack) == np.where(one.there, values, 0)).all()
    stack.finish()
    return bits(freqs)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    st.integers(0, 2**32),
    st.sampled_from([0, 2, 3, 360, 36000, 2**30]),
    st.integers(1, 62),
    st.sampled_from([1, 2**8, 2**15 - 1]),
)
def test_whatever_numbers_come_back(
    shape: tuple[int, int], seed: int, circle: int, width: int, large: int
) -> None:
    """With any coefficients, and whatever else is told."""
    random = np.random.default_rng(seed)
    values = random.integers(0, circle or 2**width, shape)
    values[random.random(shape) < 0.3] = values[0, 0]
    told = random.integers(-1, circle, (*shape, 2)) if circle else random.integers(-(2**43), 2**43, (*shape, 5))
    count = PAST + told.shape[2] + (not circle)
    coefficients = random.integers(-large, large + 1, (KINDS, count))
    kinds = random.integers(0, KINDS, shape)
    bits_of = int(values.max()).bit_length()
    there_and_back(Running(random.random(shape) < 0.8, told, kinds, coefficients, circle, bits_of), values)


@pytest.mark.parametrize("circle", [0, 3600])
def test_what_runs_on_takes_what_it_departs_by(circle: int) -> None:
    """Steps of 300 and noise of a few: the noise's entropy, and little more; on a circle as well."""
    random = np.random.default_rng(0)
    noise = random.normal(0, 4, (800, 2)).round().astype(np.int64)
    values = (300 + noise).cumsum(0)
    values = values % circle if circle else values
    told = np.full((800, 2, 2 if circle else 5), -1 if circle else 0)
    coefficients = np.zeros((KINDS, PAST + told.shape[2] + (not circle)), np.int64)
    coefficients[:, :PAST] = 4096 // PAST
    one = Running(np.ones(noise.shape, bool), told, np.zeros(noise.shape, np.int64), coefficients, circle, 20)
    error = 4 * np.sqrt(1 + 1 / PAST)  # of the mean of so many steps
    assert there_and_back(one, values) / noise.size < 1.1 * np.log2(error * np.sqrt(2 * np.pi * np.e))


def test_the_same_again_takes_a_fraction_of_a_bit() -> None:
    values = np.full((500, 3), 77)
    told, there = np.zeros((500, 3, 5), np.int64), np.ones((500, 3), bool)
    one = Running(there, told, told[..., 0], np.zeros((KINDS, PAST + 6), np.int64), 0, 7)
    assert there_and_back(one, values) / values.size < 0.1
