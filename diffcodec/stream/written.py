"""A signal written as a stream, in one of the forms that it can be coded in: the chunks that it stands in."""

from __future__ import annotations

from ..bitstream import Chunk, Header, small, write
from ..bitstream.container import framed
from ..bitstream.header import FINGERPRINT_BYTES
from ..codecs.codec import Codec, Encoded
from ..codecs.cost import EXTRA_PLANES
from ..codecs.table import NUMBERS
from ..media.medium import Coded, Signal
from ..media.metadata import Metadata
from ..media.table import medium_of
from ..models import registry
from ..runtime.ancillary import PLAIN
from ..runtime.errors import CorruptStream, InputError
from ..runtime.limits import DEFAULT_LIMITS

_IN_FRONT = 100  # bytes of metadata that may stand before the first pass


def stream_of(
    signal: Signal,
    form: Coded,
    codec: Codec,
    encoded: Encoded,
    *,
    seed: int = 0,
    digest: bytes = b"",
    follows: bool = False,
    given: bytes = b"",
) -> bytes:
    """The stream of a signal in one of its forms, as ``codec`` encoded it.

    digest: of the signal, none for a lossy one. given: payload of 'G', if the model was given anything.
    follows: whether more is to stand behind the first one's own passes and metadata (`bitstream.extending`).
    Raises InputError for a model that cannot be recorded.
    """
    header = _header(signal, form, codec, encoded, seed)
    followed = medium_of(signal.number).followed if follows else None
    since = max(_since(form), codec.about(encoded.params).since, followed or (1, 0))
    if not given and _fits_small(signal, form, encoded, header, follows):
        ancillary = signal.metadata.chunks()
        if len(encoded.passes[0]) + sum(len(data) for _, data in ancillary) <= small.WORTH:
            return write([Chunk("S", small.pack(header, encoded.passes[0], digest, ancillary))], since)
    chunks = [Chunk("H", header.to_bytes())]
    if form.palette is not None:
        chunks.append(Chunk("C", form.palette.tobytes()))
    if encoded.adjustment is not None:
        chunks.append(Chunk("A", encoded.adjustment))
    if given:
        chunks.append(Chunk("G", given))
    before, behind = metadata_chunks(signal.metadata)
    chunks += before + [Chunk("P", payload) for payload in encoded.passes]
    if behind:
        chunks += [Chunk("M", b""), *behind]
    return write([*chunks, Chunk("E", digest)], since)


def _header(signal: Signal, form: Coded, codec: Codec, encoded: Encoded, seed: int) -> Header:
    about = codec.about(encoded.params)
    model = encoded.model if about.needs_model else None  # a stream made without the network asks for no weights
    numerics = model.numerics if model is not None and encoded.numerics is None else encoded.numerics
    height, width = signal.geometry
    params, most = form.layout + encoded.params, DEFAULT_LIMITS.max_params
    if len(params) > most:
        raise InputError(f"names and parameters of {len(params)} bytes, where {most} have room: shorten the names")
    header = Header(
        codec=NUMBERS.index(codec.name),
        numerics=numerics or 0,
        width=width,
        height=height,
        mode=signal.number,
        statistics=int(about.statistics),
        seed=seed,
        model="" if model is None else model.name,
        fingerprint=bytes(FINGERPRINT_BYTES) if model is None else model.fingerprint[:FINGERPRINT_BYTES],
        params=params,
    )
    try:
        Header.from_bytes(header.to_bytes())
    except (ValueError, CorruptStream) as error:  # only a name or parameters of someone's own provider
        raise InputError(f"the model {header.model!r} cannot be recorded in a stream: {error}") from None
    return header


def _fits_small(signal: Signal, form: Coded, encoded: Encoded, header: Header, follows: bool) -> bool:
    """Whether the short form of a stream holds all that there is."""
    plain = not (header.codec or header.statistics or follows or _as_in_1_0(signal.metadata))
    alone = form.palette is None and encoded.adjustment is None and len(encoded.passes) == 1
    alone = alone and (form.since == (1, 0) or not form.photo.shape[2])  # frames of clips come in more passes than one
    return plain and alone and (not header.model or registry.name_of(header.fingerprint) == header.model)


def _since(form: Coded) -> tuple[int, int]:
    """The first version whose readers know the layout and so many extra planes: more than one pass since 1.4."""
    return max(form.since, (1, 4) if form.extra.shape[2] > EXTRA_PLANES else (1, 0))


def _as_in_1_0(metadata: Metadata) -> bool:
    """Whether all that there is are a profile and Exif data that readers of every version know."""
    plain = len(metadata.icc or b"") + len(metadata.exif or b"")
    return 0 < plain <= _IN_FRONT and not set(metadata.kinds) - {"icc", "exif"}


def metadata_chunks(metadata: Metadata) -> tuple[list[Chunk], list[Chunk]]:
    """(chunks in front of the passes, chunks behind them): in front stands what does not delay the first preview.

    Profile and Exif data of at most 100 bytes together stand there as readers of every version know them.
    """
    before: list[Chunk] = []
    behind: list[Chunk] = []
    chunks = [Chunk(letter, payload) for letter, payload in metadata.chunks()]
    room = _IN_FRONT
    if len(metadata.icc or b"") + len(metadata.exif or b"") <= _IN_FRONT:
        parts = {letter: data for letter, data in metadata.parts() if letter in PLAIN}
        before = [Chunk(PLAIN[letter], data) for letter, data in parts.items()]
        chunks = [chunk for chunk in chunks if chunk.type not in parts]
        room -= sum(framed(len(chunk.payload)) for chunk in before)
    for chunk in chunks:
        size = framed(len(chunk.payload))
        (before if size <= room else behind).append(chunk)
        room -= size if size <= room else 0
    return before, behind
