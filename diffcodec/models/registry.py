"""Models by name, by place and as they are: bundled, registered, folders of weights, modules that make one.

Importing this loads neither torch nor numpy.
"""

from __future__ import annotations

import importlib.util
import inspect
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from ..runtime.errors import DiffcodecError, InputError, ModelMismatch, ModelNotFound
from ..runtime.recorded import MOST_BYTES, Recorded, recordable
from ..runtime.stages import stage
from . import architectures
from .architectures import fingerprint_of
from .bundled import (
    CONDITIONAL,
    DEFAULT,
    DEFAULT_OF,
    FOLDER,
    OF_CLIPS,
    OF_TRACKS,
    Card,
    cards,
    name_of,
    pose_calls,
    shortcut_calls,
)
from .completion import completed
from .protocols import DiffusionModel, FrameModel, MaskedModel, Model, PhaseModel, TrackModel

__all__ = [
    "CONDITIONAL",
    "DEFAULT",
    "DEFAULT_OF",
    "FOLDER",
    "KINDS",
    "OF_CLIPS",
    "OF_TRACKS",
    "SOURCES",
    "Card",
    "Wanted",
    "cards",
    "fingerprint_of",
    "load",
    "name_of",
    "pose_calls",
    "register",
    "shortcut_calls",
]

#: what a codec codes with: kinds of models
KINDS: dict[str, tuple[type[Model], ...]] = {
    "ardm": (PhaseModel, MaskedModel, FrameModel, TrackModel),
    "diffc": (DiffusionModel,),
    "vdm": (DiffusionModel,),
}
_registered: dict[str, object] = {}
_loaded: dict[tuple[str, str, str], object] = {}
_FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")  # package.module:name


def register(name: str, model: str | Path | object) -> None:
    """Let ``name``, also where a file records it, mean ``model``: a provider, or whatever :func:`load` takes.

    Streams record the provider's own name: one that is to find its streams' model is registered by that. It goes before
    a bundled one of that name. Raises InputError for a name that no stream can record, and for what is no provider.
    """
    if not recordable(name):
        raise InputError(f"expected a plain name of 1 to {MOST_BYTES} bytes without slashes, found {name!r}")
    if not isinstance(model, (str, Path)) and not isinstance(completed(model), Model):
        raise InputError(f"expected a name, a path to weights or a provider, found {type(model).__name__}")
    _registered[name] = str(model) if isinstance(model, Recorded) else model


# ---- where models come from


@dataclass(frozen=True)
class Wanted:
    """How a model is to run. device: "auto", "cpu", "cuda", ...; runtime: "auto", or one of the architecture's own."""

    device: str = "auto"
    runtime: str = "auto"


def _bundled(name: str, wanted: Wanted) -> object:
    """Of the name of a bundled one."""
    return _weights(str(FOLDER / name), wanted)


def _weights(path: str, wanted: Wanted) -> object:
    """Of a path to X.safetensors, with or without its suffix, whose card X.json lies beside it."""
    place = Path(path).with_suffix(".safetensors")
    key = (str(place.resolve()), wanted.device, wanted.runtime)
    if key not in _loaded:
        if not place.is_file():
            names = ", ".join(card["name"] for card in cards())
            raise ModelNotFound(
                f"no model '{path}': expected one of {names}, a path to a .safetensors file with its .json, or "
                "package.module:name of what makes a model"
            )
        _loaded[key] = architectures.read(place, wanted.device, wanted.runtime)
    return _loaded[key]


def _made(text: str, wanted: Wanted) -> object:
    """Of package.module:name, a provider, or what makes one, of a device if it has a parameter of that name."""
    key = (text, wanted.device, wanted.runtime)
    if key in _loaded:
        return _loaded[key]
    module, _, name = text.partition(":")
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ModelNotFound(f"no model '{text}': {architectures.first_line(error)}") from error
    if callable(found) and (inspect.isclass(found) or not isinstance(completed(found), Model)):
        takes = "device" in inspect.signature(found).parameters
        found = found(device=wanted.device) if takes else found()
    _loaded[key] = found
    return found


def _pipeline(text: str, wanted: Wanted) -> object:
    """Of a saved pipeline of diffusers: a folder, or OWNER/NAME[@REVISION] of the hub's cache, each with ?options."""
    key = (f"diffusers:{text}", wanted.device, wanted.runtime)
    if key not in _loaded:
        absent = [name for name in ("diffusers", "transformers") if importlib.util.find_spec(name) is None]
        if absent:
            raise ModelNotFound(f"pipelines need {' and '.join(absent)}: pip install 'diffcodec[diffusers]'")
        from .pipelines.source import load

        _loaded[key] = load(text, wanted.device)
    return _loaded[key]


Source = Callable[[str, Wanted], object]  #: (what stands behind the scheme, how it is to run) -> provider
#: places that models come from, by the scheme before a colon; a program of its own adds a row:
#: ``SOURCES["hub"] = find`` lets ``model="hub:name"`` mean ``find("name", wanted)``
SOURCES: dict[str, Source] = {"bundled": _bundled, "path": _weights, "module": _made, "diffusers": _pipeline}


def default(codec: str, medium: str = "") -> str:
    """The name of the model that a codec takes for signals of a medium (`media.table`)."""
    name = DEFAULT_OF.get((codec, medium), "")
    return name if name in _registered or _is_bundled(name) else DEFAULT[codec]


def _is_bundled(name: str) -> bool:
    return name in {path.stem for path in FOLDER.glob("*.safetensors")}


def _placed(model: str | Path) -> tuple[str, str]:
    """(scheme, what stands behind it) of a caller's own words: told, or by what they look like."""
    if _is_bundled(str(model)):
        return "bundled", str(model)
    if isinstance(model, Path):
        return "path", str(model)
    scheme, colon, rest = model.partition(":")
    if colon and scheme in SOURCES:
        return scheme, rest
    looks = _FACTORY.fullmatch(model) and not Path(model).with_suffix(".safetensors").is_file()
    return ("module" if looks else "path"), model


def _found(model: object, wanted: Wanted) -> object:
    """The provider that ``model`` means. Raises ModelNotFound, ModelMismatch."""
    if isinstance(model, str) and model in _registered:
        model = _registered[model]
    if not isinstance(model, (str, Path)):
        return model
    if isinstance(model, Recorded) and not _is_bundled(model):
        raise ModelNotFound(
            f"the file names model '{model}', which is neither bundled nor registered here: give its weights as model"
        )
    scheme, rest = _placed(model)
    try:
        with stage(f"loading {rest}"):
            return SOURCES[scheme](rest, wanted)
    except (DiffcodecError, MemoryError):
        raise
    except Exception as error:  # whatever goes wrong in another's program, there is no model
        raise ModelMismatch(f"'{model}' makes no model: {architectures.first_line(error)}") from error


def whence(model: object) -> tuple[str, str]:
    """(scheme of SOURCES, what stands behind it) that ``model`` means to :func:`load`; ("", "") of a provider."""
    if isinstance(model, str) and model in _registered:
        model = _registered[model]
    return _placed(model) if isinstance(model, (str, Path)) else ("", "")


# ---- the door


@overload
def load(
    model: object = None,
    *,
    device: str = "auto",
    fingerprint: bytes | None = None,
    runtime: str = "auto",
    codec: Literal["ardm"] = "ardm",
) -> PhaseModel | MaskedModel | TrackModel: ...


@overload
def load(
    model: object = None,
    *,
    device: str = "auto",
    fingerprint: bytes | None = None,
    runtime: str = "auto",
    codec: Literal["diffc", "vdm"],
) -> DiffusionModel: ...


@overload
def load(
    model: object = None,
    *,
    device: str = "auto",
    fingerprint: bytes | None = None,
    runtime: str = "auto",
    codec: str | None,
) -> Model: ...


def load(
    model: object = None,
    *,
    device: str = "auto",
    fingerprint: bytes | None = None,
    runtime: str = "auto",
    codec: str | None = "ardm",
) -> Model:
    """The provider that ``model`` means.

    model:       a bundled or registered name, a path to weights (X.safetensors beside X.json), ``package.module:name``
                 of a provider or of what makes one, ``scheme:…`` of SOURCES, or a provider object. None is the default
                 of ``codec``. A name that a file recorded (`recorded.Recorded`) is looked up among the registered and
                 the bundled ones only: no file is opened by it, and nothing imported.
    device:      "auto", "cpu", "cuda", "cuda:1", ...; runtime: "auto", or one of the architecture's own names.
    fingerprint: what a stream recorded, a prefix of the SHA-256, which the model's must have.
    codec:       "ardm", "diffc" or "vdm", that the model must be for; None takes a model for any.

    What a diffusion lacks of what `denoiser.Denoiser` has it gets from there. Raises ModelNotFound, ModelMismatch, and
    InputError for a device that is not here.
    """
    provider = completed(_found(DEFAULT[codec or "ardm"] if model is None else model, Wanted(device, runtime)))
    if not isinstance(provider, Model):
        raise ModelMismatch(f"{type(provider).__name__} is no model: expected a name, a path to weights or a provider")
    if codec and not isinstance(provider, KINDS[codec]):
        kinds = " or ".join(kind.__name__ for kind in KINDS[codec])
        raise ModelMismatch(f"codec {codec} needs a {kinds}, which '{provider.name}' is not: use {DEFAULT[codec]}")
    if not recordable(provider.name) or len(provider.fingerprint) < 8:
        raise ModelMismatch(f"no stream can record a model of name {provider.name!r} or of so short a fingerprint")
    if fingerprint is not None and not provider.fingerprint.startswith(fingerprint):
        raise ModelMismatch(
            f"the stream was made with a model of fingerprint {fingerprint.hex()}, '{provider.name}' has "
            f"{provider.fingerprint[: len(fingerprint)].hex()}; install the version or the weights it was made with"
        )
    return provider
