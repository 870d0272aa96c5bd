"""What the suite compares, by name. Sizes are whole files."""

from __future__ import annotations

from dataclasses import replace

from . import classical, ours
from .point import Codec, Point

__all__ = ["BY_NAME", "CODECS", "Codec", "Point", "find"]

CODECS: tuple[Codec, ...] = (*classical.CODECS, *ours.CODECS)
BY_NAME = {codec.name: codec for codec in CODECS}


def find(name: str) -> Codec | None:
    """The codec of a name, or of KIND[@EFFORT][:MODEL] where it takes a model of ours; None if there is none.

    What is no model or no effort is told when it is measured.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    kind, colon, model = name.partition(":")
    kind, at, effort = kind.partition("@")
    codec = BY_NAME.get(kind)
    if codec is None or codec.varied is None or (colon and not model):
        return None
    if at and not (codec.efforts and effort.isdecimal()):
        return None
    return replace(codec, name=name, points=codec.varied(model or None, int(effort) if at else None))
