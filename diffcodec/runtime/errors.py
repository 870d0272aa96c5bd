"""The errors of diffcodec: one small tree. Every message is one line: expected, found, what to do."""

from __future__ import annotations


class DiffcodecError(Exception):
    """Base of every error a user can act on."""


class InputError(DiffcodecError):
    """What the caller gave cannot be used: not an image, or options that contradict each other."""


class BitstreamError(DiffcodecError):
    """The bytes are not a stream that can be decoded."""


class NotADiffcodecFile(BitstreamError):
    """The signature is missing or damaged."""


class UnsupportedVersion(BitstreamError):
    """A newer format version, or a critical chunk this version does not know."""


class Truncated(BitstreamError):
    """The stream ends before it is complete."""


class ChecksumMismatch(BitstreamError):
    """A chunk's CRC-32C differs from its content."""


class LimitExceeded(BitstreamError):
    """A size in the stream is above a limit; nothing was allocated."""


class CorruptStream(BitstreamError):
    """The content contradicts the format."""


class Unforeseen(CorruptStream):
    """The content led a decoder astray in a way that nobody foresaw; the cause is chained. Please report the file."""


class ModelError(DiffcodecError):
    """The model a stream needs, or a caller asked for, cannot be used."""


class ModelNotFound(ModelError):
    """No model of that name or path."""


class ModelMismatch(ModelError):
    """The model's fingerprint differs from the one the stream was made with."""


class DecodeMismatch(DiffcodecError):
    """The decoded pixels differ from the digest in the stream."""
