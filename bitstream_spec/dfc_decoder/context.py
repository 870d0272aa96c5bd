"""A slow decoder of context-coded planes, written from CONTEXT.md alone, in plain Python integers."""

from __future__ import annotations

from collections import defaultdict

from .refused import refuse

G = 0x9E3779B97F4A7C15
NEAR = [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, -2), (1, 2), (2, 1), (2, -1), (0, -3), (3, 0), (2, -2),
        (2, 2), (1, 3), (1, -3), (0, -4), (3, -1), (3, 1), (2, 3), (2, -3), (1, 4), (3, -2), (3, 2)]  # fmt: skip


def int64(v):
    return (v + (1 << 63)) % (1 << 64) - (1 << 63)


def mix(h, *values):
    for v in values:
        h = int64((h ^ v) * G)
        h ^= h >> 32
    return h


def poly(values):
    h = 0
    for v in values:
        h = int64(h * G + v)
    return h


def clamp(v, low, high):
    return min(max(v, low), high)


def level(v, *thresholds):
    return sum(t <= v for t in thresholds)


def energy(v):
    return level(v, 1, 2, 4, 6, 9, 13, 18, 25, 34, 46, 62, 84, 115, 160, 230)


def run(v):
    return level(v, 1, 2, 3, 4, 8, 32)


def sgn(d):
    return level(min(abs(d), 511), 1, 2, 3, 5, 9, 17, 33) + (8 if d < 0 else 0)


def sgn3(a, b, c):
    return 256 * sgn(a) + 16 * sgn(b) + sgn(c)


def ceil_log2(v):
    return (v - 1).bit_length()


def tables():
    squash, e = [0] * 6144, 1 << 64
    for k in range(3073):
        h = min((e << 16) // (e + (1 << 64)), 65535)
        if k < 3072:
            squash[3072 + k] = h
        squash[3072 - k] = max(1, 65536 - h)
        e = e * 18518942588666869715 >> 64
    stretch, s = [], 0
    for i in range(16384):
        while s < 6144 and squash[s] < 4 * i + 2:
            s += 1
        stretch.append(clamp(s - 3072, -3071, 3071))
    return squash, stretch


SQUASH, STRETCH = tables()


class Decisions:
    """Range decoder, plain and mixed decisions of so many inputs, of 2^bits slots each."""

    def __init__(self, data, inputs, bits):
        self.data, self.position, self.low, self.high = data, 6, 0, (1 << 48) - 1
        self.value = int.from_bytes(data[:6].ljust(6, b"\0"), "big")
        self.inputs, self.bits = inputs, bits
        self.slots = [defaultdict(lambda: [1 << 17, 0, 0]) for _ in range(inputs)]
        self.weights = defaultdict(lambda: [4300] * inputs)
        self.maps = defaultdict(lambda: [SQUASH[min(256 * c, 6143)] * 64 for c in range(25)])
        self.plain = defaultdict(lambda: [1 << 17, 0])
        self.clock = 0

    def code(self, p):
        span = self.high - self.low
        middle = self.low + (span >> 16) * p + (((span & 65535) * p) >> 16)
        bit = int(self.value <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 40 == self.high >> 40:
            byte = self.data[self.position] if self.position < len(self.data) else 0
            self.position += 1
            self.low, self.high = (self.low << 8) % (1 << 48), (self.high << 8) % (1 << 48) + 255
            self.value = (self.value << 8) % (1 << 48) + byte
        return bit

    def plain_decision(self, i):
        cell = self.plain[i]
        bit = self.code(clamp(cell[0] >> 2, 1, 65535))
        cell[0] += ((bit * 262143 - cell[0]) * (655360 // (10 * cell[1] + 12))) >> 16
        cell[1] = min(cell[1] + 1, 60)
        return bit

    def decision(self, places, a, b, m, k):
        """places: (slot, check) of the inputs."""
        cells = [self.slots[i][slot] for i, (slot, _) in enumerate(places)]
        for cell, (_, check) in zip(cells, places, strict=True):
            if cell[2] != check:
                cell[:] = [1 << 17, 0, check]
        s = [STRETCH[cell[0] >> 4] for cell in cells]
        wa, wb, table = self.weights[a], self.weights[b], self.maps[m]
        dot = sum((wa[i] + wb[i]) * s[i] for i in range(self.inputs))
        d = clamp(dot >> 16, -3071, 3071) + 3072
        mixed, f, c = SQUASH[d], d % 256, d >> 8
        refined = (table[c] * (256 - f) + table[c + 1] * f) >> 14
        bit = self.code(clamp((mixed + refined + 1) >> 1, 1, 65535))
        c += f >= 128
        table[c] += (bit * 4194303 - table[c]) >> 7
        self.clock += 1
        e = (bit * 65536 - mixed) * (10 + 122880 // (self.clock + 4096))
        for i, cell in enumerate(cells):
            wa[i] += (s[i] * e + 524288) >> 20
            wb[i] += (s[i] * e + 524288) >> 20
            cell[0] += ((bit * 262143 - cell[0]) * (655360 // (10 * cell[1] + k))) >> 16
            cell[1] = min(cell[1] + 1, 60)
        return bit


class Body(Decisions):
    """One coded picture: rows of pixels, indices or numbers."""

    def __init__(self, data, height, width, channels, colours, use_pixels):
        super().__init__(data, 12, clamp(ceil_log2(2 * height * width), 12, 20))
        self.height, self.width, self.channels = height, width, channels
        self.colours, self.use_pixels = colours, use_pixels
        self.order = [1, 0, *range(2, channels)] if channels >= 3 else list(range(channels))
        self.memory_bits = clamp(ceil_log2(height * width), 8, 18)
        self.memory = [defaultdict(lambda: [0, 0, 0]) for _ in range(3)]
        self.rows = defaultdict(lambda: [0] * (width + 18))
        self.answers, self.residuals, self.misses = defaultdict(int), defaultdict(int), defaultdict(int)
        self.taps = [[0] * 16 for _ in range(channels)]
        self.hint, self.hinted, self.following = 0, 0, [0] * width

    def places(self, hashes):
        return [((h >> 20) % (1 << self.bits), (h >> 48) % 256) for h in hashes]

    def id(self, up, right):
        return self.rows[self.y - up][9 + self.x + right]

    def channel(self, c, up, right):
        return (self.id(up, right) >> (8 * c)) & 255

    def decode(self):
        repeats = [0, 0]
        for y in range(self.height):
            self.y = y
            row, above = self.rows[self.y], self.rows[self.y - 1]
            repeats = [repeats[1], self.plain_decision(2 * repeats[0] + repeats[1])]
            if repeats[1]:
                row[:] = above
                continue
            row[:9] = [above[9]] * 9
            self.run, self.history = 0, 0
            for x in range(self.width):
                self.x = x
                pixel = self.question() if self.use_pixels else None
                if pixel is None:
                    pixel = self.index() if self.colours else self.numbers()
                elif not self.colours:
                    for c in range(self.channels):
                        self.residuals[c, self.x] = 0
                row[9 + self.x] = pixel
                if self.use_pixels:
                    self.remember(pixel)
                    self.run = self.run + 1 if pixel == self.id(0, -1) else 0
                if self.position > len(self.data) + 5:
                    refuse("CorruptStream", "context-coded data end before the pixels")
            row[9 + self.width :] = [row[8 + self.width]] * 9
            last = row[8 + self.width]
            for x in range(self.width):
                rest = row[9 + x : 9 + self.width]
                same = next((k for k, v in enumerate(rest) if v != rest[0]), None)
                self.following[x] = 32 if same is None and rest[0] == last else min(same - 1, 32)
        if self.position != len(self.data) + 5:
            refuse("CorruptStream", "context-coded data go on behind the pixels")
        return [[[(v >> (8 * c)) & 255 for c in range(self.channels)] for v in self.rows[y][9 : 9 + self.width]]
                for y in range(self.height)]  # fmt: skip

    def question(self):
        near = [self.id(*at) for at in NEAR]
        w, n, nw, ne, ww, nn = near[:6]
        three = {d: mix(5, poly(self.id(k, d) for k in (1, 2, 3))) for d in range(-3, 5)}
        five = {d: mix(4, poly(self.id(k, d) for k in range(1, 6))) for d in range(-5, 7)}
        self.keys = [
            mix(3, poly(five[d] for d in range(-5, 7)), poly(self.id(0, d) for d in range(-8, 0))),
            mix(2, poly(three[d] for d in range(-3, 5)), poly(self.id(0, d) for d in range(-4, 0))),
            mix(1, *near[:6]),
        ]
        self.asked = []
        for key, tier in zip(self.keys, self.memory, strict=True):
            v, check, sure = tier[(key >> 20) % (1 << self.memory_bits)]
            self.asked.append((v, sure if check == (key >> 44) % (1 << 16) else 0))
        known = [v for v, sure in self.asked if sure]
        self.hinted = int(bool(known))
        self.hint = known[0] if known else self.hint
        sure = [s for _, s in self.asked]
        lev = level(sure[0], 1, 3)
        equal = (w == n) + 2 * (w == nw) + 4 * (n == ne) + 8 * (n == nw) + 16 * (w == ww) + 32 * (n == nn)
        r = 8 * run(min(self.run, 32)) + (run(self.following[self.x]) if n == w else 0)
        past = 64 * self.answers[self.x] + 8 * self.answers[self.x + 1]
        h2 = mix(6, w, n)
        h4 = mix(h2, nw, ne)
        candidates = list(dict.fromkeys([*known, w, n, nw, ne]))[:6]
        answer, k = None, 0
        for v in candidates:
            m = sum((near[i] == v) << i for i in range(24))
            m6 = m % 64
            recalled = sum((s > 0 and u == v) << t for t, (u, s) in enumerate(self.asked))
            code = 64 * k + 8 * recalled
            shade = mix(code, v)
            sures = (min(sure[0], 7) * 8 + min(sure[1], 7)) * 8 + min(sure[2], 7)
            hashes = [mix(code, m6, sures), mix(code + 1, m % (1 << 12)), mix(code + 2, m % (1 << 18)),
                      mix(code + 3, m), mix(code + 4, equal + 64 * (m % 16)), mix(code + 5, r, m6),
                      mix(code + 6, self.history, past + m % 4), mix(shade, m6), mix(shade, h2), mix(shade, h4),
                      mix(shade, mix(h4, *near[4:9])), mix(shade, self.keys[1])]  # fmt: skip
            q = m6 + (64 if k else 0)
            if self.decision(self.places(hashes), 3 * (8 * k + recalled) + lev, 144 + q, q, 12):
                answer = v
                break
            k += 1
            if self.colours == 2:
                answer = 1 - v
                break
        self.history = (self.history * 8 + k) % 512
        self.answers[self.x] = k
        return answer

    def remember(self, pixel):
        for key, (v, sure), tier in zip(self.keys, self.asked, self.memory, strict=True):
            slot = tier[(key >> 20) % (1 << self.memory_bits)]
            slot[1] = (key >> 44) % (1 << 16)
            if sure and v == pixel:
                slot[2] = min(sure + 1, 15)
            elif sure > 2:
                slot[2] = sure >> 1
            else:
                slot[0], slot[2] = pixel, 1

    def index(self):
        w, n, nw, ne, ww, nn = (self.id(*at) for at in NEAR[:6])
        g = [1000, mix(1001, w), mix(1002, n), mix(1001, w, n), mix(1001, w, n, nw, ne),
             mix(1001, w, n, nw, ne, ww, nn), mix(1001, w, n, nw, ne, ww, nn, self.id(1, -2), self.id(1, 2)),
             mix(1003, ne), mix(1004, nw, ww), mix(1005, self.hint, self.hinted), mix(1006, n, nn),
             mix(1007, w, ww)]  # fmt: skip
        v, depth = 1, ceil_log2(self.colours)
        for k in reversed(range(depth)):
            places = self.places([mix(h, v) for h in g])
            v = 2 * v + self.decision(places, 272 + k, 288 + min(v, 63), 128 + min(v, 127), 12)
        return min(v - (1 << depth), self.colours - 1)

    def numbers(self):
        self.current, pixel = {}, 0
        for j in range(self.channels):
            v = self.number(j)
            if not 0 <= v <= 255:
                refuse("CorruptStream", "a channel outside of 0..255")
            self.current[self.order[j]] = v
            pixel |= v << (8 * self.order[j])
        return int64(pixel)

    def number(self, j):
        c, x = self.order[j], self.x
        at = dict(w=(0, -1), n=(1, 0), nw=(1, -1), ne=(1, 1), ww=(0, -2), nn=(2, 0), nne=(2, 1))
        a = {name: self.channel(c, *where) for name, where in at.items()}
        before, first = self.order[j - 1], self.order[0]
        q = self.current[before] if j else 0
        b = {name: self.channel(before, *where) if j else 0 for name, where in at.items()}
        d = {name: a[name] - b[name] for name in at}
        w, n, nw, ne = a["w"], a["n"], a["nw"], a["ne"]

        def med(a, b, c):
            return clamp(a + b - c, min(a, b), max(a, b))

        ahead = [self.current[first] - self.channel(first, *at[name]) if j > 1 else 0 for name in ("w", "n", "nw")]
        guesses = [med(w, n, nw) if j < 2 else w + ahead[0],
                   med(d["w"], d["n"], d["nw"]) + q if j else w + ne - n, d["w"] + q, d["n"] + q,
                   d["w"] + d["n"] - d["nw"] + q, d["n"] + d["ne"] - d["nne"] + q,
                   (2 * n - a["nn"], d["w"] + ((d["ne"] - d["nw"]) >> 1) + q, n + ahead[1])[min(j, 2)]]  # fmt: skip
        mean = (d["w"] + d["n"]) >> 1
        features = [d[name] - mean for name in ("w", "n", "nw", "ne", "ww", "nn", "nne")]
        features += [self.channel(c, 1, 2) - ne, self.channel(c, 1, -2) - nw]
        features += [q - b[name] for name in ("w", "n", "nw", "ne")] + ahead
        taps = self.taps[c]
        weighted = int64(sum(t * f for t, f in zip(taps, features, strict=True)))
        linear = clamp(((mean + q) * 65536 + weighted) >> 10, 0, 16320)
        guesses.append((linear + 32) >> 6)
        power = sum(f * f for f in features)
        misses = [sum(self.misses[c, k, x + i] for i in (-1, 0, 1)) for k in range(8)]
        trust = [(1 << 22) // (min(e, 1023) + 2) ** 2 for e in misses]
        blend = 8 * sum(t * g for t, g in zip(trust, guesses, strict=True))
        fine = clamp((blend + (sum(trust) >> 1)) // sum(trust), 0, 2040)
        guess = (fine + 4) >> 3
        u = fine - 8 * guess + 4

        rw, rn, rne, rww = (self.residuals[c, x + i] for i in (-1, 0, 1, -2))
        rq = self.residuals[before, x] if j else 0
        rp = self.residuals[first, x] if j > 1 else 0
        e = energy(abs(w - nw) + abs(n - nw) + abs(n - ne) + 2 * abs(rw) + 2 * abs(rn) + abs(rne) + abs(rww))
        s = 2000 + min(j, 3)
        hashes = [mix(s, 16 * e + sgn(rq), sgn(rp)), mix(s + 4, 4 * guess + (e >> 2)),
                  mix(s + 8, sgn3(w - guess, n - guess, ne - guess)), mix(s + 12, rq, rp),
                  mix(s + 16, sgn3(rw, rn, rne)), mix(s + 20, ((guesses[7] - guess) * 16 + e) * 8 + u),
                  mix(s + 24, ((256 * w + n) * 256 + nw) * 256 + guess, q),
                  mix(s + 28, 4 * (256 * sgn(guesses[0] - guess) + 16 * sgn(guesses[4] - guess) + u) + (e >> 2)),
                  mix(s + 32, (512 * q + rq) * 512 + rp),
                  mix(s + 36, 256 * ((self.hint >> (8 * c)) & 255) + guess) if self.hinted
                  else mix(s + 40, sgn3(a["ww"] - guess, a["nn"] - guess, nw - guess)),
                  mix(s + 44, 0), mix(s + 48, 16 * min(misses[1] >> 1, 40) + sgn(rq))]  # fmt: skip

        def ask(node):
            places = [(((h >> 20) + (node >> 4) * 0x9E50) % (1 << self.bits) // 16 * 16 + node % 16, (h >> 48) % 256)
                      for h in hashes]  # fmt: skip
            local = 32 * e + min(node, 31)
            return self.decision(places, 352 + 64 * min(j, 2) + node, 544 + local, 256 + local, 17)

        residual = 0
        if ask(0):
            negative, length, residual = ask(1), 0, 1
            while length < 7 and ask(2 + 7 * negative + length):
                length += 1
            if length > 0:
                residual = 2 + ask(16 + 8 * negative + length)
            if length > 1:
                residual = 2 * residual + ask(32 + 16 * negative + 2 * length + residual % 2)
            for k in reversed(range(length - 2)):
                residual = 2 * residual + self.plain_decision(8 + (8 * min(j, 3) + length) * 8 + k)
            residual = -residual if negative else residual
        v = guess + residual
        step = ((64 * v - linear) * 65536) // (power + 60)
        self.taps[c] = [int64(t + ((step * f) >> 10)) for t, f in zip(taps, features, strict=True)]
        for k in range(8):
            self.misses[c, k, x] = (4 * abs(guesses[k] - v) + self.misses[c, k, x] + 1) >> 1
        self.residuals[c, x] = residual
        return v


def decode(data: bytes, height: int, width: int, channels: int) -> list[list[list[int]]]:
    """Planes as nested lists, row, column, channel."""
    if width > 65536 and width > height:
        columns = decode(data, width, height, channels)
        return [[columns[x][y] for x in range(width)] for y in range(height)]
    if not data or data[0] > 4:
        refuse("CorruptStream", "the mode of context-coded data is missing or above 4")
    mode, body = data[0], data[1:]
    if mode == 0:
        if len(body) != height * width * channels:
            refuse("CorruptStream", "another number of raw bytes")
        return [[list(body[(y * width + x) * channels :][:channels]) for x in range(width)] for y in range(height)]
    if mode in (1, 2):
        return Body(body, height, width, channels, 0, mode == 2).decode()
    colours, length = int.from_bytes(body[:2], "little") + 1, int.from_bytes(body[2:5], "little")
    if len(body) < 5 or length > len(body) - 5 or colours > height * width:
        refuse("CorruptStream", "the palette does not fit the bytes or the pixels")
    if length < 1 or body[5] > 1:
        refuse("CorruptStream", "the mode of the palette is missing or above 1")
    palette = decode_row(body[5 : 5 + length], colours, channels)
    if colours == 1:
        if len(body) > 5 + length:
            refuse("CorruptStream", "bytes follow a single colour")
        return [[palette[0]] * width for _ in range(height)]
    indices = Body(body[5 + length :], height, width, 1 if colours <= 256 else 2, colours, mode == 4).decode()
    return [[palette[v[0] + 256 * v[1] if len(v) > 1 else v[0]] for v in row] for row in indices]


def decode_row(data: bytes, colours: int, channels: int) -> list[list[int]]:
    """A palette: a row that is never transposed."""
    if data[0] == 0:
        if len(data) - 1 != colours * channels:
            refuse("CorruptStream", "another number of raw bytes")
        return [list(data[1 + i * channels :][:channels]) for i in range(colours)]
    return Body(data[1:], 1, colours, channels, 0, False).decode()[0]
