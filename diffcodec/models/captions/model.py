"""The provider of `icons-text`: a denoiser of pictures of any size that may be told in words what is in them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...diffusion.process import alpha, sigma
from ..architectures import Weights
from ..condition import Condition, Text, check
from ..denoiser import Denoiser
from ..guidance import Guided
from ..protocols import DiffusionModel, bfloat16_serves, device_of
from ..settings import held
from ..unet.model import asked, ready
from .net import CaptionConfig, CaptionedUNet
from .words import numbers_of


def load(weights: Weights) -> CaptionedVDM:
    """Of architecture vdm-unet-text-1. Raises any error for other tensors."""
    return CaptionedVDM(weights, CaptionConfig.from_dict(weights.fields()))


class CaptionedVDM(Denoiser):
    """eps_hat(z_t, log-SNR): a `ConditionalModel` of x in [-1, 1] that takes a text, or nothing."""

    takes = frozenset({"text"})
    device: torch.device

    def __init__(self, weights: Weights, config: CaptionConfig):
        self.name, self.fingerprint = weights.name, weights.fingerprint
        self.logsnr_min, self.logsnr_max = config.logsnr_min, config.logsnr_max
        self.device, self.buckets = torch.device(device_of(weights.device)), config.buckets
        self.half = bfloat16_serves(self.device.type)
        self.net = ready(lambda _: CaptionedUNet(config), config, weights.tensors, self.device, self.half)

    @property
    def arithmetic(self) -> str:
        """"bfloat16" where the device multiplies that itself."""
        return "bfloat16" if self.half else "float32"

    def given(self, condition: Condition) -> Told:
        """The model of those pictures that the text tells of. Raises InputError for what is no text."""
        check(self, condition)
        assert isinstance(condition, Text)
        return Told(self, condition)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, h, w), at one log-SNR, float32 ()."""
        return self.told(z, logsnr, "")

    @torch.inference_mode()
    @held()
    def told(self, z: Tensor, logsnr: Tensor, text: str) -> Tensor:
        """As :meth:`predict`, of pictures that show what ``text`` says; none is the empty one."""
        z = z.to(self.device)
        t = torch.as_tensor(logsnr, dtype=torch.float32, device=self.device).reshape(())
        numbers = torch.from_numpy(numbers_of(text, self.buckets)).to(self.device)
        v = asked(self.net, self.half, z, t.expand(len(z)), numbers.expand(len(z), -1, -1))
        return sigma(t) * z + alpha(t) * v  # Salimans & Ho 2022, §4


class Told(Denoiser):
    """A :class:`CaptionedVDM` that was told a text: a `Continued` `DiffusionModel`, whose `flow` is guided.

    Bits are chosen without guidance, which makes a model of fewer pictures than there are.
    """

    device: torch.device

    def __init__(self, of: CaptionedVDM, text: Text):
        self.of, self.text = of, text
        self.name, self.fingerprint, self.device = of.name, of.fingerprint, of.device
        self.logsnr_min, self.logsnr_max = of.logsnr_min, of.logsnr_max

    @property
    def arithmetic(self) -> str:
        """As the model's."""
        return self.of.arithmetic

    @property
    def further(self) -> DiffusionModel:
        """Itself, guided as the text wants it.

        Without dynamic thresholding: a third of an icon's samples are at a bound, which that takes away from it
        (`benchmarks.claims.captions --guidance`).
        """
        if self.text.scale == 1:
            return self
        return Guided(self, Told(self.of, Text(self.text.negative)), self.text.scale, threshold=False)

    def predict(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """eps_hat float32, of the shape of z float32 (N, 3, h, w), at one log-SNR, float32 ()."""
        return self.of.told(z, logsnr, self.text.prompt)
