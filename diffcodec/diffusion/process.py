"""q(z_t|x), q(z_s|z_t,x) and p(z_s|z_t) of the variance-preserving diffusion (VDM, arXiv 2107.00630, §2 and app. A).

Times are log-SNR values, ``logsnr = log alpha^2 / sigma^2`` (-gamma in VDM): s < t in time is ``logsnr_s > logsnr_t``.
All functions take and give torch tensors; log-SNRs are tensors that broadcast against z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import torch
from torch import Tensor

from ..runtime.decimals import decimals

LN2 = math.log(2)


def alpha(logsnr: Tensor) -> Tensor:
    """alpha_t = sqrt(sigmoid(logsnr)), so that alpha^2 + sigma^2 = 1, of the shape of ``logsnr`` (VDM eq. 4)."""
    return torch.sigmoid(logsnr).sqrt()


def sigma(logsnr: Tensor) -> Tensor:
    """sigma_t = sqrt(sigmoid(-logsnr)), of the shape of ``logsnr`` (VDM eq. 3)."""
    return torch.sigmoid(-logsnr).sqrt()


@lru_cache(maxsize=4096)
def signal(units: int) -> tuple[float, float]:
    """(alpha, sigma) at log-SNR ``units``/1024, the same doubles on any machine."""
    with decimals(40):
        e = (Decimal(units) / 1024).exp()
        return float((e / (1 + e)).sqrt()), float((1 / (1 + e)).sqrt())


def diffuse(x: Tensor, logsnr: Tensor, eps: Tensor) -> Tensor:
    """A sample of q(z_t|x) = N(alpha_t x, sigma_t^2 I) from unit noise ``eps`` (VDM eq. 1)."""
    return alpha(logsnr) * x + sigma(logsnr) * eps


@dataclass(frozen=True)
class Prediction:
    """What a network is asked for, between z, alpha, sigma of its log-SNR and x; all of the shape of z, or scalars.

    to_x: (z, alpha, sigma, prediction) -> x_hat. from_x: (z, alpha, sigma, x) -> what it says when its x_hat is x.
    """

    to_x: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    from_x: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


#: by kind: x; eps; v = alpha eps - sigma x (Salimans & Ho 2022, §4); flow = eps - x, the velocity of y = (1 - t) x +
#: t eps = z / (alpha + sigma) (rectified flow, arXiv 2209.03003, of which t = sigma / (alpha + sigma))
PREDICTIONS: dict[str, Prediction] = {
    "x": Prediction(
        lambda z, alpha, sigma, x: x,
        lambda z, alpha, sigma, x: x,
    ),
    "eps": Prediction(
        lambda z, alpha, sigma, eps: (z - sigma * eps) / alpha,
        lambda z, alpha, sigma, x: (z - alpha * x) / sigma,
    ),
    "v": Prediction(
        lambda z, alpha, sigma, v: alpha * z - sigma * v,
        lambda z, alpha, sigma, x: (alpha * z - x) / sigma,
    ),
    "flow": Prediction(
        lambda z, alpha, sigma, u: (z - sigma * u) / (alpha + sigma),
        lambda z, alpha, sigma, x: (z - (alpha + sigma) * x) / sigma,
    ),
}


def to_x(z: Tensor, logsnr: Tensor, prediction: Tensor, kind: str) -> Tensor:
    """x_hat from a network's prediction of a ``kind`` of PREDICTIONS, all of the shape of z.

    Raises ValueError for another kind.
    """
    return _of(kind).to_x(z, alpha(logsnr), sigma(logsnr), prediction)


def from_x(z: Tensor, logsnr: Tensor, x: Tensor, kind: str) -> Tensor:
    """What a network of a ``kind`` of PREDICTIONS predicts when its x_hat is ``x``; the mirror of :func:`to_x`.

    Raises ValueError for another kind.
    """
    return _of(kind).from_x(z, alpha(logsnr), sigma(logsnr), x)


def _of(kind: str) -> Prediction:
    if kind not in PREDICTIONS:
        raise ValueError(f"expected a prediction of {', '.join(PREDICTIONS)}, found {kind!r}")
    return PREDICTIONS[kind]


@dataclass(frozen=True)
class Step:
    """One step z_t -> z_s: q(z_s|z_t,x) = N(a z_t + b x, std^2 I) (VDM eqs. 24-28). p(z_s|z_t) has x_hat for x.

    a = alpha_{t|s} sigma_s^2 / sigma_t^2, b = alpha_s sigma_{t|s}^2 / sigma_t^2, std = sigma_{t|s} sigma_s / sigma_t.
    """

    a: Tensor
    b: Tensor
    std: Tensor

    @classmethod
    def between(cls, logsnr_t: Tensor, logsnr_s: Tensor) -> Step:
        """The step from ``logsnr_t`` to a larger ``logsnr_s`` of its shape. Raises ValueError if it is not larger."""
        if not bool((logsnr_s > logsnr_t).all()):
            raise ValueError("a denoising step must raise the log-SNR")
        keep = torch.exp(logsnr_t - logsnr_s)  # SNR_t / SNR_s; sigma_{t|s}^2 / sigma_t^2 = 1 - keep
        gain = -torch.expm1(logsnr_t - logsnr_s)
        # alpha_{t|s} sigma_s^2 / sigma_t^2 = (alpha_t / alpha_s) (sigma_s / sigma_t)^2 = keep alpha_s / alpha_t
        return cls(keep * alpha(logsnr_s) / alpha(logsnr_t), gain * alpha(logsnr_s), gain.sqrt() * sigma(logsnr_s))

    def mean(self, z: Tensor, x: Tensor) -> Tensor:
        """Mean of z_s given z_t and x, or x_hat, of the same shape."""
        return self.a * z + self.b * x

    def shift(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """mu = (mean of q - mean of p) / std: what reverse-channel coding is to send a sample of N(mu, I) for."""
        return self.b / self.std * (x - x_hat)

    def kl(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """KL(q || p) in bits, float64 (), summed over all elements: |mu|^2 / (2 ln 2) (VDM eq. 41)."""
        return self.shift(x, x_hat).double().square().sum() / (2 * LN2)


def information(mse: Tensor, logsnr: Tensor) -> Tensor:
    """Bits per dimension spent up to each log-SNR: 1/2 int SNR mmse dlogsnr / ln 2 by trapezoids (VDM eq. 17).

    ``mse`` (T,): E (x - x_hat)^2 per dimension at the increasing ``logsnr`` (T,); -> (T,), the first 0.
    """
    bits = torch.cumulative_trapezoid(mse.double() * logsnr.double().exp(), logsnr.double()) / (2 * LN2)
    return torch.cat([bits.new_zeros(1), bits])
