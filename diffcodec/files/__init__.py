"""Files of pictures and other signals: read without losing a bit, or refused; written likewise, or refused."""

from . import clips, grouped
from .pictures import FORMATS, READERS, SHOWN, check, format_of, read, read_frame, write
from .sequences import read_all, write_all
from .signals import read_signal, write_signal

__all__ = [
    "FORMATS",
    "READERS",
    "SHOWN",
    "check",
    "clips",
    "format_of",
    "grouped",
    "read",
    "read_all",
    "read_frame",
    "read_signal",
    "write",
    "write_all",
    "write_signal",
]
