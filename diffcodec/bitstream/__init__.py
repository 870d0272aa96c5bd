"""Bytes at rest: signature, chunks, checksums, limits. Knows no model. Normative text: bitstream_spec/SPEC.md."""

from .container import Chunk, Container, StreamReader, read, write
from .header import Header
from .limits import DEFAULT_LIMITS, Limits

__all__ = ["DEFAULT_LIMITS", "Chunk", "Container", "Header", "Limits", "StreamReader", "read", "write"]
