"""A decoder of the payloads of .dfc streams and .dfca archives, written from the documents beside it. NumPy alone.

Slow on purpose: one way to do each thing. `reader.py` finds the chunks, :func:`samples` makes samples of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import archive, clips, context, diffc, given, lattice, media, metadata, modes, numbers, ordered, tracks, vdm
from .captioned import CaptionedUNet
from .clip_unet import ClipUNet
from .conditional import GivenUNet
from .models import Models
from .octaves import Octaves
from .refused import Refused, refuse
from .unet import FloatUNet, White

__all__ = ["Models", "Refused", "archive", "digest", "metadata", "modes", "samples", "vdm", "whole"]

EXTRA = 8  #: planes of a pass


def digest(found: dict[str, Any], out: np.ndarray) -> bytes:
    """All 32 bytes of the digest of samples of a stream, as `reader.parse` describes it."""
    palette = None if found["palette"] is None else bytes.fromhex(found["palette"])
    all_of_it: bytes = media.planes_of(found["header"], palette).digest(out)
    return all_of_it


def whole(found: dict[str, Any], models: Models) -> np.ndarray:
    """The samples of a whole stream; of a clip or tracks those of all groups."""
    groups = found.get("frames", []) if found["header"]["mode"] in media.GROUPED else []
    parts, behind = [], None
    for one in (found, *groups):
        made, behind = _samples(one, models, behind)
        parts.append(made)
    return np.ma.concatenate(parts) if isinstance(parts[0], np.ma.MaskedArray) else np.concatenate(parts)


def samples(found: dict[str, Any], models: Models) -> np.ndarray:
    """The samples of a whole stream, as `reader.parse` describes it, its digest met.

    Of a lossy stream the "mean", whose samples no document fixes to the last bit.
    """
    return _samples(found, models, None)[0]


def _samples(
    found: dict[str, Any], models: Models, behind: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The samples of a stream, and of a lossy clip its frames for the next group; ``behind``: those of the one before.

    Frames are photo planes, (T, H, W, 3).
    """
    header, passes = found["header"], [bytes.fromhex(p) for p in found["passes"]]
    palette = None if found["palette"] is None else bytes.fromhex(found["palette"])
    H, W = header["height"], header["width"]
    planes = media.planes_of(header, palette)
    for behind in found.get("frames", []):
        media.check_behind(header, behind["header"])
    for part in found.get("given", []):
        given.check(part, header["mode"])
    shape, frames = (H, W, planes.n_photo), None
    if header["codec"] == 0:
        photo, extra = _ardm(found, planes, passes, shape, models)
    else:
        photo, extra = _diffc(found, planes, passes, shape, models, behind)
        if isinstance(planes, media.Clip):
            frames = photo.reshape(planes.T, -1, *photo.shape[1:])
    out = planes.samples(photo, extra)
    told = bytes.fromhex(found["digest"])
    if told and not planes.digest(out).startswith(told):
        refuse("DecodeMismatch", "the digest of the samples")
    return out, frames


def _extra(passes: list[bytes], H: int, W: int, count: int, decode: Any = context.decode) -> np.ndarray:
    parts = [min(EXTRA, count - at) for at in range(0, count, EXTRA)]
    if len(parts) != len(passes):
        refuse("CorruptStream", f"{len(passes)} passes of extra planes where there are {len(parts)}")
    found = [np.array(decode(p, H, W, n), np.uint8) for p, n in zip(passes, parts, strict=True)]
    return np.concatenate([np.zeros((H, W, 0), np.uint8), *found], 2)


def _ardm(
    found: dict[str, Any], planes: Any, passes: list[bytes], shape: tuple[int, int, int], models: Models
) -> tuple[np.ndarray, np.ndarray]:
    header, params = found["header"], planes.rest
    method = params[0] if params else -1
    bare = method in (1, 2, 5)
    if not 0 <= method <= 9 or (method in (2, 5, 7)) != (planes.n_photo == 0) or (bare and len(params) > 1):
        refuse("CorruptStream", "the method of ARDM")
    if method == 5 and planes.n_extra % 2:
        refuse("CorruptStream", "the method of ARDM")
    if header["statistics"] != (method == 4):
        refuse("CorruptStream", "header and parameters disagree on statistics of values")
    if found["adjustment"] is not None and method not in (0, 3, 4, 8):
        refuse("CorruptStream", "an adjustment of a network that the stream does not use")
    if "given" in found:
        if method not in (0, 3, 4, 8):
            refuse("CorruptStream", "something was given to a model that the stream does not use")
        refuse("ModelMismatch", "no model of ARDM takes what was given")
    if method == 7:
        model = models.find(bytes.fromhex(header["fingerprint"]), header["model"])
        if model[0]["architecture"] != "tracks-ardm-1":
            refuse("ModelMismatch", f"tracks with a model of architecture {model[0]['architecture']}")
        return np.zeros(shape, np.uint8), tracks.decode(params[1:], passes, *shape[:2], planes.n_extra, model)
    split = max(0, len(passes) - -(-planes.n_extra // EXTRA))
    first, last = passes[:split], passes[split:]
    if method in (2, 5):
        if first:
            refuse("CorruptStream", "passes of photo planes that are not there")
        photo = np.zeros(shape, np.uint8)
    elif method == 1:
        if len(first) != 1:
            refuse("CorruptStream", "another number of passes than one")
        photo = np.array(context.decode(first[0], *shape), np.uint8)
    else:
        config, tensors = models.find(bytes.fromhex(header["fingerprint"]), header["model"])
        kind = config["architecture"].split("-")[0]
        if kind != {3: "masked", 6: "clip", 9: "clip"}.get(method, "lattice"):
            refuse("ModelMismatch", f"method {method} with a model of architecture {config['architecture']}")
        if found["adjustment"] is not None:
            if method == 3:
                refuse("ModelMismatch", "an adjustment of a network that has none")
            tensors = lattice.adjusted(tensors, bytes.fromhex(found["adjustment"]))
        if method in (6, 9):
            decode = clips.decode if method == 6 else clips.decode_between
            photo = decode(params[1:], first, shape, getattr(planes, "T", 1), tensors, config["past"])
        elif method == 3:
            model = ordered.Masked(tensors, config)
            photo = ordered.decode(params[1:], first, shape, header["seed"], model)
        else:
            told = method in (4, 8)
            tables = params[1] if told and len(params) > 1 else 0
            if tables > 7 or (shape[2] != 3 and tables > 1) or (method == 4 and not tables):
                refuse("CorruptStream", "the tables of statistics")
            photo = lattice.decode(params[1 + told :], first, shape, tensors, tables, method == 8)
    return photo, _extra(last, shape[0], shape[1], planes.n_extra, numbers.decode if method == 5 else context.decode)


#: by what is given, the models that take it
TAKERS: dict[type, tuple[type, ...]] = {
    given.Told: (CaptionedUNet,), given.Observed: (White, GivenUNet), given.Before: (ClipUNet,),
}  # fmt: skip


def octaves_of(config: dict[str, Any], tensors: dict[str, np.ndarray], models: Models) -> Octaves:
    """Of a configuration, whose denoiser is another model."""
    of, its = models.find(bytes.fromhex(config["fingerprint"]), config["of"])
    if of["architecture"] != "vdm-unet-1":
        refuse("ModelMismatch", f"this reader has no eps_hat of architecture {of['architecture']}")
    return Octaves(tensors, config, FloatUNet(its, of))


def _diffc(
    found: dict[str, Any],
    planes: Any,
    passes: list[bytes],
    shape: tuple[int, int, int],
    models: Models,
    behind: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    header, params = found["header"], planes.rest
    if header["statistics"] or found["palette"] is not None:
        refuse("CorruptStream", "statistics of values or a palette in a stream of diffc")
    if params and (params[0] in (1, 3)) != bool(found["digest"]):
        refuse("CorruptStream", "a digest where none belongs, or none where one does")
    config, tensors = models.find(bytes.fromhex(header["fingerprint"]), header["model"])
    known = {
        "white": lambda: White(),
        "vdm-unet-1": lambda: FloatUNet(tensors, config),
        "vdm-unet-given-1": lambda: GivenUNet(tensors, config),
        "vdm-unet-clip-1": lambda: ClipUNet(tensors, config, planes.T if isinstance(planes, media.Clip) else 1),
        "vdm-unet-text-1": lambda: CaptionedUNet(tensors, config),
        "octaves-1": lambda: octaves_of(config, tensors, models),
    }
    if config["architecture"] not in known:
        refuse("ModelMismatch", f"this reader has no eps_hat of architecture {config['architecture']}")
    model = known[config["architecture"]]()
    for part in found.get("given", []):
        told = given.condition(part, lambda inner: samples(inner, models), behind)
        if not isinstance(model, TAKERS[type(told)]):
            refuse("ModelMismatch", f"{config['architecture']} does not take what was given: {part['kind']}")
        model = model.given(told)
    return diffc.decode(params, passes, shape, planes.n_extra, header["seed"], model, "given" in found)
