"""Tracks of which every so many frames are told first: which, and how a beginning of the stream shows the others.

The frames that are told first are coded as a sequence of its own. From one to the next agents are then led by
`models.tracks.bridge`; until that has come, they are shown on a curve through the places that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.tracks import prediction
from .track_plan import Layers, Plan
from .track_planes import bytes_of

EVERY = 8  #: frames from one that is told first to the next
_FURTHEST = 1 << 44  # of a curve from the place before

Bytes = NDArray[np.uint8]
Values = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Coarse:
    """What is told first of some frames: all gaps uint8 (t, A, F), and where agents are int64 (t, A, 2).

    Places are those of frames 0, k, 2k, ..., and 0 in the others.
    """

    gaps: Bytes
    positions: Values


def layers_of(positions: Values, here: Flags, every: int = EVERY) -> Layers:
    """What suits positions int64 (T, A, 2) of agents who are ``here`` bool (T, A)."""
    number, coefficients = prediction.chosen(*first_of(positions, here, every))
    return Layers(every, number, tuple(coefficients.tolist()))


def first_of(positions: Values, here: Flags, every: int) -> tuple[Values, Flags]:
    """Of the frames that are told first."""
    return np.ascontiguousarray(positions[::every]), np.ascontiguousarray(here[::every])


def shown(known: Sequence[Bytes], coarse: Sequence[Coarse], plan: Plan, every: int, shape: tuple[int, ...]) -> Bytes:
    """uint8 ``shape`` (T, A, F, 1 + n): frames that are ``known``, then those on curves, then gaps.

    Columns that are no place are gaps where frames are not known. known, coarse: of as many frames as a pass has, in
    their order.
    """
    out = np.zeros(shape, np.uint8)
    out[..., 0] = 1
    gaps = np.concatenate([one.gaps for one in coarse])
    places = np.concatenate([one.positions for one in coarse])
    here = gaps[..., plan.places[0]] == 0
    found, seen = curves(places, here, every)
    count = shape[-1] - 1
    found = np.clip(found, 0, 256**count - 1 if count < 8 else None)
    for f, column in enumerate(plan.places):
        out[: len(found), :, column, 0] = ~seen
        for k, byte in enumerate(bytes_of(np.where(seen, found[..., f], 0), count)):
            out[: len(found), :, column, 1 + k] = byte
    at = 0
    for one in known:
        out[at : at + len(one)] = one.reshape(len(one), *shape[1:])
        at += len(one)
    return out


def curves(positions: Values, here: Flags, every: int) -> tuple[Values, Flags]:
    """(places int64 (T, A, 2), where there are any bool (T, A)) of agents who are ``here`` bool (T, A).

    By ``positions`` int64 (T, A, 2) of frames 0, every, ...: on a cubic through four of them, two on either side, where
    all are there, else on a line through the one before and the one behind, or through two on one side, or else as the
    one of these that is there.
    """
    frames, k = len(positions), every
    first, there = first_of(positions, here, k)
    # one more before and two behind, where nobody is
    first, there = np.pad(first, ((1, 2), (0, 0), (0, 0))), np.pad(there, ((1, 2), (0, 0)))
    step = (np.arange(frames) % k)[:, None, None]
    around = [first[n : n + len(first) - 3].repeat(k, 0)[:frames] for n in range(4)]
    seen = [there[n : n + len(there) - 3].repeat(k, 0)[:frames] for n in range(4)]
    base = np.where(seen[1][..., None], around[1], around[2])
    away = [np.clip(one - base, -_FURTHEST, _FURTHEST) for one in around]
    # of Lagrange's cubic through -k, 0, k, 2k, times 6 k^3
    weights = (-step * (step - k) * (step - 2 * k), 3 * step * (step + k) * (2 * k - step), step * (step**2 - k**2))
    cubic = (weights[0] * away[0] + weights[1] * away[2] + weights[2] * away[3] + 3 * k**3) // (6 * k**3)
    ways = [
        (seen[1] & seen[2] & seen[0] & seen[3], cubic),
        (seen[1] & seen[2], (2 * step * away[2] + k) // (2 * k)),
        (seen[1] & seen[0], (k - 2 * step * away[0]) // (2 * k)),
        (seen[2] & seen[3] & ~seen[1], (k - 2 * (k - step) * away[3]) // (2 * k)),
    ]
    moved = np.select([way[..., None] for way, _ in ways], [found for _, found in ways], 0)
    found = base + np.where(step == 0, 0, moved)
    return found, here & (seen[1] | (seen[2] & (step[..., 0] > 0)))
