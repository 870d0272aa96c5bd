"""A model's calibration, measured: the mean squared error of x_hat at every log-SNR, in pictures (VDM eq. 17)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...channel.noise import Key, Purpose, normals
from ...diffusion import samplers
from ...diffusion.process import diffuse
from ...models.calibration import BLOCK, LOSS, Calibration
from ...models.protocols import DiffusionModel
from ...runtime.errors import InputError
from ...runtime.progress import Progress, end
from .chain import as_images, as_planes
from .effort import EFFORT, EFFORTS
from .rate import last_density, psnr, stride
from .schedule import Pace, Schedule, schedule_of
from .spread import LN2, UNIT

SPACING = 0.5  #: of the levels in log-SNR
SIDE = 384  #: pixels; of larger pictures the middle
LEAST = 1e-9  #: mean square: an x_hat that is right


def measured(
    model: DiffusionModel, photos: Sequence[NDArray[np.uint8]], loss: float = LOSS, progress: Progress | None = None
) -> Calibration:
    """Of photographs uint8 (H, W, 1 or 3), of whose middles SIDE pixels a side are looked at; a call for each level.

    One noise serves all levels of a picture, so that what is told of its chance is alike. Raises InputError where there
    are none, and where the model says what is no number.
    """
    if not photos:
        raise InputError("expected a picture or more to calibrate on, found none")
    count = max(2, 1 + math.ceil((model.logsnr_max - model.logsnr_min) / SPACING))
    levels = np.linspace(model.logsnr_min, model.logsnr_max, count)
    found, kept = np.zeros((2, count)), 0.0
    for number, photo in enumerate(map(_middle, photos)):
        x = model.to_latent(as_images(photo))
        kept += 0.0 if model.pixels else psnr(as_planes(model.from_latent(x), photo.shape), photo) / len(photos)
        noise = torch.from_numpy(normals(Key(number, 0, Purpose.START), x.numel())).reshape(x.shape).to(x.device)
        for k, level in enumerate(levels.tolist()):
            z = diffuse(x, x.new_tensor(level), noise)
            error = (x - samplers.mean(model.predict, z, level)).double()
            found[:, k] += _squares(error.cpu())
            if progress:
                progress((number * count + k + 1) / (count * len(photos)))
    end(progress)
    if not np.isfinite(found).all():
        raise InputError(f"'{model.name}' answers with what is no number: it cannot be calibrated")
    whole, coarse = np.maximum(found / len(photos), LEAST).tolist()
    rising, ceiling = tuple(levels.tolist()), None if model.pixels else kept
    return Calibration(
        model.name, model.fingerprint, len(photos), loss, rising, tuple(whole), tuple(coarse), ceiling
    )


def _middle(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, side - SIDE) // 2 for side in photo.shape[:2])
    return photo[top : top + SIDE, left : left + SIDE]


def _squares(error: torch.Tensor) -> tuple[float, float]:
    """Mean squares of an error (1, C, h, w), and of its averages over blocks times the root of their points."""
    averages = F.avg_pool2d(error, BLOCK, ceil_mode=True, count_include_pad=False)
    h, w = (torch.full((side,), BLOCK) for side in averages.shape[2:])
    h[-1], w[-1] = ((side - 1) % BLOCK + 1 for side in error.shape[2:])
    points = torch.outer(h, w).double()
    return float(error.square().mean()), float((averages.square() * points).mean())


# ---- what it says


@dataclass(frozen=True)
class Interval:
    """Of the KL profile: bits a dimension told between two log-SNRs, and the mean square of x - x_hat there."""

    start: float
    end: float
    square: float
    bits: float


@dataclass(frozen=True)
class Plan:
    """Passes for a rate, in bits a dimension of x.

    end: log-SNR that it reaches. calls: of the network; over: bits beyond those of the best chain of any number of
    calls, as a share. positions: log-SNRs at which passes begin, and the end. plain_calls, plain_over: without the
    calibration.
    """

    rate: float
    end: float
    calls: int
    over: float
    positions: tuple[float, ...]
    plain_calls: int
    plain_over: float


def intervals(calibration: Calibration) -> list[Interval]:
    """The KL profile between whole log-SNRs: 1/2 mse dSNR / ln 2 (VDM eq. 17)."""
    levels, log = np.array(calibration.levels), np.log(calibration.whole)
    edges = np.unique([levels[0], *range(math.ceil(levels[0]), math.ceil(levels[-1])), levels[-1]])
    out = []
    for a, b in itertools.pairwise(edges.tolist()):
        at = np.linspace(a, b, 33)
        square = np.exp(np.interp(at, levels, log))
        density = square * np.exp(at) / (2 * LN2)
        out.append(Interval(a, b, float(square.mean()), float(((density[1:] + density[:-1]) / 2 * np.diff(at)).sum())))
    return out


def plans(
    calibration: Calibration, model: DiffusionModel, size: tuple[int, int], rates: Sequence[float], effort: int = EFFORT
) -> list[Plan]:
    """Passes of a picture (H, W) like the calibration's, at rates in bits a dimension of x, as far as it reaches."""
    units = [round(level / UNIT) for level in (model.logsnr_min, model.logsnr_max)]
    schedule = schedule_of(calibration.of(model), model.latent_shape(size), model.pixels, 3, *units)
    step, out = EFFORTS[effort].step, list[Plan]()
    for rate in rates:
        bits = rate * schedule.n
        if bits > schedule.least[-1]:
            break
        end = schedule.reached(bits)
        plain = partial(stride, step=step, last=last_density(schedule.n, bits))
        paths = [_walked(schedule, end, way) for way in (Pace(schedule, end, EFFORTS[effort]).stride, plain)]
        over = [schedule.told(path)[end] / schedule.least[end] - 1 for path in paths]
        positions = tuple(float(schedule.levels[k] * UNIT) for k in paths[0])
        out.append(Plan(rate, positions[-1], len(paths[0]) - 1, over[0], positions, len(paths[1]) - 1, over[1]))
    return out


def _walked(schedule: Schedule, end: int, way: Callable[[int, float], int]) -> list[int]:
    """Levels at which passes begin of a picture that errs as the calibration's do, and the last one."""
    path = [0]
    while path[-1] < end:
        now = path[-1]
        units = int(schedule.levels[now]) + way(int(schedule.levels[now]), schedule.n * float(schedule.whole[now]))
        further = min(max(now + 1, schedule.level(units * UNIT)), end, schedule.furthest(now))
        path.append(further)
    return path
