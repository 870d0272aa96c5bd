"""Laws of the Zipf coder: inverse, exact tables, rate, refusals."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcodec.entropy import zipf
from diffcodec.entropy.stack import TOTAL, AnsStack
from diffcodec.runtime.errors import CorruptStream

exponents = st.integers(257, 2048)


@given(st.lists(st.integers(1, 2**40 - 1) | st.integers(1, 40), max_size=60), exponents)
def test_indices_come_back(indices, a):
    stack = AnsStack()
    zipf.push(stack, np.array(indices, np.int64), a)
    stack = AnsStack.from_bytes(stack.to_bytes())
    assert zipf.pop(stack, len(indices), a).tolist() == indices
    stack.finish()


def test_every_octave_edge_comes_back():
    edges = np.unique(np.concatenate([(np.int64(1) << np.arange(1, 41)) + d for d in (-1, 0, 1)]))
    edges = edges[edges < 1 << 40]
    stack = AnsStack()
    zipf.push(stack, edges, 300)
    assert (zipf.pop(stack, len(edges), 300) == edges).all()
    stack.finish()


@given(exponents)
def test_tables_are_exact(a):
    table = zipf.table(a)
    assert table.min() >= 1 and int(table.sum(dtype=np.int64)) == TOTAL


@pytest.mark.parametrize("information", [1.0, 4.0, 12.0])
def test_bytes_cost_the_entropy(information):
    a = zipf.exponent(information)
    i = np.arange(1, 1 << 18, dtype=np.float64)
    tail = (2.0**18 - 0.5) ** (1 - a / 256) / (a / 256 - 1) - 2.0 ** (40 * (1 - a / 256)) / (a / 256 - 1)
    p = i ** (-a / 256) / ((i ** (-a / 256)).sum() + tail)
    indices = np.random.default_rng(2).choice(len(p), 30000, p=p / p.sum()) + 1
    stack = AnsStack()
    zipf.push(stack, indices, a)
    ideal = -np.log2(p[indices - 1]).sum()
    assert 0.998 * ideal < 8 * len(stack.to_bytes()) < ideal + 0.001 * len(indices) + 0.001 * ideal


def test_refusals():
    for bad in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match="Zipf indices must be"):
            zipf.push(AnsStack(), np.array([bad]), 300)
    for a in (256, 2049):
        with pytest.raises(ValueError, match="the exponent of a Zipf"):
            zipf.table(a)
    with pytest.raises(CorruptStream):
        zipf.pop(AnsStack(), 1, 300)  # state 0 lies in the interval of index 0


def test_golden_tables():
    """A change here is a change of format."""
    tables = b"".join(zipf.table(a).astype("<u4").tobytes() for a in (257, 300, 423, 2048))
    assert hashlib.sha256(tables).hexdigest()[:16] == "3eab2a0b27b925c3"
    assert [zipf.exponent(x) for x in (0, 4, 16, 1e6)] == [423, 302, 271, 257]
