"""The bundled network of tracks as a :class:`~diffcodec.models.protocols.TrackModel`, in integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...entropy.logistic import EXP
from ..architectures import Weights
from ..protocols import EXACT
from .attention import LIMIT, attend
from .past import Past
from .quant import check, layers

_OUTPUT = 2**15  # limit of parameters

Floats = NDArray[np.float64]


def load(weights: Weights) -> TracksModel:
    """Of architecture tracks-ardm-1. Raises ValueError for tensors of another shape, KeyError for a lack of them."""
    sizes = tuple(int(weights.config[name]) for name in ("channels", "others", "heads", "mixtures"))
    channels, others, heads, mixtures = sizes
    if min(channels, heads, mixtures) < 1 or others < 0 or others % heads or mixtures > 16:
        raise ValueError(f"its layers are of {sizes}")
    check(weights.tensors, layers(*sizes))
    return TracksModel(weights.tensors, weights.name, weights.fingerprint, others, heads)


class TracksModel:
    """Every number in a sum is whole and small, so float64 has it exactly, whatever adds it up in whatever order."""

    numerics = EXACT
    device = "cpu"

    def __init__(self, tensors: dict[str, Tensor], name: str, fingerprint: bytes, others: int, heads: int):
        self.name, self.fingerprint = name, fingerprint
        self._others, self._heads = others, heads
        self._weights = {key: value.double().numpy() for key, value in tensors.items()}

    def mixtures(self, past: Past, known: NDArray[np.int64]) -> tuple[NDArray[np.int32], Floats]:
        """(parameters int32 (N, 6, K), what the last layer was given of these, whole numbers float64 (N, C)).

        As of `entropy.grid.GridMixtures`, of the agents ``known`` (N,), told by look.
        """
        h = _cut(self._layer("own", past.features[known].astype(np.float64)))
        if self._others:
            h = np.concatenate([h, self._attended(h, past, known)], 1)
        h = _cut(self._layer("joined", h))
        h = h + _cut(self._layer("deeper", h))
        found = np.clip(_rounded(self._layer("head", h)), -_OUTPUT, _OUTPUT)
        return found.astype(np.int32).reshape(len(known), 6, -1), h

    def _layer(self, name: str, x: Floats) -> Floats:
        out: Floats = x @ self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return out

    def _attended(self, h: Floats, past: Past, known: NDArray[np.int64]) -> Floats:
        """(N, M): what the others say to each."""
        out = np.zeros((len(h), self._others))
        if len(h) > 1:
            layers = self._layer("seeing", h) + self._weights["relative.bias"], self._layer("seen", h)
            of_relative, pair, bias = (self._weights[name] for name in ("relative.weight", "pair.weight", "pair.bias"))
            attend(*layers, past.relative(known), of_relative, pair, bias, self._heads, EXP, out)
        return out


def _rounded(x: Floats) -> Floats:
    """Sums of products of 1/64 and 1/1024 in 1/64."""
    out: Floats = np.floor((x + 512) / 1024)
    return out


def _cut(x: Floats) -> Floats:
    out: Floats = np.clip(_rounded(x), 0, LIMIT)
    return out
