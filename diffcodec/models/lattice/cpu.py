"""The integer lattice network on CPU: fused numba kernels around matrix products in float32 or int8.

Same integers as :mod:`lattice_torch` (a law test). Kernels release the GIL and are single-threaded: the caller runs
strips side by side. The int8 product is used only where a check at load time finds it exact with extreme operands
(without VNNI some int8 kernels saturate their 16-bit partial sums) and faster; either gives the same integers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...runtime.kernels import inlined, kernel
from ..settings import held
from .quant import RESIDUAL_LIMIT

CACHED_POSITIONS = 1024  #: of which a layer's sums, codes and weights stay in a core's own cache

_LIMIT = np.float32(RESIDUAL_LIMIT)


@kernel
def _windows(x, out):
    """6x6 windows of uint8 planes (P, rows + 5, w + 5), minus 128, as float32 rows (rows·w, P·36)."""
    P, rows, w = x.shape[0], x.shape[1] - 5, x.shape[2] - 5
    for y in range(rows):
        for c in range(P):
            for ky in range(6):
                line = x[c, y + ky]
                at = (c * 6 + ky) * 6
                for j in range(w):
                    row = out[y * w + j]
                    for kx in range(6):
                        row[at + kx] = np.float32(line[j + kx]) - np.float32(128)


# In float32 from here on, where an int32 would become an int64 that AVX2 cannot turn into a float: every value is an
# integer below 2^24, or so large that a limit follows.


@kernel
def _compand(acc, multiplier, bias, table, r):
    """Rounded sums plus ``bias`` through ``table``, which holds the values of both signs."""
    limit = np.float32(len(table) // 2)
    for n in range(r.shape[0]):
        for c in range(r.shape[1]):
            v = np.rint(acc[n, c] * multiplier[c]) + np.float32(bias[c])
            r[n, c] = table[np.uint32(min(max(v, -limit), limit) + limit)]


@inlined
def _code(t, multiplier, low, high, shift):
    """8-bit code of hard-swish(t), minus ``shift``."""
    product = t * min(max(t + np.float32(768), np.float32(0)), np.float32(1536))
    return min(max(np.rint(product * multiplier), low), high) - shift


@inlined
def _requantised(acc, correction, multiplier):
    return np.rint(np.float32(np.int32(np.int32(acc) + correction)) * multiplier)


@inlined
def _limited(t):
    return min(max(t, -_LIMIT), _LIMIT)


@kernel
def _codes(r, code_multiplier, low, shift, margin, out):
    """Codes of hard-swish(r), minus ``shift``; ``r`` (rows·w, C), ``out`` (rows, w, C) of any dtype within a margin."""
    rows, w, C = out.shape[0] - 2 * margin, out.shape[1] - 2 * margin, out.shape[2]
    bottom, top, moved = np.float32(low), np.float32(low + 255), np.float32(shift)
    for y in range(rows):
        for j in range(w):
            source, target = r[y * w + j], out[y + margin, j + margin]
            for c in range(C):
                target[c] = np.int32(_code(np.float32(source[c]), code_multiplier, bottom, top, moved))


@kernel
def _add_requantised(acc, correction, multiplier, r):
    for n in range(r.shape[0]):
        for c in range(r.shape[1]):
            step = _requantised(acc[n, c], correction[c], multiplier[c])
            r[n, c] = np.int32(_limited(np.float32(r[n, c]) + step))


@kernel
def _requantised_codes(acc, stride, correction, multiplier, code_multiplier, low, shift, out):
    """Requantise a 3x3 product (its rows ``stride`` apart) and take hard-swish codes in one pass; out (rows, w, C)."""
    rows, w, C = out.shape
    bottom, top, moved = np.float32(low), np.float32(low + 255), np.float32(shift)
    for y in range(rows):
        for j in range(w):
            source, target = acc[y * stride + j], out[y, j]
            for c in range(C):
                t = _limited(_requantised(source[c], correction[c], multiplier[c]))
                target[c] = np.int32(_code(t, code_multiplier, bottom, top, moved))


@kernel
def _parameters(acc, bias, multiplier, skip, skip_multiplier, first, K, out):
    """Head sums plus the linear skip of the means, clamped to the ranges of the entropy layer."""
    C = skip.shape[1] - 3 * K
    for n in range(out.shape[0]):
        for k in range(10 * K):
            v = np.int32(np.rint((acc[n, k] + np.float32(bias[k])) * multiplier[k]))
            if k < K:
                v = min(max(v, np.int32(-(1 << 14))), np.int32(1 << 14))
            elif k < 4 * K:
                s = C + k - K
                v += np.int32(np.rint(skip[first + n, s] * skip_multiplier[s]))
                v = min(max(v, np.int32(-(1 << 15))), np.int32(1 << 15))
            elif k < 7 * K:
                v = min(max(v, np.int32(0)), np.int32(256))
            else:
                v = min(max(v, np.int32(-(1 << 13))), np.int32(1 << 13))
            out[n, k] = v


@cache
@held()
def int8_is_exact() -> bool:
    """Whether this machine's int8 matrix product is exact for the operands that stress it most."""
    try:
        for k in (96, 864, 1040):
            worst = torch.full((64, k), -128, dtype=torch.int8)
            worst[:, ::2] = 127
            weight = torch.full((k, 32), 127, dtype=torch.int8)
            weight[1::2] = -127
            noise = torch.from_numpy(np.random.default_rng(k).integers(-128, 128, (64, k)).astype(np.int8))
            for a in (worst, noise, -worst.clamp_min(-127)):
                if not torch.equal(torch._int_mm(a, weight).double(), a.double() @ weight.double()):  # noqa: SLF001
                    return False
    except (RuntimeError, AttributeError):
        return False
    return True


@cache
@held()
def int8_is_faster() -> bool:
    """Whether the int8 product beats the float32 one here, which it does by far with VNNI and misses by far without."""
    a = torch.ones(256, 864, dtype=torch.int8)
    w = torch.ones(864, 96, dtype=torch.int8)
    x, y = a.float(), w.float()

    def seconds(product: Callable[[], Tensor]) -> float:
        product()
        times = []
        for _ in range(3):
            start = time.thread_time()
            product()
            times.append(time.thread_time() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one thread's own time, so that a busy machine is not mistaken for a slow product
    try:
        return seconds(lambda: torch._int_mm(a, w)) < seconds(lambda: torch.mm(x, y))  # noqa: SLF001
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Conv:
    """One convolution's tensors as the kernels take them."""

    weight: Tensor  # float32 (taps, C_in, C_out), or int8 (taps·C_in, C_out)
    correction: np.ndarray  # int32: bias, plus what storing codes minus ``shift`` takes away
    multiplier: np.ndarray
    code_multiplier: np.float32
    low: np.int32
    shift: np.int32


class CpuRuntime:
    """Integers of one strip of one phase; the interface is that of :class:`lattice_torch.TorchRuntime`."""

    def __init__(self, tensors: dict[str, Tensor], gemm: str = "auto"):
        if gemm == "auto":
            gemm = "int8" if int8_is_exact() and int8_is_faster() else "float32"
        self.int8 = gemm == "int8"
        self.t = {name: t.numpy() for name, t in tensors.items()}
        table = self.t["compand"]
        self.compand = np.concatenate([-table[:0:-1], table])
        self.first = {
            n: torch.from_numpy(t.astype(np.float32)) for n, t in self.t.items() if n.endswith("first.weight")
        }
        self.convs = {
            name[: -len(".weight")]: self._prepare(name[: -len(".weight")])
            for name in self.t
            if name.endswith(".weight") and not name.endswith("first.weight")
        }
        self.blocks = sum(name.startswith("0.") and name.endswith(".conv.weight") for name in tensors)

    def _prepare(self, name: str) -> _Conv:
        w, low = self.t[name + ".weight"], np.int32(self.t[name + ".low"][0])
        int8 = self.int8 and w.dtype == np.int8
        shift = np.int32(low + 128) if int8 else np.int32(0)
        correction = self.t[name + ".bias"].astype(np.int64) + shift * w.astype(np.int64).sum((0, 1))
        weight = torch.from_numpy(w if int8 else w.astype(np.float32))
        return _Conv(
            weight.flatten(0, 1).contiguous() if int8 else weight,
            correction.astype(np.int32),
            self.t[name + ".multiplier"],
            np.float32(self.t[name + ".code_multiplier"][0]),
            low,
            shift,
        )

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :meth:`lattice_torch.TorchRuntime.strip`."""
        params, after, _ = self.strip_and_codes(phase, x, before, bias, top, bottom)
        return params, after

    @held()
    def strip_and_codes(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Also the head's input: codes float32 (rows', w, C)."""
        p = f"{phase}."
        rows, w, C = x.shape[1] - 5, x.shape[2] - 5, len(bias)
        step = max(1, CACHED_POSITIONS // w)

        def parts(convolutions: int) -> list[tuple[int, int]]:
            """The rows that kept ones still depend on, with so many 3x3 convolutions to come."""
            start, stop = max(0, top - convolutions), rows - max(0, bottom - convolutions)
            return [(y, min(stop, y + step)) for y in range(start, stop, step)]

        weight, multiplier = self.first[p + "first.weight"], self.t[p + "first.multiplier"]
        first, r = np.empty((rows * w, weight.shape[1]), np.float32), np.empty((rows * w, C), np.int16)
        windows = np.empty((min(step, rows) * w, len(weight)), np.float32)
        for y0, y1 in parts(self.blocks):
            part = slice(y0 * w, y1 * w)
            _windows(x[:, y0 : y1 + 5], windows)
            torch.mm(torch.from_numpy(windows[: (y1 - y0) * w]), weight, out=torch.from_numpy(first[part]))
            _compand(first[part], multiplier, bias, self.compand, r[part])
            if before is not None:
                conv, known = self.convs[p + "entry"], before[y0:y1].reshape(-1, C)
                codes = self._matrix(known.shape)
                np.add(known, conv.low - conv.shift, out=codes, casting="unsafe", dtype=np.int32)
                _add_requantised(self._product(codes, conv), conv.correction, conv.multiplier, r[part])
        padded = self._matrix((rows + 2, w + 2, C))
        for i in range(self.blocks):
            conv, mix = self.convs[f"{p}{i}.conv"], self.convs[f"{p}{i}.mix"]
            padded[0] = padded[-1] = -conv.shift
            padded[:, 0] = padded[:, -1] = -conv.shift
            _codes(r, conv.code_multiplier, conv.low, conv.shift, 1, padded)
            for y0, y1 in parts(self.blocks - 1 - i):
                acc = self._product3x3(padded[y0 : y1 + 2], conv)
                codes = self._matrix((y1 - y0, w, C))
                _requantised_codes(
                    acc, w + 2, conv.correction, conv.multiplier, mix.code_multiplier, mix.low, mix.shift, codes
                )
                acc = self._product(codes.reshape(-1, C), mix)
                _add_requantised(acc, mix.correction, mix.multiplier, r[y0 * w : y1 * w])
        kept = rows - top - bottom
        r = r[top * w : (rows - bottom) * w]
        head = self.convs[p + "head"]
        codes = np.empty((kept, w, C), np.float32)
        _codes(r, head.code_multiplier, head.low, head.shift, 0, codes)
        acc = torch.mm(torch.from_numpy(codes.reshape(-1, C)), head.weight[0]).numpy()
        params = np.empty(acc.shape, np.int32)
        _parameters(acc, head.correction, head.multiplier, first, multiplier, top * w, acc.shape[1] // 10, params)
        after = None
        entry = self.convs.get(f"{phase + 1}.entry")
        if entry is not None:
            after = np.empty((kept, w, C), np.uint8)
            _codes(r, entry.code_multiplier, entry.low, entry.low, 0, after)
        return params.reshape(kept, w, -1), after, codes

    def _matrix(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.empty(shape, np.int8 if self.int8 else np.float32)

    def _product(self, codes: np.ndarray, conv: _Conv) -> np.ndarray:
        a = torch.from_numpy(codes)
        if self.int8:
            return torch._int_mm(a, conv.weight).numpy()  # noqa: SLF001
        return torch.mm(a, conv.weight[0]).numpy()

    def _product3x3(self, padded: np.ndarray, conv: _Conv) -> np.ndarray:
        """3x3 convolution over the flattened padded rows: tap k is the same rows, shifted. (rows·(w+2), C) sums.

        The last two sums of each row of w + 2 mix two rows and are never read.
        """
        rows, stride, C = padded.shape[0] - 2, padded.shape[1], padded.shape[2]
        flat = torch.from_numpy(padded.reshape(-1, C))
        n = rows * stride - 2
        offsets = [ky * stride + kx for ky in range(3) for kx in range(3)]
        if self.int8:
            columns = torch.empty((n, 9, C), dtype=torch.int8)
            for k, o in enumerate(offsets):
                columns[:, k] = flat[o : o + n]
            return torch._int_mm(columns.view(n, 9 * C), conv.weight).numpy()  # noqa: SLF001
        acc = torch.mm(flat[:n], conv.weight[0])
        for k, o in enumerate(offsets[1:], 1):
            torch.addmm(acc, flat[o : o + n], conv.weight[k], out=acc)
        return acc.numpy()
