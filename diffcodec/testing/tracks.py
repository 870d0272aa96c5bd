"""Laws of networks of tracks: agents have no order and no place, and what they may do comes back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..entropy.grid import GridMixtures
from ..entropy.stack import TOTAL, AnsStack
from ..models.protocols import TrackModel
from ..models.tracks.past import Past
from ..models.tracks.prediction import KNOWN
from .autoregressive import AutoregressiveLaws
from .laws import demand


class TrackLaws(AutoregressiveLaws):
    """What holds of every `protocols.TrackModel`. ``agents``: how many walk, two at least."""

    kind: ClassVar[type] = TrackModel
    agents: ClassVar[int] = 5
    frames: ClassVar[int] = 14

    def walks(self) -> tuple[np.ndarray, np.ndarray]:
        """(places int64 (T, A, 2), who is there bool (T, A))."""
        random = np.random.default_rng(0)
        shape = (self.frames, self.agents, 2)
        places = random.integers(-9, 10, shape).cumsum(0).cumsum(0) + 500 * random.integers(0, 9, shape[1:])
        here = np.ones(shape[:2], bool)
        here[: self.frames // 2, 0] = False
        return places, here

    def past(self, order: np.ndarray | None = None, away: int = 0) -> tuple[Past, np.ndarray]:
        """(what is known behind the last frame but one, places int64 (A, 2) in the last), agents in another order."""
        places, here = self.walks()
        order = np.arange(self.agents) if order is None else order
        places, here = places[:, order] + away, here[:, order]
        past = Past(self.agents, KNOWN[2], 4096, 8192)
        for t in range(self.frames - 1):
            past.look(past.known(here[t]))
            past.tell(np.ascontiguousarray(places[t]), here[t])
        past.look(past.known(here[-1]))
        return past, places[-1]

    def answers(self, model: TrackModel) -> list[np.ndarray]:
        """Parameters int32 (N, 6, K) and codes (N, C) of everybody, and of two of them."""
        past, _ = self.past()
        return [part for n in (self.agents, 2) for part in model.mixtures(past, np.arange(n))]

    def test_parameters_have_their_shape(self) -> None:
        """int32 (N, 6, K) of N agents, K of 1 to 16; codes float64 (N, C), whole numbers below 2^15 in size."""
        answers = self.answers(self.model())
        for found, codes, count in zip(answers[::2], answers[1::2], (self.agents, 2), strict=True):
            shaped = codes.dtype == np.float64 and codes.ndim == 2 and len(codes) == count
            demand(shaped, f"expected codes float64 ({count}, C), found {codes.dtype} {codes.shape}")
            whole = (codes == np.rint(codes)).all() and np.abs(codes).max(initial=0) < 2**15
            demand(bool(whole), "codes are not whole numbers below 2^15 in size")
            fits = found.ndim == 3 and found.shape[:2] == (count, 6) and 1 <= found.shape[2] <= 16
            demand(
                fits and found.dtype == np.int32, f"expected int32 ({count}, 6, K), found {found.dtype} {found.shape}"
            )

    def test_agents_have_no_order(self) -> None:
        """In another order everybody is told the same, to the bit."""
        model, order = self.model(), np.random.default_rng(1).permutation(self.agents)
        wanted = model.mixtures(self.past()[0], np.arange(self.agents))
        found = model.mixtures(self.past(order)[0], np.arange(self.agents))
        self.same(found, [part[order] for part in wanted], "in another order")

    def test_no_place_is_special(self) -> None:
        """Somewhere else in the plane everybody is told the same."""
        model, everybody = self.model(), np.arange(self.agents)
        found, wanted = (model.mixtures(self.past(away=away)[0], everybody) for away in (0, -123_456_789))
        self.same(found, wanted, "at another place")

    def test_one_agent_is_enough(self) -> None:
        """Who is alone is told something too."""
        found, _ = self.model().mixtures(self.past()[0], np.array([1]))
        demand(found.shape[:2] == (1, 6), f"expected (1, 6, K) of one agent, found {found.shape}")

    def test_displacements_come_back(self) -> None:
        """Intervals of what agents did, far away too, which pop gives back."""
        past, places = self.past()
        model, everybody = self.model(), np.arange(self.agents)
        mixtures = GridMixtures(model.mixtures(past, everybody)[0], past.predicted, past.sigma, past.logs)
        for wild in (0, 2**20, -(2**50)):
            moves = places - past.last
            moves[-1] += wild
            starts, freqs = mixtures.intervals(moves)
            ends = starts.astype(np.int64) + freqs
            demand(freqs.min() >= 1 and ends.max() <= TOTAL, "intervals are empty or beyond 2^24")
            stack = AnsStack()
            stack.push_intervals(starts, freqs)
            demand(np.array_equal(mixtures.pop(stack), moves), "pop gives other displacements than intervals coded")
            demand(stack.to_bytes() == b"", "pop leaves something on the stack")

    def test_asking_changes_nothing(self) -> None:
        """What is known stays as it was."""
        past, _ = self.past()
        arrays = ("last", "moves", "errors", "fast", "slow", "count", "common", "features", "predicted", "sigma")
        before = [getattr(past, name).copy() for name in arrays]
        self.model().mixtures(past, np.arange(self.agents))
        self.same([getattr(past, name) for name in arrays], before, "asked once")
