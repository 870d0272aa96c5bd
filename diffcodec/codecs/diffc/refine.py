"""Pictures from a condition alone: repeated refinement (SR3, arXiv 2104.07636, §2), or what to expect.

It is the decoder of a stream without passes: z is noise, and all that is known is what the model was given.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...diffusion import samplers
from ...models.protocols import DiffusionModel
from ...runtime.errors import InputError
from ...runtime.progress import Progress
from ..reconstruction import MEAN
from .chain import Chain

CALLS = 8  #: network calls of a draw, unless others are asked for
END = 9.0  #: log-SNR at which x_hat is the picture, to half a level


def expected(model: DiffusionModel, size: tuple[int, int], seed: int) -> np.ndarray:
    """E[x | what the model was given] as a picture uint8 (H, W, 3) of ``size``: the least squared error.

    By one network call, or one for each pose.
    """
    return _picture(model, Chain(model, size, seed).reconstruct(MEAN), size)


def drawn(
    model: DiffusionModel, size: tuple[int, int], seed: int, calls: int = CALLS, progress: Progress | None = None
) -> np.ndarray:
    """A picture uint8 (H, W, 3) of p(x | what the model was given): the same of the same seed, 0 to 2^64 - 1.

    Raises InputError for less than one network call.
    """
    if calls < 1:
        raise InputError(f"expected 1 network call or more, found {calls}")
    chain, done = Chain(model, size, seed), 0

    def predict(z: Tensor, logsnr: Tensor) -> Tensor:
        nonlocal done
        done += 1
        if progress:
            progress(done / calls)
        return model.predict(z, logsnr)

    if calls == 1:
        return _picture(model, chain.x_hat(), size)
    end = min(END, model.logsnr_max)
    x = samplers.flow(predict, chain.z, chain.logsnr, end, calls - 1, order=1)
    return _picture(model, x, size)


def between(least: np.ndarray, real: np.ndarray, realism: float) -> np.ndarray:
    """(1 - realism) least + realism real, pictures uint8 of one shape, rounded: `samplers.between`."""
    a, b = (torch.from_numpy(one.astype(np.float32)) for one in (least, real))
    mixed: np.ndarray = samplers.between(a, b, realism).round().clamp(0, 255).byte().numpy()
    return mixed


def _picture(model: DiffusionModel, x: Tensor, size: tuple[int, int]) -> np.ndarray:
    picture: np.ndarray = model.from_latent(x)[0, :, : size[0], : size[1]].permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(picture)
