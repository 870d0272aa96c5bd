"""DiffC's row of the table of codecs. What is heavy is imported when it codes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...runtime.errors import CorruptStream, InputError, ModelMismatch
from ...runtime.progress import Progress
from ..codec import About, Encoded, Head, Planes, Prefix, Receiver, Room, Wish
from ..cost import Allowance, Cost
from ..reconstruction import DEFAULT, MEAN, Reconstruction
from .cost import METHODS, SINCE, cost
from .effort import EFFORT, EFFORTS

if TYPE_CHECKING:
    from ...models.protocols import DiffusionModel, Model

PINNED = 1  #: numerics of the exact picture: its last bits are those of a float network


class DiffC:
    """One picture at any rate, and on to the exact one."""

    name = "diffc"
    lossy = True
    palettes = False
    params_bytes = 2  #: of a lossy stream's
    fewest_bytes = 32

    def refuse(self, wish: Wish) -> None:
        """Raises InputError for what only other codecs do, and for rates that contradict one another."""
        if wish.calls is not None:
            raise InputError("codec diffc places its own network calls: leave calls out")
        if wish.tune:
            raise InputError("codec diffc cannot be tuned: leave tune out")
        if wish.progressive:
            raise InputError("streams of codec diffc are progressive as they are: leave progressive out")
        if len(wish.rates) > 1:
            raise InputError(f"expected one of bpp, psnr and max_bytes, found {' and '.join(wish.rates)}")
        if wish.effort is not None and wish.effort not in EFFORTS:
            raise InputError(f"expected effort from 1 to {len(EFFORTS)}, found {wish.effort}")
        for name, value in (("bpp", wish.bpp), ("psnr", wish.psnr), ("max_bytes", wish.max_bytes)):
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"expected {name} above 0, found {value}")

    def encode(
        self,
        coded: Planes,
        model: Model | None,
        wish: Wish,
        room: Room,
        *,
        like: bytes | None = None,
        progress: Progress | None = None,
    ) -> list[Encoded]:
        """Raises InputError if the wish cannot be met, ModelMismatch."""
        from . import codec
        from .chain import shown as picture

        denoiser = _denoiser(model, coded.frames)
        params, passes, chain = codec.encode(
            coded.photo,
            coded.extra,
            denoiser,
            room,
            wish.seed,
            effort=EFFORTS[wish.effort or EFFORT],
            calibration=wish.calibration,
            progress=progress,
        )
        shown = partial(picture, chain, coded.photo.shape, MEAN)
        return [Encoded(params, passes, model, PINNED if room.exact else None, shown=shown)]

    def receiver(self, head: Head, model: Model | None) -> Receiver:
        """Raises CorruptStream, ModelMismatch."""
        from . import codec

        if head.indexed:
            raise CorruptStream("a lossy stream has no palette; the file is damaged")
        return codec.Receiver(head, _denoiser(model, head.frames))

    def about(self, params: bytes) -> About:
        """Told by the first byte: whether the exact picture follows."""
        method = METHODS.get(params[0]) if params else None
        exact = method is not None and method.exact
        told = params[self.params_bytes :].decode("utf-8", "replace") if exact else ""
        return About(lossy=not exact, environment=told, since=SINCE if method is not None and method.wide else (1, 0))

    def cost(self, prefix: Prefix, reconstruction: Reconstruction = DEFAULT) -> tuple[Cost, Allowance]:
        """As `cost.cost`: a call for each pass, and those of the reconstruction."""
        return cost(prefix, reconstruction)


def _denoiser(model: Model | None, frames: int) -> DiffusionModel:
    from ...models.protocols import DiffusionModel, framed

    if not isinstance(model, DiffusionModel):
        name = "none" if model is None else f"'{model.name}'"
        raise ModelMismatch(f"codec diffc needs a diffusion model, found {name}")
    return framed(model, frames)
