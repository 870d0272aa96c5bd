"""ARDM over the 2x lattice: the network's distributions of phase after phase, sender and receiver in mirrored order.

An encoder collects intervals and pushes them in reverse, since the entropy coder is a stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...entropy.logistic import intervals, pop_pixels
from ...entropy.stack import AnsStack
from ...entropy.statistics import COLOURS, DIFFERENCES, LEVELS, Statistics
from ...models.lattice.geometry import TARGETS, UNKNOWN, level_count, pass_units, side_levels
from ...models.lattice.phases import side_information
from ...models.lattice.walk import THREADS, Walk, interpolated, target_of
from ...models.protocols import PhaseModel, Tunable
from ...runtime.errors import CorruptStream, ModelMismatch
from ...runtime.progress import Progress
from ...runtime.progress import part as part_of
from .cost import LATTICE, LEARNED, REFINED
from .learning import Learned, band_rows
from .strips import STRIP_POSITIONS, Answer, Phases, Strip, plainly, worth

REFINED_PIXELS = 64 * 64  #: of smaller pictures tables save less than they take
#: shares of what another coder takes in all, beyond which the levels above 1, and above 0, leave the others no hope:
#: of photographs they take 0.1 and 0.3 of what the network takes, of graphics that are not for it more
HOPELESS = {1: 0.35, 0: 0.6}
LEARNED_PIXELS = 2**14  #: in pictures up to that there is too little to learn from
JUDGED_PIXELS = 2**15  #: from which on all but the last level tell which tables to take
TRIED = (0, LEVELS, DIFFERENCES, COLOURS, LEVELS | COLOURS)  #: tables of statistics that the encoder chooses among
REFINED_WORTH = 0.997  #: a table takes time, so it has to save something
REFINED_BYTES = 40  #: that the longer form of a stream may take

_Intervals = tuple[np.ndarray, np.ndarray]
_Given = tuple[np.ndarray, np.ndarray, np.ndarray]  # parameters, sums and pixels
_Prepared = tuple[_Given, _Intervals | None]


class Lattice:
    """One picture's way over the lattice, the same for sender and receiver."""

    def __init__(
        self,
        photo: np.ndarray,
        phases: Phases,
        bias: Callable[[int, int], np.ndarray],
        past: Sequence[np.ndarray | None] = (),
        learned: Learned | None = None,
    ):
        """``bias`` of phase and level; ``past``: known pictures (`models.lattice.walk.Walk`).

        learned: where the last layers learn, for which the network has to be asked for its codes.
        """
        self.photo, self.phases, self.bias, self.walk = photo, phases, bias, Walk(photo, past)
        self.learned = learned

    def run(
        self,
        units: list[tuple[int, int]],
        prepare: Callable[[Strip, np.ndarray], Any],
        code: Callable[[Strip, Any], None],
        progress: Progress | None = None,
    ) -> None:
        """Code a pass: ``prepare`` of each strip and its parameters, int32 (n, 10, K), in the workers, then ``code``.

        That has the strip and what ``prepare`` made, in order. Where the last layers learn, both are of a band at a
        time, whose pixels have to be there when ``code`` returns.
        """
        done, total = 0, max(1, _pixels(self.photo, units))
        for level, phase in units:
            target, base = self.walk.enter(level, phase)
            bias, rows = self.bias(phase, level), band_rows(self.walk.known[0].shape[1]) if self.learned else 1
            own = target, base, (level, phase)

            def strip(y0: int, y1: int, answer: Answer, own: Any = own) -> Any:
                target, base, unit = own
                part = Strip(target[y0:y1], base[y0:y1], unit, y0)
                params, codes = part.params(answer), part.codes(answer)
                return part, params if self.learned else prepare(part, params), codes

            for part, made, codes in self.phases.run(phase, self.walk, bias, strip, rows):
                if self.learned:
                    for band, params in self.learned.told(part, rows, made, codes):
                        code(band, prepare(band, params))
                else:
                    code(part, made)
            self.walk.leave(target, base)
            done += target[..., 0].size
            if progress:
                progress(done / total)


def _of_photograph(
    photo: np.ndarray, model: PhaseModel, codes: dict[int, tuple[int, int]], positions: int, threads: int, learned: bool
) -> Lattice:
    """Raises ModelMismatch for a model that should learn and cannot."""
    H, W = photo.shape[:2]
    if learned and not isinstance(model, Tunable):
        raise ModelMismatch(f"the stream's network learns, which model '{model.name}' does not; the file is damaged")
    strip = model.strip_and_codes if learned and isinstance(model, Tunable) else plainly(model.strip)
    layers = Learned(model.head_shape) if learned and isinstance(model, Tunable) else None
    phases = Phases(model.halo, strip, positions, worth(threads, H, W))
    return Lattice(photo, phases, lambda phase, level: model.bias(phase, level, codes.get(level, UNKNOWN)), (), layers)


def _pixels(photo: np.ndarray, units: list[tuple[int, int]]) -> int:
    """That these units code."""
    return sum(target_of(photo, *unit)[..., 0].size for unit in units)


def encode(
    photo: np.ndarray,
    model: PhaseModel,
    progress: Progress | None = None,
    positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
    tables: int | None = None,
    learned: bool | None = None,
    otherwise: Callable[[], int] | None = None,
) -> tuple[bytes, list[bytes]] | None:
    """Parameters and passes of ``photo`` uint8 (H, W, 1 or 3); ``tables`` forces those of statistics of values.

    learned: whether the network learns from what was coded; None for whether that serves. otherwise: gives the bytes
    that another coder takes, for which the network is given up, with nothing, as soon as it has no hope to take fewer.
    """
    H, W, C = photo.shape
    if learned is None:
        learned = isinstance(model, Tunable) and H * W > LEARNED_PIXELS
    codes = side_information(photo)
    lattice, plan = _of_photograph(photo, model, codes, positions, threads, learned), pass_units(H, W)
    done, total = 0, max(1, sum(_pixels(photo, units) for units in plan))
    tried = TRIED if H * W >= REFINED_PIXELS else TRIED[:1]
    fitting = tried if C == 3 else tuple(t for t in tried if t in (0, LEVELS))
    ways = [_Coded(t, photo) for t in (fitting if tables is None else (tables,))]
    for units in plan:
        if otherwise is not None and units and units[0] in ((1, 0), (0, 0)):
            spent = min(sum(map(len, way.passes)) for way in ways)
            if spent > HOPELESS[units[0][0]] * otherwise():
                return None
        if H * W >= JUDGED_PIXELS and units[0] in ((1, 0), (0, 0)):  # three ways go into level 1, one into level 0
            ways = sorted(ways, key=_Coded.price)[: 2 * units[0][0] + 1]
        plain = any(not way.tables for way in ways)

        def prepare(strip: Strip, params: np.ndarray, plain: bool = plain) -> _Prepared:
            given = params, strip.sums, strip.pixels()
            return given, intervals(*given) if plain else None

        def code(strip: Strip, prepared: _Prepared, ways: list[_Coded] = ways) -> None:
            for way in ways:
                way.add(*prepared)

        size = _pixels(photo, units)
        lattice.run(units, prepare, code, part_of(progress, done, size, total))
        done += size
        for way in ways:
            way.end_pass()
    way = min(ways, key=_Coded.price)
    refined = bytes([REFINED, way.tables]) if way.tables else bytes([LATTICE])
    method = bytes([LEARNED, way.tables]) if learned else refined
    return method + bytes(luma << 4 | chroma for luma, chroma in codes.values()), way.passes


class _Coded:
    """Passes of a picture under some tables of statistics."""

    def __init__(self, tables: int, photo: np.ndarray):
        self.tables, self.photo = tables, photo
        self.statistics = Statistics(tables)
        self.pending: list[_Intervals] = []
        self.passes: list[bytes] = []

    def add(self, given: _Given, plain: _Intervals | None) -> None:
        """Take a strip: parameters, sums and pixels, and the intervals without tables, where any way has none."""
        if self.tables:
            self.pending.append(self.statistics.intervals(*given))
        else:
            assert plain is not None
            self.pending.append(plain)

    def end_pass(self) -> None:
        stack = AnsStack()
        for starts, freqs in reversed(self.pending):
            stack.push_intervals(starts.ravel(), freqs.ravel())
        if not self.passes:
            stride = 1 << level_count(*self.photo.shape[:2])
            stack.push_bytes(self.photo[::stride, ::stride].ravel())
        self.passes.append(stack.to_bytes())
        self.pending = []

    def price(self) -> float:
        size = sum(map(len, self.passes))
        return size / REFINED_WORTH ** self.tables.bit_count() + bool(self.tables) * REFINED_BYTES


class Receiver:
    """Mirror of :func:`encode`: fills ``photo`` uint8 (H, W, C) pass by pass."""

    def __init__(self, params: bytes, photo: np.ndarray, model: PhaseModel, positions: int, threads: int):
        H, W = photo.shape[:2]
        levels, learned = list(side_levels(H, W)), params[0] == LEARNED
        told = params[0] in (REFINED, LEARNED)
        tables = params[1] if told and len(params) > 1 else 0
        fits = tables < 8 and (photo.shape[2] == 3 or tables in (0, LEVELS))
        if not fits or (params[0] == REFINED and not tables):
            raise CorruptStream(f"tables {tables} of statistics, {photo.shape[2]} planes; the file is damaged")
        sides = params[2:] if told else params[1:]
        if len(sides) != len(levels):
            raise CorruptStream(f"{len(sides)} side-information codes where {len(levels)} are expected")
        codes = {level: (byte >> 4, byte & 15) for level, byte in zip(levels, sides, strict=True)}
        self.statistics = Statistics(tables) if tables else None
        self.lattice = _of_photograph(photo, model, codes, positions, threads, learned)
        self.passes, self.taken = pass_units(H, W), 0

    def take(self, payload: bytes, progress: Progress | None) -> int:
        """The stride of the grid that is known from here on. Raises CorruptStream."""
        photo = self.lattice.photo
        stack, units = AnsStack.from_bytes(payload), self.passes[self.taken]
        stride = 1 << level_count(*photo.shape[:2])
        if not self.taken:
            coarsest = photo[::stride, ::stride]
            coarsest[...] = stack.pop_bytes(coarsest.size).reshape(coarsest.shape)
        pop = self.statistics.pop if self.statistics else pop_pixels

        def code(strip: Strip, params: np.ndarray) -> None:
            if len(params):
                strip.put(pop(stack, params, strip.sums))

        self.lattice.run(units, lambda strip, params: params, code, progress)
        stack.finish()
        self.taken += 1
        for level, phase in units[-1:]:
            stride = 1 << level if phase == len(TARGETS) - 1 else 2 << level
        return stride

    def needed(self, times: float) -> int:
        """Passes until two pixels are known for each of a picture ``times`` smaller a side: a grid and its middles.

        Means over what is interpolated between the pixels of a grid alone are several dB further off.
        """
        for number, units in enumerate(self.passes, 1):
            for level, phase in units[-1:]:
                if (phase + 2) * times**2 >= 8 * 4**level:
                    return number
        return len(self.passes)

    def preview(self) -> np.ndarray:
        """The picture, uint8 (H, W, C); what missing passes would tell is interpolated."""
        left = [unit for units in self.passes[self.taken :] for unit in units]
        if not left:
            return self.lattice.photo
        walk = self.lattice.walk.copy()
        for level, phase in left:
            target, base = walk.enter(level, phase)
            target[...] = interpolated(base[: target.shape[0], : target.shape[1]])
            walk.leave(target, base)
        return walk.image
