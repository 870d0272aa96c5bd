"""Metadata <-> the `info` of Pillow images, by Pillow's own names."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from .metadata import Density, Metadata, Text, Unit

_JFIF_UNITS: dict[Any, Unit] = {0: "none", 1: "inch", 2: "centimetre"}
_LIMIT = 10**5  # of denominators: Pillow has densities as floats


def of_pillow(image: Any) -> Metadata:
    """What a Pillow image holds beside its pixels: profile, Exif data, XMP, comment, density, and a PNG's texts."""
    info = image.info
    own = getattr(image, "metadata", None)
    if isinstance(own, Metadata) and all(info.get(key) == value for key, value in info_of(own).items()):
        return own  # of a .dfc: more than Pillow has names for
    comment = _bytes(info, "comment")
    return Metadata(
        icc=_bytes(info, "icc_profile"),
        exif=_bytes(info, "exif", b"Exif\0\0"),
        xmp=_bytes(info, "xmp"),
        comments=(comment,) if comment else (),
        density=_density(image.format, info),
        text=_texts(image),
    )


def _bytes(info: dict[Any, Any], key: str, prefix: bytes = b"") -> bytes | None:
    """What stands there behind a prefix; a text in UTF-8; None for nothing, or anything else."""
    value = info.get(key)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    return (value.removeprefix(prefix) or None) if isinstance(value, bytes) else None


def _density(format: str | None, info: dict[Any, Any]) -> Density | None:
    if format in ("JPEG", "MPO"):  # whose "dpi" may be a guess
        pair, unit = info.get("jfif_density"), _JFIF_UNITS.get(info.get("jfif_unit"))
    else:
        pair, unit = info.get("dpi"), "inch"
    try:
        x, y = (Fraction(side).limit_denominator(_LIMIT) for side in pair or ())
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    said = unit is not None and 0 < x < 2**20 and 0 < y < 2**20 and (unit != "none" or x != y)
    return Density(x, y, unit) if said and unit else None


def _texts(image: Any) -> tuple[Text, ...]:
    if image.format != "PNG":
        return ()
    texts = []
    for keyword, text in image.text.items():
        if keyword != "XML:com.adobe.xmp" and not keyword.startswith("Raw profile type"):
            language, translated = (getattr(text, name, None) for name in ("lang", "tkey"))
            more = (language or "", translated or "", True) if language is not None else ()
            texts.append(Text(keyword, str(text), *more))
    return tuple(texts)


def info_of(metadata: Metadata) -> dict[str, Any]:
    """The `info` of a Pillow image with these metadata."""
    info: dict[str, Any] = {text.keyword: text.text for text in metadata.text}
    if metadata.icc:
        info["icc_profile"] = metadata.icc
    if metadata.exif:
        info["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        info["xmp"] = metadata.xmp
    if metadata.comments:
        info["comment"] = metadata.comments[0]
    dpi = metadata.density.dpi() if metadata.density else None
    if dpi:
        info["dpi"] = (float(dpi[0]), float(dpi[1]))
    if metadata.frame and metadata.frame.duration is not None:
        info["duration"] = float(1000 * metadata.frame.duration)
    if metadata.frame and metadata.frame.loops is not None:
        info["loop"] = metadata.frame.loops
    return info
