"""The Gaussians of a bits-back chain, on the grids of its latents."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import torch

from ...diffusion.process import signal
from ...entropy import window
from ...models.protocols import DiffusionModel
from ...runtime.decimals import decimals
from ..diffc.remainder import means
from .schedule import MSE_UNIT, Schedule, check_model

FINENESS = 4.0  #: cells of a latent's grid per standard deviation
_LN2 = Decimal("0.693147180559945309417232121458")


class Chain:
    """The Gaussians of every step, on the latents' grids: q for the sender's pops, p for its pushes.

    Its numbers come from `decimal`, square roots and single operations in double, so an exact network makes an exact
    codec. Latents are int64 (n,), grid points of a batch; ``shape`` is that of its x. Without a model there is no p.

    Raises ModelMismatch for a model of something else than pixels of pictures of any size.
    """

    def __init__(self, model: DiffusionModel | None, schedule: Schedule):
        if model is not None:
            check_model(model)
        self.model, self.T, self.units = model, schedule.steps, schedule.units
        self.alpha, self.sigma = zip(*(signal(u) for u in self.units), strict=True)
        with decimals(28):
            mse = [_exp(-schedule.log2_mse(u) * _LN2 / MSE_UNIT) for u in self.units]
        # z_{i+1} -> z_i, VDM eqs. 24-28 (`diffusion.process.Step`); keep = SNR_{i+1} / SNR_i
        with decimals(28):
            pairs = [(i, _exp(Decimal(self.units[i + 1] - self.units[i]) / 1024)) for i in range(self.T)]
        self.a = [keep * self.alpha[i] / self.alpha[i + 1] for i, keep in pairs]
        self.b = [(1 - keep) * self.alpha[i] for i, keep in pairs]
        self.std = [math.sqrt(1 - keep) * self.sigma[i] for i, keep in pairs]
        # standard deviations of p(z_i|z_{i+1}) with that of x, and of p(z_T)
        wide = zip(self.std, self.b, mse[1:], strict=True)
        self.p_std = [*(math.sqrt(std * std + b * b * e) for std, b, e in wide), 1.0]
        self.scale = schedule.scale
        # q(z_{i+1}|z_i) = N(keep z_i, std^2), VDM eqs. 20 and 22
        self.q_std = [self.sigma[0], *(math.sqrt(1 - keep) * self.sigma[i + 1] for i, keep in pairs)]
        self.cell = [min(q, p) / FINENESS for q, p in zip(self.q_std, self.p_std, strict=True)]
        widths = [std / cell for stds in (self.q_std, self.p_std) for std, cell in zip(stds, self.cell, strict=True)]
        self.narrow = max(widths) <= window.WIDEST  # else windows have no table

    def q_first(self, x: np.ndarray) -> np.ndarray:
        """Means of q(z_0|x), int64 (n,) in 1/64 of a cell, of x float64 (n,)."""
        return _whole(x * (64 * self.alpha[0] / self.cell[0]))

    def q_next(self, z: np.ndarray, i: int) -> np.ndarray:
        """Means of q(z_{i+1}|z_i), int64 (n,) in 1/64 of a cell."""
        factor = 64 * self.alpha[i + 1] / self.alpha[i] * self.cell[i] / self.cell[i + 1]
        return _whole(z * factor)

    def x_hat(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(z_i, E[x|z_i]), float64 (n,), of grid points."""
        assert self.model is not None
        real = (z * self.cell[i]).astype(np.float32)
        given = torch.from_numpy(real).reshape(shape).to(self.model.device)
        return real.astype(np.float64), self.model.x_hat(given, self.units[i]).cpu().numpy().ravel()

    def p(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> np.ndarray:
        """Means of z_i given z_{i+1} by the model, int64 (n,) in 1/64 of a cell."""
        real, x_hat = self.x_hat(z, i + 1, shape)
        mean = self.a[i] * real + self.b[i] * x_hat
        return _whole(np.clip(mean, -1e3, 1e3) * (64 / self.cell[i]))

    def px(self, z: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Means in 1/64 of a level, and scales, int64 (n,), of p(x|z_0) for `entropy.gaussian`."""
        mean64 = means(self.x_hat(z, 0, shape)[1])
        return mean64, np.full(mean64.size, self.scale)


def _whole(values: np.ndarray) -> np.ndarray:
    """The nearest integers, int64."""
    out: np.ndarray = np.rint(values).astype(np.int64)
    return out


def _exp(value: Decimal) -> float:
    with decimals(30):
        return float(value.exp())
