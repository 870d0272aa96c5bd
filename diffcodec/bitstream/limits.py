"""Limits checked before anything is allocated. Rationale of each: bitstream_spec/SPEC.md, "Limits"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Largest sizes accepted. The caller may raise ``max_pixels`` (pixels); the others (bytes) are the format's."""

    max_pixels: int = 2**28
    max_chunk: int = 2**31 - 1
    max_params: int = 65536
    max_palette: int = 1024
    max_name: int = 64


DEFAULT_LIMITS = Limits()
