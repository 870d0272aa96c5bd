"""The bundled models: their cards, and which is the default of what. Importing this loads little."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, TypedDict

FOLDER = Path(__file__).parent / "weights"
DEFAULT = {"ardm": "photo-ardm", "diffc": "photo-octaves", "vdm": "photo-vdm-exact"}
OF_CLIPS = "clip-vdm"  #: the default of clips with loss, and of restoring them
OF_TRACKS = "tracks-ardm"  #: where agents move in a plane
#: of another medium than pictures, where it is bundled
DEFAULT_OF = {("ardm", "clip"): "clip-ardm", ("ardm", "tracks"): OF_TRACKS, ("diffc", "clip"): OF_CLIPS}
CONDITIONAL = "photo-cond"  #: the default where something is given: to restore, and in the stages of a cascade


class _Further(TypedDict, total=False):
    held_out: dict[str, Any]
    poses: int
    flow: dict[str, Any]


class Card(_Further):
    """Of a bundled model, and for which codecs it is the default."""

    name: str
    codec: str
    numerics: str
    config: dict[str, Any]
    fingerprint: str
    bytes: int
    training: dict[str, Any]
    description: str
    data: str
    licence: str
    default_for: list[str]


def cards() -> list[dict[str, Any]]:
    """The cards of the bundled models: name, codec, data, training, held-out figures, licence."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


@functools.lru_cache(64)  # asked at every small picture; the cards stay as they were installed
def name_of(fingerprint: bytes) -> str | None:
    """The bundled model whose fingerprint starts with these bytes."""
    return next((c["name"] for c in cards() if bytes.fromhex(c["fingerprint"]).startswith(fingerprint)), None)


@functools.lru_cache(64)
def shortcut_calls(fingerprint: bytes) -> int:
    """Network calls of the `flow` of the bundled model whose fingerprint starts so, told by its card; 0 if it is not.

    No card tells of a model that is nowhere bundled: it may take as many as any.
    """
    ways = (card.get("flow") for card in cards() if card["name"] == name_of(fingerprint))
    return next((1 + len(way["ahead"]) for way in ways if way), 0) if any(fingerprint) else 0


@functools.lru_cache(64)
def pose_calls(fingerprint: bytes) -> int:
    """Network calls of the mean that is shown by the bundled model whose fingerprint starts so; 0 if none does."""
    found = (card.get("poses", 1) for card in cards() if card["name"] == name_of(fingerprint))
    return next(found, 0) if any(fingerprint) else 0
