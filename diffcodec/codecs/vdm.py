"""VDM bits-back (arXiv 2107.00630 §5.4 and app. N; Bit-Swap, arXiv 1905.06845): many pictures without loss.

The chain z_0, ..., z_T of log-SNRs that fall is a latent-variable model of the picture. The sender pops its latents
from the stack of all that was coded before, by q, and pushes them again by p:

    q(z_0|x), then for i = 0..T-1: q(z_{i+1}|z_i)        bits that come back to the receiver
    p(x|z_0), p(z_i|z_{i+1}), at last p(z_T)              bits that are spent

so that a picture costs its variational bound. The forward process q(z_{i+1}|z_i) does not know x, so a latent is
pushed as soon as the next one is popped, and only z_0 and z_1 have to be there before: the initial bits. Whatever lies
on the stack serves: the caller starts it with pictures that another codec made.

Latents lie on a grid of their own step, 1/4 of the narrower Gaussian they are coded with. p(z_i|z_{i+1}) has the
variance of q(z_i|z_{i+1}, x) and that of x about x_hat, which a profile of the model's errors in the stream tells:
what the bound gains by it grows as T falls.

With a network in integers (`models.unet_exact`) the codec is exact: any machine decodes what any other encoded. With a
float network it is pinned: sender and receiver must be one kind of machine, on one thread, with the stream's batches.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import torch
from torch import Tensor

from ..channel.noise import Key, normals
from ..diffusion import samplers
from ..diffusion.process import signal
from ..entropy import gaussian, window
from ..entropy.stack import AnsStack
from ..errors import CorruptStream, InputError
from ..models.provider import EXACT, DiffusionModel, MaskedModel
from .remainder import LEVELS, environment, means, scale_index

Progress = Callable[[float], None]
__all__ = ["Schedule", "batches", "decode", "encode", "environment", "measure", "numerics_of"]

STEPS = 100
MAX_STEPS = 2000
LAST = 11.5  #: log-SNR of z_0: where telling x by a Gaussian about x_hat is about as cheap as going on
UNIT = 1 / 1024  #: of log-SNRs
FINENESS = 4.0  #: cells of a latent's grid per standard deviation
BATCH_PIXELS = 8192  #: of a network call
MAX_BATCH_PIXELS = 2**21  #: of a network call, unless it is of one picture: what a reader must have the memory for
INITIAL_BITS = 11.0  #: per sample, with which a chain may begin
_KNOTS = 24  # of the profile
_MSE_UNIT = 256  # of log2(mse) in the profile
_PROBE_PIXELS = 65536  # that the profile is measured on
_PROBE = 5  # purpose of its noise
_LN2 = Decimal("0.693147180559945309417232121458")
_SENTINEL = b"\1"  # above the initial bits, which may end in zeros


# ---- what sender and receiver agree on


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
        return len(self.units) - 1

    @classmethod
    def placed(cls, steps: int, knots: tuple[int, ...], mse: tuple[int, ...], scale: int) -> Schedule:
        """Steps from the first to the last knot, where the profile says that they are worth most.

        A step of width d from t loses d^2 SNR |d mse / d logsnr| / 2 nats against the integral of VDM eq. 17, so the
        density of steps goes with the root of that.
        """
        fine = np.linspace(knots[0], knots[-1], 4096) * UNIT
        errors = np.exp2(np.interp(fine, UNIT * np.array(knots), np.array(mse) / -_MSE_UNIT))
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
        rising = all(a < b for a, b in zip(knots, knots[1:], strict=False))
        if not engine.eof or steps.min() < 1 or not rising or abs(first) > 2**20 or min(mse) < -2560:
            raise damaged
        units = first - np.concatenate([[0], np.cumsum(steps)])
        return cls(tuple(int(u) for u in units), knots, mse, scale), data[at + 8 + size :]


def measure(photos: Sequence[np.ndarray], model: DiffusionModel, steps: int) -> Schedule:
    """The schedule for pictures like these: the model's errors on them, at 24 log-SNRs. Raises InputError."""
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected 1 to {MAX_STEPS} diffusion steps, found {steps}")
    top = min(LAST, model.logsnr_max)
    knots = np.unique(np.rint(np.linspace(model.logsnr_min, top, _KNOTS) / UNIT).astype(int))
    squared, count = np.zeros(len(knots)), 0
    last: list[tuple[np.ndarray, np.ndarray]] = []  # levels, and means at z_0
    with numerics_of(model):
        for number, photo in enumerate(photos):
            if count and count + photo.size > 3 * _PROBE_PIXELS:
                break
            count += photo.size
            x = model.to_latent(_as_images(photo[None]))
            eps = torch.from_numpy(normals(Key(number, 0, _PROBE), x.numel())).reshape(x.shape).to(x.device)
            for k, knot in enumerate(knots):
                a, s = signal(int(knot))
                x_hat = samplers.mean(model.predict, a * x + s * eps, float(knot) * UNIT)
                squared[k] += float((x - x_hat).double().square().sum())
            last.append((photo.transpose(2, 0, 1).ravel(), means(x_hat.double().cpu().numpy())))
    mse = np.minimum.accumulate(np.maximum(squared / max(count, 1), 1e-9))
    profile = tuple(int(v) for v in np.rint(-_MSE_UNIT * np.log2(mse)))
    scale = best_scale(*(np.concatenate(part) for part in zip(*last, strict=True)))
    return Schedule.placed(steps, tuple(int(k) for k in knots), profile, scale)


def best_scale(levels: np.ndarray, mean64: np.ndarray) -> int:
    """The scale that codes uint8 (n,) for the fewest bits, given means (n,) in 1/64 of a level.

    Smaller than their distance tells: levels are whole, and the mass of a cell counts the width of the cell as well.
    """
    symbols = levels.astype(np.int64)
    widest = scale_index(float(np.sqrt(np.square(symbols - mean64 / 64).mean())))

    def bits(scale: int) -> float:
        freqs = gaussian.intervals(symbols, mean64, np.full(len(symbols), scale), LEVELS)[1]
        return -float(np.log2(freqs / 2.0**24).sum())

    return min(range(max(0, widest - 48), widest + 1), key=bits)


class _Chain:
    """The Gaussians of every step, on the latents' grids: q for the sender's pops, p for its pushes.

    Its numbers come from `decimal`, square roots and single operations in double, so an exact network makes an exact
    codec.
    """

    def __init__(self, model: DiffusionModel, schedule: Schedule):
        self.model, self.T, self.units = model, schedule.steps, schedule.units
        self.alpha, self.sigma = zip(*(signal(u) for u in self.units), strict=True)
        mse = [_exp(-schedule.log2_mse(u) * _LN2 / _MSE_UNIT) for u in self.units]
        # z_{i+1} -> z_i, VDM eqs. 24-28 (`diffusion.process.Step`); keep = SNR_{i+1} / SNR_i
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
        if max(self.p_std[-1] / self.cell[-1], self.q_std[0] / self.cell[0]) > window.WIDEST:
            raise InputError(f"{self.T} diffusion steps lie too close: take fewer")

    def q_first(self, x: np.ndarray) -> np.ndarray:
        """Means of q(z_0|x) in 1/64 of a cell, of x float64."""
        return np.rint(x * (64 * self.alpha[0] / self.cell[0])).astype(np.int64)

    def q_next(self, z: np.ndarray, i: int) -> np.ndarray:
        """Means of q(z_{i+1}|z_i)."""
        factor = 64 * self.alpha[i + 1] / self.alpha[i] * self.cell[i] / self.cell[i + 1]
        return np.rint(z * factor).astype(np.int64)

    def x_hat(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(z_i, E[x|z_i]), float64, of grid points."""
        real = (z * self.cell[i]).astype(np.float32)
        given = torch.from_numpy(real).reshape(shape).to(getattr(self.model, "device", "cpu"))
        if self.model.numerics == EXACT:
            x_hat = self.model.x_hat(given, self.units[i])
        else:
            x_hat = samplers.mean(self.model.predict, given, self.units[i] * UNIT)
        return real.astype(np.float64), x_hat.double().cpu().numpy().ravel()

    def p(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> np.ndarray:
        """Means of p(z_i|z_{i+1}) in 1/64 of a cell."""
        real, x_hat = self.x_hat(z, i + 1, shape)
        mean = self.a[i] * real + self.b[i] * x_hat
        return np.rint(np.clip(mean, -1e3, 1e3) * (64 / self.cell[i])).astype(np.int64)

    def px(self, z: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Means in 1/64 of a level, and scales, of p(x|z_0) for `entropy.gaussian`."""
        mean64 = means(self.x_hat(z, 0, shape)[1])
        return mean64, np.full(mean64.size, self.scale)


def _exp(value: Decimal) -> float:
    with localcontext() as context:
        context.prec = 30
        return float(value.exp())


# ---- pictures <-> payload


def batches(shapes: Sequence[tuple[int, int]], initial_bits: int, largest: int | None = None) -> list[int]:
    """How many pictures each call takes: as many neighbours of one size as the bits before them can begin a chain for.

    ``shapes`` (height, width) in coding order; ``largest`` is the most, None by BATCH_PIXELS; a format's limit is
    MAX_BATCH_PIXELS. A chain of few pictures
    grows by what each adds, taken as 2 bits per sample. Returns the sizes, whose sum is the number of pictures.
    """
    out: list[int] = []
    at, bits = 0, float(initial_bits)
    while at < len(shapes):
        samples = 3 * shapes[at][0] * shapes[at][1]
        most = max(1, BATCH_PIXELS * 3 // samples) if largest is None else largest
        most = min(most, max(1, MAX_BATCH_PIXELS * 3 // samples))
        fits = max(1, int(bits / (INITIAL_BITS * samples)))
        same = next((k for k in range(at, len(shapes)) if shapes[k] != shapes[at]), len(shapes)) - at
        out.append(min(most, fits, same))
        at += out[-1]
        bits += 2.0 * samples * out[-1]
    return out


def encode(
    photos: Sequence[np.ndarray],
    sizes: Sequence[int],
    model: DiffusionModel,
    schedule: Schedule,
    initial: bytes,
    *,
    progress: Progress | None = None,
) -> bytes:
    """The stack after ``photos`` uint8 (H, W, 3), on top of ``initial``; ``sizes`` as from :func:`batches`."""
    chain = _Chain(model, schedule)
    stack = AnsStack.from_bytes(initial + _SENTINEL)
    with numerics_of(model):
        at = 0
        for number, size in enumerate(sizes):
            _push_batch(stack, chain, np.stack(photos[at : at + size]), _part(progress, number, len(sizes)))
            at += size
    return stack.to_bytes()


def decode(
    payload: bytes,
    shapes: Sequence[tuple[int, int]],
    sizes: Sequence[int],
    model: DiffusionModel,
    schedule: Schedule,
    *,
    progress: Progress | None = None,
) -> tuple[list[np.ndarray], bytes]:
    """(photos, initial bytes): the mirror of :func:`encode`. Raises CorruptStream."""
    chain = _Chain(model, schedule)
    stack = AnsStack.from_bytes(payload)
    photos: list[np.ndarray] = []
    with numerics_of(model):
        at = len(shapes)
        for number, size in enumerate(reversed(sizes)):
            at -= size
            shape = (size, 3, *shapes[at])
            photos[:0] = _pop_batch(stack, chain, shape, _part(progress, number, len(sizes)))
    initial = stack.to_bytes()
    if not initial.endswith(_SENTINEL):
        raise CorruptStream("the bits under the first picture of a group are not those it began with")
    return photos, initial[: -len(_SENTINEL)]


def _push_batch(stack: AnsStack, chain: _Chain, photos: np.ndarray, progress: Progress | None) -> None:
    levels = _as_images(photos)
    shape = tuple(levels.shape)
    x = levels.numpy().ravel().astype(np.float64) / 127.5 - 1
    z = window.pop(stack, chain.q_first(x), chain.q_std[0] / chain.cell[0], open_ended=False)
    stack.push_intervals(*gaussian.intervals(levels.numpy().ravel().astype(np.int64), *chain.px(z, shape), LEVELS))
    for i in range(chain.T):
        z_next = window.pop(stack, chain.q_next(z, i), chain.q_std[i + 1] / chain.cell[i + 1], open_ended=False)
        window.push(stack, z, chain.p(z_next, i, shape), chain.p_std[i] / chain.cell[i], open_ended=True)
        z = z_next
        if progress:
            progress((i + 1) / chain.T)
    window.push(stack, z, np.zeros(z.size, np.int64), chain.p_std[-1] / chain.cell[-1], open_ended=True)


def _pop_batch(stack: AnsStack, chain: _Chain, shape: tuple[int, ...], progress: Progress | None) -> list[np.ndarray]:
    zeros = np.zeros(math.prod(shape), np.int64)
    z = window.pop(stack, zeros, chain.p_std[-1] / chain.cell[-1], open_ended=True)
    for i in reversed(range(chain.T)):
        z_next, z = z, window.pop(stack, chain.p(z, i, shape), chain.p_std[i] / chain.cell[i], open_ended=True)
        window.push(stack, z_next, chain.q_next(z, i), chain.q_std[i + 1] / chain.cell[i + 1], open_ended=False)
        if progress:
            progress(1 - i / chain.T)
    levels = gaussian.pop(stack, *chain.px(z, shape), LEVELS).astype(np.float64)
    window.push(stack, z, chain.q_first(levels / 127.5 - 1), chain.q_std[0] / chain.cell[0], open_ended=False)
    return [np.ascontiguousarray(p) for p in levels.astype(np.uint8).reshape(shape).transpose(0, 2, 3, 1)]


@contextlib.contextmanager
def numerics_of(model: DiffusionModel | MaskedModel) -> Iterator[None]:
    """A float network runs on one thread within: its sums come out the same however many cores there are."""
    before = torch.get_num_threads()
    if model.numerics != EXACT:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _as_images(photos: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2)))


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    return None if progress is None else lambda fraction: progress((number + fraction) / count)
