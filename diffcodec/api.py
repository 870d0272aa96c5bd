"""encode, decode, inspect: signals to bytes and back.

Nothing is imported before it is needed: `inspect` runs without NumPy, torch and weights, `--help` without the codecs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .runtime.hostile import guarded
from .runtime.lazy import elsewhere
from .runtime.limits import Limits
from .runtime.progress import end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from .media.clip import Clip as Clip
    from .media.medium import Signal
    from .media.metadata import Metadata
    from .media.picture import Picture as Picture
    from .media.rows.clip import Colour as Colour
    from .media.rows.tracks import Column as Column
    from .media.sizes import Size
    from .media.tokens import Tokens as Tokens
    from .media.tracks import Tracks as Tracks
    from .models.calibration import LOSS as LOSS
    from .models.calibration import Calibration as Calibration
    from .models.registry import CONDITIONAL as CONDITIONAL
    from .models.registry import Card as Card
    from .runtime.progress import Progress
    from .stream.calibrating import Calibrated as Calibrated
    from .stream.calibrating import CalibrationTold as CalibrationTold
    from .stream.cascade import SHARE as SHARE
    from .stream.cascade import base_of as base_of
    from .stream.concealing import Concealed as Concealed
    from .stream.given import Base as Base
    from .stream.given import File as File
    from .stream.given import Gift
    from .stream.given import Outside as Outside
    from .stream.given import Prompt as Prompt
    from .stream.groups import decode_groups as decode_groups
    from .stream.groups import encode_groups as encode_groups
    from .stream.inpainting import inpaint as inpaint
    from .stream.push import Preview as Preview
    from .stream.push import PushDecoder as PushDecoder
    from .stream.push import decode_async as decode_async
    from .stream.push import decode_progressive as decode_progressive
    from .stream.restoring import restore as restore
    from .stream.sources import Source
    from .stream.typed import CodecName, DecodeOptions, ReconstructionName
    from .stream.typed import Inspection as Inspection

    Samples = NDArray[np.generic]
else:
    __getattr__ = elsewhere(
        __name__,
        {
            ".media.clip": ["Clip"],
            ".media.picture": ["Picture"],
            ".media.tokens": ["Tokens"],
            ".media.tracks": ["Tracks"],
            ".media.rows.clip": ["Colour"],
            ".media.rows.tracks": ["Column"],
            ".models.calibration": ["LOSS", "Calibration"],
            ".models.registry": ["CONDITIONAL", "Card"],
            ".stream.calibrating": ["Calibrated", "CalibrationTold"],
            ".stream.cascade": ["SHARE", "base_of"],
            ".stream.concealing": ["Concealed"],
            ".stream.given": ["Base", "File", "Outside", "Prompt"],
            ".stream.groups": ["decode_groups", "encode_groups"],
            ".stream.inpainting": ["inpaint"],
            ".stream.push": ["Preview", "PushDecoder", "decode_async", "decode_progressive"],
            ".stream.restoring": ["restore"],
            ".stream.typed": ["Inspection"],
        },
    )


def encode(
    image: Any,
    codec: CodecName | None = None,
    model: Any = None,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    max_bytes: int | None = None,
    prompt: str | None = None,
    calls: int | None = None,
    effort: int | None = None,
    device: str = "auto",
    seed: int = 0,
    tune: bool = False,
    threads: int | None = None,
    strip: Literal["all", "thumbnail"] | None = None,
    given: Gift | Sequence[Gift] | None = None,
    group: int | None = None,
    chained: int = 1,
    calibration: Calibrated = None,
    progressive: bool = False,
    progress: Progress | None = None,
) -> bytes:
    """Code a picture, a clip, tracks or a row of tokens as a `.dfc` stream, with its metadata and further frames.

    image:     a Pillow image of any mode (first frame), a NumPy array H×W or H×W×1..4 (uint8, uint16, bool, int32,
               float32), a torch tensor (uint8 or uint16, or floats that are exactly k/255 or k/65535; C×H×W or
               H×W×C), or a `Picture`; an array (n,) of uint8 or uint16, or `Tokens`: those of 8 bits below the
               vocabulary of the model, if there is one; a uint8 array T×H×W×3, or a `Clip`; `Tracks` (docs/media.md).
    codec:     "ardm", lossless, or "diffc", lossy; None takes diffc where a rate (bpp, psnr or max_bytes) is asked for,
               and ardm elsewhere. model: a bundled name, a path or a provider; None is the codec's default.
    bpp, psnr, max_bytes: at most one of them for diffc, which without any goes on to the exact picture: bits per
               pixel of the whole stream, PSNR in dB of the "mean" reconstruction, or the most bytes the stream may
               take. With a lossless codec only max_bytes, which refuses (InputError) rather than return more: whether
               a picture fits is known only when it is coded. A bpp or psnr beyond all pictures is refused at once.
    effort:    diffc: 1, the fastest, to 9, the smallest; 5 if None. Both sides take fewer network calls at a lower one.
    calls:     network calls of an order-agnostic model (ARDM): more are slower and smaller; 50 if None.
    seed:      recorded in the header; names the noise of diffc and the order of an order-agnostic model.
    tune:      fit the last layer of a lattice ARDM (photo-ardm, cifar10-ardm) to the picture and send what changed
               where that is smaller: by one to six per cent for photographs of 0.1 megapixels and more. Encoding takes
               three to five times as long, decoding no longer. Below 128×128 pixels it is not tried.
    threads:   the most that work on it, this one among them; None is torch's number for networks, and two or three
               elsewhere. Lossless streams come out the same, whatever it is.
    strip:     "all" leaves out the metadata but for what says how the samples are shown (ICC profile, colour,
               orientation, timing of frames); "thumbnail" the thumbnail in the Exif data alone. A size that is asked
               for counts metadata: a warning says so where they take more than a tenth of it, and where they do not
               fit, the thumbnail is left out, or InputError raised.
    prompt:    for models guided by text: short for ``given=Prompt(prompt)``.
    given:     what a conditional model is given beside the noise, one thing or several: a `Base` (a stream of the
               picture in small, or of its luma, ...), a `File` (a JPEG, kept byte for byte), a `Prompt`, or something
               from `Outside` that the receiver has to supply. It stands in the stream, but for the last.
    group:     frames of a clip or of tracks that are coded together; each such group stands alone. If None, 16 of a
               clip, all of tracks.
    chained:   groups of a clip with loss that hang together: each but the first is given the last frames of the one
               before, which makes it smaller, and cannot be decoded without that. By a model that takes frames.
    calibration: diffc: of the model (`calibrate`), or the file that holds it: where passes lie, which the stream says
               itself. None is the one that lies beside the model, if there is one; False is none.
    progressive: of tracks, a beginning of the stream shows all frames: where agents are in each eighth comes first,
               which makes places some 10 % larger. InputError for what says no places; pictures begin with previews
               as they are.
    progress:  called with the fraction done, 0 to 1.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    from .media.table import signal_of
    from .runtime.threads import limited
    from .stream import encode as encoding

    wishes = {"bpp": bpp, "psnr": psnr, "max_bytes": max_bytes, "prompt": prompt, "calls": calls, "effort": effort}
    told: dict[str, Any] = wishes | {"group": group, "chained": chained, "tune": tune, "seed": seed}
    told |= {"calibration": calibration, "progressive": progressive}
    sender = encoding.Sender.of(codec, model, device, given=given, **told)
    signal = encoding.stripped(signal_of(image), strip)
    with limited(threads):
        data = encoding.encode(signal, sender, progress)
    end(progress)
    return data


def decode(
    data: Source,
    *,
    upto_bytes: int | None = None,
    frames: slice | None = None,
    size: Size | None = None,
    realism: float | None = None,
    reconstruction: ReconstructionName | None = None,
    decoder: Any = None,
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Samples:
    """The samples that were encoded: of a picture H×W×C or H×W (mode "1" as uint8 0 and 255), of tokens (n,).

    Of a clip T×H×W×3, of one of YUV420 as `Clip.array` says; of tracks a masked array T×A×F of whole numbers.

    data:       the stream, a path to it or a binary file.
    upto_bytes: use only this many bytes from the front: a preview, at full size, unless the stream ends within them; of
                a clip, or of tracks, as many groups of frames as are there.
    frames:     of a clip or tracks only these, as ``slice(10, 20)``: no more groups, or passes of tracks, are decoded
                than hold them.
    size:       of a picture: (width, height) to fit into, or the longest side, proportions kept, never larger than it
                is. Only the passes are decoded that so many pixels take, and what comes of them has no digest to be
                compared with: a lossless stream is read until two pixels are known for each, a lossy one until their
                means are as certain as its single pixels are in the end; all of it where alpha or low bytes come last.
    model:      needed only for a model that the stream names but that is not bundled.
    decoder:    what makes the "flow" of a lossy stream: another model, by name, path or as it is, a student above all;
                "teacher" is the stream's own in 17 calls of its network; None the same in as few as are bundled for it.
    max_pixels: refuse larger pictures; 2^28 if None.
    budget:     how many times the work to allow that a stream of so many bytes may take, which is itself many times
                what encode's take: below 1 for strangers' files, `float("inf")` for one's own (docs/security.md).
    threads:    the most that work on it, this one among them; None as for `encode`. It changes no lossless picture.
    given:      what the stream says that its reader must supply, by its label there (`inspect`).
    realism:    of a lossy stream, from 0, the least squared error, which looks smooth, to 1, a picture that looks like
                its kind, at some cost in PSNR; between, a share of each; 0.75 if None. Of no effect on a lossless one.
    reconstruction: the same by name: "mean" is realism 0, "flow" (DiffC-F) realism 1; "ancestral" (DiffC-A) is a draw
                of what the picture may be, as real and further off. A realism beside it that it is not is refused.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream,
    ModelNotFound, ModelMismatch, InputError; DecodeMismatch if the pixels are not the ones that were encoded.
    """
    return decode_signal(
        data,
        upto_bytes=upto_bytes,
        frames=frames or False,
        size=size,
        realism=realism,
        reconstruction=reconstruction,
        decoder=decoder,
        device=device,
        model=model,
        max_pixels=max_pixels,
        budget=budget,
        threads=threads,
        given=given,
        progress=progress,
    ).array


@overload
def decode_signal(
    data: Source, *, medium: Literal["picture"], frames: bool | slice = False, **options: Unpack[DecodeOptions]
) -> Picture: ...


@overload
def decode_signal(
    data: Source, *, medium: Literal["tokens"], frames: bool | slice = False, **options: Unpack[DecodeOptions]
) -> Tokens: ...


@overload
def decode_signal(
    data: Source, *, medium: Literal["clip"], frames: bool | slice = False, **options: Unpack[DecodeOptions]
) -> Clip: ...


@overload
def decode_signal(
    data: Source, *, medium: Literal["tracks"], frames: bool | slice = False, **options: Unpack[DecodeOptions]
) -> Tracks: ...


@overload
def decode_signal(
    data: Source, *, medium: None = None, frames: bool | slice = False, **options: Unpack[DecodeOptions]
) -> Signal: ...


@guarded
def decode_signal(
    data: Source,
    *,
    medium: Literal["picture", "tokens", "clip", "tracks"] | None = None,
    upto_bytes: int | None = None,
    size: Size | None = None,
    realism: float | None = None,
    reconstruction: ReconstructionName | None = None,
    decoder: Any = None,
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    frames: bool | slice = False,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Signal:
    """As `decode`, the signal with all that was encoded: a `Picture`, `Tokens`, a `Clip` or `Tracks`.

    medium: the one that is expected; another is refused (InputError) before anything is decoded.
    frames: with all frames or pages that follow a picture; of a clip or tracks a range of them.

    A preview has the metadata that stand within `upto_bytes`, and no frames that are not there as a whole.
    Raises as `decode`, and InputError.
    """
    from .runtime.threads import limited
    from .stream import decode as decoding

    wanted = decoding.Wanted.of(
        realism=realism,
        reconstruction=reconstruction,
        decoder=decoder,
        device=device,
        model=model,
        max_pixels=max_pixels,
        budget=budget,
        given=given,
        medium=medium,
        frames=frames,
        upto=upto_bytes,
        size=size,
    )
    with limited(threads):
        signal = decoding.decode_all(data, wanted, progress)
    end(progress)
    return signal


def decode_picture(data: Source, *, frames: bool = False, **options: Unpack[DecodeOptions]) -> Picture:
    """As `decode_signal`, of a picture. Raises InputError for a stream that holds something else."""
    return decode_signal(data, medium="picture", frames=frames, **options)


@guarded
def decode_sequence(
    data: Source,
    *,
    upto_bytes: int | None = None,
    size: Size | None = None,
    realism: float | None = None,
    reconstruction: ReconstructionName | None = None,
    decoder: Any = None,
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Samples]:
    """All frames of an animation or pages of a document in their order, each as from `decode`."""
    first = decode_signal(
        data,
        upto_bytes=upto_bytes,
        size=size,
        realism=realism,
        reconstruction=reconstruction,
        decoder=decoder,
        device=device,
        model=model,
        max_pixels=max_pixels,
        budget=budget,
        threads=threads,
        frames=True,
        given=given,
        progress=progress,
    )
    return [one.array for one in (first, *first.following)]


@guarded
def decode_concealed(
    data: Source,
    *,
    upto_bytes: int | None = None,
    realism: float | None = None,
    device: str = "auto",
    model: Any = None,
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    given: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Concealed:
    """As `decode`, of a stream that may be damaged or cut: all that comes before the damage, and what that is worth.

    Only the first frame. Raises as `decode` where nothing can be shown, since the damage is in front of the first pass.
    """
    from .runtime.threads import limited
    from .stream.concealing import left_of
    from .stream.decode import Wanted

    wanted = Wanted.of(
        realism=realism,
        device=device,
        model=model,
        max_pixels=max_pixels,
        budget=budget,
        given=given,
        upto=upto_bytes,
    )
    with limited(threads):
        left = left_of(data, wanted, progress)
    end(progress)
    return left


@guarded
def inspect(
    data: Source, *, partial: bool = False, max_pixels: int | None = None, model: Any = None
) -> Inspection:
    """What a stream says about itself, checksums verified; needs no weights and decodes nothing.

    partial: accept a stream that was cut, and tell what it holds (its header must be whole).
    model: the word for the stream's own, whose calibration tells more, where there is one (`calibrate`): ceiling_psnr,
           in dB, of what a latent model's autoencoder leaves of such pictures at any rate. It is not loaded.

    Keys: complete, format, codec, lossless, numerics, model, fingerprint, medium (picture, tokens, clip, tracks),
    unit (pixel, token or value: what bpp is counted by), width, height, frames (how many there are), palette_colours,
    mode, dtype, channels, seed, bytes, bpp (bits per unit), bpd (bits per sample), adjustment_bytes (tuned), learned
    (whether the network learns from what was coded), statistics (of values, those in use: levels, differences,
    colours), icc_bytes, exif_bytes, metadata (bytes of each kind as it is stored, by its name), given (what the model
    was given, a list of {kind, bytes, ...} with the tree of nested streams), digest, decode_cost, and passes, a list of
    {bytes, bpp, end}: end is the number of bytes from the front that decode with this pass.
    decode_cost is {pixels, network_calls, network_pixels (of all calls), memory_bytes (beside libraries, weights and
    the stream), allowed (the last three by default), budget (the least that `decode` takes the stream with)}: what
    decoding takes at most, frames and all.

    Of a clip also rate (frames a second, "30000/1001", or None) and colour (its tags); of tracks rate, agents (how many
    there are), their names and teams, and columns, a list of {name, step, offset}.

    Raises NotADiffcodecFile, UnsupportedVersion, Truncated, ChecksumMismatch, LimitExceeded, CorruptStream, and
    InputError, ModelMismatch for a calibration that is none, or another model's.
    """
    from .stream.told import told

    return told(data, Limits.of(max_pixels), partial, model)


def given_files(data: Source, *, max_pixels: int | None = None) -> list[bytes]:
    """Bytes of what a stream, or the beginning of one, was given that is a file of its own: a `.dfc`, JPEG or WebP.

    Raises as :func:`inspect`.
    """
    from .stream.told import given_files as files_given

    return files_given(data, Limits.of(max_pixels))


def metadata_of(data: Source, *, max_pixels: int | None = None) -> Metadata:
    """What a stream, or the beginning of one, holds beside samples; nothing is decoded. Raises as :func:`inspect`."""
    from .stream.told import metadata_of as metadata_read

    return metadata_read(data, Limits.of(max_pixels))


def calibrate(
    model: Any,
    images: Iterable[Any],
    *,
    loss: float = 0.05,
    device: str = "auto",
    out: str | Path | Literal[False] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CalibrationTold:
    """Measure what a diffusion model errs by in pictures of its kind, and keep where passes of `diffc` are to lie.

    model, device: as for `encode`. images: one or more, as `encode` takes them, none that is to be judged by; of large
    ones the middle is looked at. A network call for each picture and half a unit of log-SNR.
    loss:  by how much more bits passes may cost than the least of any number of network calls: at effort 5, at other
           efforts as much more or less as their steps are longer or shorter.
    out:   where it is kept: None beside the model (NAME.calibration.json beside weights and in the folder of a
           pipeline; of other models in a folder of the user's), where `encode` finds it; a path; False nowhere.
    overwrite: the file at such a path, if there is one. What lies beside the model is replaced.

    Returns {model, fingerprint, pictures, loss, file, width, height, profile, plans}: profile, a list of {start, end,
    mean_square, bpp}, tells what is told between two log-SNRs; plans, a list of {bpp, end, calls, over_percent,
    plain_calls, plain_over_percent, positions}, where passes lie of a picture of that size at some rates, and what
    they take without the calibration.

    Raises InputError, ModelNotFound, ModelMismatch.
    """
    from .stream import calibrating

    return calibrating.calibrate(
        model, images, loss=loss, device=device, out=out, overwrite=overwrite, progress=progress
    )


def list_models() -> list[Card]:
    """The cards of the bundled models: name, codec, data, training, held-out figures, licence, default_for (codecs)."""
    from .models import registry

    defaults = [*registry.DEFAULT.items(), *((codec, name) for (codec, _), name in registry.DEFAULT_OF.items())]
    told = ({**card, "default_for": [c for c, name in defaults if name == card["name"]]} for card in registry.cards())
    return [cast("Card", card) for card in told]


def register_model(name: str, model: Any) -> None:
    """Let ``name`` mean ``model``, in calls and where a file records it: then `decode` needs no ``model``.

    name:  the provider's own, of 1 to 64 bytes, which its streams record; it goes before a bundled one of that name.
    model: a provider, a path to weights, ``package.module:name`` of what makes one, or another name. Of this process.

    Raises InputError for a name that no stream can record, and for what is no provider.
    """
    from .models import registry

    registry.register(name, model)
