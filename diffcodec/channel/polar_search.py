"""The sender's search among the words of a polar code: successive cancellation with a list of paths.

Tal and Vardy, "List decoding of polar codes" (arXiv 1206.0050), in logarithms of odds; a subtree that is all frozen,
all free, or free in its last place only is taken as one (Hashemi, Condo, Gross, arXiv 1604.08104). Odds are int16, of
which a register holds many, so sums stay below 2^15: of two that are clipped to LIMIT, and of what :func:`_cosh` takes.
Words are int8, 0 for a sign of 1 and -1 for one of -1, so that negating is an exclusive or and a difference.
"""

from __future__ import annotations

import numpy as np

from ..runtime.kernels import inlined, kernel

UNIT = 512  #: of a logarithm of odds
LIMIT = np.int16(8191)  #: of odds, in units: 16
BEND = np.int16(1260)  #: 2.46: where ln 2 cosh(x / 2) turns from a parabola into |x| / 2; that loses nothing
SHARP = np.int16(13)  #: 2^16 / 4 BEND
FLIPS = 2  #: places of a free subtree, the least certain ones, at which paths fork
APART = 320  #: places between rows, so that what is alike in them does not compete for one set of a cache
FROZEN, FREE, REPEATED = 0, 1, 2  #: kinds of subtrees


@inlined
def _cosh(x):
    """ln 2 cosh(x / 2), less a constant: Huber's function, int16 of int16. One instruction multiplies and shifts."""
    size = x if x >= 0 else np.int16(-x)
    near = size if size < BEND else BEND
    return np.int16((np.int32(np.int16(near * SHARP)) * np.int32(np.int16(2 * size - near))) >> 16)


@kernel
def subtrees(free):
    """int64 (count, 3): (first place, log2 of the places, kind) of the largest subtrees of a kind, in order."""
    N = len(free)
    before = np.zeros(N + 1, np.int64)
    for i in range(N):
        before[i + 1] = before[i] + free[i]
    out = np.empty((N, 3), np.int64)
    count = 0
    at = 0
    while at < N:
        height, kind = 0, FREE if free[at] else FROZEN
        while at + (2 << height) <= N and at & ((2 << height) - 1) == 0:
            size = 2 << height
            within = before[at + size] - before[at]
            if within == 0:
                kind = FROZEN
            elif within == size:
                kind = FREE
            elif within == 1 and free[at + size - 1]:
                kind = REPEATED
            else:
                break
            height += 1
        out[count, 0], out[count, 1], out[count, 2] = at, height, kind
        count += 1
        at += 1 << height
    return out[:count].copy()


@kernel
def _left(above, q, below, p, h):
    """Odds of the exclusive or of two halves. Rows are named, not cut out, which would take longer than small ones."""
    for j in range(h):
        a, b = above[q, 2 * h + j], above[q, 3 * h + j]
        below[p, h + j] = np.int16(_cosh(np.int16(a + b)) - _cosh(np.int16(a - b)))


@kernel
def _right(above, q, left, r, below, p, h):
    """Odds of the second half, where the exclusive or is known."""
    for j in range(h):
        sign = np.int16(left[r, h + j])
        x = np.int16(above[q, 3 * h + j] + np.int16((above[q, 2 * h + j] ^ sign) - sign))
        x = LIMIT if x > LIMIT else x
        below[p, h + j] = np.int16(-LIMIT) if x < -LIMIT else x


@kernel
def _totals(odds, q, h):
    """(sum of ln 2 cosh(x / 2), sum of x, sum of |x|), which 2^18 times the limit keeps below 2^31."""
    even, plain, size = np.int32(0), np.int32(0), np.int32(0)
    for j in range(h):
        x = odds[q, h + j]
        even = np.int32(even + _cosh(x))
        plain = np.int32(plain + x)
        size = np.int32(size + (x if x >= 0 else np.int16(-x)))
    return np.int64(even), np.int64(plain), np.int64(size)


@kernel
def _joined(left, r, right, p, words, h):
    """The word of a subtree of those of its halves."""
    for j in range(h):
        words[p, 2 * h + j] = left[r, h + j] ^ right[p, h + j]
        words[p, 3 * h + j] = right[p, h + j]


@kernel
def _filled(words, p, h, value):
    for j in range(h):
        words[p, h + j] = value


@kernel
def _decide(odds, q, words, p, h, places, doubts):
    """The likeliest word without a constraint, and its least certain places, the least first."""
    last = doubts.shape[1] - 1
    for i in range(last + 1):
        doubts[p, i] = 1 << 20
    for j in range(h):
        x = np.int64(odds[q, h + j])
        words[p, h + j] = -1 if x < 0 else 0
        size = abs(x)
        if size < doubts[p, last]:
            i = last
            while i > 0 and doubts[p, i - 1] > size:
                doubts[p, i], places[p, i] = doubts[p, i - 1], places[p, i - 1]
                i -= 1
            doubts[p, i], places[p, i] = size, j


@kernel
def _cloned(words, old, p, h):
    for j in range(h):
        words[p, h + j] = words[old, h + j]


@kernel
def _smallest(x, k):
    """The k-th smallest of ``x``, from 0, which is reordered (Hoare)."""
    low, high = 0, len(x) - 1
    while low < high:
        pivot = x[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while x[i] < pivot:
                i += 1
            while x[j] > pivot:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return x[k]


@kernel
def _fork(costs, extra, count, paths, parents, room):
    """The cheapest of ``count`` paths and of their siblings, which cost ``extra`` more; how many there are then.

    ``costs`` is brought up to date. A path keeps its place; a sibling takes a free one, where ``parents`` names the
    path that it is a sibling of, -1 elsewhere.
    """
    parents[:] = -1
    if 2 * count <= paths:
        for p in range(count):
            parents[count + p] = p
            costs[count + p] = costs[p] + extra[p]
        return 2 * count
    dearest, cheapest = costs[0], costs[0] + extra[0]
    for p in range(1, count):
        dearest = max(dearest, costs[p])
        cheapest = min(cheapest, costs[p] + extra[p])
    if count == paths and cheapest >= dearest:
        return count
    for p in range(count):
        room[p] = costs[p]
        room[count + p] = costs[p] + extra[p]
    limit = _smallest(room[: 2 * count], paths - 1)
    below = 0
    for p in range(count):
        below += (costs[p] < limit) + (costs[p] + extra[p] < limit)
    ties = paths - below
    # of those at the limit the first: paths before siblings
    kept = 0
    free = np.empty(paths, np.int64)
    frees = 0
    stays = np.empty(count, np.bool_)
    for p in range(count):
        stays[p] = costs[p] < limit
        if costs[p] == limit and ties > 0:
            stays[p] = True
            ties -= 1
        if not stays[p]:
            free[frees] = p
            frees += 1
    for p in range(count, paths):
        free[frees] = p
        frees += 1
    for p in range(count):
        cost = costs[p] + extra[p]
        if not stays[p] or parents[p] >= 0:
            continue
        if cost < limit or (cost == limit and ties > 0):
            if cost == limit:
                ties -= 1
            parents[free[kept]] = p
            room[kept] = cost
            kept += 1
    for i in range(kept):
        costs[free[i]] = room[i]
    return paths


def search(odds: np.ndarray, trees: np.ndarray, paths: int) -> np.ndarray:
    """The likeliest word with the free places of ``trees``: int8 (N,), -1 for a sign of -1, 0 for one of 1.

    ``odds``: float32 (N,), natural logarithms of the odds of 1 against -1; N a power of two; ``trees`` of
    :func:`subtrees`; at most ``paths`` candidates at a time, a power of two.
    """
    N = len(odds)
    root = np.zeros((1, 2 * N), np.int16)
    root[0, N:] = np.clip(np.rint(odds * np.float32(UNIT)), -LIMIT, LIMIT)
    shape = (paths, N + APART)  # NumPy asks for large pages, which are there sooner
    L, left, right = np.empty(shape, np.int16), np.empty(shape, np.int8), np.empty(shape, np.int8)
    word = np.empty((1, 2 * N), np.int8)
    _search(root, trees, L, left, right, word)
    return word[0, N:]


@kernel
def _search(root, trees, L, left, right, found):
    """As :func:`search`, into ``found``. A path has a row: of height h, odds and words of halves at [2^h, 2^(h+1))."""
    paths, N = len(L), root.shape[1] >> 1
    m = 0
    while 1 << m < N:
        m += 1
    at_odds = np.zeros((m + 1, paths), np.int64)  # the row that a path reads
    at_left = np.zeros((m + 1, paths), np.int64)
    costs, extra = np.zeros(paths, np.int64), np.zeros(paths, np.int64)  # in half units
    parents, room = np.empty(paths, np.int64), np.empty(2 * paths, np.int64)
    places, doubts = np.zeros((paths, FLIPS), np.int64), np.zeros((paths, FLIPS), np.int64)
    count = 1
    for t in range(len(trees)):
        begin, s, kind = trees[t, 0], trees[t, 1], trees[t, 2]
        size = 1 << s
        # down to the subtree's odds
        h = m
        if begin:
            h = 0
            while not begin >> h & 1:
                h += 1
            for p in range(count):
                if h + 1 == m:
                    _right(root, 0, left, at_left[h, p], L, p, 1 << h)
                else:
                    _right(L, at_odds[h + 1, p], left, at_left[h, p], L, p, 1 << h)
            for p in range(count):
                at_odds[h, p] = p
        while h > s:
            h -= 1
            for p in range(count):
                if h + 1 == m:
                    _left(root, 0, L, p, 1 << h)
                else:
                    _left(L, at_odds[h + 1, p], L, p, 1 << h)
            for p in range(count):
                at_odds[h, p] = p
        # its word
        odds = root if s == m else L
        second = begin >> s & 1
        words = found if s == m else (right if second else left)
        for p in range(count):
            q = at_odds[s, p]
            even, plain, sizes = _totals(odds, q, size)
            if kind == FROZEN:
                costs[p] += 2 * even - plain
                _filled(words, p, size, 0)
            elif kind == REPEATED:
                costs[p] += 2 * even - abs(plain)
                extra[p] = 2 * abs(plain)
                _filled(words, p, size, -1 if plain < 0 else 0)
            else:
                costs[p] += 2 * even - sizes
                _decide(odds, q, words, p, size, places, doubts)
            if not second:
                at_left[s, p] = p
        if s == m:
            return
        turns = 0
        if kind == REPEATED:
            turns = 1
        elif kind == FREE:
            turns = min(size, FLIPS)
        for turn in range(turns):
            if kind == FREE:
                for p in range(count):
                    extra[p] = 2 * doubts[p, turn]
            now = _fork(costs, extra, count, paths, parents, room)
            for p in range(now):
                old = parents[p]
                if old < 0:
                    continue
                for h in range(m):
                    at_odds[h, p] = at_odds[h, old]
                    at_left[h, p] = at_left[h, old]
                if not second:
                    at_left[s, p] = p
                _cloned(words, old, p, size)
                if kind == FREE:
                    for i in range(FLIPS):
                        places[p, i], doubts[p, i] = places[old, i], doubts[old, i]
                    words[p, size + places[p, turn]] = ~words[p, size + places[p, turn]]
                else:
                    _filled(words, p, size, ~words[p, size])
            count = now
        # up while a right half ends
        h = s
        while h + 1 < m and begin >> h & 1:
            above_second = begin >> (h + 1) & 1
            for p in range(count):
                if above_second:
                    _joined(left, at_left[h, p], right, p, right, 1 << h)
                else:
                    _joined(left, at_left[h, p], right, p, left, 1 << h)
            if not above_second:
                for p in range(count):
                    at_left[h + 1, p] = p
            h += 1
    best = np.argmin(costs[:count])
    half = N >> 1
    r = at_left[m - 1, best]
    for j in range(half):
        found[0, N + j] = left[r, half + j] ^ right[best, half + j]
        found[0, N + half + j] = right[best, half + j]
