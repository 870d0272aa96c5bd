"""ARDM over the 2x lattice: the network's distributions of phase after phase, sender and receiver in mirrored order.

An encoder collects intervals and pushes them in reverse, since the entropy coder is a stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...entropy.logistic import intervals, pop_pixels
from ...entropy.stack import AnsStack
from ...entropy.statistics import COLOURS, DIFFERENCES, LEVELS, Statistics
from ...models.lattice.geometry import TARGETS, UNKNOWN, level_count, pass_units, side_levels
from ...models.lattice.phases import phase_input, side_information
from ...models.lattice.walk import THREADS, Walk, interpolated, target_of
from ...models.protocols import PhaseModel, single_threaded
from ...runtime import threads as threads_of_call
from ...runtime.errors import CorruptStream
from ...runtime.progress import Progress
from ...runtime.progress import part as part_of
from .cost import LATTICE, REFINED

STRIP_ROWS = 32  #: of a strip: few rows make much of their context twice, many leave threads without work
STRIP_POSITIONS = 2**16  #: at most: some 130 MB of activations
FEWEST_POSITIONS = 2**11  #: of a strip of more rows, where a picture is narrow
SMALL_PIXELS = 64 * 64  #: up to which handing work to other threads takes longer than the work
REFINED_PIXELS = 64 * 64  #: of smaller pictures tables save less than they take
JUDGED_PIXELS = 2**15  #: from which on all but the last level tell which tables to take
TRIED = (0, LEVELS, DIFFERENCES, COLOURS, LEVELS | COLOURS)  #: tables of statistics that the encoder chooses among
REFINED_WORTH = 0.997  #: a table takes time, so it has to save something
REFINED_BYTES = 40  #: that the longer form of a stream may take

_Intervals = tuple[np.ndarray, np.ndarray]
StripOf = Callable[
    [int, np.ndarray, "np.ndarray | None", np.ndarray, int, int], tuple[np.ndarray, "np.ndarray | None"]
]
_Prepared = tuple[tuple[np.ndarray, np.ndarray, np.ndarray], _Intervals | None]


class Phases:
    """A network over pictures, one after another: distribution parameters of each phase, strip by strip."""

    def __init__(self, halo: int, strip: StripOf, strip_positions: int, threads: int):
        """``halo`` and ``strip``: of a `PhaseModel`, or those of a `FrameModel`."""
        self.halo, self.strip, self.positions = halo, strip, strip_positions
        workers = threads_of_call.workers(threads)
        self.pool = ThreadPoolExecutor(workers, initializer=single_threaded) if workers else None
        self.ahead = workers + 1
        self.features: np.ndarray | None = None

    def _begun(self, strip: Callable[[int, int], Any], y0: int, y1: int) -> Future[Any]:
        """The strip, in work; done at once where there are no workers."""
        if self.pool is not None:
            return self.pool.submit(strip, y0, y1)
        done: Future[Any] = Future()
        done.set_result(strip(y0, y1))
        return done

    def run(
        self, phase: int, walk: Walk, bias: np.ndarray, then: Callable[[int, int, np.ndarray], Any]
    ) -> Iterator[tuple[int, int, Any]]:
        """(first row, last row, ``then(first, last, params)``) of each strip in order; ``then`` runs in the workers."""
        h, w = walk.known[0].shape[:2]
        x = phase_input(walk.known, phase, walk.past)
        before, halo = (self.features if phase else None), self.halo
        step = max(1, min(max(STRIP_ROWS, FEWEST_POSITIONS // w), self.positions // w))
        after: np.ndarray | None = None

        def strip(y0: int, y1: int) -> tuple[Any, np.ndarray | None]:
            top, bottom = min(halo, y0), min(halo, h - y1)
            part = before[y0 - top : y1 + bottom] if before is not None else None
            params, features = self.strip(phase, x[:, y0 - top : y1 + bottom + 5], part, bias, top, bottom)
            return then(y0, y1, params), features

        pending: deque[tuple[int, int, Future[tuple[Any, np.ndarray | None]]]] = deque()
        starts = iter(range(0, h, step))
        while True:
            while len(pending) < self.ahead and (y0 := next(starts, None)) is not None:
                y1 = min(h, y0 + step)
                pending.append((y0, y1, self._begun(strip, y0, y1)))
            if not pending:
                break
            y0, y1, future = pending.popleft()
            result, features = future.result()
            if features is not None:
                after = np.empty((h, *features.shape[1:]), np.uint8) if after is None else after
                after[y0:y1] = features
            yield y0, y1, result
        self.features = after


def worth(threads: int, height: int, width: int) -> int:
    """Workers that a picture of this size is worth starting."""
    return threads if height * width > SMALL_PIXELS else 0


class Lattice:
    """One picture's way over the lattice, the same for sender and receiver."""

    def __init__(
        self,
        photo: np.ndarray,
        phases: Phases,
        bias: Callable[[int, int], np.ndarray],
        past: Sequence[np.ndarray | None] = (),
    ):
        """``bias`` of phase and level; ``past``: known pictures (`models.lattice.walk.Walk`)."""
        self.photo, self.phases, self.bias, self.walk = photo, phases, bias, Walk(photo, past)

    def run(
        self,
        units: list[tuple[int, int]],
        prepare: Callable[[Strip, np.ndarray], Any],
        code: Callable[[Strip, Any], None],
        progress: Progress | None = None,
    ) -> None:
        """Code a pass: ``prepare`` of each strip and its parameters, int32 (n, 10, K), in the workers, then ``code``.

        That has the strip and what ``prepare`` made, in order.
        """
        done, total = 0, max(1, _pixels(self.photo, units))
        for level, phase in units:
            target, base = self.walk.enter(level, phase)
            own = target, base, (level, phase)

            def strip(y0: int, y1: int, params: np.ndarray, own: Any = own) -> Any:
                target, base, unit = own
                part = Strip(target[y0:y1], base[y0:y1], unit, y0)
                return part, prepare(part, part.params(params))

            for _, _, (part, result) in self.phases.run(phase, self.walk, self.bias(phase, level), strip):
                code(part, result)
            self.walk.leave(target, base)
            done += target[..., 0].size
            if progress:
                progress(done / total)


def _of_photograph(
    photo: np.ndarray, model: PhaseModel, codes: dict[int, tuple[int, int]], positions: int, threads: int
) -> Lattice:
    H, W = photo.shape[:2]
    phases = Phases(model.halo, model.strip, positions, worth(threads, H, W))
    return Lattice(photo, phases, lambda phase, level: model.bias(phase, level, codes.get(level, UNKNOWN)))


def _pixels(photo: np.ndarray, units: list[tuple[int, int]]) -> int:
    """That these units code."""
    return sum(target_of(photo, *unit)[..., 0].size for unit in units)


class Strip:
    """Some rows of the pixels that a phase codes, uint8 (h, w, C), a view, and the sums of their four neighbours.

    Odd grids lack the last row or column of what the network answers. unit: its (level, phase). top: its first row.
    """

    def __init__(self, target: np.ndarray, base: np.ndarray, unit: tuple[int, int], top: int):
        self.unit, self.top = unit, top
        self.target = target
        self.sums = np.ascontiguousarray(base[: target.shape[0], : target.shape[1]]).reshape(-1, target.shape[2])

    def params(self, params: np.ndarray) -> np.ndarray:
        """The network's parameters of these pixels, (n, 10, K)."""
        rows, columns = self.target.shape[:2]
        return np.ascontiguousarray(params[:rows, :columns]).reshape(rows * columns, 10, params.shape[2] // 10)

    def pixels(self) -> np.ndarray:
        """uint8 (n, C)."""
        return np.ascontiguousarray(self.target).reshape(-1, self.target.shape[2])

    def put(self, pixels: np.ndarray) -> None:
        """Mirror of :meth:`pixels`."""
        self.target[...] = pixels.reshape(self.target.shape)


def encode(
    photo: np.ndarray,
    model: PhaseModel,
    progress: Progress | None = None,
    positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
    tables: int | None = None,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of ``photo`` uint8 (H, W, 1 or 3); ``tables`` forces those of statistics of values."""
    H, W, C = photo.shape
    codes = side_information(photo)
    lattice, plan = _of_photograph(photo, model, codes, positions, threads), pass_units(H, W)
    done, total = 0, max(1, sum(_pixels(photo, units) for units in plan))
    tried = TRIED if H * W >= REFINED_PIXELS else TRIED[:1]
    fitting = tried if C == 3 else tuple(t for t in tried if t in (0, LEVELS))
    ways = [_Coded(t, photo) for t in (fitting if tables is None else (tables,))]
    for units in plan:
        if H * W >= JUDGED_PIXELS and units[0] in ((1, 0), (0, 0)):  # three ways go into level 1, one into level 0
            ways = sorted(ways, key=_Coded.price)[: 2 * units[0][0] + 1]
        plainly = any(not way.tables for way in ways)

        def prepare(strip: Strip, params: np.ndarray, plainly: bool = plainly) -> _Prepared:
            given = params, strip.sums, strip.pixels()
            return given, intervals(*given) if plainly else None

        def code(strip: Strip, prepared: _Prepared, ways: list[_Coded] = ways) -> None:
            for way in ways:
                way.add(*prepared)

        size = _pixels(photo, units)
        lattice.run(units, prepare, code, part_of(progress, done, size, total))
        done += size
        for way in ways:
            way.end_pass()
    way = min(ways, key=_Coded.price)
    method = bytes([REFINED, way.tables]) if way.tables else bytes([LATTICE])
    return method + bytes(luma << 4 | chroma for luma, chroma in codes.values()), way.passes


class _Coded:
    """Passes of a picture under some tables of statistics."""

    def __init__(self, tables: int, photo: np.ndarray):
        self.tables, self.photo = tables, photo
        self.statistics = Statistics(tables)
        self.pending: list[_Intervals] = []
        self.passes: list[bytes] = []

    def add(self, given: tuple[np.ndarray, np.ndarray, np.ndarray], plain: _Intervals | None) -> None:
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
        levels, refined = list(side_levels(H, W)), params[0] == REFINED
        tables = params[1] if refined and len(params) > 1 else 0
        if refined and not (0 < tables < 8 and (photo.shape[2] == 3 or tables == LEVELS)):
            raise CorruptStream(f"tables {tables} of statistics, {photo.shape[2]} planes; the file is damaged")
        sides = params[2:] if tables else params[1:]
        if len(sides) != len(levels):
            raise CorruptStream(f"{len(sides)} side-information codes where {len(levels)} are expected")
        codes = {level: (byte >> 4, byte & 15) for level, byte in zip(levels, sides, strict=True)}
        self.statistics = Statistics(tables) if tables else None
        self.lattice = _of_photograph(photo, model, codes, positions, threads)
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
