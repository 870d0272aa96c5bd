"""Positions of team tracking, each play in a stream of its own, beside general compressors of their differences.

    python -m benchmarks.suites.tracks TRACKS.npz [--first N] [--out tracks.txt]

TRACKS.npz holds plays one after another: `xy` int16 (values, 2) in hundredths, `shape` (plays, 2), the frames and
agents of each, `offset` (plays + 1,), where they begin, `agents`, the names parted by "|", and `split`, "val" for those
that are measured. xz and bz2 are given the second differences as little-endian 16 bits, each column by itself. Every
stream is decoded and compared.
"""

from __future__ import annotations

import argparse
import bz2
import lzma
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

import diffcodec
from diffcodec import Column, Tracks


def plays(path: Path) -> Iterator[Tracks]:
    """Those of the file that are for validation."""
    columns = tuple(Column(name, Decimal("0.01")) for name in ("x, yards", "y, yards"))
    with np.load(path) as z:
        xy, shape, offset, agents, split = (z[key] for key in ("xy", "shape", "offset", "agents", "split"))
    for i in np.flatnonzero(split == "val"):
        values = xy[offset[i] : offset[i + 1]].reshape(*shape[i], 2).astype(np.int64)
        names = tuple(str(agents[i]).split("|"))
        yield Tracks(values, columns, values == -32768, names if len(names) == shape[i][1] else (), (), Fraction(10))


def differences(values: np.ndarray) -> bytes:
    """The second differences over time of (T, A, F), column after column."""
    second = np.diff(values, 2, axis=0, prepend=np.zeros((2, *values.shape[1:]), np.int64))
    return np.ascontiguousarray(second.transpose(1, 2, 0)).astype("<i2").tobytes()


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("--first", type=int)
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    bits: Counter[str] = Counter()
    number = count = 0
    for number, play in enumerate(islice(plays(args.tracks), args.first), 1):
        count += play.units
        data = diffcodec.encode(play)
        if not diffcodec.decode_signal(data).equals(play):
            raise SystemExit(f"play {number} came back changed")
        bare = diffcodec.encode(Tracks(play.values, play.columns, play.missing, rate=play.rate))
        packed = differences(play.values)
        sizes = {"streams": len(data), "streams without names": len(bare)}
        sizes |= {"xz of second differences": len(lzma.compress(packed, preset=9)), "bz2": len(bz2.compress(packed))}
        bits += Counter({name: 8 * size for name, size in sizes.items()})
    lines = [f"{number} plays, {count} coordinates; bits a coordinate"]
    lines += [f"{name} {total / count:.3f}" for name, total in bits.items()]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if args.out:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
