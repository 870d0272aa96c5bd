"""What a model is given, between a caller's objects, chunk `G`, and the conditions that the model takes.

Sender and receiver make the conditions of the same bytes: a nested stream is decoded first and alone.
"""

from __future__ import annotations

import io
import operator as number
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..bitstream import given as chunk
from ..models.protocols import DiffusionModel, Model
from ..runtime.errors import (
    CorruptStream,
    DiffcodecError,
    InputError,
    LimitExceeded,
    ModelMismatch,
    UnsupportedVersion,
)
from ..runtime.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..media.medium import Signal
    from ..models.condition import Condition, FileGiven
    from ..models.operators import Operator
    from .parsed import Stream

    Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Base:
    """A stream to be given: its picture is ``operator`` of the one that is coded.

    stream: bytes of a `.dfc` without frames, of mode L or RGB, as the operator gives it. operator: a
    `diffcodec.models.operators` one. augmentation: the log-SNR, in 1/1024 and within ±(2^19 - 1), at which it is to be
    believed; None for what it is: then decoded pictures are made to agree with it (conditioning augmentation: CDM,
    arXiv 2106.15282, §4).
    """

    stream: bytes
    operator: Operator
    augmentation: int | None = None


@dataclass(frozen=True)
class File:
    """A foreign file to be given, JPEG or WebP: it stays in the stream byte for byte, and opens everywhere.

    Its picture is that of the stream or, with an ``operator`` without a mask, what that leaves of it; ``augmentation``
    is then as of `Base`.
    """

    data: bytes
    operator: Operator | None = None
    augmentation: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A text to be given, and a ``negative`` one to be led away from, of at most 2^16 bytes of UTF-8 each.

    scale: of guidance, 1 for none, kept to 1/256, below 256. encoder: the network that reads it, at most 64 bytes;
    fingerprint: of its weights, of which the stream keeps 8 bytes.
    """

    text: str
    negative: str = ""
    scale: float = 1.0
    encoder: str = ""
    fingerprint: bytes = bytes(8)


@dataclass(frozen=True, eq=False)
class Outside:
    """What the receiver has to supply as well, by its ``label`` of at most 64 bytes; the stream holds its digest.

    value: bytes, or an array of any shape and any type but objects.
    """

    value: bytes | NDArray[np.generic]
    label: str = ""


@dataclass(frozen=True, eq=False)
class Before:
    """The last ``frames`` of the group before, uint8 (n, H, W, 3), as the receiver has them: of a clip's groups.

    augmentation: the log-SNR, in 1/1024, at which they are to be believed.
    """

    frames: Bytes
    augmentation: int

    def last(self, count: int) -> Bytes:
        """The latest of them, uint8 (count, H, W, 3)."""
        return self.frames[len(self.frames) - count :]


Gift = Base | File | Prompt | Outside  #: of a caller
ALONE = "frames of the group before were given, which is not there: decode them together"
Last = Callable[[int], "Bytes"]  #: so many of the last frames of the group before, uint8 (n, H, W, 3)


def listed(given: Gift | Sequence[Gift] | None) -> tuple[Gift, ...]:
    """One thing, several, or none. Raises InputError for what cannot be given."""
    every = (given,) if isinstance(given, Gift) else given or ()
    found = tuple(every) if isinstance(every, Sequence) else (every,)
    wrong = next((one for one in found if not isinstance(one, Gift)), None)
    if wrong is not None or len(found) > chunk.MOST:
        what = f"{len(found)} things" if wrong is None else f"a {type(wrong).__name__}"
        raise InputError(f"expected at most {chunk.MOST} of Base, File, Prompt and Outside to be given, found {what}")
    return found


def payload_of(gifts: Sequence[Gift | Before]) -> bytes:
    """Payload of the chunk that holds them. Raises InputError."""
    try:
        return chunk.write([_PARTS[type(gift)](gift) for gift in gifts])
    except (TypeError, ValueError) as error:  # a number that is none, a field that does not fit
        raise InputError(f"what is given cannot stand in a stream: {error}") from None


@dataclass(frozen=True)
class Receiving:
    """What a receiver has to make conditions of parts.

    size: (width, height) of the picture; channels: of its colours, 1 or 3. supplied: by its label, what was given from
    outside. decode: the signal of a stream that was given. last: frames of the group before; None where there is none.
    """

    size: tuple[int, int]
    channels: int
    supplied: Mapping[str, Any]
    decode: Callable[[Stream], Signal]
    last: Last | None = None


def conditions(
    parts: Sequence[chunk.Given], nested: Sequence[Sequence[Stream]], receiving: Receiving
) -> list[Condition]:
    """What the model takes of what stands in a stream; ``nested``: the streams that each of the parts holds.

    Raises InputError for what was not supplied, CorruptStream, UnsupportedVersion for a part that is none of its kind.
    """
    every = zip(parts, nested, strict=True)
    return [_CONDITIONS[type(part)](part, streams, receiving) for part, streams in every]


def conditioned(model: Model, made: Sequence[Condition]) -> DiffusionModel:
    """The model given that. Raises ModelMismatch for one that takes nothing, InputError for what it does not take."""
    from ..models.condition import given

    if not isinstance(model, DiffusionModel):
        raise ModelMismatch(f"'{model.name}' is no diffusion model, and only such can be given something")
    return given(model, made)


# ---- agreement


def consistent(photo: Bytes, channels: int, made: Sequence[Condition]) -> Bytes:
    """Planes uint8 (H, W, 1 or 3) made to agree with what was observed of them, as far as that is to be believed.

    channels: of the picture's colours; a picture in colour may be coded as one grey plane.
    """
    from ..models.condition import FileGiven, Observed

    observed = [one for one in made if isinstance(one, (Observed, FileGiven))]
    if not observed:
        return photo
    wide = photo if photo.shape[2] == channels else photo.repeat(channels, 2)
    for one in observed:
        wide = one.project(wide)
    return wide[..., : photo.shape[2]]


def warn_of_untrue(photo: Bytes, made: Sequence[Condition], level: int) -> None:
    """Say so where what is given is not what ``photo`` uint8 (H, W, 1 or 3) shows: readers make it agree with that.

    level: of the call stack, to whom the warning names.
    """
    import numpy as np

    from ..models.condition import Observed

    for one in made:
        if isinstance(one, Observed) and one.augmentation is None:
            seen = one.operator.apply(photo).astype(np.int64)
            off = int(abs(seen - one.samples).max())
            if off > 1:  # of averages of averages, each of which is rounded
                warnings.warn(
                    f"what is given differs by up to {off} levels from what {one.kind} gives of the picture, and "
                    "decoded pictures are made to agree with it: say by its augmentation how far it is to be believed",
                    stacklevel=level,
                )


def _bytes(value: Any) -> bytes:
    """Bytes, whatever holds them. Raises InputError."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InputError(f"expected bytes to be given, found a {type(value).__name__}")
    return bytes(value)


# ---- text


def _text_part(gift: Prompt) -> chunk.Given:
    if not all(isinstance(text, str) for text in (gift.text, gift.negative, gift.encoder)):
        raise InputError("expected texts and the name of an encoder, found something else")
    if not 0 <= gift.scale < 2**16 / chunk.SCALE - 1:
        raise InputError(f"expected a scale of guidance from 0 to 255, found {gift.scale}")
    scale, fingerprint = round(gift.scale * chunk.SCALE), _bytes(gift.fingerprint)[:8].ljust(8, b"\0")
    return chunk.Text(gift.text, gift.negative, scale, gift.encoder, fingerprint)


def _text(part: chunk.Text, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    from ..models.condition import Text

    return Text(part.prompt, part.negative, part.scale / chunk.SCALE, part.encoder, part.fingerprint)


def _text_told(part: chunk.Text, streams: Sequence[Stream]) -> dict[str, Any]:
    scale, encoder = part.scale / chunk.SCALE, str(part.encoder) or None
    return {"prompt": part.prompt, "negative": part.negative, "scale": scale, "encoder": encoder}


# ---- streams

#: an operator's numbers, by its name, as its attributes
_NUMBERS = {"box": ("k",), "luma": (), "chroma": ("k",), "mask": (), "crop": ("top", "left", "height", "width")}


def _looked_at(gift: Base | File) -> tuple[str, tuple[int, ...], int | None]:
    """The operator's name and numbers, and the augmentation. Raises InputError."""
    from ..models.operators import OPERATORS

    name = next((name for name, kind in OPERATORS.items() if isinstance(gift.operator, kind)), "")
    if name not in chunk.OPERATORS:
        raise InputError(f"expected an operator of {', '.join(chunk.OPERATORS)}, found {gift.operator!r}")
    numbers = tuple(number.index(getattr(gift.operator, one)) for one in _NUMBERS[name])
    return name, numbers, None if gift.augmentation is None else number.index(gift.augmentation)


def _stream_part(gift: Base) -> chunk.Given:
    name, numbers, augmentation = _looked_at(gift)
    mask = _mask(gift.operator) if chunk.OPERATORS[name].masked else b""
    return chunk.Stream(name, numbers, augmentation, _bytes(gift.stream), mask)


def _mask(operator: Any) -> bytes:
    """A bilevel picture as a stream of its own."""
    from ..media.table import signal_of
    from .encode import Sender, encode

    return encode(signal_of(operator.known), Sender.of(None))


def _stream(part: chunk.Stream, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    """Mirror of :func:`_stream_part`. Raises as ``receiving.decode``."""
    from ..models.condition import Observed
    from ..models.operators import OPERATORS

    signals = [receiving.decode(stream) for stream in streams]
    base, masks = signals[0].photograph(), (mask.array.reshape(*mask.geometry) for mask in signals[1:])
    make: Callable[..., Operator] = OPERATORS[part.operator]
    return Observed(base, make(*part.numbers, *(mask.astype(bool) for mask in masks)), part.augmentation)


def _stream_told(part: chunk.Stream, streams: Sequence[Stream]) -> dict[str, Any]:
    base = streams[0]
    head = base.head
    return {
        "operator": part.operator,
        "numbers": list(part.numbers),
        "augmentation": part.augmentation,
        "codec": head.codec,
        "model": head.model or None,
        "width": head.width,
        "height": head.height,
        "mode": base.form.mode,
        "given": described(base.container.given, base.nested),
    }


# ---- files

_FORMATS = {"JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}  #: that stand in a stream since 1.4, and how they begin


def _file_part(gift: File) -> chunk.Given:
    if gift.operator is not None:
        return chunk.SmallFile(*_looked_at(gift), _bytes(gift.data))
    if gift.augmentation is not None:
        raise InputError("a file of the picture itself has no augmentation")
    return chunk.File(_bytes(gift.data))


def _file(part: chunk.File, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    """The samples of a file of the picture's size, in as many channels. Raises CorruptStream, UnsupportedVersion."""
    return _read_file(part.data, receiving.size, receiving.channels)


def _small_file(part: chunk.SmallFile, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    """What a file shows of the picture. Raises CorruptStream, UnsupportedVersion."""
    from ..models.condition import Observed
    from ..models.operators import OPERATORS

    size = part.size(receiving.size)
    channels = chunk.OPERATORS[part.operator].channels[receiving.channels > 1]
    if size is None or not channels:
        raise CorruptStream(f"a file of {part.operator} was given, which this picture has not; the file is damaged")
    make: Callable[..., Operator] = OPERATORS[part.operator]
    samples = _read_file(part.data, size, channels).samples
    return Observed(samples, make(*part.numbers), part.augmentation)


def _small_file_told(part: chunk.SmallFile, streams: Sequence[Stream]) -> dict[str, Any]:
    return {"operator": part.operator, "numbers": list(part.numbers), "augmentation": part.augmentation}


def _read_file(data: bytes, wanted_size: tuple[int, int], channels: int) -> FileGiven:
    """A file of that size and so many channels. Raises CorruptStream, UnsupportedVersion."""
    mode = {1: "L", 3: "RGB"}[channels]

    def check(size: tuple[int, int], found: str) -> None:
        if size != wanted_size or found != mode:
            has, wanted = (f"{width}×{height} pixels of mode {name}"
                           for (width, height), name in ((size, found), (wanted_size, mode)))  # fmt: skip
            raise CorruptStream(f"a file that was given has {has} where {wanted} belong; the file is damaged")

    def damaged(told: str) -> CorruptStream:
        return CorruptStream(f"a file that was given does not decode ({told}); the file is damaged")

    if not (formats := _formats(data)):
        raise UnsupportedVersion(f"a file that was given is none of {', '.join(_FORMATS)}; install a newer diffcodec")
    return _file_condition(data, formats, check, damaged)


def file_condition(data: bytes, limits: Limits = DEFAULT_LIMITS) -> FileGiven:
    """A JPEG or WebP file as what is known of a picture. Raises InputError for what is none, LimitExceeded."""

    def check(size: tuple[int, int], mode: str) -> None:
        if size[0] * size[1] > limits.max_pixels:
            raise LimitExceeded(f"a picture of {size[0]}×{size[1]} pixels, more than {limits.max_pixels}")
        if mode not in ("L", "RGB"):
            raise InputError(f"expected a file of mode L or RGB, found mode {mode}")

    if not (formats := _formats(data)):
        raise InputError(f"expected a file of {' or '.join(_FORMATS)}, found something else")
    return _file_condition(data, formats, check, lambda told: InputError(f"the file does not decode ({told})"))


def _formats(data: bytes) -> list[str]:
    return [name for name, start in _FORMATS.items() if data.startswith(start)]


def _file_condition(
    data: bytes,
    formats: list[str],
    check: Callable[[tuple[int, int], str], None],
    damaged: Callable[[str], DiffcodecError],
) -> FileGiven:
    """``check``: of (width, height) and mode, before anything is decoded. Raises what that does, and ``damaged``."""
    from ..models.condition import FileGiven

    try:
        return FileGiven(data, _samples(data, formats, check))
    except (DiffcodecError, MemoryError):
        raise
    except Exception as error:  # readers of files fail in every way that Python can
        raise damaged((str(error).strip() or type(error).__name__).split("\n")[0]) from None


def _samples(data: bytes, formats: list[str], check: Callable[[tuple[int, int], str], None]) -> Bytes:
    """uint8 (H, W, channels), decoded only behind the check."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=formats) as image:
        check(image.size, image.mode)
        samples: Bytes = np.asarray(image)
    return samples.reshape(*samples.shape[:2], -1)


# ---- what lies outside, and before


def _outside_part(gift: Outside) -> chunk.Given:
    from ..models.condition import digest_of

    return chunk.Outside(digest_of(_valued(gift.value)), gift.label)


def _outside(part: chunk.Outside, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    from ..models.condition import Outside

    if part.label not in receiving.supplied:
        name = f"'{part.label}'" if part.label else "something without a name"
        raise InputError(f"the stream was made given {name} from outside, SHA-256 {part.digest.hex()[:16]}…: supply it")
    return Outside(part.digest, _valued(receiving.supplied[part.label]))


def _valued(value: Any) -> Any:
    """A value that has a digest. Raises InputError."""
    import numpy as np

    if isinstance(value, np.ndarray) and value.dtype.kind not in "biufc":
        raise InputError(f"expected an array of numbers from outside, found one of {value.dtype}")
    return value if isinstance(value, np.ndarray) else _bytes(value)


def _outside_told(part: chunk.Outside, streams: Sequence[Stream]) -> dict[str, Any]:
    return {"digest": part.digest.hex(), "label": str(part.label)}


def _before_part(gift: Before) -> chunk.Given:
    return chunk.Before(len(gift.frames), gift.augmentation)


def _before(part: chunk.Before, streams: Sequence[Stream], receiving: Receiving) -> Condition:
    from ..models.condition import Before

    if receiving.last is None:
        raise UnsupportedVersion(ALONE)
    return Before(tuple(receiving.last(part.count)), part.augmentation)


# ---- by kind


_PARTS: dict[type[Gift | Before], Callable[[Any], chunk.Given]] = {
    Prompt: _text_part,
    Base: _stream_part,
    File: _file_part,
    Outside: _outside_part,
    Before: _before_part,
}
_CONDITIONS: dict[type[chunk.Given], Callable[[Any, Sequence[Stream], Receiving], Condition]] = {
    chunk.Text: _text,
    chunk.Stream: _stream,
    chunk.File: _file,
    chunk.SmallFile: _small_file,
    chunk.Before: _before,
    chunk.Outside: _outside,
}
_TOLD: dict[type[chunk.Given], Callable[[Any, Sequence[Stream]], dict[str, Any]]] = {
    chunk.Text: _text_told,
    chunk.Stream: _stream_told,
    chunk.File: lambda part, streams: {},
    chunk.SmallFile: _small_file_told,
    chunk.Before: lambda part, streams: {"frames": part.count, "augmentation": part.augmentation},
    chunk.Outside: _outside_told,
}


def described(parts: Sequence[chunk.Given], nested: Sequence[Sequence[Stream]]) -> list[dict[str, Any]]:
    """The tree of what was given, as `inspect` tells it: kind, bytes, and of a stream what it holds and was given."""
    told = (_TOLD[type(part)](part, streams) for part, streams in zip(parts, nested, strict=True))
    return [{"kind": part.name, "bytes": len(part.write())} | more for part, more in zip(parts, told, strict=True)]
