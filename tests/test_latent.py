"""A denoiser in the latents of a tiny autoencoder, from its files to streams. Weights are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import diffcodec
from diffcodec.models import registry
from diffcodec.models.latent import tae
from diffcodec.models.latent.model import LatentVDM
from diffcodec.models.protocols import DiffusionModel
from diffcodec.models.unet.net import UNet, UNetConfig
from diffcodec.runtime.errors import ModelMismatch

C, LATENTS = 8, 4


def autoencoder(pooled: bool) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Tensors of TAESD's layout, encoder's and decoder's, of drawn values."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / max(1.0, float(np.prod(shape[1:]))) ** 0.5

    def conv(out: dict[str, torch.Tensor], name: str, a: int, b: int, bias: bool = False) -> None:
        out[f"{name}.weight"] = drawn(b, a, 3, 3)
        if bias:
            out[f"{name}.bias"] = drawn(b)

    def block(out: dict[str, torch.Tensor], name: str, deep: bool) -> None:
        for n in (0, 2, 4):
            conv(out, f"{name}.conv.{n}", C, C, bias=True)
        if deep and pooled:
            out[f"{name}.pool.0.weight"], out[f"{name}.pool.3.weight"] = drawn(4 * C, C, 1, 1), drawn(C, 4 * C, 1, 1)
            out[f"{name}.pool.1.weight"], out[f"{name}.pool.1.bias"] = torch.ones(4 * C), torch.zeros(4 * C)

    there, back = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    conv(there, "0", 3, C, bias=True)
    for n in range(1, 14):
        conv(there, str(n), C, C) if n in (2, 6, 10) else block(there, str(n), n > 10)
    conv(there, "14", C, LATENTS, bias=True)
    conv(back, "1", LATENTS, C, bias=True)
    for n in (*range(3, 6), *range(7, 11), *range(12, 16), 17, 18):
        conv(back, str(n), C, C) if n in (7, 12, 17) else block(back, str(n), n < 6)
    conv(back, "19", C, 3, bias=True)
    return there, back


@pytest.fixture(scope="module", params=[False, True], ids=["local", "pooled"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = UNetConfig((8, 12), (1, 1), 16, logsnr_max=10.0)
    there, back = autoencoder(request.param)
    net = UNet(config, LATENTS, LATENTS).state_dict()
    tensors = {f"net.{name}": one for name, one in net.items()}
    tensors |= {f"encoder.{name}": one for name, one in there.items()}
    tensors |= {f"decoder.{name}": one for name, one in back.items()}
    tensors |= {"mean": torch.full((LATENTS,), 0.1), "deviation": torch.full((LATENTS,), 0.7)}
    folder = tmp_path_factory.mktemp("latent")
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / "tiny.safetensors")
    card = {"name": "tiny", "config": {"architecture": "latent-1", **config.as_dict()}}
    (folder / "tiny.json").write_text(json.dumps(card))
    return folder / "tiny.safetensors"


def picture() -> np.ndarray:
    y, x = np.mgrid[:91, :108]
    return np.stack([128 + 90 * np.sin(x / k) * np.cos(y / (k + 4)) for k in (5, 7, 9)], 2).astype(np.uint8)


def test_latents_are_an_eighth_of_the_sides_and_back(files: Path) -> None:
    model = registry.load(files, codec="diffc", device="cpu")
    assert isinstance(model, LatentVDM) and isinstance(model, DiffusionModel) and not model.pixels
    image = torch.from_numpy(picture().transpose(2, 0, 1))[None]
    x = model.to_latent(image)
    assert x.shape[1:] == model.latent_shape(image.shape[2:]) == (LATENTS, 12, 14)
    shown = model.from_latent(x)
    assert shown.shape == (1, 3, 96, 112) and shown.dtype == torch.uint8
    latents = x * 0.7 + 0.1  # as the autoencoder's own: decoded alike
    bare = model.decoder(latents)
    assert torch.equal((bare * 255).round().clamp(0, 255).byte(), shown)
    z = torch.randn(2, LATENTS, 5, 7)
    assert model.predict(z, torch.tensor(1.0)).shape == z.shape


def test_streams_of_latents_end_where_the_autoencoder_does(files: Path) -> None:
    model = registry.load(files, codec="diffc", device="cpu")
    image = torch.from_numpy(picture().transpose(2, 0, 1))[None]
    ceiling = model.from_latent(model.to_latent(image))[0, :, :91, :108].permute(1, 2, 0).numpy()
    data = diffcodec.encode(picture(), "diffc", model, bpp=0.35, effort=2)
    first, *_, last = diffcodec.decode_progressive(data, model=model, reconstruction="mean")
    assert last.image.shape == picture().shape and len(data) <= round(0.35 * 91 * 108 / 8)

    def off(a: np.ndarray) -> float:
        return float(np.square(a.astype(float) - ceiling).mean())

    assert off(last.image) < off(first.image)


def test_what_the_layers_compute() -> None:
    """A block by hand, and that the bound is soft."""
    block = tae.Block(C, pooled=True)
    x = torch.randn(1, C, 6, 6)
    with torch.no_grad():
        y = x + block.pool(x)
        wanted = torch.relu(block.conv(y) + y)
        assert torch.allclose(block(x), wanted)
    far, near = (float(tae.Bounded()(torch.tensor(value))) for value in (100.0, 0.1))
    assert far == pytest.approx(3.0) and 0.099 < near < 0.1


def test_other_tensors_are_refused_by_name(files: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(files)
    tensors.pop("decoder.19.bias")
    save_file(tensors, tmp_path / "x.safetensors")
    (tmp_path / "x.json").write_text(files.with_suffix(".json").read_text())
    with pytest.raises(ModelMismatch, match=r"x\.safetensors"):
        registry.load(tmp_path / "x.safetensors", codec="diffc", device="cpu")
