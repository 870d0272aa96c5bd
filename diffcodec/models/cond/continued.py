"""Points that are not known, continued smoothly from those that are: what a network is shown of holes and margins."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

ROUNDS = 4  #: of smoothing at every size


def continued(x: Tensor, known: Tensor) -> Tensor:
    """``x`` float32 (1, C, H, W) where ``known`` float32 (1, 1, H, W) is 1, a smooth continuation of it where it is 0.

    A push and a pull over halved sizes: averages of what is known of boxes of 2 x 2 are continued in the same way, and
    what is unknown is taken from there by bilinear interpolation, then ROUNDS times from the average of 3 x 3 points.
    """
    H, W = x.shape[2:]
    if bool(known.all()) or H * W == 1:
        return x * known
    far = (0, W % 2, 0, H % 2)
    share = F.avg_pool2d(F.pad(known, far), 2)
    half = F.avg_pool2d(F.pad(x * known, far), 2) / share.clamp_min(0.25)
    half = continued(half, (share > 0).float())
    out = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)[..., :H, :W]
    out = x * known + out * (1 - known)
    for _ in range(ROUNDS):
        around = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
        out = x * known + around * (1 - known)
    return out
