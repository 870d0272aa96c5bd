"""NETWORKS.md §11: a float U-Net whose frames look at each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .captioned import normed
from .unet import FloatUNet, replicated, shuffled, silu

HEADS, REACH = 4, 8
AT_ONCE, AROUND = 16, 4


class ClipUNet(FloatUNet):
    """eps_hat of architecture vdm-unet-clip-1, of ``frames`` frames one below another."""

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any], frames: int = 1):
        super().__init__(tensors, config)
        self.frames = frames

    def looked(self, every: list[np.ndarray], e: np.ndarray, name: str, side: int) -> list[np.ndarray]:
        """Features (C, h, w) of each frame, with what each sees in all of them."""
        w, b = self.t[name + ".qkv.weight"], self.t[name + ".qkv.bias"]
        far, r = self.t[name + ".far"], side // 2
        trust = self.linear(e, name + ".trust")
        T, (_, H, W), D = len(every), every[0].shape, len(w) // 3
        told = [normed(h.transpose(1, 2, 0)) @ w.T + b for h in every]  # (H, W, 3 D)
        out = []
        for t in range(T):
            step = np.zeros((H, W, D))
            for y in range(H):
                for x in range(W):
                    at = [(s, n, min(max(y + n // side - r, 0), H - 1), min(max(x + n % side - r, 0), W - 1))
                          for s in range(T) for n in range(side * side)]  # fmt: skip
                    rows = np.array([told[s][i, j] for s, _, i, j in at])
                    for head in range(HEADS):
                        part = slice(head * D // HEADS, (head + 1) * D // HEADS)
                        bias = [far[head, min(max(s - t, -REACH), REACH) + REACH, n] + trust[head] for s, n, _, _ in at]
                        scores = rows[:, D : 2 * D][:, part] @ told[t][y, x, :D][part] / math.sqrt(D // HEADS) + bias
                        weights = np.exp(scores - scores.max())
                        step[y, x, part] = weights @ rows[:, 2 * D :][:, part] / weights.sum()
            step = step @ self.t[name + ".out.weight"].T + self.t[name + ".out.bias"]
            out.append(every[t] + step.transpose(2, 0, 1))
        return out

    def together(self, z: np.ndarray, logsnr: float) -> list[np.ndarray]:
        """v (3, H, W) of each of the frames z (T, 3, H, W)."""
        blocks = self.config["blocks"]
        e = silu(self.linear(silu(self.timed(logsnr)), "time2"))
        noise = math.sqrt(1 / (1 + math.exp(logsnr)))
        every = [self.stem(replicated(one, 2 ** len(blocks)), noise) for one in z]
        kept = []

        def level_of(every: list[np.ndarray], level: int, way: int) -> list[np.ndarray]:
            side = self.config[("down", "up")[way]][level]
            for k in range(blocks[level]):
                every = [self.block(h, e, f"{('down', 'up')[way]}.{level}.{k}") for h in every]
                if side and not k:
                    every = self.looked(every, e, f"times.{way}.{level}", side)
            return every

        for level in range(len(blocks)):
            if level:
                kept.append(every)
                every = [self.conv(h, f"coarser.{level - 1}", stride=2) for h in every]
            every = level_of(every, level, 0)
        for level in reversed(range(len(blocks) - 1)):
            every = [a + shuffled(self.conv(h, f"finer.{level}")) for a, h in zip(kept[level], every, strict=True)]
            every = level_of(every, level, 1)
        H, W = z.shape[2:]
        return [shuffled(self.conv(h, "head", padding=1))[:, :H, :W] for h in every]

    def v(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        """(3, T H, W) -> (3, T H, W)."""
        T = self.frames
        clip, parts = z.reshape(3, T, -1, z.shape[2]).transpose(1, 0, 2, 3), -(-T // AT_ONCE)
        out = []
        for part in range(parts):
            first, end = T * part // parts, T * (part + 1) // parts
            low, high = max(0, first - AROUND), min(T, end + AROUND)
            out += self.together(clip[low:high], logsnr)[first - low : end - low]
        return np.concatenate(out, 1)
