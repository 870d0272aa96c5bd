"""How far an exact integer VDM would be: its bits with quantised convolutions, and integer against bfloat16 speed.

    python benchmarks/exact_vdm.py PHOTOS.npz [--model photo-vdm]

Weights int8 per output channel; inputs of every convolution and linear layer of 8, 10 or 12 bits, per tensor, steps
fixed by the largest values on other pictures. What lies between (norms, SiLU, FiLM) stays float, so this is a lower
limit of the cost. Bound at T = 100 on 64×64 crops of the validation tiles.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import torch
from archive import bound, crops
from torch import nn

from diffcodec.codecs import vdm
from diffcodec.models import registry


def quantise(net: nn.Module, bits: int, calibrate) -> None:
    """Replace weights by their int8 values and quantise the inputs of every layer with weights, from now on."""
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    largest = {}

    def observe(layer, inputs):
        values = inputs[0].abs().float().flatten()
        top = values.max() if len(values) < 10_000 else torch.quantile(values[::7][:1_000_000], 0.9999)
        largest[layer] = max(largest.get(layer, 0.0), float(top))

    hooks = [m.register_forward_pre_hook(observe) for m in layers]
    calibrate()
    for hook in hooks:
        hook.remove()
    for layer in layers:
        w = layer.weight.data
        scale = w.abs().amax(dim=tuple(range(1, w.ndim)), keepdim=True) / 127
        layer.weight.data = (w / scale).round() * scale
        step = largest[layer] / (2 ** (bits - 1) - 1)

        def rounded(layer, inputs, step=step, limit=2 ** (bits - 1) - 1):
            return ((inputs[0] / step).round().clamp(-limit, limit) * step, *inputs[1:])

        layer.register_forward_pre_hook(rounded)


def speed() -> float:
    """Time of a bfloat16 3x3 convolution of 64 channels over that of an int8 product of the same size, one thread."""
    x = torch.randn(1, 64, 128, 128, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    conv = nn.Conv2d(64, 64, 3, padding=1).bfloat16().to(memory_format=torch.channels_last)
    a = torch.randint(-127, 127, (128 * 128, 576), dtype=torch.int8)
    b = torch.randint(-127, 127, (64, 576), dtype=torch.int8).t()

    def median(f) -> float:
        times = []
        for _ in range(30):
            start = time.perf_counter()
            f()
            times.append(time.perf_counter() - start)
        return sorted(times)[15]

    with vdm.numerics_of(registry.load("photo-vdm", codec="vdm")), torch.inference_mode():
        return median(lambda: conv(x)) / median(lambda: torch._int_mm(a, b))


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("photos", type=Path)
    ap.add_argument("--model", default="photo-vdm")
    ap.add_argument("--count", type=int, default=24)
    args = ap.parse_args()
    images = crops(args.photos)
    model = registry.load(args.model, codec="vdm")
    schedule = vdm.measure(images[-8:], model, 100)
    images = images[: args.count]
    reference = None
    for name, half, bits in (
        ("float32", False, 0),
        ("bfloat16", True, 0),
        *((f"int8 / {b}", False, b) for b in (8, 10, 12)),
    ):
        tried = copy.deepcopy(model)
        tried.half = half
        if bits:
            quantise(tried.net, bits, lambda tried=tried: vdm.measure(crops(args.photos)[-8:], tried, 10))
        bits_per_dim = bound(images, tried, schedule)[0]
        reference = reference or bits_per_dim
        print(
            f"{name:10} {bits_per_dim:.4f} bits per dimension, {100 * (bits_per_dim / reference - 1):+.2f} %",
            flush=True,
        )
    print(f"int8 product against bfloat16 convolution: {speed():.2f} times as fast (without im2col and requantising)")


if __name__ == "__main__":
    main()
