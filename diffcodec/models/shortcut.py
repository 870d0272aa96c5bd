"""The few calls of a model's `flow` (`diffusion.samplers.Multistep`), fitted to the answer of the long way of 17."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..diffusion.process import diffuse
from ..diffusion.samplers import Multistep, ode
from .protocols import DiffusionModel


def least_squares(changes: list[Tensor], wanted: Tensor) -> tuple[list[float], float]:
    """Weights of ``changes`` (N, ...) for their sum to be ``wanted`` (N, ...), and what is left, in dB of it.

    The error of each of N relative to its own ``wanted``.
    """
    sizes = wanted.flatten(1).norm(dim=1, keepdim=True)
    rows, target = (
        torch.stack([(one.flatten(1) / sizes).flatten().double() for one in many]) for many in (changes, [wanted])
    )
    weights = torch.linalg.solve(rows @ rows.T, rows @ target[0])
    left = target[0] - weights @ rows
    return weights.tolist(), -10 * math.log10(float(left.square().sum()) / len(wanted))


def fit(
    model: DiffusionModel, x: Tensor, levels: Sequence[float], ahead: Sequence[float], curvature: float, seed: int = 0
) -> Iterator[tuple[float, list[float], float]]:
    """(log-SNR, weights, how near they come in dB of what 17 calls add to E[x|z_t]) for each of the levels.

    Of z_t ~ q(z_t|x) with x float32 (N, C, h, w), as of `DiffusionModel.to_latent`; each of N relative to what its
    answer adds, so that pictures of little texture count as much as others.
    """
    solver = Multistep.of(ahead, curvature, [[0.0] * (1 + len(ahead))])
    for level in levels:
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        z = diffuse(x, x.new_tensor(float(level)), noise.to(x.device))
        first, *others = solver.estimates(model.predict, z, level, model.logsnr_max)
        answer = ode(model.predict, z, level, model.logsnr_max)
        yield level, *least_squares([one - first for one in others], answer - first)
