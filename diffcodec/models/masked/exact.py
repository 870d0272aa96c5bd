"""The provider of `cifar10-oa` and its like: an order-agnostic ARDM of RGB and grey pictures, in integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...entropy.logistic import Mixtures
from ...runtime.decimals import decimals
from ...runtime.errors import InputError
from ..architectures import Weights
from ..checks import profile_of
from ..lattice.net import LOG_SCALE_MIN, MEAN_UNIT
from ..protocols import EXACT, device_of
from ..settings import held
from ..unet.exact import ExactUNet, Z
from .net import CONTRAST, PLANES, MaskedConfig, averages, planes


def load(weights: Weights) -> ExactMaskedModel:
    """Of architecture masked-unet-exact-1. Raises any error for other tensors."""
    config, profile = MaskedConfig.from_dict(weights.fields("profile")), profile_of(weights.config["profile"])
    return ExactMaskedModel(weights.tensors, config, profile, weights.name, weights.fingerprint, weights.device)


class ExactMaskedModel:
    """Mixtures for any pixels from any set of known ones, the same on any machine (`unet_exact`)."""

    numerics = EXACT
    separate = False
    vocabulary, branching = 256, 256

    def __init__(
        self,
        tensors: dict[str, Tensor],
        config: MaskedConfig,
        profile: Sequence[int],
        name: str,
        fingerprint: bytes,
        device: str,
    ):
        self.name, self.fingerprint, self.profile = name, fingerprint, profile
        self.device = torch.device(device_of(device))
        self.K = config.components
        self.net = ExactUNet(tensors, config, self.device, PLANES, 10 * self.K)
        # rows of `entropy.logistic` from those of `lattice_net.mixture_nats`
        unit, low = (
            [64.0, *[64 * MEAN_UNIT] * 3, *[32.0] * 3, *[256.0] * 3],
            [0.0] * 4 + [LOG_SCALE_MIN] * 3 + [0.0] * 3,
        )
        self.unit, self.low = (torch.tensor(v, dtype=torch.float32, device=self.device) for v in (unit, low))

    def ask(self, tokens: np.ndarray, known: np.ndarray, stage: int, asked: np.ndarray) -> Mixtures:
        """Mixtures of pixels ``asked`` of ``tokens`` uint8 (H, W, 1 or 3): `protocols.MaskedModel.ask`.

        Raises InputError for pictures of other channels.
        """
        C = tokens.shape[2]
        if C not in (1, 3):
            raise InputError(f"'{self.name}' codes pictures of 1 or 3 channels, found {C}")
        image = torch.from_numpy(tokens if C == 3 else tokens.repeat(3, 2)).permute(2, 0, 1)[None].to(self.device)
        base, params = self.parameters(image, torch.from_numpy(known)[None, None].to(self.device))
        at = torch.from_numpy(asked).to(self.device)
        chosen = params[0].flatten(1).index_select(1, at).T.contiguous()
        sums = base[0, :C].flatten(1).index_select(1, at).T.contiguous()
        return Mixtures(chosen.view(-1, 10, self.K).cpu().numpy(), sums.int().cpu().numpy())

    @torch.inference_mode()
    @held()
    def parameters(self, image: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """(base int64 (N, 3, H, W) in quarter levels, int32 (N, 10 K, H, W) for `entropy.logistic`).

        ``image`` uint8 (N, 3, H, W), ``known`` bool (N, 1, H, W), of the same number in every picture.
        """
        N, _, H, W = image.shape
        base = averages(image, known)
        m = self.net.config.multiple
        z = planes(image, known, base).double() * (Z // 512)
        z = F.pad(z, (0, -W % m, 0, -H % m), mode="replicate")
        v = self.net.run(z, log_odds(int(known[0].sum()), H * W), CONTRAST)[..., :H, :W]
        v = v.reshape(N, 10, self.K, H, W)
        rows = (v - self.low[:, None, None, None]) * self.unit[:, None, None, None]
        return base, rows.round_().clamp_(-(2**20), 2**20).int().flatten(1, 2)


@lru_cache(maxsize=4096)
def log_odds(known: int, total: int) -> int:
    """`masked.log_odds` in 1/1024, correctly rounded."""
    with decimals(30):
        odds = Decimal(2 * known + 1) / (2 * (total - known) + 1)
        return max(-8192, min(8192, math.floor(odds.ln() * 1024 + Decimal("0.5"))))
