"""Whole pixels and palette indices in the adaptive context coder: those that stood near, or in such a place before."""

from __future__ import annotations

from ...runtime.kernels import woven
from .decisions import decide, mix, select
from .rows import slide
from .state import (
    CANDIDATE,
    CANDIDATES,
    HASH,
    HINT,
    HINTED,
    HISTORY,
    I64,
    INDEX_SETS,
    INPUTS,
    KEY,
    NEAR,
    NEIGHBOURS,
    PIXEL_SETS,
    PIXELS,
    RECALLED,
    RUN,
    RUN_LENGTH,
    RUNS,
    SLIDE,
    SURE,
    TIERS,
    TRIES,
)


@woven
def gather(rows, pixel, trust, now, x, y, near_rows):
    """Neighbours, hashes of the neighbourhood and candidates of a pixel; the number of candidates."""
    for i in range(24):
        now[NEAR + i] = rows[near_rows[i], x + NEIGHBOURS[i, 1]]
    slide(rows, now, x, y)
    h = I64(1)
    for i in range(6):
        h = mix(h, now[NEAR + i])
    now[KEY] = mix(mix(I64(3), now[SLIDE]), now[SLIDE + 2])
    now[KEY + 1] = mix(mix(I64(2), now[SLIDE + 1]), now[SLIDE + 3])
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


@woven
def remember(pixel, trust, now, v):
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


@woven
def code_pixel(coder, table, weights, refine, rows, now, data, x, count, target, colours, mask):
    """Is the pixel the first candidate? The second? ... (whether one was right, the pixel)."""
    w, n = now[NEAR], now[NEAR + 1]
    h2 = mix(mix(I64(6), w), n)
    h4 = mix(mix(h2, now[NEAR + 2]), now[NEAR + 3])
    h9 = h4
    for i in range(4, 9):
        h9 = mix(h9, now[NEAR + i])
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
        shade = mix(code, v)
        select(now, 0, mix(mix(code, m6), certainty), mask)
        select(now, 1, mix(code + 1, m & 0xFFF), mask)
        select(now, 2, mix(code + 2, m & 0x3FFFF), mask)
        select(now, 3, mix(code + 3, m), mask)
        select(now, 4, mix(code + 4, equal + 64 * (m & 15)), mask)
        select(now, 5, mix(mix(code + 5, run), m6), mask)
        select(now, 6, mix(mix(code + 6, now[HISTORY]), past + (m & 3)), mask)
        select(now, 7, mix(shade, m6), mask)
        select(now, 8, mix(shade, h2), mask)
        select(now, 9, mix(shade, h4), mask)
        select(now, 10, mix(shade, h9), mask)
        select(now, 11, mix(shade, now[KEY + 1]), mask)
        local = m6 + 64 * I64(tried > 0)
        set1 = PIXEL_SETS + (tried * 8 + recalled) * 3 + level
        if decide(
            coder, table, weights, refine, now, data, I64(v == target), set1, PIXEL_SETS + 144 + local, local, PIXELS,
            INPUTS,
        ):  # fmt: skip
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


@woven
def code_index(coder, table, weights, refine, rows, now, data, x, y, target, colours, mask):
    """A palette index from the top bit down."""
    y0, y1, y2 = y & 7, (y - 1) & 7, (y - 2) & 7
    w, n, ww, nn = rows[y0, x - 1], rows[y1, x], rows[y0, x - 2], rows[y2, x]
    nw, ne, nww, nee = rows[y1, x - 1], rows[y1, x + 1], rows[y1, x - 2], rows[y1, x + 2]
    now[HASH] = I64(1000)
    now[HASH + 1] = mix(I64(1001), w)
    now[HASH + 2] = mix(I64(1002), n)
    now[HASH + 3] = mix(now[HASH + 1], n)
    now[HASH + 4] = mix(mix(now[HASH + 3], nw), ne)
    now[HASH + 5] = mix(mix(now[HASH + 4], ww), nn)
    now[HASH + 6] = mix(mix(now[HASH + 5], nww), nee)
    now[HASH + 7] = mix(I64(1003), ne)
    now[HASH + 8] = mix(mix(I64(1004), nw), ww)
    now[HASH + 9] = mix(mix(I64(1005), now[HINT]), now[HINTED])
    now[HASH + 10] = mix(mix(I64(1006), n), nn)
    now[HASH + 11] = mix(mix(I64(1007), w), ww)
    depth = 0
    while colours > 1 << depth:
        depth += 1
    v = I64(1)  # the bits so far behind a leading one
    for k in range(depth - 1, -1, -1):
        for i in range(INPUTS):
            select(now, i, mix(now[HASH + i], v), mask)
        set2 = INDEX_SETS + 16 + min(v, I64(63))
        bit = decide(
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
            INPUTS,
        )
        v = v * 2 + bit
    return min(v - (I64(1) << depth), I64(colours - 1))
