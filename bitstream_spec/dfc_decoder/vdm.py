"""ARCHIVE.md §3: the bits-back chain of a group's pictures, with the integer U-Net."""

from __future__ import annotations

import math
import zlib
from decimal import Decimal, localcontext

import numpy as np

from .ans import GAUSSIAN_INV, Stack, gaussian_edge
from .refused import refuse
from .unet import IntegerUNet, signal

F32 = np.float32
LN2 = Decimal("0.693147180559945309417232121458")


def exp(value: Decimal) -> float:
    with localcontext() as context:
        context.prec = 30
        return float(value.exp())


class Schedule:
    """The parameters of an archive; ``rest`` is what follows, the environment of a pinned one."""

    def __init__(self, data: bytes):
        def number(at: int, size: int = 2, signed: bool = False) -> int:
            return int.from_bytes(data[at : at + size], "little", signed=signed)

        self.T, self.scale, n = number(0), number(2), number(4)
        if len(data) < 14 + 4 * n or not 1 <= self.T <= 2000 or self.scale > 384 or not 2 <= n <= 256:
            refuse("CorruptStream", "the schedule of the archive")
        self.knots = [number(6 + 2 * i, signed=True) for i in range(n)]
        self.errors = [number(6 + 2 * n + 2 * i, signed=True) for i in range(n)]
        at = 6 + 4 * n
        first, size = number(at, 4, True), number(at + 4, 4, True)
        engine = zlib.decompressobj()
        try:
            raw = engine.decompress(data[at + 8 : at + 8 + max(0, size)], 2 * self.T + 1)
        except zlib.error:
            refuse("CorruptStream", "the steps of the archive cannot be inflated")
        steps = [int.from_bytes(raw[i : i + 2], "little") for i in range(0, len(raw), 2)]
        rising = all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False)) and min(self.errors) >= -2560
        if len(raw) != 2 * self.T or not engine.eof or engine.unused_data or min(steps) < 1 or not rising:
            refuse("CorruptStream", "the schedule of the archive")
        self.units = [first]
        for step in steps:
            self.units.append(self.units[-1] - step)
        if max(map(abs, self.units)) > 34768:
            refuse("CorruptStream", "a log-SNR of the archive")
        self.rest = data[at + 8 + size :]

    def mse(self, u: int) -> float:
        k = self.knots
        j = max([0, *(i for i in range(len(k) - 1) if k[i] <= u)])
        low, high = self.errors[j], self.errors[j + 1]
        c = low + (high - low) * (min(max(u, k[j]), k[j + 1]) - k[j]) // (k[j + 1] - k[j])
        return exp(-c * LN2 / 256)


class Chain:
    """The Gaussians of every step."""

    def __init__(self, schedule: Schedule, net: IntegerUNet):
        self.net, self.units, self.T, self.scale = net, schedule.units, schedule.T, schedule.scale
        self.alpha, self.sigma = zip(*(signal(u) for u in self.units), strict=True)
        keep = [exp(Decimal(self.units[i + 1] - self.units[i]) / 1024) for i in range(self.T)]
        mse = [schedule.mse(u) for u in self.units]
        self.a = [k * self.alpha[i] / self.alpha[i + 1] for i, k in enumerate(keep)]
        self.b = [(1 - k) * self.alpha[i] for i, k in enumerate(keep)]
        std = [math.sqrt(1 - k) * self.sigma[i] for i, k in enumerate(keep)]
        self.p_std = [math.sqrt(s * s + b * b * e) for s, b, e in zip(std, self.b, mse[1:], strict=True)] + [1.0]
        self.q_std = [self.sigma[0], *(math.sqrt(1 - k) * self.sigma[i + 1] for i, k in enumerate(keep))]
        self.cell = [min(q, p) / 4 for q, p in zip(self.q_std, self.p_std, strict=True)]
        if max(s / c for row in (self.q_std, self.p_std) for s, c in zip(row, self.cell, strict=True)) > 10000:
            refuse("CorruptStream", "a Gaussian of the schedule is too wide")

    def x_hat(self, Z: np.ndarray, i: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(z_i, x_hat), both in double and flat."""
        z = (Z * self.cell[i]).astype(F32)
        found = [self.net.x_hat(picture, self.units[i]) for picture in z.reshape(shape)]
        return z.astype(np.float64), np.stack(found).ravel()

    def p(self, Z: np.ndarray, i: int, shape: tuple[int, ...]) -> np.ndarray:
        """mean64 of p(Z_i|Z_{i+1})."""
        z, x = self.x_hat(Z, i + 1, shape)
        mean = self.a[i] * z + self.b[i] * x
        return np.rint(np.clip(mean, -1000, 1000) * (64 / self.cell[i])).astype(np.int64)


class Window:
    """Cells about a mean for a standard deviation in cells."""

    def __init__(self, sigma: float, escapes: bool):
        self.inverse, self.R, self.escapes = round(2**24 / sigma), math.ceil(8.5 * sigma) + 1, escapes
        self.size = 2 * self.R + 1

    def edge(self, k: int, mean64: int, centre: int) -> int:
        return gaussian_edge(k, mean64 + 64 * (self.R - centre), self.inverse, self.size)

    def pop(self, stack: Stack, means: np.ndarray) -> np.ndarray:
        out = []
        for mean64 in means.tolist():
            centre = (mean64 + 32) >> 6
            cell = stack.pop(lambda k, m=mean64, c=centre: self.edge(k, m, c), self.size)
            if self.escapes and cell in (0, self.size - 1):
                out.append(stack.pop_bits(24) - 2**23)
            else:
                out.append(cell + centre - self.R)
        return np.array(out, np.int64)

    def push(self, stack: Stack, Z: np.ndarray, means: np.ndarray) -> None:
        """Of q: no escapes."""
        for z, mean64 in zip(Z[::-1].tolist(), means[::-1].tolist(), strict=True):
            centre = (mean64 + 32) >> 6
            cell = z - centre + self.R
            if not 0 <= cell < self.size:
                refuse("CorruptStream", "a latent lies outside of its window")
            start = self.edge(cell, mean64, centre)
            stack.push(start, self.edge(cell + 1, mean64, centre) - start)


def pop_batch(stack: Stack, chain: Chain, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 of shape (pictures, 3, H, W)."""
    Z = Window(chain.p_std[-1] / chain.cell[-1], True).pop(stack, np.zeros(math.prod(shape), np.int64))
    for i in reversed(range(chain.T)):
        after = Z
        Z = Window(chain.p_std[i] / chain.cell[i], True).pop(stack, chain.p(Z, i, shape))
        factor = 64 * chain.alpha[i + 1] / chain.alpha[i] * chain.cell[i] / chain.cell[i + 1]
        means = np.rint(Z * factor).astype(np.int64)
        Window(chain.q_std[i + 1] / chain.cell[i + 1], False).push(stack, after, means)
    x = chain.x_hat(Z, 0, shape)[1]
    means = np.rint((np.clip(x, -2, 2) + 1) * (127.5 * 64)).astype(np.int64)
    inverse = GAUSSIAN_INV[chain.scale]
    levels = [stack.pop(lambda k, m=m: gaussian_edge(k, m, inverse, 256), 256) for m in means.tolist()]
    x = np.array(levels) / 127.5 - 1
    means = np.rint(x * (64 * chain.alpha[0] / chain.cell[0])).astype(np.int64)
    Window(chain.q_std[0] / chain.cell[0], False).push(stack, Z, means)
    return np.array(levels, np.uint8).reshape(shape)


def decode(
    payload: bytes, shapes: list[tuple[int, int]], sizes: list[int], chain: Chain
) -> tuple[list[np.ndarray], bytes]:
    """(pictures uint8 (H, W, 3), the bytes that the stack began with)."""
    stack, at, out = Stack(payload), len(shapes), []
    for size in reversed(sizes):
        at -= size
        found = pop_batch(stack, chain, (size, 3, *shapes[at]))
        out[:0] = [picture.transpose(1, 2, 0) for picture in found]
    initial = stack.to_bytes()
    if not initial.endswith(b"\1"):
        refuse("CorruptStream", "the bits under the first picture of a group are not those it began with")
    return out, initial[:-1]
