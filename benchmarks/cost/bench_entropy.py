"""Entropy coding: this package beside raw constriction, in the same run.

    pytest benchmarks/cost/bench_entropy.py --benchmark-json=OUT.json --benchmark-columns=min,median
    python -m benchmarks.cost.throughput        # both, as tables

The cases of a group code the same symbols (of "pixels", as many): "ours" through this package, "raw" by constriction
as its documentation shows. Both start from what a network gives (tables, or a mean and a scale for each symbol) and end
in words, or the other way round. Each says in its extra info how many symbols it codes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import constriction
import numpy as np
import pytest

from diffcodec.entropy import gaussian, logistic, zipf
from diffcodec.entropy.stack import AnsStack
from diffcodec.entropy.tables import frequency_tables

SYMBOLS = 60_000
K = 5
STREAMS = 2
_AnsCoder = constriction.stream.stack.AnsCoder
_TABLES = constriction.stream.model.Categorical(perfect=False)
_GRID = constriction.stream.model.QuantizedGaussian(0, 4095)


def pair(group: str, symbols: int = SYMBOLS) -> Callable:
    """Runs a case twice, as `ours` and as `raw`, in a group of its own."""

    def mark(case: Callable) -> Callable:
        @pytest.mark.benchmark(group=group)
        @pytest.mark.parametrize("who", ["ours", "raw"])
        def run(benchmark, who: str) -> None:
            benchmark.extra_info["symbols"] = symbols
            code, check = case(who)
            assert check(benchmark(code))

        return run

    return mark


def anything(_: object) -> bool:
    return True


# ---- one table for all symbols


def one_table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    table = frequency_tables(rng.integers(1, 1000, (1, 256)))[0]
    return table, rng.choice(256, SYMBOLS, p=table / table.sum()).astype(np.int32)


def _one_raw(table: np.ndarray, symbols: np.ndarray) -> tuple[object, np.ndarray]:
    model = constriction.stream.model.Categorical(table.astype(np.float64) - 1, perfect=False)
    coder = _AnsCoder()
    coder.encode_reverse(symbols, model)
    return model, coder.get_compressed()


@pair("one table, push")
def test_one_table_push(who):
    table, symbols = one_table()
    words = _one_raw(table, symbols)[1]
    if who == "ours":

        def code():
            stack = AnsStack()
            stack.push(symbols, table)
            return stack.to_bytes()

        return code, lambda data: data == words.tobytes().rstrip(b"\0")
    return lambda: _one_raw(table, symbols)[1], lambda found: (found == words).all()


@pair("one table, pop")
def test_one_table_pop(who):
    table, symbols = one_table()
    _model, words = _one_raw(table, symbols)
    data = words.tobytes().rstrip(b"\0")
    code = {
        "ours": lambda: AnsStack.from_bytes(data).pop(SYMBOLS, table),
        "raw": lambda: _AnsCoder(words).decode(
            constriction.stream.model.Categorical(table.astype(np.float64) - 1, perfect=False), SYMBOLS
        ),
    }[who]
    return code, lambda found: (found == symbols).all()


# ---- a table of 256 entries for each symbol: SYMBOLS / 10 of them, for memory's sake


def many_tables() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    n = SYMBOLS // 10
    return frequency_tables(rng.integers(1, 1000, (n, 256))), rng.integers(0, 256, n).astype(np.int32)


def _many_raw(tables: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    coder = _AnsCoder()
    coder.encode_reverse(symbols, _TABLES, tables.astype(np.float64) - 1)
    return coder.get_compressed()


@pair("a table each, push", SYMBOLS // 10)
def test_many_tables_push(who):
    tables, symbols = many_tables()
    words = _many_raw(tables, symbols)
    if who == "ours":

        def code():
            stack = AnsStack()
            stack.push(symbols, tables)
            return stack.to_bytes()

        return code, lambda data: data == words.tobytes().rstrip(b"\0")
    return lambda: _many_raw(tables, symbols), lambda found: (found == words).all()


@pair("a table each, pop", SYMBOLS // 10)
def test_many_tables_pop(who):
    tables, symbols = many_tables()
    words = _many_raw(tables, symbols)
    data = words.tobytes().rstrip(b"\0")
    code = {
        "ours": lambda: AnsStack.from_bytes(data).pop(len(tables), tables),
        "raw": lambda: _AnsCoder(words).decode(_TABLES, tables.astype(np.float64) - 1),
    }[who]
    return code, lambda found: (found == symbols).all()


# ---- Gaussians on a grid, a mean and a scale each


@functools.cache
def latents(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mean64, q = rng.integers(64 * 1000, 64 * 3000, SYMBOLS), rng.integers(100, 200, SYMBOLS)
    sigma = np.exp(-2 + q / 32)
    return np.rint(mean64 / 64 + sigma * rng.standard_normal(SYMBOLS)).clip(0, 4095).astype(np.int32), mean64, q


def _gaussian_push(x: np.ndarray, mean64: np.ndarray, q: np.ndarray) -> bytes:
    stack = AnsStack()
    stack.push_intervals(*gaussian.intervals(x, mean64, q, 4096))
    return stack.to_bytes()


def _gaussian_push_raw(x: np.ndarray, mean64: np.ndarray, q: np.ndarray) -> np.ndarray:
    coder = _AnsCoder()
    coder.encode_reverse(x, _GRID, mean64 / 64, np.exp(-2 + q / 32))
    return coder.get_compressed()


def _gaussian_pop(data: bytes, mean64: np.ndarray, q: np.ndarray) -> np.ndarray:
    return gaussian.pop(AnsStack.from_bytes(data), mean64, q, 4096)


def _gaussian_pop_raw(words: np.ndarray, mean64: np.ndarray, q: np.ndarray) -> np.ndarray:
    return _AnsCoder(words).decode(_GRID, mean64 / 64, np.exp(-2 + q / 32))


@pair("Gaussian, push")
def test_gaussian_push(who):
    code = {"ours": _gaussian_push, "raw": _gaussian_push_raw}[who]
    return lambda: code(*latents()), anything


@pair("Gaussian, pop")
def test_gaussian_pop(who):
    x, mean64, q = latents()
    if who == "ours":
        data = _gaussian_push(x, mean64, q)
        return lambda: _gaussian_pop(data, mean64, q), lambda found: (found == x).all()
    words = _gaussian_push_raw(x, mean64, q)
    return lambda: _gaussian_pop_raw(words, mean64, q), lambda found: (found == x).all()


@pair(f"Gaussian, pop, {STREAMS} streams in threads", STREAMS * SYMBOLS)
def test_gaussian_pop_streams(who):
    """Both get the same threads; constriction keeps the interpreter to itself."""
    sets = [latents(3 + k) for k in range(STREAMS)]
    push, pop = {"ours": (_gaussian_push, _gaussian_pop), "raw": (_gaussian_push_raw, _gaussian_pop_raw)}[who]
    coded = [push(*given) for given in sets]
    pool = ThreadPoolExecutor(STREAMS)
    jobs = [(data, mean64, q) for data, (_, mean64, q) in zip(coded, sets, strict=True)]
    return (
        lambda: list(pool.map(pop, *zip(*jobs, strict=True))),
        lambda found: all((a == b[0]).all() for a, b in zip(found, sets, strict=True)),
    )


# ---- pixels: mixtures of logistics evaluated where they are needed, beside tables written out for constriction


def pixels(channels: int, symbols: int = SYMBOLS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters like those of a photograph: scales of 1 to 20 levels, pixels near their means."""
    rng = np.random.default_rng(0)
    n = symbols // channels
    shape = ((1, 100), (3, 400), (3, 0), (3, 100))
    params = np.concatenate([rng.integers(-s, s + 1, (n, rows, K)) for rows, s in shape], 1).astype(np.int32)
    params[:, 4:7] = rng.integers(96, 192, (n, 3, K))
    base = rng.integers(0, 1021, (n, channels)).astype(np.int32)
    near = base // 4 + np.rint(rng.normal(0, 8, (n, channels))).astype(np.int64)
    return params, base, np.clip(near, 0, 255).astype(np.uint8)


@pair("pixels, push", SYMBOLS // 10)
def test_pixels_push(who):
    """raw: from tables that are there already; what making them costs stands in "tables from weights"."""
    if who == "ours":
        given = pixels(3, SYMBOLS // 10)

        def code():
            stack = AnsStack()
            starts, freqs = logistic.intervals(*given)
            stack.push_intervals(starts.ravel(), freqs.ravel())
            return stack.to_bytes()

        return code, anything
    tables, symbols = many_tables()
    return lambda: _many_raw(tables, symbols), anything


@pair("pixels, pop", SYMBOLS // 10)
def test_pixels_pop(who):
    if who == "ours":
        params, base, x = pixels(3, SYMBOLS // 10)
        starts, freqs = logistic.intervals(params, base, x)
        stack = AnsStack()
        stack.push_intervals(starts.ravel(), freqs.ravel())
        data = stack.to_bytes()
        return lambda: logistic.pop_pixels(AnsStack.from_bytes(data), params, base), lambda found: (found == x).all()
    tables, symbols = many_tables()
    words = _many_raw(tables, symbols)
    return (
        lambda: _AnsCoder(words).decode(_TABLES, tables.astype(np.float64) - 1),
        lambda found: (found == symbols).all(),
    )


# ---- parts that constriction does not have


@pytest.mark.benchmark(group="tables from weights")
def test_tables_from_weights(benchmark):
    benchmark.extra_info["symbols"] = SYMBOLS // 10
    weights = np.random.default_rng(2).integers(1, 1000, (SYMBOLS // 10, 256))
    assert (benchmark(frequency_tables, weights).sum(1) == 1 << 24).all()


@pytest.mark.benchmark(group="intervals, push")
def test_push_intervals(benchmark):
    benchmark.extra_info["symbols"] = SYMBOLS
    starts, freqs = (v.ravel() for v in logistic.intervals(*pixels(3)))
    benchmark(lambda: AnsStack().push_intervals(starts, freqs))


@pytest.mark.benchmark(group="Zipf, push")
def test_zipf_push(benchmark):
    indices = np.random.default_rng(4).zipf(1.3, 4 * SYMBOLS)
    indices = indices[indices < 1 << 40][:SYMBOLS]
    benchmark.extra_info["symbols"] = len(indices)
    benchmark(lambda: zipf.push(AnsStack(), indices, 333))
