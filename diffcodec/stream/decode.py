"""A parsed stream as a signal again: the mirror of `encode`."""

from __future__ import annotations

import bisect
import itertools
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..bitstream import given as chunk
from ..bitstream.header import NUMERICS
from ..codecs import budget as budgets
from ..codecs.codec import Prefix, Receiver, RowReceiver
from ..codecs.diffc.cost import RECONSTRUCTION_CALLS
from ..codecs.reconstruction import DEFAULT, LINE, MEAN, Decoder
from ..codecs.reconstruction import Reconstruction as Reconstruction
from ..media.medium import RowForm, Signal
from ..media.sizes import Size, check_size, within
from ..models import registry
from ..runtime.errors import (
    CorruptStream,
    DecodeMismatch,
    InputError,
    LimitExceeded,
    ModelMismatch,
    ModelNotFound,
    UnsupportedVersion,
)
from ..runtime.limits import DEFAULT_LIMITS, Limits
from ..runtime.progress import Progress
from ..runtime.progress import part as part_of
from .given import ALONE, Last, Receiving, conditioned, conditions, consistent
from .parsed import Stream, model_name, read
from .sources import Source, read_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models.condition import Condition
    from ..models.protocols import Model

    Bytes = NDArray[np.uint8]

PINNED = NUMERICS.index("pinned")
GIVEN_PLANES = 3  #: of frames that the next group may be given
PICTURE = "picture"  #: the medium whose signals have a reduced size


@dataclass(frozen=True)
class Wanted:
    """How the reader wants it. model: a name, a path, a provider; None for the one that the stream names.

    budget: how many times the work that bytes stand for may be done. given: what the reader has to supply, by the
    label that stands in the stream. agrees: whether a lossy signal is made to agree with what was observed of it.
    medium: the name of the one that is wanted, None for whatever there is. frames: with those behind the first, or of a
    clip those of this range alone, by no more groups than hold them.
    upto: only so many bytes from the front, a preview; None for the whole stream. size: (width, height) that a picture
    is reduced to fit, or its longest side, by as few passes as that takes; None for the picture as it is.
    behind: what was decoded last with the same object, of which the next may have been given frames.
    Raises InputError for a budget that is not above 0, less than one byte and less than one pixel.
    """

    reconstruction: Reconstruction = DEFAULT
    model: Any = None
    device: str = "auto"
    limits: Limits = DEFAULT_LIMITS
    budget: float = 1.0
    given: Mapping[str, Any] = field(default_factory=dict)
    agrees: bool = True
    medium: str | None = None
    frames: bool | slice = False
    upto: int | None = None
    size: Size | None = None
    behind: Behind = field(default_factory=lambda: Behind())

    @classmethod
    def of(
        cls,
        *,
        realism: float | None = None,
        reconstruction: str | None = None,
        decoder: Any = None,
        device: str = "auto",
        model: Any = None,
        max_pixels: int | None = None,
        budget: float = 1.0,
        given: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Wanted:
        """In the words of `diffcodec.decode`; ``others``: fields.

        Raises InputError, ModelNotFound, ModelMismatch.
        """
        how = Reconstruction.of(reconstruction, realism).by(decoder_of(decoder, device))
        return cls(how, model, device, Limits.of(max_pixels), budget, given or {}, **others)

    def __post_init__(self) -> None:
        budgets.valid(self.budget)
        if self.size is not None:
            check_size(self.size)
        if self.upto is not None and self.upto < 1:
            raise InputError(f"expected upto_bytes of at least 1, found {self.upto}")


@dataclass
class Behind:
    """The group of a clip that was decoded last; none before the first."""

    work: Work | None = None

    def last(self, count: int) -> Bytes:
        """Of its frames so many, uint8 (n, H, W, 3), by least squares.

        Raises UnsupportedVersion where there is no group, CorruptStream where it has fewer.
        """
        if self.work is None:
            raise UnsupportedVersion(ALONE)
        return self.work.last(count)


# ---- models


TEACHER = "teacher"  #: as a decoder: the stream's model, in the calls that any takes


def decoder_of(decoder: Any, device: str) -> Decoder | None:
    """What makes the `flow`: None for the stream's model in few calls, TEACHER, or what :func:`registry.load` takes.

    Raises ModelNotFound, ModelMismatch.
    """
    from ..models.protocols import Shortened

    most = RECONSTRUCTION_CALLS[LINE]
    if decoder is None or decoder == TEACHER:
        return None if decoder is None else Decoder(None, most)
    model = registry.load(decoder, device=device, codec="diffc")
    shortcut = model.shortcut if isinstance(model, Shortened) else None
    return Decoder(model, shortcut.calls if shortcut else most)


def provider_of(stream: Stream, wanted: Wanted) -> Model | None:
    """The model that decodes a stream, adjusted to it, before it is given anything; None where none is needed.

    Raises ModelNotFound, ModelMismatch, CorruptStream.
    """
    head, sent = stream.head, stream.container.adjustment
    if not stream.about.needs_model:
        if sent is not None:
            raise CorruptStream("an adjustment of a network that the stream does not use; the file is damaged")
        return None
    named = wanted.model or model_name(stream)
    if named is None:
        raise ModelNotFound(
            f"the stream was made with a model of fingerprint {head.fingerprint.hex()}, which is not bundled here: "
            "name its weights, or install the version it was made with"
        )
    device = wanted.device
    if device == "auto" and head.numerics == PINNED:
        from ..models.environment import made_on

        # where it was made, if there is such a device: "auto" is CUDA where that is
        device = "cpu" if made_on(stream.about.environment) == "cpu" else device
    model = registry.load(named, device=device, fingerprint=head.fingerprint, codec=head.codec)
    if sent is not None:
        from ..models.lattice import adjustment

        return adjustment.apply(model, sent)
    return model


def conditions_of(stream: Stream, wanted: Wanted) -> list[Condition]:
    """What the model was given; nested streams are decoded by themselves. Raises as :func:`decode`, and InputError."""
    size = (stream.head.width, stream.head.height)
    parts, channels = stream.container.given, stream.form.colours
    return conditions_for(parts, stream.nested, size, channels, wanted, stream.head.fingerprint, wanted.behind.last)


def hangs(stream: Stream) -> bool:
    """Whether a group was given frames of the one before."""
    return any(isinstance(part, chunk.Before) for part in stream.container.given)


def conditions_for(
    parts: Sequence[chunk.Given],
    nested: Sequence[Sequence[Stream]],
    size: tuple[int, int],
    channels: int,
    wanted: Wanted,
    fingerprint: bytes,
    last: Last | None = None,
) -> list[Condition]:
    """Of a picture of ``size`` (width, height) with ``channels`` of colour: the same for sender and receiver.

    A nested stream is shown by its least squares, so that how a reader wants the picture changes nothing of it, and a
    model of this ``fingerprint`` decodes nested streams of the same as well. Raises as :func:`decode`, and InputError.
    """
    others = replace(
        wanted, reconstruction=MEAN, model=None, agrees=False, medium=None, size=None, frames=False, behind=Behind()
    )
    same = replace(others, model=wanted.model)

    def decoded(inner: Stream) -> Signal:
        return _decoded(inner, same if inner.head.fingerprint == fingerprint else others)

    return conditions(parts, nested, Receiving(size, channels, wanted.given, decoded, last))


def _environment(model: Model | None) -> str:
    """What a pinned stream's bits depend on here, where the model is that is to decode it, if it needs one."""
    from ..models.environment import environment

    return environment("cpu" if model is None else str(model.device))


class Work:
    """A stream in work: its model, given what it was given, and its receiver. Raises as :func:`decode`."""

    def __init__(self, stream: Stream, wanted: Wanted):
        self.wanted = wanted
        self.conditions: list[Condition] = []
        self.model = provider_of(stream, wanted)
        if stream.container.given:
            if self.model is None:
                raise CorruptStream("something is given to a model that the stream does not use; the file is damaged")
            self.conditions = conditions_of(stream, wanted)
            try:
                self.model = conditioned(self.model, self.conditions)
            except InputError as error:
                raise ModelMismatch(f"the model cannot be given what the stream says it was: {error}") from None
        self.receiver = receiver_of(stream, self.model)
        self.frames, wanted.behind.work = stream.form.frames, self

    def last(self, count: int) -> Bytes:
        """So many of the last frames, uint8 (n, H, W, 3), by least squares. Raises CorruptStream, Truncated."""
        photo, _ = self.receiver.show(MEAN)
        if count > self.frames or photo.shape[2] != GIVEN_PLANES:
            raise CorruptStream(f"{count} frames of a group of {self.frames} were given; the file is damaged")
        return photo.reshape(self.frames, -1, *photo.shape[1:])[self.frames - count :]

    def signal(self, stream: Stream) -> Signal:
        """What has come of the stream; a lossy one agrees with what was observed of it. Raises Truncated."""
        photo, extra = self.receiver.show(self.wanted.reconstruction)
        if self.conditions and self.wanted.agrees and not (stream.lossless and self.receiver.complete):
            photo = consistent(photo, stream.form.colours, self.conditions)
        return stream.signal(photo, extra)


# ---- whole streams


def decode_all(source: Source, wanted: Wanted, progress: Progress | None = None) -> Signal:
    """The signal of a stream, read, checked and decoded, with those behind it if they are wanted.

    Raises InputError for another medium than the wanted one, LimitExceeded, and as `parsed.read` and :func:`decode`.
    """
    data = read_all(source, wanted.upto)
    stream = read(data, limits=wanted.limits, partial=wanted.upto is not None)
    if wanted.medium not in (None, stream.medium.name):
        raise InputError(f"the stream holds {stream.form.mode}, no {wanted.medium}: use diffcodec.decode_signal")
    if wanted.size is not None and stream.medium.name != PICTURE:
        raise InputError(f"the stream holds {stream.medium.plural}, only a picture has a reduced size: leave size out")
    every = asked_of(stream, wanted)
    prefixes = [prefix for one, _ in every for prefix in one.prefixes]
    check_together(prefixes, wanted.limits)
    budgets.check(prefixes, len(data), wanted.budget, wanted.reconstruction)
    signals: list[Signal] = []
    for number, (one, frames) in enumerate(every):
        if number and (one, frames) == every[number - 1] and not hangs(one):  # a still within an animation
            signals.append(signals[-1])
        else:
            part = part_of(progress, number, 1, len(every))
            signal = decode_part(one, frames, wanted, part)
            signals += [signal] if frames is None or len(frames) else []  # what others hang on is not wanted itself
    whole = stream.medium.joined(signals)
    return whole.with_metadata(stream.metadata) if isinstance(wanted.frames, slice) else whole


def asked_of(stream: Stream, wanted: Wanted) -> list[tuple[Stream, range | None]]:
    """Which of the streams that stand one behind another are wanted, and of the frames of each which; None for all.

    Raises InputError for a range of what has no parts, or without a frame.
    """
    if not isinstance(wanted.frames, slice):
        return [(one, None) for one in (stream.all if wanted.frames or stream.medium.continued else [stream])]
    if not stream.medium.continued:
        raise InputError(f"a range of frames is of a clip or of tracks, found a {stream.medium.name}: leave it out")
    start, stop = range_of(wanted.frames, stream.whole.frames)
    starts = list(itertools.accumulate((one.form.frames for one in stream.all), initial=0))
    first, last = bisect.bisect_right(starts, start) - 1, bisect.bisect_left(starts, stop)
    while first and hangs(stream.all[first]):
        first -= 1
    parts = zip(stream.all[first:last], starts[first:last], strict=True)
    return [(one, range(max(0, start - at), max(0, min(one.form.frames, stop - at)))) for one, at in parts]


def decode_part(stream: Stream, frames: range | None, wanted: Wanted, progress: Progress | None = None) -> Signal:
    """As :func:`decode`, but those frames of it alone, None for all; by the passes that hold them, if it has such.

    Then no digest is compared, which is of all frames, but the checksums are; of an empty range all are decoded.
    """
    if not frames or len(frames) == stream.form.frames:
        return decode(stream, wanted, progress)
    part = rows_of(stream, frames, wanted, progress) if stream.container.complete else None
    return part or stream.medium.cut(decode(stream, wanted, progress), frames.start, frames.stop)


def rows_of(stream: Stream, frames: range, wanted: Wanted, progress: Progress | None = None) -> Signal | None:
    """Those frames of a stream, all of whose passes are there, by the passes that hold them.

    None of all frames, and of a stream whose frames do not come so. Raises as :func:`decode`.
    """
    if len(frames) == stream.form.frames or not isinstance(stream.form, RowForm):
        return None
    form = stream.form.rows(len(frames))
    if form is not None:
        receiver = Work(stream, wanted).receiver
        if isinstance(receiver, RowReceiver):
            extra = receiver.rows(stream.container.passes, frames.start, frames.stop, progress)
            return form.signal(extra[..., :0], extra).with_metadata(stream.metadata)
    return None


def range_of(frames: slice, count: int) -> tuple[int, int]:
    """(start, stop) of a range of so many frames. Raises InputError for one with steps, or without a frame."""
    if frames.step not in (None, 1):
        raise InputError(f"expected a range of frames one after another, found steps of {frames.step}")
    start, stop, _ = frames.indices(count)
    if start >= stop:
        asked = ":".join("" if one is None else str(one) for one in (frames.start, frames.stop))
        raise InputError(f"no frame is in the range {asked}: there are {count} frames, the first is 0")
    return start, stop


def check_together(prefixes: Sequence[Prefix], limits: Limits) -> None:
    """Raises LimitExceeded where what is decoded together has more pixels than one signal may have."""
    pixels = sum(prefix.head.height * prefix.head.width for prefix in prefixes)
    if pixels > limits.max_pixels:
        raise LimitExceeded(
            f"all groups together have {pixels} pixels, over the limit of {limits.max_pixels}: take a range of frames, "
            "take one group after another, or raise max_pixels if you trust the file"
        )


def decode(stream: Stream, wanted: Wanted, progress: Progress | None = None) -> Signal:
    """The signal of a stream, verified, with its metadata; what follows it are streams of their own.

    Raises CorruptStream, DecodeMismatch, Truncated, ModelNotFound, ModelMismatch.
    """
    signal = whole = _decoded(stream, wanted, progress)
    if wanted.size is not None:
        from ..media.reduced import fitted

        signal = fitted(whole, wanted.size)
    complete, exact = stream.container.complete and signal is whole, bool(stream.container.digest)
    return signal.told(stream.metadata, complete=complete, exact=exact)


def _decoded(stream: Stream, wanted: Wanted, progress: Progress | None = None) -> Signal:
    """As :func:`decode`, without metadata."""
    elsewhere = False
    try:
        work = Work(stream, wanted)
        elsewhere = _made_elsewhere(stream, work.model)
        part = stream if wanted.size is None else _enough(stream, work.receiver, wanted.size)
        work.receiver.take_all(part.container.passes, progress)
    except CorruptStream:
        if elsewhere:  # its checksums are right: other sums of floats led the entropy decoder astray
            raise _mismatch(stream, work.model) from None
        raise
    check_end(part, work.receiver)
    return verified(work.signal(part), part, work.model)


def _enough(stream: Stream, receiver: Receiver, size: Size) -> Stream:
    """The stream, cut behind the passes that a picture of this size takes."""
    width, height = within((stream.head.width, stream.head.height), size)
    times = min(stream.head.width / width, stream.head.height / height)
    passes = stream.container.passes
    needed = len(passes) if times <= 1 else receiver.needed(passes, times)
    return stream if needed >= len(passes) else stream.cut(needed)


def _made_elsewhere(stream: Stream, model: Model | None) -> bool:
    """Whether a pinned stream was made on another machine, of which the caller is warned."""
    if stream.head.numerics != PINNED or not stream.container.complete:
        return False
    made, here = stream.about.environment, _environment(model)
    if made != here:
        told = f"this stream was made with {made}, here is {here}: it may not decode to its end"
        warnings.warn(told, stacklevel=8)
    return made != here


def receiver_of(stream: Stream, model: Model | None) -> Receiver:
    """What takes the passes of a stream one by one. Raises CorruptStream, ModelMismatch."""
    if stream.container.header.statistics != stream.about.statistics:
        raise CorruptStream("header and codec parameters disagree on statistics of values; the file is damaged")
    return stream.codec.receiver(stream.head, model)


def verified(signal: Signal, stream: Stream, model: Model | None) -> Signal:
    """The signal, where it has the digest in its stream. Raises DecodeMismatch."""
    digest = stream.container.digest
    if not digest or signal.digest().startswith(digest):
        return signal
    if stream.head.numerics == PINNED:
        raise _mismatch(stream, model)
    raise DecodeMismatch(
        "the decoded samples differ from the digest in the stream: nothing was returned; "
        "the file is damaged or was made by an incompatible build, encode it again"
    )


def _mismatch(stream: Stream, model: Model | None) -> DecodeMismatch:
    """Of a pinned stream."""
    return DecodeMismatch(
        "the decoded samples differ from the digest in the stream: nothing was returned; "
        f"it was made with {stream.about.environment}, here is {_environment(model)}: decode it there, "
        f"or take a preview with upto_bytes = {stream.container.ends[-2:][0]}"
    )


def check_end(stream: Stream, receiver: Receiver) -> None:
    """Raises CorruptStream for a whole stream that lacks passes of its method, or has a digest where that has none."""
    if stream.container.complete and not receiver.complete:
        passes = len(stream.container.passes)
        raise CorruptStream(f"the stream ends after {passes} of its passes; the file is damaged")
    if problem := stream.digest_problem():
        raise CorruptStream(problem)
