"""The multivariate Gaussian as a diffusion model with the exact score: every curve of DiffC has a closed form on it.

x ~ N(0, diag(variance)): any covariance, in the basis of its eigenvectors. For z_t = alpha x + sigma eps, E[x|z] =
alpha variance / (alpha^2 variance + sigma^2) z in each component.
Rates are bits per dimension, distortions mean squared errors (DiffC, arXiv 2206.08889, §4 and app. A).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LN2 = math.log(2)


@dataclass(frozen=True)
class GaussianModel:
    """``variance`` float64 (n,): eigenvalues of the covariance, all positive. x and z are (..., n), in its basis."""

    variance: np.ndarray
    name: str = "gaussian"
    numerics: int = 2
    logsnr_min: float = -20.0
    logsnr_max: float = 20.0

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the variances."""
        return hashlib.sha256(np.ascontiguousarray(self.variance, "<f8").tobytes()).digest()

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat = E[eps|z] = sigma z / (alpha^2 variance + sigma^2), exact."""
        v = torch.as_tensor(self.variance, dtype=z.dtype)
        a2, s2 = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
        return s2.sqrt() * z / (a2 * v + s2)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` draws of x, float64 (count, n)."""
        eps = torch.randn(count, len(self.variance), generator=generator, dtype=torch.float64)
        return eps * torch.as_tensor(self.variance).sqrt()

    def rate(self, logsnr: float) -> float:
        """I(x; z_t): mean of 1/2 log2(1 + SNR variance)."""
        return float(np.log2(1 + math.exp(logsnr) * self.variance).mean() / 2)

    def mean_distortion(self, logsnr: float) -> float:
        """E (x - E[x|z])^2: mean of variance / (1 + SNR variance)."""
        return float((self.variance / (1 + math.exp(logsnr) * self.variance)).mean())

    def ancestral_distortion(self, logsnr: float) -> float:
        """A posterior draw errs twice: 2 E (x - E[x|z])^2 (DiffC-A)."""
        return 2 * self.mean_distortion(logsnr)

    def flow_distortion(self, logsnr: float) -> float:
        """The ODE maps z to x_hat = z sqrt(variance / (alpha^2 variance + sigma^2)) (DiffC-F).

        x_hat has the variance of x and covariance r with it, so the error is 2 (variance - r).
        """
        v, a2 = self.variance, 1 / (1 + math.exp(-logsnr))
        total = a2 * v + (1 - a2)
        return float((2 * v * (1 - np.sqrt(a2 * v / total))).mean())

    def bound(self, rate: float) -> float:
        """Distortion of reverse water-filling at ``rate`` bits per dimension (Cover & Thomas, theorem 10.3.3)."""

        def spent(water: float) -> float:
            return float(np.log2(np.maximum(self.variance / water, 1)).mean() / 2)

        low, high = 1e-300, float(self.variance.max())
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if spent(middle) > rate else (low, middle)
        return float(np.minimum(self.variance, high).mean())
