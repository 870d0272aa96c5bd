"""Pictures <-> containers: the forms that a picture can be coded in, and the chunks that they stand in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bitstream import Chunk, Container, Header, small, write
from .bitstream.header import CODECS, FINGERPRINT_BYTES
from .errors import CorruptStream, InputError, Truncated
from .models import registry
from .modes import Mode, mode_of, read_layout

if TYPE_CHECKING:
    from .image import Coded, Picture

_BOTH_FORMS = 2**20  # pixels up to which a picture of few colours is coded with and without a palette


def forms_of(picture: Picture) -> list[Coded]:
    """The ways of coding this picture that may turn out smallest."""
    from .image import Coded, palette, planes

    photo, extra, layout = planes(picture)
    direct = Coded(photo, extra, layout, None)
    indexed = palette(picture) if len(layout.coded) > 1 else None
    if indexed is None:
        return [direct]
    entries, index = indexed
    few = Coded(index[..., :0], index, None, entries)
    return [few, direct] if index.size <= _BOTH_FORMS else [few]


def stream_of(
    picture: Picture,
    form: Coded,
    codec: str,
    module: Any,
    provider: Any,
    seed: int,
    params: bytes,
    passes: list[bytes],
    digest: bytes,
    numerics: int | None = None,
    adjustment: bytes | None = None,
) -> bytes:
    """The stream of a picture in one of its forms; ``module`` is the codec that made parameters and passes of it."""
    named = module.needs_model(params)  # a stream made without the network asks for no weights
    header = Header(
        codec=CODECS.index(codec),
        numerics=(provider.numerics if numerics is None else numerics) if named else 0,
        width=picture.width,
        height=picture.height,
        mode=picture.info.number,
        colour_transform=int(module.refined(params)),
        seed=seed,
        model=provider.name if named else "",
        fingerprint=provider.fingerprint[:FINGERPRINT_BYTES] if named else bytes(FINGERPRINT_BYTES),
        params=(form.layout.write() if form.layout else b"") + params,
    )
    try:
        Header.from_bytes(payload := header.to_bytes())
    except (ValueError, CorruptStream) as error:  # only a name or parameters of someone's own provider
        raise InputError(f"the model {provider.name!r} cannot be recorded in a stream: {error}") from None
    beside = (form.palette, adjustment, picture.icc, picture.exif)
    plain = not header.colour_transform and all(part is None for part in beside)
    if (
        codec == "ardm"
        and plain
        and len(passes) == 1
        and len(passes[0]) <= small.WORTH
        and (not named or registry.name_of(header.fingerprint) == header.model)
    ):
        return write([Chunk("S", small.pack(header, passes[0], digest))])
    chunks = [Chunk("H", payload)]
    if form.palette is not None:
        chunks.append(Chunk("C", form.palette.tobytes()))
    if adjustment is not None:
        chunks.append(Chunk("A", adjustment))
    if picture.icc is not None:
        chunks.append(Chunk("i", picture.icc))
    if picture.exif is not None:
        chunks.append(Chunk("x", picture.exif))
    chunks += [Chunk("P", payload) for payload in passes]
    return write([*chunks, Chunk("E", digest)])


def split(container: Container, mode: Mode) -> tuple[Any, Any, bytes]:
    """(palette entries | None, layout | None, codec parameters) of a container; one of the first two is there."""
    params = container.header.params
    if container.palette is None:
        layout, params = read_layout(params, mode)
        return None, layout, params
    import numpy as np

    count, rest = divmod(len(container.palette), mode.planes)
    if rest or not 1 <= count <= 256:
        raise CorruptStream(f"palette of {len(container.palette)} bytes is not 1 to 256 entries of {mode.planes} bytes")
    return np.frombuffer(container.palette, np.uint8).reshape(count, mode.planes), None, params


def value_tables(container: Container, mode: Mode) -> list[str]:
    """Names of the tables that refine the network's distributions, without a look at the codec (SPEC.md §5)."""
    params = split(container, mode)[2] if container.header.colour_transform else b""
    return [name for k, name in enumerate(("levels", "differences", "colours")) if params[1:2] and params[1] >> k & 1]


def picture_of(container: Container, photo: Any, extra: Any) -> Picture:
    """Mirror of :func:`stream_of`, of the planes that its passes gave. Raises Truncated, CorruptStream."""
    from .image import unpalette, unplanes

    mode = mode_of(container.header.mode)
    icc, exif = container.ancillary.get("i"), container.ancillary.get("x")
    entries, layout, _ = split(container, mode)
    n_photo, _ = layout.counts(mode) if layout else (0, 1)
    if layout is None:
        if extra is None:
            raise Truncated("the stream ends before the palette indices: fetch more of it")
        picture = unpalette(entries, extra, mode, icc, exif)
    else:
        if not n_photo and extra is None:
            raise Truncated(f"the stream ends before the first plane of this {mode.name} picture: fetch more of it")
        picture = unplanes(photo, extra, layout, mode, icc, exif)
    return picture
