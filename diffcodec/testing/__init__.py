"""The laws that every model and every codec keeps, to be run on one's own: with pytest, or without.

A suite is a class whose methods named ``test_…`` are laws. With pytest, derive from it and say how the model is made::

    class TestMine(diffcodec.testing.DiffusionLaws):
        def make(self):
            return Mine()

Without, ``diffcodec.testing.check(model)`` runs the laws of every kind that the model is, and
``diffcodec.testing.CodecLaws.of(codec, provider=model).check()`` those of a codec. A law that is broken raises
:class:`LawBroken`, an AssertionError that says what was found. Nothing here needs pytest.
"""

from __future__ import annotations

from .autoregressive import MaskedLaws, PhaseLaws, TunableLaws
from .codecs import CodecLaws
from .conditional import ConditionalLaws
from .diffusion import DiffusionLaws
from .frames import FrameLaws
from .laws import LawBroken, Laws, ModelLaws
from .suites import check, suites_of
from .tracks import TrackLaws

__all__ = [
    "CodecLaws",
    "ConditionalLaws",
    "DiffusionLaws",
    "FrameLaws",
    "LawBroken",
    "Laws",
    "MaskedLaws",
    "ModelLaws",
    "PhaseLaws",
    "TrackLaws",
    "TunableLaws",
    "check",
    "suites_of",
]
