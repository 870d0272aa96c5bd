"""What a medium is: how a signal becomes the planes of bytes that a codec codes, and back.

A row of `table` says it for some header modes. The signal itself knows how it is coded (`Signal.forms`), what a
header says of one is a `Form`, which makes the signal of decoded planes. Neither knows codecs, chunks or files.

Importing this loads nothing: what a stream holds is told without NumPy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from ..runtime.errors import CorruptStream, InputError
from .metadata import EMPTY, Metadata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Coded:
    """What a codec is given of a signal, of H×W positions.

    photo:   uint8 (H, W, 0, 1 or 3), what models of photographs are for. extra: uint8 (H, W, E), the other planes.
    layout:  what stands in the header before the codec's parameters: the medium's own, at most 65 536 bytes with them.
    palette: uint8 (N, P), the entries where ``extra`` holds indices; None elsewhere.
    frames:  pictures of equal height that lie one below another in the planes.
    since:   the first version of the format whose readers know the layout.
    numbers: whether ``extra`` holds numbers of 16 bits, of each the high byte, then the low one.
    sampling: of the photo planes, where they are a clip's as they are; nothing of a picture.
    """

    photo: Bytes
    extra: Bytes
    layout: bytes
    palette: Bytes | None = None
    frames: int = 1
    since: tuple[int, int] = (1, 0)
    numbers: bool = False
    sampling: str = ""

    def middle(self, side: int) -> Coded:
        """So many rows and columns of its planes, around their middle; of no frames."""
        import numpy as np

        top, left = ((n - side) // 2 for n in self.extra.shape[:2])
        part = slice(max(0, top), top + side), slice(max(0, left), left + side)
        photo, extra = (np.ascontiguousarray(planes[part]) for planes in (self.photo, self.extra))
        return replace(self, photo=photo, extra=extra, frames=1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Walking(Coded):
    """Rows of numbers, of A agents that move in a plane: no photo, ``extra`` uint8 (T, A columns, 1 + n).

    Plane 0 tells by a 1 where there is no number, the others hold the bytes of one, the most significant first.
    columns: of an agent. places: which of them say where it is, both there or neither, below 2^60. circles: of each
    column how many numbers go round, as of degrees, below which all are; 0 where they do not.
    """

    columns: int
    places: tuple[int, int]
    circles: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Rated:
    """What a lossy codec is given.

    signal: as it will be decoded but for its rounding.
    seen:   bool (H, W), the positions that anybody will see; None for all.
    """

    signal: Signal
    coded: Coded
    seen: NDArray[np.bool_] | None = None


class Signal(Protocol):
    """A signal of some medium. Immutable."""

    @property
    def mode(self) -> str:
        """Name of the header mode."""
        ...

    @property
    def number(self) -> int:
        """Number of the header mode."""
        ...

    @property
    def geometry(self) -> tuple[int, int]:
        """(height, width) of the positions that are coded, at least 1 each: by these limits and costs count."""
        ...

    @property
    def colours(self) -> int:
        """Planes of a photograph that its mode has: 0, 1 or 3."""
        ...

    @property
    def units(self) -> int:
        """What bits are counted by (`Medium.unit`), at least 1."""
        ...

    @property
    def array(self) -> Samples:
        """The samples, as `diffcodec.decode` gives them."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What is kept beside the samples."""
        ...

    @property
    def following(self) -> Sequence[Signal]:
        """Further signals of its medium, none of which has any."""
        ...

    def digest(self) -> bytes:
        """8 bytes, the first of a SHA-256 over all that is to come back but the metadata."""
        ...

    def equals(self, other: Signal) -> bool:
        """Whether all is the same, metadata too, and NaNs by their bits; of this signal, not of those that follow."""
        ...

    def with_metadata(self, metadata: Metadata) -> Signal:
        """The same with other metadata."""
        ...

    def photograph(self) -> Bytes:
        """uint8 (H, W, ``colours``): what models of photographs see of it."""
        ...

    def with_photograph(self, planes: Bytes) -> Signal:
        """The same with another photograph, uint8 (H, W, 1 or 3). Raises InputError where that is not all it is."""
        ...

    def packed(self) -> Signal:
        """The same, its metadata as they stand in a stream."""
        ...

    def told(self, metadata: Metadata, *, complete: bool, exact: bool) -> Signal:
        """Mirror of :meth:`packed` for a decoded signal: that with the metadata of its stream. Raises CorruptStream.

        complete: whether the whole stream was there. exact: whether the samples have the digest in it.
        """
        ...

    def forms(self, palettes: bool = True) -> list[Coded]:
        """The ways of coding it that may turn out smallest; without ``palettes`` none of indices."""
        ...

    def lossy(self) -> Rated:
        """For a codec that does not keep every sample. Raises InputError where there is no such way."""
        ...


class Form(Protocol):
    """What a header says of a signal."""

    @property
    def mode(self) -> str:
        """Name of the header mode."""
        ...

    @property
    def photo(self) -> int:
        """Planes of a photograph that are coded, as in `Coded`."""
        ...

    @property
    def extra(self) -> int:
        """Other planes that are coded."""
        ...

    @property
    def colours(self) -> int:
        """As of `Signal`."""
        ...

    @property
    def indexed(self) -> bool:
        """Whether the other plane holds indices of a palette."""
        ...

    @property
    def planes(self) -> int:
        """Bytes that a position takes in memory as samples."""
        ...

    @property
    def units(self) -> int:
        """As of `Signal`."""
        ...

    @property
    def samples(self) -> int:
        """Numbers in all, at least 1."""
        ...

    @property
    def frames(self) -> int:
        """As of `Coded`."""
        ...

    def about(self) -> dict[str, object]:
        """What `diffcodec.inspect` tells: mode, dtype, channels, and what the medium has besides."""
        ...

    def signal(self, photo: Bytes, extra: Bytes | None, rounded: bool = False) -> Signal:
        """The signal of decoded planes, without metadata; ``extra`` as far as it is there. Mirror of `Signal.forms`.

        rounded: whether the codec kept less than every sample. Raises Truncated where nothing can be made of them yet,
        CorruptStream where these planes are no such signal.
        """
        ...


@runtime_checkable
class RowForm(Form, Protocol):
    """Of a signal whose rows may be decoded by themselves."""

    def rows(self, count: int) -> Form | None:
        """What a header would say of so many rows alone; None where rows hang on those before."""
        ...


class Medium(Protocol):
    """A row of `table`."""

    @property
    def name(self) -> str:
        """In what `inspect` tells, and in messages."""
        ...

    @property
    def plural(self) -> str:
        """In messages."""
        ...

    @property
    def unit(self) -> str:
        """What bits are counted by."""
        ...

    @property
    def modes(self) -> Mapping[int, str]:
        """Names of its header modes by their numbers."""
        ...

    @property
    def formats(self) -> tuple[str, ...]:
        """Names of the file formats that hold it."""
        ...

    @property
    def followed(self) -> tuple[int, int] | None:
        """The first version of the format where more may stand behind a signal, in the same stream; None: in none."""
        ...

    @property
    def continued(self) -> bool:
        """Whether what stands behind a signal are further parts of it, not further signals."""
        ...

    @property
    def group(self) -> int:
        """Frames of a part of what is ``continued``, where nobody says."""
        ...

    def taken(self, given: Any) -> Signal | None:
        """What a caller gives, as a signal; None where it is none of this medium. Raises InputError for a bad one."""
        ...

    def form(self, mode: int, height: int, width: int, params: bytes, palette: bytes | None) -> tuple[Form, bytes]:
        """What a header says, and the parameters behind that, which are the codec's.

        palette: payload of the palette chunk. Every number is checked before anything is allocated by it.
        Raises CorruptStream, LimitExceeded, UnsupportedVersion.
        """
        ...

    def parted(self, signal: Signal, length: int) -> Sequence[Signal]:
        """What a stream holds one behind another: the signal and what follows it, or parts of ``length`` frames."""
        ...

    def joined(self, signals: Sequence[Signal]) -> Signal:
        """Mirror of :meth:`parted`: the first of them, the others ``following`` it, or what they are parts of."""
        ...

    def whole(self, forms: Sequence[Form]) -> Form:
        """What headers of all that stands one behind another say together: of what is not ``continued``, the first.

        Raises CorruptStream where they do not fit one another.
        """
        ...

    def cut(self, signal: Signal, start: int, stop: int) -> Signal:
        """Its frames from ``start`` to before ``stop``. Raises InputError where there is no such part."""
        ...


class Single:
    """What rows have in common whose signals stand alone in a stream."""

    plural = "signals"
    followed: tuple[int, int] | None = None
    continued = False
    group = 1

    def parted(self, signal: Signal, length: int) -> Sequence[Signal]:
        """The signal and what follows it."""
        return (signal, *signal.following)

    def joined(self, signals: Sequence[Signal]) -> Signal:
        """The one."""
        return signals[0]

    def whole(self, forms: Sequence[Form]) -> Form:
        """The first."""
        return forms[0]

    def cut(self, signal: Signal, start: int, stop: int) -> Signal:
        """Raises InputError."""
        raise InputError(f"frames of a part are those of clips and tracks, found {self.plural}: leave the range out")


class Continued:
    """What rows have in common whose signals are of frames, in one group or several."""

    followed: tuple[int, int] | None = (1, 7)
    continued = True

    def parted(self, signal: Signal, length: int) -> Sequence[Signal]:
        """In groups of ``length`` frames, the last of what is left; metadata are the first one's."""
        from .groups import parted

        return parted(signal, length)

    def joined(self, signals: Sequence[Signal]) -> Signal:
        """The one whose groups these are."""
        from .groups import joined

        return joined(signals)

    def cut(self, signal: Signal, start: int, stop: int) -> Signal:
        """Of these frames alone."""
        from .groups import cut

        return cut(signal, start, stop)


Own = TypeVar("Own", bound="Alone")


@dataclass(frozen=True, eq=False, kw_only=True)
class Alone:
    """What signals have in common that nothing follows and that are coded without loss only.

    Their own are ``mode``, ``number``, ``geometry``, ``units``, ``array``, :meth:`fields`, :meth:`parts` and ``forms``.
    """

    metadata: Metadata = EMPTY

    @property
    def mode(self) -> str:
        """Name of the header mode."""
        raise NotImplementedError

    @property
    def number(self) -> int:
        """Number of the header mode."""
        raise NotImplementedError

    @property
    def geometry(self) -> tuple[int, int]:
        """(height, width) of the positions that are coded."""
        raise NotImplementedError

    @property
    def following(self) -> tuple[Signal, ...]:
        """Nothing."""
        return ()

    @property
    def colours(self) -> int:
        """None: it is no photograph."""
        return 0

    def fields(self) -> bytes:
        """All that is to come back beside samples and metadata, in bytes that nothing else has."""
        raise NotImplementedError

    def parts(self) -> list[Samples]:
        """The samples, in arrays whose shapes the fields tell."""
        raise NotImplementedError

    def digest(self) -> bytes:
        """First 8 bytes of SHA-256 over mode number, fields and the samples in little-endian order."""
        sha = hashlib.sha256(bytes([self.number]) + self.fields())
        for part in self.parts():
            sha.update(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes())
        return sha.digest()[:8]

    def equals(self, other: Signal) -> bool:
        """Whether the other has the same mode, fields, samples and metadata."""
        if not isinstance(other, Alone) or (self.number, self.metadata) != (other.number, other.metadata):
            return False
        pairs = zip(self.parts(), other.parts(), strict=True)
        return self.fields() == other.fields() and all(a.tobytes() == b.tobytes() for a, b in pairs)

    def with_metadata(self: Own, metadata: Metadata) -> Own:
        """The same with other metadata."""
        return replace(self, metadata=metadata)

    def photograph(self) -> Bytes:
        """uint8 (H, W, 0): it is no photograph."""
        import numpy as np

        return np.zeros((*self.geometry, 0), np.uint8)

    def with_photograph(self, planes: Bytes) -> Signal:
        """Raises InputError, whatever the uint8 (H, W, 1 or 3) are."""
        raise InputError(f"expected a photograph, found a signal of mode {self.mode}")

    def packed(self: Own) -> Own:
        """Itself, without a palette of a picture file."""
        return self.with_metadata(replace(self.metadata, palette=None))

    def told(self: Own, metadata: Metadata, *, complete: bool, exact: bool) -> Own:
        """With the metadata of its stream. Raises CorruptStream for a palette among them, which only pictures have."""
        if metadata.palette is not None:
            raise CorruptStream(f"a palette of a picture file in a stream of mode {self.mode}; the file is damaged")
        return self.with_metadata(metadata)

    def lossy(self) -> Rated:
        """Raises InputError: there is no way yet."""
        raise InputError(f"a lossy codec takes pictures, found a signal of mode {self.mode}: code it without loss")
