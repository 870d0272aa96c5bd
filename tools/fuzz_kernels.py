"""Inputs for the compiled kernels themselves, any values that their callers let through: `tools.fuzz` --kernels.

Under NUMBA_BOUNDSCHECK=1 an index outside of an array is an IndexError, which counts as a fault as every exception
does that is not ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from diffcodec import DiffcodecError
from diffcodec.channel import polar, trellis
from diffcodec.channel.noise import Key
from diffcodec.entropy import gaussian, grid, logistic, presence, tables, window, zipf
from diffcodec.entropy import statistics as values
from diffcodec.entropy.context import coder as context
from diffcodec.entropy.gradients import gradients
from diffcodec.entropy.stack import AnsStack

Rng = np.random.Generator


def stack_of(rng: Rng) -> AnsStack:
    """Any entropy-coded data."""
    data = rng.integers(0, 256, int(rng.integers(0, 60)), np.uint8).tobytes() + b"\1"
    return AnsStack.from_bytes(data)


def extreme(rng: Rng, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Whole numbers of all magnitudes up to 2^bits, and the ends."""
    small = rng.integers(-(2**bits), 2**bits, shape) >> rng.integers(0, bits + 1, shape)
    ends = rng.choice(np.array([-(2**bits), 2**bits - 1, 0, -1, 1]), shape)
    return np.where(rng.random(shape) < 0.2, ends, small)


def context_coder(rng: Rng) -> None:
    h, w, c = (int(v) for v in rng.integers(1, 7, 3))
    shape = (h, w, c)
    kind = rng.integers(3)
    if kind == 0:
        planes = rng.integers(0, 256, shape, np.uint8) & np.uint8(rng.choice([1, 7, 255]))
        data = bytearray(context.encode_planes(planes))
        for _ in range(int(rng.integers(0, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    else:
        data = bytearray(rng.integers(0, 256, int(rng.integers(1, 60)), np.uint8).tobytes())
        data[0] = int(rng.integers(0, 5))
        if data[0] > 2 and len(data) > 6:
            data[1:6] = [int(rng.integers(0, 4)), 0, int(rng.integers(0, 12)), 0, 0]
    context.decode_planes(bytes(data), h, w, c)


def mixtures(rng: Rng) -> None:
    n, K, C = int(rng.integers(1, 5)), int(rng.integers(1, 7)), int(rng.choice([1, 3]))
    params = extreme(rng, (n, 10, K), 31).astype(np.int32)
    base = rng.integers(0, 1021, (n, C)).astype(np.int32)
    logistic.pop_pixels(stack_of(rng), params, base)
    pixels = rng.integers(0, 256, (n, C), np.uint8)
    logistic.intervals(params, base, pixels)
    gradients(params, base, pixels)


def grids(rng: Rng) -> None:
    n, K, size = int(rng.integers(1, 5)), int(rng.integers(1, 17)), int(rng.choice([3, 20, 50]))
    params = extreme(rng, (n, 6, K), 16).astype(np.int32)
    predicted, moves = (extreme(rng, (n, 2), size).astype(np.int64) for _ in range(2))
    sigma = np.maximum(np.abs(extreme(rng, (n,), size).astype(np.int64)), 384)
    logs = np.floor(64 * np.log2(sigma / 1024)).astype(np.int64)
    found = grid.GridMixtures(params, predicted, sigma, logs)
    found.pop(stack_of(rng))
    found.intervals(moves)
    assert np.abs(found.gradients(moves)).max() <= grid.STEEPEST


def gaps(rng: Rng) -> None:
    frames, agents = int(rng.integers(0, 40)), int(rng.integers(1, 6))
    here = presence.pop(stack_of(rng), frames, agents)
    starts, freqs = presence.intervals(here)
    assert freqs.min(initial=1) >= 1 and int((starts.astype(np.int64) + freqs).max(initial=0)) <= 2**24


def statistics(rng: Rng) -> None:
    C = int(rng.choice([1, 3]))
    kept = values.Statistics(int(rng.integers(1, 8)) if C == 3 else 1)
    for _ in range(2):
        n, K = int(rng.integers(1, 6)), 5
        params = extreme(rng, (n, 10, K), int(rng.choice([9, 15, 20]))).astype(np.int32)
        base = rng.integers(0, 1021, (n, C)).astype(np.int32)
        kept.pop(stack_of(rng), params, base)
        kept.intervals(params, base, rng.integers(0, 256, (n, C), np.uint8))
    kept._settled = kept._pixels = 2**16
    kept.intervals(params, base, rng.integers(0, 256, (n, C), np.uint8))


def gaussians(rng: Rng) -> None:
    n, size = int(rng.integers(1, 9)), int(rng.choice([1, 2, 256, 65536]))
    mean, q = extreme(rng, (n,), 61).astype(np.int64), extreme(rng, (n,), 40).astype(np.int64)
    gaussian.pop(stack_of(rng), mean, q, size)
    gaussian.intervals(rng.integers(0, size, n), mean, q, size)


def windows(rng: Rng) -> None:
    n, sigma = int(rng.integers(1, 9)), float(np.exp(rng.uniform(np.log(0.1), np.log(window.WIDEST))))
    mean, open_ended = extreme(rng, (n,), int(rng.choice([10, 24, 40]))).astype(np.int64), bool(rng.integers(2))
    stack = stack_of(rng)
    z = window.pop(stack, mean, sigma, open_ended=open_ended)
    window.push(stack, z + int(rng.choice([0, 0, 1, 2**30])), mean, sigma, open_ended=open_ended)


def frequencies(rng: Rng) -> None:
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 30)))
    weights = np.abs(extreme(rng, shape, 38)) % 2**38
    built = tables.frequency_tables(weights)
    tables.Categorical(built).pop(stack_of(rng))
    stack_of(rng).pop_bits(rng.integers(0, 25, 5))
    zipf.pop(stack_of(rng), 3, int(rng.integers(257, 260)))


def trellises(rng: Rng) -> None:
    n = int(rng.integers(1, 300))
    bits = int(rng.integers(1, n + 1))
    payload = rng.integers(0, 256, -(-bits // 8), np.uint8)
    payload[-1] &= (0xFF << (-bits % 8)) & 0xFF
    key, L = Key(int(rng.integers(2**40)), int(rng.integers(9)), 0), int(rng.integers(3, 15))
    trellis.decode(payload.tobytes(), n, bits, key, L)
    if rng.random() < 0.02:
        trellis.encode(rng.normal(size=n).astype(np.float32), bits, key, 3)
    sample = polar.decode(payload.tobytes(), n, bits, key)
    mu = rng.normal(size=n).astype(np.float32) * 10.0 ** rng.integers(-20, 15)
    found, told = polar.encode(mu.astype(np.float32), bits, key, 1 << int(rng.integers(5)))
    assert len(sample) == n and np.array_equal(polar.decode(found, n, bits, key), told)


class Lattice:
    """The network's kernels, on any pixels and bias that the walk can make, also with any adjustment."""

    def __init__(self) -> None:
        from diffcodec.models import registry
        from diffcodec.models.lattice.cpu import CpuRuntime

        model = registry.load("cifar10-ardm", device="cpu")
        self.model, self.C = model, model.head_shape[2]
        self.runtimes = [CpuRuntime(model._tensors, gemm) for gemm in ("float32", "int8")]

    def __call__(self, rng: Rng) -> None:
        phase, rows, w = int(rng.integers(3)), int(rng.integers(1, 5)), int(rng.integers(1, 6))
        x = rng.integers(0, 256, (3 * (phase + 1), rows + 5, w + 5), np.uint8)
        before = rng.integers(0, 256, (rows, w, self.C), np.uint8) if phase else None
        codes = int(rng.integers(0, 17)), int(rng.integers(0, 17))
        bias = self.model.bias(phase, int(rng.integers(0, 30)), codes)
        top = int(rng.integers(0, rows))
        bottom = int(rng.integers(0, rows - top))
        self.runtimes[int(rng.integers(2))].strip(phase, x, before, bias, top, bottom)


def blocks(rng: Rng) -> None:
    """Of the float U-Net by Winograd's filtering."""
    import torch

    from diffcodec.models.unet.cpu import CpuBlock
    from diffcodec.models.unet.net import ResBlock

    global _block
    if _block is None:
        _block = CpuBlock(ResBlock(8, 16).eval())
    h, w = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    scale = float(rng.choice([1.0, 1e20, 1e38, np.inf, np.nan]))
    x = torch.from_numpy(rng.normal(size=(1, 8, h, w)).astype(np.float32)) * scale
    with torch.inference_mode():
        _block(x.contiguous(memory_format=torch.channels_last), torch.zeros(1, 16))


_block: Any = None


def run(inputs: int, first: int) -> dict[str, Any]:
    """Counts by kernel, and faults."""
    lattice = Lattice()
    every: dict[str, tuple[int, Callable[[Rng], None]]] = {
        "context": (30, context_coder),
        "logistic": (15, mixtures),
        "grid": (6, grids),
        "presence": (4, gaps),
        "values": (8, statistics),
        "gaussian": (10, gaussians),
        "window": (14, windows),
        "tables, zipf, stack": (10, frequencies),
        "trellis": (8, trellises),
        "lattice_cpu": (4, lattice),
        "unet_cpu": (1, blocks),
    }
    names, shares = list(every), np.array([share for share, _ in every.values()], float)
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for number in range(first, first + inputs):
        rng = np.random.default_rng(number)
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        counts[name] += 1
        try:
            every[name][1](rng)
        except DiffcodecError as error:
            refused[f"{name}: {type(error).__name__}"] += 1
        except Exception as error:
            faults[f"{name}: {type(error).__name__}: {str(error)[:120]}"] += 1
            if faults.total() < 20:
                print("input", number, name, repr(error)[:200], flush=True)
    return {"inputs": inputs, "counts": dict(counts), "refused": dict(refused), "faults": dict(faults)}
