"""Pictures from a condition alone: repeated refinement (SR3, arXiv 2104.07636, §2), or what to expect.

It is the decoder of a stream without passes: z is noise, and all that is known is what the model was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...diffusion import samplers
from ...diffusion.process import diffuse
from ...models.protocols import DiffusionModel
from ...runtime.errors import InputError
from ...runtime.progress import Progress, end, part
from ..reconstruction import MEAN
from .chain import Chain, as_images

CALLS = 8  #: network calls of a draw, unless others are asked for
START = -1.0  #: log-SNR of the second: what is less noisy is told by what was given, not by z
END = 9.0  #: log-SNR at which x_hat is the picture, to half a level
CURVATURE = 1.75  #: of the steps: textures as near as they come without much more LPIPS (`benchmarks.studies.draws`)


@dataclass(frozen=True, eq=False)
class Begun:
    """A ``picture`` uint8 (H, W, 3) near the one that is wanted, and the log-SNR at which a draw goes on from it.

    It is noised to that, and denoised from there (SDEdit, arXiv 2108.01073).
    """

    picture: np.ndarray
    logsnr: float


def expected(model: DiffusionModel, size: tuple[int, int], seed: int) -> np.ndarray:
    """E[x | what the model was given] as a picture uint8 (H, W, 3) of ``size``: the least squared error.

    By one network call, or one for each pose.
    """
    return _picture(model, Chain(model, size, seed).reconstruct(MEAN), size)


def drawn(
    model: DiffusionModel,
    size: tuple[int, int],
    seed: int,
    calls: int = CALLS,
    progress: Progress | None = None,
    curvature: float = CURVATURE,
    start: float = START,
    begun: Begun | None = None,
) -> np.ndarray:
    """A picture uint8 (H, W, 3) of p(x | what the model was given): the same of the same seed, 0 to 2^64 - 1.

    curvature: of `samplers.multistep`. start: log-SNR of the second call, but where the first is of a picture that was
    ``begun``. Raises InputError for less than one call.
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

    end = min(END, model.logsnr_max)
    if begun is not None:
        z, first = _noised(model, begun, chain.z), min(begun.logsnr, end)
        times = samplers.levels(first, end, calls - 1) if calls > 1 else [first]
    else:
        z, times = chain.z, [chain.logsnr]
        times += samplers.levels(start, end, calls - 2) if calls > 2 else [end] * (calls - 1)
    return _picture(model, samplers.multistep(predict, z, times, curvature), size)


def pictures(
    model: DiffusionModel,
    size: tuple[int, int],
    seeds: Sequence[int],
    realism: float,
    calls: int | None = None,
    progress: Progress | None = None,
    begun: Begun | None = None,
) -> Iterator[np.ndarray]:
    """A picture uint8 (H, W, 3) for each seed, of a realism from 0, :func:`expected`, to 1, :func:`drawn`.

    calls: of each draw, CALLS if None. begun: a picture that stands for what to expect. Raises InputError.
    """
    least = None
    if realism < 1:
        least = expected(model, size, seeds[0]) if begun is None else begun.picture
    for number, seed in enumerate(seeds):
        if least is not None and not realism:
            yield least
            continue
        told = part(progress, number, 1, len(seeds))
        made = drawn(model, size, seed, CALLS if calls is None else calls, told, begun=begun)
        yield made if least is None else between(least, made, realism)
    if not realism:  # of no draw that would have told
        end(progress)


def between(least: np.ndarray, real: np.ndarray, realism: float) -> np.ndarray:
    """(1 - realism) least + realism real, pictures uint8 of one shape, rounded: `samplers.between`."""
    a, b = (torch.from_numpy(one.astype(np.float32)) for one in (least, real))
    mixed: np.ndarray = samplers.between(a, b, realism).round().clamp(0, 255).byte().numpy()
    return mixed


def _noised(model: DiffusionModel, begun: Begun, noise: Tensor) -> Tensor:
    """z (1, C, h, w) of what was begun, at its log-SNR."""
    x = model.to_latent(as_images(begun.picture)).to(noise.device)
    return diffuse(x, x.new_tensor(begun.logsnr), noise)


def _picture(model: DiffusionModel, x: Tensor, size: tuple[int, int]) -> np.ndarray:
    picture: np.ndarray = model.from_latent(x)[0, :, : size[0], : size[1]].permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(picture)
