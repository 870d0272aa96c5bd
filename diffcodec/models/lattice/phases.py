"""The 2x lattice: cosets, and what the network sees of them. NumPy integers only; `geometry` has levels and passes."""

from __future__ import annotations

import numpy as np

from .geometry import side_levels


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


def phase_input(known: list[np.ndarray], phase: int) -> np.ndarray:
    """Known cosets as uint8 planes (3·planes, h + 5, w + 5), aligned about the target and edge-padded by (2, 3)."""
    planes = [known[0]]
    if phase == 1:
        planes.append(_edge(known[1], (1, 0), (0, 0))[:-1])
    elif phase == 2:
        planes += [_edge(k, (0, 0), (1, 0))[:, :-1] for k in known[1:]]
    stacked = np.concatenate([p if p.shape[2] == 3 else p.repeat(3, 2) for p in planes], 2)
    return np.ascontiguousarray(_edge(stacked, (2, 3), (2, 3)).transpose(2, 0, 1))
