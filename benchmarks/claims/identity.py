"""The same bytes from any build: encode fixed pictures, check the round trip, print a digest of every stream.

    python -m benchmarks.claims.identity [--out STREAMS]      # write the streams as well
    python -m benchmarks.claims.identity --against STREAMS    # in another environment: same bytes, and each decodes

Pictures: scikit-image's colour photographs whole (with --crop N their centres), synthetic ones of other modes and odd
sizes, and 300 random sizes and modes. Exit status 1 if a picture does not come back or a stream differs.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import diffcodec
from benchmarks.common import arguments, photographs, printed

RANDOM = 300
SHAPES = ((), (1,), (2,), (3,), (4,))


def randoms() -> Iterator[tuple[str, np.ndarray]]:
    """Walks, ramps and noise of random size, channels and depth; NumPy's legacy generator never changes its stream."""
    rng = np.random.RandomState(0)
    for k in range(RANDOM):
        shape = (rng.randint(1, 40), rng.randint(1, 40), *SHAPES[rng.randint(len(SHAPES))])
        depth = 16 if rng.randint(4) == 0 else 8
        top = 2**depth
        kind = rng.randint(3)
        if kind == 0:
            a = rng.randint(0, top, shape)
        else:
            a = rng.randint(-(2 ** (depth - 4)), 2 ** (depth - 4) + 1, shape).cumsum(kind - 1) + top // 2
        yield f"random-{k:03d}", np.clip(a, 0, top - 1).astype(f"u{depth // 8}")


def main() -> None:
    ap = arguments(__doc__)
    ap.add_argument("--out", type=Path)
    ap.add_argument("--against", type=Path)
    ap.add_argument("--crop", type=int, help="only the centre of the photographs, this wide")
    ap.add_argument("--threads", type=int)
    args = ap.parse_args()
    with printed(args.save):
        same = measure(args)
    sys.exit(not same)


def measure(args: argparse.Namespace) -> bool:
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}, {args.threads=}")
    counts = {"pictures": 0, "not bit-exact": 0, "differing": 0, "compared": 0}
    every = hashlib.sha256()
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    for name, picture in [*photographs(args.crop), *randoms()]:
        stream = diffcodec.encode(picture)
        counts["pictures"] += 1
        exact = [np.array_equal(diffcodec.decode(stream), picture)]
        every.update(stream)
        if args.out:
            (args.out / f"{name}.dfc").write_bytes(stream)
        if args.against:
            other = (args.against / f"{name}.dfc").read_bytes()
            counts["compared"] += 1
            counts["differing"] += other != stream
            exact.append(np.array_equal(diffcodec.decode(other), picture))
        counts["not bit-exact"] += not all(exact)
        if not name.startswith("random"):
            model = diffcodec.inspect(stream)["model"] or "context"
            print(f"{name} {picture.shape} {model} {len(stream)} {hashlib.sha256(stream).hexdigest()[:16]}", flush=True)
    print(", ".join(f"{k}: {v}" for k, v in counts.items()), "sha256 of all:", every.hexdigest()[:16])
    return not (counts["not bit-exact"] or counts["differing"])


if __name__ == "__main__":
    main()
