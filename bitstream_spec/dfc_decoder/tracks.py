"""TRACKS.md: tracks by a network. Plain integers, slow on purpose."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import isqrt
from typing import Any

import numpy as np

from . import context
from .ans import EXP, INV, TOTAL, S, Stack, clamp, normalise
from .fields import Fields
from .refused import refuse

KNOWN = ([4096], [8192, -4096], [3891, 1459, -57, -532, -495, -220, -74, 3, 2, 27, 25, 40])
SIDE, FAR = 4096, 2**40


def _logarithms() -> list[int]:
    with localcontext() as decimals:
        decimals.prec = 30
        two = Decimal(2).ln()
        return [int((1 + Decimal(m) / 256).ln() / two * 64 + Decimal("0.5")) for m in range(256)]


L = _logarithms()


def lg(v: int) -> int:
    e = v.bit_length() - 1
    return 64 * e + L[(v >> e - 8 if e >= 8 else v << 8 - e) & 255]


def cp(a: int, s: int) -> int:
    found = min(lg(64 + (min(abs(a), FAR) << 10) // s) - 384, 1023)
    return -found if a < 0 else found


class Network:
    def __init__(self, config: dict[str, Any], tensors: dict[str, np.ndarray]):
        self.M, self.heads, self.K = config["others"], config["heads"], config["mixtures"]
        self.tensors = {name: value.astype(np.int64) for name, value in tensors.items()}

    def layer(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def ask(self, features: np.ndarray, relative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6 K) and b (N, C) of (N, 49) and (N, N, 5)."""
        a, N = cut(self.layer("own", features)), len(features)
        if self.M:
            both = self.layer("seeing", a)[:, None] + self.layer("seen", a)[None] + self.layer("relative", relative)
            t = self.layer("pair", cut(both))
            logits, said = np.clip(rounded(t[..., : self.heads]), -512, 512), cut(t[..., self.heads :])
            u = np.zeros((N, self.M), np.int64)
            for i in range(N):
                others = [j for j in range(N) if j != i]
                for head in range(self.heads if others else 0):
                    part = slice(head * self.M // self.heads, (head + 1) * self.M // self.heads)
                    top = max(logits[i, others, head])
                    w = np.array([EXP[min(top - logits[i, j, head], 1024)] for j in others])
                    u[i, part] = (w[:, None] * said[i, others, part]).sum(0) // w.sum()
            a = np.concatenate([a, u], 1)
        b = cut(self.layer("joined", a))
        b = b + cut(self.layer("deeper", b))
        return np.clip(rounded(self.layer("head", b)), -(2**15), 2**15), b


def rounded(x: np.ndarray) -> np.ndarray:
    return x + 512 >> 10


def cut(x: np.ndarray) -> np.ndarray:
    return np.clip(rounded(x), 0, 8128)


class Agent:
    def __init__(self, place: list[int], scale: int, row: int):
        self.place, self.fast, self.slow, self.count = place, scale, scale, 0
        self.m, self.e = [[0] * 12, [0] * 12], [[0] * 8, [0] * 8]
        self.sigma, self.p = 0, [0, 0]
        self.row, self.pace = row, 1

    def look(self, c: list[int], speed: int, row: int) -> list[int]:
        g, pace = row - self.row, self.pace
        if g != pace and self.count:
            for one in (*self.m, *self.e):
                one[:] = [clamp(v * g // pace, -(2**46), 2**46) for v in one]
            self.fast, self.slow = (max(min(v, FAR) * g // pace, 1) for v in (self.fast, self.slow))
        self.pace = g
        self.sigma = s = max(self.fast, 384)
        told = []
        for f in range(2):
            m = self.m[f]
            self.p[f] = p = sum(a * b for a, b in zip(c, m, strict=False)) >> 6
            told += [cp(e, s) for e in self.e[f]] + [cp(32 * (m[k] - m[0]), s) for k in range(1, 12)]
            told += [cp(p - 64 * m[0], s), cp(64 * m[0], s), (p + 32 & 63) - 32 if s < 4096 else 0]
        told += [lg(s) - 640 >> 1, lg(max(self.slow, 384)) - 640 >> 1]
        return [*told, cp(64 * (abs(self.m[0][0]) + abs(self.m[1][0])), s), 16 * self.count, cp(speed >> 4, s)]

    def moved(self, place: list[int]) -> int:
        """Its values are these now; the sum of its errors."""
        missed = 0
        for f in range(2):
            d = clamp(place[f] - self.place[f], -FAR, FAR)
            e = 64 * d - self.p[f]
            missed += abs(e)
            self.m[f], self.e[f] = [d, *self.m[f][:-1]], [e, *self.e[f][:-1]]
            if self.count == 0:
                self.m[f], self.e[f] = [d] * 12, [0, *self.e[f][1:]]
        self.place = place
        return missed


def sees(one: Agent, other: Agent, speed: int) -> list[int]:
    v = max(speed, 512)
    away = [clamp(other.place[f] - one.place[f], -FAR, FAR) for f in range(2)]
    motion = [cp(256 * (other.m[f][0] - one.m[f][0]), v) for f in range(2)]
    return [cp(64 * away[0], v), cp(64 * away[1], v), *motion, cp(64 * (abs(away[0]) + abs(away[1])), v)]


def whole(stack: Stack, width: int) -> int:
    value = done = 0
    while done < width:
        piece = min(16, width - done)
        value |= stack.pop_bits(piece) << done
        done += piece
    return value


def move(stack: Stack, rows: list[list[int]], agent: Agent) -> tuple[list[int], list[int]]:
    """Displacements of x and y; the gradient by each parameter (section 7)."""
    K, s = len(rows[0]), agent.sigma
    w = normalise([EXP[min(max(rows[0]) - v, 1024)] for v in rows[0]])
    z, lead, d, front, told, leads = 0, 0, [0, 0], w, [], [0]
    while s >> 16 + z:
        z += 1
    for f in range(2):
        p, mean, inverse = agent.p[f], [], []
        for k in range(K):
            m = (p & 63) + (rows[1 + f][k] * s >> 10) + (rows[5][k] * lead >> 6 if f else 0)
            mean.append((m >> z) - 32 + (32 >> z))
            inverse.append(INV[clamp(96 + ((lg(s) - 640 - 64 * z) * 2839 >> 13) + (rows[3 + f][k] >> 1), 0, 256)])

        def T(k: int, v: int, mean: list[int] = mean, inverse: list[int] = inverse) -> int:
            u = clamp((64 * v - 32 - mean[k]) * inverse[k] >> 12, -(2**22), 2**22) + 2**22
            return S[u >> 12] + ((S[(u >> 12) + 1] - S[u >> 12]) * (u & 4095) >> 12)

        def edge(i: int, T: Any = T, w: list[int] = w) -> int:
            if i <= 0 or i >= 2 * SIDE:
                return 0 if i <= 0 else TOTAL
            return i + (sum(w[k] * T(k, i - SIDE) for k in range(K)) * (TOTAL - 2 * SIDE) >> 38)

        v = g = stack.pop(edge, 2 * SIDE) - SIDE
        if v in (-SIDE, SIDE - 1):
            bits = whole(stack, 6)
            beyond = whole(stack, bits) + 2**bits - 1
            g = v + beyond if v > 0 else v - beyond
        d[f] = (p >> 6) + (g << z | whole(stack, z))
        lead = clamp(64 * d[0] - agent.p[0], -(s >> 1), s >> 1)
        leads.append(lead)
        for k in range(K):
            low, high = T(k, v), T(k, v + 1)
            u = [clamp((64 * at - 32 - mean[k]) * inverse[k] >> 12, -(2**22), 2**22) for at in (v, v + 1)]
            e = u[1] * (high * (2**22 - high) >> 22) - u[0] * (low * (2**22 - low) >> 22)
            told.append(((2**22 - low - high) * inverse[k] >> 22, clamp(e // (high - low + 1), -(2**22), 2**22)))
        w = normalise([w[k] * (T(k, v + 1) - T(k, v) + 1) for k in range(K)])
    by_mean = [clamp(w[n % K] * (told[n][0] * (s >> z) >> 10) >> 24, -(2**22), 2**22) for n in range(2 * K)]
    by_scale = [w[n % K] * told[n][1] >> 18 for n in range(2 * K)]
    by_lead = [clamp(w[k] * (told[K + k][0] * (leads[1] >> z) >> 6) >> 24, -(2**22), 2**22) for k in range(K)]
    return d, [*(a - b for a, b in zip(front, w, strict=True)), *by_mean, *by_scale, *by_lead]


class Learning:
    """Section 7, of a pass."""

    def __init__(self, rate: int, C: int, K: int):
        self.rate, self.kept = rate, list[tuple[np.ndarray, list[int]]]()
        self.V, self.m, self.s = np.zeros((3, C + 1, 6 * K))
        self.p = self.q = 1.0

    def params(self, params: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = np.concatenate([b, np.full((len(b), 1), 64)], 1).astype(np.float64)
        moved = params + np.floor((t @ np.rint(self.V) + 2**13) / 2**14)
        return np.clip(moved, -(2**15), 2**15).astype(np.int64), t

    def learn(self) -> None:
        if len(self.kept) < 48:
            return
        t, g = (np.array(column, np.float64) for column in zip(*self.kept, strict=True))
        self.kept, G = [], t.T @ g
        self.p, self.q = 0.9 * self.p, 0.98 * self.q
        self.m, self.s = 0.9 * self.m + (1 - 0.9) * G, 0.98 * self.s + (1 - 0.98) * (G * G)
        step = (self.m / (1 - self.p)) / (np.sqrt(self.s / (1 - self.q)) + 4096)
        self.V = np.clip(self.V - self.rate * step, -65536, 65536)


def present(stack: Stack, t: int, A: int) -> np.ndarray:
    """Who is there (t, A): section 7."""
    here, P = np.zeros((t, A), bool), {}
    away, pace, runs, q = [0] * A, [0] * A, [0] * A, 0
    for row in here:
        o, s, q = 0, [0, 0, 0], q + 1
        for a in range(A):
            like = (away[a] + 1 > pace[a]) + (away[a] + 1 >= pace[a])
            if pace[a]:
                length = min(7, (away[a] >> 1).bit_length())
                context = 16 + ((8 * like + length) * 3 + s[like]) * 4 + min(3, (runs[a] >> 1).bit_length())
            else:
                context = 4 * min(o, 3) + min(min(9, q.bit_length()) // 3, 3)
            p, n = P.get(context, (2**21, 0))
            row[a] = there = stack.pop(lambda i, p=p: (0, p << 2, TOTAL)[i], 2) == 0
            moved = p + ((2**22 * there - p) * (131072 // (2 * n + 3)) >> 16)
            P[context] = clamp(moved, 1, 2**22 - 1), min(n + 1, 255)
            if pace[a]:
                s[like] = 1 if there else 2
            else:
                o, q = (0, 0) if there else (o + 1, q)
            if there:
                runs[a] = runs[a] + 1 if pace[a] and like == 1 else 0
                pace[a], away[a] = away[a] + 1 if pace[a] else 1, 0
            else:
                away[a] += 1
    return here


def positions(
    fields: Fields, part: np.ndarray, network: Network, c: list[int], columns: int, plan: dict[str, Any]
) -> tuple[list[dict[int, list[int]]], bytes, Stack]:
    """Of each row the places of who is there; the widths of so many running columns; what is left of the stack.

    part: (t, A, F, n), whose gaps are there, or are filled.
    """
    steps = fields.bytes(2)
    if max(steps) >= 200:
        refuse("CorruptStream", "the scales of a pass")
    scale, speed = (4 + (b & 3) << b // 4 << 4 for b in steps)
    ends = [(fields.varint(64), fields.bytes(1)[0]) for _ in range(2)]
    if any(least >> 60 or width > 60 for least, width in ends):
        refuse("CorruptStream", "the places of a pass")
    widths = fields.bytes(columns)
    if max(widths, default=0) > 62:
        refuse("CorruptStream", "the width of a column")
    stack, agents, out = Stack(fields.rest()), dict[int, Agent](), []
    if plan["walked"]:
        away = ~present(stack, *part.shape[:2])
        for f in range(part.shape[2]):
            part[:, :, f, 0] = away ^ (part[:, :, f, 0] if f not in plan["places"] else 0)
    there, learning = part[:, :, plan["places"][0], 0] == 0, None
    if there.sum(1).max(initial=0) > 256:
        refuse("CorruptStream", "more than 256 agents in a row")
    for number, row in enumerate(there):
        agents = {a: one for a, one in agents.items() if number - one.row <= plan["longest"] + 1}
        now = [int(a) for a in np.flatnonzero(row)]
        known, come = [a for a in now if a in agents], [a for a in now if a not in agents]
        found = {a: [0, 0] for a in come}
        for f, (least, width) in enumerate(ends):
            for a in come:
                found[a][f] = least + whole(stack, width)
        if known:
            features = np.array([agents[a].look(c, speed, number) for a in known], np.int64)
            relative = np.array([[sees(agents[i], agents[j], speed) for j in known] for i in known], np.int64)
            every, b = network.ask(features, relative)
            inputs = b
            if plan["rate"]:
                learning = learning or Learning(plan["rate"], b.shape[1], network.K)
                every, inputs = learning.params(every, b)
            for a, rows, t in zip(known, every.reshape(len(b), 6, -1).tolist(), inputs, strict=True):
                d, gradient = move(stack, rows, agents[a])
                found[a] = [agents[a].place[f] + d[f] for f in range(2)]
                if learning:
                    learning.kept.append((t, gradient))
            if learning:
                learning.learn()
        scales = speeds = count = 0
        for a in now:
            if a in come:
                continue
            agent = agents[a]
            missed, first = agent.moved(found[a]), agent.count == 0
            if not first:
                missed = min(8 * missed, 8 * agent.fast + 4096)
                agent.fast += missed - agent.fast >> 3
                agent.slow += missed - agent.slow >> 5
                scales, count = scales + agent.fast, count + 1
                speeds += min(512 * (abs(agent.m[0][0]) + abs(agent.m[1][0])), 8 * speed + 4096)
            agent.count, agent.row = min(agent.count + 1, 12), number
        agents |= {a: Agent(found[a], scale, number) for a in come}
        if count:
            scale += scales // count - scale >> 3
            speed += speeds // count - speed >> 4
        out.append(found)
    return out, widths, stack


def decode(params: bytes, passes: list[bytes], H: int, W: int, count: int, model: Any) -> np.ndarray:
    """The extra planes (H, W, count) of method 7; ``params`` behind the method's byte."""
    fields = Fields(params)
    F, x, y, frames = (fields.varint() for _ in range(4))
    number = fields.bytes(1)[0]
    if x == y or max(x, y) >= F or W % F or not 1 <= frames <= 2**20 or number > 15 or count < 2:
        refuse("CorruptStream", "the parameters of the tracks")
    longest, rate, walked = further = tuple(fields.bytes(3)) if number & 8 else (0, 0, 0)
    if walked > 1 or (number & 8 and not any(further)):
        refuse("CorruptStream", "what else is done with the tracks")
    plan = {"longest": longest, "rate": rate, "walked": walked, "places": (x, y)}
    number, follows = number % 4, bool(number & 4)
    own = np.frombuffer(fields.bytes(24), "<i2").tolist() if number == 3 else []
    others = [f for f in range(F) if f not in (x, y)]
    told = {f: column for f in others if follows and (column := read_column(fields))}
    if fields.rest():
        refuse("CorruptStream", "bytes behind the parameters of the tracks")
    c, network = own or KNOWN[number], Network(*model)
    firsts, A = range(0, H, frames), W // F
    if len(passes) != len(firsts):
        refuse("CorruptStream", f"{len(passes)} passes of the tracks where there are {len(firsts)}")
    out = np.zeros((H, A, F, count), np.uint8)
    plain = [f for f in others if f not in told]
    for first, payload in zip(firsts, passes, strict=True):
        part, fields = out[first : first + frames], Fields(payload)
        t = len(part)
        gaps = others if walked else list(range(F))
        if data := fields.bytes(fields.varint()):
            part[:, :, gaps, 0] = np.array(context.decode(data, t, A * len(gaps), 1), np.uint8).reshape(t, A, -1)
        if plain:
            planes = context.decode(fields.bytes(fields.varint()), t, A * len(plain), count - 1)
            part[:, :, plain, 1:] = np.array(planes, np.uint8).reshape(t, A, len(plain), count - 1)
        rows, widths, stack = positions(fields, part, network, c, len(told), plan)
        for row, found in zip(part, rows, strict=True):
            for a, place in found.items():
                for f, value in zip((x, y), place, strict=True):
                    write(row[a, f], value)
        for (f, column), width in zip(told.items(), widths, strict=True):
            for (i, a), value in running(stack, column, width, part[..., f, 0] == 0, rows).items():
                write(part[i, a, f], value)
        stack.finish()
    return out.reshape(H, W, count)


def write(planes: np.ndarray, value: int) -> None:
    if not 0 <= value < 256 ** (len(planes) - 1):
        refuse("CorruptStream", "a value of more bytes than there are")
    planes[1:] = list(value.to_bytes(len(planes) - 1, "big"))


# ---- section 6


def _angles() -> list[int]:
    """By the series of atan, of 2^-j; of 1 it is that of 1/5 and 1/239 (Machin)."""
    with localcontext() as decimals:
        decimals.prec = 50

        def atan(x: Decimal) -> Decimal:
            return sum(((-1) ** n * x ** (2 * n + 1) / (2 * n + 1) for n in range(80)), Decimal(0))

        quarter = 4 * atan(Decimal(1) / 5) - atan(Decimal(1) / 239)
        every = [quarter, *(atan(Decimal(2) ** -j) for j in range(1, 25))]
        return [int(one / (8 * quarter) * 2**32 + Decimal("0.5")) for one in every]


ANGLE = _angles()
SCALES = (-61, -39, -16, 6, 28, 52, 87)
FIRST = (39322, 262144, 458752, 327680, 131072, 65536, 26214)
FAST = 2**38


def read_column(fields: Fields) -> dict[str, Any] | None:
    """None of a plain one."""
    kind = fields.bytes(1)[0]
    if not kind:
        return None
    C, turned, zero = (fields.varint(), fields.bytes(1)[0], fields.varint()) if kind == 2 else (0, 0, 0)
    finer = fields.bytes(1)[0] if kind == 1 else 0
    if kind > 2 or finer > 12 or (kind == 2 and not (2 <= C <= 2**30 and turned < 2 and zero < C)):
        refuse("CorruptStream", "how a column is told")
    c = np.frombuffer(fields.bytes(50 if kind == 2 else 18), "<i2").reshape(-1, 5 if kind == 2 else 9).tolist()
    return {"C": C, "turned": turned, "zero": zero, "finer": finer, "c": c}


def direction(x: int, y: int) -> int:
    x, y, a = x << 30, y << 30, 0
    if x < 0:
        x, y, a = -x, -y, 2**31
    for j in range(25):
        if y > 0:
            x, y, a = x + (y >> j), y - (x >> j), a + ANGLE[j]
        else:
            x, y, a = x - (y >> j), y + (x >> j), a - ANGLE[j]
    return a % 2**32


def moved(rows: list[dict[int, list[int]]], t: int, a: int, k: int) -> tuple[int, int | None]:
    """l_k, and the direction if there is one."""
    low, high = max(t - k, 0), min(t + k, len(rows) - 1)
    if low == high or a not in rows[low] or a not in rows[high]:
        return 0, None
    D = [clamp(rows[high][a][f] - rows[low][a][f], -(2**24), 2**24) for f in range(2)]
    return isqrt((64 * D[0]) ** 2 + (64 * D[1]) ** 2) // (high - low), direction(D[0], D[1]) if any(D) else None


def running(
    stack: Stack, column: dict[str, Any], width: int, there: np.ndarray, rows: list[dict[int, list[int]]]
) -> dict[tuple[int, int], int]:
    """The numbers of a column by row and agent."""
    C, out, W = column["C"], {}, [list(FIRST) for _ in range(5)]
    P = [[19661] * 16 for _ in range(5)]
    known: dict[int, dict[str, Any]] = {}

    def wrap(v: int) -> int:
        return (v + (C >> 1)) % C - (C >> 1) if C else v

    for t, row in enumerate(there):
        for a in (int(a) for a in np.flatnonzero(row)):
            if a not in known:
                out[t, a] = whole(stack, width)
                known[a] = {"u": out[t, a], "d": [0, 0, 0], "h": 0, "fast": 8192, "slow": 8192}
                continue
            one, kind = known[a], 0
            u, (l1, f1), (l2, f2) = one["u"], moved(rows, t, a, 1), moved(rows, t, a, 2)
            if C:
                kind = sum(l1 >= speed for speed in (96, 256, 640, 1600))
                sign = -1 if column["turned"] else 1
                along = [None if f is None else (column["zero"] + sign * (f * C >> 32)) % C for f in (f1, f2)]
                told = [0 if v is None else 64 * wrap(v - u) for v in along]
            else:
                before = max(t - 1, 0)
                told = [l1 - moved(rows, before, a, 1)[0], l2 - moved(rows, before, a, 2)[0], l1, l2, 64]
                told = [*(length << column["finer"] for length in told), 64 * min(u, FAST)]
            c = column["c"][kind]
            p = sum(x * y for x, y in zip(c, [*(64 * d for d in one["d"]), *told], strict=True)) >> 12
            share = P[kind][one["h"]]
            again = stack.pop(lambda i, share=share: (0, share << 8, TOTAL)[i], 2) == 0
            P[kind][one["h"]] += 65536 - share >> 5 if again else -(share >> 5)
            value, r = (u, wrap(-(p >> 6))) if again else (0, missed(stack, one, p, W[kind]))
            if not again:
                value = u + (p >> 6) + r
                value = value % C if C else value
                E = min(16 * abs(64 * clamp(r, -FAST, FAST) - (p & 63)), 8 * one["fast"] + 4096)
                one["fast"] += E - one["fast"] >> 2
                one["slow"] += E - one["slow"] >> 4
            one["h"] = (one["h"] << 1 | again) & 15
            one["d"] = [clamp(wrap(value - u), -FAST, FAST), *one["d"][:2]]
            one["u"] = out[t, a] = value
    return out


def missed(stack: Stack, one: dict[str, Any], p: int, W: list[int]) -> int:
    """r, by which the weights W learn."""
    s, z = max(one["fast"] + min(one["slow"], 4 * one["fast"]) >> 1, 307), 0
    while s >> 14 + z:
        z += 1
    w, mean = normalise(W), ((p & 63) >> z) - 32 + (32 >> z)
    inverse = [INV[clamp(96 + ((lg(s) - 640 - 64 * z) * 2839 >> 13) + o, 0, 256)] for o in SCALES]

    def T(k: int, v: int) -> int:
        u = clamp((64 * v - 32 - mean) * inverse[k] >> 12, -(2**22), 2**22) + 2**22
        return S[u >> 12] + ((S[(u >> 12) + 1] - S[u >> 12]) * (u & 4095) >> 12)

    def edge(i: int) -> int:
        if i <= 0 or i >= 2 * SIDE:
            return 0 if i <= 0 else TOTAL
        return i + (sum(w[k] * T(k, i - SIDE) for k in range(7)) * (TOTAL - 2 * SIDE) >> 38)

    v = g = stack.pop(edge, 2 * SIDE) - SIDE
    if v in (-SIDE, SIDE - 1):
        bits = whole(stack, 6)
        beyond = whole(stack, bits) + 2**bits - 1
        g = v + beyond if v > 0 else v - beyond
    r = g << z | whole(stack, z)
    w = normalise([w[k] * (T(k, v + 1) - T(k, v) + 1) for k in range(7)])
    total = sum(W) + sum(w)
    W[:] = [a + b >> (total > 2000 << 16) for a, b in zip(W, w, strict=True)]
    return r
