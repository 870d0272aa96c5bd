"""How models are made of their files: `ARCHITECTURES`, by what a card's configuration calls them, and fingerprints.

A card `X.json` beside weights `X.safetensors` holds a name and a ``config`` whose ``architecture`` is a key of the
table; the other fields of the config are that architecture's own. Importing this loads nothing heavy.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..runtime.errors import ModelMismatch, ModelNotFound
from .protocols import Model

if TYPE_CHECKING:
    from torch import Tensor

_SEVERAL = 2**64 - 1  # in place of the configuration's length: several files follow, and no weights


@dataclass(frozen=True)
class Weights:
    """What a model is made of.

    tensors: of the weights file, finite numbers. config: of the card. fingerprint: over both. device: a name, "auto"
    as well. runtime: the kernels that are wished for, "auto", or one of the architecture's own names. flow: of the
    card, how a diffusion comes to a picture in few calls; None where nobody fitted it. folder: of the weights file.
    poses: of the card, of pictures that are as likely mirrored (`protocols.Posed`).
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any]
    name: str
    fingerprint: bytes
    device: str = "auto"
    runtime: str = "auto"
    flow: dict[str, Any] | None = None
    folder: Path | None = None
    poses: int = 1

    def fields(self, *others: str) -> dict[str, Any]:
        """The configuration but for its architecture's name and ``others``: the shape of the network."""
        return {key: value for key, value in self.config.items() if key not in ("architecture", *others)}


Loader = Callable[[Weights], Model]  #: raises any error for weights that are not of its architecture


def _by(module: str) -> Loader:
    """The loader of a family: its module's ``load``, imported when it is wanted."""

    def load(weights: Weights) -> Model:
        return cast(Model, importlib.import_module(module, __package__).load(weights))

    return load


#: what a card may name; a program of its own adds a row: ``ARCHITECTURES["mine-1"] = load``
ARCHITECTURES: dict[str, Loader] = {
    "clip-ardm-1": _by(".lattice.frames"),
    "latent-1": _by(".latent.model"),
    "lattice-ardm-1": _by(".lattice.model"),
    "masked-unet-exact-1": _by(".masked.exact"),
    "octaves-1": _by(".octaves"),
    "tokens-1": _by(".tokens"),
    "tracks-ardm-1": _by(".tracks.model"),
    "vdm-unet-1": _by(".unet.model"),
    "vdm-unet-clip-1": _by(".clips.model"),
    "vdm-unet-exact-1": _by(".unet.model"),
    "vdm-unet-given-1": _by(".cond.model"),
    "vdm-unet-text-1": _by(".captions.model"),
}


def fingerprint_of(files: bytes | Mapping[str, bytes | Path], config: dict[str, Any]) -> bytes:
    """SHA-256, 32 bytes, over a model's configuration and its files.

    Of one file, given as its bytes: over the length of the configuration as canonical JSON (8 bytes, little-endian),
    that JSON, and the file. Of several, by name, given as bytes or as paths: over 2^64 - 1 in place of that length, the
    length, the JSON, and for every file in the order of the names' UTF-8 the name's length (8 bytes), the name, and the
    SHA-256 of the file.
    """
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    if not isinstance(files, Mapping):
        return hashlib.sha256(_size(canonical) + canonical + files).digest()
    total = hashlib.sha256(_SEVERAL.to_bytes(8, "little") + _size(canonical) + canonical)
    for name, file in sorted((name.encode(), file) for name, file in files.items()):
        total.update(_size(name) + name + _digest(file))
    return total.digest()


def _size(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little")


def _digest(file: bytes | Path) -> bytes:
    if isinstance(file, bytes):
        return hashlib.sha256(file).digest()
    found = hashlib.sha256()
    with open(file, "rb") as opened:
        for piece in iter(lambda: opened.read(2**20), b""):
            found.update(piece)
    return found.digest()


def read(path: Path, device: str, runtime: str) -> Model:
    """The model of ``path``, X.safetensors, and of its card. Raises ModelNotFound, ModelMismatch, InputError."""
    from .protocols import device_of

    try:
        weights = path.read_bytes()
        text = path.with_suffix(".json").read_bytes()
    except FileNotFoundError:
        raise ModelNotFound(f"'{path.name}' has no card '{path.stem}.json' beside it") from None
    except OSError as error:
        raise ModelNotFound(f"'{path.name}' or its card cannot be read: {error.strerror}") from error
    device_of(device)
    try:
        return _built(weights, json.loads(text), device, runtime, path.parent)
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with a file, it is no model
        raise ModelMismatch(f"'{path.name}' is not a model this version can run: {first_line(error)}") from error


def _built(weights: bytes, card: dict[str, Any], device: str, runtime: str, folder: Path) -> Model:
    """Raises any error."""
    from safetensors.torch import load as load_safetensors

    from . import checks
    from .settings import outside_inference

    name, config = card["name"], card["config"]
    if not isinstance(name, str) or not name:
        raise ValueError("its card has no name")
    fingerprint = fingerprint_of(weights, config)
    if config["architecture"] not in ARCHITECTURES:
        raise ValueError(f"its architecture is {config['architecture']}")
    with outside_inference():
        tensors = load_safetensors(weights)
        checks.finite(tensors)
        told = card.get("flow"), folder, card.get("poses", 1)
        made = Weights(tensors, config, name, fingerprint, device, runtime, *told)
        return ARCHITECTURES[config["architecture"]](made)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    told = str(error).strip().split("\n")[0]
    return f"it has no {told}" if isinstance(error, KeyError) else told or type(error).__name__
