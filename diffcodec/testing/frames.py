"""Laws of ARDMs of the frames of a clip: they look at the past, and depend on nothing that a receiver does not have."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..models.lattice.geometry import GREY, NO_PAST, RGB, TARGETS, UNKNOWN, YUV, level_count
from ..models.lattice.phases import phase_input
from ..models.lattice.walk import Walk
from ..models.protocols import FrameModel
from .autoregressive import AutoregressiveLaws
from .laws import demand


class FrameLaws(AutoregressiveLaws):
    """What holds of every `protocols.FrameModel`. ``size``: (H, W) of the frame that the laws look at."""

    kind: ClassVar[type] = FrameModel
    size: ClassVar[tuple[int, int]] = (45, 26)
    CODES: ClassVar[tuple[tuple[int, ...], ...]] = (
        (3, 12, 2, 0, RGB),
        (0, 15, 15, 3, YUV),
        (7, 0, 0, 0, GREY),
        (*UNKNOWN, *NO_PAST, RGB),
        (*UNKNOWN, *UNKNOWN, YUV),
    )

    def photo(self, moved: int = 0) -> np.ndarray:
        """uint8 (H, W, 3), so many pixels to the left."""
        H, W = self.size
        y, x = np.mgrid[0:H, moved : W + moved]
        random = np.random.default_rng(moved)
        waves = [128 + 90 * np.sin(x / k) * np.cos(y / (k + 3)) for k in (5, 6, 8)]
        return np.clip(np.stack(waves, 2) + random.normal(0, 3, (H, W, 3)), 0, 255).astype(np.uint8)

    def asked(
        self, model: FrameModel, past: list[np.ndarray | None], rows: int = 0
    ) -> list[tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]]:
        """For every unit from coarse to fine (params, features, pixels (h, w, 3), sums of their neighbours).

        rows: of strips; 0 for all of a unit at once.
        """
        walk, out = Walk(self.photo(), past), []
        known = (3, 12, 2, 0, RGB) if past[0] is not None else (3, 12, *NO_PAST, RGB)
        for level in reversed(range(level_count(*self.size))):
            before: np.ndarray | None = None
            for phase in range(len(TARGETS)):
                target, base = walk.enter(level, phase)
                x, h = phase_input(walk.known, phase, walk.past), len(walk.known[0])
                bias, parts = model.frame_bias(phase, level, known), []
                for y0 in range(0, h, rows or h):
                    y1 = min(h, y0 + (rows or h))
                    top, bottom = min(model.halo, y0), min(model.halo, h - y1)
                    part = None if before is None else before[y0 - top : y1 + bottom]
                    parts.append(
                        model.frame_strip(phase, x[:, y0 - top : y1 + bottom + 5], part, bias, top, bottom)
                    )
                before = None if parts[0][1] is None else np.concatenate([f for _, f in parts if f is not None])
                out.append((np.concatenate([params for params, _ in parts]), before, target.copy(), base))
                walk.leave(target, base)
        return out

    def pasts(self, model: FrameModel) -> list[list[np.ndarray | None]]:
        """None at all, and as many pictures uint8 (H, W, 3) as the model is given."""
        return [[None] * model.past, [self.photo(k + 1) for k in range(model.past)]]

    def answers(self, model: FrameModel) -> list[np.ndarray]:
        """The parameters of every unit, int32 (h, w, 10K)."""
        return [params for past in self.pasts(model) for params, *_ in self.asked(model, past)]

    def test_it_is_given_pictures(self) -> None:
        """One or two of them."""
        past = self.model().past
        demand(past in (1, 2), f"it is given {past!r} pictures, expected 1 or 2")

    def test_a_bias_is_a_row_of_integers(self) -> None:
        """int32 (C,) for any level and any codes of side information."""
        model = self.model()
        for phase in range(3):
            shapes = set()
            for level in (0, 1, 5, 12, 31):
                for codes in self.CODES:
                    bias = model.frame_bias(phase, level, codes)
                    demand(bias.dtype == np.int32 and bias.ndim == 1, f"a bias is {bias.dtype} {bias.shape}")
                    shapes.add(bias.shape)
            demand(len(shapes) == 1, f"biases of one phase have the shapes {shapes}")

    def test_parameters_have_their_shape(self) -> None:
        """int32 (rows, w, 10K) of one K, features (rows, w, C) for the next phase and none after the last."""
        model = self.model()
        for number, (params, features, *_) in enumerate(self.asked(model, self.pasts(model)[1])):
            demand(params.dtype == np.int32 and params.shape[2] % 10 == 0, f"parameters {params.dtype} {params.shape}")
            demand((features is None) == (number % 3 == 2), "features belong behind the first two phases of a level")

    def test_the_past_is_looked_at(self) -> None:
        """Another past gives other parameters."""
        model = self.model()
        first, second = ([params for params, *_ in self.asked(model, past)] for past in self.pasts(model))
        demand(not all(map(np.array_equal, first, second)), "a frame is coded alike with a past and without one")

    def test_strips_are_the_whole(self) -> None:
        """With a halo of rows above and below, strips give what all rows at once give."""
        model = self.model()
        for past in self.pasts(model):
            wanted = [params for params, *_ in self.asked(model, past)]
            self.same([params for params, *_ in self.asked(model, past, 3)], wanted, "in strips of 3 rows")
