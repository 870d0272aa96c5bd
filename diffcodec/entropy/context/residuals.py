"""Numbers in the adaptive context coder: a channel's value is predicted, and what is missed is coded."""

from __future__ import annotations

from ...runtime.kernels import woven
from .decisions import decide, decide_plainly, mix, signed
from .state import (
    CHECK,
    CURRENT,
    ENERGY,
    FEATURE,
    FEATURES,
    GUESS,
    HASH,
    HINT,
    HINTED,
    I64,
    INPUTS,
    MISSES,
    NUMBER_SETS,
    NUMBERS,
    PREDICTORS,
    RESIDUAL,
    SLOT,
    TRUST,
)


@woven
def predict(order, chans, taps, now, x, y, j):
    """Guesses of channel j in coding order, and their blend: (guess in eighths, linear guess in 64ths, its power)."""
    y0, y1, y2 = y & 3, (y - 1) & 3, (y - 2) & 3
    c = order[j]
    w, n, nw, ne = I64(chans[c, y0, x - 1]), I64(chans[c, y1, x]), I64(chans[c, y1, x - 1]), I64(chans[c, y1, x + 1])
    ww, nn, nne = I64(chans[c, y0, x - 2]), I64(chans[c, y2, x]), I64(chans[c, y2, x + 1])
    # The same of the channel coded before (q), and of the first one (p), or zeros
    q = qw = qn = qnw = qne = I64(0)
    dww, dnn, dnne = ww, nn, nne
    now[FEATURE + 13] = now[FEATURE + 14] = now[FEATURE + 15] = 0
    if j > 0:
        b = order[j - 1]
        q = now[CURRENT + b]
        qw, qn, qnw, qne = (
            I64(chans[b, y0, x - 1]),
            I64(chans[b, y1, x]),
            I64(chans[b, y1, x - 1]),
            I64(chans[b, y1, x + 1]),
        )
        dww, dnn, dnne = ww - I64(chans[b, y0, x - 2]), nn - I64(chans[b, y2, x]), nne - I64(chans[b, y2, x + 1])
    dw, dn, dnw, dne = w - qw, n - qn, nw - qnw, ne - qne
    now[GUESS] = min(max(w + n - nw, min(w, n)), max(w, n))
    now[GUESS + 1] = min(max(dw + dn - dnw, min(dw, dn)), max(dw, dn)) + q if j > 0 else w + ne - n
    now[GUESS + 2] = dw + q
    now[GUESS + 3] = dn + q
    now[GUESS + 4] = dw + dn - dnw + q
    now[GUESS + 5] = dn + dne - dnne + q
    now[GUESS + 6] = dw + ((dne - dnw) >> 1) + q if j > 0 else 2 * n - nn
    if j > 1:
        b = order[0]
        p = now[CURRENT + b]
        now[FEATURE + 13], now[FEATURE + 14], now[FEATURE + 15] = (
            p - I64(chans[b, y0, x - 1]),
            p - I64(chans[b, y1, x]),
            p - I64(chans[b, y1, x - 1]),
        )
        now[GUESS] = w + now[FEATURE + 13]
        now[GUESS + 6] = n + now[FEATURE + 14]
    mean = (dw + dn) >> 1
    now[FEATURE], now[FEATURE + 1], now[FEATURE + 2], now[FEATURE + 3] = dw - mean, dn - mean, dnw - mean, dne - mean
    now[FEATURE + 4], now[FEATURE + 5], now[FEATURE + 6] = dww - mean, dnn - mean, dnne - mean
    now[FEATURE + 7], now[FEATURE + 8] = I64(chans[c, y1, x + 2]) - ne, I64(chans[c, y1, x - 2]) - nw
    now[FEATURE + 9], now[FEATURE + 10], now[FEATURE + 11], now[FEATURE + 12] = q - qw, q - qn, q - qnw, q - qne
    weighted = I64(0)
    power = I64(0)
    for k in range(FEATURES):
        weighted += taps[c, k] * now[FEATURE + k]
        power += now[FEATURE + k] * now[FEATURE + k]
    linear = min(max((((mean + q) << 16) + weighted) >> 10, I64(0)), I64(255 << 6))
    now[GUESS + 7] = (linear + 32) >> 6
    total = weighted = I64(0)
    for k in range(PREDICTORS):
        e = I64(chans[c, MISSES + k, x - 1]) + I64(chans[c, MISSES + k, x]) + I64(chans[c, MISSES + k, x + 1])
        trust = TRUST[min(e, I64(1023))]
        total += trust
        weighted += trust * now[GUESS + k]
    fine = min(max((weighted * 8 + (total >> 1)) // total, I64(0)), I64(255 * 8))
    return fine, linear, power


@woven
def hash_number(order, chans, now, x, y, j, fine):
    """The contexts of channel j in coding order, into now[HASH]; the energy, 0..15."""
    y0, y1, y2 = y & 3, (y - 1) & 3, (y - 2) & 3
    c = order[j]
    w, n, nw, ne = I64(chans[c, y0, x - 1]), I64(chans[c, y1, x]), I64(chans[c, y1, x - 1]), I64(chans[c, y1, x + 1])
    ww, nn = I64(chans[c, y0, x - 2]), I64(chans[c, y2, x])
    rw, rn, rne, rww = (
        I64(chans[c, RESIDUAL, x - 1]),
        I64(chans[c, RESIDUAL, x]),
        I64(chans[c, RESIDUAL, x + 1]),
        I64(chans[c, RESIDUAL, x - 2]),
    )
    q = rq = rp = I64(0)
    if j > 0:
        q = now[CURRENT + order[j - 1]]
        rq = I64(chans[order[j - 1], RESIDUAL, x])
    if j > 1:
        rp = I64(chans[order[0], RESIDUAL, x])
    guess = (fine + 4) >> 3
    fraction = fine - guess * 8 + 4
    e = abs(w - nw) + abs(n - nw) + abs(n - ne) + 2 * (abs(rw) + abs(rn)) + abs(rne) + abs(rww)
    energy = I64(ENERGY[min(e, I64(2047))])
    e = I64(chans[c, MISSES + 1, x - 1]) + I64(chans[c, MISSES + 1, x]) + I64(chans[c, MISSES + 1, x + 1])
    salt = 2000 + min(I64(j), I64(3))
    now[HASH] = mix(mix(salt, energy * 16 + signed(rq)), signed(rp))
    now[HASH + 1] = mix(salt + 4, guess * 4 + (energy >> 2))
    now[HASH + 2] = mix(salt + 8, (signed(w - guess) * 16 + signed(n - guess)) * 16 + signed(ne - guess))
    now[HASH + 3] = mix(mix(salt + 12, rq), rp)
    now[HASH + 4] = mix(salt + 16, (signed(rw) * 16 + signed(rn)) * 16 + signed(rne))
    now[HASH + 5] = mix(salt + 20, ((now[GUESS + 7] - guess) * 16 + energy) * 8 + fraction)
    now[HASH + 6] = mix(mix(salt + 24, ((w * 256 + n) * 256 + nw) * 256 + guess), q)
    spread = (signed(now[GUESS] - guess) * 16 + signed(now[GUESS + 4] - guess)) * 16 + fraction
    now[HASH + 7] = mix(salt + 28, spread * 4 + (energy >> 2))
    now[HASH + 8] = mix(salt + 32, (q * 512 + rq) * 512 + rp)
    if now[HINTED]:
        now[HASH + 9] = mix(salt + 36, ((now[HINT] >> (8 * c)) & 255) * 256 + guess)
    else:
        now[HASH + 9] = mix(salt + 40, (signed(ww - guess) * 16 + signed(nn - guess)) * 16 + signed(nw - guess))
    now[HASH + 10] = mix(salt + 44, I64(0))
    now[HASH + 11] = mix(salt + 48, min(e >> 1, I64(40)) * 16 + signed(rq))
    return energy


@woven
def code_residual(coder, table, weights, refine, plain, now, data, e, j, energy, mask):
    """A residual: is it zero, its sign, the length of its magnitude in unary, the bits after the leading one."""
    magnitude = abs(e)
    negative = I64(e < 0)
    result = length = phase = I64(0)
    while phase < 5:
        if phase == 0:
            node = I64(0)
            bit = I64(magnitude != 0)
        elif phase == 1:
            node = I64(1)
            bit = negative
        elif phase == 2:
            node = 2 + negative * 7 + length
            bit = I64(magnitude >> (length + 1) != 0)
        elif phase == 3:
            node = 16 + negative * 8 + length
            bit = (magnitude >> (length - 1)) & 1
        else:
            node = 32 + negative * 16 + length * 2 + (result & 1)
            bit = (magnitude >> (length - 2)) & 1
        # The first sixteen nodes of a context share a cache line.
        for i in range(INPUTS):
            line = ((now[HASH + i] >> 20) + (node >> 4) * 0x9E50) & mask & ~15
            now[SLOT + i] = i * (mask + 1) + (line | (node & 15))
            now[CHECK + i] = (now[HASH + i] >> 48) & 255
        local = energy * 32 + min(node, I64(31))
        set1 = NUMBER_SETS + min(I64(j), I64(2)) * 64 + node
        bit = decide(
            coder, table, weights, refine, now, data, bit, set1, NUMBER_SETS + 192 + local, 256 + local, NUMBERS, INPUTS
        )  # fmt: skip
        if phase == 0:
            phase = I64(1) if bit else I64(5)
        elif phase == 1:
            negative = bit
            result = I64(1)
            phase = I64(2)
        elif phase == 2:
            length += bit
            if bit == 0 or length == 7:
                phase = I64(3) if length > 0 else I64(5)
        else:
            result = result * 2 + bit
            phase = I64(4) if phase == 3 and length > 1 else I64(5)
    for k in range(length - 3, -1, -1):
        where = 8 + (min(I64(j), I64(3)) * 8 + length) * 8 + k
        result = result * 2 + decide_plainly(coder, plain, data, (magnitude >> k) & 1, where)
    return -result if negative else result


@woven
def learn(order, chans, taps, now, x, j, actual, linear, power):
    """Move the linear predictor's taps and the predictors' misses to the channel's actual value."""
    c = order[j]
    step = (((actual << 6) - linear) << 16) // (power + 60)
    for k in range(FEATURES):
        taps[c, k] += (step * now[FEATURE + k]) >> 10
    for k in range(PREDICTORS):
        chans[c, MISSES + k, x] = (abs(now[GUESS + k] - actual) * 4 + I64(chans[c, MISSES + k, x]) + 1) >> 1
