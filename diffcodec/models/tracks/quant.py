"""The network of tracks, floats -> integers. Layout and arithmetic: bitstream_spec/TRACKS.md.

Inputs and activations are integers in 1/64, weights in 1/1024 of 16 bits, so that sums of products are whole numbers
far below 2^53, which float64 adds in any order without rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .net import TracksNet
from .past import FEATURES, RELATIVE, UNIT

WEIGHT = 1024  #: integers per 1.0 of a weight
WIDEST = 4096  #: channels of a layer at most: sums of so many products of 16 bits stay below 2^53
LARGEST = 2**15 - 1

Shape = tuple[int, int]


def layers(channels: int, others: int, heads: int, mixtures: int) -> dict[str, Shape]:
    """(inputs, outputs) of every layer by its name."""
    C, M = channels, others
    alone = {"own": (FEATURES, C), "joined": (C + M, C), "deeper": (C, C), "head": (C, 6 * mixtures)}
    between = {"seen": (C, M), "seeing": (C, M), "relative": (RELATIVE, M), "pair": (M, heads + M)}
    return alone | (between if M else {})


def quantise(net: TracksNet) -> dict[str, Tensor]:
    """NAME.weight int16 (inputs, outputs), NAME.bias int32 (outputs,) of every layer. Raises ValueError beyond 32."""
    config, out = net.config, dict[str, Tensor]()
    state = net.state_dict()
    for name, (_, outputs) in layers(config.channels, config.others, config.heads, config.mixtures).items():
        weight = (state[f"{name}.weight"].double().T * WEIGHT).round()
        bias = state.get(f"{name}.bias", torch.zeros(outputs)).double()
        if float(weight.abs().max()) > LARGEST:
            raise ValueError(f"{name}: a weight of {float(weight.abs().max()) / WEIGHT:.1f}")
        out[f"{name}.weight"] = weight.to(torch.int16).contiguous()
        out[f"{name}.bias"] = (bias * UNIT * WEIGHT).round().to(torch.int32)
    return out


def check(tensors: dict[str, Tensor], shapes: dict[str, Shape]) -> None:
    """Raises ValueError for other shapes and types, KeyError for a lack of them."""
    wanted = {f"{name}.{part}" for name in shapes for part in ("weight", "bias")}
    if tensors.keys() != wanted:
        raise ValueError(f"it has or lacks {min(tensors.keys() ^ wanted)}")
    for name, shape in shapes.items():
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        if weight.dtype != torch.int16 or bias.dtype != torch.int32:
            raise ValueError(f"{name} is {weight.dtype}, {bias.dtype}, expected int16, int32")
        if tuple(weight.shape) != shape or tuple(bias.shape) != shape[1:] or max(shape) > WIDEST:
            raise ValueError(f"{name} is {tuple(weight.shape)}, expected {shape}")
