"""A network's last layer learns from what was coded, sender and receiver alike (SPEC.md §5.1.1, TRACKS.md §7).

A network sees all photographs, a picture is one. After every band of pixels that both know, the gradient of their code
length by the last layer's weights makes a step of Adam (arXiv 1412.6980). Gradients are sums of integers below 2^53,
exact as doubles in whatever order; steps are IEEE operations one by one, so that both ends take the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...entropy.gradients import gradients
from .strips import Strip

BAND = 128  #: pixels after which a step is made, at least, where a row has no more
KEPT, KEPT_SQUARES = 0.9, 0.98  #: of the averages of gradients and of their squares
#: of a lattice network's change by unit of an input code in the parameters' units, in 2^-12: of logits, means,
#: log-scales, couplings
UNITS = (512, 768, 128, 384)
_LEAST = (-(1 << 14), -(1 << 15), 0, -(1 << 13))  # of parameters, and the most: what networks give
_GREATEST = (1 << 14, 1 << 15, 256, 1 << 13)


@dataclass(frozen=True)
class Rule:
    """How a last layer learns.

    units float64 (outputs,): of a change, by unit of an input, in 2^-``shift`` of a parameter. least, greatest float64
    (outputs,): limits of parameters. bias: the input that the bias of a change stands for. rate: of a step, most: of a
    change, both in ``units``. floor: what is added to the root of a mean square, in gradients' units.
    """

    units: np.ndarray
    least: np.ndarray
    greatest: np.ndarray
    bias: int
    shift: int
    rate: float
    most: float
    floor: float

    @classmethod
    def of_lattice(cls, K: int) -> Rule:
        """Of 10K parameters of a pixel."""
        return cls(_by_kind(UNITS, K), _by_kind(_LEAST, K), _by_kind(_GREATEST, K), 32, 12, 0.025, 128.0, 1.0)


def band_rows(width: int) -> int:
    """Rows of a band where a row has so many pixels."""
    return max(1, BAND // max(1, width))


def _by_kind(values: tuple[int, ...], K: int) -> np.ndarray:
    """float64 (10 K,) of what holds for logits, means, log-scales and couplings."""
    return np.repeat(np.array(values, np.float64), [K, 3 * K, 3 * K, 3 * K])


class Layer:
    """What a last layer has learned: a change of the parameters that is linear in its input."""

    def __init__(self, inputs: int, rule: Rule):
        self.rule, shape = rule, (inputs + 1, len(rule.units))
        self._change, self._mean, self._square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._weight = np.zeros(shape)  # whole numbers
        self._left, self._left_squares = 1.0, 1.0

    def params(self, params: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int32 (n, rows, K), inputs) of what the network gives ``params`` int32 (n, rows, K).

        codes: (n, C), whole numbers, what the last layer is given of these.
        """
        n, rule = len(codes), self.rule
        inputs = np.empty((n, codes.shape[1] + 1))
        inputs[:, :-1], inputs[:, -1] = codes, rule.bias
        half = 1 << rule.shift - 1
        moved = np.floor((inputs @ self._weight + half) / (1 << rule.shift)) + params.reshape(n, -1)
        return np.clip(moved, rule.least, rule.greatest).astype(np.int32).reshape(params.shape), inputs

    def learn(self, inputs: np.ndarray, gradients: np.ndarray) -> None:
        """A step, from what :meth:`params` gave of a band and the gradients int64 (n, rows, K) by its parameters."""
        rule, found = self.rule, inputs.T @ gradients.reshape(len(inputs), -1).astype(np.float64)
        self._left *= KEPT
        self._left_squares *= KEPT_SQUARES
        self._mean = KEPT * self._mean + (1 - KEPT) * found
        self._square = KEPT_SQUARES * self._square + (1 - KEPT_SQUARES) * (found * found)
        mean, square = self._mean / (1 - self._left), self._square / (1 - self._left_squares)
        step = rule.rate * (mean / (np.sqrt(square) + rule.floor))
        self._change = np.clip(self._change - step, -rule.most, rule.most)
        self._weight = np.rint(self._change * rule.units)


class Learned:
    """What the last layers have learned from a stream so far."""

    def __init__(self, head: tuple[int, int, int]):
        """``head``: (phases, outputs 10K, inputs C) of the last layers."""
        phases, outputs, inputs = head
        self._layers = [Layer(inputs, Rule.of_lattice(outputs // 10)) for _ in range(phases)]

    def told(
        self, strip: Strip, rows: int, params: np.ndarray, codes: np.ndarray
    ) -> Iterator[tuple[Strip, np.ndarray]]:
        """(pixels, parameters int32 (n, 10, K)) of bands of so many ``rows``, from which it learns in turn.

        Of a band the pixels are there when the next is asked for. params: int32 (n, 10, K), codes (n, C) of the strip.
        """
        layer = self._layers[strip.unit[1]]
        for places, band in strip.bands(rows):
            if places.stop > places.start:
                found, inputs = layer.params(params[places], codes[places])
                yield band, found
                layer.learn(inputs, gradients(found, band.sums, band.pixels()))
