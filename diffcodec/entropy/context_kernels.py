"""Integer kernels of the adaptive context coder (`context.py`); bitstream_spec/CONTEXT.md describes them normatively.

One kernel, `code_planes`, is both encoder and decoder: every decision goes through `_decide`, which either codes the
bit it is given or reads it, so the two directions cannot drift apart. Only integers are used. The entropy coder is a
carryless binary range coder (48-bit interval, 16-bit probabilities): an adaptive model must be decoded in the order it
was encoded, which a queue gives for nothing and a stack (ANS) only by recording every probability first.

Everything compiled stays in this one file: numba's cache looks only at the file of the cached function.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

I64 = np.int64

INPUTS = 12  # contexts mixed for a decision
CELLS = 25  # of a refining map, over the log-odds
SETS = 144 + 128 + 80 + 192 + 512  # of mixer weights
PIXEL_SETS, INDEX_SETS, NUMBER_SETS = 0, 272, 352
MAPS = 256 + 512
START_WEIGHT = 4300  # of the inputs in each of the two sets: together they start at 1.6
LIMIT = 60  # of the counts of the table: probabilities move by at least 1/61.5

PAD = 9  # columns kept on both sides of a row
ROWS = 8  # rows of whole pixels kept
TIERS = 3  # of memory
CANDIDATES = 6  # pixels tried before a new colour is spelled out
PREDICTORS = 8
FEATURES = 16

LOW, HIGH, VALUE, POSITION, DECODING, CLOCK = range(6)
MASK48 = (1 << 48) - 1
STRETCH_LIMIT = 3071  # log-odds are in units of 1/256 nat: 3071 is p = 1 - 6e-6


# --- tables and state -------------------------------------------------------------------------------------------------


def _logistic_tables() -> tuple[np.ndarray, np.ndarray]:
    """squash int32[6144]: log-odds + 3072 -> 16-bit probability; stretch int16[16384]: 14-bit probability -> log-odds.

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


def _wrapped(value: int) -> int:
    """Modulo 2^64, as int64 holds it."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


SQUASH, STRETCH = _logistic_tables()
PIXELS, NUMBERS = 0, 1  # rows of RATE
RATE = np.array([[655360 // (10 * n + k) for n in range(64)] for k in (12, 17)], np.int64)
ENERGY = _levels((1, 2, 4, 6, 9, 13, 18, 25, 34, 46, 62, 84, 115, 160, 230), 2048)  # 0..15
MAGNITUDE = _levels((1, 2, 3, 5, 9, 17, 33), 512)  # 0..7
RUN = _levels((1, 2, 3, 4, 8, 32), 33)  # 0..6
TRUST = np.array([(1 << 22) // ((k + 2) * (k + 2)) for k in range(1024)], np.int64)  # in a predictor, by its misses
SPREAD = _wrapped(0x9E3779B97F4A7C15)
SPREAD4, SPREAD8, SPREAD12 = (_wrapped(pow(SPREAD, n, 1 << 64)) for n in (4, 8, 12))
# (rows up, columns right) of the neighbours, nearest first
NEIGHBOURS = np.array(
    [(0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, -2), (1, 2), (2, 1), (2, -1), (0, -3), (3, 0)]
    + [(2, -2), (2, 2), (1, 3), (1, -3), (0, -4), (3, -1), (3, 1), (2, 3), (2, -3), (1, 4), (3, -2), (3, 2)]
)


class Model(NamedTuple):
    """All that is carried from one decision to the next. Columns of rows are shifted right by PAD.

    Kernels take the arrays one by one: taking them out of a tuple costs numba a reference count each time.
    """

    planes: np.ndarray  # uint8[H, W, C]
    order: np.ndarray  # int64[C]: channels as they are coded
    coder: np.ndarray  # int64[6]: see LOW ... CLOCK
    table: np.ndarray  # uint32[INPUTS * slots]: probability - 1/2 (18 bits), count (6), check (8)
    weights: np.ndarray  # int32[SETS * INPUTS], 65536 = 1
    refine: np.ndarray  # int32[MAPS * CELLS]: probability of 22 bits by log-odds
    plain: np.ndarray  # int64[264]: probabilities that are not mixed, as in the table without check
    pixel: np.ndarray  # int64[TIERS, slots]: what stood last in a neighbourhood that hashed to this slot
    trust: np.ndarray  # int64[TIERS, slots]: check (16 bits), how often it was right (4)
    rows: np.ndarray  # int64[12, width + 2 PAD]: see FIVE ... TRIES; row y of the picture at y mod 8
    chans: np.ndarray  # int32[C, 13, width + 2 PAD]: see RESIDUAL, MISSES; row y of the channel at y mod 4
    taps: np.ndarray  # int64[C, FEATURES]: of the linear predictor, 65536 = 1
    now: np.ndarray  # int64[128]: see SLOT ... CURRENT


# rows: pixels with channel c at bits 8c, then hashes of the five and the three pixels above, equal pixels that follow
# in the row above (at most 32), which candidate was right (of this row up to here, of the row above from here on)
FIVE, THREE, RUNS, TRIES = 8, 9, 10, 11
RESIDUAL, MISSES = 4, 5  # chans, likewise; misses fade upwards
# now: slots, checks and log-odds of the inputs; contexts' hashes; guesses, linear features; neighbours; keys, contents
# and trust of the memory's tiers; candidates; sliding hashes; what stands alone; channels of this pixel
SLOT, CHECK, STRETCHED, HASH, GUESS, FEATURE, NEAR = 0, 12, 24, 36, 48, 56, 72
KEY, RECALLED, SURE, CANDIDATE, SLIDE, RUN_LENGTH, HISTORY, HINT, HINTED, CURRENT = (
    96, 99, 102, 105, 111, 115, 116, 117, 118, 120,
)  # fmt: skip


def new_model(planes: np.ndarray, order: np.ndarray, decoding: bool) -> Model:
    """Everything at its starting value; the tables grow with the picture, to 60 MiB together."""
    height, width, channels = planes.shape
    pixels = height * width
    coder = np.zeros(6, np.int64)
    coder[HIGH] = MASK48
    coder[DECODING] = decoding
    curve = np.append(SQUASH[::256], SQUASH[-1]) << 6
    slots = 1 << min(max((pixels - 1).bit_length(), 8), 18)
    return Model(
        planes=planes,
        order=order,
        coder=coder,
        table=np.zeros(INPUTS << min(max((2 * pixels - 1).bit_length(), 12), 20), np.uint32),
        weights=np.full(SETS * INPUTS, START_WEIGHT, np.int32),
        refine=np.tile(curve.astype(np.int32), MAPS),
        plain=np.zeros(264, np.int64),
        pixel=np.zeros((TIERS, slots), np.int64),
        trust=np.zeros((TIERS, slots), np.int64),
        rows=np.zeros((12, width + 2 * PAD), np.int64),
        chans=np.zeros((channels, MISSES + PREDICTORS, width + 2 * PAD), np.int32),
        taps=np.zeros((channels, FEATURES), np.int64),
        now=np.zeros(128, np.int64),
    )


# --- binary range coder -----------------------------------------------------------------------------------------------


def start(m: Model, data: np.ndarray) -> None:
    """Read the first six bytes, zeros past the end."""
    m.coder[VALUE] = int.from_bytes(bytes(data[:6]).ljust(6, b"\0"), "big")
    m.coder[POSITION] = 6


def finish(m: Model, data: np.ndarray) -> int:
    """Write the last byte (the decoder reads zeros after it); the length, above data.size if it did not fit."""
    length = int(m.coder[POSITION])
    if length < data.size:
        data[length] = (m.coder[LOW] + (1 << 40) - 1) >> 40
    return length + 1


def finished(m: Model, data: np.ndarray) -> bool:
    """Whether the decoder has used all of the data: five of the six bytes it holds were not there."""
    return int(m.coder[POSITION]) == data.size + 5


@njit(forceinline=True)
def _code(coder, data, bit, p):
    """Code (or read) one bit whose probability of being 1 is p / 65536, p in 1..65535."""
    low = coder[LOW]
    high = coder[HIGH]
    span = high - low
    middle = low + (span >> 16) * p + (((span & 65535) * p) >> 16)
    if coder[DECODING]:
        bit = I64(coder[VALUE] <= middle)
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) >> 40 == 0:
        position = coder[POSITION]
        if coder[DECODING]:
            byte = I64(data[position]) if position < data.size else I64(0)
            coder[VALUE] = ((coder[VALUE] << 8) & MASK48) | byte
        elif position < data.size:
            data[position] = low >> 40
        coder[POSITION] = position + 1
        low = (low << 8) & MASK48
        high = ((high << 8) & MASK48) | 255
    coder[LOW] = low
    coder[HIGH] = high
    return bit


@njit(forceinline=True)
def _decide_plainly(coder, plain, data, bit, where):
    """Code one bit with the adaptive probability plain[where] alone."""
    v = plain[where]
    p = (v >> 6) ^ 0x20000
    bit = _code(coder, data, bit, min(max(p >> 2, I64(1)), I64(65535)))
    p += ((bit * 0x3FFFF - p) * RATE[PIXELS, v & 63]) >> 16
    plain[where] = ((p ^ 0x20000) << 6) | min((v & 63) + 1, I64(LIMIT))
    return bit


# --- mixing -----------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def _decide(coder, table, weights, refine, now, data, bit, set1, set2, map_, kind):
    """Code one bit with the mix of the INPUTS probabilities at now[SLOT], by the sum of two sets of weights."""
    base1 = set1 * INPUTS
    base2 = set2 * INPUTS
    dot = I64(0)
    for i in range(INPUTS):
        v = I64(table[now[SLOT + i]])
        if v & 255 != now[CHECK + i]:
            v = now[CHECK + i]  # another context's slot: start afresh at one half
            table[now[SLOT + i]] = v
        now[STRETCHED + i] = STRETCH[(v >> 18) ^ 0x2000]
        dot += (I64(weights[base1 + i]) + I64(weights[base2 + i])) * now[STRETCHED + i]
    dot = min(max(dot >> 16, I64(-STRETCH_LIMIT)), I64(STRETCH_LIMIT)) + 3072
    mixed = I64(SQUASH[dot])
    cell = map_ * CELLS + (dot >> 8)
    part = dot & 255
    refined = (I64(refine[cell]) * (256 - part) + I64(refine[cell + 1]) * part) >> 14

    bit = _code(coder, data, bit, min(max((mixed + refined + 1) >> 1, I64(1)), I64(65535)))

    cell += part >> 7
    refine[cell] += ((bit << 22) - bit - I64(refine[cell])) >> 7
    coder[CLOCK] += 1
    error = ((bit << 16) - mixed) * (10 + (30 << 12) // (coder[CLOCK] + (1 << 12)))
    for i in range(INPUTS):
        change = (now[STRETCHED + i] * error + (1 << 19)) >> 20
        weights[base1 + i] += change
        weights[base2 + i] += change
        v = I64(table[now[SLOT + i]])
        n = (v >> 8) & 63
        p = (v >> 14) ^ 0x20000
        p += ((bit * 0x3FFFF - p) * RATE[kind, n]) >> 16
        table[now[SLOT + i]] = ((p ^ 0x20000) << 14) | (min(n + 1, I64(LIMIT)) << 8) | now[CHECK + i]
    return bit


@njit(forceinline=True)
def _mix(h, v):
    """One step of the context hash, modulo 2^64 (the shift is arithmetic)."""
    h = (h ^ v) * I64(SPREAD)
    return h ^ (h >> 32)


@njit(forceinline=True)
def _select(now, i, h, mask):
    """Point input i at the slot of hash h."""
    now[SLOT + i] = i * (mask + 1) + ((h >> 20) & mask)
    now[CHECK + i] = (h >> 48) & 255


@njit(forceinline=True)
def _signed(d):
    """0..15: sign and order of magnitude of d."""
    m = I64(MAGNITUDE[min(abs(d), I64(511))])
    return m if d >= 0 else m + 8


# --- the picture ------------------------------------------------------------------------------------------------------


@njit(forceinline=True)
def _start_row(rows, chans, now, y, use_pixels):
    """Left margin from the pixel above; sliding hashes as they stand one pixel before the first."""
    for x in range(PAD):
        rows[y & 7, x] = rows[(y - 1) & 7, PAD]
        for c in range(chans.shape[0]):
            chans[c, y & 3, x] = chans[c, (y - 1) & 3, PAD]
    now[RUN_LENGTH] = 0
    now[HISTORY] = 0
    if use_pixels:
        for x in range(rows.shape[1]):
            h = I64(0)
            for k in range(1, 4):
                h = h * SPREAD + rows[(y - k) & 7, x]
            rows[THREE, x] = _mix(I64(5), h)
            for k in range(4, 6):
                h = h * SPREAD + rows[(y - k) & 7, x]
            rows[FIVE, x] = _mix(I64(4), h)
        for k in range(4):
            now[SLIDE + k] = 0
        for x in range(PAD - 6, PAD + 6):
            now[SLIDE] = now[SLIDE] * SPREAD + rows[FIVE, x]
        for x in range(PAD - 4, PAD + 4):
            now[SLIDE + 1] = now[SLIDE + 1] * SPREAD + rows[THREE, x]
        for x in range(PAD - 9, PAD - 1):
            now[SLIDE + 2] = now[SLIDE + 2] * SPREAD + rows[y & 7, x]
        for x in range(PAD - 5, PAD - 1):
            now[SLIDE + 3] = now[SLIDE + 3] * SPREAD + rows[y & 7, x]


@njit(forceinline=True)
def _slide(rows, now, x, y):
    """Move the windows one pixel on: columns x-5..x+6 of five rows, x-3..x+4 of three, 8 and 4 pixels to the left."""
    w = rows[y & 7, x - 1]
    now[SLIDE] = now[SLIDE] * SPREAD + rows[FIVE, x + 6] - rows[FIVE, x - 6] * SPREAD12
    now[SLIDE + 1] = now[SLIDE + 1] * SPREAD + rows[THREE, x + 4] - rows[THREE, x - 4] * SPREAD8
    now[SLIDE + 2] = now[SLIDE + 2] * SPREAD + w - rows[y & 7, x - 9] * SPREAD8
    now[SLIDE + 3] = now[SLIDE + 3] * SPREAD + w - rows[y & 7, x - 5] * SPREAD4


@njit(forceinline=True)
def _finish_row(rows, chans, y):
    """Right margin from the last pixel, and the runs for the row below."""
    last = rows.shape[1] - PAD - 1
    for x in range(last + 1, rows.shape[1]):
        rows[y & 7, x] = rows[y & 7, last]
        for c in range(chans.shape[0]):
            chans[c, y & 3, x] = chans[c, y & 3, last]
    rows[RUNS, last] = 32
    for x in range(last - 1, PAD - 1, -1):
        rows[RUNS, x] = min(rows[RUNS, x + 1] + 1, I64(32)) if rows[y & 7, x] == rows[y & 7, x + 1] else I64(0)


@njit(forceinline=True)
def _gather(rows, pixel, trust, now, x, y, near_rows):
    """Neighbours, hashes of the neighbourhood and candidates of a pixel; the number of candidates."""
    for i in range(24):
        now[NEAR + i] = rows[near_rows[i], x + NEIGHBOURS[i, 1]]
    _slide(rows, now, x, y)
    h = I64(1)
    for i in range(6):
        h = _mix(h, now[NEAR + i])
    now[KEY] = _mix(_mix(I64(3), now[SLIDE]), now[SLIDE + 2])
    now[KEY + 1] = _mix(_mix(I64(2), now[SLIDE + 1]), now[SLIDE + 3])
    now[KEY + 2] = h
    count = I64(0)
    now[HINTED] = 0
    for k in range(TIERS + 4):
        if k < TIERS:
            key = now[KEY + k]
            place = (key >> 20) & (pixel.shape[1] - 1)
            known = trust[k, place]
            now[SURE + k] = (known & 15) if known >> 4 == (key >> 44) & 0xFFFF else I64(0)
            if now[SURE + k] == 0:
                continue
            v = pixel[k, place]
            now[RECALLED + k] = v
            if count == 0:
                now[HINT] = v
                now[HINTED] = 1
        else:
            v = now[NEAR + k - TIERS]
        fresh = count < CANDIDATES
        for i in range(count):
            if now[CANDIDATE + i] == v:
                fresh = False
        if fresh:
            now[CANDIDATE + count] = v
            count += 1
    return count


@njit(forceinline=True)
def _remember(pixel, trust, now, v):
    """After the pixel v: its trust grows where it was expected, else falls, and below three it takes the place."""
    for k in range(TIERS):
        key = now[KEY + k]
        sure = now[SURE + k]
        place = (key >> 20) & (pixel.shape[1] - 1)
        check = ((key >> 44) & 0xFFFF) << 4
        if sure > 0 and now[RECALLED + k] == v:
            trust[k, place] = check | min(sure + 1, I64(15))
        elif sure > 2:
            trust[k, place] = check | (sure >> 1)
        else:
            pixel[k, place] = v
            trust[k, place] = check | 1


@njit(forceinline=True)
def _code_pixel(coder, table, weights, refine, rows, now, data, x, count, target, colours, mask):
    """Is the pixel the first candidate? The second? ... (whether one was right, the pixel)."""
    w, n = now[NEAR], now[NEAR + 1]
    h2 = _mix(_mix(I64(6), w), n)
    h4 = _mix(_mix(h2, now[NEAR + 2]), now[NEAR + 3])
    h9 = h4
    for i in range(4, 9):
        h9 = _mix(h9, now[NEAR + i])
    ahead = I64(RUN[rows[RUNS, x]]) if n == w else I64(0)
    run = I64(RUN[min(now[RUN_LENGTH], I64(32))]) * 8 + ahead
    certainty = (min(now[SURE], I64(7)) * 8 + min(now[SURE + 1], I64(7))) * 8 + min(now[SURE + 2], I64(7))
    level = I64(0) if now[SURE] == 0 else (I64(1) if now[SURE] < 3 else I64(2))
    equal = I64(w == n) + 2 * I64(w == now[NEAR + 2]) + 4 * I64(n == now[NEAR + 3])
    equal += 8 * I64(n == now[NEAR + 2]) + 16 * I64(w == now[NEAR + 4]) + 32 * I64(n == now[NEAR + 5])
    past = rows[TRIES, x] * 64 + rows[TRIES, x + 1] * 8
    tried = I64(0)
    hit = False
    while tried < count and not hit:
        v = now[CANDIDATE + tried]
        m = I64(0)  # which neighbours are this colour
        for i in range(24):
            m |= I64(now[NEAR + i] == v) << i
        m6 = m & 63
        recalled = I64(0)
        for k in range(TIERS):
            recalled |= I64(now[SURE + k] > 0 and now[RECALLED + k] == v) << k
        code = (tried * 8 + recalled) * 8
        shade = _mix(code, v)
        _select(now, 0, _mix(_mix(code, m6), certainty), mask)
        _select(now, 1, _mix(code + 1, m & 0xFFF), mask)
        _select(now, 2, _mix(code + 2, m & 0x3FFFF), mask)
        _select(now, 3, _mix(code + 3, m), mask)
        _select(now, 4, _mix(code + 4, equal + 64 * (m & 15)), mask)
        _select(now, 5, _mix(_mix(code + 5, run), m6), mask)
        _select(now, 6, _mix(_mix(code + 6, now[HISTORY]), past + (m & 3)), mask)
        _select(now, 7, _mix(shade, m6), mask)
        _select(now, 8, _mix(shade, h2), mask)
        _select(now, 9, _mix(shade, h4), mask)
        _select(now, 10, _mix(shade, h9), mask)
        _select(now, 11, _mix(shade, now[KEY + 1]), mask)
        local = m6 + 64 * I64(tried > 0)
        set1 = PIXEL_SETS + (tried * 8 + recalled) * 3 + level
        if _decide(
            coder, table, weights, refine, now, data, I64(v == target), set1, PIXEL_SETS + 144 + local, local, PIXELS
        ):
            hit = True
            target = v
        else:
            tried += 1
            if colours == 2:
                hit = True
                target = 1 - v
    now[HISTORY] = ((now[HISTORY] << 3) | tried) & 511
    rows[TRIES, x] = tried
    return hit, target


@njit(forceinline=True)
def _code_index(coder, table, weights, refine, rows, now, data, x, y, target, colours, mask):
    """A palette index from the top bit down."""
    y0, y1, y2 = y & 7, (y - 1) & 7, (y - 2) & 7
    w, n, ww, nn = rows[y0, x - 1], rows[y1, x], rows[y0, x - 2], rows[y2, x]
    nw, ne, nww, nee = rows[y1, x - 1], rows[y1, x + 1], rows[y1, x - 2], rows[y1, x + 2]
    now[HASH] = I64(1000)
    now[HASH + 1] = _mix(I64(1001), w)
    now[HASH + 2] = _mix(I64(1002), n)
    now[HASH + 3] = _mix(now[HASH + 1], n)
    now[HASH + 4] = _mix(_mix(now[HASH + 3], nw), ne)
    now[HASH + 5] = _mix(_mix(now[HASH + 4], ww), nn)
    now[HASH + 6] = _mix(_mix(now[HASH + 5], nww), nee)
    now[HASH + 7] = _mix(I64(1003), ne)
    now[HASH + 8] = _mix(_mix(I64(1004), nw), ww)
    now[HASH + 9] = _mix(_mix(I64(1005), now[HINT]), now[HINTED])
    now[HASH + 10] = _mix(_mix(I64(1006), n), nn)
    now[HASH + 11] = _mix(_mix(I64(1007), w), ww)
    depth = 0
    while colours > 1 << depth:
        depth += 1
    v = I64(1)  # the bits so far behind a leading one
    for k in range(depth - 1, -1, -1):
        for i in range(INPUTS):
            _select(now, i, _mix(now[HASH + i], v), mask)
        set2 = INDEX_SETS + 16 + min(v, I64(63))
        bit = _decide(
            coder,
            table,
            weights,
            refine,
            now,
            data,
            (target >> k) & 1,
            INDEX_SETS + k,
            set2,
            128 + min(v, I64(127)),
            PIXELS,
        )
        v = v * 2 + bit
    return min(v - (I64(1) << depth), I64(colours - 1))


@njit(forceinline=True)
def _predict(order, chans, taps, now, x, y, j):
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


@njit(forceinline=True)
def _hash_number(order, chans, now, x, y, j, fine):
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
    now[HASH] = _mix(_mix(salt, energy * 16 + _signed(rq)), _signed(rp))
    now[HASH + 1] = _mix(salt + 4, guess * 4 + (energy >> 2))
    now[HASH + 2] = _mix(salt + 8, (_signed(w - guess) * 16 + _signed(n - guess)) * 16 + _signed(ne - guess))
    now[HASH + 3] = _mix(_mix(salt + 12, rq), rp)
    now[HASH + 4] = _mix(salt + 16, (_signed(rw) * 16 + _signed(rn)) * 16 + _signed(rne))
    now[HASH + 5] = _mix(salt + 20, ((now[GUESS + 7] - guess) * 16 + energy) * 8 + fraction)
    now[HASH + 6] = _mix(_mix(salt + 24, ((w * 256 + n) * 256 + nw) * 256 + guess), q)
    spread = (_signed(now[GUESS] - guess) * 16 + _signed(now[GUESS + 4] - guess)) * 16 + fraction
    now[HASH + 7] = _mix(salt + 28, spread * 4 + (energy >> 2))
    now[HASH + 8] = _mix(salt + 32, (q * 512 + rq) * 512 + rp)
    if now[HINTED]:
        now[HASH + 9] = _mix(salt + 36, ((now[HINT] >> (8 * c)) & 255) * 256 + guess)
    else:
        now[HASH + 9] = _mix(salt + 40, (_signed(ww - guess) * 16 + _signed(nn - guess)) * 16 + _signed(nw - guess))
    now[HASH + 10] = _mix(salt + 44, I64(0))
    now[HASH + 11] = _mix(salt + 48, min(e >> 1, I64(40)) * 16 + _signed(rq))
    return energy


@njit(forceinline=True)
def _code_residual(coder, table, weights, refine, plain, now, data, e, j, energy, mask):
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
        bit = _decide(
            coder, table, weights, refine, now, data, bit, set1, NUMBER_SETS + 192 + local, 256 + local, NUMBERS
        )
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
        result = result * 2 + _decide_plainly(coder, plain, data, (magnitude >> k) & 1, where)
    return -result if negative else result


@njit(forceinline=True)
def _learn(order, chans, taps, now, x, j, actual, linear, power):
    """Move the linear predictor's taps and the predictors' misses to the channel's actual value."""
    c = order[j]
    step = (((actual << 6) - linear) << 16) // (power + 60)
    for k in range(FEATURES):
        taps[c, k] += (step * now[FEATURE + k]) >> 10
    for k in range(PREDICTORS):
        chans[c, MISSES + k, x] = (abs(now[GUESS + k] - actual) * 4 + I64(chans[c, MISSES + k, x]) + 1) >> 1


@njit(forceinline=True)
def _load_row(planes, rows, y):
    """Encoder: the whole pixels of row y, and whether it equals the row above (zeros above the first)."""
    repeated = I64(1)
    for x in range(planes.shape[1]):
        v = I64(0)
        for c in range(planes.shape[2]):
            v |= I64(planes[y, x, c]) << (8 * c)
        rows[y & 7, PAD + x] = v
        if v != rows[(y - 1) & 7, PAD + x]:
            repeated = I64(0)
    return repeated


@njit(cache=True, nogil=True)
def code_planes(model, data, colours, use_pixels):
    """Encode model.planes into `data`, or decode `data` into them; model.coder[DECODING] says which.

    colours > 0: palette indices below it, one channel or two. colours == 0: numbers. use_pixels: whole pixels seen
    before are tried first. False when `data` is too short (the encoder's planes do not compress) or cannot be.
    """
    planes, order, coder, table, weights, refine, plain, pixel, trust, rows, chans, taps, now = model
    height, width, channels = planes.shape
    mask = table.size // INPUTS - 1
    near_rows = np.zeros(24, np.int64)
    repeats = I64(0)
    for y in range(height):
        repeated = I64(0) if coder[DECODING] else _load_row(planes, rows, y)
        repeated = _decide_plainly(coder, plain, data, repeated, repeats)
        repeats = (repeats * 2 + repeated) & 3
        if repeated:
            for x in range(width + 2 * PAD):
                rows[y & 7, x] = rows[(y - 1) & 7, x]
                for c in range(channels):
                    chans[c, y & 3, x] = chans[c, (y - 1) & 3, x]
            for x in range(width):
                for c in range(channels):
                    planes[y, x, c] = chans[c, y & 3, x + PAD]
            continue
        _start_row(rows, chans, now, y, use_pixels)
        for i in range(24):
            near_rows[i] = (y - NEIGHBOURS[i, 0]) & 7
        for x in range(PAD, width + PAD):
            target = rows[y & 7, x]
            hit = False
            if use_pixels:
                count = _gather(rows, pixel, trust, now, x, y, near_rows)
                hit, target = _code_pixel(
                    coder, table, weights, refine, rows, now, data, x, count, target, colours, mask
                )  # fmt: skip
            if not hit and colours > 0:
                target = _code_index(coder, table, weights, refine, rows, now, data, x, y, target, colours, mask)
            if hit or colours > 0:
                for c in range(channels):
                    v = (target >> (8 * c)) & 255
                    chans[c, y & 3, x] = v
                    chans[c, RESIDUAL, x] = 0
                    planes[y, x - PAD, c] = v
            else:
                whole = I64(0)
                for j in range(channels):
                    c = order[j]
                    fine, linear, power = _predict(order, chans, taps, now, x, y, j)
                    energy = _hash_number(order, chans, now, x, y, j, fine)
                    guess = (fine + 4) >> 3
                    e = ((target >> (8 * c)) & 255) - guess
                    e = _code_residual(coder, table, weights, refine, plain, now, data, e, j, energy, mask)
                    v = guess + e
                    if v < 0 or v > 255:
                        return False
                    _learn(order, chans, taps, now, x, j, v, linear, power)
                    whole |= v << (8 * c)
                    now[CURRENT + c] = v
                    chans[c, y & 3, x] = v
                    chans[c, RESIDUAL, x] = e
                    planes[y, x - PAD, c] = v
                target = whole
            rows[y & 7, x] = target
            if use_pixels:
                _remember(pixel, trust, now, target)
                now[RUN_LENGTH] = now[RUN_LENGTH] + 1 if target == rows[y & 7, x - 1] else I64(0)
            if coder[POSITION] > data.size + 5:
                return False
        _finish_row(rows, chans, y)
    return True
