"""What every channel method must do: one sample on both sides, of N(mu, I), for the bits it says."""

from __future__ import annotations

import hashlib
import itertools
import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcodec.channel import polar, polar_search, trellis, walk
from diffcodec.channel.noise import Key
from diffcodec.channel.reference import hadamard, poisson
from diffcodec.runtime.errors import CorruptStream

METHODS = [trellis, polar, hadamard, poisson]
FIXED = [trellis, polar, hadamard]  # methods of fixed rate
LN2 = math.log(2)

by_name = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__.split(".")[-1])
fixed = pytest.mark.parametrize("method", FIXED, ids=lambda m: m.__name__.split(".")[-1])


def target(n: int, kl: float, seed: int = 0) -> np.ndarray:
    """mu float32 (n,) with a divergence of ``kl`` bits from N(0, I)."""
    mu = np.random.default_rng(seed).standard_normal(n)
    return (mu * math.sqrt(2 * LN2 * kl) / np.linalg.norm(mu)).astype(np.float32)


@by_name
@given(n=st.integers(1, 700), share=st.floats(0, 1), seed=st.integers(0, 2**64 - 1))
def test_both_sides_hold_the_same_sample(method: ModuleType, n: int, share: float, seed: int) -> None:
    bits = max(1, min(24, round(share * n)))
    key = Key(seed, 3, 4)
    payload, sample = method.encode(target(n, bits), bits, key)
    assert sample.dtype == np.float32 and sample.shape == (n,) and np.isfinite(sample).all()
    assert np.array_equal(method.decode(payload, n, bits, key), sample)


@fixed
@pytest.mark.parametrize("bits", [1, 7, 8, 9, 100])
def test_payload_takes_its_bits_and_no_more(method: ModuleType, bits: int) -> None:
    payload, _ = method.encode(target(300, bits), bits, Key(1, 2, 3))
    assert len(payload) == -(-bits // 8)


@by_name
def test_sample_has_mean_mu_and_unit_variance_off_it(method: ModuleType) -> None:
    n, kl, draws = 256, 24.0, 120
    wanted, scale = kl, 1.0
    if method is polar:  # whose samples are as long as noise, for who expects more to scale
        power = 1 + 2 * LN2 * kl / n
        wanted, scale = n / 2 * math.log2(power), math.sqrt(power)
    along, off, samples = [], [], []
    for seed in range(draws):
        mu = target(n, kl, seed)
        bits = method.bits_for(wanted, n)
        sample = method.encode(mu, bits, Key(seed, 0, 0))[1] * scale
        u = mu / np.linalg.norm(mu)
        along.append(sample @ u / np.linalg.norm(mu))
        rest = sample - (sample @ u) * u
        off.append(rest @ rest / (n - 1))
        samples.append(rest)
    assert abs(np.mean(along) - 1) < 0.06
    assert abs(np.mean(off) - 1) < 0.03
    off_mu = np.concatenate(samples)
    kurtosis = np.mean(off_mu**4) / np.mean(off_mu**2) ** 2
    assert abs(kurtosis - 3) < 0.15


@by_name
def test_another_key_gives_another_sample(method: ModuleType) -> None:
    mu = target(200, 16)
    samples = [method.encode(mu, 16, Key(*key))[1] for key in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))]
    for i, one in enumerate(samples):
        for two in samples[:i]:
            # they agree on mu, and on nothing else
            assert abs(np.corrcoef(one - mu, two - mu)[0, 1]) < 0.3


@by_name
def test_an_encoder_repeats_itself(method: ModuleType) -> None:
    assert method.encode(target(90, 9), 9, Key(3, 3, 3))[0] == method.encode(target(90, 9), 9, Key(3, 3, 3))[0]


@fixed
@given(kl=st.floats(0.1, 1e5))
def test_bits_for_inverts_delivered(method: ModuleType, kl: float) -> None:
    n = 10**6
    bits = method.bits_for(kl, n)
    assert 1 <= bits <= n
    if kl > 30:
        assert abs(method.delivered(bits, n) - kl) < 1 + 0.02 * kl


@fixed
@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: p[:-1] + bytes([p[-1] | 1])])
def test_a_payload_that_does_not_fit_is_refused(method: ModuleType, damage) -> None:
    payload, _ = method.encode(target(100, 10), 10, Key(1, 1, 1))
    with pytest.raises(CorruptStream):
        method.decode(damage(payload), 100, 10, Key(1, 1, 1))


@fixed
def test_more_bits_than_dimensions_are_refused(method: ModuleType) -> None:
    with pytest.raises(CorruptStream):
        method.decode(bytes(2), 15, 16, Key(1, 1, 1))
    with pytest.raises(ValueError, match="expected 1 to 15 bits"):
        method.encode(target(15, 1), 16, Key(1, 1, 1))


@pytest.mark.parametrize("n_per_bit", [3, 20, 100])
def test_trellis_delivers_what_it_says(n_per_bit: int) -> None:
    bits, L = 1500, 10
    n = bits * n_per_bit
    mu = target(n, 1.0)
    _, sample = trellis.encode(mu, bits, Key(5, 5, 5), L)
    kl = float(sample @ mu / np.linalg.norm(mu)) ** 2 / (2 * LN2)
    assert abs(kl / trellis.delivered(bits, n, L) - 1) < 0.035


def test_trellis_segments_join_and_every_step_has_dimensions() -> None:
    plan = trellis._Plan(10_007, 9_000, Key(1, 1, 1), 8)
    assert len(plan.cuts) > 2
    at = 0
    for i in range(len(plan.cuts) - 1):
        first, size, ends, draws, _ = plan.segment(i)
        assert first == at and len(draws) == size
        assert (np.diff(np.concatenate([[0], ends])) >= 1).all()
        at += size
    assert at == 10_007


def test_no_offset_overflows_at_a_hundred_million_dimensions() -> None:
    n, bits = 10**8, 50_000_000
    plan = trellis._Plan(n, bits, Key(1, 1, 1), 8)
    first, size, ends, _, _ = plan.segment(len(plan.cuts) - 2)
    assert first + size == n and int(ends[-1]) == size
    multiplier, _offset = plan.walk
    assert math.gcd(multiplier, n) == 1
    x = np.arange(10, dtype=np.float32)
    out = np.empty(10, np.float32)
    walk.gather(x, 3, 7, 10**12, out)  # a first place beyond 32 bits
    assert sorted(out) == list(range(10)) and out[0] == (3 * 10**12 + 7) % 10


def test_trellis_threads_do_not_change_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    mu = target(12_000, 3000)
    one = trellis.encode(mu, 3000, Key(1, 1, 1), 6)[0]
    monkeypatch.setattr(trellis, "_run", lambda job, count: [job(i) for i in range(count)])
    assert trellis.encode(mu, 3000, Key(1, 1, 1), 6)[0] == one


def test_viterbi_finds_the_best_of_all_paths() -> None:
    n, bits, L = 36, 9, 4
    mu = target(n, 9, 3)
    _, found = trellis.encode(mu, bits, Key(2, 2, 2), L)
    every = [
        trellis.decode(np.packbits([path >> i & 1 for i in range(bits)]).tobytes(), n, bits, Key(2, 2, 2), L) @ mu
        for path in range(1 << bits)
    ]
    assert found @ mu == pytest.approx(max(every), rel=1e-5)


@pytest.mark.parametrize(("n", "bits"), [(10**6, 500), (300_000, 5000), (20_000, 2000), (3000, 2000)])
def test_polar_delivers_what_it_says(n: int, bits: int) -> None:
    mu = target(n, 1.0)
    _, sample = polar.encode(mu, bits, Key(5, 5, 5))
    p, length = float(sample @ mu / np.linalg.norm(mu)), float(sample @ sample)
    assert abs(-n / 2 * math.log2(1 - p * p / length) / polar.delivered(bits, n) - 1) < 0.03
    assert length == pytest.approx(n, rel=1e-6 if 4 * bits <= n else 0.05)


def test_polar_blocks_join() -> None:
    for n, bits in ((10_007, 9_000), (10**8, 50_000_000), (5, 5), (2**25 + 1, 3), (400_000, 4096)):
        blocks = polar._blocks(n, bits)
        assert all(block.bits <= polar.BLOCK and sum(block.layers) == block.bits for block in blocks)
        assert all(4 * max(block.layers) <= block.size + 4 for block in blocks if block.size >= 16)
        assert blocks[0].first == blocks[0].at == 0
        assert all(a.first + a.size == b.first and a.at + a.bits == b.at for a, b in itertools.pairwise(blocks))
        assert (blocks[-1].first + blocks[-1].size, blocks[-1].at + blocks[-1].bits) == (n, bits)


def test_polar_threads_do_not_change_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    mu, key, bits = target(40_000, 3000), Key(1, 1, 1), polar.BLOCK + 1
    payload, sample = polar.encode(mu, bits, key, 2)
    for workers in (1, 7):
        monkeypatch.setattr(polar, "WORKERS", workers)
        monkeypatch.setattr(polar, "FOLLOWED", 0)
        assert polar.encode(mu, bits, key, 2)[0] == payload
        assert np.array_equal(polar.decode(payload, 40_000, bits, key), sample)


def test_more_paths_find_better_words_and_enough_the_best() -> None:
    n, bits, key = 400, 6, Key(2, 2, 2)
    mu = target(n, 9, 3)
    found = [float(polar.encode(mu, bits, key, paths)[1] @ mu) for paths in (1, 4, 64)]
    every = [float(polar.decode(bytes([path << 2]), n, bits, key) @ mu) for path in range(1 << bits)]
    assert found[0] <= found[1] <= found[2] == pytest.approx(max(every), rel=1e-5)


@pytest.mark.parametrize("paths", [0, 3, 2048])
def test_paths_are_a_power_of_two(paths: int) -> None:
    with pytest.raises(ValueError, match="paths"):
        polar.encode(target(64, 4), 4, Key(0, 0, 0), paths)


def test_a_word_is_one_of_the_code() -> None:
    """What is frozen stays 0, whatever the odds, ties and zeros too."""
    rng = np.random.default_rng(0)
    for N, bits, paths in ((8, 3, 2), (64, 20, 4), (256, 60, 8), (1024, 1000, 16)):
        free = polar.free_places(N, 0, bits)
        for odds in (rng.normal(size=N), np.zeros(N), rng.integers(-1, 2, N), 1e6 * rng.normal(size=N)):
            word = polar_search.search(odds.astype(np.float32), polar_search.subtrees(free), paths)
            told = word.view(np.uint8) & 1
            polar._transform(told)
            assert set(word) <= {-1, 0} and not told[~free].any()


def test_golden_polar_samples() -> None:
    for n, bits, digest in GOLDEN_POLAR:
        sample = polar.decode(bytes(range(7)) + b"\xf0", n, bits, Key(11, 22, 33))
        units = np.rint(sample.astype(np.float64) * 2**12).astype("<i4")
        assert hashlib.sha256(units.tobytes()).hexdigest()[:16] == digest


GOLDEN_POLAR = [(100, 60, "24e3b3da996dcfb8"), (600, 60, "189ab432c9ef5067"), (6000, 60, "1ba29d4681829568")]
GOLDEN = {
    "labels": ((600, 60, 12), "3992c77f3429e925"),
    "signs": ((6000, 60, 12), "18af8b4abdf39964"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_samples(name: str) -> None:
    (n, bits, L), digest = GOLDEN[name]
    payload = bytes(range(7)) + b"\xf0"
    sample = trellis.decode(payload, n, bits, Key(11, 22, 33), L)
    units = np.rint(sample.astype(np.float64) * 2**12).astype("<i4")
    assert hashlib.sha256(units.tobytes()).hexdigest()[:16] == digest
