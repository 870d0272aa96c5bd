"""Prepare a run on a lent GPU machine (`run.py`), all in the ignored folder device/.

    python -m tools.device.prepare wheels                     packages that that machine lacks, for Python 3.12
    python -m tools.device.prepare data SOURCE [--kind cifar] [--part 1]    one file below 40 MB of SOURCE's zips
    python -m tools.device.prepare pack [--train NAME]        set weights aside that the run does not need
    python -m tools.device.prepare unpack                     put them back
    python -m tools.device.prepare hold [--train NAME]        pack, wait for an interrupt or Enter, unpack

`pack` prints the bytes that travel and fails above --budget. `unpack` is safe to call at any time, and again.
SOURCE is a folder of photos-train-*.zip, or of cifar10-train-*.zip (mosaics) and cifar10-part.npz.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.device.plan import ASIDE, DATA, MODULES, ROOT, TRAINED, WHEELS, needed, travelling, weights

BUDGET = 24_000_000  #: bytes of the working tree, without data and wheels
DATA_BUDGET = 39_000_000
TRAVEL_LIMIT = 64 * 2**20  #: bytes of everything
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (28, 27, 17)] + ["manylinux2014_x86_64", "manylinux1_x86_64"]


def fetch_wheels(folder: Path = WHEELS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    platforms = [f"--platform={name}" for name in PLATFORMS]
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--python-version=3.12", "--implementation=cp", *platforms, "--dest", str(folder), *MODULES.values(),
        ],
        check=True,
    )  # fmt: skip
    sizes = [path.stat().st_size for path in folder.glob("*.whl")]
    print(f"{len(sizes)} wheels, {sum(sizes)} bytes: {folder}")


def pack_photos(sources: list[Path], out: Path, part: int, budget: int = DATA_BUDGET) -> None:
    """Photographs as they are in the zips: the validation split, and of the others what fits, from place ``part``.

    The others are in an order of their names' hashes that starts where the part before ended, so that parts differ.
    """
    from tools.training.prepare_photos import is_validation

    where = {}
    for source in sources:
        with zipfile.ZipFile(source) as z:
            where |= {i.filename: (source, i.file_size) for i in z.infolist() if not i.is_dir()}
    held_out = sorted(name for name in where if is_validation(Path(name).name))
    others = sorted(where.keys() - set(held_out), key=lambda name: hashlib.sha256(name.encode()).digest())
    room = budget - sum(where[name][1] + 200 for name in held_out)  # a zip's own bytes for each
    ends = []
    used = 0
    for name in others:
        if used + where[name][1] + 200 > room:
            ends.append(name)
            used = 0
        used += where[name][1] + 200
    starts = [0, *(others.index(name) for name in ends)]
    turned = others[starts[part % len(starts)] :] + others[: starts[part % len(starts)]]
    chosen, used = [], 0
    for name in turned:
        if used + where[name][1] + 200 > room:
            break
        chosen.append(name)
        used += where[name][1] + 200
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for source in sources:
            with zipfile.ZipFile(source) as origin:
                for name in sorted(n for n in (*held_out, *chosen) if where[n][0] == source):
                    z.writestr(name, origin.read(name))
    print(f"{len(chosen)} of {len(others)} photographs (part {part % len(starts)} of {len(starts)}), "
          f"{len(held_out)} held out")  # fmt: skip


def pack_cifar(mosaics: list[Path], part: Path, out: Path, budget: int = DATA_BUDGET) -> None:
    """Mosaics of training pictures as they are, the held-out split as one, further training pictures while they fit."""
    import numpy as np
    from PIL import Image

    from tools.training.cifar_data import SIDE, load_cifar
    from tools.training.prepare_cifar import COLUMNS, ROWS

    def mosaic(images: np.ndarray) -> bytes:
        full = np.zeros((ROWS * COLUMNS, SIDE, SIDE, 3), np.uint8)
        full[: len(images)] = images
        grid = full.reshape(ROWS, COLUMNS, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
        file = io.BytesIO()
        Image.fromarray(grid.reshape(ROWS * SIDE, -1, 3)).save(file, "WEBP", lossless=True, quality=50, method=4)
        return file.getvalue()

    val, more = load_cifar(part, "val"), load_cifar(part, "train")
    entries = {f"val-{len(val)}.webp": mosaic(val)}
    for source in mosaics:
        with zipfile.ZipFile(source) as z:
            entries |= {f"train-{source.stem}-{n}": z.read(n) for n in sorted(z.namelist()) if n.endswith(".webp")}
    for at in range(0, len(more) - ROWS * COLUMNS + 1, ROWS * COLUMNS):
        name, data = f"train-part-{at:05d}.webp", mosaic(more[at : at + ROWS * COLUMNS])
        if sum(map(len, entries.values())) + len(data) > budget:
            break
        entries[name] = data
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, data in entries.items():
            z.writestr(name, data)
    print(f"{len(entries) - 1} mosaics of {ROWS * COLUMNS} training pictures, {len(val)} held out")


def pack_data(source: Path, kind: str, part: int, folder: Path = DATA) -> None:
    """The one data file, whatever was there before."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    out = folder / f"{kind}.zip"
    if kind == "photos":
        pack_photos(sorted(source.glob("photos-train-*.zip")), out, part)
    else:
        pack_cifar(sorted(source.glob("cifar10-train-*.zip")), source / "cifar10-part.npz", out)
    print(f"{out}: {out.stat().st_size} bytes, crc {zlib.crc32(out.read_bytes()):08x}")


# ---- weights set aside


def set_aside(paths: list[Path], root: Path = ROOT, aside: Path = ASIDE) -> None:
    """Move weights out of the working tree; nothing has moved if anything fails or interrupts."""
    try:
        for path in paths:
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).replace(aside / path)
    except BaseException:
        put_back(root, aside)
        raise


def put_back(root: Path = ROOT, aside: Path = ASIDE) -> int:
    """Move back whatever is set aside; returns how many files that were. A file that stands in the way is kept."""
    count = 0
    for path in sorted(aside.rglob("*.safetensors")) if aside.is_dir() else []:
        place = root / path.relative_to(aside)
        if place.exists():
            if place.read_bytes() != path.read_bytes():
                print(f"{place.relative_to(root)} is another file than the one set aside, which stays at {path}")
                continue
            path.unlink()
        else:
            path.replace(place)
        count += 1
    return count


def pack(train: str, budget: int, root: Path = ROOT, aside: Path = ASIDE) -> None:
    """Set aside what ``train`` does not need; put everything back and exit if more than ``budget`` would travel."""
    put_back(root, aside)
    kept = needed(train, budget, root)
    set_aside([path for path in weights(root) if path not in kept], root, aside)
    try:
        files = travelling(root)
        total = sum(files.values())
        for path in sorted(weights(root)):
            print(f"goes along: {path}, {files[path]} bytes")
        print(f"set aside: {', '.join(sorted(p.name for p in aside.rglob('*.safetensors'))) or 'nothing'}")
        carried = sum(p.stat().st_size for folder in (WHEELS, DATA) if folder.is_dir() for p in folder.iterdir())
        print(f"the working tree travels with {total} bytes, {carried} of data and wheels beside it")
        if total >= budget:
            largest = ", ".join(f"{p} ({n})" for p, n in sorted(files.items(), key=lambda item: -item[1])[:8])
            raise SystemExit(f"expected less than {budget} bytes to travel, found {total}: all is back; {largest}")
        if total + carried > TRAVEL_LIMIT:
            raise SystemExit(f"{total + carried} bytes in all, {TRAVEL_LIMIT} can travel: all is back; pack less data")
    except BaseException:
        put_back(root, aside)
        raise


@contextmanager
def packed(train: str, budget: int, root: Path = ROOT, aside: Path = ASIDE) -> Iterator[None]:
    """`pack`, and `put_back` however the block ends, by SIGTERM too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        pack(train, budget, root, aside)
        yield
    finally:
        print(f"{put_back(root, aside)} files are back")
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["wheels", "data", "pack", "unpack", "hold"])
    ap.add_argument("source", type=Path, nargs="?")
    ap.add_argument("--kind", choices=["photos", "cifar"], default="photos")
    ap.add_argument("--part", type=int, default=0, help="which part of the photographs: other runs, other pictures")
    ap.add_argument("--train", choices=sorted(TRAINED), default="photo-ardm-wide")
    ap.add_argument("--budget", type=int, default=BUDGET, help="bytes of the working tree that may travel")
    args = ap.parse_args()
    if args.what == "wheels":
        fetch_wheels()
    elif args.what == "data":
        if args.source is None:
            ap.error("data needs SOURCE")
        pack_data(args.source, args.kind, args.part)
    elif args.what == "pack":
        pack(args.train, args.budget)
    elif args.what == "unpack":
        print(f"{put_back()} files are back")
    else:
        with packed(args.train, args.budget):
            print("packed; Enter or an interrupt puts everything back", flush=True)
            try:
                if not sys.stdin.readline():  # no terminal: until a signal
                    signal.pause()
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    main()
