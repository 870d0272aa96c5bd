"""The ANS stack (Duda 2013): 64-bit state, 32-bit words, 24-bit precision, the wire format of constriction's AnsCoder.

Tables of any alphabet go through constriction; the kernels here work on the same words and state, so that a network's
distributions need not be written out as tables first. A law test reads each with the other.

The stack starts at state 0, which costs no bytes, and from which the first symbol of any table can be popped for ever:
popping too much cannot be seen here. Counts come from the header, :meth:`AnsStack.finish` refuses what is left over,
and the digest of the decoded pixels refuses the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import constriction
import numpy as np

from ..runtime.errors import CorruptStream
from ..runtime.kernels import kernel

PRECISION = 24
TOTAL = 1 << PRECISION
_MASK = np.uint64(TOTAL - 1)
_BITS = np.uint64(PRECISION)
_WORD = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@kernel
def _push_reversed(starts, freqs, state, words):
    at = 0
    for i in range(len(starts) - 1, -1, -1):
        freq, start = np.uint64(freqs[i]), np.uint64(starts[i])
        if state >> np.uint64(40) >= freq:
            words[at] = np.uint32(state & _LOW)
            at += 1
            state >>= _WORD
        state = ((state // freq) << _BITS) | (state % freq + start)
    return state, at


@kernel
def advance(state, at, words, start, freq):
    """State and word position after popping the interval [start, start + freq), which holds ``state & (2^24 - 1)``."""
    state = (state >> _BITS) * np.uint64(freq) + (state & _MASK) - np.uint64(start)
    if state <= _LOW and at > 0:
        at -= 1
        state = (state << _WORD) | np.uint64(words[at])
    return state, at


@kernel
def _pop_uniform(state, at, words, widths, out):
    for i in range(len(out)):
        shift = _BITS - np.uint64(widths[i])
        symbol = (state & _MASK) >> shift
        out[i] = symbol
        state, at = advance(state, at, words, symbol << shift, np.uint64(1) << shift)
    return state, at


class AnsStack:
    """Last in, first out: what is pushed last is popped first."""

    def __init__(self) -> None:
        self.state = np.uint64(0)
        self.words = np.empty(64, np.uint32)
        self.size = 0  #: words in use, besides the state

    def reserve(self, symbols: int) -> None:
        """Make room for the words of this many symbols."""
        need = self.size + symbols + 2
        if need > len(self.words):
            self.words = np.concatenate([self.words[: self.size], np.empty(2 * need - self.size, np.uint32)])

    def push_intervals(self, starts: np.ndarray, freqs: np.ndarray) -> None:
        """Push symbols given as intervals of [0, 2^24), uint32 (n,), last first: they pop in the order given."""
        self.reserve(len(starts))
        state, count = _push_reversed(starts, freqs, self.state, self.words[self.size :])
        self.state, self.size = np.uint64(state), self.size + count

    def push_bits(self, values: np.ndarray, widths: np.ndarray) -> None:
        """Push values (n,), each uniform in [0, 2^width) and costing ``width`` bits; widths (n,) in 0..24."""
        shifts = np.uint32(PRECISION) - widths.astype(np.uint32)
        self.push_intervals(values.astype(np.uint32) << shifts, np.uint32(1) << shifts)

    def pop_bits(self, widths: np.ndarray) -> np.ndarray:
        """Pop uint32 (n,), the mirror of :meth:`push_bits`."""
        out = np.empty(len(widths), np.uint32)
        state, self.size = _pop_uniform(np.uint64(self.state), self.size, self.words, widths.astype(np.uint8), out)
        self.state = np.uint64(state)
        return out

    def pop_by(self, kernel: Callable[..., Any], given: tuple[Any, ...], out: np.ndarray) -> None:
        """Fill ``out``, of any shape and type, by a kernel: ``given``, state, size, words, ``out`` -> state, size."""
        state, self.size = kernel(*given, np.uint64(self.state), self.size, self.words, out)
        self.state = np.uint64(state)

    def push_bytes(self, symbols: np.ndarray) -> None:
        """Push uint8 (n,), each at 8 bits."""
        self.push_bits(symbols, np.full(len(symbols), 8, np.uint8))

    def pop_bytes(self, n: int) -> np.ndarray:
        """Pop uint8 (n,)."""
        return self.pop_bits(np.full(n, 8, np.uint8)).astype(np.uint8)

    def push(self, symbols: np.ndarray, table: np.ndarray) -> None:
        """Push int symbols (n,) of frequency tables uint32 (n, S) or (S,), total 2^24, through constriction."""
        if table.shape[-1] == 1:  # the only symbol costs nothing; constriction has no model for it
            return
        coder = constriction.stream.stack.AnsCoder(self._flat())
        _through_constriction(coder.encode_reverse, np.asarray(symbols, np.int32), table)
        self._load(coder.get_compressed())

    def pop(self, n: int, table: np.ndarray) -> np.ndarray:
        """Pop int32 (n,) symbols of ``table``; the mirror of :meth:`push`."""
        if table.shape[-1] == 1:
            return np.zeros(n, np.int32)
        coder = constriction.stream.stack.AnsCoder(self._flat())
        weights = _weights(table)
        family = constriction.stream.model.Categorical
        if weights.ndim == 1:
            out = coder.decode(family(weights, perfect=False), n)
        else:
            out = coder.decode(family(perfect=False), weights)
        self._load(coder.get_compressed())
        return np.asarray(out)

    def finish(self) -> None:
        """After decoding: the stack must be empty. Raises CorruptStream."""
        if self.size or int(self.state):
            raise CorruptStream("entropy-coded data is left over after the last symbol; the file is damaged")

    def to_bytes(self) -> bytes:
        """Words in little-endian order, the state on top, without trailing zero bytes."""
        return self._flat().astype("<u4").tobytes().rstrip(b"\0")

    @classmethod
    def from_bytes(cls, data: bytes) -> AnsStack:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream for a trailing zero byte, which is never written."""
        if data.endswith(b"\0"):
            raise CorruptStream("entropy-coded data ends in a zero byte; the file is damaged")
        stack = cls()
        stack._load(np.frombuffer(data + bytes(-len(data) % 4), "<u4").astype(np.uint32))
        return stack

    def _flat(self) -> np.ndarray:
        state, top = int(self.state), []
        while state:
            top.append(state & 0xFFFFFFFF)
            state >>= 32
        return np.concatenate([self.words[: self.size], np.array(top, np.uint32)])

    def _load(self, words: np.ndarray) -> None:
        top = words[-2:]
        self.state = np.uint64(sum(int(w) << (32 * i) for i, w in enumerate(top)))
        self.words = np.ascontiguousarray(words)
        self.size = len(words) - len(top)


def _through_constriction(encode: Callable[..., None], symbols: np.ndarray, table: np.ndarray) -> None:
    family, weights = constriction.stream.model.Categorical, _weights(table)
    if weights.ndim == 1:
        encode(symbols, family(weights, perfect=False))
    else:
        encode(symbols, family(perfect=False), weights)


def _weights(table: np.ndarray) -> np.ndarray:
    """Weights from which constriction's fast quantiser makes exactly ``table``: it adds 1 to each of them."""
    return np.asarray(table, np.float64) - 1.0
