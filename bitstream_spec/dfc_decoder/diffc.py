"""SPEC.md §5, DiffC: passes of reverse-channel coding, and the exact picture behind them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import context
from .ans import Stack, pop_gaussian
from .channel import draws, normals, polar, trellis
from .refused import refuse


class Chain:
    """z, and x of it."""

    def __init__(self, model: Any, shape: tuple[int, int], seed: int, L: int):
        self.model, self.seed, self.L, self.number = model, seed, L, 0
        self.units = round(1024 * model.config["logsnr_min"])
        self.top = round(1024 * model.config["logsnr_max"])
        self.n = 3 * shape[0] * shape[1]
        self.z = normals(seed, 0, 1, self.n).reshape(3, *shape)

    def x(self) -> np.ndarray:
        logsnr = self.units / 1024
        s2 = 1 / (1 + math.exp(logsnr))
        return (self.z - math.sqrt(s2) * self.model.eps(self.z, logsnr)) / math.sqrt(1 - s2)

    def advance(self, units: int, sample: np.ndarray) -> None:
        keep = math.exp(-units / 1024)
        alpha, then = (math.sqrt(1 / (1 + math.exp(-u / 1024))) for u in (self.units, self.units + units))
        s = math.sqrt(1 / (1 + math.exp((self.units + units) / 1024)))
        a, b, std = keep * then / alpha, (1 - keep) * then, math.sqrt(1 - keep) * s
        self.z = a * self.z + b * self.x() + std * sample.reshape(self.z.shape)
        self.units += units
        self.number += 1


def _classes(shape: tuple[int, ...], pixels_of_grey: bool) -> np.ndarray:
    """What is added to the common logit of the coarse coefficients (3, h, w)."""
    H, W = shape[1:]
    added = np.empty(shape)
    for c in range(3):
        less = (0.0, math.inf, math.inf)[c] if pixels_of_grey else (0.0, 1.3, 2.2)[c]
        h, w = H, W
        for octave in range(3):
            added[c, :h, :w] = 1.25 * octave - less
            h, w = -(-h // 2), -(-w // 2)
    return added


def _unhaar(y: np.ndarray, axis: int) -> np.ndarray:
    y = np.moveaxis(y, axis, -1)
    x, pairs = np.empty_like(y), y.shape[-1] // 2
    for i in range(pairs):
        low, high = y[..., i], y[..., y.shape[-1] - pairs + i]
        x[..., 2 * i], x[..., 2 * i + 1] = (low + high) / math.sqrt(2), (low - high) / math.sqrt(2)
    if y.shape[-1] % 2:
        x[..., -1] = y[..., pairs]
    return np.moveaxis(x, -1, axis)


class Wide:
    """The samples of methods 2 and 3."""

    def __init__(self, shape: tuple[int, int], grey: bool, seed: int, L: int):
        self.H, self.W, self.seed, self.L = *shape, seed, L
        self.n = 3 * self.H * self.W
        self.shape = (3, -(-self.H // 8), -(-self.W // 8))
        self.coarse_n = int(np.prod(self.shape))
        if self.coarse_n < 192:
            self.coarse_n = 0
        self.added = _classes(self.shape, grey).reshape(-1)

    def sample(self, path: list[int], share: int, units: int, number: int) -> np.ndarray:
        K = len(path)
        count = min(K, 8 * ((K * share + 1024) // 2048))
        if count > self.coarse_n:
            refuse("CorruptStream", "more coarse bits than coarse dimensions")
        if K > count:
            fine = np.array(polar(path[count:], self.n, self.seed, number, 0))
            blocks = min(K - count, max(-(-(K - count) // 4096), -(-self.n // 2**24)))
            told = (K - count) * 0.98 / (1 + 1.27 * ((K - count) / blocks) ** -0.554)
            width = 2 ** (told / self.n)
        else:
            fine, width = np.array(normals(self.seed, number, 3, self.n)), 1.0
        fine = fine.reshape(3, self.H, self.W)
        out = fine * width
        if self.coarse_n:
            averages = self._coarse(path[:count], units, number) if count else None
            for c in range(3):
                for i in range(self.shape[1]):
                    for j in range(self.shape[2]):
                        part = (c, slice(8 * i, 8 * i + 8), slice(8 * j, 8 * j + 8))
                        root = math.sqrt(fine[part].size)
                        own = fine[part].sum() / root
                        out[part] += ((own if averages is None else averages[c, i, j]) - own * width) / root
        return out

    def _coarse(self, path: list[int], units: int, number: int) -> np.ndarray:
        d = math.expm1(units / 1024)
        told = 2 * math.log(2) * (0.9365 - 0.0075 * (14 - self.L)) * len(path) ** 2 / (len(path) + 6)
        low, high = -50.0, 50.0
        for _ in range(60):
            middle = (low + high) / 2
            if np.log1p(d / (1 + np.exp(-(middle + self.added)))).sum() < told:
                low = middle
            else:
                high = middle
        widths = np.sqrt(1 + d / (1 + np.exp(-(low + self.added))))
        y = np.array(trellis(path, self.coarse_n, self.seed, number, 8, self.L, labelled=True)) * widths
        for added in set(self.added.tolist()):
            places = np.flatnonzero(self.added == added)
            order = 1
            while order * 2 <= min(64, len(places)):
                order *= 2
            across = len(places) // order
            whole = y[places[: across * order]].reshape(order, across)
            mixed = [
                sum((-1) ** bin(r & s).count("1") * whole[s] for s in range(order)) / math.sqrt(order)
                for r in range(order)
            ]
            y[places[: across * order]] = np.concatenate(mixed)
        signs = 1 - 2.0 * (draws(self.seed, number, 131, 0, self.coarse_n) & 1)
        y = (y * signs).reshape(self.shape)
        sizes = [self.shape[1:]]
        sizes.append((-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
        for h, w in reversed(sizes):
            y[:, :h, :w] = _unhaar(_unhaar(y[:, :h, :w], 2), 1)
        a, b, c = y[0] / math.sqrt(3), y[1] / math.sqrt(2), y[2] / math.sqrt(6)
        return np.stack([a + b + c, a - 2 * c, a - b + c])


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k in range(5):
        if at + k >= len(data):
            break
        value |= (data[at + k] & 127) << 7 * k
        if data[at + k] < 128:
            if (k and not data[at + k]) or value >= 2**32:
                break
            return value, at + k + 1
    refuse("CorruptStream", "a number of a pass")


def decode(
    params: bytes, passes: list[bytes], shape: tuple[int, int, int], n_extra: int, seed: int, model: Any, given: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(photo, extra): the "mean", or the exact picture."""
    H, W, C = shape
    exact, wide = params[:1] in (b"\x01", b"\x03"), params[:1] in (b"\x02", b"\x03")
    whole = len(params) >= 2 and params[0] < 4 and (exact or len(params) == 2)
    if not whole or not 3 <= params[1] <= 14 or C not in (1, 3):
        refuse("CorruptStream", "parameters of diffc")
    chain, spread = Chain(model, (H, W), seed, params[1]), Wide((H, W), C == 1, seed, params[1])
    extra = np.zeros((H, W, 0), np.uint8)
    if n_extra:
        if not passes:
            refuse("CorruptStream", "no pass of the extra planes")
        extra = np.array(context.decode(passes[0], H, W, n_extra), np.uint8)
    photo = None
    for payload in passes[bool(n_extra) :]:
        if photo is not None:
            refuse("CorruptStream", "a payload follows the exact picture")
        if exact and payload[:2] == b"\0\0":
            photo = remainder(payload[2:], chain.x().transpose(1, 2, 0)[..., :C])
            continue
        if not payload:
            refuse("CorruptStream", "a payload without a pass")
        at = 0
        while at < len(payload):
            bits, at = varint(payload, at)
            units, at = varint(payload, at)
            share = payload[at] if wide and bits and at < len(payload) else 0
            at += wide and bits > 0
            data = payload[at : at + -(-bits // 8)]
            at += -(-bits // 8)
            if bits > chain.n or not 1 <= units <= chain.top - chain.units or at > len(payload):
                refuse("CorruptStream", "a pass contradicts the picture")
            path = [byte >> 7 - i & 1 for byte in data for i in range(8)]
            if any(path[bits:]):
                refuse("CorruptStream", "bits behind a pass")
            if bits and wide:
                sample = spread.sample(path[:bits], share, units, chain.number)
            elif bits:
                sample = np.array(trellis(path[:bits], chain.n, seed, chain.number, 0, chain.L))
            else:
                sample = normals(seed, chain.number, 3, chain.n)
            chain.advance(units, sample)
    if (chain.number == 0 and not (given and not exact)) or (exact and photo is None):
        refuse("CorruptStream", "the stream ends before its last pass")
    if photo is None:
        x = chain.x().transpose(1, 2, 0)
        levels = np.clip(np.rint((x + 1) * 127.5), 0, 255)
        photo = (levels if C == 3 else np.rint(levels.mean(2, keepdims=True))).astype(np.uint8)
    return photo, extra


def remainder(payload: bytes, x: np.ndarray) -> np.ndarray:
    """The exact picture from x (H, W, C) and what follows the bytes 00 00."""
    H, W, C = x.shape
    scales = [int.from_bytes(payload[2 * c : 2 * c + 2], "little") for c in range(C)]
    if len(payload) < 2 * C or max(scales) > 384:
        refuse("CorruptStream", "the scales of the remainder")
    mean64 = np.rint((np.clip(x.astype(np.float64), -2, 2) + 1) * (127.5 * 64)).astype(np.int64)
    stack, out = Stack(payload[2 * C :]), np.zeros(x.shape, np.uint8)
    for y in range(H):
        for column in range(W):
            for c in range(C):
                out[y, column, c] = pop_gaussian(stack, int(mean64[y, column, c]), scales[c])
    stack.finish()
    return out
