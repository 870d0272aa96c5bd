"""What is known of agents that move in a plane before their next frame, in integers: the same on any machine.

Normative description: bitstream_spec/TRACKS.md. Positions are whole numbers, cells; displacements d_k are theirs from
frame to frame, k = 1 the last. A linear prediction of LAGS of them gives the next one, and its errors a running scale
sigma for each agent, which all that a network is told is measured by: so one network serves any step and rate.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np

from ...entropy.logarithm import LOGARITHMS, log2
from ...runtime.kernels import inlined, kernel

LAGS = 12  #: displacements that predict the next
ERRORS = 8  #: last errors of the prediction that a network is told
CELL = 64  #: units of a cell of predictions and errors
UNIT = 64  #: integers per 1.0 of what a network is told
COEFFICIENT = 1 << 12  #: units of 1.0 of a coefficient
FEATURES = 2 * ERRORS + 2 * (LAGS - 1) + 11  #: numbers that a network is told of an agent
RELATIVE = 5  #: and of another agent, as the first sees it: where it is, how it moves, how far away
SCALE = 1024  #: units of a cell of scales
FLOOR, FASTER = 384, 512  #: scales and speeds are no less than these
MOST = 1 << 40  #: displacements are cut to this
_FURTHEST = 1023  #: of what a network is told
_FINE = 4096  #: scales below which the place of a prediction within its cell is told


@inlined
def compressed(x, scale, table):
    """sign(x) log2(1 + |x| / scale) in UNIT, x in CELL, scale in SCALE."""
    z = (min(abs(x), np.int64(MOST)) << 10) // scale
    c = min(log2(64 + z, table) - 384, np.int64(_FURTHEST))
    return -c if x < 0 else c


@inlined
def _paced(values, interval, pace):
    """``values`` of displacements over ``pace`` frames, as over ``interval`` frames."""
    for f in range(2):
        for k in range(values.shape[1]):
            values[f, k] = min(max(values[f, k] * interval // pace, np.int64(-(MOST << 6))), np.int64(MOST << 6))


@kernel
def look(  # noqa: PLR0917
    moves, errors, fast, slow, count, away, pace, common, here, coefficients, table, features, predicted, sigma
):
    """What is told of each agent that is ``here``: ``features``, ``predicted`` displacements, ``sigma``."""
    for a in range(len(here)):
        if not here[a]:
            continue
        if away[a] + 1 != pace[a] and count[a] > 0:  # who came last has the scale of all, at whatever pace
            _paced(moves[a], away[a] + 1, pace[a])
            _paced(errors[a], away[a] + 1, pace[a])
            fast[a] = max(min(fast[a], np.int64(MOST)) * (away[a] + 1) // pace[a], np.int64(1))
            slow[a] = max(min(slow[a], np.int64(MOST)) * (away[a] + 1) // pace[a], np.int64(1))
        pace[a] = away[a] + 1
        s = max(fast[a], np.int64(FLOOR))
        sigma[a] = s
        at = 0
        for f in range(2):
            total = np.int64(0)
            for k in range(LAGS):
                total += coefficients[k] * moves[a, f, k]
            predicted[a, f] = total >> 6
            for k in range(ERRORS):
                features[a, at] = compressed(errors[a, f, k], s, table)
                at += 1
            last = moves[a, f, 0]
            for k in range(1, LAGS):
                features[a, at] = compressed((moves[a, f, k] - last) << 5, s, table)
                at += 1
            features[a, at] = compressed(predicted[a, f] - (last << 6), s, table)
            features[a, at + 1] = compressed(last << 6, s, table)
            features[a, at + 2] = ((predicted[a, f] + 32) & 63) - 32 if s < _FINE else 0
            at += 3
        features[a, at] = (log2(s, table) - 640) >> 1
        features[a, at + 1] = (log2(max(slow[a], np.int64(FLOOR)), table) - 640) >> 1
        features[a, at + 2] = compressed((abs(moves[a, 0, 0]) + abs(moves[a, 1, 0])) << 6, s, table)
        features[a, at + 3] = min(count[a], LAGS) * 16
        features[a, at + 4] = compressed(common[1] >> 4, s, table)


@kernel
def relate(last, moves, speed, table, relative):
    """What each agent is told of each other, ``relative`` int64 (N, N, RELATIVE)."""
    for i in range(len(last)):
        for j in range(len(last)):
            away = np.int64(0)
            for f in range(2):
                place = min(max(last[j, f] - last[i, f], np.int64(-MOST)), np.int64(MOST))
                away += abs(place)
                relative[i, j, f] = compressed(place << 6, speed, table)
                relative[i, j, 2 + f] = compressed((moves[j, f] - moves[i, f]) << 8, speed, table)
            relative[i, j, 4] = compressed(away << 6, speed, table)


@kernel
def tell(values, here, longest, last, moves, errors, fast, slow, count, away, pace, predicted, common):  # noqa: C901, PLR0917
    """``values`` of the agents that are ``here`` are known; common: scale and speed of all."""
    scales, speeds, number = np.int64(0), np.int64(0), np.int64(0)
    for a in range(len(here)):
        if not here[a]:
            away[a] += 1
            if away[a] > longest:
                count[a] = -1
            continue
        away[a] = 0
        if count[a] < 0:  # it came
            for f in range(2):
                last[a, f] = values[a, f]
                for k in range(LAGS):
                    moves[a, f, k] = 0
                for k in range(ERRORS):
                    errors[a, f, k] = 0
            fast[a] = slow[a] = common[0]
            count[a], pace[a] = 0, 1
            continue
        missed, speed = np.int64(0), np.int64(0)
        for f in range(2):
            d = min(max(values[a, f] - last[a, f], np.int64(-MOST)), np.int64(MOST))
            e = (d << 6) - predicted[a, f]
            for k in range(LAGS - 1, 0, -1):
                moves[a, f, k] = moves[a, f, k - 1]
            for k in range(ERRORS - 1, 0, -1):
                errors[a, f, k] = errors[a, f, k - 1]
            moves[a, f, 0], errors[a, f, 0] = d, e
            last[a, f] = values[a, f]
            missed += abs(e)
            speed += abs(d)
        if count[a] == 0:  # as if it had always moved so
            for f in range(2):
                for k in range(1, LAGS):
                    moves[a, f, k] = moves[a, f, 0]
                errors[a, f, 0] = 0
        else:
            missed = min(missed << 3, 8 * fast[a] + 4 * SCALE)
            fast[a] += (missed - fast[a]) >> 3
            slow[a] += (missed - slow[a]) >> 5
            scales += fast[a]
            speeds += min(speed << 9, 8 * common[1] + 4 * SCALE)
            number += 1
        count[a] = min(count[a] + 1, LAGS)
    if number:
        common[0] += (scales // number - common[0]) >> 3
        common[1] += (speeds // number - common[1]) >> 4


@kernel
def _logs(sigma, table):
    out = np.empty(len(sigma), np.int64)
    for a in range(len(sigma)):
        out[a] = log2(sigma[a], table) - 640
    return out


def logs_of(sigma: np.ndarray) -> np.ndarray:
    """int64 (A,): 64 log2 of scales int64 (A,), 1/SCALE cell, in cells."""
    found: np.ndarray = _logs(sigma, LOGARITHMS)
    return found


class Past:
    """Of A agents in a plane.

    last int64 (A, 2): positions. moves int64 (A, 2, LAGS), errors int64 (A, 2, ERRORS): the last first, in cells and
    1/64 of one. fast, slow int64 (A,): how far predictions missed, 1/1024 cell. count int64 (A,): displacements that
    are known, -1 of who is not known. away, pace int64 (A,): for how many frames each was not there, and over how many
    frames its displacements are. common int64 (2,): scale and speed of all.
    """

    def __init__(self, agents: int, coefficients: np.ndarray, scale: int, speed: int, longest: int = 0):
        """coefficients: int64 (LAGS,). scale, speed: of who comes first, 1/1024 cell.

        longest: frames for which an agent may be away and is still known when it comes back.
        """
        self.coefficients, self.longest = coefficients, longest
        self.last = np.zeros((agents, 2), np.int64)
        self.moves = np.zeros((agents, 2, LAGS), np.int64)
        self.errors = np.zeros((agents, 2, ERRORS), np.int64)
        self.fast, self.slow = np.full((2, agents), scale, np.int64)
        self.count = np.full(agents, -1, np.int64)
        self.away, self.pace = np.zeros(agents, np.int64), np.ones(agents, np.int64)
        self.common = np.array([scale, speed], np.int64)
        self.features = np.zeros((agents, FEATURES), np.int32)
        self.predicted = np.zeros((agents, 2), np.int64)
        self.sigma = np.full(agents, FLOOR, np.int64)

    def __repr__(self) -> str:
        """Who is there, and a checksum that tells two pasts apart."""
        arrays = (self.last, self.moves, self.errors, self.fast, self.slow, self.common, self.features)
        told = crc32(b"".join(one.tobytes() for one in arrays))
        return f"<Past of agents {np.flatnonzero(self.count >= 0).tolist()}, {told:08x}>"

    def known(self, here: np.ndarray) -> np.ndarray:
        """bool (A,): those of ``here`` that were there before."""
        found: np.ndarray = here & (self.count >= 0)
        return found

    def look(self, known: np.ndarray) -> None:
        """Features, predicted displacements and scales of those ``known`` bool (A,)."""
        look(
            self.moves, self.errors, self.fast, self.slow, self.count, self.away, self.pace, self.common, known,
            self.coefficients, LOGARITHMS, self.features, self.predicted, self.sigma,
        )  # fmt: skip

    @property
    def logs(self) -> np.ndarray:
        """int64 (A,): 64 log2 of scales in cells, as of :meth:`look`."""
        return logs_of(self.sigma)

    def relative(self, known: np.ndarray) -> np.ndarray:
        """int64 (N, N, RELATIVE) of the agents ``known`` int (N,): the second as the first sees it."""
        out = np.empty((len(known), len(known), RELATIVE), np.int64)
        speed = max(self.common[1], np.int64(FASTER))
        relate(self.last[known], np.ascontiguousarray(self.moves[known, :, 0]), speed, LOGARITHMS, out)
        return out

    def tell(self, values: np.ndarray, here: np.ndarray) -> None:
        """``values`` int64 (A, 2) of those ``here`` bool (A,) are known from here on."""
        tell(
            values, here, self.longest, self.last, self.moves, self.errors, self.fast, self.slow, self.count,
            self.away, self.pace, self.predicted, self.common,
        )  # fmt: skip
