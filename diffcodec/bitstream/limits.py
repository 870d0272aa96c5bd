"""Limits checked before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Largest sizes accepted. ``max_pixels`` may be raised by the caller; the others belong to the format."""

    max_pixels: int = 2**28
    max_chunk: int = 2**31 - 1
    max_params: int = 65536
    max_palette: int = 1024
    max_name: int = 64


DEFAULT_LIMITS = Limits()
