"""The log-SNRs of a bits-back chain, and the model's errors at them: measured once, sent with the archive."""

from __future__ import annotations

import bisect
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...channel.noise import Key, Purpose, normals
from ...diffusion import samplers
from ...diffusion.process import signal
from ...entropy import gaussian
from ...models.environment import numerics_of
from ...models.protocols import DiffusionModel
from ...runtime.errors import CorruptStream, InputError, ModelMismatch
from ..diffc.remainder import LEVELS, means, scale_index

STEPS = 100
MAX_STEPS = 2000
MAX_UNITS = 2**15 + MAX_STEPS  #: of a log-SNR: knots have 16 bits, and steps are moved apart where they coincide
LAST = 11.5  #: log-SNR of z_0: where telling x by a Gaussian about x_hat is about as cheap as going on
UNIT = 1 / 1024  #: of log-SNRs
MSE_UNIT = 256  #: of log2(mse) in the profile
_KNOTS = 24  # of the profile
_PROBE_PIXELS = 65536  # that the profile is measured on


@dataclass(frozen=True)
class Schedule:
    """The log-SNRs of z_0, ..., z_T, a profile of the model's errors, p(x|z_0)'s scale; all go into the stream.

    units: log-SNRs in units, falling.  knots: log-SNRs in units, rising.
    mse: -256 log2 E (x - x_hat)^2 at each knot, x in [-1, 1].  scale: of p(x|z_0), an index of `entropy.gaussian`.
    """

    units: tuple[int, ...]
    knots: tuple[int, ...]
    mse: tuple[int, ...]
    scale: int

    @property
    def steps(self) -> int:
        """T."""
        return len(self.units) - 1

    @classmethod
    def placed(cls, steps: int, knots: tuple[int, ...], mse: tuple[int, ...], scale: int) -> Schedule:
        """Steps from the first to the last knot, where the profile says that they are worth most.

        A step of width d from t loses d^2 SNR |d mse / d logsnr| / 2 nats against the integral of VDM eq. 17, so the
        density of steps goes with the root of that.
        """
        fine = np.linspace(knots[0], knots[-1], 4096) * UNIT
        errors = np.exp2(np.interp(fine, UNIT * np.array(knots), np.array(mse) / -MSE_UNIT))
        middle = (fine[1:] + fine[:-1]) / 2
        slope = np.maximum(errors[:-1] - errors[1:], 1e-12) / np.diff(fine)
        density = np.sqrt(np.exp(middle) * slope)
        density = np.maximum(density, 0.02 * density.max())
        mass = np.concatenate([[0.0], np.cumsum(density * np.diff(fine))])
        even = np.interp(np.linspace(0, mass[-1], steps + 1), mass, fine)
        units = np.rint(even / UNIT).astype(np.int64)
        units = np.maximum.accumulate(units - np.arange(steps + 1)) + np.arange(steps + 1)  # distinct
        return cls(tuple(int(u) for u in units[::-1]), knots, mse, scale)

    def log2_mse(self, units: int) -> int:
        """-256 log2 of the error at a log-SNR, linear between the knots, in integers."""
        k = min(max(bisect.bisect_right(self.knots, units) - 1, 0), len(self.knots) - 2)
        (a, b), (low, high) = self.knots[k : k + 2], self.mse[k : k + 2]
        return low + (high - low) * (min(max(units, a), b) - a) // (b - a)

    def bound(self, energy: float) -> float:
        """Bits a sample that the steps take, and the prior, of pictures with E x^2 = ``energy`` (VDM eq. 13, 15)."""
        nats = 0.0
        for here, there in pairwise(self.units):
            keep = math.exp((there - here) * UNIT)
            alpha, sigma = signal(here)
            b2, variance = ((1 - keep) * alpha) ** 2, (1 - keep) * sigma**2
            nats += math.log1p(b2 * 2 ** (-self.log2_mse(there) / MSE_UNIT) / variance) / 2
        alpha, sigma = signal(self.units[-1])
        nats += (alpha**2 * energy + sigma**2 - 1 - 2 * math.log(sigma)) / 2
        return nats / math.log(2)

    def to_bytes(self) -> bytes:
        """T, scale, number of knots, knots and errors, 16 bits each; z_0's log-SNR, 32 bits; deflated steps."""
        head = np.array([self.steps, self.scale, len(self.knots)], "<u2").tobytes()
        profile = np.array([*self.knots, *self.mse], "<i2").tobytes()
        steps = zlib.compress((-np.diff(self.units)).astype("<u2").tobytes(), 9)
        first = np.array([self.units[0], len(steps)], "<i4").tobytes()
        return head + profile + first + steps

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[Schedule, bytes]:
        """(schedule, bytes behind it). Raises CorruptStream."""
        damaged = CorruptStream("the diffusion schedule of the archive is damaged")
        if len(data) < 6:
            raise damaged
        T, scale, n = (int(v) for v in np.frombuffer(data[:6], "<u2"))
        at = 6 + 4 * n
        if not 1 <= T <= MAX_STEPS or scale > gaussian.MAX_SCALE or not 2 <= n <= 256 or len(data) < at + 8:
            raise damaged
        fields = [int(v) for v in np.frombuffer(data[6:at], "<i2")]
        knots, mse = tuple(fields[:n]), tuple(fields[n:])
        first, size = (int(v) for v in np.frombuffer(data[at : at + 8], "<i4"))
        engine = zlib.decompressobj()
        try:
            raw = engine.decompress(data[at + 8 : at + 8 + max(0, size)], 2 * T + 1)
        except zlib.error:
            raise damaged from None
        steps = np.frombuffer(raw, "<u2").astype(np.int64) if len(raw) == 2 * T else np.zeros(1, np.int64)
        rising = all(a < b for a, b in pairwise(knots))
        if not engine.eof or engine.unused_data or steps.min() < 1 or not rising or min(mse) < -2560:
            raise damaged
        units = first - np.concatenate([[0], np.cumsum(steps)])
        if max(abs(first), abs(int(units[-1]))) > MAX_UNITS:
            raise damaged
        return cls(tuple(int(u) for u in units), knots, mse, scale), data[at + 8 + size :]


def check_model(model: DiffusionModel) -> None:
    """Raises ModelMismatch for a model that bits-back does not code with: a latent one, one of sizes of its own."""
    if not (model.pixels and model.grid == 1):
        raise ModelMismatch(f"archives are coded by models of pixels of any size, which '{model.name}' is not")


def measure(photos: Sequence[np.ndarray], model: DiffusionModel, steps: int) -> Schedule:
    """The schedule for pictures like ``photos``, uint8 (H, W, 3) each: the model's errors on them, at 24 log-SNRs.

    Raises InputError, ModelMismatch.
    """
    return measured(photos, model, steps)[0]


def measured(photos: Sequence[np.ndarray], model: DiffusionModel, steps: int) -> tuple[Schedule, float]:
    """(the schedule of :func:`measure`, bits that a chain takes of the pictures it was measured on, by its bound).

    Raises InputError, ModelMismatch.
    """
    check_model(model)
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected 1 to {MAX_STEPS} diffusion steps, found {steps}")
    top = min(LAST, model.logsnr_max)
    knots = np.unique(np.rint(np.linspace(model.logsnr_min, top, _KNOTS) / UNIT).astype(int))
    squared, count, energy = np.zeros(len(knots)), 0, 0.0
    last: list[tuple[np.ndarray, np.ndarray]] = []  # levels, and means at z_0
    with numerics_of(model):
        for number, photo in enumerate(photos):
            if count and count + photo.size > 3 * _PROBE_PIXELS:
                break
            count += photo.size
            x = model.to_latent(as_images(photo[None]))
            energy += float(x.double().square().sum())
            eps = torch.from_numpy(normals(Key(number, 0, Purpose.PROBE), x.numel())).reshape(x.shape).to(x.device)
            for k, knot in enumerate(knots):
                a, s = signal(int(knot))
                x_hat = samplers.mean(model.predict, a * x + s * eps, float(knot) * UNIT)
                squared[k] += float((x - x_hat).double().square().sum())
            last.append((photo.transpose(2, 0, 1).ravel(), means(x_hat.double().cpu().numpy())))
    mse = np.minimum.accumulate(np.maximum(squared / max(count, 1), 1e-9))
    profile = tuple(int(v) for v in np.rint(-MSE_UNIT * np.log2(mse)))
    levels, mean64 = (np.concatenate(part) for part in zip(*last, strict=True))
    scale = best_scale(levels, mean64)
    schedule = Schedule.placed(steps, tuple(int(k) for k in knots), profile, scale)
    return schedule, count * schedule.bound(energy / max(count, 1)) + _told_bits(levels, mean64, scale)


def best_scale(levels: np.ndarray, mean64: np.ndarray) -> int:
    """The scale that codes uint8 (n,) for the fewest bits, given means (n,) in 1/64 of a level.

    Smaller than their distance tells: levels are whole, and the mass of a cell counts the width of the cell as well.
    """
    symbols = levels.astype(np.int64)
    widest = scale_index(float(np.sqrt(np.square(symbols - mean64 / 64).mean())))
    return min(range(max(0, widest - 48), widest + 1), key=lambda scale: _told_bits(symbols, mean64, scale))


def _told_bits(levels: np.ndarray, mean64: np.ndarray, scale: int) -> float:
    """Of all samples, told at this scale about their means."""
    symbols = levels.astype(np.int64)
    freqs = gaussian.intervals(symbols, mean64, np.full(len(symbols), scale), LEVELS)[1]
    return -float(np.log2(freqs / 2.0**24).sum())


def as_images(photos: np.ndarray) -> Tensor:
    """uint8 (N, 3, H, W) of pictures uint8 (N, H, W, 3)."""
    return torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2)))
