"""What the suite compares, by name. Sizes are whole files."""

from __future__ import annotations

import importlib
import operator
import re
from dataclasses import replace

from ..runtime.errors import InputError
from . import classical, films, ours, ours_clips
from .point import Codec, Point

__all__ = ["BY_NAME", "CODECS", "Codec", "Point", "everywhere", "find", "register_codec"]

CODECS: tuple[Codec, ...] = (*classical.CODECS, *ours.CODECS, *films.CODECS, *ours_clips.CODECS)
BY_NAME = {codec.name: codec for codec in CODECS}
_BUNDLED = frozenset(BY_NAME)
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")  # package.module:name


def register_codec(codec: Codec) -> None:
    """Let the suite of this process measure a codec (`codec_of`, or a `Codec` of points of its own) by its name.

    One that was registered by that name before is replaced. Raises InputError for the name of a codec of the suite.
    """
    if codec.name in _BUNDLED:
        raise InputError(f"the suite has a codec {codec.name}: choose another name")
    BY_NAME[codec.name] = codec


def everywhere(name: str) -> bool:
    """Whether another process finds the codec of this name as well: it was not registered in this one alone."""
    return name in _BUNDLED or name not in BY_NAME


def find(name: str) -> Codec | None:
    """The codec of a name, of KIND[@EFFORT][:MODEL] where it takes a model of ours, or of package.module:name.

    There stands a `Codec`, or what makes one when called. None if there is none. What is no model or no effort is told
    when it is measured. Raises InputError where a module makes no codec.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    kind, colon, model = name.partition(":")
    kind, at, effort = kind.partition("@")
    codec = BY_NAME.get(kind)
    if codec is None:
        return _made(name) if _FACTORY.fullmatch(name) else None
    if codec.varied is None or (colon and not model) or (at and not (codec.efforts and effort.isdecimal())):
        return None
    points = codec.varied(model or None, int(effort) if at else None)
    return replace(codec, name=name, points=points, shares=codec.shares and codec.shares + name.removeprefix(kind))


def _made(name: str) -> Codec:
    """Of package.module:name. Raises InputError."""
    module, _, what = name.partition(":")
    try:
        found = operator.attrgetter(what)(importlib.import_module(module))
        codec = found() if callable(found) else found
    except Exception as error:  # whatever goes wrong in another's program, there is no codec
        line = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"'{name}' makes no codec: {line}") from error
    if not isinstance(codec, Codec):
        raise InputError(f"'{name}' makes no codec: expected a diffcodec.bench.Codec, found {type(codec).__name__}")
    return codec
