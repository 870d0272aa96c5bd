"""The rate–distortion suite behind `diffcodec bench`: codecs on a folder, real bytes, metrics, a report.

A codec of one's own is made by `codec_of`, and known by its name once it is given to `register_codec`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime.lazy import elsewhere

if TYPE_CHECKING:
    from .codecs import register_codec
    from .coders import codec_of
    from .point import Codec, Point

__all__ = ["Codec", "Point", "codec_of", "register_codec"]

if not TYPE_CHECKING:
    _HOMES = {".codecs": ["register_codec"], ".coders": ["codec_of"], ".point": ["Codec", "Point"]}
    __getattr__ = elsewhere(__name__, _HOMES)
