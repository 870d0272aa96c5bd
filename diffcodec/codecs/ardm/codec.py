"""ARDM (arXiv 2110.02037): lossless, single image, progressive, over the 2x lattice or in any order (`ordered`).

A picture is ``photo`` (1 or 3 planes of 8 bits, coded by the network where that is smaller) and ``extra`` planes
(alpha, low bytes, indices; always coded by the adaptive context coder, in the last passes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ...entropy.context import coder as context
from ...entropy.context import whole
from ...models.environment import environment
from ...models.lattice.geometry import pass_units
from ...models.lattice.walk import THREADS
from ...models.protocols import PINNED, FrameModel, MaskedModel, Model, PhaseModel
from ...runtime import threads as threads_of_call
from ...runtime.errors import CorruptStream, InputError, ModelMismatch, Truncated
from ...runtime.progress import Progress, Shares, end
from ..codec import Head, Prefix
from ..codec import Receiver as AnyReceiver
from ..cost import MARGIN
from ..reconstruction import DEFAULT, Reconstruction
from . import between, lattice, ordered, temporal
from .cost import BETWEEN, CONTEXT, LATTICE, LEARNED, NO_PHOTO, NUMBERS, ORDERED, REFINED, TEMPORAL, cost
from .orders import MAX_PLANNED, RANDOM
from .sampling import SAMPLINGS
from .strips import SMALL_PIXELS, STRIP_POSITIONS

_OF_FRAMES = {TEMPORAL: temporal, BETWEEN: between}  #: by method, what codes frames of a clip
SAMPLED_PIXELS = 2**17  #: up to which both ways are tried rather than judged on a sample
PROGRESSIVE_WORTH = 0.99  #: the context coder has no previews, so it has to be 1 % smaller than the network


def encode(
    photo: np.ndarray,
    extra: np.ndarray,
    model: Model | None,
    *,
    seed: int = 0,
    calls: int | None = None,
    progress: Progress | None = None,
    method: int | None = None,
    tables: int | None = None,
    learned: bool | None = None,
    strip_positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
    frames: int = 1,
    sampling: str = "",
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of a picture, ``photo`` uint8 (H, W, 0, 1 or 3) and ``extra`` uint8 (H, W, E).

    Or of so many ``frames`` of a clip of some ``sampling`` (`codecs.codec.Planes`), for a `FrameModel`.

    A model that `ask` answers codes in a random order of ``seed``, in ``calls`` network calls (`ordered.CALLS`).
    ``method`` forces LATTICE, ORDERED (as the model is), TEMPORAL or BETWEEN (of frames) or CONTEXT for the photo; None
    takes the smaller, judged on a sample of large pictures, and of frames BETWEEN. ``tables`` forces those of
    statistics of values where the lattice is coded; None takes those of TRIED that serve. ``learned`` forces a
    network that learns from what was coded, or one that does not. Raises InputError for planes, calls or tokens that
    are not coded so.
    """
    if photo.shape[2] not in (0, 1, 3):
        raise InputError(f"photo planes must be 0, 1 or 3, found {photo.shape[2]}")
    shares = Shares(progress, photo.size + extra.size)
    way = _Way(seed, calls, tables, learned, strip_positions, threads, shares.take(photo.size), frames, sampling)
    if not photo.shape[2]:
        params, passes = bytes([NO_PHOTO]), list[bytes]()
    else:
        _check_calls(model, calls)
        params, passes = _encode_photo(photo, model, method, way)
        if method is None and not affordable(params, passes, photo.shape, frames):
            params, passes = bytes([CONTEXT]), [context.encode_planes(photo)]
    for part in _parts(extra.shape[2]):
        planes = np.ascontiguousarray(extra[..., part])
        passes.append(context.encode_planes(planes, progress=shares.take(planes.size)))
    end(progress)
    return params, passes


def encode_numbers(extra: np.ndarray, progress: Progress | None = None) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of whole numbers of 16 bits, uint8 (H, W, 2n): of each the high byte, then the low one."""
    shares = Shares(progress, extra.size)
    passes = []
    for part in _parts(extra.shape[2]):
        planes = np.ascontiguousarray(extra[..., part])
        passes.append(whole.encode(planes, shares.take(planes.size)))
    end(progress)
    return bytes([NUMBERS]), passes


@dataclass(frozen=True)
class _Way:
    """How the network is asked: what :func:`encode` was told."""

    seed: int
    calls: int | None
    tables: int | None
    learned: bool | None
    strip_positions: int
    threads: int
    progress: Progress | None
    frames: int
    sampling: str


def _check_calls(model: Model | None, calls: int | None) -> None:
    if calls is None:
        return
    if not isinstance(model, MaskedModel):
        name = "of none" if model is None else f"'{model.name}'"
        raise InputError(f"model {name} has a fixed number of network calls: leave calls out")
    if not 1 <= calls <= MAX_PLANNED:
        raise InputError(f"expected 1 to {MAX_PLANNED} network calls, found {calls}")


def _encode_photo(photo: np.ndarray, model: Model | None, method: int | None, way: _Way) -> tuple[bytes, list[bytes]]:
    """By the network or by the context coder, whichever is smaller, if ``method`` does not say."""
    small = photo.shape[0] * photo.shape[1] <= SMALL_PIXELS
    if method != CONTEXT and isinstance(model, FrameModel):
        return _encode_frames(photo, model, BETWEEN if method is None else method, way)
    if method is None and isinstance(model, PhaseModel):
        method = _choose(photo, model)
    doubt = method is None and photo.shape[0] * photo.shape[1] > SAMPLED_PIXELS
    most = 1 if doubt else 2  # of a photograph's two best modes one is about as good as the other

    def by_network(otherwise: Callable[[], bytes | None]) -> tuple[bytes, list[bytes]] | None:
        if method == CONTEXT:
            return None
        if isinstance(model, MaskedModel):
            return _encode_ordered(photo, model, way)
        with threads_of_call.alone(small):
            network = _over_the_lattice(model)
            given = way.progress, way.strip_positions, way.threads, way.tables, way.learned
            most = None if method == LATTICE else lambda: len(otherwise() or b"")
            return lattice.encode(photo, network, *given, most)

    def adaptively() -> bytes | None:  # its kernels run beside the network's
        report = way.progress if method == CONTEXT else None  # else the network does
        return context.encode_planes(photo, most, report) if method in (None, CONTEXT) else None

    if threads_of_call.limit() is None and not small:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(adaptively)
            coded, whole = by_network(other.result), other.result()
    else:
        whole = adaptively()
        coded = by_network(lambda: whole)
    if coded is None or (whole is not None and len(whole) < PROGRESSIVE_WORTH * sum(map(len, coded[1]))):
        assert whole is not None
        return bytes([CONTEXT]), [whole]
    return coded


def _encode_frames(photo: np.ndarray, model: FrameModel, method: int, way: _Way) -> tuple[bytes, list[bytes]]:
    """Raises ModelMismatch for what is no clip."""
    if not way.sampling:
        raise ModelMismatch(f"model '{model.name}' is for clips, and this is none: leave model out")
    with threads_of_call.alone(photo.size <= SMALL_PIXELS * way.frames):
        kind = SAMPLINGS[way.sampling]
        given = photo, way.frames, model, kind, way.progress, way.strip_positions, way.threads
        coded: tuple[bytes, list[bytes]] = _OF_FRAMES[method].encode(*given)
    return coded


def _parts(n_extra: int) -> list[slice]:
    """The extra planes of each of the last passes: as many as the context coder takes, in order."""
    most = context.MAX_CHANNELS
    return [slice(at, min(at + most, n_extra)) for at in range(0, n_extra, most)]


def affordable(params: bytes, passes: list[bytes], shape: tuple[int, ...], frames: int = 1, extra: int = 0) -> bool:
    """Whether a tenth of a reader's default budget allows the method for these bytes (``passes`` [] for none at all).

    Of photo planes of ``shape`` (H, W, C) and so many ``extra`` ones.

    A large black picture takes the lattice network no bytes, and others few: they go to the context coder.
    """
    H, W, C = shape
    head = Head("ardm", H, W, C, extra, params, frames=frames)
    prefix = Prefix(head, passes or [b""] * len(pass_units(H, W)), True)
    found, allowed = cost(prefix)
    return not allowed.exceeded(found, sum(map(len, passes)), MARGIN)


def _encode_ordered(photo: np.ndarray, model: MaskedModel, way: _Way) -> tuple[bytes, list[bytes]]:
    plan = ordered.Plan(RANDOM, way.calls or ordered.CALLS, way.seed)
    params = bytes([ORDERED]) + plan.to_bytes()
    if model.numerics == PINNED:
        params += environment(str(model.device)).encode()
    return params, ordered.encode(ordered.arranged(photo, model), model, plan, progress=way.progress)[0]


def _choose(photo: np.ndarray, model: PhaseModel) -> int | None:
    """LATTICE or CONTEXT where a sample leaves no doubt, None where both have to be tried."""
    H, W = photo.shape[:2]
    if H * W <= SAMPLED_PIXELS:
        return None
    if not affordable(bytes([LATTICE]), [], photo.shape) and bool((photo == photo[0, 0]).all()):
        return CONTEXT  # blank: what a network says of it takes no bytes, and much time
    n = 96
    corners = [(y * (H - min(n, H)) // 2, x * (W - min(n, W)) // 2) for y in range(3) for x in range(3)]

    def sizes_of(corner: tuple[int, int]) -> list[int]:
        tile = np.ascontiguousarray(photo[corner[0] : corner[0] + n, corner[1] : corner[1] + n])
        coded = lattice.encode(tile, model, threads=1)
        assert coded is not None  # as nothing else is told
        return [sum(map(len, coded[1])), len(context.encode_planes(tile))]

    sizes = np.sum(threads_of_call.each(sizes_of, corners[::2], THREADS), axis=0)
    # of whole pictures the quotient was up to 4 % larger, never 3 % smaller
    if sizes[0] < 0.95 * sizes[1]:
        return LATTICE
    return CONTEXT if sizes[0] > 1.15 * sizes[1] else None


class Receiver(AnyReceiver):
    """Mirror of :func:`encode`, pass by pass.

    A prefix of the passes gives a preview, interpolated beyond the known pixels. ``stride``: of the grid that is known
    everywhere, 1 for a whole picture, 0, telling nothing, for a part in another order than the lattice's.
    Raises CorruptStream.
    """

    def __init__(
        self,
        head: Head,
        model: Model | None,
        *,
        strip_positions: int = STRIP_POSITIONS,
        threads: int = THREADS,
    ):
        params, n_photo = head.params, head.photo
        method = params[0] if params else -1
        known = method in (LATTICE, CONTEXT, NO_PHOTO, ORDERED, REFINED, NUMBERS, LEARNED, *_OF_FRAMES)
        bare = method not in (CONTEXT, NO_PHOTO, NUMBERS) or len(params) == 1
        odd = method == NUMBERS and head.extra % 2
        if not known or not bare or (method in (NO_PHOTO, NUMBERS)) != (n_photo == 0) or odd:
            raise CorruptStream(
                f"codec parameters {params[:4].hex()} do not fit {n_photo} photo planes; the file is damaged"
            )
        self.shape = (head.height, head.width, n_photo)
        self.taken, self.stride = 0, 1 if method in (CONTEXT, NO_PHOTO, NUMBERS) else 0
        self._decode_extra = whole.decode if method == NUMBERS else context.decode_planes
        self.photo = np.zeros(self.shape, np.uint8)
        self.extra: np.ndarray | None = None if head.extra else np.empty((*self.shape[:2], 0), np.uint8)
        self._extra_parts = _parts(head.extra)
        self._lattice: lattice.Receiver | None = None
        self._ordered: ordered.Receiver | None = None
        self._frames: temporal.Receiver | between.Receiver | None = None
        if method in _OF_FRAMES:
            network, frames = _of_frames(model), head.frames
            self._frames = _OF_FRAMES[method].Receiver(params, self.photo, frames, network, strip_positions, threads)
            self.photo_passes = self._frames.passes
        elif method in (LATTICE, REFINED, LEARNED):
            self._lattice = lattice.Receiver(params, self.photo, _over_the_lattice(model), strip_positions, threads)
            self.photo_passes = len(self._lattice.passes)
        elif method == ORDERED:
            masked = _in_any_order(model)
            plan, shape = ordered.Plan.from_bytes(params[1:], head.seed), ordered.arranged(self.photo, masked).shape
            self._ordered = ordered.Receiver((shape[0], shape[1], shape[2]), masked, plan)
            self.photo_passes = self._ordered.passes
        else:
            self.photo_passes = int(method == CONTEXT)

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Decode the next pass, of the photograph or of extra planes. Raises CorruptStream."""
        number = self.taken
        if self.complete:
            raise CorruptStream(f"more passes than the {number} expected; the file is damaged")
        if number >= self.photo_passes:
            part = self._extra_parts[number - self.photo_passes]
            planes = self._decode_extra(payload, *self.shape[:2], part.stop - part.start, progress)
            self.extra = planes if self.extra is None else np.concatenate([self.extra, planes], 2)
        elif self._lattice is not None:
            with threads_of_call.alone(self.shape[0] * self.shape[1] <= SMALL_PIXELS):
                self.stride = self._lattice.take(payload, progress)
        elif self._ordered is not None:
            self._ordered.take(payload, progress)
            self.stride = int(self._ordered.complete)
        elif self._frames is not None:
            with threads_of_call.alone(self.photo.size <= SMALL_PIXELS * self._frames.passes):
                self._frames.take(payload, progress)
            self.stride = int(self._frames.taken == self._frames.passes)
        else:
            self.photo = context.decode_planes(payload, *self.shape, progress)
        self.taken += 1

    @property
    def complete(self) -> bool:
        """Whether every pass of the photograph and of the extra planes was taken."""
        return self.taken == self.photo_passes + len(self._extra_parts)

    def needed(self, payloads: Sequence[bytes], times: float) -> int:
        """Over the lattice those that it says; all where other planes follow, or the order is another."""
        if self._lattice is None or self._extra_parts:
            return len(payloads)
        return self._lattice.needed(times)

    def show(self, reconstruction: Reconstruction = DEFAULT) -> tuple[np.ndarray, np.ndarray | None]:
        """(photo uint8 (H, W, C), extra uint8 (H, W, E) or None while none of it is there). Raises Truncated."""
        if not self.taken:
            raise Truncated("the stream ends before its first pass; nothing can be shown yet")
        if self._lattice is not None:
            return self._lattice.preview(), self.extra
        if self._frames is not None:
            return self._frames.preview(), self.extra
        return self._ordered.tokens().reshape(self.shape) if self._ordered is not None else self.photo, self.extra

    def known(self) -> np.ndarray:
        """bool (H, W): the grid of ``stride``, or the tokens that were told in full, or the frames that are there."""
        if self._frames is not None:
            return self._frames.known()
        out = np.zeros(self.shape[:2], bool)
        if self._ordered is not None:
            out[...] = self._ordered.known.reshape(*self.shape[:2], -1).all(2)
        elif self.taken and self.stride:
            out[:: self.stride, :: self.stride] = True
        return out


def _over_the_lattice(model: Model | None) -> PhaseModel:
    """The model, if it is there and of the kind that the method asks. Raises InputError, ModelMismatch."""
    if not isinstance(model, PhaseModel):
        raise _unfit(model, "over the lattice")
    return model


def _of_frames(model: Model | None) -> FrameModel:
    """Likewise."""
    if not isinstance(model, FrameModel):
        raise _unfit(model, "frame by frame")
    return model


def _in_any_order(model: Model | None) -> MaskedModel:
    """Likewise."""
    if not isinstance(model, MaskedModel):
        raise _unfit(model, "in any order")
    return model


def _unfit(model: Model | None, wanted: str) -> InputError | ModelMismatch:
    if model is None:
        return InputError("this stream needs its model to decode")
    return ModelMismatch(f"the stream is coded {wanted}, which model '{model.name}' is not for; the file is damaged")
