"""Float U-Net -> integer tensors for `unet_exact`: int8 weights per output channel, ranges from training pictures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import exact
from .net import ResBlock, UNet

_LIMIT = 511
_SHARE = 0.9999  # of activations within the codes' range


def quantise(net: UNet, calibrate: Callable[[nn.Module], None]) -> dict[str, Tensor]:
    """Tensors of the integer network, by name, of the shapes of the float ones'; ``calibrate`` shows it typical inputs.

    Raises ValueError for a network that is not local.
    """
    if net.config.attention or net.config.fourier:
        raise ValueError("a network with attention or Fourier features has no form in integers")
    net = copy.deepcopy(net).eval().float()
    names = {m: n for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    top: dict[nn.Module, float] = {}

    def observe(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach().abs().float().flatten()
        values = values[torch.randperm(len(values))[:200_000]]
        top[layer] = max(top.get(layer, 0.0), float(torch.quantile(values, _SHARE)))

    hooks = [m.register_forward_pre_hook(observe) for m in names]
    with torch.no_grad():
        calibrate(net)
    for hook in hooks:
        hook.remove()
    out = _stem(net)
    arguments = torch.arange(*exact.TABLE, dtype=torch.float64) / exact.FINE
    for layer, name in names.items():
        assert layer.bias is not None
        w = layer.weight.data.double()
        scale = w.abs().flatten(1).amax(1).clamp_min(1e-9) / 127
        ints = (w / scale[:, None, None, None]).round()
        limit = min(_LIMIT, (2**24 - 1) // int(ints.abs().flatten(1).sum(1).max()))
        step = top[layer] / limit
        activated = ".conv" in name
        # what the sums become: a table's argument, h in its unit, or v itself
        unit = 1 / exact.FINE if name.endswith("conv1") else 1.0 if name == "head" else exact.UNIT
        out[f"{name}.weight"] = ints.to(torch.int8)
        out[f"{name}.limit"] = torch.tensor(limit, dtype=torch.int16)
        out[f"{name}.multiplier"] = (scale * step / unit).float()[:, None, None]
        out[f"{name}.bias"] = (layer.bias.data.double() / unit).float()[:, None, None]
        if activated:
            table = (F.silu(arguments) / step).round().clamp(-limit, limit)
            out[f"{name}.table"] = table.to(torch.int16)
        else:
            out[f"{name}.input"] = torch.tensor(exact.UNIT / step, dtype=torch.float32)
    out["film"] = _film(net)
    return out


def _stem(net: UNet) -> dict[str, Tensor]:
    """Stem filters as 16-bit integers (108, C), those of contrast summing to zero per colour, and their units."""
    w = net.stem.data.double()
    half = len(w) // 2
    w[half:] -= w[half:].mean(dim=(2, 3), keepdim=True)
    scale = w.abs().flatten(1).amax(1) / 32000
    ints = (w / scale[:, None, None, None]).round()
    rest = ints[half:].sum(dim=(2, 3))
    place = ints[half:].abs().flatten(2).argmax(2)
    flat = ints.flatten(2)
    flat[half:].scatter_add_(2, place[..., None], -rest[..., None])
    real = scale / exact.Z
    return {
        "stem.weight": flat.flatten(1).t().contiguous().to(torch.int16),
        "stem.level": real[:half] / exact.UNIT,
        "stem.contrast": real[half:],
    }


@torch.no_grad()
def _film(net: UNet) -> Tensor:
    """int16 (knots, values): scale and shift of every block, down then up from the finest level."""
    E = net.config.embedding
    frequencies = torch.exp(torch.arange(E // 2, dtype=torch.float64) * (-math.log(100) / (E // 2))) * 2
    angles = torch.tensor(exact.film_knots(net.config), dtype=torch.float64)[:, None] * frequencies
    e = torch.cat([angles.sin(), angles.cos()], 1).float()
    e = F.silu(net.time2(F.silu(net.time1(e))))
    sides = cast(Iterable[Iterable[ResBlock]], (*net.down, *net.up))
    rows = torch.cat([block.film(e) for blocks in sides for block in blocks], 1)
    return (rows / exact.FILM).round().clamp(-32767, 32767).to(torch.int16)
