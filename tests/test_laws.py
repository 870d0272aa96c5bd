"""Every model keeps the laws of its kind, and for every law there is a model that breaks it and is caught."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White, needs_weights
from torch import Tensor

from diffcodec import testing
from diffcodec.entropy.tables import Categorical, frequency_tables
from diffcodec.models import registry
from diffcodec.models.gaussian import GaussianModel
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.testing import (
    ConditionalLaws,
    DiffusionLaws,
    FrameLaws,
    LawBroken,
    Laws,
    MaskedLaws,
    PhaseLaws,
    TrackLaws,
    TunableLaws,
)

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"


# ---- those that keep them


@cache
def bundled(name: str) -> Any:
    return registry.load(name, codec=None, device="cpu")


SUITES: dict[str, type[Laws]] = {
    "clip-ardm-1": FrameLaws,
    "lattice-ardm-1": TunableLaws,
    "masked-unet-exact-1": MaskedLaws,
    "octaves-1": DiffusionLaws,
    "tracks-ardm-1": TrackLaws,
    "vdm-unet-1": DiffusionLaws,
    "vdm-unet-clip-1": ConditionalLaws,
    "vdm-unet-exact-1": DiffusionLaws,
    "vdm-unet-given-1": ConditionalLaws,
    "vdm-unet-text-1": ConditionalLaws,
}


def of_every_card() -> list[Any]:
    """(name, suite, law) of the bundled models."""
    out = []
    for card in registry.cards():
        suite = SUITES[card["config"]["architecture"]]
        out += [pytest.param(card["name"], suite, law, id=f"{card['name']}-{law}") for law in suite.laws()]
    return out


@needs_weights
@pytest.mark.parametrize(("name", "suite", "law"), of_every_card())
def test_bundled_models_keep_the_laws(name: str, suite: type[Laws], law: str) -> None:
    model = bundled(name)
    assert testing.suites_of(model) == [suite]
    getattr(suite.of(model), law)()


@needs_weights
@pytest.mark.parametrize("name", ["text-ardm", "audio-ardm"])
def test_token_models_keep_the_laws(name: str) -> None:
    testing.check(registry.load(DATA / name, device="cpu"), shape=(1, 40, 1))


@needs_weights
def test_grey_pictures_of_an_order_agnostic_model() -> None:
    testing.check(bundled("cifar10-oa"), shape=(7, 5, 1))


class TestWhite(DiffusionLaws):
    def make(self) -> White:
        return White()


class TestGaussian(DiffusionLaws):
    sizes = (4, 32), (1, 32)

    def make(self) -> GaussianModel:
        return GaussianModel(np.geomspace(0.01, 4, 32))


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documentation is not part of this distribution")
def test_the_pages_provider_keeps_the_laws() -> None:
    text = (ROOT / "docs" / "howto" / "provider.md").read_text(encoding="utf-8")
    block = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)[0]
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.partition("\ny, x =")[0], "provider", "exec"), names)
    testing.check(names["Spectrum"]())


class Bare:
    """As much as a diffusion had to have before the protocol declared all."""

    name, numerics, channels, fingerprint = "bare", 2, 3, bytes(32)
    logsnr_min, logsnr_max = -8.0, 13.5

    def __init__(self) -> None:
        white = White()
        self.predict, self.to_latent, self.from_latent = white.predict, white.to_latent, white.from_latent


def test_a_bare_provider_keeps_the_laws() -> None:
    testing.check(Bare())


# ---- small models of the other kinds


class Flat:
    """A lattice ARDM in integers: the mean of a pixel's known neighbours, and what its row's neighbours tell."""

    name, numerics, device, halo = "flat", 0, "cpu", 1
    fingerprint = hashlib.sha256(b"flat").digest()
    head_shape = (3, 10, 4)

    def __init__(self, weight: np.ndarray | None = None):
        self.weight = np.arange(120, dtype=np.int64).reshape(3, 4, 10) % 7 if weight is None else weight
        self.shift = np.zeros((3, 10), np.int64)

    def bias(self, phase: int, level: int, codes: tuple[int, int]) -> np.ndarray:
        return np.full(4, min(level, 3) + codes[0], np.int32)

    def steps(self) -> np.ndarray:
        return np.broadcast_to([1.0, 32.0], (3, 10, 2)).copy()

    def strip_and_codes(self, phase: int, x: Any, before: Any, bias: np.ndarray, top: int, bottom: int) -> Any:
        rows, w = x.shape[1] - 5, x.shape[2] - 5
        centre = x[0, 2 : 2 + rows, 2 : 2 + w].astype(np.int64)
        tall = np.pad(centre, ((1, 1), (0, 0)))
        codes = np.stack([(tall[:-2] + tall[2:]) // 64, centre // 64, centre * 0 + bias[0], centre * 0 + 1], 2)
        if before is not None:
            codes[..., 3] += before[..., 0]
        codes = codes[top : rows - bottom]
        params = (codes @ self.weight[phase] + self.shift[phase]).astype(np.int32)
        return params, codes.astype(np.uint8) if phase < 2 else None, codes.astype(np.float32)

    def strip(self, *given: Any) -> Any:
        return self.strip_and_codes(*given)[:2]

    def limited(self, steps: np.ndarray) -> np.ndarray:
        return np.clip(steps, -50, 50)

    def adjusted(self, steps: np.ndarray) -> Any:
        if np.abs(steps.astype(int)).max() > 50:
            raise ValueError("too far")
        other = type(self)(self.weight + steps[..., :-1].transpose(0, 2, 1))
        other.shift = self.shift + 32 * steps[..., -1].astype(np.int64)
        return other


class Flow:
    """A lattice ARDM of frames: what `Flat` says of the last of the past, moved by what is known."""

    name, numerics, device, halo, past = "flow", 0, "cpu", 1, 2
    fingerprint = hashlib.sha256(b"flow").digest()

    def frame_bias(self, phase: int, level: int, codes: tuple[int, ...]) -> np.ndarray:
        return Flat().bias(phase, level, codes[:2])

    head_shape = Flat().head_shape

    def frame_strip_and_codes(self, phase: int, x: Any, before: Any, bias: np.ndarray, top: int, bottom: int) -> Any:
        mixed = x[-1:] // 2 + x[:1] // 2
        return Flat().strip_and_codes(phase, mixed, before, bias, top, bottom)

    def frame_strip(self, *given: Any) -> Any:
        return Flow.frame_strip_and_codes(self, *given)[:2]


class Near:
    """An order-agnostic ARDM: a token is like the known one before it."""

    name, numerics, device, separate, vocabulary, branching = "near", 0, "cpu", False, 27, 4
    fingerprint = hashlib.sha256(b"near").digest()
    profile = (9000, 4000, 3000)

    def ask(self, tokens: np.ndarray, known: np.ndarray, stage: int, asked: np.ndarray) -> Any:
        unit = (16, 4, 1)[stage]
        flat, told = tokens.reshape(-1).astype(int), known.ravel()
        weights = np.ones((len(asked), 4), np.int64)
        for n, place in enumerate(asked):
            if place and told[place - 1]:
                weights[n, flat[place - 1] // unit % 4] += 50
        return Categorical(frequency_tables(weights * 1000))


NEAR = {"shape": (5, 8, 1)}


class Onward:
    """Agents that go on as predicted, more or less: one logistic, wider for who is among others."""

    name, numerics, device = "onward", 0, "cpu"
    fingerprint = hashlib.sha256(b"onward").digest()

    def mixtures(self, past: Any, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        out = np.zeros((len(known), 6, 1), np.int32)
        out[:, 1, 0] = past.features[known, 0]
        out[:, 3:5] = len(known)
        return out, np.full((len(known), 1), 64.0)


def test_small_models_keep_the_laws() -> None:
    testing.check(Flat())
    testing.check(Near(), **NEAR)
    testing.check(Onward())
    assert testing.suites_of(Fields()) == [ConditionalLaws]
    testing.check(Fields())


# ---- those that break one

count = iter(range(10**9))
PARAMETER = torch.nn.Parameter(torch.ones(()))


def diffusion(**changes: Any) -> White:
    """White pixels with other members."""
    return type("Broken", (White,), changes)()


def predicting(change: Callable[[Tensor, Tensor, Tensor], Tensor], **changes: Any) -> White:
    """White pixels whose prediction becomes change(eps_hat, z, logsnr)."""
    return diffusion(predict=lambda self, z, t: change(White.predict(self, z, t), z, t), **changes)


def scaled_only(self: Any, image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1


def half_way(self: Any, image: Tensor) -> Tensor:
    return image.float() / 255


def back_again(self: Any, x: Tensor) -> Tensor:
    return (x * 255).round().byte()


def drawing(result: Any) -> Any:
    torch.rand(1)
    return result


DIFFUSIONS: dict[str, list[Any]] = {
    "test_its_name_can_be_recorded": [diffusion(name="a/b"), diffusion(name=3), diffusion(name="x" * 65)],
    "test_its_fingerprint_is_a_digest": [
        diffusion(fingerprint=bytes(31)), diffusion(fingerprint="0" * 32),
        diffusion(fingerprint=property(lambda self: hashlib.sha256(bytes([next(count) % 256])).digest())),
    ],
    "test_its_numerics_are_a_class": [diffusion(numerics=3), diffusion(numerics="exact")],
    "test_its_device_is_one": [diffusion(device="nowhere"), diffusion(device=None)],
    "test_its_range_is_one": [diffusion(logsnr_min=14.0), diffusion(logsnr_max=float("inf"))],
    "test_its_grid_and_channels_are_counts": [diffusion(grid=0), diffusion(arithmetic="a, b")],
    "test_latents_have_their_shape": [
        diffusion(latent_shape=lambda self, shape: (3, shape[1], shape[0] + 1), to_latent=scaled_only),
        diffusion(channels=4),
        diffusion(to_latent=lambda self, image: White.to_latent(self, image).double()),
    ],
    "test_pictures_come_back": [
        diffusion(from_latent=lambda self, x: ((x + 1) * 127).byte()),
        diffusion(from_latent=lambda self, x: ((x + 1) * 127.5).round()),
        diffusion(grid=4, from_latent=lambda self, x: White.from_latent(self, x)[..., 1:]),
        diffusion(pixels=False, from_latent=lambda self, x: White.from_latent(self, -x)),
    ],
    "test_latents_are_pixels_if_it_says_so": [diffusion(to_latent=half_way, from_latent=back_again)],
    "test_predictions_have_the_shape_of_z": [
        predicting(lambda eps, z, t: eps.double()), predicting(lambda eps, z, t: eps[..., :4]),
        predicting(lambda eps, z, t: eps / 0), predicting(lambda eps, z, t: z.mul_(0.5)),
    ],
    "test_predictions_are_of_noise": [
        predicting(lambda eps, z, t: -eps), predicting(lambda eps, z, t: (z - t.sigmoid().sqrt() * eps) * 0 + z * 3),
        predicting(lambda eps, z, t: torch.sigmoid(t).sqrt() * z),  # x_hat, not eps_hat
        predicting(lambda eps, z, t: torch.sigmoid(t).sqrt() * eps - torch.sigmoid(-t).sqrt() * z),  # v_hat
    ],
    "test_predictions_are_the_same_again": [predicting(lambda eps, z, t: eps + 1e-6 * (next(count) + 1))],
    "test_predictions_need_no_gradient": [predicting(lambda eps, z, t: eps * PARAMETER)],
    "test_nobody_draws": [
        predicting(lambda eps, z, t: drawing(eps)), predicting(lambda eps, z, t: eps + 0 * np.random.rand()),
    ],
    "test_settings_of_the_process_change_nothing": [
        predicting(lambda eps, z, t: eps * torch.ones(1)), predicting(lambda eps, z, t: eps + torch.zeros(1).to(z)),
        predicting(lambda eps, z, t: eps + 1e-5 * torch.get_num_threads(), numerics=0),
    ],
    "test_a_batch_is_its_pictures": [
        predicting(lambda eps, z, t: eps + 0.1 * eps.mean()),
        predicting(lambda eps, z, t: eps + 1e-6 * len(z), numerics=0),
    ],
    "test_x_hat_is_what_predict_says": [
        diffusion(x_hat=lambda self, z, units: White.x_hat(self, z, units).float()),
        diffusion(x_hat=lambda self, z, units: White.x_hat(self, z, 2 * units + 8)),
    ],
}  # fmt: skip


def changed(base: type, **changes: Any) -> Any:
    """A model of a class with other members."""
    return type("Broken", (base,), changes)()


def striking(change: Callable[[Any, Any], Any], **changes: Any) -> Any:
    """The lattice model whose strips become change((params, features, codes), what was asked)."""
    return changed(
        Flat, strip_and_codes=lambda self, *given: change(Flat.strip_and_codes(self, *given), given), **changes
    )


def asking(change: Callable[[Any, Any], Any], **changes: Any) -> Any:
    """The order-agnostic model whose answers become change(distributions, what was asked)."""
    return changed(Near, ask=lambda self, *given: change(Near.ask(self, *given), given), **changes)


def other(found: Any, **changes: Any) -> Any:
    """Distributions with other members."""
    return SimpleNamespace(**{"intervals": found.intervals, "pop": found.pop} | changes)


def scaled(found: Any, factor: float = 1.0) -> Any:
    return found[0] + np.int32(round(factor)), *found[1:]


ARDMS = {
    "test_it_is_exact_or_pinned": {"numerics": 2},
    "test_its_name_can_be_recorded": {"name": ""},
    "test_its_fingerprint_is_a_digest": {"fingerprint": b""},
    "test_its_numerics_are_a_class": {"numerics": -1},
    "test_its_device_is_one": {"device": "nowhere"},
}
PHASES: dict[str, list[Any]] = {
    **{law: [changed(Flat, **changes)] for law, changes in ARDMS.items()},
    "test_answers_are_the_same_again": [striking(lambda found, given: scaled(found, next(count)))],
    "test_nobody_draws": [striking(lambda found, given: drawing(found))],
    "test_settings_of_the_process_change_nothing": [
        striking(lambda found, given: scaled(found, torch.ones(1).element_size())),
        striking(lambda found, given: scaled(found, torch.get_num_threads())),
        striking(lambda found, given: scaled(found, float(torch.ones(1)))),
    ],
    "test_a_bias_is_a_row_of_integers": [
        changed(Flat, bias=lambda self, phase, level, codes: np.zeros(4)),
        changed(Flat, bias=lambda self, phase, level, codes: np.zeros(4 + (level > 5), np.int32)),
    ],
    "test_parameters_have_their_shape": [
        striking(lambda found, given: (found[0].astype(np.int64), *found[1:])),
        striking(lambda found, given: (found[0][..., :9], *found[1:])),
        striking(lambda found, given: (found[0], found[2].astype(np.uint8), found[2])),
    ],
    "test_pixels_come_back": [],  # of any integers: an entropy coder's law, broken below
    "test_strips_are_the_whole": [
        changed(Flat, halo=0), striking(lambda found, given: scaled(found, given[1].shape[1])),
    ],
}  # fmt: skip
def flowing(change: Callable[[Any, Any], Any], **changes: Any) -> Any:
    """The model of frames whose strips become change((params, features), what was asked)."""
    return changed(Flow, frame_strip=lambda self, *given: change(Flow.frame_strip(self, *given), given), **changes)


FRAMES: dict[str, list[Any]] = {
    **{law: [changed(Flow, **changes)] for law, changes in ARDMS.items()},
    "test_answers_are_the_same_again": [flowing(lambda found, given: scaled(found, next(count)))],
    "test_nobody_draws": [flowing(lambda found, given: drawing(found))],
    "test_settings_of_the_process_change_nothing": [
        flowing(lambda found, given: scaled(found, torch.ones(1).element_size())),
        flowing(lambda found, given: scaled(found, torch.get_num_threads())),
    ],
    "test_it_is_given_pictures": [changed(Flow, past=0)],
    "test_a_bias_is_a_row_of_integers": [
        changed(Flow, frame_bias=lambda self, phase, level, codes: np.zeros(4)),
        changed(Flow, frame_bias=lambda self, phase, level, codes: np.zeros(4 + (level > 5), np.int32)),
    ],
    "test_parameters_have_their_shape": [
        flowing(lambda found, given: (found[0].astype(np.int64), found[1])),
        flowing(lambda found, given: (found[0][..., :9], found[1])),
        flowing(lambda found, given: (found[0], found[0].astype(np.uint8))),
    ],
    "test_the_past_is_looked_at": [
        changed(Flow, frame_strip=lambda self, phase, x, *given: Flat().strip(phase, x[:1], *given)),
    ],
    "test_strips_are_the_whole": [
        changed(Flow, halo=0), flowing(lambda found, given: scaled(found, given[1].shape[1])),
    ],
}  # fmt: skip
TUNABLES: dict[str, list[Any]] = {
    "test_steps_have_the_shape_of_the_head": [
        changed(Flat, steps=lambda self: np.ones((3, 10, 1))), changed(Flat, steps=lambda self: np.zeros((3, 10, 2))),
    ],
    "test_no_step_changes_nothing": [
        changed(Flat, adjusted=lambda self, steps: Flat(self.weight + 1)),
        changed(Flat, adjusted=lambda self, steps: self),
        changed(Flat, adjusted=lambda self, steps: (self.weight.__iadd__(steps[..., :-1].transpose(0, 2, 1)), self)[1]),
    ],
    "test_an_adjusted_model_is_called_the_same": [
        changed(Flat, adjusted=lambda self, steps: changed(Flat, name="flatter")),
        changed(Flat, adjusted=lambda self, steps: object()),
    ],
    "test_what_is_limited_is_taken": [
        changed(Flat, limited=lambda self, steps: np.clip(steps.astype(np.int16), -50, 50)),
        changed(Flat, limited=lambda self, steps: steps),
    ],
    "test_codes_are_what_steps_count": [
        changed(Flat, steps=lambda self: np.full((3, 10, 2), 2.0)),
        changed(Flat, strip=lambda self, *given: scaled(Flat.strip(self, *given))),
        changed(Flat, adjusted=lambda self, steps: Flat.adjusted(self, steps + steps[:, :1])),
    ],
}  # fmt: skip
MASKED: dict[str, list[Any]] = {
    **{law: [changed(Near, **changes)] for law, changes in ARDMS.items()},
    "test_answers_are_the_same_again": [
        asking(lambda found, given: Categorical(np.roll(found.tables, next(count), 1))),
    ],
    "test_nobody_draws": [asking(lambda found, given: drawing(found))],
    "test_settings_of_the_process_change_nothing": [
        asking(lambda found, given: Categorical(np.roll(found.tables, torch.ones(1).element_size() // 8, 1))),
        asking(lambda found, given: Categorical(np.roll(found.tables, torch.get_num_threads(), 1))),
    ],
    "test_its_alphabet_is_one": [
        changed(Near, vocabulary=1), changed(Near, profile=(1,)), changed(Near, profile=(-1, 2)),
        changed(Near, separate=None),
    ],
    "test_tokens_come_back": [
        asking(lambda found, given: other(found, pop=lambda stack: 3 - found.pop(stack))),
        asking(lambda found, given: other(found, pop=lambda stack: found.pop(stack)[:, 0])),
        asking(lambda found, given: other(found, intervals=lambda v: [a.astype(np.int64) for a in found.intervals(v)])),
        asking(lambda found, given: other(found, intervals=lambda v: tuple(np.array(found.intervals(v)) * [[1], [0]]))),
    ],
    "test_probabilities_are_all": [asking(lambda found, given: Categorical(found.tables // 2 + 1))],
    "test_what_is_not_known_is_not_looked_at": [
        asking(lambda found, given: Categorical(np.roll(found.tables, int(given[0].sum()), 1))),
    ],
    "test_answers_come_in_the_order_of_places": [
        asking(lambda found, given: Categorical(found.tables[np.argsort(given[3])])),
    ],
    "test_asking_changes_nothing": [asking(lambda found, given: (given[0].__iadd__(1), found)[1])],
}  # fmt: skip


class Fields(GaussianPictures):
    """Small blocks that may be given boxes and luma."""

    takes = frozenset({"box", "luma"})

    def __init__(self) -> None:
        like = GaussianPictures.smooth(2)
        super().__init__(like.field.means[0], like.field.covariances[0], 2, "fields")


def walking(change: Callable[[Any, Any, Any], Any]) -> Any:
    """Onward of which mixtures makes change(parameters, past, who is asked of), and the same codes."""

    def mixtures(self: Any, past: Any, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, codes = Onward.mixtures(self, past, known)
        return change(found, past, known), codes

    return changed(Onward, mixtures=mixtures)


def coding(change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Onward of which mixtures makes other codes."""
    return changed(
        Onward, mixtures=lambda self, past, known: ((found := Onward.mixtures(self, past, known))[0], change(found[1]))
    )


TRACKS: dict[str, list[Any]] = {
    **{law: [changed(Onward, **changes)] for law, changes in ARDMS.items()},
    "test_answers_are_the_same_again": [walking(lambda found, past, known: found + np.int32(next(count)))],
    "test_nobody_draws": [walking(lambda found, past, known: drawing(found))],
    "test_settings_of_the_process_change_nothing": [
        walking(lambda found, past, known: found + np.int32(torch.ones(1).element_size())),
    ],
    "test_parameters_have_their_shape": [
        walking(lambda found, past, known: found.astype(np.int64)), walking(lambda found, past, known: found[:, :5]),
        coding(lambda codes: codes + 0.5), coding(lambda codes: codes * 1000), coding(lambda codes: codes[:0]),
    ],
    "test_agents_have_no_order": [walking(lambda found, past, known: found + np.arange(len(known))[:, None, None])],
    "test_no_place_is_special": [walking(lambda found, past, known: found + past.last[known, :1, None] // 1000)],
    "test_one_agent_is_enough": [walking(lambda found, past, known: found if len(known) > 1 else found[:0])],
    "test_displacements_come_back": [],  # of any integers: an entropy coder's law, broken in test_tracks.py
    "test_asking_changes_nothing": [walking(lambda found, past, known: (past.sigma.__iadd__(1), found)[1])],
}  # fmt: skip


def giving(change: Callable[[Any, Any, Any], Any], **changes: Any) -> Any:
    """Fields of which given makes change(what it makes, the model, the condition)."""
    return changed(
        Fields, given=lambda self, condition: change(Fields.given(self, condition), self, condition), **changes
    )


def grown(found: Any, **changes: Any) -> Any:
    found.__dict__.update(changes)
    return found


def moving(found: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Its predictions, another each time."""
    return lambda z, t: Fields.predict(found, z, t) + 1e-5 * next(count)


def lost(found: Any, model: Any, condition: Any) -> Any:
    """A model that takes nothing more."""
    white = White()
    white.__dict__.update({"name": model.name, "fingerprint": model.fingerprint, "predict": found.predict})
    return white


FIELDS: dict[str, list[Any]] = {
    "test_it_takes_what_there_is": [
        changed(Fields, takes=frozenset()), changed(Fields, takes=frozenset({"tea"})), changed(Fields, takes={"box"}),
    ],
    "test_it_refuses_what_it_does_not_take": [
        changed(Fields, given=lambda self, one: self if one.kind == "text" else Fields.given(self, one)),
    ],
    "test_what_was_given_makes_a_diffusion": [
        giving(lambda found, model, condition: grown(found, predict=lambda z, t: -Fields.predict(found, z, t))),
        giving(lambda found, model, condition: object()),
    ],
    "test_what_was_given_changes_no_name": [
        giving(lambda found, model, condition: grown(found, name="others")),
        giving(lambda found, model, condition: grown(found, fingerprint=bytes(32))),
        giving(lambda found, model, condition: grown(found, to_latent=lambda image: image.float() / 255)),
    ],
    "test_the_model_stays_as_it_was": [
        giving(lambda found, model, condition: grown(model, field=found.field)),
        giving(lambda found, model, condition: grown(found, predict=moving(found))),
    ],
    "test_what_was_given_is_looked_at": [
        giving(lambda found, model, condition: model),
        giving(lambda found, model, condition: grown(found, x_hat=lambda z, units: 2 - Fields.x_hat(found, z, units))),
    ],
    "test_more_may_be_given_in_any_order": [
        giving(lambda found, model, condition: lost(found, model, condition) if condition.kind == "luma" else found),
        changed(Fields, given=lambda self, one: Fields.given(type(self)() if one.kind == "luma" else self, one)),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("suite", "broken", "options"),
    [
        (DiffusionLaws, DIFFUSIONS, {}),
        (ConditionalLaws, DIFFUSIONS | FIELDS, {}),
        (TunableLaws, PHASES | TUNABLES, {}),
        (FrameLaws, FRAMES, {}),
        (MaskedLaws, MASKED, NEAR),
        (TrackLaws, TRACKS, {}),
    ],
    ids=["diffusions", "conditional", "lattices", "frames", "order-agnostic", "tracks"],
)
def test_for_every_law_a_model_that_breaks_it(
    suite: type[Laws], broken: dict[str, list[Any]], options: dict[str, Any]
) -> None:
    assert sorted(broken) == suite.laws()
    if suite is ConditionalLaws:  # whose other laws are those of diffusions
        broken = FIELDS
    for law, models in broken.items():
        for number, model in enumerate(models):
            told = broken_law(suite.of(model, **options), law)
            assert told and "\n" not in told, f"number {number} keeps {law}"
            with pytest.raises(LawBroken):
                suite.of(model, **options).check()


def broken_law(suite: Laws, law: str) -> str:
    """What a law says of a model that breaks it; nothing if the model keeps it."""
    try:
        getattr(suite, law)()
    except LawBroken as error:
        return str(error)
    return ""


def test_pixels_that_do_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffcodec.entropy.logistic import Mixtures

    right = Mixtures.pop
    monkeypatch.setattr(Mixtures, "pop", lambda self, stack: right(self, stack)[::-1])
    with pytest.raises(LawBroken, match="pop gives other values"):
        PhaseLaws.of(Flat()).test_pixels_come_back()


def test_what_is_no_model() -> None:
    for wrong in (object(), 3, type("Half", (), {"name": "half", "fingerprint": bytes(32), "numerics": 0})()):
        with pytest.raises(LawBroken, match=r"members are missing|no kind"):
            testing.check(wrong)
    with pytest.raises(LawBroken, match="DiffusionModel"):
        DiffusionLaws.of(Flat()).check()
    with pytest.raises(LawBroken, match="make"):
        DiffusionLaws().check()


def test_laws_need_no_pytest_and_hold_where_asserts_do_not() -> None:
    code = (
        "import sys; from diffcodec import testing; from diffcodec.models.gaussian import WhitePictures as White\n"
        "assert False\n"
        "testing.check(White())\n"
        "class Wrong(White):\n    name = 'a/b'\n"
        "try: testing.check(Wrong())\n"
        "except testing.LawBroken as error: print(error, 'pytest' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "expected a plain name of 1 to 64 bytes without slashes, found 'a/b' False"
