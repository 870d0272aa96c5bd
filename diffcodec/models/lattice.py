"""The bundled integer lattice ARDM as a :class:`~diffcodec.models.provider.MaskedModel`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .provider import EXACT, device_of


class LatticeModel:
    """Integer weights, and the runtime that suits the device. ``runtime``: auto, int8, float32, torch32 or torch64."""

    numerics = EXACT

    def __init__(
        self, tensors: dict[str, Tensor], name: str, fingerprint: bytes, *, device: str = "auto", runtime: str = "auto"
    ):
        from .lattice_cpu import CpuRuntime
        from .lattice_torch import TorchRuntime

        self.name, self.fingerprint = name, fingerprint
        self.device = device = device_of(device)
        self._runtime: CpuRuntime | TorchRuntime
        if device != "cpu" or runtime.startswith("torch"):
            accumulate = torch.float64 if runtime == "torch64" else torch.float32
            self._runtime = TorchRuntime(tensors, device, accumulate)
        else:
            self._runtime = CpuRuntime(tensors, runtime)
        self._bias = {
            (p, part): tensors[f"{p}.first.{part}"].numpy().astype(np.int32)
            for p in range(3)
            for part in ("level", "luma", "chroma")
        }
        self.halo = self._runtime.blocks
        self.strip = self._runtime.strip

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        levels = self._bias[phase, "level"]
        total = levels[min(level, len(levels) - 1)] + self._bias[phase, "luma"][codes[0]]
        return total + self._bias[phase, "chroma"][codes[1]]
