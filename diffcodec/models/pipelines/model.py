"""The provider that is made of a pipeline: its network, its scheduler's noise, its latents, its texts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...diffusion.samplers import Multistep
from ...runtime.errors import InputError, ModelMismatch
from ..architectures import first_line
from ..condition import Condition, Observed, Text, check
from ..guidance import thresholded
from ..network import Held, NetworkDenoiser, within
from ..settings import outside_inference
from .schedulers import Trained, trained
from .spaces import Latents, Pixels, Space
from .table import PIPELINES, Known, Row

STUDENT = Multistep.of((), 0.0, ())  #: x_hat is the answer


@dataclass(frozen=True)
class Identity:
    """What a stream records of a pipeline: a name, and the SHA-256 of all files, or of weights and configurations."""

    name: str
    fingerprint: bytes


@dataclass(frozen=True)
class Opened:
    """A pipeline of diffusers whose class, scheduler and autoencoder are understood, and where it runs."""

    pipe: Any
    identity: Identity
    device: torch.device
    row: Row
    trained: Trained
    space: Space

    @classmethod
    def of(cls, pipe: Any, identity: Identity, device: torch.device) -> Opened:
        """Raises ModelMismatch for what is not understood, by name."""
        row = row_named(type(pipe).__name__)
        return cls(pipe, identity, device, row, trained(pipe.scheduler), _space(pipe, row, device))

    def model(self, label: int | None = None) -> PipelineModel:
        """The provider of all its pictures, or of a label's. Raises InputError for one that it has not."""
        kind = PipelineModel if self.row.words is None else TextPipelineModel
        kind = kind if self.row.observed is None else EnlargingPipelineModel
        with torch.no_grad(), outside_inference():
            return _tried(kind(self, self.row.known(self.pipe, label)))


def _space(pipe: Any, row: Row, device: torch.device) -> Space:
    """Raises ModelMismatch where the network takes something else, grey pictures, or a mask beside latents."""
    space = Pixels(device) if row.autoencoder is None else Latents(getattr(pipe, row.autoencoder), device)
    found, wanted = getattr(pipe, row.network).config["in_channels"], space.channels * row.packed
    if found != wanted:
        raise ModelMismatch(f"its network takes {found} channels, where {wanted} are expected")
    return space


def _tried(model: PipelineModel) -> PipelineModel:
    """The model, asked once about the smallest input: a network that wants to be told more says so here.

    Raises ModelMismatch.
    """
    z = torch.zeros(1, model.channels, model.multiple, model.multiple, device=model.device)
    try:
        model.predict(z, torch.tensor(0.0, device="cpu"))
    except MemoryError:
        raise
    except Exception as error:  # of another's program, whatever it is
        raise ModelMismatch(f"the network of '{model.name}' cannot be asked: {first_line(error)}") from error
    return model


class PipelineModel(NetworkDenoiser):
    """A `DiffusionModel` of the pictures that a pipeline knows, whose network is told what is ``known``."""

    def __init__(self, opened: Opened, known: Known):
        self.opened, self.known, space = opened, known, opened.space
        bound = 1.0 if space.pixels else opened.trained.bound
        super().__init__(
            opened.row.asking(opened.pipe, known),
            opened.trained.predicts,
            opened.trained.schedule,
            name=opened.identity.name,
            fingerprint=opened.identity.fingerprint,
            channels=space.channels,
            multiple=opened.row.multiple(opened.pipe),
            least=2,  # networks that normalise cannot do so of one point
            held_to=None if bound is None else within(bound),
            dtype=getattr(opened.pipe, opened.row.network).dtype,
            device=opened.device,
        )
        self.grid, self.pixels = space.grid, space.pixels

    @property
    def shortcut(self) -> Multistep | None:
        """Of a consistency model, whose x_hat is a picture."""
        return STUDENT if self.opened.trained.student else None

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """Of the pipeline's latents, or its size. Raises InputError where its network has no places for it."""
        latent, most = self.opened.space.latent_shape(shape), self.opened.row.most
        longest = None if most is None else most(self.opened.pipe)
        if longest is not None and max(latent[1:]) > longest:
            raise InputError(f"'{self.name}' takes pictures of {longest * self.grid} pixels a side at most")
        return latent

    def to_latent(self, image: Tensor) -> Tensor:
        """As `DiffusionModel.to_latent`: by the mode of an autoencoder, or the picture."""
        return self.opened.space.to_latent(image)

    def from_latent(self, x: Tensor) -> Tensor:
        """As `DiffusionModel.from_latent`."""
        return self.opened.space.from_latent(x)


class TextPipelineModel(PipelineModel):
    """A `ConditionalModel` that may be given a text; without one it is told the empty one."""

    takes = frozenset({"text"})

    def given(self, condition: Condition) -> PipelineModel:
        """The model of pictures of that text. Raises InputError for what it does not take, ModelMismatch.

        What was written for another encoder, told by its fingerprint, is ModelMismatch.
        """
        with torch.no_grad(), outside_inference():
            return GivenText(self.opened, read_by(self, condition), self.known)


class GivenText(PipelineModel):
    """A `TextPipelineModel` that was given a text: a `DiffusionModel` like any other.

    What codes, and E[x|z_t], is the network told the text, without guidance: it errs least. Guidance is of what leads
    on from there to a picture, the calls of `flow` behind its first (`protocols.Continued`).
    """

    def __init__(self, of: Opened, text: Text, empty: Known):
        words, row = of.row.words, of.row
        assert words is not None
        if text.negative and (row.distilled or text.scale == 1):
            raise InputError("a negative text needs a scale of guidance other than 1, and a network without its own")
        super().__init__(of, empty | words(of.pipe, text.prompt))
        self.text, self.empty = text, empty
        self.further: NetworkDenoiser = self
        if text.scale != 1:
            away = empty | (row.against or words)(of.pipe, text.negative) if text.negative else empty
            dynamic: Held = partial(thresholded, share=of.trained.share, most=of.trained.most)
            network = row.guided(of.pipe, self.known, away, text.scale)
            self.further = self.asking(network, dynamic if self.pixels else self.held_to)


class EnlargingPipelineModel(TextPipelineModel):
    """A `ConditionalModel` of a second stage, that may be given the picture in small and a text, in any order."""

    takes = frozenset({"box", "text"})

    def given(self, condition: Condition) -> PipelineModel:
        """As `TextPipelineModel.given`: of a text the model that takes a small picture still, of that one for texts."""
        if isinstance(condition, Observed):
            return TextPipelineModel(self.opened, observed(self, condition, self.known))
        with torch.no_grad(), outside_inference():
            return TextToEnlarge(self.opened, read_by(self, condition), self.known)


class TextToEnlarge(GivenText):
    """A `GivenText` of a second stage, that may be given the picture in small still."""

    takes = frozenset({"box"})

    def given(self, condition: Condition) -> GivenText:
        """The model of that small picture as well. Raises InputError for what it does not take."""
        known = observed(self, condition, self.empty)
        with torch.no_grad(), outside_inference():
            return GivenText(self.opened, self.text, known)


def read_by(model: TextPipelineModel, condition: Condition) -> Text:
    """The text. Raises InputError for what the model does not take, ModelMismatch for another encoder's."""
    check(model, condition)
    assert isinstance(condition, Text)
    if any(condition.fingerprint) and not model.fingerprint.startswith(condition.fingerprint):
        raise ModelMismatch(f"the text was read by '{condition.encoder}', which '{model.name}' does not have")
    return condition


def observed(model: EnlargingPipelineModel | TextToEnlarge, condition: Condition, known: Known) -> Known:
    """What the network is told, and the small picture. Raises InputError for what the model does not take."""
    check(model, condition)
    assert isinstance(condition, Observed) and model.opened.row.observed is not None
    return known | model.opened.row.observed(model.opened.pipe, condition)


def row_named(name: object) -> Row:
    """Of a class of pipelines. Raises ModelMismatch for one that has no row."""
    if not isinstance(name, str) or name not in PIPELINES:
        raise ModelMismatch(f"no row for pipeline {name}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name]
