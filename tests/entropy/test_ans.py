"""Laws of the entropy layer: inverse, exact tables, rate, the wire format of constriction."""

from __future__ import annotations

import hashlib

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy import logistic
from diffcodec.entropy.stack import TOTAL, AnsStack
from diffcodec.entropy.tables import frequency_tables
from diffcodec.runtime.errors import CorruptStream

seeds = st.integers(0, 2**32 - 1)
LOGISTIC_TABLES = (logistic.EXP, logistic.INVERSE_SCALE, logistic.SIGMOID)


def random_tables(rng: np.random.Generator, n: int, s: int) -> np.ndarray:
    weights = rng.integers(0, 2 ** rng.integers(1, 37), (n, s)) * (rng.random((n, s)) < 0.7)
    return frequency_tables(weights)


def intervals_of(table: np.ndarray, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = np.concatenate([np.zeros((len(table), 1), np.int64), np.cumsum(table, 1)], 1)
    rows = np.arange(len(table))
    return starts[rows, symbols].astype(np.uint32), table[rows, symbols]


@given(seeds, st.integers(1, 300))
def test_tables_are_exact(seed, s):
    table = random_tables(np.random.default_rng(seed), 5, s)
    assert table.min() >= 1 and (table.sum(1, dtype=np.int64) == TOTAL).all()


def test_tables_refuse_other_weights():
    for bad in (np.array([[-1, 2]]), np.array([[1 << 38]]), np.array([1, 2])):
        with pytest.raises(ValueError, match="weights must be"):
            frequency_tables(bad)


@given(seeds)
def test_tables_cost_what_the_weights_say(seed):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 2**20, (1, 64))
    p = weights[0] / weights.sum()
    q = frequency_tables(weights)[0] / TOTAL
    assert -(p * np.log2(q)).sum() <= -(p * np.log2(p)).sum() * 1.001


def test_a_table_of_one_symbol_costs_nothing():
    table = frequency_tables(np.zeros((3, 1), np.int64))
    stack = AnsStack()
    stack.push_bits(np.array([5]), np.array([3]))
    before = stack.to_bytes()
    stack.push(np.zeros(3, np.int64), table)
    assert stack.to_bytes() == before and (stack.pop(3, table) == 0).all()


@given(seeds, st.integers(1, 200), st.integers(2, 60))
@settings(max_examples=30)
def test_kernels_and_constriction_write_the_same_words(seed, n, s):
    rng = np.random.default_rng(seed)
    table = random_tables(rng, n, s)
    symbols = rng.integers(0, s, n)
    ours, theirs = AnsStack(), AnsStack()
    ours.push_intervals(*intervals_of(table, symbols))
    theirs.push(symbols, table)
    assert ours.to_bytes() == theirs.to_bytes()
    raw = constriction.stream.stack.AnsCoder()
    family = constriction.stream.model.Categorical(perfect=False)
    raw.encode_reverse(symbols.astype(np.int32), family, table.astype(np.float64) - 1)
    assert raw.get_compressed().astype("<u4").tobytes().rstrip(b"\0") == ours.to_bytes()
    back = AnsStack.from_bytes(ours.to_bytes())
    assert (back.pop(n, table) == symbols).all()
    back.finish()


@given(st.binary(max_size=200), seeds)
def test_bytes_and_symbols_mix_on_one_stack(data, seed):
    rng = np.random.default_rng(seed)
    table = random_tables(rng, 1, 20)[0]
    symbols = rng.integers(0, 20, 30)
    stack = AnsStack()
    stack.push(symbols, table)
    stack.push_bytes(np.frombuffer(data, np.uint8))
    stack = AnsStack.from_bytes(stack.to_bytes())
    assert stack.pop_bytes(len(data)).tobytes() == data
    assert (stack.pop(30, table) == symbols).all()
    stack.finish()


@given(st.lists(st.integers(0, 24), max_size=100), seeds)
def test_bit_fields_cost_their_width(widths, seed):
    fields = np.array(widths, np.uint8)
    values = np.random.default_rng(seed).integers(0, 1 << fields.astype(np.int64))
    stack = AnsStack()
    stack.push_bits(values, fields)
    assert 8 * len(stack.to_bytes()) <= int(fields.sum()) + 24 + 8  # an interval on the empty stack, a whole byte
    assert (stack.pop_bits(fields) == values).all()
    stack.finish()


def test_what_is_left_over_or_malformed_is_refused():
    stack = AnsStack()
    stack.push_bytes(np.arange(1, 20, dtype=np.uint8))
    short = AnsStack.from_bytes(stack.to_bytes())
    short.pop_bytes(18)
    with pytest.raises(CorruptStream):
        short.finish()
    with pytest.raises(CorruptStream):
        AnsStack.from_bytes(b"\1\0")


def mixture(rng: np.random.Generator, n: int, k: int, c: int, wild: bool) -> tuple[np.ndarray, ...]:
    spread = (1 << 14, 1 << 15, 257, 1 << 13) if wild else (100, 400, 257, 300)
    params = np.concatenate(
        [
            rng.integers(-spread[0], spread[0] + 1, (n, 1, k)),
            rng.integers(-spread[1], spread[1] + 1, (n, 3, k)),
            rng.integers(0, spread[2], (n, 3, k)),
            rng.integers(-spread[3], spread[3] + 1, (n, 3, k)),
        ],
        1,
    ).astype(np.int32)
    base = rng.integers(0, 1021, (n, c)).astype(np.int32)
    near = base // 4 + rng.integers(-20, 21, (n, c))
    pixels = np.clip(near, 0, 255) if not wild else rng.integers(0, 256, (n, c))
    return params, base, pixels.astype(np.uint8)


@given(seeds, st.integers(1, 8), st.sampled_from([1, 3]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_mixtures_come_back(seed, k, c, wild):
    params, base, pixels = mixture(np.random.default_rng(seed), 40, k, c, wild)
    starts, freqs = logistic.intervals(params, base, pixels)
    assert freqs.min() >= 1 and int((starts.astype(np.int64) + freqs).max()) <= TOTAL
    stack = AnsStack()
    stack.push_intervals(starts.ravel(), freqs.ravel())
    stack = AnsStack.from_bytes(stack.to_bytes())
    for part in (slice(0, 7), slice(7, 40)):  # a decoder pops block by block
        assert (logistic.pop_pixels(stack, params[part], base[part]) == pixels[part]).all()
    stack.finish()


@given(st.binary(max_size=120), seeds, st.integers(1, 8), st.sampled_from([1, 3]))
@settings(max_examples=40, deadline=None)
def test_any_bytes_pop_and_push_back(data, seed, k, c):
    """The law of bits-back: decoding arbitrary bytes, even past their end, and encoding the result restores them."""
    data = data.rstrip(b"\0")
    params, base, _ = mixture(np.random.default_rng(seed), 30, k, c, wild=True)
    stack = AnsStack.from_bytes(data)
    pixels = logistic.pop_pixels(stack, params, base)
    starts, freqs = logistic.intervals(params, base, pixels)
    stack.push_intervals(starts.ravel(), freqs.ravel())
    assert stack.to_bytes() == data


@given(seeds, st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_mixture_tables_are_exact(seed, k):
    params, base, _ = mixture(np.random.default_rng(seed), 1, k, 1, wild=True)
    every = np.arange(256, dtype=np.uint8)[:, None]
    starts, freqs = logistic.intervals(params.repeat(256, 0), base.repeat(256, 0), every)
    assert freqs.min() >= 1 and int(freqs.sum(dtype=np.int64)) == TOTAL
    assert (np.cumsum(freqs[:-1, 0], dtype=np.int64) == starts[1:, 0]).all() and starts[0, 0] == 0


def mixture_by_the_book(params: np.ndarray, base: np.ndarray, pixel: np.ndarray) -> list[tuple[int, int]]:
    """Intervals of one pixel from SPEC.md's pseudocode, in Python's unbounded integers."""
    rows, exp, inverse, sigmoid = params.tolist(), *(t.tolist() for t in LOGISTIC_TABLES)
    order = [1, 0, 2] if len(pixel) == 3 else [0]

    def normalise(w: list[int]) -> list[int]:
        out = [(v << 16) // sum(w) for v in w]
        out[w.index(max(w))] += 65536 - sum(out)
        return out

    def component(x: int, mean: int, q: int) -> int:
        if x <= 0 or x >= 256:
            return 0 if x <= 0 else 1 << 22
        u = min(max((64 * x - 32 - mean) * inverse[min(max(q, 0), 256)] >> 12, -(1 << 22)), 1 << 22) + (1 << 22)
        low, high = sigmoid[u >> 12], sigmoid[(u >> 12) + 1]
        return low + ((high - low) * (u & 4095) >> 12)

    def cumulative(x: int) -> int:
        if x <= 0 or x >= 256:
            return 0 if x <= 0 else TOTAL
        return x + (sum(v * component(x, m, q) for v, m, q in zip(w, means, scales, strict=True)) * (TOTAL - 256) >> 38)

    w = normalise([exp[min(max(rows[0]) - v, 1024)] for v in rows[0]])
    out, delta = [], [0, 0, 0]
    for row, channel in enumerate(order):
        x, b = int(pixel[channel]), int(base[channel])
        shift = [
            (0, a * delta[0] >> 4, (b_ * delta[0] + c * delta[1]) >> 4)[row]
            for a, b_, c in zip(rows[7], rows[8], rows[9], strict=True)
        ]
        means = [16 * b + m + s for m, s in zip(rows[1 + row], shift, strict=True)]
        scales = rows[4 + row]
        out.append((cumulative(x), cumulative(x + 1) - cumulative(x)))
        delta[row] = 4 * x - b
        mass = [component(x + 1, m, q) - component(x, m, q) for m, q in zip(means, scales, strict=True)]
        w = normalise([v * (p + 1) for v, p in zip(w, mass, strict=True)])
    return out


@given(seeds, st.integers(1, 8), st.sampled_from([1, 3]), st.sampled_from([8, 14, 24, 31]))
@settings(max_examples=60, deadline=None)
def test_kernels_follow_the_specification_for_any_parameters(seed, k, c, size):
    rng = np.random.default_rng(seed)
    params = rng.integers(-(2**size), 2**size, (5, 10, k)).astype(np.int32)
    params[0] = rng.choice([-(2**31), 2**31 - 1], (10, k))
    base, pixels = rng.integers(0, 1021, (5, c)).astype(np.int32), rng.integers(0, 256, (5, c)).astype(np.uint8)
    starts, freqs = logistic.intervals(params, base, pixels)
    for n in range(5):
        expected = mixture_by_the_book(params[n], base[n], pixels[n])
        assert list(zip(starts[n].tolist(), freqs[n].tolist(), strict=True)) == expected


def float_mixture_bits(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> float:
    """The same density in float64, PixelCNN++ eq. 3."""
    q = params.astype(np.float64)
    logits = q[:, 0] / 64
    log_joint = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    residual = []
    for row, channel in enumerate([1, 0, 2]):
        x, b = pixels[:, channel, None].astype(np.float64), base[:, channel, None] / 4
        mean = b + q[:, 1 + row] / 64
        if row == 1:
            mean = mean + q[:, 7] / 256 * residual[0]
        elif row == 2:
            mean = mean + q[:, 8] / 256 * residual[0] + q[:, 9] / 256 * residual[1]
        residual.append(x - b)
        s = np.exp(-3 + q[:, 4 + row] / 32)

        def cdf(edge: np.ndarray, mean: np.ndarray = mean, s: np.ndarray = s) -> np.ndarray:
            return 1 / (1 + np.exp(-np.clip((edge - mean) / s, -60, 60)))

        mass = np.where(x == 255, 1, cdf(x + 0.5)) - np.where(x == 0, 0, cdf(x - 0.5))
        log_joint = log_joint + np.log(mass + 2.0**-24)
    return float(-np.log2(np.exp(log_joint).sum(1)).sum())


def test_integers_follow_the_float_density():
    params, base, pixels = mixture(np.random.default_rng(3), 4000, 5, 3, wild=False)
    params[:, 4:7] = np.clip(params[:, 4:7], 90, 200)
    freqs = logistic.intervals(params, base, pixels)[1]
    assert logistic.bits(freqs) == pytest.approx(float_mixture_bits(params, base, pixels), rel=0.002)


def test_files_cost_their_entropy():
    params, base, pixels = mixture(np.random.default_rng(5), 10000, 5, 3, wild=False)
    starts, freqs = logistic.intervals(params, base, pixels)
    stack = AnsStack()
    stack.push_intervals(starts.ravel(), freqs.ravel())
    assert 8 * len(stack.to_bytes()) <= logistic.bits(freqs) * 1.001


def test_golden_bytes():
    """The tables and one stream; a change here is a change of format."""
    tables = b"".join(t.astype("<i8").tobytes() for t in LOGISTIC_TABLES)
    params, base, pixels = mixture(np.random.default_rng(7), 500, 5, 3, wild=False)
    starts, freqs = logistic.intervals(params, base, pixels)
    stack = AnsStack()
    stack.push_intervals(starts.ravel(), freqs.ravel())
    found = [hashlib.sha256(b).hexdigest()[:16] for b in (tables, stack.to_bytes())]
    assert found == GOLDEN


GOLDEN = ["f01748329575e02c", "47b13364ca9797cd"]
