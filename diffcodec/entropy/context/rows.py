"""Rows of a picture as the adaptive context coder keeps them: margins, and hashes that slide along."""

from __future__ import annotations

from ...runtime.kernels import woven
from .decisions import mix
from .state import FIVE, HISTORY, I64, PAD, RUN_LENGTH, RUNS, SLIDE, SPREAD, SPREAD4, SPREAD8, SPREAD12, THREE


@woven
def start_row(rows, chans, now, y, use_pixels):
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
            rows[THREE, x] = mix(I64(5), h)
            for k in range(4, 6):
                h = h * SPREAD + rows[(y - k) & 7, x]
            rows[FIVE, x] = mix(I64(4), h)
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


@woven
def slide(rows, now, x, y):
    """Move the windows one pixel on: columns x-5..x+6 of five rows, x-3..x+4 of three, 8 and 4 pixels to the left."""
    w = rows[y & 7, x - 1]
    now[SLIDE] = now[SLIDE] * SPREAD + rows[FIVE, x + 6] - rows[FIVE, x - 6] * SPREAD12
    now[SLIDE + 1] = now[SLIDE + 1] * SPREAD + rows[THREE, x + 4] - rows[THREE, x - 4] * SPREAD8
    now[SLIDE + 2] = now[SLIDE + 2] * SPREAD + w - rows[y & 7, x - 9] * SPREAD8
    now[SLIDE + 3] = now[SLIDE + 3] * SPREAD + w - rows[y & 7, x - 5] * SPREAD4


@woven
def finish_row(rows, chans, y):
    """Right margin from the last pixel, and the runs for the row below."""
    last = rows.shape[1] - PAD - 1
    for x in range(last + 1, rows.shape[1]):
        rows[y & 7, x] = rows[y & 7, last]
        for c in range(chans.shape[0]):
            chans[c, y & 3, x] = chans[c, y & 3, last]
    rows[RUNS, last] = 32
    for x in range(last - 1, PAD - 1, -1):
        rows[RUNS, x] = min(rows[RUNS, x + 1] + 1, I64(32)) if rows[y & 7, x] == rows[y & 7, x + 1] else I64(0)


@woven
def load_row(planes, rows, y):
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
