"""Bytes at rest: signature, chunks, checksums, limits. Knows no model. Normative text: bitstream_spec/SPEC.md."""

from .container import Chunk, Container, StreamReader, read, write
from .header import Header

__all__ = ["Chunk", "Container", "Header", "StreamReader", "read", "write"]
