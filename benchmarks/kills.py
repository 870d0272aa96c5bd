"""Kill `diffcodec pack` with SIGKILL at random moments, let it go on, compare with an undisturbed archive.

python benchmarks/kills.py PHOTO.png [--kills 20]
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


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("photo", type=Path)
    ap.add_argument("--kills", type=int, default=20)
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
        command = [sys.executable, "-c", code, "pack", str(root), "--group", "8", "--steps", "20", "--jobs", "1"]
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
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
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
