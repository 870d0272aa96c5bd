"""One picture or clip by some codecs, or all pictures by an archive: what is measured, in whatever process does it.

What is to be kept comes back as bytes, so that only the process that asked writes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.progress import Progress
from . import codecs, features, metrics, sources
from .point import ALL, SHOWN, view_file

FIELDS = (
    "image", "frames", "codec", "target_bpp", "setting", "bytes", "bpp", "bpd", *metrics.METRICS,
    "encode_s", "decode_s",
)  # fmt: skip
_VIEW = (384, 256)  # width and height of the part that is shown, without further loss


@dataclass(frozen=True)
class Task:
    """What is to be measured.

    paths: a picture or a clip, or all of an archive. names: codecs, as `codecs.find` takes them. rates: bits per pixel.
    viewed: whether the page is to show what they decode to. frames: of a clip, that are measured.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    rates: tuple[float, ...] = ()
    viewed: bool = False
    frames: int = sources.FRAMES


@dataclass(frozen=True)
class Found:
    """What came of one codec: rows of FIELDS, files to be kept, by their paths below the report, or what went wrong."""

    image: str
    codec: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    error: str = ""


def measured(task: Task, progress: Progress | None) -> list[Found]:
    """One for each codec; what goes wrong with one costs only its own rows."""
    return [_measured(task, name) for name in task.names]


def _measured(task: Task, name: str) -> Found:
    image = ALL
    try:
        codec = codecs.find(name)
        if codec is None:
            raise ValueError("it is not known here")
        if reason := codec.missing():
            raise ValueError(reason)
        if codec.archive:
            return Found(ALL, codec.name, [archived(task.paths, codec)])
        image = task.paths[0].name
        return of_source(task.paths[0], codec, task.rates, task.viewed, task.frames)
    except Exception as error:  # of any codec: the others go on
        return Found(image, name, error=" ".join(str(error).split()) or type(error).__name__)


def of_source(path: Path, codec: codecs.Codec, rates: Sequence[float], viewed: bool, frames: int) -> Found:
    """Every file of a codec. Raises ValueError where it decodes to what it must not, and what the codec raises."""
    source = sources.READ[codec.medium](path, frames)
    found = Found(path.name, codec.name)
    found.kept.update(_kept(source.pixels, path.name, "original", "", viewed, not codec.lossless))
    for point in codec.points(source.given, rates):
        image = _checked(point, source.pixels, codec.lossless)
        found.rows.append(_row(path.name, codec.name, point, source, source.distances(image)))
        if not codec.lossless:
            found.kept.update(_kept(image, path.name, codec.name, f"{point.target:g}", viewed, True))
    return found


def _checked(point: codecs.Point, original: np.ndarray, lossless: bool) -> np.ndarray:
    """What a file decodes to. Raises ValueError for no picture of the original's kind, and other pixels than it has."""
    if point.image.dtype != np.uint8 or point.image.shape != original.shape:
        expected, told = original.shape, f"{point.image.dtype} {point.image.shape}"
        raise ValueError(f"expected a decoded picture uint8 {expected}, found {told}")
    if lossless and not np.array_equal(point.image, original):
        raise ValueError("a lossless codec returned other pixels")
    return point.image


def archived(paths: Sequence[Path], codec: codecs.Codec) -> dict[str, Any]:
    """One row for all pictures; its seconds are a picture's share."""
    originals = [sources.READ[codec.medium](path, 1).pixels for path in paths]
    (point,) = codec.points(originals, ())
    share = replace(point, encode_s=point.encode_s / len(paths), decode_s=point.decode_s / len(paths))
    every = np.concatenate([x.reshape(1, -1, 3) for x in originals], 1)  # of which samples alone are counted
    return _row(ALL, codec.name, share, sources.Source(every, every, every.size), metrics.EQUAL)


def _row(
    image: str, codec: str, point: codecs.Point, source: sources.Source, found: dict[str, float]
) -> dict[str, Any]:
    row = {
        "image": image,
        "frames": source.frames,
        "codec": codec,
        "target_bpp": "" if point.target is None else f"{point.target:g}",
        "setting": point.setting,
        "bytes": point.size,
        "bpp": f"{8 * point.size / source.units:.5f}",
        "bpd": f"{8 * point.size / source.samples:.5f}",
        "encode_s": f"{point.encode_s:.4f}",
        "decode_s": f"{point.decode_s:.4f}",
    }
    return {**row, **{key: f"{value:.5f}" for key, value in found.items()}}


def _kept(
    image: np.ndarray, name: str, codec: str, target: str, viewed: bool, with_features: bool
) -> Iterator[tuple[str, bytes]]:
    """(path below the report, bytes): features, for FID and KID; the middle, for the page, without further loss."""
    if with_features and image.ndim == 3 and not features.missing():
        block = io.BytesIO()
        np.save(block, features.of(image), allow_pickle=False)
        yield features.file(Path(), name, codec, target).as_posix(), block.getvalue()
    if viewed:
        yield view_file(Path(), name, codec, target).as_posix(), _view(image)


def _view(image: np.ndarray) -> bytes:
    from PIL import Image

    frames = (image if image.ndim == 4 else image[None])[:SHOWN]
    y, x = (max(0, (n - m) // 2) for n, m in zip(frames.shape[1:3], _VIEW[::-1], strict=True))
    part = Image.fromarray(np.concatenate(frames[:, y : y + _VIEW[1], x : x + _VIEW[0]]))
    out = io.BytesIO()
    part.save(out, "WEBP", lossless=True, method=4)
    return out.getvalue()
