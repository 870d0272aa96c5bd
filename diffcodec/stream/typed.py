"""Types of what callers say and are told, for a type checker: names of choices, options of calls, dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..codecs.budget import DecodeCost
from ..media.sizes import Size
from ..runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from .calibrating import Calibrated
    from .given import Gift

    Margins = float | Sequence[int]
    Known = NDArray[np.bool_]

CodecName = Literal["ardm", "diffc"]
ReconstructionName = Literal["mean", "flow", "ancestral"]
TaskName = Literal["enlarge", "colour", "fill", "extend", "jpeg", "between"]
WayName = Literal["moved", "told", "replaced", "guided"]


class _Wishes(TypedDict, total=False):
    bpp: float | None
    psnr: float | None
    max_bytes: int | None
    calls: int | None
    effort: int | None
    chained: int
    calibration: Calibrated
    seed: int
    tune: bool
    progressive: bool


class Wishes(_Wishes, total=False):
    """Of `diffcodec.encode_files`: what `diffcodec.encode` takes beside what is named there."""

    prompt: str | None
    given: Gift | Sequence[Gift] | None
    group: int | None


class EncodeOptions(_Wishes, total=False):
    """Of `diffcodec.encode_groups`."""

    device: str
    threads: int | None
    strip: Literal["all", "thumbnail"] | None
    progress: Progress | None


class PreviewOptions(TypedDict, total=False):
    """Of `diffcodec.PushDecoder`."""

    realism: float | None
    reconstruction: ReconstructionName | None
    decoder: Any
    device: str
    model: Any
    max_pixels: int | None
    budget: float
    given: Mapping[str, Any] | None


class DecodeOptions(PreviewOptions, total=False):
    """Of `diffcodec.decode`."""

    upto_bytes: int | None
    size: Size | None
    threads: int | None
    progress: Progress | None


class RestoreOptions(TypedDict, total=False):
    """Of `diffcodec.restore`, but for the number of samples."""

    scale: int
    known: Known | None
    margins: Margins
    frames: int | None
    way: WayName
    realism: float
    calls: int | None
    seed: int
    model: Any
    device: str
    progress: Progress | None


class PassTold(TypedDict):
    """A pass: its bytes, bits per pixel, and the bytes from the front that decode with it."""

    bytes: int
    bpp: float
    end: int


class GroupTold(TypedDict):
    """A group of a clip: its frames, bytes of its own stream, and how many of them there are in all up to its end."""

    frames: int
    bytes: int
    upto: int


class _OfMedia(TypedDict, total=False):
    rate: str | None
    colour: Any
    groups: list[GroupTold]
    agents: int
    names: list[str]
    teams: list[str]
    columns: list[dict[str, str]]


class _OfModels(TypedDict, total=False):
    ceiling_psnr: float | None


class Inspection(_OfMedia, _OfModels):
    """What `diffcodec.inspect` tells of a stream; of clips and tracks more."""

    complete: bool
    format: str
    codec: str
    lossless: bool
    numerics: str
    model: str | None
    fingerprint: str | None
    medium: str
    unit: str
    width: int
    height: int
    frames: int
    palette_colours: int | None
    mode: str
    dtype: str
    channels: int
    seed: int
    bytes: int
    bpp: float
    bpd: float
    adjustment_bytes: int
    learned: bool
    statistics: list[str]
    icc_bytes: int
    exif_bytes: int
    metadata: dict[str, int]
    given: list[dict[str, Any]]
    digest: str | None
    decode_cost: DecodeCost
    passes: list[PassTold]
