"""The `flow` in few network calls: the solver fitted to a network, other models that finish a stream, their cost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import White, needs_weights
from PIL import Image

import diffcodec
from diffcodec.codecs import budget as budgets
from diffcodec.codecs.reconstruction import DEFAULT, MEAN, Decoder
from diffcodec.diffusion.samplers import Multistep, flow, levels, mean, multistep
from diffcodec.models import registry
from diffcodec.models.gaussian import GaussianModel
from diffcodec.models.protocols import Posed, Shortened
from diffcodec.models.shortcut import fit, least_squares
from diffcodec.runtime.errors import InputError, ModelMismatch
from diffcodec.stream.parsed import read

MODEL = GaussianModel(np.geomspace(0.01, 4, 32))


class Student(White):
    """Counts its calls, and says that its x_hat is the picture."""

    def __init__(self, ahead: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.calls = 0
        self.shortcut = Multistep.of(ahead, 1, [(0.0, *ahead)] if ahead else [])

    def predict(self, z: Any, logsnr: Any) -> Any:
        self.calls += 1
        return super().predict(z, logsnr)


class Latent(White):
    """Of another size than the picture."""

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        return 4, shape[0] // 8 + 1, shape[1] // 8 + 1


def z_t() -> torch.Tensor:
    return torch.randn(100, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def picture() -> np.ndarray:
    ramp = np.linspace(0, 255, 40 * 48 * 3).reshape(40, 48, 3)
    return np.clip(ramp + np.random.default_rng(3).normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(65025 / float(np.mean((a.astype(float) - b) ** 2)))


def test_one_step_of_weight_one_is_euler() -> None:
    z = z_t()
    found = Multistep.of([3.0], 2, [[0, 1]])(MODEL.predict, z, 1.0, 14.0)
    assert torch.allclose(found, flow(MODEL.predict, z, 1.0, 4.0, 1, order=1), rtol=1e-9)


def test_two_steps_are_of_second_order() -> None:
    """With the curvature of Adams and Bashforth, and the last estimate alone: halving both steps quarters the error."""
    z, logsnr = z_t(), 2.0
    errors = []
    for step in (0.02, 0.01):
        end = logsnr + 2 * step
        exact = flow(MODEL.predict, z, logsnr, end, 200)
        last = Multistep.of([step, 2 * step], 1, [[0, 0, 1]]).estimates(MODEL.predict, z, logsnr, 14.0)[-1]
        euler = flow(MODEL.predict, z, logsnr, end, 2, order=1)
        errors.append([float((one - exact).square().mean().sqrt()) for one in (last, euler)])
    (coarse, coarse_euler), (fine, fine_euler) = errors
    assert coarse < coarse_euler and fine < fine_euler
    assert coarse / fine > 3.5


def test_multistep_is_of_second_order() -> None:
    """Halving all steps quarters the error; of curvature 0 it is Euler's method, whose error it halves."""
    z = z_t()
    exact = flow(MODEL.predict, z, 0.0, 4.0, 1000)
    errors = {}
    for curvature in (0.0, 1.0):
        found = [multistep(MODEL.predict, z, levels(0.0, 4.0, n), curvature) for n in (40, 80)]
        errors[curvature] = [float((one - exact).square().mean().sqrt()) for one in found]
    assert errors[1.0][0] > 3.5 * errors[1.0][1] and 1.8 < errors[0.0][0] / errors[0.0][1] < 2.2
    euler = flow(MODEL.predict, z, 0.0, 4.0, 40, order=1)
    assert torch.allclose(multistep(MODEL.predict, z, levels(0.0, 4.0, 40), 0.0), euler, rtol=1e-9)


def test_more_curvature_has_more_contrast() -> None:
    """Of a network that is too sure of the mean."""
    z, times = z_t(), levels(-2.0, 6.0, 7)
    plain, more = (multistep(MODEL.predict, z, times, curvature) for curvature in (1.0, 2.0))
    assert float(more.var()) > 1.01 * float(plain.var())


def test_a_student_is_asked_once() -> None:
    z = z_t()
    assert torch.allclose(Multistep.of([], 1, [])(MODEL.predict, z, 1.0, 14.0), mean(MODEL.predict, z, 1.0))


def test_weights_go_evenly_between_their_rows_and_no_further() -> None:
    z = z_t()
    solver = Multistep.of([2.0], 1, [[0, 1], [2, 3]])
    first, other = solver.estimates(MODEL.predict, z, 1.0, 14.0)
    assert torch.allclose(solver(MODEL.predict, z, 1.0, 14.0), first + 2 * (other - first))
    first, other = solver.estimates(MODEL.predict, z, 5.0, 14.0)
    assert torch.allclose(solver(MODEL.predict, z, 5.0, 14.0), first + 3 * (other - first))


def test_steps_shrink_before_the_end() -> None:
    """No call is beyond it, and at the end itself x_hat does not move."""
    asked: list[float] = []

    def predict(z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        asked.append(float(logsnr))
        return MODEL.predict(z, logsnr)

    solver = Multistep.of([1.5, 4, 8], 3, [[0, 1, -3, 3]])
    solver(predict, z_t(), 10.0, 14.0)
    assert asked == pytest.approx([10, 10.75, 12, 14])
    x = solver(MODEL.predict, z_t(), 13.999, 14.0)
    assert torch.allclose(x, mean(MODEL.predict, z_t(), 13.999), atol=1e-2)


@pytest.mark.parametrize("weights", [[], [[0, 1]], [[0, 1, 2], [1, 2]]])
def test_a_card_of_other_weights_than_calls_is_refused(weights: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="weights for other calls"):
        Multistep.of([1, 2], 1, weights)


def test_another_model_may_finish_a_stream() -> None:
    data = diffcodec.encode(picture(), "diffc", White(), bpp=2)
    student, mine = Student(), White()
    found = diffcodec.decode(data, model=mine, decoder=student)
    assert student.calls == 1
    # a student of the model's own weights is its mean
    assert np.array_equal(found, diffcodec.decode(data, model=mine, reconstruction="mean"))
    between = diffcodec.decode(data, model=mine, decoder=Student((3.0,)), realism=0.5)
    assert between.shape == found.shape and not np.array_equal(between, found)
    last = list(diffcodec.decode_progressive(data, model=mine, decoder=student))[-1]
    assert np.array_equal(last.image, found)


def test_a_model_with_a_way_of_its_own_takes_it_unless_the_teacher_is_asked_for() -> None:
    data = diffcodec.encode(picture(), "diffc", White(), bpp=2)
    calls = {}
    for decoder in (None, "teacher"):
        model = Student((2.0, 4.0))
        passes = len(list(diffcodec.decode_progressive(data, model=White(), reconstruction="mean")))
        diffcodec.decode(data, model=model, decoder=decoder)
        calls[decoder] = model.calls
    assert passes and calls["teacher"] - calls[None] == 17 - 3
    assert np.array_equal(
        diffcodec.decode(data, model=Student((2.0,)), decoder="teacher"), diffcodec.decode(data, model=White())
    )


def test_what_cannot_finish_a_stream_is_named() -> None:
    data = diffcodec.encode(picture(), "diffc", White(), bpp=2)
    with pytest.raises(InputError, match="a decoder makes the flow, and the mean was asked for"):
        diffcodec.decode(data, model=White(), decoder="teacher", reconstruction="mean")
    with pytest.raises(ModelMismatch, match="other latents"):
        diffcodec.decode(data, model=White(), decoder=Latent())
    with pytest.raises(ModelMismatch, match="codec diffc needs a DiffusionModel"):
        diffcodec.decode(data, model=White(), decoder="photo-ardm")


@needs_weights
def test_the_bundled_way_is_near_the_long_one_and_counted() -> None:
    """Measured on photographs by benchmarks.studies.flow_calls; here on a picture that a test can afford."""
    image = picture().repeat(2, 0).repeat(2, 1)
    data = diffcodec.encode(image, "diffc", bpp=0.5)
    model = registry.load(codec="diffc")
    assert isinstance(model, Shortened) and model.shortcut is not None
    assert model.shortcut.calls == registry.shortcut_calls(model.fingerprint[:8]) <= 4
    few, many, least = (
        diffcodec.decode(data, **how)  # type: ignore[arg-type]
        for how in ({}, {"decoder": "teacher"}, {"reconstruction": "mean"})
    )
    assert psnr(few, many) > psnr(least, many) + 6
    told = diffcodec.inspect(data)["decode_cost"]["network_calls"]
    prefix = read(data).prefix
    assert isinstance(model, Posed) and model.poses == registry.pose_calls(model.fingerprint[:8]) == 4
    assert told - budgets.cost_of(prefix, MEAN)[0].network_calls == model.shortcut.calls - model.poses
    teacher = DEFAULT.by(Decoder(None, 17))
    assert budgets.cost_of(prefix, teacher)[0].network_calls - told == 17 - model.shortcut.calls
    assert registry.shortcut_calls(bytes(8)) == 0


@needs_weights
def test_the_command_takes_a_decoder(run, tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "in.png")
    assert run("encode", tmp_path / "in.png", tmp_path / "x.dfc", "--bpp", 1)[0] == 0
    for decoder in ("teacher", "photo-vdm"):
        out = tmp_path / f"{decoder}.png"
        assert run("decode", tmp_path / "x.dfc", out, "--decoder", decoder)[0] == 0 and out.exists()
    code, _, error = run("decode", tmp_path / "x.dfc", tmp_path / "y.png", "--decoder", "nowhere")
    assert code == 1 and "no model 'nowhere'" in error


def test_another_denoiser_goes_on_with_the_way() -> None:
    """The stream's own tells E[x|z_t], and no more; the few calls behind it are the other's, and so is no byte."""
    asked: list[str] = []

    class Asked(White):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.called = name

        def predict(self, z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
            asked.append(self.called)
            return super().predict(z, logsnr)

    class Followed(Asked):
        shortcut = Multistep.of([1.5, 4], 2, [[0, 0.5, 0.5]])
        further = Asked("further")

    data = diffcodec.encode(picture(), "diffc", model=White(), bpp=1)
    for realism, calls in ((0, 0), (0.5, 2), (1, 2)):
        asked.clear()
        diffcodec.decode(data, model=Followed("own"), realism=realism)
        assert asked[-1 - calls :] == ["own", *["further"] * calls] and asked.count("further") == calls
    asked.clear()
    diffcodec.decode(data, model=White(), decoder=Followed("decoder"), realism=1)
    assert asked == ["decoder", "further", "further"]


def test_least_squares_of_the_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    changes = [torch.randn(3, 3, 8, 8, generator=generator) for _ in range(2)]
    weights, near = least_squares(changes, 2 * changes[0] - changes[1])
    assert weights == pytest.approx([2, -1]) and near > 100


def test_a_fit_is_near_the_long_way() -> None:
    """Of Gaussian pictures, whose x_hat is a formula: far nearer than x_hat is, whatever the level."""
    x = MODEL.sample(64, torch.Generator().manual_seed(1))
    for level, weights, near in fit(MODEL, x, (-2.0, 2.0), (1.5, 4.0), 2):
        assert len(weights) == 2 and near > 10, level
