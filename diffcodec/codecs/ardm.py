"""ARDM (arXiv 2110.02037): lossless, single image, progressive, over the 2x lattice or in any order (`ordered`).

A picture is ``photo`` (1 or 3 planes of 8 bits, coded by the network where that is smaller) and ``extra`` planes
(alpha, low bytes, indices; always coded by the adaptive context coder, in the last pass). Encode and decode walk the
same units; an encoder collects intervals and pushes them in reverse, since the entropy coder is a stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..entropy import context
from ..entropy.logistic import intervals, pop_pixels
from ..entropy.stack import AnsStack
from ..errors import CorruptStream, InputError, Truncated
from ..models.provider import PINNED, MaskedModel, PhaseModel
from . import ordered
from .lattice import (
    TARGETS,
    UNKNOWN,
    level_count,
    pass_units,
    phase_base,
    phase_input,
    side_codes,
    side_levels,
)

Progress = Callable[[float], None]

LATTICE, CONTEXT, NO_PHOTO, ORDERED = 0, 1, 2, 3  #: how the photo planes are coded: first byte of the parameters
STRIP_POSITIONS = 8192  #: positions of a strip: its activations stay in cache
THREADS = 2
PROGRESSIVE_WORTH = 0.99  #: the context coder has no previews, so it has to be 1 % smaller than the network


def needs_model(params: bytes) -> bool:
    """Whether decoding needs the network's weights."""
    return params[:1] in (bytes([LATTICE]), bytes([ORDERED]))


def made_in(params: bytes) -> str:
    """The environment that a pinned stream records."""
    return params[1 + ordered.PARAMS_BYTES :].decode("utf-8", "replace")


def _single_threaded() -> None:
    import torch

    torch.set_num_threads(1)  # of this worker only: strips run side by side instead


class _Phases:
    """The network over one picture: distribution parameters of each phase, strip by strip."""

    def __init__(self, model: PhaseModel, codes: dict[int, tuple[int, int]], strip_positions: int, threads: int):
        self.model, self.codes, self.positions = model, codes, strip_positions
        self.pool = ThreadPoolExecutor(threads, initializer=_single_threaded)
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
        step = max(1, self.positions // w)
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


class _Walk:
    """The cosets of one level as they become known, unit after unit."""

    def __init__(self, image: np.ndarray):
        self.image, self.level = image, -1
        self.known: list[np.ndarray] = []

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
    strip_positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
) -> tuple[bytes, list[bytes]]:
    """Parameters and passes of a picture, ``photo`` uint8 (H, W, 0, 1 or 3) and ``extra`` uint8 (H, W, E).

    A model that `ask` answers codes in a random order of ``seed``, in ``calls`` network calls (`ordered.CALLS`).
    ``method`` forces LATTICE, ORDERED (as the model is) or CONTEXT for the photo; None takes the smaller, judged on a
    sample of large pictures.
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
            adaptive = pool.submit(context.encode_planes, photo) if method in (None, CONTEXT) else None
            if method != CONTEXT and by_phases:
                params, passes = _encode_lattice(photo, model, progress, strip_positions, threads)
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
    if H * W <= 128 * 128:
        return None
    n = 96
    corners = [(y * (H - min(n, H)) // 2, x * (W - min(n, W)) // 2) for y in range(3) for x in range(3)]
    sizes = np.zeros(2)
    for y, x in corners[::2]:
        tile = np.ascontiguousarray(photo[y : y + n, x : x + n])
        sizes[0] += sum(map(len, _encode_lattice(tile, model, None, STRIP_POSITIONS, THREADS)[1]))
        sizes[1] += len(context.encode_planes(tile))
    if sizes[0] < 0.85 * sizes[1]:
        return LATTICE
    return CONTEXT if sizes[1] < 0.5 * sizes[0] else None


def _encode_lattice(
    photo: np.ndarray, model: PhaseModel, progress: Progress | None, strip_positions: int, threads: int
) -> tuple[bytes, list[bytes]]:
    H, W, C = photo.shape
    rgb = photo if C == 3 else photo.repeat(3, 2)
    codes = {level: side_codes(rgb[:: 1 << level, :: 1 << level]) for level in side_levels(H, W)}
    params = bytes([LATTICE, *(luma << 4 | chroma for luma, chroma in codes.values())])
    phases, walk, passes, done = _Phases(model, codes, strip_positions, threads), _Walk(photo), [], 0
    for number, units in enumerate(pass_units(H, W)):
        coded: list[tuple[np.ndarray, np.ndarray]] = []
        for level, phase in units:
            target, base = walk.enter(level, phase)
            rows, columns = target.shape[:2]

            def strip_intervals(
                y0: int,
                y1: int,
                params: np.ndarray,
                target: np.ndarray = target,
                base: np.ndarray = base,
            ) -> tuple[np.ndarray, np.ndarray]:
                y1 = min(y1, target.shape[0])
                columns = target.shape[1]
                pixels = np.ascontiguousarray(target[y0:y1]).reshape(-1, C)
                sums = np.ascontiguousarray(base[y0:y1, :columns]).reshape(-1, C)
                return intervals(_strip_params(params, max(0, y1 - y0), columns), sums, pixels)

            for _, _, result in phases.run(level, phase, walk.known, strip_intervals):
                coded.append(result)  # type: ignore[arg-type]
            walk.leave(target, base)
            done += rows * columns
            if progress:
                progress(done / (H * W))
        stack = AnsStack()
        for starts, freqs in reversed(coded):
            stack.push_intervals(starts.ravel(), freqs.ravel())
        if number == 0:
            stride = 1 << level_count(H, W)
            stack.push_bytes(photo[::stride, ::stride].ravel())
        passes.append(stack.to_bytes())
    return params, passes


def decode(
    params: bytes,
    passes: Sequence[bytes],
    height: int,
    width: int,
    n_photo: int,
    n_extra: int,
    model: PhaseModel | MaskedModel | None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    strip_positions: int = STRIP_POSITIONS,
    threads: int = THREADS,
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Mirror of :func:`encode`: (photo, extra or None if its pass is missing, stride of the grid known everywhere).

    The stride is 1 for a whole picture, and 0, telling nothing, for a part in another order than the lattice's.
    A prefix of the passes gives a preview, interpolated beyond the known pixels. Raises CorruptStream or Truncated.
    """
    method = params[0] if params else -1
    if method not in (LATTICE, CONTEXT, NO_PHOTO, ORDERED) or (method == NO_PHOTO) != (n_photo == 0):
        raise CorruptStream(
            f"codec parameters {params[:1].hex()} do not fit {n_photo} photo planes; the file is damaged"
        )
    if method == ORDERED:
        plan = ordered.Plan.from_bytes(params[1:], seed)
        empty = ordered.arranged(np.zeros((height, width, n_photo), np.uint8), _needed(model))
        photo_passes = ordered.pass_count(empty.shape[0], empty.shape[1], _needed(model), plan)
    else:
        photo_passes = {LATTICE: len(pass_units(height, width)), CONTEXT: 1, NO_PHOTO: 0}[method]
    if len(passes) > photo_passes + bool(n_extra):
        raise CorruptStream(
            f"{len(passes)} passes where {photo_passes + bool(n_extra)} are expected; the file is damaged"
        )
    if not passes or (method == NO_PHOTO and not n_extra):
        raise Truncated("the stream ends before its first pass; nothing can be shown yet")
    stride = 1
    if method == LATTICE:
        photo, stride = _decode_lattice(
            params, passes[:photo_passes], height, width, n_photo, _needed(model), progress, strip_positions, threads
        )
    elif method == ORDERED:
        tokens, whole = ordered.decode(passes[:photo_passes], empty.shape, _needed(model), plan, progress=progress)
        photo = tokens.reshape(height, width, n_photo)
        stride = 1 if whole else 0
    elif method == CONTEXT:
        photo = context.decode_planes(passes[0], height, width, n_photo)
    else:
        photo = np.empty((height, width, 0), np.uint8)
    extra: np.ndarray | None = np.empty((height, width, 0), np.uint8)
    if n_extra:
        extra = context.decode_planes(passes[-1], height, width, n_extra) if len(passes) > photo_passes else None
    return photo, extra, stride


def _needed(model: Any) -> Any:
    if model is None:
        raise InputError("this stream needs its model to decode")
    return model


def _decode_lattice(
    params: bytes,
    passes: Sequence[bytes],
    H: int,
    W: int,
    C: int,
    model: PhaseModel,
    progress: Progress | None,
    strip_positions: int,
    threads: int,
) -> tuple[np.ndarray, int]:
    levels = list(side_levels(H, W))
    if len(params) != 1 + len(levels):
        raise CorruptStream(f"{len(params) - 1} side-information codes where {len(levels)} are expected")
    codes = {level: (byte >> 4, byte & 15) for level, byte in zip(levels, params[1:], strict=True)}
    photo = np.zeros((H, W, C), np.uint8)
    phases, walk, done = _Phases(model, codes, strip_positions, threads), _Walk(photo), 0
    stride = 1 << level_count(H, W)
    for number, units in enumerate(pass_units(H, W)):
        stack = AnsStack.from_bytes(passes[number]) if number < len(passes) else None
        if number == 0 and stack is not None:
            coarsest = photo[::stride, ::stride]
            coarsest[...] = stack.pop_bytes(coarsest.size).reshape(coarsest.shape)
        for level, phase in units:
            target, base = walk.enter(level, phase)
            rows, columns = target.shape[:2]
            if stack is None:  # beyond the prefix: interpolate
                target[...] = _interpolated(base[:rows, :columns])
                walk.leave(target, base)
                continue
            for y0, y1, result in phases.run(level, phase, walk.known, lambda y0, y1, params: params):
                y1 = min(y1, rows)
                if y1 > y0:
                    sums = np.ascontiguousarray(base[y0:y1, :columns]).reshape(-1, C)
                    part = _strip_params(result, y1 - y0, columns)  # type: ignore[arg-type]
                    target[y0:y1] = pop_pixels(stack, part, sums).reshape(y1 - y0, columns, C)
            walk.leave(target, base)
            done += rows * columns
            if progress:
                progress(done / (H * W))
        if stack is not None:
            stack.finish()
            if units:
                level, phase = units[-1]
                stride = 1 << level if number + 1 == len(pass_units(H, W)) or phase == 2 else 2 << level
    return photo, stride
