"""NETWORKS.md §3 and §4: the U-Net in floats and in integers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np

from .given import Observed
from .refused import refuse

F32 = np.float32


def replicated(z: np.ndarray, multiple: int) -> np.ndarray:
    """(planes, H, W) continued by its border below and on the right."""
    H, W = z.shape[1:]
    return np.pad(z, ((0, 0), (0, -H % multiple), (0, -W % multiple)), mode="edge")


def shuffled(x: np.ndarray) -> np.ndarray:
    """(4 C, h, w) -> (C, 2 h, 2 w): channel 4 c + 2 i + j is row i, column j of each 2x2."""
    C, h, w = x.shape[0] // 4, x.shape[1], x.shape[2]
    return x.reshape(C, 2, 2, h, w).transpose(0, 3, 1, 4, 2).reshape(C, 2 * h, 2 * w)


def convolved(x: np.ndarray, weight: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Cross-correlation of (C, H, W) with (out, C, k, k), sums in double."""
    k = weight.shape[2]
    x = np.pad(x.astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    h, w = (x.shape[1] - k) // stride + 1, (x.shape[2] - k) // stride + 1
    out = np.zeros((len(weight), h * w))
    for i in range(k):
        for j in range(k):
            part = x[:, i : i + stride * h : stride, j : j + stride * w : stride].reshape(len(x), -1)
            out += weight[:, :, i, j].astype(np.float64) @ part
    return out.reshape(-1, h, w)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


class FloatUNet:
    """v_hat of the float network, in double: a reader need not round as another does."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any]):
        self.t = {name: value.astype(np.float64) for name, value in tensors.items()}
        self.config = config

    def conv(self, x: np.ndarray, name: str, stride: int = 1, padding: int = 0) -> np.ndarray:
        return convolved(x, self.t[name + ".weight"], stride, padding) + self.t[name + ".bias"][:, None, None]

    def linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return self.t[name + ".weight"] @ x + self.t[name + ".bias"]

    def block(self, x: np.ndarray, e: np.ndarray, name: str) -> np.ndarray:
        scale, shift = np.split(self.linear(e, name + ".film")[:, None, None], 2)
        h = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
        h = silu(h * (1 + scale) + shift)
        return x + self.conv(silu(self.conv(h, name + ".conv1", padding=1)), name + ".conv2", padding=1)

    def timed(self, logsnr: float) -> np.ndarray:
        """The first layer of the embedding."""
        E = self.config["embedding"]
        angles = logsnr * 2 * np.exp(np.arange(E // 2) * (-math.log(100) / (E // 2)))
        return self.linear(np.concatenate([np.sin(angles), np.cos(angles)]), "time1")

    def stem(self, z: np.ndarray, noise: float | np.ndarray) -> np.ndarray:
        """Features of z, whose sides are multiples of 2^n, with the noise of all or of each of its points."""
        stem = self.t["stem"]
        half = len(stem) // 2
        contrast = stem[half:] - stem[half:].mean((2, 3), keepdims=True)
        level, noisy = (np.pad(one, ((0, 0), (2, 2), (2, 2)), mode="edge") for one in (z, z / noise))
        return np.concatenate([convolved(level, stem[:half], 2), np.arcsinh(convolved(noisy, contrast, 2))])

    def middle(self, h: np.ndarray) -> np.ndarray:
        """Behind the middle block of the lowest resolution, the later of two."""
        return h

    def through(self, h: np.ndarray, e: np.ndarray) -> np.ndarray:
        """v of features h and of the embedding."""
        blocks, kept = self.config["blocks"], []
        for level, count in enumerate(blocks):
            if level:
                kept.append(h)
                h = self.conv(h, f"coarser.{level - 1}", stride=2)
            for k in range(count):
                h = self.block(h, e, f"down.{level}.{k}")
                if level == len(blocks) - 1 and k == count // 2:
                    h = self.middle(h)
        for level in reversed(range(len(blocks) - 1)):
            h = kept[level] + shuffled(self.conv(h, f"finer.{level}"))
            for k in range(blocks[level]):
                h = self.block(h, e, f"up.{level}.{k}")
        return shuffled(self.conv(h, "head", padding=1))

    def v(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        """(3, H, W) -> (3, H, W)."""
        H, W = z.shape[1:]
        self.e = silu(self.linear(silu(self.timed(logsnr)), "time2"))
        self.first = self.stem(replicated(z, 2 ** len(self.config["blocks"])), math.sqrt(1 / (1 + math.exp(logsnr))))
        return self.through(self.first, self.e)[:, :H, :W]

    def eps(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        s2 = 1 / (1 + math.exp(logsnr))
        return math.sqrt(s2) * z + math.sqrt(1 - s2) * self.v(z, logsnr)


class White:
    """The test model: pixels that are independent N(0, 0.3), and perhaps averages of boxes that are known."""

    def __init__(self) -> None:
        self.config = {"logsnr_min": -8.0, "logsnr_max": 13.5}
        self.k, self.y, self.R = 1, None, 0.0

    def given(self, observed: Observed) -> White:
        if observed.operator != "box" or self.y is not None:
            refuse("ModelMismatch", f"the test model was given {observed.operator}, or more than once")
        other = White()
        other.k = observed.numbers[0]
        y = observed.samples.transpose(2, 0, 1) / 127.5 - 1
        other.y = y if len(y) == 3 else y.repeat(3, axis=0)
        other.R = (2 / 255) ** 2 / 12
        if observed.augmentation is not None:
            other.R += math.exp(-observed.augmentation / 1024)
        return other

    def eps(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        s2 = 1 / (1 + math.exp(logsnr))
        a2 = 1 - s2
        out = z / (a2 * 0.3 + s2)
        if self.y is not None:
            _, H, W = z.shape
            for row in range(0, H, self.k):
                for column in range(0, W, self.k):
                    box = np.s_[:, row : row + self.k, column : column + self.k]
                    n = z[box][0].size
                    g = 0.3 / (0.3 + n * self.R)
                    y = self.y[:, row // self.k, column // self.k]
                    average = z[box].mean(axis=(1, 2))
                    along = (average - math.sqrt(a2) * g * y) / (a2 * (1 - g) * 0.3 + s2)
                    out[box] += (along - average / (a2 * 0.3 + s2))[:, None, None]
        return math.sqrt(s2) * out


@lru_cache(maxsize=4096)
def signal(units: int) -> tuple[float, float]:
    """alpha and sigma at a log-SNR in 1/1024, correctly rounded."""
    with localcontext() as context:
        context.prec = 40
        e = (Decimal(units) / 1024).exp()
        return float((e / (1 + e)).sqrt()), float((1 / (1 + e)).sqrt())


@lru_cache(maxsize=1)
def edges() -> np.ndarray:
    """sinh((j + 1/2)/64), j = 0 ... 895."""
    with localcontext() as context:
        context.prec = 30
        e = [(Decimal(2 * j + 1) / 128).exp() for j in range(896)]
        return np.array([float((v - 1 / v) / 2) for v in e])


class IntegerUNet:
    """v of the integer network, float32, the same everywhere."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any]):
        self.t, self.config = tensors, config

    def affine(self, codes: np.ndarray, name: str, stride: int = 1, padding: int = 0) -> np.ndarray:
        sums = convolved(codes, self.t[name + ".weight"], stride, padding).astype(F32)
        return sums * self.t[name + ".multiplier"] + self.t[name + ".bias"]

    def codes(self, h: np.ndarray, name: str) -> np.ndarray:
        limit = F32(self.t[name + ".limit"])
        return np.clip(np.rint(h * F32(self.t[name + ".input"])), -limit, limit)

    def look(self, t: np.ndarray, name: str) -> np.ndarray:
        return self.t[name + ".table"][np.clip(np.rint(t), -768, 1791).astype(np.int64) + 768]

    def block(self, h: np.ndarray, name: str, film: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        C, wide = len(h), h.astype(np.float64)
        s1, s2 = wide.sum(0), (wide * wide).sum(0)
        r = (1 / np.sqrt(C * s2 - s1 * s1 + 1e-5 * C * C * 4096)).astype(F32)
        t = (C * wide - s1).astype(F32) * r * film[0] + film[1]
        inner = self.affine(self.look(t, name + ".conv1"), name + ".conv1", padding=1)
        outer = np.rint(self.affine(self.look(inner, name + ".conv2"), name + ".conv2", padding=1))
        return np.clip(outer + h, F32(-65000), F32(65000))

    def films(self, units: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """(scale + 64, shift) of every block: down, then up from the finest level."""
        film = self.t["film"].astype(np.float64)
        d = units - round(1024 * self.config["logsnr_min"])
        j = min(max(d // 128, 0), len(film) - 2)
        row = (film[j] * (128 * (j + 1) - d) + film[j + 1] * (d - 128 * j)) * (64 / 1024 / 128)
        pairs = list(zip(self.config["channels"], self.config["blocks"], strict=True))
        out, at = [], 0
        for C, count in [*pairs, *pairs[:-1]]:
            for _ in range(count):
                g, b = row[at : at + C] + 64, row[at + C : at + 2 * C]
                out.append((g.astype(F32)[:, None, None], b.astype(F32)[:, None, None]))
                at += 2 * C
        return out

    def v(self, Z: np.ndarray, units: int, noise: float) -> np.ndarray:
        """``Z`` whole numbers of 2^-16, (planes, H, W); ``noise`` is s_t."""
        H, W = Z.shape[1:]
        blocks, t = self.config["blocks"], self.t
        Z = np.pad(replicated(Z, 2 ** len(blocks)), ((0, 0), (2, 2), (2, 2)), mode="edge").astype(np.float64)
        stem = t["stem.weight"].T.reshape(-1, len(Z), 6, 6)
        sums, half = convolved(Z, stem, 2), len(stem) // 2
        level = np.rint(sums[:half] * t["stem.level"][:, None, None])
        u = sums[half:] * (t["stem.contrast"] * (1 / noise))[:, None, None]
        h = np.concatenate([level, np.sign(u) * np.searchsorted(edges(), np.abs(u), "left")]).astype(F32)
        self.first = h
        films = self.films(units)
        starts = np.cumsum([0, *blocks, *blocks[:-1]])
        kept = []
        for n, count in enumerate(blocks):
            if n:
                kept.append(h)
                h = np.rint(self.affine(self.codes(h, f"coarser.{n - 1}"), f"coarser.{n - 1}", stride=2))
            for k in range(count):
                h = self.block(h, f"down.{n}.{k}", films[starts[n] + k])
        for n in reversed(range(len(blocks) - 1)):
            h = kept[n] + shuffled(np.rint(self.affine(self.codes(h, f"finer.{n}"), f"finer.{n}")))
            for k in range(blocks[n]):
                h = self.block(h, f"up.{n}.{k}", films[starts[len(blocks) + n] + k])
        return shuffled(self.affine(self.codes(h, "head"), "head", padding=1))[:, :H, :W]

    def x_hat(self, z: np.ndarray, units: int) -> np.ndarray:
        """E[x|z] in double from z (3, H, W) of float32."""
        alpha, sigma = signal(units)
        v = self.v(np.rint(z.astype(np.float64) * 65536), units, sigma)
        return alpha * z.astype(np.float64) - sigma * v.astype(np.float64)
