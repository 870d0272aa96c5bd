"""What every channel method must do: one sample on both sides, of N(mu, I), for the bits it says."""

from __future__ import annotations

import hashlib
import math
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffcodec.channel import hadamard, poisson, trellis
from diffcodec.channel.noise import Key
from diffcodec.errors import CorruptStream

METHODS = [trellis, hadamard, poisson]
FIXED = [trellis, hadamard]  # methods of fixed rate
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
    along, off, samples = [], [], []
    for seed in range(draws):
        mu = target(n, kl, seed)
        bits = method.bits_for(kl, n)
        _, sample = method.encode(mu, bits, Key(seed, 0, 0))
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
    multiplier, offset = plan.walk
    assert math.gcd(multiplier, n) == 1
    x = np.arange(10, dtype=np.float32)
    out = np.empty(10, np.float32)
    trellis._gather(x, 3, 7, 10**12, out)  # a first place beyond 32 bits
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
