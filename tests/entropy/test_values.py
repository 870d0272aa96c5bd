"""Statistics of values: inverse, against a reference, pixels in any pieces, and what they save."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffcodec.entropy import logistic
from diffcodec.entropy import statistics as values
from diffcodec.entropy.stack import AnsStack

K = 3
ALL = range(1, 8)


def scene(count: int, channels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Params, base and pixels: a network that is about right of pixels that have even differences."""
    rng = np.random.default_rng(seed)
    green = rng.integers(0, 256, count)
    other = [np.clip(green + 2 * rng.integers(-9, 10, count), 0, 255) for _ in range(2)]
    pixels = (
        np.stack([other[0], green, other[1]], 1)[:, 3 - channels or slice(None)] if channels == 3 else green[:, None]
    )
    pixels = pixels.astype(np.uint8)
    base = np.clip(4 * pixels.astype(int) + rng.integers(-40, 41, pixels.shape), 0, 1020).astype(np.int32)
    params = np.zeros((count, 10, K), np.int32)
    params[:, 0] = rng.integers(-200, 200, (count, K))
    params[:, 1:4] = rng.integers(-500, 500, (count, 3, K))
    params[:, 4:7] = rng.integers(40, 260, (count, 3, K))
    params[:, 7:] = rng.integers(-300, 300, (count, 3, K))
    return params, base, pixels


class Reference:
    """SPEC.md, "Statistics of values", one value at a time in Python's integers."""

    def __init__(self, tables: int):
        self.tables, self.cells = tables, {}
        self.passed, self.settled = 0, 0

    def interval(self, F: list[int], v: int, channel: int, last: bool, g: int, r: int) -> tuple[int, int]:
        used = [table for table in (1, 2, 4) if self.tables & table and (last or table == 1)]
        if not used:
            return F[v], F[v + 1]
        low = v - v % 32
        M = F[low + 32] - F[low]
        m = [F[low + i + 1] - F[low + i] for i in range(32)]
        for table in used:
            share = 2**44 // sum(m)
            for i in range(32):
                cell = self.cells.setdefault(self.key(table, channel, g, r, low + i), [0, 0, 1024])
                cell[1] += m[i] * share >> 32
                m[i] = (m[i] * cell[2] >> 10) + 1
        for table in used:
            self.cells[self.key(table, channel, g, r, v)][0] += 4096
        at = [F[low] + i + sum(m[:i]) * (M - 32) // sum(m) for i in range(32)] + [F[low + 32]]
        return at[v - low], at[v - low + 1]

    def key(self, table: int, channel: int, g: int, r: int, x: int) -> tuple[int, ...]:
        if table == 1:
            return 1, channel, x
        if table == 2:
            return 2, r - g, x - g
        return 4, ((2**11 * g + 2**3 * r + x // 32) * 0x9E3779B1 % 2**32) >> 17, x % 32

    def next_pixel(self) -> None:
        self.passed += 1
        if self.passed == self.settled + min(max(256, self.settled >> 4), 65536):
            self.settled = self.passed
            for key, cell in self.cells.items():
                a = 4096 if key[0] == 1 else 512
                if cell[1] > 0:
                    cell[2] = min(max(((cell[0] + a) << 10) // (cell[1] + a), 1), 16384)


def mixture(params: np.ndarray, base: np.ndarray, pixels: np.ndarray) -> list[list[int]]:
    """F(0), ..., F(256) of each channel of one pixel, from the plain coder's intervals of every value."""
    out = []
    order = logistic.coding_order(len(pixels))
    for row, channel in enumerate(order):
        every = np.repeat(pixels[None], 256, 0)
        every[:, channel] = np.arange(256)
        starts, _ = logistic.intervals(np.repeat(params[None], 256, 0), np.repeat(base[None], 256, 0), every)
        out.append([*(int(s) for s in starts[:, row]), 2**24])
    return out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tables", ALL)
def test_against_the_specification(tables: int, channels: int) -> None:
    if channels == 1 and tables != values.LEVELS:
        return
    params, base, pixels = scene(700, channels)
    starts, freqs = values.Statistics(tables).intervals(params, base, pixels)
    reference = Reference(tables)
    order = logistic.coding_order(channels)
    for n in range(len(pixels)):
        known = [0, 0]
        for row, F in enumerate(mixture(params[n], base[n], pixels[n])):
            v = int(pixels[n, order[row]])
            low, high = reference.interval(F, v, int(order[row]), row == 2, *known)
            assert (low, high - low) == (starts[n, row], freqs[n, row])
            known = [v, 0] if row == 0 else [known[0], v]
        reference.next_pixel()


@pytest.mark.parametrize("tables", ALL)
def test_inverse(tables: int) -> None:
    params, base, pixels = scene(3000)
    starts, freqs = values.Statistics(tables).intervals(params, base, pixels)
    assert freqs.min() >= 1 and (starts.astype(np.int64) + freqs).max() <= 2**24
    stack = AnsStack()
    stack.push_intervals(starts.ravel(), freqs.ravel())
    assert np.array_equal(values.Statistics(tables).pop(stack, params, base), pixels)
    stack.finish()


@given(st.lists(st.integers(0, 700), max_size=5), st.sampled_from(list(ALL)))
@settings(max_examples=25, deadline=None)
def test_pixels_may_come_in_any_pieces(cuts: list[int], tables: int) -> None:
    given_ = scene(700)
    whole = values.Statistics(tables).intervals(*given_)
    statistics, edges = values.Statistics(tables), sorted({0, 700, *cuts})
    parts = [statistics.intervals(*(a[i:j] for a in given_)) for i, j in itertools.pairwise(edges)]
    for a, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.array_equal(a, np.concatenate(pieces))


def test_every_value_has_its_interval() -> None:
    """Of one pixel's last channel, after the tables have settled: 256 intervals tile the range."""
    params, base, pixels = scene(2000)
    starts, freqs = np.empty(256, np.int64), np.empty(256, np.int64)
    for v in range(256):
        statistics = values.Statistics(7)
        statistics.intervals(params, base, pixels)
        some = pixels[:1].copy()
        some[0, 2] = v
        found = statistics.intervals(params[:1], base[:1], some)
        starts[v], freqs[v] = found[0][0, 2], found[1][0, 2]
    assert np.array_equal(starts, np.cumsum([0, *freqs[:-1]])) and freqs.sum() == 2**24


def test_they_learn_what_the_network_does_not_know() -> None:
    """B - G is even: one bit a pixel for the tables that see it, at no great price for the others."""
    params, base, pixels = scene(20_000)
    plain = logistic.bits(logistic.intervals(params, base, pixels)[1])
    saved = {t: (plain - logistic.bits(values.Statistics(t).intervals(params, base, pixels)[1])) / 20_000 for t in ALL}
    assert saved[values.DIFFERENCES] > 0.8 and saved[values.LEVELS] > -0.05
    stretched = (pixels // 5 * 5).astype(np.uint8)  # one level in five
    plain = logistic.bits(logistic.intervals(params, base, stretched)[1])
    assert plain - logistic.bits(values.Statistics(1).intervals(params, base, stretched)[1]) > 20_000 * 3 * 1.5


def test_counts_stay_in_their_range() -> None:
    seen, expected = np.zeros((2, values.BLOCK), np.int32)
    seen[:3], expected[:3] = (2**30, 5, 0), (2**29, 2**30 + 1, 0)
    weights = np.full(values.BLOCK, 1024, np.int16)
    values.settle(seen, expected, weights, np.array([True]), 512)
    assert seen[:3].tolist() == [2**29, 2, 0] and expected[:3].tolist() == [2**28, 2**29, 0]
    assert weights[:3].tolist() == [2047, 1, 1024]
