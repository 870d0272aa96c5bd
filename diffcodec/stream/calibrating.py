"""calibrate: of a model and pictures, where passes are to lie, kept beside the model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..media.table import signal_of
from ..models import calibration as calibrations
from ..models import registry
from ..runtime import atomic
from ..runtime.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..runtime.progress import Progress

#: the model's own, the file that holds it, None: what lies beside the model, False: none
Calibrated = calibrations.Calibration | str | Path | Literal[False] | None
RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  #: bits per pixel at which passes are told


class IntervalTold(TypedDict):
    """Bits per pixel that are told between two log-SNRs, and the mean square of x - x_hat between them."""

    start: float
    end: float
    mean_square: float
    bpp: float


class PlanTold(TypedDict):
    """Passes of a picture: network calls, bits beyond the least of any number of calls, in percent, and where they lie.

    plain_calls, plain_over_percent: without the calibration.
    """

    bpp: float
    end: float
    calls: int
    over_percent: float
    plain_calls: int
    plain_over_percent: float
    positions: list[float]


class CalibrationTold(TypedDict):
    """What a calibration says.

    ceiling: PSNR of what a latent model's autoencoder alone makes of the pictures, in dB. width, height: of the
    pictures that the passes are told of.
    """

    model: str
    fingerprint: str
    pictures: int
    loss: float
    ceiling: float | None
    file: str | None
    width: int
    height: int
    profile: list[IntervalTold]
    plans: list[PlanTold]


def calibrate(
    model: Any,
    images: Iterable[Any],
    *,
    loss: float,
    device: str,
    out: str | Path | Literal[False] | None,
    overwrite: bool,
    progress: Progress | None,
) -> CalibrationTold:
    """As `diffcodec.calibrate`. Raises InputError, ModelNotFound, ModelMismatch."""
    from ..codecs.diffc import profile

    provider = registry.load(model, device=device, codec="diffc")
    own = calibrations.place(model, provider.name, provider.fingerprint)
    kept = own if out is None else Path(out) if out else None
    if out is None:
        own.parent.mkdir(parents=True, exist_ok=True)
    if kept is not None:
        atomic.check(str(kept), overwrite or out is None)
    photos = [_photo(image) for image in images]
    found = profile.measured(provider, photos, loss, progress)
    if kept is not None:
        atomic.write(str(kept), found.text().encode(), overwrite or out is None)
    height, width = (min(profile.SIDE, side) for side in photos[0].shape[:2])
    C, h, w = provider.latent_shape((height, width))
    scale = C * h * w / (height * width)  # dimensions of x for a pixel
    intervals = profile.intervals(found)
    plans = profile.plans(found, provider, (height, width), [rate / scale for rate in RATES])
    return {
        "model": found.model,
        "fingerprint": found.fingerprint.hex(),
        "pictures": found.pictures,
        "loss": found.loss,
        "ceiling": found.ceiling,
        "file": None if kept is None else str(kept),
        "width": width,
        "height": height,
        "profile": [
            {"start": one.start, "end": one.end, "mean_square": one.square, "bpp": scale * one.bits}
            for one in intervals
        ],
        "plans": [
            {
                "bpp": round(scale * one.rate, 9),
                "end": one.end,
                "calls": one.calls,
                "over_percent": 100 * one.over,
                "plain_calls": one.plain_calls,
                "plain_over_percent": 100 * one.plain_over,
                "positions": list(one.positions),
            }
            for one in plans
        ],
    }


def _photo(image: Any) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3). Raises InputError for what is no picture."""
    signal = signal_of(image)
    photo: NDArray[np.uint8] = signal.photograph()
    if photo.shape[2] not in (1, 3):
        raise InputError(f"expected a picture to calibrate on, found a signal of mode {signal.mode}")
    return photo
