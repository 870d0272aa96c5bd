"""What a stream says about itself, without its weights and without decoding anything."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

from ..codecs import budget as budgets
from ..media.metadata import NAMES, Metadata
from ..runtime.limits import Limits
from .parsed import Stream, model_name, read
from .sources import Source, read_all

if TYPE_CHECKING:
    from .typed import Inspection


def told(source: Source, limits: Limits, partial: bool = False, model: Any = None) -> Inspection:
    """The fields of `diffcodec.inspect`, of a stream, or with ``partial`` of what there is of one.

    model: the caller's word for the stream's. Raises InputError for what is no source of bytes, and as `parsed.read`.
    """
    data = read_all(source)
    stream, size = read(data, limits=limits, partial=partial), len(data)
    container, head, form = stream.container, stream.head, stream.whole
    names = NAMES | {"i": "icc", "x": "exif", "t": "prompt"}
    metadata = {names[letter]: len(payload) for letter, payload in container.ancillary.items()}
    passes = [
        {"bytes": len(payload), "bpp": 8 * len(payload) / stream.form.units, "end": end}
        for payload, end in zip(container.passes, container.ends, strict=True)
    ]
    bounds = itertools.pairwise([0, *container.ends[-1:], *container.behind])
    groups = [
        {"frames": one.form.frames, "bytes": stop - start, "upto": stop}
        for one, (start, stop) in zip(stream.all, bounds, strict=False)
    ]
    found = {
        "complete": container.complete,
        "format": ".".join(map(str, container.version)),
        "codec": head.codec,
        "lossless": stream.lossless,
        "numerics": stream.numerics,
        "model": model_name(stream),
        "fingerprint": head.fingerprint.hex() if any(head.fingerprint) else None,
        "medium": stream.medium.name,
        "unit": stream.medium.unit,
        "width": head.width,
        "height": head.height,
        "frames": len(stream.all),
        "palette_colours": None,
        **form.about(),
        "seed": head.seed,
        "bytes": size,
        "bpp": 8 * size / form.units,
        "bpd": 8 * size / form.samples,
        "adjustment_bytes": len(container.adjustment or b""),
        "learned": stream.about.learns,
        "statistics": list(stream.about.tables),
        "icc_bytes": metadata.get("icc", 0),
        "exif_bytes": metadata.get("exif", 0),
        "metadata": metadata,
        "given": _given(stream),
        "digest": container.digest.hex() if container.digest else None,
        "decode_cost": budgets.decode_cost([prefix for one in stream.all for prefix in one.prefixes], size),
        "passes": passes,
    }
    if stream.medium.continued:
        found["groups"] = groups
    if model is not None and head.model:
        from ..models import calibration

        found["ceiling_psnr"] = calibration.ceiling(model, head.model, head.fingerprint)
    return cast("Inspection", found)  # a medium tells fields of its own


def _given(stream: Stream) -> list[dict[str, Any]]:
    if not stream.container.given:
        return []
    from .given import described

    return described(stream.container.given, stream.nested)


def metadata_of(source: Source, limits: Limits) -> Metadata:
    """What a stream, or the beginning of one, holds beside samples; nothing is decoded. Raises as :func:`told`."""
    return read(read_all(source), limits=limits, partial=True).metadata


def given_files(source: Source, limits: Limits) -> list[bytes]:
    """What a stream, or the beginning of one, was given that is a file of its own: nested streams, foreign files.

    Raises as :func:`told`.
    """
    stream = read(read_all(source), limits=limits, partial=True)
    return [data for part in stream.container.given if (data := part.file)]
