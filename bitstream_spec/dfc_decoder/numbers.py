"""A slow decoder of whole numbers, written from CONTEXT.md §7 alone, in plain Python integers."""

from __future__ import annotations

from collections import defaultdict

from . import context
from .context import ceil_log2, clamp, int64, mix
from .refused import refuse

AROUND = [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, -2), (1, 2), (2, -1), (2, 1), (0, -3), (2, -2)]


def lev(v):
    v = min(v, (1 << 20) - 2) + 1
    if v >= 4096:
        return 32 + lev((v >> 8) - 1)
    k = v.bit_length() - 1
    return 4 * k + ((v << 2) >> k) % 4


def size(d, unit):
    a = abs(d)
    return sum([4 * a > unit, 2 * a > unit, a > unit, a > 2 * unit, a > 4 * unit]) + (6 if d < 0 else 0)


def med(a, b, c):
    return clamp(a + b - c, min(a, b), max(a, b))


class Fit:
    def __init__(self, fading, ridge, count):
        self.fading, self.ridge = fading, ridge
        self.gram = [[0] * count for _ in range(count)]
        self.cross, self.taps = [0] * count, [0] * count

    def dot(self, features):
        return sum(t * f for t, f in zip(self.taps, features, strict=True))

    def learn(self, features, target, weight, sweep):
        for i, fi in enumerate(features):
            for k, fk in enumerate(features):
                self.gram[i][k] += ((fi * weight * fk) >> 22) - (self.gram[i][k] >> self.fading)
            self.cross[i] += ((fi * weight * target) >> 22) - (self.cross[i] >> self.fading)
        for i in range(len(features) if sweep else 0):
            rest = (self.cross[i] << 16) - self.ridge * self.taps[i] - self.dot(self.gram[i])
            tap = self.taps[i] + rest // (self.gram[i][i] + self.ridge)
            self.taps[i] = clamp(tap, -(1 << 19), 1 << 19)


class Numbers(context.Decisions):
    def __init__(self, data, height, width, count, highest, voids):
        super().__init__(data, 6, clamp(ceil_log2(4 * height * width), 12, 20))
        self.height, self.width, self.count, self.highest, self.voids = height, width, count, highest, voids
        self.order = [1, 0, *range(2, count)] if count >= 3 else list(range(count))
        self.values, self.residuals, self.empty = defaultdict(int), defaultdict(int), defaultdict(int)
        self.misses = defaultdict(int)
        self.fits = [Fit(8, 64, (14, 14, 19, 19)[j]) for j in range(count)]
        self.corrections = [Fit(10, 256, 3) for _ in range(count)]
        self.bias = defaultdict(lambda: [0, 0])

    def decode(self):
        rows, answers = [], [0, 0]
        for y in range(self.height):
            self.y = y
            repeated = self.plain_decision(2 * answers[0] + answers[1]) if y else 0
            answers = [answers[1], repeated]
            self.check()
            if repeated:
                rows.append(rows[-1])
                for table in (self.values, self.residuals, self.empty, self.misses):
                    table.update({(*key[:-1], y): v for key, v in [*table.items()] if key[-1] == y - 1})
                continue
            for c in range(self.count):
                for x in (-1, -2, -3):
                    self.values[c, x, y] = self.values[c, 0, y - 1]
            row = []
            for x in range(self.width):
                pixel = [0] * self.count
                for j in range(self.count):
                    pixel[self.order[j]] = self.number(j, x)
                    self.check()
                row.append(pixel)
            for c in range(self.count):
                for x in range(3):
                    self.values[c, self.width + x, y] = self.values[c, self.width - 1, y]
            rows.append(row)
        if self.position != len(self.data) + 5:
            refuse("CorruptStream", "whole numbers go on behind the pixels")
        return rows

    def check(self):
        if self.position > len(self.data) + 5:
            refuse("CorruptStream", "whole numbers end before the pixels")

    def number(self, j, x):
        y, c = self.y, self.order[j]
        before, first = self.order[j - 1], self.order[0]

        def at(channel, up, right):
            return self.values[channel, x + right, y - up]

        w, n, nw, ne, ww = at(c, 0, -1), at(c, 1, 0), at(c, 1, -1), at(c, 1, 1), at(c, 0, -2)
        nn, nne = at(c, 2, 0), at(c, 2, 1)
        mean = (w + n) >> 1
        features = [v - mean for v in (w, n, nw, ne, ww, nn, nne)] + [at(c, 1, 2) - ne, at(c, 1, -2) - nw]
        if j == 0:
            q = qw = qn = qnw = qne = qnne = 0
            features += [at(c, 2, -1) - mean, at(c, 0, -3) - ww, at(c, 3, 0) - nn, at(c, 2, 2) - nne, at(c, 2, -2) - nw]
        else:
            q, qw, qn, qnw, qne = (at(before, *d) for d in ((0, 0), (0, -1), (1, 0), (1, -1), (1, 1)))
            qnne = at(before, 2, 1)
            features += [v - ((qw + qn) >> 1) for v in (q, qw, qn, qnw, qne)]
        dw, dn, dnw, dne = w - qw, n - qn, nw - qnw, ne - qne
        guesses = [med(w, n, nw), med(dw, dn, dnw) + q if j else w + ne - n, dw + q, dn + q, dw + dn - dnw + q,
                   dn + dne - (nne - qnne) + q, dw + ((dne - dnw) >> 1) + q if j else 2 * n - nn]  # fmt: skip
        if j > 1:
            p, pw, pn, pnw, pne = (at(first, *d) for d in ((0, 0), (0, -1), (1, 0), (1, -1), (1, 1)))
            features += [v - ((pw + pn) >> 1) for v in (p, pw, pn, pnw, pne)]
            guesses[0], guesses[6] = w + p - pw, n + p - pn
        most = 64 * self.highest
        g = [64 * v for v in guesses] + [clamp((65536 * mean + self.fits[c].dot(features)) >> 10, 0, most)]
        near = ((-1, 0), (-2, 0), (-1, 1), (0, 1), (1, 1))
        miss = [sum(self.misses[c, k, x + right, y - up] for right, up in near) + 4 for k in range(8)]
        trust = [((min(miss) << 12) // m) ** 4 >> 32 for m in miss]
        blend = 64 * mean + sum(t * (v - 64 * mean) for t, v in zip(trust, g, strict=True)) // sum(trust)
        blend = clamp(blend, 0, most)
        further = [(v - blend) >> 3 for v in (g[7], g[0], (g[2] + g[3]) >> 1)]
        corrected = clamp(blend + (self.corrections[c].dot(further) >> 13), 0, most)

        def residual(channel, up, right):
            return self.residuals[channel, x + right, y - up]

        rw, rn, rne, rnw = (residual(c, *d) for d in ((0, -1), (1, 0), (1, 1), (1, -1)))
        energy = 2 * abs(rw) + 2 * abs(rn) + abs(rnw) + abs(rne) + abs(residual(c, 0, -2)) + abs(residual(c, 2, 0))
        unit = (energy >> 3) + 1
        rq = residual(before, 0, 0) if j else 0
        rp = residual(first, 0, 0) if j > 1 else 0
        f = corrected >> 6
        places = [(size(w - f, 2 * unit) * 12 + size(n - f, 2 * unit)) * 12 + size(ne - f, 2 * unit),
                  (size(rw, unit) * 12 + size(rn, unit)) * 12 + size(rq, unit),
                  (size(guesses[0] - f, 2 * unit) * 12 + size(guesses[5] - f, 2 * unit)) * 12
                  + size(nw - f, 2 * unit)]  # fmt: skip
        places = [1728 * j + place for place in places]
        biases = [self.bias[k, place] for k, place in enumerate(places)]
        fine = clamp(corrected + sum(b[0] for b in biases) // 48, 0, most)
        guess = (fine + 32) >> 6

        e, s, least = lev(energy), 2000 + j, lev(min(miss) - 4)
        slope, fraction = lev(abs(guesses[4] - guess)) >> 1, (fine - 64 * guess + 32) // 8
        expected = (energy >> 3) if j == 0 else ((energy >> 3) + abs(rq)) >> 1
        alike = (w == n) + 2 * (n == nw) + 4 * (n == ne) + 8 * (w == ww) + 16 * (n == nn) + 32 * (rw == 0)
        alike += 64 * (rn == 0)
        hashes = [mix(s, e, (lev(abs(rq)) if j else 0) >> 1),
                  mix(s + 8, 64 * least + ((lev(abs(rp)) if j > 1 else 0) >> 1)),
                  mix(s + 16, alike, e >> 2),
                  mix(s + 20, (slope * 64 + (e >> 1)) * 8 + fraction),
                  mix(s + 36, 32 * places[0] + (e >> 2)),
                  mix(s + 44, 32 * places[1] + (least >> 2))]  # fmt: skip
        self.scale = min(j, 2), expected.bit_length(), min(e >> 2, 19)
        void = self.voids[c]
        if void is not None:
            m = sum(self.empty[c, x + right, y - up] << i for i, (up, right) in enumerate(AROUND))
            o = (self.empty[before, x, y] if j else 0) + (2 * self.empty[first, x, y] if j > 1 else 0)
            far = lev(abs(guess - void)) >> 2
            asked = [mix(3000 + o, m % 64), mix(3010 + o, m), mix(3020 + o, m % 16 * 64 + far),
                     mix(3030 + o, (m % 4 * 128 + e) * 32 + far), mix(3040 + o, 4 * guess + m % 4),
                     mix(3050 + o, m % 8)]  # fmt: skip
            self.empty[c, x, y] = self.ask(asked, 37)
            if self.empty[c, x, y]:
                self.values[c, x, y] = guess
                self.residuals[c, x, y] = (rw + rn) >> 2
                for k in range(8):
                    self.misses[c, k, x, y] = min(self.misses[c, k, x - 1, y], self.misses[c, k, x, y - 1])
                return void
        self.residuals[c, x, y] = self.told(hashes)
        v = guess + self.residuals[c, x, y]
        if not 0 <= v <= self.highest:
            refuse("CorruptStream", "a whole number out of its range")
        self.values[c, x, y] = v

        error = clamp(64 * v - corrected, -96 * unit - 32, 96 * unit + 32) << 4
        for b in biases:
            b[1] = min(b[1] + 1, 200)
            b[0] += (error - b[0]) // (b[1] + 4)
        off, power = abs(64 * v - g[7]) >> 6, sum(f * f for f in features)
        weight = (1 << 40) // (unit * unit + ((off * off) >> 2) + (power >> 6) + 1)
        self.fits[c].learn(features, v - mean, weight, (x + y + 1) % 2 == 0)
        off, power = abs(64 * v - blend) >> 6, sum(f * f for f in further)
        weight = (1 << 40) // (64 * (unit * unit + ((off * off) >> 2)) + (power >> 4) + 1)
        self.corrections[c].learn(further, (64 * v - blend) >> 3, weight, True)
        for k in range(8):
            miss = abs(g[k] - 64 * v) >> 4
            self.misses[c, k, x, y] = (2 * miss + self.misses[c, k, x, y - 1] + 1) >> 1
        return v

    def ask(self, hashes, node):
        j, expected, energy = self.scale
        places = [(((int64(h) >> 20) + (node >> 4) * 0x9E50) % (1 << self.bits) // 16 * 16 + node % 16, (h >> 48) % 256)
                  for h in hashes]  # fmt: skip
        return self.decision(places, 64 * j + node, 192 + 64 * expected + node, 64 * energy + node, 17)

    def told(self, hashes):
        j, expected, _ = self.scale
        t = expected
        if t < 16 and self.ask(hashes, 2 * t):
            t += 1
            while t < 16 and self.ask(hashes, 2 * t):
                t += 1
        else:
            while t > 0 and not self.ask(hashes, 2 * (t - 1) + 1):
                t -= 1
        if t == 0:
            return 0
        negative, a = self.ask(hashes, 36), 1
        if t > 1:
            a = 2 + self.ask(hashes, 38 + t)
        if t > 2:
            near = clamp(t - expected, -3, 3) + 3
            a = 2 * a + self.plain_decision(4 + ((17 * j + t) * 7 + near) * 2 + a % 2)
        for k in reversed(range(t - 3)):
            a = 2 * a + self.plain_decision(718 + (17 * j + t) * 16 + k)
        return -a if negative else a


def decode(data: bytes, height: int, width: int, channels: int) -> list[list[list[int]]]:
    """Planes as nested lists, row, column, channel: of each number the high byte, then the low one."""
    if width > 65536 and width > height:
        columns = decode(data, width, height, channels)
        return [[columns[x][y] for x in range(width)] for y in range(height)]
    if data[:1] == b"\xff":
        return context.decode(b"\0" + data[1:], height, width, channels)
    count, at = channels // 2, 3
    if len(data) < 3 or data[0] >= 64 or data[0] % 16 >= 1 << count:
        refuse("CorruptStream", "the first bytes of whole numbers")
    flags, highest, levels = data[0], int.from_bytes(data[1:3], "little"), None
    if flags & 16:
        length = int.from_bytes(data[3:6], "little")
        if length > len(data) - 6:
            refuse("CorruptStream", "levels that do not fit")
        levels, value = [], -1
        for high, low in context.decode(data[6 : 6 + length], 1, highest + 1, 2)[0]:
            value += 256 * high + low + 1
            levels.append(value)
        if value > 65535:
            refuse("CorruptStream", "a level above 65535")
        at = 6 + length
    turn = 0
    if flags & 32:
        turn = int.from_bytes(data[at : at + 2], "little")
        at += 2
    voids: list[int | None] = [None] * count
    for c in range(count):
        if flags >> c & 1:
            voids[c] = int.from_bytes(data[at : at + 2], "little")
            at += 2
    if at > len(data) or any(v is not None and v > highest for v in [turn, *voids]):
        refuse("CorruptStream", "a void or a turn above the highest number")
    rows = Numbers(data[at:], height, width, count, highest, voids).decode()
    meant = [(v + turn) % (highest + 1) for v in range(highest + 1)]
    if levels is not None:
        meant = [levels[v] for v in meant]
    return [[[byte for v in pixel for byte in divmod(meant[v], 256)] for pixel in row] for row in rows]
