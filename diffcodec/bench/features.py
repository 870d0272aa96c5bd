"""FID and KID of patches, over all pictures of a codec at a rate.

Network: the Inception v3 of 2015-12-05 (the TensorFlow graph of the first FID, as ported by torch-fidelity), its 2048
features of the last pooling. Patches: 128x128, side by side, resized to 299x299 bilinearly as TensorFlow 1 did. With
few patches FID is far from its limit and KID is the one to read. Measured only where the weights are on disk.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .metrics import checkpoints
from .point import safe

NETWORK = "Inception v3 (2015-12-05, torch-fidelity), 2048 features, 128x128 patches resized to 299x299 as TensorFlow 1"
WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
PATCH = 128
SUBSET = 1000  #: patches of one estimate of KID; the mean of 20 where there are more
FEWEST = 32  #: patches below which neither is a number worth having


def missing() -> str:
    """Why FID and KID are not measured here; empty if they are."""
    if importlib.util.find_spec("torch_fidelity") is None:
        return "needs torch-fidelity"
    if not (checkpoints() / WEIGHTS).is_file():
        return f"no weights on disk: {WEIGHTS} in torch's folder hub/checkpoints"
    if not _digest(checkpoints() / WEIGHTS).startswith(WEIGHTS[-12:-4]):
        return f"{WEIGHTS} is another file than its name says"  # torch-fidelity unpickles it: no file but this one
    return ""


@functools.cache
def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def patches(image: np.ndarray) -> np.ndarray:
    """uint8 (N, 3, PATCH, PATCH) of uint8 (H, W, 3); what is left at the right and below is not looked at."""
    h, w = (n // PATCH for n in image.shape[:2])
    cut = image[: h * PATCH, : w * PATCH].reshape(h, PATCH, w, PATCH, 3)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 1, 3)).reshape(-1, 3, PATCH, PATCH)


@functools.cache
def _network() -> Any:
    from torchmetrics.image.fid import NoTrainInceptionV3

    return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(checkpoints() / WEIGHTS))


def of(image: np.ndarray) -> np.ndarray:
    """float32 (N, 2048)."""
    import torch

    with torch.no_grad():
        found = [_network()(torch.from_numpy(patches(image)[k : k + 16])) for k in range(0, len(patches(image)), 16)]
    return torch.cat(found).numpy() if found else np.empty((0, 2048), np.float32)


def file(out: Path, image: str, codec: str, target: str) -> Path:
    """Where the features of one decoded picture are kept between runs; codec "original", target "" of itself."""
    return out / "features" / f"{safe(f'{image}~{codec}~{target}')}.npy"


def distances(originals: Sequence[np.ndarray], decoded: Sequence[np.ndarray]) -> dict[str, float]:
    """fid, and kid times 1000, between two sets of features float32 (n, d); NaN below FEWEST patches."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    sets = [torch.from_numpy(np.concatenate(some)) if some else torch.empty(0, 1) for some in (originals, decoded)]
    n = min(map(len, sets))
    if n < FEWEST:
        return {"fid": math.nan, "kid": math.nan}
    given = torch.nn.Identity()  # the features are there already
    given.num_features = sets[0].shape[1]  # type: ignore[assignment]
    out = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on how much memory they take
        fid = FrechetInceptionDistance(feature=given).set_dtype(torch.float64)
        kid = KernelInceptionDistance(feature=given, subsets=1 if n <= SUBSET else 20, subset_size=min(n, SUBSET))
    for some, real in zip(sets, (True, False), strict=True):
        fid.update(some.double(), real=real)
        kid.update(some, real=real)
    out["fid"] = max(0.0, float(fid.compute()))
    with torch.random.fork_rng():  # which subsets is drawn from torch's generator
        torch.manual_seed(0)
        out["kid"] = 1000 * float(kid.compute()[0])
    return out
