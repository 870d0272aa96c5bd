"""Every codec on every picture of a folder, a row per file; goes on where an interrupted run stopped."""

from __future__ import annotations

import csv
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, files
from ..errors import InputError
from . import codecs, metrics

FIELDS = ("image", "codec", "target_bpp", "setting", "bytes", "bpp", "bpd", *metrics.METRICS, "encode_s", "decode_s")
RATES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
VIEWED = 3  #: pictures whose decoded versions the report shows
_VIEW = (384, 256)  # width and height of the part that is shown, without further loss
Progress = Callable[[float], None]


def run(
    folder: str,
    out: str,
    names: Sequence[str] | None = None,
    rates: Sequence[float] = RATES,
    first: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure, then write the report. Rows stand in OUT/rows.csv as they come; those there are not measured again.

    names: codecs, all that can run here if None. first: only this many pictures.
    Returns rows, images, codecs, errors (lines), skipped (codecs that cannot run here, with the reason), report.
    Raises InputError.
    """
    from . import report

    chosen, skipped = _chosen(names)
    if not rates or min(rates) <= 0:
        raise InputError("expected rates above 0 bits per pixel")
    pictures, errors = _pictures(folder, first)
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    rows = _Rows(target / "rows.csv")
    jobs = [(path, codec) for path in pictures for codec in chosen]
    viewed = {path.name for path in pictures[:VIEWED]}
    for number, (path, codec) in enumerate(jobs):
        if (path.name, codec.name) not in rows.done:
            try:
                rows.add(_measured(path, codec, rates, target / "pictures" if path.name in viewed else None))
            except Exception as error:  # of any codec: the others go on
                line = " ".join(str(error).split()) or type(error).__name__
                errors.append(f"{path.name}, {codec.name}: {line}")
        if progress:
            progress((number + 1) / len(jobs))
    if not rows.rows:
        raise InputError(f"nothing could be measured: {errors[-1] if errors else 'no codec'}")
    about = {
        "command": " ".join(["diffcodec", *sys.argv[1:]]) if sys.argv[0].endswith("diffcodec") else "diffcodec bench",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {platform.system()}, {_processor()}",
        "versions": f"diffcodec {__version__}, {_versions()}",
    }
    page = report.write(target, rows.rows, about, errors, skipped)
    return {
        "rows": len(rows.rows),
        "images": len({r["image"] for r in rows.rows}),
        "codecs": [codec.name for codec in chosen],
        "errors": errors,
        "skipped": skipped,
        "report": str(page),
    }


def _chosen(names: Sequence[str] | None) -> tuple[list[codecs.Codec], dict[str, str]]:
    unknown = [name for name in names or () if name not in codecs.BY_NAME]
    if unknown:
        raise InputError(f"expected codecs among {', '.join(codecs.BY_NAME)}, found {', '.join(unknown)}")
    wanted = [codecs.BY_NAME[name] for name in names] if names else list(codecs.CODECS)
    skipped = {codec.name: reason for codec in wanted if (reason := codec.missing())}
    if names and skipped:
        raise InputError("; ".join(f"{name} {reason}" for name, reason in skipped.items()))
    return [codec for codec in wanted if codec.name not in skipped], skipped


def _pictures(folder: str, first: int | None) -> tuple[list[Path], list[str]]:
    if not Path(folder).is_dir():
        raise InputError(f"expected a folder of pictures, found {folder}")
    found, errors = [], []
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


def _measured(path: Path, codec: codecs.Codec, rates: Sequence[float], kept: Path | None) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = files.read(path)
    original = np.asarray(picture.to_pillow().convert("RGB"))
    pixels = original.shape[0] * original.shape[1]
    rows = []
    for point in codec.points(original, sorted(rates)):
        found = metrics.measure(point.image, original)
        if codec.lossless and found["psnr"] < 100:
            raise ValueError("a lossless codec returned other pixels")
        row = {
            "image": path.name,
            "codec": codec.name,
            "target_bpp": "" if point.target is None else f"{point.target:g}",
            "setting": point.setting,
            "bytes": point.size,
            "bpp": f"{8 * point.size / pixels:.5f}",
            "bpd": f"{8 * point.size / pixels / 3:.5f}",
            "encode_s": f"{point.encode_s:.4f}",
            "decode_s": f"{point.decode_s:.4f}",
        }
        rows.append({**row, **{key: f"{value:.5f}" for key, value in found.items()}})
        if kept is not None and not codec.lossless:
            kept.mkdir(exist_ok=True)
            _keep(point.image, kept / f"{path.stem}~{codec.name}~{point.target:g}.webp")
    if kept is not None:
        kept.mkdir(exist_ok=True)
        _keep(original, kept / f"{path.stem}~original.webp")
    return rows


def _keep(image: np.ndarray, path: Path) -> None:
    from PIL import Image

    x, y = (max(0, (n - m) // 2) for n, m in zip(image.shape[1::-1], _VIEW, strict=True))
    Image.fromarray(np.ascontiguousarray(image[y : y + _VIEW[1], x : x + _VIEW[0]])).save(path, lossless=True, method=4)


class _Rows:
    """Rows in a CSV file, appended a codec and picture at a time."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != FIELDS:
                    raise InputError(f"{path} is not a table of this suite: choose another --out")
                self.rows = [row for row in reader if None not in row.values()]  # a torn last line is measured again
        self.done = {(row["image"], row["codec"]) for row in self.rows}

    def add(self, rows: list[dict[str, Any]]) -> None:
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerows(rows)
        self.rows += [{key: str(value) for key, value in row.items()} for row in rows]


def _versions() -> str:
    import importlib.metadata

    packages = ("torch", "numpy", "pillow", "pillow-jxl-plugin", "pillow-heif", "torchmetrics")
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
