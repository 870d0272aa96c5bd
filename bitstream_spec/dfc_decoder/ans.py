"""SPEC.md §4: the ANS stack, the mixture of logistics, statistics of values, Gaussians. Plain integers."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal, localcontext

from .refused import refuse

TOTAL = 1 << 24


class Stack:
    """State and words; pops mirror pushes."""

    def __init__(self, data: bytes):
        if data.endswith(b"\0"):
            refuse("CorruptStream", "entropy-coded data ends in a zero byte")
        data += bytes(-len(data) % 4)
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.state = 0
        for _ in range(min(2, len(self.words))):
            self.state = self.state << 32 | self.words.pop()

    def to_bytes(self) -> bytes:
        top = [self.state & 0xFFFFFFFF, self.state >> 32]
        while top and not top[-1]:
            top.pop()
        return b"".join(w.to_bytes(4, "little") for w in self.words + top).rstrip(b"\0")

    def push(self, start: int, size: int) -> None:
        if self.state >> 40 >= size:
            self.words.append(self.state & 0xFFFFFFFF)
            self.state >>= 32
        self.state = (self.state // size) << 24 | (self.state % size + start)

    def take(self, start: int, size: int) -> None:
        """Pop the interval that holds the state's low 24 bits."""
        self.state = (self.state >> 24) * size + self.low - start
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    @property
    def low(self) -> int:
        return self.state & TOTAL - 1

    def pop(self, edge: Callable[[int], int], count: int) -> int:
        """The symbol v of 0..count - 1 whose interval is [edge(v), edge(v + 1))."""
        low, high = 0, count
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if edge(middle) <= self.low else (low, middle)
        self.take(edge(low), edge(low + 1) - edge(low))
        return low

    def pop_bits(self, bits: int) -> int:
        value = self.low >> 24 - bits
        self.take(value << 24 - bits, 1 << 24 - bits)
        return value

    def finish(self) -> None:
        if self.words or self.state:
            refuse("CorruptStream", "entropy-coded data is left over")


def _tables() -> tuple[list[int], list[int], list[int]]:
    with localcontext() as context:
        context.prec = 30
        half = Decimal("0.5")
        exp = [int((Decimal(-i) / 64).exp() * 65536 + half) for i in range(1025)]
        inverse = [int((3 - Decimal(q) / 32).exp() * 2**24 + half) for q in range(257)]
        upper = [int(2**22 / (1 + (Decimal(-i) / 64).exp()) + half) for i in range(1025)]
    lower = [2**22 - v for v in upper[:0:-1]]
    return exp, inverse, [*lower, *upper, upper[-1]]


EXP, INV, S = _tables()


def clamp(v: int, low: int, high: int) -> int:
    return min(max(v, low), high)


def normalise(w: list[int]) -> list[int]:
    total, best = sum(w), w.index(max(w))
    out = [(v << 16) // total for v in w]
    out[best] += 65536 - sum(out)
    return out


class Statistics:
    """The tables of a stream; ``tables`` is the sum of 1, 2 and 4."""

    def __init__(self, tables: int):
        self.tables = tables
        self.pixels, self.settled = 0, 0
        self.seen: dict[tuple, int] = defaultdict(int)
        self.expected: dict[tuple, int] = defaultdict(int)
        self.weight: dict[tuple, int] = defaultdict(lambda: 1024)

    def caution(self, cell: tuple) -> int:
        return 4096 if cell[0] == 1 else 512

    def pop(self, stack: Stack, F: Callable[[int], int], channel: int, last: bool, G: int, R: int) -> int:
        low, using = block_of(stack, F), []
        if self.tables & 1:
            using.append([(1, channel, low + i) for i in range(32)])
        if self.tables & 2 and last:
            using.append([(2, R - G, low + i - G) for i in range(32)])
        if self.tables & 4 and last:
            row = (((G << 11) + (R << 3) + low // 32) * 0x9E3779B1 % 2**32) >> 17
            using.append([(4, row, i) for i in range(32)])
        return self.weighed(stack, F, low, using)

    def weighed(self, stack: Stack, F: Callable[[int], int], low: int, using: list[list[tuple]]) -> int:
        """A value of the block from ``low`` on, its masses weighed by the cells of one table after another."""
        M = F(low + 32) - F(low)
        m = [F(low + i + 1) - F(low + i) for i in range(32)]
        for cells in using:
            share = 2**44 // sum(m)
            for i, cell in enumerate(cells):
                self.expected[cell] += m[i] * share >> 32
                m[i] = (m[i] * self.weight[cell] >> 10) + 1
        total, below, starts = sum(m), 0, []
        for i in range(32):
            starts.append(F(low) + i + below * (M - 32) // total)
            below += m[i]
        starts.append(F(low + 32))
        i = bisect_right(starts, stack.low) - 1
        stack.take(starts[i], starts[i + 1] - starts[i])
        for cells in using:
            self.seen[cells[i]] += 4096
        return low + i

    def pixel_done(self) -> None:
        self.pixels += 1
        if self.pixels != self.settled + min(max(256, self.settled >> 4), 65536):
            return
        self.settled = self.pixels
        for cell, expected in self.expected.items():
            if expected:
                a, seen = self.caution(cell), self.seen[cell]
                self.weight[cell] = clamp((seen + a << 10) // (expected + a), 1, 16384)
                if max(seen, expected) >= 2**30:
                    self.seen[cell], self.expected[cell] = seen >> 1, expected >> 1


class Misses(Statistics):
    """The table of §5.4: how far values are from what is expected of them."""

    def __init__(self) -> None:
        super().__init__(0)

    def caution(self, cell: tuple) -> int:
        return 8 * 4096

    def pop_near(self, stack: Stack, F: Callable[[int], int], place: int, context: int, guess: int) -> int:
        low = block_of(stack, F)
        return self.weighed(stack, F, low, [[(place, context, low + i - guess) for i in range(32)]])


def block_of(stack: Stack, F: Callable[[int], int]) -> int:
    """The first of the block of 32 values that holds the state."""
    low = 0
    for step in (128, 64, 32):
        low += step if F(low + step) <= stack.low else 0
    return low


def pop_pixel(
    stack: Stack,
    rows: list[list[int]],
    base: list[int],
    statistics: Statistics | None = None,
    green: int | None = None,
    near: tuple[Misses, list[int], list[int]] | None = None,
) -> list[int]:
    """A pixel of ``len(base)`` channels, R, G, B or grey; ``rows`` 10 of K parameters, ``base`` in quarter levels.

    green: where that is known, and R and B come from the stack. near: the table, contexts and what is expected of the
    channels.
    """
    K, order = len(rows[0]), [1, 0, 2] if len(base) == 3 else [0]
    top = max(rows[0])
    w = normalise([EXP[min(top - v, 1024)] for v in rows[0]])
    pixel, delta = [0] * len(base), []
    for place, channel in enumerate(order):
        mean, inverse = [], []
        for k in range(K):
            shift = 0
            if place == 1:
                shift = rows[7][k] * delta[0] >> 4
            elif place == 2:
                shift = (rows[8][k] * delta[0] + rows[9][k] * delta[1]) >> 4
            mean.append(16 * base[channel] + rows[1 + place][k] + shift)
            inverse.append(INV[clamp(rows[4 + place][k], 0, 256)])

        def T(k: int, x: int, mean: list[int] = mean, inverse: list[int] = inverse) -> int:
            if x <= 0 or x >= 256:
                return 0 if x <= 0 else 2**22
            u = clamp((64 * x - 32 - mean[k]) * inverse[k] >> 12, -(2**22), 2**22) + 2**22
            return S[u >> 12] + ((S[(u >> 12) + 1] - S[u >> 12]) * (u & 4095) >> 12)

        def F(x: int, T: Callable[[int, int], int] = T, w: list[int] = w) -> int:
            if x <= 0 or x >= 256:
                return 0 if x <= 0 else TOTAL
            return x + (sum(w[k] * T(k, x) for k in range(K)) * (TOTAL - 256) >> 38)

        last = place == 2
        if statistics and (statistics.tables & 1 or last):
            v = statistics.pop(stack, F, channel, last, pixel[1] if last else 0, pixel[0] if last else 0)
        elif place == 0 and green is not None:
            v = green
        elif near is not None:
            v = near[0].pop_near(stack, F, place, near[1][channel], near[2][channel])
        else:
            v = stack.pop(F, 256)
        pixel[channel] = v
        delta.append(4 * v - base[channel])
        w = normalise([w[k] * (T(k, v + 1) - T(k, v) + 1) for k in range(K)])
    if statistics:
        statistics.pixel_done()
    return pixel


# ---- Gaussians


def _gaussian_tables() -> tuple[list[int], list[int]]:
    """1/sigma in 2^-24 by scale index, and Phi in 2^-30 at the knots i/64, i = -512 .. 512, the last one twice."""
    with localcontext() as context:
        context.prec = 40
        inverse = [int((2 - Decimal(q) / 32).exp() * 2**24 + Decimal("0.5")) for q in range(385)]
        root = (2 * Decimal("3.14159265358979323846264338327950288419717")).sqrt()
        upper = []
        for i in range(513):
            z = Decimal(i) / 64
            term, total, n = z, z, 3  # Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3 5) + ...)
            while term > Decimal(10) ** -35:
                term = term * z * z / n
                total, n = total + term, n + 2
            upper.append(int(2**30 * (Decimal("0.5") + (-z * z / 2).exp() / root * total) + Decimal("0.5")))
    return inverse, [*(2**30 - v for v in upper[:0:-1]), *upper, upper[-1]]


GAUSSIAN_INV, PHI = _gaussian_tables()


def gaussian_edge(k: int, mean64: int, inverse: int, size: int) -> int:
    """F(k) of a Gaussian of ``size`` cells."""
    if k <= 0 or k >= size:
        return 0 if k <= 0 else TOTAL
    u = clamp((64 * k - 32 - mean64) * inverse >> 12, -(2**21), 2**21) + 2**21
    T = PHI[u >> 12] + ((PHI[(u >> 12) + 1] - PHI[u >> 12]) * (u & 4095) >> 12)
    return k + (T * (TOTAL - size) >> 30)


def pop_gaussian(stack: Stack, mean64: int, scale: int) -> int:
    """A level 0..255."""
    return stack.pop(lambda k: gaussian_edge(k, mean64, GAUSSIAN_INV[scale], 256), 256)
