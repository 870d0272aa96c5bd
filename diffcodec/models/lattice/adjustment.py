"""Fit the last layer of a lattice ARDM to one picture, and send what changed (bitstream_spec/SPEC.md §5.1).

A network sees all photographs, a picture is one: some of what it could know of this one's noise and colours costs fewer
bits to send than it saves. Decoding is no slower: the adjusted network has the shape of the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...entropy.context import coder as context
from ...runtime import threads
from ...runtime.errors import CorruptStream, ModelMismatch
from ...runtime.progress import Progress
from ..protocols import Model, Tunable, single_threaded
from ..settings import outside_inference
from .geometry import TARGETS, UNKNOWN
from .phases import phase_input, side_information
from .walk import Walk

if TYPE_CHECKING:
    from torch import Tensor

FEWEST_PIXELS = 128 * 128  #: of smaller pictures an adjustment costs more than it saves
LEVELS = 3  #: finest ones, which hold 63 of 64 pixels, that the fit looks at
CROP, CROPS = 256, 16  #: side and most of the parts that it looks at
STEPS, BATCH = 150, 4096  #: of Adam, positions of one
RATE = 0.2  #: of Adam at first, in steps of an adjustment
ROUNDED = 0.4  #: share of the fit after which its forward pass sees whole steps
PRIOR = 2.0  #: nats that a change of size v takes, over log(1 + v): a rough price of sending it


def fit(photo: np.ndarray, model: Tunable, progress: Progress | None = None) -> tuple[Tunable, bytes] | None:
    """(adjusted model, what `apply` makes it from) for ``photo`` uint8 (H, W, 1 or 3); None where nothing is won."""
    H, W, C = photo.shape
    if H * W < FEWEST_PIXELS:
        return None
    data = _positions(photo, model)
    if not data:
        return None
    steps = model.steps()
    changes = np.zeros((*model.head_shape[:2], model.head_shape[2] + 1), np.int8)
    for phase, seen in enumerate(data):

        def part(fraction: float, phase: int = phase) -> None:
            if progress:
                progress((phase + fraction) / len(data))

        changes[phase] = _fitted(seen, steps[phase], C, H * W / 3, part)
    changes = model.limited(changes)
    planes = (changes.reshape(-1, changes.shape[2], 1).astype(np.int16) + 128).astype(np.uint8)
    payload = context.encode_planes(planes)
    return model.adjusted(changes), payload


def apply(model: Model, payload: bytes) -> Tunable:
    """The adjusted model: mirror of :func:`fit`. Raises CorruptStream, ModelMismatch."""
    if not isinstance(model, Tunable):
        raise ModelMismatch(f"the stream adjusts its network, which model '{model.name}' does not allow")
    phases, outputs, inputs = model.head_shape
    planes = context.decode_planes(payload, phases * outputs, inputs + 1, 1)
    changes = (planes.astype(np.int16) - 128).astype(np.int8).reshape(phases, outputs, inputs + 1)
    try:
        return model.adjusted(changes)
    except ValueError as error:
        raise CorruptStream(f"{error}; the file is damaged") from None


def _crops(H: int, W: int) -> list[tuple[slice, slice]]:
    """Parts of a picture, sides multiples of 2^LEVELS, evenly chosen among all."""
    unit = 1 << LEVELS
    rows, columns = (
        [slice(at, at + min(CROP, (n - at) // unit * unit)) for at in range(0, n - 3 * unit, CROP)] for n in (H, W)
    )
    every = [(y, x) for y in rows for x in columns]
    if len(every) <= CROPS:
        return every
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))[:CROPS]]


def _positions(photo: np.ndarray, model: Tunable) -> list[tuple[np.ndarray, ...]]:
    """For each phase: codes int16 (N, C), parameters int32 (N, 10K), base int32 (N, 3), pixels uint8 (N, 3)."""
    from .walk import THREADS

    H, W, _ = photo.shape
    sides = side_information(photo)

    def seen(crop: tuple[slice, slice]) -> list[tuple[int, tuple[np.ndarray, ...]]]:
        walk = Walk(np.ascontiguousarray(photo[crop]))
        out: list[tuple[int, tuple[np.ndarray, ...]]] = []
        for level in reversed(range(LEVELS)):
            before = None
            for phase in range(len(TARGETS)):
                target, base = walk.enter(level, phase)
                bias = model.bias(phase, level, sides.get(level, UNKNOWN))
                x = phase_input(walk.known, phase)
                params, before, codes = model.strip_and_codes(phase, x, before, bias, 0, 0)
                pixels, sums = (np.broadcast_to(a, (*a.shape[:2], 3)).reshape(-1, 3) for a in (target, base))
                flat = codes.astype(np.int16).reshape(len(pixels), -1)
                out.append((phase, (flat, params.reshape(len(pixels), -1), sums, pixels)))
                walk.leave(target, base)
        return out

    parts = [part for found in threads.each(seen, _crops(H, W), THREADS, single_threaded) for part in found]
    phases = [[arrays for phase, arrays in parts if phase == p] for p in range(len(TARGETS))]
    return [tuple(np.concatenate(a) for a in zip(*arrays, strict=True)) for arrays in phases if arrays]


@outside_inference()
def _fitted(
    seen: tuple[np.ndarray, ...], steps: np.ndarray, channels: int, positions: float, progress: Progress
) -> np.ndarray:
    """int8 (10K, C + 1): the change of one phase's layer with the fewest bits, its own among them, for ``positions``.

    Not exact, nor need it be: what it finds is sent.
    """
    import torch

    from .net import LOG_SCALE_MIN, MEAN_UNIT, mixture_nats
    from .quant import PARAM_UNITS

    codes, params, sums, pixels = (torch.from_numpy(np.ascontiguousarray(a)) for a in seen)
    K = params.shape[1] // 10
    logit, mean, log_scale, coupling = PARAM_UNITS
    # dtypes are named: the caller's default may be another
    units = torch.tensor(
        [logit] * K + [mean * MEAN_UNIT] * 3 * K + [log_scale] * 3 * K + [coupling] * 3 * K, dtype=torch.float32
    )
    least = torch.tensor([0.0] * 4 * K + [LOG_SCALE_MIN] * 3 * K + [0.0] * 3 * K, dtype=torch.float32)
    per_code, per_bias = torch.from_numpy(steps.astype(np.float32)).unbind(-1)
    scale = torch.cat([per_code[:, None].expand(-1, codes.shape[1]), per_bias[:, None]], 1)

    def nats(v: Tensor, chosen: Tensor) -> Tensor:
        inputs = torch.cat([codes[chosen].float(), scale.new_ones(len(chosen), 1)], 1)
        found = (params[chosen] + inputs @ (v * scale).T) / units + least
        target, base = (a[chosen].float().T[None, :, None] for a in (pixels, sums))
        return mixture_nats(target, base / 4, found.T[None, :, None], channels=channels)

    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        v = torch.zeros_like(scale).requires_grad_()
        adam = torch.optim.Adam([v], RATE, betas=(0.9, 0.98))
        for step in range(STEPS):
            adam.param_groups[0]["lr"] = RATE * (0.02 + 0.98 * (1 + math.cos(math.pi * step / STEPS)) / 2)
            chosen = torch.randint(len(codes), (BATCH,), generator=generator)
            used = v if step < ROUNDED * STEPS else v + (v.round() - v).detach()
            loss = nats(used, chosen) / BATCH + PRIOR * torch.log1p(v.abs()).sum() / positions
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            progress((step + 1) / STEPS)
    return v.detach().round().clamp(-128, 127).to(torch.int8).numpy()
