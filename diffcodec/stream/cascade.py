"""A picture in small as what a stream of the picture is given, and that in smaller still: a cascade (CDM).

Each stage is a whole stream of its own, told what the stage inside it shows (arXiv 2106.15282, §4): the innermost by a
model of all pictures, the others by a conditional one.
"""

from __future__ import annotations

import bisect
import io
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from ..media.table import signal_of
from ..models import registry
from ..runtime.errors import InputError
from ..runtime.progress import Progress, end, part
from .decode import Reconstruction, Wanted, decode_all
from .encode import Sender, encode
from .given import Base, File, file_condition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

Form = Literal["dfc", "jpeg", "webp"]  #: of the smallest stage

SHARE = 0.4  #: of a stage's bytes, what the stages inside it take
SMALLEST, LARGEST = 1, 64  #: how much smaller a stage may be than the picture


@overload
def base_of(
    image: Any,
    factors: int | Sequence[int] = 4,
    *,
    bpp: float | None = None,
    model: Any = None,
    conditional: Any = registry.CONDITIONAL,
    effort: int | None = None,
    device: str = "auto",
    seed: int = 0,
    form: Literal["dfc"] = "dfc",
    progress: Progress | None = None,
) -> Base: ...


@overload
def base_of(
    image: Any,
    factors: int | Sequence[int] = 4,
    *,
    bpp: float | None = None,
    model: Any = None,
    conditional: Any = registry.CONDITIONAL,
    effort: int | None = None,
    device: str = "auto",
    seed: int = 0,
    form: Form,
    progress: Progress | None = None,
) -> Base | File: ...


def base_of(
    image: Any,
    factors: int | Sequence[int] = 4,
    *,
    bpp: float | None = None,
    model: Any = None,
    conditional: Any = registry.CONDITIONAL,
    effort: int | None = None,
    device: str = "auto",
    seed: int = 0,
    form: Form = "dfc",
    progress: Progress | None = None,
) -> Base | File:
    """What `encode` may be given of a picture: its averages over boxes as a stream, or streams one in another.

    image:   as for `encode`, of which the colours are looked at alone.
    factors: how many times smaller a stage is, from the smallest on: 4, or (16, 4), each a multiple of the next; 1 is
             the picture as another model has it with loss, a latent one, whose remainder follows in pixels.
    bpp:     bits per pixel of the whole picture that the base takes, with all that it holds; None for one stage without
             loss. A base with loss says by its augmentation how far it is to be believed.
    model:   codes the smallest stage; None is the default of its codec. conditional: codes those around it.
    form:    of the smallest stage: "dfc" a stream, "jpeg" or "webp" a file that opens everywhere, of the best quality
             that ``bpp`` has room for; a WebP file without loss if that is None.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    signal = signal_of(image)
    whole = signal.photograph()
    if not whole.shape[2]:
        raise InputError(f"a picture of mode {signal.mode} has no colours to make a base of")
    stages = _stages(factors)
    if bpp is None and (len(stages) > 1 or stages[0] == 1):
        raise InputError("several stages, or one as large as the picture, need bits per pixel: else nothing is left")
    most = None if bpp is None else bpp * signal.units / 8
    base: Base | File | None = None
    for number, factor in enumerate(stages):
        picture, inner = _small(whole, factor), stages[number + 1] if number + 1 < len(stages) else 1
        room = None if most is None else math.floor(most * SHARE ** (len(stages) - 1 - number))
        if form != "dfc" and base is None:
            base = _filed(picture, form, factor // inner, room)
            continue
        sender = Sender.of(
            None if room is None else "diffc", model if base is None else conditional, device,
            given=base, max_bytes=room, effort=None if room is None else effort, seed=seed,
        )  # fmt: skip
        stream = encode(signal_of(picture), sender, part(progress, number, 1, len(stages)))
        base = _based(stream, picture, factor // inner, sender, lossless=room is None)
    assert base is not None
    end(progress)
    return base


def _stages(factors: int | Sequence[int]) -> list[int]:
    """From the smallest on. Raises InputError."""
    every = [factors] if isinstance(factors, int) else list(factors)
    falls = all(a > b and a % b == 0 for a, b in itertools.pairwise(every))
    if not every or not falls or not all(SMALLEST <= one <= LARGEST for one in every):
        raise InputError(
            f"expected stages of 1/{LARGEST} to 1/{SMALLEST} of the sides, each a multiple smaller than the next, as "
            f"(16, 4), found {factors!r}"
        )
    return every


def _small(whole: Bytes, factor: int) -> Bytes:
    """Averages of boxes of uint8 (H, W, 1 or 3), of mode L or RGB."""
    from ..models.operators import Box

    small = Box(factor).apply(whole)
    return small.squeeze(2) if small.shape[2] == 1 else small


def _filed(picture: Bytes, form: Form, k: int, room: int | None) -> File:
    """The innermost stage as a file of at most ``room`` bytes. Raises InputError where there is none."""
    import numpy as np

    from ..models.operators import Box

    if room is None and form == "jpeg":
        raise InputError("a JPEG base needs bits per pixel: it has no form without loss")
    data = _lossless_webp(picture) if room is None else _largest(picture, form, room)
    shown = file_condition(data).samples.reshape(*picture.shape[:2], -1)
    if picture.ndim == 2 and shown.shape[2] == 3:  # WebP has no grey pictures
        raise InputError("a grey picture has no WebP base: take a JPEG or a stream")
    off = (shown.astype(np.float64) - picture.reshape(shown.shape)) / 127.5
    return File(data, Box(k), None if room is None else augmentation_of(float(np.square(off).mean())))


def _lossless_webp(picture: Bytes) -> bytes:
    return _saved(picture, "WEBP", lossless=True, quality=100, method=6, exact=True)


def _largest(picture: Bytes, form: Form, room: int) -> bytes:
    """The file of the highest quality that takes no more. Raises InputError if none does."""
    from functools import cache

    @cache
    def of(quality: int) -> bytes:
        return _saved(picture, form.upper(), quality=quality, **_OPTIONS[form])

    qualities = range(1, 96)
    fits = bisect.bisect_right(qualities, room, key=lambda quality: len(of(quality)))
    while fits and len(of(qualities[fits - 1])) > room:  # a higher quality now and then takes fewer bytes
        fits -= 1
    if not fits:
        raise InputError(f"no {form} file of {picture.shape[1]}×{picture.shape[0]} pixels has {room} bytes or less")
    return of(qualities[fits - 1])


_OPTIONS: dict[str, dict[str, Any]] = {"jpeg": {"optimize": True, "progressive": True}, "webp": {"method": 6}}


def _saved(picture: Bytes, kind: str, **options: Any) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, **options)
    return out.getvalue()


def _based(stream: bytes, picture: Bytes, k: int, sender: Sender, *, lossless: bool) -> Base:
    """The base of a stage ``k`` times larger, and how far it is to be believed."""
    import numpy as np

    from ..models.operators import Box

    if lossless:
        return Base(stream, Box(k))
    wanted = Wanted(Reconstruction.of("mean"), model=sender.model, device=sender.device, budget=math.inf)
    shown = decode_all(stream, wanted)
    off = (shown.photograph().reshape(picture.shape).astype(np.float64) - picture) / 127.5
    return Base(stream, Box(k), augmentation_of(float(np.square(off).mean())))


def augmentation_of(error: float) -> int:
    """The log-SNR in 1/1024 of samples that err by ``error``, a mean square in x, beside what rounding leaves out."""
    return round(-1024 * math.log(error + 5e-6))
