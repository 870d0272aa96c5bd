"""ARDM (arXiv 2110.02037): lossless, single image, progressive, over the 2x lattice or in any order (`ordered`).

A picture is ``photo`` (1 or 3 planes of 8 bits, coded by the network where that is smaller) and ``extra`` planes
(alpha, low bytes, indices; always coded by the adaptive context coder, in the last pass). Encode and decode walk the
same units; an encoder collects intervals and pushes them in reverse, since the entropy coder is a stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..entropy import context
from ..entropy.logistic import intervals, pop_pixels
from ..entropy.stack import AnsStack
from ..entropy.values import COLOURS, DIFFERENCES, LEVELS, Statistics
from ..errors import CorruptStream, InputError, Truncated
from ..models.provider import PINNED, MaskedModel, PhaseModel, single_threaded
from . import ordered, receiver
from .lattice import (
    TARGETS,
    UNKNOWN,
    level_count,
    pass_units,
    phase_base,
    phase_input,
    side_information,
    side_levels,
)
from .receiver import Progress

#: how the photo planes are coded, first byte of the parameters; REFINED is LATTICE with statistics of values
LATTICE, CONTEXT, NO_PHOTO, ORDERED, REFINED = 0, 1, 2, 3, 4
STRIP_ROWS = 32  #: of a strip: few rows make much of their context twice, many leave threads without work
STRIP_POSITIONS = 2**16  #: at most: some 130 MB of activations
FEWEST_POSITIONS = 2**11  #: of a strip of more rows, where a picture is narrow
THREADS = 2
SAMPLED_PIXELS = 2**17  #: up to which both ways are tried rather than judged on a sample
PROGRESSIVE_WORTH = 0.99  #: the context coder has no previews, so it has to be 1 % smaller than the network
REFINED_PIXELS = 64 * 64  #: of smaller pictures tables save less than they take
JUDGED_PIXELS = 2**15  #: from which on all but the last level tell which tables to take
TRIED = (0, LEVELS, DIFFERENCES, COLOURS, LEVELS | COLOURS)  #: tables of statistics that the encoder chooses among
REFINED_WORTH = 0.997  #: a table takes time, so it has to save something
REFINED_BYTES = 40  #: that the longer form of a stream may take


def needs_model(params: bytes) -> bool:
    """Whether decoding needs the network's weights."""
    return params[:1] in (bytes([LATTICE]), bytes([ORDERED]), bytes([REFINED]))


def refined(params: bytes) -> bool:
    """Whether statistics of values refine the network's distributions."""
    return params[:1] == bytes([REFINED])


def made_in(params: bytes) -> str:
    """The environment that a pinned stream records."""
    return params[1 + ordered.PARAMS_BYTES :].decode("utf-8", "replace")


class _Phases:
    """The network over one picture: distribution parameters of each phase, strip by strip."""

    def __init__(self, model: PhaseModel, codes: dict[int, tuple[int, int]], strip_positions: int, threads: int):
        self.model, self.codes, self.positions = model, codes, strip_positions
        self.pool = ThreadPoolExecutor(threads, initializer=single_threaded)
        self.ahead = threads + 1
        self.features: np.ndarray | None = None

    def run(
        self, level: int, phase: int, known: list[np.ndarray], then: Callable[[int, int, np.ndarray], object]
    ) -> Iterator[tuple[int, int, object]]:
        """(first row, last row, ``then(first, last, params)``) of each strip in order; ``then`` runs in the workers."""
        h, w = known[0].shape[:2]
        x = phase_input(known, phase)
        bias = self.model.bias(phase, level, self.codes.get(level, UNKNOWN))
        before, halo = (self.features if phase else None), self.model.halo
        step = max(1, min(max(STRIP_ROWS, FEWEST_POSITIONS // w), self.positions // w))
        after: np.ndarray | None = None

        def strip(y0: int, y1: int) -> tuple[object, np.ndarray | None]:
            top, bottom = min(halo, y0), min(halo, h - y1)
            part = before[y0 - top : y1 + bottom] if before is not None else None
            params, features = self.model.strip(phase, x[:, y0 - top : y1 + bottom + 5], part, bias, top, bottom)
            return then(y0, y1, params), features

        pending: deque[tuple[int, int, Future[tuple[object, np.ndarray | None]]]] = deque()
        starts = iter(range(0, h, step))
        while True:
            while len(pending) < self.ahead and (y0 := next(starts, None)) is not None:
                y1 = min(h, y0 + step)
                pending.append((y0, y1, self.pool.submit(strip, y0, y1)))
            if not pending:
                break
            y0, y1, future = pending.popleft()
            result, features = future.result()
            if features is not None:
                after = np.empty((h, *features.shape[1:]), np.uint8) if after is None else after
                after[y0:y1] = features
            yield y0, y1, result
        self.features = after


def _target(image: np.ndarray, level: int, phase: int) -> np.ndarray:
    """View of the pixels a phase codes."""
    y, x = TARGETS[phase]
    return image[:: 1 << level, :: 1 << level][y::2, x::2]


def _interpolated(base: np.ndarray) -> np.ndarray:
    """Mean of the four neighbours, uint8: what stands for pixels that are not known."""
    return ((base + 2) >> 2).astype(np.uint8)


def _filled(target: np.ndarray, base: np.ndarray) -> np.ndarray:
    """A coset at full size: odd grids lack its last row or column, which interpolation stands in for."""
    if target.shape == base.shape:
        return target
    full = _interpolated(base)
    full[: target.shape[0], : target.shape[1]] = target
    return full


def _strip_params(params: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.ascontiguousarray(params[:rows, :columns]).reshape(rows * columns, 10, params.shape[2] // 10)


class Walk:
    """The cosets of one level as they become known, unit after unit."""

    def __init__(self, image: np.ndarray):
        self.image, self.level = image, -1
        self.known: list[np.ndarray] = []

    def copy(self) -> Walk:
        """Another walk from here on, over a copy of the picture."""
        other = Walk(self.image.copy())
        other.level, other.known = self.level, list(self.known)
        return other

    def enter(self, level: int, phase: int) -> tuple[np.ndarray, np.ndarray]:
        """(target view, base) of a unit; brings ``known`` up to date."""
        if level != self.level:
            self.level = level
            self.known = [np.ascontiguousarray(self.image[:: 2 << level, :: 2 << level])]
        return _target(self.image, level, phase), phase_base(self.known, phase)

    def leave(self, target: np.ndarray, base: np.ndarray) -> None:
        """Mirror of :meth:`enter`, with what it gave: the unit's pixels are known from here on."""
        self.known.append(np.ascontiguousarray(_filled(target, base)))


def encode(
    photo: np.ndarray,
    extra: np.ndarray,
    model: PhaseModel | MaskedModel,
    *,
    seed: int = 0,
    calls: int | None = None,
    progress: Progress | None = None,
    method: int | None = None,
    tables: int | None = None,
    strip_positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of a picture, ``photo`` uint8 (H, W, 0, 1 or 3) and ``extra`` uint8 (H, W, E).

    A model that `ask` answers codes in a random order of ``seed``, in ``calls`` network calls (`ordered.CALLS`).
    ``method`` forces LATTICE, ORDERED (as the model is) or CONTEXT for the photo; None takes the smaller, judged on a
    sample of large pictures. ``tables`` forces those of statistics of values where the lattice is coded; None takes
    those of TRIED that serve.
    """
    H, W, C = photo.shape
    if C not in (0, 1, 3):
        raise InputError(f"photo planes must be 0, 1 or 3, found {C}")
    if not C:
        params, passes = bytes([NO_PHOTO]), []
    else:
        by_phases = model is None or hasattr(model, "strip")
        if calls is not None and (by_phases or not 1 <= calls <= ordered.MAX_PLANNED):
            raise InputError(
                f"model '{model.name}' has a fixed number of network calls: leave calls out"
                if by_phases
                else f"expected 1 to {ordered.MAX_PLANNED} network calls, found {calls}"
            )
        if method is None and by_phases:
            method = _choose(photo, model)
        with ThreadPoolExecutor(1) as pool:  # its kernels run beside the network's
            doubt = method is None and photo.shape[0] * photo.shape[1] > SAMPLED_PIXELS
            most = 1 if doubt else 2  # of a photograph's two best modes one is about as good as the other
            adaptive = pool.submit(context.encode_planes, photo, most) if method in (None, CONTEXT) else None
            if method != CONTEXT and by_phases:
                params, passes = _encode_lattice(photo, model, progress, strip_positions, threads, tables)
            elif method != CONTEXT:
                params, passes = _encode_ordered(photo, model, seed, calls or ordered.CALLS, progress)
            if adaptive is not None:
                whole = adaptive.result()
                if method == CONTEXT or len(whole) < PROGRESSIVE_WORTH * sum(map(len, passes)):
                    params, passes = bytes([CONTEXT]), [whole]
    if extra.shape[2]:
        passes.append(context.encode_planes(extra))
    return params, passes


def _encode_ordered(
    photo: np.ndarray, model: MaskedModel, seed: int, calls: int, progress: Progress | None
) -> tuple[bytes, list[bytes]]:
    plan = ordered.Plan(ordered.RANDOM, calls, seed)
    params = bytes([ORDERED]) + plan.to_bytes()
    if model.numerics == PINNED:
        from .remainder import environment

        params += environment(str(model.device)).encode()
    return params, ordered.encode(ordered.arranged(photo, model), model, plan, progress=progress)[0]


def _choose(photo: np.ndarray, model: PhaseModel) -> int | None:
    """LATTICE or CONTEXT where a sample leaves no doubt, None where both have to be tried."""
    H, W = photo.shape[:2]
    if H * W <= SAMPLED_PIXELS:
        return None
    n = 96
    corners = [(y * (H - min(n, H)) // 2, x * (W - min(n, W)) // 2) for y in range(3) for x in range(3)]

    def sizes_of(corner: tuple[int, int]) -> list[int]:
        tile = np.ascontiguousarray(photo[corner[0] : corner[0] + n, corner[1] : corner[1] + n])
        lattice = sum(map(len, _encode_lattice(tile, model, None, STRIP_POSITIONS, 1)[1]))
        return [lattice, len(context.encode_planes(tile))]

    with ThreadPoolExecutor(THREADS) as pool:
        sizes = np.sum(list(pool.map(sizes_of, corners[::2])), axis=0)
    # of whole pictures the quotient was up to 4 % larger, never 3 % smaller
    if sizes[0] < 0.95 * sizes[1]:
        return LATTICE
    return CONTEXT if sizes[0] > 1.15 * sizes[1] else None


def _encode_lattice(
    photo: np.ndarray,
    model: PhaseModel,
    progress: Progress | None,
    strip_positions: int,
    threads: int,
    tables: int | None = None,
) -> tuple[bytes, list[bytes]]:
    H, W, C = photo.shape
    codes = side_information(photo)
    phases, walk, done = _Phases(model, codes, strip_positions, threads), Walk(photo), 0
    plan = pass_units(H, W)
    tried = TRIED if H * W >= REFINED_PIXELS else TRIED[:1]
    fitting = tried if C == 3 else tuple(t for t in tried if t in (0, LEVELS))
    ways = [_Coded(t, photo) for t in (fitting if tables is None else (tables,))]
    for units in plan:
        if H * W >= JUDGED_PIXELS and units[0] in ((1, 0), (0, 0)):  # three ways go into level 1, one into level 0
            ways = sorted(ways, key=_Coded.price)[: 2 * units[0][0] + 1]
        plainly = any(not way.tables for way in ways)
        for level, phase in units:
            target, base = walk.enter(level, phase)
            rows, columns = target.shape[:2]

            def strip(
                y0: int,
                y1: int,
                params: np.ndarray,
                target: np.ndarray = target,
                base: np.ndarray = base,
                plainly: bool = plainly,
            ) -> Any:
                y1 = min(y1, target.shape[0])
                columns = target.shape[1]
                pixels = np.ascontiguousarray(target[y0:y1]).reshape(-1, C)
                sums = np.ascontiguousarray(base[y0:y1, :columns]).reshape(-1, C)
                given = _strip_params(params, max(0, y1 - y0), columns), sums, pixels
                return given, intervals(*given) if plainly else None

            for _, _, result in phases.run(level, phase, walk.known, strip):
                for way in ways:
                    way.add(*result)  # type: ignore[misc]
            walk.leave(target, base)
            done += rows * columns
            if progress:
                progress(done / (H * W))
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
        self.pending: list[tuple[np.ndarray, np.ndarray]] = []
        self.passes: list[bytes] = []

    def add(self, given: tuple[np.ndarray, np.ndarray, np.ndarray], plain: tuple[np.ndarray, np.ndarray]) -> None:
        self.pending.append(self.statistics.intervals(*given) if self.tables else plain)

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


class Receiver(receiver.Receiver):
    """Mirror of :func:`encode`, pass by pass. ``stride``: of the grid that is known everywhere, 1 for a whole picture,
    0, telling nothing, for a part in another order than the lattice's.

    A prefix of the passes gives a preview, interpolated beyond the known pixels. Raises CorruptStream.
    """

    def __init__(
        self,
        params: bytes,
        height: int,
        width: int,
        n_photo: int,
        n_extra: int,
        model: PhaseModel | MaskedModel | None,
        seed: int = 0,
        *,
        strip_positions: int = STRIP_POSITIONS,
        threads: int = THREADS,
    ):
        method = params[0] if params else -1
        known = method in (LATTICE, CONTEXT, NO_PHOTO, ORDERED, REFINED)
        if not known or (method == NO_PHOTO) != (n_photo == 0):
            raise CorruptStream(
                f"codec parameters {params[:1].hex()} do not fit {n_photo} photo planes; the file is damaged"
            )
        self.shape, self.n_extra = (height, width, n_photo), n_extra
        self.taken, self.stride = 0, 1 if method in (CONTEXT, NO_PHOTO) else 0
        self.photo = np.zeros(self.shape, np.uint8)
        self.extra: np.ndarray | None = None if n_extra else np.empty((height, width, 0), np.uint8)
        self._lattice: _LatticeReceiver | None = None
        self._ordered: ordered.Receiver | None = None
        if method in (LATTICE, REFINED):
            self._lattice = _LatticeReceiver(params, self.photo, _needed(model), strip_positions, threads)
            self.photo_passes = len(self._lattice.passes)
        elif method == ORDERED:
            plan, shape = ordered.Plan.from_bytes(params[1:], seed), ordered.arranged(self.photo, _needed(model)).shape
            self._ordered = ordered.Receiver((shape[0], shape[1], shape[2]), _needed(model), plan)
            self.photo_passes = self._ordered.passes
        else:
            self.photo_passes = int(method == CONTEXT)

    def take(self, payload: bytes, progress: Progress | None = None) -> None:
        number, expected = self.taken, self.photo_passes + bool(self.n_extra)
        if number >= expected:
            raise CorruptStream(f"more passes than the {expected} expected; the file is damaged")
        if number == self.photo_passes:
            self.extra = context.decode_planes(payload, *self.shape[:2], self.n_extra)
        elif self._lattice is not None:
            self.stride = self._lattice.take(payload, progress)
        elif self._ordered is not None:
            self._ordered.take(payload, progress)
            self.stride = int(self._ordered.complete)
        else:
            self.photo = context.decode_planes(payload, *self.shape)
        self.taken += 1

    def show(self, reconstruction: str = "") -> tuple[np.ndarray, np.ndarray | None]:
        if not self.taken:
            raise Truncated("the stream ends before its first pass; nothing can be shown yet")
        if self._lattice is not None:
            return self._lattice.preview(), self.extra
        return self._ordered.tokens().reshape(self.shape) if self._ordered is not None else self.photo, self.extra


def _needed(model: Any) -> Any:
    if model is None:
        raise InputError("this stream needs its model to decode")
    return model


class _LatticeReceiver:
    """Mirror of :func:`_encode_lattice`: fills ``photo`` uint8 (H, W, C) pass by pass."""

    def __init__(self, params: bytes, photo: np.ndarray, model: PhaseModel, strip_positions: int, threads: int):
        H, W = photo.shape[:2]
        levels = list(side_levels(H, W))
        tables = params[1] if refined(params) and len(params) > 1 else 0
        if refined(params) and not (0 < tables < 8 and (photo.shape[2] == 3 or tables == LEVELS)):
            raise CorruptStream(f"tables {tables} of statistics, {photo.shape[2]} planes; the file is damaged")
        sides = params[2:] if tables else params[1:]
        if len(sides) != len(levels):
            raise CorruptStream(f"{len(sides)} side-information codes where {len(levels)} are expected")
        codes = {level: (byte >> 4, byte & 15) for level, byte in zip(levels, sides, strict=True)}
        self.statistics = Statistics(tables) if tables else None
        self.photo, self.walk = photo, Walk(photo)
        self.phases = _Phases(model, codes, strip_positions, threads)
        self.passes, self.taken = pass_units(H, W), 0

    def take(self, payload: bytes, progress: Progress | None) -> int:
        """The stride of the grid that is known from here on. Raises CorruptStream."""
        H, W, C = self.photo.shape
        stack, units, done = AnsStack.from_bytes(payload), self.passes[self.taken], 0
        stride = 1 << level_count(H, W)
        if not self.taken:
            coarsest = self.photo[::stride, ::stride]
            coarsest[...] = stack.pop_bytes(coarsest.size).reshape(coarsest.shape)
        total = max(1, sum(_target(self.photo, *unit)[..., 0].size for unit in units))
        for level, phase in units:
            target, base = self.walk.enter(level, phase)
            rows, columns = target.shape[:2]
            for y0, y1, result in self.phases.run(level, phase, self.walk.known, lambda y0, y1, params: params):
                y1 = min(y1, rows)
                if y1 > y0:
                    sums = np.ascontiguousarray(base[y0:y1, :columns]).reshape(-1, C)
                    part = _strip_params(result, y1 - y0, columns)  # type: ignore[arg-type]
                    pop = self.statistics.pop if self.statistics else pop_pixels
                    target[y0:y1] = pop(stack, part, sums).reshape(y1 - y0, columns, C)
            self.walk.leave(target, base)
            done += rows * columns
            if progress:
                progress(done / total)
            stride = 1 << level if phase == len(TARGETS) - 1 else 2 << level
        stack.finish()
        self.taken += 1
        return stride

    def preview(self) -> np.ndarray:
        """The picture; what missing passes would tell is interpolated."""
        left = [unit for units in self.passes[self.taken :] for unit in units]
        if not left:
            return self.photo
        walk = self.walk.copy()
        for level, phase in left:
            target, base = walk.enter(level, phase)
            target[...] = _interpolated(base[: target.shape[0], : target.shape[1]])
            walk.leave(target, base)
        return walk.image
