"""Entropy coding: this package's kernels beside raw constriction, in the same run.

pytest benchmarks/throughput/bench_entropy.py --benchmark-columns=median,ops
Every case codes SYMBOLS symbols: divide the median by that for the time of one.
"""

from __future__ import annotations

import constriction
import numpy as np
import pytest

from diffcodec.entropy import gaussian, logistic, zipf
from diffcodec.entropy.stack import AnsStack
from diffcodec.entropy.tables import frequency_tables

SYMBOLS = 60_000
K = 5


def pixels(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters like those of a photograph: scales of 1 to 20 levels, pixels near their means."""
    rng = np.random.default_rng(0)
    n = SYMBOLS // channels
    shape = ((1, 100), (3, 400), (3, 0), (3, 100))
    params = np.concatenate([rng.integers(-s, s + 1, (n, rows, K)) for rows, s in shape], 1).astype(np.int32)
    params[:, 4:7] = rng.integers(96, 192, (n, 3, K))
    base = rng.integers(0, 1021, (n, channels)).astype(np.int32)
    near = base // 4 + np.rint(rng.normal(0, 8, (n, channels))).astype(np.int64)
    return params, base, np.clip(near, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_mixture_intervals(benchmark, channels):
    params, base, x = pixels(channels)
    benchmark(logistic.intervals, params, base, x)


@pytest.mark.parametrize("channels", [1, 3])
def test_mixture_pop(benchmark, channels):
    params, base, x = pixels(channels)
    starts, freqs = logistic.intervals(params, base, x)
    stack = AnsStack()
    stack.push_intervals(starts.ravel(), freqs.ravel())
    data = stack.to_bytes()
    out = benchmark(lambda: logistic.pop_pixels(AnsStack.from_bytes(data), params, base))
    assert (out == x).all()


def test_push_intervals(benchmark):
    starts, freqs = (v.ravel() for v in logistic.intervals(*pixels(3)))
    benchmark(lambda: AnsStack().push_intervals(starts, freqs))


def one_table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    table = frequency_tables(rng.integers(1, 1000, (1, 256)))[0]
    return table, rng.choice(256, SYMBOLS, p=table / table.sum()).astype(np.int32)


def test_one_table_push(benchmark):
    table, symbols = one_table()
    benchmark(lambda: AnsStack().push(symbols, table))


def test_one_table_push_raw_constriction(benchmark):
    table, symbols = one_table()
    model = constriction.stream.model.Categorical(table.astype(np.float64) - 1, perfect=False)
    benchmark(lambda: constriction.stream.stack.AnsCoder().encode_reverse(symbols, model))


def many_tables() -> tuple[np.ndarray, np.ndarray]:
    """A table of 256 entries for each of SYMBOLS / 10 symbols: the alternative to evaluating mixtures where needed."""
    rng = np.random.default_rng(2)
    n = SYMBOLS // 10
    return frequency_tables(rng.integers(1, 1000, (n, 256))), rng.integers(0, 256, n).astype(np.int32)


def test_tables_from_weights_tenth(benchmark):
    weights = np.random.default_rng(2).integers(1, 1000, (SYMBOLS // 10, 256))
    benchmark(frequency_tables, weights)


def test_many_tables_push_raw_constriction_tenth(benchmark):
    tables, symbols = many_tables()
    weights = tables.astype(np.float64) - 1
    family = constriction.stream.model.Categorical(perfect=False)
    benchmark(lambda: constriction.stream.stack.AnsCoder().encode_reverse(symbols, family, weights))


def test_many_tables_pop_raw_constriction_tenth(benchmark):
    tables, symbols = many_tables()
    weights = tables.astype(np.float64) - 1
    family = constriction.stream.model.Categorical(perfect=False)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(symbols, family, weights)
    words = coder.get_compressed()
    out = benchmark(lambda: constriction.stream.stack.AnsCoder(words).decode(family, weights))
    assert (out == symbols).all()


def latents() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    mean64, q = rng.integers(64 * 1000, 64 * 3000, SYMBOLS), rng.integers(100, 200, SYMBOLS)
    sigma = np.exp(-2 + q / 32)
    return np.rint(mean64 / 64 + sigma * rng.standard_normal(SYMBOLS)).clip(0, 4095).astype(np.int32), mean64, q


def test_gaussian_push(benchmark):
    x, mean64, q = latents()
    benchmark(lambda: AnsStack().push_intervals(*gaussian.intervals(x, mean64, q, 4096)))


def test_gaussian_push_raw_constriction(benchmark):
    x, mean64, q = latents()
    family = constriction.stream.model.QuantizedGaussian(0, 4095)
    mean, sigma = mean64 / 64, np.exp(-2 + q / 32)
    benchmark(lambda: constriction.stream.stack.AnsCoder().encode_reverse(x, family, mean, sigma))


def test_gaussian_pop(benchmark):
    x, mean64, q = latents()
    stack = AnsStack()
    stack.push_intervals(*gaussian.intervals(x, mean64, q, 4096))
    data = stack.to_bytes()
    out = benchmark(lambda: gaussian.pop(AnsStack.from_bytes(data), mean64, q, 4096))
    assert (out == x).all()


def test_gaussian_pop_raw_constriction(benchmark):
    x, mean64, q = latents()
    family = constriction.stream.model.QuantizedGaussian(0, 4095)
    mean, sigma = mean64 / 64, np.exp(-2 + q / 32)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(x, family, mean, sigma)
    words = coder.get_compressed()
    out = benchmark(lambda: constriction.stream.stack.AnsCoder(words).decode(family, mean, sigma))
    assert (out == x).all()


def test_zipf_push(benchmark):
    indices = np.random.default_rng(4).zipf(1.3, 4 * SYMBOLS)
    indices = indices[indices < 1 << 40][:SYMBOLS]
    benchmark(lambda: zipf.push(AnsStack(), indices, 333))
