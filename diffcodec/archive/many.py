"""Many files, each coded by itself: what is to be written where, then one after another or side by side.

One file that cannot be read, coded or written stops no other. What is written appears whole or not at all; a source is
deleted only when what stands on the disk in its place was decoded and is all that it was.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..runtime import atomic as output
from ..runtime import remote
from ..runtime.errors import DiffcodecError, InputError
from ..runtime.progress import Progress
from ..stream.typed import CodecName, ReconstructionName, Wishes
from .coding import Coding, Decoding, Encoding, Made, made
from .engines import Engine, EngineName, engine_of
from .engines import check as check_workers
from .names import folded
from .walking import files_below, size_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

Path = str | os.PathLike[str]
Sources = Path | Iterable[Path] | Mapping[Path, Path]
Status = Literal["written", "skipped", "planned", "left out", "failed"]


@dataclass(frozen=True)
class FileResult:
    """What came of one file.

    source, target: paths; ``target`` is empty where none could be named. status: "written"; "skipped", for the target
    was there; "planned", with ``note`` what the source's front says; "left out" of a folder, and ``note`` says why;
    "failed", for ``error``, a DiffcodecError or OSError. input_bytes, output_bytes: of the two files. seconds: that
    coding took. facts: of the stream, keys of `diffcodec.inspect`. warnings: as they were given. deleted: whether the
    source is.
    """

    source: str
    target: str
    status: Status
    input_bytes: int = 0
    output_bytes: int = 0
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: DiffcodecError | OSError | None = None
    note: str = ""
    deleted: bool = False


@dataclass(frozen=True)
class Placing:
    """Where files are written, and what of them: as `encode_files` takes it."""

    out_dir: str | None = None
    recursive: bool = False
    overwrite: bool = False
    skip_existing: bool = False
    delete_source: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done, in order. results: of what needs no work already, None for each that is to be coded."""

    pairs: list[tuple[str, str]]
    results: list[FileResult | None]

    def __len__(self) -> int:
        """Files that are to be coded."""
        return self.results.count(None)


def encode_files(
    sources: Sources,
    out_dir: Path | None = None,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
    delete_source: bool = False,
    dry_run: bool = False,
    jobs: int = 1,
    engine: EngineName = "processes",
    codec: CodecName | None = None,
    model: Any = None,
    device: str = "auto",
    strip: Literal["all", "thumbnail"] | None = None,
    first: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    **wishes: Unpack[Wishes],
) -> Iterator[FileResult]:
    """Encode files, each as a `.dfc` beside it or in ``out_dir``; one `FileResult` after another as they are done.

    sources:  paths, patterns ("photos/**/*.png") and, with ``recursive``, folders, whose structure is kept below
              ``out_dir``; or a mapping of each source to its target. The target of a.png is a.png.dfc.
    recursive: take folders, and in them all that may be pictures; without it a folder is an error of its own.
    overwrite, skip_existing: of targets that are there already; a source itself is never replaced.
    delete_source: of each source, when what was written decodes to it, samples, metadata and frames; else it stays,
              and a warning in the result says why. Only without loss.
    dry_run:  write nothing and read fronts of files only.
    jobs:     processes, each of which loads the model once; 1 is this process. Then ``model`` is a name or a path.
    engine:   "processes" of this machine, or "ray": actors of a Ray cluster, ``jobs`` at most. This one reads their
              names and writes what they make; they read the sources, which lie where all of them see them.
    first:    only the first frame or page of each. The other options, ``wishes`` too, are those of `diffcodec.encode`.

    Raises InputError at once for options that no file can be coded with, ModelNotFound and ModelMismatch with the first
    file; of a single file nothing is raised, its result has the error.
    """
    coding = Encoding(codec, model, device, dict(wishes), strip, first, threads)
    placing = Placing(_text(out_dir), recursive, overwrite, skip_existing, delete_source, dry_run)
    return run(plan(sources, coding, placing), coding, placing, jobs, progress, engine)


def decode_files(
    sources: Sources,
    out_dir: Path | None = None,
    *,
    recursive: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
    delete_source: bool = False,
    dry_run: bool = False,
    jobs: int = 1,
    engine: EngineName = "processes",
    upto_bytes: int | None = None,
    realism: float | None = None,
    reconstruction: ReconstructionName | None = None,
    decoder: Any = None,
    model: Any = None,
    device: str = "auto",
    max_pixels: int | None = None,
    budget: float = 1.0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[FileResult]:
    """Decode `.dfc` files to pictures, the mirror of `encode_files`; options as there and as of `diffcodec.decode`.

    a.png.dfc becomes a.png, a.jpg.dfc a.jpg.png: what has no lossless suffix gets that of a format which holds it. Of
    a folder those that end in .dfc are decoded. A source is deleted where its file reads back as it was decoded.
    """
    coding = Decoding(
        upto_bytes, reconstruction, realism, decoder, model, device, max_pixels, budget, threads
    )
    placing = Placing(_text(out_dir), recursive, overwrite, skip_existing, delete_source, dry_run)
    return run(plan(sources, coding, placing), coding, placing, jobs, progress, engine)


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)


# ---- what is to be done


def plan(sources: Sources, coding: Coding, placing: Placing) -> Plan:
    """What is to be written where; fronts of files are read, nothing is written. Raises InputError."""
    coding.check(placing.delete_source)
    if placing.overwrite and placing.skip_existing:
        raise InputError("targets that are there are either replaced or skipped: leave overwrite or skip_existing out")
    if placing.out_dir is not None and os.path.exists(placing.out_dir) and not os.path.isdir(placing.out_dir):
        raise InputError(f"expected a folder to write to, found the file {placing.out_dir}")
    planner = _Planner(coding, placing)
    if isinstance(sources, Mapping):
        for source, target in sources.items():
            planner.add(os.fspath(source), os.fspath(target))
    else:
        one = (sources,) if isinstance(sources, (str, os.PathLike)) else sources
        for source in one:
            planner.expand(os.fspath(source))
    return planner.plan()


class _Planner:
    """Pairs of paths as they are found, and results of those that need no work."""

    def __init__(self, coding: Coding, placing: Placing):
        self._coding, self._placing = coding, placing
        self._found: dict[tuple[str, str], FileResult | None] = {}
        self._seen: set[str] = set()  # real paths of sources

    def expand(self, source: str) -> None:
        """A path, a folder or a pattern."""
        if remote.is_remote(source):
            self._one(source, source.rpartition("/")[2])
        elif os.path.isdir(source):
            self._folder(source)
        elif os.path.lexists(source) or not glob.has_magic(source):
            self._one(source, os.path.basename(source))
        else:
            self._pattern(source)

    def _folder(self, folder: str) -> None:
        if not self._placing.recursive:
            self._fail(folder, InputError("expected a file, found a folder: give recursive (-r)"))
            return
        for name in files_below(folder, lambda *one: self._leave_out(folder, *one)):
            path = os.path.join(folder, *name.split("/"))
            if self._is_result(folder, path):
                continue
            if self._coding.takes(path):
                self._one(path, name)
            else:
                self._leave_out(folder, name, f"nothing to {self._coding.verb}", False)

    def _is_result(self, folder: str, path: str) -> bool:
        """Whether a file lies where results go, below the folder that is read: these are not coded again."""
        out = self._placing.out_dir
        return out is not None and _below(out, folder) and _below(path, out)

    def _pattern(self, pattern: str) -> None:
        """Windows shells leave patterns to their programs. Names are kept below the part that is no pattern."""
        root = pattern
        while glob.has_magic(root):
            root = os.path.dirname(root)
        paths = sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))
        for path in paths:
            self._one(path, os.path.relpath(path, root or "."))
        if not paths:
            self._fail(pattern, InputError("no file has a name like this"))

    def _one(self, source: str, name: str) -> None:
        elsewhere = remote.is_remote(source)
        real = source if elsewhere else os.path.realpath(source)
        if real in self._seen:  # named twice
            return
        self._seen.add(real)
        try:
            if not elsewhere:
                os.stat(source)
            target = self._coding.named(name, source)
        except (DiffcodecError, OSError) as error:
            self._fail(source, error)
            return
        folder = self._placing.out_dir
        self.add(source, os.path.join(os.path.dirname(source) if folder is None else folder, *self._parts(target)))

    def _parts(self, name: str) -> list[str]:
        """Parts of a name; beside its source a file stands in the folder that it is in already."""
        return [os.path.basename(name)] if self._placing.out_dir is None else name.replace(os.sep, "/").split("/")

    def add(self, source: str, target: str) -> None:
        """A source and its target."""
        self._seen.add(os.path.realpath(source))
        self._found[source, target] = None

    def _fail(self, source: str, error: DiffcodecError | OSError, target: str = "") -> None:
        self._found[source, target] = FileResult(source, target, "failed", error=error)

    def _leave_out(self, folder: str, name: str, reason: str, failed: bool) -> None:
        path = os.path.join(folder, *name.split("/"))
        if failed:
            self._fail(path, InputError(reason))
        else:
            self._found[path, ""] = FileResult(path, "", "left out", note=reason)

    def plan(self) -> Plan:
        """All of it, what stands against each file looked for."""
        taken: dict[str, str] = {}
        for (source, target), result in self._found.items():
            if result is None:
                self._found[source, target] = self._settled(source, target, taken)
        return Plan(list(self._found), list(self._found.values()))

    def _settled(self, source: str, target: str, taken: dict[str, str]) -> FileResult | None:
        """What comes of a pair without work; None where there is work. taken: targets of others, and whose they are."""
        size = os.path.getsize(source) if os.path.isfile(source) else 0
        try:
            other = taken.setdefault(folded(os.path.abspath(target)), source)
            if other != source:
                raise InputError(f"{target} is what {other} becomes: choose another folder")
            if output.same_file(source, target) or os.path.realpath(target) in self._seen:
                raise InputError(f"{target} is one of the files to {self._coding.verb}: choose another folder or name")
            if self._placing.skip_existing and os.path.isfile(target):
                return FileResult(source, target, "skipped", size, os.path.getsize(target))
            if os.path.exists(target) or remote.is_remote(target):
                output.check(target, self._placing.overwrite)
            if self._placing.dry_run:
                return FileResult(source, target, "planned", size, note=self._coding.shown(source))
        except (DiffcodecError, OSError) as error:
            return FileResult(source, target, "failed", size, error=error)
        return None


def _below(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


# ---- doing it


def run(
    plan: Plan,
    coding: Coding,
    placing: Placing,
    jobs: int = 1,
    progress: Progress | None = None,
    engine: EngineName = "processes",
) -> Iterator[FileResult]:
    """The results of a plan in its order, each as soon as it is there; ``progress`` goes by bytes of the sources.

    Raises InputError for a model that no other process can be sent, and where a worker process was killed; what
    `Coding.is_of_all`.
    """
    check_workers(jobs, coding.model, engine)
    return _run(plan, coding, placing, engine_of(engine, jobs, coding.device), progress)


def _run(
    plan: Plan, coding: Coding, placing: Placing, engine: Engine, progress: Progress | None
) -> Iterator[FileResult]:
    work = [pair for pair, result in zip(plan.pairs, plan.results, strict=True) if result is None]
    sizes = [size_of(source) for source, _ in work]
    tasks = zip(sizes, ((coding, *pair, placing.delete_source) for pair in work), strict=True)
    with engine as workers:
        coded = workers.map(made, tasks, sum(sizes), progress)
        for (source, target), result in zip(plan.pairs, plan.results, strict=True):
            if result is None:
                result = _finished(source, target, _next(coded), placing)
                if isinstance(result.error, DiffcodecError) and coding.is_of_all(result.error):
                    raise result.error
            yield result
        for _ in coded:  # there is none: it says that all is done
            pass


def _next(coded: Iterator[Made | DiffcodecError | OSError]) -> Made | DiffcodecError | OSError:
    """Raises InputError where a worker is gone."""
    from concurrent.futures.process import BrokenProcessPool

    try:
        return next(coded)
    except BrokenProcessPool:
        raise InputError(
            "a worker process was killed, as it is where memory runs out: take fewer processes; what was written stays"
        ) from None


def _finished(source: str, target: str, found: Made | DiffcodecError | OSError, placing: Placing) -> FileResult:
    """Write what was made, and delete the source if that is wanted and can be."""
    if not isinstance(found, Made):
        return FileResult(source, target, "failed", size_of(source), error=found)
    try:
        if placing.out_dir is not None and not remote.is_remote(target):
            os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        output.write(target, found.data, placing.overwrite)
    except (DiffcodecError, OSError) as error:
        return FileResult(source, target, "failed", found.input_bytes, error=error)
    said, deleted = found.said, False
    if placing.delete_source:
        reason = found.kept or _delete(source, target, found)
        said, deleted = (*said, f"{source} is not deleted: {reason}") if reason else said, not reason
    sizes = found.input_bytes, len(found.data), found.seconds
    return FileResult(source, target, "written", *sizes, found.facts, said, deleted=deleted)


def _delete(source: str, target: str, found: Made) -> str:
    """Delete a source whose target holds what was compared; why not, or nothing where it is deleted."""
    try:
        with open(target, "rb") as file:
            if file.read() != found.data:
                return f"{target} does not hold what was written"
        os.unlink(source)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
