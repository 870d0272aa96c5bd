"""NETWORKS.md §12: a float U-Net whose frames look at each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .captioned import normed
from .unet import FloatUNet, replicated, shuffled, silu

HEADS, REACH, KNOTS = 4, 8, 0.5
SIDES, MOST = (3, 7, 15), 1.0
AT_ONCE, AROUND = 16, 4


def doubled(x: np.ndarray) -> np.ndarray:
    """(2h, 2w) of (h, w), each value four times."""
    return x.repeat(2, -1).repeat(2, -2)


def boxed(x: np.ndarray, k: int) -> np.ndarray:
    """Means of boxes of k x k."""
    return x.reshape(x.shape[0] // k, k, x.shape[1] // k, k).mean((1, 3))


class ClipUNet(FloatUNet):
    """eps_hat of architecture vdm-unet-clip-1, of ``frames`` frames one below another.

    known: z of frames before them, (K, 3, H, W), and the log-SNR of these.
    """

    def __init__(self, tensors: dict[str, np.ndarray], config: dict[str, Any], frames: int = 1):
        super().__init__(tensors, config)
        self.tensors, self.frames = tensors, frames
        self.known, self.level = np.zeros((0, 3, 0, 0)), 0.0

    def given(self, condition: Any) -> ClipUNet:
        """The same, given frames before."""
        model, most = ClipUNet(self.tensors, self.config, self.frames), self.config["logsnr_max"]
        model.level = most if condition.augmentation is None else min(condition.augmentation / 1024, most)
        x = condition.frames.transpose(0, 3, 1, 2) / 127.5 - 1
        model.known = x * math.sqrt(1 / (1 + math.exp(-model.level)))
        return model

    def looked(self, every: list[np.ndarray], e: list[np.ndarray], name: str, side: int) -> list[np.ndarray]:
        """Features (C, h, w) of each frame, with what each sees in all of them."""
        w, b = self.t[name + ".qkv.weight"], self.t[name + ".qkv.bias"]
        far, r = self.t[name + ".far"], side // 2
        trust = [self.linear(one, name + ".trust") for one in e]
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
                        apart = [min(max(s - t, -REACH), REACH) + REACH for s, _, _, _ in at]
                        bias = [far[head, d, n] + trust[s][head] for d, (s, n, _, _) in zip(apart, at, strict=True)]
                        scores = rows[:, D : 2 * D][:, part] @ told[t][y, x, :D][part] / math.sqrt(D // HEADS) + bias
                        weights = np.exp(scores - scores.max())
                        step[y, x, part] = weights @ rows[:, 2 * D :][:, part] / weights.sum()
            step = step @ self.t[name + ".out.weight"].T + self.t[name + ".out.bias"]
            out.append(every[t] + step.transpose(2, 0, 1))
        return out

    def differing(self, square: np.ndarray, noise: float, apart: int) -> np.ndarray:
        """D of squared differences (h, w), which noise makes ``noise`` of."""
        told = []
        for side in SIDES:
            wide = np.pad(square, side // 2, mode="edge")
            mean = sum(wide[i : i + len(square), j : j + square.shape[1]] for i in range(side) for j in range(side))
            deviation = math.sqrt(2 / (12 * side * side))
            over = (mean / side**2 / noise - 1) / deviation
            told.append(np.log(min(deviation, MOST / noise) * np.logaddexp(0, over)))
        besides = [np.full_like(square, math.log(noise) / 8), np.full_like(square, math.log2(apart) / 2)]
        hidden = silu(self.rows(np.stack([*told, *besides], -1), "joining.first"))
        ratio = self.t["joining.bias"][0] + np.stack(told, -1) @ self.t["joining.gains"]
        ratio = ratio + self.rows(hidden, "joining.last")[..., 0]
        return noise * np.exp(np.clip(ratio, -12, 12))

    def rows(self, x: np.ndarray, name: str) -> np.ndarray:
        """A linear layer over the last axis."""
        return x @ self.t[name + ".weight"].T + self.t[name + ".bias"]

    def joined(self, z: np.ndarray, logsnr: list[float]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Of each of z (T, 3, H, W), sides multiples of 2^n: what all show of it, and log-SNRs (H/2, W/2)."""
        noise, T = [math.exp(-one) for one in logsnr], len(z)
        y = [one * math.sqrt(1 + n) for one, n in zip(z, noise, strict=True)]
        shown, levels = [], []
        for t in range(T):
            precision, total = np.full((z.shape[2] // 2, z.shape[3] // 2), 1 / noise[t]), y[t] / noise[t]
            for s in range(max(0, t - REACH), min(T, t + REACH + 1)):
                if s != t:
                    square = np.square(y[s] - y[t]).mean(0)
                    square = (square[::2, ::2] + square[1::2, ::2] + square[::2, 1::2] + square[1::2, 1::2]) / 4
                    worth = 1 / (noise[s] + self.differing(square, noise[s] + noise[t], abs(s - t)))
                    precision, total = precision + worth, total + doubled(worth) * y[s]
            level = np.minimum(np.log(precision), self.config["logsnr_max"])
            shown.append(np.sqrt(1 / (1 + np.exp(-doubled(level)))) * total / doubled(precision))
            levels.append(level)
        return shown, levels

    def told(self, h: np.ndarray, level: np.ndarray, name: str) -> np.ndarray:
        """A residual block of features (C, h, w), told the log-SNR (h, w) of each place."""
        at = (level - self.config["logsnr_min"]) / KNOTS
        low = np.floor(at).astype(int)
        part = (at - low)[..., None]
        film = (1 - part) * self.film(name)[low] + part * self.film(name)[low + 1]
        scale, shift = np.split(film.transpose(2, 0, 1), 2)
        t = (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)
        t = silu(t * (1 + scale) + shift)
        return h + self.conv(silu(self.conv(t, name + ".conv1", padding=1)), name + ".conv2", padding=1)

    def film(self, name: str) -> np.ndarray:
        """Of a block at the knots of log-SNR."""
        low, high = self.config["logsnr_min"], self.config["logsnr_max"]
        knots = [low + KNOTS * k for k in range(int((high - low) / KNOTS) + 2)]
        return np.array([self.linear(silu(self.linear(silu(self.timed(at)), "time2")), name + ".film") for at in knots])

    def together(self, z: np.ndarray, logsnr: list[float]) -> list[np.ndarray]:
        """x_hat (3, H, W) of each of the frames z (T, 3, H, W)."""
        blocks, (H, W) = self.config["blocks"], z.shape[2:]
        e = [silu(self.linear(silu(self.timed(one)), "time2")) for one in logsnr]
        whole = np.array([replicated(one, 2 ** len(blocks)) for one in z])
        shown, levels = self.joined(whole, logsnr)
        noises = [np.sqrt(1 / (1 + np.exp(doubled(level)))) for level in levels]
        every = [self.stem(one, noise) for one, noise in zip(shown, noises, strict=True)]
        kept = []

        def level_of(every: list[np.ndarray], level: int, way: int) -> list[np.ndarray]:
            side = self.config[("down", "up")[way]][level]
            means = [boxed(one, 2**level) for one in levels]
            for k in range(blocks[level]):
                name = f"{('down', 'up')[way]}.{level}.{k}"
                every = [self.told(h, mean, name) for h, mean in zip(every, means, strict=True)]
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
        out = []
        for one, noise, h in zip(shown, noises, every, strict=True):
            x = np.sqrt(1 - noise * noise) * one - noise * shuffled(self.conv(h, "head", padding=1))
            out.append(x[:, :H, :W])
        return out

    def eps(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        s2 = 1 / (1 + math.exp(logsnr))
        return (z - math.sqrt(1 - s2) * self.x(z, logsnr)) / math.sqrt(s2)

    def x(self, z: np.ndarray, logsnr: float) -> np.ndarray:
        """(3, T H, W) -> (3, T H, W)."""
        T = self.frames
        clip, parts = z.reshape(3, T, -1, z.shape[2]).transpose(1, 0, 2, 3), -(-T // AT_ONCE)
        out = []
        for part in range(parts):
            first, end = T * part // parts, T * (part + 1) // parts
            low, high = max(0, first - AROUND), min(T, end + AROUND)
            ahead = self.known if not first else self.known[:0]
            z_all = np.concatenate([ahead, clip[low:high]]) if len(ahead) else clip[low:high]
            found = self.together(z_all, [self.level] * len(ahead) + [logsnr] * (high - low))[len(ahead) :]
            out += found[first - low : end - low]
        return np.concatenate(out, 1)
