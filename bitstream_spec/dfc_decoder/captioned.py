"""NETWORKS.md §9: a float U-Net that may be told in words what a picture shows."""

from __future__ import annotations

import math
import re
import zlib
from typing import Any

import numpy as np

from .given import Told
from .refused import refuse
from .unet import FloatUNet, convolved, replicated, silu

WORDS, PARTS = 16, 16


def numbers_of(text: str, buckets: int) -> list[list[int]]:
    """Of every word of the text those of its parts."""
    every = []
    for word in re.findall(r"[^\W_]+|[^\w\s]", text.casefold())[:WORDS]:
        marked = f"<{word}>"
        runs = [marked[n : n + 3] for n in range(len(marked) - 2)]
        parts = [marked] + ([] if runs == [marked] else runs)
        every.append([1 + zlib.crc32(part.encode()) % buckets for part in parts[:PARTS]])
    return every


def normed(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Of rows of one head."""
    scores = q @ k.T / math.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True) @ v


def stretched(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(planes, d, d) to another size, linearly between the nearest."""
    for axis, n in ((1, size[0]), (2, size[1])):
        d = x.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * d / n - 0.5, 0, d - 1)
        low = np.floor(at).astype(int)
        far = (at - low).reshape((-1, 1) if axis == 1 else -1)
        x = (1 - far) * x.take(low, axis) + far * x.take(np.minimum(low + 1, d - 1), axis)
    return x


class CaptionedUNet(FloatUNet):
    """eps_hat of architecture vdm-unet-text-1."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any]):
        super().__init__(tensors, config)
        self.text = ""

    def given(self, told: Told) -> CaptionedUNet:
        if self.text:
            refuse("ModelMismatch", "the network takes one text, and was given more")
        other = CaptionedUNet({}, self.config)
        other.t, other.text = self.t, told.prompt
        return other

    def rows(self, x: np.ndarray, name: str) -> np.ndarray:
        """A linear layer of every row."""
        return x @ self.t[name + ".weight"].T + self.t[name + ".bias"]

    def read(self, text: str) -> np.ndarray:
        """A text as one vector."""
        D, every = self.config["width"], numbers_of(text, self.config["buckets"])
        words = np.array([np.zeros(D), *(self.t["reader.parts.weight"][parts].mean(0) for parts in every)])
        words = words + self.t["reader.places"][: len(words)]
        for n in range(self.config["layers"]):
            name = f"reader.layers.{n}."
            q, k, v = np.split(self.rows(normed(words), name + "qkv"), 3, axis=1)
            words = words + self.rows(attended(q, k, v), name + "out")
            words = words + self.rows(silu(self.rows(normed(words), name + "wide")), name + "narrow")
        return normed(words.mean(0))

    def middle(self, h: np.ndarray) -> np.ndarray:
        if not self.config.get("attention"):
            return h
        points = h.reshape(len(h), -1).T
        q, k, v = np.split(self.rows(normed(points), "attention.qkv"), 3, axis=1)
        return h + self.rows(attended(q, k, v), "attention.out").T.reshape(h.shape)

    def v(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        """(3, H, W) -> (3, H, W)."""
        H, W = z.shape[1:]
        read, d = self.read(self.text), self.config["sketch"]
        told = self.linear(silu(self.linear(read, "told1")), "told2")
        e = silu(self.linear(silu(self.timed(logsnr) + told), "time2"))
        z = replicated(z, 2 ** len(self.config["blocks"]))
        first = self.stem(z, math.sqrt(1 / (1 + math.exp(logsnr))))
        sketch = stretched(self.linear(read, "sketch").reshape(3, d, d), z.shape[1:])
        first = first + convolved(np.pad(sketch, ((0, 0), (2, 2), (2, 2)), mode="edge"), self.t["sketched"], 2)
        return self.through(first, e)[:, :H, :W]
