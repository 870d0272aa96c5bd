"""What a network was trained on, in terms of the chain's z = alpha x + sigma eps: its time argument and its input.

Other processes y = a x + b eps are the same one, scaled: logsnr = 2 ln(a / b) and z = y / sqrt(a^2 + b^2). So with
variance exploding noise, y = x + s eps, logsnr = -2 ln s and z = alpha y; of a flow, y = (1 - t) x + t eps, logsnr =
2 ln((1 - t) / t) and z = y / sqrt((1 - t)^2 + t^2) = (alpha + sigma) y. Log-SNRs here are Python floats, exact to
doubles; times and scales are what the network takes at them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError


class Schedule(Protocol):
    """A network's own way of saying how noisy its input is."""

    @property
    def logsnr_min(self) -> float:
        """Where its noise is strongest; finite."""
        ...

    @property
    def logsnr_max(self) -> float:
        """Where it is weakest; finite, and larger."""
        ...

    def time(self, logsnr: float) -> float:
        """The network's time argument; outside of the range that of its nearer end."""
        ...

    def scale(self, logsnr: float) -> float:
        """The network's input is this times z."""
        ...


def alpha_sigma(logsnr: float) -> tuple[float, float]:
    """(alpha, sigma) at a log-SNR, doubles: alpha^2 = sigmoid(logsnr) = 1 - sigma^2."""
    a = 1 / math.sqrt(1 + math.exp(-logsnr))
    return a, a * math.exp(-logsnr / 2)


@dataclass(frozen=True)
class LogSNRs:
    """The network takes z itself and its log-SNR (VDM)."""

    logsnr_min: float = -10.0
    logsnr_max: float = 13.5

    def time(self, logsnr: float) -> float:
        """The log-SNR."""
        return min(max(logsnr, self.logsnr_min), self.logsnr_max)

    def scale(self, logsnr: float) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True)
class Timesteps:
    """The network takes z itself and a timestep t = 0, 1, ..., T - 1 (DDPM, arXiv 2006.11239).

    logsnrs: of the timesteps, falling. Between two, t is interpolated linearly in the log-SNR, as k-diffusion does:
    the embeddings of timesteps are smooth in t.
    """

    logsnrs: tuple[float, ...]

    @classmethod
    def of(cls, alphas_cumprod: Sequence[float]) -> Timesteps:
        """Of alpha^2 of each timestep, falling; timesteps of next to no signal, of zero-terminal SNR, are left out.

        Raises InputError for what does not fall, or is not between 0 and 1.
        """
        told = [float(one) for one in alphas_cumprod]
        used = [one for one in told if one > NO_SIGNAL]
        falls = all(a > b for a, b in itertools.pairwise(told))
        if len(used) < 2 or not falls or not 0 <= told[-1] < told[0] < 1:
            raise InputError("expected alpha^2 of two timesteps or more, falling, between 0 and 1")
        return cls(tuple(math.log(one / (1 - one)) for one in used))

    @classmethod
    def linear(cls, first: float = 1e-4, last: float = 0.02, steps: int = 1000) -> Timesteps:
        """Of betas evenly from ``first`` to ``last`` (DDPM, §4)."""
        return cls.of(list(np.cumprod(1 - np.linspace(first, last, steps))))

    @property
    def logsnr_min(self) -> float:
        """Of the last timestep that has a signal."""
        return self.logsnrs[-1]

    @property
    def logsnr_max(self) -> float:
        """Of timestep 0."""
        return self.logsnrs[0]

    @cached_property
    def _rising(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.logsnrs[::-1]), np.arange(len(self.logsnrs), dtype=np.float64)[::-1]

    def time(self, logsnr: float) -> float:
        """t, 0 to T - 1, not whole."""
        return float(np.interp(logsnr, *self._rising))

    def scale(self, logsnr: float) -> float:
        """1."""
        return 1.0


NO_SIGNAL = 2.0**-23  #: alpha^2 of a timestep that is noise alone; diffusers writes 0 or 2^-24 there


@dataclass(frozen=True)
class Sigmas:
    """The network takes y = x + s eps and s itself, as denoisers of EDM and k-diffusion do (arXiv 2206.00364)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    @property
    def logsnr_min(self) -> float:
        """-2 ln sigma_max."""
        return -2 * math.log(self.sigma_max)

    @property
    def logsnr_max(self) -> float:
        """-2 ln sigma_min."""
        return -2 * math.log(self.sigma_min)

    def sigma(self, logsnr: float) -> float:
        """s = exp(-logsnr / 2), within the range."""
        return min(max(math.exp(-logsnr / 2), self.sigma_min), self.sigma_max)

    def time(self, logsnr: float) -> float:
        """s."""
        return self.sigma(logsnr)

    def scale(self, logsnr: float) -> float:
        """1 / alpha: of z = alpha y."""
        return math.sqrt(1 + math.exp(-logsnr))


@dataclass(frozen=True)
class Preconditioned(Sigmas):
    """The network within a denoiser of EDM: it takes c_in y and c_noise = ln(s) / 4, times ``unit``.

    sigma_data: standard deviation of x. What it gives is for `Outputs` to say (arXiv 2206.00364, table 1).
    """

    sigma_data: float = 0.5
    unit: float = 1.0

    def time(self, logsnr: float) -> float:
        """c_noise."""
        return self.unit * math.log(self.sigma(logsnr)) / 4

    def scale(self, logsnr: float) -> float:
        """c_in / alpha, c_in = 1 / sqrt(s^2 + sigma_data^2)."""
        s2 = math.exp(-logsnr)
        return math.sqrt((1 + s2) / (s2 + self.sigma_data**2))


@dataclass(frozen=True)
class Flow:
    """The network takes y = (1 - t) x + t eps and t, times ``unit``; t from ``least`` to 1 - ``least``."""

    unit: float = 1.0
    least: float = 1e-3

    @property
    def logsnr_min(self) -> float:
        """2 ln(least / (1 - least))."""
        return -self.logsnr_max

    @property
    def logsnr_max(self) -> float:
        """2 ln((1 - least) / least)."""
        return 2 * math.log((1 - self.least) / self.least)

    def time(self, logsnr: float) -> float:
        """t = sigma / (alpha + sigma)."""
        t = 1 / (1 + math.exp(min(max(logsnr, self.logsnr_min), self.logsnr_max) / 2))
        return self.unit * t

    def scale(self, logsnr: float) -> float:
        """1 / (alpha + sigma)."""
        return 1 / sum(alpha_sigma(logsnr))


# ---- what the network gives, where that is not of `process.PREDICTIONS`: coefficients of (z, output) in x_hat


@dataclass(frozen=True)
class Outputs:
    """D = c_skip y + c_out F of EDM: c_skip = sigma_data^2 / (s^2 + sigma_data^2), c_out = s sigma_data / sqrt(same).

    boundary: of a consistency model, whose D is x itself where s is that, in place of 0 (arXiv 2303.01469, app. C).
    sign: -1 of networks that give -F, "v".
    """

    sigma_data: float = 0.5
    boundary: float = 0.0
    sign: int = 1

    def __call__(self, logsnr: float) -> tuple[float, float]:
        """(of z, of the network's output) in x_hat."""
        s, d2 = math.exp(-logsnr / 2), self.sigma_data**2
        skip = d2 / ((s - self.boundary) ** 2 + d2)
        out = (s - self.boundary) * self.sigma_data / math.sqrt(s * s + d2)
        return skip * math.sqrt(1 + s * s), self.sign * out
