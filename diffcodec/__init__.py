"""diffcodec: images to bits and back with autoregressive and diffusion models."""

from __future__ import annotations

from .api import Preview, decode, decode_progressive, encode, inspect
from .archive import decode_archive, encode_archive, inspect_archive
from .errors import (
    BitstreamError,
    ChecksumMismatch,
    CorruptStream,
    DecodeMismatch,
    DiffcodecError,
    InputError,
    LimitExceeded,
    ModelError,
    ModelMismatch,
    ModelNotFound,
    NotADiffcodecFile,
    Truncated,
    UnsupportedVersion,
)
from .inpainting import inpaint

__version__ = "0.1.0"

__all__ = [
    "BitstreamError",
    "ChecksumMismatch",
    "CorruptStream",
    "DecodeMismatch",
    "DiffcodecError",
    "InputError",
    "LimitExceeded",
    "ModelError",
    "ModelMismatch",
    "ModelNotFound",
    "NotADiffcodecFile",
    "Preview",
    "Truncated",
    "UnsupportedVersion",
    "__version__",
    "decode",
    "decode_archive",
    "decode_progressive",
    "encode",
    "encode_archive",
    "inpaint",
    "inspect",
    "inspect_archive",
]
