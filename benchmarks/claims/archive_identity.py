"""Whether archives come back the same however they were made and are read: threads, batches, processes, autocast.

    python -m benchmarks.claims.archive_identity PHOTO [--model M ...] [--count 24] [--steps 10]

Tiles of the photograph are encoded in processes of 1 and 2 threads, with one picture a network call, 3, or by size, in
one process and in two; every archive is decoded by a process of 1 thread and by one of 2. A row per model.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import ROOT, arguments, printed

CODE = """
import sys, contextlib, numpy as np, torch, diffcodec
if __name__ == "__main__":
    what, npz, path, model, steps, threads, batch, jobs, auto = sys.argv[1:]
    torch.set_num_threads(int(threads))
    with np.load(npz) as z:
        images = list(z.values())
    around = torch.autocast("cpu", torch.bfloat16) if auto == "True" else contextlib.nullcontext()
    with around:
        if what == "encode":
            data = diffcodec.encode_archive(images, model, steps=int(steps), batch=int(batch) or None,
                                            jobs=int(jobs), group=(len(images) + 1) // 2)
            open(path, "wb").write(data)
        else:
            found = diffcodec.decode_archive(path, model=model, jobs=int(jobs))
            sys.exit(0 if all(np.array_equal(a, b) for a, b in zip(found, images, strict=True)) else 3)
"""


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("photo", type=Path)
    ap.add_argument("--model", nargs="+", default=["photo-vdm-exact", "cifar10-vdm", "photo-vdm"])
    ap.add_argument("--count", type=int, default=24)
    ap.add_argument("--steps", type=int, default=10)
    args = ap.parse_args()
    with printed(args.save):
        measure(args)


def measure(args: argparse.Namespace) -> None:
    photo = np.asarray(Image.open(args.photo).convert("RGB"))
    rows, columns = photo.shape[0] // 32, photo.shape[1] // 32
    at = [divmod(k * rows * columns // args.count, columns) for k in range(args.count)]
    tiles = [photo[32 * y : 32 * y + 32, 32 * x : 32 * x + 32] for y, x in at]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("OMP_NUM_THREADS", None)
    with tempfile.TemporaryDirectory() as folder:
        npz, path = Path(folder, "tiles.npz"), Path(folder, "x.dfca")
        np.savez(npz, *tiles)

        def call(what: str, model: str, threads: int, batch: int, jobs: int, auto: bool) -> int:
            options = [str(v) for v in (npz, path, model, args.steps, threads, batch, jobs, auto)]
            return subprocess.run([sys.executable, "-c", CODE, what, *options], env=environment).returncode

        for model in args.model:
            digests: dict[int, set[str]] = {}
            made = right = 0
            ways = [(1, 0, 1, False), (2, 0, 1, False), (1, 1, 1, False), (2, 3, 1, False), (2, 0, 2, True)]
            for threads, batch, jobs, auto in ways:
                assert call("encode", model, threads, batch, jobs, auto) == 0
                digests.setdefault(batch, set()).add(hashlib.sha256(path.read_bytes()).hexdigest())
                for readers, inside in itertools.product((1, 2), (False, True) if auto else (False,)):
                    made += 1
                    status = call("decode", model, readers, 0, jobs, inside)
                    right += status == 0
                    if status:
                        way = f"encoded by {threads} threads, batch {batch}, {jobs} jobs, autocast {auto}"
                        print(f"{model}: {way}; {readers} threads, autocast {inside}: exit status {status}", flush=True)
            same = all(len(found) == 1 for found in digests.values())
            print(
                f"{model}: {right} of {made} decodings equal the {args.count} pictures; "
                f"archives of {len(ways)} ways, equal where the batch is: {same}",
                flush=True,
            )


if __name__ == "__main__":
    main()
