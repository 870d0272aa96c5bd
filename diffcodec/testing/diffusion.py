"""Laws of diffusions: shapes, the class of their numerics, what a prediction means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..models.architectures import first_line
from ..models.protocols import EXACT, DiffusionModel
from .laws import SETTINGS, LawBroken, ModelLaws, demand, nobody_drew

CLOSE = {"float32": 1e-3}  #: how far two predictions of a unit noise may be apart, by a model's arithmetic
COARSE = 0.06  #: … of any other arithmetic
SLACK = 4.0  #: times the error that a denoiser of any prior makes


# the equations are written out: laws do not ask the package what they should be


def alpha(logsnr: Tensor) -> Tensor:
    """sqrt(sigmoid(logsnr)), of its shape (VDM eq. 4)."""
    return torch.sigmoid(logsnr).sqrt()


def sigma(logsnr: Tensor) -> Tensor:
    """sqrt(sigmoid(-logsnr)), of its shape (VDM eq. 3)."""
    return torch.sigmoid(-logsnr).sqrt()


def diffuse(x: Tensor, logsnr: Tensor, eps: Tensor) -> Tensor:
    """z_t of x and unit noise, of their shape (VDM eq. 1)."""
    return alpha(logsnr) * x + sigma(logsnr) * eps


def expected(z: Tensor, logsnr: Tensor, eps: Tensor) -> Tensor:
    """x_hat of a predicted noise, of the shape of z."""
    return (z - sigma(logsnr) * eps) / alpha(logsnr)


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 (1, 3, height, width): waves of every colour, a little noise on them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phase = random.uniform(0, 6, (3, 1, 1))
    waves = 127.5 + 80 * np.sin(x / 7 + phase) * np.cos(y / 9 + 2 * phase) + random.normal(0, 4, (3, height, width))
    return torch.from_numpy(np.clip(np.rint(waves), 0, 255).astype(np.uint8))[None]


def noise_like(x: Tensor, seed: int = 0) -> Tensor:
    """N(0, 1) of the shape of x, where x is, from a generator of its own."""
    drawn = np.random.default_rng(seed).standard_normal(tuple(x.shape), np.float32)
    return torch.from_numpy(drawn).to(x.device)


class DiffusionLaws(ModelLaws):
    """What holds of every `protocols.DiffusionModel`. ``sizes``: (H, W) of pictures that it takes, the first small."""

    kind: ClassVar[type] = DiffusionModel
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((8, 8), (5, 7), (1, 1), (17, 32))

    # ---- what the laws look at

    def at(self, model: DiffusionModel, logsnr: float, size: tuple[int, int] | None = None) -> tuple[Tensor, ...]:
        """(x, eps, z, logsnr float32 ()) of a picture."""
        x = model.to_latent(picture(*(size or self.sizes[0])))
        eps = noise_like(x)
        t = torch.tensor(logsnr, dtype=torch.float32, device=x.device)
        return x, eps, diffuse(x, t, eps), t

    def levels(self, model: DiffusionModel) -> Iterator[float]:
        """Some log-SNRs, from the model's first to its last."""
        for share in (0.0, 0.3, 0.6, 1.0):
            yield model.logsnr_min + share * (model.logsnr_max - model.logsnr_min)

    def close(self, model: DiffusionModel, a: Tensor, b: Tensor, told: str, exactly: bool = False) -> None:
        """That two predictions, or latents, of one shape, are one: of an exact model to the bit, of others to rounding.

        Raises LawBroken.
        """
        demand(a.shape == b.shape, f"{told}: shapes {tuple(a.shape)} and {tuple(b.shape)}")
        apart = float((a - b.to(a)).detach().double().abs().max())
        most = 0.0 if exactly or model.numerics == EXACT else CLOSE.get(model.arithmetic, COARSE)
        demand(apart <= most, f"{told}: they are {apart:.3g} apart, where {most:g} is allowed")

    # ---- what it says of itself

    def test_its_range_is_one(self) -> None:
        """Log-SNRs rise from the first to the last, both finite."""
        model = self.model()
        low, high = model.logsnr_min, model.logsnr_max
        demand(math.isfinite(low) and math.isfinite(high) and low < high, f"log-SNRs from {low} to {high}")

    def test_its_grid_and_channels_are_counts(self) -> None:
        """At least 1, and arithmetic has a name without commas, which part facts."""
        model = self.model()
        demand(model.grid >= 1 and model.channels >= 1, f"grid {model.grid}, channels {model.channels}")
        demand(model.arithmetic and "," not in model.arithmetic, f"arithmetic {model.arithmetic!r}")

    def test_latents_have_their_shape(self) -> None:
        """x is float32 (N, C, h, w), of the shape that is told before."""
        model = self.model()
        for size in self.sizes:
            x = model.to_latent(torch.cat([picture(*size), picture(*size, seed=1)]))
            told = model.latent_shape(size)
            demand(tuple(x.shape) == (2, *told), f"latent_shape tells {told} of {size}, to_latent gives {x.shape}")
            demand(told[0] == model.channels, f"latents of {told[0]} channels where {model.channels} are told")
            demand(x.dtype == torch.float32 and bool(x.isfinite().all()), f"latents are {x.dtype} or not finite")

    def test_pictures_come_back(self) -> None:
        """from_latent(to_latent(picture)) is the picture, of a latent model nearly, continued to the grid."""
        model = self.model()
        for size in self.sizes:
            image = picture(*size)
            back = model.from_latent(model.to_latent(image))
            demand(back.dtype == torch.uint8, f"from_latent gives {back.dtype}")
            wanted = tuple(-(-side // model.grid) * model.grid for side in size)
            demand(tuple(back.shape) == (1, 3, *wanted), f"from_latent gives {tuple(back.shape)} of a picture {size}")
            error = (back[..., : size[0], : size[1]].cpu().double() - image.double()).square().mean().sqrt()
            most = 0.0 if model.pixels else 45.0
            demand(error <= most, f"a picture comes back {error:.1f} levels away, where {most:g} are allowed")

    def test_latents_are_pixels_if_it_says_so(self) -> None:
        """Of a model of pixels x is samples / 127.5 - 1, a point for each."""
        model = self.model()
        if not model.pixels:
            return
        for H, W in self.sizes:
            image = picture(H, W)
            x = model.to_latent(image)[..., :H, :W].cpu()
            demand(x.shape == image.shape, f"latents of pixels have the shape {tuple(x.shape)}")
            demand(torch.allclose(x, image.float() / 127.5 - 1, atol=1e-6), "latents are not samples / 127.5 - 1")

    # ---- predictions

    def test_predictions_have_the_shape_of_z(self) -> None:
        """float32, finite, where z is, z left as it was, for any size and at any log-SNR of the range."""
        model = self.model()
        for size in self.sizes:
            for logsnr in self.levels(model):
                _, _, z, t = self.at(model, logsnr, size)
                before = z.clone()
                eps = model.predict(z, t)
                demand(eps.shape == z.shape, f"eps_hat has the shape {tuple(eps.shape)}, z {tuple(z.shape)}")
                demand(eps.dtype == torch.float32, f"eps_hat is {eps.dtype}, expected float32")
                demand(eps.device == z.device, f"eps_hat is on {eps.device}, z on {z.device}")
                demand(bool(eps.isfinite().all()), f"eps_hat is not finite at log-SNR {logsnr:g}")
                demand(torch.equal(z, before), "predict changes z")

    def test_predictions_are_of_noise(self) -> None:
        """x_hat = (z - sigma eps_hat) / alpha errs no more than a denoiser of any prior: by min(1 / SNR, |x|^2)."""
        model = self.model()
        for logsnr in (model.logsnr_min, max(model.logsnr_min, -2.0), model.logsnr_max):
            x, _, z, t = self.at(model, logsnr)
            x_hat = expected(z.double(), t.double(), model.predict(z, t).detach().double())
            error = float((x_hat - x).square().mean())
            most = min(math.exp(-logsnr), max(1.0, float(x.square().mean())))
            demand(
                error <= SLACK * most,
                f"x_hat errs by {error:.3g} at log-SNR {logsnr:g}, where a denoiser of any prior errs by {most:.3g}: "
                "does predict give the noise, in the model's own units?",
            )

    def test_predictions_are_the_same_again(self) -> None:
        """To the bit, on the same machine with the same settings; a second model made is the same one."""
        model = self.model()
        _, _, z, t = self.at(model, model.logsnr_min / 2)
        first = model.predict(z, t)
        self.close(model, first, model.predict(z, t), "asked twice", exactly=True)
        self.close(model, first, self.model().predict(z, t), "made twice", exactly=True)

    def test_predictions_need_no_gradient(self) -> None:
        """Where gradients are on, nothing is kept for them."""
        model = self.model()
        _, _, z, t = self.at(model, 0.0)
        with torch.enable_grad():
            found = (model.predict(z, t), model.x_hat(z, 0))
        demand(not any(one.requires_grad for one in found), "predictions carry gradients: run under no_grad")

    def test_nobody_draws(self) -> None:
        """The caller's generators of random numbers stay where they are."""
        model = self.model()
        with nobody_drew():
            _, _, z, t = self.at(model, 0.0)
            model.predict(z, t)
            model.from_latent(z)

    def test_settings_of_the_process_change_nothing(self) -> None:
        """Whatever a caller has set in torch: predictions are the same, of an exact model to the bit; latents too.

        Pixels are the same to the bit; what an autoencoder makes of them concerns the sender alone.
        """
        model = self.model()
        image = picture(*self.sizes[0])
        _, _, z, t = self.at(model, 1.0)
        eps, x_hat, x = model.predict(z, t), model.x_hat(z, 1024), model.to_latent(image)
        for name, setting in SETTINGS.items():
            try:
                with setting():
                    found, expected, latent = model.predict(z, t), model.x_hat(z, 1024), model.to_latent(image)
            except LawBroken:
                raise
            except Exception as error:
                raise LawBroken(f"with {name} set: {type(error).__name__}: {first_line(error)}") from error
            demand(found.dtype == torch.float32, f"with {name} set eps_hat is {found.dtype}")
            demand(expected.dtype == torch.float64, f"with {name} set x_hat is {expected.dtype}")
            demand(latent.dtype == x.dtype, f"with {name} set latents are {latent.dtype}")
            self.close(model, latent, x, f"with {name} set, latents", exactly=model.pixels)
            self.close(model, found, eps, f"with {name} set")
            self.close(model, expected, x_hat, f"with {name} set, x_hat")

    def test_a_batch_is_its_pictures(self) -> None:
        """Pictures are predicted alike together and alone, of an exact model to the bit."""
        model = self.model()
        size = self.sizes[-1]
        x = model.to_latent(torch.cat([picture(*size, seed=k) for k in range(3)]))
        t = torch.tensor(0.5, dtype=torch.float32, device=x.device)
        z = diffuse(x, t, noise_like(x))
        together, expected = model.predict(z, t), model.x_hat(z, 512)
        for k in range(3):
            self.close(model, together[k : k + 1], model.predict(z[k : k + 1], t), "a picture of a batch alone")
            self.close(model, expected[k : k + 1], model.x_hat(z[k : k + 1], 512), "a picture of a batch alone, x_hat")

    def test_x_hat_is_what_predict_says(self) -> None:
        """x_hat, float64, is (z - sigma eps_hat) / alpha to rounding."""
        model = self.model()
        for units in (-2048, 0, 2048):
            _, _, z, t = self.at(model, units / 1024)
            x_hat = model.x_hat(z, units)
            demand(x_hat.dtype == torch.float64, f"x_hat is {x_hat.dtype}, expected float64")
            demand(x_hat.shape == z.shape, f"x_hat has the shape {tuple(x_hat.shape)}, z {tuple(z.shape)}")
            eps = (z.double() - alpha(t.double()) * x_hat) / sigma(t.double())
            apart = float((eps - model.predict(z, t).double()).abs().max())
            most = CLOSE.get(model.arithmetic, COARSE)
            demand(apart <= most, f"x_hat and predict differ by {apart:.3g} of noise at log-SNR {units / 1024:g}")
