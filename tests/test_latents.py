"""Models whose x is no picture of the same size: latent ones, and such as continue pictures to multiples of a grid."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import diffcodec
from diffcodec.codecs.codec import Head, Room
from diffcodec.codecs.diffc import codec as diffc
from diffcodec.models import registry
from diffcodec.models.denoiser import Denoiser
from diffcodec.models.gaussian_pictures import GaussianPictures
from diffcodec.runtime.errors import InputError, ModelMismatch
from diffcodec.testing import DiffusionLaws


class Halves(Denoiser):
    """x is the picture at half its size, of white pixels."""

    name = "halves"
    fingerprint = hashlib.sha256(b"halves").digest()
    logsnr_min, logsnr_max = -8.0, 10.0
    grid, pixels = 2, False

    def predict(self, z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        a2, s2 = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
        return s2.sqrt() * z / (a2 * 0.3 + s2)

    def latent_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        return 3, -(-shape[0] // 2), -(-shape[1] // 2)

    def to_latent(self, image: torch.Tensor) -> torch.Tensor:
        H, W = image.shape[2:]
        return F.avg_pool2d(F.pad(image.float() / 127.5 - 1, (0, W % 2, 0, H % 2), mode="replicate"), 2)

    def from_latent(self, x: torch.Tensor) -> torch.Tensor:
        return super().from_latent(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


class Bare:
    """The same, as it could be written before all was declared."""

    name, fingerprint, numerics, channels = Halves.name, Halves.fingerprint, 2, 3
    logsnr_min, logsnr_max = -8.0, 10.0

    def __init__(self) -> None:
        whole = Halves()
        self.predict, self.to_latent, self.from_latent = whole.predict, whole.to_latent, whole.from_latent


class TestHalves(DiffusionLaws):
    sizes = (8, 8), (5, 7), (16, 32)

    def make(self) -> Halves:
        return Halves()


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / (9 + k)) * np.cos(y / (7 + k)) for k in range(channels)]
    return np.stack(waves, 2).astype(np.uint8)


@pytest.mark.parametrize("model", [Halves(), Bare()])
def test_a_latent_model_codes_at_a_rate(model: Halves | Bare) -> None:
    photo = picture(21, 32)
    for wish in ({"bpp": 4.0}, {"max_bytes": 300}):
        data = diffcodec.encode(photo, "diffc", model, **wish)
        shown = diffcodec.decode(data, model=model, reconstruction="mean")
        assert shown.shape == photo.shape
        assert np.square(shown.astype(float) - photo).mean() < 0.7 * photo.var()
    assert registry.load(model, codec="diffc").pixels is False


@pytest.mark.parametrize("model", [Halves(), Bare()])
def test_a_latent_model_knows_no_pixels(model: Halves | Bare) -> None:
    photo = picture(16, 16)
    for wish in ({}, {"psnr": 30.0}):
        with pytest.raises(InputError, match="sees no pixels"):
            diffcodec.encode(photo, "diffc", model, **wish)
    with pytest.raises(ModelMismatch, match="pixels"):
        diffcodec.encode_archive([photo, photo], model, steps=4)


def test_a_picture_continued_to_a_grid_comes_back_in_its_size() -> None:
    model = GaussianPictures.smooth()
    for channels in (1, 3):
        photo = picture(13, 21, channels)
        exact = diffcodec.decode(diffcodec.encode(photo, "diffc", model), model=model)
        assert np.array_equal(exact.reshape(photo.shape), photo)
        data = diffcodec.encode(photo, "diffc", model, psnr=32.0)
        shown = diffcodec.decode(data, model=model, reconstruction="mean").reshape(photo.shape)
        assert 31.5 < 10 * np.log10(65025 / np.square(shown.astype(float) - photo).mean()) < 33.5
    with pytest.raises(ModelMismatch, match="any size"):
        diffcodec.encode_archive([picture(16, 16)] * 2, model, steps=4)


def test_what_continues_a_picture_takes_no_bits() -> None:
    """Nine columns of pixels and seven beyond: what nobody sees is not told."""
    model, photo = GaussianPictures.smooth(), picture(64, 16)
    sizes = [len(diffcodec.encode(photo[:, :width], "diffc", model, psnr=36.0, effort=9)) for width in (9, 16)]
    assert sizes[0] < 0.85 * sizes[1]


def test_the_exact_picture_of_a_latent_model_is_refused() -> None:
    white = Halves()
    params, passes, _ = diffc.encode(picture(8, 8), picture(8, 8)[..., :0], white, Room(lambda n: n, size=200), 0)
    assert params[0] == diffc.LOSSY and passes
    head = Head("diffc", 8, 8, 3, 0, bytes([diffc.EXACT, params[1]]))
    with pytest.raises(ModelMismatch, match="pixels"):
        diffc.Receiver(head, white)
