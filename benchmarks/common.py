"""What several scripts share: pictures to measure on, other codecs, tables of rows, where they were measured."""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.metadata
import io
import json
import math
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SAMPLES = ("astronaut", "chelsea", "coffee", "rocket")  #: colour photographs that come with scikit-image
LOSSLESS = ["png", "jpegls", "jpeg2000-lossless", "webp-lossless", "avif-lossless", "jxl-lossless"]  #: of the suite
PACKAGES = ("diffcodec", "torch", "numpy", "numba", "constriction", "pillow")


# ---- pictures


def photographs(crop: int | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """scikit-image's pictures that come with it, not downloaded; with ``crop`` their centres, this wide."""
    from skimage import data

    for name in ("astronaut", "coffee", "chelsea", "camera", "coins", "moon", "page", "text", "clock", "rocket"):
        try:
            a = getattr(data, name)()
        except Exception as error:  # not in this release, or only on the network
            print(f"skimage-{name}: not at hand ({type(error).__name__})")
            continue
        yield f"skimage-{name}", np.ascontiguousarray(centre(a, crop) if crop else a)


def centre(picture: np.ndarray, side: int) -> np.ndarray:
    """The middle of a picture (H, W, ...), at most ``side`` pixels a side."""
    y, x = (max(0, (n - side) // 2) for n in picture.shape[:2])
    return picture[y : y + side, x : x + side]


def tiles(path: Path, split: str = "val") -> list[np.ndarray]:
    """The validation or "train" tiles, uint8 (H, W, 3), of a file of `tools.training.prepare_photos`."""
    with np.load(path) as z:
        shapes, pixels = z[f"{split}_shapes"], z[f"{split}_pixels"]
    ends = np.cumsum(shapes.prod(1) * 3)
    return [part.reshape(h, w, 3) for part, (h, w) in zip(np.split(pixels, ends[:-1]), shapes, strict=True)]


def crops(path: Path, side: int = 64) -> list[np.ndarray]:
    """The centre, uint8 (side, side, 3), of every validation tile that is large enough."""
    return [np.ascontiguousarray(centre(tile, side)) for tile in tiles(path) if min(tile.shape[:2]) >= side]


def held_out(path: Path) -> np.ndarray:
    """uint8 (N, 32, 32, 3): the validation split of CIFAR.npz, every tenth training picture unless it brings one."""
    with np.load(path) as z:
        return np.asarray(z["val"]) if "val" in z else z["train"][9::10]


def validation_clips() -> set[str]:
    """Ids of the clips that nothing is trained on."""
    lines = (ROOT / "benchmarks" / "validation-clips.txt").read_text(encoding="utf-8").splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def segments(source: Path, wanted: Callable[[dict[str, str]], bool]) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """(row of the table, frames uint8 (T, H, W, 3)) of an archive of clips, of the rows that are wanted.

    A file holds the frames one below another; the table beside the archive has file, id, w, h, frames, fps of each.
    """
    with zipfile.ZipFile(source) as archive, source.with_suffix(".csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if wanted(row):
                stacked = np.asarray(Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB"))
                yield row, stacked.reshape(int(row["frames"]), int(row["h"]), int(row["w"]), 3)


def pictures(source: Path) -> Iterator[tuple[str, Image.Image]]:
    """Of a folder, of a file of `tools.training.prepare_photos` its validation tiles, or "scikit-image"'s SAMPLES."""
    if str(source) == "scikit-image":
        import skimage.data

        yield from ((name, Image.fromarray(getattr(skimage.data, name)())) for name in SAMPLES)
    elif source.suffix == ".npz":
        yield from ((f"val-{k:03d}", Image.fromarray(tile)) for k, tile in enumerate(tiles(source)))
    else:
        for path in sorted(source.iterdir()):
            if path.suffix.lower() in {".png", ".webp", ".tif", ".bmp"}:
                yield path.name, Image.open(path).convert("RGB")


# ---- other codecs


def classical(image: Image.Image, codec: str) -> int:
    """Bytes of the lossless file by "png", "webp" or "jxl", each at its greatest effort."""
    out = io.BytesIO()
    if codec == "png":
        image.save(out, "PNG", optimize=True)
    elif codec == "webp":
        image.save(out, "WEBP", lossless=True, quality=100, method=6)
    else:
        import pillow_jxl  # noqa: F401

        image.save(out, "JXL", lossless=True, effort=9)
    return len(out.getvalue())


# ---- the diffusion


def signal(logsnr: float) -> tuple[float, float]:
    """(alpha, sigma) of z = alpha x + sigma eps at a log-SNR, alpha^2 = sigmoid(logsnr) and sigma^2 = 1 - alpha^2."""
    alpha, sigma = (1 / math.sqrt(1 + math.exp(-sign * logsnr)) for sign in (1, -1))
    return alpha, sigma


# ---- rows


def arguments(text: str | None) -> argparse.ArgumentParser:
    """A script's parser, told by its docstring; with --save, which `save` and `printed` are given."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "keep the rows in benchmarks/results/SCRIPT/FILE (rows.csv or rows.txt), and in about.json what they come of"
    parser.add_argument("--save", nargs="?", const="", metavar="FILE", help=told)
    return parser


def save(file: str | None, rows: list[dict[str, Any]], digits: int = 5) -> None:
    """Where ``file`` is given, the rows of the script that runs, as `arguments` says."""
    if file is not None:
        path = kept(file or "rows.csv")
        write_rows(path, rows, digits)
        note(path.parent, [path.name], about(command()))


@contextlib.contextmanager
def printed(file: str | None) -> Iterator[None]:
    """Where ``file`` is given, what is printed inside is kept as well, as `arguments` says."""
    if file is None:
        yield
        return
    both = Both(sys.stdout)
    with contextlib.redirect_stdout(both):
        yield
    path = kept(file or "rows.txt")
    path.write_text(both.getvalue(), encoding="utf-8")
    note(path.parent, [path.name], about(command()))


class Both(io.StringIO):
    """Keeps what is printed, and prints it."""

    def __init__(self, out: TextIO):
        super().__init__()
        self.out = out

    def write(self, text: str) -> int:
        self.out.write(text)
        self.out.flush()
        return super().write(text)


def _module() -> str:
    """The script that runs, as `python -m` names it."""
    spec = sys.modules["__main__"].__spec__
    assert spec is not None, "run it by python -m"
    return spec.name


def kept(file: str) -> Path:
    """Where the script that runs keeps a file of its results."""
    path = RESULTS / _module().split(".")[-1] / file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def command() -> str:
    """As it was typed, of paths only the last part."""
    words = (Path(word).name if word.startswith(os.sep) else word for word in sys.argv[1:])
    return " ".join(["python -m", _module(), *words])


def write_rows(path: Path, rows: list[dict[str, Any]], digits: int = 5) -> None:
    """A CSV of rows, a column for each key that one has; floats with so many digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.{digits}f}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)


def about(command: str, packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """What figures depend on: command, day, commit, machine, versions of packages that are installed."""
    from diffcodec.bench.run import machine

    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "versions": ", ".join(versions),
    }


def commit() -> str:
    """The checkout's, "-dirty" where something besides results is not committed, "not known" outside of one."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)

    head = git("rev-parse", "--short", "HEAD").stdout.strip()
    dirty = git("diff-index", "--quiet", "HEAD", "--", ".", ":!benchmarks/results").returncode
    return head + "-dirty" * bool(dirty) if head else "not known"


def note(folder: Path, files: Sequence[str], run: dict[str, Any]) -> None:
    """Say in about.json of a folder of results where these of its files come from; other files' runs stay."""
    path = folder / "about.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.is_file() else []
    runs = [{**old, "files": [name for name in old["files"] if name not in files]} for old in runs]
    runs = [old for old in runs if old["files"]] + [{"files": list(files), **run}]
    path.write_text(json.dumps({"runs": runs}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- the suite


def suite(name: str, folder: Path, work: Path, codecs: Sequence[str], first: int | None = None) -> None:
    """`diffcodec bench` over a folder of pictures; its rows and plots go to benchmarks/results/``name``."""
    from diffcodec.bench import run

    done = run.run(str(folder), str(work), codecs, first=first, command=command(), progress=_told(name))
    for line in done["errors"]:
        print(f"{name}: {line}", flush=True)
    target = RESULTS / name
    target.mkdir(parents=True, exist_ok=True)
    kept = [
        path.name
        for path in sorted(work.iterdir())
        if path.suffix in (".csv", ".svg", ".png") and not path.name.startswith(".")
    ]
    for file in kept:
        shutil.copy(work / file, target / file)
    note(target, kept, json.loads((work / "about.json").read_text()) | {"commit": commit()})
    print(f"{name}: {done['rows']} rows of {done['images']} pictures; page {work / 'report.html'}", flush=True)


def _told(name: str) -> Callable[[float], None]:
    """Progress, a line every two percent."""
    last = 0.0

    def tell(fraction: float) -> None:
        nonlocal last
        if fraction - last >= 0.02 or fraction == 1:
            last = fraction
            print(f"{name} {100 * fraction:.0f} %", flush=True)

    return tell
