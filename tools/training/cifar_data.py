"""CIFAR-10 for training, alone or mixed with photographs downscaled to its size.

SOURCE is the official *binary* version's folder (data_batch_*.bin; the Python version is pickles, which are never
opened here) or an .npz with `train` uint8 (N, 32, 32, 3). Every tenth training image is the validation split, unless
the .npz brings one as `val` (`prepare_cifar.py`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE = 32


def load_cifar(source: Path, split: str) -> np.ndarray:
    """uint8 (N, 32, 32, 3) of split "train", "val" (both from the training images) or "test"."""
    if source.is_dir():
        names = ["test_batch.bin"] if split == "test" else [f"data_batch_{k}.bin" for k in range(1, 6)]
        rows = np.concatenate([np.fromfile(source / name, np.uint8).reshape(-1, 3073) for name in names])
        images = np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    else:
        with np.load(source) as z:
            if split == "test" or "val" in z:
                return np.asarray(z[split])
            images = z["train"]
    if split == "test":
        return images
    held_out = np.arange(len(images)) % 10 == 9
    return images[held_out if split == "val" else ~held_out]


class SmallPictures:
    """Batches uint8 (N, 3, 32, 32): CIFAR-10 images, and for a share of them parts of downscaled photographs."""

    def __init__(self, images: np.ndarray, tiles: list[np.ndarray], share: float, seed: int):
        self.images, self.tiles, self.share = images, tiles, share if tiles else 0.0
        self.rng = np.random.default_rng(seed)
        area = np.array([t.shape[0] * t.shape[1] for t in tiles], np.float64)
        self.p = area / area.sum()
        self.pool: list[np.ndarray] = []

    def _parts(self, count: int = 8) -> list[np.ndarray]:
        """Several parts of one photograph at one scale: objects as small as CIFAR-10's."""
        tile = self.tiles[self.rng.choice(len(self.tiles), p=self.p)]
        h, w = tile.shape[:2]
        low = (SIDE + 1) / min(h, w)
        scale = low * (max(0.5, low) / low) ** self.rng.random() if low < 1 else 1.0
        size = (max(SIDE, round(w * scale)), max(SIDE, round(h * scale)))
        filters = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)
        small = np.asarray(Image.fromarray(tile).resize(size, filters[self.rng.integers(len(filters))]))
        out = []
        for _ in range(count):
            y, x = (self.rng.integers(n - SIDE + 1) for n in small.shape[:2])
            out.append(small[y : y + SIDE, x : x + SIDE])
        return out

    def __call__(self, batch: int) -> Tensor:
        chosen = np.empty((batch, SIDE, SIDE, 3), np.uint8)
        for n in range(batch):
            if self.rng.random() < self.share:
                while len(self.pool) < 512:
                    self.pool += self._parts()
                i = self.rng.integers(len(self.pool))
                self.pool[i], self.pool[-1] = self.pool[-1], self.pool[i]
                image = self.pool.pop()
            else:
                image = self.images[self.rng.integers(len(self.images))]
            chosen[n] = image[:, ::-1] if self.rng.random() < 0.5 else image
        return torch.from_numpy(chosen).permute(0, 3, 1, 2)
