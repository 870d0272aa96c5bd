"""Pictures that are the best, or one of the likely ones, of those that agree with what there is (SR3, Palette).

A task says what there is: a condition of the model, and the size of the picture that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from ..models import registry
from ..models.protocols import DiffusionModel, MaskedModel
from ..runtime.errors import InputError
from ..runtime.progress import Progress, part
from .inpainting import inpaint
from .sources import read_all
from .typed import RestoreOptions, TaskName, WayName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from ..codecs.diffc.refine import Begun
    from ..media.clip import Clip
    from ..models.condition import FileGiven, Observed

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.generic]

Margins = float | Sequence[int]
CLIP_SIDES = 4  #: of an array of a clip


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
def restore(image: Clip, task: TaskName, *, samples: None = None, **options: Unpack[RestoreOptions]) -> Clip: ...


@overload
def restore(image: Clip, task: TaskName, *, samples: int, **options: Unpack[RestoreOptions]) -> list[Clip]: ...


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
    frames: int | None = None,
    way: WayName = "moved",
    samples: int | None = None,
    realism: float = 1.0,
    calls: int | None = None,
    seed: int = 0,
    model: Any = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Samples | Clip | list[Samples] | list[Clip]:
    """What a picture may have been before it was made small, grey, holed, cut or a JPEG: uint8 (H, W) or (H, W, 3).

    image:   uint8 array H×W or H×W×3, or whatever `encode` takes that is of mode L or RGB; of task "jpeg" the bytes of
             the file, its path, or a binary file. A `Clip`, or uint8 array T×H×W×3, gives one of more frames.
    task:    "enlarge", ``scale`` times, 2 to 8; "colour", of the luma of ``image``; "fill", where ``known`` bool H×W is
             false; "extend" by ``margins``; "jpeg", a JPEG or WebP file without its artefacts. Of a clip "between",
             with ``frames`` more between two of its own, 1 if None, or "extend", with so many behind the last, 8.
    margins: (top, right, bottom, left) pixels, or a share of the sides.
    way:     how frames of a clip count for others: "moved", others begin as blends of them that motion displaces, from
             which draws go on; "told" to the network alone; "replaced", as noisy as these, in their place; "guided",
             which leads these to where they agree with them as well.
    samples: how many draws to give, in a list; None gives one picture.
    realism: 0 is what to expect, the least squared error; 1 a draw; between lies what is between.
    calls:   of the network, for each draw: 8 if None.
    seed:    of the draws: the same seed gives the same pictures.
    model:   a conditional diffusion, `photo-cond` if None; for "fill" and "extend" also an order-agnostic ARDM. For
             clips one that sees their frames together.

    Every picture agrees with what there was: averages of boxes, luma, known pixels and frames exactly, a JPEG's
    quantised coefficients. Raises InputError, ModelNotFound, ModelMismatch.
    """
    clip = _clip(image)
    tasks, what = (TASKS, "a picture") if clip is None else (CLIP_TASKS, "a clip")
    if task not in tasks:
        raise InputError(f"expected task {', '.join(tasks)} for {what}, found {task!r}")
    if not 0 <= realism <= 1:
        raise InputError(f"expected realism from 0 (the mean) to 1 (a draw), found {realism}")
    if samples is not None and samples < 1:
        raise InputError(f"expected 1 sample or more, found {samples}")
    seeds = [seed + k for k in range(samples or 1)]
    if clip is not None:
        provider = registry.load(registry.OF_CLIPS if model is None else model, device=device, codec=None)
        made = _longer(clip, task, frames, way, provider, partial(_drawn, seeds, realism, calls), progress)
        clips: list[Any] = [one if clip is image else one.array for one in made]
        return clips[0] if samples is None else clips
    wanted = TASKS[task](image, Asked(scale, known, margins))
    provider = registry.load(registry.CONDITIONAL if model is None else model, device=device, codec=None)
    if isinstance(provider, MaskedModel) and wanted.known is not None:
        start = _agreeing(_blank(wanted), wanted)
        every = [
            inpaint(start, wanted.known, provider, calls=calls, seed=one, progress=part(progress, k, 1, len(seeds)))
            for k, one in enumerate(seeds)
        ]
    else:
        told = _told(provider, wanted)
        pictures = _drawn(seeds, realism, calls, told, wanted.size, progress)
        every = [_agreeing(picture, wanted) for picture in pictures]
    return every[0] if samples is None else every


def _told(provider: object, wanted: Task) -> DiffusionModel:
    """Raises ModelMismatch, InputError."""
    from ..models.condition import given
    from ..runtime.errors import ModelMismatch

    if not isinstance(provider, DiffusionModel):
        name = getattr(provider, "name", provider)
        raise ModelMismatch(f"'{name}' is no diffusion model: use {registry.CONDITIONAL}")
    return given(provider, [wanted.condition])


def _drawn(
    seeds: Sequence[int],
    realism: float,
    calls: int | None,
    model: DiffusionModel,
    size: tuple[int, int],
    progress: Progress | None,
    begun: Begun | None = None,
) -> Iterator[Bytes]:
    """A picture uint8 (H, W, 3) for each seed, as of `codecs.diffc.refine.pictures`."""
    from ..codecs.diffc.refine import pictures

    return pictures(model, size, seeds, realism, calls, progress, begun)


def _longer(
    clip: Clip,
    task: str,
    frames: int | None,
    way: WayName,
    provider: object,
    draw: Callable[..., Iterator[Bytes]],
    progress: Progress | None,
) -> list[Clip]:
    """As `restoring_clips.restore_clip`."""
    from .restoring_clips import restore_clip

    return restore_clip(clip, task, frames, way, provider, draw, progress)


def _clip(image: Any) -> Clip | None:
    """The clip that a caller gives, None where it is none."""
    from ..media.clip import Clip, taken

    found = taken(image) if isinstance(image, Clip) or getattr(image, "ndim", 0) == CLIP_SIDES else None
    return found if isinstance(found, Clip) else None


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
CLIP_TASKS: tuple[TaskName, ...] = ("between", "extend")  #: of `restoring_clips`
