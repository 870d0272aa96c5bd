"""The integer lattice network in plain torch operations: any device, float32 or float64 accumulation.

The readable statement of the arithmetic, and the CUDA path. `lattice_cpu` computes the same integers faster.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import held
from .quant import RESIDUAL_LIMIT


class TorchRuntime:
    """Integers of one strip of one phase. ``tensors`` are those of :func:`lattice_quant.quantise`."""

    def __init__(self, tensors: dict[str, Tensor], device: str = "cpu", accumulate: torch.dtype = torch.float32):
        self.device, self.accumulate = device, accumulate
        self.t = {
            name: t.to(device, accumulate if name.endswith(".weight") else t.dtype) for name, t in tensors.items()
        }
        self.blocks = sum(name.startswith("0.") and name.endswith(".conv.weight") for name in tensors)

    def strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """One strip: ``x`` uint8 (planes, rows + 5, w + 5), ``before`` uint8 (rows, w, C), ``bias`` int32 (C,).

        The first ``top`` and last ``bottom`` rows are context for the convolutions and are dropped from the result.
        Returns parameters int32 (rows', w, 10K) and the next phase's input codes uint8 (rows', w, C), None after the
        last.
        """
        params, after, _ = self._strip(phase, x, before, bias, top, bottom)
        return params, after

    def strip_and_codes(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Also the head's input: codes float32 (rows', w, C)."""
        params, after, codes = self._strip(phase, x, before, bias, top, bottom)
        return params, after, codes.float().cpu().numpy()

    @held()
    def _strip(
        self, phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int
    ) -> tuple[np.ndarray, np.ndarray | None, Tensor]:
        """The codes stay on the device: only a fit wants them."""
        t, p = self.t, f"{phase}."
        rows, w = x.shape[1] - 5, x.shape[2] - 5
        C = len(bias)
        windows = F.unfold(torch.from_numpy(x).to(self.device).to(self.accumulate)[None] - 128, 6)[0].T
        v = self._requantise(torch.mm(windows, t[p + "first.weight"]), t[p + "first.multiplier"])
        skip = v[:, C:]
        limit = len(t["compand"]) - 1
        v = (v[:, :C] + torch.from_numpy(bias).to(self.device)).clamp(-limit, limit)
        r = torch.sign(v) * t["compand"][v.abs().long()].to(v.dtype)
        if before is not None:
            low = int(t[p + "entry.low"])
            codes = torch.from_numpy(before).to(self.device).to(self.accumulate) + low
            r = self._limit(r + self._conv(p + "entry", codes))
        for i in range(self.blocks):
            t1 = self._limit(self._conv(f"{p}{i}.conv", self._codes(f"{p}{i}.conv", r.view(rows, w, C))))
            t2 = self._conv(f"{p}{i}.mix", self._codes(f"{p}{i}.mix", t1.view(rows, w, C)))
            r = self._limit(r + t2)
        keep = slice(top * w, (rows - bottom) * w)
        r, skip = r[keep].view(-1, w, C), skip[keep]
        codes = self._codes(p + "head", r)
        params = self._conv(p + "head", codes)
        K = params.shape[1] // 10
        params[:, K : 4 * K] += skip
        limits = torch.tensor([1 << 14] * K + [1 << 15] * 3 * K + [256] * 3 * K + [1 << 13] * 3 * K, device=self.device)
        floor = torch.cat([-limits[: 4 * K], limits[4 * K : 7 * K] * 0, -limits[7 * K :]])
        params = torch.minimum(torch.maximum(params, floor), limits).to(torch.int32)
        after = None
        name = f"{phase + 1}.entry"
        if name + ".low" in t:
            after = (self._codes(name, r) - int(t[name + ".low"])).to(torch.uint8).cpu().numpy()
        return params.view(-1, w, 10 * K).cpu().numpy(), after, codes

    def _codes(self, name: str, r: Tensor) -> Tensor:
        """8-bit codes of hard-swish(r)."""
        product = (r * (r + 768).clamp(0, 1536)).to(torch.float32)
        low = int(self.t[name + ".low"])
        code = torch.round(product * self.t[name + ".code_multiplier"]).clamp(low, low + 255)
        return code.to(self.accumulate)

    def _conv(self, name: str, codes: Tensor) -> Tensor:
        weight = self.t[name + ".weight"]
        rows, w, C = codes.shape
        if len(weight) == 1:
            acc = torch.mm(codes.reshape(-1, C), weight[0])
        else:
            padded = F.pad(codes, (0, 0, 1, 1, 1, 1))
            acc = sum(  # type: ignore[assignment]
                torch.mm(padded[k // 3 : k // 3 + rows, k % 3 : k % 3 + w].reshape(-1, C), weight[k]) for k in range(9)
            )
        return self._requantise(acc + self.t[name + ".bias"], self.t[name + ".multiplier"])

    def _requantise(self, acc: Tensor, multiplier: Tensor) -> Tensor:
        """Round-half-even of an exact integer times a float32, in one correctly rounded multiplication."""
        return torch.round(acc.to(torch.float32) * multiplier).to(torch.int32)

    @staticmethod
    def _limit(r: Tensor) -> Tensor:
        return r.clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)
