"""The integer lattice ARDM of clips, a :class:`~diffcodec.models.protocols.FrameModel`: architecture clip-ardm-1.

It differs from that of pictures in what its first layer sees, cosets of known pictures as well, in tables of side
information, and in that couplings go from a component's own means: where the past tells a colour, that is far from
what its neighbours do, and only what was missed tells of the next colour (NETWORKS.md).
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..architectures import Weights
from ..checks import PAST_SIDES, SIDES, lattice
from ..protocols import EXACT, device_of
from .model import runtime_of
from .quant import check


def load(weights: Weights) -> LatticeFrames:
    """Of architecture clip-ardm-1. Raises ValueError for tensors of another shape, KeyError for a lack of them."""
    past = weights.config["past"]
    if not isinstance(past, int) or not 1 <= past <= 4:
        raise ValueError(f"it is given {past!r} pictures")
    lattice(weights.tensors, past)
    name, fingerprint = weights.name, weights.fingerprint
    return LatticeFrames(weights.tensors, past, name, fingerprint, device=weights.device, runtime=weights.runtime)


class LatticeFrames:
    """Integer weights, and the runtime that suits the device. ``runtime``: auto, int8, float32, torch32 or torch64."""

    numerics = EXACT

    def __init__(
        self,
        tensors: dict[str, Tensor],
        past: int,
        name: str,
        fingerprint: bytes,
        *,
        device: str = "auto",
        runtime: str = "auto",
    ):
        self.name, self.fingerprint, self.past = name, fingerprint, past
        self.device = device_of(device)
        check(tensors)
        self._runtime = runtime_of(tensors, self.device, runtime)
        self.halo, self._head = self._runtime.blocks, tensors["0.head.weight"].shape
        self._tables = [
            [tensors[f"{p}.first.{side}"].numpy().astype(np.int32) for side in ("level", *SIDES, *PAST_SIDES)]
            for p in range(3)
        ]

    def frame_bias(self, phase: int, level: int, codes: tuple[int, ...]) -> np.ndarray:
        """int32 (C,): see `FrameModel`. The coarsest levels share the last one's."""
        levels, *tables = self._tables[phase]
        total: np.ndarray = levels[min(level, len(levels) - 1)].copy()
        for table, code in zip(tables, codes, strict=True):
            total += table[code]
        return total

    def frame_strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Parameters int32 (rows', w, 10K) and features uint8 (rows', w, C) of a strip: see `FrameModel`."""
        params, after, _ = self.frame_strip_and_codes(phase, x, before, bias, top, bottom)
        return params, after

    @property
    def head_shape(self) -> tuple[int, int, int]:
        """(phases, outputs 10K, inputs C) of the last layers."""
        _, inputs, outputs = self._head
        return 3, outputs, inputs

    def frame_strip_and_codes(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Parameters int32 (rows', w, 10K), features, and codes float32 (rows', w, C): see `FrameModel`."""
        params, after, codes = self._runtime.strip_and_codes(phase, x, before, bias, top, bottom)
        return from_means(params), after, codes


def from_means(params: np.ndarray) -> np.ndarray:
    """Parameters int32 (h, w, 10K) whose couplings go from a component's own means, as such that go from ``base``.

    Integers of `net.from_means`: |mean| is at most 2^15, |coupling| 2^13, so that nothing leaves 32 bits.
    """
    q = params.reshape(*params.shape[:2], 10, -1)
    green, red, blue = q[:, :, 1], q[:, :, 2].copy(), q[:, :, 3]
    q[:, :, 2] -= (q[:, :, 7] * green) >> 8
    blue -= (q[:, :, 8] * green + q[:, :, 9] * red) >> 8
    return params
