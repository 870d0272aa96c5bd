"""Pictures: every mode of bitstream_spec/MODES.md but rows of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...runtime.errors import CorruptStream, Truncated
from ..medium import Form, Signal, Single
from ..modes import BY_NUMBER, DTYPES, MODES, NUMBERED, Layout, Mode, Numbers, read_hidden, read_layout, read_numbers

if TYPE_CHECKING:
    from ..medium import Bytes


@dataclass(frozen=True)
class Sampled:
    """Of a picture, or a row of tokens: the planes that a layout tells, or indices of the entries of a palette.

    kind: the row of the mode table. height, width: of the header.
    layout: how the planes come about, or how samples are numbers; None where the one coded plane holds indices.
    entries: the palette's bytes.
    """

    kind: Mode
    height: int
    width: int
    layout: Layout | Numbers | None
    entries: bytes | None = None

    frames = 1

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return self.kind.name

    @property
    def photo(self) -> int:
        """Planes of the photograph that are coded: 0, 1 or 3."""
        return self.layout.counts(self.kind)[0] if self.layout else 0

    @property
    def extra(self) -> int:
        """Other planes that are coded."""
        return self.layout.counts(self.kind)[1] if self.layout else 1

    @property
    def colours(self) -> int:
        """Planes of a photograph that the mode has."""
        return self.kind.photo

    @property
    def indexed(self) -> bool:
        """Whether the coded plane holds indices."""
        return self.layout is None

    @property
    def planes(self) -> int:
        """Bytes of a pixel."""
        return self.kind.planes

    @property
    def units(self) -> int:
        """Pixels."""
        return self.height * self.width

    @property
    def samples(self) -> int:
        """Channels of all pixels."""
        return self.units * self.kind.components

    def about(self) -> dict[str, object]:
        """mode, dtype, channels, palette_colours (None without a palette)."""
        colours = None if self.entries is None else len(self.entries) // self.kind.planes
        dtype, channels = DTYPES[self.kind.sample], self.kind.components
        return {"mode": self.mode, "dtype": dtype, "channels": channels, "palette_colours": colours}

    def palette(self) -> Bytes:
        """The entries, uint8 (N, bytes of a pixel), N at most 256. Raises CorruptStream."""
        import numpy as np

        entries, planes = self.entries or b"", self.kind.planes
        count, rest = divmod(len(entries), planes)
        if rest or not 1 <= count <= 256:
            raise CorruptStream(f"palette of {len(entries)} bytes is not 1 to 256 entries of {planes} bytes")
        return np.frombuffer(entries, np.uint8).reshape(count, planes)

    def every(self, photo: Bytes, extra: Bytes | None) -> Bytes:
        """All byte planes, (H, W, P). Raises Truncated, CorruptStream."""
        from ..hidden import put_back
        from ..numbered import samples_of
        from ..picture import every_plane
        from ..planes import split, unpalette

        if self.layout is None:
            if extra is None:
                raise Truncated("the stream ends before the palette indices: fetch more of it")
            return unpalette(self.palette(), extra)
        if not self.photo and extra is None:
            raise Truncated(f"the stream ends before the first plane of this {self.mode} picture: fetch more of it")
        if isinstance(self.layout, Numbers) and extra is not None:
            return split(samples_of(extra, self.layout, self.kind), self.kind)
        assert isinstance(self.layout, Layout)
        every = every_plane(photo, extra, self.layout, self.kind)
        return every if self.layout.hidden is None else put_back(every, self.kind, self.layout.hidden)

    def signal(self, photo: Bytes, extra: Bytes | None, rounded: bool = False) -> Signal:
        """The picture, of uint8 (H, W, 0, 1 or 3) and (H, W, E). Raises Truncated, CorruptStream."""
        from ..picture import from_planes, without_hidden_light

        picture = from_planes(self.every(photo, extra), self.kind)
        return without_hidden_light(picture) if self.kind.premultiplied and rounded else picture


class Pictures(Single):
    """The row of pictures."""

    name, plural, unit = "picture", "pictures", "pixel"
    modes = MappingProxyType({mode.number: mode.name for mode in MODES})
    formats = ("PNG", "TIFF", "WEBP", "BMP", "PPM", "NPY")
    followed = (1, 4)

    def taken(self, given: Any) -> Signal | None:
        """Whatever `Picture.from_any` takes. Raises InputError for all else: nothing but a picture is left."""
        from ..picture import Picture

        return Picture.from_any(given)

    def form(self, mode: int, height: int, width: int, params: bytes, palette: bytes | None) -> tuple[Form, bytes]:
        """The plane layout in front of the parameters, where there is no palette. Raises CorruptStream."""
        kind = BY_NUMBER[mode]
        if palette is not None:
            return Sampled(kind, height, width, None, palette), params
        if params[:1] == bytes([NUMBERED]):
            numbers, rest = read_numbers(params, kind)
            return Sampled(kind, height, width, numbers), rest
        hidden, rest = read_hidden(params, kind)
        layout, rest = read_layout(rest, kind)
        return Sampled(kind, height, width, replace(layout, hidden=hidden)), rest

    def joined(self, signals: Sequence[Signal]) -> Signal:
        """A picture with its frames; of frames that are one and the same, each has samples of its own."""
        from ..picture import with_frames

        return with_frames(signals)
