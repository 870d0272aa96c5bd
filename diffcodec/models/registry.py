"""Bundled models and weights folders by name. Importing this loads neither torch nor numpy."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from ..errors import ModelMismatch, ModelNotFound

FOLDER = Path(__file__).parent / "weights"
DEFAULT = {"ardm": "photo-ardm", "diffc": "photo-vdm", "vdm": "photo-vdm-exact"}
#: what tells a model for the codec from others: one of these methods
_NEEDED = {"ardm": ("strip", "ask"), "diffc": ("predict",), "vdm": ("predict",)}
_loaded: dict[tuple[str, str, str], Any] = {}


def cards() -> list[dict[str, Any]]:
    """The cards of the bundled models: name, codec, data, training, held-out figures, licence."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


@functools.lru_cache(64)  # asked at every small picture; the cards stay as they were installed
def name_of(fingerprint: bytes) -> str | None:
    """The bundled model whose fingerprint starts with these bytes."""
    return next((c["name"] for c in cards() if bytes.fromhex(c["fingerprint"]).startswith(fingerprint)), None)


def fingerprint_of(weights: bytes, config: dict[str, Any]) -> bytes:
    """SHA-256 over the configuration as canonical JSON and the weights file."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(len(canonical).to_bytes(8, "little") + canonical + weights).digest()


def load(
    model: Any = None,
    *,
    device: str = "auto",
    fingerprint: bytes | None = None,
    runtime: str = "auto",
    codec: str | None = "ardm",
) -> Any:
    """A provider from a bundled name, a path to weights (``X.safetensors`` beside ``X.json``) or a provider object.

    A model of None is the default of ``codec``; a codec of None takes a model for any. ``fingerprint`` is what a
    stream recorded (a prefix of the SHA-256).
    Raises ModelNotFound or ModelMismatch.
    """
    if model is None:
        model = DEFAULT[codec or "ardm"]
    provider = _from_path(model, device, runtime) if isinstance(model, (str, Path)) else model
    if codec and not any(hasattr(provider, method) for method in _NEEDED[codec]):
        raise ModelMismatch(
            f"codec {codec} needs a model with {' or '.join(_NEEDED[codec])}(), '{provider.name}' has none: "
            f"use {DEFAULT[codec]}"
        )
    if fingerprint is not None and not provider.fingerprint.startswith(fingerprint):
        raise ModelMismatch(
            f"the stream was made with a model of fingerprint {fingerprint.hex()}, '{provider.name}' has "
            f"{provider.fingerprint[: len(fingerprint)].hex()}; install the version or the weights it was made with"
        )
    return provider


def _from_path(model: str | Path, device: str, runtime: str) -> Any:
    bundled = FOLDER / f"{model}.safetensors"
    path = bundled if bundled.is_file() else Path(model).with_suffix(".safetensors")
    key = (str(path.resolve()), device, runtime)
    if key in _loaded:
        return _loaded[key]
    if not path.is_file():
        names = ", ".join(card["name"] for card in cards())
        raise ModelNotFound(
            f"no model '{model}': expected one of {names}, or a path to a .safetensors file with its .json"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load as load_safetensors

    weights = path.read_bytes()
    try:
        card = json.loads(path.with_suffix(".json").read_text())
        tensors = load_safetensors(weights)
        provider = _provider(
            tensors, card["name"], fingerprint_of(weights, card["config"]), card["config"], device, runtime
        )
    except FileNotFoundError:
        raise ModelNotFound(f"'{path.name}' has no card '{path.stem}.json' beside it") from None
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as e:
        raise ModelMismatch(f"'{path.name}' is not a model this version can run: {_first_line(e)}") from None
    _loaded[key] = provider
    return provider


def _provider(tensors: Any, name: str, fingerprint: bytes, config: dict[str, Any], device: str, runtime: str) -> Any:
    architecture, *_ = config["architecture"].split("-")
    if architecture == "vdm":
        from .unet import UNetConfig
        from .vdm import ExactVDMModel, VDMModel

        fields = {k: v for k, v in config.items() if k != "architecture"}
        kind = ExactVDMModel if config["architecture"] == "vdm-unet-exact-1" else VDMModel
        return kind(tensors, UNetConfig.from_dict(fields), name, fingerprint, device)
    if architecture == "masked":
        from .masked import MaskedConfig
        from .masked_exact import ExactMaskedModel

        fields = {k: v for k, v in config.items() if k not in ("architecture", "profile")}
        masked = MaskedConfig.from_dict(fields)
        return ExactMaskedModel(tensors, masked, config["profile"], name, fingerprint, device)
    if architecture == "tokens":
        from .tokens import TokenConfig, TokenModel

        fields = {k: v for k, v in config.items() if k not in ("architecture", "profile")}
        return TokenModel(tensors, TokenConfig.from_dict(fields), config["profile"], name, fingerprint, device)
    from .lattice import LatticeModel

    return LatticeModel(tensors, name, fingerprint, device=device, runtime=runtime)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
