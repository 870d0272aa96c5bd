"""Photographs for training: the tiles packed by `prepare_photos.py`, and what makes more pictures of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter


def load_tiles(path: Path, split: str) -> list[np.ndarray]:
    with np.load(path) as z:
        shapes, pixels = z[f"{split}_shapes"], z[f"{split}_pixels"]
    out, at = [], 0
    for h, w in shapes:
        out.append(pixels[at : at + h * w * 3].reshape(h, w, 3))
        at += h * w * 3
    return out


class Crops:
    """Random crops of augmented tiles, several of each, spread over batches."""

    def __init__(
        self, tiles: list[np.ndarray], crop: int, seed: int, describe: Callable[[np.ndarray], Any] = lambda tile: None
    ):
        self.tiles, self.crop, self.describe = tiles, crop, describe
        self.rng = np.random.default_rng(seed)
        area = np.array([t.shape[0] * t.shape[1] for t in tiles], np.float64)
        self.p = area / area.sum()
        self.pool: list[tuple[np.ndarray, Any]] = []

    def __call__(self, batch: int) -> list[tuple[np.ndarray, Any]]:
        """``batch`` times (uint8 (crop, crop, 3), what ``describe`` says of the tile that it is from)."""
        # large batches are drawn for a GPU, which takes crops faster than tiles are augmented
        each, spread = (12, 1024) if batch >= 64 else (4, 64)
        while len(self.pool) < spread + batch:
            tile = augment(self.tiles[self.rng.choice(len(self.tiles), p=self.p)], self.rng, self.crop)
            if min(tile.shape[:2]) < self.crop:
                continue
            described = self.describe(tile)
            for _ in range(each):
                y, x = (self.rng.integers(n - self.crop + 1) for n in tile.shape[:2])
                self.pool.append((np.ascontiguousarray(tile[y : y + self.crop, x : x + self.crop]), described))
        chosen = []
        for _ in range(batch):
            i = self.rng.integers(len(self.pool))
            self.pool[i], self.pool[-1] = self.pool[-1], self.pool[i]
            chosen.append(self.pool.pop())
        return chosen


def augment(tile: np.ndarray, rng: np.random.Generator, crop: int) -> np.ndarray:
    """A plausible photograph made of ``tile``: other scale, softness, grain, half-resolution chroma; flipped, turned.

    Half of the tiles keep their pixels. Cameras and scanners differ mostly in these four, and full-size
    photographs are softer and grainier than the downscaled ones there are to train on.
    """
    kind = rng.random()
    if kind >= 0.5:
        image = Image.fromarray(tile)
        h, w = tile.shape[:2]
        low = max(0.4, (crop + 1) / min(h, w))
        scale = rng.uniform(low, 1.0) if kind < 0.65 and low < 1 else rng.uniform(1.0, 1.8)
        if scale > 1 and min(h, w) > 200:  # a part is enough
            ph, pw = int(h / scale) + 1, int(w / scale) + 1
            y, x = rng.integers(h - ph + 1), rng.integers(w - pw + 1)
            image = image.crop((x, y, x + pw, y + ph))
        size = (max(crop, round(image.width * scale)), max(crop, round(image.height * scale)))
        filters = (
            (Image.Resampling.BOX, Image.Resampling.LANCZOS)
            if scale < 1
            else (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BILINEAR)
        )
        image = image.resize(size, filters[rng.integers(len(filters))])
        if rng.random() < 0.2:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
        a = np.asarray(image, np.float32)
        if rng.random() < (0.8 if scale > 1 else 0.4):
            luma, chroma = rng.gamma(2.0, 0.6), rng.gamma(1.5, 0.4)
            noise = (
                rng.standard_normal((*a.shape[:2], 1), np.float32) * luma
                + rng.standard_normal(a.shape, np.float32) * chroma
            )
            if rng.random() < 0.5:  # grain is wider than a pixel
                noise = (noise + np.roll(noise, 1, 0)) * 0.7071
                noise = (noise + np.roll(noise, 1, 1)) * 0.7071
            a = a + noise
        if rng.random() < 0.55:
            a = half_chroma(a, smooth=rng.random() < 0.7)
        tile = np.clip(np.rint(a), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        tile = tile[:, ::-1]
    if rng.random() < 0.5:
        tile = tile.transpose(1, 0, 2)
    if rng.random() < 0.2:
        tile = tile[::-1]
    return tile


def half_chroma(a: np.ndarray, smooth: bool) -> np.ndarray:
    """Float RGB with its chroma averaged over 2x2 and interpolated back, as PhotoCD and 4:2:0 cameras do."""
    h, w = a.shape[0] // 2 * 2, a.shape[1] // 2 * 2
    a = a[:h, :w]
    y = a @ np.array([0.299, 0.587, 0.114], np.float32)
    out = np.empty_like(a)
    up = Image.Resampling.BILINEAR if smooth else Image.Resampling.BICUBIC
    parts = {}
    for k in (0, 2):
        c = a[..., k] - y
        c = c.reshape(h // 2, 2, w // 2, 2).mean((1, 3))
        parts[k] = np.asarray(Image.fromarray(c).resize((w, h), up))
        out[..., k] = y + parts[k]
    out[..., 1] = y - (0.299 * parts[0] + 0.114 * parts[2]) / 0.587
    return out
