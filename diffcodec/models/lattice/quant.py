"""Float lattice network -> integer tensors, with the bounds that make every sum exact (DESIGN.md §6).

Every integer the runtime computes before a requantisation is a sum of products whose absolute values add up to less
than 2^24, proved here from the weights themselves, so a float32 matrix product gives it exactly in any order of
summation; factors fit TensorFloat-32's 11 significant bits. Layout and arithmetic: bitstream_spec/SPEC.md, "ARDM".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .net import COMPAND_LIMIT, LOG_SCALE_MIN, MEAN_UNIT, PIXEL_UNIT, Block, LatticeNet, PhaseNet, QuantConv

RESIDUAL_UNIT = 256  #: integers per 1.0 of the residual stream
RESIDUAL_LIMIT = 10922  #: |residual|, so that residual * clamp(residual + 768, 0, 1536) stays below 2^24
COMPAND_UNIT = 64  #: table steps per 1.0 of the first layer's output
SUM_LIMIT = 2**24
FACTOR_LIMIT = 2047  #: largest factor a TF32 product takes exactly
PARAM_UNITS = (64, 64, 32, 256)  #: integers per nat of logit, level of mean, nat of log-scale, unit of coupling


def quantise(net: LatticeNet) -> dict[str, Tensor]:
    """Integer tensors of a calibrated ``net`` (activation steps set), by names and of shapes as `checks.lattice`."""
    steps = torch.arange(round(COMPAND_LIMIT * COMPAND_UNIT) + 1, dtype=torch.float64) / COMPAND_UNIT
    out = {"compand": (torch.asinh(steps) * RESIDUAL_UNIT).round().to(torch.int16)}
    for p, phase in enumerate(net.phases):
        assert isinstance(phase, PhaseNet)
        for name, tensor in _quantise_phase(phase).items():
            out[f"{p}.{name}"] = tensor.contiguous()
    return out


def check(tensors: dict[str, Tensor]) -> None:
    """Raise ValueError where a sum of these integer tensors could round, or a rounded one leave 32 bits.

    Weights of someone else's may, and would give other numbers on another machine. Their shape: `checks.lattice`.
    """
    for name, weight in tensors.items():
        layer = name.removesuffix(".weight")
        if layer == name:
            continue
        factors, multiplier = weight.long().abs(), tensors[f"{layer}.multiplier"].double()
        if layer.endswith(".first"):  # inputs are pixel - 128
            sums = factors.sum(0) * 128
        else:
            low = int(tensors[f"{layer}.low"][0])
            if not -255 <= low <= 0:
                raise ValueError(f"{layer}: codes from {low}")
            sums = factors.sum((0, 1)) * max(-low, low + 255) + tensors[f"{layer}.bias"].long().abs()
            multiplier = torch.cat([multiplier, tensors[f"{layer}.code_multiplier"].double()])
            if not 0 <= float(multiplier[-1]) <= 1:
                raise ValueError(f"{layer}: codes are {float(multiplier[-1])} of their argument")
        if int(sums.max()) >= SUM_LIMIT or int(factors.max()) > FACTOR_LIMIT:
            raise ValueError(
                f"{layer}: sums reach {int(sums.max())}, factors {int(factors.max())}: not exact in float32"
            )
        # 64: sums times this stay below 2^30; smaller ones than 2^-100 some processors take for 0
        if not bool((((multiplier >= 2.0**-100) & (multiplier <= 64)) | (multiplier == 0)).all()):
            raise ValueError(f"{layer}: multipliers must be 0 or 2^-100 to 64")


def _quantise_phase(net: PhaseNet) -> dict[str, Tensor]:
    C = net.level_bias.shape[1]
    out: dict[str, Tensor] = {}
    weight, step = _zero_sum_integers(net)
    out["first.weight"] = weight.T.to(torch.int16)  # (taps, C + 3K)
    unit = step / PIXEL_UNIT  # value of one accumulator unit, in first-layer units
    logit, level_unit, log_scale, coupling = PARAM_UNITS
    mean = MEAN_UNIT * level_unit
    out["first.multiplier"] = torch.cat([unit[:C] * COMPAND_UNIT, unit[C:] * mean]).float()
    level = net.level_bias.detach().double().clone()
    level[-1] = level[-2]  # the last level never occurs in a training crop
    for name in ("level", *net.sides):
        bias = level if name == "level" else net.get_parameter(f"{name}_bias").detach().double()
        out[f"first.{name}"] = (bias * COMPAND_UNIT).round().to(torch.int16)
    if net.entry is not None:
        out |= _quantise_conv("entry", net.entry, RESIDUAL_UNIT)
    for i, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        out |= _quantise_conv(f"{i}.conv", block.conv, RESIDUAL_UNIT)
        out |= _quantise_conv(f"{i}.mix", block.mix, RESIDUAL_UNIT)
    K = net.K
    units = torch.tensor([logit] * K + [mean] * 3 * K + [log_scale] * 3 * K + [coupling] * 3 * K, dtype=torch.float64)
    offset = torch.tensor([0.0] * 4 * K + [-LOG_SCALE_MIN] * 3 * K + [0.0] * 3 * K, dtype=torch.float64)
    out |= _quantise_conv("head", net.head, units, bits16=True, offset=offset)
    return out


def _zero_sum_integers(net: PhaseNet) -> tuple[Tensor, Tensor]:
    """First-layer integers (C + 3K, taps), each colour's taps summing to exactly 0, and the step of each row."""
    w = net.zero_sum_first().detach().double()
    rows = w.flatten(1)
    # inputs are pixel - 128, so at most 128 in absolute value
    step = torch.maximum(rows.abs().sum(1) * 128 / (SUM_LIMIT - 2**18), rows.abs().amax(1) / (FACTOR_LIMIT - 8))
    step = step.clamp_min(1e-12)
    q = (w / step[:, None, None, None]).round()
    colour = q.reshape(len(q), net.planes, 3, *q.shape[2:]).permute(0, 2, 1, 3, 4).flatten(2)  # (rows, 3, planes*taps)
    for row in colour.view(-1, colour.shape[-1]):
        excess = int(row.sum())
        largest = row.abs().argsort(descending=True)[: abs(excess)]
        row[largest] -= math.copysign(1, excess)
    q = colour.reshape(*colour.shape[:2], net.planes, -1).permute(0, 2, 1, 3).flatten(1)
    assert q.abs().max() <= FACTOR_LIMIT and float(q.abs().sum(1).max()) * 128 < SUM_LIMIT
    assert float(colour.sum(2).abs().max()) == 0
    return q, step


def _quantise_conv(
    name: str,
    conv: QuantConv,
    unit: Tensor | float,
    *,
    bits16: bool = False,
    offset: Tensor | float = 0.0,
) -> dict[str, Tensor]:
    """Integers of one convolution: codes of its hard-swish input, weights (taps, C_in, C_out), bias, multiplier."""
    step, low = float(conv.step), int(conv.low)
    assert step > 0, f"{name} is not calibrated"
    w = conv.weight.detach().double()
    largest_code = max(-low, low + 255)
    w_step = w.abs().amax(dim=(1, 2, 3)).clamp_min(1e-8) / (FACTOR_LIMIT if bits16 else 127)
    # headroom of 2^20 for the bias
    w_step = torch.maximum(w_step, w.abs().sum((1, 2, 3)) * largest_code / (SUM_LIMIT - 2**20 - w[0].numel() * 128))
    q = (w / w_step[:, None, None, None]).round()
    assert conv.bias is not None
    bias = ((conv.bias.detach().double() + offset) / (step * w_step)).round()
    total = q.abs().sum((1, 2, 3)) * largest_code + bias.abs()
    assert float(total.max()) < SUM_LIMIT, f"{name}: sums reach {float(total.max()):.0f}"
    multiplier = step * w_step * unit
    return {
        f"{name}.weight": q.flatten(2).permute(2, 1, 0).to(torch.int16 if bits16 else torch.int8),
        f"{name}.bias": bias.to(torch.int32),
        f"{name}.multiplier": multiplier.float(),
        f"{name}.low": torch.tensor([low], dtype=torch.int32),
        # hard-swish(t) = t clamp(t + 3, 0, 6) / 6 with t in residual units
        f"{name}.code_multiplier": torch.tensor([1 / (6 * RESIDUAL_UNIT**2 * step)], dtype=torch.float32),
    }
