"""ORDERED.md: ARDM in any order, with the masked U-Net in integers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from .ans import Stack, pop_pixel
from .channel import draws
from .refused import refuse
from .unet import IntegerUNet

F32 = np.float32


def order_of(kind: int, height: int, width: int, seed: int) -> list[int]:
    n = height * width
    d = draws(seed, 0, 6, 0, 4 * n).tolist()
    keys = [d[4 * i] << 48 | d[4 * i + 1] << 32 | d[4 * i + 2] << 16 | d[4 * i + 3] for i in range(n)]
    if kind == 0:
        return sorted(range(n), key=lambda i: (keys[i], i))

    def zeros(i: int) -> int:
        both = i // width | i % width
        return (both & -both).bit_length() - 1 if both else 30

    return sorted(range(n), key=lambda i: (-zeros(i), keys[i], i))


def units_of(D: int, calls: int, profile: list[int]) -> list[tuple[int, int]]:
    """First and last place of the tokens of each call."""
    planned, m = min(D, 4096), len(profile) - 1
    K = max(1, min(calls, planned))
    L, least = [], None
    for a in range(D):
        at = a * m
        k = at // D
        bits = profile[k] + (profile[k + 1] - profile[k]) * (at - k * D) // D
        least = bits if least is None else min(least, bits)
        L.append(least)
    L = [L[a * D // planned] for a in range(planned)]
    cost = [[b * L[0] for b in range(planned + 1)]]
    for k in range(1, K):  # k + 1 calls up to b, of which the last stands at a
        row = [0] * (planned + 1)
        for b in range(k + 1, planned + 1):
            row[b] = min(cost[-1][a] + (b - a) * L[a] for a in range(k, b))
        cost.append(row)
    places, b = [], planned
    for k in range(K - 1, 0, -1):
        values = {a: cost[k - 1][a] + (b - a) * L[a] for a in range(k, b)}
        b = min(values, key=lambda a: (values[a], a))
        places.append(b)
    ends = [a * D // planned for a in [0, *reversed(places)]]
    return list(zip(ends, [*ends[1:], D], strict=True))


class Masked:
    """Parameters of every pixel from the known ones."""

    vocabulary = 256

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any]):
        self.net, self.profile, self.K = IntegerUNet(tensors, config), config["profile"], config["components"]

    def ask(self, image: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(base int64 (H, W, 3), parameters int64 (10 K, H, W)) of uint8 (H, W, 3) and bool (H, W)."""
        H, W = known.shape
        masked = np.where(known[..., None], image, 0).astype(np.int64)
        planes = np.pad(np.concatenate([masked, known[..., None].astype(np.int64)], 2), ((5, 5), (5, 5), (0, 0)))
        sums = np.zeros((H, W, 4), np.int64)
        for dy in range(-5, 6):
            for dx in range(-5, 6):
                d2 = dy * dy + dx * dx
                weight = 4 ** (7 - d2) if d2 < 7 else 1
                sums += weight * planes[5 + dy : 5 + dy + H, 5 + dx : 5 + dx + W]
        n = sums[..., 3:] + 1
        base = (2 * (4 * sums[..., :3] + 512) + n) // (2 * n)
        filled = np.where(known[..., None], 4 * image.astype(np.int64), base) - 512
        Z = np.concatenate([filled, 512 * known[..., None].astype(np.int64)], 2).transpose(2, 0, 1) * 128
        k, D = int(known.sum()), H * W
        with localcontext() as context:
            context.prec = 30
            u = math.floor((Decimal(2 * k + 1) / (2 * (D - k) + 1)).ln() * 1024 + Decimal("0.5"))
        v = self.net.v(Z, min(max(u, -8192), 8192), 1 / 64).reshape(10, self.K, H, W)
        low = np.array([0] * 4 + [-3] * 3 + [0] * 3, F32)[:, None, None, None]
        unit = np.array([64] + [256] * 3 + [32] * 3 + [256] * 3, F32)[:, None, None, None]
        rows = np.clip(np.rint((v - low) * unit), -(2**20), 2**20)
        return base, rows.astype(np.int64).reshape(10 * self.K, H, W)


def decode(params: bytes, passes: list[bytes], shape: tuple[int, int, int], seed: int, model: Masked) -> np.ndarray:
    """The photo planes of method 3; ``params`` behind the method's byte."""
    kind, calls = params[0] if params else 9, int.from_bytes(params[1:3], "little")
    if len(params) < 3 or kind > 1 or not 1 <= calls <= 4096:
        refuse("CorruptStream", "parameters of the order")
    H, W, C = shape
    places, units = order_of(kind, H, W, seed), units_of(H * W, calls, model.profile)
    plan: list[list[tuple[int, int]]] = [[]]
    for unit in units:
        if sum(b - a for a, b in plan[-1]) >= 8192:
            plan.append([])
        plan[-1].append(unit)
    if len(plan) != len(passes):
        refuse("CorruptStream", f"{len(passes)} passes where there are {len(plan)}")
    image, known = np.zeros(shape, np.uint8), np.zeros((H, W), bool)
    for part, payload in zip(plan, passes, strict=True):
        stack = Stack(payload)
        for a, b in part:
            base, rows = model.ask(image if C == 3 else image.repeat(3, 2), known)
            for place in places[a:b]:
                y, x = divmod(place, W)
                image[y, x] = pop_pixel(stack, rows[:, y, x].reshape(10, -1).tolist(), base[y, x, :C].tolist())
            for place in places[a:b]:
                known[place // W, place % W] = True
        stack.finish()
    return image
