"""NETWORKS.md §8: a float U-Net that may be given one thing of the picture. Files are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .given import Observed
from .octaves import averages, repeated
from .refused import refuse
from .unet import FloatUNet, convolved, replicated, silu

KINDS = ("box", "luma", "chroma", "mask", "file")
FACTS = 140
#: R, G, B -> luma, and both kinds of chroma
MATRIX = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]]) / 65536
BACK = np.linalg.inv(MATRIX)


@dataclass
class Shown:
    """What the network sees, and y: (3, H, W), what its x_hat is made to agree with."""

    planes: np.ndarray
    facts: np.ndarray
    precision: float
    y: np.ndarray


def enlarged(x: np.ndarray, k: int) -> np.ndarray:
    """(planes, h, w) k times as large, by Keys' cubic with a = -3/4."""
    for axis in (1, 2):
        n = x.shape[axis]
        at = (np.arange(k * n) + 0.5) / k - 0.5
        low = np.floor(at).astype(int)
        parts = []
        for point in (low - 1, low, low + 1, low + 2):
            d = np.abs(at - point)
            w = np.where(d <= 1, 1.25 * d**3 - 2.25 * d**2 + 1, -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3)
            parts.append(w.reshape([-1 if a == axis else 1 for a in range(3)]) * x.take(np.clip(point, 0, n - 1), axis))
        x = sum(parts)
    return x


def continued(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Planes (3, H, W), the points that are not ``known`` bool (H, W) taken from half the size, and smoothed."""
    _, H, W = x.shape
    if known.all() or H * W == 1:
        return x * known
    sums, counts = (
        averages(np.pad(one, ((0, 0), (0, H % 2), (0, W % 2))), 2) for one in (x * known, known[None].astype(float))
    )
    half = continued(sums / np.maximum(counts, 0.25), counts[0] > 0)
    for axis in (1, 2):  # twice as large, linearly
        n = half.shape[axis]
        at = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        far = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        half = (1 - far) * half.take(low, axis) + far * half.take(np.minimum(low + 1, n - 1), axis)
    out = np.where(known, x, half[:, :H, :W])
    for _ in range(4):
        wide = np.pad(out, ((0, 0), (1, 1), (1, 1)), mode="edge")
        around = sum(wide[:, i : i + H, j : j + W] for i in range(3) for j in range(3)) / 9
        out = np.where(known, x, around)
    return out


def beyond(d: np.ndarray) -> np.ndarray:
    """What is left of d where rounding leaves half a level open."""
    return d - np.clip(d, -1 / 255, 1 / 255)


def boxes(d: np.ndarray, k: int) -> np.ndarray:
    """At every point of (planes, H, W) the average of those of its box that there are."""
    _, H, W = d.shape
    sums, counts = (averages(np.pad(one, ((0, 0), (0, -H % k), (0, -W % k))), k) for one in (d, np.ones_like(d[:1])))
    return repeated(sums / counts, k)[:, :H, :W]


def coloured(matrix: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.einsum("kc,chw->khw", matrix, d)


class GivenUNet(FloatUNet):
    """eps_hat of architecture vdm-unet-given-1."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any]):
        super().__init__(tensors, config)
        self.observed: Observed | None = None

    def given(self, observed: Observed) -> GivenUNet:
        if self.observed is not None:
            refuse("ModelMismatch", "the network takes one thing, and was given more")
        other = GivenUNet({}, self.config)
        other.t, other.observed = self.t, observed
        return other

    def known(self, size: tuple[int, int]) -> np.ndarray:
        """Of a mask or a part, bool (H, W)."""
        observed = self.observed
        assert observed is not None
        if observed.known is not None:
            return observed.known
        top, left, height, width = observed.numbers
        known = np.zeros(size, bool)
        known[top : top + height, left : left + width] = True
        return known

    def shown(self, size: tuple[int, int]) -> Shown:
        """For a picture of this size."""
        told, observed = np.zeros(FACTS), self.observed
        if observed is None:
            return Shown(np.zeros((4, *size)), told, 0.0, np.zeros((3, *size)))
        operator, k = observed.operator, observed.numbers[0] if observed.operator in ("box", "chroma") else 1
        samples, where = observed.samples.transpose(2, 0, 1).astype(np.float64), np.ones(size, bool)
        y = np.broadcast_to(samples / 127.5 - 1, (3, *samples.shape[1:]))
        planes, error = y, 0.0
        if operator == "box":
            planes, y = (one(y, k)[:, : size[0], : size[1]] for one in (enlarged, repeated))
            error = 0.0008 * k**1.5
        elif operator == "luma":
            error = 0.02
        elif operator == "chroma":
            planes = y = coloured(BACK, samples - np.array([0, 128, 128])[:, None, None]) / 127.5 - 1
            error = 0.001 * k
        else:
            where = self.known(size)
            planes = np.zeros((3, *size))
            planes[:, where] = y[:, where] if operator == "mask" else y.reshape(3, -1)
            y, planes, error = planes, continued(planes, where), 0.03
        told[KINDS.index("mask" if operator == "crop" else operator)] = 1
        told[5] = math.log2(k) / 3
        if observed.augmentation is None:
            told[6] = 1
        else:
            told[7] = min(observed.augmentation / 1024, 13) / 8
            error += math.exp(-observed.augmentation / 1024)
        told[11] = len(samples) == 1
        return Shown(np.concatenate([planes, where[None]]), told, 1 / error, y)

    def agreeing(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """x_hat that agrees with what was given."""
        observed = self.observed
        if observed is None or observed.augmentation is not None:
            return x
        d = y - x
        if observed.operator == "box":
            moved = beyond(boxes(d, observed.numbers[0]))
        elif observed.operator == "luma":
            moved = beyond(coloured(MATRIX[:1], d))
        elif observed.operator == "chroma":
            colours = coloured(MATRIX, d)
            moved = coloured(BACK, beyond(np.concatenate([colours[:1], boxes(colours[1:], observed.numbers[0])])))
        else:
            moved = d * self.known(d.shape[1:])
        return x + moved

    def x_hat(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        """(3, H, W) -> (3, H, W)."""
        H, W = z.shape[1:]
        shown = self.shown((H, W))
        z, planes = (replicated(one, 2 ** len(self.config["blocks"])) for one in (z, shown.planes))
        snr, p = math.exp(logsnr), shown.precision
        share = 1 / (1 + (self.config.get("fades", 10) * snr / p) ** 2) if p else 0.0
        error = (share**2 / p if p else 0.0) + (1 - share) ** 2 / snr
        there = min(-math.log(error), self.config["logsnr_max"])
        a2, noise = 1 / (1 + math.exp(-there)), math.sqrt(1 / (1 + math.exp(there)))
        z = math.sqrt(a2) * (share * planes[:3] + (1 - share) * math.sqrt(1 + math.exp(-logsnr)) * z)
        told = self.linear(np.append(shown.facts, [share, logsnr / 8]), "told1")
        e = self.timed(there) + self.linear(silu(told), "told2")
        self.e = e = silu(self.linear(silu(e), "time2"))
        of_z, of_seen = np.split(1 + self.linear(e, "mix")[:, None, None], 2)
        padded = np.pad(planes, ((0, 0), (2, 2), (2, 2)), mode="edge")
        self.first = of_z * self.stem(z, noise) + of_seen * convolved(padded, self.t["seen"], 2)
        x = math.sqrt(a2) * z - noise * self.through(self.first, e)
        return self.agreeing(x[:, :H, :W], shown.y)

    def eps(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        s2 = 1 / (1 + math.exp(logsnr))
        return (z - math.sqrt(1 - s2) * self.x_hat(z, logsnr)) / math.sqrt(s2)
