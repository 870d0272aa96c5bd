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
what the bound gains by it grows as T falls. Float networks make p, so sender and receiver must be one kind of machine
(numerics "pinned"): they run on one thread and with the batches that the stream names.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..channel.noise import Key, normals
from ..diffusion import samplers
from ..diffusion.process import Step, alpha, sigma
from ..entropy import gaussian, window
from ..entropy.stack import AnsStack
from ..errors import CorruptStream, InputError
from ..models.provider import DiffusionModel
from .remainder import LEVELS, environment, means, scale_index

Progress = Callable[[float], None]
__all__ = ["Schedule", "batches", "decode", "encode", "environment", "measure", "one_thread"]

STEPS = 250
MAX_STEPS = 2000
LAST = 11.0  #: log-SNR of z_0: where telling x by a Gaussian about x_hat is about as cheap as going on
UNIT = 1 / 1024  #: of log-SNRs
FINENESS = 4.0  #: cells of a latent's grid per standard deviation
BATCH_PIXELS = 8192  #: of a network call
INITIAL_BITS = 11.0  #: per sample, with which a chain may begin
_KNOTS = 24  # of the profile
_MSE_UNIT = 256  # of log2(mse) in the profile
_PROBE_PIXELS = 65536  # that the profile is measured on
_PROBE = 5  # purpose of its noise
_SENTINEL = b"\1"  # above the initial bits, which may end in zeros


# ---- what sender and receiver agree on


@dataclass(frozen=True)
class Schedule:
    """T steps between the log-SNRs of a profile of the model's errors; both go into the stream.

    knots: log-SNRs in units, rising.  mse: -256 log2 E (x - x_hat)^2 at each, x in [-1, 1].
    """

    steps: int
    knots: tuple[int, ...]
    mse: tuple[int, ...]

    def log_mse(self, logsnr: np.ndarray) -> np.ndarray:
        """ln E (x - x_hat)^2, linear between the knots."""
        log = -math.log(2) / _MSE_UNIT * np.array(self.mse, np.float64)
        return np.interp(logsnr, UNIT * np.array(self.knots, np.float64), log)

    def logsnrs(self) -> list[float]:
        """Those of z_0, ..., z_T, falling, multiples of the unit.

        A step of width d from t loses d^2 SNR |d mse / d logsnr| / 2 nats against the integral of VDM eq. 17, so the
        density of steps goes with the root of that.
        """
        fine = np.linspace(self.knots[0], self.knots[-1], 4096) * UNIT
        log = self.log_mse(fine)
        middle = (fine[1:] + fine[:-1]) / 2
        slope = np.maximum(np.exp(log[:-1]) - np.exp(log[1:]), 1e-12) / np.diff(fine)
        density = np.sqrt(np.exp(middle) * slope)
        density = np.maximum(density, 0.02 * density.max())
        mass = np.concatenate([[0.0], np.cumsum(density * np.diff(fine))])
        placed = np.interp(np.linspace(0, mass[-1], self.steps + 1), mass, fine)
        units = np.rint(placed / UNIT).astype(np.int64)
        units = np.maximum.accumulate(units - np.arange(self.steps + 1)) + np.arange(self.steps + 1)  # distinct
        return [UNIT * int(u) for u in units[::-1]]

    def to_bytes(self) -> bytes:
        """T, the number of knots, then knots and errors, 16 bits each."""
        fields = np.array([*self.knots, *self.mse], "<i2")
        return np.array([self.steps, len(self.knots)], "<u2").tobytes() + fields.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[Schedule, bytes]:
        """(schedule, bytes behind it). Raises CorruptStream."""
        head = [int(v) for v in np.frombuffer(data[:4], "<u2")] if len(data) >= 4 else [0, 0]
        size = 4 + 4 * head[1]
        fields = [int(v) for v in np.frombuffer(data[4:size], "<i2")] if len(data) >= size else []
        knots, mse = tuple(fields[: head[1]]), tuple(fields[head[1] :])
        rising = all(a < b for a, b in zip(knots, knots[1:], strict=False))
        if not fields or not 2 <= head[1] <= 256 or not 1 <= head[0] <= MAX_STEPS or not rising:
            raise CorruptStream("the diffusion schedule of the archive is damaged")
        return cls(head[0], knots, mse), data[size:]


def measure(photos: Sequence[np.ndarray], model: DiffusionModel, steps: int) -> Schedule:
    """The schedule for pictures like these: the model's errors on them, at 24 log-SNRs. Raises InputError."""
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected 1 to {MAX_STEPS} diffusion steps, found {steps}")
    top = min(LAST, model.logsnr_max)
    knots = np.unique(np.rint(np.linspace(model.logsnr_min, top, _KNOTS) / UNIT).astype(int))
    squared, count = np.zeros(len(knots)), 0
    with one_thread():
        for number, photo in enumerate(photos):
            if count and count + photo.size > 3 * _PROBE_PIXELS:
                break
            count += photo.size
            x = model.to_latent(_as_images(photo[None]))
            eps = torch.from_numpy(normals(Key(number, 0, _PROBE), x.numel())).reshape(x.shape).to(x.device)
            for k, knot in enumerate(knots):
                t = x.new_tensor(float(knot) * UNIT)
                x_hat = samplers.mean(model.predict, alpha(t) * x + sigma(t) * eps, float(t))
                squared[k] += float((x - x_hat).double().square().sum())
    mse = np.minimum.accumulate(np.maximum(squared / max(count, 1), 1e-9))
    return Schedule(steps, tuple(int(k) for k in knots), tuple(int(v) for v in np.rint(-_MSE_UNIT * np.log2(mse))))


class _Chain:
    """The Gaussians of every step, on the latents' grids: q for the sender's pops, p for its pushes."""

    def __init__(self, model: DiffusionModel, schedule: Schedule):
        self.model, self.T = model, schedule.steps
        self.logsnr = schedule.logsnrs()
        t = torch.tensor(self.logsnr, dtype=torch.float64)
        self.alpha, self.sigma = alpha(t).tolist(), sigma(t).tolist()
        mse = np.exp(schedule.log_mse(np.array(self.logsnr)))
        self.steps = [Step.between(t[i + 1], t[i]) for i in range(self.T)]
        # standard deviations of p(z_i|z_{i+1}) with that of x, and of p(z_T)
        self.p_std = [math.hypot(float(s.std), float(s.b) * mse[i + 1] ** 0.5) for i, s in enumerate(self.steps)] + [1]
        self.scale = scale_index(127.5 * mse[0] ** 0.5)
        # q(z_{i+1}|z_i) = N(keep z_i, std^2), VDM eq. 20 and 22
        keep = (t[1:] - t[:-1]).exp()
        self.keep = (alpha(t[1:]) / alpha(t[:-1])).tolist()
        self.q_std = [self.sigma[0], *((1 - keep).sqrt() * sigma(t[1:])).tolist()]
        self.cell = [min(q, p) / FINENESS for q, p in zip(self.q_std, self.p_std, strict=True)]
        if max(self.p_std[-1] / self.cell[-1], self.q_std[0] / self.cell[0]) > window.WIDEST:
            raise InputError(f"{self.T} diffusion steps lie too close: take fewer")

    def q_first(self, x: np.ndarray) -> np.ndarray:
        """Means of q(z_0|x) in 1/64 of a cell, of x float64."""
        return np.rint(x * (64 * self.alpha[0] / self.cell[0])).astype(np.int64)

    def q_next(self, z: np.ndarray, i: int) -> np.ndarray:
        """Means of q(z_{i+1}|z_i)."""
        return np.rint(z * (64 * self.keep[i] * self.cell[i] / self.cell[i + 1])).astype(np.int64)

    def x_hat(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """(z_i, E[x|z_i]), float32 tensors of ``shape``, of grid points."""
        real = torch.from_numpy((z * self.cell[i]).astype(np.float32)).reshape(shape).to(self.device)
        return real, samplers.mean(self.model.predict, real, self.logsnr[i])

    def p(self, z: np.ndarray, i: int, shape: tuple[int, ...]) -> np.ndarray:
        """Means of p(z_i|z_{i+1}) in 1/64 of a cell."""
        step = self.steps[i]
        real, x_hat = self.x_hat(z, i + 1, shape)
        mean = (float(step.a) * real + float(step.b) * x_hat).cpu().numpy().astype(np.float64)
        return np.rint(np.clip(mean, -1e3, 1e3) * (64 / self.cell[i])).astype(np.int64).ravel()

    def px(self, z: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Means in 1/64 of a level, and scales, of p(x|z_0) for `entropy.gaussian`."""
        mean64 = means(self.x_hat(z, 0, shape)[1].cpu().numpy())
        return mean64, np.full(mean64.size, self.scale)

    @property
    def device(self) -> torch.device:
        return getattr(self.model, "device", torch.device("cpu"))


# ---- pictures <-> payload


def batches(shapes: Sequence[tuple[int, int]], initial_bits: int, largest: int | None = None) -> list[int]:
    """How many pictures each call takes: as many neighbours of one size as the bits before them can begin a chain for.

    ``shapes`` (height, width) in coding order; ``largest`` is the most, None by BATCH_PIXELS. A chain of few pictures
    grows by what each adds, taken as 2 bits per sample. Returns the sizes, whose sum is the number of pictures.
    """
    out: list[int] = []
    at, bits = 0, float(initial_bits)
    while at < len(shapes):
        samples = 3 * shapes[at][0] * shapes[at][1]
        most = max(1, BATCH_PIXELS * 3 // samples) if largest is None else largest
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
    with one_thread():
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
    with one_thread():
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
def one_thread() -> Iterator[None]:
    """Networks within run on one thread: sums come out the same however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _as_images(photos: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2)))


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    return None if progress is None else lambda fraction: progress((number + fraction) / count)
