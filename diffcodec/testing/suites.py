"""Which laws a model is to keep."""

from __future__ import annotations

from typing import Any

from ..models.completion import completed
from .autoregressive import MaskedLaws, PhaseLaws, TunableLaws
from .conditional import ConditionalLaws
from .diffusion import DiffusionLaws
from .frames import FrameLaws
from .laws import Laws, ModelLaws, demand
from .tracks import TrackLaws

#: the most particular first: a suite has the laws of the kinds that its own is one of
SUITES: tuple[type[Laws], ...] = (
    ConditionalLaws,
    DiffusionLaws,
    TunableLaws,
    PhaseLaws,
    FrameLaws,
    MaskedLaws,
    TrackLaws,
)


def suites_of(model: object) -> list[type[Laws]]:
    """The suites of the kinds that a model is, each kind once."""
    found: list[type[Laws]] = []
    for suite in SUITES:
        if isinstance(model, suite.kind) and not any(issubclass(other, suite) for other in found):
            found.append(suite)
    return found


def check(model: object, **options: Any) -> None:
    """All laws of every kind that ``model`` is; ``options`` as the suites have them: ``sizes``, ``size``, ``shape``.

    A diffusion that lacks what `models.denoiser.Denoiser` has is looked at with that, as the codecs see it.
    Raises LawBroken, an AssertionError that tells the first law that is broken.
    """
    model = completed(model)
    suites = suites_of(model)
    if not suites:
        ModelLaws.of(model).check()
    demand(suites, f"{type(model).__name__} is a model of no kind: a member of its protocol is missing")
    for suite in suites:
        suite.of(model, **options).check()
