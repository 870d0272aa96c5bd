"""A denoiser asked at several sizes, and its answers put together octave by octave: `photo-octaves`.

Averages of k x k blocks of z_t = alpha x + sigma eps are alpha times the k times smaller picture plus sigma / k eps: z
of that picture at log-SNR + 2 ln k. So a denoiser of pictures of any size has an answer there as well, which sees k
times as far; at high noise it needs no other. x_hat = sum_k sum_b (w_kb + f w'_kb) P_b x_hat_k, with P_b projections
onto the octaves of Haar's wavelet, of lightness and of colour, f how much texture there is in a block, and w, w' of
least squares (:class:`Products`) at each log-SNR: smooth parts gain from averages, fine grain is known best at full
size.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion import samplers
from ..diffusion.process import alpha, diffuse, sigma
from . import architectures
from .architectures import Weights
from .denoiser import Denoiser
from .protocols import DiffusionModel
from .settings import held

OCTAVES = 5  #: of Haar's wavelet that have weights of their own, and the rest
BLOCK = 1 << OCTAVES  #: sides are continued to multiples of it while octaves are parted
FINE = 8  #: texture is what differs from the averages of such blocks
SMOOTH, GRAINY = -4.0, -2.0  #: log10 of its mean square, where f is 0 and 1


@dataclass(frozen=True)
class Stretch:
    """From the log-SNR ``start`` on: the sizes that are asked, and what each answer counts.

    factors: k of each, 1 is full size. side: pictures of a shorter one have too few points at these sizes: the denoiser
    alone. levels: log-SNRs, rising; between them weights go in straight lines.
    weights: float32 (levels, OCTAVES + 1, 2, 2 factors), from the finest octave to the rest, lightness and colour; w of
    each factor, then w'.
    """

    start: float
    factors: tuple[int, ...]
    side: int
    levels: tuple[float, ...]
    weights: np.ndarray

    def at(self, logsnr: float) -> np.ndarray:
        """Weights float64 (OCTAVES + 1, 2, 2 factors) at a log-SNR."""
        shape = self.weights.shape[1:]
        columns = self.weights.reshape(len(self.levels), -1).T
        return np.array([np.interp(logsnr, self.levels, column) for column in columns]).reshape(shape)


def load(weights: Weights) -> Octaves:
    """Of architecture octaves-1. Raises any error for other tensors, ValueError for another denoiser beside it.

    Its configuration names the denoiser's file in the same folder and that one's fingerprint, so that the fingerprint
    of both together is over both.
    """
    config = weights.fields()
    if weights.folder is None or Path(config["of"]).name != config["of"]:
        raise ValueError("it needs the denoiser's file in its own folder")
    of = architectures.read(weights.folder / f"{config['of']}.safetensors", weights.device, weights.runtime)
    if not isinstance(of, DiffusionModel) or of.fingerprint.hex() != config["fingerprint"]:
        raise ValueError(f"'{config['of']}' beside it is another model than it was made for")
    stretches = []
    for k, (start, factors, side) in enumerate(config["stretches"]):
        levels, table = (weights.tensors[f"{k}.{name}"].float().numpy() for name in ("levels", "weights"))
        if table.shape != (len(levels), OCTAVES + 1, 2, 2 * len(factors)) or not (np.diff(levels) > 0).all():
            raise ValueError(f"its weights from log-SNR {start:g} on are of another shape")
        stretches.append(Stretch(start, tuple(factors), side, tuple(levels.tolist()), table))
    shortcut = None if weights.flow is None else samplers.Multistep.of(**weights.flow)
    return Octaves(of, stretches, weights.name, weights.fingerprint, shortcut, weights.poses)


class Octaves(Denoiser):
    """A denoiser of pixels, ``of``, asked at several sizes: `protocols.DiffusionModel` of the same log-SNRs."""

    def __init__(
        self,
        of: DiffusionModel,
        stretches: Sequence[Stretch],
        name: str,
        fingerprint: bytes,
        shortcut: samplers.Multistep | None = None,
        poses: int = 1,
    ):
        self.of, self.stretches, self.shortcut, self.poses = of, list(stretches), shortcut, poses
        self.name, self.fingerprint = name, fingerprint
        self.numerics, self.device = of.numerics, of.device
        self.logsnr_min, self.logsnr_max = of.logsnr_min, of.logsnr_max

    @property
    def further(self) -> DiffusionModel:
        """The denoiser alone: what follows E[x|z_t] is texture, of which smaller sizes make too little."""
        return self.of

    @property
    def arithmetic(self) -> str:
        """As the denoiser's."""
        return self.of.arithmetic

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, h, w), at one log-SNR, float32 ()."""
        at = float(logsnr)
        starts = [stretch.start for stretch in self.stretches]
        stretch = self.stretches[max(0, bisect.bisect_right(starts, at) - 1)]
        if stretch.factors == (1,) or min(z.shape[2:]) < stretch.side:
            return self.of.predict(z, logsnr)
        return self._together(z, at, stretch)

    @torch.inference_mode()
    @held()
    def _together(self, z: Tensor, at: float, stretch: Stretch) -> Tensor:
        z = z.to(self.device)
        parts = padded(answers(self.of, z, at, stretch.factors))
        x = together(parts, stretch.at(at), texture(parts[0]))[..., : z.shape[2], : z.shape[3]]
        t = z.new_tensor(at)
        return (z - alpha(t) * x) / sigma(t)


def answers(of: DiffusionModel, z: Tensor, logsnr: float, factors: Sequence[int]) -> list[Tensor]:
    """x_hat of z float32 (N, 3, h, w), of each of the sizes, brought to z's: (N, 3, h, w) each.

    The largest of them in straight lines between the middles of its points, others by repetition: these tell averages,
    and what stands in their blocks the larger one knows better than any curve.
    """
    h, w = z.shape[2:]
    out = []
    for k in factors:
        there = min(logsnr + 2 * math.log(k), of.logsnr_max)
        # What continues z is mirrored: a point that is repeated would not be averaged away as noise is.
        part = F.pad(z, (0, -w % k, 0, -h % k), mode="reflect")
        scale = float(alpha(torch.tensor(there)) / alpha(torch.tensor(logsnr)))
        x = samplers.mean(of.predict, F.avg_pool2d(part, k) * scale, there)
        if k > min(factors):
            x = _repeated(x, k)
        elif k > 1:
            x = F.interpolate(x, scale_factor=k, mode="bilinear", align_corners=False)
        out.append(x[..., :h, :w])
    return out


def padded(parts: Sequence[Tensor]) -> list[Tensor]:
    """``parts`` (N, 3, h, w), continued by their border to multiples of BLOCK."""
    h, w = parts[0].shape[2:]
    return [F.pad(x, (0, -w % BLOCK, 0, -h % BLOCK), mode="replicate") for x in parts]


def texture(x: Tensor) -> Tensor:
    """f of x (N, 3, h, w), sides multiples of BLOCK: how much texture each block has, 0 to 1, (N, 1, h', w')."""
    fine = x - _repeated(F.avg_pool2d(x, FINE), FINE)
    energy = F.avg_pool2d(fine.square_().mean(1, keepdim=True), BLOCK)
    return ((energy.log10() - SMOOTH) / (GRAINY - SMOOTH)).clamp(0, 1)


def weighed(parts: Sequence[Tensor]) -> Iterator[Tensor]:
    """``parts`` x_k (N, 3, h, w), :func:`padded`, then f x_k; f is of the first."""
    parts = padded(parts)
    yield from parts
    f = _repeated(texture(parts[0]), BLOCK)
    yield from (f * x for x in parts)


def together(parts: Sequence[Tensor], weights: np.ndarray, f: Tensor | None = None) -> Tensor:
    """sum_k sum_b w_kb P_b x_k of ``parts`` x_k (N, 3, h, w), sides multiples of BLOCK, w (OCTAVES + 1, 2, k).

    With ``f`` (N, 1, h / BLOCK, w / BLOCK) there are 2 k weights, and w_kb + f w'_kb in place of w_kb. With A_j x the
    averages of 2^j x 2^j blocks, P_b = A_b - A_b+1, so that the sum is, from the smallest size up,
    sum_j A_j sum_k (w_kj - w_k,j-1) x_k; f is the same in all of a block, so A_j f x = f A_j x.
    """
    changes, sums = np.diff(weights, axis=0, prepend=0), list[Tensor]()
    for k, part in enumerate(parts):
        for j, change in enumerate(changes):
            part = F.avg_pool2d(part, 2) if j else part
            own = _coloured(part, change[:, k])
            if f is not None:
                own.add_(_coloured(part, change[:, len(parts) + k]).mul_(_repeated(f, BLOCK >> j)))
            if k:
                sums[j] += own
            else:
                sums.append(own)
    x = sums.pop()
    while sums:
        x = sums.pop().add_(_repeated(x, 2))
    return x


def _coloured(x: Tensor, weights: np.ndarray) -> Tensor:
    """x (N, 3, h, w), its lightness and what differs from it by ``weights`` (2,)."""
    return F.conv2d(x, x.new_tensor(_of_colours(weights))[:, :, None, None])


def _repeated(x: Tensor, k: int) -> Tensor:
    return F.interpolate(x, scale_factor=k, mode="nearest")


def _of_colours(weights: np.ndarray) -> np.ndarray:
    """(3, 3) of RGB, of weights (2,) of lightness and of what differs from it."""
    lightness, colour = weights
    mean = np.full((3, 3), 1 / 3)
    return np.asarray(lightness * mean + colour * (np.eye(3) - mean))


# ---- least squares


@dataclass
class Products:
    """Inner products of the octaves of answers and of x, over pictures: what weights are fitted and judged by.

    sums: float64 (OCTAVES + 1, 2, k + 1, k + 1), x the last.
    """

    sums: np.ndarray

    @classmethod
    def of(cls, parts: Iterable[Tensor], x: Tensor) -> Products:
        """Of ``parts`` and x, (N, 3, h, w), sides multiples of BLOCK."""
        every, averages = torch.stack([*parts, x]), []
        for j in range(OCTAVES + 1):
            if j:
                every = torch.stack([F.avg_pool2d(one, 2) for one in every])
            whole = every.flatten(1).double() * 2**j
            light = every.mean(2).flatten(1).double() * 2**j * math.sqrt(3)
            averages.append(torch.stack([light @ light.T, whole @ whole.T - light @ light.T]))
        told = torch.stack(averages)
        told[:-1] -= told[1:].clone()
        return cls(told.numpy())

    def __add__(self, other: Products) -> Products:
        return dataclasses.replace(self, sums=self.sums + other.sums)

    def weights(self) -> np.ndarray:
        """Of least squares, float64 (OCTAVES + 1, 2, k)."""
        gram, with_x = self.sums[..., :-1, :-1], self.sums[..., :-1, -1]
        size = gram.shape[-1]
        ridge = 1e-6 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / size * np.eye(size)
        return np.linalg.solve(gram + ridge, with_x[..., None])[..., 0]

    def error(self, weights: np.ndarray) -> float:
        """Squared error of the sum with these weights (OCTAVES + 1, 2, k)."""
        signed = np.concatenate([weights, np.full((*weights.shape[:-1], 1), -1.0)], -1)
        return float(np.einsum("bck,bckl,bcl->", signed, self.sums, signed))


def noised(x: Tensor, logsnr: float, number: int) -> Tensor:
    """z_t of picture ``number`` x float32 (1, 3, h, w), with noise of that number."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(number))
    return diffuse(x, x.new_tensor(logsnr), noise.to(x.device))


def gather(of: DiffusionModel, pictures: Sequence[Tensor], logsnr: float, factors: Sequence[int]) -> Products:
    """Of what is :func:`weighed`, over pictures x float32 (1, 3, h, w), sides multiples of BLOCK; noise by number.

    Raises ValueError where there are none.
    """
    total: Products | None = None
    for number, x in enumerate(pictures):
        one = Products.of(weighed(answers(of, noised(x, logsnr, number), logsnr, factors)), x)
        total = one if total is None else total + one
    if total is None:
        raise ValueError("no pictures to fit to")
    return total
