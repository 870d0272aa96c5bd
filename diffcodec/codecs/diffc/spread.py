"""The variance of p(z_s|z_t) in a pass: that of q(z_s|z_t, x), and where it is told, what x_hat errs by.

Given z_t, the receiver expects z_s about a z_t + b x_hat, with the variance of q and b^2 times that of x about x_hat.
Told of the latter, p is the marginal of z_s, and a step of SNR_s/SNR_t - 1 = d costs 1/2 log2(1 + v d) bits for each
dimension, v in units of 1/SNR_t, and not v d / (2 ln 2). The fine part, what is left of x where averages of 8x8 points
are taken away, has one v, which its bits tell. The coarse part, these averages, has most of its v in few dimensions,
the ones that a long step is wasteful with: Haar's octaves of three colours have one each, of natural pictures a
logistic function of octave and colour, whose height the bits tell.

Within a class the coefficients are rotated, which makes normals of them, so that the sample can be one of N(m, 1/w^2)
in units of p in every dimension: the code's search weighs entries by the ratio of the two densities.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from ...channel import polar, trellis
from ...channel.noise import Key, Part, Purpose, halves, normals
from ...runtime.errors import CorruptStream

UNIT = 1 / 1024  #: of the steps in log-SNR
BLOCK = 8  #: side of what is averaged
OCTAVES = 2  #: of differences of averages; the third class is the rest, averages of 32x32 points
ROTATED = 64  #: coefficients that are rotated together
COARSE = 192  #: fewest dimensions of a coarse part
SLOPE = 1.25  #: of the logit, from an octave to the next coarser one
COLOURS = (0.0, 1.3, 2.2)  #: less, of the sum of the three planes, of red - blue, of red - 2 green + blue
NONE = math.inf  #: less, of what nothing is told about
LIMIT = 50.0  #: of the logit's height
HALVINGS = 60
LN2 = math.log(2)
_MIX = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])  # orthonormal, of three planes


def less(pixels: bool, photo: int, channels: int) -> tuple[float, ...]:
    """COLOURS of a picture of so many photo planes, nothing of a grey one's; all alike where z holds no pixels."""
    if not pixels or channels != 3:
        return (0.0,) * channels
    return COLOURS if photo == 3 else (0.0, NONE, NONE)


@dataclass(frozen=True)
class Shares:
    """Bits of a pass, of its coarse and of its fine part; ``share``: the coarse part's 256ths, about."""

    coarse: int
    fine: int
    share: int

    @classmethod
    def of(cls, bits: int, share: int) -> Shares:
        """What both sides make of the two numbers: the coarse part has whole bytes."""
        coarse = min(bits, 8 * ((bits * share + 1024) >> 11))
        return cls(coarse, bits - coarse, share)

    @property
    def bits(self) -> int:
        """Of both."""
        return self.coarse + self.fine


class Spread(Protocol):
    """What the bits and the step of a pass make of its sample.

    share_bytes: in front of the bits of a pass, 0 or 1: how many 256ths of them tell of its coarse part.
    """

    share_bytes: int

    def receive(self, payload: bytes, bits: int, share: int, units: int, key: Key) -> np.ndarray:
        """The sample of a pass, float32 (n,), in standard deviations of q. Raises CorruptStream."""
        ...


@dataclass(frozen=True)
class Narrow:
    """p has q's variance: streams of methods 0 and 1, which nothing writes any more."""

    n: int
    L: int
    share_bytes = 0

    def receive(self, payload: bytes, bits: int, share: int, units: int, key: Key) -> np.ndarray:
        """The trellis' sample, float32 (n,). Raises CorruptStream."""
        return trellis.decode(payload, self.n, bits, key, self.L)


class Coarse:
    """Averages of blocks of points as dimensions of their own, a part of an orthonormal basis; a variance a class."""

    def __init__(self, shape: tuple[int, int, int], less: tuple[float, ...]):
        """``shape`` (C, h, w) of z; ``less``: of each plane (of three: of their sum and differences), as COLOURS."""
        self.edges = [np.arange(0, size, BLOCK) for size in shape[1:]]
        sides = [np.diff(np.append(edge, size)) for edge, size in zip(self.edges, shape[1:], strict=True)]
        self.sides = sides
        self.root = np.sqrt(np.multiply.outer(*sides)).astype(np.float32)  # of the points of a block
        self.shape = (shape[0], len(sides[0]), len(sides[1]))
        self.n = math.prod(self.shape)
        self.sizes = [(len(sides[0]), len(sides[1]))]
        for _ in range(OCTAVES):
            h, w = self.sizes[-1]
            self.sizes.append((-(-h // 2), -(-w // 2)))
        logits = np.zeros(self.shape, np.float64)
        for colour, octave, part in self._parts(logits):
            part[...] = SLOPE * octave - less[colour]
        #: of the classes: heights of their logits over the common one, how many coefficients they have, which these are
        self.levels, self.classes, self.counts = np.unique(logits.ravel(), return_inverse=True, return_counts=True)
        self.members = [np.flatnonzero(self.classes == k) for k in range(len(self.levels))]

    def averaged(self, x: np.ndarray) -> np.ndarray:
        """Of x float32 (C, h, w) the part in the blocks' directions, float32 (C, h', w')."""
        sums = np.add.reduceat(np.add.reduceat(x, self.edges[0], 1), self.edges[1], 2)
        averages: np.ndarray = sums / self.root
        return averages

    def filled(self, averages: np.ndarray) -> np.ndarray:
        """Mirror of :meth:`averaged`, its transpose: float32 (C, h, w)."""
        return np.repeat(np.repeat(averages / self.root, self.sides[0], 1), self.sides[1], 2)

    def analysed(self, averages: np.ndarray, key: Key) -> np.ndarray:
        """Coefficients float32 (n,) of ``averages`` (C, h', w'): colours mixed, Haar's octaves, rotated by classes."""
        y = _mixed(averages, _MIX)
        for h, w in self.sizes[:-1]:
            part = y[:, :h, :w]
            part[...] = _halved(_halved(part, 1), 2)
        return self._rotated(y.reshape(-1), self._signs(key), forth=True)

    def synthesised(self, y: np.ndarray, key: Key) -> np.ndarray:
        """Mirror of :meth:`analysed`."""
        y = self._rotated(y, self._signs(key), forth=False).reshape(self.shape)
        for h, w in reversed(self.sizes[:-1]):
            part = y[:, :h, :w]
            part[...] = _doubled(_doubled(part, 2), 1)
        return _mixed(y, _MIX.T)

    def _signs(self, key: Key) -> np.ndarray:
        signs: np.ndarray = np.where(halves(key, self.n) & 1, np.float32(-1), np.float32(1))
        return signs

    def _rotated(self, y: np.ndarray, signs: np.ndarray, forth: bool) -> np.ndarray:
        """Within each class, coefficients with random signs through a Walsh matrix: those far apart come together."""
        out = y * signs if forth else y.copy()
        for places in self.members:
            order = min(ROTATED, 1 << (len(places).bit_length() - 1))
            whole = places[: len(places) // order * order]
            out[whole] = (_walsh(order) @ out[whole].reshape(order, -1)).reshape(-1)
        return np.asarray(out if forth else out * signs)

    def _parts(self, y: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Rectangles of coefficients: (colour, octave, view)."""
        for colour, plane in enumerate(y):
            for octave, ((h, w), (low, left)) in enumerate(itertools.pairwise(self.sizes)):
                yield colour, octave, plane[low:h, :w]
                yield colour, octave, plane[:low, left:w]
            h, w = self.sizes[-1]
            yield colour, OCTAVES, plane[:h, :w]

    def variances(self, gain: float, wanted: float, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """v d of each class, float64 (classes,), d = ``gain``: at the height where ``of(v d)`` sums to ``wanted``."""
        low, high = -LIMIT, LIMIT
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            told = float((self.counts * of(self._at(middle) * gain)).sum())
            low, high = (middle, high) if told < wanted else (low, middle)
        return np.asarray(self._at(low) * gain)

    def _at(self, height: float) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-(height + self.levels))))


class Wide:
    """p is as wide as a natural picture makes it: streams of methods 2 and 3."""

    share_bytes = 1

    def __init__(self, shape: tuple[int, int, int], L: int, less: tuple[float, ...], paths: int = polar.PATHS):
        """``shape`` (C, h, w) of z; ``less``: as of `Coarse`; ``L`` of the trellis, ``paths`` of the polar code."""
        self.shape, self.n, self.L, self.paths = shape, math.prod(shape), L, paths
        coarse = Coarse(shape, less)
        self.coarse = coarse if coarse.n >= COARSE else None
        self.coarse_n = coarse.n if self.coarse else 0

    def information(self, energies: tuple[float, float], units: int) -> tuple[float, float]:
        """Bits that a pass needs, coarse and fine, for |mu|^2 of its parts in standard deviations of q."""
        gain, coarse = math.expm1(units * UNIT), 0.0
        if self.coarse:
            widths = self.coarse.variances(gain, energies[0], lambda v: v)
            coarse = float((self.coarse.counts * np.log1p(widths)).sum()) / (2 * LN2)
        return coarse, self.n * math.log1p(energies[1] / self.n) / (2 * LN2)

    def products(self, mu: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        """Inner products of the coarse and of the fine parts of two vectors float32 (n,); with itself, |mu|^2."""
        whole = float(mu.astype(np.float64) @ other)
        if self.coarse is None:
            return 0.0, whole
        own = self.coarse.averaged(mu.reshape(self.shape)).astype(np.float64)
        coarse = float((own * (own if other is mu else self.coarse.averaged(other.reshape(self.shape)))).sum())
        return coarse, max(0.0, whole - coarse) if other is mu else whole - coarse

    def send(self, mu: np.ndarray, shares: Shares, units: int, key: Key) -> tuple[bytes, np.ndarray]:
        """(payload, sample float32 (n,)) for ``mu`` float32 (n,), both in standard deviations of q."""
        payload, coarse = b"", None
        mu = mu.reshape(self.shape)
        if self.coarse is not None:
            averages = self.coarse.averaged(mu)
            if shares.coarse:
                payload, coarse = self._send_coarse(self.coarse, averages, shares.coarse, units, _coarse_key(key))
            mu = mu - self.coarse.filled(averages)
        part, fine = b"", None
        if shares.fine:
            part, fine = polar.encode(mu.reshape(-1), shares.fine, key, self.paths)
        return payload + part, self._joined(fine, coarse, shares.fine, key)

    def receive(self, payload: bytes, bits: int, share: int, units: int, key: Key) -> np.ndarray:
        """The sample of :meth:`send`, float32 (n,). Raises CorruptStream."""
        shares = Shares.of(bits, share)
        size, coarse = shares.coarse // 8, None
        if size and (self.coarse is None or shares.coarse > self.coarse.n):
            raise CorruptStream("a diffusion pass has more coarse bits than places; the file is damaged")
        if self.coarse is not None and size:
            coarse = self._receive_coarse(self.coarse, payload[:size], units, _coarse_key(key))
        fine = polar.decode(payload[size:], self.n, shares.fine, key) if shares.fine else None
        return self._joined(fine, coarse, shares.fine, key)

    def _send_coarse(
        self, part: Coarse, averages: np.ndarray, bits: int, units: int, key: Key
    ) -> tuple[bytes, np.ndarray]:
        widths = self._coarse_widths(part, bits, units)
        mu = part.analysed(averages, key.part(Part.SILENT))
        curve = (1 - widths * widths) / 2
        payload, sample = trellis.encode(mu * widths, bits, key, self.L, curve)
        return payload, part.synthesised(sample * widths, key.part(Part.SILENT))

    def _receive_coarse(self, part: Coarse, payload: bytes, units: int, key: Key) -> np.ndarray:
        widths = self._coarse_widths(part, 8 * len(payload), units)
        sample = trellis.decode(payload, part.n, 8 * len(payload), key, self.L, labelled=True)
        return part.synthesised(sample * widths, key.part(Part.SILENT))

    def _coarse_widths(self, part: Coarse, bits: int, units: int) -> np.ndarray:
        """Standard deviations of p in those of q, float32 (n,)."""
        told = 2 * LN2 * trellis.delivered(bits, part.n, self.L)
        widths = np.sqrt(1 + part.variances(math.expm1(units * UNIT), told, np.log1p))
        return np.asarray(widths, np.float32)[part.classes]

    def _joined(self, fine: np.ndarray | None, coarse: np.ndarray | None, bits: int, key: Key) -> np.ndarray:
        """The sample of both parts: ``fine`` (n,), of so many bits, made wide, but for its averages, ``coarse``.

        Where nothing was told of a part, it is noise that both sides know.
        """
        fine = (normals(key.part(Part.SILENT), self.n) if fine is None else fine).reshape(self.shape)
        wide = np.float32(2 ** (polar.delivered(bits, self.n) / self.n) if bits else 1)
        sample: np.ndarray = fine * wide
        if self.coarse is not None:
            own = self.coarse.averaged(fine)
            sample += self.coarse.filled((own if coarse is None else coarse) - own * wide)
        return sample.reshape(-1)


def _coarse_key(key: Key) -> Key:
    return Key(key.seed, key.number, Purpose.COARSE)


@cache
def _walsh(order: int) -> np.ndarray:
    """Orthonormal and symmetric, float32 (order, order); ``order`` a power of two."""
    matrix = np.ones((1, 1))
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return np.asarray(matrix / math.sqrt(order), np.float32)


def _mixed(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Planes (C, h, w) by a matrix of colours, where there are three; else a copy."""
    return np.asarray(np.tensordot(matrix.astype(np.float32), x, 1)) if len(x) == 3 else x.copy()


def _halved(x: np.ndarray, axis: int) -> np.ndarray:
    """Averages, then differences, of neighbours along an axis, orthonormal; of an odd length the last stays."""
    x = np.moveaxis(x, axis, -1)
    pairs = x.shape[-1] // 2
    a, b, last = x[..., 0 : 2 * pairs : 2], x[..., 1 : 2 * pairs : 2], x[..., 2 * pairs :]
    r = np.float32(math.sqrt(0.5))
    return np.moveaxis(np.concatenate([(a + b) * r, last, (a - b) * r], -1), -1, axis)


def _doubled(y: np.ndarray, axis: int) -> np.ndarray:
    """Mirror of :func:`_halved`."""
    y = np.moveaxis(y, axis, -1)
    n = y.shape[-1]
    pairs = n // 2
    low, last, high = y[..., :pairs], y[..., pairs : n - pairs], y[..., n - pairs :]
    r = np.float32(math.sqrt(0.5))
    x = np.empty_like(y)
    x[..., 0 : 2 * pairs : 2], x[..., 1 : 2 * pairs : 2], x[..., 2 * pairs :] = (low + high) * r, (low - high) * r, last
    return np.moveaxis(x, -1, axis)
