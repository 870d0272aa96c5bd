"""The codec that numcodecs, and with it Zarr of format 2, finds by the name `diffcodec`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ndarray_copy
from numcodecs.registry import register_codec

from .chunks import NAME, Chunks


class Dfc(Codec):  # type: ignore[misc] # which has no types
    """Pictures as chunks, uint8 or uint16, H×W, H×W×3 or T×H×W: each a `.dfc` stream. Options as of `Chunks`."""

    codec_id = NAME

    def __init__(self, **config: Any):
        self.chunks = Chunks.of(config)

    def encode(self, buf: Any) -> bytes:
        """A stream of an array of such a shape. Raises InputError for another, ModelNotFound, ModelMismatch."""
        return self.chunks.encode(np.asarray(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The samples of a stream, into ``out`` where it is given. Raises as `diffcodec.decode`."""
        return ndarray_copy(np.ascontiguousarray(self.chunks.decode(ensure_bytes(buf))), out)

    def get_config(self) -> dict[str, Any]:
        """What an array's metadata say of it."""
        return {"id": self.codec_id, **self.chunks.config()}

    def __repr__(self) -> str:
        return f"Dfc({', '.join(f'{name}={value!r}' for name, value in self.chunks.config().items())})"


register_codec(Dfc)  # also where the package lies on the path and is not installed
