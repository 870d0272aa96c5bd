"""The 2x lattice: cosets, and what the network sees of them. NumPy integers only; `geometry` has levels and passes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .geometry import TARGETS, side_levels


def side_codes(grid: np.ndarray) -> tuple[int, int]:
    """How sharp and noisy a level is, uint8 (H, W, 3): half-octave codes as in `lattice_net.side_codes`."""
    c, d = grid[0::2, 0::2], grid[1::2, 1::2]
    return _half_octaves(4 * d.astype(np.int32) - phase_base([c], 0)[: d.shape[0], : d.shape[1]])


def past_codes(grid: np.ndarray, past: np.ndarray) -> tuple[int, int]:
    """How well ``past`` tells a level, both uint8 (H, W, 3): likewise, of the difference where phase 0 codes."""
    return _half_octaves(4 * (grid[1::2, 1::2].astype(np.int32) - past[1::2, 1::2]))


def _half_octaves(error: np.ndarray) -> tuple[int, int]:
    """Codes of ``error`` int32 (h, w, 3) in quarter levels."""
    luma = np.abs(error[..., 1]).mean() / 4
    chroma = np.abs(error[..., ::2] - error[..., 1:2]).mean() / 4
    codes = np.rint(2 * np.log2(np.maximum([luma, chroma], 2**-2.5)) + 5)
    return int(np.clip(codes[0], 0, 15)), int(np.clip(codes[1], 0, 15))


def side_information(photo: np.ndarray) -> dict[int, tuple[int, int]]:
    """The side-information codes in the stream of a picture uint8 (H, W, 1 or 3), by level, finest first."""
    H, W, C = photo.shape
    rgb = photo if C == 3 else photo.repeat(3, 2)
    return {level: side_codes(rgb[:: 1 << level, :: 1 << level]) for level in side_levels(H, W)}


def _edge(x: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    return np.pad(x, (rows, columns, (0, 0)), mode="edge")


def phase_base(known: list[np.ndarray], phase: int) -> np.ndarray:
    """Sum of the four nearest known neighbours of each target, int32 (h, w, C) for cosets uint8 (h, w, C)."""
    c = known[0].astype(np.int32)
    total: np.ndarray
    if phase == 0:
        p = _edge(c, (0, 1), (0, 1))
        total = p[:-1, :-1] + p[:-1, 1:] + p[1:, :-1] + p[1:, 1:]
        return total
    d = known[1].astype(np.int32)
    if phase == 1:
        total = c + _edge(c, (0, 0), (0, 1))[:, 1:] + d + _edge(d, (1, 0), (0, 0))[:-1]
    else:
        total = c + _edge(c, (0, 1), (0, 0))[1:] + d + _edge(d, (0, 0), (1, 0))[:, :-1]
    return total


#: first row and column of the cosets c, d, e, f
PLACES = ((0, 0), *TARGETS)


def past_cosets(grid: np.ndarray) -> list[np.ndarray]:
    """c, d, e, f of a level that is known, uint8 (H, W, C), all of the size of c: odd sides repeat their last line."""
    even = _edge(grid, (0, grid.shape[0] % 2), (0, grid.shape[1] % 2))
    return [even[y::2, x::2] for y, x in PLACES]


def enlarged(c: np.ndarray) -> list[np.ndarray]:
    """What stands for the cosets of a past that is not there: of uint8 ``c`` (h, w, C) itself, means of neighbours."""
    wide = _edge(c, (0, 1), (0, 1)).astype(np.int32)
    here, right, below, across = wide[:-1, :-1], wide[:-1, 1:], wide[1:, :-1], wide[1:, 1:]
    means = (here + right + below + across + 2) >> 2, (here + right + 1) >> 1, (here + below + 1) >> 1
    return [c, *(mean.astype(np.uint8) for mean in means)]


def phase_input(known: list[np.ndarray], phase: int, past: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Known cosets as uint8 planes (3·planes, h + 5, w + 5), aligned about the target and edge-padded by (2, 3).

    past: cosets c, d, e, f of one known picture after another, which follow.
    """
    y, x = TARGETS[phase]
    places = [*PLACES[: len(known)], *PLACES * (len(past) // 4)]
    planes = []
    for coset, (row, column) in zip([*known, *past], places, strict=True):
        up, left = row * (1 - y), column * (1 - x)
        moved = _edge(coset, (up, 0), (left, 0))[: coset.shape[0], : coset.shape[1]]
        planes.append(moved if moved.shape[2] == 3 else moved.repeat(3, 2))
    return np.ascontiguousarray(_edge(np.concatenate(planes, 2), (2, 3), (2, 3)).transpose(2, 0, 1))
