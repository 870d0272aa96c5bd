"""Distances between a decoded picture and its original, uint8 (H, W, 3) both."""

from __future__ import annotations

import math

import numpy as np

from . import realism

METRICS = ("psnr", "ms_ssim", "swd")
HIGHER_IS_BETTER = {"psnr": True, "ms_ssim": True, "swd": False}
UNITS = {
    "psnr": "PSNR, dB",
    "ms_ssim": "MS-SSIM",
    "swd": "sliced Wasserstein distance of patches",
    "bpd": "bits per sample",
}
_SMALLEST = 161  # side, for the five scales of MS-SSIM


def measure(image: np.ndarray, original: np.ndarray) -> dict[str, float]:
    """psnr in dB (100 for equal pictures), ms_ssim (NaN below 161 pixels a side), swd (see `realism`)."""
    if image.shape != original.shape:
        raise ValueError(f"expected a picture of {original.shape}, found {image.shape}")
    error = float(np.mean((image.astype(np.float64) - original) ** 2))
    psnr = 100.0 if error == 0 else 10 * math.log10(65025 / error)
    return {"psnr": psnr, "ms_ssim": _ms_ssim(image, original), "swd": realism.distance(image, original)}


def _ms_ssim(image: np.ndarray, original: np.ndarray) -> float:
    if min(original.shape[:2]) < _SMALLEST:
        return math.nan
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    a, b = (torch.from_numpy(np.array(x)).permute(2, 0, 1)[None].float() for x in (image, original))
    return float(multiscale_structural_similarity_index_measure(a, b, data_range=255.0))
