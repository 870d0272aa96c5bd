"""The diffusion's algebra, and the three reconstructions against their closed forms on a Gaussian source."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffcodec.diffusion.process import LN2, Step, alpha, diffuse, from_x, information, sigma, to_x
from diffcodec.diffusion.samplers import ancestral, between, flow, mean
from diffcodec.models.gaussian import GaussianModel

MODEL = GaussianModel(np.geomspace(0.01, 4, 32))
END = 14.0
logsnrs = st.floats(-8, 13)


def f64(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def noise(generator: torch.Generator, shape: torch.Size) -> Iterator[torch.Tensor]:
    while True:
        yield torch.randn(shape, generator=generator, dtype=torch.float64)


def received(logsnr: float, count: int = 4000) -> tuple[torch.Tensor, torch.Tensor, Iterator[torch.Tensor]]:
    """(x, z_t, more noise)."""
    generator = torch.Generator().manual_seed(5)
    x = MODEL.sample(count, generator)
    more = noise(generator, x.shape)
    return x, diffuse(x, f64(logsnr), next(more)), more


def decibel(distortion: float, other: float) -> float:
    return 10 * math.log10(other / distortion)


def squared(x: torch.Tensor, y: torch.Tensor) -> float:
    return float((x - y).square().mean())


@given(logsnrs, st.sampled_from(["x", "eps", "v", "flow"]))
def test_parameterisations_are_inverse(logsnr: float, kind: str) -> None:
    x, eps, t = f64(0.7), f64(-1.3), f64(logsnr)
    z = diffuse(x, t, eps)
    want = {"x": x, "eps": eps, "v": alpha(t) * eps - sigma(t) * x, "flow": eps - x}[kind]
    assert torch.isclose(from_x(z, t, x, kind), want, rtol=1e-6, atol=1e-8)
    assert torch.isclose(to_x(z, t, want, kind), x, rtol=1e-6, atol=1e-8)


def test_unknown_parameterisation_is_refused() -> None:
    for convert in (to_x, from_x):
        with pytest.raises(ValueError, match="expected a prediction of x, eps, v, flow"):
            convert(f64(0), f64(0), f64(0), "score")


@given(logsnrs, st.floats(0.001, 20))
def test_a_step_keeps_the_marginals(logsnr: float, gain: float) -> None:
    """z_t ~ q(z_t|x) and then q(z_s|z_t, x) must give q(z_s|x): mean alpha_s x, variance sigma_s^2."""
    t, s = f64(logsnr), f64(logsnr + gain)
    step = Step.between(t, s)
    assert torch.isclose(step.a * alpha(t) + step.b, alpha(s), rtol=1e-9)
    assert torch.isclose((step.a * sigma(t)) ** 2 + step.std**2, sigma(s) ** 2, rtol=1e-9)


def test_a_step_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="raise the log-SNR"):
        Step.between(f64(1), f64(1))


@given(logsnrs, st.floats(0.001, 5))
def test_kl_is_half_the_snr_gained_times_the_error(logsnr: float, gain: float) -> None:
    """VDM eq. 14: KL = 1/2 (SNR(s) - SNR(t)) |x - x_hat|^2 nats."""
    x, x_hat = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([0.4, 0.3], dtype=torch.float64)
    kl = Step.between(f64(logsnr), f64(logsnr + gain)).kl(x, x_hat)
    want = (math.exp(logsnr + gain) - math.exp(logsnr)) * squared(x, x_hat) / LN2
    assert float(kl) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("logsnr", [-3.0, 0.0, 4.0, 8.0])
def test_reconstructions_meet_their_closed_forms(logsnr: float) -> None:
    x, z, more = received(logsnr)
    assert abs(decibel(squared(x, mean(MODEL.predict, z, logsnr)), MODEL.mean_distortion(logsnr))) < 0.05
    x_f = flow(MODEL.predict, z, logsnr, END, 200)
    assert abs(decibel(squared(x, x_f), MODEL.flow_distortion(logsnr))) < 0.05
    # its bias falls as 1/steps
    few = ancestral(MODEL.predict, z[:1000], logsnr, END, 2000, (n[:1000] for n in more))
    assert abs(decibel(squared(x[:1000], few), MODEL.ancestral_distortion(logsnr))) < 0.15


@pytest.mark.parametrize("logsnr", [-3.0, 0.0, 4.0])
def test_between_mean_and_flow_nothing_is_nearer_to_both(logsnr: float) -> None:
    """Of a Gaussian source both ends are known: errors and Wasserstein-2 distances of arXiv 2107.02555, theorems 1, 3.

    The least error at a distance P of at most P* is D* + (P* - P)^2, with those of the mean starred.
    """
    x, z, _ = received(logsnr)
    ends = mean(MODEL.predict, z, logsnr), flow(MODEL.predict, z, logsnr, END, 100)
    scale = np.sqrt(MODEL.variance)
    explained = np.sqrt(MODEL.variance - MODEL.variance / (1 + MODEL.variance * math.exp(logsnr)))  # of E[x|z_t]
    farthest = np.square(scale - explained).mean() ** 0.5
    for realism in (0, 0.25, 0.5, 0.75, 1):
        shown = between(*ends, realism)
        distance = np.square(scale - shown.square().mean(0).sqrt().numpy()).mean() ** 0.5
        assert distance == pytest.approx((1 - realism) * farthest, abs=0.015)  # of 4000 draws
        bound = MODEL.mean_distortion(logsnr) + (farthest * realism) ** 2
        assert abs(decibel(squared(x, shown), bound)) < 0.05


def test_solvers_converge_at_their_order() -> None:
    _, z, _ = received(0.0, 16)
    exact = flow(MODEL.predict, z, 0.0, END, 4000)
    for order in (1, 2):
        coarse, fine = (squared(flow(MODEL.predict, z, 0.0, END, n, order), exact) ** 0.5 for n in (100, 200))
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.2)


def test_flow_gains_three_decibels_at_high_rate_and_nothing_beats_the_bound() -> None:
    gains = [decibel(MODEL.flow_distortion(t), MODEL.ancestral_distortion(t)) for t in (-8, -2, 4, 12)]
    assert gains == sorted(gains) and gains[-1] == pytest.approx(10 * math.log10(2), abs=0.01)
    for logsnr in np.linspace(-8, 12, 9):
        bound = MODEL.bound(MODEL.rate(logsnr))
        assert bound <= MODEL.mean_distortion(logsnr) <= MODEL.flow_distortion(logsnr)
        assert MODEL.flow_distortion(logsnr) <= MODEL.ancestral_distortion(logsnr)


def test_information_is_the_integral_of_the_error() -> None:
    """I-MMSE: the sum of the steps' KL tends to I(x; z_t)."""
    levels = torch.linspace(-20, 6, 2001, dtype=torch.float64)
    mse = torch.tensor([MODEL.mean_distortion(float(t)) for t in levels], dtype=torch.float64)
    assert float(information(mse, levels)[-1]) == pytest.approx(MODEL.rate(6), rel=1e-4)
