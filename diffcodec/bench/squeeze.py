"""LPIPS (arXiv 1801.03924), version 0.1 over SqueezeNet 1.1, by weights in half precision; computed in float32.

The network is small enough to measure with on any machine. Its weights are two safetensors files, with torchvision's
names and LPIPS's own; they come with nothing, and are looked for in the folder that the environment variable FOLDER
names, or else where torch keeps what it downloaded.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

NAME = "LPIPS-squeeze v0.1, fp16 features"
FOLDER = "DIFFCODEC_LPIPS"
FEATURES = "squeezenet1_1-features-fp16.safetensors"  #: torchvision's features.0 to features.12
HEADS = "lpips-squeeze-v0.1-heads.safetensors"  #: lin0.model.1.weight to lin6, float32 (1, C, 1, 1)
SMALLEST = 64  #: side, for the deepest features to have more than a few places
POOLED = (2, 5, 8)  #: of torchvision's features those that halve; the others from 3 on are fire modules
TAPPED = (1, 4, 7, 9, 10, 11, 12)  #: of torchvision's features those that are compared
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  #: of R, G and B in [-1, 1]
Weights = Mapping[str, "Tensor"]


def folder() -> Path:
    """Where the weights are looked for."""
    import torch

    return Path(os.environ.get(FOLDER) or Path(torch.hub.get_dir()) / "checkpoints")


def missing() -> str:
    """Why it is not measured here; empty if it is."""
    lost = [name for name in (FEATURES, HEADS) if not (folder() / name).is_file()]
    return f"no weights on disk: {' and '.join(lost)} in the folder {FOLDER} or torch's hub/checkpoints" if lost else ""


@functools.cache
def loaded(where: Path) -> dict[str, Tensor]:
    """The weights in a folder, float32, by their names."""
    from safetensors.torch import load_file

    return {key: value.float() for name in (FEATURES, HEADS) for key, value in load_file(where / name).items()}


def distance(image: np.ndarray, original: np.ndarray) -> float:
    """LPIPS of two pictures uint8 (H, W, 3); 0 for equal ones. NaN below SMALLEST pixels a side."""
    if min(original.shape[:2]) < SMALLEST:
        return math.nan
    return between(image, original, loaded(folder()))


def between(image: np.ndarray, original: np.ndarray, weights: Weights) -> float:
    """As :func:`distance`, by these weights: those of FEATURES and HEADS, float32."""
    import torch

    with torch.inference_mode():
        total = 0.0
        for k, (a, b) in enumerate(zip(*(_features(_scaled(x), weights) for x in (image, original)), strict=True)):
            total += float(((a - b).square() * weights[f"lin{k}.model.1.weight"]).sum(1).double().mean())
    return total


def _scaled(image: np.ndarray) -> Tensor:
    """float32 (1, 3, H, W)."""
    import torch

    shift, scale = (torch.tensor(value).reshape(1, 3, 1, 1) for value in (SHIFT, SCALE))
    return (torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1 - shift) / scale


def _features(x: Tensor, weights: Weights) -> Iterator[Tensor]:
    """What is compared, fine to coarse, float32 (1, C, h, w), of unit length at each place."""
    import torch
    from torch.nn import functional as F

    def convolved(x: Tensor, name: str, stride: int = 1, pad: int = 0) -> Tensor:
        return F.conv2d(x, weights[f"features.{name}.weight"], weights[f"features.{name}.bias"], stride, pad).relu()

    x = convolved(x, "0", 2)
    for k in range(1, TAPPED[-1] + 1):
        if k in POOLED:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        elif k > 1:
            small = convolved(x, f"{k}.squeeze")
            wide = (convolved(small, f"{k}.expand1x1"), convolved(small, f"{k}.expand3x3", pad=1))
            x = torch.cat(wide, 1)
        if k in TAPPED:
            yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
