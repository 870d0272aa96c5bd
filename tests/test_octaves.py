"""Answers at several sizes: octave by octave they are put together as least squares says, and it serves."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from conftest import needs_weights
from torch import Tensor

from diffcodec.diffusion import samplers
from diffcodec.diffusion.process import diffuse
from diffcodec.models import octaves, registry
from diffcodec.models.gaussian import WhitePictures
from diffcodec.runtime.errors import ModelMismatch

BANDS = octaves.OCTAVES + 1


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def octave(x: Tensor, b: int) -> Tensor:
    """P_b x in double, as the difference of averages of two sizes of blocks."""

    def averages(side: int) -> Tensor:
        small = torch.nn.functional.avg_pool2d(x.double(), side)
        return small.repeat_interleave(side, 2).repeat_interleave(side, 3)

    return averages(2**b) - (averages(2 ** (b + 1)) if b < octaves.OCTAVES else 0)


@pytest.mark.parametrize("shape", [(2, 3, 64, 96), (1, 3, 32, 32)])
def test_weights_count_octaves_of_lightness_and_colour(shape):
    parts = [noise(*shape, seed=k) for k in range(2)]
    weights = noise(BANDS, 2, 2, seed=9).double()
    wanted = torch.zeros(shape).double()
    for b in range(BANDS):
        for k, part in enumerate(parts):
            own = octave(part, b)
            lightness = own.mean(1, keepdim=True)
            wanted += weights[b, 0, k] * lightness + weights[b, 1, k] * (own - lightness)
    found = octaves.together(parts, weights.numpy())
    assert torch.allclose(found.double(), wanted, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 70, 65), (3, 3, 64, 64)])
def test_an_answer_that_counts_alone_comes_back(shape):
    h, w = shape[2:]
    parts = [noise(*shape, seed=k) for k in range(3)]
    weights = np.zeros((BANDS, 2, 6))
    weights[..., 1] = 1
    continued = octaves.padded(parts)
    found = octaves.together(continued, weights, octaves.texture(continued[0]))
    assert torch.allclose(found[..., :h, :w], parts[1], atol=1e-5)
    weights = noise(BANDS, 2, 6, seed=9).double().numpy()
    found = octaves.together(continued, weights, octaves.texture(continued[0]))
    assert torch.allclose(found, octaves.together([*octaves.weighed(parts)], weights), atol=1e-4)


def test_texture_is_told_block_by_block():
    x = torch.zeros(1, 3, 64, 96)
    x[..., :32, :32] = noise(1, 3, 32, 32)
    x[..., 32:, 32:64] = 0.03 * noise(1, 3, 32, 32)
    x[..., 32:, 64:] = torch.linspace(-1, 1, 32)[:, None] / 1000
    ones = torch.ones_like(x)
    f = [*octaves.weighed([x, ones])][3]
    assert (f[..., :32, :32] == 1).all() and (f[..., :32, 32:] == 0).all() and (f[..., 32:, 64:] == 0).all()
    assert 0.2 < float(f[0, 0, 40, 40]) < 0.8 and (f[..., 32:, 32:64] == f[0, 0, 40, 40]).all()


def test_products_tell_the_error_of_any_weights():
    parts, x = [noise(1, 3, 64, 64, seed=k) for k in range(2)], noise(1, 3, 64, 64, seed=7)
    parts[0] += x
    products = octaves.Products.of(parts, x)
    best = products.weights()
    for weights in (best, best + 0.1, np.random.default_rng(0).normal(size=best.shape)):
        error = (octaves.together(parts, weights) - x).double().square().sum()
        assert products.error(weights) == pytest.approx(float(error), rel=1e-5)
        assert products.error(best) <= products.error(weights)


def test_averages_of_z_are_z_of_the_smaller_picture():
    """Of a blank picture all of it is noise, and of the right strength."""
    asked = []

    class Asked(WhitePictures):
        def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
            asked.append((z, float(logsnr)))
            return super().predict(z, logsnr)

    x, at = torch.zeros(1, 3, 256, 256), 0.5
    z = diffuse(x, torch.tensor(at), noise(1, 3, 256, 256))
    octaves.answers(Asked(), z, at, (1, 2, 4))
    for k, (part, there) in zip((1, 2, 4), asked, strict=True):
        assert there == pytest.approx(at + 2 * math.log(k)) and part.shape[2] == 256 // k
        assert float(part.std()) == pytest.approx(math.sqrt(1 / (1 + math.exp(there))), rel=0.02)


@pytest.mark.parametrize("shape", [(65, 64), (70, 95)])
def test_sizes_that_no_block_divides(shape):
    z = noise(1, 3, *shape)
    parts = octaves.answers(WhitePictures(), z, 0.0, (1, 2, 4, 8))
    assert all(part.shape == z.shape and torch.isfinite(part).all() for part in parts)


@needs_weights
def test_the_bundled_one_errs_less_than_its_denoiser():
    from skimage import data

    model = registry.load("photo-octaves", device="cpu", codec="diffc")
    of = registry.load("photo-vdm", device="cpu", codec="diffc")
    whole = model.to_latent(torch.from_numpy(data.astronaut()[100:356, 100:364]).permute(2, 0, 1)[None])
    for at, side in ((-4.0, 256), (0.0, 128), (2.0, 64)):
        x = whole[..., :side, :side]
        z = diffuse(x, torch.tensor(at), noise(*x.shape))
        own, its = (float((samplers.mean(m.predict, z, at) - x).square().sum()) for m in (model, of))
        assert own < its, at
    for at, side in ((-4.0, 128), (0.0, 48), (8.0, 256)):
        z, t = whole[..., :side, :side], torch.tensor(at)
        assert torch.equal(model.predict(z, t), of.predict(z, t)), at


@needs_weights
def test_another_denoiser_beside_it_is_refused(tmp_path):
    for name in ("photo-octaves", "photo-vdm"):
        for suffix in (".safetensors", ".json"):
            shutil.copy(registry.FOLDER / f"{name}{suffix}", tmp_path)
    place = tmp_path / "photo-octaves.safetensors"
    assert registry.load(place, device="cpu", codec="diffc").name == "photo-octaves"
    card = json.loads((tmp_path / "photo-vdm.json").read_text())
    card["config"]["logsnr_min"] = -7.5
    (tmp_path / "photo-vdm.json").write_text(json.dumps(card))
    with pytest.raises(ModelMismatch, match="another model"):
        registry.load(str(place), device="cpu", codec="diffc", runtime="again")
    (tmp_path / "photo-vdm.safetensors").unlink()
    with pytest.raises(ModelMismatch):
        registry.load(str(place), device="cpu", codec="diffc", runtime="and again")


@needs_weights
@pytest.mark.parametrize("of", ["../photo-vdm", "photo-octaves", "/photo-vdm"])
def test_a_card_names_no_other_place_and_not_itself(tmp_path, of):
    for suffix in (".safetensors", ".json"):
        shutil.copy(registry.FOLDER / f"photo-octaves{suffix}", tmp_path)
    card = json.loads((tmp_path / "photo-octaves.json").read_text())
    card["config"]["of"] = of
    (tmp_path / "photo-octaves.json").write_text(json.dumps(card))
    with pytest.raises(ModelMismatch):
        registry.load(str(tmp_path / "photo-octaves.safetensors"), device="cpu", codec="diffc")
