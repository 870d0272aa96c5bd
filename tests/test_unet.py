"""The U-Net behind photo-vdm: local, of any size, and its configuration survives JSON."""

from __future__ import annotations

import json

import pytest
import torch

from diffcodec.models.unet.cpu import CpuBlock
from diffcodec.models.unet.net import ResBlock, UNet, UNetConfig
from diffcodec.models.unet.quant import quantise

SMALL = UNetConfig(channels=(8, 8), blocks=(1, 1), embedding=16)


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(0)
    net = UNet(SMALL).eval()
    with torch.no_grad():  # as initialised the head is 0 and FiLM idle
        for p in net.parameters():
            if not p.any():
                p.normal_(std=0.2)
    return net


@torch.no_grad()
def test_a_block_with_margin_gives_the_numbers_of_the_whole(net: UNet) -> None:
    z, t = torch.randn(1, 3, 128, 96), torch.tensor([1.5])
    whole = net(z, t)
    part = net(z[..., 32:96, :], t)
    assert torch.allclose(part[..., 24:40, :], whole[..., 56:72, :], atol=1e-5)
    assert not torch.allclose(part[..., :4, :], whole[..., 32:36, :], atol=1e-5)  # near the cut they differ


@torch.no_grad()
def test_a_batch_is_its_pictures(net: UNet) -> None:
    z, t = torch.randn(3, 3, 16, 8), torch.tensor([-8.0, 0.0, 13.5])
    v = net(z, t)
    assert v.shape == z.shape and v.isfinite().all() and v.std() > 1e-3
    for k in range(3):
        assert torch.allclose(v[k : k + 1], net(z[k : k + 1], t[k : k + 1]), atol=1e-5)


@torch.no_grad()
def test_noise_far_below_the_picture_is_seen(net: UNet) -> None:
    """At log-SNR 12 sigma is 0.0025: another noise of that size must change the output."""
    x, t = torch.full((1, 3, 32, 32), 0.3), torch.tensor([12.0])
    sigma = torch.sigmoid(-t).sqrt()
    one, other = (net(x + sigma * torch.randn_like(x), t) for _ in range(2))
    assert (one - other).std() > 0.1 * one.std()


@torch.no_grad()
def test_attention_sees_the_whole_picture_and_fourier_features_train() -> None:
    torch.manual_seed(0)
    net = UNet(UNetConfig((8, 8), (1, 2), 16, attention=True, fourier=True)).eval()
    for p in net.parameters():
        if not p.any():
            p.normal_(std=0.2)
    z, t = torch.randn(1, 3, 96, 96), torch.tensor([3.0])
    far = z.clone()
    far[..., 80:, 80:] += 1
    assert (net(z, t)[..., :16, :16] != net(far, t)[..., :16, :16]).any()
    with torch.enable_grad():
        net.requires_grad_()(z, t).square().sum().backward()
    assert net.stem.shape[1] == 15 and (net.stem.grad[:, 3:].abs().sum((0, 2, 3)) > 0).all()


def test_networks_that_are_not_local_have_no_integers() -> None:
    for config in (UNetConfig((8,), (1,), 16, attention=True), UNetConfig((8,), (1,), 16, fourier=True)):
        assert UNetConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
        with pytest.raises(ValueError, match="integers"):
            quantise(UNet(config), lambda net: None)


def test_configuration_survives_json() -> None:
    assert UNetConfig.from_dict(json.loads(json.dumps(SMALL.as_dict()))) == SMALL
    assert SMALL.multiple == 4
    with pytest.raises(TypeError):
        UNetConfig.from_dict({"width": 3})


@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 8, 7, 13), (1, 24, 66, 70), (3, 160, 4, 5)])
@torch.no_grad()
def test_blocks_on_cpu(shape):
    """The same to rounding: any sizes, a noise level per picture. In any number of threads the very same."""
    torch.manual_seed(1)
    block = ResBlock(shape[1], 16)
    for weight in (block.film.weight, block.film.bias, block.conv2.weight):
        torch.nn.init.normal_(weight, 0, 0.3)
    x, e = torch.randn(shape).contiguous(memory_format=torch.channels_last), torch.randn(shape[0], 16)
    found = CpuBlock(block)(x, e)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(CpuBlock(block)(x, e), found)
    finally:
        torch.set_num_threads(threads)
    exact = block.double()
    wanted = exact(x.double(), e.double())
    assert (found - wanted).abs().max() < 2e-5 * wanted.abs().max()
    exact.film.bias.mul_(1e3)  # silu far out
    wanted = exact(x.double(), e.double())
    assert (CpuBlock(exact.float())(x, e) - wanted).abs().max() < 2e-5 * wanted.abs().max()
