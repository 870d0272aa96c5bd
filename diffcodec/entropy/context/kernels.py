"""Integer kernels of the adaptive context coder (`coder`); bitstream_spec/CONTEXT.md describes them normatively.

One kernel, `code_rows`, is both encoder and decoder: every decision goes through `decisions.decide`, which either
codes the bit it is given or reads it. Only integers are used.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import kernel
from .decisions import decide_plainly
from .pixels import code_index, code_pixel, gather, remember
from .residuals import code_residual, hash_number, learn, predict
from .rows import finish_row, load_row, start_row
from .state import CURRENT, DECODING, I64, INPUTS, NEIGHBOURS, PAD, POSITION, RESIDUAL, RUN_LENGTH


@kernel
def code_rows(model, data, colours, use_pixels, first, last, repeats):
    """Encode rows first to last - 1 of model.planes into `data`, or decode them; model.coder[DECODING] says which.

    colours > 0: palette indices below it, one channel or two. colours == 0: numbers. use_pixels: whole pixels seen
    before are tried first. repeats: what the call for the rows before returned, 0 for the first. -1 when `data` is too
    short (the encoder's planes do not compress) or cannot be.
    """
    planes, order, coder, table, weights, refine, plain, pixel, trust, rows, chans, taps, now = model
    _, width, channels = planes.shape
    mask = table.size // INPUTS - 1
    near_rows = np.zeros(24, np.int64)
    for y in range(first, last):
        repeated = I64(0) if coder[DECODING] else load_row(planes, rows, y)
        repeated = decide_plainly(coder, plain, data, repeated, repeats)
        repeats = (repeats * 2 + repeated) & 3
        if repeated:
            if coder[POSITION] > data.size + 5:  # zeros past the end say that all rows are repeated
                return I64(-1)
            for x in range(width + 2 * PAD):
                rows[y & 7, x] = rows[(y - 1) & 7, x]
                for c in range(channels):
                    chans[c, y & 3, x] = chans[c, (y - 1) & 3, x]
            for x in range(width):
                for c in range(channels):
                    planes[y, x, c] = chans[c, y & 3, x + PAD]
            continue
        start_row(rows, chans, now, y, use_pixels)
        for i in range(24):
            near_rows[i] = (y - NEIGHBOURS[i, 0]) & 7
        for x in range(PAD, width + PAD):
            target = rows[y & 7, x]
            hit = False
            if use_pixels:
                count = gather(rows, pixel, trust, now, x, y, near_rows)
                hit, target = code_pixel(
                    coder, table, weights, refine, rows, now, data, x, count, target, colours, mask
                )  # fmt: skip
            if not hit and colours > 0:
                target = code_index(coder, table, weights, refine, rows, now, data, x, y, target, colours, mask)
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
                    fine, linear, power = predict(order, chans, taps, now, x, y, j)
                    energy = hash_number(order, chans, now, x, y, j, fine)
                    guess = (fine + 4) >> 3
                    e = ((target >> (8 * c)) & 255) - guess
                    e = code_residual(coder, table, weights, refine, plain, now, data, e, j, energy, mask)
                    v = guess + e
                    if v < 0 or v > 255:
                        return I64(-1)
                    learn(order, chans, taps, now, x, j, v, linear, power)
                    whole |= v << (8 * c)
                    now[CURRENT + c] = v
                    chans[c, y & 3, x] = v
                    chans[c, RESIDUAL, x] = e
                    planes[y, x - PAD, c] = v
                target = whole
            rows[y & 7, x] = target
            if use_pixels:
                remember(pixel, trust, now, target)
                now[RUN_LENGTH] = now[RUN_LENGTH] + 1 if target == rows[y & 7, x - 1] else I64(0)
            if coder[POSITION] > data.size + 5:
                return I64(-1)
        finish_row(rows, chans, y)
    return repeats
