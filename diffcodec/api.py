"""encode, decode, decode_progressive, inspect: pictures to bytes and back.

Nothing heavy is imported before it is needed: `inspect` runs without NumPy, torch and weights.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .bitstream import DEFAULT_LIMITS, Chunk, Container, Header, Limits, StreamReader, read
from .bitstream.container import assemble, framed
from .bitstream.header import CODECS, NUMERICS
from .errors import CorruptStream, DecodeMismatch, InputError, ModelNotFound, Truncated
from .forms import forms_of, picture_of, split, stream_of, value_tables
from .modes import mode_of
from .sources import Source, pieces, read_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .image import Coded, Picture

    Samples = NDArray[np.generic]

Progress = Callable[[float], None]

PINNED = NUMERICS.index("pinned")


def encode(
    image: Any,
    codec: str = "ardm",
    model: Any = None,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    max_bytes: int | None = None,
    prompt: str | None = None,
    calls: int | None = None,
    device: str = "auto",
    seed: int = 0,
    tune: bool = False,
    progress: Progress | None = None,
) -> bytes:
    """Code a picture, or a row of tokens, as a `.dfc` stream.

    image:     a Pillow image of any mode (first frame), a NumPy array H×W or H×W×1..4 (uint8, uint16, bool, int32,
               float32), a torch tensor (uint8 or uint16, or floats that are exactly k/255 or k/65535; C×H×W or
               H×W×C), or a `diffcodec.image.Picture`; or a uint8 array (n,) of tokens below the vocabulary of a
               model of such.
    codec:     "ardm", lossless, or "diffc", lossy. model: a bundled name, a path or a provider; None is the default.
    bpp, psnr, max_bytes: at most one of them for diffc, which without any goes on to the exact picture: bits per
               pixel of the whole stream, PSNR in dB of the "mean" reconstruction, or the most bytes the stream may
               take. With a lossless codec only max_bytes, which refuses (InputError) rather than return more.
    calls:     network calls of an order-agnostic model (ARDM): more are slower and smaller; 50 if None.
    seed:      recorded in the header; names the noise of diffc and the order of an order-agnostic model.
    tune:      fit the last layer of a lattice ARDM (photo-ardm, cifar10-ardm) to the picture and send what changed
               where that is smaller: by one to six per cent for photographs of 0.1 megapixels and more. Encoding takes
               three to five times as long, decoding no longer. Below 128×128 pixels it is not tried.
    prompt:    for models guided by text.
    progress:  called with the fraction done, 0 to 1.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    from .image import Picture

    module = _codec(codec)
    lossy = [name for name, value in (("bpp", bpp), ("psnr", psnr), ("prompt", prompt)) if value is not None]
    if lossy and codec != "diffc":
        raise InputError(f"codec {codec} is lossless and takes no {' or '.join(lossy)}: leave it out, or use diffc")
    if not 0 <= seed < 2**64:
        raise InputError(f"expected a seed from 0 to 2^64 - 1, found {seed}")
    picture = Picture.from_any(image)
    if picture.width * picture.height > DEFAULT_LIMITS.max_pixels:
        raise InputError(
            f"the picture is {picture.width}×{picture.height}, over the limit of {DEFAULT_LIMITS.max_pixels} pixels: "
            "cut it into parts"
        )
    if codec == "diffc":
        if calls is not None:
            raise InputError("codec diffc places its own network calls: leave calls out")
        if tune:
            raise InputError("codec diffc cannot be tuned: leave tune out")
        if prompt is not None:
            raise InputError("the bundled models take no prompt: leave it out")
        return _encode_lossy(picture, model, bpp, psnr, max_bytes, device, seed, progress)
    forms = forms_of(picture)
    wanted = model is not None or any(form.photo.shape[2] for form in forms)
    provider = _registry().load(model, device=device) if wanted else None
    if tune and provider is not None and not hasattr(provider, "adjusted"):
        raise InputError(f"model '{provider.name}' cannot be tuned: leave tune out")
    digest, streams = picture.digest(), []
    for number, form in enumerate(forms):
        part = _part(progress, number / len(forms), 1 / len(forms))
        params, passes = module.encode(
            form.photo, form.extra, provider, seed=seed, calls=calls, progress=_part(part, 0, 0.2 if tune else 1)
        )
        streams.append(stream_of(picture, form, codec, module, provider, seed, params, passes, digest))
        if tune and form.photo.shape[2]:
            streams += _encode_tuned(picture, form, module, provider, seed, part)
    data = min(streams, key=len)
    if max_bytes is not None and len(data) > max_bytes:
        raise InputError(f"the lossless stream takes {len(data)} bytes, more than max_bytes = {max_bytes}: allow more")
    return data


def decode(
    data: Source,
    *,
    upto_bytes: int | None = None,
    reconstruction: str = "flow",
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> Samples:
    """The picture as an array H×W×C or H×W of the samples that were encoded (mode "1" as uint8 0 and 255); tokens (n,).

    data:       the stream, a path to it or a binary file.
    upto_bytes: use only this many bytes from the front: a preview, at full size, unless the stream ends within them.
    model:      needed only for a model that the stream names but that is not bundled.
    max_pixels: refuse larger pictures; 2^28 if None.
    reconstruction: of a lossy stream: "mean" has the least squared error, "flow" (DiffC-F) and "ancestral" (DiffC-A)
                look like the picture's kind, at some cost in PSNR. Without effect on a lossless one.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream,
    ModelNotFound, ModelMismatch; DecodeMismatch if the pixels are not the ones that were encoded.
    """
    return decode_picture(
        data,
        upto_bytes=upto_bytes,
        reconstruction=reconstruction,
        device=device,
        model=model,
        max_pixels=max_pixels,
        progress=progress,
    ).array


def decode_picture(
    data: Source,
    *,
    upto_bytes: int | None = None,
    reconstruction: str = "flow",
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    progress: Progress | None = None,
) -> Picture:
    """As `decode`, with the mode, ICC profile and Exif data."""
    if reconstruction not in ("flow", "ancestral", "mean"):
        raise InputError(f"expected reconstruction flow, ancestral or mean, found {reconstruction}")
    if upto_bytes is not None and upto_bytes < 1:
        raise InputError(f"expected upto_bytes of at least 1, found {upto_bytes}")
    stream = read_all(data)[:upto_bytes]
    container = read(stream, limits=_limits(max_pixels), partial=upto_bytes is not None)
    provider = _provider(container, model, device)
    return _verified(_decode(container, provider, reconstruction, progress), container)


@dataclass(frozen=True)
class Preview:
    """A picture from the front of a stream. image: array as from `decode`; bpp: bits read so far per pixel."""

    image: Samples
    bytes_read: int
    bpp: float
    complete: bool


def decode_progressive(
    source: Source | Iterable[bytes],
    *,
    reconstruction: str = "flow",
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
) -> Iterator[Preview]:
    """A `Preview` for every pass, as soon as its bytes are there; the last is the picture itself, checked.

    source: bytes, a path, a binary file or an iterable of byte strings of any length. Raises as `decode`; Truncated
    only after the previews that the bytes allow.
    """
    limits = _limits(max_pixels)
    reader = StreamReader(limits)
    chunks: list[Chunk] = []
    provider: Any = None
    receiver: Any = None
    picture: Picture | None = None
    seen = 0
    for data in pieces(source):
        for chunk in reader.feed(data):
            chunks.append(chunk)
            container = assemble(chunks, reader.version or (0, 0), limits)
            if chunk.type in "PS":
                if len(container.passes) == 1:
                    provider = _provider(container, model, device)
                    receiver = _receiver(container, provider)
                receiver.take(container.passes[-1])
                try:
                    picture = picture_of(container, *receiver.show(reconstruction))
                except Truncated:  # no plane of the photograph yet
                    continue
            elif not container.complete:
                continue
            elif picture is None:
                raise CorruptStream("the stream ends without a picture; the file is damaged")
            picture, seen = _verified(picture, container), chunk.end
            bpp = 8 * seen / (picture.width * picture.height)
            yield Preview(picture.array, seen, bpp, container.complete)
    if not chunks or chunks[-1].type not in "ES":
        raise Truncated(f"the stream ends before its end chunk; the last preview used {seen} bytes: fetch the rest")


def inspect(data: Source, *, partial: bool = False, max_pixels: int | None = None) -> dict[str, Any]:
    """What a stream says about itself, checksums verified; needs no weights and decodes nothing.

    partial: accept a stream that was cut, and tell what it holds (its header must be whole).

    Keys: complete, format, codec, lossless, numerics, model, fingerprint, width, height, mode, dtype, channels,
    palette_colours, seed, bytes, bpp, bpd (bits per sample), adjustment_bytes (tuned), value_tables (statistics of
    values in use: levels, differences, colours), icc_bytes, exif_bytes, digest, and passes, a list of {bytes, bpp,
    end}: end is the number of bytes from the front that decode with this pass.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream.
    """
    stream = read_all(data)
    container = read(stream, limits=_limits(max_pixels), partial=partial)
    header = container.header
    mode = mode_of(header.mode)
    pixels = header.width * header.height
    passes = [
        {"bytes": len(payload), "bpp": 8 * len(payload) / pixels, "end": end}
        for payload, end in zip(container.passes, container.ends, strict=True)
    ]
    return {
        "complete": container.complete,
        "format": ".".join(map(str, container.version)),
        "codec": CODECS[header.codec],
        "lossless": CODECS[header.codec] != "diffc" or header.numerics == PINNED,
        "numerics": NUMERICS[header.numerics],
        "model": _model_of(header),
        "fingerprint": header.fingerprint.hex() if any(header.fingerprint) else None,
        "width": header.width,
        "height": header.height,
        "mode": mode.name,
        "dtype": {"u1": "uint8", "u2": "uint16", "i4": "int32", "f4": "float32", "bit": "uint8"}[mode.sample],
        "channels": mode.components,
        "palette_colours": len(container.palette) // mode.planes if container.palette is not None else None,
        "seed": header.seed,
        "bytes": len(stream),
        "bpp": 8 * len(stream) / pixels,
        "bpd": 8 * len(stream) / (pixels * mode.components),
        "adjustment_bytes": len(container.adjustment or b""),
        "value_tables": value_tables(container, mode),
        "icc_bytes": len(container.ancillary.get("i", b"")),
        "exif_bytes": len(container.ancillary.get("x", b"")),
        "digest": container.digest.hex() if container.digest else None,
        "passes": passes,
    }


# ---- codecs


def _encode_lossy(
    picture: Picture,
    model: Any,
    bpp: float | None,
    psnr: float | None,
    max_bytes: int | None,
    device: str,
    seed: int,
    progress: Progress | None,
) -> bytes:
    from .image import Coded, lossy_planes, planes

    rates = {"bpp": bpp, "psnr": psnr, "max_bytes": max_bytes}
    given = [(name, value) for name, value in rates.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"expected one of bpp, psnr and max_bytes, found {' and '.join(name for name, _ in given)}")
    for name, value in given:
        if not 0 < value < float("inf"):
            raise InputError(f"expected {name} above 0, found {value}")
    module = _codec("diffc")
    provider = _registry().load(model, device=device, codec="diffc")
    if not given:
        photo, extra, layout = planes(picture)
        if not photo.shape[2]:
            raise InputError(f"diffc codes no {picture.mode} pictures without loss: use codec ardm")
        params, passes = module.encode(photo, extra, provider, module.Target(), seed, framed, progress=progress)
        form = Coded(photo, extra, layout, None)
        return stream_of(picture, form, "diffc", module, provider, seed, params, passes, picture.digest(), PINNED)
    picture, photo, extra, layout = lossy_planes(picture)
    form = Coded(photo, extra, layout, None)
    pixels = picture.width * picture.height
    size = max_bytes if bpp is None else round(bpp * pixels / 8)
    frame = len(stream_of(picture, form, "diffc", module, provider, seed, bytes(module.PARAMS_BYTES), [], b""))
    least = frame + module.FEWEST_BYTES + 1
    if size is not None and size < least:
        raise InputError(
            f"{size} bytes were asked for, and the header of this picture's stream takes {frame}: "
            f"allow at least {least} bytes ({8 * least / pixels:.4f} bpp)"
        )
    target = module.Target(None if size is None else size - frame, psnr)
    params, passes = module.encode(photo, extra, provider, target, seed, framed, progress=progress)
    data = stream_of(picture, form, "diffc", module, provider, seed, params, passes, b"")
    if bpp is not None and size is not None and len(data) < min(0.98 * size, size - 8):
        raise InputError(
            f"the model tells all it can of this picture in {len(data)} bytes ({8 * len(data) / pixels:.3f} bpp), "
            f"{bpp:g} bpp were asked for: ask for less, or code without loss (codec ardm)"
        )
    return data


def _encode_tuned(
    picture: Picture, form: Coded, module: Any, provider: Any, seed: int, progress: Progress | None
) -> list[bytes]:
    """The stream whose network is fitted to the picture, if there is one; takes the last 0.8 of ``progress``."""
    fitted = _adjustment().fit(form.photo, provider, _part(progress, 0.2, 0.6))
    if fitted is None:
        return []
    adjusted, adjustment = fitted
    again = _part(progress, 0.8, 0.2)
    params, passes = module.encode(form.photo, form.extra, adjusted, progress=again, method=module.LATTICE)
    digest = picture.digest()
    return [stream_of(picture, form, "ardm", module, adjusted, seed, params, passes, digest, None, adjustment)]


def _decode(container: Container, provider: Any, reconstruction: str, progress: Progress | None) -> Picture:
    header = container.header
    elsewhere = False
    if header.numerics == PINNED and container.complete:
        made, here = _environments(container)
        if elsewhere := made != here:
            told = f"this stream was made with {made}, here is {here}: it may not decode to its end"
            warnings.warn(told, stacklevel=4)
    try:
        receiver = _receiver(container, provider)
        receiver.take_all(container.passes, progress)
        return picture_of(container, *receiver.show(reconstruction))
    except CorruptStream:
        if elsewhere:  # its checksums are right: other sums of floats led the entropy decoder astray
            raise _mismatch(container) from None
        raise


def _receiver(container: Container, provider: Any) -> Any:
    """What takes the passes of a stream one by one."""
    header, mode = container.header, mode_of(container.header.mode)
    _, layout, params = split(container, mode)
    if layout is None and CODECS[header.codec] == "diffc":
        raise CorruptStream("a lossy stream has no palette; the file is damaged")
    n_photo, n_extra = layout.counts(mode) if layout else (0, 1)
    module = _codec(CODECS[header.codec])
    if header.colour_transform != module.refined(params):
        raise CorruptStream("header and codec parameters disagree on statistics of values; the file is damaged")
    return module.Receiver(params, header.height, header.width, n_photo, n_extra, provider, header.seed)


def _environments(container: Container) -> tuple[str, str]:
    """Where a pinned stream was made, and the same of here."""
    _, _, params = split(container, mode_of(container.header.mode))
    made = _codec(CODECS[container.header.codec]).made_in(params)
    return made, _codec("diffc").remainder.environment(made.split(", ")[1] if ", " in made else "cpu")


def _verified(picture: Picture, container: Container) -> Picture:
    if container.digest and not picture.digest().startswith(container.digest):
        if container.header.numerics == PINNED:
            raise _mismatch(container)
        raise DecodeMismatch(
            "the decoded pixels differ from the digest in the stream: nothing was returned; "
            "the file is damaged or was made by an incompatible build, encode the picture again"
        )
    return picture


def _mismatch(container: Container) -> DecodeMismatch:
    """Of a pinned stream."""
    made, here = _environments(container)
    return DecodeMismatch(
        "the decoded pixels differ from the digest in the stream: nothing was returned; "
        f"it was made with {made}, here is {here}: decode it there, "
        f"or take a preview with upto_bytes = {container.ends[-2:][0]}"
    )


# ---- lookups, and bytes from wherever they are


def _codec(name: str) -> Any:
    """The codec module of this name. Tests replace this one lookup."""
    if name == "vdm":
        raise InputError("codec vdm codes many pictures as one archive: use encode_archive, or diffcodec pack")
    if name not in CODECS:
        raise InputError(f"expected codec ardm or diffc, found {name!r}")
    return importlib.import_module(f"{__package__}.codecs.{name}")


def _adjustment() -> Any:
    return importlib.import_module(f"{__package__}.codecs.adjustment")


def _registry() -> Any:
    return importlib.import_module(f"{__package__}.models.registry")


def _provider(container: Container, model: Any, device: str) -> Any:
    header = container.header
    _, _, params = split(container, mode_of(header.mode))
    if not _codec(CODECS[header.codec]).needs_model(params):
        if container.adjustment is not None:
            raise CorruptStream("an adjustment of a network that the stream does not use; the file is damaged")
        return None
    named = model or _model_of(header)
    if named is None:
        raise ModelNotFound(
            f"the stream was made with a model of fingerprint {header.fingerprint.hex()}, which is not bundled here: "
            "name its weights, or install the version it was made with"
        )
    provider = _registry().load(named, device=device, fingerprint=header.fingerprint, codec=CODECS[header.codec])
    return provider if container.adjustment is None else _adjustment().apply(provider, container.adjustment)


def _model_of(header: Header) -> str | None:
    """The name in the header; of a small stream the bundled model's that it was made with, None if there is none."""
    return header.model or (_registry().name_of(header.fingerprint) if any(header.fingerprint) else None)


def _limits(max_pixels: int | None) -> Limits:
    return Limits() if max_pixels is None else Limits(max_pixels=max_pixels)


def _part(progress: Progress | None, start: float, share: float) -> Progress | None:
    return None if progress is None else lambda fraction: progress(start + share * fraction)
