"""What the adaptive context coder carries from one decision to the next, and the tables that it is made with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    [
        *((0, -1), (1, 0), (1, -1), (1, 1), (0, -2), (2, 0), (1, -2), (1, 2), (2, 1), (2, -1), (0, -3), (3, 0)),
        *((2, -2), (2, 2), (1, 3), (1, -3), (0, -4), (3, -1), (3, 1), (2, 3), (2, -3), (1, 4), (3, -2), (3, 2)),
    ]
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
    """Everything at its starting value for planes uint8 (H, W, C), coded in this ``order`` of channels int64 (C,).

    The tables grow with the picture, to 60 MiB together.
    """
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
