"""A whole number predicted of those before it: guesses, a fit by least squares, their blend, its correction, its bias.

The fits are recursive least squares in integers: weighted sums of products fade by a 256th (1024th) at each number,
and a sweep of Gauss-Seidel for each number keeps the taps near the solution.
"""

from __future__ import annotations

from ...runtime.kernels import woven
from .state import I64
from .whole_state import (
    BIASES,
    CORRECTING,
    CORRECTION,
    FEATURE,
    GUESS,
    GUESSES,
    KINDS,
    LEVEL,
    MISS,
    PLACE,
    RESIDUAL,
    VALUE,
)

FIT_SHIFT, CORRECTION_SHIFT = 8, 10  # sums fade by 2^-shift
FIT_RIDGE, CORRECTION_RIDGE = 64, 256
MOST_TAP = 1 << 19
BIAS_COUNT = 200


@woven
def level(v):
    """Four for each binary digit of v + 1."""
    v = min(v, I64((1 << 20) - 2)) + 1
    return I64(LEVEL[v]) if v < 4096 else 32 + I64(LEVEL[v >> 8])


@woven
def length_of(v):
    """Binary digits of v, 0 <= v < 2^20."""
    n = I64(0)
    while v > 0:
        n += 1
        v >>= 1
    return n


@woven
def size(d, unit):
    """0..11: sign and size of d against a unit."""
    a = abs(d)
    m = I64(a * 4 > unit) + I64(a * 2 > unit) + I64(a > unit) + I64(a > 2 * unit) + I64(a > 4 * unit)
    return m + 6 if d < 0 else m


@woven
def median(a, b, c):
    """a + b - c, no further than a and b."""
    return min(max(a + b - c, min(a, b)), max(a, b))


@woven
def predict(near, misses, taps, taps2, order, now, x, y, j, highest):
    """Blend of the guesses of number j in coding order, and what became of it corrected; both in 64ths.

    (blend, corrected, features of the fit, their power, least miss); now: guesses, features.
    """
    y0, y1, y2, y3 = y & 3, (y - 1) & 3, (y - 2) & 3, (y - 3) & 3
    c = order[j]
    w, n = I64(near[c, VALUE, y0, x - 1]), I64(near[c, VALUE, y1, x])
    nw, ne = I64(near[c, VALUE, y1, x - 1]), I64(near[c, VALUE, y1, x + 1])
    ww, nn, nne = I64(near[c, VALUE, y0, x - 2]), I64(near[c, VALUE, y2, x]), I64(near[c, VALUE, y2, x + 1])
    mean = (w + n) >> 1
    q = qw = qn = qnw = qne = qnne = I64(0)
    f = FEATURE
    now[f], now[f + 1], now[f + 2], now[f + 3] = w - mean, n - mean, nw - mean, ne - mean
    now[f + 4], now[f + 5], now[f + 6] = ww - mean, nn - mean, nne - mean
    now[f + 7], now[f + 8] = I64(near[c, VALUE, y1, x + 2]) - ne, I64(near[c, VALUE, y1, x - 2]) - nw
    count = 14
    if j == 0:
        now[f + 9], now[f + 10] = I64(near[c, VALUE, y2, x - 1]) - mean, I64(near[c, VALUE, y0, x - 3]) - ww
        now[f + 11], now[f + 12] = I64(near[c, VALUE, y3, x]) - nn, I64(near[c, VALUE, y2, x + 2]) - nne
        now[f + 13] = I64(near[c, VALUE, y2, x - 2]) - nw
    else:
        b = order[j - 1]
        q, qw, qn = I64(near[b, VALUE, y0, x]), I64(near[b, VALUE, y0, x - 1]), I64(near[b, VALUE, y1, x])
        qnw, qne = I64(near[b, VALUE, y1, x - 1]), I64(near[b, VALUE, y1, x + 1])
        qnne = I64(near[b, VALUE, y2, x + 1])
        m = (qw + qn) >> 1
        now[f + 9], now[f + 10], now[f + 11], now[f + 12], now[f + 13] = q - m, qw - m, qn - m, qnw - m, qne - m
    dw, dn, dnw, dne = w - qw, n - qn, nw - qnw, ne - qne
    now[GUESS] = median(w, n, nw)
    now[GUESS + 1] = median(dw, dn, dnw) + q if j > 0 else w + ne - n
    now[GUESS + 2] = dw + q
    now[GUESS + 3] = dn + q
    now[GUESS + 4] = dw + dn - dnw + q
    now[GUESS + 5] = dn + dne - (nne - qnne) + q
    now[GUESS + 6] = dw + ((dne - dnw) >> 1) + q if j > 0 else 2 * n - nn
    if j > 1:
        b = order[0]
        p, pw, pn = I64(near[b, VALUE, y0, x]), I64(near[b, VALUE, y0, x - 1]), I64(near[b, VALUE, y1, x])
        m = (pw + pn) >> 1
        now[f + 14], now[f + 15], now[f + 16] = p - m, pw - m, pn - m
        now[f + 17], now[f + 18] = I64(near[b, VALUE, y1, x - 1]) - m, I64(near[b, VALUE, y1, x + 1]) - m
        now[GUESS] = w + p - pw
        now[GUESS + 6] = n + p - pn
        count = 19
    for k in range(GUESSES - 1):
        now[GUESS + k] <<= 6
    power = dot = I64(0)
    for k in range(count):
        power += now[f + k] * now[f + k]
        dot += taps[c, k] * now[f + k]
    most = highest << 6
    now[GUESS + 7] = min(max(((mean << 16) + dot) >> 10, I64(0)), most)
    least = I64(1 << 40)
    for k in range(GUESSES):
        now[MISS + k] = _miss(misses, c, k, x, y)
        least = min(least, now[MISS + k])
    total = blend = I64(0)
    for k in range(GUESSES):
        ratio = (least << 12) // now[MISS + k]
        ratio *= ratio
        trust = (ratio * ratio) >> 32
        total += trust
        blend += trust * (now[GUESS + k] - (mean << 6))
    blend = min(max((mean << 6) + blend // total, I64(0)), most)
    now[CORRECTION] = (now[GUESS + 7] - blend) >> 3
    now[CORRECTION + 1] = (now[GUESS] - blend) >> 3
    now[CORRECTION + 2] = (((now[GUESS + 2] + now[GUESS + 3]) >> 1) - blend) >> 3
    dot = I64(0)
    for k in range(CORRECTING):
        dot += taps2[c, k] * now[CORRECTION + k]
    corrected = min(max(blend + (dot >> 13), I64(0)), most)
    return blend, corrected, count, power, least - 4


@woven
def _miss(misses, c, k, x, y):
    """How far guess k of channel c was off nearby, in quarters, at least 4."""
    y0, y1 = y & 1, (y - 1) & 1
    e = I64(misses[c, k, y0, x - 1]) + I64(misses[c, k, y0, x - 2]) + I64(misses[c, k, y1, x - 1])
    return e + I64(misses[c, k, y1, x]) + I64(misses[c, k, y1, x + 1]) + 4


@woven
def bias_of(near, bias, order, now, x, y, j, fine, unit):
    """Mean error in 64ths of the three contexts of a prediction `fine`, whose places go into now."""
    y0, y1 = y & 3, (y - 1) & 3
    c = order[j]
    guess = fine >> 6
    rq = I64(near[order[j - 1], RESIDUAL, y0, x]) if j > 0 else I64(0)
    w, n, nw = I64(near[c, VALUE, y0, x - 1]), I64(near[c, VALUE, y1, x]), I64(near[c, VALUE, y1, x - 1])
    ne = I64(near[c, VALUE, y1, x + 1])
    rw, rn = I64(near[c, RESIDUAL, y0, x - 1]), I64(near[c, RESIDUAL, y1, x])
    first = min(I64(j), I64(3)) * KINDS
    now[PLACE] = first + (size(w - guess, 2 * unit) * 12 + size(n - guess, 2 * unit)) * 12 + size(ne - guess, 2 * unit)
    now[PLACE + 1] = first + (size(rw, unit) * 12 + size(rn, unit)) * 12 + size(rq, unit)
    g0, g5 = (now[GUESS] >> 6) - guess, (now[GUESS + 5] >> 6) - guess
    now[PLACE + 2] = first + (size(g0, 2 * unit) * 12 + size(g5, 2 * unit)) * 12 + size(nw - guess, 2 * unit)
    total = I64(0)
    for k in range(BIASES):
        total += bias[0, k, now[PLACE + k]]
    return total // 48


@woven
def _fit(gram, cross, taps, now, at, c, count, target, weight, shift, ridge, sweep):
    """Take in a case, then, if told so, a sweep of Gauss-Seidel."""
    for i in range(count):
        v = now[at + i] * weight
        for k in range(count):
            gram[c, i, k] += ((v * now[at + k]) >> 22) - (gram[c, i, k] >> shift)
        cross[c, i] += ((v * target) >> 22) - (cross[c, i] >> shift)
    for i in range(count if sweep else 0):
        rest = (cross[c, i] << 16) - ridge * taps[c, i]
        for k in range(count):
            rest -= gram[c, i, k] * taps[c, k]
        tap = taps[c, i] + rest // (gram[c, i, i] + ridge)
        taps[c, i] = min(max(tap, I64(-MOST_TAP)), I64(MOST_TAP))


@woven
def learn(
    near, misses, gram, cross, taps, gram2, cross2, taps2, bias, order, now, x, y, j, v, blend, fine, count, power, unit
):  # fmt: skip
    """Move all that predicts to the number's actual value."""
    c = order[j]
    actual = v << 6
    error = min(max(actual - fine, -(unit * 96) - 32), unit * 96 + 32) << 4
    for k in range(BIASES):
        place = now[PLACE + k]
        bias[1, k, place] = min(bias[1, k, place] + 1, I64(BIAS_COUNT))
        bias[0, k, place] += (error - bias[0, k, place]) // (bias[1, k, place] + 4)
    off = abs(actual - now[GUESS + 7]) >> 6
    weight = I64(1 << 40) // (unit * unit + ((off * off) >> 2) + (power >> 6) + 1)
    mean = (I64(near[c, VALUE, y & 3, x - 1]) + I64(near[c, VALUE, (y - 1) & 3, x])) >> 1
    sweep = (x + y) & 1 == 0  # half of them serve as well
    _fit(gram, cross, taps, now, FEATURE, c, count, v - mean, weight, FIT_SHIFT, FIT_RIDGE, sweep)
    off = abs(actual - blend) >> 6
    power = I64(0)
    for k in range(CORRECTING):
        power += now[CORRECTION + k] * now[CORRECTION + k]
    weight = I64(1 << 40) // (64 * (unit * unit + ((off * off) >> 2)) + (power >> 4) + 1)
    target = (actual - blend) >> 3
    _fit(gram2, cross2, taps2, now, CORRECTION, c, CORRECTING, target, weight, CORRECTION_SHIFT, CORRECTION_RIDGE, True)
    y0, y1 = y & 1, (y - 1) & 1
    for k in range(GUESSES):
        miss = abs(now[GUESS + k] - actual) >> 4
        misses[c, k, y0, x] = (2 * miss + I64(misses[c, k, y1, x]) + 1) >> 1
