"""Distances between a decoded picture and its original, uint8 (H, W, 3) both."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import realism, squeeze

METRICS = ("psnr", "ms_ssim", "lpips", "dists", "lpips_squeeze", "swd", "flicker")
SETS = ("fid", "kid")  #: of all pictures together: see `features`
HIGHER_IS_BETTER = {"psnr": True, "ms_ssim": True, **dict.fromkeys(METRICS[2:], False)}
UNITS = {
    "psnr": "PSNR, dB",
    "ms_ssim": "MS-SSIM",
    "lpips": "LPIPS (AlexNet)",
    "dists": "DISTS (VGG-16)",
    "lpips_squeeze": squeeze.NAME,
    "swd": "sliced Wasserstein",
    "flicker": "flicker of clips, levels",
    "fid": "FID of patches",
    "kid": "KID of patches",
}
SHORT = {
    "psnr": "PSNR",
    "ms_ssim": "MS-SSIM",
    "lpips": "LPIPS",
    "dists": "DISTS",
    "lpips_squeeze": "LPIPS-squeeze",
    "swd": "SWD",
    "flicker": "flicker",
}
EQUAL = {"psnr": 100.0, "ms_ssim": 1.0, **dict.fromkeys(METRICS[2:], 0.0)}  #: for the same pixels
BACKBONES = {"lpips": "alexnet-owt-7be5be79.pth", "dists": "vgg16-397923af.pth"}  #: torchvision's files
_SMALLEST = 161  # side, for the five scales of MS-SSIM
_SMALLEST_NET = 64  # side, for the deepest features to have more than a few places


def measure(image: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """A number for each of METRICS between pictures uint8 (H, W, 3): psnr in dB.

    NaN where the picture is too small or a metric is `missing`, and of what is of clips alone. Raises ValueError for
    pictures of two sizes.
    """
    if image.shape != original.shape:
        raise ValueError(f"expected a picture of {original.shape}, found {image.shape}")
    error = float(np.mean((image.astype(np.float64) - original) ** 2))
    if error == 0:
        return dict(EQUAL)
    out = {
        "psnr": 10 * math.log10(65025 / error),
        "ms_ssim": _ms_ssim(image, original),
        "swd": realism.distance(image, original),
        "flicker": math.nan,
        "lpips_squeeze": math.nan if missing("lpips_squeeze") else squeeze.distance(image, original),
    }
    for name in BACKBONES:
        small = min(original.shape[:2]) < _SMALLEST_NET
        out[name] = math.nan if small or missing(name) else _by_network(name, image, original)
    return out


def checkpoints() -> Path:
    """Where torch keeps downloaded weights: TORCH_HOME/hub/checkpoints. The suite itself never downloads."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def missing(name: str) -> str:
    """Why a metric is not measured here; empty if it is."""
    return _LOOKED_FOR[name]() if name in _LOOKED_FOR else ""


def _without_backbone(name: str) -> str:
    if importlib.util.find_spec("torchvision") is None:
        return "needs torchvision"
    if not (checkpoints() / BACKBONES[name]).is_file():
        return f"no weights on disk: {BACKBONES[name]} in torch's folder hub/checkpoints"
    return ""


#: why a metric of a network is not to be had
_LOOKED_FOR: dict[str, Callable[[], str]] = {
    "lpips_squeeze": squeeze.missing,
    **{name: functools.partial(_without_backbone, name) for name in BACKBONES},
}


def _ms_ssim(image: np.ndarray, original: np.ndarray) -> float:
    if min(original.shape[:2]) < _SMALLEST:
        return math.nan
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    return float(
        multiscale_structural_similarity_index_measure(_batch(image), _batch(original), data_range=255.0)  # type: ignore[arg-type]
    )


def _batch(image: np.ndarray) -> Any:
    """float32 (1, 3, H, W), 0 to 255."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()


@functools.cache
def _network(name: str) -> Any:
    if name == "lpips":
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=False)
    from torchmetrics.image.dists import DeepImageStructureAndTextureSimilarity

    return DeepImageStructureAndTextureSimilarity()


def _by_network(name: str, image: np.ndarray, original: np.ndarray) -> float:
    """LPIPS takes pictures in [-1, 1], DISTS in [0, 1]."""
    import torch

    scale, shift = (127.5, -1.0) if name == "lpips" else (255.0, 0.0)
    network = _network(name)
    with torch.no_grad():
        value = float(network(*(_batch(x) / scale + shift for x in (image, original))))
    network.reset()
    return value
