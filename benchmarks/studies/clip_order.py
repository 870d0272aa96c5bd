"""Which frames tell the next one: what linear predictions of green err, by what is known besides the pixels before.

    python -m benchmarks.studies.clip_order CLIPS.zip [--segments FILE ...] [--save]

log2 of the mean absolute error about each sample, in levels, of the best linear predictor in windows of 6×6, for the
first and the last phase of the finest level of the lattice, fitted so that every region counts alike: one less is a bit
a sample. Motion is that of `codecs.ardm.search`; what its vectors take is not counted.
Segments are training ones (`benchmarks.common.segments` describes the file).
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.common import arguments, save, segments
from diffcodec.codecs.ardm.motion import displaced
from diffcodec.codecs.ardm.search import found
from diffcodec.models.lattice.phases import past_cosets, phase_input

SEGMENTS = ("sav-cups-0", "davis-cows-0", "intel-bottle-detection-1", "asl-again-0", "tears-of-steel-0", "container-0")
FIRST, FRAMES = 16, 6  #: of a segment


def green(path: Path, name: str) -> np.ndarray:
    """uint8 (T, H, W), even sides."""
    _, every = next(segments(path, lambda row: row["file"] == f"{name}.webp"))
    frames = every[..., 1]
    return np.ascontiguousarray(frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2])


def moved(frames: np.ndarray, t: int, other: int) -> np.ndarray:
    """Frame ``other``, uint8 (H, W), displaced to be like frame t."""
    return displaced(frames[other][..., None], *found(frames[t], frames[other]))[..., 0]


def seen(now: np.ndarray, past: list[np.ndarray], phase: int) -> tuple[np.ndarray, np.ndarray]:
    """(windows float32 (n, taps), targets (n,)) of a phase, both less the coarse pixel beside the target."""
    c, d, e, f = past_cosets(now[..., None])
    known = [c, d, e][: phase + 1]
    cosets = [coset for one in past for coset in past_cosets(one[..., None])]
    x = phase_input(known, phase, cosets)[::3]  # grey planes stand three times
    taps = np.lib.stride_tricks.sliding_window_view(x, (6, 6), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
    base = c[..., 0].astype(np.float32).reshape(-1, 1)
    target = (d, e, f)[phase]
    return taps.reshape(len(base), -1) - base, target.reshape(-1) - base[:, 0]


def about(error: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Mean absolute error of 7×7 samples about each."""
    sums = np.pad(np.abs(error).reshape(shape), 4, mode="edge").cumsum(0).cumsum(1)
    return ((sums[7:, 7:] - sums[:-7, 7:] - sums[7:, :-7] + sums[:-7, :-7]) / 49)[: shape[0], : shape[1]].ravel()


def bits(frames: np.ndarray, pasts: list[list[np.ndarray]], times: range) -> float:
    """log2 of the error, the mean of phases and samples."""
    out = []
    shape = (frames.shape[1] // 2, frames.shape[2] // 2)
    for phase in (0, 2):
        parts = [seen(frames[t], past, phase) for t, past in zip(times, pasts, strict=True)]
        weights = [np.ones(len(y), np.float32) for _, y in parts]
        for _ in range(3):
            scale = 2 * np.mean([w.mean() for w in weights]) * len(parts)
            a = sum(x.T @ (x * w[:, None]) for (x, _), w in zip(parts, weights, strict=True))
            b = sum(x.T @ (y * w) for (x, y), w in zip(parts, weights, strict=True))
            fit = np.linalg.solve(np.asarray(a, np.float64) + scale * np.eye(len(a)), b)
            local = [about(y - x @ fit.astype(np.float32), shape) for x, y in parts]
            weights = [1 / (one + 0.4) ** 2 for one in local]
        out.append(np.mean([np.log2(one + 0.3).mean() for one in local]))
    return float(np.mean(out))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--segments", nargs="+", default=list(SEGMENTS))
    args = parser.parse_args()
    times = range(FIRST, FIRST + FRAMES)
    rows: list[dict[str, Any]] = []
    for name in args.segments:
        frames = green(args.clips, name)
        near = {step: [moved(frames, t, t + step) for t in times] for step in (-8, -4, -2, -1, 1, 2, 4)}
        still = [frames[t - 1] for t in times]
        pasts = {
            "none": [[] for _ in times],
            "still": [[one] for one in still],
            **{f"from {step}": [[one] for one in near[step]] for step in (-1, -2, -8)},
            "from -1 and still": [list(pair) for pair in zip(near[-1], still, strict=True)],
            "from -1 and -2": [list(pair) for pair in zip(near[-1], near[-2], strict=True)],
            **{f"between {k}": [list(pair) for pair in zip(near[-k], near[k], strict=True)] for k in (1, 2, 4)},
        }
        row = {what: bits(frames, past, times) for what, past in pasts.items()}
        parts = {"from -8": 1, "between 4": 1, "between 2": 2, "between 1": 4}
        row["hierarchy of 8"] = sum(row[what] * count for what, count in parts.items()) / 8
        rows.append({"segment": name, **row})
        print({what: round(value, 3) for what, value in row.items()}, flush=True)
    rows.append({"segment": "mean", **{what: fmean(row[what] for row in rows) for what in row}})
    save(args.save, rows, 3)


if __name__ == "__main__":
    main()
