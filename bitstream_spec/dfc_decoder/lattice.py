"""SPEC.md §5: ARDM over the 2x lattice, the integer network of NETWORKS.md §2, its adjustment (§5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import context, learning
from .ans import Stack, Statistics, pop_pixel
from .refused import refuse

TARGETS = ((1, 1), (0, 1), (1, 0))  # first row and column of what each phase codes
F32 = np.float32


def levels_of(height: int, width: int) -> int:
    L = 0
    while max(-(-height >> L), -(-width >> L)) > 2:
        L += 1
    return L


def grid(height: int, width: int, level: int) -> tuple[int, int]:
    return -(-height >> level), -(-width >> level)


def passes_of(height: int, width: int) -> list[list[tuple[int, int]]]:
    """(level, phase) of each pass."""
    passes: list[list[tuple[int, int]]] = [[]]
    for level in reversed(range(levels_of(height, width))):
        rows, columns = grid(height, width, level)
        for phase in range(3):
            if rows * columns <= 8192:
                passes[0].append((level, phase))
            else:
                passes.append([(level, phase)])
    return passes


def side_levels(height: int, width: int) -> list[int]:
    sizes = {level: grid(height, width, level) for level in range(levels_of(height, width))}
    return [level for level, (r, c) in sizes.items() if r * c >= 1024 and min(r, c) >= 6]


def edged(x: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    return np.pad(x, (rows, columns, (0, 0)), mode="edge")


def base_of(known: list[np.ndarray], phase: int) -> np.ndarray:
    c = known[0].astype(np.int64)
    h, w = c.shape[:2]
    right, below = edged(c, (0, 0), (0, 1))[:, 1:], edged(c, (0, 1), (0, 0))[1:]
    if phase == 0:
        return c + right + below + edged(c, (0, 1), (0, 1))[1:, 1:]
    d = known[1].astype(np.int64)
    if phase == 1:
        return c + right + d + edged(d, (1, 0), (0, 0))[:h]
    return c + below + d + edged(d, (0, 0), (1, 0))[:, :w]


def windows_of(known: list[np.ndarray], phase: int, past: Sequence[np.ndarray] = ()) -> np.ndarray:
    """int64 (h w, planes 36): 6x6 windows, in the order plane, row, column, minus 128. ``past``: c, d, e, f of each."""
    h, w = known[0].shape[:2]
    y, x = TARGETS[phase]
    planes = []
    for number, coset in enumerate([*known, *past]):
        row, column = ((0, 0), *TARGETS)[number if number < len(known) else (number - len(known)) % 4]
        planes.append(edged(coset, (row * (1 - y), 0), (column * (1 - x), 0))[:h, :w])
    stacked = np.concatenate([p if p.shape[2] == 3 else p.repeat(3, 2) for p in planes], 2)
    padded = edged(stacked, (2, 3), (2, 3)).astype(np.int64) - 128
    taps = [padded[y : y + h, x : x + w] for y in range(6) for x in range(6)]
    return np.stack(taps, 3).reshape(h * w, -1)  # (h, w, plane, tap)


class Network:
    """The integer network. ``tensors`` as in the weights file."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.t = tensors
        self.blocks = sum(name.startswith("0.") and name.endswith(".conv.weight") for name in tensors)
        self.before: np.ndarray | None = None  # r of the phase before

    def product(self, x: np.ndarray, name: str) -> np.ndarray:
        """Sums of products with a weight of one tap; exact, as they stay below 2^53."""
        return x.astype(np.float64) @ self.t[name].astype(np.float64)

    def code(self, t: np.ndarray, name: str) -> np.ndarray:
        low = int(self.t[name + ".low"][0])
        product = (t * np.clip(t + 768, 0, 1536)).astype(F32)
        return np.clip(np.rint(product * self.t[name + ".code_multiplier"][0]), low, low + 255).astype(np.int64)

    def conv(self, codes: np.ndarray, name: str) -> np.ndarray:
        """``codes`` (h, w, C) of the input."""
        weight = self.t[name + ".weight"].astype(np.float64)
        h, w, _C = codes.shape
        if len(weight) == 1:
            sums = codes.astype(np.float64) @ weight[0]
        else:
            padded = np.pad(codes, ((1, 1), (1, 1), (0, 0))).astype(np.float64)
            sums = sum(padded[k // 3 : k // 3 + h, k % 3 : k % 3 + w] @ weight[k] for k in range(9))
        return np.rint((sums + self.t[name + ".bias"]).astype(F32) * self.t[name + ".multiplier"]).astype(np.int64)

    tables = ("luma", "chroma")  #: of side information

    def run(
        self,
        known: list[np.ndarray],
        phase: int,
        level: int,
        codes: tuple[int, ...],
        past: list[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Parameters int64 (h, w, 10 K) of a phase's pixels."""
        t, p = self.t, f"{phase}."
        h, w = known[0].shape[:2]
        bias = t[p + "first.level"].astype(np.int64)
        bias = bias[min(level, len(bias) - 1)] + sum(
            t[f"{p}first.{name}"][code].astype(np.int64) for name, code in zip(self.tables, codes, strict=True)
        )
        C, table = len(bias), t["compand"].astype(np.int64)
        sums = self.product(windows_of(known, phase, past or []), p + "first.weight").astype(F32)
        v = np.rint(sums * t[p + "first.multiplier"]).astype(np.int64).reshape(h, w, -1)
        skips = v[..., C:]
        v = np.clip(v[..., :C] + bias, 1 - len(table), len(table) - 1)
        r = np.sign(v) * table[np.abs(v)]
        if phase:
            assert self.before is not None
            r = np.clip(r + self.conv(self.code(self.before, p + "entry"), p + "entry"), -10922, 10922)
        for i in range(self.blocks):
            inner = np.clip(self.conv(self.code(r, f"{p}{i}.conv"), f"{p}{i}.conv"), -10922, 10922)
            r = np.clip(r + self.conv(self.code(inner, f"{p}{i}.mix"), f"{p}{i}.mix"), -10922, 10922)
        self.before = r
        self.v, self.r = v, r  # for known answers
        self.head = self.code(r, p + "head")
        parameters = self.conv(self.head, p + "head")
        K = parameters.shape[2] // 10
        parameters[..., K : 4 * K] += skips
        limit = np.array([2**14] * K + [2**15] * 3 * K + [256] * 3 * K + [2**13] * 3 * K)
        least = np.array([-(2**14)] * K + [-(2**15)] * 3 * K + [0] * 3 * K + [-(2**13)] * 3 * K)
        return np.clip(parameters, least, limit)


def adjusted(tensors: dict[str, np.ndarray], payload: bytes) -> dict[str, np.ndarray]:
    """SPEC.md §5.1."""
    _, C, rows = tensors["0.head.weight"].shape
    K, out = rows // 10, dict(tensors)
    planes = np.array(context.decode(payload, 3 * rows, C + 1, 1)).reshape(3, rows, C + 1) - 128
    for p in range(3):
        multiplier, low = tensors[f"{p}.head.multiplier"], int(tensors[f"{p}.head.low"][0])
        G = np.array([1 / 8] * K + [3 / 16] * 3 * K + [1 / 32] * 3 * K + [3 / 32] * 3 * K, F32)
        g = np.maximum(1, np.rint(G / multiplier)).astype(np.int64)
        weight = tensors[f"{p}.head.weight"][0].astype(np.int64) + (g[:, None] * planes[p, :, :C]).T
        weight = np.clip(weight, -2047, 2047)
        bias = tensors[f"{p}.head.bias"].astype(np.int64) + 32 * g * planes[p, :, C]
        if (np.abs(weight).sum(0) * max(-low, low + 255) + np.abs(bias)).max() >= 2**24:
            refuse("CorruptStream", "an adjustment beyond exact sums")
        out[f"{p}.head.weight"], out[f"{p}.head.bias"] = weight[None], bias
    return out


def decode(
    params: bytes,
    passes: list[bytes],
    shape: tuple[int, int, int],
    tensors: dict[str, np.ndarray],
    tables: int = 0,
    learns: bool = False,
) -> np.ndarray:
    """The photo planes. ``params`` are the codes of the levels; ``tables`` those of statistics."""
    H, W, channels = shape
    levels = side_levels(H, W)
    if len(params) != len(levels):
        refuse("CorruptStream", "another number of side-information codes")
    sides = {level: (byte >> 4, byte & 15) for level, byte in zip(levels, params, strict=True)}
    image, network = np.zeros(shape, np.uint8), Network(tensors)
    statistics = Statistics(tables) if tables else None
    _, C, outputs = tensors["0.head.weight"].shape
    layers = [learning.Layer(C, outputs // 10) if learns else None for _ in range(3)]
    plan = passes_of(H, W)
    if len(plan) != len(passes):
        refuse("CorruptStream", f"{len(passes)} passes where there are {len(plan)}")
    known: list[np.ndarray] = []
    for number, (units, payload) in enumerate(zip(plan, passes, strict=True)):
        stack = Stack(payload)
        if number == 0:
            stride = 1 << levels_of(H, W)
            for y in range(0, H, stride):
                for x in range(0, W, stride):
                    image[y, x] = [stack.pop_bits(8) for _ in range(channels)]
        for level, phase in units:
            if phase == 0:
                known = [image[:: 2 << level, :: 2 << level].copy()]
            base = base_of(known, phase)
            parameters = network.run(known, phase, level, sides.get(level, (16, 16)))
            (y0, x0), s = TARGETS[phase], 1 << level
            target = image[::s, ::s][y0::2, x0::2]  # a view
            layer, (height, width) = layers[phase], target.shape[:2]
            step = max(1, learning.BAND // known[0].shape[1]) if layer else max(1, height)
            for top in range(0, height if width else 0, step):
                band = slice(top, min(height, top + step)), slice(0, width)
                found = parameters[band].reshape(-1, outputs)
                if layer:
                    inputs = layer.inputs(network.head[band].reshape(-1, C))
                    found = layer.params(found, inputs)
                every = [one.reshape(10, -1).tolist() for one in found]
                sums = base[band].reshape(len(found), -1).tolist()
                told = [pop_pixel(stack, rows, b, statistics) for rows, b in zip(every, sums, strict=True)]
                target[band] = np.array(told).reshape(target[band].shape)
                if layer:
                    seen = [learning.gradient(*one) for one in zip(every, sums, told, strict=True)]
                    layer.learn(inputs, np.array(seen))
            whole = ((base + 2) >> 2).astype(np.uint8)
            whole[: target.shape[0], : target.shape[1]] = target
            known.append(whole)
        stack.finish()
    return image
