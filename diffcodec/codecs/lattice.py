"""Geometry of the 2x lattice: levels, cosets, what the network sees of them. NumPy integers only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

SIDE_PIXELS = 1024  #: levels of at least this many pixels carry side-information codes
MERGED_PIXELS = 8192  #: levels of at most this many pixels share the first pass
UNKNOWN = (16, 16)  #: side-information codes of the other levels

#: first row and column of each phase's target coset on its level: d, e, f of models/lattice_net.py
TARGETS = ((1, 1), (0, 1), (1, 0))


def level_count(height: int, width: int) -> int:
    """Levels until the coarsest grid, of stride 2^levels, is at most 2x2."""
    levels = 0
    while max(-(-height >> levels), -(-width >> levels)) > 2:
        levels += 1
    return levels


def grid_size(height: int, width: int, level: int) -> tuple[int, int]:
    """Rows and columns of the grid of stride 2^level."""
    return -(-height >> level), -(-width >> level)


def pass_units(height: int, width: int) -> list[list[tuple[int, int]]]:
    """The passes, coarse to fine, each a list of (level, phase). The first also holds the coarsest grid."""
    passes: list[list[tuple[int, int]]] = [[]]
    for level in reversed(range(level_count(height, width))):
        rows, columns = grid_size(height, width, level)
        for phase in range(len(TARGETS)):
            if rows * columns <= MERGED_PIXELS:
                passes[0].append((level, phase))
            else:
                passes.append([(level, phase)])
    return passes


def side_levels(height: int, width: int) -> Iterator[int]:
    """Levels, finest first, whose side-information codes are in the stream."""
    for level in range(level_count(height, width)):
        rows, columns = grid_size(height, width, level)
        if rows * columns >= SIDE_PIXELS and min(rows, columns) >= 6:
            yield level


def side_codes(grid: np.ndarray) -> tuple[int, int]:
    """How sharp and noisy a level is, uint8 (H, W, 3): half-octave codes as in `lattice_net.side_codes`."""
    c, d = grid[0::2, 0::2], grid[1::2, 1::2]
    error = 4 * d.astype(np.int32) - phase_base([c], 0)[: d.shape[0], : d.shape[1]]
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
    if phase == 0:
        p = _edge(c, (0, 1), (0, 1))
        return p[:-1, :-1] + p[:-1, 1:] + p[1:, :-1] + p[1:, 1:]
    d = known[1].astype(np.int32)
    if phase == 1:
        return c + _edge(c, (0, 0), (0, 1))[:, 1:] + d + _edge(d, (1, 0), (0, 0))[:-1]
    return c + _edge(c, (0, 1), (0, 0))[1:] + d + _edge(d, (0, 0), (1, 0))[:, :-1]


def phase_input(known: list[np.ndarray], phase: int) -> np.ndarray:
    """Known cosets as uint8 planes (3·planes, h + 5, w + 5), aligned about the target and edge-padded by (2, 3)."""
    planes = [known[0]]
    if phase == 1:
        planes.append(_edge(known[1], (1, 0), (0, 0))[:-1])
    elif phase == 2:
        planes += [_edge(k, (0, 0), (1, 0))[:, :-1] for k in known[1:]]
    stacked = np.concatenate([p if p.shape[2] == 3 else p.repeat(3, 2) for p in planes], 2)
    return np.ascontiguousarray(_edge(stacked, (2, 3), (2, 3)).transpose(2, 0, 1))
