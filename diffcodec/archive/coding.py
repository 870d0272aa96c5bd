"""One file of many: a picture's file -> the stream that is written, and a stream -> a picture's file.

Runs in worker processes as well, which read and code; who asked writes. `Encoding` and `Decoding` are each other's
mirrors and say the same things of themselves: which files are theirs, what the result is called, how it is made.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from ..codecs import budget as budgets
from ..codecs.reconstruction import Reconstruction
from ..media.medium import Signal
from ..runtime import remote
from ..runtime.errors import DiffcodecError, InputError, ModelError
from ..runtime.hostile import guarded
from ..runtime.limits import Limits
from ..runtime.progress import Progress, Shares, end
from ..runtime.threads import limited
from ..stream.decode import Wanted, decode_all
from ..stream.encode import Sender, encode, stripped
from ..stream.told import told
from ..stream.typed import Inspection, ReconstructionName
from .walking import may_be_picture

SUFFIX = ".dfc"
_OURS = (SUFFIX, ".dfca")
#: tried in this order for what keeps no name of its own
_LOSSLESS = {"PNG": ".png", "TIFF": ".tif", "NPY": ".npy", "Y4M": ".y4m"}
_FRONT = 2**16  # bytes of a stream that its header stands in
_FACTS = ("width", "height", "mode", "codec", "model", "lossless", "bpp", "bpd", "unit")


@dataclass(frozen=True)
class Made:
    """What is to be written for a file.

    facts: of the stream, as `diffcodec.inspect` tells them. seconds: of reading and coding. said: warnings. kept: why
    the source may not be deleted; empty where what was made was decoded, and is all that the source was.
    """

    data: bytes
    input_bytes: int
    facts: dict[str, Any]
    seconds: float
    said: tuple[str, ...] = ()
    kept: str = "it was not compared"


class Coding(Protocol):
    """What is done to each of many files."""

    @property
    def verb(self) -> str:
        """What is done: encode, decode."""

    @property
    def model(self) -> Any:
        """A name, a path, a provider or None."""

    @property
    def device(self) -> str:
        """Where it runs."""

    def check(self, deletes: bool) -> None:
        """Raise InputError for options that no file can be coded with, or after which none could be deleted."""

    def takes(self, path: str) -> bool:
        """Whether a file that was found in a folder is one to code."""

    def named(self, name: str, path: str) -> str:
        """Of the file at ``path``, ``name`` below a folder, the name of what it becomes. Raises DiffcodecError."""

    def shown(self, path: str) -> str:
        """What the front of a file says of it, for a person to read. Raises DiffcodecError, OSError."""

    def make(self, path: str, target: str, compare: bool, progress: Progress | None) -> Made:
        """What ``target`` will hold, of a file; ``compare``: decode it again. Raises DiffcodecError, OSError."""

    def is_of_all(self, error: DiffcodecError) -> bool:
        """Whether an error is no fault of the file that met it: every other would meet it as well."""


@dataclass(frozen=True)
class Encoding:
    """How files become streams: as `diffcodec.encode` takes it; ``first``: only the first frame or page."""

    codec: str | None = None
    model: Any = None
    device: str = "auto"
    wishes: dict[str, Any] = field(default_factory=dict)
    strip: Literal["all", "thumbnail"] | None = None
    first: bool = False
    threads: int | None = None
    verb: str = "encode"

    def _sender(self) -> Sender:
        return Sender.of(self.codec, self.model, self.device, **self.wishes)

    def check(self, deletes: bool) -> None:
        """Raises InputError for wishes that the codec does not meet, and to delete where something would be lost."""
        sender = self._sender()
        if deletes and sender.wish.rates and sender.codec.lossy:
            raise InputError("a source is deleted only where its stream is without loss: leave the rate out")
        if deletes and self.first:
            raise InputError("a source is deleted only where all of it is coded: leave first out")

    def takes(self, path: str) -> bool:
        """Whether it may be a picture; streams and archives are not coded again."""
        return not path.lower().endswith(_OURS) and may_be_picture(path)

    def named(self, name: str, path: str) -> str:
        """The whole name and .dfc, so that a.png and a.jpg become two files. Raises nothing."""
        return name + SUFFIX

    def shown(self, path: str) -> str:
        """Raises InputError for what is no picture, OSError."""
        from .. import files

        with remote.opened(path) as file:
            front = file.read(4096)
        if files.clips.sniff(front):
            return "video"
        form = next(form for form in files.READERS if form.sniff(front))
        size = _size_by_pillow(path)
        if size is None and form is files.READERS[-1]:
            raise InputError("no picture that can be read")
        return f"{form.name}{'' if size is None else f', {size[0]}×{size[1]}'}"

    def make(self, path: str, target: str, compare: bool, progress: Progress | None) -> Made:
        """The stream. Raises InputError, ModelNotFound, ModelMismatch, OSError."""
        from .. import files

        start = time.perf_counter()
        with _recorded() as said, _large_pictures():
            data = _read(path)
            signal = files.read_signal(data, first=self.first)
            lost = bool(said)
            signal = stripped(signal, self.strip)
            shares = Shares(progress, 1 + compare)
            with limited(self.threads):
                stream = encode(signal, self._sender(), shares.take(1))
                kept = "something of it is in no stream" if lost else "it was not compared"
                if compare and not lost:
                    kept = self._unlike(stream, signal, shares.take(1))
        end(progress)
        return Made(stream, len(data), _facts(stream), time.perf_counter() - start, tuple(said), kept)

    def _unlike(self, stream: bytes, signal: Signal, progress: Progress | None) -> str:
        wanted = Wanted(model=self.model, device=self.device, budget=float("inf"), frames=True)
        return "" if _same(signal, decode_all(stream, wanted, progress)) else "its stream decodes to something else"

    def is_of_all(self, error: DiffcodecError) -> bool:
        """A model that is not there."""
        return isinstance(error, ModelError)


@dataclass(frozen=True)
class Decoding:
    """How streams become files: as `diffcodec.decode` takes it."""

    upto_bytes: int | None = None
    reconstruction: ReconstructionName | None = None
    realism: float | None = None
    decoder: Any = None
    model: Any = None
    device: str = "auto"
    max_pixels: int | None = None
    budget: float = 1.0
    threads: int | None = None
    verb: str = "decode"

    @property
    def options(self) -> dict[str, Any]:
        """As arguments of `diffcodec.decode`."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "verb"}

    @property
    def _limits(self) -> Limits:
        return Limits.of(self.max_pixels)

    def check(self, deletes: bool) -> None:
        """Raises InputError for options that contradict each other, and to delete what a preview is taken of."""
        Reconstruction.of(self.reconstruction, self.realism)
        budgets.valid(self.budget)
        if deletes and self.upto_bytes is not None:
            raise InputError("a source is deleted only where all of it is decoded: leave upto_bytes out")

    def takes(self, path: str) -> bool:
        """Whether it ends in .dfc."""
        return path.lower().endswith(SUFFIX)

    def named(self, name: str, path: str) -> str:
        """The name without .dfc, if that is of a format that holds the samples; else with one more suffix.

        Raises BitstreamError for what is no stream, InputError for samples that no file holds, OSError.
        """
        stem = name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name
        return _fitting(stem, self._told(path)["mode"])

    def _told(self, path: str) -> Inspection:
        with remote.opened(path) as file:
            front = file.read(_FRONT)
            file.seek(0, os.SEEK_END)
            whole = file.tell() <= _FRONT
        return told(front, self._limits, partial=not whole or self.upto_bytes is not None)

    def shown(self, path: str) -> str:
        """Raises BitstreamError, OSError."""
        found = self._told(path)
        return f"{found['mode']}, {found['width']}×{found['height']}, {found['codec']}"

    def make(self, path: str, target: str, compare: bool, progress: Progress | None) -> Made:
        """The file, of the format that ``target`` is named by. Raises as `diffcodec.decode`, InputError, OSError."""
        from .. import files

        start = time.perf_counter()
        with _recorded() as said, _large_pictures():
            data = _read(path)[: self.upto_bytes]
            facts = _facts(data, self._limits, self.upto_bytes is not None)
            asked = self.options
            threads, upto = asked.pop("threads"), asked.pop("upto_bytes")
            wanted = Wanted.of(**asked, frames=True, upto=upto)
            with limited(threads):
                signal = _decoded(data, wanted, progress)
            written = files.write_signal(signal, files.format_of(target))
            kept = self._unlike(written, signal, facts) if compare else "it was not compared"
        end(progress)
        return Made(written, len(data), facts, time.perf_counter() - start, tuple(said), kept)

    def _unlike(self, written: bytes, signal: Signal, facts: dict[str, Any]) -> str:
        from .. import files

        if not facts["lossless"]:
            return "a lossy stream tells more than one picture"
        return "" if _same(signal, files.read_signal(written)) else "the file does not hold all of it"

    def is_of_all(self, error: DiffcodecError) -> bool:
        """None: every stream names its own model."""
        return False


def made(task: tuple[Coding, str, str, bool], progress: Progress | None = None) -> Made | DiffcodecError | OSError:
    """What `Coding.make` makes of a file, or why it makes nothing: one bad file stops no other."""
    coding, path, target, compare = task
    try:
        return coding.make(path, target, compare, progress)
    except (DiffcodecError, OSError) as error:
        return error
    except MemoryError:
        return InputError("not enough memory for a picture of this size")
    except Exception as error:  # a fault of ours, of which the other files know nothing
        return DiffcodecError(f"{type(error).__name__}: {error}; please report the file")


@guarded
def _decoded(data: bytes, wanted: Wanted, progress: Progress | None = None) -> Signal:
    return decode_all(data, wanted, progress)


def _same(signal: Signal, other: Signal) -> bool:
    ours, theirs = (signal, *signal.following), (other, *other.following)
    return len(ours) == len(theirs) and all(a.equals(b) for a, b in zip(ours, theirs, strict=True))


def _facts(stream: bytes, limits: Limits | None = None, partial: bool = False) -> dict[str, Any]:
    found = dict(told(stream, limits or Limits(), partial))
    return {key: found[key] for key in _FACTS}


def _fitting(name: str, mode: str) -> str:
    """The name, if it is of a format that holds samples of this mode, or with the suffix of one that does."""
    from .. import files

    with contextlib.suppress(InputError):
        if mode in files.FORMATS[files.format_of(name)]:
            return name
    for format, suffix in _LOSSLESS.items():
        if mode in files.FORMATS[format]:
            return name + suffix
    raise InputError(f"no file that is written holds {mode}: take it from diffcodec.decode_signal")


def _size_by_pillow(path: str) -> tuple[int, int] | None:
    """Width and height, by the header that Pillow reads; None where it reads none."""
    from PIL import Image

    with _large_pictures(), contextlib.suppress(Exception), Image.open(path) as image:
        return image.width, image.height
    return None


def _read(path: str) -> bytes:
    if os.path.isdir(path):
        raise InputError("expected a file, found a folder")
    return remote.read(path)


@contextlib.contextmanager
def _recorded() -> Iterator[list[str]]:
    """Warnings as they come, to be told with the file's name, which a worker process cannot do."""
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: said.append(str(message))
        yield said


@contextlib.contextmanager
def _large_pictures() -> Iterator[None]:
    """Within, Pillow's own guard is off: `files.read` checks sizes itself, before anything is decoded."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
