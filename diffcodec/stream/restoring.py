"""Pictures that are the best, or one of the likely ones, of those that agree with what there is (SR3, Palette).

A task says what there is: a condition of the model, and the size of the picture that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from ..models import registry
from ..models.protocols import DiffusionModel, MaskedModel
from ..runtime.errors import InputError
from ..runtime.progress import Progress, end, part
from .inpainting import inpaint
from .sources import read_all
from .typed import RestoreOptions, TaskName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from ..models.condition import FileGiven, Observed

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.generic]

Margins = float | Sequence[int]


@dataclass(frozen=True)
class Asked:
    """What a caller gives beside the picture: see :func:`restore`."""

    scale: int
    known: Any
    margins: Margins


@dataclass(frozen=True)
class Task:
    """What there is, and the picture that is wanted: its size (H, W) and its channels, 1 or 3.

    known: bool (H, W), of a picture of which some pixels are there.
    """

    condition: Observed | FileGiven
    size: tuple[int, int]
    channels: int
    known: Any = None


@overload
def restore(image: Any, task: TaskName, *, samples: None = None, **options: Unpack[RestoreOptions]) -> Samples: ...


@overload
def restore(image: Any, task: TaskName, *, samples: int, **options: Unpack[RestoreOptions]) -> list[Samples]: ...


def restore(
    image: Any,
    task: TaskName,
    *,
    scale: int = 4,
    known: Any = None,
    margins: Margins = 0.25,
    samples: int | None = None,
    realism: float = 1.0,
    calls: int | None = None,
    seed: int = 0,
    model: Any = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Samples | list[Samples]:
    """What a picture may have been before it was made small, grey, holed, cut or a JPEG: uint8 (H, W) or (H, W, 3).

    image:   uint8 array H×W or H×W×3, or whatever `encode` takes that is of mode L or RGB; of task "jpeg" the bytes of
             the file, its path, or a binary file.
    task:    "enlarge", ``scale`` times, 2 to 8; "colour", of the luma of ``image``; "fill", where ``known`` bool H×W is
             false; "extend" by ``margins``; "jpeg", a JPEG or WebP file without its artefacts.
    margins: (top, right, bottom, left) pixels, or a share of the sides.
    samples: how many draws to give, in a list; None gives one picture.
    realism: 0 is what to expect, the least squared error; 1 a draw; between lies what is between.
    calls:   of the network, for each draw: 8 if None.
    seed:    of the draws: the same seed gives the same pictures.
    model:   a conditional diffusion, `photo-cond` if None; for "fill" and "extend" also an order-agnostic ARDM.

    Every picture agrees with what there was: averages of boxes, luma and known pixels exactly, a JPEG's quantised
    coefficients. Raises InputError, ModelNotFound, ModelMismatch.
    """
    if task not in TASKS:
        raise InputError(f"expected task {', '.join(TASKS)}, found {task!r}")
    if not 0 <= realism <= 1:
        raise InputError(f"expected realism from 0 (the mean) to 1 (a draw), found {realism}")
    if samples is not None and samples < 1:
        raise InputError(f"expected 1 sample or more, found {samples}")
    wanted = TASKS[task](image, Asked(scale, known, margins))
    provider = registry.load(registry.CONDITIONAL if model is None else model, device=device, codec=None)
    seeds = [seed + k for k in range(samples or 1)]
    if isinstance(provider, MaskedModel) and wanted.known is not None:
        start = _agreeing(_blank(wanted), wanted)
        every = [
            inpaint(start, wanted.known, provider, calls=calls, seed=one, progress=part(progress, k, 1, len(seeds)))
            for k, one in enumerate(seeds)
        ]
    else:
        every = _by_diffusion(wanted, provider, seeds, realism, calls, progress)
    return every[0] if samples is None else every


def _by_diffusion(
    wanted: Task, provider: object, seeds: Sequence[int], realism: float, calls: int | None, progress: Progress | None
) -> list[Samples]:
    """A picture for each seed. Raises ModelMismatch, InputError."""
    from ..codecs.diffc import refine
    from ..models.condition import given
    from ..runtime.errors import ModelMismatch

    if not isinstance(provider, DiffusionModel):
        name = getattr(provider, "name", provider)
        raise ModelMismatch(f"'{name}' is no diffusion model: use {registry.CONDITIONAL}")
    model, calls = given(provider, [wanted.condition]), refine.CALLS if calls is None else calls
    least = refine.expected(model, wanted.size, seeds[0]) if realism < 1 else None
    every: list[Samples] = []
    for number, seed in enumerate(seeds):
        if least is not None and not realism:
            picture = least
        else:
            told = part(progress, number, 1, len(seeds))
            picture = refine.drawn(model, wanted.size, seed, calls, told)
            picture = picture if least is None else refine.between(least, picture, realism)
        every.append(_agreeing(picture, wanted))
    if not realism:  # of no draw that would have told
        end(progress)
    return every


def _agreeing(picture: Bytes, wanted: Task) -> Samples:
    """``picture`` uint8 (H, W, 3) in the channels that are wanted, made to agree with what there was."""
    import numpy as np

    if wanted.channels == 1:
        picture = np.rint(picture.mean(2, keepdims=True)).astype(np.uint8)
    agreed = wanted.condition.project(picture)
    return agreed.squeeze(2) if wanted.channels == 1 else agreed


def _blank(wanted: Task) -> Bytes:
    import numpy as np

    return np.zeros((*wanted.size, 3), np.uint8)


# ---- tasks: (image, what is asked) -> Task; each raises InputError


def _planes(image: Any) -> Bytes:
    """uint8 (H, W, 1 or 3) of a picture that has nothing else."""
    from ..media.table import signal_of

    signal = signal_of(image)
    planes = signal.photograph()
    if not planes.size or planes.nbytes != signal.array.nbytes:
        raise InputError(f"expected a picture of mode RGB or L, found mode {signal.mode}")
    return planes


def _enlarged(image: Any, asked: Asked) -> Task:
    from ..models.condition import Observed
    from ..models.operators import Box

    if not 2 <= asked.scale <= 8:
        raise InputError(f"expected a scale of 2 to 8, found {asked.scale}")
    planes, k = _planes(image), int(asked.scale)
    return Task(Observed(planes, Box(k)), (k * planes.shape[0], k * planes.shape[1]), planes.shape[2])


def _coloured(image: Any, asked: Asked) -> Task:
    from ..models.condition import Observed
    from ..models.operators import Luma

    planes = _planes(image)
    return Task(Observed.of(planes, Luma()), planes.shape[:2], 3)


def _filled(image: Any, asked: Asked) -> Task:
    import numpy as np

    from ..models.condition import Observed
    from ..models.operators import Mask

    planes = _planes(image)
    if asked.known is None:
        raise InputError("task fill needs known: which pixels there are")
    known = np.asarray(asked.known, bool)
    if known.shape != planes.shape[:2]:
        raise InputError(f"expected known of shape {planes.shape[:2]}, found {known.shape}")
    if known.all():
        raise InputError("every pixel is known: there is nothing to fill")
    return Task(Observed.of(planes, Mask(known)), planes.shape[:2], planes.shape[2], known)


def _extended(image: Any, asked: Asked) -> Task:
    import numpy as np

    from ..models.condition import Observed
    from ..models.operators import Crop

    planes = _planes(image)
    height, width = planes.shape[:2]
    top, right, bottom, left = _margins(asked.margins, (height, width))
    size = (top + height + bottom, left + width + right)
    crop = Crop(top, left, height, width)
    known = np.zeros(size, bool)
    known[crop.part] = True
    return Task(Observed(planes, crop), size, planes.shape[2], known)


def _margins(margins: Margins, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels on the top, right, bottom and left. Raises InputError."""
    if isinstance(margins, (int, float)):
        if not 0 < margins <= 1:
            raise InputError(f"expected margins up to as wide as the picture, found {margins}")
        down, across = (max(1, round(margins * side)) for side in size)
        return down, across, down, across
    every = tuple(margins)
    if len(every) != 4 or min(every) < 0 or not any(every):
        raise InputError(f"expected margins (top, right, bottom, left) of 0 pixels or more, found {margins!r}")
    if max(every[0], every[2]) > size[0] or max(every[1], every[3]) > size[1]:
        raise InputError(f"expected margins no wider than the picture, {size[1]}×{size[0]}, found {margins!r}")
    return every


def _from_file(image: Any, asked: Asked) -> Task:
    from .given import file_condition

    condition = file_condition(read_all(image))
    height, width, channels = condition.samples.shape
    return Task(condition, (height, width), channels)


TASKS: dict[str, Callable[[Any, Asked], Task]] = {
    "enlarge": _enlarged, "colour": _coloured, "fill": _filled, "extend": _extended, "jpeg": _from_file,
}  #: by name; a further one adds a row  # fmt: skip
