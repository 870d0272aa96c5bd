"""Kill `diffcodec pack` with SIGKILL at random moments, let it go on, compare with an undisturbed archive.

    python benchmarks/kills.py PHOTO.png [--kills 20] [--jobs 2]

Each time what stands on the disk is decoded: it may be short, never wrong. No worker process may outlive its parent.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import diffcodec


def children(pid: int) -> list[int]:
    """Processes that this one started (Linux; elsewhere none are found)."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("photo", type=Path)
    ap.add_argument("--kills", type=int, default=20)
    ap.add_argument("--jobs", type=int, default=1)
    args = ap.parse_args()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        root, out, whole = Path(name, "in"), Path(name, "x.dfca"), Path(name, "whole.dfca")
        root.mkdir()
        photo = np.asarray(Image.open(args.photo).convert("RGB"))
        tiles = [photo[y : y + 32, x : x + 32] for y in range(0, 192, 32) for x in range(0, 256, 32)]
        for n, tile in enumerate(tiles):
            Image.fromarray(tile).save(root / f"{n:03}.png")
        code = "import sys; from diffcodec.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", code, "pack", str(root), "--group", "8", "--steps", "20"]
        command += ["--jobs", str(args.jobs)]
        environment = {**os.environ, "PYTHONPATH": str(Path(diffcodec.__file__).parents[1])}
        start = time.monotonic()
        subprocess.run([*command, str(whole)], env=environment, check=True)
        usual = time.monotonic() - start
        killed = finished = 0
        while killed < args.kills:
            process = subprocess.Popen([*command, str(out), "--overwrite"], env=environment, stderr=subprocess.DEVNULL)
            try:
                process.wait(draw.uniform(0.2, 1.0) * usual)
                finished += 1
                assert process.returncode == 0, process.returncode
                assert out.read_bytes() == whole.read_bytes()
                out.unlink()
            except subprocess.TimeoutExpired:
                workers = children(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                end = time.monotonic() + 30
                while any(Path(f"/proc/{pid}").exists() for pid in workers):
                    assert time.monotonic() < end, "a worker outlives its parent"
                    time.sleep(0.1)
                if Path(f"{out}.part").exists():  # what is there decodes to the right pictures or not at all
                    data = Path(f"{out}.part").read_bytes()
                    try:
                        found = diffcodec.decode_archive(data, damaged="skip")
                    except diffcodec.BitstreamError:
                        found = []
                    assert all(np.array_equal(a, b) for a, b in zip(found, tiles, strict=False))
        subprocess.run([*command, str(out), "--overwrite"], env=environment, check=True)
        assert out.read_bytes() == whole.read_bytes()
    print(f"killed {killed} times, finished {finished} times in between: every archive equals the undisturbed one")


if __name__ == "__main__":
    main()
