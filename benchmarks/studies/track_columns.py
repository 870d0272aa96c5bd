"""What columns beside places gain by each part of their prediction, of plays for training.

    python -m benchmarks.studies.track_columns FOOTBALL.npz [--plays N] [--out F]

Bytes of speed, orientation and direction (see `benchmarks.suites.tracks`) by the context coder, of the differences
that suit it, a stream for each; and by `diffcodec.codecs.ardm.columns`: predicted by their own past on a line, on a
circle of 360 degrees, and by how agents move as well. Coefficients are counted, gaps are not.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

import diffcodec
from benchmarks.suites.tracks import NAMES, plays
from diffcodec import Tracks
from diffcodec.codecs.ardm.columns import Motion, fitted
from diffcodec.entropy import running

TURN = 36000


def by_context(play: Tracks, n: int) -> float:
    """Bytes of the stream of a column."""
    part = slice(n, n + 1)
    return len(diffcodec.encode(Tracks(play.values[..., part], play.columns[part], play.gaps[..., part])))


def by_prediction(play: Tracks, n: int, circle: int, moving: bool) -> float:
    there = ~play.gaps[..., n]
    least = 0 if circle else int(play.values[..., n][there].min())
    values = np.where(there, play.values[..., n] - least, 0)
    motion = Motion.of(np.ascontiguousarray(play.values[..., :2]), ~play.gaps[..., 0])
    if not moving:
        motion = Motion(np.zeros_like(motion.lengths), np.full_like(motion.directions, -1))
    column = fitted(values, there, motion, circle)
    width = int(values.max()).bit_length()
    _, freqs = column.running(motion, there, width).intervals(values)
    return running.bits(freqs) / 8 + len(column.to_bytes())


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("--plays", type=int, default=4)
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    every = list(islice(plays(args.tracks, len(NAMES), "train"), args.plays))
    rows = ["column,context,line,circle,motion"]
    for n, name in enumerate(NAMES[2:], 2):
        circle = TURN if "degrees" in name else 0
        ways = [
            sum(by_context(play, n) for play in every),
            sum(by_prediction(play, n, 0, False) for play in every),
            sum(by_prediction(play, n, circle, False) for play in every),
            sum(by_prediction(play, n, circle, True) for play in every),
        ]
        rows.append(f'"{name}",' + ",".join(f"{size:.0f}" for size in ways))
        print(rows[-1], flush=True)
    if args.out:
        args.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
