"""Rows of tokens: symbols of 8 or 16 bits that are no picture, such as text or audio (bitstream_spec/MODES.md)."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...runtime.errors import CorruptStream
from ..medium import Form, Signal, Single
from ..modes import Mode, read_layout
from .picture import Sampled

if TYPE_CHECKING:
    from ..medium import Bytes

MODES = (Mode(71, "tokens", "u1", 0, 1), Mode(74, "tokens;16", "u2", 0, 0))
BY_NUMBER = {mode.number: mode for mode in MODES}
BY_SAMPLE = {mode.sample: mode for mode in MODES}


@dataclass(frozen=True)
class Row(Sampled):
    """Of a row of tokens, one a position."""

    def signal(self, photo: Bytes, extra: Bytes | None, rounded: bool = False) -> Signal:
        """The tokens, of uint8 (1, n, 0 or 1) and (1, n, E). Raises Truncated, CorruptStream."""
        from ..planes import joined
        from ..tokens import Tokens

        return Tokens(joined(self.every(photo, extra), self.kind)[0])


class TokenRows(Single):
    """The row of tokens."""

    name, plural, unit = "tokens", "tokens", "token"
    modes = MappingProxyType({mode.number: mode.name for mode in MODES})
    formats = ("NPY",)

    def taken(self, given: Any) -> Signal | None:
        """`Tokens`, or an array (n,) of uint8 or uint16, n at least 1."""
        from ..tokens import taken

        return taken(given)

    def form(self, mode: int, height: int, width: int, params: bytes, palette: bytes | None) -> tuple[Form, bytes]:
        """As of a picture one row high. Raises CorruptStream."""
        kind = BY_NUMBER[mode]
        if height != 1:
            raise CorruptStream(f"tokens are one row, found {height}; the file is damaged")
        if palette is not None:
            return Row(kind, height, width, None, palette), params
        layout, rest = read_layout(params, kind)
        return Row(kind, height, width, layout), rest
