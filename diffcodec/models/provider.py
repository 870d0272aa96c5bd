"""What a codec needs of a model. Any object that fits may be passed as ``model``."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

EXACT, PINNED, TOLERANT = 0, 1, 2  #: numerics classes, DESIGN.md §6


@runtime_checkable
class MaskedModel(Protocol):
    """An ARDM over the 2x lattice: known pixels -> integer distribution parameters of the next phase's pixels."""

    name: str
    fingerprint: bytes  #: SHA-256 of weights and configuration, 32 bytes
    numerics: int  #: EXACT, PINNED or TOLERANT
    halo: int  #: rows of context a strip needs above and below

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        """First-layer bias int32 (C,) from the level and its two side-information codes."""
        ...

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Parameters of a strip of rows: see :meth:`diffcodec.models.lattice_torch.TorchRuntime.strip`."""
        ...
