"""Where the bits of tracks go: of each agent, and over time, of a play that was held out.

    python -m benchmarks.studies.track_bits FOOTBALL.npz [--play N] [--out FOLDER]

Bits of positions that the bundled network gives each displacement, as `diffcodec.codecs.ardm.tracks` codes them, of the
N-th play for validation (see `benchmarks.suites.tracks`): a table by agent, and a plot of them over time, with FOLDER
as `rows.csv` and `bits.png`. Plots need matplotlib.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.suites.tracks import plays
from diffcodec import Tracks
from diffcodec.entropy import running
from diffcodec.entropy.grid import GridMixtures
from diffcodec.models import registry
from diffcodec.models.protocols import TrackModel
from diffcodec.models.tracks import prediction
from diffcodec.models.tracks.past import SCALE, Past


def bits(play: Tracks) -> np.ndarray:
    """float64 (T, A): what each displacement takes; NaN where an agent is not there, or comes."""
    network = registry.load(registry.OF_TRACKS, codec="ardm")
    assert isinstance(network, TrackModel)
    here = ~play.gaps[..., 0]
    _, coefficients = prediction.chosen(play.values, here)
    past = Past(here.shape[1], coefficients, 4 * SCALE, 16 * SCALE)
    out = np.full(here.shape, np.nan)
    for t, (now, there) in enumerate(zip(play.values, here, strict=True)):
        known = past.known(there)
        index = np.flatnonzero(known)
        if len(index):
            past.look(known)
            params, moves = network.mixtures(past, index)[0], now[index] - past.last[index]
            given = (params, past.predicted[index], past.sigma[index], past.logs[index])
            for n, a in enumerate(index):
                own = GridMixtures(*(part[n : n + 1] for part in given))
                out[t, a] = running.bits(own.intervals(moves[n : n + 1])[1])
        past.tell(now, there)
    return out


def plot(found: np.ndarray, names: tuple[str, ...], target: Path) -> None:
    """Agents by what they take in all, the dearest on top; seconds from left to right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    order = np.argsort(-np.nansum(found, 0))
    smooth = np.array([[np.nanmean(found[t : t + 5, a]) if np.isfinite(found[t : t + 5, a]).any() else np.nan
                        for t in range(0, len(found), 5)] for a in order])  # fmt: skip
    figure, axes = pyplot.subplots(figsize=(8, 4.6), dpi=110)
    shown = axes.imshow(smooth, aspect="auto", cmap="viridis", extent=(0, len(found) / 10, len(order), 0))
    axes.set_yticks(np.arange(len(order)) + 0.5, [names[a].split("/")[-1] or "ball" for a in order], fontsize=7)
    axes.set_xlabel("seconds")
    figure.colorbar(shown, label="bits of a displacement (x and y)")
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    ap.add_argument("--play", type=int, default=0)
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    play = next(islice(plays(args.tracks, 2), args.play, None))
    found = bits(play)
    rows = ["agent,role,frames,bits_per_frame"]
    for a in np.argsort(-np.nansum(found, 0)).tolist():
        role = play.names[a].split("/")[-1] or "ball"
        rows.append(f"{a},{role},{int(np.isfinite(found[:, a]).sum())},{np.nanmean(found[:, a]):.3f}")
    print("\n".join(rows))
    if args.out:
        (args.out / "rows.csv").write_text("\n".join(rows) + "\n")
        plot(found, play.names, args.out / "bits.png")


if __name__ == "__main__":
    main()
