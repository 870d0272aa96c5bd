"""Integer kernel of the coder of whole numbers (`whole`); bitstream_spec/CONTEXT.md §7 describes it normatively."""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import kernel, woven
from .decisions import decide, decide_plainly, mix
from .state import CHECK, DECODING, I64, NUMBERS, POSITION, SLOT
from .whole_prediction import bias_of, learn, length_of, level, predict
from .whole_state import (
    ASKED,
    ENERGIES,
    FURTHER,
    GUESS,
    GUESSES,
    INPUTS,
    LENGTH_SETS,
    LENGTHS,
    NODES,
    PAD,
    PLACE,
    RESIDUAL,
    SECOND,
    SIGN_NODE,
    TOLD,
    TOP_NODE,
    VALUE,
    VOID,
    VOID_NODE,
)

#: (rows up, columns right) of neighbours that are void or not
AROUND = np.array(
    [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, -2), (1, 2), (2, -1), (2, 1), (0, -3), (2, -2)]
)
QUESTION, UP, DOWN, SIGN, TOP, DONE = range(6)


@woven
def _same_row(samples, y):
    """Encoder: whether a row equals the one above."""
    for x in range(samples.shape[1]):
        for c in range(samples.shape[2]):
            if samples[y, x, c] != samples[y - 1, x, c]:
                return I64(0)
    return I64(1)


@woven
def _hash(near, order, now, x, y, j, fine, miss, void):
    """Contexts of number j in coding order, guessed as ``fine`` 64ths: (energy, binary digits expected)."""
    y0, y1, y2 = y & 3, (y - 1) & 3, (y - 2) & 3
    c = order[j]
    guess = (fine + 32) >> 6
    fraction = (fine - (guess << 6) + 32) >> 3
    rw, rn = I64(near[c, RESIDUAL, y0, x - 1]), I64(near[c, RESIDUAL, y1, x])
    energy = level(energy_of(near, c, x, y))
    w, n, nw = I64(near[c, VALUE, y0, x - 1]), I64(near[c, VALUE, y1, x]), I64(near[c, VALUE, y1, x - 1])
    alike = I64(w == n) + 2 * I64(n == nw) + 4 * I64(n == I64(near[c, VALUE, y1, x + 1]))
    alike += 8 * I64(w == I64(near[c, VALUE, y0, x - 2])) + 16 * I64(n == I64(near[c, VALUE, y2, x]))
    alike += 32 * I64(rw == 0) + 64 * I64(rn == 0)
    rq = abs(I64(near[order[j - 1], RESIDUAL, y0, x])) if j > 0 else I64(0)
    rp = abs(I64(near[order[0], RESIDUAL, y0, x])) if j > 1 else I64(0)
    expected = energy_of(near, c, x, y) >> 3
    if j > 0:
        expected = (expected + rq) >> 1
    salt = 2000 + min(I64(j), I64(3))
    gradient = level(abs((now[GUESS + 4] >> 6) - guess)) >> 1
    now[TOLD] = mix(mix(salt, energy), (level(rq) if j > 0 else I64(0)) >> 1)
    now[TOLD + 1] = mix(salt + 8, level(miss) * 64 + ((level(rp) if j > 1 else I64(0)) >> 1))
    now[TOLD + 2] = mix(mix(salt + 16, alike), energy >> 2)
    now[TOLD + 3] = mix(salt + 20, (gradient * 64 + (energy >> 1)) * 8 + fraction)
    now[TOLD + 4] = mix(salt + 36, now[PLACE] * 32 + (energy >> 2))
    now[TOLD + 5] = mix(salt + 44, now[PLACE + 1] * 32 + (level(miss) >> 2))
    if void >= 0:
        around = I64(0)
        for i in range(12):
            around |= I64(near[c, VOID, (y - AROUND[i, 0]) & 3, x + AROUND[i, 1]]) << i
        others = I64(near[order[j - 1], VOID, y0, x]) if j > 0 else I64(0)
        if j > 1:
            others += 2 * I64(near[order[0], VOID, y0, x])
        far = level(abs(guess - void)) >> 2
        now[ASKED] = mix(3000 + others, around & 63)
        now[ASKED + 1] = mix(3010 + others, around)
        now[ASKED + 2] = mix(3020 + others, (around & 15) * 64 + far)
        now[ASKED + 3] = mix(3030 + others, ((around & 3) * 128 + energy) * 32 + far)
        now[ASKED + 4] = mix(3040 + others, guess * 4 + (around & 3))
        now[ASKED + 5] = mix(3050 + others, around & 7)
    return energy, length_of(expected)


@woven
def energy_of(near, c, x, y):
    """Residuals nearby, eight times their mean."""
    y0, y1, y2 = y & 3, (y - 1) & 3, (y - 2) & 3
    e = 2 * (abs(I64(near[c, RESIDUAL, y0, x - 1])) + abs(I64(near[c, RESIDUAL, y1, x])))
    e += abs(I64(near[c, RESIDUAL, y1, x - 1])) + abs(I64(near[c, RESIDUAL, y1, x + 1]))
    return e + abs(I64(near[c, RESIDUAL, y0, x - 2])) + abs(I64(near[c, RESIDUAL, y2, x]))


@woven
def _code(coder, table, weights, refine, plain, now, data, e, empty, may_be, j, energy, expected, mask):
    """(residual, is it the void): how many binary digits, up or down from what is expected; sign; leading bits."""
    magnitude, negative = abs(e), I64(e < 0)
    digits = length_of(magnitude)
    channel = min(I64(j), I64(2))
    length = result = I64(0)
    risen = False
    hashes = TOLD
    t = expected
    start = I64(UP) if t < LENGTHS - 1 else I64(DOWN)
    if start == DOWN:
        t -= 1
    phase = start
    if may_be:
        phase = I64(QUESTION)
        hashes = ASKED
    while phase != DONE:
        if phase == QUESTION:
            node = I64(VOID_NODE)
            bit = empty
        elif phase == UP:
            node = 2 * t
            bit = I64(digits > t)
        elif phase == DOWN:
            node = 2 * t + 1
            bit = I64(digits > t)
        elif phase == SIGN:
            node = I64(SIGN_NODE)
            bit = negative
        else:
            node = TOP_NODE + length
            bit = (magnitude >> max(length - 2, 0)) & 1
        for i in range(INPUTS):
            line = ((now[hashes + i] >> 20) + (node >> 4) * 0x9E50) & mask & ~15
            now[SLOT + i] = i * (mask + 1) + (line | (node & 15))
            now[CHECK + i] = (now[hashes + i] >> 48) & 255
        set2 = LENGTH_SETS + expected * NODES + node
        map_ = min(energy >> 2, I64(ENERGIES - 1)) * NODES + node
        bit = decide(
            coder, table, weights, refine, now, data, bit, channel * NODES + node, set2, map_, NUMBERS, INPUTS
        )  # fmt: skip
        if phase == QUESTION:
            if bit:
                return I64(0), I64(1)
            phase = start
            hashes = TOLD
        elif phase == UP:
            if bit:
                risen = True
                t += 1
                length = t
                if t == LENGTHS - 1:
                    phase = I64(SIGN)
            elif risen:
                phase = I64(SIGN)
            else:
                phase = I64(DOWN) if t > 0 else I64(DONE)
                t -= 1
        elif phase == DOWN:
            if bit:
                length = t + 1
                phase = I64(SIGN)
            else:
                t -= 1
                if t < 0:
                    phase = I64(DONE)
        elif phase == SIGN:
            negative = bit
            result = I64(1)
            phase = I64(TOP) if length > 1 else I64(DONE)
        else:
            result = 2 + bit
            phase = I64(DONE)
    if length > 2:
        near = min(max(length - expected, I64(-3)), I64(3)) + 3
        where = SECOND + ((channel * LENGTHS + length) * 7 + near) * 2 + (result & 1)
        result = result * 2 + decide_plainly(coder, plain, data, (magnitude >> (length - 3)) & 1, where)
    for k in range(length - 4, -1, -1):
        where = FURTHER + (channel * LENGTHS + length) * 16 + k
        result = result * 2 + decide_plainly(coder, plain, data, (magnitude >> k) & 1, where)
    return -result if negative else result, I64(0)


@kernel
def code_whole(model, data, highest, first, last, repeats):
    """Encode rows first to last - 1 of model.samples into `data`, or decode them; model.coder[DECODING] says which.

    repeats: what the call for the rows before returned, 0 for the first. -1 when `data` is too short (the encoder's
    numbers do not compress) or cannot be.
    """
    samples, order, voids, coder, table, weights, refine, plain, near, misses, gram, cross, taps, gram2, cross2, taps2, bias, now = model  # fmt: skip # noqa: E501
    _, width, numbers = samples.shape
    mask = table.size // INPUTS - 1
    for y in range(first, last):
        repeated = I64(0)
        if y > 0:
            repeated = I64(0) if coder[DECODING] else _same_row(samples, y)
            repeated = decide_plainly(coder, plain, data, repeated, repeats)
        repeats = (repeats * 2 + repeated) & 3
        if coder[POSITION] > data.size + 5:
            return I64(-1)
        y0, y1 = y & 3, (y - 1) & 3
        if repeated:
            for c in range(numbers):
                for x in range(width + 2 * PAD):
                    for k in range(3):
                        near[c, k, y0, x] = near[c, k, y1, x]
                    for k in range(GUESSES):
                        misses[c, k, y & 1, x] = misses[c, k, (y - 1) & 1, x]
                for x in range(width):
                    samples[y, x, c] = samples[y - 1, x, c]
            continue
        for c in range(numbers):
            for x in range(PAD):
                near[c, VALUE, y0, x] = near[c, VALUE, y1, PAD]
        for x in range(PAD, width + PAD):
            for j in range(numbers):
                c = order[j]
                blend, corrected, count, power, miss = predict(near, misses, taps, taps2, order, now, x, y, j, highest)
                unit = (energy_of(near, c, x, y) >> 3) + 1
                fine = corrected + bias_of(near, bias, order, now, x, y, j, corrected, unit)
                fine = min(max(fine, I64(0)), highest << 6)
                energy, expected = _hash(near, order, now, x, y, j, fine, miss, voids[c])
                guess = (fine + 32) >> 6
                e = I64(0) if coder[DECODING] else I64(samples[y, x - PAD, c]) - guess
                empty = I64(voids[c] >= 0 and e + guess == voids[c])
                e, empty = _code(
                    coder, table, weights, refine, plain, now, data, e, empty, voids[c] >= 0, j, energy, expected, mask
                )
                v = guess + e
                if v < 0 or v > highest or coder[POSITION] > data.size + 5:
                    return I64(-1)
                near[c, VALUE, y0, x] = v
                near[c, VOID, y0, x] = empty
                if empty:
                    samples[y, x - PAD, c] = voids[c]
                    both = I64(near[c, RESIDUAL, y0, x - 1]) + I64(near[c, RESIDUAL, y1, x])
                    near[c, RESIDUAL, y0, x] = both >> 2
                    for k in range(GUESSES):
                        before = misses[c, k, y & 1, x - 1]
                        misses[c, k, y & 1, x] = min(before, misses[c, k, (y - 1) & 1, x])
                    continue
                samples[y, x - PAD, c] = v
                near[c, RESIDUAL, y0, x] = e
                learn(
                    near, misses, gram, cross, taps, gram2, cross2, taps2, bias, order, now, x, y, j, v, blend,
                    corrected, count, power, unit,
                )  # fmt: skip
        for c in range(numbers):
            for x in range(PAD + width, 2 * PAD + width):
                near[c, VALUE, y0, x] = near[c, VALUE, y0, PAD + width - 1]
    return repeats
