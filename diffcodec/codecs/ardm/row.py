"""ARDM's row of the table of codecs. What is heavy is imported when it codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.errors import CorruptStream, InputError, ModelMismatch, ModelNotFound
from ...runtime.progress import Progress, end, part
from ..codec import About, Encoded, Head, Planes, Prefix, Receiver, Room, Walks, Wish
from ..cost import Allowance, Cost
from ..reconstruction import DEFAULT, Reconstruction
from .cost import BETWEEN, CONTEXT, LATTICE, LEARNED, NUMBERS, ORDERED, REFINED, TEMPORAL, TRACKS, cost

if TYPE_CHECKING:
    from ...models.protocols import Model, Tunable

ORDER_BYTES = 4  #: of the parameters of an order-agnostic stream, before the environment
TABLES = ("levels", "differences", "colours")  #: of statistics of values, by the bits of the second parameter


class ARDM:
    """Lossless, one picture at a time."""

    name = "ardm"
    lossy = False
    palettes = True
    params_bytes = fewest_bytes = 0

    def refuse(self, wish: Wish) -> None:
        """Raises InputError for what only a lossy codec does."""
        if lossy := wish.asked("bpp", "psnr", "prompt", "effort", "calibration"):
            raise InputError(f"codec ardm is lossless and takes no {' or '.join(lossy)}: leave it out, or use diffc")

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
        """The picture as the model is, and where it is to be tuned, also with a network that is fitted to it.

        No way for photo planes of a clip and a model that is for pictures: their other form is coded without a model.
        Nor, where that is asked for, for what has no progressive way beside the one that it is coded in.

        Raises InputError for a model that cannot be tuned, for calls and for tokens that the model does not take.
        """
        from ...models import registry
        from ...models.protocols import FrameModel, TrackModel, Tunable
        from . import codec

        if wish.progressive and not isinstance(coded, Walks):
            return []
        if coded.numbers:
            return [Encoded(*codec.encode_numbers(coded.extra, progress), model)]
        if isinstance(coded, Walks):
            return self._walked(coded, model, wish, progress)
        if coded.photo.shape[2] and isinstance(model, TrackModel):
            raise InputError(f"model '{model.name}' is of tracks, not of pictures: use {registry.DEFAULT[self.name]}")
        tuned = model if wish.tune and isinstance(model, Tunable) else None
        if wish.tune and model is not None and tuned is None:
            raise InputError(f"model '{model.name}' cannot be tuned: leave tune out")
        if coded.sampling and coded.photo.shape[2] and not isinstance(model, FrameModel):
            return []
        adaptive = like is not None and not self.about(like).needs_model and coded.photo.shape[2] > 0
        params, passes = codec.encode(
            coded.photo,
            coded.extra,
            model,
            seed=wish.seed,
            calls=wish.calls,
            method=CONTEXT if adaptive else None,
            progress=part(progress, 0, 2 if wish.tune else 10, 10),
            frames=coded.frames,
            sampling=coded.sampling,
        )
        ways = [Encoded(params, passes, model)]
        if tuned is not None and coded.photo.shape[2]:
            ways += self._tuned(coded, tuned, progress)
        end(progress)
        return ways

    def _walked(self, coded: Walks, model: Model | None, wish: Wish, progress: Progress | None) -> list[Encoded]:
        """By a network of tracks, the bundled one if ``model`` is none; nothing where that takes too much work.

        Nor where this installation has no such network: the context coder needs none.
        """
        from ...models import registry
        from ...models.protocols import TrackModel
        from . import codec, tracks

        try:
            network = model if isinstance(model, TrackModel) else registry.load(registry.OF_TRACKS, codec=self.name)
        except ModelNotFound:
            return []
        assert isinstance(network, TrackModel)
        params, passes = tracks.encode(
            coded.extra, coded.columns, coded.places, network, progress, coded.circles, None, wish.progressive
        )
        end(progress)
        affordable = codec.affordable(params, passes, (*coded.extra.shape[:2], 0), extra=coded.extra.shape[2])
        return [Encoded(params, passes, network)] if affordable else []

    def _tuned(self, coded: Planes, model: Tunable, progress: Progress | None) -> list[Encoded]:
        """With a network that is fitted to the picture, if that serves; takes the last 0.8 of ``progress``."""
        from ...models.lattice import adjustment
        from . import codec

        fitted = adjustment.fit(coded.photo, model, part(progress, 2, 6, 10))
        if fitted is None:
            return []
        adjusted, sent = fitted
        params, passes = codec.encode(
            coded.photo, coded.extra, adjusted, method=LATTICE, progress=part(progress, 8, 2, 10)
        )
        if not codec.affordable(params, passes, coded.photo.shape):
            return []
        return [Encoded(params, passes, adjusted, adjustment=sent)]

    def receiver(self, head: Head, model: Model | None) -> Receiver:
        """Raises CorruptStream, ModelMismatch."""
        from ...models.protocols import TrackModel
        from . import codec, tracks

        if head.params[:1] != bytes([TRACKS]):
            return codec.Receiver(head, model)
        if not isinstance(model, TrackModel):
            raise ModelMismatch("the stream is of tracks, which its model is not for; the file is damaged")
        return tracks.Receiver(head, model)

    def about(self, params: bytes) -> About:
        """Told by the method, the first byte."""
        method = params[0] if params else -1
        tables = params[1] if method in (REFINED, LEARNED) and len(params) > 1 else 0
        return About(
            needs_model=method in (LATTICE, ORDERED, REFINED, LEARNED, TEMPORAL, TRACKS, BETWEEN),
            statistics=method == REFINED,
            tables=tuple(name for k, name in enumerate(TABLES) if tables >> k & 1),
            learns=method in (LEARNED, BETWEEN) or (method == TRACKS and _learns(params)),
            environment=params[ORDER_BYTES:].decode("utf-8", "replace") if method == ORDERED else "",
            since=(1, 7) if method in (NUMBERS, TEMPORAL, TRACKS, LEARNED, BETWEEN) else (1, 0),
        )

    def cost(self, prefix: Prefix, reconstruction: Reconstruction = DEFAULT) -> tuple[Cost, Allowance]:
        """As `cost.cost`: previews are interpolated, whatever the reconstruction. Raises CorruptStream."""
        return cost(prefix)


def _learns(params: bytes) -> bool:
    """Whether the network of tracks does, by parameters that fit."""
    from .track_plan import Plan

    try:
        return Plan.from_bytes(params).further.rate > 0
    except CorruptStream:
        return False
