"""ARDM (arXiv 2110.02037) in any order: lossless coding, and inpainting, with an order-agnostic model.

The order, its calls and its stages are data (`orders`): sender and receiver walk the same units, each a network call
for some tokens. A unit reveals one digit of its tokens, the only one unless the model upscales depth (ARDM §4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...channel.noise import Key, Purpose, halves
from ...entropy.stack import AnsStack
from ...models.environment import numerics_of
from ...models.protocols import Distributions, MaskedModel, digit_units
from ...runtime.errors import CorruptStream, InputError
from ...runtime.progress import Progress
from .orders import LATTICE, MAX_PLANNED, RANDOM, groups, order

CALLS = 50  #: network calls of a stage, unless the sender asks for others
PASS_TOKENS = 8192  #: tokens, at least, from one preview to the next
PARAMS_BYTES = 3


@dataclass(frozen=True)
class Plan:
    """What sender and receiver agree on: ``kind`` of order, ``calls`` of a stage; the seed stands in the header."""

    kind: int
    calls: int
    seed: int

    def to_bytes(self) -> bytes:
        """PARAMS_BYTES of them: the kind, and the calls as a little-endian number."""
        return bytes([self.kind]) + self.calls.to_bytes(2, "little")

    @classmethod
    def from_bytes(cls, data: bytes, seed: int) -> Plan:
        """Mirror of :meth:`to_bytes`. Raises CorruptStream."""
        plan = cls(data[0] if data else -1, int.from_bytes(data[1:3], "little"), seed)
        if len(data) < PARAMS_BYTES or plan.kind not in (RANDOM, LATTICE) or not 1 <= plan.calls <= MAX_PLANNED:
            raise CorruptStream(f"order parameters {data[:PARAMS_BYTES].hex()} are unknown; the file is damaged")
        return plan


class _Walk:
    """The tokens as they become known."""

    def __init__(self, tokens: np.ndarray, known: np.ndarray, model: MaskedModel, plan: Plan):
        """``tokens`` uint8 (H, W, C), to be filled beyond ``known`` bool (H, W)."""
        self.model = model
        self.digits = digit_units(model.vocabulary, model.branching)
        self.given, self.known = known, known.copy()
        self.told = known.copy()  # of which a digit is known, if not that of the present stage
        self.half = np.zeros(known.shape, np.int64)  # of the range that the digits to come leave open
        self.values = np.where(known[..., None], tokens, 0).astype(np.uint8)
        self.units = self._units(plan)

    def _units(self, plan: Plan) -> list[tuple[int, np.ndarray]]:
        """(stage, places) of every call."""
        H, W = self.given.shape
        places = order(plan.kind, H, W, plan.seed)
        places = places[~self.given.ravel()[places]]
        if not len(places):
            return []
        parts = groups(H * W, plan.calls, self.model.profile, H * W - len(places))
        return [(stage, places[a:b]) for stage in range(len(self.digits)) for a, b in parts]

    def passes(self) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Units by pass."""
        out: list[tuple[int, np.ndarray]] = []
        tokens, left = 0, len(self.units)
        for unit in self.units:
            out.append(unit)
            tokens, left = tokens + len(unit[1]), left - 1
            if tokens >= PASS_TOKENS or not left:
                yield out
                out, tokens = [], 0

    def ask(self, stage: int, places: np.ndarray) -> Distributions:
        with numerics_of(self.model):
            return self.model.ask(self.values, self.known, stage, places)

    def tell(self, stage: int, places: np.ndarray, digits: np.ndarray) -> None:
        """``digits`` of a unit's tokens are known from here on; after its last unit, the next stage begins."""
        flat = self.values.reshape(-1, self.values.shape[2])
        flat[places] += (digits * self.digits[stage]).astype(np.uint8)
        self.known.ravel()[places] = self.told.ravel()[places] = True
        self.half.ravel()[places] = self.digits[stage] // 2
        if self.known.all() and stage + 1 < len(self.digits):
            self.known = self.given.copy()


def arranged(photo: np.ndarray, model: MaskedModel) -> np.ndarray:
    """``photo`` (H, W, C) as the model takes it: colours side by side where each is a token of its own."""
    return photo.reshape(len(photo), -1, 1) if model.separate else photo


def encode(
    tokens: np.ndarray, model: MaskedModel, plan: Plan, *, progress: Progress | None = None
) -> tuple[list[bytes], float]:
    """(passes, ideal bits) of ``tokens`` uint8 (H, W, C). Raises InputError for values beyond the vocabulary."""
    if int(tokens.max()) >= model.vocabulary:
        raise InputError(f"expected tokens below {model.vocabulary} for '{model.name}', found {tokens.max()}")
    walk = _Walk(tokens, np.zeros(tokens.shape[:2], bool), model, plan)
    flat, units = tokens.reshape(-1, tokens.shape[2]), walk.digits
    passes, bits, done = [], 0.0, 0
    for part in walk.passes():
        coded = []
        for stage, places in part:
            digits = flat[places] // units[stage] if stage == 0 else flat[places] % units[stage - 1] // units[stage]
            coded.append(walk.ask(stage, places).intervals(digits))
            walk.tell(stage, places, digits)
            done += 1
            if progress:
                progress(done / len(walk.units))
        stack = AnsStack()
        for starts, freqs in reversed(coded):
            stack.push_intervals(starts, freqs)
            bits += 24.0 * freqs.size - float(np.log2(freqs.astype(np.float64)).sum())
        passes.append(stack.to_bytes())
    return passes, bits


class Receiver:
    """Mirror of :func:`encode`, pass by pass, for tokens of ``shape`` (H, W, C)."""

    def __init__(self, shape: tuple[int, int, int], model: MaskedModel, plan: Plan):
        self._walk = _Walk(np.zeros(shape, np.uint8), np.zeros(shape[:2], bool), model, plan)
        self._left = list(self._walk.passes())
        self.passes = len(self._left)

    @property
    def complete(self) -> bool:
        """Whether every pass was taken."""
        return not self._left

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        """Raises CorruptStream."""
        if self.complete:
            raise CorruptStream(f"more passes than the {self.passes} expected; the file is damaged")
        stack, part = AnsStack.from_bytes(payload), self._left.pop(0)
        for number, (stage, places) in enumerate(part, 1):
            self._walk.tell(stage, places, _popped(self._walk, stage, places, stack))
            if progress:
                progress(number / len(part))
        stack.finish()

    @property
    def known(self) -> np.ndarray:
        """bool (H, W): tokens of which every digit was told."""
        whole: np.ndarray = self._walk.told & (self._walk.half == 0)
        return whole

    def tokens(self) -> np.ndarray:
        """uint8 (H, W, C); of a part of their digits the middle, and tokens without any filled in from the others."""
        walk = self._walk
        if self.complete:
            return walk.values
        middle = np.minimum(walk.values + walk.half[..., None], walk.model.vocabulary - 1)
        return filled(middle.astype(np.uint8), walk.told)


def _popped(walk: _Walk, stage: int, places: np.ndarray, stack: AnsStack) -> np.ndarray:
    digits = walk.ask(stage, places).pop(stack)
    told = walk.values.reshape(-1, walk.values.shape[2])[places].astype(int) + digits.astype(int) * walk.digits[stage]
    if int(told.max()) >= walk.model.vocabulary:
        raise CorruptStream("a token is beyond the model's vocabulary; the file is damaged")
    return digits


def inpaint(
    tokens: np.ndarray, known: np.ndarray, model: MaskedModel, plan: Plan, progress: Progress | None = None
) -> np.ndarray:
    """``tokens`` uint8 (H, W, C) with those outside ``known`` bool (H, W) drawn from the model, by ``plan.seed``.

    Decoding random bits is drawing from the model.
    """
    walk = _Walk(tokens, known, model, plan)
    for number, (stage, places) in enumerate(walk.units):
        bits = halves(Key(plan.seed, number, Purpose.SAMPLES), 2 * places.size * tokens.shape[2] + 4)
        stack = AnsStack.from_bytes(bits.astype("<u2").tobytes() + b"\1")
        walk.tell(stage, places, _popped(walk, stage, places, stack))
        if progress:
            progress((number + 1) / len(walk.units))
    return walk.values


def filled(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``values`` uint8 (H, W, C) with unknown places from the mean of the known ones in ever larger squares."""
    out: np.ndarray = values.copy()
    missing = ~known
    sums = np.where(known[..., None], values, 0).astype(np.int64)
    count = known.astype(np.int64)
    side = 1
    while missing.any() and count.any():
        h, w = sums.shape[:2]
        sums, count = (np.pad(a, ((0, h % 2), (0, w % 2), *((0, 0),) * (a.ndim - 2))) for a in (sums, count))
        sums = sums[::2, ::2] + sums[1::2, ::2] + sums[::2, 1::2] + sums[1::2, 1::2]
        count = count[::2, ::2] + count[1::2, ::2] + count[::2, 1::2] + count[1::2, 1::2]
        side *= 2
        mean = (sums // np.maximum(count, 1)[..., None]).astype(np.uint8)
        y, x = np.nonzero(missing)
        here = count[y // side, x // side] > 0
        out[y[here], x[here]] = mean[y[here] // side, x[here] // side]
        missing[y[here], x[here]] = False
    return out
