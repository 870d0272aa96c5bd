"""Laws of ARDMs: distributions are intervals that pop mirrors, and depend on nothing that a receiver does not have."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..entropy.logistic import Mixtures
from ..entropy.stack import TOTAL, AnsStack
from ..models.architectures import first_line
from ..models.lattice.geometry import TARGETS, UNKNOWN, level_count
from ..models.lattice.phases import phase_input
from ..models.lattice.walk import Walk
from ..models.protocols import EXACT, PINNED, Distributions, MaskedModel, PhaseModel, Tunable, digit_units
from .laws import SETTINGS, LawBroken, ModelLaws, demand, nobody_drew


def mirrored(distributions: Distributions, values: np.ndarray, told: str) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of ``values`` (N, C), which pop gives back; checked to lie in [0, 2^24). Raises LawBroken."""
    starts, freqs = distributions.intervals(values)
    shape = (values.size,)
    demand(starts.shape == freqs.shape == shape, f"{told}: intervals have the shapes {starts.shape}, {freqs.shape}")
    demand(starts.dtype == freqs.dtype == np.uint32, f"{told}: intervals are {starts.dtype}, {freqs.dtype}")
    ends = starts.astype(np.int64) + freqs
    demand(freqs.min() >= 1 and ends.max() <= TOTAL, f"{told}: intervals are empty or beyond 2^24")
    stack = AnsStack()
    stack.push_intervals(starts, freqs)
    popped = distributions.pop(stack)
    demand(popped.shape == values.shape, f"{told}: pop gives the shape {popped.shape}, expected {values.shape}")
    demand(np.array_equal(popped, values), f"{told}: pop gives other values than intervals coded")
    demand(stack.to_bytes() == b"", f"{told}: pop leaves something on the stack")
    return starts, freqs


class AutoregressiveLaws(ModelLaws):
    """What holds of every ARDM."""

    def answers(self, model: Any) -> list[np.ndarray]:
        """What the model says of an example: arrays of integers of any shape."""
        raise NotImplementedError

    def same(self, found: list[np.ndarray], wanted: list[np.ndarray], told: str) -> None:
        """That two answers, arrays of any shape, are one. Raises LawBroken."""
        demand(len(found) == len(wanted), f"{told}: another number of answers")
        demand(all(map(np.array_equal, found, wanted)), f"{told}: the answers are others")

    def test_it_is_exact_or_pinned(self) -> None:
        """Its numbers reach an entropy coder, which no other number may."""
        demand(self.model().numerics in (EXACT, PINNED), "expected numerics 0 or 1, found tolerant ones")

    def test_answers_are_the_same_again(self) -> None:
        """To the bit; a second model made is the same one."""
        model = self.model()
        wanted = self.answers(model)
        self.same(self.answers(model), wanted, "asked twice")
        self.same(self.answers(self.model()), wanted, "made twice")

    def test_nobody_draws(self) -> None:
        """The caller's generators of random numbers stay where they are."""
        model = self.model()
        with nobody_drew():
            self.answers(model)

    def test_settings_of_the_process_change_nothing(self) -> None:
        """Whatever a caller has set in torch; of threads only an exact model does not care."""
        model = self.model()
        wanted = self.answers(model)
        for name, setting in SETTINGS.items():
            if "thread" in name and model.numerics != EXACT:
                continue
            try:
                with setting():
                    found = self.answers(model)
            except LawBroken:
                raise
            except Exception as error:
                raise LawBroken(f"with {name} set: {type(error).__name__}: {first_line(error)}") from error
            self.same(found, wanted, f"with {name} set")


class PhaseLaws(AutoregressiveLaws):
    """What holds of every `protocols.PhaseModel`. ``size``: (H, W) of the picture that the laws look at."""

    kind: ClassVar[type] = PhaseModel
    size: ClassVar[tuple[int, int]] = (45, 26)

    def photo(self) -> np.ndarray:
        """uint8 (H, W, 3)."""
        H, W = self.size
        y, x = np.mgrid[0:H, 0:W]
        random = np.random.default_rng(0)
        waves = [128 + 90 * np.sin(x / k) * np.cos(y / (k + 3)) for k in (5, 6, 8)]
        return np.clip(np.stack(waves, 2) + random.normal(0, 3, (H, W, 3)), 0, 255).astype(np.uint8)

    def walked(self, model: PhaseModel) -> list[tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]]:
        """For every unit from coarse to fine: (params, features, its pixels (h, w, 3), sums of their neighbours)."""
        walk, out = Walk(self.photo()), []
        for level in reversed(range(level_count(*self.size))):
            before: np.ndarray | None = None
            for phase in range(len(TARGETS)):
                target, base = walk.enter(level, phase)
                bias = model.bias(phase, level, (3, 12) if level < 2 else UNKNOWN)
                params, after = model.strip(phase, phase_input(walk.known, phase), before, bias, 0, 0)
                out.append((params, after, target.copy(), base))
                before = after
                walk.leave(target, base)
        return out

    def answers(self, model: PhaseModel) -> list[np.ndarray]:
        """The parameters of every unit, int32 (h, w, 10K)."""
        return [params for params, *_ in self.walked(model)]

    def test_a_bias_is_a_row_of_integers(self) -> None:
        """int32 (C,) for any level and any codes of side information."""
        model = self.model()
        for phase in range(3):
            shapes = set()
            for level in (0, 1, 5, 12, 31):
                for codes in ((0, 0), (15, 3), UNKNOWN):
                    bias = model.bias(phase, level, codes)
                    demand(bias.dtype == np.int32 and bias.ndim == 1, f"a bias is {bias.dtype} {bias.shape}")
                    shapes.add(bias.shape)
            demand(len(shapes) == 1, f"biases of one phase have the shapes {shapes}")

    def test_parameters_have_their_shape(self) -> None:
        """int32 (rows, w, 10K) of one K, features (rows, w, C) for the next phase and none after the last."""
        units = self.walked(self.model())
        outputs = {params.shape[2] for params, *_ in units}
        demand(len(outputs) == 1 and next(iter(outputs)) % 10 == 0, f"parameters of {outputs} outputs, expected 10 K")
        for number, (params, features, *_) in enumerate(units):
            demand(params.dtype == np.int32, f"parameters are {params.dtype}, expected int32")
            demand((features is None) == (number % 3 == 2), "features belong behind the first two phases of a level")
            if features is not None:
                demand(features.shape[:2] == params.shape[:2], f"features {features.shape} of {params.shape}")

    def test_pixels_come_back(self) -> None:
        """The distributions of every unit code its pixels, and pop gives them back."""
        for params, _, target, base in self.walked(self.model()):
            h, w = target.shape[:2]
            rows = np.ascontiguousarray(params[:h, :w]).reshape(h * w, 10, -1)
            sums, pixels = base[:h, :w].reshape(-1, 3), target.reshape(-1, 3)
            if len(pixels):
                mirrored(Mixtures(rows, sums), pixels, "a unit of the lattice")

    def test_strips_are_the_whole(self) -> None:
        """Rows with a halo about them give what the whole gives, first phase and those that see its features."""
        model = self.model()
        walk, halo = Walk(self.photo()), model.halo
        before: np.ndarray | None = None
        for phase in range(len(TARGETS)):
            target, base = walk.enter(0, phase)
            x, bias = phase_input(walk.known, phase), model.bias(phase, 0, (3, 12))
            whole, after = model.strip(phase, x, before, bias, 0, 0)
            h = len(whole)
            for y0, y1 in ((0, h // 3), (h // 3, h // 3 + 1), (h // 3 + 1, h)):
                top, bottom = min(halo, y0), min(halo, h - y1)
                part = before[y0 - top : y1 + bottom] if before is not None else None
                found, features = model.strip(phase, x[:, y0 - top : y1 + bottom + 5], part, bias, top, bottom)
                demand(np.array_equal(found, whole[y0:y1]), f"rows {y0} to {y1} alone have other parameters: the halo")
                if after is not None and features is not None:
                    demand(np.array_equal(features, after[y0:y1]), f"rows {y0} to {y1} alone have other features")
            before = after
            walk.leave(target, base)


class TunableLaws(PhaseLaws):
    """What holds of every `protocols.Tunable`."""

    kind: ClassVar[type] = Tunable

    def changes(self, model: Tunable) -> np.ndarray:
        """int8 (phases, 10K, C + 1): some steps."""
        phases, outputs, inputs = model.head_shape
        drawn = np.random.default_rng(0).integers(-3, 4, (phases, outputs, inputs + 1))
        return drawn.astype(np.int8)

    def test_steps_have_the_shape_of_the_head(self) -> None:
        """float64 (phases, 10K, 2), none of them nothing."""
        model = self.model()
        steps, (phases, outputs, _) = model.steps(), model.head_shape
        demand(steps.shape == (phases, outputs, 2), f"steps have the shape {steps.shape} of a head {model.head_shape}")
        demand(steps.dtype == np.float64 and bool((steps > 0).all()), "steps are no positive doubles")

    def test_no_step_changes_nothing(self) -> None:
        """And the model itself stays as it was, whatever is made of it."""
        model = self.model()
        wanted, some = self.answers(model), self.changes(model)
        self.same(self.answers(model.adjusted(np.zeros_like(some))), wanted, "adjusted by nothing")
        other = model.adjusted(model.limited(some))
        self.same(self.answers(model), wanted, "after another was made of it")
        demand(not all(map(np.array_equal, self.answers(other), wanted)), "an adjustment changes nothing")

    def test_an_adjusted_model_is_called_the_same(self) -> None:
        """The stream names the one that it was made of."""
        model = self.model()
        other = model.adjusted(model.limited(self.changes(model)))
        demand(isinstance(other, Tunable), "an adjusted model is not tunable")
        demand((other.name, other.fingerprint) == (model.name, model.fingerprint), "an adjusted model has another name")

    def test_what_is_limited_is_taken(self) -> None:
        """The largest steps, limited, keep the exact range."""
        model = self.model()
        most = np.full_like(self.changes(model), 127)
        limited = model.limited(most)
        demand(limited.shape == most.shape and limited.dtype == np.int8, f"limited steps are {limited.dtype}")
        try:
            model.adjusted(limited)
        except ValueError as error:
            raise LawBroken(f"limited steps are refused: {first_line(error)}") from error

    def test_codes_are_what_steps_count(self) -> None:
        """A step of one output adds its size times the codes, to rounding, where nothing is clamped."""
        model = self.model()
        walk = Walk(self.photo())
        walk.enter(0, 0)
        given = (0, phase_input(walk.known, 0), None, model.bias(0, 0, (3, 12)), 0, 0)
        params, features, codes = model.strip_and_codes(*given)
        again, same_features = model.strip(*given)
        demand(np.array_equal(params, again), "strip and strip_and_codes give other parameters")
        demand(features is not None and same_features is not None, "no features behind the first phase")
        change = np.zeros_like(self.changes(model))
        change[0, 0, 0] = 1
        moved = model.adjusted(change).strip(*given)[0].astype(np.int64) - params
        demand(not moved[..., 1:].any(), "a step of one output changes others")
        apart = np.abs(moved[..., 0] - model.steps()[0, 0, 0] * codes[..., 0]).max()
        demand(apart <= 1, f"a step adds {apart:.2f} more or less than its size times the codes")


class MaskedLaws(AutoregressiveLaws):
    """What holds of every `protocols.MaskedModel`. ``shape``: (H, W, C) of tokens that it takes."""

    kind: ClassVar[type] = MaskedModel
    shape: ClassVar[tuple[int, int, int]] = (6, 9, 3)

    def example(self, model: MaskedModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tokens uint8 (H, W, C), known bool (H, W), places that are asked, in no order)."""
        random = np.random.default_rng(0)
        tokens = random.integers(0, model.vocabulary, self.shape, dtype=np.uint8)
        known = random.random(self.shape[:2]) < 0.4
        known.flat[0] = False
        asked = random.permutation(np.flatnonzero(~known.ravel()))[:7]
        return tokens, known, asked

    def digits(self, model: MaskedModel, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """(digits of the places asked at a stage, tokens as a receiver has them then)."""
        tokens, known, asked = self.example(model)
        units = digit_units(model.vocabulary, model.branching)
        unit = units[stage]
        above = units[stage - 1] if stage else 256
        flat = tokens.reshape(-1, self.shape[2]).astype(np.int64)
        seen = np.where(known[..., None], tokens // unit * unit, tokens // above * above if stage else 0)
        return (flat[asked] % above // unit).astype(np.uint8), seen.astype(np.uint8)

    def stages(self, model: MaskedModel) -> range:
        """Of depth upscaling."""
        return range(len(digit_units(model.vocabulary, model.branching)))

    def answers(self, model: MaskedModel) -> list[np.ndarray]:
        """Intervals of an example, uint32 (n C,), at every stage."""
        _, known, asked = self.example(model)
        out: list[np.ndarray] = []
        for stage in self.stages(model):
            digits, seen = self.digits(model, stage)
            out += model.ask(seen, known, stage, asked).intervals(digits)
        return out

    def test_its_alphabet_is_one(self) -> None:
        """2 to 256 values in digits of 2 or more; what a token costs at two shares of known ones or more."""
        model = self.model()
        demand(2 <= model.vocabulary <= 256 and model.branching >= 2, f"{model.vocabulary}, {model.branching}")
        profile = list(model.profile)
        whole = all(int(bits) == bits and 0 <= bits <= 2**20 for bits in profile)
        demand(len(profile) >= 2 and whole, f"expected a profile of bits x 1024, found {profile[:8]}")
        demand(isinstance(model.separate, bool), f"separate is {model.separate!r}")

    def test_tokens_come_back(self) -> None:
        """The distributions of every stage code the digits, and pop gives them back."""
        model = self.model()
        _, known, asked = self.example(model)
        for stage in self.stages(model):
            digits, seen = self.digits(model, stage)
            mirrored(model.ask(seen, known, stage, asked), digits, f"stage {stage}")

    def test_probabilities_are_all(self) -> None:
        """The intervals of all values of a token of one channel fill [0, 2^24) without a gap."""
        model = self.model()
        if self.shape[2] != 1:
            return
        _, known, asked = self.example(model)
        for stage in self.stages(model):
            _, seen = self.digits(model, stage)
            found = model.ask(seen, known, stage, asked)
            values = min(model.branching, model.vocabulary)
            rows = [found.intervals(np.full((len(asked), 1), v, np.uint8)) for v in range(values)]
            starts, freqs = (np.stack(part).astype(np.int64) for part in zip(*rows, strict=True))
            ends = np.cumsum(freqs, 0)
            demand(bool((ends[-1] == TOTAL).all()), f"stage {stage}: intervals fill {ends[-1].min()} of 2^24")
            demand(np.array_equal(starts, ends - freqs), f"stage {stage}: intervals overlap or leave gaps")

    def test_what_is_not_known_is_not_looked_at(self) -> None:
        """A receiver has nothing where a token is not known: whatever stands there, answers are the same."""
        model = self.model()
        tokens, known, asked = self.example(model)
        units = digit_units(model.vocabulary, model.branching)
        for stage in self.stages(model):
            digits, seen = self.digits(model, stage)
            below = units[stage - 1] if stage else model.vocabulary
            filled = np.minimum(seen + tokens.astype(np.int64) % below, model.vocabulary - 1)
            other = np.where(known[..., None], seen, filled).astype(np.uint8)
            wanted = list(model.ask(seen, known, stage, asked).intervals(digits))
            found = list(model.ask(other, known, stage, asked).intervals(digits))
            self.same(found, wanted, "with other tokens that are not known")

    def test_answers_come_in_the_order_of_places(self) -> None:
        """Row n is of place n of those that were asked."""
        model = self.model()
        _, known, asked = self.example(model)
        digits, seen = self.digits(model, 0)
        C = self.shape[2]
        wanted = [part.reshape(-1, C)[::-1].ravel() for part in model.ask(seen, known, 0, asked).intervals(digits)]
        found = model.ask(seen, known, 0, asked[::-1].copy()).intervals(digits[::-1].copy())
        self.same(list(found), wanted, "asked in reverse")

    def test_asking_changes_nothing(self) -> None:
        """What is given stays as it was."""
        model = self.model()
        _, known, asked = self.example(model)
        digits, seen = self.digits(model, 0)
        before = seen.copy(), known.copy(), asked.copy()
        model.ask(seen, known, 0, asked).intervals(digits)
        self.same([seen, known, asked], list(before), "after it was asked")
