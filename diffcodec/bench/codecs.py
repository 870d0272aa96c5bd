"""What the suite compares, by name. Sizes are whole files."""

from __future__ import annotations

from dataclasses import replace

from . import classical, ours
from .point import Codec, Point

__all__ = ["BY_NAME", "CODECS", "Codec", "Point", "find"]

CODECS: tuple[Codec, ...] = (*classical.CODECS, *ours.CODECS)
BY_NAME = {codec.name: codec for codec in CODECS}


def find(name: str) -> Codec | None:
    """The codec of a name, or of NAME:MODEL where the codec takes a model of ours; None if there is none."""
    if name in BY_NAME:
        return BY_NAME[name]
    kind, _, model = name.partition(":")
    codec = BY_NAME.get(kind)
    if codec is None or codec.with_model is None or not model:
        return None
    return replace(codec, name=name, points=codec.with_model(model))
