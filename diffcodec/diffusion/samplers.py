"""From z_t, a noisy picture that was received, to a picture: the reconstructions of DiffC (arXiv 2206.08889, §3).

`mean` is the denoiser's E[x|z_t], least squared error; `ancestral` draws from p(x|z_t) step by step (DiffC-A); `flow`
follows the probability-flow ODE (DiffC-F), which at high rate has half the ancestral squared error: 3 dB. `between`
goes from the first to one of the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .process import Step, alpha, sigma, to_x

Predict = Callable[[Tensor, Tensor], Tensor]  #: (z, logsnr) -> eps_hat


def levels(logsnr_t: float, logsnr_end: float, steps: int) -> list[float]:
    """``steps`` + 1 log-SNRs evenly from ``logsnr_t`` up to ``logsnr_end``."""
    return [logsnr_t + (logsnr_end - logsnr_t) * k / steps for k in range(steps + 1)]


def mean(predict: Predict, z: Tensor, logsnr: float) -> Tensor:
    """x_hat = E[x|z_t], of the shape of z, one call."""
    t = z.new_tensor(logsnr)
    return to_x(z, t, predict(z, t), "eps")


def ancestral(predict: Predict, z: Tensor, logsnr: float, end: float, steps: int, noise: Iterator[Tensor]) -> Tensor:
    """x from a draw of z_end ~ p(.|z_t) in ``steps`` calls, and one more (DiffC-A). ``noise`` gives N(0, I) tensors."""
    times = levels(logsnr, end, steps)
    for now, then in itertools.pairwise(times):
        step = Step.between(z.new_tensor(now), z.new_tensor(then))
        z = step.mean(z, mean(predict, z, now)) + step.std * next(noise)
    return mean(predict, z, end)


def flow(predict: Predict, z: Tensor, logsnr: float, end: float, steps: int, order: int = 2) -> Tensor:
    """x at the end of the probability-flow ODE from z_t (DiffC-F), ``steps`` steps and one call for x_hat there.

    In y = z / alpha and the noise ratio n = sigma / alpha the ODE is dy/dn = eps_hat (DDIM); ``order`` 1 is Euler's
    method in n, 2 is Heun's (EDM, arXiv 2206.00364, algorithm 1), two calls a step.
    """

    def at(y: Tensor, logsnr: float) -> Tensor:
        t = y.new_tensor(logsnr)
        return predict(y * alpha(t), t)

    def ratio(logsnr: float) -> Tensor:
        t = z.new_tensor(logsnr)
        return sigma(t) / alpha(t)

    y = z / alpha(z.new_tensor(logsnr))
    slope = predict(z, z.new_tensor(logsnr))  # of z itself, which a caller may know by what it is
    times = levels(logsnr, end, steps)
    for now, then in itertools.pairwise(times):
        dn = ratio(then) - ratio(now)
        if order == 2:
            slope = (slope + at(y + dn * slope, then)) / 2
        y = y + dn * slope
        slope = at(y, then)
    return y - ratio(end) * slope


def multistep(predict: Predict, z: Tensor, times: Sequence[float], curvature: float = 1.0) -> Tensor:
    """x_hat at the last of the log-SNRs ``times``, of the shape of z, z being at the first: a call for each.

    DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): between two calls x_hat goes on as it changed before,
    ``curvature`` times as much as in the method of second order. More than 1 leads to more contrast: a network whose
    x_hat is smoother than E[x|z_t] makes pictures that are too smooth along its own probability-flow ODE.
    """
    x, before = mean(predict, z, times[0]), None
    for k, (now, then) in enumerate(itertools.pairwise(times)):
        t, s = z.new_tensor(now), z.new_tensor(then)
        on = x
        if before is not None:
            on = x + curvature / 2 * (then - now) / (now - times[k - 1]) * (x - before)
        shrink = sigma(s) / sigma(t)
        z, before = shrink * z + (alpha(s) - shrink * alpha(t)) * on, x
        x = mean(predict, z, then)
    return x


@dataclass(frozen=True)
class Multistep:
    """x at the end of the probability-flow ODE from z_t in a few calls, fitted to one network.

    On the way x_hat goes from E[x|z_t] to x. How it goes on is told from its first stretches: with x_hat_0 at z_t, and
    x_hat_k at log-SNRs ``ahead`` of it, x = x_hat_0 + sum_k w_k (x_hat_k - x_hat_0). Between them y = z / alpha takes
    linear multistep's steps in n = sigma / alpha: Euler's, then with the slope going on as it changed, ``curvature``
    times as much as in the second method of Adams and Bashforth. ``weights``: rows (log-SNR of z_t, w_1, ..., w_k),
    between which weights are interpolated, least squares to the answer of many calls (`models.shortcut`). So
    it is a solver like DPM-Solver++ (arXiv 2211.01095), of least error for this network in place of one order for all.

    Without ``ahead`` it is x_hat_0 alone: of a network whose x_hat is the answer, a student (arXiv 2202.00512).
    """

    ahead: tuple[float, ...]
    curvature: float
    weights: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, ahead: Sequence[float], curvature: float, weights: Sequence[Sequence[float]]) -> Multistep:
        """Of the numbers of a card. Raises ValueError for rows of other lengths."""
        if any(len(row) != 1 + len(ahead) for row in weights) or bool(weights) != bool(ahead):
            raise ValueError("its flow has weights for other calls than it makes")
        return cls(tuple(ahead), curvature, tuple(map(tuple, weights)))

    @property
    def calls(self) -> int:
        """Of the network."""
        return 1 + len(self.ahead)

    def estimates(self, predict: Predict, z: Tensor, logsnr: float, end: float) -> list[Tensor]:
        """x_hat_0, x_hat_1, ..., of the shape of z; steps are shortened in proportion where ``end`` is too near."""
        left = min(1.0, (end - logsnr) / max((*self.ahead, 1.0)))
        times = [logsnr, *(logsnr + ahead * left for ahead in self.ahead)]
        y, slopes, out = z / alpha(z.new_tensor(logsnr)), [predict(z, z.new_tensor(logsnr))], []
        n = [float(torch.tensor(-time / 2, dtype=torch.float64).exp()) for time in times]
        out.append(y - n[0] * slopes[0])
        for k, time in enumerate(times[1:]):
            slope = slopes[-1]
            if k:
                change = (n[k + 1] - n[k]) / (n[k] - n[k - 1])
                slope = slope + self.curvature / 2 * change * (slopes[-1] - slopes[-2])
            y = y + (n[k + 1] - n[k]) * slope
            slopes.append(predict(y * alpha(z.new_tensor(time)), z.new_tensor(time)))
            out.append(y - n[k + 1] * slopes[-1])
        return out

    def __call__(self, predict: Predict, z: Tensor, logsnr: float, end: float) -> Tensor:
        """x, of the shape of z."""
        first, *others = self.estimates(predict, z, logsnr, end)
        x = first
        for estimate, weight in zip(others, self._weights(logsnr), strict=True):
            x = x + weight * (estimate - first)
        return x

    def _weights(self, logsnr: float) -> list[float]:
        levels, *columns = zip(*self.weights, strict=True) if self.weights else [()]
        return [float(np.interp(logsnr, levels, column)) for column in columns]


def between(least: Tensor, real: Tensor, realism: float) -> Tensor:
    """(1 - realism) least + realism real, of the shape of both: from E[x|z_t], realism 0, to a real picture, 1.

    Its squared error is that of E[x|z_t] and realism^2 times what ``real`` adds, as E[x|z_t] errs by what nothing that
    is made of z_t tells. Where ``real`` has the pictures' distribution and the least error of all that have, no other
    estimate as near to them in Wasserstein-2 distance has less (arXiv 2107.02555, theorem 3).
    """
    return torch.lerp(least, real, realism)


# ---- reconstructions: (predict, z, logsnr, end, noise) -> x, by name

Sampler = Callable[[Predict, Tensor, float, float, Iterator[Tensor]], Tensor]
FLOW_STEPS, ANCESTRAL_STEPS = 8, 40  #: over eight units of log-SNR or more; fewer where less is left


def _steps(most: int, left: float) -> int:
    return max(1, math.ceil(most * min(1.0, left / 8)))


def _mean(predict: Predict, z: Tensor, logsnr: float, end: float, noise: Iterator[Tensor]) -> Tensor:
    return mean(predict, z, logsnr)


def ode(predict: Predict, z: Tensor, logsnr: float, end: float) -> Tensor:
    """:func:`flow` in FLOW_STEPS steps of second order, for any network."""
    return flow(predict, z, logsnr, end, _steps(FLOW_STEPS, end - logsnr))


def _flow(predict: Predict, z: Tensor, logsnr: float, end: float, noise: Iterator[Tensor]) -> Tensor:
    return ode(predict, z, logsnr, end)


def _ancestral(predict: Predict, z: Tensor, logsnr: float, end: float, noise: Iterator[Tensor]) -> Tensor:
    return ancestral(predict, z, logsnr, end, _steps(ANCESTRAL_STEPS, end - logsnr), noise)


#: the least squared error; DiffC-F; DiffC-A (arXiv 2206.08889, §2)
RECONSTRUCTIONS: dict[str, Sampler] = {"mean": _mean, "flow": _flow, "ancestral": _ancestral}
