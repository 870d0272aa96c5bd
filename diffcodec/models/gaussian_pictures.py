"""Pictures as Gaussian fields, whose conditional on anything linear is exact: what `given` means, in closed form.

A picture is made of blocks that are independent; within a block x ~ N(mean, covariance), any. What is observed is
y = A x + c + n, n ~ N(0, R): then x given y is N(mean + K (y - A mean - c), covariance - K A covariance), with
K = covariance A^T (A covariance A^T + R)^-1 (Bishop, Pattern Recognition and Machine Learning, §2.3.3), and so again a
field of this kind, which may be given more. Every rate that DiffC takes for it is an integral that is known.
"""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..runtime.errors import InputError
from .condition import Condition, Observed, check
from .denoiser import Denoiser

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = NDArray[np.float64]

STEP = 2 / 255  #: of samples, in x
ROUNDING = STEP * STEP / 12  #: variance of what rounding to samples leaves out
CHANNELS = 3


@dataclass(frozen=True)
class Field:
    """Blocks of one or several kinds.

    means: float64 (blocks, m). kinds: int64 (blocks,), which of the covariances is a block's. values, vectors: float64
    (kinds, m), (kinds, m, m), eigenvalues and, in columns, eigenvectors of the covariances. every: whether the first
    block stands for any number of them.
    """

    means: Floats
    kinds: NDArray[np.int64]
    values: Floats
    vectors: Floats
    every: bool = False

    @classmethod
    def of(cls, means: Floats, kinds: NDArray[np.int64], covariances: Floats, every: bool = False) -> Field:
        """The field of ``covariances`` float64 (kinds, m, m)."""
        values, vectors = np.linalg.eigh(covariances)
        return cls(means, kinds, np.maximum(values, 0), vectors, every)

    @property
    def covariances(self) -> Floats:
        """float64 (kinds, m, m)."""
        out: Floats = (self.vectors * self.values[:, None]) @ self.vectors.transpose(0, 2, 1)
        return out

    def spread(self, blocks: int) -> Field:
        """The same with means and kinds of so many blocks. Raises InputError where it is of another number of them."""
        if not self.every and len(self.means) != blocks:
            raise InputError(f"what was given belongs to a picture of {len(self.means)} blocks, this one has {blocks}")
        means = np.broadcast_to(self.means, (blocks, self.means.shape[1]))
        return replace(self, means=means, kinds=np.broadcast_to(self.kinds, (blocks,)), every=False)


class GaussianPictures(Denoiser):
    """Pictures whose blocks of ``side``×``side`` pixels are N(mean, covariance), with their exact denoiser.

    mean: float64 (3 side side,), covariance float64 of its square, of x in the order (colour, row, column). Sides of
    pictures are continued to multiples of ``side``; where something is given, they are such.
    """

    logsnr_min, logsnr_max = -10.0, 13.5
    takes = frozenset({"box", "luma", "chroma", "mask"})

    def __init__(self, mean: Floats, covariance: Floats, side: int, name: str = "gaussian-pictures"):
        self.name, self.side, self.grid = name, side, side
        numbers = np.concatenate([np.ravel(mean), np.ravel(covariance)]).astype("<f8")
        self.fingerprint = hashlib.sha256(numbers.tobytes()).digest()
        self.field = Field.of(mean[None], np.zeros(1, np.int64), covariance[None], every=True)

    @classmethod
    def smooth(cls, side: int = 8, deviation: float = 0.25, correlation: float = 0.9) -> GaussianPictures:
        """Grey on average; neighbours correlate by ``correlation``, colours by 0.8; ``deviation`` of x, at most 1."""
        at = np.arange(side)
        line: Floats = np.exp(math.log(correlation) * np.abs(at[:, None] - at))
        colours = np.full((CHANNELS, CHANNELS), 0.8) + 0.2 * np.eye(CHANNELS)
        covariance: Floats = deviation**2 * np.kron(colours, np.kron(line, line))
        return cls(np.zeros(CHANNELS * side * side), covariance, side)

    # ---- the denoiser

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat = sigma (alpha^2 covariance + sigma^2)^-1 (z - alpha mean), float32 of z float32 (N, 3, H, W).

        Raises InputError for a picture of another size than that of what was given.
        """
        a2, s2 = (float(torch.sigmoid(sign * logsnr.double())) for sign in (1, -1))
        blocks = self._blocks(z.double().cpu().numpy())
        field = self.field.spread(blocks.shape[1])
        left = blocks - math.sqrt(a2) * field.means
        out = np.empty_like(blocks)
        for kind, (values, vectors) in enumerate(zip(field.values, field.vectors, strict=True)):
            of_kind = field.kinds == kind
            out[:, of_kind] = (left[:, of_kind] @ vectors) * (math.sqrt(s2) / (a2 * values + s2)) @ vectors.T
        return torch.from_numpy(self._picture(out, z.shape[2:]).astype(np.float32)).to(z.device)

    def sample(self, size: tuple[int, int], seed: int = 0) -> Floats:
        """A draw of x, float64 (1, 3, H, W), of a picture of ``size`` (H, W), multiples of ``side``."""
        field = self.field.spread(math.prod(size) // self.side**2)
        drawn = np.random.default_rng(seed).standard_normal(field.means.shape)
        scaled = drawn * np.sqrt(field.values[field.kinds])
        x = field.means + np.einsum("bij,bj->bi", field.vectors[field.kinds], scaled)
        return self._picture(x[None], size)

    # ---- conditions

    def given(self, condition: Condition) -> Self:
        """Those pictures of which ``condition`` was observed, with the noise of rounding and of its augmentation.

        Raises InputError for a condition of another kind, or where blocks and boxes do not fit.
        """
        check(self, condition)
        assert isinstance(condition, Observed)
        means, kinds, covariances = self._posterior(condition)
        other = copy.copy(self)
        other.field = Field.of(means, kinds, covariances)
        return other

    def _posterior(self, condition: Observed) -> tuple[Floats, NDArray[np.int64], Floats]:
        seen, maps, offsets = self._observed(condition)
        field = self.field.spread(len(seen))
        means, kinds = field.means.copy(), np.zeros(len(seen), np.int64)
        found: dict[tuple[int, bytes], tuple[int, Floats]] = {}  # number of the covariance, and the gain
        prior = field.covariances
        covariances: list[Floats] = []
        for number, (kind, A) in enumerate(zip(field.kinds, maps, strict=True)):
            rows = independent(A)
            key = (int(kind), A[rows].tobytes())
            if key not in found:
                gain, covariance = updated(prior[kind], A[rows], noise(condition))
                found[key] = (len(covariances), gain)
                covariances.append(covariance)
            kinds[number], gain = found[key]
            means[number] += gain @ (seen[number] - offsets[number] - A @ means[number])[rows]
        return means, kinds, np.stack(covariances)

    def _observed(self, condition: Observed) -> tuple[Floats, Floats, Floats]:
        """For every block what was seen (blocks, r), A (blocks, r, m), c (blocks, r), all in x. Raises InputError."""
        operator, samples, m = condition.operator, condition.samples, self.field.means.shape[1]
        size = operator.size(samples.shape)
        if any(length % self.side for length in size) or self.side * samples.shape[0] % size[0]:
            raise InputError(f"{condition.operator} of {samples.shape} is of no whole blocks of {self.side} a side")
        offset = operator.affine(np.full((*size, CHANNELS), 127.5)) / 127.5 - 1  # of the picture x = 0
        if samples.shape != offset.shape:
            raise InputError(f"of a picture of {size} {operator.name} gives {offset.shape}, found {samples.shape}")
        per = self.side * len(samples) // size[0]
        columns = []
        for number in range(m):
            basis = np.zeros((1, size[0] * size[1] // self.side**2, m))
            basis[:, :, number] = 1
            picture = 127.5 * (self._picture(basis, size)[0].transpose(1, 2, 0) + 1)
            columns.append(split(operator.affine(picture) / 127.5 - 1 - offset, per))
        return split(samples / 127.5 - 1, per), np.stack(columns, 2), split(offset, per)

    # ---- closed forms

    def rate(self, logsnr: float, size: tuple[int, int]) -> float:
        """I(x; z_t) in bits of a picture of ``size`` (H, W), of what is given: sum of 1/2 log2(1 + SNR variance)."""
        field = self.field.spread(math.prod(size) // self.side**2)
        return float(np.log2(1 + math.exp(logsnr) * field.values[field.kinds]).sum() / 2)

    def told(self, condition: Observed, logsnr: float) -> float:
        """I(y; z_t) in bits: what ``condition`` tells of z_t, or z_t of it. Raises InputError as :meth:`given`.

        1/2 log2 det(A covariance A^T + R) / det(A covariance of x given z_t A^T + R).
        """
        seen, maps, _ = self._observed(condition)
        field = self.field.spread(len(seen))
        after = field.values / (1 + math.exp(logsnr) * field.values)
        covariances = field.covariances, replace(field, values=after).covariances
        bits = 0.0
        for kind, A in zip(field.kinds, maps, strict=True):
            used = A[independent(A)]
            R = noise(condition) * np.eye(len(used))
            before, behind = (np.linalg.slogdet(used @ C[kind] @ used.T + R)[1] for C in covariances)
            bits += float(before - behind) / (2 * math.log(2))
        return bits

    # ---- pictures and blocks

    def _blocks(self, z: Floats) -> Floats:
        """(N, blocks, 3 side side) of (N, 3, H, W)."""
        N, C, H, W = z.shape
        b = self.side
        parts = z.reshape(N, C, H // b, b, W // b, b).transpose(0, 2, 4, 1, 3, 5)
        blocks: Floats = parts.reshape(N, -1, C * b * b)
        return blocks

    def _picture(self, blocks: Floats, size: tuple[int, ...]) -> Floats:
        """Mirror of :meth:`_blocks`."""
        H, W = size
        b = self.side
        parts = blocks.reshape(len(blocks), H // b, W // b, CHANNELS, b, b)
        picture: Floats = parts.transpose(0, 3, 1, 4, 2, 5).reshape(len(blocks), CHANNELS, H, W)
        return picture


def noise(condition: Observed) -> float:
    """Variance R of what was observed: of its rounding, and of its augmentation if it has one."""
    return ROUNDING + (0.0 if condition.augmentation is None else math.exp(-condition.augmentation / 1024))


def updated(covariance: Floats, A: Floats, R: float) -> tuple[Floats, Floats]:
    """(gain K float64 (m, r), covariance given y) of ``covariance`` (m, m) and y = ``A`` (r, m) x + N(0, R)."""
    gain: Floats = np.linalg.solve(A @ covariance @ A.T + R * np.eye(len(A)), A @ covariance).T
    posterior: Floats = covariance - gain @ A @ covariance
    return gain, (posterior + posterior.T) / 2


def independent(A: Floats) -> NDArray[np.int64]:
    """Rows of ``A`` (r, m) that see something, each once: int64."""
    _, first = np.unique(np.round(A, 9), axis=0, return_index=True)
    rows = np.sort(first)
    seeing: NDArray[np.int64] = rows[np.abs(A[rows]).max(axis=1, initial=0) > 0]
    return seeing


def split(picture: Floats, side: int) -> Floats:
    """(blocks, side side C) of (H, W, C)."""
    H, W, C = picture.shape
    parts = picture.reshape(H // side, side, W // side, side, C).transpose(0, 2, 1, 3, 4)
    blocks: Floats = parts.reshape(-1, side * side * C)
    return blocks
