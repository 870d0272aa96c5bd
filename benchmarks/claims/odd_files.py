"""Every file of a folder through `diffcodec.files.read`, compared with a second reader where there is one.

    python -m benchmarks.claims.odd_files FOLDER [--save]

Each file is read equal, refused by name (InputError), read with no second reader, different, or has raised a foreign
exception. The folder that the committed figures are of is Tests/images of Pillow's source distribution
(`pip download --no-binary :all: --no-deps pillow`). Exit status 1 if any file was different or raised.
"""

from __future__ import annotations

import collections
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments, save
from diffcodec import InputError, files

EQUAL, REFUSED, ALONE, DIFFERENT, FOREIGN = "read equal", "refused", "read, no second reader", "different", "foreign"
TIMEOUT = 60  # seconds


def _codec(name: str, **options: Any) -> Callable[[bytes], np.ndarray]:
    def decode(data: bytes) -> np.ndarray:
        import imagecodecs

        return np.asarray(getattr(imagecodecs, f"{name}_decode")(data, **options))

    return decode


def _tifffile(data: bytes) -> np.ndarray:
    import io

    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        samples = np.asarray(page.asarray(maxworkers=1))
        if page.photometric == 0:
            samples = (1 << page.bitspersample) - 1 - samples.astype(np.int64)
        if page.photometric == 3 and page.samplesperpixel == 2:  # with alpha
            colours = page.colormap[:, samples[..., 0].astype(np.intp)].transpose(1, 2, 0) >> 8
            samples = np.concatenate([colours, samples[..., 1:]], axis=2)
        elif page.photometric == 3:
            samples = page.colormap[:, samples.astype(np.intp)].transpose(1, 2, 0)
            samples = samples if (samples % 257).any() and (samples % 256).any() else samples >> 8
        return np.moveaxis(samples, 0, 2) if page.axes == "SYX" else samples


def _first_of_gif(data: bytes) -> np.ndarray:
    """Cut to the canvas, over which frames may reach."""
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    return _codec("gif", index=0)(data)[:height, :width]


def _canvas_of_gif(data: bytes) -> np.ndarray:
    """On the whole canvas, which `index=0` leaves out."""
    frames = _codec("gif")(data)
    return frames[0] if frames.ndim > 3 else frames


#: signature -> other readers, tried in order
SECOND: list[tuple[Callable[[bytes], bool], list[Callable[[bytes], np.ndarray]]]] = [
    (lambda d: d[:8] == b"\x89PNG\r\n\x1a\n", [_codec("png")]),
    (lambda d: d[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), [_tifffile, _codec("tiff", index=0)]),
    (lambda d: d[:3] == b"\xff\xd8\xff", [_codec("jpeg8")]),
    (lambda d: d[4:8] == b"jP  " or d[:4] == b"\xff\x4f\xff\x51", [_codec("jpeg2k")]),
    (lambda d: d[4:12] in (b"ftypavif", b"ftypavis"), [_codec("avif", index=0)]),
    (lambda d: d[:4] == b"RIFF" and d[8:12] == b"WEBP", [_codec("webp", index=0)]),
    (lambda d: d[:3] == b"GIF", [_first_of_gif, _canvas_of_gif]),
    (lambda d: d[:2] == b"BM", [_codec("bmp", asrgb=True), _codec("bmp")]),
    (lambda d: d[:4] == b"qoif", [_codec("qoi")]),
    (lambda d: d[:2] == b"\xff\x0a" or d[4:8] == b"JXL ", [_codec("jpegxl", index=0)]),
]


def alike(ours: np.ndarray, theirs: np.ndarray, tolerance: int = 0) -> bool:
    """Whether two readers saw the same: grey may stand as three channels, an opaque alpha be left out, bits be 0 and 1.

    Bits fewer than eight may stand as they are or spread over 8. Colours under alpha 0 may differ where one reader
    knows a single transparent colour only. tolerance: of decoders that round floats (JPEG 2000's irreversible wavelet).
    """
    if theirs.shape[0] == 1 and theirs.shape[1:3] == ours.shape[:2]:
        theirs = theirs[0]
    if theirs.shape[:2] != ours.shape[:2]:
        return False
    a, b = (x.astype(np.float64).reshape(*ours.shape[:2], -1) for x in (ours, theirs))
    if a.shape == b.shape and a.shape[2] == 4 and np.array_equal(a[..., 3], b[..., 3]):  # or CMYK, as Adobe stores it
        seen = a[..., 3:] > 0
        return np.array_equal(a * seen, b * seen)
    if a.shape == b.shape and a.shape[2] == 4 and np.array_equal(a, 255 - b):
        return True
    if a.shape == b.shape and np.abs(a - b).max() <= tolerance:
        return True
    return any(np.array_equal(x, y, equal_nan=True) for x in _forms(a) for y in _forms(b))


def _forms(x: np.ndarray) -> list[np.ndarray]:
    """A picture H×W×C in the forms that readers give it."""
    forms = [x]
    if (
        x.ndim == 3
        and x.shape[2] in (2, 4)
        and (x[..., -1] == x[..., -1].max()).all()
        and x[..., -1].max() in (1, 255, 65535)
    ):
        forms.append(x[..., :-1])
    for form in list(forms):
        if form.ndim == 3 and form.shape[2] == 3 and (form == form[..., :1]).all():
            forms.append(form[..., :1])
        if form.shape[2] == 3 and not form[..., 2].any():
            forms.append(form[..., :2])
        if form.ndim == 3 and form.shape[2] == 4 and (form[..., :3] == form[..., :1]).all():
            forms.append(form[..., [0, 3]])
    top = max((form.max() for form in forms), default=0)
    if 0 < top < 16:
        forms += [form * unit for form in list(forms) for unit in (17, 85, 255)]
    return forms


def read(data: bytes) -> tuple[str, str, str]:
    """(outcome, mode, what was said) of our reader alone."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            picture = files.read(data)
        except InputError as error:
            return REFUSED, "", str(error)
        except Exception as error:
            return FOREIGN, "", f"{type(error).__name__}: {error}"
    return ALONE, picture.mode, "; ".join(str(warning.message) for warning in said)[:400]


def compared(data: bytes) -> tuple[str, str]:
    """(outcome, what was said) of the second readers."""
    warnings.simplefilter("ignore")
    samples, faults = files.read(data).samples, []
    for reader in (reader for sniff, readers in SECOND if sniff(data) for reader in readers):
        try:
            theirs = reader(data)
        except Exception:  # a reader that cannot is no witness
            continue
        if alike(samples, theirs, int(data[4:8] == b"jP  " or data[:4] == b"\xff\x4f\xff\x51")):
            return EQUAL, ""
        faults.append(f"{theirs.dtype.name} {theirs.shape}")
    return (DIFFERENT, " / ".join(faults)) if faults else (ALONE, "")


def apart(work: Callable[[bytes], tuple[str, ...]], data: bytes) -> tuple[str, ...] | str:
    """The result of `work` in a process of its own, or how that ended: readers of some libraries crash or hang."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(work(data)), daemon=True)
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(TIMEOUT) else f"over {TIMEOUT} s"
    except EOFError:
        process.join()
        return f"ended by status {process.exitcode}"
    finally:
        process.kill()
        process.join()


def run(path: Path) -> tuple[str, str, str]:
    """(outcome, mode, what was said) of one file."""
    data = path.read_bytes()
    ours = apart(read, data)
    if isinstance(ours, str):
        return FOREIGN, "", ours
    outcome, mode, note = ours
    if outcome != ALONE:
        return outcome, mode, note
    theirs = apart(compared, data)
    if isinstance(theirs, str) or theirs[0] == ALONE:
        return ours
    return theirs[0], mode, note or theirs[1]


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()

    rows, slowest = [], (0.0, "")
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        start = time.perf_counter()
        outcome, mode, note = run(path)
        slowest = max(slowest, (time.perf_counter() - start, path.name))
        rows.append((path.relative_to(options.folder).as_posix(), outcome, mode, note))
        if outcome in (DIFFERENT, FOREIGN):
            print(*rows[-1], sep=" | ")
    save(options.save, [dict(zip(("file", "outcome", "mode", "note"), row, strict=True)) for row in rows])
    counts = collections.Counter(row[1] for row in rows)
    print(
        f"{len(rows)} files: "
        + ", ".join(f"{counts[name]} {name}" for name in (EQUAL, ALONE, REFUSED, DIFFERENT, FOREIGN))
    )
    print(f"slowest: {slowest[1]}, {slowest[0]:.1f} s with its second readers")
    return 1 if counts[DIFFERENT] + counts[FOREIGN] else 0


if __name__ == "__main__":
    sys.exit(main())
