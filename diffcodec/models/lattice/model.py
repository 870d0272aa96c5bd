"""The bundled integer lattice ARDM as a :class:`~diffcodec.models.protocols.PhaseModel`, and a `Tunable` one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..architectures import Weights
from ..checks import lattice
from ..protocols import EXACT, device_of
from .quant import FACTOR_LIMIT, SUM_LIMIT, check

if TYPE_CHECKING:
    from .cpu import CpuRuntime
    from .torch_runtime import TorchRuntime

#: what a step of an adjustment adds for each unit of an input code, in the parameters' units, by their kind
_STEPS = (1 / 8, 3 / 16, 1 / 32, 3 / 32)
_BIAS_CODE = 32  #: the input code that the bias of an adjustment stands for


def load(weights: Weights) -> LatticeModel:
    """Of architecture lattice-ardm-1. Raises ValueError for tensors of another shape, KeyError for a lack of them."""
    lattice(weights.tensors)
    name, fingerprint = weights.name, weights.fingerprint
    return LatticeModel(weights.tensors, name, fingerprint, device=weights.device, runtime=weights.runtime)


def runtime_of(tensors: dict[str, Tensor], device: str, wanted: str) -> CpuRuntime | TorchRuntime:
    """What runs integer weights on ``device``: ``wanted`` is auto, int8, float32, torch32 or torch64."""
    from .cpu import CpuRuntime
    from .torch_runtime import TorchRuntime

    if device != "cpu" or wanted.startswith("torch"):
        return TorchRuntime(tensors, device, torch.float64 if wanted == "torch64" else torch.float32)
    return CpuRuntime(tensors, wanted)


class LatticeModel:
    """Integer weights, and the runtime that suits the device. ``runtime``: auto, int8, float32, torch32 or torch64."""

    numerics = EXACT

    def __init__(
        self, tensors: dict[str, Tensor], name: str, fingerprint: bytes, *, device: str = "auto", runtime: str = "auto"
    ):
        self.name, self.fingerprint = name, fingerprint
        self.device = device = device_of(device)
        check(tensors)
        self._tensors, self._wanted = tensors, runtime
        self._runtime = runtime_of(tensors, device, runtime)
        self._bias = {
            (p, part): tensors[f"{p}.first.{part}"].numpy().astype(np.int32)
            for p in range(3)
            for part in ("level", "luma", "chroma")
        }
        self.halo = self._runtime.blocks
        self.strip, self.strip_and_codes = self._runtime.strip, self._runtime.strip_and_codes

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        """int32 (C,): see :class:`~diffcodec.models.protocols.PhaseModel`. The coarsest levels share the last one's."""
        levels = self._bias[phase, "level"]
        total: np.ndarray = levels[min(level, len(levels) - 1)] + self._bias[phase, "luma"][codes[0]]
        total = total + self._bias[phase, "chroma"][codes[1]]
        return total

    @property
    def head_shape(self) -> tuple[int, int, int]:
        """(phases, outputs 10K, inputs C) of the last layers."""
        _, inputs, outputs = self._tensors["0.head.weight"].shape
        return 3, outputs, inputs

    def steps(self) -> np.ndarray:
        """float64 (3, 10K, 2): what a step of an adjustment adds to a parameter: by unit of an input code, as bias."""
        return self._factors()[..., None] * self._multipliers()[..., None].astype(np.float64) * [1, _BIAS_CODE]

    def _multipliers(self) -> np.ndarray:
        return np.stack([self._tensors[f"{p}.head.multiplier"].numpy() for p in range(3)])

    def _factors(self) -> np.ndarray:
        """int32 (3, 10K): a step in units of the head's weights."""
        K = self.head_shape[1] // 10
        wanted = np.repeat(np.array(_STEPS, np.float32), [K, 3 * K, 3 * K, 3 * K])
        factors: np.ndarray = np.maximum(1, np.rint(wanted / self._multipliers())).astype(np.int32)
        return factors

    def _changed(self, steps: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each phase weight (C, 10K), bias (10K,) and the greatest sum of absolute products (10K,), all int64."""
        out = []
        for p, change in enumerate(steps.astype(np.int64) * self._factors()[..., None]):
            weight = self._tensors[f"{p}.head.weight"].numpy()[0].astype(np.int64) + change[:, :-1].T
            weight = np.clip(weight, -FACTOR_LIMIT, FACTOR_LIMIT)
            bias = self._tensors[f"{p}.head.bias"].numpy().astype(np.int64) + change[:, -1] * _BIAS_CODE
            low = int(self._tensors[f"{p}.head.low"][0])
            out.append((weight, bias, np.abs(weight).sum(0) * max(-low, low + 255) + np.abs(bias)))
        return out

    def limited(self, steps: np.ndarray) -> np.ndarray:
        """``steps`` int8 (3, 10K, C + 1), the rows that :meth:`adjusted` would refuse made smaller."""
        steps = steps.copy()
        while (wrong := np.stack([sums >= SUM_LIMIT for _, _, sums in self._changed(steps)])).any():
            steps[wrong] = np.trunc(steps[wrong] * 0.9)
        return steps

    def adjusted(self, steps: np.ndarray) -> LatticeModel:
        """As this one, with its last layers changed: ``steps`` int8 (3, 10K, C + 1), the last column the biases'.

        Raises ValueError where sums could leave the exact range of float32.
        """
        tensors = dict(self._tensors)
        for p, (weight, bias, sums) in enumerate(self._changed(steps)):
            if sums.max() >= SUM_LIMIT:
                raise ValueError("an adjustment takes the network out of its exact range")
            tensors[f"{p}.head.weight"] = torch.from_numpy(weight.astype(np.int16)[None])
            tensors[f"{p}.head.bias"] = torch.from_numpy(bias.astype(np.int32))
        return LatticeModel(tensors, self.name, self.fingerprint, device=self.device, runtime=self._wanted)
