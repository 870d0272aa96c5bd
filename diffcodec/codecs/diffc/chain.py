"""z_t on its way from noise to the picture: what sender and receiver of DiffC have in common."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...channel.noise import Key, Part, Purpose, normals
from ...diffusion import samplers
from ...diffusion.process import Step
from ...models.protocols import Continued, DiffusionModel, Posed, Shortened
from ...runtime.errors import ModelMismatch
from ..reconstruction import DEFAULT, LINE, Decoder, Reconstruction
from .spread import UNIT

MIRRORED: tuple[tuple[int, ...], ...] = ((3,), (2,), (2, 3))  #: sides of z (1, C, h, w) that further poses turn round


class Chain:
    """z_t on its way from noise to the picture; sender and receiver walk the same one."""

    def __init__(self, model: DiffusionModel, shape: tuple[int, int], seed: int):
        self.model, self.size, self.seed = model, shape, seed
        self.number, self.units = 0, round(model.logsnr_min / UNIT)
        latent = model.latent_shape(shape)
        self.shape, self.n = latent, math.prod(latent)
        noise = normals(Key(seed, 0, Purpose.START), self.n)
        self.z = torch.from_numpy(noise).reshape(1, *latent).to(model.device)
        self._eps_hat: Tensor | None = None

    @property
    def logsnr(self) -> float:
        """Of z_t, natural logarithm."""
        return self.units * UNIT

    def x_hat(self) -> Tensor:
        """E[x|z_t], float32 (1, C, h, w) like z; one network call per z_t."""
        return samplers.mean(self._predict, self.z, self.logsnr)

    def _predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """As the model's; asked once for z_t itself, with which every reconstruction begins."""
        if z is not self.z:
            return self.model.predict(z, logsnr)
        if self._eps_hat is None:
            self._eps_hat = self.model.predict(z, logsnr)
        return self._eps_hat

    def step(self, units: int) -> Step:
        """From z_t to the z_s that is ``units`` of UNIT less noisy."""
        return Step.between(self.z.new_tensor(self.logsnr), self.z.new_tensor(self.logsnr + units * UNIT))

    def key(self) -> Key:
        """Of the noises that the next pass chooses among."""
        return Key(self.seed, self.number, Purpose.PASS)

    def silent(self) -> np.ndarray:
        """The sample of a pass without bits, float32 (n,): noise that both sides know."""
        return normals(self.key().part(Part.SILENT), self.n)

    def advance(self, units: int, sample: np.ndarray) -> None:
        """To z_s = mean of p(z_s|z_t) + std sample, float32 (n,), with s ``units`` of UNIT beyond t."""
        step = self.step(units)
        noise = torch.from_numpy(sample).reshape(self.z.shape).to(self.z.device)
        self.z = step.mean(self.z, self.x_hat()) + step.std * noise
        self.units += units
        self.number += 1
        self._eps_hat = None

    def reconstruct(self, wanted: Reconstruction = DEFAULT) -> Tensor:
        """x, float32 (1, C, h, w) like z, from z_t: as far from x_hat to a real picture as is ``wanted``."""
        if self.logsnr >= self.model.logsnr_max:
            return self.x_hat()
        if not wanted.realism:
            return self._mean()
        if wanted.name == LINE:
            real = self._flow(wanted.decoder)
        else:
            sampler, end = samplers.RECONSTRUCTIONS[wanted.name], self.model.logsnr_max
            real = sampler(self._predict, self.z, self.logsnr, end, self._noises())
        return real if wanted.realism == 1 else samplers.between(self.x_hat(), real, wanted.realism)

    def _mean(self) -> Tensor:
        """E[x|z_t]: of pictures that are as likely mirrored the mean of the answers to z_t in several poses."""
        model, total = self.model, self.x_hat()
        if not isinstance(model, Posed):
            return total
        others = MIRRORED[: model.poses - 1]
        for sides in others:
            total = total + samplers.mean(functools.partial(model.posed, sides=sides), self.z, self.logsnr)
        return total / (1 + len(others))

    def _flow(self, decoder: Decoder | None) -> Tensor:
        """x at the end of the ODE, as the decoder finds it or the model. Raises ModelMismatch for other latents."""
        model, first = self.model, self._predict
        if decoder is not None and decoder.model is not None:
            model, first = decoder.model, decoder.model.predict
            if (model.pixels, model.latent_shape(self.size)) != (self.model.pixels, self.shape):
                raise ModelMismatch(f"decoder '{model.name}' works on other latents than the stream's model")
        further = (model.further if isinstance(model, Continued) else model).predict

        def predict(z: Tensor, logsnr: Tensor) -> Tensor:
            return first(z, logsnr) if z is self.z else further(z, logsnr)

        whole = decoder is not None and decoder.model is None
        shortcut = model.shortcut if isinstance(model, Shortened) and not whole else None
        at = min(self.logsnr, model.logsnr_max)
        return (shortcut or samplers.ode)(predict, self.z, at, model.logsnr_max).to(self.z.device)

    def _noises(self) -> Iterator[Tensor]:
        for k in itertools.count():
            noise = normals(Key(self.seed, k, Purpose.ANCESTRAL).part(0), self.n)
            yield torch.from_numpy(noise).reshape(self.z.shape).to(self.z.device)


def as_images(photo: np.ndarray) -> Tensor:
    """uint8 (1, 3, H, W) of planes uint8 (H, W, 1 or 3)."""
    rgb = photo if photo.shape[2] == 3 else photo.repeat(3, 2)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]


def shown(chain: Chain, shape: tuple[int, ...], reconstruction: Reconstruction) -> np.ndarray:
    """Photo planes uint8 of a picture of ``shape`` (H, W, 1 or 3)."""
    return as_planes(chain.model.from_latent(chain.reconstruct(reconstruction)), shape)


def as_planes(images: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Planes uint8 of ``shape`` (H, W, 1 or 3) of the first of ``images`` uint8 (N, 3, H', W'): of grey their mean."""
    photo = images[0].permute(1, 2, 0).cpu().numpy()[: shape[0], : shape[1]]
    if shape[2] == 1:
        photo = np.rint(photo.mean(2, keepdims=True)).astype(np.uint8)
    return np.ascontiguousarray(photo)
