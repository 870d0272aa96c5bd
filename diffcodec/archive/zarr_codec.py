"""The codec that Zarr of format 3 finds by the name `diffcodec`: from the array of a chunk to bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.registry import register_codec

from ..runtime.errors import CorruptStream, InputError
from .chunks import NAME, Chunks, frames_of

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer


@dataclass(frozen=True)
class Dfc(ArrayBytesCodec):  # type: ignore[misc] # which is not known where Zarr is not installed
    """Pictures as chunks, uint8 or uint16, H×W, H×W×3 or T×H×W: each a `.dfc` stream. Options as of `Chunks`."""

    chunks: Chunks = field(default_factory=Chunks)
    is_fixed_size = False

    def __init__(self, **config: Any):
        object.__setattr__(self, "chunks", Chunks.of(config))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Dfc:
        """Mirror of :meth:`to_dict`. Raises InputError."""
        if data.get("name") != NAME:
            raise InputError(f"expected the codec {NAME}, found {data.get('name')!r}")
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """What an array's metadata say of it."""
        return {"name": NAME, "configuration": self.chunks.config()}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raises InputError for an array whose chunks are no pictures that are coded."""
        frames_of(tuple(getattr(chunk_grid, "chunk_shape", shape)), dtype.to_native_dtype().name)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raises NotImplementedError: it depends on the samples."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        data = await asyncio.to_thread(self.chunks.encode, np.asarray(chunk_data.as_numpy_array()))
        coded: Buffer = chunk_spec.prototype.buffer.from_bytes(data)
        return coded

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        found = await asyncio.to_thread(self.chunks.decode, chunk_data.to_bytes())
        dtype = chunk_spec.dtype.to_native_dtype()
        if found.dtype.name != dtype.name or found.size != np.prod(chunk_spec.shape, dtype=int):
            raise CorruptStream(
                f"the chunk holds {'×'.join(map(str, found.shape))} of {found.dtype}, the array's have "
                f"{'×'.join(map(str, chunk_spec.shape))} of {dtype.name}: it belongs to another"
            )
        array = found.astype(dtype).reshape(chunk_spec.shape)
        decoded: NDBuffer = chunk_spec.prototype.nd_buffer.from_numpy_array(array)
        return decoded


register_codec(NAME, Dfc)  # also where the package lies on the path and is not installed
