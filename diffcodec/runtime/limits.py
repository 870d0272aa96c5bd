"""Limits checked before anything is allocated. Rationale of each: bitstream_spec/SPEC.md, "Limits"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Largest sizes accepted. The caller may raise ``max_pixels`` (pixels); the others are fixed.

    Bytes, but for ``max_frames``, and ``max_given``: how deep streams may be given one within another.
    """

    max_pixels: int = 2**28
    max_chunk: int = 2**31 - 1
    max_params: int = 65536
    max_palette: int = 1024
    max_name: int = 64
    max_metadata: int = 2**25
    max_frames: int = 2**16
    max_given: int = 4

    @classmethod
    def of(cls, max_pixels: int | None) -> Limits:
        """Those of a caller who says how many pixels there may be, or does not."""
        return DEFAULT_LIMITS if max_pixels is None else cls(max_pixels=max_pixels)


DEFAULT_LIMITS = Limits()
