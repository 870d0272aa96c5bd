"""Kill `diffcodec pack` with SIGKILL at random moments, let it go on, compare with an undisturbed archive.

    python -m benchmarks.claims.kills PHOTO.png [--kills 20] [--jobs 2]

Each time, what stands on the disk is decoded: it may be short, never wrong. No worker process may outlive its parent.
The packing processes are forks of this one, which spares their start; with several jobs their workers start anew.
"""

from __future__ import annotations

import argparse
import os
import random
import runpy
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import diffcodec
from benchmarks.common import arguments, printed


def start(*argv: str) -> int:
    """The process id of a fork that runs `python -m diffcodec` with these arguments."""
    pid = os.fork()
    if pid == 0:
        try:
            sys.argv[1:] = argv
            runpy.run_module("diffcodec", run_name="__main__")
        except SystemExit as stop:
            os._exit(stop.code if isinstance(stop.code, int) else 1)
        finally:
            os._exit(99)
    return pid


def ended(pid: int, seconds: float) -> int | None:
    """Its exit status, or None if it still runs after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def children(pid: int) -> list[int]:
    """Processes that this one started (Linux; elsewhere none are found)."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("photo", type=Path)
    ap.add_argument("--kills", type=int, default=20)
    ap.add_argument("--jobs", type=int, default=1)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a fork has no threads but its first
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        root, out, whole = Path(name, "in"), Path(name, "x.dfca"), Path(name, "whole.dfca")
        part = Path(f"{out}.part")
        root.mkdir()
        photo = np.asarray(Image.open(args.photo).convert("RGB"))
        tiles = [photo[y : y + 32, x : x + 32] for y in range(0, 96, 32) for x in range(0, 256, 32)]
        for n, tile in enumerate(tiles):
            Image.fromarray(tile).save(root / f"{n:03}.png")
        command = ["pack", str(root), "--group", "5", "--steps", "5", "--jobs", str(args.jobs), "--json"]
        diffcodec.encode_archive(tiles[:8], steps=1)  # compiles, and loads the models
        begun = time.monotonic()
        assert ended(start(*command, str(whole)), 3600) == 0
        usual = time.monotonic() - begun
        assert all(np.array_equal(a, b) for a, b in zip(diffcodec.decode_archive(str(whole)), tiles, strict=True))
        killed = finished = partly = 0
        while killed < args.kills:
            pid = start(*command, str(out))
            status = ended(pid, draw.uniform(0.02, 1.0) * usual)
            if status is not None:
                finished += 1
                assert status == 0, status
                assert out.read_bytes() == whole.read_bytes()
                out.unlink()
                continue
            workers = children(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            killed += 1
            end = time.monotonic() + 60
            while any(Path(f"/proc/{worker}").exists() for worker in workers):
                assert time.monotonic() < end, "a worker outlives its parent"
                time.sleep(0.05)
            if out.exists():  # killed between its last rename and its end
                assert out.read_bytes() == whole.read_bytes()
                out.unlink()
            if part.exists():
                try:
                    found = diffcodec.decode_archive(str(part), damaged="skip")
                except diffcodec.BitstreamError:
                    found = []
                assert all(np.array_equal(a, b) for a, b in zip(found, tiles, strict=False))
                partly += bool(found)
        assert ended(start(*command, str(out)), 3600) == 0
        assert out.read_bytes() == whole.read_bytes()
    print(
        f"jobs {args.jobs}: killed {killed} times, with whole groups on the disk {partly} times, finished {finished} "
        "times in between: never a wrong picture, every archive equals the undisturbed one"
    )


if __name__ == "__main__":
    main()
