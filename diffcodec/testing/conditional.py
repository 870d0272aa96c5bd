"""Laws of models that may be given something: what comes back is a diffusion like any other, and knows more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
import torch

from ..models.condition import Before, Condition, ConditionalModel, FileGiven, Frames, Observed, Outside, Text
from ..models.condition import given as conditioned
from ..models.operators import Box, Bytes, Crop, Luma, LumaChroma, Mask
from ..models.protocols import DiffusionModel
from ..runtime.errors import InputError, ModelMismatch
from .diffusion import DiffusionLaws, picture
from .laws import LawBroken, demand


def _half(seen: Bytes) -> Mask:
    """Every other pixel, as on a board."""
    H, W, _ = seen.shape
    return Mask(np.indices((H, W)).sum(0) % 2 == 0)


def _file(seen: Bytes) -> bytes:
    H, W, _ = seen.shape
    return f"P6 {W} {H} 255\n".encode() + seen.tobytes()


#: what a model is given in these laws, by its kind, of a picture uint8 (H, W, 3)
EXAMPLES: dict[str, Callable[[Bytes], Condition]] = {
    "box": lambda seen: Observed.of(seen, Box(2)),
    "luma": lambda seen: Observed.of(seen, Luma()),
    "chroma": lambda seen: Observed.of(seen, LumaChroma(2)),
    "mask": lambda seen: Observed.of(seen, _half(seen)),
    "crop": lambda seen: Observed.of(seen, Crop(0, 0, len(seen) // 2 or 1, seen.shape[1] // 2 or 1)),
    "text": lambda seen: Text("waves of every colour"),
    "file": lambda seen: FileGiven(_file(seen), seen),
    "before": lambda seen: Before((seen,)),
    "frames": lambda seen: Frames((seen,), (0,)),
    "outside": lambda seen: Outside.of(seen),
}
WORSE = 1.5  #: times the error without it that a model may have that was given what is true of an unlikely picture
WORSE_BY_WORDS = 2.0  #: likewise of a text, which is no measurement of the picture


class ConditionalLaws(DiffusionLaws):
    """What holds of every `models.condition.ConditionalModel`; ``sizes`` are such that something can be given for."""

    kind: ClassVar[type] = ConditionalModel

    def example(self, kind: str) -> Condition:
        """What is given of a kind: true of ``picture`` of the first size."""
        return EXAMPLES[kind](np.ascontiguousarray(picture(*self.sizes[0])[0].permute(1, 2, 0).numpy()))

    def each(self) -> Iterator[tuple[str, ConditionalModel, DiffusionModel]]:
        """(kind, model, the model given an example of it)."""
        model = self.model()
        for kind in sorted(model.takes):
            yield kind, model, model.given(self.example(kind))

    def test_it_takes_what_there_is(self) -> None:
        """A set of kinds that there are, at least one."""
        takes = self.model().takes
        demand(isinstance(takes, frozenset) and takes, f"expected a frozenset of kinds, found {takes!r}")
        demand(takes <= EXAMPLES.keys(), f"kinds that are not there: {sorted(takes - EXAMPLES.keys())}")

    def test_it_refuses_what_it_does_not_take(self) -> None:
        """By InputError."""
        model = self.model()
        for kind in sorted(EXAMPLES.keys() - model.takes):
            try:
                model.given(self.example(kind))
            except InputError:
                continue
            demand(False, f"it was given {kind}, which it does not take, and said nothing")

    def test_what_was_given_makes_a_diffusion(self) -> None:
        """Which keeps every law of diffusions."""
        for _, _, given in self.each():
            DiffusionLaws.of(given, sizes=self.sizes[:1]).check()

    def test_what_was_given_changes_no_name(self) -> None:
        """The stream names the model, and its latents are the same ones."""
        for kind, model, given in self.each():
            for what in ("name", "fingerprint", "numerics", "channels", "grid", "pixels", "logsnr_min", "logsnr_max"):
                a, b = getattr(given, what), getattr(model, what)
                demand(a == b, f"given {kind} its {what} is {a!r}, before {b!r}")
            size = self.sizes[0]
            same = given.latent_shape(size) == model.latent_shape(size)
            x, y = (one.to_latent(picture(*size)) for one in (given, model))
            demand(same and torch.equal(x, y), f"given {kind} its latents are others")

    def test_the_model_stays_as_it_was(self) -> None:
        """Whatever others are made of it, and the same is made of it again."""
        model = self.model()
        _, _, z, t = self.at(model, -1.0)
        before = model.predict(z, t)
        for kind, _, given in self.each():
            first = given.predict(z, t)
            again = model.given(self.example(kind)).predict(z, t)
            self.close(model, again, first, f"given {kind} twice", exactly=True)
            self.close(model, given.predict(z, t), first, f"given {kind}, asked twice", exactly=True)
            self.close(model, model.predict(z, t), before, f"after it was given {kind}", exactly=True)

    def test_what_was_given_is_looked_at(self) -> None:
        """Where z tells little, x_hat is another, and no worse for what is true."""
        for kind, model, given in self.each():
            x, _, z, _ = self.at(model, model.logsnr_min)
            units = round(1024 * model.logsnr_min)
            without, knowing = model.x_hat(z, units), given.x_hat(z, units)
            demand(not torch.equal(without, knowing), f"given {kind} it says what it said before")
            before, after = (float((found - x).square().mean()) for found in (without, knowing))
            most = WORSE_BY_WORDS if kind == "text" else WORSE
            demand(after <= most * before, f"given {kind} it errs by {after:.3g}, before by {before:.3g}")

    def test_more_may_be_given_in_any_order(self) -> None:
        """If what comes back takes something too."""
        for kind, model, given in self.each():
            if not isinstance(given, ConditionalModel):
                continue
            _, _, z, t = self.at(model, -1.0)
            for other in sorted(given.takes - {kind}):
                both = [self.example(kind), self.example(other)]
                try:
                    one, two = (conditioned(model, order) for order in (both, both[::-1]))
                except ModelMismatch as error:
                    raise LawBroken(f"given {other} it takes nothing more, given {kind} it takes {other}") from error
                self.close(model, one.predict(z, t), two.predict(z, t), f"given {kind} and {other} in two orders")
