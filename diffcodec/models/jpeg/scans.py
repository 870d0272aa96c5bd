"""The entropy-coded data of JPEG scans: Huffman codes into quantised coefficients (ITU-T T.81, annexes F and G).

Bytes are hostile: a block's place comes of the frame's sizes alone, a position among its 64 coefficients is checked
before it is used, and bits beyond the end of a restart interval are found missing a few bytes behind it at the latest,
where `PAD` zeros still stand.
"""

from __future__ import annotations

import numpy as np

from ...runtime.kernels import kernel, woven

PAD = 32  #: zero bytes behind the coded data: more than is read before an end is noticed

SEQUENTIAL, DC_FIRST, DC_REFINED, AC_FIRST, AC_REFINED = range(5)  #: what a scan codes of a block
#: of a scan: one of these, first and last coefficient, low bit, MCUs a row, MCUs, MCUs between restarts
MODE, FIRST, LAST, LOW, ACROSS, TOTAL, INTERVAL = range(7)
OFFSET, STRIDE, WIDE, HIGH = range(4)  #: of a component: its first block, blocks a row, blocks of it in an MCU

#: place in a block's 8x8, row after row, of each coefficient in zigzag order
NATURAL = np.array([8 * v + u for s in range(15) for v, u in sorted(
    ((v, s - v) for v in range(max(0, s - 7), min(s, 7) + 1)), reverse=s % 2 == 0)])  # fmt: skip

_POSITION, _END, _RUN, _BEFORE = range(4)  # of the state, in bits; blocks left of an end-of-band run; then last DCs
_MOST = 32767
_I64 = np.int64


def lookup(counts: bytes, symbols: bytes) -> np.ndarray:
    """What the next 16 bits say, uint16 (65536,): 256 times the length of their code, plus its symbol; 0: no code.

    ``counts``: how many codes there are of 1 to 16 bits. Raises ValueError for more codes than there can be.
    """
    lengths = np.repeat(np.arange(1, 17), np.frombuffer(counts, np.uint8))
    table = np.zeros(1 << 16, np.uint16)
    filled = np.repeat(lengths << 8 | np.frombuffer(symbols, np.uint8), 1 << (16 - lengths))
    if len(filled) >= len(table):  # of nothing but ones no code may be
        raise ValueError("more codes than there can be")
    table[: len(filled)] = filled
    return table


@kernel
def unstuff(data, coded, ends):
    """``data`` of a scan without fill bytes, stuffed zeros and restart markers into ``coded``; both uint8.

    Where restart intervals end goes into ``ends`` int64. Their number, -1 where a marker is not the one that follows.
    """
    i, written, count = 0, 0, 0
    while i < data.size:
        byte = data[i]
        i += 1
        if byte == 255:
            while i < data.size and data[i] == 255:
                i += 1
            if i == data.size:
                break
            following = _I64(data[i])
            i += 1
            if following:  # a restart marker: all others end a scan
                if following - 0xD0 != count & 7:
                    return -1
                ends[count] = written
                count += 1
                continue
        coded[written] = byte
        written += 1
    ends[count] = written
    return count + 1


@kernel
def decode(store, coded, ends, tables, layout, scan):
    """A scan's coefficients into ``store`` int16 (blocks, 64): the number of MCUs that could be read.

    coded: uint8, as `unstuff` leaves it, and `PAD` zeros. ends: int64 (intervals,), bytes. tables: uint16
    (components, 2, 65536), `lookup` of DC and AC. layout: int64 (components, 4). scan: int64 (7,).
    """
    state = np.zeros(8, np.int64)
    for mcu in range(scan[TOTAL]):
        if mcu % scan[INTERVAL] == 0:
            interval = mcu // scan[INTERVAL]
            state[:] = 0
            if interval:
                state[_POSITION] = 8 * ends[interval - 1]
            state[_END] = 8 * ends[interval]
        row, column = mcu // scan[ACROSS], mcu % scan[ACROSS]
        for c in range(layout.shape[0]):
            wide, high = layout[c, WIDE], layout[c, HIGH]
            for k in range(wide * high):
                y, x = row * high + k // wide, column * wide + k % wide
                block = store[layout[c, OFFSET] + y * layout[c, STRIDE] + x]
                if not _read(block, state, coded, tables[c], scan, c):
                    return mcu
    return scan[TOTAL]


@kernel
def _read(block, state, coded, tables, scan, c):
    """Whether what the scan codes of a block could be read."""
    mode = scan[MODE]
    if mode == SEQUENTIAL:
        good = _dc_first(block, state, coded, tables[0], 0, c) and _sequential(block, state, coded, tables[1])
    elif mode == DC_FIRST:
        good = _dc_first(block, state, coded, tables[0], scan[LOW], c)
    elif mode == DC_REFINED:
        block[0] |= _bits(state, coded, 1) << scan[LOW]
        good = True
    elif mode == AC_FIRST:
        good = _ac_first(block, state, coded, tables[1], scan)
    else:
        good = _ac_refined(block, state, coded, tables[1], scan)
    return good and state[_POSITION] <= state[_END]


@woven
def _bits(state, coded, n):
    """The next ``n`` bits, 16 at most, as a number."""
    at = state[_POSITION]
    i = at >> 3
    window = _I64(coded[i]) << 16 | _I64(coded[i + 1]) << 8 | _I64(coded[i + 2])
    state[_POSITION] = at + n
    return (window >> (24 - (at & 7) - n)) & ((_I64(1) << n) - 1)


@woven
def _value(state, coded, n):
    """A value of ``n`` bits, of either sign."""
    value = _bits(state, coded, n)
    return value if 2 * value >= _I64(1) << n else value - (_I64(1) << n) + 1


@woven
def _symbol(state, coded, table):
    """The symbol of the next code; -1 where there is none, or the bits have ended."""
    found = _I64(table[_bits(state, coded, 16)])
    state[_POSITION] += (found >> 8) - 16
    if found == 0 or state[_POSITION] > state[_END]:
        return _I64(-1)
    return found & 255


@woven
def _dc_first(block, state, coded, table, low, c):
    size = _symbol(state, coded, table)
    if size < 0 or size > 15:
        return False
    state[_BEFORE + c] += _value(state, coded, size)
    level = state[_BEFORE + c] << low
    if abs(level) > _MOST:
        return False
    block[0] = level
    return True


@woven
def _sequential(block, state, coded, table):
    k = 1
    while k < 64:
        symbol = _symbol(state, coded, table)
        if symbol < 0:
            return False
        run, size = symbol >> 4, symbol & 15
        if size == 0:
            if run != 15:
                break
            k += 16
            continue
        k += run
        if k > 63:
            return False
        block[NATURAL[k]] = _value(state, coded, size)
        k += 1
    return True


@woven
def _ac_first(block, state, coded, table, scan):
    if state[_RUN]:
        state[_RUN] -= 1
        return True
    k = scan[FIRST]
    while k <= scan[LAST]:
        symbol = _symbol(state, coded, table)
        if symbol < 0:
            return False
        run, size = symbol >> 4, symbol & 15
        if size == 0:
            if run != 15:
                state[_RUN] = (_I64(1) << run) + _bits(state, coded, run) - 1
                break
            k += 16
            continue
        k += run
        level = _value(state, coded, size) << scan[LOW]
        if k > scan[LAST] or abs(level) > _MOST:
            return False
        block[NATURAL[k]] = level
        k += 1
    return True


@woven
def _ac_refined(block, state, coded, table, scan):
    k = scan[FIRST]
    while k <= scan[LAST] and state[_RUN] == 0:
        symbol = _symbol(state, coded, table)
        if symbol < 0 or symbol & 15 > 1:
            return False
        run = symbol >> 4
        if symbol & 15 == 0 and run != 15:
            state[_RUN] = (_I64(1) << run) + _bits(state, coded, run)
            break
        level = _I64(0)
        if symbol & 15:
            level = (2 * _bits(state, coded, 1) - 1) << scan[LOW]
        k = _corrected(block, state, coded, scan, k, run)
        if k > scan[LAST]:
            return level == 0  # a value behind the last one is none
        block[NATURAL[k]] = level
        k += 1
    if state[_RUN]:
        _corrected(block, state, coded, scan, k, 64)
        state[_RUN] -= 1
    return True


@woven
def _corrected(block, state, coded, scan, k, zeros):
    """A bit more of each level that is known already, from ``k`` on; the place behind so many zeros."""
    while k <= scan[LAST]:
        place = NATURAL[k]
        if block[place]:
            bit = _bits(state, coded, 1) << scan[LOW]
            block[place] += bit if block[place] > 0 else -bit
        elif zeros == 0:
            break
        else:
            zeros -= 1
        k += 1
    return k
