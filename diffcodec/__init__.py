"""diffcodec: images to bits and back with autoregressive and diffusion models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api import (
    Base,
    Colour,
    Column,
    Concealed,
    File,
    Outside,
    Preview,
    Prompt,
    PushDecoder,
    base_of,
    decode,
    decode_async,
    decode_concealed,
    decode_frames,
    decode_progressive,
    decode_sequence,
    decode_signal,
    encode,
    given_files,
    inpaint,
    inspect,
    list_models,
    register_model,
    restore,
)
from .archive.dataset import ArchiveDataset
from .archive.many import FileResult, decode_files, encode_files
from .archive.memory import decode_archive, encode_archive, inspect_archive
from .archive.opening import open_picture
from .runtime.errors import (
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
    Unforeseen,
    UnsupportedVersion,
)
from .runtime.version import __version__

if TYPE_CHECKING:
    from .api import Clip, Picture, Tokens, Tracks

__all__ = [
    "ArchiveDataset",
    "Base",
    "BitstreamError",
    "ChecksumMismatch",
    "Clip",
    "Colour",
    "Column",
    "Concealed",
    "CorruptStream",
    "DecodeMismatch",
    "DiffcodecError",
    "File",
    "FileResult",
    "InputError",
    "LimitExceeded",
    "ModelError",
    "ModelMismatch",
    "ModelNotFound",
    "NotADiffcodecFile",
    "Outside",
    "Picture",
    "Preview",
    "Prompt",
    "PushDecoder",
    "Tokens",
    "Tracks",
    "Truncated",
    "Unforeseen",
    "UnsupportedVersion",
    "__version__",
    "base_of",
    "decode",
    "decode_archive",
    "decode_async",
    "decode_concealed",
    "decode_files",
    "decode_frames",
    "decode_progressive",
    "decode_sequence",
    "decode_signal",
    "encode",
    "encode_archive",
    "encode_files",
    "given_files",
    "inpaint",
    "inspect",
    "inspect_archive",
    "list_models",
    "open_picture",
    "register_model",
    "restore",
]


def __getattr__(name: str) -> object:
    """Signals, which bring NumPy along, when they are asked for. Raises AttributeError for other names."""
    from . import api

    if name in api.SIGNALS:
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
