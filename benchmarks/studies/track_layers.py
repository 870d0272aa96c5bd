"""Tracks whose beginning shows all frames: what that costs, and how near it is, of plays that were held out.

    python -m benchmarks.studies.track_layers FOOTBALL.npz [--plays N] [--out FOLDER]

Of the first N plays for validation (see `benchmarks.suites.tracks`) without names, positions alone and all columns:
bytes of a stream and of one in layers, every 4th and every 8th frame first; of those the bytes up to the end of the
first layer, and how far the places that it shows are from the true ones, as the root of the mean square, in yards. A
table, with FOLDER as `rows.csv`; and beside it a plot of the first play by the first layer and by the whole,
`play.png`, which needs matplotlib.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np

import diffcodec
from benchmarks.suites.tracks import NAMES, plays
from diffcodec import Tracks
from diffcodec.codecs.ardm import track_layers, tracks

STEP = 0.01  #: yards of a cell


def streams(play: Tracks, every: int) -> tuple[bytes, int]:
    """(the stream with every so many frames first, where its first layer ends)."""

    def layers_of(positions: np.ndarray, here: np.ndarray) -> object:
        return track_layers.layers_of(positions, here, every)

    with mock.patch.object(tracks, "EVERY", every), mock.patch.object(tracks, "layers_of", layers_of):
        data = diffcodec.encode(play, progressive=True)
    passes = diffcodec.inspect(data)["passes"]
    return data, passes[len(passes) // 2 - 1]["end"]


def shown(play: Tracks, data: bytes, end: int) -> tuple[Tracks, np.ndarray]:
    """(what the first ``end`` bytes show, float64 (n,): how far each place is from the true one, in yards)."""
    found = diffcodec.decode_signal(data, upto_bytes=end)
    assert isinstance(found, Tracks) and diffcodec.decode_signal(data).equals(play)
    seen = ~found.gaps[..., 0]
    missed = (found.values[..., :2] - play.values[..., :2])[seen]
    return found, STEP * np.hypot(missed[:, 0], missed[:, 1])


def plot(play: Tracks, early: Tracks, told: str, target: Path) -> None:
    """Ways by the first layer, and exact ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), dpi=110, sharex=True, sharey=True)
    for axis, one, title in ((axes[0], early, told), (axes[1], play, "exact")):
        places = np.where(one.gaps[..., :2], np.nan, STEP * one.values[..., :2])
        for a in range(places.shape[1]):
            axis.plot(places[:, a, 0], places[:, a, 1], linewidth=0.8)
        axis.set_title(title, fontsize=9)
        axis.set_aspect("equal")
        axis.set_xlabel("yards")
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("--plays", type=int, default=5)
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    rows = ["columns,every,bytes,bytes_in_layers,more_percent,bytes_of_first_layer,share_percent,rms_yards"]
    for columns, name in ((2, "positions"), (len(NAMES), "all")):
        every = [replace(play, names=()) for play in islice(plays(args.tracks, columns), args.plays)]
        plain = sum(len(diffcodec.encode(play)) for play in every)
        for step in (4, 8):
            whole, first, missed = 0, 0, []
            for number, play in enumerate(every):
                data, end = streams(play, step)
                early, away = shown(play, data, end)
                whole, first, missed = whole + len(data), first + end, [*missed, away]
                if args.out and (columns, step, number) == (2, 8, 0):
                    told = f"the first {end} of {len(data)} bytes, off by {np.sqrt(np.square(away).mean()):.2f} yards"
                    plot(play, early, told, args.out / "play.png")
            rms = np.sqrt(np.square(np.concatenate(missed)).mean())
            more, share = 100 * (whole / plain - 1), 100 * first / whole
            rows.append(f"{name},{step},{plain},{whole},{more:.1f},{first},{share:.1f},{rms:.3f}")
            print(rows[-1], flush=True)
    if args.out:
        (args.out / "rows.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
