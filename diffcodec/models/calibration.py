"""What a diffusion errs by at every log-SNR, measured once on pictures of its kind, and the file that keeps it.

The mean squared error of x_hat(z_t) is all that the bits of a chain depend on (VDM, arXiv 2107.00630, eq. 17); of it an
encoder makes where passes lie (`codecs.diffc.schedule`). Streams say where theirs are, so no reader needs the file.
Importing this loads neither torch nor numpy.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import InputError, ModelMismatch
from . import registry
from .protocols import Model

SUFFIX = ".calibration.json"
FORMAT = "diffcodec calibration 1"
FOLDER = "DIFFCODEC_CALIBRATIONS"  #: of the environment: where those are kept that have no place beside a model
BLOCK = 8  #: side of the blocks whose averages are told apart from the rest
LOSS = 0.05  #: of the bits that the fewest calls may cost more than any number of them
MOST_BYTES, MOST_LEVELS = 2**20, 4096  #: of a file, and of what it holds
LARGEST = 1e12  #: of a mean square


@dataclass(frozen=True)
class Calibration:
    """A model's profile.

    model, fingerprint: whose. pictures: on how many it was measured. loss: share of all bits that steps may cost more
    than short ones do. levels: log-SNRs, rising. whole: the mean square of x - x_hat there, of a dimension of x.
    coarse: of its averages over blocks of 8×8 points, in orthonormal directions. ceiling: PSNR in dB of what a latent
    model's autoencoder alone makes of the pictures. Raises InputError for anything else.
    """

    model: str
    fingerprint: bytes
    pictures: int
    loss: float
    levels: tuple[float, ...]
    whole: tuple[float, ...]
    coarse: tuple[float, ...]
    ceiling: float | None = None

    def __post_init__(self) -> None:
        count = len(self.levels)
        if not 2 <= count <= MOST_LEVELS or {len(self.whole), len(self.coarse)} != {count}:
            raise InputError(f"a calibration needs two levels or more and an error for each, found {count}")
        numbers = (*self.levels, *self.whole, *self.coarse, self.loss, self.ceiling or 0.0)
        if not all(math.isfinite(one) for one in numbers):
            raise InputError("a calibration holds a number that is none (NaN or infinite): calibrate anew")
        if any(b <= a for a, b in itertools.pairwise(self.levels)) or max(map(abs, self.levels)) > 100:
            raise InputError("the log-SNRs of a calibration do not rise within ±100: calibrate anew")
        if not all(0 < one < LARGEST for one in (*self.whole, *self.coarse)):
            raise InputError("a calibration holds a mean square that is not above 0: calibrate anew")
        if not 0 < self.loss <= 1:
            raise InputError(f"expected a loss above 0 and up to 1, found {self.loss:g}")

    def of(self, model: Model) -> Calibration:
        """Itself. Raises ModelMismatch where it is another model's."""
        if self.fingerprint != model.fingerprint:
            raise ModelMismatch(
                f"the calibration is of '{self.model}' with fingerprint {self.fingerprint.hex()[:16]}, '{model.name}' "
                f"has {model.fingerprint.hex()[:16]}: calibrate anew, or code without one (calibration=False, "
                "--calibration none)"
            )
        return self

    def text(self) -> str:
        """The file."""
        told = {"format": FORMAT, "model": self.model, "fingerprint": self.fingerprint.hex()}
        numbers = {"pictures": self.pictures, "loss": self.loss, "ceiling": self.ceiling, "levels": self.levels}
        return json.dumps(told | numbers | {"whole": self.whole, "coarse": self.coarse}, indent=1) + "\n"


def parsed(text: bytes) -> Calibration:
    """Mirror of :meth:`Calibration.text`. Raises InputError."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError("the calibration is no JSON: calibrate anew") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InputError(f"the calibration's format is not '{FORMAT}': calibrate anew")
    try:
        return Calibration(
            _as(str, told, "model"),
            bytes.fromhex(_as(str, told, "fingerprint")),
            _as(int, told, "pictures"),
            float(_as((int, float), told, "loss")),
            _numbers(told, "levels"),
            _numbers(told, "whole"),
            _numbers(told, "coarse"),
            None if told.get("ceiling") is None else float(_as((int, float), told, "ceiling")),
        )
    except (ValueError, OverflowError):
        raise InputError("the calibration's fingerprint or a number of it cannot be read: calibrate anew") from None


def _as(kind: type | tuple[type, ...], told: Mapping[str, Any], name: str) -> Any:
    value = told.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"the calibration has no '{name}', or none that can be read: calibrate anew")
    return value


def _numbers(told: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = _as(list, told, name)
    if not all(isinstance(one, (int, float)) for one in values):
        raise InputError(f"'{name}' of the calibration holds something else than numbers: calibrate anew")
    return tuple(map(float, values))


def read(path: str | Path) -> Calibration:
    """Of a file. Raises InputError."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"the calibration {path} cannot be read: {error.strerror}") from None
    if len(text) > MOST_BYTES:
        raise InputError(f"the calibration {path} has more than {MOST_BYTES} bytes")
    try:
        return parsed(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


# ---- where it lies


def place(wanted: object, name: str, fingerprint: bytes) -> Path:
    """Where the calibration of a model lies, which ``wanted`` means to `registry.load`, of a name and a fingerprint.

    Beside weights of one's own, within the folder of a pipeline, and for all others in a folder of the user's.
    """
    scheme, rest = registry.whence(wanted)
    beside = _BESIDE[scheme](rest) if scheme in _BESIDE else None
    if beside is not None:
        return beside
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(os.environ.get(FOLDER) or os.path.join(cache, "diffcodec", "calibrations"))
    return folder / f"{name.replace(':', '-')}-{fingerprint.hex()[:16]}{SUFFIX}"


def _weights(text: str) -> Path:
    path = Path(text)
    return path.parent / (path.name.removesuffix(".safetensors") + SUFFIX)


def _pipeline(text: str) -> Path | None:
    """None of what is in the hub's cache, and of one label of many."""
    place, options = (text, "") if Path(text).is_dir() else text.partition("?")[::2]
    if not Path(place).is_dir() or "label=" in options:
        return None
    return Path(place) / (Path(place).resolve().name + SUFFIX)


_BESIDE = {"path": _weights, "diffusers": _pipeline}


def found(wanted: object, model: Model) -> Calibration | None:
    """The calibration that lies where :func:`place` says; None where there is none.

    Raises InputError for one that cannot be read, ModelMismatch for another model's.
    """
    path = place(wanted, model.name, model.fingerprint)
    return read(path).of(model) if path.is_file() else None


def ceiling(wanted: object, name: str, fingerprint: bytes) -> float | None:
    """Of the model that a stream records, by the first bytes of its fingerprint: as `Calibration`, where it is known.

    wanted: the caller's word for it; no weights are read. Raises InputError, ModelMismatch for another model's.
    """
    path = place(wanted, name, fingerprint)
    if not path.is_file():
        return None
    found = read(path)
    if not found.fingerprint.startswith(fingerprint):
        told = f"'{found.model}', the stream is of '{name}' with fingerprint {fingerprint.hex()}"
        raise ModelMismatch(f"the calibration {path} is of {told}: name that model, or calibrate it anew")
    return found.ceiling
