"""Weights as a file has them, before kernels that trust their shapes see them. Everything here raises ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

WINDOW = 36  #: of the lattice network's first layers, for each plane that they see
#: rows of the tables by side information; and of further ones of networks that are given pictures
SIDES = {"luma": 17, "chroma": 17}
PAST_SIDES = {"past_luma": 18, "past_chroma": 18, "kind": 3}
MOST_BITS = 2**20  #: of a profile


def finite(tensors: dict[str, Tensor]) -> None:
    """No weight, of any shape, is infinite or no number: an index made of it could be anything. Raises ValueError."""
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"{name} holds numbers that are none")


def profile_of(value: Any) -> Sequence[int]:
    """An order-agnostic model's profile: at least two whole numbers of bits x 1024. Raises ValueError."""
    whole = isinstance(value, list) and all(type(bits) is int and 0 <= bits <= MOST_BITS for bits in value)
    if not whole or not 2 <= len(value) <= 4096:
        raise ValueError("its profile is no list of bits")
    return list(value)


def lattice(tensors: dict[str, Tensor], past: int = 0) -> None:
    """The tensors of a lattice network, by name, shape and type, one that is given ``past`` pictures.

    Raises ValueError, KeyError for a lack of them.
    """
    first, head = tensors["0.first.level"], tensors["0.head.weight"]
    blocks = sum(name.startswith("0.") and name.endswith(".conv.weight") for name in tensors)
    if first.ndim != 2 or head.ndim != 3 or head.shape[2] % 10 or not head.numel() or not first.numel():
        raise ValueError("the first or the last layer has another shape")
    (levels, C), K = first.shape, head.shape[2] // 10
    table = tensors["compand"]
    wanted: dict[str, tuple[tuple[int, ...], torch.dtype]] = {"compand": ((max(1, table.numel()),), torch.int16)}
    sides = {"level": levels, **SIDES, **(PAST_SIDES if past else {})}
    for p in range(3):
        wanted |= {
            f"{p}.first.weight": ((3 * (p + 1 + 4 * past) * WINDOW, C + 3 * K), torch.int16),
            f"{p}.first.multiplier": ((C + 3 * K,), torch.float32),
        }
        wanted |= {f"{p}.first.{name}": ((rows, C), torch.int16) for name, rows in sides.items()}
        layers: dict[str, tuple[tuple[int, int, int], torch.dtype]] = {f"{p}.head": ((1, C, 10 * K), torch.int16)}
        layers |= {f"{p}.{i}.conv": ((9, C, C), torch.int8) for i in range(blocks)}
        layers |= {f"{p}.{i}.mix": ((1, C, C), torch.int8) for i in range(blocks)}
        layers |= {f"{p}.entry": ((1, C, C), torch.int8)} if p else {}
        for name, (of_layer, integers) in layers.items():
            wanted |= {
                f"{name}.weight": (of_layer, integers),
                f"{name}.bias": (of_layer[2:], torch.int32),
                f"{name}.multiplier": (of_layer[2:], torch.float32),
                f"{name}.code_multiplier": ((1,), torch.float32),
                f"{name}.low": ((1,), torch.int32),
            }
    if tensors.keys() != wanted.keys():
        raise ValueError(f"it has or lacks {min(tensors.keys() ^ wanted.keys())}")
    for name, (shape, kind) in wanted.items():
        found = tensors[name]
        if tuple(found.shape) != tuple(shape) or found.dtype != kind:
            raise ValueError(f"{name} is {found.dtype} {tuple(found.shape)}, expected {kind} {tuple(shape)}")
