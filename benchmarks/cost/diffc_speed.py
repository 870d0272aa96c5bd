"""DiffC by effort: network calls, bytes, PSNR of `mean`, seconds each way; and beside another checkout, in turn.

    python -m benchmarks.cost.diffc_speed PICTURE ... [--bpp 0.5] [--efforts 1 5 9] [--against CHECKOUT]

Seconds are those of the process's processors, of the whole call, after one that compiles and loads; with two or more
turns the least of them. ``--against`` is a folder with another version of the package: the same pictures by it, in a
process of its own between ours, so that the ratio is of one machine under one load.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments, save

#: one picture by whatever version is on the path: what it prints is a line of JSON
ONE = """
import json, sys, time
import numpy as np
from PIL import Image
import diffcodec
path, bpp, options = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
image = np.asarray(Image.open(path).convert("RGB"))
small = diffcodec.encode(image[:80, :80], "diffc", bpp=1.0, **options)
diffcodec.decode(small, reconstruction="mean")
clock = time.process_time
start = clock()
data = diffcodec.encode(image, "diffc", bpp=bpp, **options)
middle = clock()
back = diffcodec.decode(data, reconstruction="mean")
end = clock()
diffcodec.decode(data, reconstruction="flow")
flow = clock() - end
calls = diffcodec.inspect(data).get("decode_cost", {}).get("network_calls", 0)  # older ones do not tell
mse = float(np.mean((back.astype(float) - image) ** 2))
print(json.dumps({"bytes": len(data), "calls": calls, "mse": mse,
                  "encode_s": middle - start, "decode_s": end - middle, "decode_flow_s": flow}))
"""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--bpp", type=float, default=0.5)
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 3, 5, 7, 9])
    parser.add_argument("--against", type=Path, help="a folder with another version of the package")
    parser.add_argument("--turns", type=int, default=1)
    args = parser.parse_args()
    kinds: list[tuple[str, Path, dict[str, int]]] = [
        (f"effort {effort}", Path.cwd(), {"effort": effort}) for effort in args.efforts
    ]
    if args.against is not None:
        kinds.append((f"before ({_commit(args.against)})", args.against.resolve(), {}))
    rows = [_row(name, folder, options, args) for name, folder, options in kinds]
    for row in rows:
        if args.against is not None:
            row["encode_ratio"] = row["encode_s"] / rows[-1]["encode_s"]
            row["decode_ratio"] = row["decode_s"] / rows[-1]["decode_s"]
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)
    save(args.save, rows, 4)


def _row(name: str, folder: Path, options: dict[str, int], args: argparse.Namespace) -> dict[str, Any]:
    """Means over the pictures."""
    every = []
    for picture in args.pictures:
        turns = [_one(picture, args.bpp, folder, options) for _ in range(args.turns)]
        best = {key: min(turn[key] for turn in turns) for key in turns[0]}
        every.append(best | {"psnr": 10 * math.log10(65025 / best["mse"])})
        print(f"  {name}, {picture.name}: {every[-1]}", file=sys.stderr, flush=True)
    keys = ("bytes", "calls", "psnr", "encode_s", "decode_s", "decode_flow_s")
    return {"what": name} | {key: float(np.mean([row[key] for row in every])) for key in keys}


def _one(picture: Path, bpp: float, folder: Path, options: dict[str, int]) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", ONE, str(picture.resolve()), str(bpp), json.dumps(options)]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(f"{picture.name}, after {time.monotonic() - start:.0f} s: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _commit(folder: Path) -> str:
    done = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or folder.name


if __name__ == "__main__":
    main()
