"""Every codec on every picture or clip of a folder, a row per file; goes on where an interrupted run stopped."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..archive.engines import Engine, EngineName, engine_of
from ..runtime import atomic as output
from ..runtime.errors import InputError
from ..runtime.progress import Progress
from ..runtime.version import __version__
from . import codecs, curves, features, metrics, sources, squeeze
from .measuring import FIELDS, Found, Task, measured
from .point import ALL, Medium
from .published import read as read_published

RATES = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
#: what the quality and the BD-rates of lossy codecs are computed with; lossless ones need nothing of the extra
NEEDED = ("scipy", "torchmetrics", "bjontegaard")
VIEWED = 3  #: pictures, and clips, whose decoded versions the report shows


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
    jobs: int = 1,
    engine: EngineName = "processes",
    published: str | None = None,
    frames: int = sources.FRAMES,
) -> dict[str, Any]:
    """Measure, then write the report. Rows stand in OUT/rows.csv as they come; those there are not measured again.

    names: codecs, NAME, NAME:MODEL or package.module:name (`codecs.find`), all that can run here if None; each measures
    what it is a codec of, pictures or clips. first: only this many of both together. frames: of a clip only the first.
    viewed: of how many the page shows the decoded versions. command: what the report says it was
    made with. jobs, engine: what measures side by side, as of `diffcodec.encode_files`; no row but its seconds depends
    on it. published: a CSV of points to be drawn in (`published.read`).
    Returns rows, images, codecs, errors (lines), skipped (codecs, metrics and curves that are not to be had here, with
    the reason), report. Raises InputError; what is needed and not there is told before anything is measured.
    """
    from . import report

    chosen, skipped = _chosen(names)
    _check_engine(engine, jobs, chosen)
    _check_extra(any(not codec.lossless for codec in chosen.values()))
    others = read_published(published) if published else {}
    if output.same_file(folder, out):
        raise InputError(f"the report would stand among the pictures in {folder}: choose another folder for it")
    rates = sorted(set(rates))
    if not rates or rates[0] <= 0:
        raise InputError("expected rates above 0 bits per pixel")
    found, errors = _sources(folder, first)
    chosen = {name: codec for name, codec in chosen.items() if names or found[codec.medium]}
    skipped = {name: why for name, why in skipped.items() if found[codecs.BY_NAME[name].medium]}
    if idle := [name for name, codec in chosen.items() if not found[codec.medium]]:
        raise InputError(f"{', '.join(idle)}: the folder holds nothing that such a codec takes")
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    rows = _Rows(target, rates)
    _check_extra(any(row["target_bpp"] for row in rows.rows))
    tasks = list(_tasks(found, chosen, rows, viewed, frames))
    errors += _measure_all(tasks, rows, engine_of(engine, jobs), progress)
    if not rows.rows:
        raise InputError(f"nothing could be measured: {errors[-1] if errors else 'no codec'}")
    if any(row["target_bpp"] for row in rows.rows):
        unmeasured = {name: metrics.missing(name) for name in metrics.METRICS}
        unmeasured |= dict.fromkeys(metrics.SETS, features.missing())
        skipped |= {f"metric {name}": f"not measured: {why}" for name, why in unmeasured.items() if why}
        skipped |= {" and ".join(curves.FILES): f"not drawn: {why}"} if (why := curves.missing()) else {}
    about = {
        "command": command or _command(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": f"diffcodec {__version__}, Python {platform.python_version()}, {_versions()}",
    }
    if jobs > 1 or engine != "processes":
        about["measured"] = f"side by side, by the engine {engine}: seconds are of cores that others share"
    if published:
        about["published"] = f"points of {Path(published).name}, drawn in"
    if not features.missing():
        about["FID and KID"] = features.NETWORK
    if not squeeze.missing():
        about["LPIPS-squeeze"] = squeeze.NAME
    page = report.write(target, rows.rows, about, errors, skipped, others)
    return {
        "rows": len(rows.rows),
        "images": len({r["image"] for r in rows.rows} - {ALL}) or sum(map(len, found.values())),
        "codecs": [codec.name for codec in chosen.values()],
        "errors": errors,
        "skipped": skipped,
        "report": str(page),
    }


def _measure_all(tasks: Sequence[Task], rows: _Rows, engine: Engine, progress: Progress | None) -> list[str]:
    """Add rows of all that is to be done; what went wrong, a line each."""
    errors = []
    with engine as workers:
        weighted = ((len(task.names), task) for task in tasks)
        for some in workers.map(measured, weighted, sum(len(task.names) for task in tasks), progress):
            for found in some:
                if found.error:
                    errors.append(f"{found.image}, {found.codec}: {found.error}")
                rows.add(found)
    return errors


def _tasks(
    found: Mapping[Medium, Sequence[Path]], chosen: Mapping[str, codecs.Codec], rows: _Rows, viewed: int, frames: int
) -> Iterator[Task]:
    """What is not done: a picture or a clip by codecs that share files, all pictures by an archive."""
    together: dict[tuple[Medium, str], list[str]] = {}
    for name, codec in chosen.items():
        if not codec.archive:
            together.setdefault((codec.medium, codec.shares or codec.name), []).append(name)
    for medium, paths in found.items():
        every = [some for (own, _), some in together.items() if own == medium]
        for number, path in enumerate(paths):
            for some in every:
                names = tuple(name for name in some if (path.name, chosen[name].name) not in rows.done)
                if names:
                    yield Task((path,), names, tuple(rows.rates), number < viewed, frames)
    for name, codec in chosen.items():
        if codec.archive and (ALL, codec.name) not in rows.done:
            yield Task(tuple(found[codec.medium]), (name,))


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


def _chosen(names: Sequence[str] | None) -> tuple[dict[str, codecs.Codec], dict[str, str]]:
    """(codecs by what they are asked for by, reasons of those that cannot run here)."""
    usual = (name for name, codec in codecs.BY_NAME.items() if codec.usual)
    found = {name: codecs.find(name) for name in names or usual}
    unknown = [name for name, codec in found.items() if codec is None]
    if unknown:
        expected = f"{', '.join(codecs.BY_NAME)}, or package.module:name of one of yours"
        raise InputError(f"expected codecs among {expected}, found {', '.join(unknown)}")
    wanted = {name: codec for name, codec in found.items() if codec is not None}
    twice = [name for name, count in Counter(codec.name for codec in wanted.values()).items() if count > 1]
    if twice:
        raise InputError(f"two codecs are called {' and '.join(twice)}: give one of them another name")
    skipped = {name: reason for name, codec in wanted.items() if (reason := codec.missing())}
    if names and skipped:
        raise InputError("; ".join(f"{name} {reason}" for name, reason in skipped.items()))
    return {name: codec for name, codec in wanted.items() if name not in skipped}, skipped


def _check_engine(engine: EngineName, jobs: int, names: Iterable[str]) -> None:
    """Raise InputError for codecs that another process does not find."""
    here = [name for name in names if not codecs.everywhere(name)]
    if here and (jobs > 1 or engine != "processes"):
        raise InputError(
            f"other processes do not know {', '.join(here)}, which is registered in this one: "
            "give package.module:name, or jobs=1"
        )


def _check_extra(lossy: bool) -> None:
    """Raise InputError where lossy codecs cannot be measured for want of a package."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lossy and missing:
        raise InputError(f"bench of lossy codecs needs {', '.join(missing)}: pip install 'diffcodec[bench]'")


def _sources(folder: str, first: int | None) -> tuple[dict[Medium, list[Path]], list[str]]:
    """(pictures and clips, a line for each file that is neither). Raises InputError where there is none."""
    if not Path(folder).is_dir():
        raise InputError(f"expected a folder of pictures or clips, found {folder}")
    found: dict[Medium, list[Path]] = {medium: [] for medium in sources.READ}
    errors: list[str] = []
    for path in sorted(p for p in Path(folder).iterdir() if p.is_file() and not p.name.startswith(".")):
        if first is not None and sum(map(len, found.values())) == first:
            break
        try:
            found[sources.medium_of(path)].append(path)
        except (InputError, OSError) as error:
            errors.append(f"{path.name}: {error}")
    if not any(found.values()):
        raise InputError(f"expected pictures or clips in {folder}, found none")
    return found, errors


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

    def add(self, found: Found) -> None:
        """Files first: what has rows is not measured again."""
        for name, data in found.kept.items():
            path = self.path.parent / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        if found.rows:
            self._append(found.rows)
            self.rows += [{key: str(value) for key, value in row.items()} for row in found.rows]


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
