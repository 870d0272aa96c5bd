"""Plays of team tracking as `train_tracks` takes them: what each agent sees, frame by frame, in the codec's integers.

    python -m tools.training.tracks_data TRACKS.npz

prints the linear prediction that suits all plays for training (`diffcodec.models.tracks.prediction.FOOTBALL`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffcodec.models.tracks import prediction
from diffcodec.models.tracks.net import AHEAD
from diffcodec.models.tracks.past import FASTER, SCALE, Past

AGENTS = 23
_FINER = (0.25, 1000.0)  # how many cells of a copy are one of the play
_FURTHEST = 16.0  # of displacements ahead, in scales


def plays(path: Path, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(positions int64 (T, A, 2), where they are bool (T, A)) of those of a split."""
    with np.load(path) as z:
        xy, shape, offset, kind = (z[key] for key in ("xy", "shape", "offset", "split"))
    for i in np.flatnonzero(kind == split):
        values = xy[offset[i] : offset[i + 1]].reshape(*shape[i], 2).astype(np.int64)
        here = (values != -32768).all(-1)
        yield np.where(here[..., None], values, 0), here


@dataclass
class Seen:
    """Of N frames: what is known of the agents in front of each, and what they did.

    features int16 (N, A, FEATURES); last, moves float32 (N, A, 2), cells; speed float32 (N,); sigma float32 (N, A),
    cells; residual float32 (N, A, 2); there bool (N, A); ahead float32 (N, A, 2 AHEAD), NaN where it is not known.
    """

    features: Tensor
    last: Tensor
    moves: Tensor
    speed: Tensor
    sigma: Tensor
    residual: Tensor
    there: Tensor
    ahead: Tensor

    def __getitem__(self, index: Tensor) -> Seen:
        return Seen(*(getattr(self, field.name)[index] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.speed)

    def relative(self) -> Tensor:
        """(N, A, A, RELATIVE): of the second agent as the first sees it."""
        speed = self.speed[:, None, None, None]
        place = self.last[:, None] - self.last[:, :, None]
        motion = 4 * (self.moves[:, None] - self.moves[:, :, None])
        every = torch.cat([place, motion, place.abs().sum(-1, keepdim=True)], -1) / speed
        return every.sign() * torch.log2(1 + every.abs())


def joined(parts: list[Seen]) -> Seen:
    """One after another."""
    return Seen(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Seen)))


def seen(positions: np.ndarray, here: np.ndarray, coefficients: np.ndarray) -> Seen:
    """What a codec sees of a play of at most AGENTS agents."""
    T, A = here.shape
    past = Past(A, coefficients, 2 * SCALE, 8 * SCALE)
    found: list[list[np.ndarray]] = []
    for t in range(T):
        known = past.known(here[t])
        past.look(known)
        moves, sigma = past.moves[..., 0].copy(), past.sigma / SCALE
        residual = np.where(known[:, None], positions[t] - past.last - past.predicted / 64, 0)
        ahead = np.full((A, AHEAD, 2), np.nan)
        for k in range(1, AHEAD + 1):
            if t + k < T:
                there = known & here[t : t + k + 1].all(0)
                step = (positions[t + k] - positions[t + k - 1] - moves) / sigma[:, None]
                ahead[there, k - 1] = step[there].clip(-_FURTHEST, _FURTHEST)
        speed = np.array(max(past.common[1], FASTER) / SCALE)
        found.append([past.features.astype(np.int16), past.last.copy(), moves, speed, sigma, residual, known,
                      ahead.reshape(A, -1)])  # fmt: skip
        past.tell(positions[t], here[t])
    columns = [np.stack(column) for column in zip(*found, strict=True)]
    return Seen(*(_padded(column, A) for column in columns))


def _padded(values: np.ndarray, agents: int) -> Tensor:
    if values.ndim > 1 and agents < AGENTS:
        values = np.concatenate([values, np.zeros((len(values), AGENTS - agents, *values.shape[2:]), values.dtype)], 1)
    return torch.from_numpy(
        values.astype(np.float32) if values.dtype.kind == "f" or values.dtype == np.int64 else values
    )


def copy_of(positions: np.ndarray, here: np.ndarray, rng: np.random.Generator, other: bool) -> Seen:
    """A play mirrored and turned at random; ``other``: of another rate and on another grid too, as other sports are."""
    if rng.random() < 0.5:
        positions = positions[..., ::-1]
    positions = positions * rng.choice([-1, 1], 2)
    if other:
        every = rng.choice([1, 1, 2, 3])
        positions, here = positions[::every], here[::every]
        times = float(np.exp(rng.uniform(*np.log(_FINER))))
        spread = rng.uniform(-0.5, 0.5, positions.shape) if times > 1 else 0.0
        positions = np.rint((positions + spread) * times).astype(np.int64)
    positions = np.ascontiguousarray(positions)
    _, coefficients = prediction.chosen(positions, here)
    return seen(positions, here, coefficients)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("tracks", type=Path)
    every = [prediction.windows(*play) for play in plays(ap.parse_args().tracks, "train")]
    print(prediction.fitted(np.concatenate(every)).tolist())


if __name__ == "__main__":
    main()
