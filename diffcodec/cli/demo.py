"""A photograph through the codecs: what it becomes, pass by pass, beside PNG, WebP and JPEG.

Each stage is told as soon as it is done. What only a first run does, compiling, is done before anything is timed, and
on two cores: the context coder's kernels, half of all, are compiled by a process of their own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

import numpy as np

from .. import api, files
from ..media.picture import Picture
from ..runtime import atomic as output
from ..runtime import compiling
from ..runtime.errors import InputError
from ..runtime.progress import Progress
from . import console, peers
from .sheet import sheet

T = TypeVar("T")

FILES = ("photo.dfc", "photo.png", "previews.png", "lossy.dfc", "lossy.png", "lossy-previews.png")
_LOSSY_BPP = 0.5
_LOSSY_SIDE = 256  #: of the part that is coded with loss, which takes minutes for a megapixel
_FACE = (0, 96)  #: row and column of that part in the astronaut
_CORNER = 72  #: side of the part that is coded once before anything is timed, large enough for every kernel
_CORNER_BYTES = 600
_SHOWN = 8  #: previews of a lossy stream in their sheet, at most

Tell = Callable[[str], None]


def run(
    directory: str, image: str | None = None, *, model: Any = None, device: str = "auto", tell: Tell | None = None
) -> dict[str, Any]:
    """Encode and decode a photograph without and with loss, and write FILES to ``directory``.

    image: a path; None is scikit-image's astronaut. What an earlier demo left there is replaced, ``image`` itself never
    (InputError). model: for the lossless part; device: as for `encode`. tell: takes a line when a stage is done.
    Returns the figures: sizes in bytes, times in seconds, quality in dB.
    """
    stages = _Stages(tell or (lambda line: None))
    paths = {name: os.path.join(directory, name) for name in FILES}
    if image is not None and any(output.same_file(image, path) for path in paths.values()):
        raise InputError(f"{image} is a file that the demo writes: choose another --out")
    picture = _photograph(image, stages)
    os.makedirs(directory, exist_ok=True)
    _prepare(picture, model, device, stages)
    written: list[str] = []

    def write(name: str, data: bytes) -> None:
        output.write(paths[name], data, True)
        written.append(paths[name])

    lossless = _without_loss(picture, model, device, stages, write)
    lossy = _with_loss(picture, _FACE if image is None else None, device, stages, write)
    stages.tell(f"wrote {', '.join(os.path.basename(path) for path in written)} to {directory}")
    shown = image or "scikit-image astronaut"
    size = {"width": picture.width, "height": picture.height}
    return {"picture": shown, **size, **lossless, "lossy": lossy, "files": written}


class _Stages:
    """Stages one after another: a bar while one is under way, lines when it is done."""

    def __init__(self, tell: Tell):
        self.tell = tell

    def do(self, what: str, work: Callable[[Progress | None], T]) -> tuple[T, float]:
        """(what ``work`` returned, seconds that it took)."""
        with console.bar(what) as progress:
            start = time.perf_counter()
            done = work(progress)
            return done, time.perf_counter() - start


def _photograph(image: str | None, stages: _Stages) -> Picture:
    picture, _ = stages.do(
        "reading the photograph", lambda _: Picture.from_any(_astronaut()) if image is None else files.read(image)
    )
    name = image or "scikit-image astronaut"
    stages.tell(f"{console.line(name)}, {picture.width}×{picture.height}, mode {picture.mode}")
    return picture


def _prepare(picture: Picture, model: Any, device: str, stages: _Stages) -> None:
    """Load the networks and compile what has not been compiled yet, by coding a corner of the picture."""

    def work(_: Progress | None) -> None:
        with _compiled_aside():
            if _is_photo(corner):
                with contextlib.suppress(InputError):  # too small
                    api.decode(api.encode(corner, "diffc", max_bytes=_CORNER_BYTES, device=device), device=device)
        api.decode(api.encode(corner, model=model, device=device), model=model, device=device)

    corner = _cut(picture, _CORNER)
    before = compiling.seconds()
    _, seconds = stages.do("getting ready", work)
    compiled = compiling.seconds() - before >= 1
    stages.tell(
        f"  ready in {seconds:.1f} s" + ("; kernels were compiled, which only a first run does" if compiled else "")
    )


@contextlib.contextmanager
def _compiled_aside() -> Iterator[None]:
    """Meanwhile compile the context coder's kernels in another process, and wait for that at the end.

    Where they are on disk already the process has nothing to do, and where it cannot start they are compiled later.
    """
    context = multiprocessing.get_context("spawn")
    compiles = context.Event()
    process = context.Process(target=_compile_context_coder, args=(compiles,), daemon=True)
    with contextlib.suppress(OSError):
        process.start()
    try:
        yield
        if process.pid is not None:
            _wait(process, compiles)
    finally:
        if process.pid is not None and process.is_alive():
            process.terminate()


def _wait(process: BaseProcess, compiles: Event) -> None:
    """For the end of a process; the bar says so if it compiles."""
    told = False
    while process.is_alive():
        if compiles.is_set() and not told:
            compiling.elsewhere(True)
            told = True
        process.join(0.1)
    if told:
        compiling.elsewhere(False)


def _compile_context_coder(compiles: Event) -> None:
    """In a process of its own: floats go through the context coder, which needs no network. Failing costs time only."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    compiling.watch(lambda begins: compiles.set())
    with contextlib.suppress(Exception):
        api.decode(api.encode(np.zeros((8, 8), np.float32)))


# ---- without loss


def _without_loss(
    picture: Picture, model: Any, device: str, stages: _Stages, write: Callable[[str, bytes], None]
) -> dict[str, Any]:
    """The whole picture and back, beside PNG and WebP: figures, each told as it comes."""
    data, encoding = stages.do(
        "encoding without loss", lambda bar: api.encode(picture, model=model, device=device, progress=bar)
    )
    write("photo.dfc", data)
    stages.tell(f"  without loss: {len(data)} bytes, encoded in {encoding:.1f} s")
    decoded, decoding = stages.do(
        "decoding", lambda bar: api.decode_picture(data, model=model, device=device, progress=bar)
    )
    identical = bool(np.array_equal(decoded.samples, picture.samples))
    told = "every pixel is identical to the original" if identical else "PIXELS DIFFER"
    stages.tell(f"  decoded in {decoding:.1f} s: {told}")
    (png, webp), _ = stages.do(
        "coding as PNG and WebP", lambda _: (peers.png_bytes(picture), peers.webp_bytes(picture))
    )
    for name, size in (("PNG (optimised)", png), ("WebP lossless", webp)):
        if size is not None:
            stages.tell(f"  {name}: {size} bytes ({100 * (len(data) / size - 1):+.1f} % with diffcodec)")

    def previews(bar: Progress | None) -> list[api.Preview]:
        found = _previews(data, bar, model=model, device=device)
        if len(found) > 1:
            del found[-2]  # the last pass again, before its check
        write("photo.png", files.write(decoded, "PNG"))
        write("previews.png", peers.png(sheet(found, decoded)))
        return found

    shown, _ = stages.do("drawing previews", previews)
    stages.tell(f"  {len(shown)} previews, the first from {shown[0].bytes_read} bytes")
    info = api.inspect(data)
    return {
        "model": info["model"],
        "identical": identical,
        "bytes": len(data),
        "bpp": info["bpp"],
        "bpd": info["bpd"],
        "png_bytes": png,
        "webp_bytes": webp,
        "encode_seconds": round(encoding, 3),
        "decode_seconds": round(decoding, 3),
        "previews": [{"bytes": p.bytes_read, "bpp": p.bpp} for p in shown],
    }


def _previews(data: bytes, bar: Progress | None, **options: Any) -> list[api.Preview]:
    found = []
    for preview in api.decode_progressive(data, **options):
        found.append(preview)
        if bar:
            bar(preview.bytes_read / len(data))
    return found


# ---- with loss


def _with_loss(
    picture: Picture, corner: tuple[int, int] | None, device: str, stages: _Stages, write: Callable[[str, bytes], None]
) -> dict[str, Any] | None:
    """A part of the picture, from a corner or its middle, as a stream of DiffC, its previews, and JPEG of its size.

    None for what is no photograph.
    """
    if not _is_photo(picture):
        return None
    part = _cut(picture, _LOSSY_SIDE, corner)
    try:
        data, encoding = stages.do(
            f"encoding at {_LOSSY_BPP} bits per pixel",
            lambda bar: api.encode(part, "diffc", bpp=_LOSSY_BPP, device=device, progress=bar),
        )
    except InputError:  # too small for a stream of that rate
        return None
    write("lossy.dfc", data)
    where = "the picture" if part.samples.shape == picture.samples.shape else "a part of it"
    bpp = 8 * len(data) / (part.width * part.height)
    stages.tell(
        f"  with loss, {where}, {part.width}×{part.height}: {len(data)} bytes, {bpp:.2f} bits per pixel, "
        f"encoded in {encoding:.1f} s"
    )
    previews, walking = stages.do(
        "decoding, mean", lambda bar: _previews(data, bar, reconstruction="mean", device=device)
    )
    mean = peers.psnr(previews[-1].image, part.samples)
    stages.tell(f"  mean: {mean:.1f} dB, with {len(previews)} previews in {walking:.1f} s")
    shown, decoding = stages.do(
        "decoding, more real",
        lambda bar: api.decode_picture(data, device=device, progress=bar),
    )
    real, jpeg = peers.psnr(shown.samples, part.samples), peers.jpeg_within(part, len(data))
    stages.tell(f"  as it is decoded by default: {real:.1f} dB, looks sharper, decoded in {decoding:.1f} s")
    quality = None if jpeg is None else peers.psnr(jpeg, part.samples)
    if quality is not None:
        stages.tell(f"  JPEG of that size: {quality:.1f} dB")
    few = previews[:: max(1, -(-len(previews) // _SHOWN))]
    few = [*few, previews[-1]] if few[-1] is not previews[-1] else few
    write("lossy.png", files.write(shown, "PNG"))
    write("lossy-previews.png", peers.png(sheet(few, shown)))
    return {
        "width": part.width,
        "height": part.height,
        "bytes": len(data),
        "bpp": bpp,
        "psnr_mean": round(mean, 2),
        "psnr_default": round(real, 2),
        "psnr_jpeg": None if quality is None else round(quality, 2),
        "encode_seconds": round(encoding, 3),
        "decode_seconds": round(decoding, 3),
        "previews": [{"bytes": p.bytes_read, "bpp": p.bpp} for p in previews],
    }


# ---- pictures, and what others make of them


def _is_photo(picture: Picture) -> bool:
    return bool(picture.info.photo) and picture.info.sample == "u1"


def _cut(picture: Picture, side: int, corner: tuple[int, int] | None = None) -> Picture:
    """A part of at most this many rows and columns: from a corner (row, column), or the middle."""
    height, width = picture.samples.shape[:2]
    y, x = corner or (max(0, (height - side) // 2), max(0, (width - side) // 2))
    return Picture(np.ascontiguousarray(picture.samples[y : y + side, x : x + side]), picture.mode)


def _astronaut() -> Any:
    try:
        from skimage import data
    except ImportError:
        raise InputError(
            'the demo photograph comes with scikit-image: pip install "diffcodec[demo]", or give --image PATH'
        ) from None
    return data.astronaut()  # type: ignore[no-untyped-call]
