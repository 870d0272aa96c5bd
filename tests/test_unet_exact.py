"""The integer U-Net: one set of numbers, however it is computed; close to the float network it was made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import needs_weights

from diffcodec.diffusion.process import signal
from diffcodec.models import registry
from diffcodec.models.unet import exact as unet_exact
from diffcodec.models.unet.net import UNet, UNetConfig
from diffcodec.models.unet.quant import quantise

CONFIG = UNetConfig((16, 24, 32), (1, 2, 1), embedding=16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(1)
    net = UNet(CONFIG)
    for p in net.parameters():  # nothing stays at its zero
        torch.nn.init.normal_(p, std=0.3 / max(1, p[0].numel()) ** 0.5 if p.ndim > 1 else 0.1)
    return net.eval()


@pytest.fixture(scope="module")
def tensors(net: UNet) -> dict[str, torch.Tensor]:
    def calibrate(net: torch.nn.Module) -> None:
        for logsnr in (-6.0, 0.0, 6.0, 12.0):
            net(torch.randn(4, 3, 32, 32), torch.full((4,), logsnr))

    return quantise(net, calibrate)


def v(net: unet_exact.ExactUNet, z: torch.Tensor, units: int) -> torch.Tensor:
    with torch.inference_mode():
        return net(z, units, signal(units)[1])


Z = torch.randn(5, 3, 24, 40, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("units", [-8192, -2000, 0, 517, 6000, 11264, 13824])
def test_threads_batches_and_algorithms_change_nothing(tensors: dict[str, torch.Tensor], units: int) -> None:
    net = unet_exact.ExactUNet(tensors, CONFIG, CPU)
    whole = v(net, Z, units)
    assert whole.shape == Z.shape and bool(whole.isfinite().all())
    assert torch.equal(torch.cat([v(net, z[None], units) for z in Z]), whole)
    with torch.autocast("cpu", torch.bfloat16):  # a caller's
        assert torch.equal(v(net, Z, units), whole)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        assert torch.equal(v(net, Z, units), whole)
    finally:
        torch.set_num_threads(threads)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(v(net, Z, units), whole)
    net.device = torch.device("meta")  # takes the way of other devices: products of unfolded windows
    net._films = {k: [(g.cpu(), b.cpu()) for g, b in f] for k, f in net._films.items()}
    assert torch.equal(v(net, Z, units), whole)


@pytest.mark.parametrize("logsnr", [-6.0, 0.0, 5.5, 11.0])
def test_close_to_the_float_network(net: UNet, tensors: dict[str, torch.Tensor], logsnr: float) -> None:
    exact = unet_exact.ExactUNet(tensors, CONFIG, CPU)
    with torch.inference_mode():
        wanted = net(Z, torch.full((5,), logsnr))
    error = (v(exact, Z, round(1024 * logsnr)) - wanted).square().mean() / wanted.square().mean()
    assert float(error) < 0.02


def test_sums_that_could_round_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    wrong = {**tensors, "head.limit": torch.tensor(32767, dtype=torch.int16)}
    wrong["head.weight"] = torch.full_like(tensors["head.weight"], 127)
    with pytest.raises(ValueError, match="2\\^24"):
        unet_exact.ExactUNet(wrong, CONFIG, CPU)


def test_signal_is_on_the_circle() -> None:
    for units in (-8192, -1, 0, 333, 13824):
        a, s = signal(units)
        assert a * a + s * s == pytest.approx(1, abs=1e-15)
        assert 2 * np.log(a / s) == pytest.approx(units / 1024, abs=1e-12)


@needs_weights
def test_bundled_exact_model_against_its_float_parent() -> None:
    from skimage import data

    photo = torch.from_numpy(data.astronaut()[100:164, 200:264].copy()).permute(2, 0, 1)[None]
    exact, parent = (registry.load(name, codec="vdm", device="cpu") for name in ("photo-vdm-exact", "photo-vdm"))
    x = exact.to_latent(photo)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    for units in (-3000, 2048, 9216):
        a, s = signal(units)
        z = a * x + s * noise
        e1, e2 = (float((m.predict(z, torch.tensor(units / 1024)) - noise).square().mean()) for m in (exact, parent))
        assert e1 < 1.05 * e2
        x_hat = exact.x_hat(z, units)
        assert x_hat.dtype == torch.float64 and float((x_hat - x).square().mean()) < 1.1 * e2 * (s / a) ** 2


@needs_weights
def test_bundled_exact_model_is_pinned_to_these_numbers() -> None:
    """A golden value: another machine, library or release must find it too."""
    import hashlib

    exact = registry.load("photo-vdm-exact", codec="vdm", device="cpu")
    z = (torch.arange(2 * 3 * 16 * 16) * 7919 % 1000 - 500).float().reshape(2, 3, 16, 16) / 300
    digest = hashlib.sha256()
    for units in (-8000, -77, 3000, 11000):
        digest.update(exact.x_hat(z, units).numpy().astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "1d171b7107bbc79f"
