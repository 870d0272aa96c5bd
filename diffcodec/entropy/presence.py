"""Who of A agents is there in each of T frames, a decision after another, in integers.

Specification: bitstream_spec/TRACKS.md §7. Of an agent that was there before it counts for how many frames it was away,
after how many frames it was seen again last, how often in a row it was so, and what others like it did in the same
frame; of one that never was, how many others that never were stand before it, and when somebody came for the first
time. Each context learns its probability from what it saw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..runtime.kernels import inlined, kernel
from .stack import PRECISION, TOTAL, AnsStack, advance

ONE = 1 << 22  #: of a probability
MOST_SEEN = 255  #: decisions after which a context goes on learning at one pace
_CAME, _OTHERS, _BACK, _FOLLOWED = 4, 4, 3 * 8, 3 * 4  # sizes of contexts' parts
CONTEXTS = _CAME * _OTHERS + _BACK * _FOLLOWED
#: 2^16 / (n + 3/2) of n decisions that a context saw, rounded down
PACES = np.array([(1 << 17) // (2 * n + 3) for n in range(MOST_SEEN + 1)], np.int64)

Here = NDArray[np.bool_]


@inlined
def _length(value, most):
    """Bits of a number, so many at most."""
    bits = np.int64(0)
    while value >> bits and bits < most:
        bits += 1
    return bits


@inlined
def _context(away, pace, runs, others, quiet, said):
    """The number of an agent's context; ``said`` is what the last like it did in this frame, 0 nothing."""
    if pace == 0:  # it never was there
        return min(others, np.int64(_OTHERS - 1)) * _CAME + min(_length(quiet, np.int64(9)) // 3, np.int64(_CAME - 1))
    like = 1 if away + 1 == pace else 0 if away + 1 < pace else 2
    back = like * 8 + _length(away >> 1, np.int64(7))
    return _CAME * _OTHERS + (back * 3 + said[like]) * 4 + _length(runs >> 1, np.int64(3))


@inlined
def _learn(p, seen, context, there):
    """The probability of a context moves to what it saw, by less the more it saw."""
    target = ONE if there else 0
    p[context] += ((target - p[context]) * PACES[seen[context]]) >> 16
    p[context] = min(max(p[context], np.int64(1)), np.int64(ONE - 1))
    seen[context] = min(seen[context] + 1, MOST_SEEN)


@inlined
def _tell(a, there, away, pace, runs, said):
    """What is known of agent ``a`` behind this frame."""
    if pace[a] > 0:
        like = 1 if away[a] + 1 == pace[a] else 0 if away[a] + 1 < pace[a] else 2
        said[like] = 1 if there else 2
    if there:
        runs[a] = runs[a] + 1 if away[a] + 1 == pace[a] else 0
        pace[a] = away[a] + 1 if pace[a] else 1
        away[a] = 0
    else:
        away[a] += 1


@kernel
def _intervals(here, starts, freqs):
    T, A = here.shape
    away, pace, runs = np.zeros((3, A), np.int64)
    p, seen, said = np.full(CONTEXTS, ONE >> 1, np.int64), np.zeros(CONTEXTS, np.int64), np.zeros(3, np.int64)
    quiet, at = np.int64(0), 0
    for t in range(T):
        others = np.int64(0)
        said[:] = 0
        quiet += 1
        for a in range(A):
            new, there = pace[a] == 0, here[t, a]
            context = _context(away[a], pace[a], runs[a], others, quiet, said)
            split = p[context] << (PRECISION - 22)
            starts[at] = 0 if there else split
            freqs[at] = split if there else TOTAL - split
            at += 1
            _learn(p, seen, context, there)
            _tell(a, there, away, pace, runs, said)
            if new:
                others = 0 if there else others + 1
                quiet = 0 if there else quiet


@kernel
def _pop(state, at, words, here):
    T, A = here.shape
    away, pace, runs = np.zeros((3, A), np.int64)
    p, seen, said = np.full(CONTEXTS, ONE >> 1, np.int64), np.zeros(CONTEXTS, np.int64), np.zeros(3, np.int64)
    quiet = np.int64(0)
    for t in range(T):
        others = np.int64(0)
        said[:] = 0
        quiet += 1
        for a in range(A):
            new = pace[a] == 0
            context = _context(away[a], pace[a], runs[a], others, quiet, said)
            split = np.uint64(p[context] << (PRECISION - 22))
            there = (state & np.uint64(TOTAL - 1)) < split
            if there:
                state, at = advance(state, at, words, np.uint64(0), split)
            else:
                state, at = advance(state, at, words, split, np.uint64(TOTAL) - split)
            here[t, a] = there
            _learn(p, seen, context, there)
            _tell(a, there, away, pace, runs, said)
            if new:
                others = 0 if there else others + 1
                quiet = 0 if there else quiet
    return state, at


def intervals(here: Here) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (starts, freqs), uint32 (T A,), of who is there, bool (T, A), agent after agent in each frame."""
    starts, freqs = np.empty((2, here.size), np.uint32)
    _intervals(here, starts, freqs)
    return starts, freqs


def pop(stack: AnsStack, frames: int, agents: int) -> Here:
    """Mirror of :func:`intervals`: bool (frames, agents)."""
    here = np.empty((frames, agents), np.bool_)
    stack.pop_by(_pop, (), here)
    return here
