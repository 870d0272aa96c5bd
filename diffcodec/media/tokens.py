"""A row of tokens."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.errors import InputError
from .arrays import array_of, described
from .medium import Alone, Coded, Signal
from .modes import Mode
from .planes import Bytes, joined, laid_out, palette, split
from .rows.tokens import BY_SAMPLE

if TYPE_CHECKING:
    from .medium import Samples

_TYPES = ("uint8", "uint16")


@dataclass(frozen=True, eq=False)
class Tokens(Alone):
    """Symbols that are no picture: text, audio.

    samples: uint8 or uint16 (n,), n at least 1.

    Raises InputError for another array.
    """

    samples: NDArray[np.uint8] | NDArray[np.uint16]

    def __post_init__(self) -> None:
        samples = self.samples
        if samples.ndim != 1 or not samples.size or samples.dtype.name not in _TYPES:
            raise InputError(f"expected tokens, uint8 or uint16 (n,), found {described(samples)}")
        native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
        object.__setattr__(self, "samples", np.ascontiguousarray(native))

    @property
    def info(self) -> Mode:
        """The row of the mode table."""
        return BY_SAMPLE[f"u{self.samples.dtype.itemsize}"]

    @property
    def mode(self) -> str:
        """Name of the mode."""
        return self.info.name

    @property
    def number(self) -> int:
        """Number of the mode."""
        return self.info.number

    @property
    def geometry(self) -> tuple[int, int]:
        """One row of all tokens."""
        return 1, len(self.samples)

    @property
    def colours(self) -> int:
        """1 of 8 bits, which are coded as the plane of a photograph is; 0 of 16."""
        return self.info.photo

    @property
    def units(self) -> int:
        """Tokens."""
        return len(self.samples)

    @property
    def array(self) -> Samples:
        """The samples, (n,)."""
        return self.samples

    def fields(self) -> bytes:
        """Width and height, as of a picture one row high."""
        return struct.pack("<II", len(self.samples), 1)

    def parts(self) -> list[Samples]:
        """The samples."""
        return [self.samples]

    def planes(self) -> Bytes:
        """(1, n, bytes of a token), the most significant first."""
        return split(self.samples[None], self.info)

    def photograph(self) -> Bytes:
        """uint8 (1, n, 1) of tokens of 8 bits, which models of tokens draw likewise; (1, n, 0) of 16."""
        return self.planes()[..., : self.colours]

    def with_photograph(self, planes: Bytes) -> Tokens:
        """The same with other tokens, uint8 (1, n, 1). Raises InputError where they have 16 bits."""
        if not self.colours:
            raise InputError("expected tokens of 8 bits, found some of 16")
        return Tokens(joined(planes, self.info)[0], metadata=self.metadata)

    def forms(self, palettes: bool = True) -> list[Coded]:
        """The bytes of the tokens, and of 16 bits also indices of those that occur, where they are few."""
        every = self.planes()
        photo, extra, layout = laid_out(every, self.info.photo)
        ways = [Coded(photo, extra, layout.write())]
        indexed = palette(every) if palettes and len(layout.coded) > 1 else None
        if indexed is not None:
            entries, index = indexed
            ways.insert(0, Coded(index[..., :0], index, b"", entries))
        return ways


def taken(given: Any) -> Signal | None:
    """Tokens, or an array or a tensor (n,) of uint8 or uint16, as tokens; None of anything else."""
    if isinstance(given, Tokens):
        return given
    array = array_of(given)
    rows = array is not None and array.ndim == 1 and array.dtype.name in _TYPES and array.size > 0
    return Tokens(np.array(array)) if array is not None and rows else None
