"""Models whose x is no picture of the same size: latent ones, and such as continue pictures to multiples of a grid."""

from __future__ import annotations

import hashlib
from pathlib import Path

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
from diffcodec.models.operators import Box
from diffcodec.runtime.errors import InputError, ModelMismatch, ModelNotFound
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


def psnr(image: np.ndarray, photo: np.ndarray) -> float:
    return float(10 * np.log10(65025 / np.square(image.astype(float) - photo).mean()))


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
    with pytest.raises(InputError, match="sees no pixels"):
        diffcodec.encode(photo, "diffc", model)
    with pytest.raises(ModelMismatch, match="pixels"):
        diffcodec.encode_archive([photo, photo], model, steps=4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_psnr_is_met_in_pixels(channels: int) -> None:
    """By no more than the last pass adds; beyond what half the size leaves it is refused, which is said."""
    model, photo = Halves(), picture(41, 32, channels)
    rgb = torch.from_numpy(photo.repeat(3 // channels, 2).transpose(2, 0, 1).copy())[None]
    most = model.from_latent(model.to_latent(rgb))[0, :channels, :41].permute(1, 2, 0).numpy()
    ceiling = psnr(most, photo)
    sizes = []
    for wanted in (ceiling - 9, ceiling - 4, ceiling - 0.4):
        data = diffcodec.encode(photo, "diffc", model, psnr=wanted)
        shown = diffcodec.decode(data, model=model, reconstruction="mean").reshape(photo.shape)
        assert wanted <= psnr(shown, photo) < wanted + 0.6
        sizes.append(len(data))
    assert sizes == sorted(sizes)
    with pytest.raises(InputError, match=f"'halves' keeps {ceiling:.2f} dB") as failed:
        diffcodec.encode(photo, "diffc", model, psnr=ceiling + 0.1)
    assert "\n" not in str(failed.value)


def test_pixels_follow_behind_a_latent_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the latent model has is given to one of pixels, which goes on beyond the other's ceiling, and to all."""
    monkeypatch.setattr(registry, "_registered", {"halves": Halves()})
    field, photo = GaussianPictures.smooth(4), picture(40, 48)
    base = diffcodec.base_of(photo, 1, bpp=2.0, model="halves")
    assert isinstance(base, diffcodec.Base) and base.operator == Box(1) and base.augmentation is not None
    shown = diffcodec.decode(base.stream, reconstruction="mean")
    with pytest.raises(InputError, match="keeps"):
        diffcodec.encode(photo, "diffc", Halves(), psnr=psnr(shown, photo) + 12)
    data = diffcodec.encode(photo, "diffc", field, psnr=psnr(shown, photo) + 12, given=base)
    assert psnr(diffcodec.decode(data, model=field, reconstruction="mean"), photo) > psnr(shown, photo) + 11.5
    (told,) = diffcodec.inspect(data)["given"]
    assert (told["operator"], told["numbers"], told["model"]) == ("box", [1], "halves")
    exact = diffcodec.encode(photo, "diffc", field, given=base)
    assert np.array_equal(diffcodec.decode(exact, model=field), photo)
    monkeypatch.setattr(registry, "_registered", {})
    with pytest.raises(ModelNotFound, match="halves"):
        diffcodec.decode(data, model=field)


def test_what_alpha_hides_does_not_count_in_pixels() -> None:
    photo = np.dstack([picture(40, 40), np.full((40, 40), 255, np.uint8)])
    photo[:, 20:, :3] = np.random.default_rng(0).integers(0, 256, (40, 20, 3))
    photo[:, 20:, 3] = 0
    data = diffcodec.encode(photo, "diffc", Halves(), psnr=25.0)
    shown = diffcodec.decode(data, model=Halves(), reconstruction="mean")
    assert psnr(shown[:, :20, :3], photo[:, :20, :3]) > 24.9


def test_the_ceiling_is_told_where_the_model_was_calibrated(tmp_path: Path) -> None:
    model, photo = Halves(), picture(41, 32)
    told = diffcodec.calibrate(model, [photo], out=tmp_path / "halves.calibration.json")
    assert told["ceiling"] is not None
    stream = diffcodec.encode(photo, "diffc", model, bpp=3.0, calibration=tmp_path / "halves.calibration.json")
    weights = tmp_path / "halves.safetensors"  # beside which it lies, and which nobody reads
    assert diffcodec.inspect(stream, model=weights)["ceiling_psnr"] == pytest.approx(told["ceiling"])
    assert "ceiling_psnr" not in diffcodec.inspect(stream)
    assert diffcodec.inspect(stream, model=tmp_path / "other.safetensors")["ceiling_psnr"] is None
    other = diffcodec.encode(photo, "diffc", GaussianPictures.smooth(), bpp=3.0)
    with pytest.raises(ModelMismatch, match="'halves', the stream is of"):
        diffcodec.inspect(other, model=weights)


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
