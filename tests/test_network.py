"""Any network as a provider: what it predicts and how it is told the noise change nothing of what it knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import diffcodec
from diffcodec.diffusion.process import alpha, from_x, sigma
from diffcodec.diffusion.schedules import Flow, LogSNRs, Outputs, Preconditioned, Schedule, Sigmas, Timesteps
from diffcodec.models.network import Kind, NetworkDenoiser, within
from diffcodec.runtime.errors import InputError, ModelMismatch
from diffcodec.testing import DiffusionLaws

VARIANCE = 0.3
SCHEDULES: dict[str, Schedule] = {
    "logsnr": LogSNRs(-8, 12),
    "timesteps": Timesteps.linear(),
    "sigmas": Sigmas(0.003, 60),
    "preconditioned": Preconditioned(0.003, 60, 0.5),
    "flow": Flow(1000, 1e-3),
}


def logsnr_of(schedule: Schedule, time: float) -> float:
    """The log-SNR of a network's time, by halving: written without the schedule's own formulas."""
    low, high = schedule.logsnr_min, schedule.logsnr_max
    rising = schedule.time(high) > schedule.time(low)
    for _ in range(60):
        middle = (low + high) / 2
        if (schedule.time(middle) < time) is rising:
            low = middle
        else:
            high = middle
    return low


class White(nn.Module):
    """Knows white pixels; it undoes the scale of its input, finds x_hat, and says it as its kind is said."""

    def __init__(self, schedule: Schedule, say: Callable[[Tensor, Tensor, Tensor], Tensor]):
        super().__init__()
        self.variance = nn.Parameter(torch.tensor(VARIANCE))
        self.schedule, self.say = schedule, say

    def forward(self, y: Tensor, time: Tensor) -> Tensor:
        logsnr = logsnr_of(self.schedule, float(time[0]))
        t = torch.tensor(logsnr, dtype=torch.float64)
        z = y.double() / self.schedule.scale(logsnr)
        x = alpha(t) * self.variance / (alpha(t) ** 2 * self.variance + sigma(t) ** 2) * z
        return self.say(z, t, x).to(y.dtype)


def edm(z: Tensor, t: Tensor, x: Tensor, data: float = 0.5) -> Tensor:
    """F of D = c_skip y + c_out F, in the words of EDM's table 1."""
    s = torch.exp(-t / 2)
    y = z / alpha(t)
    return (x - data**2 / (s**2 + data**2) * y) * (s**2 + data**2).sqrt() / (s * data)


FORMS: dict[str, tuple[Kind, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    **{kind: (kind, lambda z, t, x, kind=kind: from_x(z, t, x, kind)) for kind in ("x", "eps", "v", "flow")},
    "edm": (Outputs(0.5), edm),
    "edm-v": (Outputs(0.5, sign=-1), lambda z, t, x: -edm(z, t, x)),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_one_network_give_one_x_hat(form: str, schedule: str) -> None:
    kind, say = FORMS[form]
    told = SCHEDULES[schedule]
    model = NetworkDenoiser(White(told, say), kind, told)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 4, 5))).float()
    for units in (-4096, 0, 3000, 6144):
        t = torch.tensor(units / 1024, dtype=torch.float64)
        want = alpha(t) * VARIANCE / (alpha(t) ** 2 * VARIANCE + sigma(t) ** 2) * z.double()
        assert torch.allclose(model.x_hat(z, units), want, atol=2e-4)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_networks_keep_the_laws(schedule: str) -> None:
    told = SCHEDULES[schedule]
    kind, say = FORMS["v"]
    DiffusionLaws.of(NetworkDenoiser(White(told, say), kind, told), sizes=((5, 7), (1, 1))).check()


# ---- schedules


@given(st.floats(-5, 5))
def test_inputs_are_the_processes_own(logsnr: float) -> None:
    """scale z is x + s eps, (1 - t) x + t eps, c_in (x + s eps): coefficients of x and eps, written out."""
    a, s = math.sqrt(1 / (1 + math.exp(-logsnr))), math.sqrt(1 / (1 + math.exp(logsnr)))
    ve, t = s / a, s / (a + s)
    c_in = 1 / math.sqrt(ve**2 + 0.25)
    wants = {"logsnr": (a, s), "timesteps": (a, s), "sigmas": (1, ve), "preconditioned": (c_in, c_in * ve),
             "flow": (1 - t, t)}  # fmt: skip
    for name, want in wants.items():
        scale = SCHEDULES[name].scale(logsnr)
        assert (scale * a, scale * s) == pytest.approx(want, rel=1e-9), name
    times = {"logsnr": logsnr, "sigmas": ve, "preconditioned": math.log(ve) / 4, "flow": 1000 * t}
    for name, want in times.items():
        assert SCHEDULES[name].time(logsnr) == pytest.approx(want, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_times_end_with_the_range(schedule: str) -> None:
    told = SCHEDULES[schedule]
    for end, beyond in ((told.logsnr_min, -40.0), (told.logsnr_max, 40.0)):
        assert told.time(beyond) == pytest.approx(told.time(end), rel=1e-6, abs=1e-9)


def test_timesteps_are_met_and_lie_between() -> None:
    steps = Timesteps.linear(steps=50)
    alphas = np.cumprod(1 - np.linspace(1e-4, 0.02, 50))
    for t, a2 in enumerate(alphas):
        assert steps.time(math.log(a2 / (1 - a2))) == pytest.approx(t, abs=1e-9)
    middle = (steps.logsnrs[7] + steps.logsnrs[8]) / 2
    assert steps.time(middle) == pytest.approx(7.5)


@pytest.mark.parametrize(
    "alphas", [[0.5], [0.5, 0.6], [0.5, 0.5], [1.0, 0.5], [0.5, 0.0], [0.5, -0.1], [0.5, float("nan")]]
)
def test_what_is_no_schedule_is_refused(alphas: list[float]) -> None:
    with pytest.raises(InputError, match="alpha"):
        Timesteps.of(alphas)


def test_timesteps_without_signal_are_left_out() -> None:
    assert len(Timesteps.of([0.9, 0.5, 0.1, 2**-24]).logsnrs) == len(Timesteps.of([0.9, 0.5, 0.1, 0.0]).logsnrs) == 3


# ---- what a network is taken for


def test_x_hat_is_held_within_its_bound() -> None:
    told = LogSNRs()
    model = NetworkDenoiser(White(told, FORMS["eps"][1]), "eps", told, held_to=within(0.1))
    free = NetworkDenoiser(White(told, FORMS["eps"][1]), "eps", told)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 8, 8))).float()
    assert torch.allclose(model.x_hat(z, 2048), free.x_hat(z, 2048).clamp(-0.1, 0.1), atol=1e-5)
    assert float(free.x_hat(z, 2048).abs().max()) > 0.2


def test_sides_are_continued_where_the_network_wants_multiples() -> None:
    seen = []

    def network(y: Tensor, time: Tensor) -> Tensor:
        seen.append(tuple(y.shape))
        return torch.cat([y, y], 1)  # and a variance that was learned

    model = NetworkDenoiser(network, "v", LogSNRs(), fingerprint=bytes(32), multiple=8)
    z = torch.zeros(2, 3, 9, 16)
    assert model.predict(z, torch.tensor(0.0)).shape == z.shape
    assert seen == [(2, 3, 16, 16)] and model.grid == 1
    model = NetworkDenoiser(network, "v", LogSNRs(), fingerprint=bytes(32), multiple=8, least=2)
    assert model.predict(z[..., :1, :1], torch.tensor(0.0)).shape == (2, 3, 1, 1)
    assert seen[1:] == [(2, 3, 16, 16)]


def test_a_module_of_five_lines_codes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
    nn.init.zeros_(network[0].weight)

    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.drop = network, nn.Dropout()

        def forward(self, y: Tensor, time: Tensor) -> Tensor:
            return self.drop(self.net(y))

    model = NetworkDenoiser(Timed(), "v", LogSNRs(), name="mine")
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    data = diffcodec.encode(picture, "diffc", model, max_bytes=200)
    assert len(data) <= 200
    shown = diffcodec.decode(data, model=model, reconstruction="mean")
    assert np.square(shown.astype(float) - picture).mean() < picture.astype(float).var()
    with torch.no_grad():
        network[0].bias[0] += 1e-3
    with pytest.raises(ModelMismatch, match="fingerprint"):
        diffcodec.decode(data, model=NetworkDenoiser(Timed(), "v", LogSNRs(), name="mine"))


def test_the_fingerprint_is_of_weights_and_of_what_is_told() -> None:
    told = LogSNRs()
    white = White(told, FORMS["v"][1])
    prints = [
        NetworkDenoiser(white, kind, schedule).fingerprint
        for kind, schedule in (("v", told), ("x", told), ("v", LogSNRs(-9)), (Outputs(), told), (Outputs(0.4), told))
    ]
    assert len(set(prints)) == len(prints)
    assert NetworkDenoiser(white, "v", LogSNRs()).fingerprint == prints[0]


def test_what_cannot_be_a_model_is_refused() -> None:
    with pytest.raises(InputError, match="expected a prediction of x, eps, v, flow, found 'score'"):
        NetworkDenoiser(White(LogSNRs(), FORMS["v"][1]), "score", LogSNRs())
    with pytest.raises(InputError, match="fingerprint"):
        NetworkDenoiser(lambda y, time: y, "v", LogSNRs())
