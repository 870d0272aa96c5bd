"""Frames of real clips and what is known before them: the frame before, as it is and displaced by its motion.

CLIPS.zip holds segments of clips as lossless pictures, frames one below another; CLIPS.csv beside it, a row for each:
file, id of the clip, frames, w, h. The clips in `benchmarks/validation-clips.txt` are held out, by their ids.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from diffcodec.codecs.ardm.motion import displaced
from diffcodec.codecs.ardm.search import found
from diffcodec.media.rows.clip import Colour
from diffcodec.media.yuv import from_rgb
from diffcodec.models.lattice.geometry import GREY, NO_PAST, RGB, SIDE_PIXELS, UNKNOWN, YUV
from diffcodec.models.lattice.phases import past_codes, side_codes

VALIDATION = Path(__file__).parents[2] / "benchmarks/validation-clips.txt"
KINDS = {RGB: 0.55, GREY: 0.25, YUV: 0.2}  #: shares of what planes are
WITHOUT = 0.1  #: share of frames that are given no past
UNTOLD, COARSE = 0.08, 0.5  #: shares of frames without side information, of them all and of their small levels
EACH, SPREAD = 3, 48  #: crops of a frame, and from how many they are drawn
Rng = np.random.Generator


def load_clips(path: Path, split: str) -> list[np.ndarray]:
    """Segments uint8 (T, H, W, 3) of split "train" or "val"."""
    lines = VALIDATION.read_text().splitlines()
    held_out = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    out = []
    with zipfile.ZipFile(path) as file, path.with_suffix(".csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if (row["id"] in held_out) == (split == "val"):
                picture = Image.open(io.BytesIO(file.read(row["file"]))).convert("RGB")
                out.append(np.asarray(picture).reshape(int(row["frames"]), int(row["h"]), int(row["w"]), 3))
    return out


@dataclass(frozen=True)
class Moved:
    """A segment uint8 (T, H, W, 3), and for every frame the motion from the one before and from the one after."""

    frames: np.ndarray
    motion: dict[tuple[int, int], tuple[np.ndarray, int]]

    @classmethod
    def of(cls, frames: np.ndarray, only: tuple[int, ...] | None = None) -> Moved:
        """Of all frames, from both sides, or of those of ``only`` from the one before."""
        green = frames[..., 1]
        pairs = [(t, 1) for t in only] if only else [(t, s) for t in range(len(frames)) for s in (1, -1)]
        return cls(frames, {(t, s): found(green[t], green[t - s]) for t, s in pairs if 0 <= t - s < len(frames)})

    def past(self, t: int, step: int) -> np.ndarray:
        """uint8 (2, H, W, 3): frame t - step, displaced, and as it is."""
        before = self.frames[t - step]
        return np.stack([displaced(before, *self.motion[t, step]), before])


def as_kind(pictures: np.ndarray, kind: int) -> np.ndarray:
    """RGB ``pictures`` uint8 (N, H, W, 3) as planes of a kind: BT.601 of limited range, as files have it."""
    if kind == RGB:
        return pictures
    luma, u, v = from_rgb(pictures, "YUV444", Colour())
    return np.stack([luma] * 3 if kind == GREY else [u, luma, v], -1)


def told(pictures: np.ndarray, kind: int, levels: int, past: bool) -> np.ndarray:
    """Side-information codes (levels, 5) of the first of ``pictures`` uint8 (3, H, W, 3), before it its past."""
    out = []
    for level in range(levels):
        grid, before = pictures[0, :: 1 << level, :: 1 << level], pictures[1, :: 1 << level, :: 1 << level]
        if min(grid.shape[:2]) < 6:
            codes = [*UNKNOWN, *UNKNOWN]
        else:
            codes = [*side_codes(grid), *past_codes(grid, before)]
        out.append([*codes[:2], *(codes[2:] if past else NO_PAST), kind])
    return np.array(out)


class Frames:
    """Random crops of frames with their past and their side information."""

    def __init__(self, segments: list[Moved], crop: tuple[int, int], levels: int, seed: int):
        self.segments, self.crop, self.levels = segments, crop, levels
        self.rng = np.random.default_rng(seed)
        counts = np.array([len(one.motion) for one in segments], np.float64)
        self.p = counts / counts.sum()
        self.pool: list[tuple[np.ndarray, np.ndarray]] = []

    def _frame(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(uint8 (3, h, w, 3), the crop of a frame and of its past; codes (levels, 5)) of the crops of one frame."""
        rng = self.rng
        segment = self.segments[rng.choice(len(self.segments), p=self.p)]
        t, step = list(segment.motion)[rng.integers(len(segment.motion))]
        kind = int(rng.choice(list(KINDS), p=list(KINDS.values())))
        pictures = np.concatenate([segment.frames[t : t + 1], segment.past(t, step)])
        if rng.random() < 0.5:
            pictures = pictures[:, :, ::-1]
        if rng.random() < 0.2:
            pictures = pictures[:, ::-1]
        pictures = as_kind(pictures, kind)
        past = bool(rng.random() >= WITHOUT)
        codes = told(pictures, kind, self.levels, past)
        small, all_levels = rng.random() < COARSE, rng.random() < UNTOLD
        for level in range(self.levels):
            if all_levels or (small and pictures[0, :: 1 << level, :: 1 << level, 0].size < SIDE_PIXELS):
                codes[level, :4] = [*UNKNOWN, *(UNKNOWN if past else NO_PAST)]
        h, w = self.crop
        for _ in range(EACH):
            y, x = rng.integers(pictures.shape[1] - h + 1), rng.integers(pictures.shape[2] - w + 1)
            yield np.ascontiguousarray(pictures[:, y : y + h, x : x + w]), codes

    def __call__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (batch, 3, h, w, 3), codes (batch, levels, 5)."""
        while len(self.pool) < EACH * SPREAD + batch:
            self.pool += self._frame()
        chosen = []
        for _ in range(batch):
            at = self.rng.integers(len(self.pool))
            self.pool[at], self.pool[-1] = self.pool[-1], self.pool[at]
            chosen.append(self.pool.pop())
        pixels, codes = zip(*chosen, strict=True)
        return np.stack(pixels), np.stack(codes)
