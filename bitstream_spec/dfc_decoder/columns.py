"""TRACKS.md, sections 4 and 6: logarithms, numbers of some bits, and columns of agents that are no place."""

from __future__ import annotations

from decimal import Decimal, localcontext
from math import isqrt
from typing import Any

import numpy as np

from .ans import INV, TOTAL, S, Stack, clamp, normalise
from .fields import Fields
from .refused import refuse

SIDE = 4096


def _logarithms() -> list[int]:
    with localcontext() as decimals:
        decimals.prec = 30
        two = Decimal(2).ln()
        return [int((1 + Decimal(m) / 256).ln() / two * 64 + Decimal("0.5")) for m in range(256)]


L = _logarithms()


def lg(v: int) -> int:
    e = v.bit_length() - 1
    return 64 * e + L[(v >> e - 8 if e >= 8 else v << 8 - e) & 255]


def whole(stack: Stack, width: int) -> int:
    value = done = 0
    while done < width:
        piece = min(16, width - done)
        value |= stack.pop_bits(piece) << done
        done += piece
    return value


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
