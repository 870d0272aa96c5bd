"""NETWORKS.md §7: a denoiser asked at several sizes, its answers put together octave by octave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .unet import FloatUNet

OCTAVES = 5


def averages(x: np.ndarray, k: int) -> np.ndarray:
    """Of k x k blocks of (planes, H, W), sides multiples of k."""
    C, H, W = x.shape
    return x.reshape(C, H // k, k, W // k, k).mean((2, 4))


def repeated(x: np.ndarray, k: int) -> np.ndarray:
    return x.repeat(k, 1).repeat(k, 2)


def straight(x: np.ndarray, k: int) -> np.ndarray:
    """k times as large, in straight lines between the middles of points."""
    for axis in (1, 2):
        n = x.shape[axis]
        at = np.maximum((np.arange(k * n) + 0.5) / k - 0.5, 0)
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        x = (1 - share) * x.take(low, axis) + share * x.take(np.minimum(low + 1, n - 1), axis)
    return x


class Octaves:
    """eps_hat of architecture octaves-1."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any], of: FloatUNet):
        self.t, self.stretches, self.of, self.config = tensors, config["stretches"], of, of.config

    def weights(self, stretch: int, logsnr: float) -> np.ndarray:
        levels, table = (self.t[f"{stretch}.{name}"].astype(np.float64) for name in ("levels", "weights"))
        flat = [np.interp(logsnr, levels, column) for column in table.reshape(len(levels), -1).T]
        return np.array(flat).reshape(table.shape[1:])

    def answer(self, z: np.ndarray, logsnr: float, k: int, largest: bool) -> np.ndarray:
        _, H, W = z.shape
        z = np.pad(z, ((0, 0), (0, -H % k), (0, -W % k)), mode="reflect")
        there = min(logsnr + 2 * math.log(k), self.config["logsnr_max"])
        s2, before = 1 / (1 + math.exp(there)), 1 / (1 + math.exp(-logsnr))
        z = averages(z, k) * math.sqrt((1 - s2) / before)
        x = (z - math.sqrt(s2) * self.of.eps(z, there)) / math.sqrt(1 - s2)
        return (straight if largest else repeated)(x, k)[:, :H, :W]

    def eps(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        _, H, W = z.shape
        number = max([0, *(n for n, (start, _, _) in enumerate(self.stretches) if start <= logsnr)])
        _, factors, least = self.stretches[number]
        if factors == [1] or min(H, W) < least:
            return self.of.eps(z, logsnr)
        side = 2**OCTAVES
        parts = [self.answer(z, logsnr, k, k == min(factors)) for k in factors]
        parts = [np.pad(x, ((0, 0), (0, -H % side), (0, -W % side)), mode="edge") for x in parts]
        fine = parts[0] - repeated(averages(parts[0], 8), 8)
        energy = averages((fine**2).mean(0, keepdims=True), side)
        f = repeated(np.clip((np.log10(np.maximum(energy, 1e-30)) + 4) / 2, 0, 1), side)
        whole = np.zeros_like(z)
        for n, x in enumerate([*parts, *(f * x for x in parts)]):
            for b, (light, colour) in enumerate(self.weights(number, logsnr)[..., n]):
                own = repeated(averages(x, 2**b), 2**b)
                if b < OCTAVES:
                    own = own - repeated(averages(x, 2 ** (b + 1)), 2 ** (b + 1))
                mean = own.mean(0, keepdims=True)
                whole += (light * mean + colour * (own - mean))[:, :H, :W]
        s2 = 1 / (1 + math.exp(logsnr))
        return (z - math.sqrt(1 - s2) * whole) / math.sqrt(s2)
