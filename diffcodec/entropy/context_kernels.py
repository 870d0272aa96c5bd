"""Integer kernels of the adaptive context coder (`context.py`); bitstream_spec/CONTEXT.md is their normative
description.

One kernel, `code_planes`, is both encoder and decoder: every decision goes through `_decide`, which either codes the
bit it
is given or reads it, so the two directions cannot drift apart. Only integers are used. The entropy coder is a carryless
binary range coder (48-bit interval, 16-bit probabilities): an adaptive model must be decoded in the order it was
encoded,
which a queue gives for nothing and a stack (ANS) only by recording every probability first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

I64 = np.int64

INPUTS = 10  # contexts mixed per decision
PAD = 5  # columns kept on both sides of a row
CANDIDATES = 5  # pixels tried before a new colour is spelled out
PREDICTORS = 7
LOW, HIGH, VALUE, POSITION, DECODING, CLOCK = range(6)
MASK48 = (1 << 48) - 1
WEIGHT_SETS = 432 + 512
MAPS = 256 + 512
PLAIN = 8 + 256
START_WEIGHT = 5500
LIMIT = 60  # of the counts

# --- tables -----------------------------------------------------------------------------------------------------------

STRETCH_LIMIT = 3071  # log-odds are kept in units of 1/256 nat, so 3071 is p = 1 - 6e-6


def _logistic_tables() -> tuple[np.ndarray, np.ndarray]:
    """squash int32[6144]: log-odds + 3072 -> probability of 16 bits; stretch int16[16384]: probability of 14 bits ->
    log-odds.

    exp(k/256) is a running product of fixed-point integers, so the tables are the same everywhere.
    """
    step = 18518942588666869715  # round(2^64 exp(1/256))
    squash = np.zeros(6144, np.int32)
    power = 1 << 64
    for k in range(3073):
        high = min((power << 16) // (power + (1 << 64)), 65535)
        if k < 3072:
            squash[3072 + k] = high
        squash[3072 - k] = max(1, 65536 - high)
        power = power * step >> 64
    stretch = np.searchsorted(squash, np.arange(16384) * 4 + 2).astype(np.int64) - 3072
    return squash, np.clip(stretch, -STRETCH_LIMIT, STRETCH_LIMIT).astype(np.int16)


def _levels(thresholds: tuple[int, ...], size: int) -> np.ndarray:
    return np.searchsorted(np.array(thresholds), np.arange(size), side="right").astype(np.uint8)


SQUASH, STRETCH = _logistic_tables()
RATE = np.array([[65536 * 10 // (10 * n + k) for n in range(64)] for k in (12, 17)], np.int64)
ENERGY = _levels((1, 2, 4, 6, 9, 13, 18, 25, 34, 46, 62, 84, 115, 160, 230), 2048)  # 0..15
MAGNITUDE = _levels((1, 2, 3, 5, 9, 17, 33), 512)  # 0..7
WEIGHT = np.array([(1 << 22) // ((k + 2) * (k + 2)) for k in range(1024)], np.int64)


class State(NamedTuple):
    """All that the range coder and the model carry from one decision to the next."""

    coder: np.ndarray  # int64[6]: see LOW ... CLOCK
    table: np.ndarray  # uint32[INPUTS * slots]: probability - 1/2 (18 bits), count (6), check (8)
    slots: np.ndarray  # int64[INPUTS]: the slot each input reads in this decision
    check: np.ndarray  # int64[INPUTS]: the check its context asks for
    stretched: np.ndarray  # int64[INPUTS]: its log-odds
    weights: np.ndarray  # int32[WEIGHT_SETS * INPUTS], 65536 = 1
    refine: np.ndarray  # int32[MAPS * 25]: probability of 22 bits by log-odds
    plain: np.ndarray  # int64[PLAIN]: as the table, without check


class Memory(NamedTuple):
    """What pixel stood last where the neighbourhood hashed to this slot; row 0 by twelve neighbours, row 1 by four."""

    pixel: np.ndarray  # int64[2, slots]
    trust: np.ndarray  # int64[2, slots]: check (16 bits), times it was right (4)


def new_state(shape: tuple[int, ...], decoding: bool) -> tuple[State, Memory]:
    """Everything at its starting value; the tables grow with the picture, to 48 MiB together."""
    pixels = shape[0] * shape[1]
    bits = min(max((2 * pixels - 1).bit_length(), 12), 20)
    coder = np.zeros(6, np.int64)
    coder[HIGH] = MASK48
    coder[DECODING] = decoding
    start = np.append(SQUASH[::256], SQUASH[-1]) << 6
    state = State(
        coder=coder,
        table=np.zeros(INPUTS << bits, np.uint32),
        slots=np.zeros(INPUTS, np.int64),
        check=np.zeros(INPUTS, np.int64),
        stretched=np.zeros(INPUTS, np.int64),
        weights=np.full(WEIGHT_SETS * INPUTS, START_WEIGHT, np.int32),
        refine=np.tile(start.astype(np.int32), MAPS),
        plain=np.zeros(PLAIN, np.int64),
    )
    bits = min(max((pixels - 1).bit_length(), 8), 18)
    return state, Memory(np.zeros((2, 1 << bits), np.int64), np.zeros((2, 1 << bits), np.int64))


# --- binary range coder -----------------------------------------------------------------------------------------------


def start(s: State, data: np.ndarray) -> None:
    """Read the first six bytes, zeros past the end."""
    s.coder[VALUE] = int.from_bytes(bytes(data[:6]).ljust(6, b"\0"), "big")
    s.coder[POSITION] = 6


def finish(s: State, data: np.ndarray) -> int:
    """Write the last byte (the decoder reads zeros after it) and return the length in bytes; above data.size, nothing
    fitted."""
    length = int(s.coder[POSITION])
    if length < data.size:
        data[length] = (s.coder[LOW] + (1 << 40) - 1) >> 40
    return length + 1


def finished(s: State, data: np.ndarray) -> bool:
    """Whether the decoder has used all of the data: five of the six bytes it holds were not there."""
    return int(s.coder[POSITION]) == data.size + 5


@njit(forceinline=True)
def _code(s, data, bit, p):
    """Code (or read) one bit whose probability of being 1 is p / 65536, p in 1..65535."""
    c = s.coder
    low = c[LOW]
    high = c[HIGH]
    span = high - low
    middle = low + (span >> 16) * p + (((span & 65535) * p) >> 16)
    if c[DECODING]:
        bit = I64(1) if c[VALUE] <= middle else I64(0)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 40 == 0:
        position = c[POSITION]
        if c[DECODING]:
            byte = I64(data[position]) if position < data.size else I64(0)
            c[VALUE] = ((c[VALUE] << 8) & MASK48) | byte
        elif position < data.size:
            data[position] = low >> 40
        c[POSITION] = position + 1
        low = (low << 8) & MASK48
        high = ((high << 8) & MASK48) | 255
    c[LOW] = low
    c[HIGH] = high
    return bit


@njit(forceinline=True)
def _code_plain(s, data, bit, where, limit):
    """Code one bit with the adaptive probability s.plain[where] alone."""
    v = s.plain[where]
    p = (v >> 6) ^ 0x20000
    bit = _code(s, data, bit, min(max(p >> 2, I64(1)), I64(65535)))
    n = v & 63
    p += ((bit * 0x3FFFF - p) * RATE[0, n]) >> 16
    s.plain[where] = ((p ^ 0x20000) << 6) | min(n + 1, limit)
    return bit


# --- mixing -----------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def _decide(s, data, bit, first, second, third, stage):
    """Code one bit with the mix of the INPUTS probabilities at s.slots.

    `first` and `second` choose the two mixer weight sets that are added, `third` the map that refines the result.
    """
    table, slots, check, stretched, weights = s.table, s.slots, s.check, s.stretched, s.weights
    base1 = first * INPUTS
    base2 = second * INPUTS
    dot = I64(0)
    for i in range(INPUTS):
        v = I64(table[slots[i]])
        if v & 255 != check[i]:
            v = check[i]  # another context's slot: start afresh at one half
            table[slots[i]] = v
        t = I64(STRETCH[(v >> 18) ^ 0x2000])
        stretched[i] = t
        dot += (I64(weights[base1 + i]) + I64(weights[base2 + i])) * t
    dot = min(max(dot >> 16, I64(-STRETCH_LIMIT)), I64(STRETCH_LIMIT))
    mixed = I64(SQUASH[dot + 3072])

    position = dot + 3072
    cell = third * 25 + (position >> 8)
    part = position & 255
    refined = (I64(s.refine[cell]) * (256 - part) + I64(s.refine[cell + 1]) * part) >> 14
    p = min(max((mixed + refined + 1) >> 1, I64(1)), I64(65535))

    bit = _code(s, data, bit, p)

    cell += part >> 7
    s.refine[cell] += ((bit << 22) - bit - I64(s.refine[cell])) >> 6
    s.coder[CLOCK] += 1
    error = ((bit << 16) - mixed) * (10 + (30 << 12) // (s.coder[CLOCK] + (1 << 12)))
    for i in range(INPUTS):
        change = (stretched[i] * error + 0x80000) >> 20
        weights[base1 + i] += change
        weights[base2 + i] += change
        v = I64(table[slots[i]])
        n = (v >> 8) & 63
        p18 = (v >> 14) ^ 0x20000
        p18 += ((bit * 0x3FFFF - p18) * RATE[stage, n]) >> 16
        table[slots[i]] = ((p18 ^ 0x20000) << 14) | (min(n + 1, LIMIT) << 8) | check[i]
    return bit


@njit(forceinline=True)
def _mix(h, v):
    """One step of the context hash, modulo 2^64."""
    h = (h ^ v) * I64(-7046029254386353131)
    return h ^ (h >> 32)


@njit(forceinline=True)
def _select(s, i, h, mask):
    """Point input i at the slot of hash h."""
    s.slots[i] = i * (mask + 1) + ((h >> 20) & mask)
    s.check[i] = (h >> 48) & 255


# --- the picture ------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def code_planes(s, m, data, planes, order, colours, use_pixels):
    """Encode `planes` into `data`, or decode `data` into `planes` (uint8[H, W, C]); s.coder[DECODING] says which.

    depth > 0: one plane of `colours` palette indices of `depth` bits. depth == 0: numbers, coded as residuals.
    use_pixels:
    whole pixels seen before are tried first. Returns False when `data` is too short: for an encoder, the planes do
    not compress.
    """
    height, width, channels = planes.shape
    memory = m.pixel
    memory_state = m.trust
    depth = 0
    while colours > 1 << depth:
        depth += 1
    mask = s.table.size // INPUTS - 1
    memory_mask = memory.shape[1] - 1
    ids = np.zeros((4, width + 2 * PAD), np.int64)
    values = np.zeros((channels, 4, width + 2 * PAD), np.int32)
    residuals = np.zeros((channels, width + 2 * PAD), np.int32)
    misses = np.zeros((channels, width + 2 * PAD, PREDICTORS), np.int32)
    guesses = np.zeros(PREDICTORS, np.int64)
    runs = np.zeros(width + 2 * PAD, np.int64)  # equal pixels to the right, in the row above
    tries = np.zeros(width + 2 * PAD, np.int64)  # which candidate the pixel above was
    near = np.zeros(24, np.int64)
    candidates = np.zeros(CANDIDATES + 1, np.int64)
    current = np.zeros(channels, np.int64)
    line_mask = mask & ~I64(15)
    repeats = I64(0)

    for y in range(height):
        cur, n1, n2, n3 = y & 3, (y - 1) & 3, (y - 2) & 3, (y - 3) & 3
        # A row equal to the one above costs one decision.
        repeated = I64(0)
        if s.coder[DECODING] == 0:
            repeated = I64(1)
            for x in range(width):
                for c in range(channels):
                    if planes[y, x, c] != (planes[y - 1, x, c] if y > 0 else 0):
                        repeated = I64(0)
                        break
                if repeated == 0:
                    break
        repeated = _code_plain(s, data, repeated, repeats, 60)
        repeats = (repeats * 2 + repeated) & 3
        if repeated:
            if y > 0:
                planes[y] = planes[y - 1]
            else:
                planes[y] = 0
            ids[cur] = ids[n1]
            for c in range(channels):
                values[c, cur] = values[c, n1]
            continue
        if s.coder[POSITION] > data.size + 5:
            return False

        row, above, above2, above3 = ids[cur], ids[n1], ids[n2], ids[n3]
        for k in range(PAD):
            row[k] = above[PAD]
            for c in range(channels):
                values[c, cur, k] = values[c, n1, PAD]
        run = I64(0)
        history = I64(0)
        if s.coder[DECODING] == 0:
            for x in range(width):
                v = I64(0)
                for c in range(channels):
                    v |= I64(planes[y, x, c]) << (8 * c)
                row[x + PAD] = v

        for x in range(PAD, width + PAD):
            target = row[x]
            hit = False
            hint = I64(-1)
            if use_pixels:
                near[0] = w = row[x - 1]
                near[1] = n = above[x]
                near[2] = nw = above[x - 1]
                near[3] = ne = above[x + 1]
                near[4] = ww = row[x - 2]
                near[5] = nn = above2[x]
                near[6] = above[x - 2]
                near[7] = above[x + 2]
                near[8] = above2[x + 1]
                near[9] = above2[x - 1]
                near[10] = row[x - 3]
                near[11] = above3[x]
                near[12] = above2[x - 2]
                near[13] = above2[x + 2]
                near[14] = above[x + 3]
                near[15] = above[x - 3]
                near[16] = row[x - 4]
                near[17] = above3[x - 1]
                near[18] = above3[x + 1]
                near[19] = above2[x + 3]
                near[20] = above2[x - 3]
                near[21] = above[x + 4]
                near[22] = above3[x - 2]
                near[23] = above3[x + 2]
                h2 = _mix(_mix(I64(1), w), n)
                h4 = _mix(_mix(h2, nw), ne)
                h6 = _mix(_mix(h4, ww), nn)
                h9 = _mix(_mix(_mix(h6, near[6]), near[7]), near[8])
                h12 = _mix(_mix(_mix(h9, near[9]), near[10]), near[11])

                place1 = (h12 >> 20) & memory_mask
                check1 = (h12 >> 44) & 0xFFFF
                place2 = (h4 >> 20) & memory_mask
                check2 = (h4 >> 44) & 0xFFFF
                sure1 = memory_state[0, place1]
                sure1 = (sure1 & 15) if sure1 >> 4 == check1 else I64(0)
                sure2 = memory_state[1, place2]
                sure2 = (sure2 & 15) if sure2 >> 4 == check2 else I64(0)
                count = 0
                if sure1 > 0:
                    hint = memory[0, place1]
                    candidates[0] = hint
                    count = 1
                for k in range(5):
                    if k == 0:
                        v = memory[1, place2] if sure2 > 0 else w
                        if sure2 > 0 and hint < 0:
                            hint = v
                    elif k == 1:
                        v = w
                    else:
                        v = near[k - 1]
                    fresh = True
                    for i in range(count):
                        if candidates[i] == v:
                            fresh = False
                    if fresh:
                        candidates[count] = v
                        count += 1
                    if count == CANDIDATES:
                        break
                run_code = min(run, I64(3)) if run < 4 else (I64(4) if run < 8 else (I64(5) if run < 32 else I64(6)))
                ahead = runs[x] if above[x] == w else I64(0)
                ahead = (
                    min(ahead, I64(3)) if ahead < 4 else (I64(4) if ahead < 8 else (I64(5) if ahead < 32 else I64(6)))
                )
                sure = min(sure1, I64(7)) * 8 + min(sure2, I64(7))
                tried = I64(0)
                for k in range(count):
                    v = candidates[k]
                    m = I64(0)
                    for i in range(24):
                        m |= I64(near[i] == v) << i
                    m6 = m & 63
                    hit2 = I64(sure2 > 0 and v == memory[1, place2])
                    code = I64(k) * 2 + hit2 + 16
                    base = _mix(code, v)
                    _select(s, 0, _mix(_mix(code, m6), sure), mask)
                    _select(s, 1, _mix(code + 16, m & 0xFFF), mask)
                    _select(s, 2, _mix(code + 32, m & 0x3FFFF), mask)
                    _select(s, 3, _mix(code + 48, m), mask)
                    _select(s, 4, _mix(base, m6), mask)
                    _select(s, 5, _mix(base, h2), mask)
                    _select(s, 6, _mix(base, h4), mask)
                    _select(s, 7, _mix(base, h9), mask)
                    _select(s, 8, _mix(_mix(code + 64, run_code * 8 + ahead), m6), mask)
                    _select(s, 9, _mix(_mix(code + 80, history), tries[x] * 64 + tries[x + 1] * 8 + (m & 3)), mask)
                    first = I64(k) * 8 + min(sure1, I64(3)) * 2 + hit2
                    second = 40 + m6 + (0 if k == 0 else 64)
                    found = _decide(s, data, I64(v == target), first, second, second - 40, 0)
                    tried = I64(k)
                    if found:
                        hit = True
                        target = v
                        break
                    tried = I64(k) + 1
                    if colours == 2:
                        hit = True
                        target = 1 - v
                        break
                history = ((history << 3) | tried) & 511
                tries[x] = tried

            if hit:
                row[x] = target
                for c in range(channels):
                    v = (target >> (8 * c)) & 255
                    planes[y, x - PAD, c] = v
                    values[c, cur, x] = v
                    residuals[c, x] = 0
            elif depth > 0:
                # An index from the top bit down.
                v = I64(1)
                k = depth - 1
                w = row[x - 1]
                n = above[x]
                h1 = _mix(I64(1001), w)
                h2 = _mix(I64(1002), n)
                h3 = _mix(h1, n)
                h4 = _mix(_mix(h3, above[x - 1]), above[x + 1])
                h5 = _mix(_mix(h4, row[x - 2]), above2[x])
                h6 = _mix(I64(1003), above[x + 1])
                h7 = _mix(_mix(I64(1004), above[x - 1]), row[x - 2])
                h8 = _mix(_mix(I64(1005), hint), I64(0))
                h9 = _mix(_mix(I64(1006), n), above2[x])
                while k >= 0:
                    _select(s, 0, _mix(I64(1000), v), mask)
                    _select(s, 1, _mix(h1, v), mask)
                    _select(s, 2, _mix(h2, v), mask)
                    _select(s, 3, _mix(h3, v), mask)
                    _select(s, 4, _mix(h4, v), mask)
                    _select(s, 5, _mix(h5, v), mask)
                    _select(s, 6, _mix(h6, v), mask)
                    _select(s, 7, _mix(h7, v), mask)
                    _select(s, 8, _mix(h8, v), mask)
                    _select(s, 9, _mix(h9, v), mask)
                    first = 168 + I64(k)
                    second = 176 + min(v, I64(63))
                    bit = _decide(s, data, (target >> k) & 1, first, second, 128 + min(v, I64(127)), 0)
                    v = v * 2 + bit
                    k -= 1
                v -= I64(1) << depth
                if v >= colours:
                    v = colours - 1
                row[x] = v
                for c in range(channels):
                    planes[y, x - PAD, c] = (v >> (8 * c)) & 255
            else:
                pixel = I64(0)
                for j in range(channels):
                    c = order[j]
                    vw, vn = I64(values[c, cur, x - 1]), I64(values[c, n1, x])
                    vnw, vne = I64(values[c, n1, x - 1]), I64(values[c, n1, x + 1])
                    vww, vnn, vnne = I64(values[c, cur, x - 2]), I64(values[c, n2, x]), I64(values[c, n2, x + 1])
                    q = I64(0)
                    qw = qn = qnw = qne = qnne = I64(0)
                    rq = I64(0)
                    rq2 = I64(0)
                    if j > 0:
                        b = order[j - 1]
                        q = current[b]
                        qw, qn = I64(values[b, cur, x - 1]), I64(values[b, n1, x])
                        qnw, qne = I64(values[b, n1, x - 1]), I64(values[b, n1, x + 1])
                        _qww, _qnn, qnne = I64(values[b, cur, x - 2]), I64(values[b, n2, x]), I64(values[b, n2, x + 1])
                        rq = I64(residuals[b, x])
                    if j > 1:
                        rq2 = I64(residuals[order[0], x])
                    dw, dn, dnw, dne = vw - qw, vn - qn, vnw - qnw, vne - qne
                    # MED of the plane itself and of its difference from the previous one
                    med = min(max(vw + vn - vnw, min(vw, vn)), max(vw, vn))
                    dmed = min(max(dw + dn - dnw, min(dw, dn)), max(dw, dn)) + q
                    guesses[0] = med
                    guesses[1] = dmed if j > 0 else vw + vne - vn
                    guesses[2] = dw + q
                    guesses[3] = dn + q
                    guesses[4] = dw + dn - dnw + q
                    guesses[5] = dn + dne - (vnne - qnne) + q
                    guesses[6] = dw + (dne - dnw) // 2 + q if j > 0 else 2 * vn - vnn
                    total = I64(0)
                    weighted = I64(0)
                    for k in range(PREDICTORS):
                        e = I64(misses[c, x - 1, k]) + I64(misses[c, x, k]) + I64(misses[c, x + 1, k])
                        weight = s_weight(e)
                        total += weight
                        weighted += weight * guesses[k]
                    fine = (weighted * 8 + (total >> 1)) // total
                    fine = min(max(fine, I64(0)), I64(255 * 8))
                    guess = (fine + 4) >> 3
                    fraction = fine - guess * 8 + 4

                    rw, rn, rne = I64(residuals[c, x - 1]), I64(residuals[c, x]), I64(residuals[c, x + 1])
                    rww = I64(residuals[c, x - 2])
                    texture = abs(vw - vnw) + abs(vn - vnw) + abs(vn - vne)
                    e = texture + 2 * (abs(rw) + abs(rn)) + abs(rne) + abs(rww)
                    energy = I64(ENERGY[min(e, I64(2047))])
                    sq = _signed(rq)
                    salt = I64(2000) + min(j, 3)
                    lines0 = _mix(_mix(salt, energy * 16 + sq), _signed(rq2))
                    lines1 = _mix(salt + 4, guess * 4 + (energy >> 2))
                    lines2 = _mix(
                        salt + 8, (_signed(vw - guess) * 16 + _signed(vn - guess)) * 16 + _signed(vne - guess)
                    )
                    lines3 = _mix(_mix(salt + 12, rq), rq2)
                    lines4 = _mix(salt + 16, (_signed(rw) * 16 + _signed(rn)) * 16 + _signed(rne))
                    lines5 = _mix(salt + 20, (vw * 256 + vn) * 256 + guess)
                    lines6 = _mix(_mix(salt + 24, ((vw * 256 + vn) * 256 + vnw) * 256 + guess), q)
                    apart = _signed(med - guess) * 16 + _signed(guesses[4] - guess)
                    lines7 = _mix(salt + 28, (apart * 16 + fraction) * 4
                                  + (energy >> 2))  # fmt: skip
                    lines8 = _mix(salt + 32, (q * 512 + rq) * 512 + rq2)
                    if hint >= 0:
                        lines9 = _mix(salt + 36, ((hint >> (8 * c)) & 255) * 256 + guess)
                    else:
                        lines9 = _mix(
                            salt + 40, (_signed(vww - guess) * 16 + _signed(vnn - guess)) * 16 + _signed(vnw - guess)
                        )

                    actual = (target >> (8 * c)) & 255
                    e = actual - guess
                    magnitude = abs(e)
                    negative = I64(e < 0)
                    result = I64(0)
                    # phase 0: is it zero; 1: sign; 2: number of bits (unary); 3, 4: the two bits after the leading one
                    phase = 0
                    node = I64(0)
                    bits = I64(0)
                    while True:
                        if phase == 0:
                            node = I64(0)
                            bit = I64(magnitude != 0)
                        elif phase == 1:
                            node = I64(1)
                            bit = negative
                        elif phase == 2:
                            node = 2 + negative * 7 + bits
                            bit = I64(magnitude >> (bits + 1) != 0)
                        elif phase == 3:
                            node = 16 + negative * 8 + bits
                            bit = (magnitude >> (bits - 1)) & 1
                        else:
                            node = 32 + negative * 16 + bits * 2 + (result & 1)
                            bit = (magnitude >> (bits - 2)) & 1
                        line = (node >> 4) * 0x9E50
                        low = node & 15
                        for i in range(INPUTS):
                            if i == 0:
                                h = lines0
                            elif i == 1:
                                h = lines1
                            elif i == 2:
                                h = lines2
                            elif i == 3:
                                h = lines3
                            elif i == 4:
                                h = lines4
                            elif i == 5:
                                h = lines5
                            elif i == 6:
                                h = lines6
                            elif i == 7:
                                h = lines7
                            elif i == 8:
                                h = lines8
                            else:
                                h = lines9
                            s.slots[i] = i * (mask + 1) + ((((h >> 20) + line) & line_mask) | low)
                            s.check[i] = (h >> 48) & 255
                        bit = _decide(s, data, bit, 240 + min(j, 2) * 64 + node, 432 + energy * 32 + min(node, 31),
                                      256 + energy * 32 + min(node, 31), 1)  # fmt: skip
                        if phase == 0:
                            if bit == 0:
                                break
                            phase = 1
                        elif phase == 1:
                            negative = bit
                            phase = 2
                        elif phase == 2:
                            if bit:
                                bits += 1
                            if bit == 0 or bits == 7:
                                result = I64(1)
                                if bits == 0:
                                    break
                                phase = 3
                        else:
                            result = result * 2 + bit
                            if phase == 4 or bits == 1:
                                break
                            phase = 4
                    if bits > 2:
                        k = bits - 3
                        while k >= 0:
                            where = 8 + (min(j, 3) * 8 + bits) * 8 + k
                            result = result * 2 + _code_plain(s, data, (magnitude >> k) & 1, where, 60)
                            k -= 1
                    e = -result if negative else result
                    actual = guess + e
                    if actual < 0 or actual > 255:
                        return False
                    pixel |= actual << (8 * c)
                    current[c] = actual
                    values[c, cur, x] = actual
                    residuals[c, x] = e
                    planes[y, x - PAD, c] = actual
                    for k in range(PREDICTORS):
                        misses[c, x, k] = (abs(guesses[k] - actual) * 4 + I64(misses[c, x, k]) + 1) >> 1
                row[x] = target = pixel

            if use_pixels:
                v = row[x]
                run = run + 1 if v == row[x - 1] else I64(0)
                if sure1 > 0 and memory[0, place1] == v:
                    memory_state[0, place1] = check1 * 16 + min(sure1 + 1, I64(15))
                elif sure1 > 2:
                    memory_state[0, place1] = check1 * 16 + (sure1 >> 1)
                else:
                    memory[0, place1] = v
                    memory_state[0, place1] = check1 * 16 + 1
                if sure2 > 0 and memory[1, place2] == v:
                    memory_state[1, place2] = check2 * 16 + min(sure2 + 1, I64(15))
                elif sure2 > 2:
                    memory_state[1, place2] = check2 * 16 + (sure2 >> 1)
                else:
                    memory[1, place2] = v
                    memory_state[1, place2] = check2 * 16 + 1
            if s.coder[POSITION] > data.size + 5:
                return False

        last = width + PAD - 1
        for k in range(1, PAD + 1):
            row[last + k] = row[last]
            for c in range(channels):
                values[c, cur, last + k] = values[c, cur, last]
        runs[last] = 32
        for x in range(last - 1, PAD - 1, -1):
            runs[x] = min(runs[x + 1] + 1, I64(32)) if row[x] == row[x + 1] else I64(0)
    return True


@njit(forceinline=True)
def _signed(d):
    """0..15: sign and order of magnitude of d, |d| < 512."""
    m = I64(MAGNITUDE[min(abs(d), I64(511))])
    return m if d >= 0 else m + 8


@njit(forceinline=True)
def s_weight(e):
    return WEIGHT[min(e, I64(1023))]


# --- palette ----------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def _find_colour(planes, y, x, order, keys, used):
    """The slot where the colour of a pixel is or would be, and the colour as a number, first coded channel on top."""
    key = np.uint64(0)
    for j in range(order.size):
        key = (key << np.uint64(8)) | np.uint64(planes[y, x, order[j]])
    slot = I64((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & (keys.size - 1)
    while used[slot] and keys[slot] != key:
        slot = (slot + 1) & (keys.size - 1)
    return slot, key


@njit(cache=True, nogil=True)
def collect_colours(planes, order, keys, used, limit):
    """Put every colour into the open-addressing table keys/used; False as soon as there are more than `limit`."""
    count = 0
    for y in range(planes.shape[0]):
        for x in range(planes.shape[1]):
            slot, key = _find_colour(planes, y, x, order, keys, used)
            if not used[slot]:
                if count == limit:
                    return False
                used[slot] = 1
                keys[slot] = key
                count += 1
    return True


@njit(cache=True, nogil=True)
def index_colours(planes, order, keys, used, ranks, indices):
    """Replace every pixel by the rank of its colour, low byte first."""
    for y in range(planes.shape[0]):
        for x in range(planes.shape[1]):
            slot, _ = _find_colour(planes, y, x, order, keys, used)
            for c in range(indices.shape[2]):
                indices[y, x, c] = (ranks[slot] >> (8 * c)) & 255
