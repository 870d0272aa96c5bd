"""What laws of codecs look at: tiny examples, coded and received as in a stream, and models that are watched.

A codec codes planes; what it is told afterwards is a `Head`, parameters and passes, no more.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..codecs.codec import Codec, Encoded, Head, Receiver, Room, Wish
from ..codecs.reconstruction import MEAN, Reconstruction
from ..models.architectures import first_line
from ..models.protocols import EXACT
from ..runtime.errors import CorruptStream, InputError, Truncated
from ..runtime.progress import Progress
from .laws import LawBroken, Laws, demand

Result = TypeVar("Result")
Bytes = NDArray[np.uint8]
Shown = tuple[Bytes, Bytes | None]  #: (photo, extra) as a receiver shows them
Shape = tuple[int, int, int, int]  #: (height, width, planes of the photograph, planes beside it)

DAMAGED = (CorruptStream, Truncated)  #: what a damaged pass may raise


def framed(size: int) -> int:
    """Bytes that a pass of ``size`` bytes takes in the streams of the examples."""
    return size + 7


@dataclass(frozen=True, eq=False)
class Example:
    """Planes to be coded, uint8: ``photo`` (H, W, 0, 1 or 3), ``extra`` (H, W, E); the others as of `Planes`."""

    photo: Bytes
    extra: Bytes
    frames: int = 1
    sampling: str = ""

    @property
    def told(self) -> str:
        """Of which size they are, for messages."""
        height, width, count = self.photo.shape
        return f"{height}×{width} of {count} and {self.extra.shape[2]} planes"


@dataclass(frozen=True, eq=False)
class Case:
    """An example that was coded, in some room: ``encoded`` is what came of it, ``head`` all that a reader is told."""

    planes: Example
    room: Room
    encoded: Encoded
    head: Head

    @property
    def passes(self) -> list[bytes]:
        """Of the stream."""
        return self.encoded.passes

    @property
    def told(self) -> str:
        """Which one it is, for messages."""
        wanted = "exactly" if self.room.exact else f"to {self.room.size} bytes, {self.room.psnr} dB"
        return f"{self.planes.told}, coded {wanted}"

    def is_stream_of(self, other: Case) -> bool:
        """Whether both are one stream."""
        return (self.encoded.params, self.passes) == (other.encoded.params, other.passes)

    def error(self, photo: Bytes) -> float:
        """Mean squared error of a shown picture, uint8 (H, W, C) like the photo planes."""
        return float(np.square(photo.astype(np.float64) - self.planes.photo).mean()) if photo.size else 0.0


class CodecExamples(Laws):
    """The examples of a codec; ``make`` gives it, a row of the table.

    provider: the model that it codes with, None for a codec without one.
    shapes:   (H, W, photo, extra) of examples, some of which it may refuse. values: of a sample, fewer than 256 for
              tokens. large: one more example, whose work is worth several threads; None for none.
    wish:     what is asked of it; seeds and rates are the laws' own. rates: rooms of a lossy codec besides the exact.
    frames:   that examples are, one below another: H is a multiple of it. sampling: of a clip whose frames they are.
    given:    whether the provider was given something, so that there is a picture before the first pass.
    asked:    methods of the model that are network calls.
    trials:   how many cuts, flips and forged parameters are tried of each example.
    """

    kind: ClassVar[type] = Codec
    provider: ClassVar[Any] = None
    shapes: ClassVar[tuple[Shape, ...]] = ((11, 14, 3, 1), (9, 10, 1, 0), (6, 7, 0, 2), (1, 1, 3, 0))
    large: ClassVar[Shape | None] = (66, 70, 3, 0)
    values: ClassVar[int] = 256
    wish: ClassVar[Wish] = Wish()
    rates: ClassVar[tuple[Room, ...]] = (Room(framed, 240), Room(framed, psnr=22.0))
    frames: ClassVar[int] = 1
    sampling: ClassVar[str] = ""
    given: ClassVar[bool] = False
    asked: ClassVar[tuple[str, ...]] = ("predict", "x_hat", "ask", "strip", "frame_strip")
    trials: ClassVar[int] = 24

    # ---- examples

    def codec(self) -> Codec:
        """The codec. Raises LawBroken."""
        codec: Codec = self.model()
        return codec

    def example(self, height: int, width: int, photo: int, extra: int) -> Example:
        """Waves with a little noise on them."""
        random = np.random.default_rng(height * width)
        y, x = np.mgrid[:height, :width]
        waves = [0.5 + 0.35 * np.sin(x / k + k) * np.cos(y / (k + 2)) for k in range(5, 5 + photo + extra)]
        planes = np.stack(waves, 2) + random.normal(0, 0.01, (height, width, photo + extra))
        coded = np.clip(planes * self.values, 0, self.values - 1).astype(np.uint8)
        parts = np.ascontiguousarray(coded[..., :photo]), np.ascontiguousarray(coded[..., photo:])
        return Example(*parts, self.frames, self.sampling)

    def rooms(self) -> Iterator[Room]:
        """The exact one, and of a lossy codec some rates."""
        yield Room(framed, given=self.given)
        if self.codec().lossy:
            yield from (replace(room, given=self.given) for room in self.rates)

    def coded(
        self,
        planes: Example,
        room: Room,
        *,
        wish: Wish | None = None,
        like: bytes | None = None,
        model: Any = None,
        progress: Progress | None = None,
    ) -> list[Case]:
        """The ways in which the codec codes an example; ``model`` in place of the provider. Raises what it does."""
        codec, wish = self.codec(), self.wish if wish is None else wish
        model = self.provider if model is None else model
        ways = codec.encode(planes, model, wish, room, like=like, progress=progress)
        return [Case(planes, room, encoded, self.head(planes, encoded, wish.seed)) for encoded in ways]

    def head(self, planes: Example, encoded: Encoded, seed: int) -> Head:
        """What a stream's header tells a reader."""
        height, width, photo = planes.photo.shape
        extra, codec = planes.extra.shape[2], self.codec()
        model = encoded.model if codec.about(encoded.params).needs_model else None
        return Head(
            codec=codec.name,
            height=height,
            width=width,
            photo=photo,
            extra=extra,
            params=encoded.params,
            seed=seed,
            numerics=self.numerics(encoded),
            planes=photo + extra,
            given=self.given,
            model=model.name if model else "",
            fingerprint=model.fingerprint[:8] if model else bytes(8),
            frames=planes.frames,
        )

    def numerics(self, encoded: Encoded) -> int:
        """Of a stream: its own, else those of the model that it needs, else exact."""
        if encoded.numerics is not None:
            return encoded.numerics
        needed = self.codec().about(encoded.params).needs_model
        return encoded.model.numerics if needed and encoded.model is not None else EXACT

    @cached_property
    def cases(self) -> list[Case]:
        """Every example in every room, but for those that the codec refuses. Raises LawBroken where it takes none."""
        found: list[Case] = []
        for shape in self.shapes:
            for room in self.rooms():
                try:
                    found += self.coded(self.example(*shape), room)
                except InputError as error:
                    demand("\n" not in str(error), f"a refusal takes several lines: {first_line(error)}")
        demand(any(case.passes for case in found), f"none of the examples {self.shapes} is coded")
        return found

    # ---- what a reader does

    def received(
        self,
        case: Case,
        passes: Sequence[bytes] | None = None,
        *,
        head: Head | None = None,
        model: Any = None,
        progress: Progress | None = None,
    ) -> Receiver:
        """A receiver that took some passes, all if None."""
        receiver = self.codec().receiver(head or case.head, case.encoded.model if model is None else model)
        receiver.take_all(case.passes if passes is None else passes, progress)
        return receiver

    def shown(self, receiver: Receiver, case: Case, reconstruction: Reconstruction = MEAN) -> Shown:
        """(photo, extra) after some pass: uint8 of full size, extra planes as coded. Raises Truncated, LawBroken."""
        photo, extra = receiver.show(reconstruction)
        wanted = case.planes.photo.shape
        demand(photo.dtype == np.uint8, f"{case.told}: a picture of {photo.dtype} is shown")
        demand(photo.shape == wanted, f"{case.told}: a picture of the shape {photo.shape} is shown")
        if extra is not None:
            demand(extra.dtype == np.uint8, f"{case.told}: extra planes of {extra.dtype} are shown")
            demand(extra.shape[:2] == wanted[:2], f"{case.told}: extra planes of the shape {extra.shape} are shown")
        return photo.copy(), None if extra is None else extra.copy()

    def tried(self, case: Case, passes: Sequence[bytes], told: str) -> Shown | None:
        """What these passes show; None where they are found to be damaged. Raises LawBroken for any other error."""
        return self.either(
            lambda: self.shown(self.received(case, passes), case), DAMAGED, f"{case.told}, {told}"
        )

    def looked(self, receiver: Receiver, case: Case, told: str) -> Shown | None:
        """What a receiver shows; None where it has nothing to show. Raises LawBroken for any other error."""
        return self.either(lambda: self.shown(receiver, case), (Truncated,), f"{case.told}, {told}")

    def either(self, work: Callable[[], Result], allowed: tuple[type[Exception], ...], told: str) -> Result | None:
        """What comes of some work; None where it raises what is allowed. Raises LawBroken for any other error."""
        try:
            return work()
        except LawBroken:
            raise
        except allowed:
            return None
        except Exception as error:
            raise LawBroken(f"{told}: {type(error).__name__}: {first_line(error)}") from error

    # ---- what a model is asked

    def watched(self, model: Any, calls: list[bytes]) -> Any:
        """The model, but that every network call, by name and digest of what it is given, is noted in ``calls``."""
        twin = copy.copy(model)
        for name in self.asked:
            inner = getattr(model, name, None)
            if inner is not None:
                object.__setattr__(twin, name, _noted(name, inner, calls))
        return twin


def _noted(name: str, inner: Callable[..., Any], calls: list[bytes]) -> Callable[..., Any]:
    def noted(*given: Any, **named: Any) -> Any:
        digest = hashlib.sha256(name.encode())
        for value in (*given, *named.values()):
            array = value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else value
            digest.update(array.tobytes() if isinstance(array, np.ndarray) else repr(array).encode())
        calls.append(digest.digest())
        return inner(*given, **named)

    return noted
