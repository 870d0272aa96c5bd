"""What an encoder takes upon itself, by number. Plain numbers: importing this loads nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """What an encoder takes upon itself, the first for the decoder as well.

    step: in log-SNR, the shortest. L: log2 of the trellis' states. paths: of the polar code's list.
    """

    step: float
    L: int
    paths: int


#: by number, 1 the fastest: 9 takes some three times the network calls of 5
EFFORTS = {
    1: Effort(0.6, 11, 4),
    2: Effort(0.4, 12, 8),
    3: Effort(0.28, 12, 8),
    4: Effort(0.2, 12, 16),
    5: Effort(0.16, 13, 32),
    6: Effort(0.1, 13, 32),
    7: Effort(0.075, 13, 64),
    8: Effort(0.055, 14, 64),
    9: Effort(0.04, 14, 128),
}
EFFORT = 5  #: unless another is asked for
