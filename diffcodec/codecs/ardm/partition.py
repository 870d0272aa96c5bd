"""How a sender parts a frame into blocks, and chooses what each is seen in: nothing here is in the format."""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import inlined, kernel
from .fields import BOTH, FIRST, SECOND, UNIT, Field, expected_vector
from .motion import BLOCKS, predicted
from .search import bits_of, of_blocks, quarters, seen_at

_ROUNDS = 2  #: of vectors of a block that is seen in both frames, each in turn


_SCALE, _BIT = 16, 20  #: what a bit of a missed pixel, and of a vector, costs
#: what a difference of 0 to 255 costs: least where a pixel is met exactly, and not much more where it is missed by far
_WEIGHTS = np.rint(_SCALE * np.log2(1 + np.arange(256))).astype(np.int64)


@inlined
def _missed(now, q, r, place, first, second, source, weights, most):  # noqa: PLR0917
    """What a block costs that is seen in ``q`` by ``first``, in ``r`` by ``second``, or in the mean of both."""
    y0, x0, block = place
    H, W = now.shape
    total = np.int64(0)
    for y in range(y0, min(H, y0 + block)):
        for x in range(x0, min(W, x0 + block)):
            if source == 0:
                seen = seen_at(q, y, x, first[0], first[1])
            elif source == 1:
                seen = seen_at(r, y, x, second[0], second[1])
            else:
                seen = (seen_at(q, y, x, first[0], first[1]) + seen_at(r, y, x, second[0], second[1]) + 1) >> 1
            total += weights[abs(np.int64(now[y, x]) - seen)]
        if total >= most:
            break
    return total


@inlined
def _price(v, expected, bit):
    return bit * bits_of(v[0] - expected[0], v[1] - expected[1])


@inlined
def _together(now, q, r, place, one, two, aims, rounds, weights, bit):  # noqa: PLR0917
    """(cost, first vector, second vector) of a block that is seen in both, each vector moved in turn."""
    cost = _price(one, aims[0], bit) + _price(two, aims[1], bit)
    cost += _missed(now, q, r, place, one, two, 2, weights, np.int64(1 << 40))
    for turn in range(2 * rounds):
        first = turn % 2 == 0
        base = one if first else two
        for i in range(-1, 2):
            for j in range(-1, 2):
                v = (base[0] + i, base[1] + j)
                a, b = (v, two) if first else (one, v)
                price = _price(a, aims[0], bit) + _price(b, aims[1], bit)
                price += _missed(now, q, r, place, a, b, 2, weights, cost - price)
                if price < cost:
                    cost, one, two = price, a, b
    return cost, one, two


@kernel
def _choose(now, q, r, block, firsts, seconds, both, rounds, weights, bit, costs, sources, pairs):  # noqa: PLR0917
    """Of each block of one size the least of its ways: what it costs, where it is seen, both vectors."""
    rows, columns = costs.shape
    for y in range(rows):
        for x in range(columns):
            place = (y * block, x * block, block)
            one = (np.int64(firsts[y, x, 0]), np.int64(firsts[y, x, 1]))
            two = (np.int64(seconds[y, x, 0]), np.int64(seconds[y, x, 1]))
            aims = (predicted(firsts, y, x), predicted(seconds, y, x))
            cost = _price(one, aims[0], bit)
            cost += _missed(now, q, r, place, one, two, 0, weights, np.int64(1 << 40))
            costs[y, x], sources[y, x] = cost, FIRST
            if both:
                price = _price(two, aims[1], bit)
                price += _missed(now, q, r, place, one, two, 1, weights, cost - price)
                if price < cost:
                    cost, costs[y, x], sources[y, x] = price, price, SECOND
                price, a, b = _together(now, q, r, place, one, two, aims, rounds, weights, bit)
                if price < cost:
                    costs[y, x], sources[y, x], one, two = price, BOTH, a, b
            pairs[y, x, 0, 0], pairs[y, x, 0, 1] = one
            pairs[y, x, 1, 0], pairs[y, x, 1, 1] = two


@inlined
def _candidates(vectors, known, y, x, size):
    """What a block's vector may be: what it is, what is expected, what is to the left, and above."""
    own = (np.int64(vectors[y, x, 0]), np.int64(vectors[y, x, 1]))
    left = (np.int64(vectors[y, x - 1, 0]), np.int64(vectors[y, x - 1, 1])) if x > 0 else own
    above = (np.int64(vectors[y - 1, x, 0]), np.int64(vectors[y - 1, x, 1])) if y > 0 else own
    return own, expected_vector(vectors, known, y, x, size), left, above


@inlined
def _again(now, q, r, field, known, y, x, weights, bit):  # noqa: PLR0917
    """A block once more, now that its neighbours stand: where it is seen, and by their vectors where that serves."""
    sizes, sources, vectors = field
    size, frames = np.int64(sizes[y, x]), vectors.shape[0]
    place = (4 * y, 4 * x, 4 * size)
    ones = _candidates(vectors[0], known, y, x, size)
    twos = _candidates(vectors[frames - 1], known, y, x, size)
    best, at, least = (ones[0], twos[0]), np.int64(sources[y, x]), np.int64(1 << 40)
    for source in range(3 if frames == 2 else 1):
        for i in range(4 if source != SECOND else 1):
            for j in range(4 if source != FIRST else 1):
                price = np.int64(0)
                if source != SECOND:
                    price += _price(ones[i], ones[1], bit)
                if source != FIRST:
                    price += _price(twos[j], twos[1], bit)
                price += _missed(now, q, r, place, ones[i], twos[j], source, weights, least - price)
                if price < least:
                    best, at, least = (ones[i], twos[j]), np.int64(source), price
    for f in range(frames):
        v = best[f] if at in (f, BOTH) else (ones[1] if f == 0 else twos[1])
        for k in range(2):
            vectors[f, y : y + size, x : x + size, k] = v[k]
    sources[y : y + size, x : x + size] = at
    known[y : y + size, x : x + size] = True


@inlined
def _alike(field, y, x, size):
    """Whether four blocks of a size say the same."""
    sizes, sources, vectors = field
    rows, columns = sizes.shape
    source = sources[y, x]
    for i in range(y, min(rows, y + 2 * size)):
        for j in range(x, min(columns, x + 2 * size)):
            if sizes[i, j] != size or sources[i, j] != source:
                return False
            for f in range(vectors.shape[0]):
                if source in (f, BOTH) and (
                    vectors[f, i, j, 0] != vectors[f, y, x, 0] or vectors[f, i, j, 1] != vectors[f, y, x, 1]
                ):
                    return False
    return True


@kernel
def _merge(field):
    """Make one of four blocks that say the same."""
    rows, columns = field[0].shape
    for size in (1, 2):
        for y in range(0, rows, 2 * size):
            for x in range(0, columns, 2 * size):
                if _alike(field, y, x, size):
                    field[0][y : y + 2 * size, x : x + 2 * size] = 2 * size


@kernel
def _settle(now, q, r, field, weights, bit):
    """All blocks in the order of coding."""
    sizes = field[0]
    rows, columns = sizes.shape
    known = np.zeros((rows, columns), np.bool_)
    for top in range(0, rows, 4):
        for left in range(0, columns, 4):
            for unit in range(16):  # a block of four, its quarters, and their quarters, in that order
                y = top + 2 * (unit >> 3) + ((unit >> 1) & 1)
                x = left + 2 * ((unit >> 2) & 1) + (unit & 1)
                if y < rows and x < columns and not known[y, x]:
                    _again(now, q, r, field, known, y, x, weights, bit)


def _wide(blocks: np.ndarray, side: int, like: np.ndarray) -> np.ndarray:
    """What stands for each block, for each of its units."""
    rows, columns = like.shape[:2]
    return blocks.repeat(side, 0).repeat(side, 1)[:rows, :columns]


def parted(now: np.ndarray, others: list[np.ndarray], filter: int) -> tuple[Field, int]:
    """(motion of ``now`` from one or two ``others``, all uint8 (H, W), what it costs in 16ths of a bit)."""
    now = np.ascontiguousarray(now)
    moved = [of_blocks(now, other, filter) for other in others]
    every = [quarters(other, filter) for other in others]
    field = Field.blank(now.shape[0], now.shape[1], len(others), filter)
    best: np.ndarray = np.zeros(0, np.int64)
    for k, block in enumerate(BLOCKS):
        firsts, seconds = moved[0][k][0], moved[-1][k][0]
        shape, side = firsts.shape[:2], block // UNIT
        costs, sources, pairs = np.zeros(shape, np.int64), np.zeros(shape, np.int8), np.zeros((*shape, 2, 2), np.int16)
        both = len(others) == 2
        _choose(now, every[0], every[-1], block, firsts, seconds, both, _ROUNDS, _WEIGHTS, _BIT, costs, sources, pairs)
        if side == 1:
            whole, best = np.ones(shape, np.bool_), costs + 2 * _BIT
        else:
            padded = np.pad(best, [(0, 2 * n - have) for n, have in zip(shape, best.shape, strict=True)])
            parts = padded.reshape(shape[0], 2, shape[1], 2).sum((1, 3))
            whole = costs + 2 * _BIT <= parts
            best = np.minimum(parts, costs + 2 * _BIT) + _BIT // 2
        where = _wide(whole, side, field.sizes)
        field.sizes[where] = side
        field.sources[where] = _wide(sources, side, field.sizes)[where]
        for f, vectors in enumerate(field.vectors):
            vectors[where] = _wide(pairs[:, :, f], side, field.sizes)[where]
    blocks = field.sizes, field.sources, field.vectors
    for _ in range(_ROUNDS):
        _settle(now, every[0], every[-1], blocks, _WEIGHTS, _BIT)
        _merge(blocks)
    return field, int(best.sum())
