"""Every codec on every picture of a folder, a row per file; goes on where an interrupted run stopped."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..runtime import atomic as output
from ..runtime.errors import InputError
from ..runtime.progress import Progress
from ..runtime.version import __version__
from . import codecs, features, metrics, squeeze
from .point import ALL, view_file

FIELDS = ("image", "codec", "target_bpp", "setting", "bytes", "bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s")
RATES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
#: what the quality and the BD-rates of lossy codecs are computed with; lossless ones need nothing of the extra
NEEDED = ("scipy", "torchmetrics", "bjontegaard")
VIEWED = 3  #: pictures whose decoded versions the report shows
_VIEW = (384, 256)  # width and height of the part that is shown, without further loss


def run(
    folder: str,
    out: str,
    names: Sequence[str] | None = None,
    rates: Sequence[float] = RATES,
    first: int | None = None,
    progress: Progress | None = None,
    *,
    viewed: int = VIEWED,
    command: str | None = None,
) -> dict[str, Any]:
    """Measure, then write the report. Rows stand in OUT/rows.csv as they come; those there are not measured again.

    names: codecs, NAME or NAME:MODEL, all that can run here if None. first: only this many pictures. viewed: of how
    many the page shows the decoded versions. command: what the report says it was made with.
    Returns rows, images, codecs, errors (lines), skipped (codecs, metrics and curves that are not to be had here, with
    the reason), report. Raises InputError; what is needed and not there is told before anything is measured.
    """
    from . import report

    chosen, skipped = _chosen(names)
    _check_extra(any(not codec.lossless for codec in chosen))
    if output.same_file(folder, out):
        raise InputError(f"the report would stand among the pictures in {folder}: choose another folder for it")
    rates = sorted(set(rates))
    if not rates or rates[0] <= 0:
        raise InputError("expected rates above 0 bits per pixel")
    pictures, errors = _pictures(folder, first)
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    rows = _Rows(target, rates)
    _check_extra(any(row["target_bpp"] for row in rows.rows))
    errors += _measure_all(pictures, chosen, rows, viewed, progress)
    if not rows.rows:
        raise InputError(f"nothing could be measured: {errors[-1] if errors else 'no codec'}")
    if any(row["target_bpp"] for row in rows.rows):
        unmeasured = {name: metrics.missing(name) for name in metrics.METRICS}
        unmeasured |= dict.fromkeys(metrics.SETS, features.missing())
        skipped |= {f"metric {name}": f"not measured: {why}" for name, why in unmeasured.items() if why}
        skipped |= {"curves": f"not drawn: {report.missing()}"} if report.missing() else {}
    about = {
        "command": command or _command(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": f"diffcodec {__version__}, Python {platform.python_version()}, {_versions()}",
    }
    if not features.missing():
        about["FID and KID"] = features.NETWORK
    if not squeeze.missing():
        about["LPIPS-squeeze"] = squeeze.NAME
    page = report.write(target, rows.rows, about, errors, skipped)
    return {
        "rows": len(rows.rows),
        "images": len({r["image"] for r in rows.rows} - {ALL}) or len(pictures),
        "codecs": [codec.name for codec in chosen],
        "errors": errors,
        "skipped": skipped,
        "report": str(page),
    }


def _measure_all(
    pictures: Sequence[Path], chosen: Sequence[codecs.Codec], rows: _Rows, viewed: int, progress: Progress | None
) -> list[str]:
    """Add rows of every codec on every picture, but those that are there; what went wrong, a line each."""
    errors = []
    kept = {path.name for path in pictures[:viewed]}
    jobs: list[tuple[Path | None, codecs.Codec]] = [(p, c) for p in pictures for c in chosen if not c.archive]
    jobs += [(None, codec) for codec in chosen if codec.archive]
    for number, (path, codec) in enumerate(jobs):
        name = path.name if path else ALL
        if (name, codec.name) not in rows.done:
            try:
                if path is None:
                    rows.add([_archived(pictures, codec)])
                else:
                    rows.add(_measured(path, codec, rows.rates, rows.path.parent, path.name in kept))
            except Exception as error:  # of any codec: the others go on
                line = " ".join(str(error).split()) or type(error).__name__
                errors.append(f"{name}, {codec.name}: {line}")
        if progress:
            progress((number + 1) / len(jobs))
    return errors


def machine() -> str:
    """Processor, its number, what torch makes of it, and how many others want it: what seconds depend on."""
    import torch

    load = f", load {os.getloadavg()[0]:.0f}" if hasattr(os, "getloadavg") else ""
    kind = torch.backends.cpu.get_cpu_capability()
    return f"{_processor()}, {os.cpu_count()} CPUs, {kind}, {platform.machine()} {platform.system()}{load}"


def _command() -> str:
    """As it was typed, of folders only the last part."""
    if not sys.argv[0].endswith("diffcodec"):
        return "diffcodec bench"
    return " ".join(["diffcodec", *(Path(word).name if os.sep in word else word for word in sys.argv[1:])])


def _chosen(names: Sequence[str] | None) -> tuple[list[codecs.Codec], dict[str, str]]:
    usual = (name for name, codec in codecs.BY_NAME.items() if codec.usual)
    found = {name: codecs.find(name) for name in names or usual}
    unknown = [name for name, codec in found.items() if codec is None]
    if unknown:
        raise InputError(f"expected codecs among {', '.join(codecs.BY_NAME)}, found {', '.join(unknown)}")
    wanted = [codec for codec in found.values() if codec is not None]
    skipped = {codec.name: reason for codec in wanted if (reason := codec.missing())}
    if names and skipped:
        raise InputError("; ".join(f"{name} {reason}" for name, reason in skipped.items()))
    return [codec for codec in wanted if codec.name not in skipped], skipped


def _check_extra(lossy: bool) -> None:
    """Raise InputError where lossy codecs cannot be measured for want of a package."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lossy and missing:
        raise InputError(f"bench of lossy codecs needs {', '.join(missing)}: pip install 'diffcodec[bench]'")


def _pictures(folder: str, first: int | None) -> tuple[list[Path], list[str]]:
    if not Path(folder).is_dir():
        raise InputError(f"expected a folder of pictures, found {folder}")
    found: list[Path] = []
    errors: list[str] = []
    for path in sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith(".")):
        if first is not None and len(found) == first:
            break
        try:
            files.read(path)
            found.append(path)
        except (InputError, OSError) as error:
            errors.append(f"{path.name}: {error}")
    if not found:
        raise InputError(f"expected pictures in {folder}, found none")
    return found, errors


def _original(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = files.read(path)
    return np.ascontiguousarray(np.asarray(picture.to_pillow().convert("RGB")))


def _measured(path: Path, codec: codecs.Codec, rates: Sequence[float], out: Path, viewed: bool) -> list[dict[str, Any]]:
    original = _original(path)
    rows = []
    with_features = not codec.lossless and not features.missing()
    for point in codec.points(original, rates):
        if codec.lossless and not np.array_equal(point.image, original):
            raise ValueError("a lossless codec returned other pixels")
        found = metrics.measure(point.image, original)
        rows.append(_row(path.name, codec.name, point, original.size, found))
        if with_features:
            _feature(point.image, features.file(out, path.name, codec.name, f"{point.target:g}"))
        if viewed and not codec.lossless:
            _keep(point.image, view_file(out, path.name, codec.name, f"{point.target:g}"))
    if with_features:
        _feature(original, features.file(out, path.name, "original", ""))
    if viewed:
        _keep(original, view_file(out, path.name, "original", ""))
    return rows


def _archived(paths: Sequence[Path], codec: codecs.Codec) -> dict[str, Any]:
    """One row for all pictures; its seconds are a picture's share."""
    originals = [_original(path) for path in paths]
    (point,) = codec.points(originals, ())
    share = replace(point, encode_s=point.encode_s / len(paths), decode_s=point.decode_s / len(paths))
    return _row(ALL, codec.name, share, sum(x.size for x in originals), metrics.EQUAL)


def _row(image: str, codec: str, point: codecs.Point, samples: int, found: dict[str, float]) -> dict[str, Any]:
    row = {
        "image": image,
        "codec": codec,
        "target_bpp": "" if point.target is None else f"{point.target:g}",
        "setting": point.setting,
        "bytes": point.size,
        "bpp": f"{8 * point.size / samples * 3:.5f}",
        "bpd": f"{8 * point.size / samples:.5f}",
        "encode_s": f"{point.encode_s:.4f}",
        "decode_s": f"{point.decode_s:.4f}",
    }
    return {**row, **{key: f"{value:.5f}" for key, value in found.items()}}


def _keep(image: np.ndarray, path: Path) -> None:
    """The middle of a picture, for the page's viewer; without further loss."""
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    x, y = (max(0, (n - m) // 2) for n, m in zip(image.shape[1::-1], _VIEW, strict=True))
    part = Image.fromarray(np.ascontiguousarray(image[y : y + _VIEW[1], x : x + _VIEW[0]]))
    part.save(path, lossless=True, method=4)


def _feature(image: np.ndarray, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    np.save(path, features.of(image), allow_pickle=False)


class _Rows:
    """Rows in a CSV file, appended a codec and picture at a time, in one write."""

    def __init__(self, folder: Path, rates: Sequence[float]):
        self.path, self.rates = folder / "rows.csv", rates
        self.rows: list[dict[str, Any]] = []
        self._same_rates(folder / "rates.json", rates)
        if self.path.exists():
            self._read()
        self.done = {(row["image"], row["codec"]) for row in self.rows}

    def _same_rates(self, path: Path, rates: Sequence[float]) -> None:
        """A codec counts as done on a picture whatever the rates were: so they must not change."""
        if path.exists() and self.path.exists():
            before = json.loads(path.read_text())
            if before != list(rates):
                there = ", ".join(f"{rate:g}" for rate in before)
                raise InputError(f"{path.parent} holds rows at {there} bpp: ask for these, or choose another --out")
        path.write_text(json.dumps(list(rates)))

    def _read(self) -> None:
        with self.path.open(newline="") as file:
            text = file.read()
        reader = csv.DictReader(text.splitlines())
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise InputError(f"{self.path} is not a table of this suite: choose another --out")
        self.rows = list(reader)
        torn = [row for row in self.rows if None in row or None in row.values()]
        if not text.endswith("\n"):
            torn += self.rows[-1:]
        if torn:  # a write was cut off: that codec is measured again on that picture
            bad = {(row["image"], row["codec"]) for row in torn}
            self.rows = [row for row in self.rows if (row["image"], row["codec"]) not in bad]
            self.path.unlink()
            self._append(self.rows)

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        block = io.StringIO()
        writer = csv.DictWriter(block, FIELDS)
        if not self.path.exists():
            writer.writeheader()
        writer.writerows(rows)
        with self.path.open("a", newline="") as file:
            file.write(block.getvalue())

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        self._append(rows)
        self.rows += [{key: str(value) for key, value in row.items()} for row in rows]


def _versions() -> str:
    import importlib.metadata

    packages = ("torch", "numpy", "pillow", "pillow-jxl-plugin", "pillow-heif", "imagecodecs", "torchmetrics")
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"
