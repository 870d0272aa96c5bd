"""Clips for training: stretches of frames, cut out, mirrored, reversed, and which of their frames are known."""

from __future__ import annotations

import numpy as np
from PIL import Image

Rng = np.random.Generator


class Stretches:
    """Random stretches of ``frames`` frames of ``side`` x ``side`` points."""

    def __init__(self, segments: list[np.ndarray], frames: int, side: int, seed: int):
        self.frames, self.side, self.rng = frames, side, np.random.default_rng(seed)
        self.segments = [one for one in segments if len(one) >= frames and min(one.shape[1:3]) >= side]
        size = np.array([one.size for one in self.segments], np.float64)
        self.p = size / size.sum()

    def __call__(self) -> np.ndarray:
        """uint8 (T, side, side, 3): every frame or every second one, forward or backward, mirrored or not.

        Some are enlarged: softer, and faster.
        """
        rng, T = self.rng, self.frames
        segment = self.segments[rng.choice(len(self.segments), p=self.p)]
        stride = 2 if rng.random() < 0.3 and len(segment) >= 2 * T else 1
        first = rng.integers(len(segment) - stride * (T - 1))
        side = self.side if rng.random() < 0.7 else int(rng.uniform(0.5, 0.9) * self.side)
        y, x = (rng.integers(n - side + 1) for n in segment.shape[1:3])
        cut = segment[first : first + stride * (T - 1) + 1 : stride, y : y + side, x : x + side]
        if side < self.side:
            size, how = (self.side, self.side), Image.Resampling.BICUBIC
            cut = np.stack([np.asarray(Image.fromarray(frame).resize(size, how)) for frame in cut])
        if rng.random() < 0.5:
            cut = cut[::-1]
        if rng.random() < 0.5:
            cut = cut[:, :, ::-1]
        if rng.random() < 0.25:
            cut = cut.transpose(0, 2, 1, 3)
        return np.ascontiguousarray(cut)


def known(frames: int, rng: Rng) -> np.ndarray:
    """bool (T,): frames that are known, as for a clip that goes on, for frames in between, or any."""
    out, kind = np.zeros(frames, bool), rng.random()
    if kind < 0.45:
        out[: rng.integers(1, 3)] = True
    elif kind < 0.75:
        out[rng.integers(2) :: 2] = True
    elif kind < 0.85:
        out[[0, -1]] = True
    else:
        out[rng.permutation(frames)[: rng.integers(1, frames - 1)]] = True
    return out
