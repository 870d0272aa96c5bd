"""What the coder of whole numbers carries from one number to the next (`whole`), and how it is numbered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .state import CELLS, DECODING, HIGH, MASK48, SQUASH, START_WEIGHT

INPUTS = 6  # contexts mixed for a decision
PAD = 3  # columns kept on both sides of a row
ROWS = 4  # rows kept of what stands in `near`
GUESSES = 8  # of a number, before they are blended
FEATURES, CORRECTING = 19, 3  # at most, of the two fits
BIASES = 3  # tables of mean errors
KINDS = 1728  # contexts of each of them: three signed sizes of 12 levels
LENGTHS = 17  # binary digits of a residual's magnitude, 0 to 16

# near: what a number was taken for by those after it, its residual, whether it was the void
VALUE, RESIDUAL, VOID = range(3)
# nodes of a residual: 2t and 2t + 1 ask whether it has more than t binary digits, coming from below and from above
SIGN_NODE, VOID_NODE, TOP_NODE, NODES = 36, 37, 38, 64
# sets of mixer weights by channel and node, then by expected length and node; maps by energy and node
LENGTH_SETS = 3 * NODES
SETS = LENGTH_SETS + LENGTHS * NODES
ENERGIES = 20
# plain: answers about rows, second bits behind the leading one, further ones
SECOND = 4
FURTHER = SECOND + 3 * LENGTHS * 7 * 2
PLAIN = FURTHER + 3 * LENGTHS * 16
# now, behind slots, checks and log-odds, 12 each: contexts' hashes of the question of the void, of a residual; guesses
# in 64ths; features of the two fits; places of the bias; misses of the guesses
ASKED, TOLD, GUESS, FEATURE, CORRECTION, PLACE, MISS = 36, 42, 48, 56, 75, 78, 81


def _fine_levels() -> np.ndarray:
    """uint8[4096]: of v >= 1 four for each binary digit, of the two bits after the leading one."""
    levels = np.zeros(4096, np.uint8)
    for v in range(1, 4096):
        k = v.bit_length() - 1
        levels[v] = 4 * k + ((v >> (k - 2) if k >= 2 else v << (2 - k)) & 3)
    return levels


LEVEL = _fine_levels()


class Whole(NamedTuple):
    """Columns of rows are shifted right by PAD."""

    samples: np.ndarray  # int32[H, W, n]
    order: np.ndarray  # int64[n]: numbers as they are coded
    voids: np.ndarray  # int64[n]: the value that stands for nothing, -1 without one
    coder: np.ndarray  # int64[6]: as of state.Model
    table: np.ndarray  # uint32[INPUTS * slots]: likewise
    weights: np.ndarray  # int32[SETS * INPUTS]
    refine: np.ndarray  # int32[ENERGIES * NODES * CELLS]
    plain: np.ndarray  # int64[PLAIN]
    near: np.ndarray  # int32[n, 3, ROWS, width + 2 PAD]: row y at y mod 4
    misses: np.ndarray  # int32[n, GUESSES, 2, width + 2 PAD]: row y at y mod 2
    gram: np.ndarray  # int64[n, FEATURES, FEATURES]: weighted products of features
    cross: np.ndarray  # int64[n, FEATURES]: with what was to be predicted
    taps: np.ndarray  # int64[n, FEATURES]: 65536 = 1
    gram2: np.ndarray  # int64[n, CORRECTING, CORRECTING]: the same of the correction of the blend
    cross2: np.ndarray  # int64[n, CORRECTING]
    taps2: np.ndarray  # int64[n, CORRECTING]
    bias: np.ndarray  # int64[2, BIASES, 4 * KINDS]: mean error of a context in 1024ths, how many are in it
    now: np.ndarray  # int64[96]: see ASKED ... MISS


def new_whole(samples: np.ndarray, order: np.ndarray, voids: np.ndarray, decoding: bool) -> Whole:
    """Everything at its starting value for ``samples`` int32 (H, W, n), n in 1..4, ``voids`` int64 (n,)."""
    height, width, numbers = samples.shape
    coder = np.zeros(6, np.int64)
    coder[HIGH] = MASK48
    coder[DECODING] = decoding
    curve = np.append(SQUASH[::256], SQUASH[-1]) << 6
    bits = min(max((4 * height * width - 1).bit_length(), 12), 20)
    columns = width + 2 * PAD
    return Whole(
        samples=samples,
        order=order,
        voids=voids,
        coder=coder,
        table=np.zeros(INPUTS << bits, np.uint32),
        weights=np.full(SETS * INPUTS, START_WEIGHT, np.int32),
        refine=np.tile(curve.astype(np.int32), ENERGIES * NODES),
        plain=np.zeros(PLAIN, np.int64),
        near=np.zeros((numbers, 3, ROWS, columns), np.int32),
        misses=np.zeros((numbers, GUESSES, 2, columns), np.int32),
        gram=np.zeros((numbers, FEATURES, FEATURES), np.int64),
        cross=np.zeros((numbers, FEATURES), np.int64),
        taps=np.zeros((numbers, FEATURES), np.int64),
        gram2=np.zeros((numbers, CORRECTING, CORRECTING), np.int64),
        cross2=np.zeros((numbers, CORRECTING), np.int64),
        taps2=np.zeros((numbers, CORRECTING), np.int64),
        bias=np.zeros((2, BIASES, 4 * KINDS), np.int64),
        now=np.zeros(96, np.int64),
    )


assert len(SQUASH[::256]) + 1 == CELLS
