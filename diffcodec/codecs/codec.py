"""What a codec is: a model and an entropy coder or a channel, between planes of bytes and the passes of a stream.

Importing this loads nothing: what a stream says of itself, and what decoding costs, is told without NumPy and torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..runtime.progress import Progress, end, part
from .reconstruction import DEFAULT, Reconstruction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models.calibration import Calibration
    from ..models.protocols import Model
    from .cost import Allowance, Cost

    Bytes = NDArray[np.uint8]
    Known = NDArray[np.bool_]


@dataclass(frozen=True)
class Head:
    """What a codec is told of a stream: its header, parsed once.

    codec:         its name, a key of `table.CODECS`.
    numerics:      EXACT, PINNED or TOLERANT of `models.protocols`.
    height, width: pixels. planes: bytes of a pixel of the picture.
    photo, extra:  planes that are coded: 0, 1 or 3 of the photograph, and those beside it, without loss.
    params:        the codec's own parameters.
    indexed:       whether the extra plane holds indices of a palette.
    given:         whether the model is given something, of which alone there is a picture before the first pass.
    frames:        pictures of equal height that lie one below another in the planes.
    """

    codec: str
    height: int
    width: int
    photo: int
    extra: int
    params: bytes
    seed: int = 0
    numerics: int = 0
    planes: int = 0
    model: str = ""
    fingerprint: bytes = b""
    indexed: bool = False
    given: bool = False
    frames: int = 1

    @property
    def pixels(self) -> int:
        """Of one plane."""
        return self.height * self.width


@dataclass(frozen=True)
class Prefix:
    """A stream as far as it has come: ``complete`` where its end has."""

    head: Head
    passes: Sequence[bytes]
    complete: bool


@dataclass(frozen=True)
class About:
    """What a codec's parameters say.

    needs_model: whether decoding takes the network's weights.
    statistics:  whether the header says that statistics of values refine the network's distributions; tables: the names
                 of their tables. learns: whether the network learns from what was coded.
    lossy:       whether the stream has no digest, as nothing exact comes of it.
    environment: where a pinned stream was made, facts parted by ", ".
    since:       the first version of the format whose readers know what the parameters say.
    """

    needs_model: bool = True
    statistics: bool = False
    tables: tuple[str, ...] = ()
    learns: bool = False
    lossy: bool = False
    environment: str = ""
    since: tuple[int, int] = (1, 0)


@dataclass(frozen=True)
class Wish:
    """What a caller asks of a codec beyond the picture; None and False are what it chooses itself.

    bpp: bits per pixel. psnr: dB. max_bytes: of the whole stream. prompt: text. calls: of the network. tune: fit the
    network to the picture. effort: 1, the fastest, to 9, the smallest. calibration: of the model, where passes of a
    diffusion lie. seed: 0 to 2^64 - 1. progressive: a beginning of the stream shows all, also where that takes bytes.
    """

    bpp: float | None = None
    psnr: float | None = None
    max_bytes: int | None = None
    prompt: str | None = None
    calls: int | None = None
    tune: bool = False
    effort: int | None = None
    calibration: Calibration | None = None
    seed: int = 0
    progressive: bool = False

    def asked(self, *names: str) -> list[str]:
        """Those of the names that the caller asked for."""
        wished = {name: getattr(self, name) for name in names}
        return [name for name, value in wished.items() if value is not None and value is not False]

    @property
    def rates(self) -> list[str]:
        """The ways in which a rate or a quality is asked for."""
        return self.asked("bpp", "psnr", "max_bytes")


@dataclass(frozen=True)
class Room:
    """What is left of a wish once the header is known: ``size`` bytes of passes and their frames, or ``psnr`` dB.

    With neither, the exact picture. filled: whether the room has to be used up, or nearly. framed: the bytes that a
    pass of so many bytes takes in the stream. given: whether what the model is given is a picture without any pass.
    seen: bool (H, W), the pixels that anybody will see; None for all.
    """

    framed: Callable[[int], int]
    size: int | None = None
    psnr: float | None = None
    filled: bool = False
    given: bool = False
    seen: NDArray[np.bool_] | None = field(default=None, compare=False)

    @property
    def exact(self) -> bool:
        """Whether the exact picture is asked for."""
        return self.size is None and self.psnr is None


class Planes(Protocol):
    """The planes of a picture that are coded: uint8, ``photo`` (H, W, 0, 1 or 3), ``extra`` (H, W, E).

    frames: pictures of equal height that lie one below another in them.
    sampling: of the photo planes of a clip whose frames these are, "RGB", "YUV444" (Y, U, V) or "YUV420" (of which each
    frame is a plane, U and V side by side below Y); nothing of a picture.
    """

    @property
    def frames(self) -> int:
        """1 of a picture."""
        ...

    @property
    def sampling(self) -> str:
        """Of a clip."""
        ...

    @property
    def photo(self) -> Bytes:
        """Of the photograph, uint8 (H, W, 0, 1 or 3)."""
        ...

    @property
    def extra(self) -> Bytes:
        """Those that are coded without loss whatever the codec, uint8 (H, W, E)."""
        ...

    @property
    def numbers(self) -> bool:
        """Whether these are numbers of 16 bits, of each the high byte, then the low one."""
        ...


@runtime_checkable
class Walks(Planes, Protocol):
    """Planes that hold rows of numbers, of A agents that move in a plane: no photo, ``extra`` (T, A columns, 1 + n).

    Plane 0 tells by a 1 where there is no number, the others hold the bytes of one, the most significant first.
    """

    @property
    def columns(self) -> int:
        """Numbers of an agent in a frame."""
        ...

    @property
    def circles(self) -> tuple[int, ...]:
        """Of each column, how many numbers go round, below which all are; 0 where they do not. Empty: none does."""
        ...

    @property
    def places(self) -> tuple[int, int]:
        """Which columns say where it is: both there or neither, less than 2^60."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Parameters and passes of a picture, and the model that they were made with.

    numerics: of the stream, None for the model's. adjustment: what makes ``model`` of the one in the header, if it is
    not that itself. shown: the photo planes uint8 (H, W, n) as a receiver has them by least squares.
    """

    params: bytes
    passes: list[bytes]
    model: Model | None = None
    numerics: int | None = None
    adjustment: bytes | None = None
    shown: Callable[[], Bytes] | None = None


class Receiver:
    """The mirror of a codec's ``encode``: passes come one by one, after any of them there may be a picture."""

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Decode the next pass. Raises CorruptStream."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether the passes that were taken are all that a whole stream has."""
        raise NotImplementedError

    def show(self, reconstruction: Reconstruction = DEFAULT) -> tuple[Bytes, Bytes | None]:
        """(photo uint8 (H, W, n_photo), extra planes as far as they are there, None before). Raises Truncated."""
        raise NotImplementedError

    def known(self) -> Known | None:
        """bool (H, W): the pixels whose photo planes are exactly what was encoded, as far as passes were taken.

        None of a receiver that does not tell: then none are.
        """
        return None

    def needed(self, payloads: Sequence[bytes], times: float) -> int:
        """How many passes of a whole stream a picture ``times`` smaller a side takes, above 1; all if unsure."""
        return len(payloads)

    def take_all(self, payloads: Sequence[bytes], progress: Progress | None = None) -> None:
        """Decode several passes; ``progress`` ends at 1. Raises CorruptStream."""
        done, total = 0, max(1, sum(map(len, payloads)))
        for payload in payloads:
            self.take(payload, part(progress, done, len(payload), total))
            done += len(payload)
            if progress:
                progress(done / total)
        end(progress)


@runtime_checkable
class Codec(Protocol):
    """A row of `table.CODECS`.

    name:         in messages, calls and the command.
    lossy:        whether it codes to a rate. palettes: whether it codes indices of a palette.
    params_bytes: of its parameters, and fewest_bytes: of passes that are worth a stream, where a rate is asked for.
    """

    name: str
    lossy: bool
    palettes: bool
    params_bytes: int
    fewest_bytes: int

    def refuse(self, wish: Wish) -> None:
        """Raises InputError for what this codec does not do."""
        ...

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
        """The ways of coding a picture that may turn out smallest; none where it has none of those that are asked for.

        Raises InputError where the wish cannot be met.

        like: parameters of a picture of the same kind, whose way is taken without trying others.
        """
        ...

    def receiver(self, head: Head, model: Model | None) -> Receiver:
        """What takes the passes of a stream. Raises CorruptStream, ModelMismatch."""
        ...

    def about(self, params: bytes) -> About:
        """What parameters say, whatever they are: who decodes them checks them."""
        ...

    def cost(self, prefix: Prefix, reconstruction: Reconstruction = DEFAULT) -> tuple[Cost, Allowance]:
        """What decoding takes at most, and what bytes are worth. Raises CorruptStream."""
        ...


@runtime_checkable
class RowReceiver(Protocol):
    """A receiver of a codec whose passes hold rows, each by itself."""

    def rows(self, payloads: Sequence[bytes], first: int, last: int, progress: Progress | None = None) -> Bytes:
        """uint8 (last - first, W, E): extra planes of these rows, of a whole stream's passes. Raises CorruptStream."""
        ...
