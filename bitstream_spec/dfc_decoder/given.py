"""SPEC.md §2.3: conditions of what a model was given, as far as the models that this reader knows take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import media, modes
from .refused import refuse

OPERATORS = ("box", "luma", "chroma", "mask", "crop")
#: channels of what is seen of a grey picture, and of one in colour; None where there is nothing
CHANNELS = {"box": (1, 3), "luma": (1, 1), "chroma": (None, 3), "mask": (1, 3), "crop": (1, 3)}
L, L1, RGB, BILEVEL = 0, 1, 3, 32  #: modes


@dataclass
class Observed:
    """The picture of a nested stream, (rows, columns, channels), and what it shows of the picture.

    ``known``: of a mask, bool (rows, columns).
    """

    operator: str
    numbers: list[int]
    augmentation: int | None
    samples: np.ndarray
    known: np.ndarray | None = None


@dataclass
class Told:
    """A text."""

    prompt: str


@dataclass
class Before:
    """Frames of the group before, (K, H, W, 3)."""

    frames: np.ndarray
    augmentation: int | None


def check(part: dict[str, Any], mode: int) -> None:
    """The modes of a nested stream and of its mask, for a picture of ``mode``, and whether a mask needs a model."""
    if part["kind"] != "stream":
        return
    photo = modes.MODES[mode][2] if mode in modes.MODES else 0
    operator = OPERATORS[part["operator"]]
    channels = dict(zip((1, 3), CHANNELS[operator], strict=True)).get(photo)
    if part["stream"]["header"]["mode"] not in {1: (L, L1), 3: (RGB,), None: ()}[channels]:
        refuse("CorruptStream", "a nested stream of a mode that cannot be given for this picture")
    if "mask" in part:
        header, palette = part["mask"]["header"], part["mask"]["palette"]
        if header["mode"] != BILEVEL:
            refuse("CorruptStream", "a mask that is no bilevel picture")
        entries = None if palette is None else bytes.fromhex(palette)
        planes = media.planes_of(header, entries)
        if header["codec"] != 0 or planes.rest[:1] not in (b"\1", b"\2"):
            refuse("CorruptStream", "a mask that needs a model")


def condition(
    part: dict[str, Any], picture: Callable[[dict[str, Any]], np.ndarray], behind: np.ndarray | None
) -> Observed | Told | Before:
    """What a model takes of a part. By name what no model here takes.

    picture: decodes a nested stream. behind: the frames of the group before, (T, H, W, 3), if there is one.
    """
    if part["kind"] == "before":
        if behind is None:
            refuse("UnsupportedVersion", "frames of the group before, where none is")
        if part["count"] > len(behind):
            refuse("CorruptStream", "more frames than the group before has")
        return Before(behind[-part["count"] :], part.get("augmentation"))
    if part["kind"] == "text":
        return Told(part["prompt"])
    if part["kind"] != "stream":
        refuse("ModelMismatch", f"no model of this reader takes what was given: {part['kind']}")
    header = part["stream"]["header"]
    known = picture(part["mask"]).reshape(header["height"], header["width"]) != 0 if "mask" in part else None
    samples = picture(part["stream"]).reshape(header["height"], header["width"], -1)
    return Observed(OPERATORS[part["operator"]], part["numbers"], part["augmentation"], samples, known)
