"""Where the pixels of the 2x lattice stand: levels, passes. Plain integers; importing this loads nothing.

Apart from `lattice`, which works on pixels, so that what a stream costs can be told without NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator

SIDE_PIXELS = 1024  #: levels of at least this many pixels carry side-information codes
MERGED_PIXELS = 8192  #: levels of at most this many pixels share the first pass
UNKNOWN = (16, 16)  #: side-information codes of the other levels
NO_PAST = (17, 17)  #: those of how well the past tells a level, of a frame that is given none
#: KINDS of the planes of a frame: YUV has U in the place of R, Y of G, V of B
RGB, GREY, YUV = 0, 1, 2

#: first row and column of each phase's target coset on its level: d, e, f of models/lattice_net.py
TARGETS = ((1, 1), (0, 1), (1, 0))


def level_count(height: int, width: int) -> int:
    """Levels until the coarsest grid, of stride 2^levels, is at most 2x2."""
    levels = 0
    while max(-(-height >> levels), -(-width >> levels)) > 2:
        levels += 1
    return levels


def grid_size(height: int, width: int, level: int) -> tuple[int, int]:
    """Rows and columns of the grid of stride 2^level."""
    return -(-height >> level), -(-width >> level)


def pass_units(height: int, width: int) -> list[list[tuple[int, int]]]:
    """The passes, coarse to fine, each a list of (level, phase). The first also holds the coarsest grid."""
    passes: list[list[tuple[int, int]]] = [[]]
    for level in reversed(range(level_count(height, width))):
        rows, columns = grid_size(height, width, level)
        for phase in range(len(TARGETS)):
            if rows * columns <= MERGED_PIXELS:
                passes[0].append((level, phase))
            else:
                passes.append([(level, phase)])
    return passes


def side_levels(height: int, width: int) -> Iterator[int]:
    """Levels, finest first, whose side-information codes are in the stream."""
    for level in range(level_count(height, width)):
        rows, columns = grid_size(height, width, level)
        if rows * columns >= SIDE_PIXELS and min(rows, columns) >= 6:
            yield level
