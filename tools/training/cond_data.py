"""What a conditional network is trained on: crops of photographs, what is given of them, and how much is to be learned.

Tasks are drawn at random (Palette, arXiv 2111.05826, §3): the picture in small, its luma, some of its pixels, a JPEG or
WebP file of it. A part of the pictures in small are as another stream would show them, with the log-SNR of their error
as augmentation (CDM, arXiv 2106.15282, §4.2).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from diffcodec.models.cond import seen as conditions
from diffcodec.models.condition import Condition, FileGiven, Observed
from diffcodec.models.operators import Box, Bytes, Luma, LumaChroma, Mask
from diffcodec.models.protocols import DiffusionModel
from diffcodec.stream.cascade import augmentation_of
from tools.training.train_vdm import diffuse

#: shares of the draws, by task; "nothing" keeps the model of all pictures
TASKS = {"jpeg": 0.27, "grey": 0.07, "webp": 0.04, "box2": 0.06, "box4": 0.14, "box8": 0.06, "luma": 0.14,
         "chroma": 0.02, "mask": 0.12, "nothing": 0.08}  # fmt: skip
ROUGH = 0.4  #: share of pictures in small that have an augmentation
Rng = np.random.Generator
Task = Callable[[Bytes, Rng], tuple[Bytes, Condition]]


@dataclass(frozen=True)
class Drawn:
    """A crop x float32 (1, 3, S, S), what the network sees of it, and the scale of what is not known of it yet."""

    x: Tensor
    shown: conditions.Shown | None
    scale: float


def jpeg(picture: Bytes, quality: int, subsampling: int = 2) -> FileGiven:
    """A JPEG of ``picture`` uint8 (H, W, 3 or 1)."""
    image, out = Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture), io.BytesIO()
    image.save(out, "JPEG", quality=quality, subsampling=subsampling)
    return _read(out.getvalue())


def webp(picture: Bytes, quality: int) -> FileGiven:
    """A WebP file of ``picture`` uint8 (H, W, 3)."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=quality, method=2)
    return _read(out.getvalue())


def _read(data: bytes) -> FileGiven:
    samples = np.asarray(Image.open(io.BytesIO(data)))
    return FileGiven(data, samples.reshape(*samples.shape[:2], -1))


# ---- tasks: (picture uint8 (S, S, 3), rng) -> (the picture, what is given of it)


def _grey(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    return _jpeg(Luma().apply(picture), rng)


def _jpeg(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    quality = int(np.clip(np.exp(rng.uniform(math.log(5), math.log(96))), 5, 95))
    return picture, jpeg(picture, quality, int(rng.choice([2, 2, 2, 0, 1])))


def _webp(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    return picture, webp(picture, int(rng.uniform(2, 90)))


def _luma(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    return picture, Observed.of(picture, Luma())


def _chroma(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    return picture, Observed.of(picture, LumaChroma(int(rng.choice([2, 4, 8]))))


def _mask(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
    return picture, Observed.of(picture, Mask(~hole(picture.shape[0], rng)))


def hole(side: int, rng: Rng) -> np.ndarray:
    """Pixels that are not known, bool (side, side): a block, strokes, a margin, or single pixels."""
    kind = rng.random()
    out = Image.new("1", (side, side))
    draw = ImageDraw.Draw(out)
    if kind < 0.45:
        for _ in range(rng.integers(1, 3)):
            h, w = rng.integers(side // 8, side * 5 // 8, 2)
            y, x = rng.integers(0, side - h + 1), rng.integers(0, side - w + 1)
            draw.rectangle((x, y, x + w - 1, y + h - 1), 1)
    elif kind < 0.7:
        for _ in range(rng.integers(1, 6)):
            points = [tuple(rng.integers(0, side, 2).tolist()) for _ in range(rng.integers(2, 5))]
            draw.line(points, 1, int(rng.integers(2, side // 5)), "curve")
    elif kind < 0.92:
        width = int(rng.integers(side // 8, side // 2))
        edges = [(0, 0, width - 1, side), (side - width, 0, side, side), (0, 0, side, width - 1)]
        draw.rectangle([*edges, (0, side - width, side, side)][rng.integers(4)], 1)
    else:
        return np.asarray(rng.random((side, side)) < rng.uniform(0.3, 0.95))
    return np.array(out, bool)


class Boxes:
    """The picture in small, as it is or as a stream of few bits shows it."""

    def __init__(self, coder: DiffusionModel | None, rough: float = ROUGH):
        """``coder``: what shows some of them, E[x|z_t] at any log-SNR."""
        self.coder, self.rough = coder, rough

    def __call__(self, k: int) -> Task:
        """The task of boxes of ``k``."""

        def draw(picture: Bytes, rng: Rng) -> tuple[Bytes, Condition]:
            small = Box(k).apply(picture)
            if rng.random() >= self.rough:
                return picture, Observed(small, Box(k))
            return picture, Observed(*self.rough_of(small, Box(k), rng))

        return draw

    def rough_of(self, small: Bytes, operator: Box, rng: Rng) -> tuple[Bytes, Box, int]:
        """(samples, operator, augmentation) of a stream of ``small`` uint8 (h, w, 3) that has lost something."""
        kind = rng.random()
        if kind < 0.5 and self.coder is not None:
            x, units = conditions.x_of(small), round(1024 * rng.uniform(-2.5, 6))
            eps = torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32))
            z, _ = diffuse(x, torch.tensor([units / 1024]), eps)
            shown = self.coder.from_latent(self.coder.x_hat(z, units).float())[0].permute(1, 2, 0).numpy()
        elif kind < 0.75:
            shown = webp(small, int(rng.uniform(2, 80))).samples
        else:
            noise = rng.standard_normal(small.shape) * 127.5 * math.exp(-rng.uniform(2, 9) / 2)
            shown = np.clip(np.rint(small + noise), 0, 255).astype(np.uint8)
        off = (shown.astype(np.float64) - small) / 127.5
        return shown, operator, augmentation_of(float(np.square(off).mean()))


def tasks(coder: DiffusionModel | None, rough: float = ROUGH) -> dict[str, Task]:
    """By the names of TASKS, but for "nothing"."""
    box = Boxes(coder, rough)
    return {"jpeg": _jpeg, "grey": _grey, "webp": _webp, "box2": box(2), "box4": box(4), "box8": box(8), "luma": _luma,
            "chroma": _chroma, "mask": _mask}  # fmt: skip


def drawn(picture: Bytes, condition: Condition | None) -> Drawn:
    """Of a crop uint8 (S, S, 3 or 1), and of what is given of it."""
    x = conditions.x_of(picture)
    if condition is None:
        return Drawn(x, None, 1.0)
    shown = conditions.shown(condition, (picture.shape[0], picture.shape[1]))
    where = shown.seen.planes[:, 3:]
    if condition.kind == "mask":
        return Drawn(x, shown, 0.04 * float((1 - where).mean()) + 1e-3)
    found = float((shown.seen.planes[:, :3] - x).square().mean())
    usual = 1 / float(shown.seen.precision)
    return Drawn(x, shown, max(1e-4, math.sqrt((found + 1e-5) * usual)))
