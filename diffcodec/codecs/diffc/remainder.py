"""From the last z of a diffusion to the exact picture: x given z_0, each sample a Gaussian about x_hat (VDM eq. 8)."""

from __future__ import annotations

import math

import numpy as np

from ...entropy import gaussian
from ...entropy.stack import AnsStack
from ...runtime.errors import CorruptStream

LEVELS = 256


def means(x_hat: np.ndarray) -> np.ndarray:
    """Levels in 1/64, int64, of x_hat float32 in [-1, 1]."""
    levels = (np.clip(x_hat.astype(np.float64), -2, 2) + 1) * (127.5 * 64)
    return np.rint(levels).astype(np.int64).ravel()


def scale_index(levels: float) -> int:
    """Index of `entropy.gaussian`'s scale nearest to a standard deviation in levels."""
    return min(gaussian.MAX_SCALE, max(0, round(32 * (math.log(max(levels, 1e-3)) + 2))))


def encode(photo: np.ndarray, x_hat: np.ndarray) -> bytes:
    """``photo`` uint8 (H, W, C) given x_hat float32 (H, W, C): a scale index per channel, then the stack."""
    error = photo - (x_hat.astype(np.float64) + 1) * 127.5
    scales = [scale_index(s) for s in error.reshape(-1, photo.shape[2]).std(0)]
    q = np.broadcast_to(np.array(scales, np.int64), photo.shape).ravel()
    stack = AnsStack()
    stack.push_intervals(*gaussian.intervals(photo.ravel().astype(np.int64), means(x_hat), q, LEVELS))
    return np.array(scales, "<u2").tobytes() + stack.to_bytes()


def decode(payload: bytes, x_hat: np.ndarray) -> np.ndarray:
    """Mirror of :func:`encode`: uint8 (H, W, C). Raises CorruptStream."""
    channels = x_hat.shape[2]
    scales = np.frombuffer(payload[: len(payload) // 2 * 2][: 2 * channels], "<u2").astype(np.int64)
    if len(scales) != channels or scales.max() > gaussian.MAX_SCALE:
        raise CorruptStream("the scales of the remainder are missing or out of range; the file is damaged")
    stack = AnsStack.from_bytes(payload[2 * channels :])
    q = np.broadcast_to(scales, x_hat.shape).ravel()
    out = gaussian.pop(stack, means(x_hat), q, LEVELS).astype(np.uint8).reshape(x_hat.shape)
    stack.finish()
    return out
