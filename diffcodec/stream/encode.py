"""A signal and what follows it as a stream: the smallest of its codec's ways, or one of the size asked for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bitstream import given, read
from ..bitstream.container import framed
from ..bitstream.extending import extended
from ..bitstream.header import FINGERPRINT_BYTES
from ..codecs import budget as budgets
from ..codecs.codec import Codec, Encoded, Room, Wish
from ..codecs.table import chosen
from ..media.medium import Coded, Signal
from ..media.metadata import EMPTY, Metadata
from ..media.table import medium_of
from ..models import calibration as calibrations
from ..models import registry
from ..models.protocols import DiffusionModel
from ..runtime.errors import BitstreamError, DecodeMismatch, InputError
from ..runtime.limits import DEFAULT_LIMITS
from ..runtime.progress import Progress
from ..runtime.progress import part as part_of
from . import parsed
from .calibrating import Calibrated
from .decode import Wanted, conditions_for
from .given import Before, Gift, Outside, Prompt, conditioned, listed, payload_of, warn_of_untrue
from .written import stream_of

if TYPE_CHECKING:
    from ..models.condition import Condition
    from ..models.protocols import Model

_LEVEL = 4  # of the call stack, to the caller of `encode`, which warnings name
_WORTH = 0.99  # older readers do not know numbers, and they have no previews, so they have to be 1 % smaller
_MIDDLE = 96  # rows and columns of a picture by which forms are judged that cost much to code
_NOT_PROGRESSIVE = (
    "progressive is for tracks of which a network codes where up to 256 agents at once are in a plane, found {} of "
    "another kind: leave it out"
)
_DOUBT = 1.15  # a form that takes so many times the bytes there is not tried on the whole


@dataclass(frozen=True)
class Sender:
    """What all frames have in common. model: a name, a path, a provider or None, which is loaded where it is needed.

    looks: whether the calibration that lies beside a model of diffusion is used.
    """

    codec: Codec
    model: Any
    device: str
    wish: Wish
    gifts: tuple[Gift | Before, ...] = ()
    group: int | None = None
    chained: int = 1
    looks: bool = True

    @classmethod
    def of(
        cls,
        codec: str | None,
        model: Any = None,
        device: str = "auto",
        *,
        given: Gift | Sequence[Gift] | None = None,
        group: int | None = None,
        chained: int = 1,
        calibration: Calibrated = None,
        **wishes: Any,
    ) -> Sender:
        """The sender by a codec's name, None for what the wishes ask for; ``wishes``: fields of `codecs.codec.Wish`.

        group: frames of a clip, or of tracks, that stand alone, `Medium.group` if None.
        chained: groups of a clip with loss of which each but the first is given the last frames of the one before.
        calibration: of the model, or the file that holds it; None is the one that lies beside it, False none.

        Raises InputError for wishes that the codec does not meet, whatever the picture.
        """
        if isinstance(calibration, (str, Path)):
            calibration = calibrations.read(calibration)
        wish = Wish(**wishes, calibration=calibration or None)
        gifts = listed(given) + (() if wish.prompt is None else (Prompt(wish.prompt),))
        sender = cls(chosen(codec, wish), model, device, wish, gifts, group, chained, calibration is None)
        sender.codec.refuse(wish)
        if not 0 <= wish.seed < 2**64:
            raise InputError(f"expected a seed from 0 to 2^64 - 1, found {wish.seed}")
        if group is not None and group < 1:
            raise InputError(f"expected groups of at least 1 frame, found {group}")
        if chained < 1 or (chained > 1 and not sender.to_rate):
            raise InputError(f"expected groups that hang together by 1 or more, of a clip with loss, found {chained}")
        return sender

    @property
    def to_rate(self) -> bool:
        """Whether a rate is asked for that the codec codes to."""
        return bool(self.wish.rates) and self.codec.lossy

    def provider(self, medium: str = "picture") -> Model:
        """The model that codes signals of a medium, before it is given anything.

        Raises ModelNotFound, ModelMismatch, InputError.
        """
        model = registry.default(self.codec.name, medium) if self.model is None else self.model
        return registry.load(model, device=self.device, codec=self.codec.name)

    def wished(self, model: Model, medium: str) -> Wish:
        """What is asked of the codec, with the calibration beside a model. Raises InputError, ModelMismatch."""
        if not self.looks or not isinstance(model, DiffusionModel):
            return self.wish
        named = registry.default(self.codec.name, medium) if self.model is None else self.model
        return replace(self.wish, calibration=calibrations.found(named, model))

    def conditional(self, signal: Signal) -> Model:
        """The model that codes ``signal``, given what it is given. Raises as :meth:`provider`."""
        model = self.provider(medium_of(signal.number).name)
        if not self.gifts:
            return model
        key = (*signal.geometry, signal.colours)
        made = self._made.get(key) or self._made.setdefault(key, self._conditions(signal, model.fingerprint))
        model = conditioned(model, made)
        warn_of_untrue(signal.photograph(), made, _LEVEL + 4)
        return model

    @cached_property
    def chunk(self) -> bytes:
        """Payload of 'G', nothing where nothing is given. Raises InputError."""
        return payload_of(self.gifts) if self.gifts else b""

    @cached_property
    def _made(self) -> dict[tuple[int, int, int], list[Condition]]:
        """Conditions of signals of a (height, width, planes)."""
        return {}

    def _conditions(self, signal: Signal, fingerprint: bytes) -> list[Condition]:
        """As the receiver will make them, of the same bytes. Raises InputError."""
        height, width = signal.geometry
        size, limits = (width, height), replace(DEFAULT_LIMITS, max_pixels=DEFAULT_LIMITS.max_pixels - width * height)
        supplied = {gift.label: gift.value for gift in self.gifts if isinstance(gift, Outside)}
        last = next((gift.last for gift in self.gifts if isinstance(gift, Before)), None)
        wanted = Wanted(model=self.model, device=self.device, given=supplied)
        try:
            parts = given.read(self.chunk, given.Within(size, limits, lambda data, left: read(data, limits=left)))
            nested = [parsed.given_streams(part, signal.mode, signal.colours) for part in parts]
            return conditions_for(parts, nested, size, signal.colours, wanted, fingerprint[:FINGERPRINT_BYTES], last)
        except (BitstreamError, DecodeMismatch) as error:
            told, name = str(error).split("; ")[0], medium_of(signal.number).name
            raise InputError(f"what is given cannot be given for this {name}: {told}") from None


def stripped(signal: Signal, strip: str | None) -> Signal:
    """The signal, and what follows it, without metadata that are not wanted: "all" of them, or the "thumbnail".

    Raises InputError for another word.
    """
    ways: dict[str | None, Callable[[Metadata], Metadata]] = {
        None: lambda metadata: metadata,
        "all": Metadata.stripped,
        "thumbnail": Metadata.without_thumbnail,
    }
    if strip not in ways:
        raise InputError(f"expected strip 'all' or 'thumbnail', found {strip!r}")
    every = (signal, *signal.following)
    return medium_of(signal.number).joined([one.with_metadata(ways[strip](one.metadata)) for one in every])


def encode(signal: Signal, sender: Sender, progress: Progress | None = None) -> bytes:
    """The stream of a signal with what follows it. Raises InputError, ModelNotFound, ModelMismatch."""
    medium = medium_of(signal.number)
    parts = medium.parted(signal, medium.group if sender.group is None else sender.group)
    if not medium.continued:
        _check_size(parts)
    data = b"".join(encoded(parts, sender, progress, [part.units for part in parts]))
    most = sender.wish.max_bytes
    if most is not None and len(data) > most and not sender.to_rate:
        raise InputError(f"the lossless stream takes {len(data)} bytes, more than max_bytes = {most}: allow more")
    _warn_of_cost(data)
    return data


def encoded(
    parts: Iterable[Signal], sender: Sender, progress: Progress | None = None, units: Sequence[int] = ()
) -> Iterator[bytes]:
    """The stream of what stands one behind another in it, piece by piece, each as soon as it is coded.

    parts: as `Medium.parted` gives them, or as they come; two are held at a time.
    units: of each, as far as they are known, by which progress is told and a size is shared.

    Raises as :func:`encode`.
    """
    waiting = iter(parts)
    first = next(waiting, None)
    if first is None:
        raise InputError("expected a signal, found none")
    second, continued, count = next(waiting, None), medium_of(first.number).continued, max(1, len(units))
    make, begun = _to_rate if sender.to_rate else _smallest, _Way()

    def one(part: Signal, number: int, way: _Way, follows: bool = False) -> bytes:
        if continued:
            _check_size([part])
        shared = _shared(sender, units if continued else [1] * len(units), number)
        if continued and number % sender.chained:
            shared = way.behind(shared)
        told = part_of(progress, min(number, count - 1), 1, count)
        return make(part, sender=shared, follows=follows, way=way, progress=told)

    def others(part: Signal | None) -> Iterator[bytes]:
        before, data, number, way = None, b"", 1, _Way(last=begun.last)
        while part is not None:
            # a still within an animation has the bytes of the one before
            if before is None or sender.chained > 1 or not part.equals(before):
                data = one(part, number, way)
            yield data
            before, part, number = part, next(waiting, None), number + 1

    start = one(first, 0, begun, second is not None)
    if second is None:
        yield start
    else:
        del first
        yield from extended(start, others(second))


def _shared(sender: Sender, weights: Sequence[int], number: int) -> Sender:
    """For one of several parts: of a size that all share, it has its part, less what a chunk around it takes.

    Raises InputError where it is not known how many there are.
    """
    most = sender.wish.max_bytes
    if most is None or len(weights) == 1 or not sender.to_rate:
        return sender
    if number >= len(weights):
        raise InputError("max_bytes is shared by all groups, and how many come is not known: give the clip as a whole")
    part = most * weights[number] // sum(weights) - (framed(most) - most)
    return replace(sender, wish=replace(sender.wish, max_bytes=part))


def _check_size(every: Sequence[Signal]) -> None:
    (height, width), most = every[0].geometry, DEFAULT_LIMITS.max_pixels
    positions = sum(one.geometry[0] * one.geometry[1] for one in every)
    if positions <= most:
        return
    size, count, name = f"{width}×{height}", len(every), medium_of(every[0].number).name
    told = f"has {positions} pixels in {count} frames of up to {size}" if count > 1 else f"is {size}"
    raise InputError(f"the {name} {told}, over the limit of {most} pixels: cut it into parts")


def _warn_of_cost(data: bytes) -> None:
    """Say so where readers refuse this stream by default: pictures that are blank but for a dot, of 10^8 pixels."""
    prefixes = [prefix for one in parsed.read(data).all for prefix in one.prefixes]
    if not budgets.affordable(prefixes, len(data)):
        needed = 1.01 * budgets.decode_cost(prefixes, len(data))["budget"]
        warnings.warn(
            f"the stream takes {len(data)} bytes, which are worth less work than decoding it takes: readers have to "
            f"give a budget of {needed:.3g} or more",
            stacklevel=_LEVEL,
        )


# ---- groups that hang together

BEFORE = 2  #: frames of the group before that one is given


@dataclass(frozen=True)
class _Last:
    """A group as it was coded with loss: its planes, and how the receiver has them."""

    form: Coded
    shown: Callable[[], Any]

    def gift(self) -> Before:
        """Its last frames, believed as far as they err."""
        import numpy as np

        every, frames = self.shown(), self.form.frames
        count = min(BEFORE, frames)
        own, seen = (one.reshape(frames, -1, *one.shape[1:])[frames - count :] for one in (self.form.photo, every))
        error = np.square((own.astype(np.float64) - seen) / 127.5).mean()
        return Before(seen, round(-1024 * math.log(max(error, 1e-6))))


# ---- without loss: the smallest


@dataclass
class _Way:
    """How the last frame that was coded in every way came out smallest; without a rate there was none yet.

    kind: by a palette, as numbers, of so many photo planes; params: its parameters; rate: bytes of its stream per unit.
    last: of clips with loss that hang together, what was coded last.
    """

    kind: tuple[bool, bool, int] = (False, False, 0)
    params: bytes = b""
    rate: float = 0.0
    last: _Last | None = None

    def behind(self, sender: Sender) -> Sender:
        """The sender of what is given the last frames of what was coded last; itself where there are none."""
        if self.last is None:
            return sender
        return replace(sender, gifts=(*sender.gifts, self.last.gift()))

    def most(self, signal: Signal) -> float:
        """Bytes up to which another frame is taken to be like that one: another scene is tried in every way again."""
        return 1.25 * self.rate * signal.units + 64


def _smallest(
    signal: Signal, *, sender: Sender, follows: bool, way: _Way, progress: Progress | None
) -> bytes:
    """``way``: how the frames before came out smallest, which is tried first and alone if it serves again."""
    codec, wish = sender.codec, sender.wish
    forms = signal.forms(codec.palettes)
    if not codec.palettes and not forms[0].photo.shape[2]:
        plural = medium_of(signal.number).plural
        raise InputError(f"{codec.name} codes no {signal.mode} {plural} without loss: use codec ardm")
    needed = sender.model is not None or sender.gifts or any(form.photo.shape[2] for form in forms)
    model = sender.conditional(signal) if needed else None
    wish = wish if model is None else sender.wished(model, medium_of(signal.number).name)
    signal = signal.packed()
    digest = signal.digest()

    def coded(form: Coded, progress: Progress | None, like: bytes | None = None) -> list[tuple[bytes, bytes]]:
        """(stream, its parameters) of each way."""
        ways = codec.encode(form, model, wish, Room(framed), like=like, progress=progress)
        write = partial(
            stream_of, signal, form, codec, seed=wish.seed, digest=digest, follows=follows, given=sender.chunk
        )
        return [(write(encoded), encoded.params) for encoded in ways]

    if way.rate and codec.palettes and not wish.tune and wish.calls is None:
        for form in forms:
            again = coded(form, progress, way.params)[:1] if _kind(form) == way.kind else []
            if again and len(again[0][0]) <= way.most(signal):
                return again[0][0]
    if not (wish.tune or wish.progressive) and wish.calls is None:
        forms = _promising(forms, lambda form: codec.encode(form, model, wish, Room(framed))[0])
    streams: list[tuple[bytes, bytes, tuple[bool, bool, int]]] = []
    for number, form in enumerate(forms):
        part = part_of(progress, number, 1, len(forms))
        streams += [(*one, _kind(form)) for one in coded(form, part)]
    if not streams:
        plain = _not_progressive(sender, signal, way)
        return _smallest(signal, sender=plain, follows=follows, way=way, progress=progress)
    stream, params, kind = min(streams, key=lambda one: len(one[0]) * (1 if one[2][1] else _WORTH))
    way.kind, way.params, way.rate = kind, params, len(stream) / signal.units
    return stream


def _not_progressive(sender: Sender, signal: Signal, way: _Way) -> Sender:
    """Of a part without what parts before it had. Raises InputError where there was none before."""
    if not way.rate:
        raise InputError(_NOT_PROGRESSIVE.format(medium_of(signal.number).plural))
    return replace(sender, wish=replace(sender.wish, progressive=False))


def _promising(forms: list[Coded], encoded: Callable[[Coded], Encoded]) -> list[Coded]:
    """Those worth coding the whole with, where one is of numbers and the picture is large: the best of its middle."""
    height, width = forms[0].extra.shape[:2]
    if not any(form.numbers for form in forms) or min(height, width) < 2 * _MIDDLE:
        return forms
    scale = height * width / _MIDDLE**2
    sizes = []
    for form in forms:
        told = 0 if form.palette is None else form.palette.nbytes
        sizes.append(scale * sum(map(len, encoded(form.middle(_MIDDLE)).passes)) + told)
    return [form for form, size in zip(forms, sizes, strict=True) if size <= _DOUBT * min(sizes)]


def _kind(form: Coded) -> tuple[bool, bool, int]:
    """Whether a form is of indices, whether of numbers, and how many photo planes it has."""
    return form.palette is not None, form.numbers, form.photo.shape[2]


# ---- to a rate


def _to_rate(
    signal: Signal, *, sender: Sender, follows: bool, way: _Way, progress: Progress | None
) -> bytes:
    """A lossy stream; ``way`` is told what may be given to the next."""
    codec, wish = sender.codec, sender.wish
    rated = signal.lossy()
    signal, form, units = rated.signal, rated.coded, rated.signal.units
    model = sender.conditional(signal)
    wish = sender.wished(model, medium_of(signal.number).name)
    size = wish.max_bytes if wish.bpp is None else round(wish.bpp * units / 8)
    nothing = Encoded(bytes(codec.params_bytes), [], model)

    def least_of(signal: Signal) -> int:
        """Bytes of the stream but for its passes."""
        return len(stream_of(signal, form, codec, nothing, seed=wish.seed, given=sender.chunk))

    if size is not None:
        bare = least_of(signal.with_metadata(EMPTY))
        signal = _fitting(signal, least_of(signal), bare, size, codec, least_of)
    left = None if size is None else size - least_of(signal)
    room = Room(framed, left, wish.psnr, wish.bpp is not None, bool(sender.gifts), rated.seen)
    (encoded,) = codec.encode(form, model, wish, room, progress=progress)
    data = stream_of(signal, form, codec, encoded, seed=wish.seed, follows=follows, given=sender.chunk)
    way.last = None if encoded.shown is None or sender.chained == 1 else _Last(form, encoded.shown)
    name = medium_of(signal.number).name
    if wish.bpp is not None and size is not None and len(data) < min(0.98 * size, size - 8):
        raise InputError(
            f"the model tells all it can of this {name} in {len(data)} bytes ({8 * len(data) / units:.3f} bpp), "
            f"{wish.bpp:g} bpp were asked for: ask for less, or code without loss (codec ardm)"
        )
    return data


def _fitting(signal: Signal, frame: int, bare: int, size: int, codec: Codec, least_of: Any) -> Signal:
    """The signal, if need be without its thumbnail.

    Its stream takes ``frame`` bytes but for its passes, ``bare`` of them no metadata, and may take ``size`` in all.
    Raises InputError where that is too little.
    """
    smaller = signal.with_metadata(signal.metadata.without_thumbnail())
    if frame + codec.fewest_bytes >= size and least_of(smaller) < frame:
        warnings.warn(
            f"the Exif data's thumbnail is left out: with it, metadata take {frame - bare} of the {size} bytes "
            "that were asked for",
            stacklevel=_LEVEL + 5,
        )
        signal, frame = smaller, least_of(smaller)
    least, metadata = frame + codec.fewest_bytes + 1, frame - bare
    if size < least:
        name = medium_of(signal.number).name
        beside = f", its metadata {metadata} of them: strip these, or" if metadata else ":"
        raise InputError(
            f"{size} bytes were asked for, and the header of this {name}'s stream takes {frame}{beside} "
            f"allow at least {least} bytes ({8 * least / signal.units:.4f} bpp)"
        )
    if 10 * metadata > size:
        warnings.warn(
            f"metadata take {metadata} of the {size} bytes that were asked for, more than a tenth: strip them to "
            "spend these on the samples",
            stacklevel=_LEVEL + 5,
        )
    return signal
