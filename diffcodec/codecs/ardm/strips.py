"""The network over the pixels of a phase, a strip of rows after another, in several threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...models.lattice.phases import phase_input
from ...models.lattice.walk import Walk
from ...models.protocols import single_threaded
from ...runtime import threads as threads_of_call

STRIP_ROWS = 32  #: of a strip: few rows make much of their context twice, many leave threads without work
STRIP_POSITIONS = 2**16  #: at most: some 130 MB of activations
FEWEST_POSITIONS = 2**11  #: of a strip of more rows, where a picture is narrow
SMALL_PIXELS = 64 * 64  #: up to which handing work to other threads takes longer than the work

#: of a strip: parameters and features, as of a `PhaseModel`, and what its last layer was given, if that is wanted
Answer = tuple[np.ndarray, "np.ndarray | None", "np.ndarray | None"]
StripOf = Callable[[int, np.ndarray, "np.ndarray | None", np.ndarray, int, int], Answer]


def plainly(
    strip: Callable[[int, np.ndarray, np.ndarray | None, np.ndarray, int, int], tuple[np.ndarray, np.ndarray | None]],
) -> StripOf:
    """As `PhaseModel.strip`, or as `FrameModel.frame_strip`, with no codes."""

    def asked(phase: int, x: np.ndarray, before: np.ndarray | None, bias: np.ndarray, top: int, bottom: int) -> Answer:
        return *strip(phase, x, before, bias, top, bottom), None

    return asked


class Phases:
    """A network over pictures, one after another: distribution parameters of each phase, strip by strip."""

    def __init__(self, halo: int, strip: StripOf, strip_positions: int, threads: int):
        """``halo``: of the model. ``strip``: what is asked of it, `plainly` or for its codes too."""
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
        self, phase: int, walk: Walk, bias: np.ndarray, then: Callable[[int, int, Answer], Any], rows: int = 1
    ) -> Iterator[Any]:
        """``then(first row, last row, answer)`` of each strip in order, which has a multiple of so many ``rows``.

        ``then`` runs in the workers.
        """
        h, w = walk.known[0].shape[:2]
        x = phase_input(walk.known, phase, walk.past)
        before, halo = (self.features if phase else None), self.halo
        step = min(max(STRIP_ROWS, FEWEST_POSITIONS // w), self.positions // w)
        step = max(rows, step // rows * rows)
        after: np.ndarray | None = None

        def strip(y0: int, y1: int) -> tuple[Any, np.ndarray | None]:
            top, bottom = min(halo, y0), min(halo, h - y1)
            part = before[y0 - top : y1 + bottom] if before is not None else None
            answer = self.strip(phase, x[:, y0 - top : y1 + bottom + 5], part, bias, top, bottom)
            return then(y0, y1, answer), answer[1]

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
            yield result
        self.features = after


def worth(threads: int, height: int, width: int) -> int:
    """Workers that a picture of this size is worth starting."""
    return threads if height * width > SMALL_PIXELS else 0


class Strip:
    """Some rows of the pixels that a phase codes, uint8 (h, w, C), a view, and the sums of their four neighbours.

    Odd grids lack the last row or column of what the network answers. unit: its (level, phase). top: its first row.
    """

    def __init__(self, target: np.ndarray, base: np.ndarray, unit: tuple[int, int], top: int):
        self.unit, self.top = unit, top
        self.target = target
        self.sums = self._of(base)

    def params(self, answer: Answer) -> np.ndarray:
        """The network's parameters of these pixels, (n, 10, K)."""
        params = self._of(answer[0])
        return params.reshape(len(params), 10, params.shape[1] // 10)

    def codes(self, answer: Answer) -> np.ndarray | None:
        """What its last layer was given of these pixels, (n, C), if the model was asked for that."""
        return None if answer[2] is None else self._of(answer[2])

    def _of(self, values: np.ndarray) -> np.ndarray:
        rows, columns = self.target.shape[:2]
        return np.ascontiguousarray(values[:rows, :columns]).reshape(rows * columns, values.shape[2])

    def bands(self, rows: int) -> Iterator[tuple[slice, Strip]]:
        """(places among the n pixels, these pixels), so many rows at a time."""
        width = self.target.shape[1]
        for y in range(0, len(self.target), rows):
            part = self.target[y : y + rows]
            places = slice(y * width, (y + len(part)) * width)
            yield places, Strip(part, self.sums[places].reshape(part.shape), self.unit, self.top + y)

    def pixels(self) -> np.ndarray:
        """uint8 (n, C)."""
        return np.ascontiguousarray(self.target).reshape(-1, self.target.shape[2])

    def put(self, pixels: np.ndarray) -> None:
        """Mirror of :meth:`pixels`."""
        self.target[...] = pixels.reshape(self.target.shape)
