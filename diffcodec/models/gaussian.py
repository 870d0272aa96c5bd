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

from ..runtime.errors import InputError
from .condition import Condition, Observed, check
from .denoiser import Denoiser
from .gaussian_pictures import noise
from .operators import Box, counted

LN2 = math.log(2)


@dataclass(frozen=True)
class GaussianModel(Denoiser):
    """``variance`` float64 (n,): eigenvalues of the covariance, all positive. x and z are (..., n), in its basis.

    As a provider it takes pictures n wide: every row of each colour is a draw.
    """

    variance: np.ndarray
    name: str = "gaussian"
    logsnr_min: float = -20.0
    logsnr_max: float = 20.0

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the variances."""
        return hashlib.sha256(np.ascontiguousarray(self.variance, "<f8").tobytes()).digest()

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """(3, H, n) of a picture (H, n). Raises InputError for another width."""
        if shape[1] != len(self.variance):
            raise InputError(f"'{self.name}' takes pictures {len(self.variance)} wide, found {shape[1]}")
        return super().latent_shape(shape)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat = E[eps|z] = sigma z / (alpha^2 variance + sigma^2), exact, of the shape (..., n) of z."""
        v = torch.as_tensor(self.variance, dtype=z.dtype, device=z.device)
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


class WhitePictures(Denoiser):
    """Pixels that are independent N(0, variance) in [-1, 1], as a provider of `diffc` and `vdm` with the exact score.

    A network in microseconds that can be written down in a line: the test model of bitstream_spec/NETWORKS.md.
    """

    name = "white"
    fingerprint = hashlib.sha256(b"white").digest()
    logsnr_min, logsnr_max = -8.0, 13.5

    def __init__(self, variance: float = 0.3):
        self.variance = variance

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat = sigma z / (alpha^2 variance + sigma^2), of the shape of z."""
        a2, s2 = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
        return s2.sqrt() * z / (a2 * self.variance + s2)


class WhiteInBoxes(WhitePictures):
    """`WhitePictures` that may be given averages of boxes, once: a conditional that can be written down in two lines.

    Of n pixels of a box, of which y is the average with a noise of variance R, the average is N(g y, (1 - g)
    variance / n), g = variance / (variance + n R), and the rest is as it was.
    """

    takes = frozenset({"box"})

    def given(self, condition: Condition) -> WhitePictures:
        """Those pictures of which the averages were observed, with their rounding. Raises InputError for all else."""
        check(self, condition)
        assert isinstance(condition, Observed)
        return _GivenBoxes(self.variance, condition)


class _GivenBoxes(WhitePictures):
    def __init__(self, variance: float, condition: Observed):
        super().__init__(variance)
        assert isinstance(condition.operator, Box)
        self.k, self.R = condition.operator.k, noise(condition)
        y = torch.from_numpy(condition.samples / 127.5 - 1).permute(2, 0, 1)[None]
        self.y = y.expand(1, 3, *y.shape[2:])  # grey stands as three equal planes

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """As `WhitePictures.predict`, but about alpha g y, and with the variance of the average in its direction."""
        H, W = z.shape[2:]
        n = torch.from_numpy(counted((H, W), self.k)[..., 0])
        if self.y.shape[2:] != n.shape:
            raise InputError(f"what was given has boxes of {tuple(self.y.shape[2:])}, the picture {tuple(n.shape)}")
        g = (self.variance / (self.variance + n * self.R)).to(z)
        a2, s2 = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
        average = torch.nn.functional.avg_pool2d(z, self.k, ceil_mode=True)
        along = (average - a2.sqrt() * g * self.y.to(z)) / (a2 * (1 - g) * self.variance + s2)
        rest = (z - self._spread(average, H, W)) / (a2 * self.variance + s2)
        return s2.sqrt() * (rest + self._spread(along, H, W))

    def _spread(self, boxes: Tensor, H: int, W: int) -> Tensor:
        """(N, 3, H, W) of (N, 3, h, w): what stands for a box at every pixel of it."""
        return boxes.repeat_interleave(self.k, 2).repeat_interleave(self.k, 3)[..., :H, :W]
