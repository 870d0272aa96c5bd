"""Names of pictures in an archive, as files: which can be written here, which are the same to a file system."""

from __future__ import annotations

import os
import re
import unicodedata

MAX_FOLDERS = 128  #: that a name may lead through: deeper ones are beyond what tools can walk
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?")
_FORBIDDEN = frozenset('<>:"|?*')


def shown(name: str) -> str:
    """A name in a message: one line of ASCII, whatever it holds."""
    return ascii(name)[1:-1] if name else "no name"


def refusal(name: str, windows: bool | None = None) -> str:
    """Why a picture of this name, a relative path with '/', cannot be a file here; empty if it can.

    windows: by the rules of Windows as well, None: where this is Windows. Lengths are left to the file system.
    """
    parts = name.split("/")
    if len(parts) > MAX_FOLDERS + 1:
        return f"it leads through {len(parts) - 1} folders, over {MAX_FOLDERS}"
    if not (os.name == "nt" if windows is None else windows):
        return ""
    for part in parts:
        if found := sorted(_FORBIDDEN.intersection(part)):
            return f"Windows allows no {found[0]!r} in a name"
        if part.endswith((" ", ".")):
            return "Windows allows no name that ends in a space or a dot"
        if _DEVICES.fullmatch(part):
            return f"{part.split('.')[0].rstrip()} is a device's name on Windows"
    return ""


def folded(name: str) -> str:
    """What names have in common that are one file where case and composition of letters do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
