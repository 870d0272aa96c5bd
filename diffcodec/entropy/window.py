"""Gaussians on an unbounded grid, for bits-back coding of latents: cells of a window about the mean, and an escape.

With mean64 the mean in 1/64 of a cell, centre = floor((mean64 + 32) / 64) and reach = ceil(8.5 sigma), a grid point z
is cell z - centre + reach of the 2 reach + 1 cells of a Gaussian as in `gaussian`, its first and last reaching to
infinity. `open_ended`, for the model's side: those two say "beyond", and the point follows as 24 raw bits, so that any
point can be coded. Closed, for the posterior's: the window is all there is, so that a random popped symbol is never
far off. 1/sigma is an integer in Q24: a table of scales would cost bits at each of hundreds of steps.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from ..runtime.errors import CorruptStream
from ..runtime.kernels import inlined, kernel
from .gaussian import cdf, tables
from .stack import PRECISION, TOTAL, AnsStack, advance

REACH = 8.5  #: half the window in standard deviations
WIDEST = 1e4  #: standard deviation, in cells
_RAW = 1 << 23  # open-ended points lie in -_RAW .. _RAW - 1
_GUESSES = 2048


@cache
def _guesses() -> np.ndarray:
    """z in Q18 at the middles of 2048 equal parts of the normal's mass, int64: where a search starts."""
    _, phi = tables()
    middles = (2 * np.arange(_GUESSES) + 1) << 18
    return (np.searchsorted(phi[:-1], middles) - 512) << 12


@inlined
def _push_one(state, at, words, start, freq):
    if state >> np.uint64(40) >= freq:
        words[at] = np.uint32(state & np.uint64(0xFFFFFFFF))
        at += 1
        state >>= np.uint64(32)
    return ((state // freq) << np.uint64(24)) | (state % freq + start), at


@kernel
def _push(z, mean64, inverse, reach, open_ended, phi, state, at, words):  # noqa: PLR0917
    size = 2 * reach + 1
    for n in range(len(z) - 1, -1, -1):
        centre = (mean64[n] + 32) >> 6
        cell = z[n] - centre + reach
        inside = 0 < cell < size - 1 if open_ended else 0 <= cell < size
        if not inside:
            if not open_ended or not -_RAW <= z[n] < _RAW:
                return state, at, n
            state, at = _push_one(state, at, words, np.uint64(z[n] + _RAW), np.uint64(1))
            cell = np.int64(0) if cell <= 0 else size - 1
        mean = mean64[n] + ((reach - centre) << 6)
        start = cdf(cell, size, mean, inverse, phi)
        freq = cdf(cell + 1, size, mean, inverse, phi) - start
        state, at = _push_one(state, at, words, np.uint64(start), np.uint64(freq))
    return state, at, -1


@kernel
def _pop(mean64, sigma, inverse, reach, open_ended, phi, guesses, state, at, words, z):  # noqa: PLR0917
    size = 2 * reach + 1
    for n in range(len(z)):
        centre = (mean64[n] + 32) >> 6
        mean = mean64[n] + ((reach - centre) << 6)
        quantile = np.int64(state & np.uint64(TOTAL - 1))
        cell = (mean + ((guesses[quantile >> 13] * sigma) >> 18) + 32) >> 6
        cell = min(max(cell, 0), size - 1)
        start = cdf(cell, size, mean, inverse, phi)
        while start > quantile:
            cell -= 1
            start = cdf(cell, size, mean, inverse, phi)
        end = cdf(cell + 1, size, mean, inverse, phi)
        while end <= quantile:
            cell, start = cell + 1, end
            end = cdf(cell + 1, size, mean, inverse, phi)
        state, at = advance(state, at, words, np.uint64(start), np.uint64(end - start))
        z[n] = cell + centre - reach
        if open_ended and (cell == 0 or cell == size - 1):
            z[n] = np.int64(state & np.uint64(TOTAL - 1)) - _RAW
            state, at = advance(state, at, words, np.uint64(z[n] + _RAW), np.uint64(1))
    return state, at


def push(stack: AnsStack, z: np.ndarray, mean64: np.ndarray, sigma: float, *, open_ended: bool) -> None:
    """Push grid points z int64 (n,), last first, of Gaussians with means int64 (n,) and ``sigma`` in cells.

    Raises CorruptStream for a point outside of the window, or beyond 24 bits if ``open_ended``; the stack is then
    of no more use.
    """
    inverse, reach = _scale(sigma)
    stack.reserve(2 * len(z))
    state, size, failed = _push(
        z, mean64, inverse, reach, open_ended, tables()[1], np.uint64(stack.state), stack.size, stack.words
    )
    if failed >= 0:
        raise CorruptStream(f"latent {failed} lies outside of its range; the file is damaged")
    stack.state, stack.size = np.uint64(state), int(size)


def pop(stack: AnsStack, mean64: np.ndarray, sigma: float, *, open_ended: bool) -> np.ndarray:
    """Pop int64 (n,) grid points; the mirror of :func:`push`."""
    inverse, reach = _scale(sigma)
    z = np.empty(len(mean64), np.int64)
    stack.pop_by(_pop, (mean64, round(64 * sigma), inverse, reach, open_ended, tables()[1], _guesses()), z)
    return z


def _scale(sigma: float) -> tuple[int, int]:
    """(1/sigma in Q24, reach in cells). Raises ValueError."""
    if not 0.1 <= sigma <= WIDEST:
        raise ValueError(f"expected a standard deviation of 0.1 to {WIDEST:g} cells, found {sigma}")
    return round((1 << PRECISION) / sigma), math.ceil(REACH * sigma) + 1
