"""The codecs of single streams. To add one: a folder with a row, a line here, a page of docs, a section of SPEC.md."""

from __future__ import annotations

from ..runtime.errors import InputError
from .ardm.row import ARDM
from .codec import Codec, Wish
from .diffc.row import DiffC

#: names by the number in a header; "vdm" codes groups of an archive, and `archive.group` alone asks that of it
NUMBERS = ("ardm", "vdm", "diffc")
CODECS: dict[str, Codec] = {codec.name: codec for codec in (ARDM(), DiffC())}


def chosen(name: str | None, wish: Wish) -> Codec:
    """The codec of this name; of None the lossless one, unless a rate is asked for. Raises InputError."""
    if name is None:
        name = "diffc" if wish.rates else "ardm"
    if name not in CODECS and name in NUMBERS:
        raise InputError(f"codec {name} codes many pictures as one archive: use encode_archive, or diffcodec pack")
    if name not in CODECS:
        raise InputError(f"expected codec {' or '.join(CODECS)}, found {name!r}")
    return CODECS[name]
