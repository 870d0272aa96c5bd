"""What a model may be given beside z_t: text, an observed picture, a file, earlier frames, what both ends hold anyway.

A `ConditionalModel` is curried: ``model.given(condition)`` is a `DiffusionModel` like any other, so that chains,
samplers and channels stay as they are (SR3, arXiv 2104.07636; Palette, arXiv 2111.05826; Imagen, arXiv 2205.11487).
Importing this does not load torch.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import DiffcodecError, InputError, ModelMismatch
from .operators import Bytes, Operator
from .protocols import DiffusionModel

if TYPE_CHECKING:
    from .jpeg.coefficients import Jpeg


@dataclass(frozen=True)
class Text:
    """A text that guides what a model sees in the noise.

    negative: what it is to be led away from. scale: of guidance, 1 for none (Ho & Salimans, arXiv 2207.12598, with
    their w = scale - 1). encoder, fingerprint: of the network that reads the text, as they stand in a stream.
    """

    prompt: str
    negative: str = ""
    scale: float = 1.0
    encoder: str = ""
    fingerprint: bytes = b""

    kind: ClassVar[str] = "text"


@dataclass(frozen=True, eq=False)
class Observed:
    """What is left of the picture, or of a version of it: ``samples`` uint8 (h, w, c) = operator(picture), rounded.

    augmentation: the log-SNR, in 1/1024, at which the samples are to be believed, against x in [-1, 1]: as if noise of
    variance exp(-augmentation / 1024) lay on them (conditioning augmentation: CDM, arXiv 2106.15282, §4). None: they
    are what they are, and a decoded picture is made to agree with them. Raises InputError for other samples.
    """

    samples: Bytes
    operator: Operator
    augmentation: int | None = None

    def __post_init__(self) -> None:
        samples: object = self.samples
        if not isinstance(samples, np.ndarray) or samples.dtype != np.uint8 or samples.ndim != 3:
            raise InputError(f"expected samples uint8 (h, w, c), found {getattr(samples, 'dtype', type(samples))}")

    @classmethod
    def of(cls, picture: Bytes, operator: Operator, augmentation: int | None = None) -> Observed:
        """What is observed of ``picture`` uint8 (H, W, C). Raises InputError for sizes that the operator has not."""
        return cls(operator.apply(picture), operator, augmentation)

    @property
    def kind(self) -> str:
        """The operator's name."""
        return self.operator.name

    def project(self, picture: Bytes) -> Bytes:
        """``picture`` uint8 (H, W, C) made to agree with what was observed; itself where that is not to be believed."""
        return picture if self.augmentation is not None else self.operator.project(picture, self.samples)


@dataclass(frozen=True, eq=False)
class FileGiven:
    """A foreign file as it is, and ``samples`` uint8 (H, W, C) that its format's reference reader gives."""

    data: bytes
    samples: Bytes

    kind: ClassVar[str] = "file"

    @cached_property
    def jpeg(self) -> Jpeg | None:
        """The quantised coefficients, if it is a JPEG of luma and chroma whose coefficients are read here."""
        from .jpeg import cells, coefficients

        try:
            jpeg = coefficients.read(self.data)
            cells.tables(jpeg)
            return jpeg
        except DiffcodecError:  # what another reader shows of it is all that is known then
            return None

    def project(self, picture: Bytes) -> Bytes:
        """``picture`` uint8 (H, W, C) made to be the same JPEG when it is compressed again; itself of other files."""
        from .jpeg import cells

        return picture if self.jpeg is None else cells.agree(picture, self.jpeg)[0]


@dataclass(frozen=True, eq=False)
class Before:
    """Earlier ``frames``, each uint8 (H, W, C), the latest last. augmentation: as of `Observed`."""

    frames: tuple[Bytes, ...]
    augmentation: int | None = None

    kind: ClassVar[str] = "before"

    @property
    def where(self) -> tuple[int, ...]:
        """Places before the first frame, which is 0."""
        return tuple(range(-len(self.frames), 0))


#: how frames that are known are made to count for others: the network is told them; or they stand among the others as
#: noisy as these, and no more is done, or x_hat of the others is led to agree with them (arXiv 2204.03458, §3.1)
Way = Literal["told", "replaced", "guided"]
TOLD: Way = "told"
REPLACED: Way = "replaced"
GUIDED: Way = "guided"


@dataclass(frozen=True, eq=False)
class Frames:
    """Some ``frames`` of a clip, each uint8 (H, W, C), and ``where`` they stand in it, the first at 0.

    augmentation: as of `Observed`. way: how they count for the others. Raises InputError for places out of order.
    """

    frames: tuple[Bytes, ...]
    where: tuple[int, ...]
    augmentation: int | None = None
    way: Way = TOLD

    kind: ClassVar[str] = "frames"

    def __post_init__(self) -> None:
        ordered = all(a < b for a, b in itertools.pairwise((-1, *self.where)))
        if len(self.where) != len(self.frames) or not ordered:
            raise InputError(f"expected a place from 0 on for each of {len(self.frames)} frames, found {self.where}")


@dataclass(frozen=True, eq=False)
class Outside:
    """A ``value`` that sender and receiver both hold; a stream has its SHA-256 ``digest`` alone: :func:`digest_of`.

    Raises InputError where the digest is another's.
    """

    digest: bytes
    value: bytes | NDArray[np.generic]

    kind: ClassVar[str] = "outside"

    def __post_init__(self) -> None:
        if digest_of(self.value) != self.digest:
            raise InputError("what was supplied from outside is not what the stream was made with: its digest differs")

    @classmethod
    def of(cls, value: bytes | NDArray[np.generic]) -> Outside:
        """The condition of a value: bytes, or an array of any shape and type."""
        return cls(digest_of(value), value)


Condition = Text | Observed | FileGiven | Before | Frames | Outside
KINDS: dict[str, type[Condition]] = {
    "text": Text, "stream": Observed, "file": FileGiven, "before": Before, "outside": Outside,
}  #: what stands in a stream, by its name there  # fmt: skip


def digest_of(value: bytes | NDArray[np.generic]) -> bytes:
    """SHA-256, 32 bytes, of bytes; of an array of any shape, of its type, its shape and its bytes in little-endian."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).digest()
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    head = f"{little.dtype.str} {little.shape}".encode()
    return hashlib.sha256(len(head).to_bytes(8, "little") + head + little.tobytes()).digest()


@runtime_checkable
class ConditionalModel(DiffusionModel, Protocol):
    """A denoiser that may be given something: without it, it is a model of all pictures."""

    @property
    def takes(self) -> frozenset[str]:
        """Kinds of what it may be given: those of this module, and names of `operators.OPERATORS`."""
        ...

    def given(self, condition: Condition) -> DiffusionModel:
        """The model of those pictures that the condition holds of; name, fingerprint and numerics stay.

        If that is a `ConditionalModel` too, more may be given, in any order. Raises InputError for what it does not
        take (:func:`check`), and where the condition belongs to pictures that it does not take.
        """
        ...


def check(model: ConditionalModel, condition: Condition) -> None:
    """Raises InputError for a condition of a kind that the model does not take."""
    if condition.kind not in model.takes:
        raise InputError(f"'{model.name}' takes {', '.join(sorted(model.takes))}, and was given {condition.kind}")


def given(model: DiffusionModel, conditions: Iterable[Condition]) -> DiffusionModel:
    """The model, given one thing after another; itself if there is nothing.

    Raises ModelMismatch for a model that takes nothing, or nothing more, InputError as it does itself.
    """
    for condition in conditions:
        if not isinstance(model, ConditionalModel):
            raise ModelMismatch(f"'{model.name}' is a model of all pictures, which takes no {condition.kind}")
        model = model.given(condition)
    return model
