"""TRACKS.md: tracks by a network. Plain integers, slow on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import context
from .ans import EXP, INV, TOTAL, S, Stack, clamp, normalise
from .columns import SIDE, lg, read_column, running, whole
from .fields import Fields
from .layers import Ahead
from .refused import refuse

KNOWN = ([4096], [8192, -4096], [3891, 1459, -57, -532, -495, -220, -74, 3, 2, 27, 25, 40])
FAR = 2**40


def signed(a: int) -> int:
    """As 64 bits hold it."""
    return (a + 2**63) % 2**64 - 2**63


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


def move(stack: Stack, rows: list[list[int]], place: list[int], s: int) -> tuple[list[int], list[int]]:
    """Displacements of x and y; the gradient by each parameter (section 7)."""
    K = len(rows[0])
    w = normalise([EXP[min(max(rows[0]) - v, 1024)] for v in rows[0]])
    z, lead, d, front, told, leads = 0, 0, [0, 0], w, [], [0]
    while s >> 16 + z:
        z += 1
    for f in range(2):
        p, mean, inverse = place[f], [], []
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
        d[f] = signed((p >> 6) + (g << z | whole(stack, z)))
        lead = clamp(signed(64 * d[0] - place[0]), -(s >> 1), s >> 1)
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
    fields: Fields,
    part: np.ndarray,
    network: Network,
    c: list[int],
    columns: int,
    plan: dict[str, Any],
    ahead: Ahead | None = None,
) -> tuple[list[dict[int, list[int]]], bytes, Stack]:
    """Of each row the places of who is there; the widths of so many running columns; what is left of the stack.

    part: (t, A, F, n), whose gaps are there, or are filled. In a first pass of layers, of ``plan["every"]``, of the
    coarse rows. ahead: what that gave, in a second pass.
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
    if plan["walked"] and ahead is None:
        away = ~present(stack, *part.shape[:2])
        for f in range(part.shape[2]):
            part[:, :, f, 0] = away ^ (part[:, :, f, 0] if f not in plan["places"] else 0)
    there, learning = part[:, :, plan["places"][0], 0] == 0, None
    there = there[:: plan["every"]]
    if there.sum(1).max(initial=0) > 256:
        refuse("CorruptStream", "more than 256 agents in a row")
    for number, row in enumerate(there):
        agents = {a: one for a, one in agents.items() if number - one.row <= plan["longest"] + 1}
        now = [int(a) for a in np.flatnonzero(row)]
        known, come = [a for a in now if a in agents], [a for a in now if a not in agents]
        coarse = ahead is not None and number % ahead.k == 0
        found = dict(ahead.rows[number]) if ahead is not None and coarse else {a: [0, 0] for a in come}
        for f, (least, width) in enumerate(ends):
            for a in come if not coarse else ():
                found[a][f] = least + whole(stack, width)
        told = [agents[a].look(c, speed, number) for a in known]
        if known and not coarse:
            features = np.array(told, np.int64)
            relative = np.array([[sees(agents[i], agents[j], speed) for j in known] for i in known], np.int64)
            every, b = network.ask(features, relative)
            led = [(agents[a].p, agents[a].sigma) for a in known]
            for i, a in enumerate(known if ahead else ()):
                assert ahead is not None
                *led[i], left = ahead.led(a, agents[a], number)
                every[i, network.K : 3 * network.K] = every[i, network.K : 3 * network.K] * left * left >> 20
            inputs = b
            if plan["rate"]:
                learning = learning or Learning(plan["rate"], b.shape[1], network.K)
                every, inputs = learning.params(every, b)
            for a, rows, t, (p, s) in zip(known, every.reshape(len(b), 6, -1).tolist(), inputs, led, strict=True):
                d, gradient = move(stack, rows, p, s)
                found[a] = [signed(agents[a].place[f] + d[f]) for f in range(2)]
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
    longest, rate, flags = further = tuple(fields.bytes(3)) if number & 8 else (0, 0, 0)
    if flags > 3 or (number & 8 and not any(further)):
        refuse("CorruptStream", "what else is done with the tracks")
    k, first_number = fields.bytes(2) if flags & 2 else (1, 0)
    if (flags & 2 and not 2 <= k <= 16) or frames % k or first_number > 3:
        refuse("CorruptStream", "the layers of the tracks")
    first_c = coefficients(fields, first_number)
    walked = flags & 1
    plan = {"longest": longest, "rate": rate, "walked": walked, "places": (x, y), "every": 1}
    number, follows = number % 4, bool(number & 4)
    c = coefficients(fields, number)
    others = [f for f in range(F) if f not in (x, y)]
    told = {f: column for f in others if follows and (column := read_column(fields))}
    if fields.rest():
        refuse("CorruptStream", "bytes behind the parameters of the tracks")
    network, firsts, A = Network(*model), range(0, H, frames), W // F
    layers = 2 if flags & 2 else 1
    if len(passes) != layers * len(firsts):
        refuse("CorruptStream", f"{len(passes)} passes of the tracks where there are {layers * len(firsts)}")
    out = np.zeros((H, A, F, count), np.uint8)
    plain = [f for f in others if f not in told]
    for number, first in enumerate(firsts):
        part, fields, ahead = out[first : first + frames], Fields(passes[number]), None
        t = len(part)
        gaps = others if walked else list(range(F))
        if data := fields.bytes(fields.varint()):
            if not gaps:
                refuse("CorruptStream", "gaps of no columns")
            part[:, :, gaps, 0] = np.array(context.decode(data, t, A * len(gaps), 1), np.uint8).reshape(t, A, -1)
        if layers == 2:
            coarse_plan = plan | {"every": k, "rate": 0}
            rows, _, stack = positions(fields, part, network, first_c, 0, coarse_plan)
            stack.finish()
            if any(not 0 <= value < 256 ** (count - 1) for row in rows for place in row.values() for value in place):
                refuse("CorruptStream", "a value of more bytes than there are")
            spread = [rows[n // k] if n % k == 0 else {} for n in range(t)]
            ahead, fields = Ahead(c, k, spread), Fields(passes[len(firsts) + number])
        if plain:
            planes = context.decode(fields.bytes(fields.varint()), t, A * len(plain), count - 1)
            part[:, :, plain, 1:] = np.array(planes, np.uint8).reshape(t, A, len(plain), count - 1)
        rows, widths, stack = positions(fields, part, network, c, len(told), plan, ahead)
        for row, found in zip(part, rows, strict=True):
            for a, place in found.items():
                for f, value in zip((x, y), place, strict=True):
                    write(row[a, f], value)
        for (f, column), width in zip(told.items(), widths, strict=True):
            for (i, a), value in running(stack, column, width, part[..., f, 0] == 0, rows).items():
                write(part[i, a, f], value)
        stack.finish()
    return out.reshape(H, W, count)


def coefficients(fields: Fields, number: int) -> list[int]:
    return np.frombuffer(fields.bytes(24), "<i2").tolist() if number == 3 else KNOWN[number]


def write(planes: np.ndarray, value: int) -> None:
    if not 0 <= value < 256 ** (len(planes) - 1):
        refuse("CorruptStream", "a value of more bytes than there are")
    planes[1:] = list(value.to_bytes(len(planes) - 1, "big"))
