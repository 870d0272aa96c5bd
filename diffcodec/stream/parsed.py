"""A stream parsed once: its container, what its codec is told, and how planes become a signal again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..bitstream import Container
from ..bitstream import read as read_container
from ..bitstream.container import SIGNATURE
from ..bitstream.header import NUMERICS
from ..codecs.codec import About, Codec, Head, Prefix
from ..codecs.table import CODECS, NUMBERS
from ..media.medium import Form, Medium, Signal
from ..media.metadata import EMPTY, Metadata
from ..media.table import medium_of
from ..runtime.errors import CorruptStream
from ..runtime.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..bitstream.given import Given

    Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Stream:
    """What a container holds, told by the medium of its header mode and by the codec."""

    container: Container
    head: Head
    medium: Medium
    form: Form
    about: About
    whole: Form  #: what all its parts say together; of what is not parted, ``form``
    frames: tuple[Stream, ...] = ()
    nested: tuple[tuple[Stream, ...], ...] = ()  #: of each thing that was given, the streams that it holds

    @property
    def codec(self) -> Codec:
        """Its row of the table."""
        return CODECS[self.head.codec]

    @property
    def all(self) -> list[Stream]:
        """The signal and those that follow it."""
        return [self, *self.frames]

    @property
    def numerics(self) -> str:
        """The name of its class: exact, pinned or tolerant."""
        return NUMERICS[self.head.numerics]

    @property
    def lossless(self) -> bool:
        """Whether the whole stream gives exactly what was encoded."""
        return not self.about.lossy

    @property
    def prefixes(self) -> list[Prefix]:
        """Of all streams that decoding takes: what was given, at every level, and the signal."""
        inner = (prefix for streams in self.nested for one in streams for prefix in one.prefixes)
        return [*inner, self.prefix]

    @property
    def prefix(self) -> Prefix:
        """As far as the stream has come."""
        return Prefix(self.head, self.container.passes, self.container.complete)

    @property
    def metadata(self) -> Metadata:
        """As they were written: no larger than the container found them. Raises CorruptStream, UnsupportedVersion."""
        limits = Limits(max_metadata=self.container.metadata)
        return Metadata.from_chunks(self.container.ancillary, limits) if self.container.ancillary else EMPTY

    def signal(self, photo: Bytes, extra: Bytes | None) -> Signal:
        """The signal of planes uint8 (H, W, n) that the passes gave; no metadata. Raises Truncated, CorruptStream."""
        return self.form.signal(photo, extra, rounded=self.codec.lossy and not self.container.digest)

    def cut(self, passes: int) -> Stream:
        """As it was behind so many of its passes."""
        whole = self.container
        part = replace(whole, passes=whole.passes[:passes], ends=whole.ends[:passes], digest=None, frames=[])
        return replace(self, container=part, whole=self.form, frames=())

    def digest_problem(self) -> str | None:
        """What is wrong with the digest of a whole stream: one where its method has none, or none where it has one."""
        if not self.container.complete or bool(self.container.digest) != self.about.lossy:
            return None
        has, wanted = ("a", "none") if self.about.lossy else ("no", "one")
        return f"the stream has {has} digest where its method has {wanted}; the file is damaged"


def model_name(stream: Stream) -> str | None:
    """The name in the header; of a small stream the bundled model's that it was made with, None if there is none."""
    head = stream.head
    if head.model or not any(head.fingerprint):
        return head.model or None
    from ..models import bundled

    return bundled.name_of(head.fingerprint)


def parse(container: Container) -> Stream:
    """Raises CorruptStream, LimitExceeded, UnsupportedVersion for a header that no medium or codec has."""
    header = container.header
    name, medium = NUMBERS[header.codec], medium_of(header.mode)
    form, params = medium.form(header.mode, header.height, header.width, header.params, container.palette)
    head = Head(
        codec=name,
        height=header.height,
        width=header.width,
        photo=form.photo,
        extra=form.extra,
        params=params,
        seed=header.seed,
        numerics=header.numerics,
        planes=form.planes,
        model=header.model,
        fingerprint=header.fingerprint,
        indexed=form.indexed,
        given=bool(container.given),
        frames=max(1, form.frames),
    )
    about, frames = CODECS[name].about(params), tuple(map(parse, container.frames))
    if any(one.medium is not medium or not medium.followed for one in frames):
        raise CorruptStream(f"something follows {medium.name} that does not belong to it; the file is damaged")
    whole = medium.whole([form, *(one.form for one in frames)]) if frames else form
    if container.given and not about.needs_model:
        raise CorruptStream("something was given to a model that the stream does not use; the file is damaged")
    nested = tuple(given_streams(part, form.mode, form.colours) for part in container.given)
    return Stream(container, head, medium, form, about, whole, frames, nested)


def given_streams(part: Given, mode: str, colours: int) -> tuple[Stream, ...]:
    """The streams that a thing holds which was given for a signal of ``mode``: what was observed, and its mask.

    colours: planes of a photograph that the mode has.

    Raises CorruptStream, UnsupportedVersion for what cannot be given for such a signal.
    """
    from ..bitstream import given

    if not isinstance(part, given.Stream):
        return ()
    base, *masks = (parse(container) for container in part.containers)
    channels = dict(zip((1, 3), given.OPERATORS[part.operator].channels, strict=True)).get(colours)
    if not channels or base.form.mode not in _OBSERVED[channels]:
        raise CorruptStream(f"{base.form.mode} was given as {part.operator} of {mode}; the file is damaged")
    if any(mask.form.mode != "1" or mask.about.needs_model for mask in masks):
        raise CorruptStream("a mask that was given is no bilevel picture; the file is damaged")
    return base, *masks


#: modes of what was observed in so many channels
_OBSERVED = {1: ("L", "L[1]"), 3: ("RGB",)}


def begins(data: bytes) -> bool:
    """Whether the bytes begin as a stream does."""
    return data.startswith(SIGNATURE)


def read(data: bytes, *, limits: Limits = DEFAULT_LIMITS, partial: bool = False) -> Stream:
    """A whole stream, or with ``partial`` what there is of one. Raises as `bitstream.read` and :func:`parse`."""
    return parse(read_container(data, limits=limits, partial=partial))
